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
	"tokprof/report/figures"
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
	"graphs": "38;5;137", "other": "38;5;246", "idle": "38;5;240",
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

// textPlan is how much of the drawing of one window is shown: lines of prose,
// what the top finding promises, and the floor under the steps.
type textPlan struct {
	verdict, trust int
	gain, floor    bool
}

// textPlans are tried from the fullest on, until every row of the table has its
// line; the last one merges rows.
var textPlans = []textPlan{{3, 3, true, true}, {3, 2, true, true}, {2, 2, true, true}, {2, 2, true, false}, {2, 2, false, false}}

// oneWindow is the whole drawing of one window.
func oneWindow(a *document.Analysis, o TextOptions) []textLine {
	var kernels []textLine
	if k := kernelLines(a, o); len(k) > 0 {
		kernels = append([]textLine{{}}, k...)
	}
	if a.SummaryOnly() {
		kernels = append([]textLine{{}}, summaryKernelLines(a, o)...)
	}
	notes := noteLines(a, o)
	cols := stepColumns(a)
	// A blank line and the header stand above the rows, idle time below them.
	need, around := len(allGroups(a)), 2
	if len(cols) > 0 {
		need, around = len(rowNames(cols, 1<<10)), 3
	}
	// Kernels beyond five were asked for and may overflow the screen.
	extra := max(0, min(o.Top, len(a.Kernels))-5)
	var head, floor, foot []textLine
	room := 0
	for _, p := range textPlans {
		head, floor, foot = headLines(a, o, p), floorLines(a, cols, o, p), footLines(a, o, p)
		room = screenLines + extra - around - len(head) - len(floor) - len(notes) - len(kernels) - len(foot)
		if need <= room {
			break
		}
	}
	rows := max(3, room)
	lines := append(head, textLine{})
	if len(cols) > 0 {
		lines = append(lines, stepLines(cols, rows, o)...)
	} else {
		lines = append(lines, groupLines(a, rows, o)...)
	}
	return slices.Concat(lines, floor, notes, kernels, foot)
}

// floorLines are the least time of a step, below the step table.
func floorLines(a *document.Analysis, cols []column, o TextOptions, p textPlan) []textLine {
	text := floorText(a, cols, o.Width)
	if text == "" || !p.floor {
		return nil
	}
	return []textLine{{{text, styleDim}}}
}

// headLines are title, verdict, what the finding in the verdict promises, and
// trust.
func headLines(a *document.Analysis, o TextOptions, p textPlan) []textLine {
	lines := []textLine{{{titleOf(a, o.Width), styleBold}}}
	for _, l := range wrapCells(a.Verdict, o.Width, p.verdict) {
		lines = append(lines, plainLine(l))
	}
	if f := topFindings(a); p.gain && len(f) > 0 && inVerdict(a, &f[0]) {
		lines = append(lines, gainLines(&f[0], o)...)
	}
	severity, _ := trustLine(a)
	const label = "trust  "
	width := o.Width - len(label)
	text := fittedTrust(a, func(s string) bool { return len(wrapCells(s, width, 1<<10)) <= p.trust })
	for i, l := range wrapCells(text, width, p.trust) {
		if i > 0 {
			lines = append(lines, plainLine(strings.Repeat(" ", len(label))+l))
			continue
		}
		rest := strings.TrimPrefix(l, string(severity))
		lines = append(lines, textLine{{label, styleBold}, {string(severity), severityStyles[severity]}, {rest, ""}})
	}
	return lines
}

