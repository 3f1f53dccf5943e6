package latency

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"tokprof/report/figures"
	"tokprof/trace/serving/match"
)

// slowTokens is how many of the slowest tokens are told.
const slowTokens = 10

// slowGap is a gap between two tokens of a request.
type slowGap struct {
	own  *ownRow
	pos  int
	gap  int64
	end  stepKey
	also int64
}

// stepKey is the step that ended a gap. Tokens of no known step are told once
// each, too: of no line.
type stepKey struct {
	line *line
	step int
}

const (
	unknownStep  = -1
	outsideSteps = -2
)

// rank and index of the step, for an order.
func (s stepKey) rank() int {
	if s.line == nil {
		return -1
	}
	return s.line.rank
}

// slowest are the longest gaps between tokens above the median, at most one for
// each step: a slow step makes all its requests wait. reason says why there are
// no steps.
func slowest(own []ownRow, reason string, median int64) []SlowToken {
	worst := map[stepKey]*slowGap{}
	each(own, func(g slowGap) {
		if w := worst[g.end]; w == nil {
			worst[g.end] = &g
		} else if g.gap > w.gap {
			*w = g
		}
	})
	each(own, func(g slowGap) {
		if w := worst[g.end]; g.end.step >= 0 && g.own.row != w.own.row && 2*g.gap >= w.gap {
			w.also++
		}
	})
	var found []slowGap
	for _, g := range worst {
		found = append(found, *g)
	}
	slices.SortStableFunc(found, func(x, y slowGap) int {
		return cmp.Or(cmp.Compare(y.gap, x.gap), cmp.Compare(x.end.step, y.end.step), cmp.Compare(x.end.rank(), y.end.rank()),
			cmp.Compare(x.own.row.ID, y.own.row.ID), cmp.Compare(x.pos, y.pos))
	})
	out := []SlowToken{}
	for _, g := range found[:min(slowTokens, len(found))] {
		if g.gap <= median && len(out) > 0 {
			break
		}
		out = append(out, g.tell(reason))
	}
	return out
}

// each calls f for every gap of the requests that ended as they should.
func each(own []ownRow, f func(slowGap)) {
	for i := range own {
		o := &own[i]
		if o.at < 0 || o.row.Failed() {
			continue
		}
		for k := 1; k < len(o.row.TokenUnixNS); k++ {
			g := slowGap{own: o, pos: k, gap: o.row.TokenUnixNS[k] - o.row.TokenUnixNS[k-1], end: stepKey{nil, unknownStep}}
			if o.tokens != nil {
				switch t := o.tokens[k]; t.Why {
				case match.Joined:
					g.end = stepKey{o.line, t.Step}
				case match.Outside:
					g.end.step = outsideSteps
				}
			}
			if g.gap > 0 {
				f(g)
			}
		}
	}
}

// tell puts a gap into words.
func (g slowGap) tell(reason string) SlowToken {
	t := SlowToken{Request: g.own.row.ID, Position: g.pos, GapNS: g.gap, Also: g.also, Step: -1, Parts: []figures.NameTime{}}
	switch {
	case reason != "":
		t.Why = "not joined with a step: " + reason
		return t
	case g.end.step == outsideSteps:
		t.Why = "emitted outside the recorded steps"
		return t
	case g.end.step == unknownStep:
		t.Why = "counts and times leave open which step emitted it"
		return t
	}
	l, step := g.end.line, g.end.step
	t.Step, t.Rank, t.Phase = l.steps[step].Index, l.rank, l.steps[step].Label.Phase.String()
	before := g.own.tokens[g.pos-1].Step
	if before == match.None || before > step {
		t.Why = "the step of the token before it is not known"
		return t
	}
	t.StepsNS = l.to[step] - l.to[before]
	t.DeliveryNS = g.gap - t.StepsNS
	t.Parts, _ = l.between(l.out[before], l.out[step])
	if t.Parts == nil {
		t.Parts = []figures.NameTime{}
	}
	t.Why = g.why(&t, l, before)
	return t
}

