package attribution

import (
	"maps"
	"slices"

	"tokprof/kernels/role"
	"tokprof/trace"
)

// A block may run on two streams: shared experts beside routed ones (which of
// the two is beside is the engine's choice), the small input product of linear
// attention beside the large one. Both streams start from the norm in front of
// the block, so the side's run is put behind that norm, and the pass reads as
// if it had run on one stream.

// splice puts the runs of side streams that are part of a block into the main
// stream's order, and leaves in side only streams with attention of their own,
// which are passes of their own (two micro-batches).
func (p *placer) splice(main []int32, side map[trace.TrackID][]int32) []int32 {
	type insertion struct {
		behind int // index into main
		run    []int32
	}
	var list []insertion
	norms := p.norms(main)
	for _, tr := range slices.Sorted(maps.Keys(side)) {
		events := side[tr]
		if slices.ContainsFunc(events, func(i int32) bool { return isAnchor(p.class(i).Class) }) {
			continue
		}
		delete(side, tr)
		for len(events) > 0 {
			norm := p.normBefore(main, norms, p.start(events[0]))
			n := 1
			for n < len(events) && p.normBefore(main, norms, p.start(events[n])) == norm {
				n++
			}
			if norm >= 0 && p.isBlock(events[:n], main[norm+1:]) {
				list = append(list, insertion{norm, events[:n]})
			}
			events = events[n:]
		}
	}
	if len(list) == 0 {
		return main
	}
	slices.SortStableFunc(list, func(a, b insertion) int { return a.behind - b.behind })
	out := make([]int32, 0, 2*len(main))
	from := 0
	for _, x := range list {
		out = append(append(out, main[from:x.behind+1]...), x.run...)
		from = x.behind + 1
	}
	return append(out, main[from:]...)
}

func (p *placer) start(i int32) trace.Time { return p.ev.Trace.Start(p.ev.Trace.GPU()[i]) }

// norms lists where the norms of the main stream stand in it.
func (p *placer) norms(main []int32) (at []int) {
	for n, i := range main {
		if c := p.class(i).Class; c == role.Norm || c == role.WeakNorm {
			at = append(at, n)
		}
	}
	return at
}

// normBefore returns the last norm of the main stream that began by a moment,
// -1 when none did.
func (p *placer) normBefore(main []int32, norms []int, at trace.Time) int {
	n, _ := slices.BinarySearchFunc(norms, at, func(n int, at trace.Time) int {
		if p.start(main[n]) <= at {
			return -1
		}
		return 1
	})
	if n == 0 {
		return -1
	}
	return norms[n-1]
}

// isBlock says whether a side run is part of an FFN, or holds input products
// of the linear attention that comes next on the main stream.
func (p *placer) isBlock(run, next []int32) bool {
	product := false
	for _, i := range run {
		switch p.class(i).Class {
		case role.Act, role.Expert:
			return true
		case role.Gemm:
			product = true
		}
	}
	if !product {
		return false
	}
	for _, i := range next {
		switch p.class(i).Class {
		case role.Linear:
			return true
		case role.Act, role.Expert, role.MoE, role.Norm, role.Core, role.KVWrite:
			return false
		}
	}
	return false
}

func isAnchor(c role.Class) bool { return c == role.Core || c == role.Linear || c == role.KVWrite }
