package document

import (
	"slices"

	"tokprof/kernels/attribution"
	"tokprof/kernels/breakdown"
	"tokprof/trace"
	"tokprof/trace/serving"
	"tokprof/trace/serving/match"
)

// joined is the tokens of a window's rows among the steps of its engines.
type joined struct {
	reason string // why there is no join; "" when there is one
	lines  []*stepLine
	at     []lineStep // of each step that took part in the join
	result match.Result
}

// lineStep is a step of one of several lines.
type lineStep struct{ line, step int }

// join merges the steps of each engine's ranks and joins tokens with them. Dummy
// batches stand on the line, but emit nothing.
func (b *builder) join(rows []serving.Request) joined {
	engines, reason := b.engineSteps()
	if reason != "" {
		return joined{reason: reason}
	}
	// Of requests that went through a router, the rows all name server 0.
	told := slices.ContainsFunc(rows, func(r serving.Request) bool { return r.Server > 0 })
	j := joined{}
	var in []match.Step
	for n, e := range engines {
		line := newStepLine(e.steps)
		line.rank, line.several = e.rank, len(engines) > 1
		j.lines = append(j.lines, line)
		for k := range line.steps {
			if line.steps[k].label.Phase == trace.Dummy {
				continue
			}
			s := matchStep(&line.steps[k])
			if s.Engine = n; told {
				s.Server = e.server + 1
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
	o.line = newStepLine(nil)
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
		row.EnteredStep = o.line.steps[o.entered].index
	}
	if len(o.tokens) > 0 && o.tokens[0].Step != match.None {
		row.FirstStep = o.line.steps[o.tokens[0].Step].index
	}
}

// engineStep is one step over all ranks of the engine: from the first GPU event
// of any rank to the last.
type engineStep struct {
	index      int // among the steps of the engine's first rank
	label      trace.StepLabel
	start, end int64
	cells      []stepCell // the ranks' mean; add up to end - start
}

// stepCell is time in one part, and in one role of it ("" for none).
type stepCell struct {
	part, role string
	time       int64
}

// servedSteps is the steps of one engine.
type servedSteps struct {
	rank   int // whose numbers the steps have
	server int // -1 when unknown
	steps  []engineStep
}

// engineSteps merges the steps of each engine's ranks, or says why that cannot be
// done. An engine that served nobody is left out.
func (b *builder) engineSteps() (engines []servedSteps, reason string) {
	of := map[int][]int{}
	var order []int
	for i, r := range b.ranks {
		if !r.Info.Epoch {
			return nil, "a trace does not say where its clock starts"
		}
		if of[r.Info.Replica] == nil {
			order = append(order, r.Info.Replica)
		}
		of[r.Info.Replica] = append(of[r.Info.Replica], i)
	}
	reason = "no step says how many requests it served"
	for _, replica := range order {
		ranks := of[replica]
		if !b.counted(ranks) {
			continue
		}
		steps, why := b.mergeSteps(ranks)
		switch {
		case why != "":
			return nil, why
		case len(steps) == 0:
			reason = "no step has GPU events"
		default:
			engines = append(engines, servedSteps{b.number[ranks[0]], b.engines[ranks[0]].server, steps})
		}
	}
	if len(engines) > 0 {
		return engines, ""
	}
	return nil, reason
}

// counted says whether a step of some ranks says how many requests it served.
func (b *builder) counted(ranks []int) bool {
	return slices.ContainsFunc(ranks, func(i int) bool {
		return slices.ContainsFunc(b.ranks[i].Steps, func(s attribution.Step) bool { return s.Label.Requests > 0 })
	})
}

// mergeSteps merges the steps of the ranks of one engine.
func (b *builder) mergeSteps(of []int) (steps []engineStep, reason string) {
	lead := b.ranks[of[0]].Steps
	var ranks []*breakdown.Rank
	for _, i := range of {
		ranks = append(ranks, b.ranks[i])
	}
	sums := make([][]rankStep, len(lead))
	for m, shift := range alignSteps(ranks) {
		cells := b.rankCells(of[m])
		for n := range ranks[m].Steps {
			s := &ranks[m].Steps[n]
			k := n + int(shift)
			if unannotated(s) {
				k = sameDummy(lead, s)
			} else if k >= 0 && k < len(lead) && unannotated(&lead[k]) {
				continue
			}
			if k < 0 || k >= len(lead) || !s.Ran() {
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
	return steps, ""
}

// unannotated says that a step is a dummy batch that nothing but its kernels
// tells: such stand behind all others, so that their numbers say nothing.
func unannotated(s *attribution.Step) bool { return s.Label.Phase == trace.Dummy && s.Name == "" }

// sameDummy is the dummy batch of steps that ran at the time of another rank's,
// -1 when none did.
func sameDummy(steps []attribution.Step, s *attribution.Step) int {
	best, most := -1, trace.Time(0)
	for k := range steps {
		if o := &steps[k]; unannotated(o) {
			if both := min(s.Last, o.Last) - max(s.First, o.First); both > most {
				best, most = k, both
			}
		}
	}
	return best
}

// rankStep is one rank's part in a step; cells add up to busy.
type rankStep struct {
	first, last, busy int64
	cells             []stepCell
}

// rankCells splits the busy time of each step of a rank by part and role. Where
// streams overlap, the time is shared in proportion.
func (b *builder) rankCells(i int) [][]stepCell {
	r, at := b.ranks[i], 0 // where the rank's steps begin in the document
	for _, before := range b.ranks[:i] {
		at += len(before.Steps)
	}
	out := make([][]stepCell, len(r.Steps))
	for _, s := range r.StepSums {
		if s.Part != attribution.PartComm {
			out[s.Step] = append(out[s.Step], stepCell{s.Part.String(), s.Role.String(), int64(s.Time)})
		}
	}
	for n := range out {
		for _, p := range b.a.Steps[at+n].Parts {
			if p.Name == "comm" || p.Name == "transfer" || p.Name == "waiting" || p.Name == wholeGraphs {
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
