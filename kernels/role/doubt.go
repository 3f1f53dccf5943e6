package role

// shape is how one block of a layer looks, letter by letter, and the products
// whose roles depend on it.
type shape struct {
	word     string
	products []int
}

// doubt takes back the roles in blocks that look like an equally or more common
// block with kernels missing: there the first product that is left may be the second.
func (p *pass) doubt(blocks []shape) {
	count := words(blocks)
	for _, s := range blocks {
		for word, n := range count {
			if n >= count[s.word] && len(word) > len(s.word) && contains(word, s.word) {
				p.setRole(s.products, Unknown)
			}
		}
	}
}

// doubtMore takes back the roles in blocks that hold more than what most of
// their kind do: there a border is missing, and products of the next block
// count as theirs.
func (p *pass) doubtMore(blocks []shape) {
	count := words(blocks)
	for word, n := range count {
		if n < minRepeats || 2*n <= len(blocks) {
			continue
		}
		for _, s := range blocks {
			if len(s.word) > len(word) && contains(s.word, word) {
				p.setRole(s.products, Unknown)
			}
		}
	}
}

// doubtRare takes back the roles in blocks that few layers have: there the
// product behind an activation is either the down projection, scaled, or the
// gate's other half, whose down projection is missing.
func (p *pass) doubtRare(blocks []shape) {
	count := words(blocks)
	for _, s := range blocks {
		if count[s.word] < minRepeats {
			p.setRole(s.products, Unknown)
		}
	}
}

// words counts how often each look occurs.
func words(blocks []shape) map[string]int {
	count := map[string]int{}
	for _, s := range blocks {
		count[s.word]++
	}
	return count
}

// contains says whether b is a with letters missing.
func contains(a, b string) bool {
	for i := 0; i < len(a) && len(b) > 0; i++ {
		if a[i] == b[0] {
			b = b[1:]
		}
	}
	return len(b) == 0
}
