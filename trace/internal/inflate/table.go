package inflate

import "math/bits"

// Widths and sizes of the decoding tables. A code no longer than the root
// width is found with one look-up; a longer one goes on through a sub-table.
//
// The sizes are powers of two, so that a masked index needs no bounds check,
// and large enough for any code: a sub-table 2^w entries wide holds at least
// w+1 symbols, so there are at most 286/5*16 entries after the 2048 of the
// literal/length root and 30/8*128 after the 256 of the distance root.
const (
	litRoot  = 11
	litSize  = 4096
	distRoot = 8
	distSize = 1024
	clenRoot = 7 // code length codes have at most 7 bits: never a sub-table
	maxBits  = 15
	numLit   = 288
	numDist  = 32
	numClen  = 19
	maxLit   = 286 // RFC 1951 section 3.2.6: 286 and 287 never occur in data
	maxDist  = 30  // likewise distance codes 30 and 31
	endBlock = 256
)

// A table entry packs all that the decode loop needs into 32 bits:
//
//	bits  0-5   bits to consume: the code and, for lengths and distances, its
//	            extra bits
//	bits  6-7   literals: how many bytes the entry stands for, 1 or 2
//	bits  8-11  width of the (first) code alone; links: width of the sub-table
//	bit   13    link to a sub-table
//	bit   14    anything but a plain literal, length or distance
//	bit   15    literal
//	bits 16-31  literal bytes, base length, base distance or sub-table offset
const (
	bitsMask    = 63
	litCountAt  = 6
	codeWidthAt = 8
	flagLink    = 1 << 13
	flagSpecial = 1 << 14
	flagLiteral = 1 << 15
	valueAt     = 16

	entryEnd     = flagSpecial | 1<<valueAt // end of block
	entryInvalid = flagSpecial              // a bit pattern or symbol that must not occur
)

// Symbols without their code widths, in the form of table entries.
var (
	litSymbols  = makeLitSymbols()
	distSymbols = makeDistSymbols()
	clenSymbols = makeClenSymbols()
)

// makeLitSymbols lists literals, end of block and lengths (RFC 1951 section
// 3.2.5).
func makeLitSymbols() (t [numLit]uint32) {
	for i := range endBlock {
		t[i] = flagLiteral | 1<<litCountAt | uint32(i)<<valueAt
	}
	t[endBlock] = entryEnd
	base := uint32(3)
	for i := range 28 {
		extra := uint32(max(i/4-1, 0))
		t[257+i] = base<<valueAt | extra
		base += 1 << extra
	}
	t[285] = 258 << valueAt // not the 259 of the progression
	t[286], t[287] = entryInvalid, entryInvalid
	return t
}

// makeDistSymbols lists distances (RFC 1951 section 3.2.5).
func makeDistSymbols() (t [numDist]uint32) {
	base := uint32(1)
	for i := range maxDist {
		extra := uint32(max(i/2-1, 0))
		t[i] = base<<valueAt | extra
		base += 1 << extra
	}
	t[30], t[31] = entryInvalid, entryInvalid
	return t
}

func makeClenSymbols() (t [numClen]uint32) {
	for i := range t {
		t[i] = uint32(i) << valueAt
	}
	return t
}

// buildTable fills table for the canonical code (RFC 1951 section 3.2.2) in
// which symbol i has lens[i] bits. It reports false for a set of lengths that
// is over-subscribed or incomplete. As in zlib and compress/flate, two
// incomplete codes are allowed: no code at all, and one code of one bit; their
// unused bit patterns become invalid entries.
func buildTable(table []uint32, root uint, lens []uint8, symbols []uint32) bool {
	var count, next [maxBits + 1]uint
	for _, n := range lens {
		count[n&maxBits]++
	}
	count[0] = 0
	longest, left := uint(0), 1
	for n := uint(1); n <= maxBits; n++ {
		next[n] = next[n-1] + count[n-1]
		left = left<<1 - int(count[n])
		if left < 0 {
			return false
		}
		if count[n] > 0 {
			longest = n
		}
	}
	single := longest <= 1 && count[1] <= 1
	if left > 0 && !single {
		return false
	}

	// Symbols by code: canonical codes rise with (width, symbol).
	var sorted [numLit]uint16
	for i, n := range lens {
		if n != 0 {
			sorted[next[n&maxBits]] = uint16(i)
			next[n&maxBits]++
		}
	}
	code, first := fillRoot(table, root, sorted[:], &count, symbols)
	if longest > root {
		fillLinks(table, root, longest, sorted[first:], &count, symbols, code)
	}
	return true
}

