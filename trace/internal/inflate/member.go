package inflate

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
)

// Member header flags (RFC 1952 section 2.3.1). FTEXT and the reserved bits
// are ignored, as in compress/gzip.
const (
	flagHeaderCRC = 1 << 1
	flagExtra     = 1 << 2
	flagName      = 1 << 3
	flagComment   = 1 << 4
)

// fixedHeader is the size of the part that every member header has.
const fixedHeader = 10

// header reads a member header (RFC 1952 section 2.3) and prepares for the
// deflate stream after it. It returns io.EOF if there is nothing to read.
func (z *Reader) header() error {
	if err := z.dec.src.readFull(z.scratch[:fixedHeader]); err != nil {
		return err
	}
	return z.restOfHeader()
}

// restOfHeader goes on when the fixed part is in scratch.
func (z *Reader) restOfHeader() error {
	src := &z.dec.src
	fixed := z.scratch[:fixedHeader]
	if fixed[0] != 0x1f || fixed[1] != 0x8b || fixed[2] != 8 {
		return ErrHeader
	}
	flags := fixed[3]
	digest := crc32.ChecksumIEEE(fixed)
	if flags&flagExtra != 0 {
		if err := src.readFull(z.scratch[:2]); err != nil {
			return noEOF(err)
		}
		digest = crc32.Update(digest, crc32.IEEETable, z.scratch[:2])
		for left := int(binary.LittleEndian.Uint16(z.scratch[:2])); left > 0; {
			part := z.scratch[:min(left, len(z.scratch))]
			if err := src.readFull(part); err != nil {
				return noEOF(err)
			}
			digest = crc32.Update(digest, crc32.IEEETable, part)
			left -= len(part)
		}
	}
	for _, flag := range [...]byte{flagName, flagComment} {
		if flags&flag == 0 {
			continue
		}
		text, err := z.headerText()
		if err != nil {
			return err
		}
		digest = crc32.Update(digest, crc32.IEEETable, text)
	}
	if flags&flagHeaderCRC != 0 {
		if err := src.readFull(z.scratch[:2]); err != nil {
			return noEOF(err)
		}
		if binary.LittleEndian.Uint16(z.scratch[:2]) != uint16(digest) {
			return ErrHeader
		}
	}
	z.digest, z.size = 0, 0
	z.dec.restart()
	return nil
}

// headerText reads a zero-terminated name or comment, including the zero.
// compress/gzip takes at most 512 bytes; so does this.
func (z *Reader) headerText() ([]byte, error) {
	for i := range z.scratch {
		if err := z.dec.src.readFull(z.scratch[i : i+1]); err != nil {
			return nil, noEOF(err)
		}
		if z.scratch[i] == 0 {
			return z.scratch[:i+1], nil
		}
	}
	return nil, ErrHeader
}

// trailer checks the CRC-32 and size of a member (RFC 1952 section 2.3.1).
func (z *Reader) trailer() error {
	t := z.scratch[:8]
	if err := z.dec.src.readFull(t); err != nil {
		return noEOF(err)
	}
	if binary.LittleEndian.Uint32(t) != z.digest || binary.LittleEndian.Uint32(t[4:]) != z.size {
		return ErrChecksum
	}
	return nil
}

// followingHeader reads the header of the member after the first, or io.EOF
// if nothing but zero padding is left.
func (z *Reader) followingHeader() error {
	src := &z.dec.src
	if !src.ensure(1) {
		return src.err
	}
	if src.buf[src.pos] != 0 {
		return z.header()
	}
	// Not a header. What kind of end it is depends on whether only zeros
	// follow; if not, the error is that of compress/gzip.
	seen := 0
	for src.ensure(1) {
		rest := src.buf[src.pos:src.end]
		src.pos = src.end
		seen += len(rest)
		if len(bytes.TrimLeft(rest, "\x00")) == 0 {
			continue
		}
		if seen >= fixedHeader || src.ensure(fixedHeader-seen) {
			return ErrHeader
		}
		return noEOF(src.err)
	}
	return src.err
}

// noEOF turns an end of input in the middle of something into an error.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
