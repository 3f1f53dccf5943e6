package nsys

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"tokprof/trace/internal/nsys/jsontext"
)

// maxLine is the longest line of an event; longer ones are lost.
const maxLine = 1 << 20

// lines reads a JSON-lines export: a table of strings, events, a table of
// threads, one JSON object a line and the tables in any place.
type lines struct {
	x       *Export
	in      *bufio.Reader
	sink    Sink
	names   *names
	domains domains
	text    map[int64]string
	kept    int64 // bytes of text
	threads []ThreadName
	single  bool  // strings come one a line
	off     int64 // of the line, in the decompressed text
	buf     []byte
	ev      lineEvent
	copied  *CopiedLines // what lines are for when they are copied, not read
}

// ThreadName is the string id of a thread's name.
type ThreadName struct {
	Global uint64 // the thread, of the export's own numbering
	Name   int64
}

func readLines(ctx context.Context, text *bufio.Reader, sink Sink) (*Export, error) {
	l := newLines(text, sink)
	if err := l.all(ctx); err != nil {
		return nil, err
	}
	for _, t := range l.threads {
		l.x.Threads[ThreadID{pidOf(t.Global), threadOf(t.Global)}] = l.text[t.Name]
	}
	l.names.resolve(l.text)
	l.x.Names = l.names.list
	return l.x, nil
}

func newLines(text *bufio.Reader, sink Sink) *lines {
	names := newNames()
	return &lines{
		x:  &Export{Format: "nsys.jsonl", Counts: map[string]int64{}, Processes: map[uint64]string{}, Threads: map[ThreadID]string{}, Nodes: map[NodeID]uint64{}},
		in: text, sink: sink, names: names, domains: domains{names: names}, text: map[int64]string{},
	}
}

