package page

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-echarts/go-echarts/v2/charts"
	"github.com/go-echarts/go-echarts/v2/opts"

	"tokprof/report/document"
	"tokprof/report/figures"
)

// stepsView is the section of steps over time.
type stepsView struct {
	ID, Desc, Note string
	Phases, Steps  *table
	Chart          bool
}

// stepPoint is one step of the chart, or the median of several.
type stepPoint struct {
	phase              string
	start, dur, worst  int64
	busy, tokens, reqs int64
	graph              int64 // of busy: only whole graphs ran
	index, rank, count int
}

// stepsOverTime draws the duration of each step by phase, with tokens below
// on the same axis.
func stepsOverTime(a *document.Analysis, id string, lex *lexicon, caps limits) (*stepsView, map[string]any) {
	if len(a.Steps) == 0 && len(a.Phases) == 0 {
		return nil, nil
	}
	s := &stepsView{ID: id + "-stepchart", Phases: phaseTable(a.Phases, lex)}
	points := stepPoints(a)
	if len(points) == 0 {
		return s, nil
	}
	s.Steps = stepTable(a, id, caps.stepRows)
	if n := len(points); n > caps.stepPoints {
		bin := (n + caps.stepPoints - 1) / caps.stepPoints
		points = binPoints(points, bin)
		s.Note = fmt.Sprintf("%s steps: each point is the median of up to %d steps of its phase, its tooltip names the slowest.", thin(figures.Count(int64(n))), bin)
	}
	s.Desc = fmt.Sprintf("Duration of %s steps over the window, by phase.", thin(figures.Count(int64(len(a.Steps)))))
	s.Chart = true
	bars, lanes, cut := requestBars(a, caps.requests)
	strip := newStrip(a, caps.readings)
	s.Note = strings.TrimSpace(s.Note + " " + requestsNote(lanes, cut))
	if lanes > 0 {
		s.Desc += " Requests stand above as bars."
	}
	if strip != nil {
		s.Desc += " Below, on the same axis, stand the GPUs' readings."
		s.Note = strings.TrimSpace(s.Note + " " + strip.note())
	}
	return s, stepsChart(s.ID, points, bars, lanes, strip, lex)
}

// stepID is a step of a rank.
type stepID struct{ rank, step int }

// anchors are the ids of the table's rows by step.
func (s *stepsView) anchors() map[stepID]string {
	out := map[stepID]string{}
	if s == nil || s.Steps == nil {
		return out
	}
	for _, r := range s.Steps.Rows {
		if r.ID != "" {
			out[r.step] = r.ID
		}
	}
	return out
}

func stepPoints(a *document.Analysis) []stepPoint {
	var out []stepPoint
	for _, s := range a.Steps {
		if s.DurNS > 0 {
			out = append(out, stepPoint{phase: s.Phase, start: s.StartUnixNS - a.Window.StartUnixNS, dur: s.DurNS, worst: s.DurNS,
				busy: s.BusyNS, graph: s.GraphNS(), tokens: s.Tokens, reqs: s.Requests, index: s.Index, rank: s.Rank, count: 1})
		}
	}
	slices.SortStableFunc(out, func(a, b stepPoint) int {
		return cmp.Or(cmp.Compare(document.PhaseRank(a.phase), document.PhaseRank(b.phase)), cmp.Compare(a.phase, b.phase), cmp.Compare(a.start, b.start))
	})
	return out
}

// binPoints joins runs of n points of one phase.
func binPoints(points []stepPoint, n int) []stepPoint {
	var out []stepPoint
	for i := 0; i < len(points); {
		j := i
		for j < len(points) && j < i+n && points[j].phase == points[i].phase {
			j++
		}
		run := points[i:j]
		p := run[0]
		durs := make([]int64, 0, len(run))
		p.tokens, p.count = 0, len(run)
		for _, q := range run {
			durs = append(durs, q.dur)
			p.worst = max(p.worst, q.dur)
			p.tokens += q.tokens
		}
		p.dur = document.Median(durs)
		p.tokens /= int64(len(run))
		out = append(out, p)
		i = j
	}
	return out
}

// phaseSymbols tell phases apart without colour.
var phaseSymbols = map[string]string{"prefill": "triangle", "decode": "circle", "mixed": "diamond", "dummy": "rect"}

