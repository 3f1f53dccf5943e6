// Package attribution says which launch, step, graph, layer and role each GPU
// event of a trace belongs to, and how that is known. It adds nothing up. Times
// are nanoseconds.
package attribution

import (
	"tokprof/kernels"
	"tokprof/trace"
)

// Events are the GPU events of one trace with what is known of each, by their
// place in trace.GPU().
type Events struct {
	Trace *trace.Trace
	Steps []Step

	// Calls are the launch calls that own GPU events, by launch EventID.
	Calls []Call
	// Stacks hold the host frames around the launches.
	Stacks *Stacks
	// Shapes are the products whose shape is known by any evidence.
	Shapes []Shaped
	// Landmarks says that Steps were found by landmarks: nothing was annotated.
	Landmarks bool
	// Disagreements counts products whose module frames and place in the pass
	// give different roles: an alarm.
	Disagreements int64

	// By trace.NameID, filled for names of GPU events: what the name says, and
	// a small number for its group.
	match  []kernels.Match
	kernel []bool // and no copy or memset
	group  []uint8
	// By GPU event.
	stepOf []int32 // -1 outside every step
	runOf  []int32 // by trace.GraphRuns, likewise
	callOf []int32 // -1 without a launch
	known  []Known
}

// NewEvents classifies the names, bins the events into steps and gives them
// their roles.
func NewEvents(t *trace.Trace, c *kernels.Classifier, e Evidence) *Events {
	n := t.Names()
	ev := &Events{Trace: t, match: make([]kernels.Match, n), kernel: make([]bool, n), group: make([]uint8, n)}
	ev.classify(c)
	ev.callOf, ev.Calls = findCalls(t)
	ev.Steps = findSteps(t)
	ev.stepOf = binSteps(ev)
	if len(ev.Steps) == 0 {
		ev.Steps, ev.stepOf, ev.runOf = landmarkSteps(ev, e.Blind)
		ev.Landmarks = len(ev.Steps) > 0
		measureSteps(ev, ev.stepOf)
	}
	ev.Stacks = newStacks()
	hostStacks(ev, ev.Stacks)
	if e.None {
		ev.known = make([]Known, len(t.GPU()))
		for i := range ev.known {
			ev.known[i].Layer = -1
		}
		return ev
	}
	// Shapes depend on launches alone, so they are read beside the placing.
	shapes := make(chan []Shaped, 1)
	go func() {
		if e.Blind {
			shapes <- nil
			return
		}
		shapes <- findShapes(ev)
	}()
	ev.known = ev.placeRoles(e.Hide.of(ev))
	ev.weigh(e, <-shapes)
	return ev
}

func (ev *Events) classify(c *kernels.Classifier) {
	groups := map[string]uint8{}
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
	}
}

// Match returns what the i-th GPU event's name says.
func (ev *Events) Match(i int) kernels.Match {
	return ev.match[ev.Trace.NameOf(ev.Trace.GPU()[i])]
}

// IsKernel says whether the i-th GPU event is a kernel, and no copy or memset.
func (ev *Events) IsKernel(i int) bool { return ev.kernel[ev.Trace.NameOf(ev.Trace.GPU()[i])] }

// Group returns a small number for the group of the i-th GPU event's category:
// events of one group have the same.
func (ev *Events) Group(i int) uint8 { return ev.group[ev.Trace.NameOf(ev.Trace.GPU()[i])] }

// StepOf returns the step of the i-th GPU event, as an index into Steps; -1
// outside every step.
func (ev *Events) StepOf(i int) int { return int(ev.stepOf[i]) }

// StepOfRun returns the step of the i-th graph run of the trace, as an index
// into Steps; -1 outside every step, as where its launch is unknown and steps
// are annotated.
func (ev *Events) StepOfRun(i int) int { return int(ev.runOf[i]) }

// CallOf returns the call that launched the i-th GPU event, as an index into
// Calls; -1 without a launch.
func (ev *Events) CallOf(i int) int { return int(ev.callOf[i]) }

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
	return c >= 0 && ev.Calls[c].Graph
}

// Known returns what is known of the i-th GPU event beyond its name.
func (ev *Events) Known(i int) Known { return ev.known[i] }

// Layers returns how many layers the events are known to stand in.
func (ev *Events) Layers() int {
	n := 0
	for i := range ev.known {
		n = max(n, int(ev.known[i].Layer)+1)
	}
	return n
}
