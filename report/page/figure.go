package page

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/go-echarts/go-echarts/v2/charts"
	"github.com/go-echarts/go-echarts/v2/opts"

	"tokprof/report/document"
	"tokprof/report/figures"
)

// maxBands bounds the layers marked in one drawing.
const maxBands = 1000

// mainLane is the GPU lane (device and stream) with the most events of layers.
func mainLane(lanes []document.Lane) [2]int {
	best, most := [2]int{-1, -1}, 0
	for _, l := range lanes {
		n := 0
		for _, s := range l.Spans {
			if l.GPU && s.Layer >= 0 {
				n++
			}
		}
		if n > most {
			best, most = [2]int{l.Device, int(l.Stream)}, n
		}
	}
	return best
}

// addBands marks the runs of events of one layer above a lane.
func (f *figure) addBands(phase string, lane int, off int64, spans []document.SpanEvent) {
	// A whole graph may hold a piece of a layer, or of none: it parts no layer.
	spans = slices.DeleteFunc(slices.Clone(spans), func(s document.SpanEvent) bool { return s.Whole != nil })
	for i := 0; i < len(spans) && len(f.bands) < f.most; {
		j, end := i, spans[i].StartNS
		for j < len(spans) && spans[j].Layer == spans[i].Layer {
			end = max(end, spans[j].StartNS+spans[j].DurNS)
			j++
		}
		if l := spans[i].Layer; l >= 0 {
			f.bands = append(f.bands, []any{lane, off + spans[i].StartNS, off + end, l, f.texts.kinds.index(layerKind(f.doc, phase, l))})
		}
		i = j
	}
}

func sameRank(g []*document.Timeline, rank int) bool {
	return slices.ContainsFunc(g, func(t *document.Timeline) bool { return t.Rank == rank })
}

// figure gathers what one drawing shows.
type figure struct {
	doc    *document.Analysis
	lex    *lexicon
	group  []*document.Timeline
	texts  figureTexts
	start  int64
	dur    int64
	lanes  []string
	rows   [][]any // lane, start, end, kernel (or hostRow, wholeRow), text, correlation, layer
	bands  [][]any // lane, start, end, layer, kind
	most   int     // bands at most
	drawn  int
	cut    int64
	whole  wholeDrawn
	tables figureTables
}

// What stands in a row of the drawing in place of a kernel.
const (
	hostRow  = -1
	wholeRow = -2
)

// wholeDrawn is how many graphs recorded as a whole a step ran, and for how
// long on all lanes.
type wholeDrawn struct{ runs, time int64 }

type figureTables struct{ lanes, longest *table }

// laneSpan is an event with its lane.
type laneSpan struct {
	lane int
	off  int64
	document.SpanEvent
}

func (f *figure) fill(limit int) {
	f.start, f.most = f.group[0].StartUnixNS, min(maxBands, limit/4)
	for _, t := range f.group {
		f.start = min(f.start, t.StartUnixNS)
	}
	var spans []laneSpan
	for _, t := range f.group {
		f.dur = max(f.dur, t.StartUnixNS-f.start+t.DurNS)
		f.cut += t.Truncated
		for i := range t.Lanes {
			busy := laneBusy(&t.Lanes[i])
			f.whole.runs, f.whole.time = f.whole.runs+busy.runs, f.whole.time+busy.whole
		}
	}
	f.tables.lanes = &table{Caption: "Lanes of this step", Cols: cols("Lane", "#Events", "#Busy", "#Share of step", "#First starts at", "#Last ends at")}
	if f.whole.runs > 0 {
		f.tables.lanes.Cols = append(f.tables.lanes.Cols, cols("#Whole graphs", "#Busy in whole graphs")...)
	}
	for _, t := range f.group {
		spans = append(spans, f.addLanes(t)...)
	}
	spans = f.keepLongest(spans, limit-len(f.bands))
	f.longestTable(spans)
	for _, s := range spans {
		kernel, text := hostRow, 0
		switch {
		case s.Whole != nil:
			kernel, text = wholeRow, f.texts.graphs.index(*s.Whole)
		case f.isKernel(s.Kernel):
			kernel = f.texts.kernels.index(s.Kernel)
			text = f.texts.tag(f.lex.eventPart(s.Part, s.Kernel), s.Role)
		default:
			text = f.texts.hosts.index(s.Name)
		}
		start := s.off + s.StartNS
		// Numbers above 2^53 are not exact in a script; low bits suffice to join.
		f.rows = append(f.rows, []any{s.lane, start, start + s.DurNS, kernel, text, s.Correlation & (1<<53 - 1), s.Layer})
	}
	f.drawn = len(spans) + len(f.bands)
}

