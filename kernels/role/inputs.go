package role

import (
	"slices"
	"strings"
)

// prelude places what stands before the first anchor: the last products behind
// a norm are the first layer's input projection (with latent attention, which
// has norms between its products, all behind the first norm; a draft model
// joins its two inputs in a product before that). It returns where the layer
// starts.
func (p *pass) prelude(from int, anchors []anchor, draft bool) (start int, known bool) {
	a, begin := anchors[0], from
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
	first := p.firstNorm(begin, a.from)
	fused := begin > from && p.seq[begin-1].Class == Embed
	if first < 0 && !fused || a.broken {
		return a.from, false
	}
	for begin < a.from && p.seq[begin].Class == Comm {
		// The parts of a split embedding are added up before the first layer.
		begin++
	}
	at := p.firstInputs(begin, first, anchors, fused, draft)
	if at < 0 {
		return a.from, false
	}
	p.project(at, a)
	return at, true
}

// firstInputs is where the first layer's input projections start, behind what
// stands in front of the first norm; -1 when that is not known.
func (p *pass) firstInputs(begin, first int, anchors []anchor, fused, draft bool) int {
	a := anchors[0]
	cuts := p.cuts(begin, a.from)
	switch {
	case len(p.inner.products) > 1 && !a.mla && !a.linear:
		return p.splitInputs(begin, a.from, cuts)
	case draft && len(cuts) == 0:
		// One product straight behind the norms of both inputs takes them
		// together (EAGLE-3); with a norm behind it, it is the product that joins
		// them and the projection is missing.
		if a.mla || a.linear || p.products(begin, a.from) != 1 || !p.straight(begin, a.from) {
			return -1
		}
		return begin
	case a.mla && draft:
		return cuts[0]
	case len(cuts) > 1 && !a.mla && !a.linear && len(anchors) > 1 && p.inner.word == "":
		// Norms among products, and no other layer that tells what they part.
		return -1
	case len(cuts) > 0 && !a.mla:
		return cuts[len(cuts)-1]
	case first >= 0 && p.products(begin, first) == 0:
		return first
	case !fused || len(anchors) > 1 && !p.looksAsInside(begin, a):
		return -1
	}
	return begin
}

// straight says whether no norm stands behind the products of seq[from:to] and
// one before them.
func (p *pass) straight(from, to int) bool {
	norm, product := false, false
	for _, k := range p.seq[from:to] {
		switch k.Class {
		case Norm, WeakNorm:
			if product {
				return false
			}
			norm = true
		case Gemm:
			product = true
		}
	}
	return norm
}

// inputsFit says whether the pieces between an FFN and the next attention can
// be its input projections. Where norms stand between those of most layers, a
// layer without them has lost some; otherwise such a norm says that an anchor
// is missing in between.
func (p *pass) inputsFit(pieces [][2]int, linear bool) bool {
	if len(p.inner.products) > 1 && !linear {
		return slices.Equal(p.inner.products, threeInputs) && p.threeInputs(pieces)
	}
	return len(pieces) <= 1
}

// inputsRepeat says whether pieces that are no input projections that we know
// are what most layers have there: no anchor is missing then, and what stands
// on both sides of them is known.
func (p *pass) inputsRepeat(pieces [][2]int) bool {
	return p.inner.regular && slices.Equal(p.counts(pieces), p.inner.products)
}

// threeInputs says whether the pieces in front of an anchor are the queries',
// the keys' and the values' projection, one product each: norms of queries and
// keys stand between them where every one follows its product at once.
func (p *pass) threeInputs(pieces [][2]int) bool {
	return slices.Equal(p.counts(pieces), threeInputs)
}

var threeInputs = []int{1, 1, 1}

// counts counts the products of each piece.
func (p *pass) counts(pieces [][2]int) []int {
	var n []int
	for _, s := range pieces {
		n = append(n, p.products(s[0], s[1]))
	}
	return n
}

// inputs is what most layers but the first have between their FFN and their
// attention, its zero value where no layer shows it.
type inputs struct {
	products []int  // by piece
	word     string // norms and products in order
	regular  bool   // enough layers have it
}

