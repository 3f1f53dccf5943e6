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
	Kernel      int32 // into Rank.Kernels, -1 on the host
	Name        string
	Correlation uint64
	Layer       int16 // -1 on the host and outside layers
	Role        role.Role
	Part        attribution.Part
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
			if ev.Steps[s].Launches > 0 {
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
			if s.Label.Phase != x.Phase || s.Launches == 0 {
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
		if s.Label.Phase == p && s.Launches > 0 {
			of = append(of, i)
		}
	}
	slices.SortStableFunc(of, func(a, b int) int {
		return cmp.Compare(steps[a].Last-steps[a].First, steps[b].Last-steps[b].First)
	})
	return of
}

func fillExcerpts(ev *attribution.Events, out []Excerpt, kernelOf []int32) {
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
		s := int32(ev.StepOf(i))
		x := at[s]
		if x == nil {
			continue
		}
		e, known := t.Event(id), ev.Known(i)
		lane(t, lanes[s], e.Track).add(Span{
			Start: e.Start, Dur: e.Dur, Kernel: kernelOf[e.Name], Correlation: e.Correlation,
			Layer: known.Layer, Role: known.Role, Part: known.Part,
		})
		if c := ev.CallOf(i); c >= 0 {
			host[ev.Calls[c].Launch] = s
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
		lane(t, lanes[s], e.Track).add(Span{Start: e.Start, Dur: e.Dur, Kernel: -1, Name: t.Name(e.Name), Correlation: e.Correlation, Layer: -1})
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
