package match

import "slices"

// log is what the replay of the kept reading says of each step.
type log struct {
	given    [][]given
	entered  []int // how many of given completed a prompt: the last ones
	trailing []int // generation requests that had ended before
}

type given struct{ row, unit int32 }

// replay runs the kept reading again and notes what each step gave.
func (m *search) replay(kept *reading) *log {
	n := len(m.t.steps)
	l := &log{given: make([][]given, n), entered: make([]int, n), trailing: make([]int, n)}
	var choices []*choice
	for c := kept.last; c != nil; c = c.prev {
		choices = append(choices, c)
	}
	slices.Reverse(choices)
	h := &reading{last: choices[0]}
	m.resume(h)
	m.log = l
	tell := func(k int, row, unit int32) { l.given[k] = append(l.given[k], given{row, unit}) }
	choices = choices[1:]
	for k := range n {
		m.serve(h, k, tell)
		if len(choices) > 0 && int(choices[0].step) == k {
			l.entered[k] = len(choices[0].rows)
			m.enter(h, k, option{rows: choices[0].rows}, tell)
			choices = choices[1:]
		}
	}
	m.log = nil
	return l
}