// why is the main reason of a gap: what took half of it, or what took longer
// than it usually does.
func (g slowGap) why(t *SlowToken, l *line, before int) string {
	if 2*t.DeliveryNS >= g.gap {
		return g.late(l)
	}
	steps := l.steps[min(before+1, g.end.step) : g.end.step+1]
	did := l.name(steps)
	if words, ns := prefillOf(steps); 2*ns >= t.StepsNS && ns > 0 {
		return did + words
	}
	if len(steps) > 1 {
		return did + " ran, and only the last gave this request a token"
	}
	did += ": " + t.Phase
	name, more := "", max(0, t.DeliveryNS)
	for _, p := range t.Parts {
		if d := p.TimeNS - l.usual(t.Phase, p.Name); d > more {
			name, more = p.Name, d
		}
	}
	switch {
	case 10*more < g.gap:
		return did + ", hardly slower than others"
	case name == "":
		return fmt.Sprintf("%s, delivered %s later than the token before", did, figures.Dur(more))
	case name == "idle":
		return fmt.Sprintf("%s, the GPU idle for %s longer than in the median step", did, figures.Dur(more))
	}
	return fmt.Sprintf("%s, %s more in %s than the median step", did, figures.Dur(more), cmp.Or(l.words[name], name+" kernels"))
}

// late says how a token was delivered that left its step long before.
func (g slowGap) late(l *line) string {
	at := g.own.row.TokenUnixNS
	together := 1
	for k := g.pos + 1; k < len(at) && at[k] == at[g.pos]; k++ {
		together++
	}
	words := fmt.Sprintf("delivery: %s from the end of its step to the client", figures.Dur(at[g.pos]-l.to[g.end.step]))
	switch {
	case g.end.step == len(l.steps)-1:
		words += "; it was the last one recorded, and the profiler stopped then"
	case together > 1:
		words += fmt.Sprintf(", which got %d tokens at once", together)
	}
	return words
}

// name names steps: "step 17", "steps 15–17", "step 17 of rank 2" beside others'
// lines.
func (l *line) name(steps []Step) string {
	of := ""
	if l.several {
		of = fmt.Sprintf(" of rank %d", l.rank)
	}
	if len(steps) == 1 {
		return fmt.Sprintf("step %d%s", steps[0].Index, of)
	}
	return fmt.Sprintf("steps %d–%d%s", steps[0].Index, steps[len(steps)-1].Index, of)
}

// prefillOf says what steps did of others' prompts, and how long the steps that
// did so took.
func prefillOf(steps []Step) (words string, ns int64) {
	var tokens, requests int64
	phases := []string{}
	for _, s := range steps {
		if s.Label.ContextRequests > 0 {
			tokens += s.Label.ContextTokens
			requests += s.Label.ContextRequests
			ns += s.End - s.Start
			phases = withName(phases, s.Label.Phase.String())
		}
	}
	if ns == 0 {
		return "", 0
	}
	words = fmt.Sprintf(": %s, prefill of %s tokens", strings.Join(phases, " and "), figures.Count(tokens))
	switch {
	case len(steps) > 1: // chunks of one prompt look like prompts of several
	case requests > 1:
		words += fmt.Sprintf(" of %d other requests", requests)
	default:
		words += " of another request"
	}
	return words, ns
}

// usual is the median time of a part over the steps of a phase, each with the
// pause before it.
func (l *line) usual(phase, part string) int64 {
	column := slices.Index(l.parts, part)
	var times []int64
	for i := 1; i < len(l.steps) && column >= 0; i++ {
		if l.steps[i].Label.Phase.String() == phase {
			times = append(times, l.out[i][column]-l.out[i-1][column])
		}
	}
	slices.Sort(times)
	return figures.Quantile(times, 0.5)
}
