package compose

import (
	"cmp"
	"slices"

	"tokprof/report/document"
	"tokprof/report/figures"
	"tokprof/trace"
)

// outlier is how far above the median of its kind a layer must be to be marked.
// Layers of one kind run the same kernels on the same shapes, so more than a
// quarter is not noise.
const outlier = 1.25

// layers writes the mean time of each layer per step and GPU that it ran on.
func (b *builder) layers() {
	type key struct {
		phase trace.Phase
		layer int
	}
	at := map[key]*document.Layer{}
	steps := map[key]map[int]int64{} // by rank
	var order []key
	for i, r := range b.ranks {
		for _, l := range r.Layers {
			k := key{l.Phase, l.Layer}
			if at[k] == nil {
				at[k] = &document.Layer{Phase: l.Phase.String(), Index: l.Layer, Kind: l.Kind.String(), Parts: []document.NameTime{}}
				steps[k] = map[int]int64{}
				order = append(order, k)
			}
			at[k].TimeNS += int64(l.Time)
			figures.AddTime(&at[k].Parts, l.Part.String(), int64(l.Time))
			steps[k][i] = max(steps[k][i], l.Steps)
		}
	}
	slices.SortFunc(order, func(x, y key) int {
		return cmp.Or(cmp.Compare(phaseAt(x.phase), phaseAt(y.phase)), cmp.Compare(x.layer, y.layer))
	})
	for _, k := range order {
		var n int64
		for _, s := range steps[k] {
			n += s
		}
		l := at[k]
		l.TimeNS /= max(n, 1)
		for i := range l.Parts {
			l.Parts[i].TimeNS /= max(n, 1)
		}
		b.a.Layers = append(b.a.Layers, *l)
	}
	markOutliers(b.a.Layers)
}

func phaseAt(p trace.Phase) int { return slices.Index(phaseOrder, p) }

// markOutliers compares each layer with the median of its phase and kind.
func markOutliers(layers []document.Layer) {
	type key struct{ phase, kind string }
	times := map[key][]int64{}
	for _, l := range layers {
		k := key{l.Phase, l.Kind}
		times[k] = append(times[k], l.TimeNS)
	}
	for _, t := range times {
		slices.Sort(t)
	}
	for i := range layers {
		l := &layers[i]
		t := times[key{l.Phase, l.Kind}]
		l.Outlier = len(t) > 2 && float64(l.TimeNS) > outlier*float64(figures.Quantile(t, 0.5))
	}
}
