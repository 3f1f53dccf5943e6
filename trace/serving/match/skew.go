package match

import (
	"slices"

	"tokprof/trace/serving"
)

// skew estimates how far the client's clock is from the GPU's, from prompts
// whose length no other request and no other step has: when their first token
// came after that step, less a typical delay. ok is false when there are too few
// or they do not agree.
func skew(t *timeline, requests []serving.Request, mine []bool) (ns int64, ok bool) {
	const near = 10_000_000_000 // no clock of a serving host is further off
	const typical = 1_000_000
	lo, hi := t.first()-near, t.last()+near
	ofStep, ofRow := map[int64]int{}, map[int64]int{}
	for k := range t.steps {
		if s := &t.steps[k]; s.ContextRequests == 1 {
			keepOnly(ofStep, s.ContextTokens, k)
		} else {
			ofStep[s.ContextTokens] = None
		}
	}
	for i := range requests {
		if at := requests[i].TokenUnixNS; mine[i] && len(at) > 0 && at[0] > lo && at[0] < hi {
			keepOnly(ofRow, int64(requests[i].PromptTokens), i)
		}
	}
	var apart []int64
	for tokens, i := range ofRow {
		if k, found := ofStep[tokens]; found && k != None && i != None {
			apart = append(apart, requests[i].TokenUnixNS[0]-t.steps[k].End)
		}
	}
	if len(apart) < 3 {
		return 0, false
	}
	slices.Sort(apart)
	n := len(apart)
	agree := apart[n*3/4]-apart[n/4] < 100_000_000
	return apart[n/10] - typical, agree
}

// keepOnly remembers the one owner of a number, None when it has several.
func keepOnly(m map[int64]int, number int64, owner int) {
	if _, taken := m[number]; taken {
		owner = None
	}
	m[number] = owner
}

// shifted is the timeline on a clock that is ns ahead.
func (t *timeline) shifted(ns int64) *timeline {
	c := *t
	c.steps, c.end = slices.Clone(t.steps), slices.Clone(t.end)
	for k := range c.steps {
		c.steps[k].Start += ns
		c.steps[k].End += ns
		c.end[k] += ns
	}
	return &c
}

// aligned reads the steps on the GPU's clock, and, where that explains little,
// on the client's as its prompts suggest it; the likelier reading is kept.
func aligned(t *timeline, requests []serving.Request, mine []bool) (*search, *reading) {
	m, kept := read(t, requests, mine)
	ns, ok := skew(t, requests, mine)
	if !ok || ns > -slack && m.good(m.replay(kept)) {
		return m, kept
	}
	if other, better := read(t.shifted(ns), requests, mine); better.cost < kept.cost {
		return other, better
	}
	return m, kept
}

// good says that the log explains most of what was emitted.
func (m *search) good(l *log) bool {
	given := 0
	for k := range l.given {
		given += len(l.given[k])
	}
	return int64(given)*10 >= m.emitted(l)*9
}
