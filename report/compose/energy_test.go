package compose

import (
	"math"
	"slices"
	"testing"

	"tokprof/kernels/breakdown"
	"tokprof/nvml"
	"tokprof/report/document"
	"tokprof/trace"
)

func near(got, want, tolerance float64) bool { return math.Abs(got-want) <= tolerance*math.Abs(want) }

// TestPhaseEnergy wants the energy of all GPUs over a phase's steps, per token
// and shared out by busy time.
func TestPhaseEnergy(t *testing.T) {
	steps := decodes(300, 10_000_000) // 3 s
	pair := []*breakdown.Rank{working(0, -1, 2, 0, 2, steps...), working(1, -1, 2, 1, 2, steps...)}
	a := Build(pair, Options{Readings: watch(3, h200(300, 90), h200(500, 90))}).Analyses[0]
	checkReadings(t, a)
	p := a.Phases[0]
	if !near(p.EnergyJ, 2400, 0.01) || !near(p.PowerWMean, 400, 0.01) || !near(p.JPerToken, 2400.0/(300*8), 0.01) {
		t.Errorf("%v J, %v W, %v J a token", p.EnergyJ, p.PowerWMean, p.JPerToken)
	}
	if e := p.RoleEnergy; len(e) != 2 || e[0].Name != "qkv_proj" || !near(e[0].EnergyJ, 1800, 0.01) || e[1].Name != "attention" {
		t.Errorf("by role: %+v", e)
	}
	for _, d := range a.Readings.Devices {
		if want := []float64{300, 500}[d.GPU]; !near(d.EnergyJ, want*float64(d.EnergyRefreshes-1)/10, 0.01) {
			t.Errorf("GPU %d: %v J in %d refreshes", d.GPU, d.EnergyJ, d.EnergyRefreshes)
		}
	}

	// One file of two: the other rank's GPU worked for the same tokens.
	if a = Build(pair[:1], Options{Readings: watch(3, h200(300, 90), h200(500, 90))}).Analyses[0]; !near(a.Phases[0].EnergyJ, 2400, 0.01) {
		t.Errorf("one file of two: %v J", a.Phases[0].EnergyJ)
	}
	// A rank without a file, on a GPU of either kind: whose energy it is, nobody knows.
	other := h200(100, 90)
	other.name = "NVIDIA L40S"
	kinds := []*breakdown.Rank{working(0, -1, 3, 0, 1, steps...), working(1, -1, 3, 0, 1, steps...)}
	kinds[1].Info.GPUNames[0] = other.name
	if a = Build(kinds, Options{Readings: watch(3, h200(300, 90), h200(300, 90), other, other)}).Analyses[0]; a.Phases[0].EnergyJ != 0 || placed(a) != "0=[0] all_gpus, 1=[0] all_gpus, 2=[1] all_gpus, 3=[1] all_gpus" {
		t.Errorf("three ranks on two kinds of GPU: %v J, %s", a.Phases[0].EnergyJ, placed(a))
	}
	// A GPU that nobody can be placed on: energy is nobody's.
	if a = Build(pair, Options{Readings: watch(3, h200(300, 90), h200(500, 90), h200(200, 90))}).Analyses[0]; a.Phases[0].EnergyJ != 0 {
		t.Errorf("two ranks on two of three GPUs: %v J", a.Phases[0].EnergyJ)
	}
}

// TestFewRefreshes wants no energy of a phase with fewer than ten refreshes of
// the counter in its own steps.
func TestFewRefreshes(t *testing.T) {
	for _, c := range []struct {
		name  string
		steps []busy
		known map[string]bool
	}{
		{"0.9 s", decodes(90, 10_000_000), map[string]bool{"decode": false}},
		{"1.2 s", decodes(120, 10_000_000), map[string]bool{"decode": true}},
		{"2 s of decode behind 0.5 s of prefill", append([]busy{{trace.Prefill, 0, second / 2, 1000}}, shift(decodes(200, 10_000_000), second/2)...), map[string]bool{"prefill": false, "decode": true}},
		{"phases that change faster than the counter", alternating(200, 10_000_000), map[string]bool{"prefill": true, "decode": false}},
	} {
		a := Build([]*breakdown.Rank{working(0, -1, 1, 0, 1, c.steps...)}, Options{Readings: watch(4, h200(300, 90))}).Analyses[0]
		checkReadings(t, a)
		for _, p := range a.Phases {
			if (p.EnergyJ > 0) != c.known[p.Phase] {
				t.Errorf("%s: %s used %v J", c.name, p.Phase, p.EnergyJ)
			}
		}
	}
	rec := watch(4, h200(300, 90))
	for i := len(rec.Readings) / 2; i < len(rec.Readings); i++ {
		rec.Readings[i].EnergyMJ -= 100_000
	}
	if a := Build([]*breakdown.Rank{working(0, -1, 1, 0, 1, decodes(300, 10_000_000)...)}, Options{Readings: rec}).Analyses[0]; a.Phases[0].EnergyJ != 0 {
		t.Errorf("a counter that was reset gives %v J", a.Phases[0].EnergyJ)
	}
}

