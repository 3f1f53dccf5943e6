package page

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"tokprof/report/document"
	"tokprof/report/figures"
)

// requestsView is the section about requests: how long they took, in which
// parts of which steps, and which tokens were slow and why.
type requestsView struct {
	Note   string
	Keys   []colourKey
	Bars   []barBlock
	Parts  *table
	Phases *table
	Tax    *table
	Roles  *table
	Table  *table
	Slow   *table
}

// requestOrder is the order of a request's way: before, inside and behind the
// steps.
var requestOrder = slices.Concat([]string{"queue"}, partOrder, []string{"delivery"})

// requestSection draws them; steps has the anchors of the steps that the page
// lists.
func requestSection(a *document.Analysis, id string, steps map[stepID]string, caps limits) *requestsView {
	q := a.Requests
	if q == nil {
		return nil
	}
	v := &requestsView{Note: joinNote(q), Tax: taxTable(a.Tax), Table: requestTable(a, steps, caps.reqRows), Slow: slowTable(q, steps)}
	seen := map[string]bool{}
	if f := q.FirstToken; f != nil {
		v.addWay(id+"-first", "Time to first token, mean", countOf(f.Requests, "request"), f.Requests, firstParts(f), seen)
	}
	if g := q.BetweenTokens; g != nil && g.Gaps > 0 {
		v.addWay(id+"-between", "Time between tokens, mean", countOf(g.Gaps, "gap"), g.Gaps, betweenParts(g), seen)
	}
	v.Keys = legendOf(seen, requestOrder)
	v.Parts, v.Phases, v.Roles = wayTable(q), wayPhases(q), roleWay(q)
	return v
}

// joinNote says how tokens are known to be of steps.
func joinNote(q *document.Requests) string {
	ok := q.Count - q.Failed - q.Damaged
	note := fmt.Sprintf("%s ended as they should, with %s.", countOf(ok, "request"), countOf(q.OutputTokens, "output token"))
	if q.Count > 0 && ok == q.Count {
		note = fmt.Sprintf("%s with %s.", countOf(ok, "request"), countOf(q.OutputTokens, "output token"))
	}
	j := q.Join
	if j.Reason != "" {
		return note + " Tokens are not joined with steps: " + clip(j.Reason, 200) + "."
	}
	note += fmt.Sprintf(" Steps only count their requests and tokens, so tokens are joined with them by time, order and counts: %s of the %s that were emitted while steps were recorded",
		thin(figures.Percent(j.Share)), countOf(j.Joined+j.Unmatched, "token"))
	if j.Joined > 0 && j.Sure > 0 {
		note += fmt.Sprintf("; %s of these can be of no other step", thin(figures.Percent(j.Sure)))
	}
	note += "."
	if j.Outside > 0 {
		note += fmt.Sprintf(" %s came before the first recorded step or after the last.", countOf(j.Outside, "token"))
	}
	if g := q.BetweenTokens; g != nil && g.Stalled > 0 {
		note += fmt.Sprintf(" %s behind the last recorded step, while the server stopped its profiler, are in no mean.", countOf(g.Stalled, "gap"))
	}
	return note
}

func countOf(n int64, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return thin(figures.Count(n)) + " " + noun
}

// firstParts is the way to first tokens, in the order in which it is drawn.
func firstParts(f *document.FirstToken) []document.NameTime {
	return inOrder(f.Parts, document.NameTime{Name: "queue", TimeNS: f.QueueNS}, document.NameTime{Name: "delivery", TimeNS: f.DeliveryNS})
}

func betweenParts(g *document.BetweenTokens) []document.NameTime {
	return inOrder(g.Parts, document.NameTime{Name: "delivery", TimeNS: g.DeliveryNS})
}

