package attribution

import (
	"slices"
	"strings"

	"tokprof/kernels/role"
	"tokprof/trace"
)

// landmarkSteps finds steps where nothing is annotated: a step ends behind its
// last sampling kernel, and one begins at the slot mapping, the embedding, or
// the first input copied behind sampling. A pipeline's first stage has no
// sampler and its last no embedding, so either is enough. What comes before the
// first attention kernel belongs to the first step. A graph recorded as a whole
// hides the attention of its pass, so it stands for it; behind sampling it
// begins the next pass. The steps of graph runs follow from that order too.
func landmarkSteps(ev *Events, blind bool) (steps []Step, stepOf, runOf []int32) {
	t := ev.Trace
	stepOf, runOf = make([]int32, len(t.GPU())), make([]int32, 0, len(t.GraphRuns))
	l := &landmarks{ev: ev, classes: map[trace.NameID]landmark{}}
	step := int32(-1)
	until := func(at trace.Time) {
		for n := len(runOf); n < len(t.GraphRuns) && t.GraphRuns[n].Start < at; n++ {
			runOf = append(runOf, step+l.whole())
		}
	}
	for i, id := range t.GPU() {
		until(t.Start(id))
		if l.begins(i) {
			step++
			steps = append(steps, Step{Label: trace.StepLabel{}})
		}
		stepOf[i] = step
	}
	until(1<<63 - 1)
	if !l.any {
		// No attention anywhere: not a model's passes.
		return nil, slices.Repeat([]int32{-1}, len(stepOf)), slices.Repeat([]int32{-1}, len(runOf))
	}
	for i := range runOf {
		if int(runOf[i]) == len(steps) {
			runOf[i] = -1 // of a pass whose events the recording ends before
		}
	}
	if !blind {
		l.countQueries(stepOf)
	}
	for i := range steps {
		steps[i].Label.Phase = l.phases[i].phase()
	}
	fillSpans(ev, steps, stepOf)
	return steps, stepOf, runOf
}

// landmark is what a kernel says about where a step begins.
type landmark struct {
	anchor, sample, start, input bool
	decode, prefill              bool
	embedNorm                    bool
}

// landmarks walks the GPU events by start.
type landmarks struct {
	ev      *Events
	classes map[trace.NameID]landmark
	any     bool // attention was seen, or graphs that may hide it between the marks of steps
	begun   bool
	// opening is the norm, fused with the embedding, that opens each pass; norms
	// behind it may have the embedding in their names too.
	opening  trace.NameID
	opens    bool // opening is known
	early    int  // whole graphs that came in front of their step's first event
	anchored bool // since the last border
	sampled  bool
	phases   []phaseSigns
}

// phaseSigns count what tells prefill and decode apart.
type phaseSigns struct{ decode, prefill, graph, anchors, whole int }

// phase is known from kernels that serve one phase only, and from attention
// inside a graph replay, which servers use for decode batches: inside a whole
// graph where none is seen beside it.
func (p phaseSigns) phase() trace.Phase {
	switch {
	case p.decode > 0 && p.prefill > 0:
		return trace.Mixed
	case p.prefill > 0:
		return trace.Prefill
	case p.decode > 0, p.graph > 0, p.whole > 0 && p.anchors == 0:
		return trace.Decode
	}
	return trace.NoPhase
}

func (l *landmarks) begins(i int) bool {
	m := l.of(i)
	if m.embedNorm {
		n := l.ev.Trace.NameOf(l.ev.Trace.GPU()[i])
		if !l.opens && !l.anchored {
			l.opening, l.opens = n, true
		}
		m.start = l.opens && n == l.opening
	}
	border := !l.begun || l.early > 0 || l.anchored && (m.start || l.sampled && m.input)
	l.any = l.any || l.anchored && (border || m.sample)
	if border {
		l.begun, l.anchored, l.sampled = true, l.early > 0, false
		l.phases = append(l.phases, phaseSigns{whole: l.early})
		l.early = 0
	}
	p := &l.phases[len(l.phases)-1]
	if m.anchor {
		l.any, l.anchored = true, true
		p.anchors++
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

// whole is told of a graph recorded as a whole where it starts among the events.
// It returns how many steps behind the one before it the graph belongs to.
func (l *landmarks) whole() int32 {
	if !l.begun || l.early > 0 || l.sampled {
		l.early++
		return 1
	}
	l.anchored = true
	l.phases[len(l.phases)-1].whole++
	return 0
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
		anchor:    c == role.Core || c == role.Linear,
		sample:    c == role.Sample,
		start:     c == role.Embed || strings.Contains(t.Name(n), "slot_mapping"),
		input:     c == role.Norm || c == role.EmbedNorm || c == role.Gemm || match.Group == "attention" || match.Subgroup == "memcpy_h2d",
		embedNorm: c == role.EmbedNorm,
		decode:    match.Subgroup == "decode" || match.Subgroup == "mla_decode",
		prefill:   match.Subgroup == "prefill" || match.Subgroup == "mla_prefill",
	}
	l.classes[n] = m
	return m
}

// countQueries reads the phases of steps from the shapes of their attention. One
// position a request is decode. More are a prompt's where the recording also
// holds decode; by itself an encoder's or a training step's looks the same.
func (l *landmarks) countQueries(stepOf []int32) {
	t := l.ev.Trace
	if !t.HasShapes() {
		return
	}
	external := map[uint64]bool{}
	anchors := func(visit func(step int32, op uint64)) {
		for i, id := range t.GPU() {
			if stepOf[i] >= 0 && l.of(i).anchor && !l.ev.InGraph(i) {
				visit(stepOf[i], t.Event(id).External)
			}
		}
	}
	anchors(func(_ int32, op uint64) { external[op] = op != 0 })
	queries := t.Queries(external)
	decode := false
	anchors(func(_ int32, op uint64) { decode = decode || queries[op] == 1 })
	if !decode {
		return
	}
	anchors(func(step int32, op uint64) {
		switch n := queries[op]; {
		case n == 1:
			l.phases[step].decode++
		case n > 1:
			l.phases[step].prefill++
		}
	})
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
