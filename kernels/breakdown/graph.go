package breakdown

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"

	"tokprof/kernels/attribution"
	"tokprof/trace"
)

// Graph is one captured CUDA graph, known by the kernels of its replays.
type Graph struct {
	Signature string // hash of the kernels' names in stream order
	Events    int64  // GPU events of one replay; 0 when replays were recorded as a whole
	Replays   int64
	Time      trace.Time
	// Short says that another graph goes on where this one ends: its replays
	// were probably not recorded to the end.
	Short bool
}

// findGraphs groups graph launches by the names of the events they own. Stream
// numbers differ from replay to replay, so streams are taken in the order of
// their first event.
func findGraphs(ev *attribution.Events) []Graph {
	t := ev.Trace
	bySig := map[uint64]*Graph{}
	first := map[uint64][][]uint32{}
	for c := range ev.Calls {
		if !ev.Calls[c].Graph {
			continue
		}
		names, dur := replay(ev, c)
		h := fnv.New64a()
		for _, stream := range names {
			for _, n := range stream {
				_, _ = h.Write([]byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)})
			}
			_, _ = h.Write([]byte{0xff, 0xff, 0xff, 0xff})
		}
		sig := h.Sum64()
		g := bySig[sig]
		if g == nil {
			g = &Graph{Signature: nameHash(t, names), Events: int64(ev.Calls[c].Count)}
			bySig[sig], first[sig] = g, names
		}
		g.Replays++
		g.Time += dur
	}
	out := make([]Graph, 0, len(bySig))
	for sig, g := range bySig {
		for _, names := range first {
			g.Short = g.Short || goesOn(names, first[sig])
		}
		out = append(out, *g)
	}
	out = append(out, wholeRuns(t)...)
	slices.SortFunc(out, func(a, b Graph) int {
		return cmp.Or(cmp.Compare(b.Time, a.Time), cmp.Compare(a.Signature, b.Signature))
	})
	return out
}

// wholeModel is the least number of kernels in a graph that holds a whole pass.
// The pieces of a piecewise graph are shorter, and the last layer's is a true
// beginning of the others.
const wholeModel = 40

// goesOn says whether a whole graph's replay begins, on each of its streams,
// with what the other one has there and goes on after that.
func goesOn(whole, short [][]uint32) bool {
	more, n := false, 0
	for i, w := range whole {
		n += len(w)
		var s []uint32
		if i < len(short) {
			s = short[i]
		}
		if len(s) > len(w) || !slices.Equal(w[:len(s)], s) {
			return false
		}
		more = more || len(w) > len(s)
	}
	return more && n >= wholeModel && len(short) <= len(whole)
}

// replay lists a call's events by stream (streams by first event), as name ids.
func replay(ev *attribution.Events, c int) (names [][]uint32, dur trace.Time) {
	t := ev.Trace
	rank := map[trace.TrackID]int{}
	for _, i := range ev.OfCall(c) {
		id := t.GPU()[i]
		n, ok := rank[t.TrackOf(id)]
		if !ok {
			n = len(rank)
			rank[t.TrackOf(id)] = n
			names = append(names, nil)
		}
		names[n] = append(names[n], uint32(t.NameOf(id)))
		dur += t.Dur(id)
	}
	return names, dur
}

// nameHash makes a signature that is equal in every file, unlike name ids.
func nameHash(t *trace.Trace, names [][]uint32) string {
	h := fnv.New64a()
	for _, stream := range names {
		for _, n := range stream {
			_, _ = h.Write([]byte(t.Name(trace.NameID(n))))
			_, _ = h.Write([]byte{0})
		}
	}
	return fmt.Sprintf("%016x", h.Sum64())
}
