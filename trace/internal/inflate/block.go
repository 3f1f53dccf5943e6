package inflate

import "io"

// blockState says what the next bits of the deflate stream are.
type blockState uint8

const (
	atHeader blockState = iota // a block header
	inStored                   // the bytes of a stored block
	inCodes                    // the symbols of a compressed block
	atEnd                      // nothing: the final block has ended
)

// windowSize is how far back a distance can reach (RFC 1951 section 2).
const windowSize = 32 << 10

// decoder decompresses one deflate stream (RFC 1951) at a time.
//
// Output goes straight into the buffer each fill is given. What earlier fills
// produced belongs to the caller by then, so the last window of it is kept in
// hist for matches that reach back across the start of the buffer.
type decoder struct {
	src    source
	state  blockState
	final  bool // the current block is the last one
	fixed  bool // the tables hold the fixed codes
	stored int  // bytes left of the stored block
	lit    [litSize]uint32
	dist   [distSize]uint32
	clen   [1 << clenRoot]uint32

	hist    [windowSize]byte // right-aligned
	histLen int
}

// restart prepares for a new stream at the current, byte-aligned input.
func (d *decoder) restart() {
	d.state, d.final, d.stored, d.histLen = atHeader, false, 0, 0
}

// fill decodes into dst until it is as good as full, the stream ends (io.EOF)
// or an error stops it, and returns the number of bytes decoded. It may
// scribble over all of dst. dst must be at least minBuffer bytes.
func (d *decoder) fill(dst []byte) (n int, err error) {
	full := false
	for err == nil && !full {
		switch d.state {
		case atHeader:
			err = d.header()
		case inStored:
			n, full, err = d.copyStored(dst, n)
		case inCodes:
			n, full, err = d.decode(dst, n)
		case atEnd:
			err = io.EOF
		}
	}
	d.remember(dst[:n])
	return n, err
}

// remember slides the last window of output into hist.
func (d *decoder) remember(out []byte) {
	if len(out) >= windowSize {
		copy(d.hist[:], out[len(out)-windowSize:])
		d.histLen = windowSize
		return
	}
	copy(d.hist[:], d.hist[len(out):])
	copy(d.hist[windowSize-len(out):], out)
	d.histLen = min(windowSize, d.histLen+len(out))
}

// endOfBlock moves on after the last symbol or byte of a block.
func (d *decoder) endOfBlock() {
	d.state = atHeader
	if d.final {
		d.state = atEnd
		d.src.align()
	}
}

func (d *decoder) corrupt(what string) error {
	return ErrCorrupt{Offset: d.src.offset(), What: what}
}

// header reads a block header (RFC 1951 section 3.2.3).
func (d *decoder) header() error {
	s := &d.src
	s.ensure(lookahead)
	if !s.need(3) {
		return s.exhausted()
	}
	d.final = s.take(1) == 1
	switch s.take(2) {
	case 0:
		return d.storedHeader()
	case 1:
		d.loadFixed()
		d.state = inCodes
		return nil
	case 2:
		d.fixed = false
		err := d.dynamicHeader()
		s.giveBack()
		d.state = inCodes
		return err
	}
	return d.corrupt("reserved block type")
}

// storedHeader reads the length of a stored block (RFC 1951 section 3.2.4).
func (d *decoder) storedHeader() error {
	s := &d.src
	s.align()
	if !s.need(32) {
		return s.exhausted()
	}
	n := s.take(16)
	if s.take(16) != n^0xffff {
		return d.corrupt("stored block length does not match its complement")
	}
	d.stored = int(n)
	d.state = inStored
	return nil
}

// copyStored copies a stored block, or as much of it as input and dst allow.
func (d *decoder) copyStored(dst []byte, n int) (_ int, full bool, err error) {
	s := &d.src
	for d.stored > 0 {
		if n == len(dst) {
			return n, true, nil
		}
		if !s.ensure(1) {
			return n, false, s.exhausted()
		}
		m := copy(dst[n:], s.buf[s.pos:min(s.end, s.pos+d.stored)])
		s.pos += m
		d.stored -= m
		n += m
	}
	d.endOfBlock()
	return n, false, nil
}

// loadFixed builds the fixed codes (RFC 1951 section 3.2.6), unless the block
// before used them too.
func (d *decoder) loadFixed() {
	if d.fixed {
		return
	}
	var lens [numLit + numDist]uint8
	for i := range lens {
		switch {
		case i < 144, 280 <= i && i < numLit:
			lens[i] = 8
		case i < 256:
			lens[i] = 9
		case i < 280:
			lens[i] = 7
		default:
			lens[i] = 5
		}
	}
	d.buildTables(lens[:numLit], lens[numLit:])
	d.fixed = true
}

func (d *decoder) buildTables(lit, dist []uint8) bool {
	if !buildTable(d.lit[:], litRoot, lit, litSymbols[:]) ||
		!buildTable(d.dist[:], distRoot, dist, distSymbols[:]) {
		return false
	}
	pairLiterals(&d.lit)
	return true
}

// clenOrder is the order of the code length code lengths (RFC 1951 section
// 3.2.7).
var clenOrder = [numClen]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// dynamicHeader reads the codes of a dynamic block (RFC 1951 section 3.2.7).
func (d *decoder) dynamicHeader() error {
	s := &d.src
	if !s.need(14) {
		return s.exhausted()
	}
	nlit := int(s.take(5)) + 257
	ndist := int(s.take(5)) + 1
	nclen := int(s.take(4)) + 4
	if nlit > maxLit {
		return d.corrupt("more than 286 literal/length codes")
	}
	if ndist > maxDist {
		return d.corrupt("more than 30 distance codes")
	}
	var clens [numClen]uint8
	for _, i := range clenOrder[:nclen] {
		if !s.need(3) {
			return s.exhausted()
		}
		clens[i] = uint8(s.take(3))
	}
	if !buildTable(d.clen[:], clenRoot, clens[:], clenSymbols[:]) {
		return d.corrupt("invalid code length code")
	}
	var lens [maxLit + maxDist]uint8
	if err := d.codeLengths(lens[:nlit+ndist]); err != nil {
		return err
	}
	if !d.buildTables(lens[:nlit], lens[nlit:nlit+ndist]) {
		return d.corrupt("over-subscribed or incomplete code")
	}
	return nil
}

// codeLengths reads the run-length coded widths of both codes: one sequence,
// in which a run may cross from the first code into the second.
func (d *decoder) codeLengths(lens []uint8) error {
	s := &d.src
	for i := 0; i < len(lens); {
		s.need(clenRoot) // fewer bits are all right if the code is short
		e := d.clen[s.acc&(1<<clenRoot-1)]
		if e&bitsMask > uint32(s.nbits) {
			return s.exhausted()
		}
		if e&flagSpecial != 0 {
			return d.corrupt("invalid code length")
		}
		s.take(uint(e & bitsMask))
		sym := uint8(e >> valueAt)
		if sym < 16 {
			lens[i] = sym
			i++
			continue
		}
		run, extra, value := 3, uint(2), uint8(0)
		switch sym {
		case 16:
			if i == 0 {
				return d.corrupt("repeat of a code length before the first one")
			}
			value = lens[i-1]
		case 17:
			extra = 3
		case 18:
			run, extra = 11, 7
		}
		if !s.need(extra) {
			return s.exhausted()
		}
		run += int(s.take(extra))
		if run > len(lens)-i {
			return d.corrupt("more code lengths than codes")
		}
		for range run {
			lens[i] = value
			i++
		}
	}
	return nil
}
