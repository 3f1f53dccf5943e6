package roofline

import "math"

// Work is what a role must compute and move at the least: every input read
// once, every output written once.
type Work struct {
	FLOPs       float64 // a multiply and an add are two
	Bytes       float64 // through memory: weights, inputs and outputs
	WeightBytes float64 // of Bytes, the weights
	// Estimated says that an expectation went in: which experts the router
	// picked, or which of two equal ways the server multiplies.
	Estimated bool
}

// add sums two works that run one after the other.
func (w Work) add(o Work) Work {
	return Work{w.FLOPs + o.FLOPs, w.Bytes + o.Bytes, w.WeightBytes + o.WeightBytes, w.Estimated || o.Estimated}
}

// Intensity is FLOPs per byte; 0 where nothing is moved.
func (w Work) Intensity() float64 {
	if w.Bytes <= 0 {
		return 0
	}
	return w.FLOPs / w.Bytes
}

// WorkOfShape is the work of a product of recorded shapes [m,k]×[k,n] with
// elements of one size in bytes. Sizes that are not positive give no work.
func WorkOfShape(m, k, n int, bytesPerElem float64) Work {
	if m <= 0 || k <= 0 || n <= 0 || !(bytesPerElem > 0) {
		return Work{}
	}
	return product(float64(m), k, n, 1, Format{Weight: bytesPerElem, Input: bytesPerElem}, bytesPerElem)
}

// product is the work of rows rows against weights K×N, of which copies
// matrices are read.
func product(rows float64, k, n int, copies float64, f Format, output float64) Work {
	kf, nf := float64(k), float64(n)
	w := Work{FLOPs: 2 * rows * kf * nf, WeightBytes: copies * kf * nf * f.Weight}
	w.Bytes = w.WeightBytes + rows*(kf*f.Input+nf*output)
	return w
}

// ExpectedExperts is how many of a layer's experts are touched when each of
// tokens tokens picks perToken different ones of experts, uniformly and
// independently of the others: experts × (1 − (1 − perToken/experts)^tokens).
// Real routers are uneven and touch fewer, so it is an estimate from above,
// except for one token, where it is exact.
func ExpectedExperts(experts, perToken, tokens int) float64 {
	if experts <= 0 || perToken <= 0 || tokens <= 0 {
		return 0
	}
	e := float64(experts)
	miss := max(0, 1-float64(perToken)/e)
	return e * (1 - math.Pow(miss, float64(tokens)))
}

// Work returns the work of one role of one layer for tokens rows on one rank.
// ok is false where the config does not determine the shapes or the number
// format, and for roles that are not products.
//
// For lm_head, tokens is the rows whose logits are computed (one a request,
// unless prompt logits are asked for). For experts under ep > 1 it is the
// tokens of all ranks that share the experts. For the embedding it is rows
// looked up, of which a rank of tp holds its share.
func (m Model) Work(role string, layer, tokens, tp, ep int) (Work, bool) {
	if tokens <= 0 || !m.Base.known() {
		return Work{}, false
	}
	if role == "embedding" {
		return m.embedding(tokens, tp)
	}
	list, ok := m.Products(role, layer, tp, ep)
	if !ok {
		return Work{}, false
	}
	var sum Work
	for _, p := range list {
		if !p.Format.known() {
			return Work{}, false
		}
		if p.Experts == 0 {
			sum = sum.add(product(float64(tokens), p.K, p.N, 1, p.Format, m.Base.Weight))
			continue
		}
		rows := float64(tokens*m.ExpertsPerToken) * p.share
		touched := ExpectedExperts(m.Experts, m.ExpertsPerToken, tokens) * p.share
		w := product(rows, p.K, p.N, touched, p.Format, m.Base.Weight)
		w.Estimated = tokens > 1 || p.share < 1
		sum = sum.add(w)
	}
	// Absorbed, kv_b reads and writes other activations than multiplied at
	// once, and may be kept in 16 bits beside quantised weights.
	sum.Estimated = sum.Estimated || role == "kv_b"
	return sum, true
}

// embedding reads one row a token and writes it.
func (m Model) embedding(tokens, tp int) (Work, bool) {
	if !m.Known || tp < 1 {
		return Work{}, false
	}
	row := float64(tokens) * float64(m.Hidden) * m.Base.Weight
	return Work{Bytes: row/float64(tp) + row, WeightBytes: row / float64(tp), Estimated: tp > 1}, true
}
