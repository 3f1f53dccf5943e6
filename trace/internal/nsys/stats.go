package nsys

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"tokprof/trace/internal/nsys/jsontext"
)

// tables reads what nsys stats wrote: tables as CSV or as JSON, with lines of
// its own before and between them.
type tables struct {
	x     *Export
	in    *bufio.Reader
	sink  Sink
	names *names
	off   int64 // of the line, in the decompressed text
	buf   []byte
	cells []string
	h     *header // of the table that lines belong to, nil outside
	json  bool
	gpus  map[string]int64 // ordinal by a device's text

	table   int    // number of the table
	trace   int    // number of the first table of events, 0 before it
	sums    []sums // tables of sums, in the order of the text
	kept    int    // rows of sums
	skipped bool   // nsys said that a report had nothing to show
	known   bool   // a table's columns were those of one that is read
	wide    bool   // a table's columns stood at places, not between separators

	copier TableCopier // takes the tables too, when they are copied
}

func readStats(ctx context.Context, text *bufio.Reader, sink Sink) (*Export, error) {
	return newTables(text, sink).all(ctx)
}

func newTables(text *bufio.Reader, sink Sink) *tables {
	return &tables{
		x:  &Export{Format: "nsys.stats.csv", Counts: map[string]int64{}, GPUs: map[int64]string{}},
		in: text, sink: sink, names: newNames(), gpus: map[string]int64{},
	}
}

