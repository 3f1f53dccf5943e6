package report

import (
	"strings"
	"testing"

	"tokprof/report/document"
)

// TestReadingsText says what the GPUs of the ranks read, as much as fits.
func TestReadingsText(t *testing.T) {
	level := func(v float64) *document.Level { return &document.Level{Min: v - 1, Mean: v, Max: v + 1} }
	a := &document.Analysis{Window: document.Window{DurNS: 5e9}, Phases: []document.Phase{{Phase: "decode", JPerToken: 0.41}}, Readings: &document.Readings{Devices: []document.DeviceReadings{
		{GPU: 0, Ranks: []int{0, 1}, PowerLimitW: 700, SMMHz: level(1980), PowerW: level(610), Reasons: []document.ReasonTime{{Reason: "power cap", Throttles: true, Share: 0.25}, {Reason: "idle", Share: 0.5}}},
		{GPU: 1, Ranks: []int{0, 1}, PowerLimitW: 700, SMMHz: level(1755), PowerW: level(690), Reasons: []document.ReasonTime{{Reason: "power cap", Throttles: true, Share: 0.5}}},
		{GPU: 2, PowerLimitW: 700, SMMHz: level(345), PowerW: level(80)},
	}}}
	for n, want := range map[int]string{
		200: "GPU readings: SM clock 1755–1980 MHz, 610–690 W of 700, power cap 50 % of the window, decode 410 mJ a token, which rank ran on which GPU is not known",
		80:  "GPU readings: SM clock 1755–1980 MHz, 610–690 W of 700",
		45:  "GPU readings: SM clock 1755–1980 MHz",
		20:  "",
	} {
		if got := readingsText(a, n); got != want {
			t.Errorf("in %d cells %q, want %q", n, got, want)
		}
	}
	a.Window.DurNS = 1e8
	if got := readingsText(a, 200); strings.Contains(got, "W of") {
		t.Errorf("a window of 100 ms has no power of its own: %q", got)
	}
	a.Readings = nil
	if got := readingsText(a, 200); got != "" {
		t.Errorf("without readings %q", got)
	}
}

// TestActivityText adds how much was at work, of GPUs that are a rank's, and
// stands without the driver's readings.
func TestActivityText(t *testing.T) {
	a := &document.Analysis{Phases: []document.Phase{{Phase: "decode"}, {Phase: "prefill"}}, Groups: []document.Row{{Phase: "decode", TimeNS: 5}}, Samples: &document.Samples{}}
	add := func(key, unit, phase string, mean float64, owners ...document.SampledOwner) {
		p := document.PhaseSample{Phase: phase, Mean: &mean}
		if mean < 0 {
			p = document.PhaseSample{Phase: phase, Why: "not_covered"}
		}
		a.Samples.Series = append(a.Samples.Series, document.SampledSeries{Key: key, Unit: unit, Owners: owners, Phases: []document.PhaseSample{p}})
	}
	rank0, rank1 := document.SampledOwner{Rank: 0}, document.SampledOwner{Rank: 1}
	add(document.KeySMActive, "Throughput %", "decode", 25.79, rank0)
	add(document.KeySMActive, "Throughput %", "decode", 31.2, rank1)
	add(document.KeySMActive, "Throughput %", "decode", 99)
	add(document.KeySMActive, "Throughput %", "prefill", 80, rank0)
	add(document.KeyTensorActive, "Throughput %", "decode", -1, rank0)
	add(document.KeyDRAMRead, "Throughput %", "decode", 23.26, rank0)
	add(document.KeyDRAMRead, "GB/s", "decode", 3000, rank0)
	if got, want := readingsText(a, 200), "GPU readings: decode with SMs active 26 %–31 %, DRAM reads 23 %"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := readingsText(a, 55), "GPU readings: decode with SMs active 26 %–31 %"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	a.Readings = &document.Readings{Devices: []document.DeviceReadings{{Ranks: []int{0}, SMMHz: &document.Level{Mean: 1980}}}}
	if got, want := readingsText(a, 200), "GPU readings: SM clock 1980 MHz, decode with SMs active 26 %–31 %, DRAM reads 23 %"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestSpeedText holds a large message against its ceiling, a small one against
// the best of its size, and says what stands against PCIe.
func TestSpeedText(t *testing.T) {
	large := document.CollectiveSize{Bytes: 8_000_000, Count: 30, TransferNS: document.Spread{Median: 40_000}, BestNS: 39_000, BusBW: 2e11, Percent: 54}
	small := document.CollectiveSize{Bytes: 65536, Count: 400, TransferNS: document.Spread{Median: 6_000}, BestNS: 5_000, LatencyBound: true}
	c := document.Collective{Kind: "all_reduce", Kernel: "cross_device_reduce_1stage", Bytes: 600_000, Ceiling: 3.708e11, Sizes: []document.CollectiveSize{large, small}}
	a := &document.Analysis{Collectives: []document.Collective{{Kind: "all_gather"}, c}}
	const latency = "all-reduce of 65.5 kB by cross_device_reduce_1stage: 6.00 µs, latency-bound, 1.2 × the best of this size"
	if got := speedText(a); got != latency {
		t.Errorf("%q, want %q", got, latency)
	}
	a.Collectives[1].Sizes = []document.CollectiveSize{large}
	const link = "all-reduce of 8.00 MB by cross_device_reduce_1stage: 40.0 µs, bus bandwidth 200 GB/s, 54 % of the 371 GB/s that NCCL counts on"
	if got := speedText(a); got != link {
		t.Errorf("%q, want %q", got, link)
	}
	if linkWarning(a) != "" {
		t.Error("a warning from nowhere")
	}
	a.Collectives[1].Warning = "do not use tensor\x1b parallelism here"
	var b strings.Builder
	if err := WriteText(&b, &document.Set{Analyses: []*document.Analysis{a}}, TextOptions{}); err != nil || !strings.Contains(b.String(), "do not use tensor") || strings.Contains(b.String(), "\x1b") {
		t.Errorf("the terminal says %q (%v)", b.String(), err)
	}
	if md := Markdown(a); !strings.Contains(md, "do not use tensor") || !strings.Contains(md, "54 % of the 371 GB/s") {
		t.Errorf("the ticket says %q", md)
	}
	a.Collectives = a.Collectives[:1]
	if got := speedText(a); got != "" {
		t.Errorf("without sizes %q", got)
	}
}
