package breakdown

import (
	"cmp"
	"slices"

	"tokprof/trace"
)

// Collective is one run of a collective on this rank.
type Collective struct {
	Step    int32 // -1 outside every step
	Order   int32 // among the collectives of its step, by start
	Kernel  int32 // into Rank.Kernels
	Start   trace.Time
	Dur     trace.Time
	Exposed trace.Time
}

// collectives numbers what add gathered, by start within each step: every rank
// of a group runs the same collectives in the same order, which is how they
// are matched.
func (u *sums) collectives() []Collective {
	list := u.comm
	slices.SortStableFunc(list, func(a, b Collective) int {
		return cmp.Or(cmp.Compare(a.Step, b.Step), cmp.Compare(a.Start, b.Start))
	})
	for i := range list {
		if i > 0 && list[i].Step == list[i-1].Step {
			list[i].Order = list[i-1].Order + 1
		}
	}
	return list
}
