package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"tokprof/report/document"
)

// perfettoEvent is one slice of the Perfetto drawing.
type perfettoEvent struct {
	a     *document.Analysis
	lane  *document.Lane      // nil for the slice that spans a whole step
	line  *document.Timeline  // the step
	span  *document.SpanEvent // nil likewise
	tid   int
	pid   int
	start int64 // from the start of the drawing, ns
	flow  int   // number of the arrow that leaves or reaches the slice; 0 without
}

func (e *perfettoEvent) dur() int64 {
	if e.span == nil {
		return e.line.DurNS
	}
	return e.span.DurNS
}

// whole is the graph that was recorded as a whole; nil for all other slices.
func (e *perfettoEvent) whole() *document.WholeGraph {
	if e.span == nil {
		return nil
	}
	return e.span.Whole
}

// kernel is what a GPU event ran; nil for host rows and whole graphs.
func (e *perfettoEvent) kernel() *document.Kernel {
	if e.span == nil || e.span.Kernel < 0 || int(e.span.Kernel) >= len(e.a.Kernels) {
		return nil
	}
	return &e.a.Kernels[e.span.Kernel]
}

// perfettoTrack is one track: slices on it nest.
type perfettoTrack struct {
	pid, tid int
	name     string
	open     []int64 // ends of the slices that are open, outermost first
}

// perfettoDrawing is where every slice goes.
type perfettoDrawing struct {
	processes []perfettoTrack // pid and name
	tracks    []*perfettoTrack
	events    []*perfettoEvent
	dropped   int64 // events of the steps that are not in events
	base      int64 // the drawing's start, Unix ns
}

// maxOverlap bounds the tracks of one lane; more events at the same time than
// this are a damaged file, not a GPU.
const maxOverlap = 16

// placedTimeline is a timeline with its start in the drawing.
type placedTimeline struct {
	a           *document.Analysis
	window      int
	t           *document.Timeline
	first, last int64 // of its slices, from the timeline's start
	at          int64
}

// maxGap is the longest empty stretch between two steps that is drawn. Steps
// may be seconds apart and last milliseconds: true to scale, neither could be
// found on the screen.
const maxGap = 1_000_000

// placeTimelines orders the timelines by time and shortens what lies between
// them; steps that overlap keep their offset. A step that is there twice, as
// the median of its phase and because it was asked for, is drawn once.
func placeTimelines(s *document.Set) []placedTimeline {
	var placed []placedTimeline
	type stepKey struct {
		window, rank, step int
		start              int64
	}
	seen := map[stepKey]bool{}
	for w, a := range s.Analyses {
		for i := range a.Timelines {
			t := &a.Timelines[i]
			k := stepKey{w, t.Rank, t.Step, t.StartUnixNS}
			if !seen[k] {
				seen[k] = true
				first, last := drawnSpan(t)
				placed = append(placed, placedTimeline{a: a, window: w, t: t, first: first, last: last})
			}
		}
	}
	slices.SortStableFunc(placed, func(x, y placedTimeline) int {
		return cmp.Compare(x.t.StartUnixNS+x.first, y.t.StartUnixNS+y.first)
	})
	var shift, realEnd int64
	for i := range placed {
		p := &placed[i]
		start := p.t.StartUnixNS + p.first
		if i == 0 {
			shift, realEnd = start, start
		}
		shift += max(0, start-realEnd-maxGap)
		p.at = p.t.StartUnixNS - shift
		realEnd = max(realEnd, p.t.StartUnixNS+p.last)
	}
	return placed
}

// drawnSpan is where the slices of a timeline begin and end, from its start:
// launches may come before it, the last kernel end after it.
func drawnSpan(t *document.Timeline) (first, last int64) {
	last = t.DurNS
	for _, l := range t.Lanes {
		for _, s := range l.Spans {
			first = min(first, s.StartNS)
			last = max(last, s.StartNS+s.DurNS)
		}
	}
	return first, last
}

// perfettoLane is the events of one lane over all steps of its process.
type perfettoLane struct {
	pid    int
	name   string
	events []*perfettoEvent
}

