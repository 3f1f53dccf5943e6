package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

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
			cols = append(cols, meanColumn(p, byPhase[p]))
			continue
		}
		for _, m := range byPhase[p] {
			cols = append(cols, meanColumn(fmt.Sprintf("%s rank %d", p, m.Rank), []*document.StepMean{m}))
		}
	}
	if len(cols) == 0 {
		return phaseColumns(a)
	}
	return cols
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
			steps[a.Steps[i].Phase]++
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
			c = &column{Title: r.Phase, Phase: r.Phase, Cells: map[string]int64{}}
			byPhase[r.Phase] = c
		}
		c.Cells[r.Name] += r.TimeNS / n
	}
	var cols []column
	for _, p := range slices.Sorted(maps.Keys(byPhase)) {
		cols = append(cols, *byPhase[p])
	}
	slices.SortStableFunc(cols, func(x, y column) int {
		return cmp.Compare(y.total()*steps[y.Phase], x.total()*steps[x.Phase])
	})
	return cols
}

// rowNames are the rows of a step table by weight, at most limit of them.
// "other" comes last; rows over the limit are added to it.
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
		cols[i].Cells["other"] = rest
	}
	return append(slices.Clone(kept), "other")
}

// b2i orders false before true.
func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// titleOf says what was measured: engine, GPUs, ranks, steps by phase.
func titleOf(a *document.Analysis) string {
	parts := []string{cmp.Or(joinDistinct(a, func(s document.Source) string { return s.Engine }), "unknown engine")}
	parts = append(parts, gpusOf(a))
	if s := stepCounts(a.Phases); s != "" {
		parts = append(parts, s)
	}
	return strings.Join(append(parts, document.FormatDur(a.Window.DurNS)), " · ")
}

// gpusOf is "2 × NVIDIA H200 (2 of 4 ranks)".
func gpusOf(a *document.Analysis) string {
	world, ranks := 0, map[int]bool{}
	for _, s := range a.Sources {
		if s.Role == "gpu" {
			world = max(world, s.WorldSize)
			ranks[s.Rank] = true
		}
	}
	gpu := cmp.Or(joinDistinct(a, func(s document.Source) string { return s.GPU }), "GPU")
	if n := len(a.Devices); n != 1 || gpu == "GPU" {
		gpu = fmt.Sprintf("%d × %s", n, gpu)
	}
	switch {
	case world > len(ranks) && len(ranks) > 0:
		gpu += fmt.Sprintf(" (%d of %d ranks)", len(ranks), world)
	case len(ranks) > 1:
		gpu += fmt.Sprintf(" (%d ranks)", len(ranks))
	}
	return gpu
}

// joinDistinct joins the distinct values of one field of the GPU sources.
func joinDistinct(a *document.Analysis, field func(document.Source) string) string {
	var vals []string
	for _, s := range a.Sources {
		if v := printable(field(s)); s.Role == "gpu" && v != "" && !slices.Contains(vals, v) {
			vals = append(vals, v)
		}
	}
	return strings.Join(vals, " + ")
}

// stepCounts is "24 decode, 1 prefill step"; "" without steps.
func stepCounts(phases []document.Phase) string {
	sorted := slices.Clone(phases)
	slices.SortStableFunc(sorted, func(x, y document.Phase) int { return cmp.Compare(y.Steps, x.Steps) })
	var parts []string
	var last int64
	for _, p := range sorted {
		if p.Steps > 0 {
			parts = append(parts, document.FormatCount(p.Steps)+" "+p.Phase)
			last = p.Steps
		}
	}
	switch {
	case len(parts) == 0:
		return ""
	case last == 1:
		return strings.Join(parts, ", ") + " step"
	}
	return strings.Join(parts, ", ") + " steps"
}

// idleSummary is the idle time of the devices, its share of the window, and
// its causes in words, largest first; zeros when they never were idle.
func idleSummary(a *document.Analysis) (ns int64, share float64, causes []string) {
	var span int64
	byCause := map[string]int64{}
	for _, d := range a.Devices {
		ns += d.IdleNS
		span += d.BusyNS + d.IdleNS
		for _, c := range d.IdleCauses {
			byCause[c.Cause] += c.TimeNS
		}
	}
	if ns <= 0 || span <= 0 {
		return 0, 0, nil
	}
	names := slices.Sorted(maps.Keys(byCause))
	slices.SortStableFunc(names, func(x, y string) int { return cmp.Compare(byCause[y], byCause[x]) })
	for _, n := range names {
		if byCause[n] > 0 {
			of := document.FormatShare(float64(byCause[n]) / float64(ns))
			causes = append(causes, fmt.Sprintf("%s (%s of it)", cmp.Or(document.CauseName(n), printable(n)), of))
		}
	}
	return ns, float64(ns) / float64(span), causes
}

// unclassifiedText says what no rule knows; "" when there is nothing.
func unclassifiedText(a *document.Analysis) string {
	ns, share, names := unclassified(a)
	if ns <= 0 {
		return ""
	}
	plural := "s"
	if names == 1 {
		plural = ""
	}
	return fmt.Sprintf("unclassified: %s, %s of the GPU time, %d kernel name%s", document.FormatDur(ns), document.FormatShare(share), names, plural)
}

// unclassified adds up what no rule knows: its time, its share of the GPU
// time, and how many kernel names it has.
func unclassified(a *document.Analysis) (ns int64, share float64, names int) {
	for i := range a.Kernels {
		k := &a.Kernels[i]
		if k.Subgroup == "unclassified" || k.Group == "unclassified" || k.Group == "" {
			ns += k.TotalNS
			share += k.Share
			names++
		}
	}
	return ns, share, names
}

// kernelCategory is "attention.decode"; "unclassified" when nothing is known.
func kernelCategory(k *document.Kernel) string {
	switch {
	case k.Group == "":
		return "unclassified"
	case k.Subgroup == "":
		return printable(k.Group)
	}
	return printable(k.Group + "." + k.Subgroup)
}

// kernelShort is the short name of a kernel, printable and never empty.
func kernelShort(k *document.Kernel) string {
	return cmp.Or(printable(k.ShortName), printable(k.Name), "(no name)")
}

// severityRank orders severities, mildest first; an unknown one is a warning.
// A note beside an "ok" does not take it back.
func severityRank(s document.Severity) int {
	if i := slices.Index([]document.Severity{document.Info, document.OK, document.Warning, document.Error}, s); i >= 0 {
		return i
	}
	return 2
}

// trustLine is the worst severity and all messages, worst first.
func trustLine(a *document.Analysis) (document.Severity, string) {
	if len(a.Trust) == 0 {
		return document.Info, "not checked"
	}
	sorted := slices.Clone(a.Trust)
	slices.SortStableFunc(sorted, func(x, y document.Trust) int {
		return cmp.Compare(severityRank(y.Severity), severityRank(x.Severity))
	})
	var msgs []string
	for _, t := range sorted {
		msgs = append(msgs, strings.TrimSuffix(printable(t.Message), "."))
	}
	return sorted[0].Severity, strings.Join(msgs, "; ")
}

// topFindings are the findings, worst first.
func topFindings(a *document.Analysis) []document.Finding {
	f := slices.Clone(a.Findings)
	slices.SortStableFunc(f, func(x, y document.Finding) int {
		return cmp.Compare(severityRank(y.Severity), severityRank(x.Severity))
	})
	return f
}
