package kineto

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"

	"tokprof/trace/internal/inflate"
)

// Source is one trace file's bytes as stored: JSON, or JSON under gzip or zstd.
type Source struct {
	Name string      // for the caller's messages only
	R    io.Reader   // read from its current place to its end, once
	Size int64       // compressed bytes, -1 when unknown
	At   io.ReaderAt // nil when not seekable; not needed to read
}

// Options sets how a Source is read. The zero value is right for most uses.
type Options struct {
	// Workers is how many goroutines parse; 0 is GOMAXPROCS up to 8, 1 is one goroutine
	// for reading, decompressing and parsing in turn.
	Workers int
	// Args names keys of args whose values are kept as raw JSON text, at most 32.
	Args []string
	// Hash asks for File.SHA256.
	Hash bool
	// Progress is told the compressed bytes read so far, about every MiB, from
	// one goroutine at a time.
	Progress func(read int64)
	// Discard parses all and stores nothing: File.Blocks stays empty.
	Discard bool
	// General does without templates, for tests.
	General bool
	// MaxRaw bounds the decompressed bytes; 0 is 1 TiB. Text beyond is cut off.
	MaxRaw int64

	chunk int   // bytes a piece of text has; tests make it small
	gap   int64 // bytes without an event before reading stops; tests make it small
	event int   // bytes of the longest event; tests make it small
}

const (
	defaultChunk  = 1 << 20
	defaultMaxRaw = 1 << 40
	// enoughWorkers keep up with what one of them at a time can read.
	enoughWorkers = 8
	// lookBack holds the length of the text, the end of a gzip trailer, and
	// behind it as many bytes as are too few for a further member's header.
	lookBack = 4 + 9
)

func (o *Options) setDefaults() {
	if o.Workers <= 0 {
		o.Workers = min(runtime.GOMAXPROCS(0), enoughWorkers)
	}
	o.MaxRaw = cmp.Or(o.MaxRaw, defaultMaxRaw)
	o.chunk = cmp.Or(o.chunk, defaultChunk)
	o.gap = cmp.Or(o.gap, maxGap)
	o.event = cmp.Or(o.event, maxEvent)
}

// input is a Source being read: it decompresses, counts and hashes.
type input struct {
	src      Source
	head     []byte // read for the magic and not handed out yet
	n        int64  // compressed bytes read
	last     []byte // the last of them, for looking back at a gzip trailer
	told     int64
	sum      hash.Hash
	progress func(int64)

	format string
	text   io.Reader
	close  func()
}

// open looks at the magic. Its error is about the compressed form only.
func open(src Source, opt *Options) (*input, error) {
	in := &input{src: src, progress: opt.Progress, close: func() {}}
	if opt.Hash {
		in.sum = sha256.New()
	}
	head := make([]byte, 4)
	n, err := io.ReadFull(src.R, head)
	if err != nil && err != io.EOF && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	in.head = head[:n]
	if n == 0 {
		return nil, &FormatError{What: "is empty (0 bytes)", Hint: "the profiler has not written it yet, or the copy failed"}
	}
	switch string(head) {
	case "\x28\xb5\x2f\xfd":
		in.format = "json.zst"
		d, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(1<<30))
		if err != nil {
			return nil, err
		}
		in.text, in.close = d, d.Close
		return in, nil
	}
	if n >= 2 && head[0] == 0x1f && head[1] == 0x8b {
		in.format = "json.gz"
		if in.text, err = gunzip(in); err != nil {
			return nil, &FormatError{What: "is a gzip file that breaks in its header", Hint: "it is still being written, or the copy was cut off"}
		}
		return in, nil
	}
	in.format, in.text = "json", in
	return in, nil
}

// gunzip is the one place that knows who decompresses gzip.
func gunzip(r io.Reader) (io.Reader, error) {
	return inflate.NewReader(r)
}

// Read hands out compressed bytes.
func (in *input) Read(p []byte) (n int, err error) {
	if len(in.head) > 0 {
		n = copy(p, in.head)
		in.head = in.head[n:]
	} else {
		n, err = in.src.R.Read(p)
	}
	in.n += int64(n)
	in.last = append(in.last, p[max(0, n-lookBack):n]...)
	in.last = append(in.last[:0], in.last[max(0, len(in.last)-lookBack):]...)
	if in.sum != nil {
		in.sum.Write(p[:n])
	}
	if in.progress != nil && (in.n-in.told >= 1<<20 || err == io.EOF) {
		in.told = in.n
		in.progress(in.n)
	}
	return n, err
}

