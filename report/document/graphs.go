package document

import (
	"fmt"
	"strings"

	"tokprof/report/figures"
)

// wholeGraphs is the part of a step in which CUDA graphs ran that the file
// holds as a whole: which kernels ran in that time it does not say.
const wholeGraphs = "graphs"

// WholeFrame is the frame over the graphs recorded as a whole, below their phase,
// in every drawing of stacks.
const WholeFrame = "whole graphs (not recorded as kernels)"

// WholeSample is the time of one CUDA graph's executions that were recorded as a
// whole, on one stream in one phase.
type WholeSample struct {
	Graph  uint64 // by the number of the rank's file
	Rank   int
	Device int
	Stream int64
	Phase  string
	TimeNS int64
	// ExposedNS is the time in which nothing else ran; over a device it sums
	// to Device.GraphNS.
	ExposedNS int64
	Runs      int64
}

// WholeGraph is one execution of a CUDA graph recorded as a whole, by the
// numbers of its file.
type WholeGraph struct{ Graph, Exec uint64 }

// Name is the graph by its number, as Analysis.Graphs lists it.
func (g WholeGraph) Name() string { return fmt.Sprintf("graph %d", g.Graph) }

// Name is the graph by its number, as Analysis.Graphs lists it.
func (s *WholeSample) Name() string { return WholeGraph{Graph: s.Graph}.Name() }

// Totals are the time and launches of the GPU events, and the time and number
// of the whole graphs beside them.
func (s *Stacks) Totals() (events, launches, whole, runs int64) {
	for i := range s.Samples {
		events += s.Samples[i].TimeNS
		launches += s.Samples[i].Launches
	}
	for i := range s.Whole {
		whole += s.Whole[i].TimeNS
		runs += s.Whole[i].Runs
	}
	return events, launches, whole, runs
}

// wholeSamples lists the graphs of all ranks that were recorded as a whole.
func (b *builder) wholeSamples() []WholeSample {
	var out []WholeSample
	for i, r := range b.ranks {
		for _, w := range r.Whole {
			out = append(out, WholeSample{
				Graph: w.Graph, Rank: b.number[i], Device: w.Device, Stream: w.Stream, Phase: w.Phase.String(),
				TimeNS: int64(w.Time), ExposedNS: int64(w.Exposed), Runs: w.Runs,
			})
		}
	}
	return out
}

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
	fmt.Fprintf(&s, "CUDA graphs recorded as a whole hide %s of the GPU's work: record again with nsys profile --cuda-graph-trace=node.", figures.Percent(graphShare(a)))
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
