package breakdown

import (
	"cmp"
	"fmt"
	"slices"

	"tokprof/kernels/attribution"
	"tokprof/trace"
)

// Whole is the time of one graph's executions that were recorded as a whole, on
// one stream in one phase. None of it is in a Cell.
type Whole struct {
	Graph  uint64 // by the file's number
	Device int
	Stream int64
	Phase  trace.Phase
	Time   trace.Time
	// Exposed is the time in which no GPU event and no run that began earlier
	// was at work: over all of a device it is Device.Graph.
	Exposed trace.Time
	Runs    int64
}

// deviceRun is a graph run with what belongs to it.
type deviceRun struct {
	trace.GraphRun
	step  int32       // that launched it, -1 for none
	phase trace.Phase // of the step
}

// wholeSums adds up a device's graph runs; exposed is each one's.
func wholeSums(runs []deviceRun, exposed []trace.Time) []Whole {
	at := map[Whole]int{}
	var out []Whole
	for i, g := range runs {
		k := Whole{Graph: g.Graph, Device: g.Device, Stream: g.Stream, Phase: g.phase}
		n, ok := at[k]
		if !ok {
			n = len(out)
			at[k] = n
			out = append(out, k)
		}
		out[n].Time += g.Dur
		out[n].Exposed += exposed[i]
		out[n].Runs++
	}
	return out
}

// wholeRuns adds up the graphs whose replays were recorded as a whole. Which
// kernels they hold the file does not say, so the file's own number names them.
func wholeRuns(t *trace.Trace) []Graph {
	at := map[uint64]int{}
	var out []Graph
	for _, g := range t.GraphRuns {
		n, ok := at[g.Graph]
		if !ok {
			n = len(out)
			at[g.Graph] = n
			out = append(out, Graph{Signature: fmt.Sprintf("graph %d", g.Graph)})
		}
		out[n].Replays++
		out[n].Time += g.Dur
	}
	return out
}

// runsOf lists a device's graph runs by start.
func runsOf(ev *attribution.Events, device int) []deviceRun {
	var out []deviceRun
	for i, g := range ev.Trace.GraphRuns {
		if g.Device != device {
			continue
		}
		r := deviceRun{GraphRun: g, step: int32(ev.StepOfRun(i))}
		if r.step >= 0 {
			r.phase = ev.Steps[r.step].Label.Phase
		}
		out = append(out, r)
	}
	slices.SortStableFunc(out, func(a, b deviceRun) int { return cmp.Compare(a.Start, b.Start) })
	return out
}

// first is the moment at which a device begins to work.
func (de *deviceEvents) first(t *trace.Trace) trace.Time {
	first := trace.Time(1<<63 - 1)
	if len(de.events) > 0 {
		first = t.Start(t.GPU()[de.events[0]])
	}
	if len(de.runs) > 0 {
		first = min(first, de.runs[0].Start)
	}
	return first
}

// walk goes along one device in time, over its events and the graph runs
// between them: a device that runs a graph is not idle, whatever in the graph
// it runs.
type walk struct {
	idler
	runs    []deviceRun // still to come
	last    trace.Time  // end of what came so far
	covered trace.Time  // union of events and runs
}

// until goes over the graph runs that start before a moment.
func (w *walk) until(at trace.Time) {
	for len(w.runs) > 0 && w.runs[0].Start < at {
		g := w.runs[0]
		w.runs = w.runs[1:]
		switch from, to := w.last, g.Start; {
		case to <= from:
		case to-from <= shortGap:
			w.add(ShortGap, to-from)
		case g.Launch == trace.NoEvent:
			w.waitForHost(from, to, UnknownCause, nil)
		default:
			w.launched(from, to, g.Launch)
		}
		w.reach(g.Start, g.End())
		w.phase = g.phase
	}
}

// reach books what lies behind all that came before.
func (w *walk) reach(start, end trace.Time) {
	w.covered += max(0, end-max(start, w.last))
	w.last = max(w.last, end)
}
