// Package breakdown says how the GPU time of one trace adds up: by step, phase,
// category, stack, stream and cause of idleness. It reads a trace once it is
// in columns and keeps sums, so that ranks can be reduced one at a time. It
// judges nothing and draws nothing. Times are nanoseconds.
package breakdown

import (
	"strings"

	"tokprof/kernels"
	"tokprof/trace"
)

// Events are the GPU events of one trace with what is known of each, by their
// place in trace.GPU().
type Events struct {
	Trace *trace.Trace
	Steps []Step

	// By trace.NameID, filled for names of GPU events: what the name says, and
	// small numbers for its group and category.
	match      []kernels.Match
	kernel     []bool // and no copy or memset
	group      []uint8
	category   []uint16
	categories []kernels.Category
	stepOf     []int32  // by GPU event; -1 outside every step
	callOf     []int32  // by GPU event; -1 without a launch
	calls      []call   // by launch EventID
	known      []Known  // by GPU event
	Landmarks  bool     // Steps were found by landmarks: nothing was annotated
	stacks     *stacks  // host frames around the launches
	shapes     []shaped // by GPU event
	// Disagreements counts products whose module frames and place in the pass
	// give different roles: an alarm.
	Disagreements int64
}

// NewEvents classifies the names, bins the events into steps and gives them
// their roles.
func NewEvents(t *trace.Trace, c *kernels.Classifier, e Evidence) *Events {
	n := t.Names()
	ev := &Events{Trace: t, match: make([]kernels.Match, n), kernel: make([]bool, n), group: make([]uint8, n), category: make([]uint16, n)}
	ev.classify(c)
	ev.callOf, ev.calls = findCalls(t)
	ev.Steps = findSteps(t)
	ev.stepOf = binSteps(ev)
	if len(ev.Steps) == 0 {
		ev.Steps, ev.stepOf = landmarkSteps(ev)
		ev.Landmarks = len(ev.Steps) > 0
		measureSteps(ev, ev.stepOf)
	}
	ev.stacks = newStacks()
	hostStacks(ev, ev.stacks)
	if e.None {
		ev.known = make([]Known, len(t.GPU()))
		for i := range ev.known {
			ev.known[i].Layer = -1
		}
		return ev
	}
	ev.known = ev.placeRoles(e.Hide.of(ev))
	ev.weigh(e)
	return ev
}

func (ev *Events) classify(c *kernels.Classifier) {
	groups := map[string]uint8{}
	categories := map[kernels.Category]uint16{}
	seen := make([]bool, len(ev.match))
	for _, id := range ev.Trace.GPU() {
		n := ev.Trace.NameOf(id)
		if seen[n] {
			continue
		}
		seen[n] = true
		m := c.Classify(ev.Trace.Name(n))
		ev.match[n] = m
		ev.kernel[n] = ev.Trace.Event(id).Kind == trace.Kernel
		if _, ok := groups[m.Group]; !ok {
			groups[m.Group] = uint8(len(groups))
		}
		ev.group[n] = groups[m.Group]
		if _, ok := categories[m.Category]; !ok {
			categories[m.Category] = uint16(len(ev.categories))
			ev.categories = append(ev.categories, m.Category)
		}
		ev.category[n] = categories[m.Category]
	}
}

// Match returns what the i-th GPU event's name says.
func (ev *Events) Match(i int) kernels.Match {
	return ev.match[ev.Trace.NameOf(ev.Trace.GPU()[i])]
}

// StepOf returns the step of the i-th GPU event, as an index into Steps; -1
// outside every step.
func (ev *Events) StepOf(i int) int { return int(ev.stepOf[i]) }

// Phase returns the phase of the i-th GPU event.
func (ev *Events) Phase(i int) trace.Phase {
	if s := ev.stepOf[i]; s >= 0 {
		return ev.Steps[s].Label.Phase
	}
	return trace.NoPhase
}

// InGraph says whether the i-th GPU event was launched as part of a CUDA graph.
func (ev *Events) InGraph(i int) bool {
	c := ev.callOf[i]
	return c >= 0 && ev.calls[c].graph
}

// isGraphLaunch recognises cudaGraphLaunch, cuGraphLaunch and hipGraphLaunch,
// with or without a version suffix.
func isGraphLaunch(name string) bool { return strings.Contains(name, "GraphLaunch") }

// isSubmit says whether a call puts work on the GPU, so that a GPU event with
// its correlation must exist unless the recording lost it.
func isSubmit(name string) bool {
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

// isBlocking says whether a host call returns only when the GPU has caught up.
func isBlocking(name string) bool {
	if strings.Contains(name, "Async") || strings.Contains(name, "Graph") {
		return false
	}
	for _, s := range []string{"DeviceSynchronize", "StreamSynchronize", "EventSynchronize", "CtxSynchronize", "Memcpy"} {
		if strings.Contains(name, s) {
			return true
		}
	}
	return false
}

// isProfilerWork says whether an overhead row is work that the profiler made.
// The same category holds the driver's own (lazy loading, its compiler, a full
// command buffer), which an unprofiled server pays too.
func isProfilerWork(name string) bool {
	for _, s := range []string{"Buffer Flush", "Instrumentation", "Resource", "Activity Buffer", "Activity Init"} {
		if strings.Contains(name, s) {
			return true
		}
	}
	return false
}

// Known returns what is known of the i-th GPU event beyond its name.
func (ev *Events) Known(i int) Known { return ev.known[i] }
