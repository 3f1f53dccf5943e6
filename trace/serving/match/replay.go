package match

import (
	"cmp"
	"slices"
)

// What a reading of the counts costs, as the negative logarithm of how rare the
// thing is: only the order of magnitude matters.
const (
	costChange  = 3.0 // one more or fewer request than the rows explain, from a step to the next
	costBefore  = 1.0 // the same at the first step
	costOut     = 1.0 // a running request left out of a step
	costLate    = 3.0 // that cannot afford it
	costMissed  = 0.5 // a token without a step
	costLost    = 4.0 // a request that never got in
	costTrail   = 0.1 // a step that a request ran past its end of sequence
	costOverrun = 0.8 // the same past its last token
)

// running is a request in generation and the unit that it gets next.
type running struct {
	row, unit int32
	ran       int32 // the step that served it last
	out       bool  // left out of the last step
}

// choice is what a reading decided at one step: everything else follows.
type choice struct {
	prev  *choice
	step  int32
	rows  []int32 // whose prompts the step completed
	alien bool    // its other context requests were nobody's
}

// reading is one way to read the steps up to some point.
type reading struct {
	cost  float64
	run   []running
	taken []int32 // rows that are or were running, of those that the step in hand could take
	open  int64   // prompt tokens computed of a request that is still waiting
	known bool    // open is what it says: nothing from before the first step
	level int     // running requests more than the last step's count
	begun bool    // level is what it says
	gone  [2]int  // requests that got their last token in the step before: by length, by end of sequence
	ended [2]int  // those that did in this step
	from  *start
	last  *choice
}

func (h *reading) clone() *reading {
	c := *h
	c.run, c.taken = slices.Clone(h.run), slices.Clone(h.taken)
	return &c
}

// emitted is told of each unit that a step gave.
type emitted func(k int, row, unit int32)

// serve gives the running requests their units of step k.
func (m *search) serve(h *reading, k int, tell emitted) {
	t := m.t
	m.skipMissed(h, k)
	slots := t.slots(k)
	m.served = min(len(h.run), slots)
	if slots == 0 && (t.apart || t.steps[k].ContextRequests == 0) {
		return // others are in prefill, or nothing ran at all
	}
	n := len(h.run)
	if n > slots || t.turns > 1 {
		m.leaveOut(h, k, max(n-slots, m.elsewhere(h, k)))
	}
	h.gone, h.ended = h.ended, [2]int{}
	if !t.whole(k) {
		m.setLevel(h, n+m.trail(h, k, slots-n)-slots, costChange)
	}
	keep := h.run[:0]
	for _, r := range h.run {
		if r.out && (n > slots || t.turns > 1) {
			keep = append(keep, r)
			continue
		}
		if tell != nil {
			tell(k, r.row, r.unit)
		}
		r.out, r.ran = false, int32(k)
		if r.unit++; m.unfinished(h, r) {
			keep = append(keep, r)
		}
	}
	h.run = keep
}

// trail fills slots that nobody explains with requests that had just ended: an
// asynchronous engine learns so a step late.
func (m *search) trail(h *reading, k, empty int) int {
	trailing := 0
	for why, cost := range [2]float64{costOverrun, costTrail} {
		if use := min(empty-trailing, h.gone[why]); use > 0 {
			trailing += use
			h.cost += cost * float64(use)
		}
	}
	if m.log != nil {
		m.log.trailing[k] = trailing
	}
	return trailing
}

// unfinished says whether a request has units left, and notes it as ended if not.
func (m *search) unfinished(h *reading, r running) bool {
	row := m.rows[r.row]
	if int(r.unit) < len(row.units) {
		return true
	}
	if row.ends {
		h.ended[1]++
	} else {
		h.ended[0]++
	}
	return false
}

// setLevel charges a change of what the rows do not explain.
func (m *search) setLevel(h *reading, level int, cost float64) {
	if m.t.turns > 1 {
		return // how many belong to which batch is not known
	}
	h.cost += h.levelCost(level, cost)
	h.level, h.begun = level, true
}

