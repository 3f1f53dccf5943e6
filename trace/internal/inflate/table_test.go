package inflate

import (
	"math/rand/v2"
	"testing"
)

// TestBuildTable decodes every symbol of random complete codes by walking the
// code bit by bit, and checks that changing any width makes the code invalid.
func TestBuildTable(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	for round := range 300 {
		lens := completeCode(rng, 2+rng.IntN(maxLit-1))
		var table [litSize]uint32
		root := uint(litRoot)
		if len(lens) <= maxDist && round%2 == 0 {
			root = distRoot
		}
		symbols := litSymbols[:]
		if !buildTable(table[:], root, lens, symbols) {
			t.Fatalf("complete code refused: %v", lens)
		}
		checkCodes(t, table[:], root, lens, symbols)
		i := rng.IntN(len(lens))
		if lens[i] < maxBits && len(lens) > 2 {
			lens[i]++
			if buildTable(table[:], root, lens, symbols) {
				t.Fatalf("incomplete code accepted: %v", lens)
			}
			lens[i]--
		}
		if lens[i] > 1 {
			lens[i]--
			if buildTable(table[:], root, lens, symbols) {
				t.Fatalf("over-subscribed code accepted: %v", lens)
			}
		}
	}
}

// completeCode splits random leaves of a code tree until it has n.
func completeCode(rng *rand.Rand, n int) []uint8 {
	lens := []uint8{1, 1}
	for len(lens) < n {
		i := rng.IntN(len(lens))
		if rng.IntN(3) > 0 {
			i = len(lens) - 1 // go deep
		}
		if lens[i] < maxBits {
			lens[i]++
			lens = append(lens, lens[i])
		} else if i = rng.IntN(len(lens)); lens[i] < maxBits {
			lens[i]++
			lens = append(lens, lens[i])
		}
	}
	rng.Shuffle(len(lens), func(i, j int) { lens[i], lens[j] = lens[j], lens[i] })
	return lens
}

// checkCodes assigns codes as in RFC 1951 section 3.2.2 and looks each up with
// random bits behind it.
func checkCodes(t *testing.T, table []uint32, root uint, lens []uint8, symbols []uint32) {
	t.Helper()
	code := uint(0)
	for n := uint(1); n <= maxBits; n++ {
		code <<= 1
		for i, l := range lens {
			if uint(l) != n {
				continue
			}
			for _, noise := range []uint{0, 0x5555, 0x7fff} {
				acc := reverse(code, n) | noise<<n
				e, width := table[acc&(1<<root-1)], uint(0)
				if e&flagLink != 0 {
					width = root
					e = table[uint(e>>valueAt)+acc>>root&(1<<(e>>codeWidthAt&15)-1)]
				}
				width += uint(e >> codeWidthAt & 15)
				if width != n || e>>valueAt != symbols[i]>>valueAt {
					t.Fatalf("symbol %d of %v: entry %#x", i, lens, e)
				}
			}
			code++
		}
	}
}

func TestDegenerateCodes(t *testing.T) {
	var table [distSize]uint32
	for _, c := range []struct {
		lens []uint8
		ok   bool
	}{
		{[]uint8{0, 0, 0}, true},
		{[]uint8{0, 1, 0}, true},
		{[]uint8{1, 1}, true},
		{[]uint8{2}, false},
		{[]uint8{0, 15}, false},
		{[]uint8{1, 2}, false},
		{[]uint8{1, 1, 1}, false},
		{[]uint8{1, 2, 2, 15}, false},
	} {
		if ok := buildTable(table[:], distRoot, c.lens, distSymbols[:]); ok != c.ok {
			t.Errorf("%v: %v", c.lens, ok)
		}
	}
	buildTable(table[:], distRoot, []uint8{0, 1}, distSymbols[:])
	for i, e := range table[:1<<distRoot] {
		if valid := e&flagSpecial == 0; valid != (i%2 == 0) {
			t.Fatalf("single code: entry %d is %#x", i, e)
		}
	}
}
