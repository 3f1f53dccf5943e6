package page

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-echarts/go-echarts/v2/charts"
	"github.com/go-echarts/go-echarts/v2/opts"

	"tokprof/report/document"
)

// The strip stands below the steps, on their axis: what the GPUs read.

// strip is the readings as grids of the steps' chart.
type strip struct {
	tracks []track
	bands  []stripBand
	lanes  []string // of the bands: GPU and reason
	cut    int      // bands not drawn
	gpus   int      // drawn
}

// track is one grid: a line per GPU, or two.
type track struct {
	title string
	limit float64 // a line across, 0 for none
	top   float64 // of the axis, 0: as the readings need
	lines []stripLine
}

// stripLine is one series of one GPU.
type stripLine struct {
	gpu    int
	points [][2]float64 // ns from the window's start, value
	rate   bool         // a value is of the time before it, not behind it
	dashed bool
}

type stripBand struct {
	lane, gpu, from, to int64
	throttles           bool
}

const (
	trackHeight = 52
	trackGap    = 32
	// maxStripGPUs is how many GPUs' lines can be told apart.
	maxStripGPUs = 16
	maxLanes     = 24
)

// trackKinds are the grids, from the top.
var trackKinds = []struct {
	title  string
	series []string
}{
	{"SM clock, MHz", []string{"sm_mhz"}},
	{"memory clock, MHz", []string{"mem_mhz"}},
	{"power, W", []string{"power_w"}},
	{"temperature, °C", []string{"temp_c"}},
	{"NVLink sent, received (dashed)", []string{"nvlink_tx_bytes_per_s", "nvlink_rx_bytes_per_s"}},
}

// newStrip picks what is drawn of the readings; nil when there are none.
func newStrip(a *document.Analysis, points int) *strip {
	if a.Readings == nil || len(a.Steps) == 0 {
		return nil
	}
	s := &strip{}
	// A line of fewer points says little: rather draw fewer GPUs.
	const series, least = 6, 20
	gpus := a.Readings.Devices[:min(len(a.Readings.Devices), maxStripGPUs, max(1, points/(series*least)))]
	s.gpus = len(gpus)
	bands := points / 8
	points = min(600, points/max(1, series*len(gpus)))
	for _, kind := range trackKinds {
		t := track{title: kind.title}
		for i, name := range kind.series {
			for j := range gpus {
				d := &gpus[j]
				line := lineOf(d, name, a.Window.StartUnixNS, points)
				if line == nil {
					continue
				}
				line.dashed = i > 0
				t.lines = append(t.lines, *line)
				switch name {
				case "power_w":
					t.limit = max(t.limit, d.PowerLimitW)
				case "sm_mhz":
					t.top = max(t.top, d.MaxSMMHz)
				}
			}
		}
		if len(t.lines) > 0 {
			s.tracks = append(s.tracks, t)
		}
	}
	s.addBands(gpus, a.Window.StartUnixNS, bands)
	if len(s.tracks) == 0 {
		return nil
	}
	return s
}

func lineOf(d *document.DeviceReadings, name string, from int64, points int) *stripLine {
	i := slices.IndexFunc(d.Series, func(x document.ReadingSeries) bool { return x.Name == name })
	if i < 0 {
		return nil
	}
	x := d.Series[i].Thinned(points)
	line := &stripLine{gpu: d.GPU, rate: strings.HasSuffix(name, "_per_s")}
	for k := range min(len(x.Values), len(x.UnixNS)) {
		line.points = append(line.points, [2]float64{float64(x.UnixNS[k] - from), fourDigits(x.Values[k])})
	}
	return line
}

// fourDigits rounds what is drawn: a pixel shows no more, and the page is small.
func fourDigits(f float64) float64 {
	v, err := strconv.ParseFloat(strconv.FormatFloat(f, 'g', 4, 64), 64)
	if err != nil {
		return f
	}
	return v
}

// addBands gives each reason of each GPU a lane. Of too many bands the first
// are drawn; the table of reasons has the time of all.
func (s *strip) addBands(gpus []document.DeviceReadings, from int64, limit int) {
	for _, d := range gpus {
		lane := map[string]int64{}
		for _, b := range d.Bands {
			n, ok := lane[b.Reason]
			if !ok {
				if len(s.lanes) == maxLanes {
					continue
				}
				n = int64(len(s.lanes))
				lane[b.Reason] = n
				s.lanes = append(s.lanes, gpuName(d.GPU)+" "+clip(b.Reason, 40))
			}
			if len(s.bands) == limit {
				s.cut++
				continue
			}
			s.bands = append(s.bands, stripBand{n, int64(d.GPU), b.FromUnixNS - from, b.ToUnixNS - from, b.Throttles})
		}
	}
}

