package roofline

// Sequence is one request's part of a step: Query new tokens whose keys and
// values are the last of KV tokens in the cache.
type Sequence struct{ Query, KV int }

// Attention returns the work of one layer's attention core on one of tp ranks,
// for the sequences of a step. kvBytes is the size of one cached element, 0
// for the model's own. Each sequence's keys and values are read once; a prefix
// shared by sequences is read once for each. ok is false for linear attention
// (the size of its state is the server's choice), for layers whose span is not
// known, and where a sequence is impossible.
func (m Model) Attention(layer int, seqs []Sequence, tp int, kvBytes float64) (Work, bool) {
	if !m.Known || tp < 1 || layer < 0 || layer >= len(m.Kinds) || len(seqs) == 0 || !m.Base.known() {
		return Work{}, false
	}
	if !(kvBytes > 0) {
		kvBytes = m.Base.Weight
	}
	kind := m.Kinds[layer]
	heads, ok := split(m.Heads, tp)
	kv, kvOK := m.kvHeads(tp)
	if kind.Mixer == Latent {
		kvOK = m.IndexHeads == 0 // a sparse attention reads a choice of the cache
	}
	if !ok || !kvOK || kind.Window == UnknownWindow || kind.Mixer != Attention && kind.Mixer != Latent {
		return Work{}, false
	}
	var sum Work
	for _, s := range seqs {
		if s.Query <= 0 || s.KV < s.Query || kind.Chunk > 0 && s.KV > kind.Chunk {
			return Work{}, false
		}
		pairs, read := s.span(kind.Window)
		if kind.Mixer == Latent {
			sum = sum.add(m.latentCore(s, pairs, read, heads, kvBytes))
			continue
		}
		d := float64(m.HeadDim)
		sum = sum.add(Work{
			FLOPs: 2 * pairs * float64(heads) * 2 * d,
			Bytes: read*float64(kv)*2*d*kvBytes + float64(s.Query*heads)*2*d*m.Base.Weight,
		})
	}
	return sum, true
}

// span counts the pairs of query and key that a causal mask leaves, and the
// cached tokens that are looked at, when each query looks window tokens back.
func (s Sequence) span(window int) (pairs, read float64) {
	q, kv := float64(s.Query), float64(s.KV)
	pairs, read = q*(kv-q)+q*(q+1)/2, kv
	if window <= 0 || s.KV <= window {
		return pairs, read
	}
	w := float64(window)
	// Query i of 1…q sees min(kv−q+i, w) keys: the first few fewer than w.
	short := max(0, w-(kv-q))
	return short*(kv-q) + short*(short+1)/2 + (q-short)*w, min(kv, w-1+q)
}

// latentCore is MLA's core. One new token is multiplied against the latent
// vectors themselves; several are usually multiplied against expanded keys and
// values, which is the cheaper count of FLOPs but a server's choice.
func (m Model) latentCore(s Sequence, pairs, read float64, heads int, kvBytes float64) Work {
	latent, rope := float64(m.KVLoRARank), float64(m.QKRopeHeadDim)
	h, q := float64(heads), float64(s.Query)
	if s.Query == 1 {
		return Work{
			FLOPs: 2 * pairs * h * (2*latent + rope),
			Bytes: read*(latent+rope)*kvBytes + q*h*(2*latent+rope)*m.Base.Weight,
		}
	}
	qk, v := float64(m.QKNopeHeadDim)+rope, float64(m.VHeadDim)
	return Work{
		FLOPs:     2 * pairs * h * (qk + v),
		Bytes:     (read + q) * h * (qk + v) * m.Base.Weight,
		Estimated: true,
	}
}
