package verdict

import (
	"testing"
	"unicode/utf8"

	"tokprof/report/document"
)

const ms = 1_000_000

func idleDevice(rank, device int, idle int64, causes ...document.IdleCause) document.Device {
	return document.Device{Rank: rank, Device: device, SumNS: 100*ms - idle, IdleNS: idle, IdleCauses: causes}
}

func phaseOf(name string, ns, steps, tokens int64) document.Phase {
	return document.Phase{Phase: name, Steps: steps, StepNS: document.Spread{Median: ns}, Tokens: tokens}
}

var verdictCases = []struct {
	want string
	a    document.Analysis
}{
	{"No GPU work was recorded.", document.Analysis{}},
	{"CUDA graphs recorded as a whole hide 62 % of the GPU's work: record again with nsys profile --cuda-graph-trace=node. Decode takes 3.60 ms a step (mean, 8 tokens), 1.70 ms of it in such graphs.",
		document.Analysis{
			Devices: []document.Device{{BusyNS: 38 * ms, GraphNS: 62 * ms, IdleNS: 200 * ms, IdleCauses: []document.IdleCause{{Cause: "host_late", TimeNS: 200 * ms, Share: 0.67, Gaps: 5}}}},
			Groups:  []document.Row{{Phase: "prefill", Name: "gemm", TimeNS: 60, Share: 0.9}, {Phase: "decode", Name: "gemm", TimeNS: 6, Share: 0.9}},
			Phases:  []document.Phase{phaseOf("prefill", 20*ms, 1, 64), {Phase: "decode", Steps: 24, Tokens: 192, StepNS: document.Spread{Median: 3_210_000}, GraphNS: document.Spread{Median: 1_600_000}}},
			Steps: []document.Step{
				{Phase: "decode", DurNS: 3 * ms, BusyNS: 2_400_000, PeriodNS: 4 * ms, Parts: []document.NameTime{{Name: "graphs", TimeNS: 1_720_000}, {Name: "head", TimeNS: 680_000}}},
				{Phase: "decode", DurNS: 3 * ms, BusyNS: 2_400_000, Parts: []document.NameTime{{Name: "graphs", TimeNS: 1_600_000}, {Name: "head", TimeNS: 800_000}}},
				{Phase: "decode", Rank: 1, DurNS: 3_800_000, BusyNS: 3_800_000, Parts: []document.NameTime{{Name: "graphs", TimeNS: 1_780_000}, {Name: "head", TimeNS: 2_020_000}}},
			},
		}},
	{"CUDA graphs recorded as a whole hide 51 % of the GPU's work: record again with nsys profile --cuda-graph-trace=node.",
		document.Analysis{Devices: []document.Device{{BusyNS: 49 * ms, GraphNS: 51 * ms}}}},
	{"50 % of 50.0 ms GPU time is in matrix products.",
		document.Analysis{
			Devices: []document.Device{{BusyNS: 50 * ms, SumNS: 50 * ms, GraphNS: 50 * ms}},
			Groups:  []document.Row{{Phase: "all", Name: "gemm", TimeNS: 60, Share: 0.5}},
		}},
	{"Decode takes 3.21 ms a step (median, 7.62 tokens), 51 % of GPU time in matrix products. Rank 0's GPU is idle 44 % of the window, mostly because the host launches late.",
		document.Analysis{
			Devices: []document.Device{idleDevice(0, 0, 44*ms, document.IdleCause{Cause: "host_late", TimeNS: 30 * ms, Share: 0.3, Gaps: 5}), idleDevice(1, 1, 20*ms)},
			Groups:  []document.Row{{Phase: "all", Name: "comm", TimeNS: 60, Share: 0.6}, {Phase: "prefill", Name: "comm", TimeNS: 40, Share: 0.9}, {Phase: "decode", Name: "gemm", TimeNS: 60, Share: 0.51}},
			Phases:  []document.Phase{phaseOf("prefill", 20*ms, 1, 64), phaseOf("decode", 3_210_000, 24, 183)},
		}},
	{"Mixed batches take 28.2 ms a step (median, 1192 tokens), 74 % of GPU time in norms, sampling and the like. GPU 3 of rank 12 is idle 44 % of the window (20 % while the host waits in a sync call).",
		document.Analysis{
			Devices: []document.Device{idleDevice(12, 3, 44*ms, document.IdleCause{Cause: "host_sync", TimeNS: 20 * ms, Share: 0.2, Gaps: 5}), idleDevice(12, 4, 0), idleDevice(13, 0, 0)},
			Groups:  []document.Row{{Phase: "mixed", Name: "other", TimeNS: 60, Share: 0.74}},
			Phases:  []document.Phase{phaseOf("mixed", 28_200_000, 10, 11920)},
		}},
	{"Decode takes 2.78 ms a step (median, 1 token), 82 % of GPU time in attention.",
		document.Analysis{
			Devices: []document.Device{idleDevice(0, 0, 9*ms, document.IdleCause{Cause: "host_late", TimeNS: 9 * ms, Share: 0.09, Gaps: 1})},
			Groups:  []document.Row{{Phase: "decode", Name: "attention", TimeNS: 60, Share: 0.82}},
			Phases:  []document.Phase{phaseOf("decode", 2_780_000, 11, 11)},
		}},
	{"Prefill takes 5.00 ms a step (median), 60 % of GPU time in FFN kernels. GPU 1 is idle 50 % of the window (25 % with no step running).",
		document.Analysis{ // exactly half is not most
			Devices: []document.Device{idleDevice(0, 0, 0), idleDevice(0, 1, 50*ms, document.IdleCause{Cause: "no_step", TimeNS: 25 * ms, Share: 0.25, Gaps: 1}, document.IdleCause{Cause: "unknown", TimeNS: 25 * ms, Share: 0.25, Gaps: 1})},
			Groups:  []document.Row{{Phase: "prefill", Name: "ffn", TimeNS: 60, Share: 0.6}},
			Phases:  []document.Phase{phaseOf("prefill", 5*ms, 1, 0)},
		}},
	{"The server takes 5.00 ms a step (median), 60 % of GPU time in collectives.",
		document.Analysis{
			Devices: []document.Device{idleDevice(0, 0, 0)},
			Groups:  []document.Row{{Phase: "none", Name: "comm", TimeNS: 60, Share: 0.6}},
			Phases:  []document.Phase{phaseOf("none", 5*ms, 1, 0)},
		}},
	{"60 % of 50.0 ms GPU time is in copies and memsets. The GPU is idle 50 % of the window, mostly for a reason not in the file.",
		document.Analysis{
			Devices: []document.Device{idleDevice(0, 0, 50*ms, document.IdleCause{Cause: "unknown", TimeNS: 50 * ms, Share: 0.5, Gaps: 1})},
			Groups:  []document.Row{{Phase: "all", Name: "memory", TimeNS: 60, Share: 0.6}, {Phase: "none", Name: "memory", TimeNS: 60, Share: 0.6}},
		}},
}

