package match

import "tokprof/trace/serving"

// read finds the likeliest reading of one engine's steps with those requests
// that can be its own.
func read(t *timeline, requests []serving.Request, mine []bool) (*search, *reading) {
	t = t.listen(requests, mine)
	var rows []*row
	for i := range requests {
		if !mine[i] {
			continue
		}
		if r, ok := newRow(t, i, &requests[i]); ok {
			rows = append(rows, r)
		}
	}
	m := newSearch(t, rows)
	return m, m.run()
}

// write puts the tokens of the log into the result and returns how long the
// latest of them took.
func (m *search) write(l *log, res *Result) (latest int64) {
	t := m.t
	from, head := m.uncertain(l)
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
			sure := g.unit < from[g.row] && !(g.unit == 0 && head[g.row])
			latest = max(latest, u.at-t.end[k])
			for j := range n {
				res.Requests[r.req].Tokens[int(u.first)+j] = Token{Step: t.index[k], Why: Joined, Sure: sure}
			}
			if i >= continuing && g.unit == 0 {
				res.Requests[r.req].Entered = t.index[k]
				if b, early := l.began[g.row]; early && b == None {
					res.Requests[r.req].Entered = None
				} else if early {
					res.Requests[r.req].Entered = t.index[b]
				}
			}
			res.Explained++
		}
	}
	res.Emitted += m.emitted(l)
	return latest
}

// bounds of the recorded time: the ends of its first step and of its last, and
// the longest way of a token from its step to the client.
type bounds struct{ first, last, latest int64 }

// rest tells the tokens without a step apart: those that came before the
// recorded steps or after them, and those that nothing decides.
func (b bounds) rest(q *serving.Request, tokens []Token) {
	from, to := len(tokens), len(tokens) // of the joined ones
	for j, x := range tokens {
		if x.Why == Joined {
			from, to = min(from, j), j
		}
	}
	for j, at := range q.TokenUnixNS {
		switch {
		case tokens[j].Why == Joined:
		case at < b.first-slack, at > b.last+b.latest, q.SentUnixNS > b.last,
			from < len(tokens) && j < from, j > to && at >= b.last-slack:
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