// all reads every table.
func (t *tables) all(ctx context.Context) (*Export, error) {
	if mark, _ := t.in.Peek(len(byteOrderMark)); string(mark) == byteOrderMark {
		n, _ := t.in.Discard(len(byteOrderMark))
		t.off += int64(n)
	}
	for n := 0; ; n++ {
		if n&(1<<12-1) == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		err := t.line()
		if err == nil {
			continue
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if !errors.Is(err, io.EOF) {
			t.cut(broken(err))
		}
		break
	}
	if t.json {
		t.x.Format = "nsys.stats.json"
	}
	t.joinSums()
	t.x.Names, t.x.RawBytes, t.x.FileBytes = t.names.list, t.off, t.off
	if t.x.Events == 0 && len(t.x.Summary) == 0 {
		return nil, t.nothing()
	}
	return t.x, nil
}

// nothing words why no table could be used.
func (t *tables) nothing() error {
	switch {
	case t.wide:
		return &FormatError{"holds a table in columns, as nsys stats prints it for the eye, with names cut short", "write it again with --format csv"}
	case t.x.Skipped > 0:
		return &FormatError{fmt.Sprintf("holds no row of GPU events or kernels that can be read (%d are damaged)", t.x.Skipped), "write the table again with nsys stats --format csv"}
	case t.skipped:
		return &FormatError{"is what nsys stats says of a report without GPU work (SKIPPED)", "record with nsys profile --trace=cuda,nvtx --cuda-graph-trace=node, and let the server's workers be traced too (--trace-fork-before-exec=true)"}
	case t.table > 0 && t.known:
		return &FormatError{"holds a table of GPU work without a row", "the report recorded none: record with nsys profile --trace=cuda,nvtx --cuda-graph-trace=node"}
	}
	return &FormatError{"holds no table of GPU events or kernels", "write one with nsys stats --report cuda_gpu_trace --format csv"}
}

const byteOrderMark = "\ufeff"

func (t *tables) cut(why string) {
	if !t.x.Truncated {
		t.x.Truncated, t.x.TruncatedAt, t.x.TruncatedBy = true, t.off, why
	}
}

func (t *tables) lose(what string) {
	t.x.Skipped++
	t.x.note(t.off, what)
}

// line reads one line, or the JSON array that begins in it; io.EOF is the
// text's proper end.
func (t *tables) line() error {
	if t.h == nil && t.atArray() {
		return t.array()
	}
	t.buf = t.buf[:0]
	var err error
	for quotes := 0; ; {
		var b []byte
		b, err = t.in.ReadSlice('\n')
		t.buf = append(t.buf, b...)
		quotes += bytes.Count(b, []byte{'"'})
		if len(t.buf) > maxLine {
			break
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) || err == nil && quotes%2 == 0 {
			break
		}
	}
	n := int64(len(t.buf))
	defer func() { t.off += n }()
	if len(t.buf) > maxLine {
		t.lose(fmt.Sprintf("a line is longer than %d bytes", maxLine))
		return nil
	}
	if errors.Is(err, bufio.ErrBufferFull) {
		err = nil
	}
	text := strings.TrimRight(string(t.buf), "\r\n")
	switch {
	case strings.TrimSpace(text) == "":
		t.h = nil // a table ends at an empty line
	case t.h == nil:
		t.begin(text)
	default:
		t.row(text, err != nil)
	}
	return err
}

// atArray says whether an array of objects begins here, and not a line of
// progress ("[1/3] Executing ...").
func (t *tables) atArray() bool {
	const blanks = 64
	b, _ := t.in.Peek(blanks)
	if len(b) == 0 || b[0] != '[' {
		return false
	}
	b = bytes.TrimLeft(b[1:], " \t\r\n")
	return len(b) == 0 || b[0] == '{' || b[0] == ']'
}

// row reads one line of a table; last says that no line end came behind it.
func (t *tables) row(text string, last bool) {
	t.cells = splitCells(text, t.h.sep, t.cells[:0])
	switch {
	case last && strings.Count(text, `"`)%2 != 0: // a part of a name would pass for a kernel
		t.cut("the text ends inside a line")
	case len(t.cells) == t.h.n && !isSaying(text):
		if t.take(t.h, t.cells) && t.copier != nil {
			t.copier.Row(t.cells)
		}
	case headerOf(text) != nil:
		t.begin(text)
	case last:
		t.cut("the text ends inside a line")
	case len(t.cells) < 3 || isSaying(text):
		t.h = nil // nsys speaks between tables
		t.say(text)
	default:
		t.lose(fmt.Sprintf("a row has %d columns instead of %d", len(t.cells), t.h.n))
	}
}

// begin starts a table if a line is the header of one.
func (t *tables) begin(line string) {
	if t.h = headerOf(line); t.h != nil && t.copier != nil {
		t.copier.Header(splitCells(line, t.h.sep, nil), t.h.sep)
	}
	t.known = t.known || t.h != nil
	t.say(line)
	t.table++
}

// say notes what nsys says outside of tables.
func (t *tables) say(line string) {
	t.skipped = t.skipped || strings.HasPrefix(line, "SKIPPED: ")
	t.wide = t.wide || strings.Contains(line, "----  ----")
}

// isSaying says whether a line is one of nsys's own, not a table's.
func isSaying(line string) bool {
	return slices.ContainsFunc(preambles, func(p string) bool { return strings.HasPrefix(line, p) })
}

// take books one row of a table; false when it is lost.
func (t *tables) take(h *header, cells []string) (ok bool) {
	if h.timeline() {
		if t.trace == 0 {
			t.trace = t.table
		}
		if t.trace != t.table {
			t.lose("a second table of GPU events follows: give each report's table a file of its own")
			return false
		}
		ok = t.event(h, cells)
	} else {
		ok = t.sum(h, cells)
	}
	if !ok {
		t.lose("a row holds no number where one must be")
	}
	return ok
}

func (h *header) cell(cells []string, f field) string {
	if h.at[f] < 0 {
		return ""
	}
	return cells[h.at[f]]
}

func (h *header) quantity(cells []string, f field) (n, digit int64, ok bool) {
	return quantity(h.cell(cells, f), h.factor[f])
}

// array reads a table as JSON: an array of objects whose keys are the headers.
func (t *tables) array() error {
	t.table++
	if t.copier != nil {
		t.copier.Open()
		defer t.copier.Close()
	}
	o := &object{columns: map[string]column{}}
	for {
		c, err := t.in.ReadByte()
		var n int64
		switch {
		case err != nil:
		case c == ']':
			t.off++
			return nil
		case c != '{':
			t.off++
			continue
		default:
			t.off++
			t.buf, n, err = element(t.in, c, t.buf[:0])
			t.off += n
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				t.cut("the text ends inside a table")
			}
			return err
		}
		t.json = true
		switch h, ok := o.read(t.buf); {
		case !ok:
			t.lose("an object of a table is no JSON")
		case h.known():
			t.known = true
			if t.take(h, o.cells[:]) && t.copier != nil {
				t.copier.Object(t.buf)
			}
		}
	}
}

// object is one row of a table in JSON: cells by field.
type object struct {
	columns map[string]column // by key as written
	cells   [fieldCount]string
	h       header
}

// column is what a key says, and what to multiply its numbers by.
type column struct {
	field  field
	factor float64
}

// read takes one row; the header it returns says which cells it has.
func (o *object) read(b []byte) (h *header, ok bool) {
	const maxColumns = 256
	o.h = header{n: int(fieldCount)}
	for f := range o.h.at {
		o.h.at[f] = -1
	}
	_, ok = jsontext.Fields(b, 0, func(_, key, v []byte) {
		c, known := o.columns[string(key)]
		if !known && len(o.columns) < maxColumns {
			c.field, c.factor = columnOf(jsontext.Unescaped(key))
			o.columns[string(key)] = c
		}
		if f := c.field; f != noField && o.h.at[f] < 0 {
			o.h.at[f], o.h.factor[f] = int(f), c.factor
			o.cells[f] = jsontext.Unescaped(v)
		}
	})
	return &o.h, ok
}
