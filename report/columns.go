package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"tokprof/report/document"
)

// The terminal and the ticket answer "where does a step go" with the same
// table, made here: columns are ranks or phases, rows are parts of a step.

// column is one way to spend time: a phase, or a phase on one rank.
type column struct {
	Title string
	Phase string
	Cells map[string]int64 // by row name, ns
	Idle  int64            // ns
}

// total is what shares are of: the work and the idle time.
func (c *column) total() int64 {
	t := c.Idle
	for _, v := range c.Cells {
		t += v
	}
	return t
}

// share of the column that ns is; 0 for an empty column.
func (c *column) share(ns int64) float64 {
	if t := c.total(); t > 0 {
		return float64(ns) / float64(t)
	}
	return 0
}

// stepColumns are the columns of the step table, most important first: the
// phase with most GPU time, split by rank where there are two, then the other
// phases. They are the mean steps that the page draws. Empty when the window
// has no steps.
func stepColumns(a *document.Analysis) []column {
	byPhase := map[string][]*document.StepMean{}
	work := map[string]int64{}
	for _, m := range document.StepMeans(a) {
		byPhase[m.Phase] = append(byPhase[m.Phase], m)
		work[m.Phase] += m.Total() - m.Idle
	}
	phases := slices.Sorted(maps.Keys(byPhase))
	slices.SortStableFunc(phases, func(x, y string) int { return cmp.Compare(work[y], work[x]) })
	var cols []column
	for i, p := range phases {
		if i > 0 || len(byPhase[p]) != 2 {
			cols = append(cols, meanColumn(columnTitle(p, len(phases)), byPhase[p]))
			continue
		}
		for _, m := range byPhase[p] {
			title := fmt.Sprintf("rank %d", m.Rank)
			if p != noPhase {
				title = p + " " + title
			}
			cols = append(cols, meanColumn(title, []*document.StepMean{m}))
		}
	}
	if len(cols) == 0 {
		return phaseColumns(a)
	}
	return cols
}

// noPhase marks steps that nothing tells the phase of: those of a profiler's
// schedule, or between landmarks.
const noPhase = "none"

// columnTitle is the title of a phase's column, one of n phases.
func columnTitle(phase string, n int) string {
	switch {
	case phase != noPhase:
		return phase
	case n == 1:
		return "all steps"
	}
	return "other steps"
}

// meanColumn is the mean step over some ranks of one phase.
func meanColumn(title string, means []*document.StepMean) column {
	c := column{Title: title, Phase: means[0].Phase, Cells: map[string]int64{}}
	var steps int64
	for _, m := range means {
		steps += m.Steps
		c.Idle += m.Idle
		for name, ns := range m.Parts {
			c.Cells[name] += ns
		}
	}
	steps = max(1, steps)
	c.Idle /= steps
	for name := range c.Cells {
		c.Cells[name] /= steps
	}
	return c
}

// phaseColumns makes the columns from the rows of parts, or else groups, where
// steps carry no parts of their own; their idle time is then unknown.
func phaseColumns(a *document.Analysis) []column {
	rows := a.Parts
	if len(rows) == 0 {
		rows = a.Groups
	}
	steps := map[string]int64{}
	for i := range a.Steps {
		if a.Steps[i].DurNS > 0 {
			steps[a.Steps[i].Phase] += a.Steps[i].OnGPUs()
		}
	}
	byPhase := map[string]*column{}
	for _, r := range rows {
		n := steps[r.Phase]
		if n == 0 || r.TimeNS == 0 {
			continue
		}
		c := byPhase[r.Phase]
		if c == nil {
			c = &column{Phase: r.Phase, Cells: map[string]int64{}}
			byPhase[r.Phase] = c
		}
		c.Cells[r.Name] += r.TimeNS / n
	}
	var cols []column
	for _, p := range slices.Sorted(maps.Keys(byPhase)) {
		byPhase[p].Title = columnTitle(p, len(byPhase))
		cols = append(cols, *byPhase[p])
	}
	slices.SortStableFunc(cols, func(x, y column) int {
		return cmp.Compare(y.total()*steps[y.Phase], x.total()*steps[x.Phase])
	})
	return cols
}

// restRow is the row of what has none of its own in a short table. It is not
// "other", which is a part like any and has another time where all are listed.
const restRow = "rest"

// rowNames are the rows of a step table by weight, at most limit of them.
// "other" comes last; rows over the limit, "other" first, are added up as the rest.
func rowNames(cols []column, limit int) []string {
	weight := map[string]float64{}
	for i := range cols {
		for name, ns := range cols[i].Cells {
			weight[name] += cols[i].share(ns)
		}
	}
	names := slices.Sorted(maps.Keys(weight))
	slices.SortStableFunc(names, func(x, y string) int {
		if ox, oy := x == "other", y == "other"; ox != oy {
			return cmp.Compare(b2i(ox), b2i(oy))
		}
		return cmp.Compare(weight[y], weight[x])
	})
	if len(names) <= limit {
		return names
	}
	kept := names[:max(0, limit-1)]
	for i := range cols {
		var rest int64
		for _, name := range names[len(kept):] {
			rest += cols[i].Cells[name]
			delete(cols[i].Cells, name)
		}
		cols[i].Cells[restRow] = rest
	}
	return append(slices.Clone(kept), restRow)
}

// b2i orders false before true.
func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
