package breakdown

import (
	"cmp"
	"slices"

	"tokprof/kernels/attribution"
	"tokprof/kernels/role"
	"tokprof/trace"
)

// Excerpt is one step kept event by event, for drawing.
type Excerpt struct {
	Step  int
	Phase trace.Phase
	Why   Pick
	Count int // steps of its phase
	Start trace.Time
	End   trace.Time
	Lanes []Lane
	// Dropped counts host rows left out over maxHostSpans.
	Dropped int64
}

// Pick is why a step was kept.
type Pick uint8

// Picks.
const (
	Asked   Pick = iota // by number
	Median              // of its phase, by duration
	Slowest             // of the phase with the most steps
)

// Lane is one track of an excerpt.
type Lane struct {
	GPU    bool
	Device int
	Stream int64
	Name   string // of a host thread
	Spans  []Span
}

// Span is one event of a lane.
type Span struct {
	Start, Dur  trace.Time
	Kernel      int32 // into Rank.Kernels, -1 on the host and of a whole graph
	Name        string
	Correlation uint64
	Layer       int16 // -1 on the host, of a whole graph and outside layers
	Role        role.Role
	Part        attribution.Part
	Whole       *trace.GraphRun // a graph recorded as a whole, nil of an event
}

const (
	maxHostSpans = 20000
	maxExcerpts  = 64
)

// excerpts keeps the steps asked for, or the median step of each phase and the
// slowest of the most common one. Where an earlier rank's excerpt was running
// at the same time, the same step is kept, so that ranks can be drawn together.
func excerpts(ev *attribution.Events, o Options, kernelOf []int32) []Excerpt {
	var out []Excerpt
	if o.ExcerptTo >= o.ExcerptFrom {
		for s := max(o.ExcerptFrom, 0); s <= min(o.ExcerptTo, len(ev.Steps)-1) && len(out) < maxExcerpts; s++ {
			if ev.Steps[s].Ran() {
				out = append(out, Excerpt{Step: s, Phase: ev.Steps[s].Label.Phase})
			}
		}
	} else {
		out = representative(ev.Steps, o.Like)
	}
	if len(out) > 0 {
		fillExcerpts(ev, out, kernelOf)
	}
	return out
}

func representative(steps []attribution.Step, like []Excerpt) []Excerpt {
	var out []Excerpt
	most := -1
	byDuration := map[trace.Phase][]int{}
	for _, p := range []trace.Phase{trace.Prefill, trace.Decode, trace.Mixed, trace.Dummy, trace.NoPhase} {
		of := stepsByDuration(steps, p)
		if len(of) == 0 {
			continue
		}
		byDuration[p] = of
		out = append(out, Excerpt{Step: of[(len(of)-1)/2], Phase: p, Why: Median, Count: len(of)})
		if most < 0 || len(of) > out[most].Count {
			most = len(out) - 1
		}
	}
	if most >= 0 && out[most].Count > 2 {
		p := out[most].Phase
		out = append(out, Excerpt{Step: byDuration[p][out[most].Count-1], Phase: p, Why: Slowest, Count: out[most].Count})
	}
	for i := range out {
		if s := sameStep(steps, out[i], like); s >= 0 {
			out[i].Step = s
		}
	}
	return distinct(out)
}

// distinct drops an excerpt of a step that another one shows already.
func distinct(list []Excerpt) []Excerpt {
	seen := map[int]bool{}
	return slices.DeleteFunc(list, func(x Excerpt) bool {
		again := seen[x.Step]
		seen[x.Step] = true
		return again
	})
}

// sameStep finds the step that ran while an earlier rank's excerpt of the same
// phase and reason did, -1 when none did.
func sameStep(steps []attribution.Step, x Excerpt, like []Excerpt) int {
	best, most := -1, trace.Time(0)
	for _, l := range like {
		if l.Phase != x.Phase || l.Why != x.Why {
			continue
		}
		for i, s := range steps {
			if s.Label.Phase != x.Phase || !s.Ran() {
				continue
			}
			if shared := min(s.Last, l.End) - max(s.First, l.Start); shared > most {
				best, most = i, shared
			}
		}
	}
	return best
}

func stepsByDuration(steps []attribution.Step, p trace.Phase) []int {
	var of []int
	for i, s := range steps {
		if s.Label.Phase == p && s.Ran() {
			of = append(of, i)
		}
	}
	slices.SortStableFunc(of, func(a, b int) int {
		return cmp.Compare(steps[a].Last-steps[a].First, steps[b].Last-steps[b].First)
	})
	return of
}

