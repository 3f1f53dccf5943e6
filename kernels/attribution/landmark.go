package attribution

import (
	"strings"

	"tokprof/kernels/role"
	"tokprof/trace"
)

// landmarkSteps finds steps where nothing is annotated: a step ends behind its
// last sampling kernel, and one begins at the slot mapping, the embedding, or
// the first input copied behind sampling. A pipeline's first stage has no
// sampler and its last no embedding, so either is enough. What comes before the
// first attention kernel belongs to the first step.
func landmarkSteps(ev *Events) ([]Step, []int32) {
	t := ev.Trace
	stepOf := make([]int32, len(t.GPU()))
	l := &landmarks{ev: ev, classes: map[trace.NameID]landmark{}}
	var steps []Step
	step := int32(-1)
	for i := range stepOf {
		if l.begins(i) {
			step++
			steps = append(steps, Step{Label: trace.StepLabel{}})
		}
		stepOf[i] = step
	}
	if !l.any {
		// No attention anywhere: not a model's passes.
		for i := range stepOf {
			stepOf[i] = -1
		}
		return nil, stepOf
	}
	for i := range steps {
		steps[i].Label.Phase = l.phases[i].phase()
	}
	fillSpans(ev, steps, stepOf)
	return steps, stepOf
}

// landmark is what a kernel says about where a step begins.
type landmark struct {
	anchor, sample, start, input bool
	decode, prefill              bool
}

// landmarks walks the GPU events by start.
type landmarks struct {
	ev       *Events
	classes  map[trace.NameID]landmark
	any      bool // attention was seen
	begun    bool
	anchored bool // since the last border
	sampled  bool
	phases   []phaseSigns
}

// phaseSigns count what tells prefill and decode apart.
type phaseSigns struct{ decode, prefill, graph int }

// phase is known from kernels that serve one phase only, and from attention
// inside a graph replay, which servers use for decode batches.
func (p phaseSigns) phase() trace.Phase {
	switch {
	case p.decode > 0 && p.prefill > 0:
		return trace.Mixed
	case p.prefill > 0:
		return trace.Prefill
	case p.decode > 0, p.graph > 0:
		return trace.Decode
	}
	return trace.NoPhase
}

func (l *landmarks) begins(i int) bool {
	m := l.of(i)
	border := !l.begun || l.anchored && (m.start || l.sampled && m.input)
	l.begun = true
	if border {
		l.anchored, l.sampled = false, false
		l.phases = append(l.phases, phaseSigns{})
	}
	p := &l.phases[len(l.phases)-1]
	if m.anchor {
		l.any, l.anchored = true, true
		switch {
		case m.decode:
			p.decode++
		case m.prefill:
			p.prefill++
		}
		if l.ev.InGraph(i) {
			p.graph++
		}
	}
	l.sampled = l.sampled || m.sample && l.anchored
	return border
}

func (l *landmarks) of(i int) landmark {
	t := l.ev.Trace
	n := t.NameOf(t.GPU()[i])
	if m, ok := l.classes[n]; ok {
		return m
	}
	match := l.ev.match[n]
	c, _ := role.Classify(match, t.Name(n))
	m := landmark{
		anchor:  c == role.Core || c == role.Linear,
		sample:  c == role.Sample,
		start:   c == role.Embed || strings.Contains(t.Name(n), "slot_mapping"),
		input:   c == role.Norm || c == role.Gemm || match.Group == "attention" || match.Subgroup == "memcpy_h2d",
		decode:  match.Subgroup == "decode" || match.Subgroup == "mla_decode",
		prefill: match.Subgroup == "prefill" || match.Subgroup == "mla_prefill",
	}
	l.classes[n] = m
	return m
}

// fillSpans gives landmark steps the host time of their launches.
func fillSpans(ev *Events, steps []Step, stepOf []int32) {
	t := ev.Trace
	for i, id := range t.GPU() {
		if stepOf[i] < 0 {
			continue
		}
		s := &steps[stepOf[i]]
		start, end := t.Start(id), t.Start(id)+t.Dur(id)
		if l := t.LaunchOf(i); l != trace.NoEvent {
			start, end = t.Start(l), t.Start(l)+t.Dur(l)
			s.Pid = t.Track(t.TrackOf(l)).Pid
		}
		if s.End == 0 {
			s.Start, s.End = start, end
		}
		s.Start, s.End = min(s.Start, start), max(s.End, end)
	}
}
