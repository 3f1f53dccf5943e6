package diagnose

import (
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/quick"
	"unicode/utf8"
)

// check is what holds for the findings of any facts.
func check(t *testing.T, f Facts, fs []Finding) {
	t.Helper()
	if len(fs) > maxFindings {
		t.Errorf("%d findings", len(fs))
	}
	seen := map[string]bool{}
	for i, fd := range fs {
		if seen[fd.ID] {
			t.Errorf("%s twice", fd.ID)
		}
		seen[fd.ID] = true
		if !(fd.StepShare >= 0 && fd.StepShare <= 1 && fd.GainShare >= 0 && fd.GainShare <= 1) {
			t.Errorf("%s: shares %v, %v", fd.ID, fd.StepShare, fd.GainShare)
		}
		if fd.GainNS < 0 || fd.GainNS > longest(f, fd.Phase) {
			t.Errorf("%s: gain %d of a %s step of %d", fd.ID, fd.GainNS, fd.Phase, longest(f, fd.Phase))
		}
		if fd.GainNS > 0 && fd.StepShare < minStepShare {
			t.Errorf("%s: speaks of %v of a step", fd.ID, fd.StepShare)
		}
		if n := utf8.RuneCountInString(fd.Title); n == 0 || n > titleLength {
			t.Errorf("%s: title of %d characters: %s", fd.ID, n, fd.Title)
		}
		if n := len(fd.Evidence); n == 0 || fd.MaxGain == "" || fd.Remedy == "" || fd.Confirm == "" {
			t.Errorf("%s: a field is missing: %+v", fd.ID, fd)
		}
		if i > 0 && rank(fd.Severity) > rank(fs[i-1].Severity) {
			t.Errorf("%s (%s) after %s (%s)", fd.ID, fd.Severity, fs[i-1].ID, fs[i-1].Severity)
		}
		if i > 0 && fs[i-1].class() == fd.class() && fd.GainShare > fs[i-1].GainShare {
			t.Errorf("%s out of order", fd.ID)
		}
		for _, text := range append([]string{fd.Title, fd.MaxGain, fd.Remedy, fd.Confirm}, fd.Evidence...) {
			if strings.Contains(text, "%!") || strings.Contains(text, "NaN") || strings.Contains(text, "Inf") {
				t.Errorf("%s: %q", fd.ID, text)
			}
		}
	}
}

func rank(s Severity) int { return slices.Index([]Severity{Info, Warning, Error}, s) }

// longest is the longest step of a phase of that name, or the window.
func longest(f Facts, phase string) int64 {
	if phase == "" {
		return f.WindowNS
	}
	var ns int64
	for i := range f.Phases {
		if p := &f.Phases[i]; p.Name == phase {
			ns = max(ns, p.step())
		}
	}
	return ns
}

// TestCrafted: the invariants hold, titles are whole, no two runs differ, and
// the facts stay as they were.
func TestCrafted(t *testing.T) {
	everyFinding(func(f *Facts, fd *Finding) {
		if strings.Contains(fd.Title, "…") {
			t.Errorf("%s: cut title %s", fd.ID, fd.Title)
		}
	})
	for name, f := range captured() {
		fs := Diagnose(f)
		check(t, f, fs)
		if again := Diagnose(f); !reflect.DeepEqual(fs, again) {
			t.Errorf("%s: two runs differ", name)
		}
		if !reflect.DeepEqual(f, captured()[name]) {
			t.Errorf("%s: the facts were changed", name)
		}
	}
}

// TestSeverity grows with the share.
func TestSeverity(t *testing.T) {
	last := 0
	for share := 0.0; share <= 1; share += 0.01 {
		fd := Finding{GainNS: 1, GainShare: share}
		if r := rank(fd.severity()); r < last {
			t.Errorf("severity falls at %v", share)
		} else {
			last = r
		}
	}
	if last != rank(Error) {
		t.Error("a gain of everything is no error")
	}
}

