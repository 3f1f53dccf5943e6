package role

import "strings"

// minRepeats is how many layers must look alike before a look that no single
// layer proves is believed.
const minRepeats = 3

// survey looks at a whole model before its layers are placed.
func (p *pass) survey(anchors []anchor, to int) {
	p.plain, p.parallel = false, ""
	count := map[string]int{}
	pairs := 0
	for i, a := range anchors {
		end := to
		if i+1 < len(anchors) {
			end = anchors[i+1].from
		}
		if cuts := p.cuts(a.to, end); len(cuts) > 0 {
			count[p.word(a.to, cuts[0])]++
			if len(cuts) == 2 && p.products(cuts[0], cuts[1]) > 1 {
				pairs++
			}
		}
	}
	p.plain = !p.hasFFN(anchors[0].to, to) && 2*pairs > len(anchors)
	for word, n := range count {
		// Output projection, gate and up, activation, down, without a norm; or the
		// gate alone in front of the activation.
		up, down, ok := strings.Cut(word, "f")
		if ok && len(up) > 1 && strings.Trim(up, "g") == "" && (down == "g" || down == "gg" && up == "gg") && n >= minRepeats && 2*n > len(anchors) {
			p.parallel = word
		}
	}
}

// word spells the products and FFN kernels of seq[from:to].
func (p *pass) word(from, to int) string {
	return p.spell(from, to, alphabet{Gemm: 'g', Act: 'f', Expert: 'X', MoE: 'X'})
}

// alphabet has letters for the classes that a word is made of.
type alphabet map[Class]byte

// spell writes the kernels of seq[from:to] that have a letter.
func (p *pass) spell(from, to int, with alphabet) string {
	var b strings.Builder
	for _, k := range p.seq[from:to] {
		if l, ok := with[k.Class]; ok {
			b.WriteByte(l)
		}
	}
	return b.String()
}

// beside places a layer whose attention and FFN read the same norm (Command R):
// no norm parts them, so the first product behind attention is its output
// projection.
func (p *pass) beside(a anchor, cut, end int, next *anchor) block {
	first := p.find(a.to, cut, 1, Gemm)
	f := p.ffn(first+1, cut)
	if first < 0 || f == nil || p.hasFFN(cut, end) || !p.follow(cut, end, next) {
		return block{kind: UnknownLayer, ffn: -1, layerEnd: end}
	}
	p.output(a, first+1)
	p.placeFFN(f, cut)
	return block{valid: true, kind: Dense, ffn: f.first, layerEnd: cut}
}
