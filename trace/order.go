package trace

import (
	"cmp"
	"slices"

	"tokprof/trace/internal/kineto"
)

// GPU returns the kernels, copies and memsets by start (then device, stream,
// file order). The slice belongs to the trace.
func (t *Trace) GPU() []EventID { return t.gpu }

// TrackOf returns an event's track id without reading its other columns.
func (t *Trace) TrackOf(id EventID) TrackID {
	return TrackID(t.file.Blocks[id/kineto.BlockLen].Track[id%kineto.BlockLen])
}

// gpuOrder sorts the GPU events. Writers put each stream's events down nearly
// in order, so streams are checked (and only if need be sorted) alone and then
// merged: no key array, 4 bytes an event.
func gpuOrder(t *Trace) []EventID {
	perTrack := t.ByTrack(Kind.OnGPU)
	n := 0
	var heads [][]EventID
	for _, ids := range perTrack {
		if len(ids) > 0 {
			heads = append(heads, ids)
			n += len(ids)
		}
	}
	if len(heads) == 1 {
		return heads[0]
	}
	return merge(t, heads, n)
}

// ByTrack returns, per track, the events whose kind is wanted, by start and
// then file order.
func (t *Trace) ByTrack(wanted func(Kind) bool) [][]EventID {
	var want [len(kinds)]bool
	for k := range kinds {
		want[k] = wanted(kinds[k])
	}
	counts := make([]int, len(t.tracks))
	for _, b := range t.file.Blocks {
		for i := range b.N {
			if want[b.Kind[i]] {
				counts[b.Track[i]]++
			}
		}
	}
	out := make([][]EventID, len(t.tracks))
	for i, n := range counts {
		if n > 0 {
			out[i] = make([]EventID, 0, n)
		}
	}
	for n, b := range t.file.Blocks {
		for i := range b.N {
			if want[b.Kind[i]] {
				out[b.Track[i]] = append(out[b.Track[i]], EventID(n*kineto.BlockLen+i))
			}
		}
	}
	for _, ids := range out {
		t.SortByStart(ids)
	}
	return out
}

// SortByStart sorts events by start, then file order; sorted input costs one look.
func (t *Trace) SortByStart(ids []EventID) {
	order := func(a, b EventID) int {
		if c := cmp.Compare(t.Start(a), t.Start(b)); c != 0 {
			return c
		}
		return cmp.Compare(a, b)
	}
	if !slices.IsSortedFunc(ids, order) {
		slices.SortFunc(ids, order)
	}
}

// merge joins sorted streams by a binary heap of their heads.
func merge(t *Trace, heads [][]EventID, n int) []EventID {
	type head struct {
		start  Time
		device int
		stream int64
		rest   []EventID
	}
	less := func(a, b *head) bool {
		if c := cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.device, b.device), cmp.Compare(a.stream, b.stream)); c != 0 {
			return c < 0
		}
		return a.rest[0] < b.rest[0]
	}
	heap := make([]*head, len(heads))
	for i, ids := range heads {
		tr := t.tracks[t.TrackOf(ids[0])]
		heap[i] = &head{t.Start(ids[0]), tr.Device, tr.Stream, ids}
	}
	down := func(i int) {
		for {
			c := 2*i + 1
			if c >= len(heap) {
				return
			}
			if c+1 < len(heap) && less(heap[c+1], heap[c]) {
				c++
			}
			if !less(heap[c], heap[i]) {
				return
			}
			heap[i], heap[c] = heap[c], heap[i]
			i = c
		}
	}
	for i := len(heap)/2 - 1; i >= 0; i-- {
		down(i)
	}
	out := make([]EventID, 0, n)
	for len(heap) > 0 {
		h := heap[0]
		out = append(out, h.rest[0])
		if h.rest = h.rest[1:]; len(h.rest) > 0 {
			h.start = t.Start(h.rest[0])
		} else {
			heap[0] = heap[len(heap)-1]
			heap = heap[:len(heap)-1]
		}
		if len(heap) > 0 {
			down(0)
		}
	}
	return out
}