// TestVerdict: each sentence carries only what the numbers do.
func TestVerdict(t *testing.T) {
	for _, test := range verdictCases {
		test.a.Window.DurNS = 100 * ms
		got := Of(&test.a)
		if got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
		if n := utf8.RuneCountInString(got); n > 195 {
			t.Errorf("%d characters: %s", n, got)
		}
	}
	for c := range idleWords {
		a := document.Analysis{Window: document.Window{DurNS: 100}, Devices: []document.Device{{IdleNS: 50, IdleCauses: []document.IdleCause{{Cause: c, TimeNS: 30, Share: 0.3, Gaps: 1}}}}}
		if got := causeWords(&a, &a.Devices[0]); got != ", mostly "+idleWords[c] {
			t.Errorf("%s: %s", c, got)
		}
	}
}

// TestVerdictWithoutSteps: sums by name and copies alone tell no step, and say so.
func TestVerdictWithoutSteps(t *testing.T) {
	a := &document.Analysis{Groups: []document.Row{{Phase: "all", Name: "gemm", TimeNS: 60, Share: 0.6}}}
	for got, want := range map[string]string{
		OfSums(a, 100*ms):     "60 % of 100 ms GPU time is in matrix products. Steps, phases and idle time are n/a: the file sums kernels up by name.",
		OfCopies(1200, 35*ms): "No kernel was recorded: 1200 copies and memsets, 35.0 ms in all, are the GPU's only events.",
	} {
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
