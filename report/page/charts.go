package page

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/go-echarts/go-echarts/v2/charts"
	"github.com/go-echarts/go-echarts/v2/opts"

	"tokprof/report/document"
)

// Charts that people explore are built with go-echarts and handed on as
// options: its own renderer writes names unescaped. Colours, formatters and
// drawing functions stand in the page's script, so no text from a trace ever
// becomes code.

// htmlFigure is one step, drawn: the lanes of all ranks on one clock.
type htmlFigure struct {
	ID, Title, Desc, Note string
	Lanes, Longest        *htmlTable
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
}

// figureKernel is a kernel as a tooltip names it.
type figureKernel struct {
	Name string `json:"name"`
	Part string `json:"part"`
	What string `json:"what"`
}

// htmlMaxFigures bounds the steps drawn per window.
const htmlMaxFigures = 8

// timelineFigures joins the timelines of one step over its ranks and draws
// each such step.
func timelineFigures(a *document.Analysis, id string, caps htmlCaps) ([]htmlFigure, []figureOptions, figureNames) {
	var figs []htmlFigure
	var options []figureOptions
	kernels, hosts := newIntern[int32](), newIntern[string]()
	budget := caps.allEvents
	for _, group := range groupTimelines(a.Timelines) {
		if len(figs) == htmlMaxFigures {
			break
		}
		f := &figure{doc: a, group: group, kernels: kernels, hosts: hosts}
		f.fill(min(caps.events, budget))
		fid := fmt.Sprintf("%s-line%d", id, len(figs))
		budget -= f.drawn
		fig, opt := f.finish(fid)
		figs = append(figs, fig)
		options = append(options, opt)
	}
	names := figureNames{Kernels: []figureKernel{}, Hosts: []string{}}
	for _, i := range kernels.list {
		k := &a.Kernels[i]
		names.Kernels = append(names.Kernels, figureKernel{Name: caps.charts.take(kernelName(k), 120), Part: kernelPart(k), What: caps.charts.take(k.Group+"."+k.Subgroup, 60)})
	}
	for _, h := range hosts.list {
		names.Hosts = append(names.Hosts, caps.charts.take(h, 80))
	}
	return figs, options, names
}

