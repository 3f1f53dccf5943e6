package breakdown

import (
	"cmp"
	"slices"

	"tokprof/trace"
)

// call is one launch call and the GPU events it owns.
type call struct {
	launch trace.EventID
	first  int32 // GPU event that started first
	count  int32
	graph  bool
	node   int32 // innermost host frame around the call, -1 for none
	end    trace.Time
}

// findCalls groups GPU events by their launch. One call may own hundreds of
// events, and an event may have none.
func findCalls(t *trace.Trace) (callOf []int32, calls []call) {
	n := len(t.GPU())
	order := make([]int32, 0, n)
	callOf = make([]int32, n)
	for i := range n {
		callOf[i] = -1
		if t.LaunchOf(i) != trace.NoEvent {
			order = append(order, int32(i))
		}
	}
	slices.SortFunc(order, func(a, b int32) int {
		return cmp.Or(cmp.Compare(t.LaunchOf(int(a)), t.LaunchOf(int(b))), cmp.Compare(a, b))
	})
	distinct, last := 0, trace.NoEvent
	for _, i := range order {
		if l := t.LaunchOf(int(i)); l != last {
			distinct, last = distinct+1, l
		}
	}
	calls = make([]call, 0, distinct)
	graph := newNameTest(t, isGraphLaunch)
	last = trace.NoEvent
	for _, i := range order {
		if l := t.LaunchOf(int(i)); l != last {
			calls = append(calls, call{launch: l, first: i, graph: graph.holds(l), node: -1})
			last = l
		}
		c := &calls[len(calls)-1]
		c.count++
		id := t.GPU()[i]
		c.end = max(c.end, t.Start(id)+t.Dur(id))
		callOf[i] = int32(len(calls) - 1)
	}
	return callOf, calls
}

// events returns the GPU events of call c in start order. They are found by
// walking on from the first, since one call's events lie close together.
func (ev *Events) events(c int) []int32 {
	out := make([]int32, 0, ev.calls[c].count)
	for i := ev.calls[c].first; len(out) < cap(out); i++ {
		if ev.callOf[i] == int32(c) {
			out = append(out, i)
		}
	}
	return out
}