// TestRandom feeds facts that no run would make.
func TestRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 5_000 {
		f := random(r)
		check(t, *f.cleaned(), Diagnose(f))
		if t.Failed() {
			t.Fatalf("facts: %+v", f)
		}
	}
}

// TestExtreme feeds numbers over their whole range.
func TestExtreme(t *testing.T) {
	if err := quick.Check(func(f Facts) bool {
		for i := range f.Phases {
			f.Phases[i].Name = []string{decode, mixed, prefill, dummy, ""}[i%5]
		}
		check(t, *f.cleaned(), Diagnose(f))
		return !t.Failed()
	}, nil); err != nil {
		t.Error(err)
	}
}

func pick(r *rand.Rand, from ...string) string { return from[r.IntN(len(from))] }

// random makes facts of the right words and of numbers near the thresholds,
// negative and huge ones among them.
func random(r *rand.Rand) Facts {
	num := func() int64 {
		switch r.IntN(12) {
		case 0:
			return 0
		case 1:
			return -r.Int64N(1e9)
		case 2:
			return math.MaxInt64 - r.Int64N(9)
		}
		return r.Int64N(1 << (1 + r.IntN(30)))
	}
	phases := []string{decode, mixed, prefill, dummy, "none"}
	f := Facts{Engine: pick(r, "", vLLM, sgLang, tensorRT), Version: pick(r, "", "0.9.2", "0.20.2", "1.0"), Ranks: r.IntN(4), WorldSize: r.IntN(9),
		Graphs: r.IntN(2) == 0, Eager: r.IntN(2) == 0, WindowNS: num(), WeightReadFloorNS: num(), Experts: r.IntN(9), ExpertsPerToken: r.IntN(9), PlainTPOTNS: num(), ProfiledTPOTNS: num()}
	for _, name := range phases[:r.IntN(5)] {
		p := PhaseFacts{Name: name, Steps: num(), Tokens: num(), Requests: num(), PeriodMeanNS: num(), DurationMeanNS: num()}
		for n := range r.IntN(4) {
			rank := RankFacts{Rank: n}
			for range r.IntN(5) {
				rank.Parts = append(rank.Parts, PartFacts{pick(r, "waiting", "transfer", "comm", "ffn"), num(), num()})
				rank.Idle = append(rank.Idle, IdleFacts{pick(r, "host_late", "host_sync", "launch_latency", "no_step", "dependency"), num()})
			}
			p.Ranks = append(p.Ranks, rank)
		}
		f.Phases = append(f.Phases, p)
	}
	for range r.IntN(8) {
		name := pick(r, phases...)
		f.Categories = append(f.Categories, CategoryFacts{name, pick(r, "other.norm", "other.sampling", "other.sort_scan", "gemm.splitk_reduce", "other.lora", "ffn.moe_gemm", "attention.core", "comm.all_reduce"), num(), num(), num()})
		f.Roles = append(f.Roles, RoleFacts{Phase: name, Role: pick(r, "qkv_proj", "experts_down", "down"), TimeNS: num(), BandwidthShare: r.Float64() * 2})
		f.Collectives = append(f.Collectives, CollectiveFacts{Phase: name, Kind: "all_reduce", Kernel: pick(r, "ncclDevKernel", "one_shot"), Bytes: num(), Ranks: r.IntN(9), Count: num(), TransferNS: num(), TransferMedianNS: num(), LateRank: r.IntN(3), LateShare: r.Float64(), BusBW: r.Float64() * 1e12, Ceiling: r.Float64() * 1e12})
		f.Launches = append(f.Launches, LaunchFacts{Rank: r.IntN(3), DelayMedianNS: num(), QueueDepth: r.NormFloat64(), ShortNS: num(), ShortKernels: num(), ShortTimeNS: num()})
		f.Copies = append(f.Copies, CopyFacts{name, "memcpy_h2d", num(), num(), num(), num()})
	}
	return f
}
