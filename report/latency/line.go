package latency

import (
	"cmp"
	"slices"

	"tokprof/report/figures"
)

// line is the steps of an engine by start, with the ends that make a line
// without overlaps of them: a step owns the time from the end of those before
// it. Times add up along it.
type line struct {
	steps    []Step
	from, to []int64
	parts    []string // names of the columns of sums
	phases   []string
	// in and out are the sums of all time up to from and to of each step, by
	// part and then by phase.
	in, out [][]int64

	rank    int               // whose numbers the steps have
	several bool              // other engines have lines of their own
	words   map[string]string // for parts
}

// betweenSteps is the phase of time in which no step ran.
const betweenSteps = "none"

func newLine(steps []Step) *line {
	slices.SortStableFunc(steps, func(x, y Step) int { return cmp.Compare(x.Start, y.Start) })
	l := &line{steps: steps, parts: []string{"idle"}, phases: []string{betweenSteps}}
	var at int64
	for i := range steps {
		s := &steps[i]
		if i == 0 {
			at = s.Start
		}
		l.from = append(l.from, max(at, s.Start))
		at = max(at, s.End)
		l.to = append(l.to, at)
		s.Cells = resized(s.Cells, l.to[i]-l.from[i])
		for _, c := range s.Cells {
			l.parts = withName(l.parts, c.Part)
		}
		l.phases = withName(l.phases, s.Label.Phase.String())
	}
	sums := make([]int64, len(l.parts)+len(l.phases))
	for i := range steps {
		if i > 0 {
			gap := l.from[i] - l.to[i-1]
			sums[0] += gap
			sums[len(l.parts)] += gap
		}
		l.in = append(l.in, slices.Clone(sums))
		for _, c := range steps[i].Cells {
			sums[slices.Index(l.parts, c.Part)] += c.TimeNS
		}
		sums[len(l.parts)+slices.Index(l.phases, steps[i].Label.Phase.String())] += l.to[i] - l.from[i]
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
func (l *line) between(from, to []int64) (parts, phases []figures.NameTime) {
	for i := range to {
		d := to[i] - from[i]
		switch {
		case d == 0:
		case i < len(l.parts):
			parts = append(parts, figures.NameTime{Name: l.parts[i], TimeNS: d})
		default:
			phases = append(phases, figures.NameTime{Name: l.phases[i-len(l.parts)], TimeNS: d})
		}
	}
	return figures.ByTime(parts), figures.ByTime(phases)
}
