package engines

import (
	"slices"

	"tokprof/kernels/attribution"
	"tokprof/kernels/breakdown"
	"tokprof/kernels/collective"
	"tokprof/report/document"
	"tokprof/report/latency"
	"tokprof/trace"
)

// engineSteps merges the steps of each engine's ranks, or says why that cannot be
// done. An engine that served nobody is left out. told are the document's steps, rank
// by rank.
func (w *Window) engineSteps(told []document.Step) (engines []latency.Engine, reason string) {
	of := map[int][]int{}
	var order []int
	for i, r := range w.Ranks {
		if !r.Info.Epoch {
			return nil, "a trace does not say where its clock starts"
		}
		if of[r.Info.Replica] == nil {
			order = append(order, r.Info.Replica)
		}
		of[r.Info.Replica] = append(of[r.Info.Replica], i)
	}
	reason = "no step says how many requests it served"
	for _, replica := range order {
		ranks := of[replica]
		if !w.counted(ranks) {
			continue
		}
		steps, why := w.mergeSteps(ranks, told)
		switch {
		case why != "":
			return nil, why
		case len(steps) == 0:
			reason = "no step has GPU events"
		default:
			engines = append(engines, latency.Engine{Rank: w.Number[ranks[0]], Server: w.engines[ranks[0]].server, Steps: steps})
		}
	}
	if len(engines) > 0 {
		return engines, ""
	}
	return nil, reason
}

// counted says whether a step of some ranks says how many requests it served.
func (w *Window) counted(ranks []int) bool {
	return slices.ContainsFunc(ranks, func(i int) bool {
		return slices.ContainsFunc(w.Ranks[i].Steps, func(s attribution.Step) bool { return s.Label.Requests > 0 })
	})
}

// mergeSteps merges the steps of the ranks of one engine.
func (w *Window) mergeSteps(of []int, told []document.Step) (steps []latency.Step, reason string) {
	lead := w.Ranks[of[0]].Steps
	var ranks []*breakdown.Rank
	for _, i := range of {
		ranks = append(ranks, w.Ranks[i])
	}
	sums := make([][]latency.RankStep, len(lead))
	for m, shift := range collective.AlignSteps(ranks) {
		cells := w.rankCells(of[m], told)
		for n := range ranks[m].Steps {
			s := &ranks[m].Steps[n]
			k := n + int(shift)
			if unannotated(s) {
				k = sameDummy(lead, s)
			} else if k >= 0 && k < len(lead) && unannotated(&lead[k]) {
				continue
			}
			if k < 0 || k >= len(lead) || !s.Ran() {
				continue
			}
			if s.Name != lead[k].Name {
				return nil, "the ranks do not run the same steps"
			}
			sums[k] = append(sums[k], latency.RankStep{First: int64(s.First), Last: int64(s.Last), Busy: told[w.toldAt(of[m])+n].BusyNS, Cells: cells[n]})
		}
	}
	for k, ranks := range sums {
		if len(ranks) > 0 {
			steps = append(steps, latency.Merge(k, lead[k].Label, ranks))
		}
	}
	return steps, ""
}

// unannotated says that a step is a dummy batch that nothing but its kernels
// tells: such stand behind all others, so that their numbers say nothing.
func unannotated(s *attribution.Step) bool { return s.Label.Phase == trace.Dummy && s.Name == "" }

// sameDummy is the dummy batch of steps that ran at the time of another rank's,
// -1 when none did.
func sameDummy(steps []attribution.Step, s *attribution.Step) int {
	best, most := -1, trace.Time(0)
	for k := range steps {
		if o := &steps[k]; unannotated(o) {
			if both := min(s.Last, o.Last) - max(s.First, o.First); both > most {
				best, most = k, both
			}
		}
	}
	return best
}

// toldAt is where a rank's steps begin in told.
func (w *Window) toldAt(i int) (at int) {
	for _, before := range w.Ranks[:i] {
		at += len(before.Steps)
	}
	return at
}

// rankCells is the time of each step of a rank by part and role, on the mean of
// its GPUs. Where streams overlap it is more than the step's.
func (w *Window) rankCells(i int, told []document.Step) [][]latency.Cell {
	r, at := w.Ranks[i], w.toldAt(i)
	out := make([][]latency.Cell, len(r.Steps))
	for _, s := range r.StepSums {
		if s.Part != attribution.PartComm {
			out[s.Step] = append(out[s.Step], latency.Cell{Part: s.Part.String(), Role: s.Role.String(), TimeNS: int64(s.Time) / told[at+int(s.Step)].OnGPUs()})
		}
	}
	for n := range out {
		for _, p := range told[at+n].Parts {
			if p.Name == "comm" || p.Name == "transfer" || p.Name == "waiting" || p.Name == document.WholePart {
				out[n] = append(out[n], latency.Cell{Part: p.Name, TimeNS: p.TimeNS})
			}
		}
	}
	return out
}
