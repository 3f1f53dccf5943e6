// Package report draws the document of a window as text and records: terminal,
// Markdown, JSON, CSV, pprof, folded stacks and a Perfetto-readable slice. One
// document, many drawings: what they say is report/document, and the page is
// report/page.
package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"tokprof/report/document"
)

// TextOptions says how the terminal drawing looks.
type TextOptions struct {
	Width int  // columns, at least 40; 0 means 80
	Color bool // ANSI colours
	Top   int  // kernels in the table; 0 means 5
}

// screenLines is the height that one window keeps to, whatever it contains.
const screenLines = 24

// Styles of spans: ANSI parameters.
const (
	styleBold = "1"
	styleDim  = "2"
)

// severityStyles colour the trust line.
var severityStyles = map[document.Severity]string{document.OK: "32", document.Info: "36", document.Warning: "33", document.Error: "31"}

// partStyles colour the bars by part or group, from the 256-colour palette.
var partStyles = map[string]string{
	"attention": "38;5;68", "ffn": "38;5;172", "gemm": "38;5;136", "comm": "38;5;132",
	"unattributed": "38;5;136", "transfer": "38;5;132", "waiting": "38;5;167", "head": "38;5;72", "memory": "38;5;109",
	"other": "38;5;246", "idle": "38;5;240",
}

// textSpan is text in one style.
type textSpan struct{ text, style string }

// textLine is one line of the terminal.
type textLine []textSpan

func plainLine(s string) textLine { return textLine{{s, ""}} }

