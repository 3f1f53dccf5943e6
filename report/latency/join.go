package latency

import (
	"slices"

	"tokprof/trace"
	"tokprof/trace/serving"
	"tokprof/trace/serving/match"
)

// joined is the tokens of a window's rows among the steps of its engines.
type joined struct {
	reason string // why there is no join; "" when there is one
	lines  []*line
	at     []lineStep // of each step that took part in the join
	result match.Result
}

// lineStep is a step of one of several lines.
type lineStep struct{ line, step int }

// join joins the tokens of rows with the steps of engines. Dummy batches stand on
// the line, but emit nothing.
func join(engines []Engine, rows []serving.Request, words map[string]string) joined {
	// Of requests that went through a router, the rows all name server 0.
	told := slices.ContainsFunc(rows, func(r serving.Request) bool { return r.Server > 0 })
	j := joined{}
	var in []match.Step
	for n, e := range engines {
		l := newLine(slices.Clone(e.Steps))
		l.rank, l.several, l.words = e.Rank, len(engines) > 1, words
		j.lines = append(j.lines, l)
		for k := range l.steps {
			if l.steps[k].Label.Phase == trace.Dummy {
				continue
			}
			s := matchStep(&l.steps[k])
			if s.Engine = n; told {
				s.Server = e.Server + 1
			}
			in, j.at = append(in, s), append(j.at, lineStep{n, k})
		}
	}
	j.result = match.Steps(in, rows)
	return j
}

// place gives a row the line of the engine that served it, and its tokens' steps
// on that.
func (j *joined) place(o *ownRow) {
	o.line = newLine(nil)
	if j.reason != "" || o.at < 0 {
		return
	}
	here := func(step int) int {
		if step == match.None {
			return match.None
		}
		o.line = j.lines[j.at[step].line]
		return j.at[step].step
	}
	r := j.result.Requests[o.at]
	o.entered = here(r.Entered)
	o.tokens = slices.Clone(r.Tokens)
	for k := range o.tokens {
		o.tokens[k].Step = here(o.tokens[k].Step)
	}
}

// matchStep is a step with what its annotation counts.
func matchStep(s *Step) match.Step {
	l, out := s.Label, match.Step{Start: s.Start, End: s.End}
	switch {
	case l.Scheme == trace.SchemeContext:
		out.ContextRequests, out.ContextTokens = l.ContextRequests, l.ContextTokens
		out.GenerationRequests, out.GenerationTokens = l.GenerationRequests, l.GenerationTokens
	case l.Scheme == trace.SchemeBracket && l.Phase == trace.Prefill && l.Tokens > 0:
		out.ContextRequests, out.ContextTokens = l.Requests, l.Tokens
	case l.Scheme == trace.SchemeBracket && l.Phase == trace.Decode:
		out.GenerationRequests, out.GenerationTokens = l.Requests, l.Tokens
	default:
		out.Requests, out.Tokens = l.Requests, l.Tokens
	}
	return out
}

// joinRow counts a row's tokens by how they were placed; sum.Sure is a count
// until all rows are in.
func joinRow(sum *Join, row *Request, o *ownRow) {
	if o.tokens == nil {
		sum.Unmatched += row.OutputTokens
		return
	}
	for _, t := range o.tokens {
		switch t.Why {
		case match.Joined:
			row.Joined++
			if t.Sure {
				sum.Sure++
			}
		case match.Outside:
			sum.Outside++
		default:
			sum.Unmatched++
		}
	}
	sum.Joined += row.Joined
	row.Rank = o.line.rank
	if o.entered != match.None {
		row.EnteredStep = o.line.steps[o.entered].Index
	}
	if len(o.tokens) > 0 && o.tokens[0].Step != match.None {
		row.FirstStep = o.line.steps[o.tokens[0].Step].Index
	}
}
