package nsys

import (
	"bufio"
	"context"
	"encoding/base64"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
)

// lineCopier copies the events that are safe from JSON lines into new lines.
// The table of strings stands before the events that tell which of them are
// used, so the events wait in a temporary file, written as they will be.
type lineCopier struct {
	from   *lines
	out    *Scrubbed
	mask   masker
	events *bufio.Writer
	names  map[int64]bool
	texts  map[int64]bool
	single bool // strings come one a line, not in one table
	buf    []byte
	known  map[string]string // texts masked before
}

func scrubLines(ctx context.Context, text *bufio.Reader, o Options, w io.Writer, out *Scrubbed) (*Export, error) {
	f, err := os.CreateTemp(o.TempDir, "tokprof-*.jsonl")
	if err != nil {
		return nil, &FormatError{"is copied by way of a temporary file, and none can be made", "set TMPDIR to a directory that can be written"}
	}
	defer func() { _ = f.Close(); _ = os.Remove(f.Name()) }()
	c := &lineCopier{from: newLines(text, nil), out: out, events: bufio.NewWriterSize(f, 1<<16), names: map[int64]bool{}, texts: map[int64]bool{}, known: map[string]string{}}
	c.from.copier = c
	if err := c.from.all(ctx); err != nil {
		return nil, err
	}
	if err := c.events.Flush(); err != nil {
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	threads := c.threads()
	to := bufio.NewWriterSize(w, 1<<16)
	c.strings(to)
	if _, err := io.Copy(to, &patient{ctx, f}); err != nil {
		return nil, err
	}
	_, _ = to.Write(threads) // its error shows at the end
	out.Masked = c.mask.masked
	return c.from.x, to.Flush()
}

// line takes one line that is an object.
func (c *lineCopier) line(b []byte, e *lineEvent) {
	x, what := c.from.x, bounded(e.record)
	switch {
	case e.kind == "String":
		c.single = true
		c.from.keep(e.id, unescaped(e.data))
		return
	case e.kind == "ThreadName":
		c.from.threads = append(c.from.threads, threadName{e.tid, e.name})
		return
	case e.record == "CudaEvent":
		what += " " + bounded(e.payload)
	}
	if !safeEvent(e) {
		c.out.Left[what]++
		return
	}
	var ok bool
	if c.buf, _, ok = c.object(c.buf[:0], b, 0, safeLine); !ok {
		c.from.lose("a line is no JSON object")
		return
	}
	x.Events++
	x.Counts[what]++
	c.buf = append(c.buf, '\n')
	_, _ = c.events.Write(c.buf) // its error shows at Flush
}

// safeEvent picks the lines that are copied.
func safeEvent(e *lineEvent) bool {
	switch e.record {
	case "CudaEvent":
		return e.payload != ""
	case "TraceProcessEvent":
		return e.class == 0 || e.class == driverClass || e.class == overheadClass || e.node != 0 || e.graph != 0
	case "NvtxEvent":
		return true
	case "CommEvent":
		return engineProcess.Match(e.comm)
	}
	return false
}

// overheadClass is the eventClass of the profiler's own work
// (ENUM_NSYS_EVENT_CLASS).
const overheadClass = 3

// object copies the allowed keys of the object at b[i] and returns where it
// ended.
func (c *lineCopier) object(dst, b []byte, i int, allowed safeObject) (_ []byte, end int, ok bool) {
	if i >= len(b) || b[i] != '{' {
		return dst, i, false
	}
	dst = append(dst, '{')
	for i = space(b, i+1); i < len(b) && b[i] != '}'; i = space(b, i) {
		end := stringEnd(b, i)
		if end < 0 {
			return dst, i, false
		}
		key := string(b[i+1 : end-1])
		if i = space(b, end); i >= len(b) || b[i] != ':' {
			return dst, i, false
		}
		i = space(b, i+1)
		what, known := allowed[key]
		before := len(dst)
		if known {
			if dst[before-1] != '{' {
				dst = append(dst, ',')
			}
			dst = append(append(append(dst, '"'), key...), '"', ':')
		}
		start := len(dst)
		if dst, i, ok = c.value(dst, b, i, what, known); !ok {
			return dst, i, false
		}
		if len(dst) == start {
			dst = dst[:before]
		}
		if i = space(b, i); i < len(b) && b[i] == ',' {
			i++
		} else if i >= len(b) || b[i] != '}' {
			return dst, i, false
		}
	}
	return append(dst, '}'), i + 1, i < len(b)
}

// value copies one value as what its key allows, or nothing of it.
func (c *lineCopier) value(dst, b []byte, i int, what safeValue, known bool) (_ []byte, end int, ok bool) {
	if known && what.object != nil && i < len(b) && b[i] == '{' {
		return c.object(dst, b, i, what.object)
	}
	if end, ok = walkValue(b, i, nil, nil, func(_, _, _ []byte) {}, 0); !ok || !known || what.object != nil {
		return dst, end, ok
	}
	raw := b[i:end]
	inner := raw
	if raw[0] == '"' {
		inner = raw[1 : len(raw)-1]
	}
	n, isInt := integer(inner)
	switch {
	case what.holds == text && raw[0] == '"':
		return appendJSON(dst, c.masked(unescaped(inner))), end, true
	case what.holds == message:
		return c.payload(dst, raw), end, true
	case what.holds == label && symbol.Match(inner), isInt, string(raw) == "true", string(raw) == "false":
	default:
		return dst, end, true
	}
	switch {
	case isInt && what.holds == nameID:
		c.names[n] = true
	case isInt && what.holds == textID:
		c.texts[n] = true
	}
	return append(dst, raw...), end, true
}

// payload copies what an NCCL range says of its message.
func (c *lineCopier) payload(dst, raw []byte) []byte {
	size := int64(-1)
	_, _ = walkValue(raw, 0, nil, nil, func(_, key, v []byte) {
		if string(key) == "Data" {
			size = messageBytes(v)
		}
	}, 0)
	if size < 0 {
		return dst
	}
	dst = append(dst, `{"BinaryData":[{"Data":"`...)
	return append(base64.StdEncoding.AppendEncode(dst, message16(size)), `"}]}`...)
}

// masked is the mask's text, remembered: ranges repeat theirs.
func (c *lineCopier) masked(s string) string {
	m, ok := c.known[s]
	if !ok {
		m = c.mask.text(s)
		if len(c.known) < lowIDs {
			c.known[s] = m
		}
	}
	return m
}

// threads are the lines or the table of the threads that engines named; their
// names count as used.
func (c *lineCopier) threads() []byte {
	var rows []string
	for _, t := range c.from.threads {
		if !engineProcess.MatchString(c.from.text[t.name]) {
			c.out.Left["threads"]++
			continue
		}
		c.names[t.name] = true
		c.from.x.Counts["threads"]++
		tid := strconv.FormatUint(t.global, 10)
		if id := strconv.FormatInt(t.name, 10); c.single {
			rows = append(rows, `{"type":"ThreadName","globalTid":"`+tid+`","nameId":"`+id+`"}`)
		} else {
			rows = append(rows, `{"nameIdx":"`+id+`","globalTid":"`+tid+`"}`)
		}
	}
	switch {
	case len(rows) == 0:
		return nil
	case c.single:
		return []byte(strings.Join(rows, "\n") + "\n")
	}
	return []byte(`{"data":[` + strings.Join(rows, ",") + "]}\n")
}

// strings writes the strings that the events use, in the form they came in: a
// table keeps the places of the others, empty.
func (c *lineCopier) strings(w *bufio.Writer) {
	ids := slices.Sorted(maps.Keys(c.names))
	for id := range c.texts {
		if !c.names[id] {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	ids = slices.DeleteFunc(ids, func(id int64) bool { _, ok := c.from.text[id]; return !ok })
	c.out.Strings, c.out.StringsLeft = int64(len(ids)), int64(len(c.from.text)-len(ids))
	if !c.single {
		_, _ = w.WriteString(tableStart)
	}
	next := int64(0)
	for _, id := range ids {
		s := c.from.text[id]
		if c.names[id] {
			s = c.mask.name(s)
		} else {
			s = c.mask.text(s)
		}
		quoted := appendJSON(nil, s)
		if c.single {
			_, _ = w.WriteString(`{"type":"String","id":"` + strconv.FormatInt(id, 10) + `","value":`)
			_, _ = w.Write(append(quoted, "}\n"...))
			continue
		}
		for ; next < id; next++ {
			_, _ = w.WriteString(`"",`)
		}
		_, _ = w.Write(quoted)
		_ = w.WriteByte(',')
		next++
	}
	if !c.single {
		_, _ = w.WriteString(`""]}` + "\n")
	}
}
