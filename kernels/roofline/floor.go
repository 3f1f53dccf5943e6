package roofline

// layerRoles are the roles that are products inside a layer.
var layerRoles = []string{
	"qkv_proj", "o_proj", "q", "kv_a", "kv_b", "indexer", "linear_in_proj", "linear_out_proj",
	"gate_up", "down", "router", "experts_gate_up", "experts_down",
	"shared_gate_up", "shared_down", "shared_expert_gate",
}

// Rank is one GPU's place in the model's parallelism.
type Rank struct {
	TP int // tensor-parallel ranks; 0: 1
	EP int // ranks that share the experts whole; 0 and 1: experts are cut by TP
	// First and End are the rank's layers under pipeline parallelism, End
	// excluded; both 0: all. The first stage has the embedding, the last the
	// head.
	First, End int
}

func (r Rank) filled(layers int) Rank {
	r.TP, r.EP = max(1, r.TP), max(1, r.EP)
	if r.First == 0 && r.End == 0 {
		r.End = layers
	}
	return r
}

// WeightReadFloor returns the bytes of weights that one step of tokens tokens
// must read on one rank: every dense weight once, of the experts the expected
// number that is touched (see ExpectedExperts), of the embedding one row a
// token. parts splits it by role. Norms, biases and convolutions, well under a
// thousandth, are left out. Under data-parallel attention tokens is the sum
// over the ranks that share the experts. ok is false where any role's weight
// is not known: half a floor would be a wrong one.
func (m Model) WeightReadFloor(tokens int, r Rank) (bytes float64, parts map[string]float64, ok bool) {
	r = r.filled(m.Layers)
	if !m.Known || tokens <= 0 || r.First < 0 || r.End > m.Layers || r.First >= r.End {
		return 0, nil, false
	}
	parts = map[string]float64{}
	for layer := r.First; layer < r.End; layer++ {
		for _, role := range m.rolesOf(layer) {
			w, ok := m.Work(role, layer, tokens, r.TP, r.EP)
			if !ok {
				return 0, nil, false
			}
			parts[role] += w.WeightBytes
		}
	}
	var ends []string
	if r.First == 0 {
		ends = append(ends, "embedding")
	}
	if r.End == m.Layers {
		ends = append(ends, "lm_head")
	}
	for _, role := range ends {
		w, ok := m.Work(role, 0, tokens, r.TP, r.EP)
		if !ok {
			return 0, nil, false
		}
		parts[role] += w.WeightBytes
	}
	for _, b := range parts {
		bytes += b
	}
	return bytes, parts, true
}

// rolesOf lists the roles that a layer must have, from its kind alone, so that
// one without a known shape is missed rather than skipped.
func (m Model) rolesOf(layer int) []string {
	kind := m.Kinds[layer]
	var out []string
	switch kind.Mixer {
	case Latent:
		out = append(out, "q", "kv_a", "kv_b", "o_proj")
		if m.IndexHeads > 0 {
			out = append(out, "indexer")
		}
	case Linear:
		out = append(out, "linear_in_proj", "linear_out_proj")
	default:
		out = append(out, "qkv_proj", "o_proj")
	}
	if !kind.MoE {
		return append(out, "gate_up", "down")
	}
	out = append(out, "router", "experts_gate_up", "experts_down")
	if m.SharedIntermediate > 0 {
		out = append(out, "shared_gate_up", "shared_down")
	}
	if m.SharedGate {
		out = append(out, "shared_expert_gate")
	}
	return out
}

// Parameters counts the model's weights, all experts included and a tied head
// once, without norms, biases and multi-token prediction. parts splits it by
// role. ok is false where a role's shape is not known.
func (m Model) Parameters() (total float64, parts map[string]float64, ok bool) {
	if !m.Known {
		return 0, nil, false
	}
	parts = map[string]float64{"embedding": float64(m.Vocab) * float64(m.Hidden)}
	if !m.TieEmbeddings {
		parts["lm_head"] = parts["embedding"]
	}
	for layer := range m.Kinds {
		for _, role := range m.rolesOf(layer) {
			list, ok := m.Products(role, layer, 1, 1)
			if !ok {
				return 0, nil, false
			}
			for _, p := range list {
				parts[role] += float64(p.K) * float64(p.N) * float64(max(1, p.Experts))
			}
		}
	}
	for _, n := range parts {
		total += n
	}
	return total, parts, true
}
