package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"tokprof/report/document"
	"tokprof/report/figures"
)

// Widths of the tables, in cells.
const (
	nameCells  = 13
	timeCells  = 8
	shareCells = 7
	gapCells   = 3
)

// perStep is what the numbers of a step table are for. A rank's GPUs work side by
// side: a step's time is that of one.
func perStep(a *document.Analysis) string {
	if a.PerGPU() {
		return "step per GPU"
	}
	return "per step"
}

// stepLines is the step table: the first column with bars, then as many others
// as fit.
func stepLines(cols []column, rows int, o TextOptions, per string) []textLine {
	cell := timeCells + shareCells
	fit := min(len(cols), max(1, (o.Width-nameCells-6)/(cell+gapCells)))
	cols = cols[:fit]
	barCells := min(24, o.Width-nameCells-fit*cell-(fit-1)*gapCells-1)
	names := rowNames(cols, rows)
	title := textLine{{padRight(per, nameCells), styleBold}}
	for i := range cols {
		width := cell
		if i == 0 {
			width += barCells + 1
		} else {
			title = append(title, textSpan{strings.Repeat(" ", gapCells), ""})
		}
		// Titles start where the digits of their times do.
		// A title that needs the room starts before them.
		indent := max(0, min(2, width-cellWidth(cols[i].Title)))
		title = append(title, textSpan{padRight(strings.Repeat(" ", indent)+cutCells(cols[i].Title, width-indent), width), styleBold})
	}
	lines := []textLine{title}
	for _, name := range names {
		lines = append(lines, stepRow(cols, name, barCells, func(c *column) int64 { return c.Cells[name] }))
	}
	if slices.ContainsFunc(cols, func(c column) bool { return c.Idle > 0 }) {
		lines = append(lines, stepRow(cols, "idle", barCells, func(c *column) int64 { return c.Idle }))
	}
	return lines
}

// stepRow is one part in every column; a part that a column lacks stays blank.
func stepRow(cols []column, name string, barCells int, value func(*column) int64) textLine {
	line := textLine{{padRight(cutCells(name, nameCells-1), nameCells), ""}}
	for i := range cols {
		ns := value(&cols[i])
		share := cols[i].share(ns)
		dur, pct := figures.Dur(ns), figures.Percent(share)
		if ns == 0 {
			dur, pct = "", ""
		}
		if i > 0 {
			dur = strings.Repeat(" ", gapCells) + padLeft(dur, timeCells)
			line = append(line, textSpan{dur + padLeft(pct, shareCells), ""})
			continue
		}
		line = append(line,
			textSpan{padLeft(dur, timeCells) + " ", ""},
			textSpan{padRight(bar(share, barCells), barCells), partStyles[name]},
			textSpan{padLeft(pct, shareCells), ""})
	}
	return line
}

// summaryRows are the parts of the whole window where any is known, else its
// groups, largest first.
func summaryRows(a *document.Analysis) []document.Row {
	parts := wholeRows(a.Parts)
	if slices.ContainsFunc(parts, func(r document.Row) bool { return r.Name != "other" && r.Name != "unattributed" }) {
		return parts
	}
	return allGroups(a)
}

// allGroups are the groups of the whole window, largest first.
func allGroups(a *document.Analysis) []document.Row { return wholeRows(a.Groups) }

// wholeRows are the rows of the whole window, largest first.
func wholeRows(all []document.Row) []document.Row {
	var rows []document.Row
	for _, r := range all {
		if r.Phase == "all" && r.TimeNS > 0 {
			rows = append(rows, r)
		}
	}
	slices.SortStableFunc(rows, func(x, y document.Row) int { return cmp.Compare(y.TimeNS, x.TimeNS) })
	return rows
}

// groupLines is the table of groups over the whole window, for traces without
// steps.
func groupLines(a *document.Analysis, limit int, o TextOptions) []textLine {
	rows := allGroups(a)
	if len(rows) > limit {
		rest := document.Row{Name: fmt.Sprintf("%d more", len(rows)-limit+1)}
		for _, r := range rows[limit-1:] {
			rest.TimeNS += r.TimeNS
			rest.Share += r.Share
			rest.ExposedNS += r.ExposedNS
			rest.Launches += r.Launches
		}
		rows = append(rows[:limit-1], rest)
	}
	const exposedCells, launchCells = 10, 12
	full := o.Width >= nameCells+timeCells+shareCells+exposedCells+launchCells+6
	barCells := o.Width - nameCells - timeCells - shareCells - 1
	head := padRight("group", nameCells) + padLeft("time", timeCells) + " "
	if full {
		barCells -= exposedCells + launchCells
	}
	barCells = min(24, barCells)
	head += padRight("", barCells) + padLeft("share", shareCells)
	if full {
		head += padLeft("exposed", exposedCells) + padLeft("launches", launchCells)
	}
	lines := []textLine{{{head, styleBold}}}
	for _, r := range rows {
		l := textLine{
			{padRight(cutCells(r.Name, nameCells-1), nameCells), ""},
			{padLeft(figures.Dur(r.TimeNS), timeCells) + " ", ""},
			{padRight(bar(r.Share, barCells), barCells), partStyles[r.Name]},
			{padLeft(figures.Percent(r.Share), shareCells), ""},
		}
		if full {
			l = append(l, textSpan{padLeft(exposedText(a, r.ExposedNS), exposedCells) + padLeft(figures.Count(r.Launches), launchCells), ""})
		}
		lines = append(lines, l)
	}
	return lines
}

// topKernels heads the list of the largest kernels. Where graphs were recorded
// as a whole their shares are of the rest, which may be the smaller part.
func topKernels(a *document.Analysis) string {
	if len(a.Stacks.Whole) > 0 {
		return "kernels outside whole graphs"
	}
	return "top kernels"
}

// kernelLines is the table of the top kernels; empty without kernels.
func kernelLines(a *document.Analysis, o TextOptions) []textLine {
	if len(a.Kernels) == 0 {
		return nil
	}
	// Narrow terminals keep the name, its share and its median.
	roleCells, launchCells, medianCells := 20, 10, 10
	if o.Width < 72 {
		roleCells = 0
	}
	if o.Width < 52 {
		launchCells = 0
	}
	name := o.Width - roleCells - shareCells - launchCells - medianCells
	row := func(n, role, share, launches, median, style string) textLine {
		s := padRight(n, name)
		if roleCells > 0 {
			s += padRight(cutCells(role, roleCells-1), roleCells)
		}
		s += padLeft(share, shareCells)
		if launchCells > 0 {
			s += padLeft(launches, launchCells)
		}
		return textLine{{s + padLeft(median, medianCells), style}}
	}
	lines := []textLine{row(topKernels(a), "role or category", "share", "launches", "median", styleBold)}
	for i := range a.Kernels[:min(o.Top, len(a.Kernels))] {
		k := &a.Kernels[i]
		lines = append(lines, row(cutMiddle(kernelShort(k), name-1), kernelRole(k, roleCells-1),
			figures.Percent(k.Share), figures.Count(k.Launches), figures.Dur(k.MedianNS), ""))
	}
	return lines
}
