package compose

import (
	"fmt"
	"testing"

	"tokprof/kernels/attribution"
	"tokprof/kernels/breakdown"
	"tokprof/kernels/role"
	"tokprof/report/document"
	"tokprof/trace"
)

// checkLayers wants the layers' time to be no more than the parts hold.
func checkLayers(t *testing.T, a *document.Analysis) {
	t.Helper()
	steps := map[string]int64{}
	for _, s := range a.Steps {
		if len(s.Parts) > 0 {
			steps[s.Phase]++
		}
	}
	inLayers, inParts := map[string]int64{}, map[string]int64{}
	for _, l := range a.Layers {
		if sum := sums(l.Parts, func(p document.NameTime) int64 { return p.TimeNS }); sum > l.TimeNS || l.TimeNS-sum > int64(len(l.Parts)) {
			t.Errorf("%s layer %d: parts add up to %d, the layer to %d", l.Phase, l.Index, sum, l.TimeNS)
		}
		inLayers[l.Phase] += l.TimeNS * steps[l.Phase]
	}
	for _, p := range a.Parts {
		inParts[p.Phase] += p.TimeNS
	}
	for phase, ns := range inLayers {
		if ns > inParts[phase] {
			t.Errorf("%s: layers hold %d ns, parts %d", phase, ns, inParts[phase])
		}
	}
}

// layered is a rank whose layers take the times given, each in so many steps.
func layered(rank int, phase trace.Phase, steps int64, kinds []role.LayerKind, times ...trace.Time) *breakdown.Rank {
	r := crafted(fmt.Sprint("l", rank), rank, -1, 2, 0, 1000, 0)
	for i, ns := range times {
		r.Layers = append(r.Layers,
			breakdown.LayerSum{Phase: phase, Layer: i, Kind: kinds[i%len(kinds)], Part: attribution.PartFFN, Time: ns * trace.Time(steps) * 3 / 4, Steps: steps},
			breakdown.LayerSum{Phase: phase, Layer: i, Kind: kinds[i%len(kinds)], Part: attribution.PartAttention, Time: ns * trace.Time(steps) / 4, Steps: steps})
	}
	return r
}

func spellLayers(ranks ...*breakdown.Rank) (out string) {
	for _, l := range Build(ranks, Options{}).Analyses[0].Layers {
		out += fmt.Sprintf("%s %d %s %d", l.Phase, l.Index, l.Kind, l.TimeNS)
		if l.Outlier {
			out += "!"
		}
		out += "; "
	}
	return out
}

func TestLayers(t *testing.T) {
	dense, hybrid := []role.LayerKind{role.Dense}, []role.LayerKind{role.LinearMixture, role.Mixture}
	for _, test := range []struct {
		name  string
		ranks []*breakdown.Rank
		want  string
	}{
		{"means over steps", []*breakdown.Rank{layered(0, trace.Decode, 5, dense, 400, 400, 480)},
			"decode 0 dense 400; decode 1 dense 400; decode 2 dense 480; "},
		{"a quarter above the median is an outlier", []*breakdown.Rank{layered(0, trace.Decode, 1, dense, 400, 400, 504, 400)},
			"decode 0 dense 400; decode 1 dense 400; decode 2 dense 504!; decode 3 dense 400; "},
		{"each kind has its own median", []*breakdown.Rank{layered(0, trace.Decode, 1, hybrid, 100, 400, 100, 400, 100, 400)},
			"decode 0 linear experts 100; decode 1 experts 400; decode 2 linear experts 100; decode 3 experts 400; decode 4 linear experts 100; decode 5 experts 400; "},
		{"two of a kind have no outlier", []*breakdown.Rank{layered(0, trace.Decode, 1, dense, 100, 400)}, "decode 0 dense 100; decode 1 dense 400; "},
		{"means over ranks", []*breakdown.Rank{layered(0, trace.Decode, 2, dense, 400, 400), layered(1, trace.Decode, 2, dense, 200, 400)},
			"decode 0 dense 300; decode 1 dense 400; "},
		{"phases apart", []*breakdown.Rank{layered(0, trace.Decode, 2, dense, 400), layered(1, trace.Prefill, 1, dense, 800)},
			"prefill 0 dense 800; decode 0 dense 400; "},
	} {
		if got := spellLayers(test.ranks...); got != test.want {
			t.Errorf("%s\ngot  %s\nwant %s", test.name, got, test.want)
		}
	}
}
