package page

import (
	"fmt"
	"sort"
	"strconv"
	"strings"

	"tokprof/report/document"
)

// htmlTable is a table as the template draws it.
type htmlTable struct {
	Caption, Note string
	Cols          []htmlCol
	Rows          []htmlRow
	Sort          bool
}

type htmlCol struct {
	Label, Class string
	Num          bool
}

type htmlRow struct {
	Cells []htmlCell
	Class string
}

// htmlCell is one cell; the first of a row is its heading.
type htmlCell struct {
	Text, Sub string
	Num       bool
	Value     string // what sorting compares, "" for the text
	Bar       string // width in percent, "" for none
	Class     string // colour of its mark, "" for none
	Code      bool
	Again     bool // says what the row above says
}

func htmlCols(labels ...string) []htmlCol {
	out := make([]htmlCol, 0, len(labels))
	for _, l := range labels {
		name, num := strings.CutPrefix(l, "#")
		out = append(out, htmlCol{Label: name, Num: num})
	}
	return out
}

func textCell(s string) htmlCell { return htmlCell{Text: htmlClip(s, 200)} }

func durCell(ns int64) htmlCell {
	return htmlCell{Text: htmlThin(document.FormatDur(ns)), Num: true, Value: strconv.FormatInt(ns, 10)}
}

func countCell(n int64) htmlCell {
	return htmlCell{Text: htmlThin(document.FormatCount(n)), Num: true, Value: strconv.FormatInt(n, 10)}
}

func bytesCell(n int64) htmlCell {
	return htmlCell{Text: htmlThin(document.FormatBytes(n)), Num: true, Value: strconv.FormatInt(n, 10)}
}

func rateCell(f float64) htmlCell {
	return htmlCell{Text: htmlThin(document.FormatRate(f)), Num: true, Value: strconv.FormatFloat(f, 'g', -1, 64)}
}

func shareCell(f float64, class string) htmlCell {
	return htmlCell{Text: htmlThin(document.FormatShare(f)), Num: true, Value: strconv.FormatFloat(f, 'g', -1, 64),
		Bar: htmlPercent(max(0, min(1, f)) * 100), Class: class}
}

func noCell() htmlCell { return htmlCell{Text: "–", Num: true, Value: "-1"} }

