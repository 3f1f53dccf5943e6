package match

// run is the tokens of one row as they were placed.
type run struct {
	row     int32
	steps   []int32
	first   int32 // unit
	entered bool  // the first of them completed the prompt
	whole   bool  // the last unit is among them
	from    int32 // number of the gens that served the first continuing unit
	to      int32 // and the last
	free    bool  // another reading would move them
	head    bool  // the first token alone
}

// doubt finds what another reading would move.
type doubt struct {
	m     *search
	l     *log
	short []int // generation requests of each of the gens that nobody explains
	runs  []*run
	limit int64 // the latest promptest token of a run that the counts place alone
	trail bool  // requests ran past their end
}

// uncertain returns, for each row, the first unit that another reading could
// move, never for none.
func (m *search) uncertain(l *log) (from []int32, head []bool) {
	d := &doubt{m: m, l: l, limit: -1}
	d.gather()
	for _, r := range d.runs {
		later, earlier := d.laterCounts(r), d.earlierCounts(r)
		if !later && !earlier {
			d.limit = max(d.limit, d.promptest(r, 0))
		}
	}
	for _, r := range d.runs {
		d.judge(r)
	}
	d.swaps()
	from, head = make([]int32, len(m.rows)), make([]bool, len(m.rows))
	for i := range from {
		from[i] = never
		if u, swayed := l.swayed[int32(i)]; swayed {
			from[i] = u
		}
	}
	for _, r := range d.runs {
		if r.free {
			from[r.row] = 0
		}
		head[r.row] = r.head
	}
	return from, head
}

// gather collects the runs and what the counts leave unexplained.
func (d *doubt) gather() {
	t := d.m.t
	of := make([]*run, len(d.m.rows))
	for k, gave := range d.l.given {
		for i, g := range gave {
			r := of[g.row]
			if r == nil {
				r = &run{row: g.row, first: g.unit, entered: i >= len(gave)-d.l.entered[k], from: never}
				of[g.row] = r
				d.runs = append(d.runs, r)
			}
			r.steps = append(r.steps, int32(k))
			r.whole = int(g.unit)+1 == len(d.m.rows[g.row].units)
			if i < len(gave)-d.l.entered[k] {
				r.from, r.to = min(r.from, t.genAt[k]), t.genAt[k]
			}
		}
		d.trail = d.trail || d.l.trailing[k] > 0
	}
	d.short = make([]int, len(t.gens))
	for g, k := range t.gens {
		d.short[g] = t.slots(int(k)) - d.l.trailing[k] - (len(d.l.given[k]) - d.l.entered[k])
	}
}

// bump says whether the counts allow n more unexplained requests in the gens a
// to b: none gets more than it has, and no change of the count loses its reason.
func (d *doubt) bump(a, b int32, n int) bool {
	b = min(b, int32(len(d.short))-1)
	if a = max(a, 0); a > b {
		return true
	}
	for g := a; g <= b; g++ {
		if d.short[g]+n < 0 {
			return false
		}
	}
	worse := 0
	abs := func(x int) int { return max(x, -x) }
	if a > 0 {
		worse += abs(d.short[a]+n-d.short[a-1]) - abs(d.short[a]-d.short[a-1])
	}
	if int(b)+1 < len(d.short) {
		worse += abs(d.short[b]+n-d.short[b+1]) - abs(d.short[b]-d.short[b+1])
	}
	return worse <= 0
}

// endMoves says whether the counts allow that a run ends that many gens later,
// or earlier when negative.
func (d *doubt) endMoves(r *run, by int32) bool {
	row := d.m.rows[r.row]
	switch {
	case by == 0, !r.whole, r.from == never, row.ends && d.trail:
		return true
	case by > 0:
		return d.bump(r.to+1, r.to+by, -1)
	}
	return d.bump(r.to+by+1, r.to, 1)
}

// shift is how many gens later a run would start if it did so at another step.
func (d *doubt) shift(r *run, to int32) int32 {
	return d.m.t.genAt[to+1] - d.m.t.genAt[r.steps[0]+1]
}

