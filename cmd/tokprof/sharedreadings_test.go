//go:build shared

package main

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tokprof/kernels"
	"tokprof/kernels/breakdown"
	"tokprof/nvml"
	"tokprof/report/compose"
	"tokprof/report/document"
	"tokprof/report/engines"
	"tokprof/trace"
	"tokprof/trace/capture"
)

// readCapture builds the documents of a capture of two H200 with its readings
// and their topology, by the names of their windows.
func readCapture(t *testing.T, name string) (map[string]*document.Analysis, []*breakdown.Rank, *nvml.Recording) {
	t.Helper()
	b, err := capture.Open(filepath.Join(*sharedDir, "captures", name))
	if err != nil {
		t.Fatal(err)
	}
	rec := readRecording(t, b.ReadingsPath())
	text, err := os.ReadFile(filepath.Join(*sharedDir, "captures", "topology", "topo.txt"))
	if err != nil {
		t.Fatal(err)
	}
	topo, err := nvml.ParseTopology(string(text))
	if err != nil {
		t.Fatal(err)
	}
	files, err := b.Traces()
	if err != nil {
		t.Fatal(err)
	}
	c, err := kernels.NewClassifier(nil)
	if err != nil {
		t.Fatal(err)
	}
	var ranks []*breakdown.Rank
	for _, f := range files {
		tr, err := trace.Open(t.Context(), f, trace.Options{Hash: true})
		if err != nil {
			t.Fatal(err)
		}
		ranks = append(ranks, breakdown.Reduce(tr, c, breakdown.Options{ExcerptTo: -1}))
	}
	var run []engines.RunWindow
	for _, w := range b.Windows {
		run = append(run, engines.RunWindow{Name: w.Name, FromUnixNS: w.StartCallUnixNS, ToUnixNS: w.StopReturnUnixNS, Files: w.Files})
	}
	out := map[string]*document.Analysis{}
	for _, a := range compose.Build(ranks, compose.Options{Run: run, Readings: rec, Topology: topo}).Analyses {
		out[a.Window.Name] = a
	}
	return out, ranks, rec
}

