package inflate

import "encoding/binary"

const (
	maxMatch = 258

	// copyStep is the unit of match copies: the largest array that the
	// compiler copies with one load and one store, inline, also where source
	// and destination may overlap. Matches are copied two units at a time, so
	// up to two units past their end are overwritten.
	copyStep = 16

	// outMargin is the room one turn of the fast loop may write to: three
	// look-ups of two literals, the longest match and the excess of its copy.
	outMargin = 6 + maxMatch + 4*copyStep

	// inMargin is the input one turn of the fast loop may read: two refills
	// that read 8 bytes and advance by up to 7, with room to spare.
	inMargin = 32

	// maxDistBits is the longest distance code with its extra bits.
	maxDistBits = 15 + 13
)

// outcome says why a decode loop stopped.
type outcome uint8

const (
	outOfInput  outcome = iota // fewer than inMargin bytes, or bits, are left
	outOfRoom                  // fewer than outMargin bytes of room are left
	blockEnded                 // an end-of-block symbol was read
	badSymbol                  // a bit pattern or symbol the code does not have
	badDistance                // a distance beyond the start of the stream
)

// decode decompresses symbols into dst[n:] until the block ends or dst is
// full.
func (d *decoder) decode(dst []byte, n int) (_ int, full bool, err error) {
	for {
		var why outcome
		if d.src.ensure(inMargin) {
			n, why = d.fastSymbols(dst, n)
		} else {
			n, why = d.lastSymbols(dst, n)
			if why == outOfInput {
				return n, false, d.src.exhausted()
			}
		}
		switch why {
		case outOfRoom:
			return n, true, nil
		case blockEnded:
			d.endOfBlock()
			return n, false, nil
		case badSymbol:
			return n, false, d.corrupt("invalid literal, length or distance code")
		case badDistance:
			return n, false, d.corrupt("distance beyond the start of the data")
		}
	}
}

// fastSymbols is the hot loop: it runs while input and room have their
// margins, so that nothing in it has to check for the end of either. It is one
// long function because its state must stay in registers: the compiler does
// not inline loops of this size and each call would spill it.
func (d *decoder) fastSymbols(dst []byte, op int) (int, outcome) {
	s := &d.src
	in := s.buf[:s.end]
	ip, acc, n := s.pos, s.acc, s.nbits
	lit, dist := &d.lit, &d.dist
	lastIn, lastOut := len(in)-inMargin, len(dst)-outMargin
	why := outOfInput

	for ip <= lastIn {
		if op > lastOut {
			why = outOfRoom
			break
		}
		// Branch-free refill to at least 56 bits: bits that are loaded but not
		// counted yet are the same ones that the next refill ORs in again.
		acc |= binary.LittleEndian.Uint64(in[ip:]) << (n & 63)
		ip += int((63 - n) >> 3)
		n |= 56

		// Up to three look-ups of literals take at most 33 bits. After two of
		// them 34 are left, enough for the 20 of a length. An entry of one
		// literal writes two bytes as well; the second is overwritten.
		e := lit[acc&(1<<litRoot-1)]
		if e&flagLiteral != 0 {
			binary.LittleEndian.PutUint16(dst[op:], uint16(e>>valueAt))
			op += int(e >> litCountAt & 3)
			acc >>= e & bitsMask
			n -= uint(e & bitsMask)
			e = lit[acc&(1<<litRoot-1)]
			if e&flagLiteral != 0 {
				binary.LittleEndian.PutUint16(dst[op:], uint16(e>>valueAt))
				op += int(e >> litCountAt & 3)
				acc >>= e & bitsMask
				n -= uint(e & bitsMask)
				e = lit[acc&(1<<litRoot-1)]
				if e&flagLiteral != 0 {
					binary.LittleEndian.PutUint16(dst[op:], uint16(e>>valueAt))
					op += int(e >> litCountAt & 3)
					acc >>= e & bitsMask
					n -= uint(e & bitsMask)
					continue
				}
			}
		}
		if e&flagSpecial != 0 {
			if e&flagLink != 0 {
				acc >>= litRoot
				n -= litRoot
				e = lit[(e>>valueAt+uint32(acc)&(1<<(e>>codeWidthAt&15)-1))&(litSize-1)]
				if e&flagLiteral != 0 {
					dst[op] = byte(e >> valueAt)
					op++
					acc >>= e & bitsMask
					n -= uint(e & bitsMask)
					continue
				}
			}
			if e&flagSpecial != 0 {
				acc >>= e & bitsMask
				n -= uint(e & bitsMask)
				why = badSymbol
				if e>>valueAt != 0 {
					why = blockEnded
				}
				break
			}
		}
		// The entry counts code and extra bits together: the extra bits are
		// what is above the code within that many bits.
		length := int(e>>valueAt) + int(uint32(acc)&(1<<(e&31)-1)>>(e>>codeWidthAt&15))
		acc >>= e & bitsMask
		n -= uint(e & bitsMask)

		if n < maxDistBits {
			acc |= binary.LittleEndian.Uint64(in[ip:]) << (n & 63)
			ip += int((63 - n) >> 3)
			n |= 56
		}

		e = dist[acc&(1<<distRoot-1)]
		if e&flagSpecial != 0 {
			if e&flagLink != 0 {
				acc >>= distRoot
				n -= distRoot
				e = dist[(e>>valueAt+uint32(acc)&(1<<(e>>codeWidthAt&15)-1))&(distSize-1)]
			}
			if e&flagSpecial != 0 {
				why = badSymbol
				break
			}
		}
		distance := int(e>>valueAt) + int(uint32(acc)&(1<<(e&31)-1)>>(e>>codeWidthAt&15))
		acc >>= e & bitsMask
		n -= uint(e & bitsMask)

		from := op - distance
		if from < 0 || distance < copyStep {
			if !d.copyMatch(dst, op, distance, length) {
				why = badDistance
				break
			}
			op += length
			continue
		}
		// The source is at least one unit behind, so each unit is complete
		// before it is read (RFC 1951 section 3.2.3: a match may run into its
		// own output). Most matches end within the first two.
		end := op + length
		to, fr := (*[2 * copyStep]byte)(dst[op:]), (*[2 * copyStep]byte)(dst[from:])
		*(*[copyStep]byte)(to[:]) = *(*[copyStep]byte)(fr[:])
		*(*[copyStep]byte)(to[copyStep:]) = *(*[copyStep]byte)(fr[copyStep:])
		for i := op + 2*copyStep; i < end; i += 2 * copyStep {
			j := i - distance
			to, fr := (*[2 * copyStep]byte)(dst[i:]), (*[2 * copyStep]byte)(dst[j:])
			*(*[copyStep]byte)(to[:]) = *(*[copyStep]byte)(fr[:])
			*(*[copyStep]byte)(to[copyStep:]) = *(*[copyStep]byte)(fr[copyStep:])
		}
		op = end
	}
	s.pos, s.acc, s.nbits = ip, acc, n
	s.giveBack()
	return op, why
}

