package roofline

import (
	"cmp"
	"fmt"
	"slices"
)

// Seen is a weight shape that a trace recorded for a role: the K×N of an
// aten::mm's second operand.
type Seen struct {
	Role  string
	Layer int
	K, N  int
}

// Found is what a trace shows of the model that ran.
type Found struct {
	Layers int // in one pass of one rank; 0: not known
	TP, EP int // 0: not known
	PP     int // pipeline stages; 0: 1
	Shapes []Seen
}

// Mismatch is one disagreement between a trace and a config.
type Mismatch struct {
	Role string // "" for the layer count
	Text string // a sentence
}

// widths are the tensor-parallel sizes that servers run.
var widths = []int{1, 2, 4, 8, 16, 32, 64}

// Check compares a trace with the config. What either does not say is no
// mismatch. With no TP given, one that fits all shapes is looked for.
func (m Model) Check(found Found) []Mismatch {
	var out []Mismatch
	if text := m.checkLayers(found); text != "" {
		out = append(out, Mismatch{Text: text})
	}
	tp := found.TP
	if tp == 0 {
		tp = m.bestTP(found)
	}
	said := map[Seen]bool{}
	shapes := slices.Clone(found.Shapes)
	slices.SortStableFunc(shapes, func(a, b Seen) int { return cmp.Compare(a.Role, b.Role) })
	for _, s := range shapes {
		if m.fits(s, tp, max(1, found.EP)) {
			continue
		}
		key := Seen{Role: s.Role, K: s.K, N: s.N}
		if said[key] {
			continue
		}
		said[key] = true
		out = append(out, Mismatch{s.Role, m.disagreement(s, tp, max(1, found.EP))})
	}
	return out
}

func (m Model) checkLayers(found Found) string {
	stages := max(1, found.PP)
	least, most := m.Layers/stages, (m.Layers+stages-1)/stages
	switch {
	case found.Layers == 0:
	case stages > 1 && (found.Layers < least-1 || found.Layers > most+1):
		return fmt.Sprintf("the trace has %d layers; config.json says %d over %d pipeline stages", found.Layers, m.Layers, stages)
	case stages == 1 && found.Layers != m.Layers:
		return fmt.Sprintf("the trace has %d layers; config.json says %d (num_hidden_layers)", found.Layers, m.Layers)
	}
	return ""
}

// disagreement words a shape that does not fit.
func (m Model) disagreement(s Seen, tp, ep int) string {
	text := fmt.Sprintf("%s of layer %d multiplies by %d×%d", s.Role, s.Layer, s.K, s.N)
	if s.Role == "lm_head" {
		text = fmt.Sprintf("lm_head multiplies by %d×%d", s.K, s.N)
	}
	list, _ := m.Products(s.Role, s.Layer, tp, ep)
	for i, p := range list {
		word := "; config.json gives "
		if i > 0 {
			word = " and "
		}
		text += fmt.Sprintf("%s%d×%d", word, p.K, p.N)
	}
	text += fmt.Sprintf(" at TP %d", tp)
	for _, other := range widths {
		if _, ok := m.Products(s.Role, s.Layer, other, ep); ok && other != tp && m.fits(s, other, ep) {
			return text + fmt.Sprintf(" (it would fit TP %d)", other)
		}
	}
	return text
}

// fits says whether a shape may come from the role, n/a included.
func (m Model) fits(s Seen, tp, ep int) bool {
	list, ok := m.Products(s.Role, s.Layer, tp, ep)
	if !ok {
		return true
	}
	for _, p := range list {
		if p.K == s.K && p.N == s.N {
			return true
		}
	}
	switch s.Role {
	case "lm_head": // not every engine pads the vocabulary
		return s.K == m.Hidden && s.N*tp >= m.Vocab && s.N*tp < m.Vocab+vocabPad*tp
	case "q", "kv_a": // engines that keep the first halves of q and kv apart
		return m.QLoRARank > 0 && s.K == m.Hidden && (s.N == m.QLoRARank || s.N == m.KVLoRARank+m.QKRopeHeadDim)
	}
	return false
}

// TP returns the tensor-parallel size that explains all shapes of a trace, if
// exactly one does.
func (m Model) TP(found Found) (int, bool) {
	fit := 0
	for _, tp := range widths {
		sure := false
		bad := slices.ContainsFunc(found.Shapes, func(s Seen) bool {
			_, ok := m.Products(s.Role, s.Layer, tp, max(1, found.EP))
			sure = sure || ok
			return !m.fits(s, tp, max(1, found.EP))
		})
		if bad || !sure {
			continue
		}
		if fit != 0 {
			return 0, false
		}
		fit = tp
	}
	return fit, fit != 0
}

// bestTP is the size that fits most shapes, the smallest of equals.
func (m Model) bestTP(found Found) int {
	best, most := 1, -1
	for _, tp := range widths {
		n := 0
		for _, s := range found.Shapes {
			if _, ok := m.Products(s.Role, s.Layer, tp, max(1, found.EP)); ok && m.fits(s, tp, max(1, found.EP)) {
				n++
			}
		}
		if n > most {
			best, most = tp, n
		}
	}
	return best
}
