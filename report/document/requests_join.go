package document

import (
	"slices"

	"tokprof/kernels/attribution"
	"tokprof/trace"
	"tokprof/trace/serving"
	"tokprof/trace/serving/match"
)

// joined is the tokens of a window's rows among the steps of its engine.
type joined struct {
	reason string // why there is no join; "" when there is one
	line   *stepLine
	result match.Result
}

// join merges the ranks' steps and joins tokens with them.
func (b *builder) join(rows []serving.Request) joined {
	steps, reason := b.engineSteps()
	if reason != "" {
		return joined{reason: reason, line: newStepLine(nil)}
	}
	j := joined{line: newStepLine(steps)}
	in := make([]match.Step, len(j.line.steps))
	for i, s := range j.line.steps {
		in[i] = matchStep(&s)
	}
	j.result = match.Steps(in, rows)
	return j
}

// matchStep is a step with what its annotation counts.
func matchStep(s *engineStep) match.Step {
	l, out := s.label, match.Step{Start: s.start, End: s.end}
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
func (b *builder) joinRow(sum *Join, row *Request, o ownRow, j joined) {
	if j.reason != "" {
		sum.Unmatched += row.OutputTokens
		return
	}
	r := j.result.Requests[o.at]
	for _, t := range r.Tokens {
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
	if r.Entered != match.None {
		row.EnteredStep = j.line.steps[r.Entered].index
	}
	if len(r.Tokens) > 0 && r.Tokens[0].Step != match.None {
		row.FirstStep = j.line.steps[r.Tokens[0].Step].index
	}
}

// engineStep is one step over all ranks of the engine: from the first GPU event
// of any rank to the last.
type engineStep struct {
	index      int // among the steps of the first rank
	label      trace.StepLabel
	start, end int64
	cells      []stepCell // the ranks' mean; add up to end - start
}

// stepCell is time in one part, and in one role of it ("" for none).
type stepCell struct {
	part, role string
	time       int64
}

// engineSteps merges the ranks' steps, or says why that cannot be done.
func (b *builder) engineSteps() (steps []engineStep, reason string) {
	if reason := b.unjoinable(); reason != "" {
		return nil, reason
	}
	lead := b.ranks[0].Steps
	sums := make([][]rankStep, len(lead))
	shift, at := alignSteps(b.ranks), 0
	for i, r := range b.ranks {
		cells := b.rankCells(i, at)
		at += len(r.Steps)
		for n, s := range r.Steps {
			k := n + int(shift[i])
			if k < 0 || k >= len(lead) || s.Launches == 0 {
				continue
			}
			if s.Name != lead[k].Name {
				return nil, "the ranks do not run the same steps"
			}
			sums[k] = append(sums[k], rankStep{int64(s.First), int64(s.Last), int64(s.Busy), cells[n]})
		}
	}
	for k, ranks := range sums {
		if len(ranks) > 0 {
			steps = append(steps, mergeRanks(k, lead[k].Label, ranks))
		}
	}
	if len(steps) == 0 {
		return nil, "no step has GPU events"
	}
	return steps, ""
}

// unjoinable says what keeps the tokens of a window from being joined.
func (b *builder) unjoinable() string {
	counted := false
	for _, r := range b.ranks {
		if r.Info.Replica != b.ranks[0].Info.Replica {
			return "several replicas ran, and the requests do not say which one served them"
		}
		if !r.Info.Epoch {
			return "a trace does not say where its clock starts"
		}
		for _, s := range r.Steps {
			counted = counted || s.Label.Requests > 0
		}
	}
	if !counted {
		return "no step says how many requests it served"
	}
	return ""
}

// rankStep is one rank's part in a step; cells add up to busy.
type rankStep struct {
	first, last, busy int64
	cells             []stepCell
}

// rankCells splits the busy time of each step of a rank by part and role; at is
// where the rank's steps begin in the document. Where streams overlap, the time
// is shared in proportion.
func (b *builder) rankCells(i, at int) [][]stepCell {
	r := b.ranks[i]
	out := make([][]stepCell, len(r.Steps))
	for _, s := range r.StepSums {
		if s.Part != attribution.PartComm {
			out[s.Step] = append(out[s.Step], stepCell{s.Part.String(), s.Role.String(), int64(s.Time)})
		}
	}
	for n := range out {
		for _, p := range b.a.Steps[at+n].Parts {
			if p.Name == "comm" || p.Name == "transfer" || p.Name == "waiting" {
				out[n] = append(out[n], stepCell{p.Name, "", p.TimeNS})
			}
		}
		out[n] = resized(out[n], int64(r.Steps[n].Busy))
	}
	return out
}

// mergeRanks is the mean of the ranks over the span of all of them: what a rank
// does not work of it, it idles.
func mergeRanks(index int, label trace.StepLabel, ranks []rankStep) engineStep {
	s := engineStep{index: index, label: label, start: ranks[0].first, end: ranks[0].last}
	for _, r := range ranks {
		s.start, s.end = min(s.start, r.first), max(s.end, r.last)
	}
	idle := int64(0)
	for _, r := range ranks {
		worked := int64(0)
		for _, c := range r.cells {
			s.add(c)
			worked += c.time
		}
		idle += s.end - s.start - worked
	}
	s.add(stepCell{"idle", "", idle})
	s.cells = resized(s.cells, s.end-s.start)
	return s
}

func (s *engineStep) add(c stepCell) {
	for i := range s.cells {
		if s.cells[i].part == c.part && s.cells[i].role == c.role {
			s.cells[i].time += c.time
			return
		}
	}
	s.cells = append(s.cells, c)
}

// resized makes cells add up to a total, each in proportion; what rounding
// leaves goes to the largest. Without any time there is nothing to share.
func resized(cells []stepCell, total int64) []stepCell {
	cells = slices.DeleteFunc(cells, func(c stepCell) bool { return c.time <= 0 })
	var sum int64
	for _, c := range cells {
		sum += c.time
	}
	if sum == 0 || total <= 0 {
		return nil
	}
	if sum == total {
		return cells
	}
	out := make([]stepCell, len(cells))
	left, largest := total, 0
	for i, c := range cells {
		out[i] = c
		out[i].time = proportion(c.time, total, sum)
		left -= out[i].time
		if c.time > cells[largest].time {
			largest = i
		}
	}
	out[largest].time += left
	return out
}
