package latency

import (
	"cmp"
	"slices"

	"tokprof/report/figures"
	"tokprof/trace/serving/match"
)

// split says for each request, and for all, in which parts of which steps its
// time went.
func (q *Requests) split(own []ownRow, lines []*line) {
	first, between := map[*line]*coverage{}, map[*line]*coverage{}
	for _, l := range lines {
		first[l], between[l] = newCoverage(l), newCoverage(l)
	}
	for i := range own {
		o, row := &own[i], &q.Rows[i]
		if o.tokens == nil || o.row.Failed() {
			continue
		}
		if f := firstToken(o); f != nil {
			row.FirstToken = f
			first[o.line].add(o.entered, o.tokens[0].Step)
			q.FirstToken = q.FirstToken.plus(f)
		}
		if g := betweenTokens(o, between[o.line]); g != nil {
			row.BetweenTokens = g
			q.BetweenTokens = q.BetweenTokens.plus(g)
		}
	}
	q.Roles = append(q.Roles, rolesOver("prefill", lines, first)...)
	q.Roles = append(q.Roles, rolesOver("decode", lines, between)...)
}

// firstToken splits a request's time to its first token; nil when its steps are
// not known.
func firstToken(o *ownRow) *FirstToken {
	if len(o.tokens) == 0 || o.entered == match.None || o.tokens[0].Step == match.None || o.tokens[0].Step < o.entered {
		return nil
	}
	l, from, to := o.line, o.entered, o.tokens[0].Step
	f := &FirstToken{
		Requests: 1, TimeNS: o.row.TokenUnixNS[0] - dueOf(o.row), QueueNS: l.from[from] - dueOf(o.row),
		PrefillNS: l.to[to] - l.from[from], DeliveryNS: o.row.TokenUnixNS[0] - l.to[to],
	}
	f.Parts, f.Phases = l.between(l.in[from], l.out[to])
	return f
}

// plus adds up; f may be nil.
func (f *FirstToken) plus(o *FirstToken) *FirstToken {
	if f == nil {
		f = &FirstToken{}
	}
	f.Requests += o.Requests
	f.TimeNS += o.TimeNS
	f.QueueNS += o.QueueNS
	f.PrefillNS += o.PrefillNS
	f.DeliveryNS += o.DeliveryNS
	f.Parts, f.Phases = addTimes(f.Parts, o.Parts), addTimes(f.Phases, o.Phases)
	return f
}

// addTimes adds a list to another, largest first.
func addTimes(to, list []figures.NameTime) []figures.NameTime {
	for _, t := range list {
		figures.AddTime(&to, t.Name, t.TimeNS)
	}
	return figures.ByTime(to)
}

// stalled is how many times longer than its steps a gap behind the last recorded
// step is when the server held the token back to stop its profiler.
const stalled = 5

// betweenTokens splits a request's gaps between tokens of known steps; nil when
// there is none.
func betweenTokens(o *ownRow, cover *coverage) *BetweenTokens {
	l, g := o.line, &BetweenTokens{}
	sums := make([]int64, len(l.parts)+len(l.phases))
	for k := 1; k < len(o.tokens); k++ {
		a, e := o.tokens[k-1].Step, o.tokens[k].Step
		if a == match.None || e == match.None || e < a {
			continue
		}
		steps := l.to[e] - l.to[a]
		gap := o.row.TokenUnixNS[k] - o.row.TokenUnixNS[k-1]
		if e == len(l.steps)-1 && gap > stalled*max(steps, 1) {
			g.Stalled++
			continue
		}
		g.Gaps++
		g.TimeNS += gap
		g.StepsNS += steps
		g.DeliveryNS += gap - steps
		for i := range sums {
			sums[i] += l.out[e][i] - l.out[a][i]
		}
		cover.add(a+1, e)
		for _, s := range l.steps[min(a+1, e) : e+1] {
			g.saw(s.Label.Phase.String(), gap)
		}
	}
	if g.Gaps+g.Stalled == 0 {
		return nil
	}
	g.Parts, g.Phases = l.between(make([]int64, len(sums)), sums)
	return g
}

func (g *BetweenTokens) plus(o *BetweenTokens) *BetweenTokens {
	if g == nil {
		g = &BetweenTokens{}
	}
	g.Gaps += o.Gaps
	g.Stalled += o.Stalled
	g.TimeNS += o.TimeNS
	g.StepsNS += o.StepsNS
	g.DeliveryNS += o.DeliveryNS
	g.Parts, g.Phases = addTimes(g.Parts, o.Parts), addTimes(g.Phases, o.Phases)
	for _, t := range o.Longest {
		g.saw(t.Name, t.TimeNS)
	}
	return g
}

// saw books a gap in which a step of a phase lies.
func (g *BetweenTokens) saw(phase string, gap int64) {
	for i := range g.Longest {
		if t := &g.Longest[i]; t.Name == phase {
			t.TimeNS = max(t.TimeNS, gap)
			return
		}
	}
	g.Longest = append(g.Longest, figures.NameTime{Name: phase, TimeNS: gap})
}

// coverage counts how often requests spent each step.
type coverage struct {
	line   *line
	change []int64 // of the count, from step to step
}

func newCoverage(l *line) *coverage {
	return &coverage{l, make([]int64, len(l.steps)+1)}
}

// add counts the steps from one to another, both included.
func (c *coverage) add(from, to int) {
	if from <= to {
		c.change[from]++
		c.change[to+1]--
	}
}

// rolesOver is the time of each role over all that was counted on each line,
// largest first.
func rolesOver(span string, lines []*line, covers map[*line]*coverage) []RequestRole {
	sums := map[string]int64{}
	for _, l := range lines {
		covers[l].sum(sums)
	}
	out := []RequestRole{}
	for role, t := range sums {
		out = append(out, RequestRole{span, role, t})
	}
	slices.SortFunc(out, func(x, y RequestRole) int {
		return cmp.Or(cmp.Compare(y.TimeNS, x.TimeNS), cmp.Compare(x.Role, y.Role))
	})
	return out
}

// sum adds the time of each role over all that was counted.
func (c *coverage) sum(roles map[string]int64) {
	count := int64(0)
	for i, s := range c.line.steps {
		count += c.change[i]
		for _, cell := range s.Cells {
			if cell.Role != "" && count > 0 {
				roles[cell.Role] += count * cell.TimeNS
			}
		}
	}
}
