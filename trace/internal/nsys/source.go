package nsys

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"syscall"

	"tokprof/trace/internal/nsys/database"
)

// Options set how an export is read.
type Options struct {
	// Hash asks for Export.SHA256.
	Hash bool
	// Progress is told the bytes read so far, as stored; for a database they
	// are what the rows read so far stand for.
	Progress func(read int64)
	// TempDir is where compressed databases are unpacked, "" for the system's.
	TempDir string

	temporary bool  // remove the database as soon as it is open
	chunk     int64 // rows a connection reads at a time; tests make it small
}

// Database is how the database among the forms is opened.
func (o Options) Database() database.Options {
	return database.Options{Progress: o.Progress, Temporary: o.temporary, Chunk: o.chunk}
}

// Source is an export's bytes as stored.
type Source struct {
	R    io.Reader // read from its current place to its end, once
	Path string    // of the same file, "" when R is a stream
}

// Read reads an export of any form. The error is a *FormatError when nothing
// in it can be used, the context's, or that of the first read.
func Read(ctx context.Context, src Source, o Options, sink Sink) (*Export, error) {
	return ByForm(ctx, src, o, Readers{
		SQLite: func(path string, o Options) (*Export, error) { return readSQLite(ctx, path, o, sink) },
		Lines:  func(text *bufio.Reader) (*Export, error) { return readLines(ctx, text, sink) },
		Tables: func(text *bufio.Reader) (*Export, error) { return readStats(ctx, text, sink) },
	})
}

// Readers are what reads each form: a database by its path, the others as a
// stream of text.
type Readers struct {
	SQLite        func(path string, o Options) (*Export, error)
	Lines, Tables func(*bufio.Reader) (*Export, error)
}

// ByForm unpacks a source and gives it to the reader of its form.
func ByForm(ctx context.Context, src Source, o Options, r Readers) (*Export, error) {
	x, err := byForm(ctx, src, o, r)
	if e := (*database.Error)(nil); errors.As(err, &e) {
		err = (*FormatError)(e)
	}
	return x, err
}

func byForm(ctx context.Context, src Source, o Options, r Readers) (*Export, error) {
	in := &input{r: src.R, progress: o.Progress}
	if o.Hash {
		in.sum = sha256.New()
	}
	text, zipped, err := in.open()
	if err != nil {
		return nil, err
	}
	head, _ := text.Peek(headLen)
	var x *Export
	switch form := Detect(head); {
	case form == SQLite && !zipped && src.Path != "":
		// The engine reads the file itself, and tells how far it is.
		in.progress = nil
		hashing, stop := context.WithCancel(ctx)
		defer stop()
		hashed := make(chan string, 1)
		go func() { hashed <- in.digest(hashing) }()
		if x, err = r.SQLite(src.Path, o); err != nil {
			stop()
		}
		if h := <-hashed; err == nil {
			x.SHA256 = h
		}
		return x, err
	case form == SQLite:
		x, err = unpacked(ctx, text, o, r.SQLite)
	case form == JSONLines:
		x, err = r.Lines(text)
	case form == Tables:
		x, err = r.Tables(text)
	default:
		err = &FormatError{"is no Nsight Systems export", database.HintExport}
	}
	if err != nil {
		return nil, err
	}
	if zipped {
		x.Format += ".gz"
	}
	x.SHA256 = in.digest(ctx)
	x.FileBytes = in.n
	return x, ctx.Err()
}

// headLen is how much of the text says what it is.
const headLen = 4096

// input counts and hashes the bytes as stored.
type input struct {
	r        io.Reader
	n, told  int64
	sum      hash.Hash
	progress func(int64)
}

func (in *input) Read(p []byte) (int, error) {
	n, err := in.r.Read(p)
	in.n += int64(n)
	if in.sum != nil {
		in.sum.Write(p[:n])
	}
	if in.progress != nil && in.n-in.told >= 1<<20 {
		in.told = in.n
		in.progress(in.n)
	}
	return n, err
}

// digest reads what is left and returns the hash of the whole, "" when none is
// asked for or the file breaks.
func (in *input) digest(ctx context.Context) string {
	if in.sum == nil {
		return ""
	}
	if _, err := io.Copy(io.Discard, Patient(ctx, in)); err != nil {
		return ""
	}
	return hex.EncodeToString(in.sum.Sum(nil))
}

