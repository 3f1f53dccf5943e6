package page

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/go-echarts/go-echarts/v2/charts"
	"github.com/go-echarts/go-echarts/v2/opts"

	"tokprof/report/document"
	"tokprof/report/figures"
)

// Charts that people explore are built with go-echarts and handed on as
// options: its own renderer writes names unescaped. Colours, formatters and
// drawing functions stand in the page's script, so no text from a trace ever
// becomes code.

// figureView is one step, drawn: the lanes of all ranks on one clock.
type figureView struct {
	ID, Title, Desc, Note string
	Empty                 string // said instead of a drawing
	Folded                bool
	Lanes, Longest        *table
}

// figureOptions is a figure's data for the script.
type figureOptions struct {
	ID     string         `json:"id"`
	Lanes  int            `json:"lanes"`
	Option map[string]any `json:"option"`
}

// figureNames are the texts that the figures of a window refer to by index.
type figureNames struct {
	Kernels []figureKernel `json:"kernels"`
	Hosts   []string       `json:"hosts"`
	Tags    []figureTag    `json:"tags"`
	Kinds   []string       `json:"kinds"` // of layers
}

// figureKernel is a kernel as a tooltip names it.
type figureKernel struct {
	Name string `json:"name"`
	What string `json:"what"`
}

// figureTag is what an event is for; its part colours the event.
type figureTag struct {
	Part string `json:"part"`
	Role string `json:"role"`
}

// maxTags bounds the pairs of part and role; a model has a few dozen.
const maxTags = 300

// tag numbers what an event is for, without its role where there are too many.
func (t figureTexts) tag(part, role string) int {
	tag := figureTag{Part: part, Role: clip(role, 40)}
	if _, ok := t.tags.seen[tag]; !ok && len(t.tags.list) >= maxTags {
		tag.Role = ""
	}
	return t.tags.index(tag)
}

// maxFigures bounds the steps drawn per window.
const maxFigures = 8

// figureTexts numbers the texts of all figures of a window.
type figureTexts struct {
	kernels *intern[int32] // rows of the document
	hosts   *intern[string]
	tags    *intern[figureTag]
	kinds   *intern[string]
}

// timelineFigures joins the timelines of one step over its ranks and draws
// each such step.
func timelineFigures(a *document.Analysis, id string, lex *lexicon, caps limits) ([]figureView, []figureOptions, figureNames) {
	var figs []figureView
	var options []figureOptions
	texts := figureTexts{newIntern[int32](), newIntern[string](), newIntern[figureTag](), newIntern[string]()}
	budget := caps.allEvents
	for _, group := range groupTimelines(a) {
		if len(figs) == maxFigures {
			break
		}
		f := &figure{doc: a, lex: lex, group: group, texts: texts}
		f.fill(min(caps.events, budget))
		fid := fmt.Sprintf("%s-line%d", id, len(figs))
		budget -= f.drawn
		fig := f.view(fid)
		figs = append(figs, fig)
		if fig.Empty == "" {
			options = append(options, figureOptions{ID: fid, Lanes: len(f.lanes), Option: f.chart(fid)})
		}
	}
	return figs, options, texts.names(a, caps.charts)
}

func (t figureTexts) names(a *document.Analysis, budget *textBudget) figureNames {
	names := figureNames{Kernels: []figureKernel{}, Hosts: []string{}, Tags: []figureTag{}, Kinds: []string{}}
	for _, i := range t.kernels.list {
		k := &a.Kernels[i]
		names.Kernels = append(names.Kernels, figureKernel{Name: budget.take(kernelName(k), 120), What: budget.take(kernelWhat(k, ""), 60)})
	}
	for _, x := range t.tags.list {
		names.Tags = append(names.Tags, figureTag{Part: x.Part, Role: budget.take(x.Role, 40)})
	}
	for _, h := range t.hosts.list {
		names.Hosts = append(names.Hosts, budget.take(h, 80))
	}
	for _, k := range t.kinds.list {
		names.Kinds = append(names.Kinds, budget.take(k, 40))
	}
	return names
}

