package attribution

import (
	"slices"

	"tokprof/kernels/role"
	"tokprof/trace"
)

// Shaped is one product whose shape is known: its launching op recorded it, or
// that of another launch which did the same.
type Shaped struct {
	*trace.Product
	Event int32      // into trace.GPU()
	How   Provenance // ByShape, ByCapture or ByTwin
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
func findShapes(ev *Events) []Shaped {
	t := ev.Trace
	if !t.HasShapes() {
		return nil
	}
	products := t.Products()
	gemm := make([]bool, len(ev.match))
	for n, m := range ev.match {
		gemm[n] = m.Group == "gemm"
	}
	var out []Shaped
	for i, id := range t.GPU() {
		// The op around a graph launch is no product's.
		if !gemm[t.NameOf(id)] || ev.InGraph(i) {
			continue
		}
		if p := products.Of(t.Event(id)); p != nil {
			out = append(out, Shaped{p, int32(i), ByShape})
		}
	}
	return out
}

// voteShapes lets each weight shape elect its role from the products whose
// role is known, and gives that role to every product of the shape: place and
// shape then agree, and a product whose place was unclear is known after all.
func (ev *Events) voteShapes() {
	votes := map[weight]map[role.Role]int{}
	for _, s := range ev.Shapes {
		if r := ev.known[s.Event].Role; r != role.Unknown {
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
	for _, s := range ev.Shapes {
		k := &ev.known[s.Event]
		if s.K == 1 {
			// An outer product (positions times frequencies) has no weight.
			k.Role, k.Provenance, k.Confidence = role.Unknown, ByNothing, 0
			continue
		}
		win, ok := winners[weight{s.K, s.N}]
		if !ok || k.Provenance > s.How {
			continue
		}
		if k.Role != role.Unknown && k.Role != win.role {
			ev.Disagreements++
		}
		k.Role, k.Provenance, k.Confidence = win.role, s.How, win.share
	}
}

// latentByShape gives roles to the input products of latent attention that no
// kernel's name tells from plain attention. Which product is which follows from
// what it reads: kv_b reads kv_a's output without its rope part, and a second
// query product reads the first one's output whole.
func (ev *Events) latentByShape() {
	type layer struct {
		step int32
		n    int16
	}
	inputs := map[layer][]Shaped{}
	for _, s := range ev.Shapes {
		k := &ev.known[s.Event]
		if k.Role == role.Unknown && k.Layer >= 0 && k.Zone == role.NoZone && ev.Match(int(s.Event)).Subgroup != "splitk_reduce" {
			at := layer{ev.stepOf[s.Event], k.Layer}
			inputs[at] = append(inputs[at], s)
		}
	}
	for _, products := range inputs {
		for i, r := range latentRoles(products) {
			k := &ev.known[products[i].Event]
			k.Role, k.Provenance, k.Confidence, k.Zone = r, products[i].How, 1, role.Attention
		}
	}
}

// latentRoles reads three or four products as latent attention's inputs, nil
// where they are not, or not in one way alone.
func latentRoles(products []Shaped) []role.Role {
	if len(products) < 3 || len(products) > 4 {
		return nil
	}
	hidden := products[0].K
	var found []role.Role
	for kva := range products {
		for kvb := range products {
			a, b := products[kva].Product, products[kvb].Product
			if kva == kvb || a.K != hidden || b.K >= a.N || a.N-b.K > b.K || b.K == hidden {
				continue
			}
			roles := make([]role.Role, len(products))
			roles[kva], roles[kvb] = role.KVA, role.KVB
			var q []*trace.Product
			for i, p := range products {
				if roles[i] == role.Unknown {
					roles[i] = role.Q
					q = append(q, p.Product)
				}
			}
			if q[0].K != hidden || len(q) == 2 && (q[1].K != q[0].N || q[1].K == hidden) {
				continue
			}
			if found != nil {
				return nil
			}
			found = roles
		}
	}
	return found
}

// shapeCounts counts the products of each weight, and says which stand in some
// step more often than the model has layers.
func (ev *Events) shapeCounts() (all map[weight]int, often map[weight]bool) {
	type place struct {
		w    weight
		step int32
	}
	layers := ev.Layers()
	all, often = map[weight]int{}, map[weight]bool{}
	in := map[place]int{}
	for _, s := range ev.Shapes {
		w := weight{s.K, s.N}
		all[w]++
		if ev.Match(int(s.Event)).Subgroup == "splitk_reduce" {
			continue
		}
		p := place{w, ev.stepOf[s.Event]}
		in[p]++
		often[w] = often[w] || in[p] > layers
	}
	return all, often
}

// twinShapes gives graph replays the shapes of a twin: a directly launched run
// of the same kernels in the same order (a warm-up, a size that no graph
// covers), whose launches recorded theirs.
func (ev *Events) twinShapes(direct []Shaped) []Shaped {
	if len(direct) == 0 {
		return nil
	}
	shapeOf := make(map[int32]*trace.Product, len(direct))
	for _, s := range direct {
		shapeOf[s.Event] = s.Product
	}
	runs := ev.directRuns()
	twins := map[string][]int32{} // by the names of a replay: the twin's events
	var out []Shaped
	for c := range ev.Calls {
		if !ev.Calls[c].Graph {
			continue
		}
		events := ev.OfCall(c)
		key := string(ev.nameBytes(events))
		twin, known := twins[key]
		if !known {
			twin = ev.findTwin(events, runs)
			twins[key] = twin
		}
		for n, i := range twin {
			if p, ok := shapeOf[i]; ok {
				out = append(out, Shaped{p, events[n], ByTwin})
			}
		}
	}
	return out
}

// directRuns are the directly launched events of each step, in order.
func (ev *Events) directRuns() [][]int32 {
	var out [][]int32
	for _, events := range ev.passes() {
		run := slices.DeleteFunc(slices.Clone(events), func(i int32) bool { return ev.InGraph(int(i)) })
		if len(run) > 0 {
			out = append(out, run)
		}
	}
	return out
}

func (ev *Events) nameBytes(events []int32) []byte {
	b := make([]byte, 0, 4*len(events))
	for _, i := range events {
		n := ev.Trace.NameOf(ev.Trace.GPU()[i])
		b = append(b, byte(n), byte(n>>8), byte(n>>16), byte(n>>24))
	}
	return b
}

// minTwin is the least number of kernels that make equality mean something.
const minTwin = 8

// findTwin looks for the replay's kernels, in their order, in a direct run.
func (ev *Events) findTwin(events []int32, runs [][]int32) []int32 {
	if len(events) < minTwin {
		return nil
	}
	name := func(i int32) trace.NameID { return ev.Trace.NameOf(ev.Trace.GPU()[i]) }
	for _, run := range runs {
		for from := 0; from+len(events) <= len(run); from++ {
			n := 0
			for n < len(events) && name(run[from+n]) == name(events[n]) {
				n++
			}
			if n == len(events) {
				return run[from : from+n]
			}
		}
	}
	return nil
}
