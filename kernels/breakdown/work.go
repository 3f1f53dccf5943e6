package breakdown

import (
	"cmp"
	"slices"

	"tokprof/kernels/attribution"
	"tokprof/kernels/role"
	"tokprof/trace"
)

// ShapeSum is the products of one shape in one role and phase whose launches
// recorded it.
type ShapeSum struct {
	Phase     trace.Phase
	Role      role.Role
	M, K, N   int
	ElemBytes float64 // of the weight, 0 when unknown
	Count     int64
	Time      trace.Time
}

// WeightSeen is the side lengths of one weight.
type WeightSeen struct {
	Role  role.Role
	Layer int // -1 outside layers
	K, N  int
}

// shapeSums adds up the products whose own launch recorded their shape, and
// lists the weights seen by any evidence: a replay's batch may differ from its
// capture's, its weights do not.
func shapeSums(ev *attribution.Events) ([]ShapeSum, []WeightSeen) {
	type key struct {
		phase   trace.Phase
		role    role.Role
		m, k, n int
		elem    float64
	}
	sums := map[key]*ShapeSum{}
	weights := map[WeightSeen]bool{}
	for _, s := range ev.Shapes {
		known := ev.Known(int(s.Event))
		if known.Role == role.Unknown {
			continue
		}
		weights[WeightSeen{known.Role, int(known.Layer), s.K, s.N}] = true
		m := ev.Match(int(s.Event))
		if s.How != attribution.ByShape || m.Subgroup == "splitk_reduce" || m.Subgroup == "prologue" {
			continue
		}
		k := key{ev.Phase(int(s.Event)), known.Role, s.M, s.K, s.N, s.ElemBytes}
		if sums[k] == nil {
			sums[k] = &ShapeSum{Phase: k.phase, Role: k.role, M: k.m, K: k.k, N: k.n, ElemBytes: k.elem}
		}
		sums[k].Count++
		sums[k].Time += ev.Trace.Dur(ev.Trace.GPU()[s.Event])
	}
	list := make([]ShapeSum, 0, len(sums))
	for _, s := range sums {
		list = append(list, *s)
	}
	slices.SortFunc(list, func(a, b ShapeSum) int {
		return cmp.Or(cmp.Compare(a.Phase, b.Phase), cmp.Compare(a.Role, b.Role), cmp.Compare(a.M, b.M), cmp.Compare(a.K, b.K), cmp.Compare(a.N, b.N))
	})
	seen := make([]WeightSeen, 0, len(weights))
	for w := range weights {
		seen = append(seen, w)
	}
	slices.SortFunc(seen, func(a, b WeightSeen) int {
		return cmp.Or(cmp.Compare(a.Role, b.Role), cmp.Compare(a.Layer, b.Layer), cmp.Compare(a.K, b.K), cmp.Compare(a.N, b.N))
	})
	return list, seen
}