func readRecording(t *testing.T, path string) *nvml.Recording {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	rec, err := nvml.ReadRecording(f)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

func within(got, want, share float64) bool { return math.Abs(got-want) <= share*want }

// TestSharedReadingsLinks holds the NVLink counters of a window against the
// bytes of its collectives: two ranks send a message each, so a GPU sends all of
// every all-reduce, 33 a step, of the step's tokens times 4,096 two-byte numbers.
func TestSharedReadingsLinks(t *testing.T) {
	docs, _, _ := readCapture(t, "llama-16l-tp2-nccl")
	a := docs["prefill"]
	tokens := int64(0)
	for _, p := range a.Phases {
		tokens += p.Tokens
	}
	bytes := float64(tokens * 8192 * 33)
	l := a.Readings.Links
	if l == nil || tokens != 3903 {
		t.Fatalf("%d tokens, links %+v", tokens, l)
	}
	t.Logf("counted %d KiB, traced %d KiB, all-reduces by hand %.0f KiB, ratio %.4f", l.CountedBytes/1024, l.TracedBytes/1024, bytes/1024, l.Ratio)
	if !within(float64(l.CountedBytes), bytes, 0.05) || !within(float64(l.TracedBytes), bytes, 0.05) || !l.Quiet || l.SizedShare != 1 {
		t.Errorf("links %+v, all-reduces move %.0f bytes", l, bytes)
	}
	// Where messages are small, NCCL's LL protocol sends a flag beside each word.
	for name, a := range docs {
		l := a.Readings.Links
		t.Logf("%s: counted %d KiB, traced %d to %d KiB", name, l.CountedBytes/1024, l.TracedBytes/1024, l.TracedMostBytes/1024)
		if counted := float64(l.CountedBytes); counted < 0.95*float64(l.TracedBytes) || counted > 1.05*float64(l.TracedMostBytes) {
			t.Errorf("%s: links %+v", name, l)
		}
	}
}

// TestSharedReadingsEnergy holds the power readings' integral against the energy
// counter over at least ten seconds.
func TestSharedReadingsEnergy(t *testing.T) {
	for _, name := range []string{"llama-16l-tp2", "llama-16l-tp2-nccl"} {
		rec := readRecording(t, filepath.Join(*sharedDir, "captures", name, "nvml.jsonl"))
		for _, s := range rec.Summaries() {
			e := s.Energy
			if e == nil || e.ToNS-e.FromNS < int64(10*time.Second) {
				t.Fatalf("%s GPU %d: energy %+v", name, s.Device.Index, e)
			}
			ratio := e.IntegralMJ / float64(e.CounterMJ)
			t.Logf("%s GPU %d: %.0f J by the counter, %.0f J under the power readings (%.4f)", name, s.Device.Index, float64(e.CounterMJ)/1000, e.IntegralMJ/1000, ratio)
			if !within(ratio, 1, 0.05) {
				t.Errorf("%s GPU %d: power is %.3f of the counter", name, s.Device.Index, ratio)
			}
		}
	}
}

// TestSharedReadingsPairs splits the all-reduces of two ranks into transfer, the
// shorter of each pair, and skew, the difference; by the document and by hand.
func TestSharedReadingsPairs(t *testing.T) {
	docs, ranks, _ := readCapture(t, "llama-16l-tp2")
	a := docs["mixed"]
	i := slices.IndexFunc(a.Collectives, func(c document.Collective) bool { return c.Kernel == "cross_device_reduce_1stage" })
	if i < 0 {
		t.Fatal("no custom all-reduce")
	}
	c := a.Collectives[i]
	var transfer, skew []float64
	for _, p := range pairsByHand(t, a, ranks, "cross_device_reduce_1stage") {
		transfer, skew = append(transfer, min(p[0], p[1])), append(skew, math.Abs(p[0]-p[1]))
	}
	us := func(ns float64) float64 { return math.Round(ns/100) / 10 }
	meanTransfer, meanSkew := float64(c.TransferSumNS)/float64(2*c.Count), float64(c.WaitSumNS)/float64(c.Count)
	t.Logf("%d pairs: transfer mean %.1f, median %.1f µs; skew mean %.1f, median %.1f µs", c.Count, meanTransfer/1e3, float64(c.TransferNS.Median)/1e3, meanSkew/1e3, float64(c.LongestNS.Median)/1e3)
	if c.Count != 1320 || us(meanTransfer) != 7.0 || math.Round(meanSkew/1e3) != 175 || us(float64(c.TransferNS.Median)) != 4.0 || us(float64(c.LongestNS.Median)) != 0.7 {
		t.Errorf("the document: %+v", c)
	}
	if len(transfer) != 1320 || us(mean(transfer)) != us(meanTransfer) || us(mean(skew)) != us(meanSkew) || us(median(transfer)) != 4.0 || us(median(skew)) != 0.7 {
		t.Errorf("by hand: %d pairs, transfer %v and %v, skew %v and %v", len(transfer), mean(transfer), median(transfer), mean(skew), median(skew))
	}
}

// pairsByHand pairs the runs of a kernel on both ranks of a window in their
// order.
func pairsByHand(t *testing.T, a *document.Analysis, ranks []*breakdown.Rank, kernel string) (out [][2]float64) {
	t.Helper()
	var of [2][]breakdown.Collective
	for _, r := range ranks {
		if int64(r.Start) < a.Window.StartUnixNS || int64(r.End) > a.Window.StartUnixNS+a.Window.DurNS || r.Role != breakdown.GPURank {
			continue
		}
		for _, c := range r.Collectives {
			if strings.Contains(r.Kernels[c.Kernel].Name, kernel) {
				of[r.Info.Rank] = append(of[r.Info.Rank], c)
			}
		}
	}
	for _, list := range of {
		slices.SortFunc(list, func(x, y breakdown.Collective) int { return int(x.Start - y.Start) })
	}
	for i := range of[0] {
		if i < len(of[1]) {
			out = append(out, [2]float64{float64(of[0][i].Dur), float64(of[1][i].Dur)})
		}
	}
	return out
}

func mean(v []float64) (m float64) {
	for _, x := range v {
		m += x / float64(len(v))
	}
	return m
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

// TestSharedReadingsCeiling wants every large message between two H200 under the
// ceiling of their 18 NVLinks, and no energy from a handful of refreshes.
func TestSharedReadingsCeiling(t *testing.T) {
	for _, name := range []string{"llama-16l-tp2", "llama-16l-tp2-nccl"} {
		docs, _, _ := readCapture(t, name)
		if len(docs) != 3 {
			t.Errorf("%s: %d windows", name, len(docs))
		}
		for window, a := range docs {
			for _, c := range a.Collectives {
				for _, s := range c.Sizes {
					if !s.LatencyBound && (s.Percent < 10 || s.Percent > 100) {
						t.Errorf("%s %s: %s of %d bytes at %.1f %%", name, window, c.Kernel, s.Bytes, s.Percent)
					}
				}
				if c.Ceiling != 18*20.6e9 || c.Physical != 450e9 || c.Warning != "" || c.BytesHow == "" {
					t.Errorf("%s %s: %s: %v of %v by %q, sizes by %q", name, window, c.Kernel, c.Ceiling, c.Physical, c.CeilingHow, c.BytesHow)
				}
			}
			for _, p := range a.Phases {
				if p.SMMHzMean != 1980 || p.EnergyJ != 0 || p.Clock == nil || p.Clock.ByClockNS != 0 {
					t.Errorf("%s %s: %+v", name, window, p)
				}
			}
			for _, d := range a.Readings.Devices {
				if d.How != "all_gpus" || d.Readings < 3 || d.EnergyRefreshes >= 10 {
					t.Errorf("%s %s: GPU %d: %s, %d readings, %d refreshes", name, window, d.GPU, d.How, d.Readings, d.EnergyRefreshes)
				}
			}
		}
	}
}
