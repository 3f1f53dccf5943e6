package inflate

import (
	"io"
)

const (
	// pieceSize is how much compressed input is asked for at a time. The file
	// is never held whole: memory stays flat however large the trace is.
	pieceSize = 256 << 10

	// lookahead is how many input bytes are made available before a block
	// header is parsed. The largest dynamic header (RFC 1951 section 3.2.7) is
	// 3+14+19*3+316*14 bits, under 600 bytes, so a header never has to be
	// suspended half way for more input.
	lookahead = 1 << 10

	// maxEmptyReads bounds how often a reader may return no data and no error.
	maxEmptyReads = 100
)

// source is the compressed input: a window of bytes that moves over the
// underlying reader, and the bit accumulator in front of it.
//
// Bits are taken from acc lowest first (RFC 1951 section 3.1.1). acc holds
// the nbits bits that precede buf[pos]; above them it is zero.
type source struct {
	r     io.Reader
	buf   []byte
	pos   int   // next byte of buf to move into acc
	end   int   // buf[:end] is valid
	off   int64 // offset of buf[0] in the compressed stream
	err   error // why no more input can be read; sticky
	acc   uint64
	nbits uint
}

func (s *source) reset(r io.Reader) {
	buf := s.buf
	if buf == nil {
		buf = make([]byte, lookahead+pieceSize)
	}
	*s = source{r: r, buf: buf}
}

// offset is the position in the compressed stream of the next unused byte.
func (s *source) offset() int64 {
	return s.off + int64(s.pos) - int64(s.nbits>>3)
}

// ensure makes at least n bytes available after pos, n ≤ lookahead. It
// reports false if the input ends or fails before that; what there is stays
// usable and s.err says why.
func (s *source) ensure(n int) bool {
	if s.end-s.pos >= n {
		return true
	}
	return s.read(n)
}

// read is the slow half of ensure.
func (s *source) read(n int) bool {
	if s.err != nil {
		return false
	}
	s.off += int64(s.pos)
	s.end = copy(s.buf, s.buf[s.pos:s.end])
	s.pos = 0
	for empty := 0; s.end < n; {
		m, err := s.r.Read(s.buf[s.end:min(s.end+pieceSize, len(s.buf))])
		s.end += m
		if err != nil {
			s.err = err
			break
		}
		if m > 0 {
			empty = 0
		} else if empty++; empty >= maxEmptyReads {
			s.err = io.ErrNoProgress
			break
		}
	}
	return s.end >= n
}

// exhausted is the error for a stream that needs more input than there is.
func (s *source) exhausted() error {
	if s.err == nil || s.err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return s.err
}

// need brings the accumulator to at least n ≤ 57 bits from the bytes already
// available, or reports false.
func (s *source) need(n uint) bool {
	for s.nbits < n {
		if s.pos >= s.end {
			return false
		}
		s.acc |= uint64(s.buf[s.pos]) << (s.nbits & 63)
		s.pos++
		s.nbits += 8
	}
	return true
}

// take removes the low n bits from the accumulator, which must hold them.
func (s *source) take(n uint) uint {
	v := s.acc & (1<<(n&63) - 1)
	s.acc >>= n & 63
	s.nbits -= n
	return uint(v)
}

// giveBack returns whole bytes of the accumulator to the buffer, leaving
// fewer than 8 bits.
func (s *source) giveBack() {
	s.pos -= int(s.nbits >> 3)
	s.nbits &= 7
	s.acc &= 1<<s.nbits - 1
}

// align drops the rest of the current byte (RFC 1951 section 3.2.4).
func (s *source) align() {
	s.giveBack()
	s.acc, s.nbits = 0, 0
}

// readFull fills p from the byte-aligned input with the errors of
// io.ReadFull: io.EOF only if nothing was read.
func (s *source) readFull(p []byte) error {
	got := 0
	for got < len(p) {
		if !s.ensure(1) {
			if got > 0 && s.err == io.EOF {
				return io.ErrUnexpectedEOF
			}
			return s.err
		}
		m := copy(p[got:], s.buf[s.pos:s.end])
		s.pos += m
		got += m
	}
	return nil
}
