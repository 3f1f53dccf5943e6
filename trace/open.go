package trace

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"tokprof/trace/internal/kineto"
	"tokprof/trace/internal/nsys"
)

// Options say how to read.
type Options struct {
	Workers int // parse goroutines, 0 for one per CPU
	Hash    bool
	// NsysPath is the program that exports Nsight Systems reports, "" for the
	// nsys on PATH.
	NsysPath string
	// Progress is told the compressed bytes read so far of the file's size
	// (-1 when unknown), about every MiB.
	Progress func(read, size int64)
}

// Trace is one opened trace file, or one process of an Nsight Systems export.
// It is read-only and safe for concurrent use.
type Trace struct {
	Info Info

	// GraphRuns are executions of CUDA graphs that were recorded as a whole, by
	// start: their time is in no GPU event. Torch traces have none.
	GraphRuns []GraphRun
	// Series are values that the profiler sampled over time. Torch traces have
	// none.
	Series []Series

	file   *kineto.File
	base   Time
	tracks []Track
	gpu    []EventID // by start, then device, stream, file order
	joins  joins

	export bool             // of an Nsight Systems export
	origin map[int64]uint64 // of a graph node the node it was made from
}

// Error says that a file could not be read: what, where, and what to do.
type Error struct {
	Path   string
	Offset int64 // byte offset in the decompressed text, -1 when it has no place
	What   string
	Hint   string
	Err    error // the cause, when it is another error
}

func (e *Error) Error() string { return e.Path + " " + e.Reason() }

// Reason is the error without the path.
func (e *Error) Reason() string {
	s := e.What
	if e.Offset > 0 {
		s += " (at byte " + strconv.FormatInt(e.Offset, 10) + ")"
	}
	if e.Hint != "" {
		s += ": " + e.Hint
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// Open reads a trace file whole into columns; "-" is standard input. The
// error is an *Error, or the context's. An export of several processes is
// refused: OpenAll reads it.
func Open(ctx context.Context, path string, o Options) (*Trace, error) {
	all, err := OpenAll(ctx, path, o)
	if err != nil {
		return nil, err
	}
	if len(all) > 1 {
		return nil, &Error{Path: path, Offset: -1, What: "holds the traces of " + strconv.Itoa(len(all)) + " ranks", Hint: "take one of them"}
	}
	return all[0], nil
}

// OpenAll is Open for files that hold several traces: an Nsight Systems export
// of several processes is one trace for each that used a GPU, in the order of
// their GPUs, which is taken for their rank.
func OpenAll(ctx context.Context, path string, o Options) ([]*Trace, error) {
	if isReport(path) {
		return openReport(ctx, path, o)
	}
	src, closeFile, err := source(ctx, path)
	if err != nil {
		return nil, err
	}
	defer closeFile()
	if form := formOf(&src); form != nsys.NoExport {
		return openExport(ctx, path, src, o)
	}
	t, err := openTorch(ctx, path, src, o)
	if err != nil {
		return nil, err
	}
	return []*Trace{t}, nil
}

func openTorch(ctx context.Context, path string, src kineto.Source, o Options) (*Trace, error) {
	opt := kineto.Options{Workers: o.Workers, Hash: o.Hash, Args: shapeArgs}
	if o.Progress != nil {
		opt.Progress = func(n int64) { o.Progress(n, src.Size) }
	}
	f, err := kineto.Read(ctx, src, opt)
	if err != nil {
		return nil, readError(ctx, path, err)
	}
	return build(path, f), nil
}

func source(ctx context.Context, path string) (kineto.Source, func(), error) {
	if path == "-" {
		return kineto.Source{Name: "standard input", R: newInterruptible(ctx, os.Stdin), Size: -1}, func() {}, nil
	}
	st, err := os.Stat(path)
	if err != nil {
		return kineto.Source{}, nil, openError(path, err)
	}
	if st.IsDir() {
		return kineto.Source{}, nil, &Error{Path: path, Offset: -1, What: "is a directory", Hint: "name one file in it"}
	}
	if st.Mode().Type() == fs.ModeNamedPipe {
		return kineto.Source{Name: path, R: newInterruptible(ctx, &pipe{path: path}), Size: -1}, func() {}, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return kineto.Source{}, nil, openError(path, err)
	}
	src := kineto.Source{Name: path, R: f, Size: -1}
	if st.Mode().IsRegular() {
		src.Size, src.At = st.Size(), f
	}
	return src, func() { _ = f.Close() }, nil
}

func openError(path string, err error) error {
	e := &Error{Path: path, Offset: -1, Err: err}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.What, e.Hint = "does not exist", "check the path; vLLM writes its traces into the server's torch_profiler_dir"
	case errors.Is(err, fs.ErrPermission):
		e.What, e.Hint = "cannot be opened: permission denied", "the server may run as another user; copy the file or change its mode"
	default:
		e.What = "cannot be opened: " + cause(err)
	}
	return e
}

// cause is the system's reason without the operation and the path, which the
// sentence around it has.
func cause(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return err.Error()
}

func readError(ctx context.Context, path string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if path == "-" {
		path = BaseName(path)
	}
	var fe *kineto.FormatError
	if errors.As(err, &fe) {
		return &Error{Path: path, Offset: fe.Offset, What: fe.What, Hint: fe.Hint, Err: err}
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return &Error{Path: path, Offset: -1, What: "ends before its first event", Hint: "copy it again", Err: err}
	}
	return &Error{Path: path, Offset: -1, What: "cannot be read: " + cause(err), Err: err}
}

func build(path string, f *kineto.File) *Trace {
	t := &Trace{file: f, base: Time(f.BaseNS())}
	t.tracks = tracks(f)
	t.gpu = gpuOrder(t)
	t.joins = join(t)
	t.Info = info(path, t)
	return t
}

func tracks(f *kineto.File) []Track {
	label := map[[2]string]string{}
	for _, l := range f.Labels {
		if l.Kind == "thread_name" {
			label[[2]string{l.Pid, l.Tid}] = strings.TrimSpace(l.Name)
		}
	}
	out := make([]Track, len(f.Tracks))
	for i, tr := range f.Tracks {
		out[i] = Track{GPU: tr.GPU, Device: -1, Stream: -1, Pid: tr.Pid, Tid: tr.Tid, Label: label[[2]string{tr.Pid, tr.Tid}]}
		if tr.GPU {
			out[i].Device = int(ordinal(tr.Pid))
			out[i].Stream = ordinal(tr.Tid)
		}
	}
	return out
}

// ordinal reads a device or stream number; some writers put text around it
// ("GPU 3", "stream 7").
func ordinal(s string) int64 {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n
	}
	digits := strings.TrimLeft(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ _:-")
	end := 0
	for end < len(digits) && digits[end] >= '0' && digits[end] <= '9' {
		end++
	}
	n, err := strconv.ParseInt(digits[:end], 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// BaseName is a path's name without its directories, which stay on the machine.
func BaseName(path string) string {
	if path == "-" {
		return "standard input"
	}
	return filepath.Base(path)
}