// noteLines are the idle time of the window with its causes, what no rule
// knows, what clients saw and what GPUs read; each only where there is some.
func noteLines(a *document.Analysis, o TextOptions) []textLine {
	var lines []textLine
	if ns, share, causes := idleSummary(a); ns > 0 {
		text := "GPUs"
		if len(a.Devices) == 1 {
			text = "GPU"
		}
		text += fmt.Sprintf(" idle %s of the window", figures.Percent(share))
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
	for _, text := range []string{requestsText(a, o.Width), readingsText(a, o.Width)} {
		if text != "" {
			lines = append(lines, plainLine(text))
		}
	}
	if text := linkWarning(a); text != "" {
		for _, l := range wrapCells(text, o.Width, 2) {
			lines = append(lines, textLine{{l, severityStyles[document.Warning]}})
		}
	}
	return lines
}

// inVerdict reports whether the verdict already says what the finding does.
func inVerdict(a *document.Analysis, f *document.Finding) bool {
	return f.Title != "" && strings.Contains(a.Verdict, f.Title)
}

// gainLines are what a finding promises, in one line; none when it promises
// nothing, or too much for the width.
func gainLines(f *document.Finding, o TextOptions) []textLine {
	const arrow = "→ "
	text := firstClauses(printable(f.MaxGain), o.Width-cellWidth(arrow))
	if text == "" {
		return nil
	}
	return []textLine{plainLine(arrow + text)}
}

// firstClauses is as much of a sentence, up to a comma or semicolon, as fits in
// n cells; "" when not even the first clause does.
func firstClauses(s string, n int) string {
	for takeCells(s, n) != s {
		at := max(strings.LastIndex(s, ", "), strings.LastIndex(s, "; "))
		if at < 0 {
			return ""
		}
		s = s[:at]
	}
	return s
}

// footLines say how to see the rest, below the top finding where the verdict
// does not hold it.
func footLines(a *document.Analysis, o TextOptions, p textPlan) []textLine {
	const hint = "-o page.html for the whole picture"
	f := topFindings(a)
	left := len(f)
	var lines []textLine
	if left > 0 && (p.gain || inVerdict(a, &f[0])) {
		if !inVerdict(a, &f[0]) {
			const label = "finding  "
			lines = append(lines, textLine{{label, severityStyles[f[0].Severity]}, {cutCells(f[0].Title, o.Width-len(label)), ""}})
			lines = append(lines, gainLines(&f[0], o)...)
		}
		left--
		if left == 0 {
			return append(lines, textLine{{hint, styleDim}})
		}
		return append(lines, textLine{{countWords(left, " more finding") + ": ", ""}, {hint, styleDim}})
	}
	if left == 0 {
		return []textLine{{{hint, styleDim}}}
	}
	count, sep := countWords(left, " finding")+": ", "  →  "
	room := o.Width - cellWidth(count) - cellWidth(sep) - cellWidth(hint)
	if room < 8 {
		return []textLine{{{hint, styleDim}}}
	}
	return []textLine{{{count, severityStyles[f[0].Severity]}, {cutCells(f[0].Title, room), ""}, {sep + hint, styleDim}}}
}

// countWords is a number with its noun, in the plural where it has to be.
func countWords(n int, noun string) string {
	if n == 1 {
		return "1" + noun
	}
	return fmt.Sprintf("%d%ss", n, noun)
}

// manyWindows is a compact block for each window, never a sum.
func manyWindows(s *document.Set, o TextOptions) []textLine {
	var lines []textLine
	for i, a := range s.Analyses {
		name := cmp.Or(printable(a.Window.Name), fmt.Sprint(i))
		head := headLines(a, o, textPlan{verdict: 2, trust: 1})
		label, sep := cutCells("window "+name, o.Width/3), " · "
		head[0] = textLine{{label, styleBold}, {sep + titleOf(a, o.Width-cellWidth(label+sep)), ""}}
		lines = append(lines, head...)
		lines = append(lines, plainLine(shareSummary(a, o.Width)))
		if text := requestsText(a, o.Width); text != "" {
			lines = append(lines, plainLine(text))
		}
		if a.Tax != nil { // the one line of trust may not reach it
			tax := "profiler tax: " + a.Tax.Words()
			if cellWidth(tax) > o.Width {
				tax = taxLine(a.Tax)
			}
			for _, l := range wrapCells(tax, o.Width, 2) {
				lines = append(lines, plainLine(l))
			}
		}
		lines = append(lines, textLine{})
	}
	hint := fmt.Sprintf("%d windows, never added together: --window N or NAME shows one of them", len(s.Analyses))
	return append(lines, textLine{{hint, styleDim}})
}

// shareSummary is where the time of a window went, in one line of at most
// width cells: the smallest parts give way, unclassified time never does.
func shareSummary(a *document.Analysis, width int) string {
	var text, end string
	if _, share, _ := idleSummary(a); share > 0 {
		text = "idle " + figures.Percent(share) + "; "
	}
	if _, share, _ := unclassified(a); share > 0 {
		end = "; unclassified " + figures.Percent(share)
	}
	for i, r := range summaryRows(a) {
		part := cutCells(r.Name, nameCells) + " " + figures.Percent(r.Share)
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
