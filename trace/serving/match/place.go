package match

import (
	"cmp"
	"slices"
)

// log is what the replay of the kept reading says of each step.
type log struct {
	given    [][]given
	entered  []int // how many of given completed a prompt: the last ones
	trailing []int // generation requests that had ended before
	unnamed  []int // context requests that completed no row's prompt
	exact    []bool
	began    map[int32]int32 // rows whose prompts an earlier step began, None for one not recorded
	swayed   map[int32]int32 // rows that a count left out, or could have, and the unit from which on
}

type given struct{ row, unit int32 }

// replay runs the kept reading again and notes what each step gave.
func (m *search) replay(kept *reading) *log {
	n := len(m.t.steps)
	l := &log{
		given: make([][]given, n), entered: make([]int, n), trailing: make([]int, n),
		unnamed: make([]int, n), exact: make([]bool, n), began: map[int32]int32{}, swayed: map[int32]int32{},
	}
	var choices []*choice
	for c := kept.last; c != nil; c = c.prev {
		choices = append(choices, c)
	}
	slices.Reverse(choices)
	h := &reading{from: kept.from, taken: slices.Clone(kept.from.waited)}
	m.resume(h)
	m.log = l
	tell := func(k int, row, unit int32) { l.given[k] = append(l.given[k], given{row, unit}) }
	since := int32(None) // of the open prompt
	parts := false       // the last step that took requests may have begun a prompt
	for k := range n {
		takes := m.advance(k, []*reading{h})
		m.serve(h, k, tell)
		if !takes {
			continue
		}
		var c choice
		if len(choices) > 0 && int(choices[0].step) == k {
			c, choices = *choices[0], choices[1:]
		}
		rows := c.rows
		slots, tokens := m.context(k)
		o := m.weigh(h, k, slots, tokens, rows)
		if c.alien {
			o = o.strangers(h.open)
		}
		l.entered[k], l.unnamed[k], l.exact[k] = len(rows), slots-len(rows), o.exact
		if enters := slices.DeleteFunc(slices.Clone(rows), func(w int32) bool { return w < 0 }); len(enters) > 0 && (h.open > 0 || !o.exact && (!h.known || parts)) {
			first := slices.MinFunc(enters, func(a, b int32) int {
				return cmp.Or(cmp.Compare(m.rows[a].q.SentUnixNS, m.rows[b].q.SentUnixNS), cmp.Compare(a, b))
			})
			if l.began[first] = None; o.exact {
				l.began[first] = since
			}
		}
		parts = slots > len(rows)
		if o.open > 0 && (h.open == 0 || len(rows) > 0) {
			since = int32(k)
		}
		m.enter(h, k, o, tell)
	}
	m.log = nil
	return l
}
