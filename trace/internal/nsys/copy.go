package nsys

import (
	"bufio"
	"context"

	"tokprof/trace/internal/nsys/jsontext"
)

// CopiedLines is a JSON-lines export that is copied instead of read: its rows
// go nowhere, its lines to Take.
type CopiedLines struct {
	*Export
	Text    map[int64]string // the strings of all tables, by id
	Threads []ThreadName
	Single  bool // strings come one a line, not in one table

	// Take is given each line that is an object and no row of a table; false
	// says that the line is none after all.
	Take func(b []byte, e Line) bool
}

// Line is what a line says of itself. Its bytes are good until Take returns.
type Line struct {
	What        string // key of the record, and of the payload of a CudaEvent, "CudaEvent kernel"
	Record      string // key of the outermost object, "" when there is none
	Payload     string // of a CudaEvent: key of the object below it, "" when unknown
	Class       int64  // of a TraceProcessEvent
	Node, Graph bool   // it makes a graph, or a node of one
	Process     []byte // of a CommEvent: the process' name

	ev *lineEvent
}

// ReadAs tells whether a copy of the line is read as the line is, but for its
// texts. A line that says something in a place where nsys never writes it is
// read all the same, and is lost in a copy of the known places.
func (l Line) ReadAs(copied []byte) bool {
	e := newLineEvent()
	if _, ok := jsontext.Fields(copied, 0, e.set); !ok {
		return false
	}
	return e.eventNumbers == l.ev.eventNumbers && e.message() == l.ev.message()
}

// CopyLines reads JSON lines into c, which has Take.
func CopyLines(ctx context.Context, text *bufio.Reader, c *CopiedLines) error {
	l := newLines(text, nil)
	l.copied, c.Export = c, l.x
	if err := l.all(ctx); err != nil {
		return err
	}
	c.Text, c.Threads, c.Single = l.text, l.threads, l.single
	return nil
}

func (c *CopiedLines) take(b []byte, e *lineEvent) bool {
	what := bounded(e.record)
	if e.record == "CudaEvent" {
		what += " " + bounded(e.payload)
	}
	return c.Take(b, Line{what, e.record, e.payload, e.class, e.node != 0, e.graph != 0, e.comm, e})
}

// TableCopier takes tables of nsys stats as they are written: of the rows those
// that are read well.
type TableCopier interface {
	Header(cells []string, sep byte) // starts a table with separators
	Row(cells []string)
	Open() // starts a table in JSON
	Object(raw []byte)
	Close()
}

// CopyTables reads what nsys stats wrote, and gives its tables to c.
func CopyTables(ctx context.Context, text *bufio.Reader, c TableCopier) (*Export, error) {
	t := newTables(text, func(*Row) {})
	t.copier = c
	return t.all(ctx)
}