// inOrder puts legs of the way together; what is no known part is other.
func inOrder(parts []document.NameTime, more ...document.NameTime) []document.NameTime {
	var out []document.NameTime
	for _, name := range requestOrder {
		leg := document.NameTime{Name: name}
		for _, p := range slices.Concat(more, parts) {
			if p.Name == name || name == "other" && !slices.Contains(requestOrder, p.Name) {
				leg.TimeNS += p.TimeNS
			}
		}
		if leg.TimeNS != 0 {
			out = append(out, leg)
		}
	}
	return out
}

// addWay draws the mean of n requests or gaps as one bar. Time below 0, of a
// delivery that was quicker than the one before, has no width; shares are of the
// time that has.
func (v *requestsView) addWay(id, title, label string, n int64, parts []document.NameTime, seen map[string]bool) {
	var total, wide int64
	for _, p := range parts {
		total += p.TimeNS
		wide += max(0, p.TimeNS)
	}
	if wide <= 0 {
		return
	}
	b := bar{Label: label, Total: thin(figures.Dur(total / n))}
	b.Desc = title + ", " + label + ": " + b.Total
	note := ""
	if total < wide {
		note = fmt.Sprintf("Delivery, %s below 0, is not drawn.", thin(figures.Dur((wide-total)/n)))
	}
	var at int64
	for _, p := range parts {
		if p.TimeNS <= 0 {
			continue
		}
		seen[p.Name] = true
		seg := segment(p.Name, at, p.TimeNS, float64(wide))
		seg.First = at == 0
		mean := thin(figures.Dur(p.TimeNS / n))
		seg.Tip = fmt.Sprintf("%s: %s, %s of %s", partLabel(p.Name), mean, thin(figures.Percent(ratio(p.TimeNS, wide))), thin(figures.Dur(wide/n)))
		if share := float64(p.TimeNS) / float64(wide); share > 0.13 {
			seg.Label = partLabel(p.Name) + " " + mean
		} else if share > 0.075 {
			seg.Label = mean
		}
		b.Segs = append(b.Segs, seg)
		at += p.TimeNS
	}
	v.Bars = append(v.Bars, barBlock{ID: id, Title: title, Axis: axisTicks(wide / n), Bars: []bar{b}, Note: note})
}

// wholeGap is what shares of the time between tokens are of: where delivery took
// less than for the token before, the steps are longer than the gaps.
func wholeGap(g *document.BetweenTokens) int64 { return max(g.TimeNS, g.StepsNS) }

// wayTable says what the bars show.
func wayTable(q *document.Requests) *table {
	t := &table{Caption: "Where requests' time goes, mean", Cols: cols("Part", "#First token", "#Between tokens")}
	var first, between []document.NameTime
	f, g := cmp.Or(q.FirstToken, &document.FirstToken{}), cmp.Or(q.BetweenTokens, &document.BetweenTokens{})
	if f.Requests > 0 {
		first = firstParts(f)
	}
	if g.Gaps > 0 {
		between = betweenParts(g)
	}
	for _, name := range requestOrder {
		a, hasA := timeOf(first, name)
		b, hasB := timeOf(between, name)
		if !hasA && !hasB {
			continue
		}
		t.Rows = append(t.Rows, row{Cells: []cell{{Text: partLabel(name), Class: colourClass(name)}, meanCell(a, f.Requests, f.TimeNS), meanCell(b, g.Gaps, wholeGap(g))}})
	}
	if len(t.Rows) == 0 {
		return nil
	}
	if g.DeliveryNS < 0 {
		t.Note = "Between tokens, delivery is what the way to the client took longer than for the token before: below 0 when it took less. Shares are of the time in steps then."
	}
	t.Rows = append(t.Rows, row{Class: "lead", Cells: []cell{textCell("all"), meanCell(f.TimeNS, f.Requests, 0), meanCell(g.TimeNS, g.Gaps, 0)}})
	return t
}

// timeOf is what a list has under a name.
func timeOf(list []document.NameTime, name string) (ns int64, ok bool) {
	for _, x := range list {
		if x.Name == name {
			ns, ok = ns+x.TimeNS, true
		}
	}
	return ns, ok
}

