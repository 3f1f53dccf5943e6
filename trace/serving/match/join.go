package match

import "tokprof/trace/serving"

// join reads one engine's steps and writes what it finds into the result.
func join(t *timeline, requests []serving.Request, res *Result) {
	var rows []*row
	for i := range requests {
		if r, ok := newRow(t, i, &requests[i]); ok {
			rows = append(rows, r)
		} else {
			for j := range res.Requests[i].Tokens {
				res.Requests[i].Tokens[j].Why = Outside
			}
		}
	}
	m := newSearch(t, rows)
	l := m.replay(m.run())
	m.write(l, res)
}

// write puts the tokens of the log into the result.
func (m *search) write(l *log, res *Result) {
	t := m.t
	latest := int64(0)
	for k := range t.steps {
		room := t.room(k)
		continuing := len(l.given[k]) - l.entered[k]
		for i, g := range l.given[k] {
			r := m.rows[g.row]
			u := r.units[g.unit]
			n := int(u.n)
			if i < continuing {
				n = min(n, room-(continuing-1-i)) // the others get one at least
				room -= n
			}
			latest = max(latest, u.at-t.end[k])
			for j := range n {
				res.Requests[r.req].Tokens[int(u.first)+j] = Token{Step: t.index[k], Why: Joined}
			}
			if i >= continuing {
				res.Requests[r.req].Entered = t.index[k]
			}
			res.Explained++
		}
	}
	for _, r := range m.rows {
		m.rest(r, res.Requests[r.req].Tokens, latest)
	}
	res.Emitted += m.emitted(l)
}

// rest tells the tokens without a step apart: those that came before the
// recorded steps or after them, and those that nothing decides.
func (m *search) rest(r *row, tokens []Token, latest int64) {
	first, last := -1, -1
	for j, x := range tokens {
		if x.Why == Joined {
			if first < 0 {
				first = j
			}
			last = j
		}
	}
	for j := range tokens {
		at := r.q.TokenUnixNS[j]
		switch {
		case tokens[j].Why == Joined:
		case at < m.t.first()-slack, first >= 0 && j < first,
			first >= 0 && j > last && at >= m.t.last()-slack,
			at > m.t.last()+latest:
			tokens[j].Why = Outside
		}
	}
}

// emitted counts what the steps emitted by their annotations.
func (m *search) emitted(l *log) int64 {
	total := 0
	unnamed := 0 // context requests of the last such step that complete no row's prompt
	level := 0
	for k := range m.t.steps {
		s := &m.t.steps[k]
		gave := len(l.given[k])
		if m.t.whole(k) {
			total += int(s.Requests) - l.trailing[k]
			continue
		}
		if slots := m.t.slots(k); slots > 0 {
			short := slots - l.trailing[k] - (gave - l.entered[k])
			total += slots - l.trailing[k] + min(max(0, short-level), unnamed)
			level, unnamed = short, 0
		}
		total += l.entered[k]
		unnamed += int(s.ContextRequests) - l.entered[k]
	}
	return int64(total)
}