// bound keeps a table and its texts within what the page can hold.
func (t *htmlTable) bound(rows int, cells *textBudget) {
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
func (w *htmlWindow) boundTables(caps htmlCaps) {
	tables := []*htmlTable{w.BarsTable, w.Groups, w.Idle, w.Launches, w.Roles, w.Comm, w.Sources, w.Categories, w.Known, w.Copies, w.Streams, w.Graphs}
	if w.Flame != nil {
		tables = append(tables, w.Flame.Paths)
	}
	if w.LayerBars != nil {
		tables = append(tables, w.LayerBars.Table)
	}
	for i := range w.Figures {
		tables = append(tables, w.Figures[i].Lanes, w.Figures[i].Longest)
	}
	for _, t := range tables {
		if t != nil {
			t.bound(caps.tableRows, caps.cells)
		}
	}
}

// meansTable says what the step bars show: a row per bar.
func meansTable(means []*document.StepMean) *htmlTable {
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
	t := &htmlTable{Caption: "Where a step goes: mean time per step and share of it"}
	t.Cols = htmlCols("Phase, rank", "#Steps", "#Launches a step", "#Step")
	for _, n := range names {
		t.Cols = append(t.Cols, htmlCol{Label: partLabel(n), Num: true, Class: colourClass(n)})
	}
	for _, m := range means {
		total := m.Total()
		r := htmlRow{Cells: []htmlCell{
			textCell(fmt.Sprintf("%s, rank %d", m.Phase, m.Rank)), countCell(m.Steps),
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
			c.Sub = htmlThin(document.FormatShare(htmlRatio(v, total)))
			r.Cells = append(r.Cells, c)
		}
		t.Rows = append(t.Rows, r)
	}
	return t
}

// rowTable is rows by name with a column per phase, so that prefill stands
// beside decode.
func rowTable(caption string, rows []document.Row, order []string) *htmlTable {
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
	htmlSortPhases(phases)
	phases = phases[:min(len(phases), 8)]
	if order != nil {
		sortNames(names, order)
	} else {
		last := phases[len(phases)-1]
		sort.SliceStable(names, func(i, j int) bool { return cells[names[i]][last].TimeNS > cells[names[j]][last].TimeNS })
	}
	t := &htmlTable{Caption: caption, Sort: true, Cols: htmlCols("Name")}
	for _, p := range phases {
		t.Cols = append(t.Cols, htmlCol{Label: htmlPhaseLabel(p), Num: true})
	}
	t.Cols = append(t.Cols, htmlCols("#Exposed", "#Launches")...)
	for _, n := range names {
		mark := n
		if g, _, ok := strings.Cut(n, "."); ok {
			mark = g
		} else if p, ok := rolePart[n]; ok {
			mark = p
		}
		r := htmlRow{Cells: []htmlCell{{Text: partLabel(n), Class: colourClass(mark)}}}
		last := cells[n][phases[len(phases)-1]]
		for _, p := range phases {
			row, ok := cells[n][p]
			if !ok || row.TimeNS == 0 {
				r.Cells = append(r.Cells, noCell())
				continue
			}
			c := durCell(row.TimeNS)
			c.Sub = htmlThin(document.FormatShare(row.Share))
			r.Cells = append(r.Cells, c)
		}
		r.Cells = append(r.Cells, durCell(last.ExposedNS), countCell(last.Launches))
		t.Rows = append(t.Rows, r)
	}
	return t
}

func categoryTable(rows []document.Row) *htmlTable {
	return rowTable("Time by category", rows, nil)
}

// addTables fills the sections that are tables alone.
func (w *htmlWindow) addTables(a *document.Analysis) {
	w.Idle = idleTable(a.Devices)
	w.Launches = launchTable(a.Launches)
	w.Streams = streamTable(a)
	w.Copies = copyTable(a.Copies)
	w.Comm = commTable(a.Collectives)
	w.Roles = rowTable("Time by role", a.Roles, nil)
	w.LayerBars = layerBars(a.Layers)
	w.Graphs = graphTable(a.Graphs)
	w.Sources = sourceTable(a.Sources)
	w.Known = knownTable(a.Provenance)
}

func idleTable(devices []document.Device) *htmlTable {
	if len(devices) == 0 {
		return nil
	}
	t := &htmlTable{Caption: "Busy and idle time of each GPU, idle by cause", Cols: htmlCols("GPU", "State", "#Time", "#Share of window", "#Gaps")}
	for _, d := range devices {
		span := d.BusyNS + d.IdleNS
		gpu := fmt.Sprintf("rank %d, device %d", d.Rank, d.Device)
		t.Rows = append(t.Rows, htmlRow{Class: "lead", Cells: []htmlCell{textCell(gpu), textCell("busy"), durCell(d.BusyNS), shareCell(htmlRatio(d.BusyNS, span), "c-busy"), noCell()}})
		if len(d.IdleCauses) == 0 {
			t.Rows = append(t.Rows, htmlRow{Cells: []htmlCell{{Text: gpu, Again: true}, textCell("idle, cause not known"), durCell(d.IdleNS), shareCell(htmlRatio(d.IdleNS, span), "c-idle"), noCell()}})
		}
		for _, c := range d.IdleCauses[:min(len(d.IdleCauses), 12)] {
			t.Rows = append(t.Rows, htmlRow{Cells: []htmlCell{{Text: gpu, Again: true}, textCell("idle: " + htmlCause(c.Cause)), durCell(c.TimeNS), shareCell(c.Share, "c-idle"), countCell(c.Gaps)}})
		}
	}
	return t
}

func launchTable(ls []document.Launches) *htmlTable {
	if len(ls) == 0 {
		return nil
	}
	t := &htmlTable{Caption: "How the host feeds each GPU",
		Cols: htmlCols("GPU", "#Launch calls with GPU events", "#of them graph launches", "#GPU events in graphs", "#Length of a launch call, median", "#Launch call to GPU start, median", "#Launch call to GPU start, p99", "#Queue depth, mean", "#Queue depth, max", "#Short kernels", "#Time in short kernels", "#GPU events without launch call", "#Launch calls without GPU event")}
	for _, l := range ls {
		short := countCell(l.ShortKernels)
		if l.ShortNS > 0 {
			short.Sub = "under " + htmlThin(document.FormatDur(l.ShortNS))
		}
		t.Rows = append(t.Rows, htmlRow{Cells: []htmlCell{textCell(fmt.Sprintf("rank %d, device %d", l.Rank, l.Device)),
			countCell(l.Calls), countCell(l.GraphCalls), countCell(l.GraphEvents), durCell(l.CallMedianNS), durCell(l.DelayMedianNS), durCell(l.DelayP99NS),
			{Text: htmlFloat(l.DepthMean), Num: true}, countCell(l.DepthMax), short, durCell(l.ShortTimeNS), countCell(l.WithoutLaunch), countCell(l.WithoutKernel)}})
	}
	if len(t.Rows) <= 6 {
		return t.transposed()
	}
	return t
}

// transposed turns a wide table of few rows on its side.
func (t *htmlTable) transposed() *htmlTable {
	out := &htmlTable{Caption: t.Caption, Note: t.Note, Cols: htmlCols("")}
	for _, r := range t.Rows {
		out.Cols = append(out.Cols, htmlCol{Label: r.Cells[0].Text, Num: true})
	}
	for i, c := range t.Cols[1:] {
		row := htmlRow{Cells: []htmlCell{{Text: c.Label}}}
		for _, r := range t.Rows {
			row.Cells = append(row.Cells, r.Cells[i+1])
		}
		out.Rows = append(out.Rows, row)
	}
	return out
}

func streamTable(a *document.Analysis) *htmlTable {
	if len(a.Streams) == 0 {
		return nil
	}
	t := &htmlTable{Caption: "Streams", Sort: true, Cols: htmlCols("Stream", "#Busy", "#Share of window", "#Sum", "#GPU events")}
	for _, s := range a.Streams {
		t.Rows = append(t.Rows, htmlRow{Cells: []htmlCell{textCell(fmt.Sprintf("rank %d, device %d, stream %d", s.Rank, s.Device, s.Stream)),
			durCell(s.BusyNS), shareCell(htmlRatio(s.BusyNS, a.Window.DurNS), "c-busy"), durCell(s.SumNS), countCell(s.Launches)}})
	}
	return t
}

func copyTable(cs []document.Copy) *htmlTable {
	if len(cs) == 0 {
		return nil
	}
	t := &htmlTable{Caption: "Copies and memsets", Sort: true, Cols: htmlCols("Kind", "#Count", "#Time", "#Bytes", "#Median size", "#Rate", "#Size unknown")}
	for _, c := range cs {
		t.Rows = append(t.Rows, htmlRow{Cells: []htmlCell{textCell(strings.ReplaceAll(c.Kind, "_", " ")), countCell(c.Count), durCell(c.TimeNS),
			bytesCell(c.Bytes), bytesCell(c.MedianB), rateCell(c.BytesPerS), countCell(c.Unsized)}})
	}
	return t
}

func commTable(cs []document.Collective) *htmlTable {
	if len(cs) == 0 {
		return nil
	}
	t := &htmlTable{Caption: "Collectives by kind and size", Sort: true,
		Cols: htmlCols("Kind", "Kernel", "#Size", "#Ranks", "#Count", "#Transfer, median", "#p99", "#Wait, median", "#p99", "#Bus bandwidth", "#Ceiling")}
	est := false
	for _, c := range cs {
		tr := durCell(c.TransferNS.Median)
		if c.Estimated {
			tr.Sub, est = "estimate", true
		}
		k := textCell(htmlClip(c.Kernel, 120))
		k.Code = true
		t.Rows = append(t.Rows, htmlRow{Cells: []htmlCell{textCell(strings.ReplaceAll(c.Kind, "_", "-")), k, bytesCell(c.Bytes), countCell(int64(c.Ranks)), countCell(c.Count),
			tr, durCell(c.TransferNS.P99), durCell(c.WaitNS.Median), durCell(c.WaitNS.P99), rateCell(c.BusBW), rateCell(c.Ceiling)}})
	}
	if est {
		t.Note = "An estimate comes from the lower envelope of equal collectives, for want of the other ranks' files."
	}
	return t
}

func graphTable(gs []document.Graph) *htmlTable {
	if len(gs) == 0 {
		return nil
	}
	t := &htmlTable{Caption: "CUDA graphs", Sort: true, Cols: htmlCols("Signature", "#GPU events a replay", "#Replays", "#Time")}
	for _, g := range gs {
		s := textCell(htmlClip(g.Signature, 80))
		s.Code = true
		t.Rows = append(t.Rows, htmlRow{Cells: []htmlCell{s, countCell(g.Kernels), countCell(g.Replays), durCell(g.TimeNS)}})
	}
	return t
}

func sourceTable(ss []document.Source) *htmlTable {
	if len(ss) == 0 {
		return nil
	}
	t := &htmlTable{Caption: "Inputs", Cols: htmlCols("File", "Format", "#Rank", "#Size", "#Events", "#Skipped", "SHA-256")}
	for _, s := range ss {
		file := textCell(htmlClip(s.Path, 160))
		file.Code = true
		if s.Role != "" && s.Role != "gpu" {
			file.Sub = strings.ReplaceAll(s.Role, "_", " ") + ", not counted"
		}
		if s.Truncated {
			file.Sub = strings.TrimPrefix(file.Sub+", truncated", ", ")
		}
		rank := noCell()
		if s.Rank >= 0 {
			rank = countCell(int64(s.Rank))
		}
		t.Rows = append(t.Rows, htmlRow{Cells: []htmlCell{file, textCell(s.Format), rank, bytesCell(s.Bytes), countCell(s.Events), countCell(s.SkippedEvents),
			{Text: htmlClip(s.SHA256, 64), Code: true}}})
	}
	return t
}

func knownTable(ps []document.Provenance) *htmlTable {
	if len(ps) == 0 {
		return nil
	}
	t := &htmlTable{Caption: "How roles are known", Cols: htmlCols("Evidence", "#Time", "#Share")}
	for _, p := range ps {
		t.Rows = append(t.Rows, htmlRow{Cells: []htmlCell{textCell(p.Provenance), durCell(p.TimeNS), shareCell(p.Share, "c-busy")}})
	}
	return t
}
