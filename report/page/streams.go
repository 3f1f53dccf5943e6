package page

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"tokprof/report/document"
)

// streamTable says how busy each stream was with events that the recording
// holds, and how long whole graphs ran on it beside them.
func streamTable(a *document.Analysis) *table {
	if len(a.Streams)+len(a.Stacks.Whole) == 0 {
		return nil
	}
	t := &table{Caption: "Streams", Sort: true, Cols: cols("Stream", "#Busy", "#Share of window", "#Sum", "#GPU events")}
	whole := wholeByStream(a)
	if len(whole) > 0 {
		t.Cols = append(t.Cols, cols("#In whole graphs beside them")...)
	}
	add := func(s document.Stream) {
		r := row{Cells: []cell{textCell(fmt.Sprintf("rank %d, device %d, stream %d", s.Rank, s.Device, s.Stream)),
			durCell(s.BusyNS), shareCell(ratio(s.BusyNS, a.Window.DurNS), "c-busy"), durCell(s.SumNS), countCell(s.Launches)}}
		k := document.Stream{Rank: s.Rank, Device: s.Device, Stream: s.Stream}
		if len(t.Cols) > len(r.Cells) {
			r.Cells = append(r.Cells, known(whole[k] > 0, durCell(whole[k])))
		}
		delete(whole, k)
		t.Rows = append(t.Rows, r)
	}
	for _, s := range a.Streams {
		add(s)
	}
	// Streams on which nothing but whole graphs ran.
	for _, s := range slices.SortedFunc(maps.Keys(whole), func(x, y document.Stream) int {
		return cmp.Or(cmp.Compare(x.Rank, y.Rank), cmp.Compare(x.Device, y.Device), cmp.Compare(x.Stream, y.Stream))
	}) {
		add(s)
	}
	return t
}

// wholeByStream is the time of graphs recorded as a whole, by their stream.
func wholeByStream(a *document.Analysis) map[document.Stream]int64 {
	out := map[document.Stream]int64{}
	for _, w := range a.Stacks.Whole {
		out[document.Stream{Rank: w.Rank, Device: w.Device, Stream: w.Stream}] += w.TimeNS
	}
	return out
}

func copyTable(cs []document.Copy) *table {
	if len(cs) == 0 {
		return nil
	}
	t := &table{Caption: "Copies and memsets", Sort: true, Cols: cols("Kind", "#Count", "#Time", "#Bytes", "#Median size", "#Rate", "#Size unknown")}
	for _, c := range cs {
		t.Rows = append(t.Rows, row{Cells: []cell{textCell(strings.ReplaceAll(c.Kind, "_", " ")), countCell(c.Count), durCell(c.TimeNS),
			bytesCell(c.Bytes), bytesCell(c.MedianB), rateCell(c.BytesPerS), countCell(c.Unsized)}})
	}
	return t
}

func graphTable(gs []document.Graph) *table {
	if len(gs) == 0 {
		return nil
	}
	t := &table{Caption: "CUDA graphs", Sort: true, Cols: cols("Rank", "Signature", "#GPU events a replay", "#Replays", "#Time")}
	for _, g := range gs {
		s := textCell(clip(g.Signature, 80))
		s.Code = true
		events := unlessKnown(false, "")
		if g.Kernels > 0 {
			events = countCell(g.Kernels)
		}
		t.Rows = append(t.Rows, row{Cells: []cell{textCell(fmt.Sprintf("rank %d", g.Rank)), s, events, countCell(g.Replays), durCell(g.TimeNS)}})
	}
	return t
}