// meanCell is a mean, with its share of a whole where there is one.
func meanCell(ns, n, whole int64) cell {
	if n <= 0 || ns == 0 {
		return noCell()
	}
	c := durCell(ns / n)
	if whole > 0 && ns > 0 {
		c.Sub = thin(figures.Percent(ratio(ns, whole)))
	}
	return c
}

// wayPhases says which steps the time was spent in.
func wayPhases(q *document.Requests) *table {
	t := &table{Caption: "In which steps, mean", Cols: cols("Steps", "#First token", "#Between tokens")}
	f, g := cmp.Or(q.FirstToken, &document.FirstToken{}), cmp.Or(q.BetweenTokens, &document.BetweenTokens{})
	for _, phase := range []string{"prefill", "mixed", "decode", "dummy", "none"} {
		a, hasA := timeOf(f.Phases, phase)
		b, hasB := timeOf(g.Phases, phase)
		if !hasA && !hasB {
			continue
		}
		name := phase + " steps"
		if phase == "none" {
			name = "between steps"
		}
		t.Rows = append(t.Rows, row{Cells: []cell{textCell(name), meanCell(a, f.Requests, f.TimeNS), meanCell(b, g.Gaps, wholeGap(g))}})
	}
	if len(t.Rows) == 0 {
		return nil
	}
	return t
}

// roleWay says what the steps' time was for.
func roleWay(q *document.Requests) *table {
	t := &table{Caption: "Roles on the way, mean", Sort: true, Cols: cols("Role", "#First token", "#Between tokens")}
	var names []string
	times := map[[2]string]int64{}
	for _, r := range q.Roles {
		if !slices.Contains(names, r.Role) {
			names = append(names, r.Role)
		}
		times[[2]string{r.Span, r.Role}] += r.TimeNS
	}
	f, g := cmp.Or(q.FirstToken, &document.FirstToken{}), cmp.Or(q.BetweenTokens, &document.BetweenTokens{})
	for _, n := range names[:min(len(names), 40)] {
		t.Rows = append(t.Rows, row{Cells: []cell{textCell(partLabel(n)),
			meanCell(times[[2]string{"prefill", n}], f.Requests, f.TimeNS), meanCell(times[[2]string{"decode", n}], g.Gaps, wholeGap(g))}})
	}
	if len(t.Rows) == 0 {
		return nil
	}
	return t
}

// taxTable compares the window with the same load without the profiler.
func taxTable(x *document.Tax) *table {
	if x == nil {
		return nil
	}
	t := &table{Caption: fmt.Sprintf("The same load without the profiler (%s, %s)", clip(x.Window, 40), countOf(x.Requests, "request")),
		Cols: cols("Median", "#Profiled", "#Without", "#Change")}
	add := func(name string, with, without int64, change float64) {
		if with > 0 && without > 0 {
			said := cell{Text: thin(figures.Change(change)), Num: true}
			if change < 0 {
				said.Text = "no slower"
				t.Note = slowerWithout(x)
			}
			t.Rows = append(t.Rows, row{Cells: []cell{textCell(name), durCell(with), durCell(without), said}})
		}
	}
	add("TPOT", x.TPOTNS, x.PlainTPOTNS, x.TPOTInflation)
	add("TTFT", x.TTFTNS, x.PlainTTFTNS, x.TTFTInflation)
	if len(t.Rows) == 0 {
		return nil
	}
	return t
}

// slowerWithout says what it means that the run without the profiler was slower.
func slowerWithout(x *document.Tax) string {
	if x.PlainFirst {
		return "The run without the profiler came first, cold: where it was the slower one, the profiler's cost does not show."
	}
	return "Where the run without the profiler was the slower one, the profiler's cost does not show."
}

