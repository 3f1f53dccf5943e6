package trace

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"
	"time"
)

func TestInterruptible(t *testing.T) {
	text := make([]byte, 3*streamChunk+17)
	g := rand.New(rand.NewPCG(1, 2))
	for i := range text {
		text[i] = byte(g.Uint32())
	}
	for name, r := range map[string]io.Reader{
		"whole": bytes.NewReader(text), "data with its end": iotest.DataErrReader(bytes.NewReader(text)), "halves": iotest.HalfReader(bytes.NewReader(text)),
	} {
		if got, err := io.ReadAll(newInterruptible(t.Context(), r)); err != nil || !bytes.Equal(got, text) {
			t.Errorf("%s: %d bytes, %v; want %d", name, len(got), err, len(text))
		}
	}
	broken := errors.New("broken")
	got, err := io.ReadAll(newInterruptible(t.Context(), io.MultiReader(bytes.NewReader(text[:9]), iotest.ErrReader(broken))))
	if !errors.Is(err, broken) || !bytes.Equal(got, text[:9]) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// TestInterruptibleBlocked expects an ended context to end a read of a stream
// whose writer has stopped.
func TestInterruptibleBlocked(t *testing.T) {
	r, w := io.Pipe()
	defer func() { _ = w.Close() }()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	if n, err := newInterruptible(ctx, r).Read(make([]byte, 8)); n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("%d bytes, %v", n, err)
	}
}
