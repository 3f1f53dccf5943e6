package breakdown

import (
	"tokprof/kernels/role"
	"tokprof/trace"
)

// shaped is one product whose shape the launching op recorded.
type shaped struct {
	*trace.Product
	event int32
	how   Provenance // ByShape, ByCapture or ByTwin
}

// weight is what products of one layer slot share: the sides of their weight.
type weight struct{ k, n int }

// shapeVote is how sure a weight's shape must be of its role: a shape that two
// roles share (a square output projection and a query projection) decides
// nothing. Nor does a shape most of whose products have no known role, if it
// stands in a step more often than there are layers: those may have another.
const (
	shapeVote  = 0.95
	shapeKnown = 0.5
)

// findShapes lists the products with recorded shapes.
func findShapes(ev *Events) []shaped {
	t := ev.Trace
	if !t.HasShapes() {
		return nil
	}
	products := t.Products()
	gemm := make([]bool, len(ev.match))
	for n, m := range ev.match {
		gemm[n] = m.Group == "gemm"
	}
	var out []shaped
	for i, id := range t.GPU() {
		// The op around a graph launch is no product's.
		if !gemm[t.NameOf(id)] || ev.InGraph(i) {
			continue
		}
		if p := products.Of(t.Event(id)); p != nil {
			out = append(out, shaped{p, int32(i), ByShape})
		}
	}
	return out
}

// voteShapes lets each weight shape elect its role from the products whose
// role is known, and gives that role to every product of the shape: place and
// shape then agree, and a product whose place was unclear is known after all.
func (ev *Events) voteShapes() {
	votes := map[weight]map[role.Role]int{}
	for _, s := range ev.shapes {
		if r := ev.known[s.event].Role; r != role.Unknown {
			w := weight{s.K, s.N}
			if votes[w] == nil {
				votes[w] = map[role.Role]int{}
			}
			votes[w][r]++
		}
	}
	type elected struct {
		role  role.Role
		share float32
	}
	winners := map[weight]elected{}
	all, often := ev.shapeCounts()
	for w, v := range votes {
		total, best := 0, role.Unknown
		for r, n := range v {
			total += n
			if n > v[best] || n == v[best] && r < best {
				best = r
			}
		}
		if share := float32(v[best]) / float32(total); share >= shapeVote && total > 1 && (!often[w] || float64(total) >= shapeKnown*float64(all[w])) {
			winners[w] = elected{best, share}
		}
	}
	for _, s := range ev.shapes {
		k := &ev.known[s.event]
		win, ok := winners[weight{s.K, s.N}]
		if !ok || k.Provenance > s.how {
			continue
		}
		if k.Role != role.Unknown && k.Role != win.role {
			ev.Disagreements++
		}
		k.Role, k.Provenance, k.Confidence = win.role, s.how, win.share
	}
}

// shapeCounts counts the products of each weight, and says which stand in some
// step more often than the model has layers.
func (ev *Events) shapeCounts() (all map[weight]int, often map[weight]bool) {
	type place struct {
		w    weight
		step int32
	}
	layers := 0
	for i := range ev.known {
		layers = max(layers, int(ev.known[i].Layer)+1)
	}
	all, often = map[weight]int{}, map[weight]bool{}
	in := map[place]int{}
	for _, s := range ev.shapes {
		w := weight{s.K, s.N}
		all[w]++
		if ev.Match(int(s.event)).Subgroup == "splitk_reduce" {
			continue
		}
		p := place{w, ev.stepOf[s.event]}
		in[p]++
		often[w] = often[w] || in[p] > layers
	}
	return all, often
}
