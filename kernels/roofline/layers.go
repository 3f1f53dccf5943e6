package roofline

import "encoding/json"

// expertCounts are the keys under which families say how many experts a layer
// routes to.
var expertCounts = []string{"num_experts", "num_local_experts", "n_routed_experts"}

func (c *config) experts(m *Model, fam family) {
	if fam.experts == noExperts {
		return
	}
	for _, key := range expertCounts {
		if m.Experts = c.number(key, 0); m.Experts > 0 {
			break
		}
	}
	if m.Experts == 0 {
		// A DeepSeek config without experts is a dense model; elsewhere the
		// family has no dense form.
		if fam.experts != deepExperts && fam.experts != qwenExperts {
			c.fail("config.json has no %s", expertCounts[1])
		}
		return
	}
	m.ExpertsPerToken = c.need("num_experts_per_tok", maxSize)
	if m.ExpertsPerToken > m.Experts {
		c.fail("config.json: num_experts_per_tok %d exceeds the %d experts", m.ExpertsPerToken, m.Experts)
	}
	m.MoEIntermediate = m.Intermediate
	switch fam.experts {
	case allLayers, llama4Expert:
		c.need("intermediate_size", maxSize)
	}
	switch fam.experts {
	case qwenExperts, deepExperts:
		m.MoEIntermediate = c.need("moe_intermediate_size", maxSize)
	case llama4Expert:
		m.Intermediate = c.number("intermediate_size_mlp", m.Intermediate)
	}
	switch fam.shared {
	case countShared:
		m.SharedIntermediate = c.number("n_shared_experts", 0) * m.MoEIntermediate
	case sizedShared:
		m.SharedIntermediate = c.number("shared_expert_intermediate_size", 0)
		m.SharedGate = m.SharedIntermediate > 0
	case equalShared:
		m.SharedIntermediate = m.MoEIntermediate
	case graniteSized:
		m.SharedIntermediate = c.number("shared_intermediate_size", 0)
	}
}

// kinds decides for every layer what it is made of.
func (c *config) kinds(m *Model, fam family) {
	if c.err != nil {
		return
	}
	var types []string
	if v, ok := c.raw("layer_types"); ok {
		if json.Unmarshal(v, &types) != nil || len(types) != m.Layers {
			c.fail("config.json: layer_types does not name %d layers", m.Layers)
			return
		}
	}
	hasExperts := c.sparse(m, fam)
	span := c.span(m, fam, types != nil)
	m.Kinds = make([]Kind, m.Layers)
	for i := range m.Kinds {
		k := &m.Kinds[i]
		k.MoE = m.Experts > 0 && hasExperts(i)
		k.Mixer = Attention
		if fam.latent {
			k.Mixer = Latent
		}
		switch {
		case types != nil:
			c.typed(k, types[i], fam)
		case fam.linear:
			// Full attention is every n-th layer, as full_attention_interval
			// has it.
			if n := c.number("full_attention_interval", 4); n == 0 || (i+1)%n != 0 {
				k.Mixer = Linear
			}
		default:
			k.Window, k.Chunk = span(i)
		}
	}
}

// typed applies one word of layer_types.
func (c *config) typed(k *Kind, word string, fam family) {
	switch word {
	case "full_attention", "attention":
	case "sliding_attention":
		if k.Window = c.number("sliding_window", 0); k.Window == 0 {
			k.Window = UnknownWindow
		}
	case "chunked_attention":
		if k.Chunk = c.number("attention_chunk_size", 0); k.Chunk == 0 {
			k.Window = UnknownWindow
		}
	case "linear_attention":
		k.Mixer = UnknownMixer
		if fam.linear {
			k.Mixer = Linear
		}
	default:
		k.Mixer = UnknownMixer
	}
}

// sparse returns the test for layers with experts.
func (c *config) sparse(m *Model, fam family) func(int) bool {
	switch fam.experts {
	case qwenExperts:
		step, dense := max(1, c.number("decoder_sparse_step", 1)), c.set("mlp_only_layers")
		return func(i int) bool { return (i+1)%step == 0 && !dense[i] }
	case deepExperts:
		first, freq := c.number("first_k_dense_replace", 0), max(1, c.number("moe_layer_freq", 1))
		return func(i int) bool { return i >= first && i%freq == 0 }
	case llama4Expert:
		if listed := c.set("moe_layers"); len(listed) > 0 {
			return func(i int) bool { return listed[i] }
		}
		step := max(1, c.number("interleave_moe_layer_step", 1))
		return func(i int) bool { return (i+1)%step == 0 }
	}
	return func(int) bool { return true }
}

// span returns how far back each layer looks, for configs without layer_types.
func (c *config) span(m *Model, fam family, typed bool) func(int) (window, chunk int) {
	all := func(int) (int, int) { return 0, 0 }
	size := c.number("sliding_window", 0)
	switch fam.window {
	case allWindow:
		return func(int) (int, int) { return size, 0 }
	case qwenWindow:
		if size == 0 || !c.flag("use_sliding_window", false) {
			return all
		}
		first := c.number("max_window_layers", 0)
		return func(i int) (int, int) {
			if i >= first {
				return size, 0
			}
			return 0, 0
		}
	case periodWindow:
		every := fam.every
		if !typed {
			every = max(1, c.number("sliding_window_pattern", every))
		}
		if size == 0 {
			size = UnknownWindow
		}
		return func(i int) (int, int) {
			if (i+1)%every != 0 {
				return size, 0
			}
			return 0, 0
		}
	case chunkWindow:
		chunk := c.number("attention_chunk_size", 0)
		every := max(1, c.number("no_rope_layer_interval", fam.every))
		return func(i int) (int, int) {
			if (i+1)%every != 0 {
				return 0, chunk
			}
			return 0, 0
		}
	case openWindow:
		if _, set := c.raw("sliding_window"); set {
			return func(int) (int, int) { return UnknownWindow, 0 }
		}
	}
	return all
}

// set reads a list of layer numbers.
func (c *config) set(key string) map[int]bool {
	v, ok := c.raw(key)
	if !ok {
		return nil
	}
	var list []int
	if json.Unmarshal(v, &list) != nil {
		c.fail("config.json: %s is not a list of layers", key)
	}
	out := make(map[int]bool, len(list))
	for _, i := range list {
		out[i] = true
	}
	return out
}
