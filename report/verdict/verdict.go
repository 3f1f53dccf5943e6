// Package verdict says what a document says in one or two sentences: those on top
// of every drawing of it.
package verdict

import (
	"fmt"
	"strings"

	"tokprof/report/document"
	"tokprof/report/figures"
)

// Of is the phase with the most GPU time and its largest part, then the finding
// that promises most, or, without one, the device that stands idle most.
func Of(a *document.Analysis) string {
	if len(a.Devices) == 0 {
		return "No GPU work was recorded."
	}
	if graphShare(a) > 0.5 {
		return hiddenVerdict(a)
	}
	var s strings.Builder
	main := document.MainPhase(a)
	if p := document.PhaseNamed(a, main); p != nil {
		share, what := largest(a, main)
		fmt.Fprintf(&s, "%s, %s of GPU time in %s.", stepWords(a, p), figures.Percent(share), what)
	} else {
		share, what := largest(a, "all")
		fmt.Fprintf(&s, "%s of %s GPU time is in %s.", figures.Percent(share), figures.Dur(sumNS(a)), what)
	}
	if len(a.Findings) > 0 && (a.Findings[0].Severity == document.Warning || a.Findings[0].Severity == document.Error) {
		s.WriteString(" " + a.Findings[0].Title + ".")
	} else if d := idlest(a); d != nil {
		fmt.Fprintf(&s, " %s is idle %s of the window%s.", deviceWords(a, d), figures.Percent(figures.Share(d.IdleNS, a.Window.DurNS)), causeWords(a, d))
	}
	return s.String()
}

// OfSums is the verdict on a document of kernels that were summed up by name, with
// so much GPU time (ns) in all.
func OfSums(a *document.Analysis, sum int64) string {
	share, what := largest(a, "all")
	return figures.Percent(share) + " of " + figures.Dur(sum) + " GPU time is in " + what + ". Steps, phases and idle time are n/a: the file sums kernels up by name."
}

// OfCopies is the verdict on so many copies and memsets, ns long in all, beside
// which no kernel was recorded.
func OfCopies(events, sum int64) string {
	return "No kernel was recorded: " + figures.Count(events) + " copies and memsets, " + figures.Dur(sum) + " in all, are the GPU's only events."
}

// graphShare is the share of the GPUs' work that ran in whole graphs.
func graphShare(a *document.Analysis) float64 {
	var graph, work int64
	for _, d := range a.Devices {
		graph += d.GraphNS
		work += d.GraphNS + d.BusyNS
	}
	return figures.Share(graph, work)
}

// hiddenVerdict is the verdict on a window whose work ran mostly in whole
// graphs: what can be said of the rest is about the smaller part, so it says
// that first, and names no one who would be to blame.
func hiddenVerdict(a *document.Analysis) string {
	var s strings.Builder
	fmt.Fprintf(&s, "CUDA graphs recorded as a whole hide %s of the GPU's work: record again with nsys profile --cuda-graph-trace=node.", figures.Percent(graphShare(a)))
	p := document.PhaseNamed(a, document.MainPhase(a))
	if p == nil {
		return s.String()
	}
	s.WriteString(" " + stepWords(a, p))
	if m := document.MeanStep(a, p.Phase); m != nil && m.Parts[document.WholePart] > 0 {
		fmt.Fprintf(&s, ", %s of it in such graphs", figures.Dur(m.Parts[document.WholePart]/m.Steps))
	}
	return s.String() + "."
}

// stepWords say how long a step of a phase takes: the mean step, as findings
// and tables of steps have it, and the median length where steps have no parts.
func stepWords(a *document.Analysis, p *document.Phase) string {
	ns, how := p.StepNS.Median, "median"
	if m := document.MeanStep(a, p.Phase); m != nil {
		ns, how = m.Total()/m.Steps, "mean"
	}
	if p.Tokens > 0 {
		how += ", " + tokenWords(p)
	}
	return fmt.Sprintf("%s %s a step (%s)", phaseWords[p.Phase], figures.Dur(ns), how)
}