func shift(steps []busy, by int64) []busy {
	for i := range steps {
		steps[i].from, steps[i].to = steps[i].from+by, steps[i].to+by
	}
	return steps
}

// alternating are steps of which three are prefills to one decode.
func alternating(n int, each int64) []busy {
	out := decodes(n, each)
	for i := range out {
		if i%4 > 0 {
			out[i].phase = trace.Prefill
		}
	}
	return out
}

// TestClocks wants each step's clock, what lower ones can have cost, and none
// where it is not known whose clock it is.
func TestClocks(t *testing.T) {
	steps := decodes(100, 10_000_000)
	// Step 60 is twice as long, at two thirds of the clock.
	steps[60].to += 10_000_000
	for i := 61; i < 100; i++ {
		steps[i].from, steps[i].to = steps[i].from+10_000_000, steps[i].to+10_000_000
	}
	slow := h200(300, 90)
	slow.clock = func(at int64) uint64 {
		if at >= 600_000_000 && at < 620_000_000 {
			return 1320
		}
		return 1980
	}
	a := Build([]*breakdown.Rank{working(0, -1, 1, 0, 1, steps...)}, Options{Readings: watch(2, slow)}).Analyses[0]
	if a.Steps[60].SMMHz != 1320 || a.Steps[50].SMMHz != 1980 {
		t.Errorf("steps ran at %v and %v MHz", a.Steps[60].SMMHz, a.Steps[50].SMMHz)
	}
	p := a.Phases[0]
	want := document.ClockEffect{ReferenceMHz: 1980, StepNS: document.Spread{Median: 10_000_000, P99: 10_000_000}, SlowStep: 60, SlowMHz: 1320, SlowNS: 20_000_000, ExcessNS: 10_000_000, ByClockNS: 6_666_666, StepsKnown: 100}
	if p.Clock == nil || *p.Clock != want {
		t.Errorf("clock effect %+v, want %+v", p.Clock, want)
	}
	if mean := (1320*2 + 1980*99) / 101.0; !near(p.SMMHzMean, mean, 1e-9) {
		t.Errorf("mean clock %v MHz, want %v", p.SMMHzMean, mean)
	}

	// Two ranks on two GPUs: while their clocks differ, a rank's is not known.
	pair := []*breakdown.Rank{working(0, -1, 2, 0, 2, steps...), working(1, -1, 2, 1, 2, steps...)}
	a = Build(pair, Options{Readings: watch(2, slow, h200(300, 90))}).Analyses[0]
	if a.Steps[60].SMMHz != 0 || a.Steps[50].SMMHz != 1980 {
		t.Errorf("two GPUs: steps ran at %v and %v MHz", a.Steps[60].SMMHz, a.Steps[50].SMMHz)
	}
	if mean := (1320*2 + 1980*200) / 202.0; !near(a.Phases[0].SMMHzMean, mean, 1e-9) {
		t.Errorf("two GPUs: mean clock %v MHz, want %v", a.Phases[0].SMMHzMean, mean)
	}

	// Behind 2 s without a reading the clock is not known.
	rec := watch(6, slow)
	rec.Readings = slices.DeleteFunc(rec.Readings, func(r nvml.Reading) bool {
		return r.UnixNS > epoch+second && r.UnixNS < epoch+5*second
	})
	a = Build([]*breakdown.Rank{working(0, -1, 1, 0, 1, shift(decodes(400, 10_000_000), second)...)}, Options{Readings: rec}).Analyses[0]
	if a.Steps[150].SMMHz != 1980 || a.Steps[250].SMMHz != 0 || a.Phases[0].SMMHzMean != 0 {
		t.Errorf("steps behind a gap of 1.5 s and 2.5 s ran at %v and %v MHz, all at %v", a.Steps[150].SMMHz, a.Steps[250].SMMHz, a.Phases[0].SMMHzMean)
	}
}
