package document

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"tokprof/kernels"
	"tokprof/kernels/attribution"
	"tokprof/kernels/breakdown"
	"tokprof/trace"
)

// run is one collective of a crafted rank: its step, start, duration and
// kernel (0 or 1).
type run struct {
	step       int32
	start, dur trace.Time
	kernel     int32
}

// reducing is a rank with steps of 1,000 ns each and the collectives given.
func reducing(rank, steps int, offset trace.Time, runs ...run) *breakdown.Rank {
	r := &breakdown.Rank{
		Info:   trace.Info{Name: fmt.Sprint("r", rank), Rank: rank, Replica: -1, WorldSize: 8, Epoch: true, SHA256: fmt.Sprint(rank)},
		Frames: []attribution.Frame{{Parent: -1}, {Kind: attribution.FrameOp, Name: "op"}},
		Start:  offset, End: offset + trace.Time(steps)*1000,
	}
	place := map[int32]int32{} // of the kernels that ran
	for i, x := range runs {
		if _, ok := place[x.kernel]; !ok {
			place[x.kernel] = int32(len(r.Kernels))
			r.Kernels = append(r.Kernels, breakdown.Kernel{
				Name: fmt.Sprint("all_reduce_", x.kernel), Match: kernels.Match{Category: kernels.Category{Group: "comm", Subgroup: "all_reduce"}},
			})
		}
		runs[i].kernel = place[x.kernel]
	}
	for n := range steps {
		from := offset + trace.Time(n)*1000
		r.Steps = append(r.Steps, attribution.Step{
			Name: fmt.Sprint("decode ", n), Label: trace.StepLabel{Phase: trace.Decode, Tokens: 8, Requests: 8}, Start: from, First: from, Last: from + 900, Launches: 1,
		})
	}
	order := map[int32]int32{}
	var sum trace.Time
	for _, x := range runs {
		phase := trace.NoPhase
		if x.step >= 0 {
			phase = trace.Decode
			r.StepSums = append(r.StepSums, breakdown.StepSum{Step: x.step, Part: attribution.PartComm, Time: x.dur})
		}
		r.Collectives = append(r.Collectives, breakdown.Collective{Step: x.step, Order: order[x.step], Kernel: x.kernel, Start: x.start, Dur: x.dur, Exposed: x.dur})
		order[x.step]++
		r.Kernels[x.kernel].Durs = r.Kernels[x.kernel].Durs.Merge(breakdown.Durations{{Dur: x.dur, Count: 1}})
		r.Cells = append(r.Cells, breakdown.Cell{Node: 1, Kernel: x.kernel, Stream: 7, Phase: phase, Part: attribution.PartComm, Time: x.dur, Exposed: x.dur, Launches: 1})
		sum += x.dur
	}
	r.Devices = []breakdown.Device{{Busy: sum, Sum: sum, Events: int64(len(runs)), First: r.Start, Last: r.End}}
	r.Streams = []breakdown.Stream{{Stream: 7, Busy: sum, Sum: sum, Events: int64(len(runs))}}
	return r
}

// splitsOf spells how each rank's collectives were split: transfer+wait, or ?.
func splitsOf(ranks []*breakdown.Rank) string {
	s := splitCollectives(ranks)
	var out []string
	for _, of := range s.of {
		line := ""
		for _, x := range of {
			if !x.known {
				line += " ?"
			} else {
				line += fmt.Sprintf(" %d+%d", x.transfer, x.wait)
			}
		}
		out = append(out, strings.TrimSpace(line))
	}
	return strings.Join(out, " | ")
}

// equalRuns are n collectives of one kernel, 10 ns long but the last, which
// waits.
func equalRuns(n int) (out []run) {
	for i := range n {
		d := trace.Time(10)
		if i == n-1 {
			d = 90
		}
		out = append(out, run{0, trace.Time(100 * i), d, 0})
	}
	return out
}

