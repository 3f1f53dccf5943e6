package page

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"tokprof/report/document"
	"tokprof/report/figures"
)

// headlineNumbers are the five numbers of the first screen; those that the
// document cannot give are replaced by what it can.
func headlineNumbers(a *document.Analysis, lex *lexicon) []number {
	if a.SummaryOnly() {
		return summaryNumbers(a)
	}
	var out []number
	p := mainPhase(a)
	if p != nil {
		out = append(out, stepNumber(a, p, lex))
		if n, ok := tokenNumber(p); ok {
			out = append(out, n)
		}
	} else {
		out = append(out, number{Label: "Window", Value: thin(figures.Dur(a.Window.DurNS)), Lines: []string{"no steps are annotated"}})
	}
	users, served := requestNumber(a)
	if served {
		out = append(out, users)
	}
	if len(a.Devices) > 0 {
		out = append(out, busyNumber(a))
	}
	if n, ok := commNumber(a); ok {
		out = append(out, n)
	}
	switch {
	case len(a.Devices) == 0:
	case served: // what users feel takes the place; idle is a line of busy
		busy := &out[slices.IndexFunc(out, func(n number) bool { return n.Label == "GPU busy" })]
		for _, l := range idleNumber(a).Lines {
			busy.Lines = append(busy.Lines, "idle: "+l)
		}
	default:
		out = append(out, idleNumber(a))
	}
	if n, ok := launchNumber(a); ok && len(out) < 5 {
		out = append(out, n)
	}
	return out
}

func stepNumber(a *document.Analysis, p *document.Phase, lex *lexicon) number {
	n := number{
		Label: capital(stepWord(p.Phase)) + ", median",
		Value: thin(figures.Dur(p.StepNS.Median)),
		Lines: []string{"p99 " + thin(figures.Dur(p.StepNS.P99))},
	}
	if m := document.MeanStep(a, p.Phase); m != nil {
		n.Lines = append(n.Lines, "one starts every "+thin(figures.Dur(m.Total()/m.Steps))+" on average")
	}
	for _, q := range a.Phases {
		if q.Phase != p.Phase && q.Steps > 0 && len(n.Lines) < 4 {
			n.Lines = append(n.Lines, lex.stepPhase(q.Phase)+" "+thin(figures.Dur(q.StepNS.Median)))
		}
	}
	return n
}

func tokenNumber(p *document.Phase) (number, bool) {
	if p.USPerToken <= 0 {
		return number{}, false
	}
	n := number{Label: capital(strings.TrimSuffix(stepWord(p.Phase), "step") + "tokens/s"), Value: thin(figures.Count(round3(1e6 / p.USPerToken)))}
	n.Lines = append(n.Lines, thin(figures.Dur(int64(p.USPerToken*1000)))+" a token")
	if p.Steps > 0 && p.Tokens > 0 {
		n.Lines = append(n.Lines, formatFloat(float64(p.Tokens)/float64(p.Steps))+" tokens a step")
	}
	switch {
	case p.JPerToken > 0:
		n.Lines = append(n.Lines, joules(p.JPerToken)+" a token")
	case p.SMMHzMean > 0:
		n.Lines = append(n.Lines, "SM clock "+plainNumber(p.SMMHzMean)+"\u202fMHz")
	}
	return n, true
}

// requestNumber is what users feel: the time per token, else to the first one.
func requestNumber(a *document.Analysis) (number, bool) {
	q := a.Requests
	if q == nil || q.TTFTNS.Median <= 0 {
		return number{}, false
	}
	dur := func(ns int64) string { return thin(figures.Dur(ns)) }
	n := number{Label: "TPOT, median", Value: dur(q.TPOTNS.Median), Lines: []string{"TTFT " + dur(q.TTFTNS.Median) + ", p99 " + dur(q.TTFTNS.P99)}}
	if q.TPOTNS.Median <= 0 {
		n = number{Label: "TTFT, median", Value: dur(q.TTFTNS.Median), Lines: []string{"p99 " + dur(q.TTFTNS.P99)}}
	}
	if x := a.Tax; x != nil {
		plain, change := x.PlainTPOTNS, x.TPOTInflation
		if q.TPOTNS.Median <= 0 || plain <= 0 {
			plain, change = x.PlainTTFTNS, x.TTFTInflation
		}
		said := figures.Change(change)
		if change < 0 {
			said = "no slower with it"
		}
		n.Lines = append(n.Lines, dur(plain)+" without profiler ("+thin(said)+")")
	}
	return n, true
}

