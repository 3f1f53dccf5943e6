package document

import (
	"cmp"
	"slices"

	"tokprof/report/figures"
)

// stepLine is the steps of an engine by start, with the ends that make a line
// without overlaps of them: a step owns the time from the end of those before
// it. Times add up along it.
type stepLine struct {
	steps    []engineStep
	from, to []int64
	parts    []string // names of the columns of sums
	phases   []string
	// in and out are the sums of all time up to from and to of each step, by
	// part and then by phase.
	in, out [][]int64

	rank    int  // whose numbers the steps have
	several bool // other engines have lines of their own
}

// betweenSteps is the phase of time in which no step ran.
const betweenSteps = "none"

func newStepLine(steps []engineStep) *stepLine {
	slices.SortStableFunc(steps, func(x, y engineStep) int { return cmp.Compare(x.start, y.start) })
	l := &stepLine{steps: steps, parts: []string{"idle"}, phases: []string{betweenSteps}}
	var at int64
	for i := range steps {
		s := &steps[i]
		if i == 0 {
			at = s.start
		}
		l.from = append(l.from, max(at, s.start))
		at = max(at, s.end)
		l.to = append(l.to, at)
		s.cells = resized(s.cells, l.to[i]-l.from[i])
		for _, c := range s.cells {
			l.parts = withName(l.parts, c.part)
		}
		l.phases = withName(l.phases, s.label.Phase.String())
	}
	sums := make([]int64, len(l.parts)+len(l.phases))
	for i := range steps {
		if i > 0 {
			gap := l.from[i] - l.to[i-1]
			sums[0] += gap
			sums[len(l.parts)] += gap
		}
		l.in = append(l.in, slices.Clone(sums))
		for _, c := range steps[i].cells {
			sums[slices.Index(l.parts, c.part)] += c.time
		}
		sums[len(l.parts)+slices.Index(l.phases, steps[i].label.Phase.String())] += l.to[i] - l.from[i]
		l.out = append(l.out, slices.Clone(sums))
	}
	return l
}

func withName(names []string, name string) []string {
	if slices.Contains(names, name) {
		return names
	}
	return append(names, name)
}

// between is the time by part and by phase from one point of the line's sums to
// another, largest first.
func (l *stepLine) between(from, to []int64) (parts, phases []NameTime) {
	for i := range to {
		d := to[i] - from[i]
		switch {
		case d == 0:
		case i < len(l.parts):
			parts = append(parts, NameTime{Name: l.parts[i], TimeNS: d})
		default:
			phases = append(phases, NameTime{Name: l.phases[i-len(l.parts)], TimeNS: d})
		}
	}
	return figures.ByTime(parts), figures.ByTime(phases)
}
