package document

import (
	"fmt"
	"slices"
)

// WholePart is the part of a step in which CUDA graphs ran that the file
// holds as a whole: which kernels ran in that time it does not say.
const WholePart = "graphs"

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

// WholeName names a sample's graph: by its number, as Analysis.Graphs lists it,
// and by its rank where several ranks ran such graphs, since numbers count
// within a process.
func (s *Stacks) WholeName(w *WholeSample) string {
	name := WholeGraph{Graph: w.Graph}.Name()
	if slices.ContainsFunc(s.Whole, func(o WholeSample) bool { return o.Rank != w.Rank }) {
		name += fmt.Sprintf(" of rank %d", w.Rank)
	}
	return name
}

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

// GraphNS is the time of the step in which only whole graphs ran.
func (s *Step) GraphNS() int64 {
	for _, p := range s.Parts {
		if p.Name == WholePart {
			return p.TimeNS
		}
	}
	return 0
}

// OnGPUs is how many GPUs the step ran on.
func (s *Step) OnGPUs() int64 { return max(s.GPUs, 1) }

// PerGPU says that steps ran on several GPUs of one rank, so that their times
// are the mean of these.
func (a *Analysis) PerGPU() bool {
	return slices.ContainsFunc(a.Steps, func(s Step) bool { return s.GPUs > 1 })
}

// Timeline is one step, event by event: the representative (median) one of a
// phase, or one that was asked for.
type Timeline struct {
	Title       string // "decode step 12 (median of 24)"
	Phase       string
	Step        int
	Rank        int
	StartUnixNS int64
	DurNS       int64
	Lanes       []Lane // GPU streams first, then the launching host threads
	Slowest     bool   // the slowest of its phase, not the representative one
	Truncated   int64  // events left out to keep the drawing small
}

// Lane is one track of a timeline.
type Lane struct {
	Name   string // "GPU 0 stream 7", "host thread 2112: launches"
	GPU    bool
	Device int
	Stream int64
	Spans  []SpanEvent // by start
}

// SpanEvent is one event of a lane.
type SpanEvent struct {
	StartNS int64 // from the timeline's start
	DurNS   int64
	Kernel  int32  // index into Analysis.Kernels, -1 for host rows and whole graphs
	Name    string // of host rows
	// Correlation joins a launch call to its GPU events; 0 when unknown.
	Correlation uint64
	Layer       int    // -1 on host rows, of whole graphs and outside layers
	Role        string // "" when unknown
	Part        string // "" on host rows
	// Whole says that the span is a CUDA graph recorded as a whole, nil of
	// any other.
	Whole *WholeGraph
}
