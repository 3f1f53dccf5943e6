package match

import (
	"math"
	"math/bits"
	"slices"
)

// option is one way to fill the context requests of a step.
type option struct {
	rows  []int32 // whose prompts it completes, ^row for one that it resumes
	cost  float64
	open  int64 // as in reading, after the step
	known bool
	exact bool // the prompts add up to the step's context tokens
	alien bool // context requests without a row are nobody's, not a part of a prompt
}

const (
	costChunk   = 0.8  // a part of a prompt that ends in a later step
	costUnknown = 2.0  // a context request of nobody's
	costCached  = 1.5  // fewer tokens than the prompts have: prefix cache
	costExtra   = 3.0  // more tokens than the prompts have
	costExact   = -4.0 // prompts that add up to the step's tokens, which is rarely chance
	costLasting = 1.0  // a step by which all tokens of a request are late, after the first
)

// lateness is what it costs that a row's first token came so long after step k.
// A stalled client makes a token late, but only a wrong step makes all of a
// request's tokens late for long.
func (m *search) lateness(k int, r *row) float64 {
	behind := int(r.seen) - 1 - k
	lasting := behind
	if len(r.units) > 1 && r.late[1] != never {
		lasting = min(behind, int(r.late[1]-m.t.genAt[k+1]))
	}
	cost := min(costLasting*float64(max(0, lasting-1)), 4)
	if behind > 0 {
		cost += 0.3 + 0.1*float64(bits.Len(uint(behind))-1)
	}
	return cost + float64(max(0, r.units[0].at-m.t.end[k]))/1e9
}

// context is how many requests step k can have had in prefill and how many
// tokens it computed for them, 0 when it does not say.
func (m *search) context(k int) (slots int, tokens int64) {
	s := &m.t.steps[k]
	if m.t.whole(k) {
		return int(s.Requests) - m.served, max(0, s.Tokens-int64(m.served))
	}
	return int(s.ContextRequests), s.ContextTokens
}

// candidates are the rows that step k can take, by their first token, and how
// many at the head of them no later step can. There are some more than slots.
func (m *search) candidates(h *reading, k, slots int) (rows []int32, must int) {
	next := m.t.ctxAt[k+1]
	var may []int32
	for _, w := range m.open {
		if slices.Contains(h.taken, w) {
			continue
		}
		if r := m.rows[w]; next > r.due && r.units[0].at < m.t.last()-slack {
			rows = append(rows, w)
		} else if may = append(may, w); len(may) > slots+16 {
			break
		}
	}
	return append(rows, may...), len(rows)
}

// options are the ways to fill the context requests of step k that are worth
// following.
func (m *search) options(h *reading, k int) []option {
	slots, tokens := m.context(k)
	rows, must := m.candidates(h, k, slots)
	most := min(slots, len(rows))
	var out []option
	add := func(x []int32) {
		if !slices.ContainsFunc(out, func(o option) bool { return slices.Equal(o.rows, x) }) {
			out = append(out, m.weigh(h, k, slots, tokens, slices.Clone(x)))
			if o := out[len(out)-1]; o.open > 0 {
				out = append(out, o.strangers(h.open))
			}
		}
	}
	want := m.wanted(h, k)
	for _, n := range []int{most, must, want, want - 1, want + 1, 0} {
		if n = min(max(n, 0), most); n <= most {
			add(rows[:n])
		}
	}
	if len(rows) > 1 {
		bySent := slices.Clone(rows)
		slices.SortStableFunc(bySent, func(a, b int32) int {
			return int(min(max(m.rows[a].q.SentUnixNS-m.rows[b].q.SentUnixNS, -1), 1))
		})
		add(sorted(bySent[:most]))
		if w := min(max(want, 0), most); w < most {
			add(sorted(bySent[:w]))
		}
		if x := m.exact(rows, slots, tokens+h.open); x != nil {
			add(x)
		}
	}
	for _, w := range m.resumable(h, k, slots) {
		for _, n := range []int{slots - 1, want, 0} {
			n = min(max(n, 0), slots-1, len(rows))
			add(append([]int32{^w}, rows[:n]...))
		}
	}
	return out
}