func busyNumber(a *document.Analysis) number {
	var busy, graph, span int64
	lo, hi := 2.0, -1.0
	for _, d := range a.Devices {
		busy += d.BusyNS
		graph += d.GraphNS
		w := d.BusyNS + d.GraphNS + d.IdleNS
		span += w
		if w > 0 {
			s := float64(d.BusyNS+d.GraphNS) / float64(w)
			lo, hi = min(lo, s), max(hi, s)
		}
	}
	n := number{Label: "GPU busy", Value: thin(figures.Percent(ratio(busy+graph, span)))}
	if len(a.Devices) > 1 && hi >= 0 {
		n.Lines = append(n.Lines, thin(figures.Percent(lo))+" to "+thin(figures.Percent(hi))+" by GPU")
	}
	n.Lines = append(n.Lines, thin(figures.Dur(busy+graph))+" of "+thin(figures.Dur(span)))
	if graph > 0 {
		n.Lines = append(n.Lines, thin(figures.Dur(graph))+" of it in whole CUDA graphs")
	}
	return n
}

// commNumber is the time inside collectives that nothing else hides, and how
// much of it moves data. It is left out where no collective was seen.
func commNumber(a *document.Analysis) (number, bool) {
	var comm *document.Row
	for i := range a.Groups {
		if r := &a.Groups[i]; r.Phase == "all" && r.Name == "comm" {
			comm = r
		}
	}
	if comm == nil || comm.TimeNS == 0 {
		return number{}, false
	}
	var span int64
	for _, d := range a.Devices {
		span += d.BusyNS + d.GraphNS + d.IdleNS
	}
	n := number{Label: "Exposed in collectives", Value: thin(figures.Percent(ratio(comm.ExposedNS, span)))}
	words := map[string]string{"transfer": "transfer", "waiting": "waiting for a late rank", "comm": "not split"}
	split := false
	for _, name := range []string{"transfer", "waiting", "comm"} {
		for _, r := range a.Parts {
			if r.Phase == "all" && r.Name == name && r.ExposedNS > 0 {
				n.Lines = append(n.Lines, thin(figures.Percent(ratio(r.ExposedNS, span)))+" "+words[name])
				split = split || name != "comm"
			}
		}
	}
	if !split {
		n.Lines = []string{thin(figures.Dur(comm.ExposedNS)) + " of GPU time", "not split into transfer and waiting"}
	} else if slices.ContainsFunc(a.Collectives, func(c document.Collective) bool { return c.Estimated }) {
		n.Lines = append(n.Lines, "estimated from one rank")
	}
	return n, true
}

func idleNumber(a *document.Analysis) number {
	var idle, span int64
	causes := map[string]int64{}
	top := ""
	for _, d := range a.Devices {
		idle += d.IdleNS
		span += d.BusyNS + d.GraphNS + d.IdleNS
		for _, c := range d.IdleCauses {
			causes[c.Cause] += c.TimeNS
		}
	}
	for c, t := range causes {
		if top == "" || t > causes[top] || t == causes[top] && c < top {
			top = c
		}
	}
	n := number{Label: "GPU idle", Value: thin(figures.Percent(ratio(idle, span)))}
	if top != "" && idle > 0 {
		n.Lines = append(n.Lines, thin(figures.Percent(ratio(causes[top], idle)))+" of it: "+causeLabel(top))
	}
	return n
}

func launchNumber(a *document.Analysis) (number, bool) {
	var calls, graphs, events int64
	for _, l := range a.Launches {
		calls += l.Calls
		graphs += l.GraphCalls
		events += l.GraphEvents
	}
	if calls == 0 {
		return number{}, false
	}
	var whole int64
	for _, g := range a.Graphs {
		if g.Kernels == 0 {
			whole += g.Replays
		}
	}
	n := number{Label: "Launch calls", Value: thin(figures.Count(calls))}
	if graphs > 0 {
		n.Lines = append(n.Lines, thin(figures.Count(graphs))+" graph launches", thin(figures.Count(events))+" GPU events in them")
	} else if whole == 0 {
		n.Lines = append(n.Lines, "no CUDA graphs")
	}
	if whole > 0 {
		n.Lines = append(n.Lines, thin(figures.Count(whole))+" whole CUDA graphs")
	}
	return n, true
}

func causeLabel(c string) string {
	if w := document.CauseName(c); w != "" {
		return w
	}
	return clip(c, 60)
}

func ratio(a, b int64) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}

// round3 rounds to three significant digits.
func round3(f float64) int64 {
	v, _ := strconv.ParseFloat(strconv.FormatFloat(f, 'g', 3, 64), 64)
	return int64(v)
}

func formatFloat(f float64) string {
	if f >= 100 || f == float64(int64(f)) {
		return thin(figures.Count(int64(f + 0.5)))
	}
	return fmt.Sprintf("%.3g", f)
}

func capital(s string) string {
	s = clip(s, 20)
	if s == "" || s[0] < 'a' || s[0] > 'z' {
		return s
	}
	return string(s[0]-32) + s[1:]
}