// fillRoot enters all codes of up to root bits into table[:1<<root]. It grows
// the table one bit at a time: doubling it repeats the shorter codes for both
// values of the next bit, so each symbol is written once. It returns the code
// that follows at root bits and the number of symbols entered.
func fillRoot(table []uint32, root uint, sorted []uint16, count *[maxBits + 1]uint, symbols []uint32) (code uint, used int) {
	table[0] = entryInvalid
	for n := uint(1); n <= root; n++ {
		half := 1 << (n - 1)
		copy(table[half:2*half], table[:half])
		code <<= 1
		for range count[n] {
			sym := symbols[sorted[used]]
			table[reverse(code, n)] = sym + uint32(n|n<<codeWidthAt)
			code++
			used++
		}
	}
	return code, used
}

// fillLinks enters the codes longer than root bits. Codes that share their
// first root bits are neighbours in canonical order, so each sub-table is
// finished before the next one starts.
func fillLinks(table []uint32, root, longest uint, sorted []uint16, count *[maxBits + 1]uint, symbols []uint32, code uint) {
	free := uint(1) << root // where the next sub-table starts
	last := free            // root slot of the current sub-table: none yet
	var base, width uint    // the current sub-table
	used := 0
	for n := root + 1; n <= longest; n++ {
		code <<= 1
		for i := range count[n] {
			rev := reverse(code, n)
			if slot := rev & (1<<root - 1); slot != last {
				last = slot
				base, width = free, subWidth(root, n, count, count[n]-i)
				free += 1 << width
				table[slot] = uint32(base<<valueAt | flagLink | flagSpecial | width<<codeWidthAt | root)
			}
			over := n - root
			e := symbols[sorted[used]] + uint32(over|over<<codeWidthAt)
			for j := rev >> root; j < 1<<width; j += 1 << over {
				table[base+j] = e
			}
			code++
			used++
		}
	}
}

// subWidth finds how many bits past the root index the sub-table whose first
// code has n bits, when remaining codes of n bits, that one included, are
// still to come: just enough for the codes in order of width to fill it.
func subWidth(root, n uint, count *[maxBits + 1]uint, remaining uint) uint {
	width := n - root
	free := 1<<width - int(remaining)
	for free > 0 && root+width < maxBits {
		width++
		free = free<<1 - int(count[root+width])
	}
	return width
}

// reverse mirrors the low n bits of code: codes are packed starting with
// their most significant bit (RFC 1951 section 3.1.1).
func reverse(code, n uint) uint {
	return uint(bits.Reverse16(uint16(code))) >> (16 - n)
}

// pairLiterals rewrites root entries so that a literal followed by a second
// one, both within the root bits, is decoded by one look-up. It runs downwards
// because it consults entries with smaller indexes in their unpaired form.
func pairLiterals(table *[litSize]uint32) {
	for i := 1<<litRoot - 1; i >= 0; i-- {
		e := table[i]
		if e&flagLiteral == 0 {
			continue
		}
		n := e & bitsMask
		f := table[i>>n]
		m := f & bitsMask
		if f&flagLiteral == 0 || n+m > litRoot {
			continue
		}
		table[i] = e + m + 1<<litCountAt + f>>valueAt<<(valueAt+8)
	}
}
