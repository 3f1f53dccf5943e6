package report

import (
	"cmp"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"

	"tokprof/report/document"
	"tokprof/report/figures"
)

// Bounds that keep the ticket text under ticketLines lines.
const (
	ticketLines   = 60
	ticketRows    = 8
	ticketKernels = 5
	ticketInputs  = 4 // hashes that findings do not push out
)

// WriteMarkdown writes the ticket text of every window, one after the other.
// It returns errors of w only.
func WriteMarkdown(w io.Writer, s *document.Set) error {
	if len(s.Analyses) == 0 {
		_, err := io.WriteString(w, "# GPU time\n\nNothing to show: no window with GPU events.\n")
		return err
	}
	for i, a := range s.Analyses {
		text := Markdown(a)
		if i > 0 {
			text = "\n---\n\n" + text
		}
		if _, err := io.WriteString(w, text); err != nil {
			return err
		}
	}
	return nil
}

// Markdown is the ticket text of one window: fewer than 60 lines that can be
// pasted into an issue. Text from traces is escaped, so that it neither breaks
// a table nor mentions anyone; file names and hosts stay out.
func Markdown(a *document.Analysis) string {
	title := "GPU time: " + titleOf(a, proseCells)
	if a.Window.Name != "" {
		title += " · window " + a.Window.Name
	}
	lines := []string{"# " + mdText(title), ""}
	if a.Verdict != "" {
		lines = append(lines, mdProse(withoutFileNames(a, a.Verdict)), "")
	}
	severity, msgs := trustMessages(a)
	for i, m := range msgs {
		msgs[i] = mdProse(withoutFileNames(a, m))
	}
	lines = append(lines, fmt.Sprintf("**Trust: %s.** %s", severity, strings.Join(msgs, "; ")), "")
	lines = append(lines, mdTime(a)...)
	env := mdEnvironment(a)
	room := ticketLines - 1 - len(lines) - len(env) - inputLines(a)
	lines = append(lines, mdMiddle(a, room)...)
	lines = append(lines, env...)
	lines = append(lines, mdInputs(a, ticketLines-1-len(lines))...)
	return strings.Join(lines, "\n") + "\n"
}

// mdTime is the step table, or the table of groups where steps are unknown.
func mdTime(a *document.Analysis) []string {
	cols := stepColumns(a)
	if len(cols) == 0 {
		return mdGroups(a)
	}
	cols = cols[:min(len(cols), 5)]
	names := rowNames(cols, ticketRows)
	head, rule := "| "+perStep(a)+" |", "|---|"
	for i := range cols {
		head += " " + mdText(cols[i].Title) + " | |"
		rule += "---:|---:|"
	}
	lines := []string{head, rule}
	row := func(name string, value func(*column) int64) string {
		s := "| " + mdText(name) + " |"
		for i := range cols {
			ns := value(&cols[i])
			if ns == 0 {
				s += " | |"
				continue
			}
			s += " " + figures.Dur(ns) + " | " + figures.Percent(cols[i].share(ns)) + " |"
		}
		return s
	}
	for _, name := range names {
		lines = append(lines, row(name, func(c *column) int64 { return c.Cells[name] }))
	}
	if slices.ContainsFunc(cols, func(c column) bool { return c.Idle > 0 }) {
		lines = append(lines, row("idle", func(c *column) int64 { return c.Idle }))
	}
	return append(lines, "")
}

// mdGroups is the table of groups over the whole window.
func mdGroups(a *document.Analysis) []string {
	lines := []string{"| group | time | share | exposed | launches |", "|---|---:|---:|---:|---:|"}
	rows := allGroups(a)
	for _, r := range rows[:min(ticketRows, len(rows))] {
		lines = append(lines, fmt.Sprintf("| %s | %s | %s | %s | %s |", mdText(r.Name), figures.Dur(r.TimeNS),
			figures.Percent(r.Share), exposedText(a, r.ExposedNS), figures.Count(r.Launches)))
	}
	if len(lines) == 2 {
		return nil
	}
	return append(lines, "")
}