func (f *figure) isKernel(i int32) bool { return i >= 0 && int(i) < len(f.doc.Kernels) }

// hostFirst is the lanes of a rank as they are drawn: what launches stands
// above what it launches.
func hostFirst(lanes []document.Lane) []document.Lane {
	out := slices.Clone(lanes)
	slices.SortStableFunc(out, func(a, b document.Lane) int {
		switch {
		case a.GPU == b.GPU:
			return 0
		case b.GPU:
			return -1
		}
		return 1
	})
	return out
}

// addLanes adds the lanes of one rank, and what the table says about them.
func (f *figure) addLanes(t *document.Timeline) []laneSpan {
	var spans []laneSpan
	off := t.StartUnixNS - f.start
	hosts, mainLane := 0, mainLane(t.Lanes)
	several := slices.ContainsFunc(t.Lanes, func(l document.Lane) bool {
		return l.GPU && slices.ContainsFunc(t.Lanes, func(o document.Lane) bool { return o.GPU && o.Device != l.Device })
	})
	for _, l := range hostFirst(t.Lanes) {
		if len(l.Spans) == 0 || len(f.lanes) == 48 {
			f.cut += int64(len(l.Spans))
			continue
		}
		name := fmt.Sprintf("rank %d stream %d", t.Rank, l.Stream)
		if l.GPU && several {
			name = fmt.Sprintf("rank %d GPU %d s%d", t.Rank, l.Device, l.Stream)
		}
		if !l.GPU {
			name = fmt.Sprintf("rank %d host", t.Rank)
			if hosts++; hosts > 1 {
				name += fmt.Sprintf(" %d", hosts)
			}
		}
		lane := len(f.lanes)
		f.lanes = append(f.lanes, name)
		for _, s := range l.Spans {
			spans = append(spans, laneSpan{lane: lane, off: off, SpanEvent: s})
		}
		if l.GPU && l.Device == mainLane[0] && l.Stream == int64(mainLane[1]) {
			f.addBands(t.Phase, lane, off, l.Spans)
		}
		class := "c-idle"
		if l.GPU {
			class = "c-busy"
		}
		c := textCell(name)
		if !l.GPU {
			c.Sub = clip(l.Name, 60)
		}
		busy := laneBusy(&l)
		cells := []cell{c, countCell(int64(len(l.Spans)) - busy.runs), durCell(busy.all),
			shareCell(ratio(busy.all, f.dur), class), durCell(off + l.Spans[0].StartNS), durCell(off + busy.end)}
		if f.whole.runs > 0 {
			cells = append(cells, known(busy.runs > 0, countCell(busy.runs)), known(busy.runs > 0, durCell(busy.whole)))
		}
		f.tables.lanes.Rows = append(f.tables.lanes.Rows, row{Cells: cells})
	}
	return spans
}

// busyLane is the union of a lane's spans, and of its whole graphs alone.
type busyLane struct{ all, whole, runs, end int64 }

func laneBusy(l *document.Lane) busyLane {
	var b busyLane
	var last int64 // end of the whole graphs so far
	for _, s := range l.Spans {
		end := s.StartNS + s.DurNS
		b.all += max(0, end-max(s.StartNS, b.end))
		b.end = max(b.end, end)
		if s.Whole != nil {
			b.runs++
			b.whole += max(0, end-max(s.StartNS, last))
			last = max(last, end)
		}
	}
	return b
}

// wholeName is a graph recorded as a whole, by its file's numbers.
func wholeName(g document.WholeGraph) string {
	return fmt.Sprintf("%s, executable %d", g.Name(), g.Exec)
}

// keepLongest drops the shortest events above the limit and keeps the order.
func (f *figure) keepLongest(spans []laneSpan, limit int) []laneSpan {
	limit = max(limit, 0)
	if len(spans) <= limit {
		return spans
	}
	f.cut += int64(len(spans) - limit)
	slices.SortStableFunc(spans, func(a, b laneSpan) int { return cmp.Compare(b.DurNS, a.DurNS) })
	spans = spans[:limit]
	slices.SortStableFunc(spans, func(a, b laneSpan) int {
		return cmp.Or(cmp.Compare(a.lane, b.lane), cmp.Compare(a.StartNS, b.StartNS))
	})
	return spans
}