// open unpacks gzip.
func (in *input) open() (text *bufio.Reader, zipped bool, err error) {
	raw := bufio.NewReaderSize(in, 1<<18)
	head, err := raw.Peek(4)
	switch {
	case len(head) == 0 && (err == nil || errors.Is(err, io.EOF)):
		return nil, false, &FormatError{"is empty (0 bytes)", "nsys has not written it yet, or the copy failed"}
	case len(head) == 0:
		return nil, false, err
	case string(head) == "\x28\xb5\x2f\xfd":
		return nil, false, &FormatError{"is an Nsight Systems export under zstd", "unpack it with zstd -d; exports are read plain or under gzip"}
	case !bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return raw, false, nil
	}
	z, err := gzip.NewReader(raw)
	if err != nil {
		return nil, false, &FormatError{"is a gzip file that breaks in its header", "it is still being written, or the copy was cut off"}
	}
	return bufio.NewReaderSize(z, 1<<18), true, nil
}

// Patient reads r until the context ends.
func Patient(ctx context.Context, r io.Reader) io.Reader { return &patient{ctx, r} }

type patient struct {
	ctx context.Context
	r   io.Reader
}

func (p *patient) Read(b []byte) (int, error) {
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	return p.r.Read(b)
}

// broken words why a text ended before its end.
func broken(err error) string {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "the gzip stream ends early"
	case errors.Is(err, gzip.ErrChecksum):
		return "the checksum of the gzip stream does not match"
	case errors.Is(err, gzip.ErrHeader):
		return "bytes behind the gzip stream are no gzip"
	}
	var pe *os.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return "reading failed: " + err.Error()
}

// maxUnpacked bounds what a compressed database may unpack to.
const maxUnpacked = 64 << 30

// unpacked reads a database that is compressed or comes as a stream, by way of
// a temporary file: pages point anywhere. The file is private to the user and
// gone before rows are read where the system allows it, since a database
// holds the environment of what was profiled.
func unpacked(ctx context.Context, text io.Reader, o Options, read func(path string, o Options) (*Export, error)) (*Export, error) {
	f, err := os.CreateTemp(o.TempDir, "tokprof-*.sqlite")
	if err != nil {
		return nil, &FormatError{"must be unpacked, and no temporary file can be made", "set TMPDIR to a directory that can be written"}
	}
	defer func() { _ = os.Remove(f.Name()) }()
	n, cut, err := copySparse(f, Patient(ctx, text))
	if e := f.Close(); err == nil {
		err = e
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, syscall.ENOSPC):
		return nil, &FormatError{"must be unpacked, and the temporary directory is full", "set TMPDIR to a directory with more room, or unpack it yourself"}
	case err != nil:
		return nil, err
	case n >= maxUnpacked:
		return nil, &FormatError{fmt.Sprintf("unpacks to more than %d GiB", maxUnpacked>>30), "unpack it yourself and give the database"}
	}
	o.temporary = true
	x, err := read(f.Name(), o)
	if err != nil {
		return nil, err
	}
	x.RawBytes = n
	if cut != nil {
		why := broken(cut)
		if errors.Is(cut, gzip.ErrChecksum) || errors.Is(cut, gzip.ErrHeader) {
			x.note(n, why)
		}
		if !errors.Is(cut, gzip.ErrHeader) {
			x.Truncated, x.TruncatedAt, x.TruncatedBy = true, n, why
		}
	}
	return x, nil
}

// copySparse writes r to f, leaving out stretches of zeros, and returns how
// long the text is and why it ended early.
func copySparse(f *os.File, r io.Reader) (n int64, cut, err error) {
	buf := make([]byte, 1<<16)
	for n < maxUnpacked {
		k, end := fill(r, buf)
		if len(bytes.Trim(buf[:k], "\x00")) > 0 {
			if _, err := f.WriteAt(buf[:k], n); err != nil {
				return n, nil, err
			}
		}
		n += int64(k)
		if end != nil {
			if end != io.EOF {
				cut = end
			}
			break
		}
	}
	return n, cut, f.Truncate(n)
}

// fill reads until buf is full; its error is the reader's own.
func fill(r io.Reader, buf []byte) (n int, err error) {
	for n < len(buf) && err == nil {
		var k int
		k, err = r.Read(buf[n:])
		n += k
	}
	return n, err
}
