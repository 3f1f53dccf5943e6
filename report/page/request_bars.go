package page

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/go-echarts/go-echarts/v2/charts"
	"github.com/go-echarts/go-echarts/v2/opts"

	"tokprof/report/document"
)

// Requests stand as thin bars above the steps, on their axis: waiting, the
// steps to the first token, the rest of the answer.

// maxRequestLanes bounds the height of the bars.
const maxRequestLanes = 40

// requestBar is one request: lane and times from the window's start. A request
// whose steps are not known waits until its first token.
type requestBar struct {
	lane                    int
	due, entered, first, to int64
	id                      int
}

// requestBars packs requests into lanes in which none overlap; cut is how many
// have none.
func requestBars(a *document.Analysis, limit int) (bars []requestBar, lanes, cut int) {
	if a.Requests == nil {
		return nil, 0, 0
	}
	rows := slices.Clone(a.Requests.Rows)
	slices.SortStableFunc(rows, func(x, y document.Request) int { return cmp.Compare(x.DueUnixNS, y.DueUnixNS) })
	var free []int64 // when each lane is free again
	for i := range rows {
		r := &rows[i]
		if r.FirstUnixNS < r.DueUnixNS || r.LastUnixNS < r.FirstUnixNS || r.FirstUnixNS == 0 {
			continue
		}
		if from := a.Window.StartUnixNS; r.DueUnixNS > from+a.Window.DurNS || r.LastUnixNS < from {
			cut++ // only steps of the window are drawn
			continue
		}
		lane := slices.IndexFunc(free, func(at int64) bool { return at <= r.DueUnixNS })
		if lane < 0 && len(free) < maxRequestLanes {
			lane = len(free)
			free = append(free, 0)
		}
		if lane < 0 || len(bars) == limit {
			cut++
			continue
		}
		free[lane] = r.LastUnixNS
		from := a.Window.StartUnixNS
		b := requestBar{lane: lane, due: r.DueUnixNS - from, entered: r.FirstUnixNS - from, first: r.FirstUnixNS - from, to: r.LastUnixNS - from, id: r.ID}
		if r.FirstToken != nil {
			b.entered = b.due + r.FirstToken.QueueNS
		}
		bars = append(bars, b)
	}
	return bars, len(free), cut
}

// addRequests puts the bars above the steps' chart, in a grid of their own, and
// gives their height.
func addRequests(c *charts.Scatter, bars []requestBar, lanes int) {
	c.ExtendXAxis(opts.XAxis{Type: "value", GridIndex: 1})
	c.ExtendYAxis(opts.YAxis{Type: "value", GridIndex: 1, Name: "requests", NameLocation: "middle", NameGap: 56, Min: 0, Max: lanes})
	data := make([]opts.CustomData, 0, len(bars))
	for _, b := range bars {
		data = append(data, opts.CustomData{Value: []int64{b.due, int64(b.lane), b.entered, b.first, b.to, int64(b.id)}})
	}
	custom := charts.NewCustom()
	custom.AddSeries("requests", data, charts.WithEncodeOpts(opts.Encode{X: []int{0, 4}, Y: 1}),
		charts.WithCustomChartOpts(opts.CustomChart{XAxisIndex: 1, YAxisIndex: 1}))
	c.Overlap(custom)
}

// lanesHeight is the height of the bars in pixels.
func lanesHeight(lanes int) int { return max(14, min(lanes*9, 160)) }

// requestsNote says what the bars are.
func requestsNote(lanes, cut int) string {
	switch {
	case lanes == 0:
		return ""
	case cut == 0:
		return "Bars are requests: in the queue, up to the first token, the rest."
	}
	return fmt.Sprintf("Bars are requests: in the queue, up to the first token, the rest; %s not drawn.", countOf(int64(cut), "request"))
}
