package kineto

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// status is how far a parse step came.
type status uint8

const (
	good  status = iota
	short        // the text ends inside the thing
	bad          // the text breaks the grammar
)

// maxDepth bounds the nesting inside one value; the writers use four levels.
const maxDepth = 1024

const (
	charSpace  = 1 + iota // JSON white space
	charScalar            // part of a number or of a bare word
	charPoint             // comma and colon
)

var charClass = func() (t [256]uint8) {
	for _, c := range " \t\r\n" {
		t[c] = charSpace
	}
	t[','], t[':'] = charPoint, charPoint
	for c := '0'; c <= '9'; c++ {
		t[c] = charScalar
	}
	for c := 'a'; c <= 'z'; c++ {
		t[c], t[c-'a'+'A'] = charScalar, charScalar
	}
	for _, c := range "+-._" {
		t[c] = charScalar
	}
	return t
}()

func skipSpace(b []byte, p int) int {
	for p < len(b) && charClass[b[p]] == charSpace {
		p++
	}
	return p
}

// stringEnd returns the place of the quote that closes the string whose text
// starts at p, or -1. Raw control characters are let through: old writers leave
// line ends in names.
func stringEnd(b []byte, p int) int {
	for {
		i := bytes.IndexByte(b[p:], '"')
		if i < 0 {
			return -1
		}
		p += i
		n := 0
		for b[p-1-n] == '\\' {
			n++
		}
		if n&1 == 0 {
			return p
		}
		p++
	}
}

// scalarEnd returns the end of the number or bare word at p.
func scalarEnd(b []byte, p int) int {
	for p < len(b) && charClass[b[p]] == charScalar {
		p++
	}
	return p
}

// numberEnd returns the end of the number at p, or -1 when what stands there does
// not start like a number.
func numberEnd(b []byte, p int) int {
	if p+8 <= len(b) {
		// Short runs of digits are the rule; their length is found without a branch a digit.
		y := binary.LittleEndian.Uint64(b[p:]) ^ 0x3030303030303030
		if m := ((y + 0x7676767676767676) | y) & 0x8080808080808080; m != 0 {
			n := bits.TrailingZeros64(m) >> 3
			if n > 0 && charClass[b[p+n]] != charScalar {
				return p + n
			}
		}
	}
	e := scalarEnd(b, p)
	if !numeric(b[p:e]) {
		return -1
	}
	return e
}

// numeric says whether the scalar starts like a number.
func numeric(b []byte) bool {
	if len(b) > 1 && b[0] == '-' {
		b = b[1:]
	}
	return len(b) > 0 && b[0]-'0' <= 9
}

// word says whether b is a bare word that a JSON value may be, those included
// which C++ and Python writers print for floats.
func word(b []byte) bool {
	if len(b) > 0 && b[0] == '-' {
		b = b[1:]
	}
	switch string(b) {
	case "true", "false", "null", "inf", "nan", "NaN", "Infinity", "Inf", "None", "True", "False":
		return true
	}
	return false
}

// skipScalar passes over a number or word. A token that touches the end of the
// text may go on behind it.
func skipScalar(b []byte, p int) (int, status) {
	e := scalarEnd(b, p)
	if e == len(b) {
		return p, short
	}
	if !numeric(b[p:e]) && !word(b[p:e]) {
		return p, bad
	}
	return e, good
}

// skipBox passes over the object or array at p; nesting costs no stack. Brackets
// must match, and what stands behind a string must be fit to stand there, so that
// a stray quote is noticed where it is; nothing else inside matters to anyone.
func skipBox(b []byte, p int) (int, status) {
	var objects [maxDepth / 64]uint64
	depth := 0
	for p < len(b) {
		c := b[p]
		if charClass[c] != 0 {
			p++
			continue
		}
		switch c {
		case '"':
			e := stringEnd(b, p+1)
			if e < 0 {
				return p, short
			}
			if p = skipSpace(b, e+1); p == len(b) {
				return p, short
			}
			if c = b[p]; c != ',' && c != ':' && c != ']' && c != '}' {
				return p, bad
			}
		case '{', '[':
			if depth == maxDepth {
				return p, bad
			}
			set(&objects, depth, c == '{')
			depth++
			p++
		case '}', ']':
			depth--
			if isSet(&objects, depth) != (c == '}') {
				return p, bad
			}
			p++
			if depth == 0 {
				return p, good
			}
		default:
			return p, bad
		}
	}
	return p, short
}

