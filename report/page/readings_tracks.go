package page

import (
	"fmt"
	"slices"
	"strings"

	"tokprof/report/document"
)

// trackKinds are the grids, from the top: the driver's readings by their names,
// the profiler's samples by their keys. Of the two directions of a link the
// second is dashed.
var trackKinds = []struct {
	title        string
	top          float64
	series, keys []string
}{
	{title: "SM clock, MHz", series: []string{"sm_mhz"}},
	{title: "GPC clock, MHz", keys: []string{document.KeyGPCClock}},
	{title: "memory clock, MHz", series: []string{"mem_mhz"}},
	{title: "power, W", series: []string{"power_w"}},
	{title: "temperature, °C", series: []string{"temp_c"}},
	{title: "SMs active, %", top: 100, series: []string{"sm_active_percent"}, keys: []string{document.KeySMActive}},
	{title: "tensor cores active, %", top: 100, series: []string{"tensor_active_percent"}, keys: []string{document.KeyTensorActive}},
	{title: "DRAM active, %", top: 100, series: []string{"dram_active_percent"}},
	{title: "DRAM read, written (dashed), %", top: 100, keys: []string{document.KeyDRAMRead, document.KeyDRAMWrite}},
	{title: "NVLink sent, received (dashed)", series: []string{"nvlink_tx_bytes_per_s", "nvlink_rx_bytes_per_s"}},
	{title: "NVLink data sent, received (dashed), %", keys: []string{document.KeyNVLinkTx, document.KeyNVLinkRx}},
	{title: "PCIe sent, received (dashed)", series: []string{"pcie_tx_bytes_per_s", "pcie_rx_bytes_per_s"}},
	{title: "PCIe sent, received (dashed), %", keys: []string{document.KeyPCIeTx, document.KeyPCIeRx}},
	{title: "network bytes sent, received (dashed), a sample", keys: []string{document.KeyNICTx, document.KeyNICRx}},
}

// newStrip picks what is drawn of readings and samples; nil when there are none.
func newStrip(a *document.Analysis, points int) *strip {
	if len(a.Steps) == 0 || a.Readings == nil && a.Samples == nil {
		return nil
	}
	s := &strip{}
	gpus, ports := s.pick(a, points)
	for _, kind := range trackKinds {
		t := track{title: kind.title, top: kind.top}
		for i, name := range kind.series {
			for j := range gpus {
				d := &gpus[j]
				line := readLine(d, name, a.Window.StartUnixNS)
				if line == nil {
					continue
				}
				line.dashed, t.bytes = i > 0, line.rate
				t.lines = append(t.lines, *line)
				switch name {
				case "power_w":
					t.limit = max(t.limit, d.PowerLimitW)
				case "sm_mhz":
					t.top = max(t.top, d.MaxSMMHz)
				}
			}
		}
		for i, key := range kind.keys {
			t.lines = append(t.lines, sampledLines(a, ports, key, i > 0)...)
		}
		switch {
		case len(t.lines) == 0:
		case t.still():
			s.still = true
		default:
			s.tracks = append(s.tracks, t)
		}
	}
	s.addBands(gpus, a.Window.StartUnixNS, points/8)
	if len(s.tracks) == 0 {
		return nil
	}
	s.thin(points)
	return s
}

// port is a GPU or network port that the profiler sampled, in one file.
type port struct {
	file   int
	source string
}

func portOf(x *document.SampledSeries) port { return port{x.File, x.Source} }

// pick takes as many GPUs and ports as the points can draw. On a page of many
// windows that is one of either: the sampled one, which has more to show.
func (s *strip) pick(a *document.Analysis, points int) ([]document.DeviceReadings, []port) {
	var gpus []document.DeviceReadings
	perGPU, perPort := 1, 1
	if a.Readings != nil {
		gpus = a.Readings.Devices
		for _, d := range gpus {
			perGPU = max(perGPU, len(d.Series))
		}
	}
	ports := sampledPorts(a.Samples)
	for _, p := range ports {
		n := 0
		for i := range a.Samples.Series {
			if x := &a.Samples.Series[i]; portOf(x) == p && drawn(x) {
				n++
			}
		}
		perPort = max(perPort, n)
	}
	s.gpus.all, s.ports.all = len(gpus), len(ports)
	g, p := min(len(gpus), maxStripGPUs), min(len(ports), maxStripGPUs)
	for (g*perGPU+p*perPort)*leastPoints > points && g+p > 1 {
		if g >= p {
			g--
		} else {
			p--
		}
	}
	s.gpus.drawn, s.ports.drawn = g, p
	return gpus[:g], ports[:p]
}

