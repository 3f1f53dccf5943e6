package page

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"tokprof/report/document"
)

// sampledDocument has no readings of the driver, samples of two GPUs in two
// files and of a network port.
func sampledDocument(t *testing.T) *document.Analysis {
	a := pageDocument(t)
	a.Readings = nil
	from, mean := a.Window.StartUnixNS, 25.79
	add := func(file int, source, metric, key string, owners []document.SampledOwner, low, high float64) {
		x := document.SampledSeries{File: file, Source: source, Owners: owners, Metric: metric, Key: key, Samples: 3, PeriodNS: 100_000,
			Level: document.Level{Min: low, Mean: (low + high) / 2, Max: high}, CoveredShare: 0.19, Behind: strings.HasPrefix(source, "NIC"),
			UnixNS: []int64{from, from + 10_000_000, from + 20_000_000}, Values: []float64{low, high, low},
			Phases: []document.PhaseSample{{Phase: "decode", Mean: &mean}, {Phase: "prefill", Why: "not_covered"}, {Phase: "mixed", Why: "short_steps"}}}
		if len(owners) > 0 {
			x.How = []string{"device_table", "equal_number"}[owners[0].Rank]
		}
		a.Samples.Series = append(a.Samples.Series, x)
	}
	a.Samples = &document.Samples{LeftOut: 3}
	add(0, "GPU 7", "SMs Active [Throughput %]", document.KeySMActive, nil, 0, 90)
	add(0, "GPU 1", "SMs Active [Throughput %]", document.KeySMActive, []document.SampledOwner{{Rank: 0}}, 0, 100)
	add(0, "GPU 1", "DRAM Read Bandwidth [Throughput %]", document.KeyDRAMRead, []document.SampledOwner{{Rank: 0}}, 1, 95)
	add(0, "GPU 1", "DRAM Write Bandwidth [Throughput %]", document.KeyDRAMWrite, []document.SampledOwner{{Rank: 0}}, 1, 6)
	add(0, "GPU 1", "NVLink TX Requests User Data [Throughput %]", document.KeyNVLinkTx, []document.SampledOwner{{Rank: 0}}, 0, 0)
	add(0, "GPU 1", "SM Issue [Throughput %]", "", []document.SampledOwner{{Rank: 0}}, 0, 18)
	add(1, "GPU 1", "SMs Active [Throughput %]", document.KeySMActive, []document.SampledOwner{{Rank: 1}}, 0, 80)
	add(1, "NIC mlx5_0 port 1", "Bytes sent [B]", document.KeyNICTx, nil, 0, 1.9e19)
	return a
}

// TestSamplesAlone wants strip and section where the driver was not read.
func TestSamplesAlone(t *testing.T) {
	a := sampledDocument(t)
	page := drawPage(t, a)
	s := section(page, "readings")
	for _, want := range []string{
		"nsys GPU 1", "0 <small>by the export</small>", "1 <small>same number: an estimate</small>", "nsys GPU 1 of file 2", "NIC mlx5_0 port 1 of file 2", "SMs Active [Throughput %]",
		"50 <small>0–100; of 19\u202f% of it</small>", ">25.8<", "n/a <small>not sampled</small>", "n/a <small>short steps</small>", "9.5e&#43;18",
		"<th scope=\"row\">nsys GPU 7</th><td>n/a</td>", "<th scope=\"row\">NIC mlx5_0 port 1 of file 2</th><td>–</td>", "Other sampled metrics", "SM Issue", "every 100\u202fµs", "Left out are 3 metrics", "NVLink TX Requests",
	} {
		if !strings.Contains(s, want) {
			t.Errorf("the section lacks %q", want)
		}
	}
	for _, bad := range []string{"What the driver told", "GPUs over the window", "Clock and energy"} {
		if strings.Contains(s, bad) {
			t.Errorf("%q is there without the driver's readings", bad)
		}
	}
	if !strings.Contains(page, "nsys numbers GPUs in its own way") || !strings.Contains(page, "Sampled metric") {
		t.Error("the page does not explain the samples")
	}
}

