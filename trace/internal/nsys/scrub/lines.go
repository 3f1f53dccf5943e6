package scrub

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

	"tokprof/trace/internal/nsys"
	"tokprof/trace/internal/nsys/jsontext"
)

// lineCopier copies the events that are safe from JSON lines into new lines.
// The table of strings stands before the events that tell which of them are
// used, so the events wait in a temporary file, written as they will be.
type lineCopier struct {
	nsys.CopiedLines
	out    *Scrubbed
	mask   masker
	events *bufio.Writer
	names  map[int64]bool // strings used as names
	texts  map[int64]bool // and as texts
	line   usedStrings
	buf    []byte
	known  map[string]string // texts masked before
}

// usedStrings are those that one line uses.
type usedStrings struct{ names, texts []int64 }

func scrubLines(ctx context.Context, text *bufio.Reader, o nsys.Options, w io.Writer, out *Scrubbed) (*nsys.Export, error) {
	f, err := os.CreateTemp(o.TempDir, "tokprof-*.jsonl")
	if err != nil {
		return nil, errNoTemporary
	}
	defer func() { _ = f.Close(); _ = os.Remove(f.Name()) }()
	c := &lineCopier{out: out, events: bufio.NewWriterSize(f, 1<<16), names: map[int64]bool{}, texts: map[int64]bool{}, known: map[string]string{}}
	c.Take = c.copy
	if err := nsys.CopyLines(ctx, text, &c.CopiedLines); err != nil {
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
	if _, err := io.Copy(to, nsys.Patient(ctx, f)); err != nil {
		return nil, err
	}
	_, _ = to.Write(threads) // its error shows at the end
	out.Masked = c.mask.masked
	return c.Export, to.Flush()
}

// copy takes one line that is an object; false when it is none after all.
func (c *lineCopier) copy(b []byte, e nsys.Line) bool {
	if !safeEvent(e) {
		c.out.Left[e.What]++
		return true
	}
	c.line = usedStrings{c.line.names[:0], c.line.texts[:0]}
	var ok bool
	if c.buf, _, ok = c.object(c.buf[:0], b, 0, safeLine); !ok {
		return false
	}
	if !e.ReadAs(c.buf) {
		c.out.Left[e.What]++
		return true
	}
	for _, id := range c.line.names {
		c.names[id] = true
	}
	for _, id := range c.line.texts {
		c.texts[id] = true
	}
	c.Events++
	c.Counts[e.What]++
	c.buf = append(c.buf, '\n')
	_, _ = c.events.Write(c.buf) // its error shows at Flush
	return true
}

// safeEvent picks the lines that are copied.
func safeEvent(e nsys.Line) bool {
	switch e.Record {
	case "CudaEvent":
		return e.Payload != ""
	case "TraceProcessEvent":
		return e.Class == 0 || e.Class == nsys.DriverClass || e.Class == nsys.APIClass || e.Class == overheadClass || e.Node || e.Graph
	case "NvtxEvent":
		return true
	case "CommEvent":
		return engineProcess.Match(e.Process)
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
	for i = jsontext.Space(b, i+1); i < len(b) && b[i] != '}'; i = jsontext.Space(b, i) {
		end := jsontext.StringEnd(b, i)
		if end < 0 {
			return dst, i, false
		}
		key := string(b[i+1 : end-1])
		if i = jsontext.Space(b, end); i >= len(b) || b[i] != ':' {
			return dst, i, false
		}
		i = jsontext.Space(b, i+1)
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
		if i = jsontext.Space(b, i); i < len(b) && b[i] == ',' {
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
	if end, ok = jsontext.Value(b, i, func(_, _, _ []byte) {}); !ok || !known || what.object != nil {
		return dst, end, ok
	}
	raw := b[i:end]
	inner := raw
	if raw[0] == '"' {
		inner = raw[1 : len(raw)-1]
	}
	n, isInt := jsontext.Integer(inner)
	switch {
	case what.holds == text && raw[0] == '"':
		return appendJSON(dst, c.masked(jsontext.Unescaped(inner))), end, true
	case what.holds == message:
		return c.payload(dst, raw), end, true
	case what.holds == label && symbol.Match(inner), isInt, string(raw) == "true", string(raw) == "false":
	default:
		return dst, end, true
	}
	switch {
	case isInt && what.holds == nameID:
		c.line.names = append(c.line.names, n)
	case isInt && what.holds == textID:
		c.line.texts = append(c.line.texts, n)
	}
	return append(dst, raw...), end, true
}

// payload copies what an NCCL range says of its message.
func (c *lineCopier) payload(dst, raw []byte) []byte {
	size := int64(-1)
	_, _ = jsontext.Value(raw, 0, func(_, key, v []byte) {
		if string(key) == "Data" {
			size = nsys.PayloadSchemas(nil).Bytes(0, v)
		}
	})
	if size < 0 {
		return dst
	}
	dst = append(dst, `{"BinaryData":[{"Data":"`...)
	return append(base64.StdEncoding.AppendEncode(dst, message16(size)), `"}]}`...)
}

// maxKnown bounds the texts remembered.
const maxKnown = 1 << 20

// masked is the mask's text, remembered: ranges repeat theirs.
func (c *lineCopier) masked(s string) string {
	m, ok := c.known[s]
	if !ok {
		m = c.mask.text(s)
		if len(c.known) < maxKnown {
			c.known[s] = m
		}
	}
	return m
}

// threads are the lines or the table of the threads that engines named; their
// names count as used.
func (c *lineCopier) threads() []byte {
	var rows []string
	for _, t := range c.Threads {
		if !engineProcess.MatchString(c.Text[t.Name]) {
			c.out.Left["threads"]++
			continue
		}
		c.names[t.Name] = true
		c.Counts["threads"]++
		tid := strconv.FormatUint(t.Global, 10)
		if id := strconv.FormatInt(t.Name, 10); c.Single {
			rows = append(rows, `{"type":"ThreadName","globalTid":"`+tid+`","nameId":"`+id+`"}`)
		} else {
			rows = append(rows, `{"nameIdx":"`+id+`","globalTid":"`+tid+`"}`)
		}
	}
	switch {
	case len(rows) == 0:
		return nil
	case c.Single:
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
	ids = slices.DeleteFunc(ids, func(id int64) bool { _, ok := c.Text[id]; return !ok })
	c.out.Strings, c.out.StringsLeft = int64(len(ids)), int64(len(c.Text)-len(ids))
	if !c.Single {
		_, _ = w.WriteString(`{"data":[`)
	}
	next := int64(0)
	for _, id := range ids {
		s := c.Text[id]
		if c.names[id] {
			s = c.mask.name(s)
		} else {
			s = c.mask.text(s)
		}
		quoted := appendJSON(nil, s)
		if c.Single {
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
	if !c.Single {
		_, _ = w.WriteString(`""]}` + "\n")
	}
}
