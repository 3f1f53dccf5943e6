package inflate

import (
	"bytes"
	stdgzip "compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

var levels = []int{stdgzip.HuffmanOnly, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9}

// TestLevels reads back every kind of data at every level, with buffers that
// take the direct and the indirect way.
func TestLevels(t *testing.T) {
	kinds := map[string][]byte{
		"empty":  nil,
		"one":    []byte("x"),
		"zeros":  make([]byte, 150<<10),
		"noise":  noise(80 << 10),
		"skewed": skewed(150 << 10),
		"text":   text(300 << 10),
	}
	z := new(Reader)
	for name, data := range kinds {
		for _, level := range levels {
			gz := compress(t, data, level)
			for _, size := range []int{100, directSize - 1, directSize, 512 << 10} {
				got, err := drainReset(z, bytes.NewReader(gz), size)
				if err != nil || !bytes.Equal(got, data) {
					t.Fatalf("%s, level %d, buffer %d: %d of %d bytes, error %v", name, level, size, len(got), len(data), err)
				}
			}
		}
	}
}

// TestSizes walks the sizes around the window, stored block and buffer
// boundaries.
func TestSizes(t *testing.T) {
	data := text(3 * blockSize)
	var sizes []int
	for n := range 300 {
		sizes = append(sizes, n)
	}
	for n := 300; n < 70000; n += 4999 {
		sizes = append(sizes, n)
	}
	for _, edge := range []int{windowSize, 65535, directSize, blockSize, 2 * blockSize} {
		for d := -2; d <= 2; d++ {
			sizes = append(sizes, edge+d, edge-outMargin+d, edge-maxMatch+d)
		}
	}
	z := new(Reader)
	for _, n := range sizes {
		for _, level := range []int{0, 6} {
			gz := compress(t, data[:n], level)
			for _, buf := range []int{32 << 10, directSize} {
				got, err := drainReset(z, bytes.NewReader(gz), buf)
				if err != nil || !bytes.Equal(got, data[:n]) {
					t.Fatalf("size %d, level %d, buffer %d: %d bytes, error %v", n, level, buf, len(got), err)
				}
			}
		}
	}
}

func TestOddBuffers(t *testing.T) {
	data := text(300 << 10)
	gz := compress(t, data, 6)
	for _, size := range []int{1, 2, 3, 7, 13, 1021, 65521, directSize + 1, directSize + 12345} {
		got, err := drainOurs(bytes.NewReader(gz), size)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("buffer %d: %d of %d bytes, error %v", size, len(got), len(data), err)
		}
	}
	// Sizes that change between reads mix the direct and the indirect way.
	z, err := NewReader(bytes.NewReader(gz))
	if err != nil {
		t.Fatal(err)
	}
	var got []byte
	for i := 0; err == nil; i++ {
		buf := make([]byte, []int{10, directSize, 5000, 2 * directSize, 0}[i%5])
		var n int
		n, err = z.Read(buf)
		got = append(got, buf[:n]...)
	}
	if err != io.EOF || !bytes.Equal(got, data) {
		t.Errorf("mixed buffers: %d of %d bytes, error %v", len(got), len(data), err)
	}
}

// TestShortReads uses readers that are within the io.Reader contract but not
// helpful.
func TestShortReads(t *testing.T) {
	data := append(text(100<<10), noise(100<<10)...)
	for _, level := range []int{0, 6} {
		gz := compress(t, data, level)
		gz = append(gz, gz...)
		want := append(data[:len(data):len(data)], data...)
		for name, r := range map[string]io.Reader{
			"one byte":   iotest.OneByteReader(bytes.NewReader(gz)),
			"half":       iotest.HalfReader(bytes.NewReader(gz)),
			"data error": iotest.DataErrReader(bytes.NewReader(gz)),
			"stutter":    &stutterer{r: bytes.NewReader(gz)},
		} {
			got, err := drainOurs(r, 512<<10)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("level %d, %s: %d of %d bytes, error %v", level, name, len(got), len(want), err)
			}
		}
	}
}

// stutterer returns no data and no error every other time.
type stutterer struct {
	r io.Reader
	n int
}

func (s *stutterer) Read(p []byte) (int, error) {
	if s.n++; s.n%2 == 1 {
		return 0, nil
	}
	return s.r.Read(p[:min(len(p), 1000)])
}

