package compose

import (
	"fmt"

	"tokprof/kernels/breakdown"
	"tokprof/report/document"
	"tokprof/trace"
)

// timelines turns each rank's excerpts into drawings.
func (b *builder) timelines() {
	for i, r := range b.ranks {
		for _, x := range r.Excerpts {
			step := r.Steps[x.Step]
			phase := step.Label.Phase.String()
			t := document.Timeline{
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

func (b *builder) lane(rank int, x breakdown.Excerpt, l breakdown.Lane) document.Lane {
	out := document.Lane{GPU: l.GPU, Device: l.Device, Stream: l.Stream, Name: l.Name + ": launches"}
	if l.GPU {
		out.Name = fmt.Sprintf("GPU %d stream %d", l.Device, l.Stream)
	}
	for _, s := range l.Spans {
		e := document.SpanEvent{StartNS: int64(s.Start - x.Start), DurNS: int64(s.Dur), Kernel: -1, Name: s.Name, Correlation: s.Correlation, Layer: int(s.Layer)}
		if s.Kernel >= 0 {
			e.Kernel = b.kernelAt[rank][s.Kernel]
			e.Role, e.Part = s.Role.String(), s.Part.String()
		}
		if s.Whole != nil {
			e.Whole, e.Part = &document.WholeGraph{Graph: s.Whole.Graph, Exec: s.Whole.Exec}, document.WholePart
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