// layout gives every event of the timelines a track. A rank of a window is a
// process, a lane of it a thread.
func layout(s *document.Set) *perfettoDrawing {
	d := &perfettoDrawing{}
	placed := placeTimelines(s)
	if len(placed) > 0 {
		d.base = placed[0].t.StartUnixNS + placed[0].first
	}
	type laneKey struct {
		pid  int
		step bool
		name string
	}
	var lanes []*perfettoLane
	byKey := map[laneKey]*perfettoLane{}
	add := func(k laneKey, events ...*perfettoEvent) {
		if byKey[k] == nil {
			byKey[k] = &perfettoLane{pid: k.pid, name: k.name}
			lanes = append(lanes, byKey[k])
		}
		byKey[k].events = append(byKey[k].events, events...)
	}
	pids := map[string]int{}
	for _, p := range placed {
		d.dropped += p.t.Truncated
		name := processName(s, p)
		pid := pids[name]
		if pid == 0 {
			pid = len(pids) + 1
			pids[name] = pid
			d.processes = append(d.processes, perfettoTrack{pid: pid, name: name})
		}
		add(laneKey{pid, true, "steps"}, &perfettoEvent{a: p.a, line: p.t, pid: pid, start: p.at})
		for i := range p.t.Lanes {
			l := &p.t.Lanes[i]
			add(laneKey{pid, false, l.Name}, laneEvents(p, l, pid)...)
		}
	}
	for _, l := range lanes {
		d.placeLane(l)
	}
	return d
}

// placeLane gives the events of a lane their tracks, by start, the longer of
// two first: steps may overlap, so that the lane's next step begins before its
// last one ends.
func (d *perfettoDrawing) placeLane(l *perfettoLane) {
	slices.SortStableFunc(l.events, func(x, y *perfettoEvent) int {
		return cmp.Or(cmp.Compare(x.start, y.start), cmp.Compare(y.dur(), x.dur()))
	})
	tracks := d.addTrack(nil, l.pid, l.name)
	for _, e := range l.events {
		tracks = d.place(tracks, l.name, e)
	}
}

// processName is "rank 0", with the window in front where there are several.
func processName(s *document.Set, p placedTimeline) string {
	name := "rank unknown"
	if p.t.Rank >= 0 {
		name = fmt.Sprintf("rank %d", p.t.Rank)
	}
	if len(s.Analyses) > 1 {
		name = windowFrame(p.a, p.window) + " " + name
	}
	return name
}

// laneEvents are the spans of a lane.
func laneEvents(p placedTimeline, l *document.Lane, pid int) []*perfettoEvent {
	events := make([]*perfettoEvent, len(l.Spans))
	for i := range l.Spans {
		sp := &l.Spans[i]
		events[i] = &perfettoEvent{a: p.a, lane: l, line: p.t, span: sp, pid: pid, start: p.at + sp.StartNS}
	}
	return events
}

// place puts e on the first of the tracks where it nests, or on a new one.
// Host rows nest in each other; kernels are drawn side by side, because one
// inside another would read as a call.
func (d *perfettoDrawing) place(tracks []*perfettoTrack, name string, e *perfettoEvent) []*perfettoTrack {
	end := e.start + e.dur()
	nests := e.lane != nil && !e.lane.GPU
	for _, t := range tracks {
		for len(t.open) > 0 && t.open[len(t.open)-1] <= e.start {
			t.open = t.open[:len(t.open)-1]
		}
		if len(t.open) == 0 || nests && t.open[len(t.open)-1] >= end {
			t.open = append(t.open, end)
			e.tid = t.tid
			d.events = append(d.events, e)
			return tracks
		}
	}
	if len(tracks) == maxOverlap {
		d.dropped++
		return tracks
	}
	title := name
	if n := len(tracks); n > 0 {
		title += " (overlap" + strings.Repeat("+", n-1) + ")"
	}
	return d.place(d.addTrack(tracks, e.pid, title), name, e)
}

// addTrack appends a new track. Thread ids are unique in the whole file, since
// viewers know threads by their id alone, and differ from process ids, since
// an equal one marks the main thread.
func (d *perfettoDrawing) addTrack(tracks []*perfettoTrack, pid int, name string) []*perfettoTrack {
	t := &perfettoTrack{pid: pid, tid: 1000 + len(d.tracks), name: name}
	d.tracks = append(d.tracks, t)
	return append(tracks, t)
}
