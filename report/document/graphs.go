package document

import (
	"fmt"
	"strings"

	"tokprof/report/figures"
)

// wholeGraphs is the part of a step in which CUDA graphs ran that the file
// holds as a whole: which kernels ran in that time it does not say.
const wholeGraphs = "graphs"

// GraphNS is the time of the step in which only whole graphs ran.
func (s *Step) GraphNS() int64 {
	for _, p := range s.Parts {
		if p.Name == wholeGraphs {
			return p.TimeNS
		}
	}
	return 0
}

// graphShare is the share of the GPUs' work that ran in whole graphs.
func graphShare(a *Analysis) float64 {
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
func hiddenVerdict(a *Analysis) string {
	var s strings.Builder
	fmt.Fprintf(&s, "CUDA graphs recorded as a whole hide %s of the GPU's work: which kernels ran in them is not in the file.", figures.Percent(graphShare(a)))
	p := PhaseNamed(a, MainPhase(a))
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
