package match

import (
	"cmp"
	"slices"
)

// start is what a reading takes to have been so before the first step.
type start struct {
	rows []int32 // that were running
	unit []int32 // the first of each that a recorded step gives

	waited []int32 // those of rows that a recorded step could have taken instead
}

// begin makes the readings of what ran before the first step: who was running,
// and how many tokens of each were on their way.
func (m *search) begin() []*reading {
	var sure, may []int32
	for i, r := range m.rows {
		switch {
		case r.before:
			sure = append(sure, int32(i))
		case r.q.SentUnixNS < m.t.steps[0].Start && len(may) < 4:
			may = append(may, int32(i))
		}
	}
	straddling, likely := m.straddling(sure)
	var out []*reading
	add := func(cost float64, lag int32, n int, behind map[int32]bool) {
		s := &start{rows: sorted(append(slices.Clone(sure), may[:n]...)), waited: may[:n]}
		h := &reading{cost: cost + 1.5*float64(n), from: s, taken: slices.Clone(may[:n])}
		for _, w := range s.rows {
			u := m.firstUnit(w) + lag
			if behind[w] {
				u++
			}
			s.unit = append(s.unit, max(1, u))
		}
		m.resume(h)
		out = append(out, h)
	}
	for lag, cost := range []float64{0, 0.7, 3} {
		for n := range len(may) + 1 {
			if len(straddling) == 0 {
				add(cost, int32(lag), n, nil)
				continue
			}
			doubt := 1.0
			if likely {
				doubt = 0
			}
			add(cost+doubt, int32(lag), n, straddling)
			add(cost+1-doubt, int32(lag), n, nil)
		}
		if len(sure) == 0 {
			break
		}
	}
	return out
}

// firstUnit is the first unit of a row that the first step can have given so
// that it and all later ones come in time.
func (m *search) firstUnit(w int32) int32 {
	r := m.rows[w]
	p := 0
	for p < len(r.units) && r.units[p].at < m.t.first()-slack {
		p++
	}
	for q := p; q < len(r.units); q++ {
		if r.late[q] >= 0 {
			return int32(q)
		}
	}
	return int32(p)
}

// straddling are the rows whose tokens come at the end of a burst, after the
// next step has ended, while others' come before: the tokens of a step come
// together, so that the widest gap between rows is where one burst ends and the
// next begins. likely says that this is plain.
func (m *search) straddling(rows []int32) (behind map[int32]bool, likely bool) {
	t := m.t
	if len(rows) < 2 || len(t.gens) < 2 {
		return nil, false
	}
	n := min(len(t.gens), 64)
	round := (t.end[t.gens[n-1]] - t.end[t.gens[0]]) / int64(n-1)
	type phase struct {
		row  int32
		late int64
	}
	var at []phase
	for _, w := range rows {
		r := m.rows[w]
		var late []int64
		for i, u := 0, m.firstUnit(w); int(u) < len(r.units) && i < n; i, u = i+1, u+1 {
			late = append(late, r.units[u].at-t.end[t.gens[i]])
		}
		if len(late) > 0 {
			slices.Sort(late)
			at = append(at, phase{w, late[len(late)/2]})
		}
	}
	if len(at) < 2 {
		return nil, false
	}
	slices.SortFunc(at, func(a, b phase) int { return cmp.Or(cmp.Compare(a.late, b.late), cmp.Compare(a.row, b.row)) })
	around := at[0].late + round - at[len(at)-1].late
	widest, cut := int64(0), 0
	for i := 1; i < len(at); i++ {
		if gap := at[i].late - at[i-1].late; gap > widest {
			widest, cut = gap, i
		}
	}
	if widest <= around {
		return nil, false
	}
	behind = make(map[int32]bool, cut)
	for _, p := range at[:cut] {
		behind[p.row] = true
	}
	return behind, widest > 2*around
}

// resume sets the requests running that were so before the first step.
func (m *search) resume(h *reading) {
	for i, w := range h.from.rows {
		if u := h.from.unit[i]; int(u) < len(m.rows[w].units) {
			h.run = append(h.run, running{row: w, unit: u, ran: -m.t.turns})
		}
	}
}
