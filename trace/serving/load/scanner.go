package load

import (
	"bytes"
	"math"
	"strings"
)

// scanner walks JSON bytes and picks the few values that a chunk needs. Whatever
// it does not surely understand sets doubt, and the chunk is then decoded in full.
type scanner struct {
	b     []byte
	i     int
	doubt bool
}

// peek is the next byte that is no white space, 0 at the end and in doubt.
func (s *scanner) peek() byte {
	for s.i < len(s.b) && (s.b[s.i] == ' ' || s.b[s.i] == '\n' || s.b[s.i] == '\r' || s.b[s.i] == '\t') {
		s.i++
	}
	if s.doubt || s.i >= len(s.b) {
		return 0
	}
	return s.b[s.i]
}

// take passes over c, or doubts.
func (s *scanner) take(c byte) bool {
	if s.peek() != c || s.doubt {
		s.doubt = true
		return false
	}
	s.i++
	return true
}

// member is the next key of an object, after { or after a value; its value is next.
func (s *scanner) member(before byte) (key []byte, more bool) {
	if before == '{' {
		if !s.take('{') {
			return nil, false
		}
		if s.peek() == '}' {
			s.i++
			return nil, false
		}
	} else if s.peek() == '}' {
		s.i++
		return nil, false
	} else if !s.take(',') {
		return nil, false
	}
	key, plain := s.str()
	s.doubt = s.doubt || !plain
	return key, s.take(':')
}

// element says whether an array has another element, after [ or after a value.
func (s *scanner) element(before byte) bool {
	if before == '[' {
		if !s.take('[') {
			return false
		}
		if s.peek() == ']' {
			s.i++
			return false
		}
		return true
	}
	if s.peek() == ']' {
		s.i++
		return false
	}
	return s.take(',')
}

// null passes over null, if that is next.
func (s *scanner) null() bool {
	if s.peek() != 'n' || !bytes.HasPrefix(s.b[s.i:], []byte("null")) {
		return false
	}
	s.i += len("null")
	return true
}

// str is the string that is next, as it stands between its quotes; plain says that
// it stands for itself: ASCII without escapes.
func (s *scanner) str() (v []byte, plain bool) {
	if !s.take('"') {
		return nil, false
	}
	from := s.i
	plain = true
	for i := from; i < len(s.b); i++ {
		switch c := s.b[i]; {
		case c == '"':
			s.i = i + 1
			return s.b[from:i], plain
		case c == '\\':
			i++
			if plain = false; i >= len(s.b) || !s.escape(i) {
				s.doubt = true
				return nil, false
			}
		case c < ' ':
			s.doubt = true
			return nil, false
		case c >= 0x80:
			plain = false
		}
	}
	s.doubt = true
	return nil, false
}

// escape says whether the byte behind a backslash begins a valid escape.
func (s *scanner) escape(i int) bool {
	if s.b[i] != 'u' {
		return bytes.IndexByte([]byte(`"\/bfnrt`), s.b[i]) >= 0
	}
	if i+4 >= len(s.b) {
		return false
	}
	for _, c := range s.b[i+1 : i+5] {
		if !(c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f') {
			return false
		}
	}
	return true
}

// plain is a string that stands for itself, nothing for null.
func (s *scanner) plain() []byte {
	if s.null() {
		return nil
	}
	v, plain := s.str()
	s.doubt = s.doubt || !plain
	return v
}

// some says whether a string has any text; null has none.
func (s *scanner) some() bool {
	if s.null() {
		return false
	}
	v, _ := s.str()
	return len(v) > 0
}

// count is a number of tokens, 0 for null.
func (s *scanner) count() int {
	if s.null() {
		return 0
	}
	s.peek()
	n, from := 0, s.i
	for s.i < len(s.b) && s.digit() && n < math.MaxInt32 {
		n = n*10 + int(s.b[s.i]-'0')
		s.i++
	}
	if s.i == from || n >= math.MaxInt32 || s.b[from] == '0' && s.i > from+1 {
		s.doubt = true
	}
	return n
}

func (s *scanner) digit() bool { return s.i < len(s.b) && s.b[s.i] >= '0' && s.b[s.i] <= '9' }

// digits passes over one digit or more, or doubts.
func (s *scanner) digits() {
	if !s.digit() {
		s.doubt = true
	}
	for s.digit() {
		s.i++
	}
}

// number passes over any number (RFC 8259 §6).
func (s *scanner) number() {
	at := func(c string) bool { return s.i < len(s.b) && strings.IndexByte(c, s.b[s.i]) >= 0 }
	if at("-") {
		s.i++
	}
	if at("0") {
		s.i++
	} else {
		s.digits()
	}
	if at(".") {
		s.i++
		s.digits()
	}
	if at("eE") {
		s.i++
		if at("+-") {
			s.i++
		}
		s.digits()
	}
}

// maxDepth is how deep chunks nest at most; deeper ones are decoded in full.
const maxDepth = 32

// skip passes over any value.
func (s *scanner) skip(depth int) {
	if depth > maxDepth {
		s.doubt = true
		return
	}
	switch c := s.peek(); {
	case c == '"':
		s.str()
	case c == '{':
		for _, more := s.member('{'); more; _, more = s.member(',') {
			s.skip(depth + 1)
		}
	case c == '[':
		for more := s.element('['); more; more = s.element(',') {
			s.skip(depth + 1)
		}
	case c == '-' || c >= '0' && c <= '9':
		s.number()
	default:
		for _, word := range [...]string{"null", "true", "false"} {
			if bytes.HasPrefix(s.b[s.i:], []byte(word)) {
				s.i += len(word)
				return
			}
		}
		s.doubt = true
	}
}
