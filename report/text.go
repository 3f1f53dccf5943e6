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

// screenLines is the height that one window keeps to, whatever it contains, and
// screenProse how many lines of it sentences may take: what they need beyond
// that comes on top, since a doubt that is cut hides what to do about it.
const (
	screenLines = 24
	screenProse = 4
)

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
	"graphs": "38;5;137", "other": "38;5;246", restRow: "38;5;246", "idle": "38;5;240",
}

// textSpan is text in one style.
type textSpan struct{ text, style string }

// textLine is one line of the terminal.
type textLine []textSpan

func plainLine(s string) textLine { return textLine{{s, ""}} }

// WriteText writes the terminal drawing: for one window a table of at most 24
// lines (more only when o.Top asks for more than five kernels, or verdict,
// doubts and top finding take more than four), for several a compact block each
// and how to pick one. Sentences are wrapped, cells of tables cut: no line is
// wider than o.Width cells, whatever the names contain. It returns errors of w
// only.
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

// textPlan is what of the drawing of one window is shown beside what always is:
// what the top finding promises, and the floor under the steps.
type textPlan struct{ gain, floor bool }

// textPlans are tried from the fullest on, until every row of the table has its
// line; the last one merges rows.
var textPlans = []textPlan{{true, true}, {true, false}, {false, false}}

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
		room = screenLines + extra + max(0, proseLines(a, o)-screenProse) - around - len(head) - len(floor) - len(notes) - len(kernels) - len(foot)
		if need <= room {
			break
		}
	}
	rows := max(3, room)
	lines := append(head, textLine{})
	if len(cols) > 0 {
		lines = append(lines, stepLines(cols, rows, o, perStep(a))...)
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

// Labels stand before the trust line and the top finding.
const (
	trustLabel   = "trust  "
	findingLabel = "finding  "
)

// The sentences of the drawing, wrapped: the verdict, the trust line, what stands
// against the path of collectives, and the top finding where the verdict does
// not hold it.
func verdictText(a *document.Analysis, o TextOptions) []string {
	return wrapCells(cutCells(a.Verdict, proseCells), o.Width)
}

func trustText(a *document.Analysis, o TextOptions) []string {
	severity, text := trustLine(a)
	return wrapCells(string(severity)+": "+text, o.Width-len(trustLabel))
}

func linkText(a *document.Analysis, o TextOptions) []string {
	return wrapCells(cutCells(linkWarning(a), proseCells), o.Width)
}

func findingText(a *document.Analysis, o TextOptions) []string {
	f := topFindings(a)
	if len(f) == 0 || inVerdict(a, &f[0]) {
		return nil
	}
	return wrapCells(cutCells(f[0].Title, proseCells), o.Width-len(findingLabel))
}

// proseLines is how many lines they take, but for one against a path.
func proseLines(a *document.Analysis, o TextOptions) int {
	return len(verdictText(a, o)) + len(trustText(a, o)) + max(0, len(linkText(a, o))-1) + len(findingText(a, o))
}

// headLines are title, verdict, what the finding in the verdict promises, and
// trust.
func headLines(a *document.Analysis, o TextOptions, p textPlan) []textLine {
	lines := []textLine{{{titleOf(a, o.Width), styleBold}}}
	for _, l := range verdictText(a, o) {
		lines = append(lines, plainLine(l))
	}
	if f := topFindings(a); p.gain && len(f) > 0 && inVerdict(a, &f[0]) {
		lines = append(lines, gainLines(&f[0], o)...)
	}
	severity, _ := trustLine(a)
	for i, l := range trustText(a, o) {
		if i > 0 {
			lines = append(lines, plainLine(strings.Repeat(" ", len(trustLabel))+l))
			continue
		}
		rest := strings.TrimPrefix(l, string(severity))
		lines = append(lines, textLine{{trustLabel, styleBold}, {string(severity), severityStyles[severity]}, {rest, ""}})
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
	for _, l := range linkText(a, o) {
		lines = append(lines, textLine{{l, severityStyles[document.Warning]}})
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
	hint := "-o page.html for the whole picture"
	f := topFindings(a)
	var lines []textLine
	label := findingLabel
	for _, l := range findingText(a, o) {
		lines = append(lines, textLine{{label, severityStyles[f[0].Severity]}, {l, ""}})
		label = strings.Repeat(" ", len(label))
	}
	if len(lines) > 0 && p.gain {
		lines = append(lines, gainLines(&f[0], o)...)
	}
	count := ""
	if left := len(f) - 1; left > 0 {
		count = countWords(left, " more finding") + ": "
	}
	if cellWidth(count+hint) > o.Width {
		hint, _, _ = strings.Cut(hint, " for")
	}
	return append(lines, textLine{{count, ""}, {hint, styleDim}})
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
		head := headLines(a, o, textPlan{})
		label, sep := cutCells("window "+name, o.Width/3), " · "
		head[0] = textLine{{label, styleBold}, {sep + titleOf(a, o.Width-cellWidth(label+sep)), ""}}
		lines = append(lines, head...)
		lines = append(lines, plainLine(shareSummary(a, o.Width)))
		if text := requestsText(a, o.Width); text != "" {
			lines = append(lines, plainLine(text))
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
