package match

import (
	"math"

	"tokprof/trace/serving"
)

// patience is the longest time that a token is believed to have waited for its
// reader: the first launch of a kernel kept a whole server for 0.6 s.
const patience = 2_000_000_000

// never is a bound that no step reaches.
const never = math.MaxInt32

// unit is what a request got in one step: a token, or the tokens of one chunk
// where the engine checks drafts.
type unit struct {
	at    int64
	first int32 // token
	n     int32
}

// row is a request as the replay sees it.
type row struct {
	req   int // index of the request
	q     *serving.Request
	units []unit

	// late is, for each unit, the number of the last of the timeline's gens
	// that can have emitted it so that it and all later units come in time.
	late []int32
	seen int32 // how many steps had ended when the first token came
	// due is the last step that can have completed the prompt.
	due  int32
	from int32 // first step that can: sent before it started, not too long before the token
	// before says that the first token cannot be a recorded step's, but one
	// from before them.
	before bool
	need   int64 // prompt tokens that a step must compute; cached ones only where the server told
	ends   bool  // the engine stopped it (end of sequence), which it may learn a step late
}

func newRow(t *timeline, i int, q *serving.Request) (*row, bool) {
	n := len(q.TokenUnixNS)
	if n == 0 || len(t.steps) == 0 {
		return nil, false
	}
	if q.TokenUnixNS[n-1] < t.first()-slack || q.SentUnixNS > t.last() {
		return nil, false
	}
	r := &row{req: i, q: q, need: max(0, int64(q.PromptTokens)), ends: q.Finish != "length"}
	if c := int64(q.CachedTokens); c > 0 && c < r.need {
		r.need -= c
	}
	r.split(t)
	r.bound(t)
	return r, r.from < int32(len(t.steps)) || r.before
}

// split makes the units.
func (r *row) split(t *timeline) {
	r.units = make([]unit, 0, len(r.q.TokenUnixNS))
	at := int64(math.MinInt64)
	for j, x := range r.q.TokenUnixNS {
		at = max(at, x) // damage: times are in order
		if m := len(r.units); t.drafts && m > 1 && r.units[m-1].at == at {
			r.units[m-1].n++
			continue
		}
		r.units = append(r.units, unit{at, int32(j), 1})
	}
}

// bound finds the last steps that each unit can come from.
func (r *row) bound(t *timeline) {
	n := len(r.units)
	r.late = make([]int32, n)
	next := int32(never)
	for j := n - 1; j >= 0; j-- {
		own := int32(never)
		if u := r.units[j]; u.at < t.last()-slack {
			own = t.genAt[t.ended(u.at)] - 1
		}
		if next != never {
			own = min(own, next-t.turns)
		}
		r.late[j], next = own, own
	}
	r.seen = int32(t.ended(r.units[0].at))
	r.due = r.seen - 1
	if n > 1 && r.late[1] != never {
		// The step after which late[1] is the next to serve it, at the latest.
		if r.late[1] < 0 {
			r.due = -1
		} else {
			r.due = min(r.due, t.gens[r.late[1]]-1)
		}
	}
	r.from = int32(t.started(r.q.SentUnixNS, r.units[0].at-patience))
	if r.q.SentUnixNS < t.steps[0].Start {
		r.before = r.due < 0 || int(r.from) < len(t.steps) && t.ctxAt[r.from] > r.due
	}
}
