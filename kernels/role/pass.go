package role

// Assign gives every kernel of one pass its place. seq is the main stream in
// order of start.
//
// Layers are found by their anchors, runs of attention kernels. What lies
// between two anchors is cut at boundary norms: norms that have a product since
// the last cut before them and one behind them, so that q/k norms and doubled
// norms do not cut. In front of the first cut stands the output projection,
// the piece with an activation or with experts is the FFN, and what follows it
// is the next layer's input projection.
func Assign(seq []Kernel) []Place {
	out := make([]Place, len(seq))
	for i := range out {
		out[i].Layer = -1
	}
	p := &pass{seq: seq, out: out}
	layer := 0
	for n, part := range cutModels(seq) {
		layer = p.assign(part[0], part[1], layer, n > 0)
	}
	p.doubt(p.mixtures)
	p.doubt(p.inputs)
	p.doubt(p.outputs)
	p.confide()
	p.serve()
	return out
}

// pass is the work on one sequence.
type pass struct {
	seq []Kernel
	out []Place

	// Blocks whose products are told apart by counting: FFNs with experts, and
	// the products on both sides of latent attention.
	mixtures, inputs, outputs []shape
}

// cutModels cuts a step into the passes of its models. What follows a sampling
// kernel, or begins with an embedding of its own, and holds attention is
// another model: the draft behind the sampler, the language model behind a
// vision tower.
func cutModels(seq []Kernel) [][2]int {
	var cuts [][2]int
	start, cut, anchored := 0, -1, false
	for i, k := range seq {
		switch k.Class {
		case Sample:
			if anchored {
				cut = i + 1
			}
		case Embed:
			if anchored && cut < 0 {
				cut = i
			}
		case Core, Linear, KVWrite:
			if cut >= 0 {
				cuts = append(cuts, [2]int{start, cut})
				start, cut = cut, -1
			}
			anchored = true
		}
	}
	return append(cuts, [2]int{start, len(seq)})
}

// anchor is one layer's attention: seq[from:to].
type anchor struct {
	from, to    int
	mla, linear bool
}

// assign places one model's pass and returns the number of the next layer. A
// vision tower, which writes no KV cache, has layers without numbers.
func (p *pass) assign(from, to, layer int, later bool) int {
	anchors := p.anchors(from, to)
	if len(anchors) == 0 {
		return layer
	}
	numbered := to == len(p.seq) || p.any(from, to, func(c Class) bool { return c == KVWrite || c == Linear })
	start, known := p.prelude(from, anchors[0], later)
	for i, a := range anchors {
		n := int16(-1)
		if numbered {
			n = int16(layer + i)
		}
		end := to
		var next *anchor
		if i+1 < len(anchors) {
			next = &anchors[i+1]
			end = next.from
		}
		b := p.between(a, end, next)
		stop := b.layerEnd
		if !b.valid && next != nil {
			// The border lies somewhere in between: claim the attention alone.
			stop = a.to
		}
		if known {
			p.setLayer(start, a.from, n, b.kind)
		}
		p.setLayer(a.from, stop, n, b.kind)
		start, known = b.layerEnd, b.valid
	}
	if !numbered {
		return layer
	}
	return layer + len(anchors)
}

func (p *pass) setLayer(from, to int, n int16, k LayerKind) {
	for i := from; i < to; i++ {
		p.out[i].Layer, p.out[i].Kind = n, k
	}
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
	for i := from; i < to; i++ {
		k := p.seq[i]
		if !is(k.Class) {
			continue
		}
		a := anchor{i, i + 1, k.MLA, k.Class == Linear}
		if n := len(out) - 1; n >= 0 && p.sameLayer(out[n], a) {
			out[n].to = a.to
			out[n].mla = out[n].mla || a.mla
			out[n].linear = out[n].linear && a.linear
			continue
		}
		out = append(out, a)
	}
	for i := range out {
		out[i].mla = out[i].mla || p.mlaBefore(out[i].from)
	}
	return out
}

// mlaBefore looks for a latent KV write in the block before an anchor: the
// attention kernel itself may not say that it is MLA.
func (p *pass) mlaBefore(at int) bool {
	for i := at - 1; i >= 0; i-- {
		switch k := p.seq[i]; k.Class {
		case KVWrite:
			return k.MLA
		case Act, Expert, Core, Linear:
			return false
		}
	}
	return false
}

// sameLayer says whether two attention kernels belong to one layer: nothing
// structural between them, or, for latent and linear attention, products but
// no norm before a product and no FFN.
func (p *pass) sameLayer(a, b anchor) bool {
	products, norm := false, false
	for i := a.to; i < b.from; i++ {
		switch p.seq[i].Class {
		case Act, Expert, MoE:
			return false
		case Norm:
			norm = true
		case Gemm:
			if norm {
				return false
			}
			products = true
		}
	}
	return !products || a.mla || b.mla || a.linear && b.linear
}

func (p *pass) any(from, to int, is func(Class) bool) bool {
	for _, k := range p.seq[from:to] {
		if is(k.Class) {
			return true
		}
	}
	return false
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

// prelude places what stands before the first anchor: the last products behind
// a norm are the first layer's input projection (with latent attention, which
// has norms between its products, all behind the first norm; a draft model
// joins its two inputs in a product before that). It returns where the layer
// starts.
func (p *pass) prelude(from int, a anchor, draft bool) (start int, known bool) {
	begin := from
	for i := from; i < a.from; i++ {
		switch p.seq[i].Class {
		case Embed:
			p.out[i].Role = Embedding
			begin = i + 1
		case Act, Expert:
			// Another model's layers (a vision tower's): not this one's.
			begin = i + 1
		}
	}
	cuts := p.cuts(begin, a.from)
	first := -1
	for i := begin; i < a.from && first < 0; i++ {
		if c := p.seq[i].Class; c == Norm || c == WeakNorm {
			first = i
		}
	}
	fused := begin > from && p.seq[begin-1].Class == Embed
	if first < 0 && !fused {
		return a.from, false
	}
	at := begin
	switch {
	case draft && len(cuts) == 0:
		return a.from, false
	case a.mla && draft:
		at = cuts[0]
	case len(cuts) > 0 && !a.mla:
		at = cuts[len(cuts)-1]
	case first >= 0 && p.products(begin, first) == 0:
		at = first
	case !fused:
		return a.from, false
	}
	p.project(at, a)
	return at, true
}

// products counts the products in seq[from:to].
func (p *pass) products(from, to int) (n int) {
	for _, k := range p.seq[from:to] {
		if k.Class == Gemm {
			n++
		}
	}
	return n
}

// cuts returns the boundary norms in seq[from:to].
func (p *pass) cuts(from, to int) []int {
	var out []int
	work := false
	for i := from; i < to; i++ {
		switch p.seq[i].Class {
		case Gemm, Expert, MoE:
			work = true
		case Norm, WeakNorm:
			if work && p.workFollows(i+1, to) {
				out = append(out, i)
				work = false
			}
		}
	}
	return out
}

// workFollows says whether a product or MoE kernel comes before the next norm.
func (p *pass) workFollows(i, to int) bool {
	for ; i < to; i++ {
		switch p.seq[i].Class {
		case Gemm, Expert, MoE, Shrink:
			return true
		case Norm, WeakNorm, Core, Linear:
			return false
		}
	}
	return false
}