var splitCases = []struct {
	name  string
	ranks []*breakdown.Rank
	want  string
}{
	{"the last one moves data all the time", []*breakdown.Rank{
		reducing(0, 1, 0, run{0, 100, 50, 0}), reducing(1, 1, 0, run{0, 140, 10, 0}),
	}, "10+40 | 10+0"},
	{"nobody waits", []*breakdown.Rank{
		reducing(0, 1, 0, run{0, 100, 10, 0}), reducing(1, 1, 0, run{0, 100, 10, 0}),
	}, "10+0 | 10+0"},
	{"three ranks", []*breakdown.Rank{
		reducing(0, 1, 0, run{0, 100, 50, 0}), reducing(1, 1, 0, run{0, 120, 30, 0}), reducing(2, 1, 0, run{0, 140, 11, 0}),
	}, "11+39 | 11+19 | 11+0"},
	{"one rank's profiler began a step later", []*breakdown.Rank{
		shifted(reducing(0, 3, 0, run{0, 100, 50, 0}, run{1, 1100, 50, 0}, run{2, 2100, 50, 0})),
		shifted(reducing(1, 2, 1000, run{0, 1140, 10, 0}, run{1, 2140, 10, 0})),
	}, "? 10+40 10+40 | 10+0 10+0"},
	{"a collective missing on one rank: the rest overlaps with nothing", []*breakdown.Rank{
		reducing(0, 1, 0, run{0, 100, 50, 0}, run{0, 300, 50, 0}, run{0, 500, 50, 0}),
		reducing(1, 1, 0, run{0, 140, 10, 0}, run{0, 540, 10, 0}),
	}, "10+40 ? ? | 10+0 ?"},
	{"groups of a pipeline's stages", []*breakdown.Rank{
		reducing(0, 1, 0, run{0, 100, 50, 0}), reducing(1, 1, 0, run{0, 140, 10, 0}),
		reducing(2, 1, 0, run{0, 600, 70, 0}), reducing(3, 1, 0, run{0, 650, 20, 0}),
	}, "10+40 | 10+0 | 20+50 | 20+0"},
	{"other kernels at one place are other collectives", []*breakdown.Rank{
		reducing(0, 1, 0, run{0, 100, 50, 0}), reducing(1, 1, 0, run{0, 140, 10, 1}),
	}, "? | ?"},
	{"outside every step", []*breakdown.Rank{
		reducing(0, 1, 0, run{-1, 100, 50, 0}, run{-1, 200, 10, 0}, run{-1, 300, 10, 0}),
		reducing(1, 1, 0, run{-1, 140, 12, 0}, run{-1, 290, 22, 0}),
	}, "12+38 ? 10+0 | 12+0 10+12"},
	{"outside every step, a rank with two runs at one time", []*breakdown.Rank{
		reducing(0, 1, 0, run{-1, 100, 50, 0}), reducing(1, 1, 0, run{-1, 110, 10, 0}, run{-1, 115, 40, 0}),
	}, "? | ? ?"},
	{"outside every step, more runs at one time than the group has ranks", []*breakdown.Rank{
		told(2, reducing(0, 1, 0, run{-1, 100, 50, 0})), told(2, reducing(1, 1, 0, run{-1, 140, 10, 0})), told(2, reducing(2, 1, 0, run{-1, 130, 20, 0})),
	}, "? | ? | ?"},
	{"one rank, too few to estimate", []*breakdown.Rank{reducing(0, 1, 0, equalRuns(minEstimate-1)...)}, "? ? ? ? ? ? ?"},
	{"one rank: the lower envelope", []*breakdown.Rank{reducing(0, 1, 0, equalRuns(minEstimate)...)},
		"10+0 10+0 10+0 10+0 10+0 10+0 10+0 10+80"},
}

// shifted names steps by their time, as annotations do by their batch.
func shifted(r *breakdown.Rank) *breakdown.Rank {
	for i := range r.Steps {
		r.Steps[i].Name = fmt.Sprint("decode at ", r.Steps[i].First)
	}
	return r
}

// told lets the kernels say how many ranks a group has.
func told(ranks int, r *breakdown.Rank) *breakdown.Rank {
	for i := range r.Collectives {
		r.Collectives[i].Ranks = ranks
	}
	return r
}

func TestSplitCollectives(t *testing.T) {
	for _, test := range splitCases {
		t.Run(test.name, func(t *testing.T) {
			if got := splitsOf(test.ranks); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			for _, a := range Build(test.ranks, Options{}).Analyses {
				checkSplit(t, a, test.ranks)
			}
		})
	}
}

// checkSplit wants transfer, waiting and what stayed unsplit to be all time in
// collectives, per phase, and each step's parts to be all its time.
func checkSplit(t *testing.T, a *Analysis, ranks []*breakdown.Rank) {
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
		if sum := sums(s.Parts, func(p NameTime) int64 { return p.TimeNS }); sum != perStep[[2]int{s.Rank, s.Index}] {
			t.Errorf("step %d of rank %d: parts hold %d ns, its events %d", s.Index, s.Rank, sum, perStep[[2]int{s.Rank, s.Index}])
		}
	}
	split := sums(a.Collectives, func(c Collective) int64 { return c.TransferSumNS + c.WaitSumNS })
	inParts := sums(a.Parts, func(p Row) int64 {
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
					if slices.ContainsFunc(a.Sources, func(s Source) bool { return s.Path == r.Info.Name }) {
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
		reducing(0, 2, 0, run{0, 100, 50, 0}, run{1, 1100, 90, 0}),
		reducing(1, 2, 0, run{0, 140, 10, 0}, run{1, 1180, 10, 0}),
		reducing(2, 2, 0, run{0, 120, 30, 0}, run{1, 1150, 40, 0}),
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
	a, b := reducing(0, 1, 0, run{0, 100, 50, 0}), reducing(1, 1, 0, run{0, 140, 10, 0})
	a.Collectives[0].Exposed, a.Cells[0].Exposed = 20, 20
	for _, p := range Build([]*breakdown.Rank{a, b}, Options{}).Analyses[0].Parts {
		want := map[string]int64{"transfer": 20, "waiting": 10}[p.Name]
		if p.Phase == "decode" && p.ExposedNS != want {
			t.Errorf("%s: %d ns exposed, want %d", p.Name, p.ExposedNS, want)
		}
	}
}