// TestSampledTracks wants a grid for each kind of metric from either source, and
// none for what stood at zero.
func TestSampledTracks(t *testing.T) {
	told := func(s *strip) (out []string) {
		for _, tr := range s.tracks {
			line := fmt.Sprintf("%s to %g:", tr.title, tr.top)
			for _, l := range tr.lines {
				line += " " + strings.ReplaceAll(l.name, "\u00a0", " ")
				if l.dashed {
					line += " dashed"
				}
				if l.rate {
					line += " behind"
				}
			}
			out = append(out, line)
		}
		return out
	}
	a := sampledDocument(t)
	want := []string{
		"SMs active, % to 100: nsys GPU 1 nsys GPU 1 of file 2 nsys GPU 7",
		"DRAM read, written (dashed), % to 100: nsys GPU 1 nsys GPU 1 dashed",
		"network bytes sent, received (dashed), a sample to 0: NIC mlx5_0 port 1 of file 2 behind",
	}
	if got := told(newStrip(a, 4000)); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	// The driver's own activity counters share the grids.
	from := a.Window.StartUnixNS
	gpu := document.DeviceReadings{GPU: 0}
	for _, name := range []string{"sm_active_percent", "tensor_active_percent", "dram_active_percent", "pcie_tx_bytes_per_s", "pcie_rx_bytes_per_s"} {
		gpu.Series = append(gpu.Series, document.ReadingSeries{Name: name, UnixNS: []int64{from, from + 5}, Values: []float64{1, 2}})
	}
	a.Readings = &document.Readings{Devices: []document.DeviceReadings{gpu}}
	want = []string{
		"SMs active, % to 100: GPU 0 nsys GPU 1 nsys GPU 1 of file 2 nsys GPU 7",
		"tensor cores active, % to 100: GPU 0",
		"DRAM active, % to 100: GPU 0",
		want[1],
		"PCIe sent, received (dashed) to 0: GPU 0 behind GPU 0 dashed behind",
		want[2],
	}
	s := newStrip(a, 4000)
	if got := told(s); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if !s.tracks[4].bytes || s.tracks[5].bytes || s.tracks[0].bytes {
		t.Error("PCIe alone counts bytes per second")
	}
	// As many points as the page can hold, shared by both sources.
	addReadings(a, 64)
	addSamples(a, 40)
	a.Window.StartUnixNS = 0
	s = newStrip(a, 4000)
	points := 0
	for _, tr := range s.tracks {
		for _, l := range tr.lines {
			points += len(l.points)
		}
	}
	if points > 4000 || points < 2000 || s.gpus.drawn < 5 || s.ports.drawn < 5 {
		t.Errorf("%d points of %v GPUs and %v ports", points, s.gpus, s.ports)
	}
	if note := s.note(); !strings.Contains(note, fmt.Sprintf("the first %d of 64, the first %d of 40 sampled", s.gpus.drawn, s.ports.drawn)) {
		t.Errorf("the note says %q", note)
	}
}

// TestSamplesInBrowser asks points what they are.
func TestSamplesInBrowser(t *testing.T) {
	b := newBrowser(t)
	url := pageFile(t, &document.Set{Analyses: []*document.Analysis{sampledDocument(t)}})
	b.run(t, chromedp.Navigate(url), chromedp.WaitVisible(chromedp.CSS("#w0-stepchart canvas")))
	const chart = "echarts.getInstanceByDom(document.getElementById('w0-stepchart'))"
	b.want(t, chart+".getOption().yAxis.map(y => y.name).join(';')", "step takes;requests;SMs active, %;DRAM read, written (dashed), %;network bytes sent, received (dashed), a sample;tokens")
	for _, c := range []struct{ find, name, words string }{
		{"s.yAxisIndex === 2", "SMs active", "nsys GPU 1, SMs active, %: 100"},
		{"s.yAxisIndex === 3 && s.lineStyle.type === 'dashed'", "DRAM writes", "nsys GPU 1, DRAM written, %: 6"},
		{"s.yAxisIndex === 4", "the network", "NIC mlx5_0 port 1 of file 2, network bytes sent, a sample: "},
	} {
		b.js(t, "const c = "+chart+", i = c.getOption().series.findIndex(s => s.type === 'line' && "+c.find+"); c.dispatchAction({type: 'showTip', seriesIndex: i, dataIndex: 1})")
		when := "from "
		if c.name == "the network" {
			when = "up to "
		}
		if s := b.text(t, "[...document.querySelectorAll('#w0-stepchart > div')].at(-1).innerText"); !strings.Contains(s, c.words) || !strings.Contains(s, when) {
			t.Errorf("the tooltip of %s reads %q", c.name, s)
		}
	}
	b.calm(t, url)
}
