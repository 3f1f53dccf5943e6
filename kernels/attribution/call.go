package attribution

import (
	"cmp"
	"slices"
	"strings"

	"tokprof/trace"
)

// Call is one launch call and the GPU events it owns.
type Call struct {
	Launch trace.EventID
	First  int32      // GPU event that started first, into trace.GPU()
	Count  int32      // GPU events
	Graph  bool       // the call launched a CUDA graph
	Node   int32      // into Stacks: innermost host frame around the call, -1 for none
	End    trace.Time // of the GPU event that ended last
}

// findCalls groups GPU events by their launch. One call may own hundreds of
// events, and an event may have none.
func findCalls(t *trace.Trace) (callOf []int32, calls []Call) {
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
	calls = make([]Call, 0, distinct)
	graph := NewNameTest(t, isGraphLaunch)
	last = trace.NoEvent
	for _, i := range order {
		if l := t.LaunchOf(int(i)); l != last {
			calls = append(calls, Call{Launch: l, First: i, Graph: graph.Holds(l), Node: -1})
			last = l
		}
		c := &calls[len(calls)-1]
		c.Count++
		id := t.GPU()[i]
		c.End = max(c.End, t.Start(id)+t.Dur(id))
		callOf[i] = int32(len(calls) - 1)
	}
	return callOf, calls
}

// OfCall returns the GPU events of call c in start order. They are found by
// walking on from the first, since one call's events lie close together.
func (ev *Events) OfCall(c int) []int32 {
	out := make([]int32, 0, ev.Calls[c].Count)
	for i := ev.Calls[c].First; len(out) < cap(out); i++ {
		if ev.callOf[i] == int32(c) {
			out = append(out, i)
		}
	}
	return out
}

// isGraphLaunch recognises cudaGraphLaunch, cuGraphLaunch and hipGraphLaunch,
// with or without a version suffix.
func isGraphLaunch(name string) bool { return strings.Contains(name, "GraphLaunch") }

// IsSubmit says whether a call puts work on the GPU, so that a GPU event with
// its correlation must exist unless the recording lost it.
func IsSubmit(name string) bool {
	switch {
	case strings.Contains(name, "GraphLaunch"):
		return true
	case strings.Contains(name, "Graph"), strings.Contains(name, "HostFunc"):
		// Building a graph puts nothing on the GPU, and a host function leaves
		// no GPU event.
		return false
	}
	for _, s := range []string{"LaunchKernel", "LaunchCooperative", "ModuleLaunch", "Memcpy", "Memset"} {
		if strings.Contains(name, s) {
			return true
		}
	}
	return false
}

// NameTest asks a question once per distinct name.
type NameTest struct {
	t     *trace.Trace
	test  func(string) bool
	known []int8 // by trace.NameID: 0 not asked, 1 no, 2 yes
}

// NewNameTest makes a test of the names of a trace.
func NewNameTest(t *trace.Trace, test func(string) bool) *NameTest {
	return &NameTest{t, test, make([]int8, t.Names())}
}

// Holds says whether an event's name passes the test.
func (n *NameTest) Holds(id trace.EventID) bool {
	k := &n.known[n.t.NameOf(id)]
	if *k == 0 {
		*k = 1
		if n.test(n.t.Name(n.t.NameOf(id))) {
			*k = 2
		}
	}
	return *k == 2
}
