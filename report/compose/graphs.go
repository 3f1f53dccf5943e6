package compose

import (
	"cmp"
	"slices"

	"tokprof/report/document"
)

// graphs lists the captured graphs of each rank, largest first.
func (b *builder) graphs() {
	for i, r := range b.ranks {
		for _, g := range r.Graphs {
			b.a.Graphs = append(b.a.Graphs, document.Graph{
				Rank: b.number[i], Signature: g.Signature, Kernels: g.Events, Replays: g.Replays, TimeNS: int64(g.Time),
			})
		}
	}
	slices.SortStableFunc(b.a.Graphs, func(x, y document.Graph) int { return cmp.Compare(y.TimeNS, x.TimeNS) })
}

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
