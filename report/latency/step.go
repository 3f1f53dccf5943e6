package latency

import (
	"math/bits"
	"slices"

	"tokprof/trace"
)

// Step is one forward pass over all ranks of its engine: from the first GPU event
// of any rank to the last.
type Step struct {
	Index      int // among the steps of the engine's first rank
	Label      trace.StepLabel
	Start, End int64  // Unix ns
	Cells      []Cell // the ranks' mean; add up to End - Start
}

// Cell is time in one part, and in one role of it ("" for none).
type Cell struct {
	Part, Role string
	TimeNS     int64
}

// RankStep is one rank's part in a step: its first and last GPU event, the time
// that it worked, and what for. Cells share out that time in proportion.
type RankStep struct {
	First, Last, Busy int64
	Cells             []Cell
}

// Merge is the mean of the ranks over the span of all of them: what a rank does
// not work of it, it idles. Ranks are one at least.
func Merge(index int, label trace.StepLabel, ranks []RankStep) Step {
	s := Step{Index: index, Label: label, Start: ranks[0].First, End: ranks[0].Last}
	for _, r := range ranks {
		s.Start, s.End = min(s.Start, r.First), max(s.End, r.Last)
	}
	idle := int64(0)
	for _, r := range ranks {
		worked := int64(0)
		for _, c := range resized(r.Cells, r.Busy) {
			s.add(c)
			worked += c.TimeNS
		}
		idle += s.End - s.Start - worked
	}
	s.add(Cell{"idle", "", idle})
	s.Cells = resized(s.Cells, s.End-s.Start)
	return s
}

func (s *Step) add(c Cell) {
	for i := range s.Cells {
		if s.Cells[i].Part == c.Part && s.Cells[i].Role == c.Role {
			s.Cells[i].TimeNS += c.TimeNS
			return
		}
	}
	s.Cells = append(s.Cells, c)
}

// resized makes cells add up to a total, each in proportion; what rounding
// leaves goes to the largest. Without any time there is nothing to share.
func resized(cells []Cell, total int64) []Cell {
	cells = slices.DeleteFunc(cells, func(c Cell) bool { return c.TimeNS <= 0 })
	var sum int64
	for _, c := range cells {
		sum += c.TimeNS
	}
	if sum == 0 || total <= 0 {
		return nil
	}
	if sum == total {
		return cells
	}
	out := make([]Cell, len(cells))
	left, largest := total, 0
	for i, c := range cells {
		out[i] = c
		out[i].TimeNS = proportion(c.TimeNS, total, sum)
		left -= out[i].TimeNS
		if c.TimeNS > cells[largest].TimeNS {
			largest = i
		}
	}
	out[largest].TimeNS += left
	return out
}

// proportion is part × total ÷ sum, rounded down, for 0 ≤ part ≤ sum.
func proportion(part, total, sum int64) int64 {
	hi, lo := bits.Mul64(uint64(part), uint64(total))
	q, _ := bits.Div64(hi, lo, uint64(sum))
	return int64(q)
}
