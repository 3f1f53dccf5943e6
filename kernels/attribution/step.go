package attribution

import (
	"cmp"
	"slices"
	"sort"

	"tokprof/trace"
)

// Step is one forward pass of the engine, as its annotation marks it. Dummy
// batches without an annotation stand behind all annotated steps, without a
// name: annotations keep their numbers.
type Step struct {
	Name       string
	Label      trace.StepLabel
	Start, End trace.Time // of the annotation, on the host
	Pid        string

	// First and Last are the start of the first and the end of the last GPU
	// event or whole graph of the step; both 0 when it launched nothing.
	First, Last trace.Time
	Busy        trace.Time // union of the step's GPU events and whole graphs
	Graph       trace.Time // of Busy: only graphs recorded as a whole ran
	Launches    int64      // GPU events
}

// Ran says whether the step launched any work that the file shows.
func (s *Step) Ran() bool { return s.Launches > 0 || s.Graph > 0 }

// findSteps collects the step annotations by start. A file may hold several
// schemes (ProfilerStep around the engine's own): only the finest counts.
func findSteps(t *trace.Trace) []Step {
	labels := make([]trace.StepLabel, t.Names())
	known := make([]int8, t.Names()) // 0 not looked at, 1 no step, 2 step
	var steps []Step
	best := trace.NoScheme
	t.Each(func(id trace.EventID, k trace.Kind) {
		if k != trace.Range {
			return
		}
		n := t.NameOf(id)
		if known[n] == 0 {
			known[n] = 1
			if l, ok := trace.ParseStep(t.Name(n)); ok {
				labels[n], known[n] = l, 2
			}
		}
		if known[n] == 1 || labels[n].Scheme < best {
			return
		}
		if labels[n].Scheme > best {
			best, steps = labels[n].Scheme, steps[:0]
		}
		e := t.Event(id)
		steps = append(steps, Step{
			Name: t.Name(n), Label: labels[n], Start: e.Start, End: e.End(), Pid: t.Track(e.Track).Pid,
		})
	})
	slices.SortStableFunc(steps, func(a, b Step) int { return cmp.Compare(a.Start, b.Start) })
	return steps
}

// binSteps gives each GPU event the step that launched it: the last one opened
// in the launching process when the launch call began. What is launched after
// an annotation closed (sampling) so falls to the one before it; GPU time says
// nothing, since an asynchronous scheduler runs a step behind. A receive right
// in front of an annotation belongs to it, and dummy batches between annotations
// become steps. An event without a launch follows the event before it on its
// stream.
func binSteps(ev *Events) []int32 {
	t := ev.Trace
	out := make([]int32, len(t.GPU()))
	byPid := stepsByPid(ev.Steps)
	callStep := make([]int32, len(ev.Calls))
	for c := range ev.Calls {
		l := ev.Calls[c].Launch
		callStep[c] = stepAt(ev.Steps, byPid[t.Track(t.TrackOf(l)).Pid], t.Start(l))
	}
	if len(ev.Steps) > 0 {
		claimReceives(ev, byPid, callStep)
		dummySteps(ev, callStep)
	}
	last := make([]int32, t.Tracks())
	for i := range last {
		last[i] = -1
	}
	for i, id := range t.GPU() {
		tr := t.TrackOf(id)
		if c := ev.callOf[i]; c >= 0 {
			last[tr] = callStep[c]
		}
		out[i] = last[tr]
	}
	ev.runOf = runSteps(ev)
	measureSteps(ev, out)
	return out
}

// stepAt returns the last of steps (indices, by start) that began at or before
// a moment, -1 when none did.
func stepAt(steps []Step, of []int32, at trace.Time) int32 {
	n := sort.Search(len(of), func(i int) bool { return steps[of[i]].Start > at })
	if n == 0 {
		return -1
	}
	return of[n-1]
}

// measureSteps fills each step's GPU extent. Events come by start, so a step's
// busy time grows by what reaches past its last end. Graphs recorded as a whole
// are at work too, though no event of theirs is known: what they add to the
// union of events is the step's graph time.
func measureSteps(ev *Events, stepOf []int32) {
	t := ev.Trace
	runs, of := t.GraphRuns, ev.runOf
	var last []trace.Time // end of the events of each step so far
	if len(runs) > 0 {
		last = slices.Repeat([]trace.Time{-1 << 63}, len(ev.Steps))
	}
	until := func(at trace.Time) {
		for ; len(runs) > 0 && runs[0].Start < at; runs, of = runs[1:], of[1:] {
			if of[0] >= 0 {
				ev.Steps[of[0]].cover(runs[0].Start, runs[0].End())
			}
		}
	}
	for i, id := range t.GPU() {
		start := t.Start(id)
		until(start)
		if stepOf[i] >= 0 {
			s, end := &ev.Steps[stepOf[i]], start+t.Dur(id)
			s.cover(start, end)
			s.Launches++
			if last != nil {
				s.Graph -= max(0, end-max(start, last[stepOf[i]]))
				last[stepOf[i]] = max(last[stepOf[i]], end)
			}
		}
	}
	until(1<<63 - 1)
	if last == nil {
		return
	}
	for i := range ev.Steps {
		ev.Steps[i].Graph += ev.Steps[i].Busy
	}
}

// cover books GPU work that starts no earlier than what was booked before.
func (s *Step) cover(start, end trace.Time) {
	if s.First == 0 && s.Last == 0 {
		s.First, s.Last = start, start
	}
	s.Busy += max(0, end-max(start, s.Last))
	s.Last = max(s.Last, end)
}

// runSteps gives each graph run the step that launched it, -1 for none.
func runSteps(ev *Events) []int32 {
	t := ev.Trace
	of := make([]int32, len(t.GraphRuns))
	byPid := stepsByPid(ev.Steps)
	for i, g := range t.GraphRuns {
		of[i] = -1
		if g.Launch != trace.NoEvent {
			of[i] = stepAt(ev.Steps, byPid[t.Track(t.TrackOf(g.Launch)).Pid], t.Start(g.Launch))
		}
	}
	return of
}

// stepsByPid lists the steps of each process.
func stepsByPid(steps []Step) map[string][]int32 {
	byPid := map[string][]int32{}
	for i, s := range steps {
		byPid[s.Pid] = append(byPid[s.Pid], int32(i))
	}
	return byPid
}
