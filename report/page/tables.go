package page

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"

	"tokprof/report/document"
	"tokprof/report/figures"
)

// table is a table as the template draws it.
type table struct {
	Caption, Note string
	Cols          []column
	Rows          []row
	Sort          bool
}

type column struct {
	Label, Class string
	Num          bool
}

type row struct {
	ID    string
	Cells []cell
	Class string
	step  stepID // that a row with an ID is of
}

// cell is one cell; the first of a row is its heading.
type cell struct {
	Text, Sub string
	Num       bool
	Value     string // what sorting compares, "" for the text
	Bar       string // width in percent, "" for none
	Class     string // colour of its mark, "" for none
	Code      bool
	Again     bool         // says what the row above says
	Wide      bool         // a sentence
	Href      string       // the id of what it names
	Segs      []barSegment // a small stacked bar, said in Tip
	Tip       string
}

func cols(labels ...string) []column {
	out := make([]column, 0, len(labels))
	for _, l := range labels {
		name, num := strings.CutPrefix(l, "#")
		out = append(out, column{Label: name, Num: num})
	}
	return out
}

func textCell(s string) cell { return cell{Text: clip(s, 200)} }

func durCell(ns int64) cell {
	return cell{Text: thin(figures.Dur(ns)), Num: true, Value: strconv.FormatInt(ns, 10)}
}

func countCell(n int64) cell {
	return cell{Text: thin(figures.Count(n)), Num: true, Value: strconv.FormatInt(n, 10)}
}

func bytesCell(n int64) cell {
	return cell{Text: thin(figures.Bytes(n)), Num: true, Value: strconv.FormatInt(n, 10)}
}

func rateCell(f float64) cell {
	return cell{Text: thin(figures.Rate(f)), Num: true, Value: strconv.FormatFloat(f, 'g', -1, 64)}
}

func shareCell(f float64, class string) cell {
	return cell{Text: thin(figures.Percent(f)), Num: true, Value: strconv.FormatFloat(f, 'g', -1, 64),
		Bar: percent(max(0, min(1, f)) * 100), Class: class}
}

func noCell() cell { return cell{Text: "–", Num: true, Value: "-1"} }

// bound keeps a table and its texts within what the page can hold.
func (t *table) bound(rows int, cells *textBudget) {
	if n := len(t.Rows); n > rows {
		t.Rows = t.Rows[:rows]
		t.Note = strings.TrimSpace(fmt.Sprintf("%s The first %d of %d rows.", t.Note, rows, n))
	}
	for _, r := range t.Rows {
		for i := range r.Cells {
			c := &r.Cells[i]
			c.Text = cells.take(c.Text, 400)
		}
	}
}

// boundTables does so for all small tables, the most important ones first.
func (w *window) boundTables(caps limits) {
	tables := []*table{w.BarsTable, w.Groups, w.Idle, w.Launches}
	if w.Roles != nil {
		tables = append(tables, w.Roles.Table, w.Roles.Work, w.Roles.Known)
	}
	if w.Comm != nil {
		tables = append(tables, w.Comm.Table, w.Comm.Speeds)
	}
	if r := w.Readings; r != nil {
		tables = append(tables, r.GPUs, r.Phases, r.Reasons, r.Energies)
		for _, t := range []*table{r.Sampled, r.Others} {
			if t != nil {
				t.bound(caps.sampled, caps.cells)
			}
		}
	}
	if q := w.Requests; q != nil {
		tables = append(tables, q.Parts, q.Phases, q.Tax, q.Slow, q.Table, q.Roles)
	}
	tables = append(tables, w.Sources, w.Categories, w.Copies, w.Streams, w.Graphs)
	if w.Flame != nil {
		tables = append(tables, w.Flame.Paths)
	}
	for i := range w.Figures {
		tables = append(tables, w.Figures[i].Lanes, w.Figures[i].Longest)
	}
	for _, t := range tables {
		if t != nil {
			t.bound(caps.tableRows, caps.cells)
		}
	}
	if w.Layers != nil {
		w.Layers.Table.bound(caps.layerBars, caps.cells)
	}
}

