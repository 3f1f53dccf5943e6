package document

import (
	"fmt"

	"tokprof/kernels/breakdown"
	"tokprof/trace"
)

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

// timelines turns each rank's excerpts into drawings.
func (b *builder) timelines() {
	for i, r := range b.ranks {
		for _, x := range r.Excerpts {
			step := r.Steps[x.Step]
			phase := step.Label.Phase.String()
			t := Timeline{
				Title: stepTitle(step.Label.Phase, x.Step), Phase: phase, Step: x.Step, Rank: b.number[i],
				StartUnixNS: int64(x.Start), DurNS: int64(x.End - x.Start), Truncated: x.Dropped,
			}
			switch {
			case x.Why == breakdown.Median && x.Count > 1:
				t.Title += fmt.Sprintf(" (median of %d)", x.Count)
			case x.Why == breakdown.Slowest:
				t.Title += fmt.Sprintf(" (slowest of %d)", x.Count)
				t.Slowest = true
			}
			for _, l := range x.Lanes {
				t.Lanes = append(t.Lanes, b.lane(i, x, l))
			}
			b.a.Timelines = append(b.a.Timelines, t)
		}
	}
}

func (b *builder) lane(rank int, x breakdown.Excerpt, l breakdown.Lane) Lane {
	out := Lane{GPU: l.GPU, Device: l.Device, Stream: l.Stream, Name: l.Name + ": launches"}
	if l.GPU {
		out.Name = fmt.Sprintf("GPU %d stream %d", l.Device, l.Stream)
	}
	for _, s := range l.Spans {
		e := SpanEvent{StartNS: int64(s.Start - x.Start), DurNS: int64(s.Dur), Kernel: -1, Name: s.Name, Correlation: s.Correlation, Layer: int(s.Layer)}
		if s.Kernel >= 0 {
			e.Kernel = b.kernelAt[rank][s.Kernel]
			e.Role, e.Part = s.Role.String(), s.Part.String()
		}
		if s.Whole != nil {
			e.Whole, e.Part = &WholeGraph{Graph: s.Whole.Graph, Exec: s.Whole.Exec}, wholeGraphs
		}
		out.Spans = append(out.Spans, e)
	}
	return out
}

// stepTitle names a step; a step without a phase has only its number.
func stepTitle(p trace.Phase, step int) string {
	if p == trace.NoPhase {
		return fmt.Sprintf("step %d", step)
	}
	return fmt.Sprintf("%s step %d", p, step)
}