// groupTimelines puts the ranks of a step together where their times overlap.
func groupTimelines(ts []document.Timeline) [][]*document.Timeline {
	var groups [][]*document.Timeline
	for i := range ts {
		t := &ts[i]
		joined := false
		for g := range groups {
			f := groups[g][0]
			if f.Phase == t.Phase && f.Step == t.Step && len(groups[g]) < 8 && !sameRank(groups[g], t.Rank) &&
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
	slices.SortStableFunc(groups, func(a, b []*document.Timeline) int {
		return cmp.Compare(figureRank(a[0].Phase), figureRank(b[0].Phase))
	})
	return groups
}

// figureRank puts decode first: it is the phase people ask about.
func figureRank(phase string) int {
	if phase == "decode" {
		return -1
	}
	return document.PhaseRank(phase)
}

func sameRank(g []*document.Timeline, rank int) bool {
	return slices.ContainsFunc(g, func(t *document.Timeline) bool { return t.Rank == rank })
}

// figure gathers what one drawing shows.
type figure struct {
	doc     *document.Analysis
	group   []*document.Timeline
	kernels *intern[int32]  // rows of the document
	hosts   *intern[string] // texts of host rows
	start   int64
	dur     int64
	lanes   []string
	rows    [][]any // lane, start, end, kernel (-1 host), host text, correlation
	drawn   int
	cut     int64
	tables  figureTables
}

type figureTables struct{ lanes, longest *htmlTable }

// laneSpan is an event with its lane.
type laneSpan struct {
	lane int
	off  int64
	document.SpanEvent
}

func (f *figure) fill(limit int) {
	f.start = f.group[0].StartUnixNS
	for _, t := range f.group {
		f.start = min(f.start, t.StartUnixNS)
	}
	f.tables.lanes = &htmlTable{Caption: "Lanes of this step", Cols: htmlCols("Lane", "#Events", "#Busy", "#Share of step", "#First starts at", "#Last ends at")}
	var spans []laneSpan
	for _, t := range f.group {
		f.dur = max(f.dur, t.StartUnixNS-f.start+t.DurNS)
		f.cut += t.Truncated
	}
	for _, t := range f.group {
		spans = append(spans, f.addLanes(t)...)
	}
	spans = f.keepLongest(spans, limit)
	f.longestTable(spans)
	for _, s := range spans {
		kernel, host := -1, 0
		if f.isKernel(s.Kernel) {
			kernel = f.kernels.index(s.Kernel)
		} else {
			host = f.hosts.index(s.Name)
		}
		start := s.off + s.StartNS
		// Numbers above 2^53 are not exact in a script; low bits suffice to join.
		f.rows = append(f.rows, []any{s.lane, start, start + s.DurNS, kernel, host, s.Correlation & (1<<53 - 1)})
	}
	f.drawn = len(spans)
}

func (f *figure) isKernel(i int32) bool { return i >= 0 && int(i) < len(f.doc.Kernels) }

// addLanes adds the lanes of one rank, and what the table says about them.
func (f *figure) addLanes(t *document.Timeline) []laneSpan {
	var spans []laneSpan
	off := t.StartUnixNS - f.start
	for _, l := range t.Lanes {
		if len(l.Spans) == 0 || len(f.lanes) == 48 {
			f.cut += int64(len(l.Spans))
			continue
		}
		name := fmt.Sprintf("rank %d host", t.Rank)
		if l.GPU {
			name = fmt.Sprintf("rank %d stream %d", t.Rank, l.Stream)
		}
		lane := len(f.lanes)
		f.lanes = append(f.lanes, name)
		var busy, end int64
		for _, s := range l.Spans {
			spans = append(spans, laneSpan{lane: lane, off: off, SpanEvent: s})
			busy += max(0, s.StartNS+s.DurNS-max(s.StartNS, end))
			end = max(end, s.StartNS+s.DurNS)
		}
		class := "c-idle"
		if l.GPU {
			class = "c-busy"
		}
		c := textCell(name)
		if !l.GPU {
			c.Sub = htmlClip(l.Name, 60)
		}
		f.tables.lanes.Rows = append(f.tables.lanes.Rows, htmlRow{Cells: []htmlCell{c, countCell(int64(len(l.Spans))), durCell(busy),
			shareCell(htmlRatio(busy, f.dur), class), durCell(off + l.Spans[0].StartNS), durCell(off + end)}})
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
	t := &htmlTable{Caption: "Longest GPU events of this step", Cols: htmlCols("Kernel", "Lane", "#Starts at", "#Takes", "#Share of step")}
	for _, s := range gpu[:min(len(gpu), 12)] {
		k := &f.doc.Kernels[s.Kernel]
		t.Rows = append(t.Rows, htmlRow{Cells: []htmlCell{{Text: htmlClip(kernelName(k), 80), Code: true}, textCell(f.lanes[s.lane]),
			durCell(s.off + s.StartNS), durCell(s.DurNS), shareCell(htmlRatio(s.DurNS, f.dur), colourClass(kernelPart(k)))}})
	}
	f.tables.longest = t
}

// finish builds the chart and the words around it.
func (f *figure) finish(id string) (htmlFigure, figureOptions) {
	first := f.group[0]
	fig := htmlFigure{ID: id, Title: htmlClip(first.Title, 120), Lanes: f.tables.lanes, Longest: f.tables.longest}
	if fig.Title == "" {
		fig.Title = fmt.Sprintf("%s step %d", htmlClip(first.Phase, 20), first.Step)
	}
	if ranks := len(f.doc.Devices); len(f.group) == 1 && ranks > 1 {
		fig.Title += fmt.Sprintf(", rank %d", first.Rank)
	}
	fig.Desc = fmt.Sprintf("%s: %d lanes, %s events over %s.", fig.Title, len(f.lanes), htmlThin(document.FormatCount(int64(f.drawn))), htmlThin(document.FormatDur(f.dur)))
	if f.cut > 0 {
		fig.Note = htmlThin(document.FormatCount(f.cut)) + " shorter events are not drawn."
	}
	return fig, figureOptions{ID: id, Lanes: len(f.lanes), Option: f.chart(id)}
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
	c.AddSeries("events", data, charts.WithEncodeOpts(opts.Encode{X: []int{1, 2}, Y: 0}))
	c.Validate()
	return c.JSON()
}
