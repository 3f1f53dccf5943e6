package role

// anchor is one layer's attention: seq[from:to]. opening says that so far it
// is only the convolution with which a state space layer begins.
type anchor struct {
	from, to    int
	mla, linear bool
	opening     bool
	broken      bool // a kernel of it is missing
}

// anchors finds the runs of attention kernels. Without any attention kernel
// the KV writes stand in (a dummy batch runs no attention), and without those
// a product, a softmax and a product in a row are unfused attention.
func (p *pass) anchors(from, to int) []anchor {
	is := func(c Class) bool { return c == Core || c == Combine || c == Linear }
	if !p.any(from, to, is) {
		is = func(c Class) bool { return c == KVWrite }
	}
	if !p.any(from, to, is) {
		return p.unfused(from, to)
	}
	var out []anchor
	mla := p.latentModel(from, to)
	for i := from; i < to; i++ {
		k := p.seq[i]
		if !is(k.Class) {
			continue
		}
		linear := k.Class == Linear
		a := anchor{from: i, to: i + 1, mla: mla && !linear, linear: linear, opening: linear && k.Conv}
		if n := len(out) - 1; n >= 0 && p.sameLayer(out[n], a) {
			out[n].to = a.to
			out[n].mla = out[n].mla || a.mla
			out[n].linear = out[n].linear && a.linear
			out[n].opening = out[n].opening && a.opening
			continue
		}
		out = append(out, a)
	}
	p.markBroken(out)
	return out
}

// latentModel says whether a model's attention is latent. The attention kernel
// itself may not say so, the write into the cache does; no model mixes latent
// and plain attention.
func (p *pass) latentModel(from, to int) bool {
	for _, k := range p.seq[from:to] {
		if k.MLA && (k.Class == Core || k.Class == Combine || k.Class == KVWrite) {
			return true
		}
	}
	return false
}

// markBroken marks state space layers that lack their convolution or their
// scan, in models that have products between the two: without one of them, the
// inner products look like those outside.
func (p *pass) markBroken(anchors []anchor) {
	inner := func(a anchor) bool { return a.linear && p.products(a.from, a.to) > 0 }
	for _, a := range anchors {
		if inner(a) {
			for i := range anchors {
				anchors[i].broken = anchors[i].linear && !(inner(anchors[i]) && p.seq[anchors[i].from].Conv)
			}
			return
		}
	}
}

// sameLayer says whether two attention kernels belong to one layer: nothing
// structural between them, or, for latent and linear attention, products but
// no norm before a product and no FFN.
func (p *pass) sameLayer(a, b anchor) bool {
	// Between its convolution and its scan a state space layer may have norms
	// and products of its own.
	scan := a.opening && b.linear && !b.opening
	products, norm := false, false
	for i := a.to; i < b.from; i++ {
		switch p.seq[i].Class {
		case Act, Expert, MoE:
			return false
		case Norm:
			norm = true
		case Gemm:
			if norm && !scan {
				return false
			}
			products = true
		}
	}
	if a.linear && b.opening && products {
		// A convolution behind products begins another layer.
		return false
	}
	return !products || a.mla || b.mla || a.linear && b.linear
}

// unfused finds attention made of a product, a softmax and a product.
func (p *pass) unfused(from, to int) []anchor {
	var out []anchor
	for i := from; i < to; i++ {
		if p.seq[i].Class != Softmax {
			continue
		}
		before, after := p.find(i-1, from-1, -1, Gemm), p.find(i+1, to, 1, Gemm)
		if before >= 0 && after >= 0 && (len(out) == 0 || before >= out[len(out)-1].to) {
			out = append(out, anchor{from: before, to: after + 1})
		}
	}
	return out
}

// find returns the next kernel of a class from i up to an end, going by step;
// -1 when a norm or an FFN kernel comes first.
func (p *pass) find(i, end, step int, c Class) int {
	for ; i != end; i += step {
		switch p.seq[i].Class {
		case c:
			return i
		case Norm, Act, Expert, MoE:
			return -1
		}
	}
	return -1
}