// levelCost of a first step is low: others may have been running before it.
func (h *reading) levelCost(level int, cost float64) float64 {
	if !h.begun {
		cost = costBefore
	}
	return cost * float64(max(level-h.level, h.level-level))
}

// skipMissed drops units that came before step k ended: a step that was not
// recorded gave them.
func (m *search) skipMissed(h *reading, k int) {
	lost := false
	for i := range h.run {
		r := &h.run[i]
		units := m.rows[r.row].units
		for int(r.unit) < len(units) && units[r.unit].at < m.t.end[k]-slack {
			r.unit++
			h.cost += costMissed
		}
		lost = lost || int(r.unit) == len(units)
	}
	if lost {
		h.run = slices.DeleteFunc(h.run, func(r running) bool { return int(r.unit) == len(m.rows[r.row].units) })
	}
}

// elsewhere is how many running requests are in the batch of another stage.
func (m *search) elsewhere(h *reading, k int) int {
	n := 0
	for _, r := range h.run {
		if int32(k)-r.ran < m.t.turns {
			n++
		}
	}
	return n
}

// leaveOut marks n of the running requests as those that step k did not serve:
// those with the least claims.
func (m *search) leaveOut(h *reading, k, n int) {
	claims := m.claims(h, k, n)
	left := make([]bool, len(claims))
	for _, x := range leastClaims(claims, n) {
		left[x.i] = true
	}
	for _, x := range claims {
		r, out := &h.run[x.i], left[x.i]
		if m.log != nil && (out || x.wait > 0) {
			if _, known := m.log.swayed[r.row]; !known {
				m.log.swayed[r.row] = r.unit
			}
		}
		if out && !r.out && m.t.turns == 1 {
			h.cost += costOut
		}
		if out && x.must {
			h.cost += costLate
		}
		r.out = out
	}
}

// claim is what a running request has to a slot of a step.
type claim struct {
	i    int   // in the reading's
	wait int32 // steps that it can wait
	must bool  // it cannot
	back int   // -1: comes back here after it was preempted, 1: cannot come back here
	out  bool
	sent int64
}

func (a claim) compare(b claim) int {
	return cmp.Or(-compareBool(a.must, b.must), cmp.Compare(a.back, b.back), cmp.Compare(a.wait, b.wait),
		compareBool(a.out, b.out), cmp.Compare(a.sent, b.sent), cmp.Compare(a.i, b.i))
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// leastClaims are n of them.
func leastClaims(claims []claim, n int) []claim {
	if n > 32 {
		sorted := slices.SortedFunc(slices.Values(claims), claim.compare)
		return sorted[len(sorted)-n:]
	}
	var least []claim // in order
	for _, x := range claims {
		if n == 0 || len(least) == n && x.compare(least[0]) < 0 {
			continue
		}
		i, _ := slices.BinarySearchFunc(least, x, claim.compare)
		if least = slices.Insert(least, i, x); len(least) > n {
			least = slices.Delete(least, 0, 1)
		}
	}
	return least
}

// claims are what the running requests have to step k, which leaves n out: least
// those that can wait longest, and of equals those already out and those sent
// last, which engines preempt first.
func (m *search) claims(h *reading, k, n int) []claim {
	t := m.t
	s := &t.steps[k]
	recompute := s.GenerationTokens - s.GenerationRequests
	// Who was preempted comes back with a recomputation, and so shows in the
	// tokens of its step; where many are left out, others are at work on them.
	preempted := !t.drafts && !t.whole(k) && n <= t.slots(k)/4+1
	claims := make([]claim, 0, len(h.run))
	for i, r := range h.run {
		row := m.rows[r.row]
		x := claim{i: i, wait: row.late[r.unit] - t.genAt[k], out: r.out, sent: row.q.SentUnixNS}
		x.must = x.wait <= 0
		over := row.need + int64(row.units[r.unit].first) - (recompute + 1)
		switch {
		case int32(k)-r.ran < t.turns: // another stage's batch
			x.back, x.must = 1, false
		case !preempted || !r.out:
		case recompute == 0:
			x.back = 1
		case recompute > 0 && over >= 0 && over%16 == 0: // whole blocks were still cached
			x.back = -1
		}
		claims = append(claims, x)
	}
	return claims
}