// laterCounts says whether the counts allow the run to come a step later.
func (d *doubt) laterCounts(r *run) bool {
	if !r.entered {
		return r.first > 1 && d.endMoves(r, 1)
	}
	s := r.steps[0]
	to := d.m.t.ctxAt[s+1]
	if int(to) == len(d.m.t.steps) || d.l.unnamed[to] <= 0 || d.l.exact[s] {
		return false
	}
	by := d.shift(r, to)
	return d.bump(r.from, r.from+by-1, 1) && d.endMoves(r, by)
}

// laterTimes says whether the times allow it.
func (d *doubt) laterTimes(r *run) bool {
	row := d.m.rows[r.row]
	if !r.entered {
		return r.first > 0 && r.from != never && row.late[r.first-1] >= r.from
	}
	to := d.m.t.ctxAt[r.steps[0]+1]
	if int(to) == len(d.m.t.steps) || row.due < to {
		return false
	}
	return len(row.units) == 1 || r.from == never || row.late[1] >= r.from+d.shift(r, to)
}

// before is the step that can take requests before another, None without one.
func (d *doubt) before(s int32) int32 {
	for k := s - 1; k >= 0; k-- {
		if d.m.t.ctxAt[k] == k {
			return k
		}
	}
	return None
}

// earlierCounts says whether the counts allow the run to come a step earlier.
func (d *doubt) earlierCounts(r *run) bool {
	if !r.entered {
		return d.endMoves(r, -1)
	}
	s, row := r.steps[0], d.m.rows[r.row]
	to := d.before(s)
	if to == None || d.l.unnamed[to] <= 0 || d.l.exact[s] || row.from > to {
		return false
	}
	by := d.shift(r, to)
	return d.bump(r.from+by, r.from-1, -1) && d.endMoves(r, by)
}

// promptest is how late the promptest token of a run would be if it came that
// many steps earlier.
func (d *doubt) promptest(r *run, by int32) int64 {
	least := int64(1 << 62)
	row := d.m.rows[r.row]
	for i, k := range r.steps {
		if u := int(r.first) + i; u < len(row.units) && k >= by {
			least = min(least, row.units[u].at-d.m.t.end[k-by])
		}
	}
	return least
}

// judge decides whether another reading would move a run.
func (d *doubt) judge(r *run) {
	tooLate := d.limit >= 0 && d.promptest(r, 1) > d.limit
	later := d.laterCounts(r) && d.laterTimes(r)
	earlier := d.earlierCounts(r) && !tooLate
	if !later && !earlier {
		return
	}
	if t := d.m.t; r.entered && t.apart {
		// A prefill beside another: the rest stays.
		moves := later && d.shift(r, t.ctxAt[r.steps[0]+1]) != 0
		if to := d.before(r.steps[0]); earlier && to != None {
			moves = moves || d.shift(r, to) != 0
		}
		r.free, r.head = moves, true
		return
	}
	r.free = true
}

// swaps finds requests that could change places with one that entered a step
// later.
func (d *doubt) swaps() {
	t := d.m.t
	at := map[int32][]*run{}
	for _, r := range d.runs {
		if r.entered {
			at[r.steps[0]] = append(at[r.steps[0]], r)
		}
	}
	for k, here := range at {
		next := t.ctxAt[k+1]
		there := at[next]
		tries := 4096
		for _, a := range here {
			for _, b := range there {
				if tries--; tries < 0 || d.swap(a, b, k, next) {
					a.head, b.head = true, true
					if t.genAt[k+1] != t.genAt[next+1] || tries < 0 {
						a.free, b.free = true, true
					}
				}
			}
		}
	}
}

// swap says whether a, which entered at step k, and b, which did so later, can
// change places.
func (d *doubt) swap(a, b *run, k, next int32) bool {
	ra, rb := d.m.rows[a.row], d.m.rows[b.row]
	by := d.m.t.genAt[next+1] - d.m.t.genAt[k+1]
	switch {
	case ra.due < next || rb.from > k,
		a.from != never && len(ra.units) > 1 && ra.late[1] < a.from+by,
		ra.need != rb.need && (d.l.exact[k] || d.l.exact[next]),
		by > 0 && (a.whole || b.whole) && len(ra.units) != len(rb.units),
		d.limit >= 0 && d.promptest(b, next-k) > d.limit:
		return false
	}
	return true
}