// mdNotes are idle time, unclassified time, requests, readings, the speed of
// collectives, the floor under the steps and, when asked for, the top kernels,
// one line each.
func mdNotes(a *document.Analysis, kernels bool) []string {
	var notes []string
	if _, share, causes := idleSummary(a); share > 0 {
		why := cmp.Or(strings.Join(causes[:min(3, len(causes))], ", "), "cause unknown")
		notes = append(notes, fmt.Sprintf("- GPUs idle %s of the window: %s", figures.Percent(share), mdText(why)))
	}
	if text := unclassifiedText(a); text != "" {
		notes = append(notes, "- "+text)
	}
	for _, text := range []string{requestsText(a, proseCells), slowText(a), readingsText(a, proseCells), speedText(a), linkWarning(a)} {
		if text != "" {
			notes = append(notes, "- "+mdText(text))
		}
	}
	if text := floorText(a, stepColumns(a), proseCells); text != "" {
		notes = append(notes, "- "+mdText(text))
	}
	if kernels && len(a.Kernels) > 0 {
		var top []string
		for i := range a.Kernels[:min(ticketKernels, len(a.Kernels))] {
			k := &a.Kernels[i]
			top = append(top, fmt.Sprintf("%s (%s) %s", cutMiddle(kernelShort(k), 80), kernelRole(k, 80), figures.Percent(k.Share)))
		}
		notes = append(notes, "- "+topKernels(a)+": "+mdText(strings.Join(top, ", ")))
	}
	if len(notes) == 0 {
		return nil
	}
	return append(notes, "")
}

// mdKernels is the table of the n top kernels.
func mdKernels(a *document.Analysis, n int) []string {
	if len(a.Kernels) == 0 || n == 0 {
		return nil
	}
	if a.SummaryOnly() {
		return mdSummaryKernels(a, n)
	}
	lines := []string{"| " + topKernels(a) + " | role or category | share | total | launches | median |", "|---|---|---:|---:|---:|---:|"}
	for i := range a.Kernels[:min(n, len(a.Kernels))] {
		k := &a.Kernels[i]
		lines = append(lines, fmt.Sprintf("| %s | %s | %s | %s | %s | %s |", mdText(cutMiddle(kernelShort(k), 80)),
			mdText(kernelRole(k, 80)), figures.Percent(k.Share), figures.Dur(k.TotalNS), figures.Count(k.Launches), figures.Dur(k.MedianNS)))
	}
	return append(lines, "")
}

// mdEnvironment is what ran, by whose account, and how to repeat it.
func mdEnvironment(a *document.Analysis) []string {
	what := joinTitle(printable(a.ModelWords()), engineOf(a)) + " on " + gpusOf(a)
	if a.SummaryOnly() {
		what = "engine and GPU n/a"
	}
	lines := []string{fmt.Sprintf("**Environment** %s; tokprof %s", mdText(what), mdText(cmp.Or(a.Version, "(unknown version)")))}
	if a.Command != "" {
		lines = append(lines, "**Reproduce** "+mdCode(withoutFileNames(a, a.Command)))
	}
	return append(lines, "")
}

// inputLines are the lines that the hashes of the input files get in any case:
// those of the files that are counted, and how many more there are.
func inputLines(a *document.Analysis) int {
	if len(a.Sources) == 0 {
		return 0
	}
	counted := 0
	for i := range a.Sources {
		counted += b2i(a.Sources[i].Role == "gpu")
	}
	return 2 + min(ticketInputs, counted+1, len(a.Sources))
}

// mdInputs are the hashes of the input files in at most limit lines, those of
// the files that are counted first.
func mdInputs(a *document.Analysis, limit int) []string {
	if len(a.Sources) == 0 || limit < 3 {
		return nil
	}
	order := make([]int, len(a.Sources))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(x, y int) int {
		return cmp.Compare(b2i(a.Sources[x].Role != "gpu"), b2i(a.Sources[y].Role != "gpu"))
	})
	lines := []string{"**Inputs** (SHA-256)", ""}
	for i, at := range order {
		if left := len(order) - i; len(lines) == limit-1 && left > 1 {
			return append(lines, fmt.Sprintf("- … and %d more", left))
		}
		lines = append(lines, mdInput(a, at))
	}
	return lines
}

