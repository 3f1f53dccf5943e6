package document

import (
	"testing"
	"unicode/utf8"
)

const ms = 1_000_000

func idleDevice(rank, device int, idle int64, causes ...IdleCause) Device {
	return Device{Rank: rank, Device: device, SumNS: 100*ms - idle, IdleNS: idle, IdleCauses: causes}
}

func phaseOf(name string, ns, steps, tokens int64) Phase {
	return Phase{Phase: name, Steps: steps, StepNS: Spread{Median: ns}, Tokens: tokens}
}

var verdictCases = []struct {
	want string
	a    Analysis
}{
	{"No GPU work was recorded.", Analysis{}},
	{"CUDA graphs recorded as a whole hide 62 % of the GPU's work: record again with nsys profile --cuda-graph-trace=node. Decode takes 3.21 ms a step (8 tokens), 1.66 ms of it in such graphs.",
		Analysis{
			Devices: []Device{{BusyNS: 38 * ms, GraphNS: 62 * ms, IdleNS: 200 * ms, IdleCauses: []IdleCause{{"host_late", 200 * ms, 0.67, 5}}}},
			Groups:  []Row{{Phase: "prefill", Name: "gemm", TimeNS: 60, Share: 0.9}, {Phase: "decode", Name: "gemm", TimeNS: 6, Share: 0.9}},
			Phases:  []Phase{phaseOf("prefill", 20*ms, 1, 64), {Phase: "decode", Steps: 24, Tokens: 192, StepNS: Spread{Median: 3_210_000}, GraphNS: Spread{Median: 1_660_000}}},
			Steps:   []Step{{Phase: "decode", Parts: []NameTime{{Name: "graphs", TimeNS: 62 * ms}}}},
		}},
	{"CUDA graphs recorded as a whole hide 51 % of the GPU's work: record again with nsys profile --cuda-graph-trace=node.",
		Analysis{Devices: []Device{{BusyNS: 49 * ms, GraphNS: 51 * ms}}}},
	{"50 % of 50.0 ms GPU time is in matrix products.",
		Analysis{
			Devices: []Device{{BusyNS: 50 * ms, SumNS: 50 * ms, GraphNS: 50 * ms}},
			Groups:  []Row{{Phase: "all", Name: "gemm", TimeNS: 60, Share: 0.5}},
		}},
	{"Decode takes 3.21 ms a step (7.62 tokens), 51 % of GPU time in matrix products. Rank 0's GPU is idle 44 % of the window, mostly because the host launches late.",
		Analysis{
			Devices: []Device{idleDevice(0, 0, 44*ms, IdleCause{"host_late", 30 * ms, 0.3, 5}), idleDevice(1, 1, 20*ms)},
			Groups:  []Row{{Phase: "all", Name: "comm", TimeNS: 60, Share: 0.6}, {Phase: "prefill", Name: "comm", TimeNS: 40, Share: 0.9}, {Phase: "decode", Name: "gemm", TimeNS: 60, Share: 0.51}},
			Phases:  []Phase{phaseOf("prefill", 20*ms, 1, 64), phaseOf("decode", 3_210_000, 24, 183)},
		}},
	{"Mixed batches take 28.2 ms a step (1192 tokens), 74 % of GPU time in norms, sampling and the like. GPU 3 of rank 12 is idle 44 % of the window (20 % while the host waits in a sync call).",
		Analysis{
			Devices: []Device{idleDevice(12, 3, 44*ms, IdleCause{"host_sync", 20 * ms, 0.2, 5}), idleDevice(12, 4, 0), idleDevice(13, 0, 0)},
			Groups:  []Row{{Phase: "mixed", Name: "other", TimeNS: 60, Share: 0.74}},
			Phases:  []Phase{phaseOf("mixed", 28_200_000, 10, 11920)},
		}},
	{"Decode takes 2.78 ms a step (1 token), 82 % of GPU time in attention.",
		Analysis{
			Devices: []Device{idleDevice(0, 0, 9*ms, IdleCause{"host_late", 9 * ms, 0.09, 1})},
			Groups:  []Row{{Phase: "decode", Name: "attention", TimeNS: 60, Share: 0.82}},
			Phases:  []Phase{phaseOf("decode", 2_780_000, 11, 11)},
		}},
	{"Prefill takes 5.00 ms a step, 60 % of GPU time in FFN kernels. GPU 1 is idle 50 % of the window (25 % with no step running).",
		Analysis{ // exactly half is not most
			Devices: []Device{idleDevice(0, 0, 0), idleDevice(0, 1, 50*ms, IdleCause{"no_step", 25 * ms, 0.25, 1}, IdleCause{"unknown", 25 * ms, 0.25, 1})},
			Groups:  []Row{{Phase: "prefill", Name: "ffn", TimeNS: 60, Share: 0.6}},
			Phases:  []Phase{phaseOf("prefill", 5*ms, 1, 0)},
		}},
	{"The server takes 5.00 ms a step, 60 % of GPU time in collectives.",
		Analysis{
			Devices: []Device{idleDevice(0, 0, 0)},
			Groups:  []Row{{Phase: "none", Name: "comm", TimeNS: 60, Share: 0.6}},
			Phases:  []Phase{phaseOf("none", 5*ms, 1, 0)},
		}},
	{"60 % of 50.0 ms GPU time is in copies and memsets. The GPU is idle 50 % of the window, mostly for a reason not in the file.",
		Analysis{
			Devices: []Device{idleDevice(0, 0, 50*ms, IdleCause{"unknown", 50 * ms, 0.5, 1})},
			Groups:  []Row{{Phase: "all", Name: "memory", TimeNS: 60, Share: 0.6}, {Phase: "none", Name: "memory", TimeNS: 60, Share: 0.6}},
		}},
}

// TestVerdict: each sentence carries only what the numbers do.
func TestVerdict(t *testing.T) {
	for _, test := range verdictCases {
		test.a.Window.DurNS = 100 * ms
		got := verdict(&test.a)
		if got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
		if n := utf8.RuneCountInString(got); n > 190 {
			t.Errorf("%d characters: %s", n, got)
		}
	}
	for c := range idleWords {
		a := Analysis{Window: Window{DurNS: 100}, Devices: []Device{{IdleNS: 50, IdleCauses: []IdleCause{{c, 30, 0.3, 1}}}}}
		if got := causeWords(&a, &a.Devices[0]); got != ", mostly "+idleWords[c] {
			t.Errorf("%s: %s", c, got)
		}
	}
}
