package kineto

import (
	"encoding/binary"
	"math"
	"math/bits"
)

var pow10 = [20]uint64{
	1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9,
	1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19,
}

// digits reads the run of decimal digits at b[p:] and returns its value and its
// end. The value is right up to 19 digits; the caller bounds the run's length.
func digits(b []byte, p int) (v uint64, end int) {
	for p+8 <= len(b) {
		y := binary.LittleEndian.Uint64(b[p:]) ^ 0x3030303030303030
		// The top bit of each byte that is no digit; a carry can only spoil
		// bytes behind the first such byte, which are not looked at.
		m := ((y + 0x7676767676767676) | y) & 0x8080808080808080
		if m == 0 {
			v = v*1e8 + eight(y)
			p += 8
			continue
		}
		n := bits.TrailingZeros64(m) >> 3
		if n == 0 {
			return v, p
		}
		return v*pow10[n] + eight(y<<(64-8*n)), p + n
	}
	for p < len(b) && b[p]-'0' <= 9 {
		v = v*10 + uint64(b[p]-'0')
		p++
	}
	return v, p
}

// eight turns eight digit values, first digit in the lowest byte, into a number.
func eight(y uint64) uint64 {
	y = y*10 + y>>8
	return ((y&0x000000ff000000ff)*(100+1000000<<32) + (y>>16&0x000000ff000000ff)*(1+10000<<32)) >> 32
}

// fastTime reads the usual forms of a microsecond value at b[p:] as nanoseconds:
// up to 15 digits, a point and up to three digits. end is -1 for any other form,
// which parseTime may still know.
func fastTime(b []byte, p int, mode FracMode) (ns int64, frac bool, end int) {
	v, q := digits(b, p)
	if n := q - p; n == 0 || n > 15 || q >= len(b) {
		return 0, false, -1
	}
	if b[q] != '.' {
		if b[q]|0x20 == 'e' {
			return 0, false, -1
		}
		return int64(v) * 1000, false, q
	}
	if q+4 < len(b) && charClass[b[q+4]] != charScalar {
		x, y, z := b[q+1]-'0', b[q+2]-'0', b[q+3]-'0'
		if x <= 9 && y <= 9 && z <= 9 {
			return int64(v)*1000 + int64(x)*100 + int64(y)*10 + int64(z), true, q + 4
		}
	}
	f, r := digits(b, q+1)
	n := r - q - 1
	if n == 0 || n > 3 || r >= len(b) || b[r]|0x20 == 'e' {
		return 0, false, -1
	}
	if mode == FracDecimal {
		f *= pow10[3-n]
	}
	return int64(v*1000 + f), true, r
}

// parseTime reads a whole decimal number of microseconds as nanoseconds,
// rounding halves away from zero. It refuses what is no number and what does
// not fit an int64.
func parseTime(b []byte, mode FracMode) (ns int64, frac, ok bool) {
	p, neg := 0, false
	if p < len(b) && (b[p] == '-' || b[p] == '+') {
		neg = b[p] == '-'
		p++
	}
	var d decimal
	p = d.read(b, p, 0)
	if p < len(b) && b[p] == '.' {
		frac = true
		_, e := digits(b, p+1)
		if n := e - p - 1; mode == FracUnpadded && n < 3 && d.mant < 1e16 {
			d.mant *= pow10[3-n]
			d.exp -= 3 - n
		}
		p = d.read(b, p+1, -1)
	}
	if !d.any {
		return 0, frac, false
	}
	if p < len(b) && b[p]|0x20 == 'e' {
		e, q := exponent(b, p+1)
		if q < 0 {
			return 0, frac, false
		}
		d.exp += e
		p = q
	}
	if p != len(b) {
		return 0, frac, false
	}
	v, ok := d.scaled(3)
	if neg {
		v = -v
	}
	return v, frac, ok
}

// decimal is mant × 10^exp, where mant holds the first 19 significant digits.
type decimal struct {
	mant uint64
	exp  int
	any  bool
	full bool
	next byte // the first digit that mant did not hold
}

// read takes the digits at b[p:] in; step is what each digit adds to the exponent.
func (d *decimal) read(b []byte, p, step int) int {
	for p < len(b) && b[p]-'0' <= 9 {
		d.any = true
		d.exp += step
		if d.mant < 1e18 {
			d.mant = d.mant*10 + uint64(b[p]-'0')
		} else {
			d.exp++
			if !d.full {
				d.full, d.next = true, b[p]-'0'
			}
		}
		p++
	}
	return p
}

// scaled is the value × 10^shift as an integer.
func (d *decimal) scaled(shift int) (int64, bool) {
	if d.mant == 0 {
		return 0, true
	}
	e := d.exp + shift
	if e >= 0 {
		if e > 18 {
			return 0, false
		}
		hi, lo := bits.Mul64(d.mant, pow10[e])
		if d.next >= 5 {
			lo++
		}
		return int64(lo), hi == 0 && lo <= math.MaxInt64
	}
	if e < -19 {
		return 0, true
	}
	v := d.mant / pow10[-e]
	if d.mant-v*pow10[-e] >= pow10[-e]/2 {
		v++
	}
	return int64(v), v <= math.MaxInt64
}

// exponent reads the signed digits behind an e; end is -1 when there are none.
func exponent(b []byte, p int) (e, end int) {
	neg := false
	if p < len(b) && (b[p] == '-' || b[p] == '+') {
		neg = b[p] == '-'
		p++
	}
	start := p
	for p < len(b) && b[p]-'0' <= 9 {
		if e < 1<<20 {
			e = e*10 + int(b[p]-'0')
		}
		p++
	}
	if p == start {
		return 0, -1
	}
	if neg {
		e = -e
	}
	return e, p
}

// parseUint reads a whole token of decimal digits.
func parseUint(b []byte) (uint64, bool) {
	if len(b) == 0 || len(b) > 20 {
		return 0, false
	}
	var v uint64
	for _, c := range b {
		d := uint64(c - '0')
		if d > 9 || v > (math.MaxUint64-d)/10 {
			return 0, false
		}
		v = v*10 + d
	}
	return v, true
}

// parseID reads a flow id as text: decimal, or hexadecimal behind 0x.
func parseID(b []byte) (uint64, bool) {
	if len(b) < 3 || len(b) > 18 || b[0] != '0' || b[1]|0x20 != 'x' {
		return parseUint(b)
	}
	var v uint64
	for _, c := range b[2:] {
		switch {
		case c-'0' <= 9:
			v = v<<4 | uint64(c-'0')
		case (c|0x20)-'a' <= 5:
			v = v<<4 | uint64((c|0x20)-'a'+10)
		default:
			return 0, false
		}
	}
	return v, true
}
