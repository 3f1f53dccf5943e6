package trace

import (
	"cmp"
	"slices"
)

// Span is when one file's GPU events happened, and whose they are.
type Span struct {
	Start, End    Time
	Rank, Replica int
	WorldSize     int
}

// Windows groups files (by index) that were recorded together: their spans
// overlap and no rank appears twice. A server profiled three times leaves
// three windows. Windows are in time order, files in rank order.
func Windows(spans []Span) [][]int {
	order := make([]int, len(spans))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(spans[a].Start, spans[b].Start) })
	var out [][]int
	for _, i := range order {
		if w := fits(spans, out, i); w >= 0 {
			out[w] = append(out[w], i)
		} else {
			out = append(out, []int{i})
		}
	}
	for _, w := range out {
		slices.SortStableFunc(w, func(a, b int) int {
			return cmp.Or(cmp.Compare(spans[a].Replica, spans[b].Replica), cmp.Compare(spans[a].Rank, spans[b].Rank))
		})
	}
	return out
}

// fits returns the window whose files overlap with file i for the longest and
// lack its rank, or -1.
func fits(spans []Span, windows [][]int, i int) int {
	best, most := -1, Time(0)
	for w, files := range windows {
		shared := Time(0)
		for _, j := range files {
			if sameRank(spans[i], spans[j]) || otherWorld(spans[i], spans[j]) {
				shared = -1
				break
			}
			shared = max(shared, min(spans[i].End, spans[j].End)-max(spans[i].Start, spans[j].Start))
		}
		if shared > most {
			best, most = w, shared
		}
	}
	return best
}

// sameRank is false for unknown ranks: they may be anyone's.
func sameRank(a, b Span) bool {
	return a.Rank >= 0 && a.Rank == b.Rank && a.Replica == b.Replica
}

// otherWorld is false for unknown sizes too.
func otherWorld(a, b Span) bool {
	return a.WorldSize != b.WorldSize && a.WorldSize > 0 && b.WorldSize > 0
}
