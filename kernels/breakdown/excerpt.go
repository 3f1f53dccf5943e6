package breakdown

import (
	"cmp"
	"slices"

	"tokprof/trace"
)

// Excerpt is one step kept event by event, for drawing.
type Excerpt struct {
	Step  int
	Count int  // steps of its phase, of which this is the median by duration
	Asked bool // picked by number, not as representative
	Start trace.Time
	End   trace.Time
	Lanes []Lane
	// Dropped counts host rows left out over maxHostSpans.
	Dropped int64
}

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
	Kernel      int32 // into Rank.Kernels, -1 on the host
	Name        string
	Correlation uint64
}

const (
	maxHostSpans = 20000
	maxExcerpts  = 64
)

// excerpts keeps the steps asked for, or the median step of each phase.
func excerpts(ev *Events, o Options, kernelOf []int32) []Excerpt {
	var out []Excerpt
	if o.ExcerptTo >= o.ExcerptFrom {
		for s := max(o.ExcerptFrom, 0); s <= min(o.ExcerptTo, len(ev.Steps)-1) && len(out) < maxExcerpts; s++ {
			if ev.Steps[s].Launches > 0 {
				out = append(out, Excerpt{Step: s, Asked: true})
			}
		}
	} else {
		for _, p := range []trace.Phase{trace.Prefill, trace.Decode, trace.Mixed, trace.Dummy, trace.NoPhase} {
			if s, n := medianStep(ev.Steps, p); n > 0 {
				out = append(out, Excerpt{Step: s, Count: n})
			}
		}
	}
	if len(out) > 0 {
		fillExcerpts(ev, out, kernelOf)
	}
	return out
}

func medianStep(steps []Step, p trace.Phase) (step, n int) {
	var of []int
	for i, s := range steps {
		if s.Label.Phase == p && s.Launches > 0 {
			of = append(of, i)
		}
	}
	if len(of) == 0 {
		return 0, 0
	}
	slices.SortStableFunc(of, func(a, b int) int {
		return cmp.Compare(steps[a].Last-steps[a].First, steps[b].Last-steps[b].First)
	})
	return of[(len(of)-1)/2], len(of)
}

func fillExcerpts(ev *Events, out []Excerpt, kernelOf []int32) {
	t := ev.Trace
	at := map[int32]*Excerpt{}
	lanes := map[int32]map[trace.TrackID]*Lane{}
	for i := range out {
		s := int32(out[i].Step)
		at[s], lanes[s] = &out[i], map[trace.TrackID]*Lane{}
		out[i].Start, out[i].End = ev.Steps[s].First, ev.Steps[s].Last
	}
	host := map[trace.EventID]int32{} // launch calls to draw, by step
	for i, id := range t.GPU() {
		s := ev.stepOf[i]
		x := at[s]
		if x == nil {
			continue
		}
		e := t.Event(id)
		lane(t, lanes[s], e.Track).add(Span{e.Start, e.Dur, kernelOf[e.Name], "", e.Correlation})
		if c := ev.callOf[i]; c >= 0 {
			host[ev.calls[c].launch] = s
		}
	}
	calls := make([]trace.EventID, 0, len(host))
	for id := range host {
		calls = append(calls, id)
	}
	slices.Sort(calls)
	drawn := map[int32]int{}
	for _, id := range calls {
		s := host[id]
		x := at[s]
		if drawn[s]++; drawn[s] > maxHostSpans {
			x.Dropped++
			continue
		}
		e := t.Event(id)
		x.Start, x.End = min(x.Start, e.Start), max(x.End, e.End())
		lane(t, lanes[s], e.Track).add(Span{e.Start, e.Dur, -1, t.Name(e.Name), e.Correlation})
	}
	for s, x := range at {
		x.Lanes = sortLanes(lanes[s])
	}
}

func (l *Lane) add(s Span) { l.Spans = append(l.Spans, s) }

func lane(t *trace.Trace, lanes map[trace.TrackID]*Lane, id trace.TrackID) *Lane {
	if l := lanes[id]; l != nil {
		return l
	}
	tr := t.Track(id)
	l := &Lane{GPU: tr.GPU, Device: tr.Device, Stream: tr.Stream}
	if !tr.GPU {
		l.Name = "thread " + tr.Tid
	}
	lanes[id] = l
	return l
}

// sortLanes puts GPU streams first, and each lane's spans by start.
func sortLanes(m map[trace.TrackID]*Lane) []Lane {
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
