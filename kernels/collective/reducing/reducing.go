// Package reducing makes ranks that run nothing but collectives, for tests.
package reducing

import (
	"fmt"

	"tokprof/kernels"
	"tokprof/kernels/attribution"
	"tokprof/kernels/breakdown"
	"tokprof/trace"
)

// Collective is one run of a collective on a rank.
type Collective struct {
	step       int32 // -1 outside all
	start, dur trace.Time
	kernel     int32 // 0 or 1
}

// Run is a collective in a step (-1 outside all), by kernel 0 or 1.
func Run(step int32, start, dur trace.Time, kernel int32) Collective {
	return Collective{step, start, dur, kernel}
}

// Rank is a rank with steps of 1,000 ns each and the collectives given.
func Rank(rank, steps int, offset trace.Time, runs ...Collective) *breakdown.Rank {
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

// equalRuns are n collectives of one kernel, 10 ns long but the last, which
// waits.
func equalRuns(n int) (out []Collective) {
	for i := range n {
		d := trace.Time(10)
		if i == n-1 {
			d = 90
		}
		out = append(out, Run(0, trace.Time(100*i), d, 0))
	}
	return out
}

// Case is what some ranks ran, and how the time inside is to be split: by rank
// and run, transfer+waiting, or ? for what has no partner.
type Case struct {
	Name  string
	Ranks []*breakdown.Rank
	Want  string
}

// Cases are the shapes that matching must get right.
var Cases = []Case{
	{"the last one moves data all the time", []*breakdown.Rank{
		Rank(0, 1, 0, Run(0, 100, 50, 0)), Rank(1, 1, 0, Run(0, 140, 10, 0)),
	}, "10+40 | 10+0"},
	{"nobody waits", []*breakdown.Rank{
		Rank(0, 1, 0, Run(0, 100, 10, 0)), Rank(1, 1, 0, Run(0, 100, 10, 0)),
	}, "10+0 | 10+0"},
	{"three ranks", []*breakdown.Rank{
		Rank(0, 1, 0, Run(0, 100, 50, 0)), Rank(1, 1, 0, Run(0, 120, 30, 0)), Rank(2, 1, 0, Run(0, 140, 11, 0)),
	}, "11+39 | 11+19 | 11+0"},
	{"one rank's profiler began a step later", []*breakdown.Rank{
		shifted(Rank(0, 3, 0, Run(0, 100, 50, 0), Run(1, 1100, 50, 0), Run(2, 2100, 50, 0))),
		shifted(Rank(1, 2, 1000, Run(0, 1140, 10, 0), Run(1, 2140, 10, 0))),
	}, "? 10+40 10+40 | 10+0 10+0"},
	{"a collective missing on one rank: the rest overlaps with nothing", []*breakdown.Rank{
		Rank(0, 1, 0, Run(0, 100, 50, 0), Run(0, 300, 50, 0), Run(0, 500, 50, 0)),
		Rank(1, 1, 0, Run(0, 140, 10, 0), Run(0, 540, 10, 0)),
	}, "10+40 ? ? | 10+0 ?"},
	{"groups of a pipeline's stages", []*breakdown.Rank{
		Rank(0, 1, 0, Run(0, 100, 50, 0)), Rank(1, 1, 0, Run(0, 140, 10, 0)),
		Rank(2, 1, 0, Run(0, 600, 70, 0)), Rank(3, 1, 0, Run(0, 650, 20, 0)),
	}, "10+40 | 10+0 | 20+50 | 20+0"},
	{"other kernels at one place are other collectives", []*breakdown.Rank{
		Rank(0, 1, 0, Run(0, 100, 50, 0)), Rank(1, 1, 0, Run(0, 140, 10, 1)),
	}, "? | ?"},
	{"outside every step", []*breakdown.Rank{
		Rank(0, 1, 0, Run(-1, 100, 50, 0), Run(-1, 200, 10, 0), Run(-1, 300, 10, 0)),
		Rank(1, 1, 0, Run(-1, 140, 12, 0), Run(-1, 290, 22, 0)),
	}, "12+38 ? 10+0 | 12+0 10+12"},
	{"outside every step, a rank with two runs at one time", []*breakdown.Rank{
		Rank(0, 1, 0, Run(-1, 100, 50, 0)), Rank(1, 1, 0, Run(-1, 110, 10, 0), Run(-1, 115, 40, 0)),
	}, "? | ? ?"},
	{"outside every step, more runs at one time than the group has ranks", []*breakdown.Rank{
		told(2, Rank(0, 1, 0, Run(-1, 100, 50, 0))), told(2, Rank(1, 1, 0, Run(-1, 140, 10, 0))), told(2, Rank(2, 1, 0, Run(-1, 130, 20, 0))),
	}, "? | ? | ?"},
	{"one rank, too few to estimate", []*breakdown.Rank{Rank(0, 1, 0, equalRuns(7)...)}, "? ? ? ? ? ? ?"},
	{"one rank: the lower envelope", []*breakdown.Rank{Rank(0, 1, 0, equalRuns(8)...)},
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