// finish completes the hash and the byte count. A reading that was given up has
// no hash: what is left may have no end.
func (in *input) finish(f *File, givenUp bool) {
	if in.sum != nil && !givenUp {
		_, _ = io.Copy(io.Discard, in) // a read error has been met and told before
		f.SHA256 = hex.EncodeToString(in.sum.Sum(nil))
	}
	in.close()
	f.Format, f.FileBytes = in.format, in.n
}

// explain words a read error for File; raw is how many bytes of text came, and
// whole that its last bracket was among them. ok says that all of the text came
// and only a check behind it failed.
func (in *input) explain(err error, raw int64, whole bool) (what string, ok bool) {
	form := map[string]string{"json.gz": "gzip", "json.zst": "zstd"}[in.format]
	cut := form != "" && errors.Is(err, io.ErrUnexpectedEOF)
	switch {
	case err == errLimit:
		return err.Error(), false
	case checksumFailed(err):
		return "the checksum of the " + form + " stream does not match", true
	case errors.Is(err, inflate.ErrHeader), cut && whole && form == "gzip" && in.trailed(raw),
		errors.Is(err, zstd.ErrMagicMismatch):
		return "bytes behind the " + form + " stream are no " + form, true
	case cut && whole && form == "gzip":
		return "the gzip trailer is missing: its checksum could not be checked", true
	case cut:
		return "the " + form + " stream ends early", false
	case form != "":
		return "the " + form + " stream is corrupt: " + err.Error(), false
	}
	return "reading failed: " + err.Error(), false
}

func checksumFailed(err error) bool {
	return errors.Is(err, inflate.ErrChecksum) || errors.Is(err, zstd.ErrCRCMismatch)
}

// trailed says whether a gzip stream that seems to be cut has its trailer, told by
// the length of the text in it, and a few bytes behind that.
func (in *input) trailed(raw int64) bool {
	for n := len(in.last) - 1; n >= 4; n-- {
		if binary.LittleEndian.Uint32(in.last[n-4:]) == uint32(raw) {
			return true
		}
	}
	return false
}

// piece is a stretch of the text on its way through a worker.
type piece struct {
	seq   int
	base  int64
	buf   []byte
	n     int
	clean bool // starts between two events, as far as the layout tells
	batch batch
	used  int
	ended bool // the array's bracket was met
}

// cutter reads the text and cuts it into pieces in front of events. Whichever
// worker wants a piece reads and decompresses it itself, one at a time, so that
// its bytes are in that core's cache when they are parsed.
type cutter struct {
	ctx   context.Context
	mu    sync.Mutex
	in    *input
	lay   layout
	tail  []byte // read, and belongs to the next piece
	off   int64
	limit int64
	seq   int
	clean bool
	done  bool
	err   error // why the text ended, nil at its proper end
	stop  atomic.Bool
}

var (
	errLimit = errors.New("the limit on decompressed bytes is reached")
	errGap   = errors.New("256 MiB passed without an event")
)

// next fills p with the next piece; false is the end of the text.
func (c *cutter) next(p *piece) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done || c.stop.Load() {
		return false
	}
	n := copy(p.buf, c.tail)
	// A decompressor may leave a little of the buffer free; that is not worth another call.
	for n <= len(p.buf)-len(p.buf)/16-1 && !c.done {
		if c.err = c.ctx.Err(); c.err != nil {
			c.done = true
			return false
		}
		k, err := c.in.text.Read(p.buf[n:])
		n += k
		if err != nil {
			c.done = true
			if err != io.EOF {
				c.err = err
			}
		}
	}
	if c.off+int64(n) >= c.limit && !c.done {
		c.done, c.err = true, errLimit
	}
	c.tail = c.tail[:0]
	p.base, p.clean, p.seq = c.off, c.clean, c.seq
	c.clean = false
	if !c.done {
		if cut := c.lay.lastStart(p.buf[:n]); cut > 0 {
			c.tail = append(c.tail, p.buf[cut:n]...)
			n = cut
			c.clean = true
		}
	}
	p.n = n
	c.off += int64(n)
	c.seq++
	return true
}

// Head decompresses the first bytes of a file, at most n, for telling what it is.
func Head(r io.Reader, n int) ([]byte, error) {
	in, err := open(Source{R: r, Size: -1}, &Options{})
	if err != nil {
		return nil, err
	}
	defer in.close()
	b := make([]byte, n)
	got, err := io.ReadFull(in.text, b)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return b[:got], err
}