// groupTimelines puts the ranks of a step together where their times overlap.
// The main phase comes first, the slowest step after the usual one.
func groupTimelines(a *document.Analysis) [][]*document.Timeline {
	var groups [][]*document.Timeline
	var phases []string
	for i := range a.Timelines {
		t := &a.Timelines[i]
		if !slices.Contains(phases, t.Phase) {
			phases = append(phases, t.Phase)
		}
		joined := false
		for g := range groups {
			f := groups[g][0]
			if f.Phase == t.Phase && f.Step == t.Step && f.Slowest == t.Slowest && len(groups[g]) < 8 && !sameRank(groups[g], t.Rank) &&
				t.StartUnixNS < f.StartUnixNS+f.DurNS && f.StartUnixNS < t.StartUnixNS+t.DurNS {
				groups[g] = append(groups[g], t)
				joined = true
				break
			}
		}
		if !joined {
			groups = append(groups, []*document.Timeline{t})
		}
	}
	mainFirst(a, phases)
	slices.SortStableFunc(groups, func(a, b []*document.Timeline) int {
		return cmp.Or(cmp.Compare(slices.Index(phases, a[0].Phase), slices.Index(phases, b[0].Phase)), cmp.Compare(slower(a[0]), slower(b[0])))
	})
	return groups
}

func slower(t *document.Timeline) int {
	if t.Slowest {
		return 1
	}
	return 0
}

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
	rows   [][]any // lane, start, end, kernel (-1 host), tag or host text, correlation, layer
	bands  [][]any // lane, start, end, layer, kind
	most   int     // bands at most
	drawn  int
	cut    int64
	tables figureTables
}

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
	f.tables.lanes = &table{Caption: "Lanes of this step", Cols: cols("Lane", "#Events", "#Busy", "#Share of step", "#First starts at", "#Last ends at")}
	var spans []laneSpan
	for _, t := range f.group {
		f.dur = max(f.dur, t.StartUnixNS-f.start+t.DurNS)
		f.cut += t.Truncated
	}
	for _, t := range f.group {
		spans = append(spans, f.addLanes(t)...)
	}
	spans = f.keepLongest(spans, limit-len(f.bands))
	f.longestTable(spans)
	for _, s := range spans {
		kernel, text := -1, 0
		if f.isKernel(s.Kernel) {
			kernel = f.texts.kernels.index(s.Kernel)
			text = f.texts.tag(f.lex.eventPart(s.Part, s.Kernel), s.Role)
		} else {
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
	for _, l := range hostFirst(t.Lanes) {
		if len(l.Spans) == 0 || len(f.lanes) == 48 {
			f.cut += int64(len(l.Spans))
			continue
		}
		name := fmt.Sprintf("rank %d stream %d", t.Rank, l.Stream)
		if !l.GPU {
			name = fmt.Sprintf("rank %d host", t.Rank)
			if hosts++; hosts > 1 {
				name += fmt.Sprintf(" %d", hosts)
			}
		}
		lane := len(f.lanes)
		f.lanes = append(f.lanes, name)
		var busy, end int64
		for _, s := range l.Spans {
			spans = append(spans, laneSpan{lane: lane, off: off, SpanEvent: s})
			busy += max(0, s.StartNS+s.DurNS-max(s.StartNS, end))
			end = max(end, s.StartNS+s.DurNS)
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
		f.tables.lanes.Rows = append(f.tables.lanes.Rows, row{Cells: []cell{c, countCell(int64(len(l.Spans))), durCell(busy),
			shareCell(ratio(busy, f.dur), class), durCell(off + l.Spans[0].StartNS), durCell(off + end)}})
	}
	return spans
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
		if f.isKernel(s.Kernel) {
			gpu = append(gpu, s)
		}
	}
	slices.SortStableFunc(gpu, func(a, b laneSpan) int { return cmp.Compare(b.DurNS, a.DurNS) })
	t := &table{Caption: "Longest GPU events of this step", Cols: cols("Kernel", "Role", "Layer", "Lane", "#Starts at", "#Takes", "#Share of step")}
	for _, s := range gpu[:min(len(gpu), 12)] {
		k := &f.doc.Kernels[s.Kernel]
		t.Rows = append(t.Rows, row{Cells: []cell{{Text: clip(kernelName(k), 80), Code: true}, textCell(clip(s.Role, 40)), textCell(layerWord(s.Layer)), textCell(f.lanes[s.lane]),
			durCell(s.off + s.StartNS), durCell(s.DurNS), shareCell(ratio(s.DurNS, f.dur), colourClass(f.lex.eventPart(s.Part, s.Kernel)))}})
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
	if f.cut > 0 {
		v.Note = thin(figures.Count(f.cut)) + " shorter events are not drawn."
	}
	return v
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
