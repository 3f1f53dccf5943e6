package page

import (
	"slices"

	"tokprof/report/document"
	"tokprof/report/figures"
)

// What a page of a summary leaves out or calls "n/a": it knows kernels by name
// and their sums, and no single event.

func untold() cell { return cell{Text: "n/a", Num: true, Value: "-1"} }

// summaryTerms are the definitions that such a page needs.
var summaryTerms = []term{
	{"Time", "The durations of the kernels and copies of a name, as the file sums them up; overlaps count twice."},
	{"Share", "Of the time of all names together."},
	{"Group, category", "What a kernel is, judged by the rule named in its row from its name alone."},
	{"n/a", "The file holds no single event, so this cannot be known from it."},
}

// summaryNumbers are the headline numbers.
func summaryNumbers(a *document.Analysis) []number {
	var launches, ns int64
	for i := range a.Kernels {
		launches += a.Kernels[i].Launches
		ns += a.Kernels[i].TotalNS
	}
	return []number{
		{Label: "GPU time, summed up", Value: thin(figures.Dur(ns)), Lines: []string{"kernels and copies"}},
		{Label: "Launches", Value: thin(figures.Count(launches)), Lines: []string{thin(figures.Count(int64(len(a.Kernels)))) + " names"}},
		{Label: "Step, median", Value: "n/a"},
		{Label: "GPU busy", Value: "n/a"},
		{Label: "GPU idle", Value: "n/a"},
	}
}

// withoutExposed takes back what a summary cannot tell: exposed times, and what
// copies moved.
func (w *window) withoutExposed(a *document.Analysis) {
	if !a.SummaryOnly() {
		return
	}
	w.Copies = nil // of no known size
	tables := []*table{w.Groups, w.Categories}
	if w.Roles != nil {
		tables = append(tables, w.Roles.Table)
	}
	for _, t := range tables {
		if t == nil {
			continue
		}
		n := slices.IndexFunc(t.Cols, func(c column) bool { return c.Label == "Exposed" })
		for i := range t.Rows {
			t.Rows[i].Cells[n] = untold()
		}
	}
}

// withoutUntold does so in the kernel table.
func (l *kernelList) withoutUntold(a *document.Analysis) {
	if l == nil || !a.SummaryOnly() {
		return
	}
	for i := range l.Rows {
		r, k := &l.Rows[i], &a.Kernels[l.Rows[i].Index]
		r.P99, r.Exposed, r.Graph = untold(), untold(), ""
		if k.MedianNS <= 0 {
			r.Median = untold()
		}
		if k.MinNS <= 0 || k.MaxNS <= 0 {
			r.MinMax = "n/a"
		}
	}
	if l.Others != nil {
		l.Others.Exposed = untold()
	}
}