// meansTable says what the step bars show: a row per bar.
func meansTable(means []*document.StepMean, lex *lexicon) *table {
	have := map[string]bool{}
	for _, m := range means {
		for n, v := range m.Parts {
			if v > 0 {
				have[n] = true
			}
		}
		have["idle"] = have["idle"] || m.Idle > 0
	}
	var names []string
	for n := range have {
		names = append(names, n)
	}
	sortNames(names, partOrder)
	names = names[:min(len(names), 16)]
	t := &table{Caption: "Where a step goes: mean time per step and share of it"}
	t.Cols = cols("Phase, rank", "#Steps", "#Launches a step", "#Step")
	for _, n := range names {
		t.Cols = append(t.Cols, column{Label: partLabel(n), Num: true, Class: colourClass(n)})
	}
	for _, m := range means {
		total := m.Total()
		r := row{Cells: []cell{
			textCell(fmt.Sprintf("%s, rank %d", lex.stepPhase(m.Phase), m.Rank)), countCell(m.Steps),
			countCell(m.Launches / m.Steps), durCell(total / m.Steps)}}
		for _, n := range names {
			v := m.Parts[n]
			if n == "idle" {
				v = m.Idle
			}
			if v == 0 {
				r.Cells = append(r.Cells, noCell())
				continue
			}
			c := durCell(v / m.Steps)
			c.Sub = thin(figures.Percent(ratio(v, total)))
			r.Cells = append(r.Cells, c)
		}
		t.Rows = append(t.Rows, r)
	}
	return t
}

// rowTable is rows by name with a column per phase, so that prefill stands
// beside decode.
func rowTable(caption string, rows []document.Row, order []string, lex *lexicon) *table {
	cells := map[string]map[string]document.Row{}
	var phases, names []string
	seen := map[string]bool{}
	for _, r := range rows {
		if !seen[r.Phase] {
			seen[r.Phase] = true
			phases = append(phases, r.Phase)
		}
		if cells[r.Name] == nil {
			cells[r.Name] = map[string]document.Row{}
			names = append(names, r.Name)
		}
		cells[r.Name][r.Phase] = r
	}
	if len(names) == 0 {
		return nil
	}
	sortPhases(phases)
	phases = told(phases)
	phases = phases[:min(len(phases), 8)]
	if order != nil {
		sortNames(names, order)
	} else {
		last := phases[len(phases)-1]
		sort.SliceStable(names, func(i, j int) bool { return cells[names[i]][last].TimeNS > cells[names[j]][last].TimeNS })
	}
	t := &table{Caption: caption, Sort: true, Cols: cols("Name")}
	for _, p := range phases {
		t.Cols = append(t.Cols, column{Label: lex.phase(p), Num: true})
	}
	t.Cols = append(t.Cols, cols("#Exposed", "#Launches")...)
	for _, n := range names {
		mark := n
		if g, _, ok := strings.Cut(n, "."); ok {
			mark = g
		} else if p, ok := lex.roles[n]; ok {
			mark = p
		}
		r := row{Cells: []cell{{Text: partLabel(n), Class: colourClass(mark)}}}
		last := cells[n][phases[len(phases)-1]]
		for _, p := range phases {
			row, ok := cells[n][p]
			if !ok || row.TimeNS == 0 {
				r.Cells = append(r.Cells, noCell())
				continue
			}
			c := durCell(row.TimeNS)
			c.Sub = thin(figures.Percent(row.Share))
			r.Cells = append(r.Cells, c)
		}
		r.Cells = append(r.Cells, durCell(last.ExposedNS), countCell(last.Launches))
		t.Rows = append(t.Rows, r)
	}
	return t
}

// addTables fills the sections that are tables alone.
func (w *window) addTables(a *document.Analysis, lex *lexicon, caps limits) {
	w.Idle = idleTable(a.Devices)
	w.Launches = launchTable(a)
	w.Streams = streamTable(a)
	w.Copies = copyTable(a.Copies)
	w.Comm = commSection(a, caps.charts)
	w.Roles = roleSection(a, lex, caps.charts)
	w.withoutExposed(a)
	w.Layers = layerSection(a, lex, caps)
	w.Graphs = graphTable(a.Graphs)
	w.Sources = sourceTable(a.Sources)
}

func idleTable(devices []document.Device) *table {
	if len(devices) == 0 {
		return nil
	}
	t := &table{Caption: "Busy and idle time of each GPU, idle by cause", Cols: cols("GPU", "State", "#Time", "#Share of window", "#Gaps")}
	for _, d := range devices {
		span := d.BusyNS + d.GraphNS + d.IdleNS
		gpu := fmt.Sprintf("rank %d, device %d", d.Rank, d.Device)
		state := "busy"
		if d.GraphNS > 0 {
			state = "busy: kernels and copies"
		}
		t.Rows = append(t.Rows, row{Class: "lead", Cells: []cell{textCell(gpu), textCell(state), durCell(d.BusyNS), shareCell(ratio(d.BusyNS, span), "c-busy"), noCell()}})
		if d.GraphNS > 0 {
			t.Rows = append(t.Rows, row{Cells: []cell{{Text: gpu, Again: true}, textCell("busy: whole CUDA graphs alone, kernels not recorded"), durCell(d.GraphNS), shareCell(ratio(d.GraphNS, span), "c-graphs"), noCell()}})
		}
		if len(d.IdleCauses) == 0 {
			t.Rows = append(t.Rows, row{Cells: []cell{{Text: gpu, Again: true}, textCell("idle, cause not known"), durCell(d.IdleNS), shareCell(ratio(d.IdleNS, span), "c-idle"), noCell()}})
		}
		for _, c := range d.IdleCauses[:min(len(d.IdleCauses), 12)] {
			t.Rows = append(t.Rows, row{Cells: []cell{{Text: gpu, Again: true}, textCell("idle: " + causeLabel(c.Cause)), durCell(c.TimeNS), shareCell(c.Share, "c-idle"), countCell(c.Gaps)}})
		}
	}
	return t
}

