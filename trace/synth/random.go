package synth

// random is a splitmix64 generator: fast, and the same on every Go version.
type random uint64

// seeded mixes its arguments, as neighbouring states would give one sequence
// shifted by one.
func seeded(seed, stream uint64) random {
	return random((seed+1)*0xD1342543DE82EF95 ^ (stream+1)*0xA24BAED4963EE407)
}

// below returns a number below n.
func (r *random) below(n uint64) int64 {
	*r += 0x9E3779B97F4A7C15
	z := uint64(*r)
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return int64((z >> 32) * n >> 32)
}
