package match

import "slices"

// run is the tokens of one row as they were placed.
type run struct {
	row     int32
	units   []int32
	steps   []int32 // of each unit
	entered bool    // the first of them completed the prompt
	whole   bool    // the last unit is among them
	from    int32   // number of the gens that served the first continuing unit
	to      int32   // and the last
	free    bool    // another reading would move them
	head    bool    // the first token alone
}

// doubt finds what another reading would move.
type doubt struct {
	m      *search
	l      *log
	short  []int   // generation requests of each of the gens that nobody explains
	before []int32 // the last step before each that can take requests, None without one
	runs   []*run
	limit  int64 // the latest promptest token of a run that the counts place alone
	trail  bool  // requests ran past their end
}

// uncertain returns, for each row, the first unit that another reading could
// move, never for none.
func (m *search) uncertain(l *log) (from []int32, head []bool) {
	d := &doubt{m: m, l: l, limit: -1}
	d.gather()
	for _, r := range d.runs {
		if len(d.counted(r, append(d.later(r, false), d.earlier(r)...))) == 0 {
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
				r = &run{row: g.row, entered: i >= len(gave)-d.l.entered[k], from: never}
				of[g.row] = r
				d.runs = append(d.runs, r)
			}
			r.units, r.steps = append(r.units, g.unit), append(r.steps, int32(k))
			r.whole = int(g.unit)+1 == len(d.m.rows[g.row].units)
			if i < len(gave)-d.l.entered[k] {
				r.from, r.to = min(r.from, t.genAt[k]), t.genAt[k]
			}
		}
		d.trail = d.trail || d.l.trailing[k] > 0
	}
	d.before = make([]int32, len(t.steps))
	for k, last := 0, int32(None); k < len(t.steps); k++ {
		if d.before[k] = last; int(t.ctxAt[k]) == k {
			last = int32(k)
		}
	}
	d.short = make([]int, len(t.gens))
	for g, k := range t.gens {
		d.short[g] = t.slots(int(k)) - d.l.trailing[k] - (len(d.l.given[k]) - d.l.entered[k])
	}
}

// bump says whether the counts allow n more unexplained requests in the gens a
// to b: none gets more than it has, and the unexplained ones stay as they were
// before and after. Where there are some already, any number is possible.
func (d *doubt) bump(a, b int32, n int) bool {
	b = min(b, int32(len(d.short))-1)
	if a = max(a, 0); a > b {
		return true
	}
	strangers := false
	for g := max(a-1, 0); g <= min(b+1, int32(len(d.short))-1); g++ {
		if g >= a && g <= b && d.short[g]+n < 0 {
			return false
		}
		strangers = strangers || d.short[g] != 0
	}
	return strangers
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

// tries is how many other steps a run is tried at.
const tries = 32

// move is another place for a run: the step to start at, None where its start
// is not recorded, and how many gens later that is.
type move struct{ to, by int32 }

// later are the places after its own, those in time if asked for.
func (d *doubt) later(r *run, inTime bool) []move {
	t, row := d.m.t, d.m.rows[r.row]
	if !r.entered {
		if r.units[0] > 1 && (!inTime || r.from != never && row.late[r.units[0]-1] >= r.from) {
			return []move{{None, 1}}
		}
		return nil
	}
	var out []move
	for to := t.ctxAt[r.steps[0]+1]; int(to) < len(t.steps) && len(out) < tries; to = t.ctxAt[to+1] {
		by := d.shift(r, to)
		late := row.due < to || len(row.units) > 1 && r.from != never && row.late[1] < r.from+by
		if inTime && late {
			break
		}
		out = append(out, move{to, by})
	}
	return out
}

// earlier are the places before its own.
func (d *doubt) earlier(r *run) []move {
	if !r.entered {
		if d.limit >= 0 && d.promptest(r, 1) > d.limit {
			return nil
		}
		return []move{{None, -1}}
	}
	var out []move
	for to := d.before[r.steps[0]]; to >= d.m.rows[r.row].from && len(out) < tries; to = d.before[to] {
		if d.limit >= 0 && d.promptest(r, r.steps[0]-to) > d.limit {
			break // and so would all before be
		}
		out = append(out, move{to, d.shift(r, to)})
	}
	return out
}

// counted are the moves that the counts allow.
func (d *doubt) counted(r *run, moves []move) []move {
	return slices.DeleteFunc(moves, func(x move) bool {
		if x.to == None { // only its end would show
			return !d.endMoves(r, x.by)
		}
		return d.l.unnamed[x.to] <= 0 || d.l.exact[r.steps[0]] || !d.fits(r, x.by)
	})
}

// fits says whether the counts allow a run to be some gens later, or earlier
// when negative.
func (d *doubt) fits(r *run, by int32) bool {
	switch {
	case r.from == never || by == 0:
		return true
	case by > 0:
		return d.bump(r.from, r.from+by-1, 1) && d.endMoves(r, by)
	}
	return d.bump(r.from+by, r.from-1, -1) && d.endMoves(r, by)
}

// promptest is how late the promptest token of a run would be if it came that
// many steps earlier.
func (d *doubt) promptest(r *run, by int32) int64 {
	least := int64(1 << 62)
	row := d.m.rows[r.row]
	for i, k := range r.steps {
		if k >= by {
			least = min(least, row.units[r.units[i]].at-d.m.t.end[k-by])
		}
	}
	return least
}

// judge decides whether another reading would move a run. Where prefills run
// alone, one beside another moves the first token alone.
func (d *doubt) judge(r *run) {
	for _, x := range d.counted(r, append(d.later(r, true), d.earlier(r)...)) {
		r.head = true
		r.free = r.free || x.by != 0
	}
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
		left := 4096
		for _, a := range here {
			for _, b := range there {
				if left--; left < 0 || d.swap(a, b, k, next) {
					a.head, b.head = true, true
					if t.genAt[k+1] != t.genAt[next+1] || left < 0 {
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
