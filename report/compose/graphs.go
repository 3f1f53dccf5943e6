package compose

import (
	"tokprof/report/document"
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