// WriteText writes the terminal drawing: for one window a table of at most 24
// lines (more only when o.Top asks for more than five kernels), for several a
// compact block each and how to pick one. No line is wider than o.Width cells,
// whatever the names contain. It returns errors of w only.
func WriteText(w io.Writer, s *document.Set, o TextOptions) error {
	o.Width = max(40, cmp.Or(o.Width, 80))
	if o.Top <= 0 {
		o.Top = 5
	}
	var lines []textLine
	switch len(s.Analyses) {
	case 0:
		lines = []textLine{plainLine("nothing to show: no window with GPU events")}
	case 1:
		lines = oneWindow(s.Analyses[0], o)
	default:
		lines = manyWindows(s, o)
	}
	var b strings.Builder
	for _, l := range lines {
		writeLine(&b, l, o)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeLine puts a line into b, cut to the width.
func writeLine(b *strings.Builder, l textLine, o TextOptions) {
	var kept textLine
	left := o.Width
	for _, s := range l {
		s.text = cutCells(s.text, left)
		left -= cellWidth(s.text)
		kept = append(kept, s)
	}
	// Blanks at the end of a line are noise in a log or a diff.
	for i := len(kept) - 1; i >= 0; i-- {
		kept[i].text = strings.TrimRight(kept[i].text, " ")
		if kept[i].text != "" {
			break
		}
	}
	for _, s := range kept {
		if o.Color && s.style != "" && s.text != "" {
			s.text = "\x1b[" + s.style + "m" + s.text + "\x1b[0m"
		}
		b.WriteString(s.text)
	}
	b.WriteByte('\n')
}

// oneWindow is the whole drawing of one window.
func oneWindow(a *document.Analysis, o TextOptions) []textLine {
	var tail []textLine
	if k := kernelLines(a, o); len(k) > 0 {
		tail = append(append(tail, textLine{}), k...)
	}
	tail = append(tail, hintLine(a, o))
	notes := noteLines(a, o)
	cols := stepColumns(a)
	need := len(allGroups(a))
	if len(cols) > 0 {
		need = len(rowNames(cols, 1<<10))
	}
	// A blank line, the header and the idle row stand around the rows; kernels
	// beyond five were asked for and may overflow the screen.
	extra := max(0, min(o.Top, len(a.Kernels))-5)
	room := screenLines + extra - len(tail) - len(notes) - 3
	// Two lines of verdict and trust, three when the table leaves room.
	lines := headLines(a, o, 2, 2)
	for _, l := range [][2]int{{3, 2}, {3, 3}} {
		if longer := headLines(a, o, l[0], l[1]); need+len(longer) <= room {
			lines = longer
		}
	}
	rows := max(3, room-len(lines))
	lines = append(lines, textLine{})
	if len(cols) > 0 {
		lines = append(lines, stepLines(cols, rows, o)...)
	} else {
		lines = append(lines, groupLines(a, rows, o)...)
	}
	return append(append(lines, notes...), tail...)
}

// headLines are title, verdict and trust.
func headLines(a *document.Analysis, o TextOptions, verdictLines, trustLines int) []textLine {
	lines := []textLine{{{titleOf(a), styleBold}}}
	for _, l := range wrapCells(a.Verdict, o.Width, verdictLines) {
		lines = append(lines, plainLine(l))
	}
	severity, msg := trustLine(a)
	const label = "trust  "
	for i, l := range wrapCells(string(severity)+": "+msg, o.Width-len(label), trustLines) {
		if i > 0 {
			lines = append(lines, plainLine(strings.Repeat(" ", len(label))+l))
			continue
		}
		rest := strings.TrimPrefix(l, string(severity))
		lines = append(lines, textLine{{label, styleBold}, {string(severity), severityStyles[severity]}, {rest, ""}})
	}
	return lines
}

// Widths of the tables, in cells.
const (
	nameCells  = 13
	timeCells  = 8
	shareCells = 7
	gapCells   = 3
)

// stepLines is the step table: the first column with bars, then as many others
// as fit.
func stepLines(cols []column, rows int, o TextOptions) []textLine {
	cell := timeCells + shareCells
	fit := min(len(cols), max(1, (o.Width-nameCells-6)/(cell+gapCells)))
	cols = cols[:fit]
	barCells := min(24, o.Width-nameCells-fit*cell-(fit-1)*gapCells-1)
	names := rowNames(cols, rows)
	title := textLine{{padRight("per step", nameCells), styleBold}}
	for i := range cols {
		width := cell
		if i == 0 {
			width += barCells + 1
		} else {
			title = append(title, textSpan{strings.Repeat(" ", gapCells), ""})
		}
		// Titles start where the digits of their times do.
		title = append(title, textSpan{padRight("  "+cutCells(cols[i].Title, width-2), width), styleBold})
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
		dur, pct := document.FormatDur(ns), document.FormatShare(share)
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

// allGroups are the groups of the whole window, largest first.
func allGroups(a *document.Analysis) []document.Row {
	var rows []document.Row
	for _, r := range a.Groups {
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
			{padLeft(document.FormatDur(r.TimeNS), timeCells) + " ", ""},
			{padRight(bar(r.Share, barCells), barCells), partStyles[r.Name]},
			{padLeft(document.FormatShare(r.Share), shareCells), ""},
		}
		if full {
			l = append(l, textSpan{padLeft(document.FormatDur(r.ExposedNS), exposedCells) + padLeft(document.FormatCount(r.Launches), launchCells), ""})
		}
		lines = append(lines, l)
	}
	return lines
}

// noteLines are the idle time of the window with its causes, and what no rule
// knows; each only where there is some.
func noteLines(a *document.Analysis, o TextOptions) []textLine {
	var lines []textLine
	if ns, share, causes := idleSummary(a); ns > 0 {
		text := "GPUs"
		if len(a.Devices) == 1 {
			text = "GPU"
		}
		text += fmt.Sprintf(" idle %s of the window", document.FormatShare(share))
		sep := ": "
		for _, c := range causes {
			// The top cause is always there; others only when they fit.
			if sep != ": " && cellWidth(text+sep+c) > o.Width {
				break
			}
			text += sep + c
			sep = ", "
		}
		lines = append(lines, plainLine(text))
	}
	if text := unclassifiedText(a); text != "" {
		lines = append(lines, textLine{{text, severityStyles[document.Warning]}})
	}
	return lines
}

// kernelLines is the table of the top kernels; empty without kernels.
func kernelLines(a *document.Analysis, o TextOptions) []textLine {
	if len(a.Kernels) == 0 {
		return nil
	}
	// Narrow terminals keep the name, its time and its share.
	categoryCells, launchCells, medianCells := 20, 10, 10
	if o.Width < 72 {
		categoryCells = 0
	}
	if o.Width < 52 {
		launchCells = 0
	}
	name := o.Width - categoryCells - shareCells - launchCells - medianCells
	row := func(n, category, share, launches, median, style string) textLine {
		s := padRight(n, name)
		if categoryCells > 0 {
			s += padRight(cutCells(category, categoryCells-1), categoryCells)
		}
		s += padLeft(share, shareCells)
		if launchCells > 0 {
			s += padLeft(launches, launchCells)
		}
		return textLine{{s + padLeft(median, medianCells), style}}
	}
	lines := []textLine{row("top kernels", "group", "share", "launches", "median", styleBold)}
	for i := range a.Kernels[:min(o.Top, len(a.Kernels))] {
		k := &a.Kernels[i]
		lines = append(lines, row(cutMiddle(kernelShort(k), name-1), kernelCategory(k),
			document.FormatShare(k.Share), document.FormatCount(k.Launches), document.FormatDur(k.MedianNS), ""))
	}
	return lines
}

// hintLine says how to see the rest; the first finding fills what is left.
func hintLine(a *document.Analysis, o TextOptions) textLine {
	hint := "-o page.html for the whole picture"
	f := topFindings(a)
	if len(f) == 0 {
		return textLine{{hint, styleDim}}
	}
	count := "1 finding: "
	if len(f) > 1 {
		count = fmt.Sprintf("%d findings: ", len(f))
	}
	sep := "  →  "
	left := o.Width - cellWidth(count) - cellWidth(sep) - cellWidth(hint)
	if left < 8 {
		return textLine{{hint, styleDim}}
	}
	return textLine{{count, severityStyles[f[0].Severity]}, {cutCells(f[0].Title, left), ""}, {sep + hint, styleDim}}
}

// manyWindows is a compact block for each window, never a sum.
func manyWindows(s *document.Set, o TextOptions) []textLine {
	var lines []textLine
	for i, a := range s.Analyses {
		name := cmp.Or(printable(a.Window.Name), fmt.Sprint(i))
		head := headLines(a, o, 2, 1)
		head[0] = textLine{{cutCells("window "+name, o.Width/3), styleBold}, {" · " + titleOf(a), ""}}
		lines = append(lines, head...)
		lines = append(lines, plainLine(shareSummary(a, o.Width)), textLine{})
	}
	hint := fmt.Sprintf("%d windows, never added together: --window N or NAME shows one of them", len(s.Analyses))
	return append(lines, textLine{{hint, styleDim}})
}

// shareSummary is where the time of a window went, in one line of at most
// width cells: the smallest groups give way, unclassified time never does.
func shareSummary(a *document.Analysis, width int) string {
	var text, end string
	if _, share, _ := idleSummary(a); share > 0 {
		text = "idle " + document.FormatShare(share) + "; "
	}
	if _, share, _ := unclassified(a); share > 0 {
		end = "; unclassified " + document.FormatShare(share)
	}
	for i, r := range allGroups(a) {
		part := cutCells(r.Name, nameCells) + " " + document.FormatShare(r.Share)
		if i > 0 {
			part = ", " + part
		} else {
			part = "busy: " + part
		}
		if cellWidth(text+part+end) > width {
			break
		}
		text += part
	}
	return strings.TrimPrefix(strings.TrimSuffix(text, "; ")+end, "; ")
}
