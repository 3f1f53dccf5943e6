package role

import "slices"

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
	seq = embedOnce(seq)
	p := &pass{seq: seq, out: out}
	layer := 0
	for n, part := range cutModels(seq) {
		layer = p.assign(part[0], part[1], layer, n > 0)
	}
	p.doubt(p.mixtures)
	p.doubt(p.inputs)
	p.doubt(p.outputs)
	p.doubt(p.plains)
	p.doubt(p.bares)
	p.doubtMore(p.denses)
	p.doubtRare(p.scaled)
	p.confide()
	p.serve()
	return out
}

// embedOnce decides what norms fused with an embedding are: the first of a
// model's pass is its embedding. Compilers add the embedding's output up again
// in the norms behind it, whose names then have it too.
func embedOnce(seq []Kernel) []Kernel {
	out, embedded := seq, false
	for i, k := range seq {
		switch k.Class {
		case Sample:
			embedded = false
		case Embed, Core, Linear, KVWrite:
			embedded = true
		case EmbedNorm:
			if &out[0] == &seq[0] {
				out = slices.Clone(seq)
			}
			if out[i].Class = Embed; embedded {
				out[i].Class = Norm
			}
			embedded = true
		}
	}
	return out
}

// pass is the work on one sequence.
type pass struct {
	seq []Kernel
	out []Place

	// What survey saw of the model at hand: whether it has no FFN kernel that
	// can be told from a plain product, and its parallel block, if it has one.
	plain    bool
	parallel string
	headless bool // a vision tower
	inner    inputs

	// Blocks whose products are told apart by counting: FFNs with experts, and
	// the products on both sides of latent attention, FFNs with a bare activation.
	mixtures, inputs, outputs, plains, bares, scaled, denses []shape
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

// assign places one model's pass and returns the number of the next layer. A
// vision tower, which writes no KV cache, has layers without numbers.
func (p *pass) assign(from, to, layer int, later bool) int {
	anchors := p.anchors(from, to)
	if len(anchors) == 0 {
		return layer
	}
	numbered := to == len(p.seq) || p.any(from, to, func(c Class) bool { return c == KVWrite || c == Linear })
	p.headless = !numbered
	p.inner = p.innerInputs(anchors)
	start, known := p.prelude(from, anchors, later)
	p.survey(anchors, to)
	blocks := make([]block, len(anchors))
	for i, a := range anchors {
		end := to
		var next *anchor
		if i+1 < len(anchors) {
			next = &anchors[i+1]
			end = next.from
		}
		blocks[i] = p.between(a, end, next)
	}
	lone := layersOfOneBlock(blocks)
	n := layer
	for i, a := range anchors {
		b := blocks[i]
		if !numbered {
			n = -1
		}
		n = p.number(a, b, n, start, known, lone)
		start, known = b.layerEnd, b.valid
	}
	if !numbered {
		return layer
	}
	return n
}

// number gives one anchor's layer its number and returns the next one's.
func (p *pass) number(a anchor, b block, n, start int, known, lone bool) int {
	attention := b.kind
	if lone && attention == Dense || lone && attention == Mixture {
		attention = AttentionOnly
	} else if lone && b.valid {
		attention = LinearOnly
	}
	if known {
		p.setLayer(start, a.from, int16(n), attention)
	}
	switch {
	case !b.valid:
		// The border lies somewhere behind: claim the attention alone.
		p.setLayer(a.from, a.to, int16(n), b.kind)
	case lone && b.ffn >= 0:
		p.setLayer(a.from, b.ffn, int16(n), attention)
		kind := Dense
		if b.kind == Mixture || b.kind == LinearMixture {
			kind = Mixture
		}
		p.setLayer(b.ffn, b.layerEnd, int16(n+1), kind)
	default:
		p.setLayer(a.from, b.layerEnd, int16(n), attention)
	}
	if lone && b.ffn >= 0 {
		return n + 2
	}
	return n + 1
}

// layersOfOneBlock says whether attention and FFNs are layers of their own
// (Nemotron-H): then some anchors have an FFN behind them and some have none.
func layersOfOneBlock(blocks []block) bool {
	with, without := false, false
	for _, b := range blocks {
		with = with || b.valid && b.ffn >= 0
		without = without || b.valid && b.ffn < 0
	}
	return with && without
}

func (p *pass) setLayer(from, to int, n int16, k LayerKind) {
	for i := from; i < to; i++ {
		p.out[i].Layer, p.out[i].Kind = n, k
	}
}

func (p *pass) any(from, to int, is func(Class) bool) bool {
	for _, k := range p.seq[from:to] {
		if is(k.Class) {
			return true
		}
	}
	return false
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
