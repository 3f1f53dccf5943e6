package compose

import (
	"fmt"
	"strings"

	"tokprof/report/document"
	"tokprof/report/figures"
)

// verdict is one or two sentences: the phase with the most GPU time and its
// largest part, then the finding that promises most, or, without one, the
// device that stands idle most.
func verdict(a *document.Analysis) string {
	if len(a.Devices) == 0 {
		return "No GPU work was recorded."
	}
	if graphShare(a) > 0.5 {
		return hiddenVerdict(a)
	}
	var s strings.Builder
	main := document.MainPhase(a)
	if p := document.PhaseNamed(a, main); p != nil {
		fmt.Fprintf(&s, "%s %s a step", phaseWords[p.Phase], figures.Dur(p.StepNS.Median))
		if p.Tokens > 0 {
			fmt.Fprintf(&s, " (%s)", tokenWords(p))
		}
		share, what := largest(a, main)
		fmt.Fprintf(&s, ", %s of GPU time in %s.", figures.Percent(share), what)
	} else {
		share, what := largest(a, "all")
		fmt.Fprintf(&s, "%s of %s GPU time is in %s.", figures.Percent(share), figures.Dur(sumNS(a)), what)
	}
	if len(a.Findings) > 0 && (a.Findings[0].Severity == document.Warning || a.Findings[0].Severity == document.Error) {
		s.WriteString(" " + a.Findings[0].Title + ".")
	} else if d := idlest(a); d != nil {
		fmt.Fprintf(&s, " %s is idle %s of the window%s.", deviceWords(a, d), figures.Percent(share(d.IdleNS, a.Window.DurNS)), causeWords(a, d))
	}
	return s.String()
}

// largest is the largest part of a phase in words, or its largest group where
// no part is known to be larger than what has no role.
func largest(a *document.Analysis, phase string) (float64, string) {
	if part := topRow(a.Parts, phase); part.Phase != "" && part.Name != "unattributed" && part.Name != "other" {
		return part.Share, partWords[part.Name]
	}
	group := topRow(a.Groups, phase)
	return group.Share, groupWords(group.Name)
}

var partWords = map[string]string{
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
	if best == nil || share(best.IdleNS, a.Window.DurNS) < 0.1 {
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
	return fmt.Sprintf(" (%s %s)", figures.Percent(share(c.TimeNS, a.Window.DurNS)), idleWords[c.Cause])
}