func (p *pass) innerInputs(anchors []anchor) (most inputs) {
	count := map[string]int{}
	gaps := 0
	for i := range len(anchors) - 1 {
		a, next := anchors[i], anchors[i+1]
		if a.mla || next.mla || next.linear {
			continue
		}
		cuts := p.cuts(a.to, next.from)
		segments := segmentsOf(cuts, next.from)
		if ffn := p.ffnSegment(segments, false); ffn >= 0 {
			segments = segments[ffn+1:]
		} else if ffn != noSegment || len(cuts) == 0 || !p.hasFFN(a.to, cuts[0]) {
			continue
		}
		if len(segments) == 0 {
			continue
		}
		word := p.inputWord(segments[0][0], next.from)
		gaps++
		if count[word]++; count[word] > count[most.word] {
			most = inputs{products: p.counts(segments), word: word}
		}
	}
	most.regular = count[most.word] >= minRepeats && 2*count[most.word] > gaps
	return most
}

// inputWord spells the norms and the products of seq[from:to].
func (p *pass) inputWord(from, to int) string {
	return p.spell(from, to, alphabet{Norm: 'n', Gemm: 'g'})
}

// looksAsInside says whether the first layer's input projections, behind a norm
// that is part of the embedding, are like those of the other layers. Products
// of the positions would count as theirs where a norm is missing.
func (p *pass) looksAsInside(from int, a anchor) bool {
	return a.mla || a.linear || p.inner.word != "" && strings.TrimLeft(p.inner.word, "n") == p.inputWord(from, a.from)
}

// splitInputs is where the first layer starts when norms stand between its
// input projections, as in the others; -1 when it does not look like them. In
// front of its first norm may stand products of the positions.
func (p *pass) splitInputs(from, to int, cuts []int) int {
	starts := cuts
	if first := p.firstNorm(from, to); first >= 0 && !slices.Contains(starts, first) {
		starts = slices.Insert(slices.Clone(cuts), 0, first)
	}
	pieces := segmentsOf(starts, to)
	n := len(pieces) - 3
	if n < 0 || !slices.Equal(p.inner.products, threeInputs) || !p.threeInputs(pieces[n:]) {
		return -1
	}
	return pieces[n][0]
}

// firstNorm returns the first norm in seq[from:to], -1 without one.
func (p *pass) firstNorm(from, to int) int {
	for i := from; i < to; i++ {
		if c := p.seq[i].Class; c == Norm || c == WeakNorm {
			return i
		}
	}
	return -1
}

// project places the products in front of an anchor, from the norm that
// starts its layer on.
func (p *pass) project(from int, a anchor) {
	var products []int
	write := -1
	for i := from; i < a.from; i++ {
		switch p.seq[i].Class {
		case Gemm:
			products = append(products, i)
		case KVWrite:
			write = i
		}
	}
	if p.seq[a.from].Class == KVWrite {
		write = a.from
	}
	if len(products) == 0 {
		return
	}
	p.zone(products[0], a.from, Attention)
	switch {
	case a.mla:
		p.latent(products, write)
	case a.linear:
		p.setRole(products, LinearInProj)
	default:
		p.setRole(products, QKVProj)
	}
}

// latent places the input products of multi-head latent attention. Behind the
// cache write they expand the latent (kv_b). Before it, two are the down
// projection of keys and values (alone, or fused with the queries') and the
// queries' own; three are the queries' pair and the keys' and values'. Without
// a cache write the two kinds cannot be told apart.
func (p *pass) latent(products []int, write int) {
	if write < 0 {
		return
	}
	s := shape{products: products}
	var before []int
	for _, i := range products {
		if i > write {
			p.out[i].Role = KVB
			s.word += "b"
		} else {
			before = append(before, i)
			s.word += "a"
		}
	}
	p.inputs = append(p.inputs, s)
	switch len(before) {
	case 1:
		p.setRole(before, QKVProj)
	case 2:
		p.out[before[0]].Role, p.out[before[1]].Role = KVA, Q
	case 3:
		p.setRole(before[:2], Q)
		p.out[before[2]].Role = KVA
	}
}
