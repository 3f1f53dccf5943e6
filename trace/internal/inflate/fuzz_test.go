package inflate

import (
	"bytes"
	"testing"
)

// FuzzAgainstFlate compares outcome and output with compress/gzip for
// arbitrary bytes, as a file and, so that the deflate decoder is reached every
// time, as a deflate stream with a gzip header in front. The relation is that
// of agree. Our own ways to read must agree exactly.
func FuzzAgainstFlate(f *testing.F) {
	for _, gz := range smallFiles(f) {
		f.Add(gz, true)
		f.Add(gz[fixedHeader:], false)
		f.Add(gz[:len(gz)*2/3], true)
		f.Add(append(bytes.Clone(gz), make([]byte, 20)...), true)
	}
	f.Add([]byte{0x03, 0x02, 0x00}, false)
	f.Add(compress(f, text(20<<10), 6), true)
	f.Add(compress(f, make([]byte, 200<<10), 9), true)

	direct, indirect := new(Reader), new(Reader)
	f.Fuzz(func(t *testing.T, input []byte, whole bool) {
		if !whole {
			input = append([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255}, input...)
		}
		got, err := drainReset(direct, bytes.NewReader(input), directSize)
		if err := agree(input, got, err); err != nil {
			t.Fatal(err)
		}

		small, smallErr := drainReset(indirect, &pieces{b: input}, 4099)
		if smallErr != err || !bytes.Equal(small, got) {
			t.Fatalf("read in pieces: %d bytes, error %v; at once: %d, %v", len(small), smallErr, len(got), err)
		}
	})
}