// stepsChart draws the steps, the requests above them, the tokens and the GPUs'
// readings below, each in a grid of its own.
func stepsChart(id string, points []stepPoint, bars []requestBar, lanes int, strip *strip, lex *lexicon) map[string]any {
	c := charts.NewScatter()
	shift := 0
	withTokens := slices.ContainsFunc(points, hasTokens)
	grid := []opts.Grid{}
	if lanes > 0 {
		shift = lanesHeight(lanes) + 18
		grid = append(grid, opts.Grid{Left: "72", Right: "16", Top: "36", Height: strconv.Itoa(lanesHeight(lanes))})
	}
	down := func(px int) string { return strconv.Itoa(px + shift) }
	grid = slices.Insert(grid, 0, opts.Grid{Left: "72", Right: "16", Top: down(36), Height: "170"})
	stripGrid, stripTop := len(grid), 236+shift+trackGap/2
	if withTokens {
		stripTop += 70
	}
	grid = append(grid, strip.layout(stripTop)...)
	grid = append(grid, opts.Grid{Left: "72", Right: "16", Top: down(236), Height: "56"})
	grids := make([]int, len(grid))
	for i := range grids {
		grids[i] = i
	}
	c.SetGlobalOptions(
		charts.WithInitializationOpts(opts.Initialization{ChartID: id}),
		charts.WithAnimation(false),
		charts.WithGridOpts(grid...),
		charts.WithXAxisOpts(opts.XAxis{Type: "value", Min: 0}),
		charts.WithYAxisOpts(opts.YAxis{Type: "value", Name: "step takes", NameLocation: "middle", NameGap: 56, Min: 0}),
		charts.WithTooltipOpts(opts.Tooltip{Show: opts.Bool(true), Trigger: "item"}),
		charts.WithLegendOpts(opts.Legend{Show: opts.Bool(true), Top: "0", Left: "64", ItemWidth: 10, ItemHeight: 10}),
		charts.WithDataZoomOpts(opts.DataZoom{Type: "slider", XAxisIndex: grids, FilterMode: "none"}),
	)
	if lanes > 0 {
		addRequests(c, bars, lanes)
	}
	strip.addTo(c, stripGrid)
	last := len(grids) - 1
	c.ExtendXAxis(opts.XAxis{Type: "value", GridIndex: last, Min: 0})
	c.ExtendYAxis(opts.YAxis{Type: "value", GridIndex: last, Name: "tokens", NameLocation: "middle", NameGap: 56, Min: 0})
	addSteps(c, points, last, lex)
	c.Validate()
	return map[string]any{"id": id, "tokens": withTokens, "above": shift, "option": c.JSON(), "strip": strip.forScript(stripGrid)}
}

// addSteps draws each step's time and, in a grid of their own, its tokens: a
// series for every stretch of points of one phase.
func addSteps(c *charts.Scatter, points []stepPoint, tokenGrid int, lex *lexicon) {
	tokens := charts.NewBar()
	for i := 0; i < len(points); {
		j := i
		var dur []opts.ScatterData
		var tok []opts.BarData
		for ; j < len(points) && points[j].phase == points[i].phase; j++ {
			p := points[j]
			dur = append(dur, opts.ScatterData{Value: []int64{p.start, p.dur, int64(p.index), int64(p.rank), p.busy, p.tokens, p.reqs, int64(p.count), p.worst, p.graph}})
			if hasTokens(p) {
				tok = append(tok, opts.BarData{Value: []int64{p.start, p.tokens}})
			}
		}
		name := lex.stepPhase(points[i].phase)
		symbol, ok := phaseSymbols[name]
		if !ok {
			symbol = "circle"
		}
		c.AddSeries(name, dur, charts.WithScatterChartOpts(opts.ScatterChart{Symbol: symbol, SymbolSize: 8}))
		tokens.AddSeries(name, tok, charts.WithBarChartOpts(opts.BarChart{XAxisIndex: tokenGrid, YAxisIndex: tokenGrid, BarWidth: "2", BarGap: "-100%"}))
		i = j
	}
	if slices.ContainsFunc(points, hasTokens) {
		c.Overlap(tokens)
	}
}

func hasTokens(p stepPoint) bool { return p.tokens > 0 }