// largest is the largest part of a phase in words, or its largest group where
// no part is known to be larger than what has no role.
func largest(a *document.Analysis, phase string) (float64, string) {
	if part := topRow(a.Parts, phase); part.Phase != "" && part.Name != "unattributed" && part.Name != "other" {
		return part.Share, PartWords[part.Name]
	}
	group := topRow(a.Groups, phase)
	return group.Share, groupWords(group.Name)
}

// PartWords name the parts of a step inside a sentence; other parts have no word.
var PartWords = map[string]string{
	"attention": "attention", "ffn": "the FFN", "comm": "collectives", "transfer": "transfer inside collectives",
	"waiting": "waiting inside collectives", document.WholePart: "CUDA graphs recorded as a whole", "head": "the head (logits, sampling)",
}

// phaseWords begins the sentence about a phase. Steps without a phase are
// those of a profiler schedule.
var phaseWords = map[string]string{
	"prefill": "Prefill takes", "decode": "Decode takes", "mixed": "Mixed batches take",
	"dummy": "Dummy batches take", "none": "The server takes",
}

func tokenWords(p *document.Phase) string {
	n := figures.Mean(float64(p.Tokens) / float64(p.Steps))
	if n == "1" {
		return "1 token"
	}
	return n + " tokens"
}

func sumNS(a *document.Analysis) (sum int64) {
	for _, d := range a.Devices {
		sum += d.SumNS
	}
	return sum
}

func topRow(rows []document.Row, phase string) document.Row {
	for _, r := range rows {
		if r.Phase == phase {
			return r
		}
	}
	return document.Row{Name: "other"}
}

func groupWords(group string) string {
	switch group {
	case "gemm":
		return "matrix products"
	case "ffn":
		return "FFN kernels"
	case "comm":
		return "collectives"
	case "memory":
		return "copies and memsets"
	case "other":
		return "norms, sampling and the like"
	}
	return group
}

// idleWords says each cause so that it can end a sentence.
var idleWords = map[string]string{
	"host_late":      "because the host launches late",
	"host_sync":      "while the host waits in a sync call",
	"no_step":        "with no step running",
	"profiler":       "while the profiler itself works",
	"short_gap":      "in short gaps between kernels",
	"launch_latency": "while launches are on their way",
	"dependency":     "waiting for another stream or a copy",
	"unknown":        "for a reason not in the file",
}

// idlest is the device with the most idle time, worth a sentence from a tenth
// of the window on.
func idlest(a *document.Analysis) *document.Device {
	var best *document.Device
	for i := range a.Devices {
		if d := &a.Devices[i]; best == nil || d.IdleNS > best.IdleNS {
			best = d
		}
	}
	if best == nil || figures.Share(best.IdleNS, a.Window.DurNS) < 0.1 {
		return nil
	}
	return best
}

// deviceWords names a device as far as there are others to confuse it with.
func deviceWords(a *document.Analysis, d *document.Device) string {
	ranks, devices := 0, 0
	seen := map[int]bool{}
	for _, o := range a.Devices {
		if !seen[o.Rank] {
			seen[o.Rank] = true
			ranks++
		}
		if o.Rank == d.Rank {
			devices++
		}
	}
	switch {
	case ranks > 1 && devices > 1:
		return fmt.Sprintf("GPU %d of rank %d", d.Device, d.Rank)
	case ranks > 1:
		return fmt.Sprintf("Rank %d's GPU", d.Rank)
	case devices > 1:
		return fmt.Sprintf("GPU %d", d.Device)
	}
	return "The GPU"
}

// causeWords names the largest cause of a device's idleness: "mostly" only
// when it is more than half of it.
func causeWords(a *document.Analysis, d *document.Device) string {
	if len(d.IdleCauses) == 0 {
		return ""
	}
	c := d.IdleCauses[0]
	if 2*c.TimeNS > d.IdleNS {
		return ", mostly " + idleWords[c.Cause]
	}
	return fmt.Sprintf(" (%s %s)", figures.Percent(figures.Share(c.TimeNS, a.Window.DurNS)), idleWords[c.Cause])
}