// note says what the strip leaves out.
func (s *strip) note(gpus int) string {
	note := "Below the steps: what the GPUs read"
	if gpus > s.gpus {
		note += fmt.Sprintf(", the first %d of %d", s.gpus, gpus)
	}
	if s.cut > 0 {
		note += "; " + countOf(int64(s.cut), "band") + " of clock reasons not drawn"
	}
	return note + "."
}

func gpuName(gpu int) string { return "GPU\u00a0" + strconv.Itoa(gpu) }

// grids counts the grids of the strip.
func (s *strip) grids() int {
	if s == nil {
		return 0
	}
	if len(s.bands) > 0 {
		return len(s.tracks) + 1
	}
	return len(s.tracks)
}

// height is that of the whole strip in pixels.
func (s *strip) height() int {
	if s == nil {
		return 0
	}
	h := len(s.tracks) * (trackHeight + trackGap)
	if len(s.bands) > 0 {
		h += s.bandsHeight() + trackGap
	}
	return h
}

func (s *strip) bandsHeight() int { return max(14, 13*len(s.lanes)) }

// layout are the grids, from a height on.
func (s *strip) layout(top int) (out []opts.Grid) {
	if s == nil {
		return nil
	}
	place := func(height int) {
		out = append(out, opts.Grid{Left: "72", Right: "16", Top: strconv.Itoa(top), Height: strconv.Itoa(height)})
		top += height + trackGap
	}
	for range s.tracks {
		place(trackHeight)
	}
	if len(s.bands) > 0 {
		place(s.bandsHeight())
	}
	return out
}

// addTo puts the strip's axes and series into the chart, from a grid on.
func (s *strip) addTo(c *charts.Scatter, grid int) {
	if s == nil {
		return
	}
	for i, t := range s.tracks {
		c.ExtendXAxis(opts.XAxis{Type: "value", GridIndex: grid + i, Min: 0})
		y := opts.YAxis{Type: "value", GridIndex: grid + i, Name: t.title, Min: 0}
		if t.top > 0 {
			y.Max = t.top
		}
		c.ExtendYAxis(y)
		lines := charts.NewLine()
		for k, l := range t.lines {
			data := make([]opts.LineData, 0, len(l.points))
			for _, p := range l.points {
				data = append(data, opts.LineData{Value: p})
			}
			chart := opts.LineChart{XAxisIndex: grid + i, YAxisIndex: grid + i, Step: "end", ShowSymbol: opts.Bool(len(data) < 60), SymbolSize: 4}
			if l.rate {
				chart.Step = "start"
			}
			style := opts.LineStyle{Width: 1.3}
			if l.dashed {
				style.Type = "dashed"
			}
			more := []charts.SeriesOpts{charts.WithLineChartOpts(chart), charts.WithLineStyleOpts(style)}
			if k == 0 && t.limit > 0 {
				more = append(more, charts.WithMarkLineNameYAxisItemOpts(opts.MarkLineNameYAxisItem{Name: "limit", YAxis: t.limit}))
			}
			lines.AddSeries(gpuName(l.gpu), data, more...)
		}
		c.Overlap(lines)
	}
	s.addBandSeries(c, grid+len(s.tracks))
}

func (s *strip) addBandSeries(c *charts.Scatter, grid int) {
	if len(s.bands) == 0 {
		return
	}
	c.ExtendXAxis(opts.XAxis{Type: "value", GridIndex: grid, Min: 0})
	c.ExtendYAxis(opts.YAxis{Type: "category", GridIndex: grid, Name: "clock reasons", Data: s.lanes})
	data := make([]opts.CustomData, 0, len(s.bands))
	for _, b := range s.bands {
		throttles := int64(0)
		if b.throttles {
			throttles = 1
		}
		data = append(data, opts.CustomData{Value: []int64{b.lane, b.from, b.to, throttles}})
	}
	custom := charts.NewCustom()
	custom.AddSeries("reasons", data, charts.WithEncodeOpts(opts.Encode{X: []int{1, 2}, Y: 0}),
		charts.WithCustomChartOpts(opts.CustomChart{XAxisIndex: grid, YAxisIndex: grid}))
	c.Overlap(custom)
}

// forScript is what the script needs to know of the strip.
func (s *strip) forScript(grid int) map[string]any {
	if s == nil {
		return nil
	}
	limits := make([]float64, 0, len(s.tracks))
	for _, t := range s.tracks {
		limits = append(limits, t.limit)
	}
	return map[string]any{"grid": grid, "tracks": len(s.tracks), "bands": len(s.bands) > 0, "height": s.height(), "limits": limits}
}
