package roofline

// Product is one matrix product of a role: its weight on one rank.
type Product struct {
	K, N    int     // the weight is K×N, as in [M,K]×[K,N]
	Experts int     // experts of this shape that the rank holds; 0: not an expert's
	Format  Format  // how weight and input are stored
	share   float64 // of the layer's routed tokens that this rank computes
}

// vocabPad is what vLLM and SGLang round the vocabulary up to
// (DEFAULT_VOCAB_PADDING_SIZE).
const vocabPad = 64

// Product returns the weight shape of a role on one rank, of one expert where
// the role is the experts'. ok is false where the config does not determine
// it, the layer has no such role, or the role is several products.
func (m Model) Product(role string, layer, tp, ep int) (k, n int, ok bool) {
	list, ok := m.Products(role, layer, tp, ep)
	if !ok || len(list) != 1 {
		return 0, 0, false
	}
	return list[0].K, list[0].N, true
}

// Products returns all products of a role in one layer on one rank of tp
// tensor-parallel ranks; ep > 1 spreads whole experts over that many ranks
// instead of cutting them. The layer does not matter for lm_head.
//
// Latent attention follows the servers (vLLM, SGLang, TensorRT-LLM): the first
// halves of q and kv are one product, kv_a, and q is the second half; kv_b is
// the weight whether multiplied at once or absorbed head by head.
func (m Model) Products(role string, layer, tp, ep int) ([]Product, bool) {
	if !m.Known || tp < 1 || ep < 1 {
		return nil, false
	}
	if role == "lm_head" {
		n, ok := split((m.Vocab+vocabPad-1)/vocabPad*vocabPad, tp)
		return m.one(role, layer, m.Hidden, n), ok
	}
	if layer < 0 || layer >= len(m.Kinds) {
		return nil, false
	}
	switch role {
	case "qkv_proj", "o_proj", "q", "kv_a", "kv_b", "linear_in_proj", "linear_out_proj", "indexer":
		switch m.Kinds[layer].Mixer {
		case Attention:
			return m.attentionProducts(role, layer, tp)
		case Latent:
			return m.latentProducts(role, layer, tp)
		case Linear:
			return m.linearProducts(role, layer, tp)
		}
		return nil, false
	}
	return m.ffnProducts(role, layer, tp, ep)
}

// one is a role's only product.
func (m Model) one(role string, layer, k, n int) []Product {
	return []Product{{K: k, N: n, Format: m.Format(role, layer)}}
}

// split divides n evenly; ok is false where it does not divide.
func split(n, ranks int) (int, bool) {
	return n / ranks, n > 0 && n%ranks == 0
}

// kvHeads returns the K/V heads of one rank: with more ranks than heads, each
// has a copy of one.
func (m Model) kvHeads(tp int) (int, bool) {
	if m.KVHeads > 0 && tp > m.KVHeads {
		return 1, tp%m.KVHeads == 0
	}
	return split(m.KVHeads, tp)
}

func (m Model) attentionProducts(role string, layer, tp int) ([]Product, bool) {
	heads, ok := split(m.Heads, tp)
	kv, kvOK := m.kvHeads(tp)
	if !ok || !kvOK {
		return nil, false
	}
	switch role {
	case "qkv_proj":
		q := heads
		if m.OutputGate {
			q *= 2
		}
		return m.one(role, layer, m.Hidden, (q+2*kv)*m.HeadDim), true
	case "o_proj":
		return m.one(role, layer, heads*m.HeadDim, m.Hidden), true
	}
	return nil, false
}

func (m Model) latentProducts(role string, layer, tp int) ([]Product, bool) {
	heads, ok := split(m.Heads, tp)
	if !ok {
		return nil, false
	}
	switch role {
	case "q":
		from := m.QLoRARank
		if from == 0 {
			from = m.Hidden
		}
		return m.one(role, layer, from, heads*(m.QKNopeHeadDim+m.QKRopeHeadDim)), true
	case "kv_a": // every rank computes all of it
		return m.one(role, layer, m.Hidden, m.QLoRARank+m.KVLoRARank+m.QKRopeHeadDim), true
	case "kv_b":
		return m.one(role, layer, m.KVLoRARank, heads*(m.QKNopeHeadDim+m.VHeadDim)), true
	case "o_proj":
		return m.one(role, layer, heads*m.VHeadDim, m.Hidden), true
	case "indexer":
		if m.IndexHeads == 0 || m.IndexHeadDim == 0 || m.QLoRARank == 0 {
			return nil, false
		}
		f := m.Format(role, layer)
		return []Product{
			{K: m.QLoRARank, N: m.IndexHeads * m.IndexHeadDim, Format: f},
			{K: m.Hidden, N: m.IndexHeadDim, Format: f},
			{K: m.Hidden, N: m.IndexHeads, Format: f},
		}, true
	}
	return nil, false
}

func (m Model) linearProducts(role string, layer, tp int) ([]Product, bool) {
	kh, ok := split(m.LinearKeyHeads, tp)
	vh, vOK := split(m.LinearValueHeads, tp)
	if !ok || !vOK {
		return nil, false
	}
	keys, values := kh*m.LinearKeyHeadDim, vh*m.LinearValueHeadDim
	switch role {
	case "linear_in_proj": // q, k, v and z at once, then beta and alpha
		f := m.Format(role, layer)
		return []Product{
			{K: m.Hidden, N: 2*keys + 2*values, Format: f},
			{K: m.Hidden, N: 2 * vh, Format: f},
		}, true
	case "linear_out_proj":
		return m.one(role, layer, values, m.Hidden), true
	}
	return nil, false
}

func (m Model) ffnProducts(role string, layer, tp, ep int) ([]Product, bool) {
	ways := 1 // the up projection, and the gate beside it
	if m.Gated {
		ways = 2
	}
	if !m.Kinds[layer].MoE {
		inner, ok := split(m.Intermediate, tp)
		switch {
		case !ok:
		case role == "gate_up":
			return m.one(role, layer, m.Hidden, ways*inner), true
		case role == "down":
			return m.one(role, layer, inner, m.Hidden), true
		}
		return nil, false
	}
	switch role {
	case "router":
		return m.one(role, layer, m.Hidden, m.Experts), true
	case "experts_gate_up", "experts_down":
		return m.expertProducts(role, layer, ways, tp, ep)
	case "shared_gate_up", "shared_down":
		// Beside spread experts some servers cut the shared expert and some
		// copy it.
		inner, ok := split(m.SharedIntermediate, tp)
		if !ok || ep > 1 && tp > 1 {
			return nil, false
		}
		if role == "shared_down" {
			return m.one(role, layer, inner, m.Hidden), true
		}
		return m.one(role, layer, m.Hidden, ways*inner), true
	case "shared_expert_gate":
		return m.one(role, layer, m.Hidden, 1), m.SharedGate
	}
	return nil, false
}

func (m Model) expertProducts(role string, layer, ways, tp, ep int) ([]Product, bool) {
	p := Product{Experts: m.Experts, Format: m.Format(role, layer), share: 1}
	inner, ok := m.MoEIntermediate, false
	if inner <= 0 {
		return nil, false
	}
	if ep > 1 {
		p.Experts, ok = split(m.Experts, ep)
		p.share = 1 / float64(ep)
	} else {
		inner, ok = split(inner, tp)
	}
	if !ok {
		return nil, false
	}
	p.K, p.N = m.Hidden, ways*inner
	if role == "experts_down" {
		p.K, p.N = inner, m.Hidden
	}
	return []Product{p}, true
}
