package match

import (
	"cmp"
	"slices"
)

// breadth is how many readings are followed side by side.
const breadth = 32

// search reads one engine's steps.
type search struct {
	t      *timeline
	rows   []*row // by first token
	byFrom []int32
	served int // requests served by the step in hand
	log    *log
}

func newSearch(t *timeline, rows []*row) *search {
	m := &search{t: t, rows: rows}
	slices.SortFunc(rows, func(a, b *row) int {
		return cmp.Or(cmp.Compare(a.units[0].at, b.units[0].at), cmp.Compare(a.req, b.req))
	})
	for i, r := range rows {
		if t.ctxAt[min(int(r.from), len(t.steps))] <= r.due {
			m.byFrom = append(m.byFrom, int32(i))
		}
	}
	slices.SortStableFunc(m.byFrom, func(a, b int32) int { return cmp.Compare(rows[a].from, rows[b].from) })
	return m
}

// child is a reading that was not made yet.
type child struct {
	of      *reading
	o       option
	cost    float64 // with what the next step's count will say
	state   uint64
	waiting int
}

// run follows the readings through all steps and returns the likeliest.
func (m *search) run() *reading {
	hs := m.begin()
	next := 0
	for k := range m.t.steps {
		from := next
		for next < len(m.byFrom) && int(m.rows[m.byFrom[next]].from) <= k {
			next++
		}
		arrived := sorted(m.byFrom[from:next])
		takes := int(m.t.ctxAt[k]) == k
		var children []child
		for _, h := range hs {
			m.arrive(h, arrived)
			m.serve(h, k, nil)
			if takes {
				m.expire(h, k)
				children = m.branch(h, k, children)
			}
		}
		if takes {
			hs = m.choose(k, children)
		}
	}
	return slices.MinFunc(hs, func(a, b *reading) int { return cmp.Compare(a.cost, b.cost) })
}

// arrive puts rows into the waiting list.
func (m *search) arrive(h *reading, rows []int32) {
	for _, w := range rows {
		if _, ran := slices.BinarySearch(h.from.rows, w); ran {
			continue
		}
		i, _ := slices.BinarySearch(h.wait, w)
		h.wait = slices.Insert(h.wait, i, w)
	}
}

// expire drops the rows that no step can take any more.
func (m *search) expire(h *reading, k int) {
	h.wait = slices.DeleteFunc(h.wait, func(w int32) bool {
		if m.rows[w].due >= int32(k) {
			return false
		}
		h.cost += costLost
		return true
	})
}

func (m *search) branch(h *reading, k int, children []child) []child {
	t := m.t
	state := uint64(h.open)*0x9e3779b97f4a7c15 + uint64(h.level)*0xbf58476d1ce4e5b9
	for _, r := range h.run {
		state += mix(r.row, r.unit, r.out)
	}
	for _, w := range h.wait {
		state += mix(w, -1, false)
	}
	for _, o := range m.options(h, k) {
		c := child{of: h, o: o, cost: h.cost + o.cost, state: state + uint64(o.open)*0x94d049bb133111eb}
		grown := len(h.run)
		for _, w := range o.rows {
			c.state += mix(w, 1, false) - mix(w, -1, false)
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
	seen := make(map[uint64]bool, breadth)
	var out []*reading
	for _, c := range children {
		if seen[c.state] {
			continue
		}
		seen[c.state] = true
		h := c.of.clone()
		m.enter(h, k, c.o, nil)
		if out = append(out, h); len(out) == breadth {
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
		h.wait = slices.DeleteFunc(h.wait, func(w int32) bool { return slices.Contains(o.rows, w) })
	}
	if m.t.whole(k) {
		m.trail(h, k, int(m.t.steps[k].Requests)-m.served-len(o.rows))
	}
	for _, w := range o.rows {
		if tell != nil {
			tell(k, w, 0)
		}
		if r := (running{row: w, unit: 1, ran: int32(k)}); m.unfinished(h, r) {
			h.run = append(h.run, r)
		}
	}
}
