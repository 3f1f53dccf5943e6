package attribution

import (
	"strings"

	"tokprof/trace"
)

// Captured are the graphs of a graph-capture trace: what each node's launch
// says about its op, in order.
type Captured struct {
	Rank   int // of the file, -1 when unknown
	graphs [][]node
}

// node is one captured launch.
type node struct {
	product *trace.Product // nil when the op is no product
}

// ReadCaptured finds the launches between begin and end of each stream
// capture. Inside a capture nothing runs: the launches are the graph's nodes,
// with the op and shapes that a replay no longer has.
func ReadCaptured(t *trace.Trace) *Captured {
	c := &Captured{Rank: t.Info.Rank}
	if !t.HasShapes() {
		return c
	}
	products := t.Products()
	kinds := make([]callKind, t.Names())
	for n := range kinds {
		kinds[n] = kindOfCall(t.Name(trace.NameID(n)))
	}
	for _, ids := range t.ByTrack(func(k trace.Kind) bool { return k == trace.Launch }) {
		var open []node
		capturing := false
		for _, id := range ids {
			switch kinds[t.NameOf(id)] {
			case beginCapture:
				capturing, open = true, nil
			case endCapture:
				if capturing && len(open) > 0 {
					c.graphs = append(c.graphs, open)
				}
				capturing = false
			case submitCall:
				if capturing {
					open = append(open, node{products.Of(t.Event(id))})
				}
			}
		}
	}
	return c
}

type callKind uint8

const (
	otherCall callKind = iota
	beginCapture
	endCapture
	submitCall
)

func kindOfCall(name string) callKind {
	switch {
	case strings.Contains(name, "StreamBeginCapture"):
		return beginCapture
	case strings.Contains(name, "StreamEndCapture"):
		return endCapture
	case IsSubmit(name):
		return submitCall
	}
	return otherCall
}

// capturedShapes gives graph replays the shapes of the captured launches that
// they repeat, node by node. A captured graph fits a replay of as many events
// when every product in it stands where the replay has one (or what serves it).
func (ev *Events) capturedShapes(captures []*Captured) []Shaped {
	byCount := map[int][][]node{}
	for _, c := range captures {
		if c.Rank >= 0 && ev.Trace.Info.Rank >= 0 && c.Rank != ev.Trace.Info.Rank {
			continue
		}
		for _, g := range c.graphs {
			byCount[len(g)] = append(byCount[len(g)], g)
		}
	}
	if len(byCount) == 0 {
		return nil
	}
	var out []Shaped
	for c := range ev.Calls {
		if !ev.Calls[c].Graph {
			continue
		}
		events := ev.OfCall(c)
		out = append(out, ev.alignAny(byCount[len(events)], events)...)
	}
	return out
}

// alignAny fits a replay with the captured graphs of its length. Graphs of
// several batch sizes fit alike and have the same weights; where they differ in
// a weight, which one was replayed is not known.
func (ev *Events) alignAny(graphs [][]node, events []int32) []Shaped {
	var found []Shaped
	for _, g := range graphs {
		list, ok := ev.align(g, events)
		if !ok {
			continue
		}
		for n := range found {
			if len(list) != len(found) || list[n].Event != found[n].Event || list[n].K != found[n].K || list[n].N != found[n].N {
				return nil
			}
		}
		found = list
	}
	return found
}

func (ev *Events) align(g []node, events []int32) ([]Shaped, bool) {
	var out []Shaped
	for n, x := range g {
		group := ev.Match(int(events[n])).Group
		if (x.product != nil) != (group == "gemm") && group != "memory" {
			return nil, false
		}
		if x.product != nil && group == "gemm" {
			out = append(out, Shaped{x.product, events[n], ByCapture})
		}
	}
	return out, len(out) > 0
}