// excerpted gathers the lanes of the steps that are kept.
type excerpted struct {
	ev    *attribution.Events
	at    map[int32]*Excerpt // by step
	lanes map[int32]map[laneKey]*Lane
	host  map[trace.EventID]int32 // launch calls to draw, by step
}

// laneKey is a stream of a device, whether events or whole graphs ran on it, or
// a host thread.
type laneKey struct {
	device int
	stream int64
	host   trace.TrackID // 0 for a stream, else the track plus 1
}

func fillExcerpts(ev *attribution.Events, out []Excerpt, kernelOf []int32) {
	x := &excerpted{ev: ev, at: map[int32]*Excerpt{}, lanes: map[int32]map[laneKey]*Lane{}, host: map[trace.EventID]int32{}}
	for i := range out {
		s := int32(out[i].Step)
		x.at[s], x.lanes[s] = &out[i], map[laneKey]*Lane{}
		out[i].Start, out[i].End = ev.Steps[s].First, ev.Steps[s].Last
	}
	x.events(kernelOf)
	x.wholeGraphs()
	x.calls()
	for s, e := range x.at {
		e.Lanes = sortLanes(x.lanes[s])
	}
}

func (x *excerpted) events(kernelOf []int32) {
	t := x.ev.Trace
	for i, id := range t.GPU() {
		s := int32(x.ev.StepOf(i))
		if x.at[s] == nil {
			continue
		}
		e, known := t.Event(id), x.ev.Known(i)
		tr := t.Track(e.Track)
		x.lane(s, laneKey{device: tr.Device, stream: tr.Stream}).add(Span{
			Start: e.Start, Dur: e.Dur, Kernel: kernelOf[e.Name], Correlation: e.Correlation,
			Layer: known.Layer, Role: known.Role, Part: known.Part,
		})
		if c := x.ev.CallOf(i); c >= 0 {
			x.host[x.ev.Calls[c].Launch] = s
		}
	}
}

// wholeGraphs puts graphs recorded as a whole on the stream they ran on, as one
// span each: the stream was at work.
func (x *excerpted) wholeGraphs() {
	t := x.ev.Trace
	for i := range t.GraphRuns {
		s := int32(x.ev.StepOfRun(i))
		if x.at[s] == nil {
			continue
		}
		g := t.GraphRuns[i]
		drawn := Span{Start: g.Start, Dur: g.Dur, Kernel: -1, Layer: -1, Whole: &g}
		if g.Launch != trace.NoEvent {
			drawn.Correlation = t.Event(g.Launch).Correlation
			x.host[g.Launch] = s
		}
		x.lane(s, laneKey{device: g.Device, stream: g.Stream}).add(drawn)
	}
}

// calls adds the launch calls, up to a limit for each step.
func (x *excerpted) calls() {
	t := x.ev.Trace
	calls := make([]trace.EventID, 0, len(x.host))
	for id := range x.host {
		calls = append(calls, id)
	}
	slices.Sort(calls)
	drawn := map[int32]int{}
	for _, id := range calls {
		s := x.host[id]
		step := x.at[s]
		if drawn[s]++; drawn[s] > maxHostSpans {
			step.Dropped++
			continue
		}
		e := t.Event(id)
		step.Start, step.End = min(step.Start, e.Start), max(step.End, e.End())
		x.lane(s, laneKey{host: e.Track + 1}).add(Span{Start: e.Start, Dur: e.Dur, Kernel: -1, Name: t.Name(e.Name), Correlation: e.Correlation, Layer: -1})
	}
}

func (l *Lane) add(s Span) { l.Spans = append(l.Spans, s) }

// lane finds or makes a lane of a step.
func (x *excerpted) lane(step int32, k laneKey) *Lane {
	if l := x.lanes[step][k]; l != nil {
		return l
	}
	l := &Lane{GPU: k.host == 0, Device: k.device, Stream: k.stream}
	if !l.GPU {
		tr := x.ev.Trace.Track(k.host - 1)
		l.Name, l.Device, l.Stream = "thread "+tr.Tid, tr.Device, tr.Stream
	}
	x.lanes[step][k] = l
	return l
}

// sortLanes puts GPU streams first, and each lane's spans by start.
func sortLanes(m map[laneKey]*Lane) []Lane {
	out := make([]Lane, 0, len(m))
	for _, l := range m {
		slices.SortStableFunc(l.Spans, func(a, b Span) int { return cmp.Compare(a.Start, b.Start) })
		out = append(out, *l)
	}
	slices.SortFunc(out, func(a, b Lane) int {
		if a.GPU != b.GPU {
			if a.GPU {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.Device, b.Device), cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.Name, b.Name))
	})
	return out
}
