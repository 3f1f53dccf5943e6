package compose

import (
	"slices"
	"testing"

	"tokprof/kernels/attribution"
	"tokprof/kernels/breakdown"
	"tokprof/kernels/collective/reducing"
	"tokprof/report/document"
)

// TestSplitRows: the time of crafted collectives is all there, split or not.
func TestSplitRows(t *testing.T) {
	for _, c := range reducing.Cases {
		t.Run(c.Name, func(t *testing.T) {
			for _, a := range Build(c.Ranks, Options{}).Analyses {
				checkSplit(t, a, c.Ranks)
			}
		})
	}
}

// checkSplit wants transfer, waiting and what stayed unsplit to be all time in
// collectives, per phase, and each step's parts to be all its time.
func checkSplit(t *testing.T, a *document.Analysis, ranks []*breakdown.Rank) {
	t.Helper()
	comm := map[string]int64{}
	perStep := map[[2]int]int64{}
	for _, r := range ranks {
		for _, c := range r.Cells {
			if c.Part == attribution.PartComm {
				comm[c.Phase.String()] += int64(c.Time)
				comm["all"] += int64(c.Time)
			}
		}
		for _, s := range r.StepSums {
			perStep[[2]int{r.Info.Rank, int(s.Step)}] += int64(s.Time)
		}
	}
	got := map[string]int64{}
	for _, p := range a.Parts {
		switch p.Name {
		case "transfer", "waiting", "comm":
			got[p.Phase] += p.TimeNS
			if p.TimeNS < 0 || p.ExposedNS < 0 || p.ExposedNS > p.TimeNS || p.Launches < 0 {
				t.Errorf("%s %s: %d ns, %d exposed, %d launches", p.Phase, p.Name, p.TimeNS, p.ExposedNS, p.Launches)
			}
		}
	}
	for phase, want := range comm {
		if got[phase] != want {
			t.Errorf("%s: parts hold %d ns of collectives, cells %d", phase, got[phase], want)
		}
	}
	for _, s := range a.Steps {
		if sum := sums(s.Parts, func(p document.NameTime) int64 { return p.TimeNS }); sum != perStep[[2]int{s.Rank, s.Index}] {
			t.Errorf("step %d of rank %d: parts hold %d ns, its events %d", s.Index, s.Rank, sum, perStep[[2]int{s.Rank, s.Index}])
		}
	}
	split := sums(a.Collectives, func(c document.Collective) int64 { return c.TransferSumNS + c.WaitSumNS })
	inParts := sums(a.Parts, func(p document.Row) int64 {
		if p.Phase == "all" && (p.Name == "transfer" || p.Name == "waiting") {
			return p.TimeNS
		}
		return 0
	})
	if split != inParts {
		t.Errorf("collectives hold %d ns, parts %d", split, inParts)
	}
}

// TestFixtureSplits: the same holds for every fixture, alone and with its peers.
func TestFixtureSplits(t *testing.T) {
	for run, ranks := range fixtureRuns(t) {
		t.Run(run, func(t *testing.T) {
			ranks = slices.DeleteFunc(ranks, func(r *breakdown.Rank) bool { return r.Role != breakdown.GPURank })
			set := Build(ranks, Options{})
			for _, a := range set.Analyses {
				var of []*breakdown.Rank
				for _, r := range ranks {
					if slices.ContainsFunc(a.Sources, func(s document.Source) bool { return s.Path == r.Info.Name }) {
						of = append(of, r)
					}
				}
				if slices.ContainsFunc(of, func(r *breakdown.Rank) bool { return r.Info.Rank < 0 }) {
					continue // numbered by the document, not by the file
				}
				checkSplit(t, a, of)
				checkLayers(t, a)
			}
		})
	}
}

// TestLateRank: who came last is who the others waited for, and skew is how
// much later than the first.
func TestLateRank(t *testing.T) {
	ranks := []*breakdown.Rank{
		reducing.Rank(0, 2, 0, reducing.Run(0, 100, 50, 0), reducing.Run(1, 1100, 90, 0)),
		reducing.Rank(1, 2, 0, reducing.Run(0, 140, 10, 0), reducing.Run(1, 1180, 10, 0)),
		reducing.Rank(2, 2, 0, reducing.Run(0, 120, 30, 0), reducing.Run(1, 1150, 40, 0)),
	}
	c := Build(ranks, Options{}).Analyses[0].Collectives[0]
	if c.Count != 2 || c.Ranks != 3 || c.Unmatched != 0 || c.Estimated {
		t.Errorf("%d collectives of %d ranks, %d unmatched, estimated %v", c.Count, c.Ranks, c.Unmatched, c.Estimated)
	}
	if c.SkewNS.Median != 40 && c.SkewNS.Median != 80 || c.SkewNS.P99 != 80 {
		t.Errorf("skew %+v", c.SkewNS)
	}
	if len(c.Late) != 1 || c.Late[0].Rank != 1 || c.Late[0].WaitNS != 40+20+80+30 || c.Late[0].Share != 1 {
		t.Errorf("late %+v", c.Late)
	}
	if c.TransferSumNS != 60 || c.WaitSumNS != 170 {
		t.Errorf("transfer %d, waiting %d", c.TransferSumNS, c.WaitSumNS)
	}
}

// TestHiddenTransfer: what another stream hid of a collective is taken from its
// waiting first.
func TestHiddenTransfer(t *testing.T) {
	a, b := reducing.Rank(0, 1, 0, reducing.Run(0, 100, 50, 0)), reducing.Rank(1, 1, 0, reducing.Run(0, 140, 10, 0))
	a.Collectives[0].Exposed, a.Cells[0].Exposed = 20, 20
	for _, p := range Build([]*breakdown.Rank{a, b}, Options{}).Analyses[0].Parts {
		want := map[string]int64{"transfer": 20, "waiting": 10}[p.Name]
		if p.Phase == "decode" && p.ExposedNS != want {
			t.Errorf("%s: %d ns exposed, want %d", p.Name, p.ExposedNS, want)
		}
	}
}
