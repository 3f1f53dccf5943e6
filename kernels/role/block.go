package role

// block is what was found between one anchor and the next (or the pass's end).
type block struct {
	valid    bool
	kind     LayerKind
	ffn      int // where the norm of the FFN stands, -1 without one
	layerEnd int // where the layer of the anchor ends: the norm behind its last FFN kernel
}

// between places the output projection, the FFN and the next layer's input
// projection. It places nothing unless all that a layer must have is there:
// periods alone lie.
func (p *pass) between(a anchor, end int, next *anchor) block {
	cuts := p.cuts(a.to, end)
	bad := block{kind: UnknownLayer, ffn: -1, layerEnd: end}
	if p.hasFFN(a.to, end) {
		bad.ffn = end
	}
	if len(cuts) == 0 || a.broken || next != nil && next.broken {
		return bad
	}
	if p.hasFFN(a.to, cuts[0]) && len(cuts) == 1 && p.word(a.to, cuts[0]) == p.parallel && !a.mla && !a.linear {
		return p.beside(a, cuts[0], end, next)
	}
	if p.hasFFN(a.to, cuts[0]) || p.products(a.to, cuts[0]) == 0 {
		return bad
	}
	segments := segmentsOf(cuts, end)
	ffn := p.ffnSegment(segments, next == nil)
	switch {
	case ffn == noSegment && p.plain && len(segments) == 2 && p.products(segments[0][0], segments[0][1]) > 1:
		ffn = 0
	case ffn == noSegment:
		return p.withoutFFN(a, segments, next)
	case ffn == severalSegments:
		return bad
	}
	if ffn > 0 && p.products(segments[0][0], segments[ffn][0]) > 0 {
		// Products between the output projection and the FFN: not a layer we know.
		return bad
	}
	inputs := next != nil && !next.mla
	fit := !inputs || p.inputsFit(segments[ffn+1:], next.linear)
	if !fit && (next.linear || !p.inputsRepeat(segments[ffn+1:])) {
		return bad
	}
	f := p.ffn(segments[ffn][0], segments[ffn][1])
	if f == nil {
		return bad
	}
	stop := p.normBehind(f.last, end)
	if fit && !p.follow(stop, end, next) {
		return bad
	}
	p.output(a, cuts[0])
	p.placeFFN(f, stop)
	return block{valid: true, kind: kindOfLayer(a, f), ffn: segments[ffn][0], layerEnd: stop}
}

// What ffnSegment returns instead of a segment.
const (
	noSegment       = -1
	severalSegments = -2
)

// ffnSegment finds the piece with an activation or experts.
func (p *pass) ffnSegment(segments [][2]int, last bool) int {
	ffn := noSegment
	for i, s := range segments {
		if p.hasFFN(s[0], s[1]) {
			if ffn >= 0 && p.headless && last {
				// A vision tower's last layer is followed by a projector.
				return ffn
			}
			if ffn >= 0 {
				return severalSegments
			}
			ffn = i
		}
	}
	return ffn
}

// follow places what stands behind a layer: the next one's input projection,
// which must be there, or the head.
func (p *pass) follow(stop, end int, next *anchor) bool {
	if next == nil {
		p.head(stop, end)
		return true
	}
	if p.products(stop, end) == 0 {
		return false
	}
	p.project(stop, *next)
	return true
}

func kindOfLayer(a anchor, f *ffn) LayerKind {
	switch {
	case a.linear && f.moe:
		return LinearMixture
	case a.linear:
		return LinearDense
	case f.moe:
		return Mixture
	}
	return Dense
}

// segmentsOf turns cuts into the pieces behind them.
func segmentsOf(cuts []int, end int) [][2]int {
	out := make([][2]int, len(cuts))
	for i, c := range cuts {
		out[i] = [2]int{c, end}
		if i+1 < len(cuts) {
			out[i][1] = cuts[i+1]
		}
	}
	return out
}

func (p *pass) hasFFN(from, to int) bool {
	return p.any(from, to, func(c Class) bool { return c == Act || c == Expert || c == MoE })
}

// withoutFFN is a layer of a state-space model, which has none: the output
// projection, a norm, and the input projection of the next layer, which may
// have attention.
func (p *pass) withoutFFN(a anchor, segments [][2]int, next *anchor) block {
	s := segments[0]
	if !a.linear || len(segments) != 1 || next != nil && next.mla {
		return block{kind: UnknownLayer, ffn: -1, layerEnd: s[1]}
	}
	p.output(a, s[0])
	p.follow(s[0], s[1], next)
	return block{valid: true, kind: LinearOnly, ffn: -1, layerEnd: s[0]}
}

// normBehind returns the first norm behind the last FFN kernel, end without one.
func (p *pass) normBehind(last, end int) int {
	for i := last + 1; i < end; i++ {
		if c := p.seq[i].Class; c == Norm || c == WeakNorm && p.workFollows(i+1, end) {
			return i
		}
	}
	return end
}

// output places the products between an anchor and its layer's first boundary:
// the last is the output projection; before it latent attention expands values.
func (p *pass) output(a anchor, to int) {
	role := OProj
	if a.linear {
		role = LinearOutProj
	}
	last := -1
	for i := to - 1; i >= a.to && last < 0; i-- {
		if p.seq[i].Class == Gemm {
			last = i
		}
	}
	for i := a.to; i < to; i++ {
		switch {
		case p.seq[i].Class != Gemm:
		case i == last || !a.mla:
			p.out[i].Role = role
		default:
			p.out[i].Role = KVB
		}
	}
	p.zone(a.from, last+1, Attention)
	if a.mla {
		p.expandValues(a, to)
	}
}

// expandValues places the products inside latent attention's run, and notes
// how the block looks.
func (p *pass) expandValues(a anchor, to int) {
	var s shape
	for i := a.from; i < to; i++ {
		switch p.seq[i].Class {
		case Core:
			s.word += "a"
		case Gemm:
			s.word += "g"
			s.products = append(s.products, i)
			if i < a.to {
				p.out[i].Role = KVB
			}
		}
	}
	p.outputs = append(p.outputs, s)
}

func (p *pass) zone(from, to int, z Zone) {
	for i := from; i < to; i++ {
		p.out[i].Zone = z
	}
}

func (p *pass) setRole(at []int, r Role) {
	for _, i := range at {
		p.out[i].Role = r
	}
}

// head places what follows the last layer: the first product behind the final
// norm gives the logits, and the rest is sampling.
func (p *pass) head(from, to int) {
	if p.headless {
		return
	}
	at := -1
	for i := from; i < to && at < 0; i++ {
		if p.seq[i].Class == Gemm {
			at = i
		}
	}
	if at < 0 {
		return
	}
	p.out[at].Role = LMHead
	p.zone(at, to, Head)
	for i := at + 1; i < to; i++ {
		if c := p.seq[i].Class; c == Sample || c == Softmax {
			p.out[i].Role = Sampling
		}
	}
}
