package compose

import (
	"fmt"
	"strings"

	"tokprof/report/document"
	"tokprof/report/figures"
)

// wholeSamples lists the graphs of all ranks that were recorded as a whole.
func (b *builder) wholeSamples() []document.WholeSample {
	var out []document.WholeSample
	for i, r := range b.ranks {
		for _, w := range r.Whole {
			out = append(out, document.WholeSample{
				Graph: w.Graph, Rank: b.number[i], Device: w.Device, Stream: w.Stream, Phase: w.Phase.String(),
				TimeNS: int64(w.Time), ExposedNS: int64(w.Exposed), Runs: w.Runs,
			})
		}
	}
	return out
}

// graphShare is the share of the GPUs' work that ran in whole graphs.
func graphShare(a *document.Analysis) float64 {
	var graph, work int64
	for _, d := range a.Devices {
		graph += d.GraphNS
		work += d.GraphNS + d.BusyNS
	}
	return share(graph, work)
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
	fmt.Fprintf(&s, " %s %s a step", phaseWords[p.Phase], figures.Dur(p.StepNS.Median))
	if p.Tokens > 0 {
		fmt.Fprintf(&s, " (%s)", tokenWords(p))
	}
	if p.GraphNS.Median > 0 {
		fmt.Fprintf(&s, ", %s of it in such graphs", figures.Dur(p.GraphNS.Median))
	}
	return s.String() + "."
}