// resumable are the first few of the running requests that are left out and can
// come back at step k by computing prompt and tokens again.
func (m *search) resumable(h *reading, k, slots int) []int32 {
	const few = 4
	var out []int32
	for _, r := range h.run {
		if slots > 0 && r.out && int(r.ran) < k-1 && m.t.turns == 1 && len(out) < few {
			out = append(out, r.row)
		}
	}
	return out
}

// resumed finds the running request that an option resumes; ok is false where it
// names a row that enters.
func (h *reading) resumed(w int32) (i int, ok bool) {
	if w >= 0 {
		return 0, false
	}
	return slices.IndexFunc(h.run, func(r running) bool { return r.row == ^w }), true
}

func sorted(x []int32) []int32 {
	x = slices.Clone(x)
	slices.Sort(x)
	return x
}

// wanted is how many requests must start at step k for the next step's count of
// generation requests to come out.
func (m *search) wanted(h *reading, k int) int {
	t := m.t
	g := int(t.genAt[k+1])
	if g == len(t.gens) {
		return math.MaxInt32
	}
	return t.slots(int(t.gens[g])) - len(h.run) + h.level
}

// exact looks for as many rows as the step has context requests whose prompts
// add up to its context tokens, among the first few.
func (m *search) exact(rows []int32, slots int, target int64) []int32 {
	if slots == 0 || target <= 0 || len(rows) <= slots {
		return nil
	}
	rows = rows[:min(len(rows), slots+8)]
	pick := make([]int32, 0, slots)
	tries := 0
	var find func(i int, left int64) bool
	find = func(i int, left int64) bool {
		if len(pick) == slots {
			return left == 0
		}
		if tries++; tries > 500 || left <= 0 || len(rows)-i < slots-len(pick) {
			return false
		}
		pick = append(pick, rows[i])
		if find(i+1, left-m.rows[rows[i]].need) {
			return true
		}
		pick = pick[:len(pick)-1]
		return find(i+1, left)
	}
	if find(0, target) {
		return sorted(pick)
	}
	return nil
}

// weigh says what it costs that step k completed the prompts of x.
func (m *search) weigh(h *reading, k, slots int, tokens int64, x []int32) option {
	o := option{rows: x, open: h.open, known: h.known}
	sum := int64(0)
	for _, w := range x {
		if i, again := h.resumed(w); again {
			r := m.rows[^w]
			sum += r.need + int64(r.units[h.run[i].unit].first)
			continue
		}
		o.cost += m.lateness(k, m.rows[w])
		sum += m.rows[w].need
	}
	empty := m.empty(h, k, slots, len(x))
	rest := h.open + tokens - sum
	if empty > 0 {
		o.cost += costUnknown * float64(empty)
		if longest := m.goesOn(h, x); longest > 0 && rest < longest {
			o.cost += costChunk - costUnknown
			if rest > 0 {
				o.open = rest
				return o
			}
		}
	}
	switch {
	case tokens == 0: // the annotation does not say, or none was
	case rest < 0:
		o.open, o.known = 0, empty == 0
		if h.known {
			o.cost += costCached
			if rest%16 != 0 {
				o.cost += costCached
			}
		}
	case empty > 0:
	case rest > 0:
		o.open, o.known = 0, true
		o.cost += costExtra
	default:
		o.open, o.known, o.exact = 0, true, true
		o.cost += costExact
	}
	return o
}

// empty is how many context requests of step k complete no row's prompt when
// some do.
func (m *search) empty(h *reading, k, slots, some int) int {
	if m.t.whole(k) {
		return max(0, slots-some-h.gone[0]-h.gone[1])
	}
	return slots - some
}

// goesOn is the longest prompt that can have had a part in step k and go on,
// beside those of x.
func (m *search) goesOn(h *reading, x []int32) int64 {
	for _, w := range m.longest {
		if !slices.Contains(x, w) && !slices.Contains(h.taken, w) {
			return m.rows[w].need
		}
	}
	return 0
}

// strangers is an option that leaves a prompt open, read otherwise: the context
// requests that it does not name are nobody's.
func (o option) strangers(open int64) option {
	o.cost += costUnknown - costChunk
	o.open, o.alien = open, true
	return o
}