// still says whether rates stood at 0 throughout: an empty grid says nothing.
func (t *track) still() bool {
	return t.bytes && !slices.ContainsFunc(t.lines, func(l stripLine) bool {
		return slices.ContainsFunc(l.points, func(p [2]float64) bool { return p[1] != 0 })
	})
}

// drawn says whether a sampled series has a line: all zeros are an empty grid.
func drawn(x *document.SampledSeries) bool { return x.Key != "" && x.Level.Max > 0 }

// portNames name what the profiler sampled, by file and source. Its numbers of
// GPUs are its own, and each file's.
func portNames(s *document.Samples) map[port]string {
	var files []int
	out := map[port]string{}
	for i := range s.Series {
		x := &s.Series[i]
		if !slices.Contains(files, x.File) {
			files = append(files, x.File)
		}
		name := clip(x.Source, 60)
		if strings.HasPrefix(x.Source, "GPU ") {
			name = "nsys " + name
		}
		if n := slices.Index(files, x.File); n > 0 {
			name += fmt.Sprintf(" of file %d", n+1)
		}
		out[portOf(x)] = name
	}
	return out
}

// sampledPorts lists what has a line, those that a rank ran on first.
func sampledPorts(s *document.Samples) []port {
	if s == nil {
		return nil
	}
	var out, others []port
	for i := range s.Series {
		x := &s.Series[i]
		p := portOf(x)
		switch {
		case !drawn(x) || slices.Contains(out, p) || slices.Contains(others, p):
		case len(x.Owners) > 0:
			out = append(out, p)
		default:
			others = append(others, p)
		}
	}
	return append(out, others...)
}

// sampledLines are the lines of a key, of some ports.
func sampledLines(a *document.Analysis, ports []port, key string, dashed bool) (out []stripLine) {
	if len(ports) == 0 {
		return nil
	}
	names := portNames(a.Samples)
	for _, p := range ports {
		for i := range a.Samples.Series {
			x := &a.Samples.Series[i]
			if x.Key != key || portOf(x) != p || !drawn(x) {
				continue
			}
			line := stripLine{name: names[p], rate: x.Behind, dashed: dashed}
			line.add(x.UnixNS, x.Values, a.Window.StartUnixNS)
			out = append(out, line)
		}
	}
	return out
}

func readLine(d *document.DeviceReadings, name string, from int64) *stripLine {
	i := slices.IndexFunc(d.Series, func(x document.ReadingSeries) bool { return x.Name == name })
	if i < 0 {
		return nil
	}
	line := &stripLine{name: gpuName(d.GPU), rate: strings.HasSuffix(name, "_per_s")}
	line.add(d.Series[i].UnixNS, d.Series[i].Values, from)
	return line
}

func (l *stripLine) add(at []int64, values []float64, from int64) {
	for k := range min(len(values), len(at)) {
		l.points = append(l.points, [2]float64{float64(at[k] - from), values[k]})
	}
}

// thin shares the points out: each line keeps all, or the same number as the
// other long ones.
func (s *strip) thin(points int) {
	most := func(limit int) (n int) {
		for _, t := range s.tracks {
			for _, l := range t.lines {
				n += min(len(l.points), limit)
			}
		}
		return n
	}
	limit := linePoints
	for limit > leastPoints && most(limit) > points {
		limit--
	}
	for _, t := range s.tracks {
		for i := range t.lines {
			t.lines[i].thin(limit)
		}
	}
}

// thin keeps lows and highs, and rounds what is left.
func (l *stripLine) thin(limit int) {
	if len(l.points) > limit {
		x := document.ReadingSeries{}
		for _, p := range l.points {
			x.UnixNS, x.Values = append(x.UnixNS, int64(p[0])), append(x.Values, p[1])
		}
		x = x.Thinned(limit)
		l.points = l.points[:0]
		l.add(x.UnixNS, x.Values, 0)
	}
	for i := range l.points {
		l.points[i][1] = fourDigits(l.points[i][1])
	}
}