// all reads every line.
func (l *lines) all(ctx context.Context) error {
	for n := 0; ; n++ {
		if n&(1<<12-1) == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		err := l.line()
		if err == nil {
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !errors.Is(err, io.EOF) {
			l.cut(broken(err))
		}
		break
	}
	l.x.RawBytes, l.x.FileBytes = l.off, l.off
	if l.x.Events == 0 && len(l.x.Counts) == 0 {
		return &FormatError{"is cut off before its first event", "it is still being written, or the copy was cut off"}
	}
	return nil
}

func (l *lines) cut(why string) {
	if !l.x.Truncated {
		l.x.Truncated, l.x.TruncatedAt, l.x.TruncatedBy = true, l.off, why
	}
}

// line reads one line; io.EOF is the text's proper end.
func (l *lines) line() error {
	if head, _ := l.in.Peek(len(tableStart)); string(head) == tableStart {
		return l.table()
	}
	b, err := l.in.ReadSlice('\n')
	l.buf = append(l.buf[:0], b...)
	for errors.Is(err, bufio.ErrBufferFull) && len(l.buf) < maxLine {
		b, err = l.in.ReadSlice('\n')
		l.buf = append(l.buf, b...)
	}
	n := int64(len(l.buf))
	if errors.Is(err, bufio.ErrBufferFull) {
		l.lose(fmt.Sprintf("a line is longer than %d bytes", maxLine))
		var rest int64
		rest, err = l.skipLine()
		l.off += n + rest
		return err
	}
	whole := len(bytes.TrimSpace(l.buf)) == 0 || l.event(bytes.TrimSpace(l.buf))
	switch {
	case whole:
	case err != nil:
		l.off += n
		l.cut("the text ends inside a line")
		return io.EOF
	default:
		l.lose("a line is no JSON object")
	}
	l.off += n
	return err
}

func (l *lines) lose(what string) {
	l.x.Skipped++
	l.x.note(l.off, what)
}

// skipLine passes over the rest of a line.
func (l *lines) skipLine() (n int64, err error) {
	for {
		b, err := l.in.ReadSlice('\n')
		n += int64(len(b))
		if !errors.Is(err, bufio.ErrBufferFull) {
			return n, err
		}
	}
}

// event reads one line that is an object; false when it is none.
func (l *lines) event(b []byte) bool {
	e := &l.ev
	*e = newLineEvent()
	end, ok := jsontext.Fields(b, 0, e.set)
	if !ok || jsontext.Space(b, end) != len(b) {
		return false
	}
	switch {
	case e.kind == "String":
		l.single = true
		l.keep(e.id, jsontext.Unescaped(e.data))
	case e.kind == "ThreadName":
		l.threads = append(l.threads, ThreadName{e.tid, e.name})
	case l.copied != nil:
		return l.copied.take(b, e)
	case e.record == "CudaEvent":
		l.gpu(e)
	case e.record == "TraceProcessEvent":
		l.call(e)
	case e.record == "NvtxEvent":
		l.nvtx(e)
	case e.record == "CommEvent":
		if e.pid != 0 && len(l.x.Processes) < 1<<20 {
			l.x.Processes[e.pid] = jsontext.Unescaped(e.comm[:min(len(e.comm), 256)])
		}
	case e.record != "":
		l.x.Counts[bounded(e.record)]++
	}
	return true
}

// bounded keeps a key of a map of counts short.
func bounded(s string) string { return strings.ToValidUTF8(s[:min(len(s), 64)], "?") }

// gpu hands out what ran on a GPU.
func (l *lines) gpu(e *lineEvent) {
	row := Row{
		Start: e.start, End: e.end, Process: e.pid, Device: e.device, Stream: e.stream,
		Corr: uint64(e.corr), Bytes: -1, Node: uint64(e.node),
	}
	switch e.payload {
	case "kernel":
		row.Kind = Kernel
		for _, other := range []int64{e.short, e.mangled} {
			if e.demangled < 0 {
				e.demangled = other
			}
		}
		row.Name = l.names.id(e.demangled)
	case "memcpy":
		row.Kind, row.Bytes = Memcpy, max(e.bytes, 0)
		// What is 0 may be left out: of two kinds of memory, or of none.
		if e.from >= 0 || e.to >= 0 {
			e.from, e.to = max(e.from, 0), max(e.to, 0)
		}
		row.Name = l.names.text(copyName(e.copyKind, e.from, e.to))
	case "memset":
		row.Kind, row.Bytes = Memset, max(e.bytes, 0)
		row.Name = l.names.text(setName(e.from))
	case "graph":
		row.Kind, row.Graph, row.Exec, row.Node = GraphRun, uint64(e.graph), uint64(e.exec), 0
	default: // synchronisations and event records
		l.x.Counts["CudaEvent "+e.payload]++
		return
	}
	l.hand("CudaEvent "+e.payload, &row)
}

// hand counts a row and hands it out.
func (l *lines) hand(what string, row *Row) {
	if !row.sound() {
		l.lose("an event ends before it starts")
		return
	}
	l.x.Counts[what]++
	l.x.hand(row, l.sink)
}

// Types of events beside their payloads (ENUM_NSYS_EVENT_TYPE).
const (
	typeMark         = 34
	typePushPop      = 59
	typeStartEnd     = 60
	typeDomainCreate = 75
)

// call hands out a call of the runtime or the driver, and books graph nodes.
func (l *lines) call(e *lineEvent) {
	if e.original != 0 && len(l.x.Nodes) < maxNodes {
		l.x.Nodes[NodeID{processOf(e.tid), uint64(e.node)}] = uint64(e.original)
	}
	if e.class != 0 && e.class != DriverClass && e.class != APIClass {
		l.x.Counts["TraceProcessEvent of other classes"]++
		return
	}
	row := Row{Kind: Runtime, Start: e.start, End: e.end, Corr: uint64(e.corr), Bytes: -1}
	if e.class == DriverClass {
		row.Kind = Driver
	}
	row.onThread(e.tid)
	row.Name = l.names.callID(e.name)
	l.hand("TraceProcessEvent", &row)
}

func (l *lines) nvtx(e *lineEvent) {
	row := Row{Start: e.start, End: e.end, Bytes: -1}
	row.onThread(e.tid)
	switch e.typ {
	case typeDomainCreate:
		if e.hasText || e.textID < 0 {
			l.domains.named(row.Process, e.domain, jsontext.Unescaped(e.text[:min(len(e.text), 256)]))
		} else {
			l.domains.like(row.Process, e.domain, e.textID)
		}
		return
	case typeMark:
		row.Kind, row.End = Mark, row.Start
	case typePushPop, typeStartEnd, 70, 71: // the last two are of NVTX in text form
		row.Kind = Range
		if row.Open = !e.hasEnd; row.Open {
			row.End = row.Start
		}
	default:
		l.x.Counts["NvtxEvent of other types"]++
		return
	}
	row.Domain = l.domains.name(row.Process, e.domain)
	if e.hasText || e.textID < 0 {
		row.Name = l.names.text(jsontext.Unescaped(e.text))
	} else {
		row.Name = l.names.id(e.textID)
	}
	if row.Domain != 0 {
		row.Bytes = e.message()
	}
	l.hand("NvtxEvent", &row)
}

// keep stores a string of the table, within bounds.
func (l *lines) keep(id int64, s string) {
	if len(s) > maxName {
		s = strings.Clone(s[:maxName])
	}
	if l.kept += int64(len(s)); l.kept > maxNames {
		if l.kept-int64(len(s)) <= maxNames {
			l.x.note(l.off, fmt.Sprintf("the strings take more than %d MiB: names behind are left out", maxNames>>20))
		}
		return
	}
	l.text[id] = s
}