func set(s *[maxDepth / 64]uint64, i int, on bool) {
	if on {
		s[i>>6] |= 1 << (i & 63)
	} else {
		s[i>>6] &^= 1 << (i & 63)
	}
}

func isSet(s *[maxDepth / 64]uint64, i int) bool { return s[i>>6]>>(i&63)&1 != 0 }

// afterItem checks that what follows a member of a box may follow it.
func afterItem(b []byte, p int) (int, status) {
	p = skipSpace(b, p)
	if p == len(b) {
		return p, short
	}
	if c := b[p]; c == ',' || c == '}' || c == ']' {
		return p, good
	}
	return p, bad
}

// key reads `"key":` at p and returns the key's raw text and the place of the value.
func key(b []byte, p int) (k []byte, at int, st status) {
	e := stringEnd(b, p+1)
	if e < 0 {
		return nil, p, short
	}
	q := skipSpace(b, e+1)
	if q == len(b) {
		return nil, p, short
	}
	if b[q] != ':' {
		return nil, q, bad
	}
	at = skipSpace(b, q+1)
	if at == len(b) {
		return nil, p, short
	}
	return b[p+1 : e], at, good
}

// skipValue passes over any value at p.
func skipValue(b []byte, p int) (int, status) {
	switch b[p] {
	case '{', '[':
		return skipBox(b, p)
	case '"':
		if e := stringEnd(b, p+1); e >= 0 {
			return e + 1, good
		}
		return p, short
	}
	return skipScalar(b, p)
}

func hasEscape(b []byte) bool { return bytes.IndexByte(b, '\\') >= 0 }

// text turns the raw bytes between two quotes into valid UTF-8 without escapes.
func text(raw []byte) string {
	if hasEscape(raw) {
		raw = appendUnescaped(make([]byte, 0, len(raw)), raw)
	}
	if utf8.Valid(raw) {
		return string(raw)
	}
	return string([]rune(string(raw)))
}

// appendUnescaped appends raw without its JSON escapes. What is no escape stays
// as it is: old writers left the backslashes of Windows paths bare.
func appendUnescaped(dst, raw []byte) []byte {
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 || i+1 == len(raw) {
			return append(dst, raw...)
		}
		dst = append(dst, raw[:i]...)
		c := raw[i+1]
		if c == 'u' {
			if r, n := escapedRune(raw[i:]); n > 0 {
				dst = utf8.AppendRune(dst, r)
				raw = raw[i+n:]
				continue
			}
		}
		if e := bytes.IndexByte([]byte(`"\/bfnrt`), c); e >= 0 {
			dst = append(dst, "\"\\/\b\f\n\r\t"[e])
		} else {
			dst = append(dst, '\\', c)
		}
		raw = raw[i+2:]
	}
}

// escapedRune reads the \uXXXX at the start of b, or a pair of them that makes
// one rune; n is 0 when it is none.
func escapedRune(b []byte) (r rune, n int) {
	hi, ok := hex4(b)
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(hi) {
		return hi, 6
	}
	if lo, ok := hex4(b[6:]); ok {
		if r := utf16.DecodeRune(hi, lo); r != utf8.RuneError {
			return r, 12
		}
	}
	return utf8.RuneError, 6
}

func hex4(b []byte) (rune, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range b[2:6] {
		switch {
		case c-'0' <= 9:
			r = r<<4 | rune(c-'0')
		case (c|0x20)-'a' <= 5:
			r = r<<4 | rune((c|0x20)-'a'+10)
		default:
			return 0, false
		}
	}
	return r, true
}
