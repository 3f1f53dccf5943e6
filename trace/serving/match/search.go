package match

import (
	"cmp"
	"slices"
)

// breadth is how many readings are followed side by side, fewer where they would
// serve more than effort requests in all.
const (
	breadth = 32
	effort  = 100_000_000
)

// search reads one engine's steps.
type search struct {
	t     *timeline
	rows  []*row // by first token
	width int    // readings

	byFrom, byDue []int32 // rows that some step can take, by the first such and by the last
	from, due     int     // how far these are done
	open          []int32 // those that the step in hand can, by first token
	longest       []int32 // of these, those that the next one can too, the longest prompts first
	served        int     // requests served by the step in hand

	log *log
}

func newSearch(t *timeline, rows []*row) *search {
	m := &search{t: t, rows: rows}
	slices.SortFunc(rows, func(a, b *row) int {
		return cmp.Or(cmp.Compare(a.units[0].at, b.units[0].at), cmp.Compare(a.req, b.req))
	})
	before := 0
	for i, r := range rows {
		if t.ctxAt[min(int(r.from), len(t.steps))] <= r.due {
			m.byFrom = append(m.byFrom, int32(i))
		}
		if r.before {
			before++
		}
	}
	m.byDue = slices.Clone(m.byFrom)
	slices.SortStableFunc(m.byFrom, func(a, b int32) int { return cmp.Compare(rows[a].from, rows[b].from) })
	slices.SortStableFunc(m.byDue, func(a, b int32) int { return cmp.Compare(rows[a].due, rows[b].due) })
	work := 1
	for k := range t.steps {
		work += min(t.slots(k), len(rows)) + before
	}
	m.width = min(max(effort/work, 4), breadth)
	return m
}

// child is a reading that was not made yet.
type child struct {
	of    *reading
	o     option
	cost  float64 // with what the next step's count will say
	state uint64
}

// run follows the readings through all steps and returns the likeliest.
func (m *search) run() *reading {
	hs := m.begin()
	for k := range m.t.steps {
		takes := m.advance(k, hs)
		var children []child
		for _, h := range hs {
			m.serve(h, k, nil)
			if takes {
				children = m.branch(h, k, children)
			}
		}
		if takes {
			hs = m.choose(k, children)
		}
	}
	return slices.MinFunc(hs, func(a, b *reading) int { return cmp.Compare(a.cost, b.cost) })
}

// advance brings the rows that step k can take up to date, and says whether it
// takes any.
func (m *search) advance(k int, hs []*reading) bool {
	if k == 0 {
		m.open, m.from, m.due = nil, 0, 0
	}
	for ; m.from < len(m.byFrom) && int(m.rows[m.byFrom[m.from]].from) <= k; m.from++ {
		w := m.byFrom[m.from]
		i, _ := slices.BinarySearch(m.open, w)
		m.open = slices.Insert(m.open, i, w)
	}
	for ; m.due < len(m.byDue) && int(m.rows[m.byDue[m.due]].due) < k; m.due++ {
		m.expire(hs, m.byDue[m.due])
	}
	if int(m.t.ctxAt[k]) != k {
		return false
	}
	m.findLongest(k)
	return true
}

// expire drops a row that no step can take any more.
func (m *search) expire(hs []*reading, w int32) {
	if i, found := slices.BinarySearch(m.open, w); found {
		m.open = slices.Delete(m.open, i, i+1)
	}
	for _, h := range hs {
		if i := slices.Index(h.taken, w); i >= 0 {
			h.taken = slices.Delete(h.taken, i, i+1)
		} else {
			h.cost += costLost
		}
	}
}

// findLongest lists the longest prompts that could go on after step k.
func (m *search) findLongest(k int) {
	const enough = 64
	m.longest = m.longest[:0]
	for _, w := range m.open {
		r := m.rows[w]
		if m.t.ctxAt[k+1] > r.due {
			continue
		}
		i, _ := slices.BinarySearchFunc(m.longest, r.need, func(o int32, need int64) int { return cmp.Compare(need, m.rows[o].need) })
		if i < enough {
			m.longest = slices.Insert(m.longest, i, w)
			m.longest = m.longest[:min(len(m.longest), enough)]
		}
	}
}

func (m *search) branch(h *reading, k int, children []child) []child {
	t := m.t
	state := uint64(h.open)*0x9e3779b97f4a7c15 + uint64(h.level)*0xbf58476d1ce4e5b9
	for _, r := range h.run {
		state += mix(r.row, r.unit, r.out)
	}
	for _, w := range h.taken {
		state += mix(w, 0, false)
	}
	for _, o := range m.options(h, k) {
		c := child{of: h, o: o, cost: h.cost + o.cost, state: state + uint64(o.open)*0x94d049bb133111eb}
		grown := len(h.run)
		for _, w := range o.rows {
			if i, again := h.resumed(w); again {
				r := h.run[i]
				c.state += mix(r.row, r.unit+1, false) - mix(r.row, r.unit, r.out)
				continue
			}
			c.state += mix(w, 1, false) + mix(w, 0, false)
			if len(m.rows[w].units) > 1 {
				grown++
			}
		}
		if g := int(t.genAt[k+1]); g < len(t.gens) && t.gens[g] <= t.ctxAt[k+1] && !t.whole(k) && t.turns == 1 {
			level := grown - t.slots(int(t.gens[g]))
			if level < 0 {
				level = min(0, level+h.ended[0]+h.ended[1])
			}
			c.cost += h.levelCost(level, costChange)
		}
		children = append(children, c)
	}
	return children
}

func mix(row, unit int32, out bool) uint64 {
	x := uint64(uint32(row))<<32 | uint64(uint32(unit))<<1
	if out {
		x |= 1
	}
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// choose makes the best of the children, one of each state.
func (m *search) choose(k int, children []child) []*reading {
	slices.SortStableFunc(children, func(a, b child) int { return cmp.Compare(a.cost, b.cost) })
	seen := make(map[uint64]bool, m.width)
	var out []*reading
	for _, c := range children {
		if seen[c.state] {
			continue
		}
		seen[c.state] = true
		h := c.of.clone()
		m.enter(h, k, c.o, nil)
		if out = append(out, h); len(out) == m.width {
			break
		}
	}
	return out
}

// enter lets the rows of an option start at step k.
func (m *search) enter(h *reading, k int, o option, tell emitted) {
	h.cost += o.cost
	h.open, h.known = o.open, o.known
	if len(o.rows) > 0 || o.alien {
		h.last = &choice{prev: h.last, step: int32(k), rows: o.rows, alien: o.alien}
	}
	if m.t.whole(k) {
		m.trail(h, k, int(m.t.steps[k].Requests)-m.served-len(o.rows))
	}
	for _, w := range o.rows {
		r := running{row: w}
		if i, again := h.resumed(w); again {
			r = h.run[i]
			h.run = slices.Delete(h.run, i, i+1)
		} else {
			h.taken = append(h.taken, w)
		}
		if tell != nil {
			tell(k, r.row, r.unit)
		}
		r.unit, r.ran, r.out = r.unit+1, int32(k), false
		if m.unfinished(h, r) {
			h.run = append(h.run, r)
		}
	}
}