// copyMatch copies a match whose source reaches back across the start of dst
// or overlaps its destination closely. It reports false if the distance goes
// beyond the start of the stream.
func (d *decoder) copyMatch(dst []byte, op, distance, length int) bool {
	end := op + length
	if before := distance - op; before > 0 {
		if before > d.histLen {
			return false
		}
		op += copy(dst[op:end], d.hist[windowSize-before:])
	}
	// Each copy doubles the stretch that can be copied without overlap
	// (RFC 1951 section 3.2.3: a match may run into its own output).
	from := op - distance
	for op < end {
		op += copy(dst[op:end], dst[from:op])
	}
	return true
}

// lastSymbols decodes the end of the input one symbol at a time: it never
// takes more bits than there are.
func (d *decoder) lastSymbols(dst []byte, op int) (int, outcome) {
	defer d.src.giveBack()
	for op <= len(dst)-outMargin {
		e, ok := d.symbol(d.lit[:], litRoot)
		switch {
		case !ok:
			return op, outOfInput
		case e&flagLiteral != 0:
			dst[op] = byte(e >> valueAt)
			op++
			continue
		case e&flagSpecial != 0 && e>>valueAt != 0:
			return op, blockEnded
		case e&flagSpecial != 0:
			return op, badSymbol
		}
		length, ok := d.extra(e)
		if !ok {
			return op, outOfInput
		}
		if e, ok = d.symbol(d.dist[:], distRoot); !ok {
			return op, outOfInput
		}
		if e&flagSpecial != 0 {
			return op, badSymbol
		}
		distance, ok := d.extra(e)
		if !ok {
			return op, outOfInput
		}
		if !d.copyMatch(dst, op, distance, length) {
			return op, badDistance
		}
		op += length
	}
	return op, outOfRoom
}

// symbol looks up one symbol and takes its code, without extra bits. Bits past
// the end of the input read as zero: an entry that needs no more bits than
// there are does not depend on them.
func (d *decoder) symbol(table []uint32, root uint) (e uint32, ok bool) {
	s := &d.src
	s.need(maxBits)
	e = table[s.acc&(1<<root-1)]
	if e&flagLink != 0 {
		if s.nbits < root {
			return 0, false
		}
		s.take(root)
		e = table[uint(e>>valueAt)+uint(s.acc)&(1<<(e>>codeWidthAt&15)-1)]
	}
	width := uint(e >> codeWidthAt & 15)
	if s.nbits < width {
		return 0, false
	}
	s.take(width)
	return e, true
}

// extra takes the extra bits of a length or distance and adds its base.
func (d *decoder) extra(e uint32) (value int, ok bool) {
	n := uint(e&bitsMask - e>>codeWidthAt&15)
	if !d.src.need(n) {
		return 0, false
	}
	return int(e>>valueAt) + int(d.src.take(n)), true
}
