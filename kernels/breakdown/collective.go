package breakdown

import (
	"cmp"
	"slices"
	"strings"

	"tokprof/trace"
)

// Collective is one run of a collective on this rank.
type Collective struct {
	Step    int32 // -1 outside every step
	Device  int
	Order   int32 // among the collectives of its step on its device, by start
	Kernel  int32 // into Rank.Kernels
	Start   trace.Time
	Dur     trace.Time
	Exposed trace.Time
	// Bytes is the message: as the kernel's own args tell it (Told), else the
	// tensor that the launching op was given, 0 when neither was recorded.
	Bytes int64
	Told  bool
	Ranks int // of the group, as the kernel's own args tell it; 0 when they do not

	external uint64 // External id of the launch, 0 below a CUDA graph
}

// collectives numbers what add gathered, by start within each step and device:
// every device of a group runs the same collectives in the same order, which is
// how they are matched.
func (u *sums) collectives() []Collective {
	list := u.comm
	slices.SortStableFunc(list, func(a, b Collective) int {
		return cmp.Or(cmp.Compare(a.Step, b.Step), cmp.Compare(a.Start, b.Start))
	})
	next := map[int]int32{} // by device
	for i := range list {
		if i > 0 && list[i].Step != list[i-1].Step {
			clear(next)
		}
		list[i].Order = next[list[i].Device]
		next[list[i].Device]++
	}
	sizeByOp(u.ev.Trace, list)
	return list
}

// sizeByOp gives collectives the size of what their op was given. An op around a
// launch that is none of a collective says nothing.
func sizeByOp(t *trace.Trace, list []Collective) {
	if !t.HasShapes() {
		return
	}
	ids := map[uint64]bool{}
	for _, c := range list {
		if c.external != 0 {
			ids[c.external] = true
		}
	}
	inputs := t.FirstInputs(ids)
	for i := range list {
		if in, ok := inputs[list[i].external]; ok && !list[i].Told && isCollectiveOp(in.Op) {
			list[i].Bytes = in.Bytes
		}
	}
}

// isCollectiveOp recognises torch's and servers' ops of collectives.
func isCollectiveOp(op string) bool {
	name := strings.ToLower(op)
	for _, word := range []string{"param_comms", "reduce", "gather", "scatter", "broadcast", "all_to_all", "alltoall", "send", "recv"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}