// TestReaderErrors: what came before an error of the underlying reader is
// delivered, then the error itself.
func TestReaderErrors(t *testing.T) {
	data := noise(100 << 10)
	gz := compress(t, data, 0)
	broken := errors.New("broken")
	if _, err := NewReader(iotest.ErrReader(broken)); err != broken {
		t.Errorf("at once: error %v", err)
	}
	for _, n := range []int{5, 10, 50000, len(gz) - 8, len(gz) - 1, len(gz)} {
		r := io.MultiReader(bytes.NewReader(gz[:n]), iotest.ErrReader(broken))
		got, err := drainOurs(r, 512<<10)
		if err != broken || len(got) < n-100 || !bytes.HasPrefix(data, got) {
			t.Errorf("after %d bytes: %d bytes, error %v", n, len(got), err)
		}
	}
	r := io.MultiReader(bytes.NewReader(gz[:1000]), neverReader{})
	if _, err := drainOurs(r, 512<<10); err != io.ErrNoProgress {
		t.Errorf("no progress: error %v", err)
	}
}

type neverReader struct{}

func (neverReader) Read([]byte) (int, error) { return 0, nil }

func TestMembers(t *testing.T) {
	var gz, want []byte
	for i := range 50 {
		data := text(i * i * 50)
		gz = append(gz, compress(t, data, levels[i%len(levels)])...)
		want = append(want, data...)
		if i%7 == 0 {
			gz = append(gz, compress(t, nil, 6)...)
		}
	}
	for _, size := range []int{1000, directSize, 1 << 20} {
		got, err := drainOurs(bytes.NewReader(gz), size)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("buffer %d: %d of %d bytes, error %v", size, len(got), len(want), err)
		}
	}
}

// TestMemberHistory: a match must not reach into the member before.
func TestMemberHistory(t *testing.T) {
	// Fixed block: length 3, distance 1, as the very first symbol.
	reach := wrap([]byte{0x03, 0x02, 0x00})
	gz := append(compress(t, text(1000), 6), reach...)
	got, err := drainOurs(bytes.NewReader(gz), directSize)
	if class(err) != "corrupt" || len(got) != 1000 {
		t.Errorf("%d bytes, error %v", len(got), err)
	}
	if err := agree(gz, got, err); err != nil {
		t.Error(err)
	}
}

func TestResetAndClose(t *testing.T) {
	z, err := NewReader(strings.NewReader(string(compress(t, text(1000), 6))))
	if err != nil {
		t.Fatal(err)
	}
	z.Read(make([]byte, 10)) // leaves data behind that must not show up again
	if err := z.Reset(bytes.NewReader(compress(t, []byte("second"), 6))); err != nil {
		t.Fatal(err)
	}
	if got, err := drain(z, 100); err != nil || string(got) != "second" {
		t.Errorf("after Reset: %q, error %v", got, err)
	}
	if err := z.Reset(strings.NewReader("not gzip at all")); err != ErrHeader {
		t.Errorf("Reset: error %v", err)
	}
	if _, err := z.Read(make([]byte, 10)); err != ErrHeader {
		t.Errorf("Read after failed Reset: error %v", err)
	}
	if err := z.Close(); err != nil {
		t.Error(err)
	}
	if n, err := z.Read(make([]byte, 10)); n != 0 || err == nil || err == io.EOF {
		t.Errorf("Read after Close: %d, %v", n, err)
	}
}

// TestAllocations: after the first stream, none.
func TestAllocations(t *testing.T) {
	gz := compress(t, text(1<<20), 6)
	src := bytes.NewReader(gz)
	z := new(Reader)
	for _, size := range []int{4096, 512 << 10} {
		buf := make([]byte, size)
		n := testing.AllocsPerRun(5, func() {
			src.Reset(gz)
			err := z.Reset(src)
			for err == nil {
				_, err = z.Read(buf)
			}
			if err != io.EOF {
				t.Fatal(err)
			}
		})
		if n != 0 {
			t.Errorf("buffer %d: %v allocations per stream", size, n)
		}
	}
}

func ExampleNewReader() {
	var file bytes.Buffer
	w := stdgzip.NewWriter(&file)
	fmt.Fprint(w, `{"traceEvents": []}`)
	w.Close()

	r, err := NewReader(&file)
	if err != nil {
		fmt.Println(err)
		return
	}
	text, err := io.ReadAll(r)
	fmt.Println(string(text), err)
	// Output: {"traceEvents": []} <nil>
}
