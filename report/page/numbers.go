package page

import (
	"fmt"
	"strconv"

	"tokprof/report/document"
)

// headlineNumbers are the five numbers of the first screen; those that the
// document cannot give are replaced by what it can.
func headlineNumbers(a *document.Analysis) []htmlNumber {
	var out []htmlNumber
	p := htmlMainPhase(a)
	if p != nil {
		out = append(out, stepNumber(a, p))
		if n, ok := tokenNumber(p); ok {
			out = append(out, n)
		}
	} else {
		out = append(out, htmlNumber{Label: "Window", Value: htmlThin(document.FormatDur(a.Window.DurNS)), Lines: []string{"no steps are annotated"}})
	}
	if len(a.Devices) > 0 {
		out = append(out, busyNumber(a))
	}
	if n, ok := commNumber(a, p); ok {
		out = append(out, n)
	}
	if len(a.Devices) > 0 {
		out = append(out, idleNumber(a))
	}
	if n, ok := launchNumber(a); ok && len(out) < 5 {
		out = append(out, n)
	}
	return out
}

func stepNumber(a *document.Analysis, p *document.Phase) htmlNumber {
	n := htmlNumber{
		Label: htmlCapital(p.Phase) + " step, median",
		Value: htmlThin(document.FormatDur(p.StepNS.Median)),
		Lines: []string{"p99 " + htmlThin(document.FormatDur(p.StepNS.P99))},
	}
	for _, q := range a.Phases {
		if q.Phase != p.Phase && q.Steps > 0 && len(n.Lines) < 4 {
			n.Lines = append(n.Lines, htmlClip(q.Phase, 20)+" "+htmlThin(document.FormatDur(q.StepNS.Median)))
		}
	}
	return n
}

func tokenNumber(p *document.Phase) (htmlNumber, bool) {
	if p.USPerToken <= 0 {
		return htmlNumber{}, false
	}
	n := htmlNumber{Label: htmlCapital(p.Phase) + " tokens/s", Value: htmlThin(document.FormatCount(htmlRound3(1e6 / p.USPerToken)))}
	n.Lines = append(n.Lines, htmlThin(document.FormatDur(int64(p.USPerToken*1000)))+" a token")
	if p.Steps > 0 && p.Tokens > 0 {
		n.Lines = append(n.Lines, htmlFloat(float64(p.Tokens)/float64(p.Steps))+" tokens a step")
	}
	return n, true
}

func busyNumber(a *document.Analysis) htmlNumber {
	var busy, span int64
	lo, hi := 2.0, -1.0
	for _, d := range a.Devices {
		busy += d.BusyNS
		w := d.BusyNS + d.IdleNS
		span += w
		if w > 0 {
			s := float64(d.BusyNS) / float64(w)
			lo, hi = min(lo, s), max(hi, s)
		}
	}
	n := htmlNumber{Label: "GPU busy", Value: htmlThin(document.FormatShare(htmlRatio(busy, span)))}
	if len(a.Devices) > 1 && hi >= 0 {
		n.Lines = append(n.Lines, htmlThin(document.FormatShare(lo))+" to "+htmlThin(document.FormatShare(hi))+" by GPU")
	}
	n.Lines = append(n.Lines, htmlThin(document.FormatDur(busy))+" of "+htmlThin(document.FormatDur(span)))
	return n
}

// commNumber is the time inside collectives that nothing else hides. It is
// left out where a single GPU ran and no collective was seen.
func commNumber(a *document.Analysis, p *document.Phase) (htmlNumber, bool) {
	var comm *document.Row
	for i := range a.Groups {
		if r := &a.Groups[i]; r.Phase == "all" && r.Name == "comm" {
			comm = r
		}
	}
	if comm == nil || comm.TimeNS == 0 {
		return htmlNumber{}, false
	}
	var span int64
	for _, d := range a.Devices {
		span += d.BusyNS + d.IdleNS
	}
	n := htmlNumber{Label: "Exposed communication", Value: htmlThin(document.FormatShare(htmlRatio(comm.ExposedNS, span)))}
	if p != nil {
		for _, r := range a.Parts {
			if r.Phase == p.Phase && (r.Name == "transfer" || r.Name == "waiting") {
				n.Lines = append(n.Lines, r.Name+" "+htmlThin(document.FormatShare(r.Share))+" of "+p.Phase+" work")
			}
		}
	}
	if len(n.Lines) == 0 {
		n.Lines = append(n.Lines, htmlThin(document.FormatDur(comm.ExposedNS))+" of GPU time", "not split into transfer and waiting")
	}
	return n, true
}

func idleNumber(a *document.Analysis) htmlNumber {
	var idle, span int64
	causes := map[string]int64{}
	top := ""
	for _, d := range a.Devices {
		idle += d.IdleNS
		span += d.BusyNS + d.IdleNS
		for _, c := range d.IdleCauses {
			causes[c.Cause] += c.TimeNS
		}
	}
	for c, t := range causes {
		if top == "" || t > causes[top] || t == causes[top] && c < top {
			top = c
		}
	}
	n := htmlNumber{Label: "GPU idle", Value: htmlThin(document.FormatShare(htmlRatio(idle, span)))}
	if top != "" && idle > 0 {
		n.Lines = append(n.Lines, htmlThin(document.FormatShare(htmlRatio(causes[top], idle)))+" of it: "+htmlCause(top))
	}
	return n
}

func launchNumber(a *document.Analysis) (htmlNumber, bool) {
	var calls, graphs, events int64
	for _, l := range a.Launches {
		calls += l.Calls
		graphs += l.GraphCalls
		events += l.GraphEvents
	}
	if calls == 0 {
		return htmlNumber{}, false
	}
	n := htmlNumber{Label: "Launch calls", Value: htmlThin(document.FormatCount(calls))}
	if graphs > 0 {
		n.Lines = append(n.Lines, htmlThin(document.FormatCount(graphs))+" graph launches", htmlThin(document.FormatCount(events))+" GPU events in them")
	} else {
		n.Lines = append(n.Lines, "no CUDA graphs")
	}
	return n, true
}

func htmlCause(c string) string {
	if w := document.CauseName(c); w != "" {
		return w
	}
	return htmlClip(c, 60)
}

func htmlRatio(a, b int64) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}

// htmlRound3 rounds to three significant digits.
func htmlRound3(f float64) int64 {
	v, _ := strconv.ParseFloat(strconv.FormatFloat(f, 'g', 3, 64), 64)
	return int64(v)
}

func htmlFloat(f float64) string {
	if f >= 100 || f == float64(int64(f)) {
		return htmlThin(document.FormatCount(int64(f + 0.5)))
	}
	return fmt.Sprintf("%.3g", f)
}

func htmlCapital(s string) string {
	s = htmlClip(s, 20)
	if s == "" || s[0] < 'a' || s[0] > 'z' {
		return s
	}
	return string(s[0]-32) + s[1:]
}