func phaseTable(ps []document.Phase, lex *lexicon) *table {
	t := &table{Caption: "Steps by phase", Cols: cols("Phase", "#Steps", "#Step, median", "#p99", "#Busy, median", "#p99", "#Tokens", "#Requests", "#Time a token")}
	whole := slices.ContainsFunc(ps, func(p document.Phase) bool { return p.GraphNS.P99 > 0 })
	if whole {
		t.Cols = append(t.Cols, cols("#Busy in whole graphs, median")...)
	}
	for _, p := range ps {
		if p.Steps == 0 {
			continue
		}
		tok := noCell()
		if p.USPerToken > 0 {
			tok = durCell(int64(p.USPerToken * 1000))
		}
		t.Rows = append(t.Rows, row{Cells: []cell{textCell(lex.stepPhase(p.Phase)), countCell(p.Steps), durCell(p.StepNS.Median), durCell(p.StepNS.P99),
			durCell(p.BusyNS.Median), durCell(p.BusyNS.P99), known(p.Tokens > 0, countCell(p.Tokens)), known(p.Requests > 0, countCell(p.Requests)), tok}})
		if whole {
			r := &t.Rows[len(t.Rows)-1]
			r.Cells = append(r.Cells, known(p.GraphNS.P99 > 0, durCell(p.GraphNS.Median)))
		}
	}
	if len(t.Rows) == 0 {
		return nil
	}
	return t
}

// leads are the ranks whose steps served requests.
func leads(a *document.Analysis) map[int]bool {
	out := map[int]bool{}
	if a.Requests != nil {
		for i := range a.Requests.Rows {
			out[a.Requests.Rows[i].Rank] = true
		}
	}
	return out
}

// stepTable lists the steps, or the slowest of them. Rows of the first rank
// and of those that requests point to are anchors.
func stepTable(a *document.Analysis, id string, limit int) *table {
	t := &table{Caption: "Each step", Sort: true, Cols: cols("Step", "Phase", "#Rank", "#Starts at", "#Takes", "#Busy", "#To next start", "#Launches", "#Tokens", "#Requests")}
	clock := slices.ContainsFunc(a.Steps, func(s document.Step) bool { return s.SMMHz > 0 })
	if clock {
		t.Cols = append(t.Cols, cols("#SM clock, MHz")...)
	}
	if a.PerGPU() {
		t.Cols[5].Label = "Busy, mean of its GPUs"
	}
	whole := slices.ContainsFunc(a.Steps, func(s document.Step) bool { return s.GraphNS() > 0 })
	if whole {
		t.Cols = append(t.Cols, cols("#Busy in whole graphs")...)
	}
	steps := make([]document.Step, 0, len(a.Steps))
	for _, s := range a.Steps {
		if s.DurNS > 0 {
			steps = append(steps, s)
		}
	}
	if n := len(steps); n > limit {
		slices.SortStableFunc(steps, func(a, b document.Step) int { return cmp.Compare(b.DurNS, a.DurNS) })
		steps = steps[:limit]
		t.Note = fmt.Sprintf("The %d slowest of %s.", limit, thin(figures.Count(int64(n))))
	}
	lead := leads(a)
	for _, s := range steps {
		next := noCell()
		if s.PeriodNS > 0 {
			next = durCell(s.PeriodNS)
		}
		step := countCell(int64(s.Index))
		step.Num = false
		anchor := ""
		switch {
		case s.Rank == a.Steps[0].Rank:
			anchor = fmt.Sprintf("%s-step%d", id, s.Index)
		case lead[s.Rank]:
			anchor = fmt.Sprintf("%s-rank%d-step%d", id, s.Rank, s.Index)
		}
		t.Rows = append(t.Rows, row{ID: anchor, step: stepID{s.Rank, s.Index}, Cells: []cell{step, phaseCell(s.Phase), countCell(int64(s.Rank)), durCell(s.StartUnixNS - a.Window.StartUnixNS),
			durCell(s.DurNS), durCell(s.BusyNS), next, countCell(s.Launches), known(s.Tokens > 0, countCell(s.Tokens)), known(s.Requests > 0, countCell(s.Requests))}})
		if clock {
			r := &t.Rows[len(t.Rows)-1]
			r.Cells = append(r.Cells, unlessKnown(s.SMMHz > 0, plainNumber(s.SMMHz)))
		}
		if whole {
			r := &t.Rows[len(t.Rows)-1]
			r.Cells = append(r.Cells, known(s.GraphNS() > 0, durCell(s.GraphNS())))
		}
	}
	return t
}
