package trace

import (
	"context"
	"io"
	"maps"
	"os"
	"slices"

	"tokprof/trace/internal/kineto"
	"tokprof/trace/internal/nsys"
	"tokprof/trace/internal/nsys/scrub"
)

// Scrubbed says what a scrubbed copy of an export holds.
type Scrubbed struct {
	Info        Info     // of the original; Counts are the rows kept by table or kind of line
	Rows        int64    // kept
	Left        []string // tables, or kinds of lines, of which rows were left out
	Strings     int64    // of the table of strings: kept
	StringsLeft int64    // and left out
	Masked      int64    // texts kept in which a path, an address or a secret was masked
}

// Scrub writes a copy of the Nsight Systems export at path, of the same form
// and uncompressed, that is safe to hand on: the rows that tokprof reads, the
// strings that they use, and nothing of the environment, the host, its users,
// the command lines or what processes printed. "-" is standard input. The
// error is an *Error, the context's, or that of w.
func Scrub(ctx context.Context, path string, o Options, w io.Writer) (*Scrubbed, error) {
	if isReport(path) {
		if _, err := os.Stat(path); err != nil {
			return nil, openError(path, err)
		}
		return nil, &Error{Path: path, Offset: -1, What: "is an Nsight Systems report, which only nsys reads", Hint: "export it first: nsys export --type sqlite report.nsys-rep"}
	}
	src, closeFile, err := source(ctx, path)
	if err != nil {
		return nil, err
	}
	defer closeFile()
	if formOf(&src) == nsys.NoExport {
		return nil, notExport(path, src)
	}
	opt := nsys.Options{}
	if o.Progress != nil {
		opt.Progress = func(n int64) { o.Progress(n, src.Size) }
	}
	in := nsys.Source{R: src.R}
	if src.At != nil {
		in.Path = path
	}
	to := &sink{w: w}
	x, err := scrub.Scrub(ctx, in, opt, to)
	switch {
	case to.err != nil:
		return nil, to.err
	case err != nil:
		return nil, exportError(ctx, path, err)
	}
	out := &Scrubbed{Info: fileInfo(path, &x.Export), Left: slices.Sorted(maps.Keys(x.Left)), Strings: x.Strings, StringsLeft: x.StringsLeft, Masked: x.Masked}
	for _, n := range x.Counts {
		out.Rows += n
	}
	return out, nil
}

// sink keeps the error of a writer apart from those of the reader.
type sink struct {
	w   io.Writer
	err error
}

func (s *sink) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	if err != nil {
		s.err = err
	}
	return n, err
}

// notExport says what a file is that cannot be scrubbed.
func notExport(path string, src kineto.Source) error {
	e := &Error{Path: path, Offset: -1, What: "is no Nsight Systems export", Hint: "scrub takes what nsys export and nsys stats write: .sqlite, JSON lines, CSV"}
	if path == "-" {
		e.Path = BaseName(path)
	}
	head, err := kineto.Head(src.R, headBytes)
	switch {
	case len(head) == 0:
		e.What, e.Hint = "is empty", "nsys has not written it yet, or the copy failed"
	case err == nil && traceKey.Match(head):
		e.What, e.Hint = "is a torch-profiler trace, no Nsight Systems export", "tokprof trim cuts it and leaves out host names, job names and paths"
	}
	return e
}
