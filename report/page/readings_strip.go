package page

import (
	"fmt"
	"strconv"

	"github.com/go-echarts/go-echarts/v2/charts"
	"github.com/go-echarts/go-echarts/v2/opts"

	"tokprof/report/document"
)

// The strip stands below the steps, on their axis: what the GPUs read, by the
// driver and by the profiler.

// strip is the readings as grids of the steps' chart.
type strip struct {
	tracks []track
	still  bool // rates that stood at 0 have no track
	bands  []stripBand
	lanes  []string // of the bands: GPU and reason
	cut    int      // bands not drawn
	gpus   shown    // of the driver's readings
	ports  shown    // and GPUs and network ports, of the profiler's samples
}

// shown is how many of all are drawn.
type shown struct{ drawn, all int }

// track is one grid: a line per GPU, or two.
type track struct {
	title string
	limit float64 // a line across, 0 for none
	top   float64 // of the axis, 0: as the readings need
	bytes bool    // values are bytes per second
	lines []stripLine
}

// stripLine is one series of one GPU or network port.
type stripLine struct {
	name   string
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
	linePoints   = 600 // of a line at most
	leastPoints  = 20  // and at least: fewer say little, rather draw fewer GPUs
	maxLanes     = 24
)

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
func (s *strip) note() string {
	note := "Below the steps: what the GPUs read"
	for _, x := range []struct {
		shown
		what string
	}{{s.gpus, ""}, {s.ports, " sampled"}} {
		if x.drawn == 0 && x.all > 0 {
			note += "; what the driver told is in the tables alone"
		} else if x.drawn < x.all {
			note += fmt.Sprintf(", the first %d of %d%s", x.drawn, x.all, x.what)
		}
	}
	if s.cut > 0 {
		note += "; " + countOf(int64(s.cut), "band") + " of clock reasons not drawn"
	}
	if s.ports.drawn > 0 {
		note += ". nsys numbers GPUs in its own way"
	}
	if s.ports.drawn > 0 || s.still {
		note += "; what stood at 0 is in the tables alone"
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
			lines.AddSeries(l.name, data, more...)
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
	limits, bytes := make([]float64, 0, len(s.tracks)), make([]bool, 0, len(s.tracks))
	for _, t := range s.tracks {
		limits, bytes = append(limits, t.limit), append(bytes, t.bytes)
	}
	return map[string]any{"grid": grid, "tracks": len(s.tracks), "bands": len(s.bands) > 0, "height": s.height(), "limits": limits, "bytes": bytes}
}
