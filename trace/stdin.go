package trace

import (
	"context"
	"io"
	"os"
)

// interruptible reads a stream that may block for ever, such as a pipe whose
// writer has stopped: an ended context ends a waiting Read, which leaves the
// stream's own read behind.
type interruptible struct {
	ctx    context.Context
	chunks <-chan chunk
	spare  chan<- []byte
	rest   []byte
	whole  []byte // that rest is the end of
	err    error
}

type chunk struct {
	text []byte
	err  error
}

// streamChunk is what is read at once: pipes give 64 KiB, files more.
const streamChunk = 1 << 20

func newInterruptible(ctx context.Context, r io.Reader) *interruptible {
	chunks, spare := make(chan chunk, 1), make(chan []byte, 2)
	spare <- make([]byte, streamChunk)
	spare <- make([]byte, streamChunk)
	go func() {
		defer close(chunks)
		for {
			var buf []byte
			select {
			case buf = <-spare:
			case <-ctx.Done():
				return
			}
			n, err := r.Read(buf[:streamChunk])
			select {
			case chunks <- chunk{buf[:n], err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return &interruptible{ctx: ctx, chunks: chunks, spare: spare}
}

func (s *interruptible) Read(p []byte) (int, error) {
	for len(s.rest) == 0 {
		if s.whole != nil {
			s.spare <- s.whole
			s.whole = nil
		}
		if s.err != nil {
			return 0, s.err
		}
		select {
		case c := <-s.chunks:
			s.rest, s.whole, s.err = c.text, c.text, c.err
		case <-s.ctx.Done():
			return 0, s.ctx.Err()
		}
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// pipe is a named pipe, opened by the first Read: opening waits for the writer, which
// may never come.
type pipe struct {
	path string
	f    *os.File
}

func (p *pipe) Read(b []byte) (n int, err error) {
	if p.f == nil {
		if p.f, err = os.Open(p.path); err != nil {
			return 0, err
		}
	}
	if n, err = p.f.Read(b); err != nil {
		_ = p.f.Close()
	}
	return n, err
}
