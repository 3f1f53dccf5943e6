package report

import (
	"bufio"
	"cmp"
	"encoding/csv"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"

	"tokprof/report/compare"
	"tokprof/report/document"
	"tokprof/report/figures"
)

// WriteReconciliation writes the terminal drawing of a comparison: per window
// the verdict, the kernels with most time, what each side misses, and what a
// step and a token took. No line is wider than o.Width cells. It returns errors
// of w only.
func WriteReconciliation(w io.Writer, r *compare.Reconciliation, o TextOptions) error {
	o.Width = max(40, cmp.Or(o.Width, 80))
	o.Top = cmp.Or(o.Top, 12)
	var b strings.Builder
	for i := range r.Windows {
		if i > 0 {
			b.WriteByte('\n')
		}
		for _, l := range reconciledLines(&r.Windows[i], o) {
			writeLine(&b, l, o)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// reconciledLines draws one pair of windows.
func reconciledLines(w *compare.Window, o TextOptions) []textLine {
	lines := []textLine{{{cutCells(reconciledTitle(w), o.Width), styleBold}}}
	for _, l := range wrapCells(cutCells(w.Verdict, proseCells), o.Width) {
		lines = append(lines, plainLine(l))
	}
	lines = append(lines, textLine{})
	lines = append(lines, pairLines(w, o)...)
	for _, m := range missed(w, 3) {
		for i, l := range wrapCells(cutCells(m, proseCells), o.Width-2) {
			if i > 0 {
				l = "  " + l
			}
			lines = append(lines, plainLine(l))
		}
	}
	lines = append(lines, textLine{})
	lines = append(lines, stepPairLines(w, o.Width)...)
	for _, n := range w.Notes {
		side := padRight(n.Side, 6)
		for _, l := range wrapCells(cutCells(n.Message, proseCells), o.Width-6) {
			lines = append(lines, textLine{{side, severityStyles[n.Severity]}, {l, ""}})
			side = padRight("", 6)
		}
	}
	return lines
}

// reconciledTitle is "torch decode · nsys decode · vLLM · 2 × NVIDIA H200".
func reconciledTitle(w *compare.Window) string {
	parts := []string{"torch " + printable(w.Torch.Window), "nsys " + printable(w.Nsys.Window)}
	for _, s := range [][]document.Source{w.Torch.Sources, w.Nsys.Sources} {
		if len(s) > 0 && (s[0].Engine != "" || s[0].GPU != "") {
			engine := cmp.Or(printable(s[0].Engine), "unknown engine")
			return strings.Join(append(parts, engine, fmt.Sprintf("%d × %s", len(s), cmp.Or(printable(s[0].GPU), "GPU"))), " · ")
		}
	}
	return strings.Join(parts, " · ")
}

// pairLines is the table of kernels with most time.
func pairLines(w *compare.Window, o TextOptions) []textLine {
	roleCells, totalCells := 12, 8
	if o.Width < 72 {
		roleCells, totalCells = 0, 0
	}
	const launchCells, medianCells, changeCells = 6, 8, 8
	name := o.Width - roleCells - 2*launchCells - 2*medianCells - changeCells - totalCells
	row := func(role, kernel, a, b, x, y, change, total, style string) textLine {
		s := ""
		if roleCells > 0 {
			s = padRight(cutCells(role, roleCells-1), roleCells)
		}
		s += padRight(cutMiddle(kernel, name-1), name) + padLeft(a, launchCells) + padLeft(b, launchCells) +
			padLeft(x, medianCells) + padLeft(y, medianCells) + padLeft(change, changeCells)
		if totalCells > 0 {
			s += padLeft(total, totalCells)
		}
		return textLine{{s, style}}
	}
	lines := []textLine{
		{{padRight("", roleCells+name) + padLeft("launches", 2*launchCells) + "  median" + stepSize(w), styleDim}},
		row("role", "kernel", "torch", "nsys", "torch", "nsys", "change", "total", styleBold),
	}
	for i := range w.Kernels[:min(o.Top, len(w.Kernels))] {
		k := &w.Kernels[i]
		x, y, change := "", "", ""
		if m := headMedians(k); m != nil {
			x, y, change = figures.Dur(m.TorchNS), figures.Dur(m.NsysNS), figures.Change(m.Change)
			if m.TransferOnly {
				change += "*"
			}
		}
		lines = append(lines, row(pairRole(k), cmp.Or(printable(k.ShortName), printable(k.Name), "(no name)"),
			countOrDash(k.Torch.Launches), countOrDash(k.Nsys.Launches), x, y, change, figures.Dur(cmp.Or(k.Torch.TotalNS, k.Nsys.TotalNS)), ""))
	}
	foot := pairFoot(w, o)
	if foot == "" {
		return append(lines, textLine{})
	}
	for _, l := range wrapCells(foot, o.Width) {
		lines = append(lines, textLine{{l, styleDim}})
	}
	return lines
}

// pairFoot says what the table leaves out, and what its star means.
func pairFoot(w *compare.Window, o TextOptions) string {
	var parts []string
	if n := len(w.Kernels) - o.Top; n > 0 {
		parts = append(parts, fmt.Sprintf("%d more rows: --csv FILE", n))
	}
	for i := range w.Kernels[:min(o.Top, len(w.Kernels))] {
		if m := headMedians(&w.Kernels[i]); m != nil && m.TransferOnly {
			parts = append(parts, "* moving data, without waiting for the late rank")
			break
		}
	}
	return strings.Join(parts, "; ")
}

// stepSize is ", decode of 8 requests", "" when no batch is equal.
func stepSize(w *compare.Window) string {
	if len(w.Batches) == 0 {
		return ""
	}
	return ", decode of " + compare.SizeWords(w.Batches[0].Requests, w.Batches[0].Tokens)
}

// headMedians are a kernel's medians in the batch that most equal steps have,
// nil where one side lacks them.
func headMedians(k *compare.Kernel) *compare.Medians {
	for i := range k.Decode {
		if m := &k.Decode[i]; m.TorchLaunches > 0 && m.NsysLaunches > 0 {
			return m
		}
	}
	return nil
}

// pairRole is a kernel's role, or its category.
func pairRole(k *compare.Kernel) string {
	if k.Role != "" {
		return printable(k.Role)
	}
	return cmp.Or(printable(k.Subgroup), printable(k.Group), "unclassified")
}

func countOrDash(n int64) string {
	if n == 0 {
		return "-"
	}
	return figures.Count(n)
}

// missed says what only one side has, its n kernels with most time by name.
func missed(w *compare.Window, n int) []string {
	var out []string
	for _, side := range []struct {
		match compare.Match
		names int
		ns    int64
	}{{compare.TorchOnly, w.Same.TorchOnly, w.Same.TorchOnlyNS}, {compare.NsysOnly, w.Same.NsysOnly, w.Same.NsysOnlyNS}} {
		var names []string
		seen := map[string]bool{}
		for i := range w.Kernels {
			if k := &w.Kernels[i]; k.Match == side.match && !seen[k.Name] {
				seen[k.Name] = true
				if len(names) < n {
					names = append(names, fmt.Sprintf("%s (%s)", cutMiddle(cmp.Or(k.ShortName, k.Name), 40), pairRole(k)))
				}
			}
		}
		if len(names) == 0 {
			continue
		}
		text := fmt.Sprintf("%s: %s", side.match, strings.Join(names, ", "))
		if more := len(seen) - len(names); more > 0 {
			text += fmt.Sprintf(" and %d more", more)
		}
		out = append(out, text)
	}
	return out
}

// stepPairLines says what a step and a token took under each profiler.
func stepPairLines(w *compare.Window, width int) []textLine {
	const columns = 4
	name, cell := 28, 10
	if width < name+columns*cell {
		cell = 9
		name = min(name, max(20, width-columns*cell))
	}
	var lines []textLine
	for i, r := range stepPairs(w) {
		style := ""
		if i == 0 {
			style = styleBold
		}
		s := padRight(cutCells(r[0], name-1), name)
		for _, c := range r[1:] {
			s += padLeft(c, cell)
		}
		lines = append(lines, textLine{{s, style}})
	}
	return lines
}

// stepPairs are the rows that terminal and ticket share: what, torch, nsys,
// change, without a profiler.
func stepPairs(w *compare.Window) [][]string {
	head := []string{"", "torch", "nsys", "change", "plain"}
	rows := [][]string{head}
	dur := func(ns int64) string {
		if ns == 0 {
			return ""
		}
		return figures.Dur(ns)
	}
	change := func(a, b int64, c float64) string {
		if a == 0 || b == 0 {
			return ""
		}
		return figures.Change(c)
	}
	if len(w.Batches) > 0 {
		b := &w.Batches[0]
		head[0] = "decode, " + compare.SizeWords(b.Requests, b.Tokens)
		rows = append(rows,
			[]string{"steps, all ranks", figures.Count(b.TorchSteps), figures.Count(b.NsysSteps), "", ""},
			[]string{"step on the GPU", dur(b.TorchStepNS), dur(b.NsysStepNS), change(b.TorchStepNS, b.NsysStepNS, b.StepChange), ""},
			[]string{"step to step", dur(b.TorchPeriodNS), dur(b.NsysPeriodNS), change(b.TorchPeriodNS, b.NsysPeriodNS, b.PeriodChange), ""})
	}
	t := &w.Tax
	if t.TorchPerTokNS > 0 || t.NsysPerTokNS > 0 {
		rows = append(rows, []string{"TPOT of all requests", dur(t.TorchPerTokNS), dur(t.NsysPerTokNS), "", dur(t.PlainPerTokNS)})
	}
	if t.PlainPerTokNS > 0 {
		tax := func(change float64) string {
			if change == 0 {
				return ""
			}
			return figures.Change(change)
		}
		rows = append(rows, []string{"profiler tax on TPOT", tax(t.TorchInflation), tax(t.NsysInflation), "", ""})
	}
	if len(rows) == 1 {
		return nil
	}
	return rows
}

// WriteReconciliationJSON writes the object tokprof.reconciliation/v1, laid out
// as WriteJSON does. It returns errors of w only.
func WriteReconciliationJSON(w io.Writer, r *compare.Reconciliation) error {
	j := &jsonWriter{w: bufio.NewWriter(w)}
	for _, f := range []struct{ open, value string }{{"{\n  \"schema\": ", r.Schema}, {",\n  \"tokprof_version\": ", r.Version}, {",\n  \"command\": ", r.Command}} {
		j.raw(f.open)
		j.value(f.value)
	}
	j.raw(",\n  \"windows\": [")
	for i := range r.Windows {
		if i > 0 {
			j.raw(",")
		}
		j.raw("\n    ")
		j.object(reflect.ValueOf(r.Windows[i]), "    ")
	}
	j.raw("\n  ]\n}\n")
	if j.err != nil {
		return j.err
	}
	return j.w.Flush()
}

// WriteReconciliationCSV writes one row per kernel and role. It returns errors
// of w only.
func WriteReconciliationCSV(w io.Writer, r *compare.Reconciliation) error {
	c := csv.NewWriter(w)
	// Errors of Write stay in the writer and come back from Error.
	c.Write([]string{
		"window", "nsys_window", "match", "group", "subgroup", "role", "name", "nsys_name", "torch_launches", "nsys_launches", "torch_total_ns", "nsys_total_ns",
		"requests", "tokens", "torch_decode_launches", "nsys_decode_launches", "torch_median_ns", "nsys_median_ns", "change", "transfer_only",
	})
	num := func(n int64) string { return strconv.FormatInt(n, 10) }
	for i := range r.Windows {
		x := &r.Windows[i]
		for n := range x.Kernels {
			k := &x.Kernels[n]
			row := []string{
				x.Torch.Window, x.Nsys.Window, string(k.Match), k.Group, k.Subgroup, k.Role, k.Name, k.NsysName,
				num(k.Torch.Launches), num(k.Nsys.Launches), num(k.Torch.TotalNS), num(k.Nsys.TotalNS), "", "", "", "", "", "", "", "",
			}
			if m := headMedians(k); m != nil {
				copy(row[12:], []string{
					num(m.Requests), num(m.Tokens), num(m.TorchLaunches), num(m.NsysLaunches), num(m.TorchNS), num(m.NsysNS),
					strconv.FormatFloat(m.Change, 'f', 4, 64), strconv.FormatBool(m.TransferOnly),
				})
			}
			c.Write(row)
		}
	}
	c.Flush()
	return c.Error()
}