func launchTable(a *document.Analysis) *table {
	ls, whole := a.Launches, map[[2]int]int64{}
	for _, w := range a.Stacks.Whole {
		whole[[2]int{w.Rank, w.Device}] += w.Runs
	}
	if len(ls) == 0 {
		return nil
	}
	t := &table{Caption: "How the host feeds each GPU",
		Cols: cols("GPU", "#Launch calls with GPU events", "#of them graph launches", "#GPU events in graphs", "#Length of a launch call, median", "#Launch call to GPU start, median", "#Launch call to GPU start, p99", "#Queue depth, mean", "#Queue depth, max", "#Short kernels", "#Time in short kernels", "#GPU events without launch call", "#Launch calls without GPU event")}
	if len(whole) > 0 {
		t.Cols = append(t.Cols, cols("#Graphs recorded as a whole")...)
	}
	for _, l := range ls {
		short := countCell(l.ShortKernels)
		if l.ShortNS > 0 {
			short.Sub = "under " + thin(figures.Dur(l.ShortNS))
		}
		call, delay, tail, mean, deepest := durCell(l.CallMedianNS), durCell(l.DelayMedianNS), durCell(l.DelayP99NS), cell{Text: formatFloat(l.DepthMean), Num: true}, countCell(l.DepthMax)
		if l.Calls == 0 {
			call, delay, tail, mean, deepest = untold(), untold(), untold(), untold(), untold()
		}
		t.Rows = append(t.Rows, row{Cells: []cell{textCell(fmt.Sprintf("rank %d, device %d", l.Rank, l.Device)),
			countCell(l.Calls), countCell(l.GraphCalls), countCell(l.GraphEvents), call, delay, tail, mean, deepest, short, durCell(l.ShortTimeNS), countCell(l.WithoutLaunch), countCell(l.WithoutKernel)}})
		if len(whole) > 0 {
			r := &t.Rows[len(t.Rows)-1]
			r.Cells = append(r.Cells, countCell(whole[[2]int{l.Rank, l.Device}]))
		}
	}
	if len(t.Rows) <= 6 {
		return t.transposed()
	}
	return t
}

// transposed turns a wide table of few rows on its side.
func (t *table) transposed() *table {
	out := &table{Caption: t.Caption, Note: t.Note, Cols: cols("")}
	for _, r := range t.Rows {
		out.Cols = append(out.Cols, column{Label: r.Cells[0].Text, Num: true})
	}
	for i, c := range t.Cols[1:] {
		row := row{Cells: []cell{{Text: c.Label}}}
		for _, r := range t.Rows {
			row.Cells = append(row.Cells, r.Cells[i+1])
		}
		out.Rows = append(out.Rows, row)
	}
	return out
}

// hashCell is the hash of an input; of a file that holds several ranks the first
// one has it.
func hashCell(before []document.Source, s document.Source) cell {
	first := func(o document.Source) bool { return o.SHA256 != "" && o.Path == s.Path && o.Bytes == s.Bytes }
	if s.SHA256 == "" && slices.ContainsFunc(before, first) {
		return textCell("of the same file, above")
	}
	return cell{Text: clip(s.SHA256, 64), Code: true}
}

func sourceTable(ss []document.Source) *table {
	if len(ss) == 0 {
		return nil
	}
	t := &table{Caption: "Inputs", Cols: cols("File", "Format", "#Rank", "#Size", "#Events", "#Skipped", "SHA-256")}
	for i, s := range ss {
		file := textCell(clip(s.Path, 160))
		file.Code = true
		if s.Role != "" && s.Role != "gpu" && s.Role != "summary" {
			file.Sub = strings.ReplaceAll(s.Role, "_", " ") + ", not counted"
		}
		if s.Truncated {
			file.Sub = strings.TrimPrefix(file.Sub+", truncated", ", ")
		}
		rank := noCell()
		if s.Rank >= 0 {
			rank = countCell(int64(s.Rank))
		}
		t.Rows = append(t.Rows, row{Cells: []cell{file, textCell(s.Format), rank, bytesCell(s.Bytes), countCell(s.Events), countCell(s.SkippedEvents),
			hashCell(ss[:i], s)}})
	}
	return t
}