func (f *figure) longestTable(spans []laneSpan) {
	var gpu []laneSpan
	for _, s := range spans {
		if f.isKernel(s.Kernel) || s.Whole != nil {
			gpu = append(gpu, s)
		}
	}
	slices.SortStableFunc(gpu, func(a, b laneSpan) int { return cmp.Compare(b.DurNS, a.DurNS) })
	t := &table{Caption: "Longest GPU events of this step", Cols: cols("Kernel", "Role", "Layer", "Lane", "#Starts at", "#Takes", "#Share of step")}
	for _, s := range gpu[:min(len(gpu), 12)] {
		name, class := cell{}, "c-graphs"
		if s.Whole != nil {
			name = cell{Text: wholeName(*s.Whole), Sub: "kernels not recorded"}
		} else {
			name = cell{Text: clip(kernelName(&f.doc.Kernels[s.Kernel]), 80), Code: true}
			class = colourClass(f.lex.eventPart(s.Part, s.Kernel))
		}
		t.Rows = append(t.Rows, row{Cells: []cell{name, textCell(clip(s.Role, 40)), textCell(layerWord(s.Layer)), textCell(f.lanes[s.lane]),
			durCell(s.off + s.StartNS), durCell(s.DurNS), shareCell(ratio(s.DurNS, f.dur), class)}})
	}
	f.tables.longest = t
}

// view is the words around the drawing.
func (f *figure) view(id string) figureView {
	first := f.group[0]
	v := figureView{ID: id, Title: figureTitle(first), Lanes: f.tables.lanes, Longest: f.tables.longest, Folded: first.Slowest}
	if ranks := len(f.doc.Devices); len(f.group) == 1 && ranks > 1 {
		v.Title += fmt.Sprintf(", rank %d", first.Rank)
	}
	if len(f.rows) == 0 {
		v.Empty, v.Lanes, v.Longest = "Nothing was launched in this step.", nil, nil
		if f.cut > 0 {
			v.Empty = "The events of this step are left out to keep the page small."
		}
		return v
	}
	if len(v.Longest.Rows) == 0 {
		v.Longest = nil
	}
	v.Desc = fmt.Sprintf("%s: %d lanes, %s events over %s.", v.Title, len(f.lanes), thin(figures.Count(int64(len(f.rows)))), thin(figures.Dur(f.dur)))
	v.Note = f.whole.note()
	if f.cut > 0 {
		v.Note = strings.TrimSpace(v.Note + " " + thin(figures.Count(f.cut)) + " shorter events are not drawn.")
	}
	return v
}

// note says what the hatched bars are, "" without such.
func (w wholeDrawn) note() string {
	if w.runs == 0 {
		return ""
	}
	what := "A CUDA graph was recorded as a whole (hatched), " + thin(figures.Dur(w.time))
	if w.runs > 1 {
		what = fmt.Sprintf("%s CUDA graphs were recorded as a whole (hatched), %s over all lanes", thin(figures.Count(w.runs)), thin(figures.Dur(w.time)))
	}
	return what + ": the GPU was at work, on kernels that the recording does not hold. nsys profile --cuda-graph-trace=node records them."
}

// chart is a custom series: the script draws a bar for each row.
func (f *figure) chart(id string) map[string]any {
	c := charts.NewCustom()
	c.SetGlobalOptions(
		charts.WithInitializationOpts(opts.Initialization{ChartID: id}),
		charts.WithAnimation(false),
		charts.WithGridOpts(opts.Grid{Left: "118", Right: "16", Top: "24", Bottom: "56"}),
		charts.WithXAxisOpts(opts.XAxis{Type: "value", Min: 0, Max: f.dur, Position: "top"}),
		charts.WithYAxisOpts(opts.YAxis{Type: "category", Data: f.lanes, Inverse: opts.Bool(true)}),
		charts.WithLegendOpts(opts.Legend{Show: opts.Bool(false)}),
		charts.WithTooltipOpts(opts.Tooltip{Show: opts.Bool(true), Trigger: "item"}),
		charts.WithDataZoomOpts(opts.DataZoom{Type: "slider", FilterMode: "weakFilter", XAxisIndex: 0}),
	)
	data := make([]opts.CustomData, 0, len(f.rows))
	for _, r := range f.rows {
		data = append(data, opts.CustomData{Value: r})
	}
	bands := make([]opts.CustomData, 0, len(f.bands))
	for _, b := range f.bands {
		bands = append(bands, opts.CustomData{Value: b})
	}
	encode := charts.WithEncodeOpts(opts.Encode{X: []int{1, 2}, Y: 0})
	c.AddSeries("events", data, encode)
	c.AddSeries("layers", bands, encode)
	c.Validate()
	return c.JSON()
}
