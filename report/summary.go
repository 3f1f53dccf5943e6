package report

import (
	"fmt"

	"tokprof/report/document"
	"tokprof/report/figures"
)

// Drawings of a summary: what sums by kernel name tell, and "n/a" for the rest.

// notTold stands where a summary does not tell a value.
const notTold = "n/a"

// summaryTitle says what was summed up.
func summaryTitle(a *document.Analysis) string {
	var launches, ns int64
	for i := range a.Kernels {
		launches += a.Kernels[i].Launches
		ns += a.Kernels[i].TotalNS
	}
	return joinTitle("kernel summary of nsys stats", countWords(len(a.Kernels), " name"), figures.Count(launches)+" launches", figures.Dur(ns))
}

// exposedText is exposed time, where it can be known.
func exposedText(a *document.Analysis, ns int64) string {
	if a.SummaryOnly() {
		return notTold
	}
	return figures.Dur(ns)
}

// toldDur is a time of one kernel of a summary; a kernel takes some time, so 0
// is one that the table lacks.
func toldDur(ns int64) string {
	if ns <= 0 {
		return notTold
	}
	return figures.Dur(ns)
}

// summaryKernelLines is the table of the top kernels of a summary: what the
// file tells of each, the category giving way to it where the lines are short.
func summaryKernelLines(a *document.Analysis, o TextOptions) []textLine {
	const number = 9
	category := 20
	if o.Width < 80 {
		category = 0
	}
	columns := []string{"launches", "total", "min", "median", "max"}
	if o.Width < 60 {
		columns = columns[:2]
	}
	name := o.Width - category - number*len(columns)
	row := func(n, what string, values []string, style string) textLine {
		s := padRight(n, name) + padRight(cutCells(what, max(0, category-1)), category)
		for _, v := range values[:len(columns)] {
			s += padLeft(v, number)
		}
		return textLine{{s, style}}
	}
	lines := []textLine{row("top kernels", "role or category", columns, styleBold)}
	for i := range a.Kernels[:min(o.Top, len(a.Kernels))] {
		k := &a.Kernels[i]
		lines = append(lines, row(cutMiddle(kernelShort(k), name-1), kernelRole(k, max(0, category-1)), kernelFigures(k), ""))
	}
	return lines
}

// kernelFigures are launches, total, shortest, median and longest.
func kernelFigures(k *document.Kernel) []string {
	return []string{figures.Count(k.Launches), figures.Dur(k.TotalNS), toldDur(k.MinNS), toldDur(k.MedianNS), toldDur(k.MaxNS)}
}

// mdSummaryKernels is the same table for a ticket.
func mdSummaryKernels(a *document.Analysis, n int) []string {
	lines := []string{"| top kernels | role or category | share | launches | total | min | median | max |", "|---|---|---:|---:|---:|---:|---:|---:|"}
	for i := range a.Kernels[:min(n, len(a.Kernels))] {
		k := &a.Kernels[i]
		line := fmt.Sprintf("| %s | %s | %s |", mdText(cutMiddle(kernelShort(k), 80)), mdText(kernelRole(k, 80)), figures.Percent(k.Share))
		for _, v := range kernelFigures(k) {
			line += " " + v + " |"
		}
		lines = append(lines, line)
	}
	return append(lines, "")
}

// summaryCells blanks what a summary does not tell in a line of the kernel
// table.
func summaryCells(row []string, k *document.Kernel) {
	untold := map[string]bool{"min_ns": k.MinNS <= 0, "median_ns": k.MedianNS <= 0, "max_ns": k.MaxNS <= 0, "p99_ns": true, "exposed_ns": true, "in_graph_ns": true}
	for i, name := range csvHeader[:len(row)] {
		if untold[name] {
			row[i] = ""
		}
	}
}