// requestTable lists requests by the time they were due, or the ones that
// waited longest for their first token.
func requestTable(a *document.Analysis, steps map[stepID]string, limit int) *table {
	t := &table{Caption: "Each request", Sort: true, Cols: cols("Request", "#Prompt", "#Output", "#Due at", "Way to the first token", "#First token", "#Queue", "#Prefill", "#Delivery", "#TPOT", "#Whole", "#First step", "#Tokens joined")}
	rows := slices.Clone(a.Requests.Rows)
	if n := len(rows); n > limit {
		slices.SortStableFunc(rows, func(x, y document.Request) int { return cmp.Compare(y.TTFTNS, x.TTFTNS) })
		rows = rows[:limit]
		t.Note = fmt.Sprintf("The %d of %s that waited longest.", limit, thin(figures.Count(int64(n))))
	}
	var scale int64
	failed := false
	for _, r := range rows {
		scale = max(scale, r.TTFTNS)
		failed = failed || r.Error != ""
	}
	several := len(rows) > 0 && rows[0].Server != nil
	if several {
		t.Cols = append(t.Cols, cols("#Server")...)
	}
	if failed {
		t.Cols = append(t.Cols, column{Label: "Error"})
	}
	for _, r := range rows {
		id := countCell(int64(r.ID))
		id.Num = false
		cells := []cell{id, countCell(r.PromptTokens), countCell(r.OutputTokens), known(r.DueUnixNS > 0, durCell(r.DueUnixNS-a.Window.StartUnixNS)), wayCell(&r, scale),
			known(r.TTFTNS > 0, durCell(r.TTFTNS))}
		if f := r.FirstToken; f != nil {
			cells = append(cells, durCell(f.QueueNS), durCell(f.PrefillNS), durCell(f.DeliveryNS))
		} else {
			cells = append(cells, noCell(), noCell(), noCell())
		}
		cells = append(cells, known(r.TPOTNS > 0, durCell(r.TPOTNS)), known(r.E2ENS > 0, durCell(r.E2ENS)), stepCell(stepID{r.Rank, r.FirstStep}, steps), countCell(r.Joined))
		if several {
			cells = append(cells, known(r.Server != nil, countCell(int64(*cmp.Or(r.Server, new(int))))))
		}
		if failed {
			cells = append(cells, textCell(r.Error))
		}
		t.Rows = append(t.Rows, row{Cells: cells})
	}
	return t
}

// wayCell is a small bar of a request's way to its first token.
func wayCell(r *document.Request, scale int64) cell {
	c := cell{}
	if r.FirstToken == nil || scale <= 0 {
		return c
	}
	var tips []string
	var at int64
	for _, p := range firstParts(r.FirstToken) {
		if p.TimeNS <= 0 {
			continue
		}
		c.Segs = append(c.Segs, segment(p.Name, at, p.TimeNS, float64(scale)))
		at += p.TimeNS
		tips = append(tips, partLabel(p.Name)+" "+thin(figures.Dur(p.TimeNS)))
	}
	c.Tip = strings.Join(tips, ", ")
	return c
}

// stepCell names a step, with a link where the page lists it, and its rank where
// that is not the first.
func stepCell(step stepID, anchors map[stepID]string) cell {
	if step.step < 0 {
		return noCell()
	}
	c := countCell(int64(step.step))
	c.Href = anchors[step]
	if step.rank > 0 {
		c.Sub = fmt.Sprintf("rank %d", step.rank)
	}
	return c
}

// slowTable lists the slowest tokens, a row for each step.
func slowTable(q *document.Requests, steps map[stepID]string) *table {
	if len(q.Slowest) == 0 {
		return nil
	}
	t := &table{Caption: "The slowest tokens, one for each step", Sort: true, Cols: cols("Token", "#After the one before", "#Step", "What happened", "#Other requests that waited")}
	for _, s := range q.Slowest {
		t.Rows = append(t.Rows, row{Cells: []cell{textCell(fmt.Sprintf("request %d, token %d", s.Request, s.Position)), durCell(s.GapNS),
			stepCell(stepID{s.Rank, s.Step}, steps), {Text: clip(s.Why, 200), Wide: true}, known(s.Also > 0, countCell(s.Also))}})
	}
	return t
}