// mdInput is one input file, which is called by its number.
func mdInput(a *document.Analysis, i int) string {
	s := &a.Sources[i]
	what := fileAlias(i) + ": " + mdText(cmp.Or(s.Role, "gpu"))
	if s.Rank >= 0 {
		what += fmt.Sprintf(" rank %d", s.Rank)
	}
	notes := []string{mdText(s.Format), figures.Bytes(s.Bytes), figures.Count(s.Events) + " events"}
	if s.SkippedEvents > 0 {
		notes = append(notes, figures.Count(s.SkippedEvents)+" skipped")
	}
	if s.Truncated {
		notes = append(notes, "truncated")
	}
	hash := mdCode(cmp.Or(s.SHA256, "no hash"))
	// Of a file that holds several ranks the first one has the hash.
	if first := slices.IndexFunc(a.Sources, func(o document.Source) bool { return o.Path == s.Path && o.Bytes == s.Bytes }); s.SHA256 == "" && first < i {
		hash = "in the same file as " + fileAlias(first)
	}
	return fmt.Sprintf("- %s %s (%s)", what, hash, strings.Join(notes, ", "))
}

// otherFileName finds names of trace files in sentences.
var otherFileName = regexp.MustCompile(`[^\s"'` + "`" + `]+\.(?:json|jsonl|gz|zst|sqlite|nsys-rep|csv)\b`)

// manyTraces finds several of them in a row, without their names.
var manyTraces = regexp.MustCompile(`\bTRACE(?:, TRACE\b)+`)

// countedFiles finds sentences that count files and then name some of them: with
// their names gone the number is all there is to say.
var countedFiles = regexp.MustCompile(`^(\d+ files? .*): (?:TRACE|\d+ other files)(?: and \d+ more)?$`)

// fileAlias stands for the name of input i.
func fileAlias(i int) string { return fmt.Sprintf("TRACE%d", i) }

// withoutFileNames replaces the names of input files: engines put host names
// into them.
func withoutFileNames(a *document.Analysis, s string) string {
	names := map[string]string{}
	for i, src := range a.Sources {
		names[src.Path] = fileAlias(i)
	}
	s = otherFileName.ReplaceAllStringFunc(s, func(name string) string {
		if alias := names[path.Base(name)]; alias != "" {
			return alias
		}
		return "TRACE"
	})
	s = manyTraces.ReplaceAllStringFunc(s, func(list string) string {
		return fmt.Sprintf("%d other files", strings.Count(list, "TRACE"))
	})
	return countedFiles.ReplaceAllString(s, "$1")
}

// mdEscapes makes every character literal that Markdown, HTML or an issue
// tracker would act upon. "@" has no escape that survives all trackers.
var mdEscapes = strings.NewReplacer(
	`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "|", `\|`, "~", `\~`, "#", `\#`,
	"<", "&lt;", ">", "&gt;", "&", "&amp;", "@", "＠", "://", `\://`, "www.", `www\.`,
)

// mdText escapes untrusted text for one line of prose or one table cell.
func mdText(s string) string {
	return mdEscapes.Replace(cutCells(s, proseCells))
}

// mdCode is a code span for one line outside tables.
func mdCode(s string) string {
	return "`" + strings.ReplaceAll(cutCells(s, proseCells), "`", "'") + "`"
}

// mdFlag finds what a reader pastes into a shell: flags and settings.
var mdFlag = regexp.MustCompile("`[^`]+`" + `|--[a-zA-Z][\w-]*(?:=[\w./:,-]*\w| \d(?:[\w.]*\w)?)?|\b[A-Z][A-Z0-9]*_[A-Z0-9_]+=[\w./:,-]*\w`)

// mdProse is mdText for our own sentences: code spans stay, and flags become
// code, so that no renderer turns their dashes into typography.
func mdProse(s string) string {
	s = cutCells(s, proseCells)
	var b strings.Builder
	at := 0
	for _, m := range mdFlag.FindAllStringIndex(s, -1) {
		b.WriteString(mdEscapes.Replace(s[at:m[0]]))
		b.WriteString(mdCode(strings.Trim(s[m[0]:m[1]], "`")))
		at = m[1]
	}
	return b.String() + mdEscapes.Replace(s[at:])
}
