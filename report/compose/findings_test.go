package compose

import (
	"path/filepath"
	"testing"

	"tokprof/fixtures/golden"
	"tokprof/kernels/breakdown"
	"tokprof/kernels/collective/reducing"
	"tokprof/report/diagnose"
	"tokprof/report/document"
	"tokprof/report/engines"
)

// factsOf builds the document of the first window and gives what the rules get to
// see.
func factsOf(ranks []*breakdown.Rank, o Options) (diagnose.Facts, *document.Analysis) {
	b := newBuilder(o, engines.Windows(ranks, o.Run, o.ServerOf)[0])
	b.build()
	return b.facts(), b.a
}

// TestFactsAddUp: a mean step's parts and idle time are its period.
func TestFactsAddUp(t *testing.T) {
	f, _ := factsOf(tp2Decode(t), Options{})
	if f.Ranks != 2 || f.WorldSize != 2 || f.Engine != "vLLM" || !f.Graphs {
		t.Errorf("%d ranks of %d, engine %q, graphs %v", f.Ranks, f.WorldSize, f.Engine, f.Graphs)
	}
	for _, p := range f.Phases {
		if p.Name != "decode" {
			continue
		}
		if p.PeriodMeanNS == 0 || len(p.Ranks) != 2 {
			t.Fatalf("decode: period %d, %d ranks", p.PeriodMeanNS, len(p.Ranks))
		}
		for _, r := range p.Ranks {
			var sum int64
			for _, x := range r.Parts {
				sum += x.TimeNS
				if x.TimeNS < 0 || x.ExposedNS < 0 || x.ExposedNS > x.TimeNS {
					t.Errorf("rank %d: %+v", r.Rank, x)
				}
			}
			for _, x := range r.Idle {
				sum += x.TimeNS
			}
			if d := float64(sum)/float64(p.PeriodMeanNS) - 1; d < -0.05 || d > 0.05 {
				t.Errorf("rank %d: parts and idle are %d ns, the period %d", r.Rank, sum, p.PeriodMeanNS)
			}
		}
		return
	}
	t.Error("no decode phase")
}

// TestFactsAgree: the facts are the document's own numbers.
func TestFactsAgree(t *testing.T) {
	f, a := factsOf(tp2Decode(t), Options{})
	for _, c := range f.Collectives {
		if c.Ranks != 2 || c.Count == 0 || c.TransferNS <= 0 || c.LateShare < 0 || c.LateShare > 1 || c.Estimated {
			t.Errorf("collective %+v", c)
		}
	}
	if len(f.Collectives) == 0 {
		t.Error("no collectives")
	}
	time := sums(f.Categories, func(c diagnose.CategoryFacts) int64 { return c.TimeNS })
	want := sums(a.Categories, func(r document.Row) int64 {
		if r.Phase == "all" {
			return r.TimeNS
		}
		return 0
	})
	if time != want {
		t.Errorf("categories hold %d ns, the document %d", time, want)
	}
	for i, l := range f.Launches {
		if l.Calls != a.Launches[i].Calls || l.Rank != a.Launches[i].Rank {
			t.Errorf("launches %+v", l)
		}
	}
}

// TestFactsOfGroups: a collective's ranks are those that ran it together, not
// all of the window, and the last is one of them, however often others' last
// ones came last.
func TestFactsOfGroups(t *testing.T) {
	f, _ := factsOf([]*breakdown.Rank{
		reducing.Rank(0, 1, 0, reducing.Run(0, 100, 50, 0)), reducing.Rank(1, 1, 0, reducing.Run(0, 140, 10, 0)),
		reducing.Rank(2, 1, 0, reducing.Run(0, 600, 70, 0), reducing.Run(0, 700, 70, 0)), reducing.Rank(3, 1, 0, reducing.Run(0, 650, 20, 0), reducing.Run(0, 750, 20, 0)),
	}, Options{})
	if len(f.Collectives) != 1 || f.Collectives[0].Ranks != 2 || f.Collectives[0].LateRank != 1 || f.Collectives[0].LateShare != 1 {
		t.Errorf("%+v", f.Collectives)
	}
}

// TestFactsGolden pins what two fixtures tell the rules.
func TestFactsGolden(t *testing.T) {
	for name, ranks := range map[string][]*breakdown.Rank{
		"llama-16l-tp2":     tp2Decode(t),
		"qwen3-moe-12l-tp1": {reduce(t, fixturePath("qwen3-moe-12l-tp1/dp0_pp0_tp0_dcp0_ep0_rank0.1795400617052569174"))},
	} {
		f, _ := factsOf(ranks, Options{})
		golden.Check(t, filepath.Join("facts", name+".json"), roundedJSON(t, f))
	}
}
