package inflate

import (
	"bytes"
	stdflate "compress/flate"
	stdgzip "compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
)

// drain reads r to its end with buffers of the given size. Reading stops
// when nil errors with no data come too often.
func drain(r io.Reader, size int) ([]byte, error) {
	var out []byte
	buf := make([]byte, size)
	for empty := 0; empty < 10; {
		n, err := r.Read(buf)
		out = append(out, buf[:n]...)
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		if n == 0 {
			empty++
		}
	}
	return out, errors.New("no progress")
}

func drainOurs(r io.Reader, size int) ([]byte, error) {
	return drainReset(new(Reader), r, size)
}

// drainReset is drainOurs for many small inputs, with one Reader for all.
func drainReset(z *Reader, r io.Reader, size int) ([]byte, error) {
	if err := z.Reset(r); err != nil {
		return nil, err
	}
	return drain(z, size)
}

// stdReaders keeps the many small comparisons from allocating.
var stdReaders = sync.Pool{New: func() any { return new(stdgzip.Reader) }}

func drainStd(r io.Reader) ([]byte, error) {
	z := stdReaders.Get().(*stdgzip.Reader)
	defer stdReaders.Put(z)
	if err := z.Reset(r); err != nil {
		return nil, err
	}
	return drain(z, 8<<10)
}

// class names the kind of an error of either implementation.
func class(err error) string {
	var std stdflate.CorruptInputError
	var ours ErrCorrupt
	switch {
	case err == nil:
		return "none"
	case err == io.EOF:
		return "empty"
	case err == io.ErrUnexpectedEOF:
		return "truncated"
	case err == ErrHeader, err == stdgzip.ErrHeader:
		return "header"
	case err == ErrChecksum, err == stdgzip.ErrChecksum:
		return "checksum"
	case errors.As(err, &std), errors.As(err, &ours):
		return "corrupt"
	}
	return err.Error()
}

// agree checks what our reader made of input against what compress/gzip makes
// of it. The outcome must be the same, with three stated differences:
//
//   - where compress/gzip fails, we may deliver more data before the error: it
//     does not decode a symbol unless the bits of an end-of-block symbol are
//     there, so it gives up a little earlier on a truncated stream;
//   - for the same reason we may find such a stream corrupt rather than
//     truncated;
//   - zero padding after the last member is no error for us.
func agree(input, got []byte, gotErr error) error {
	want, wantErr := drainStd(bytes.NewReader(input))
	g, w := class(gotErr), class(wantErr)
	switch {
	case w == "truncated" && g == "corrupt":
	case g == "none" && w != "none":
		if !paddedWithZeros(input, got) {
			return fmt.Errorf("no error, compress/gzip: %v", wantErr)
		}
	case g != w:
		return fmt.Errorf("error %v, compress/gzip: %v", gotErr, wantErr)
	}
	truncated := w == "truncated" || w == "corrupt"
	if !bytes.Equal(got, want) && !(truncated && bytes.HasPrefix(got, want)) {
		return fmt.Errorf("%d bytes differ from the %d of compress/gzip (errors %v, %v)", len(got), len(want), gotErr, wantErr)
	}
	return nil
}

// paddedWithZeros reports whether input is good gzip members with the given
// data, according to compress/gzip, followed by nothing but zeros.
func paddedWithZeros(input, data []byte) bool {
	rest := bytes.NewReader(input) // an io.ByteReader: left right after a member
	var want []byte
	z := new(stdgzip.Reader)
	for z.Reset(rest) == nil {
		z.Multistream(false)
		member, err := drain(z, 8<<10)
		if err != nil {
			return false
		}
		want = append(want, member...)
		tail := input[len(input)-rest.Len():]
		if len(tail) > 0 && len(bytes.Trim(tail, "\x00")) == 0 {
			return bytes.Equal(want, data)
		}
	}
	return false
}

// stdWriters are the writers of compress, by level: a new one costs more than
// most of the files it is for.
var stdWriters = map[int]*stdgzip.Writer{}

// compress makes a single-member gzip file.
func compress(t testing.TB, data []byte, level int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := stdWriters[level]
	if w == nil {
		var err error
		if w, err = stdgzip.NewWriterLevel(&b, level); err != nil {
			t.Fatal(err)
		}
		stdWriters[level] = w
	}
	w.Reset(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// wrap puts a gzip frame with a wrong trailer around a deflate stream.
func wrap(deflate []byte) []byte {
	b := append([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255}, deflate...)
	return append(b, "trailer!"...)
}

// Kinds of test data.

func noise(n int) []byte {
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// skewed bytes have a distribution so steep that codes reach 15 bits and the
// sub-tables are used.
func skewed(n int) []byte {
	rng := rand.New(rand.NewPCG(2, uint64(n)))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(min(255, rng.ExpFloat64()*14))
	}
	return b
}

// text has matches at all distances and lengths.
func text(n int) []byte {
	rng := rand.New(rand.NewPCG(3, 3))
	b := make([]byte, 0, n+300)
	for len(b) < n {
		switch k := rng.IntN(10); {
		case k < 3 && len(b) > 10:
			back := 1 + rng.IntN(min(len(b), 40<<10))
			length := 3 + rng.IntN(300)
			for range length {
				b = append(b, b[len(b)-back])
			}
		case k < 4:
			b = append(b, bytes.Repeat([]byte{byte(rng.IntN(256))}, rng.IntN(20))...)
		default:
			b = fmt.Appendf(b, `{"ph":"X","ts":%d},`, rng.IntN(1e9))
		}
	}
	return b[:n]
}
