package match

import (
	"cmp"
	"math"
	"slices"
	"sort"

	"tokprof/trace/serving"
)

// slack is how much earlier than the end of its step a token may arrive: GPU
// and host clocks are aligned to some tens of microseconds, and the last GPU
// event of a step is not always the one its tokens wait for.
const slack = 500_000

// timeline is the steps of one engine in order.
type timeline struct {
	steps []Step
	index []int   // of each in the caller's steps
	end   []int64 // no later than any later step's

	gens  []int32 // steps that serve running requests
	genAt []int32 // how many of gens come before each step; one more at the end
	ctxAt []int32 // the next step at or after each that may take in requests; len(steps) for none

	// apart says that prefills run in steps of their own (SGLang), so that
	// running requests wait meanwhile.
	apart bool
	// turns is how many steps apart a request is served: batches take turns in
	// the stages of a pipeline. 1 where every step serves all.
	turns int32
	// drafts says that steps check drafted tokens, so that a request may get
	// several in a step.
	drafts bool
	untold bool // generation steps say nothing of tokens
}

func newTimeline(steps []Step, of []int) *timeline {
	t := &timeline{index: slices.Clone(of)}
	var last Step
	times := make(map[int]Step, len(of))
	for _, i := range of {
		s := steps[i]
		if s.Start == 0 && s.End == 0 { // launched nothing: stands behind the one before
			s.Start, s.End = last.End, last.End
		}
		s.End = max(s.Start, s.End)
		times[i], last = s, s
	}
	slices.SortStableFunc(t.index, func(a, b int) int { return cmp.Compare(times[a].Start, times[b].Start) })
	for _, i := range t.index {
		t.steps = append(t.steps, clean(times[i]))
	}
	t.tellApart()
	n := len(t.steps)
	t.end = make([]int64, n)
	for k := n - 1; k >= 0; k-- {
		t.end[k] = t.steps[k].End
		if k+1 < n {
			t.end[k] = min(t.end[k], t.end[k+1])
		}
	}
	t.genAt, t.ctxAt = make([]int32, n+1), make([]int32, n+1)
	for k := range t.steps {
		t.genAt[k] = int32(len(t.gens))
		if t.slots(k) > 0 {
			t.gens = append(t.gens, int32(k))
		}
	}
	t.genAt[n], t.ctxAt[n] = int32(len(t.gens)), int32(n)
	for k := n - 1; k >= 0; k-- {
		t.ctxAt[k] = t.ctxAt[k+1]
		if t.steps[k].ContextRequests > 0 || t.whole(k) {
			t.ctxAt[k] = int32(k)
		}
	}
	t.habits()
	return t
}

// clean drops what no annotation says.
func clean(s Step) Step {
	for _, p := range []*int64{&s.ContextRequests, &s.ContextTokens, &s.GenerationRequests, &s.GenerationTokens, &s.Requests, &s.Tokens} {
		*p = min(max(*p, 0), 1<<30)
	}
	return s
}

// tellApart splits the counts of steps whose annotations do not: as many tokens
// as requests is a step of generation alone, and where steps with more tokens
// have fewer requests than the generation beside them, prefills run alone.
func (t *timeline) tellApart() {
	one, alone, beside := 0, 0, 0
	for k := range t.steps {
		if s := &t.steps[k]; t.whole(k) && s.Tokens == s.Requests {
			s.GenerationRequests, s.GenerationTokens = s.Requests, s.Tokens
			one++
		}
	}
	for k := 1; k+1 < len(t.steps) && one > 0; k++ {
		if s := &t.steps[k]; t.whole(k) && s.Tokens > s.Requests && t.steps[k-1].GenerationRequests > 0 {
			// Those that go on do so in the step itself, or only after it.
			if s.Requests < t.steps[k-1].GenerationRequests && t.steps[k+1].Requests > s.Requests {
				alone++
			} else {
				beside++
			}
		}
	}
	for k := range t.steps {
		if s := &t.steps[k]; t.whole(k) && s.Tokens > s.Requests && alone > beside {
			s.ContextRequests, s.ContextTokens = s.Requests, s.Tokens
		}
	}
}

// whole says that a step's counts do not tell context and generation apart.
func (t *timeline) whole(k int) bool {
	s := &t.steps[k]
	return s.ContextRequests == 0 && s.GenerationRequests == 0 && s.Requests > 0
}

// slots is how many running requests a step can serve.
func (t *timeline) slots(k int) int {
	if t.whole(k) {
		return int(t.steps[k].Requests)
	}
	return int(t.steps[k].GenerationRequests)
}

// room is how many tokens a step can emit to requests that it serves for
// generation: one each, or as many as it checks.
func (t *timeline) room(k int) int {
	s := &t.steps[k]
	switch {
	case t.whole(k):
		return max(t.slots(k), int(s.Tokens))
	case t.drafts && s.GenerationTokens == 0:
		return 1 << 30
	case t.drafts:
		return max(t.slots(k), int(s.GenerationTokens))
	}
	return t.slots(k)
}

// habits learns how the engine schedules.
func (t *timeline) habits() {
	alone, mixed, drafting, untold, gens := 0, 0, 0, 0, 0
	for k := range t.steps {
		s := &t.steps[k]
		switch {
		case s.ContextRequests > 0 && s.GenerationRequests > 0:
			mixed++
		case s.ContextRequests > 0:
			alone++
		}
		if s.GenerationRequests > 0 {
			gens++
			if s.GenerationTokens > s.GenerationRequests {
				drafting++
			} else if s.GenerationTokens == 0 {
				untold++
			}
		}
	}
	t.apart = mixed == 0 && alone > 1
	// A resumed request computes several tokens too, but in few steps.
	t.drafts = drafting*3 > gens
	t.untold = untold == gens
}

// listen learns from the tokens of some requests what counts do not say: whether
// batches take turns, and whether requests get several tokens in a step.
func (t *timeline) listen(requests []serving.Request, mine []bool) *timeline {
	var every []float64
	together, all := 0, 0
	for i := range requests {
		if !mine[i] {
			continue
		}
		var first, last, n int
		for j, at := range requests[i].TokenUnixNS {
			if at < t.first() || at > t.last() {
				continue
			}
			last = int(t.genAt[t.ended(at)])
			if n++; n == 1 {
				first = last
			} else if at == requests[i].TokenUnixNS[j-1] {
				together++
			}
		}
		if all += n; n > 4 {
			every = append(every, float64(last-first)/float64(n-1))
		}
	}
	c := *t
	c.drafts = t.drafts || t.untold && together*4 > all
	if c.turns = 1; len(every) > 0 && !c.drafts {
		slices.Sort(every)
		c.turns = max(1, int32(math.Round(every[len(every)/2])))
	}
	return &c
}

// ended is how many steps had ended at a moment.
func (t *timeline) ended(at int64) int {
	return sort.Search(len(t.end), func(k int) bool { return t.end[k]-slack > at })
}

// first and last are the bounds of the recorded time: the end of the first step
// and of the last.
func (t *timeline) first() int64 { return t.end[0] }
func (t *timeline) last() int64  { return t.end[len(t.end)-1] }

// started is the first step that began at or after one moment and ended at or
// after another.
func (t *timeline) started(sent, ended int64) int {
	k := sort.Search(len(t.steps), func(k int) bool { return t.steps[k].Start+slack >= sent })
	return max(k, sort.Search(len(t.end), func(k int) bool { return t.end[k] >= ended }))
}
