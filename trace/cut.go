package trace

import (
	"bufio"
	"cmp"
	"context"
	"io"
	"slices"
	"strings"

	"tokprof/trace/internal/kineto"
)

// Selection is what a cut keeps. GPU events are picked one by one; host events
// by the span of time they touch; what a picked event needs comes along.
type Selection struct {
	From, To Time           // host span: events that touch it are kept
	GPU      func(int) bool // by place in GPU()
	Redact   bool           // drop hosts, jobs and absolute paths
}

// Cut writes the selected part of the trace at path as a plain-JSON torch
// trace: clock base, metadata, process and thread names and flows stay, so that
// viewers and tokprof read it like the whole. t is the same file, opened. It
// returns how many rows were kept. What the file holds only as damage is left
// out: the result is JSON to any reader.
func Cut(ctx context.Context, path string, t *Trace, sel Selection, w io.Writer) (kept int64, err error) {
	if t.export {
		return 0, &Error{Path: path, Offset: -1, What: "is an Nsight Systems export, and only torch traces can be cut", Hint: "nsys export --times cuts a report"}
	}
	src, closeFile, err := source(ctx, path)
	if err != nil {
		return 0, err
	}
	defer closeFile()
	c := &cutter{t: t, sel: sel, path: path, w: bufio.NewWriterSize(w, 1<<16)}
	c.pick()
	f, err := kineto.Scan(ctx, src, kineto.Options{}, kineto.Handler{Key: c.key, Row: c.row})
	switch {
	case c.failed != nil:
		return c.rows, c.failed
	case err != nil:
		return c.rows, readError(ctx, path, err)
	case f.Events != t.Info.Events, f.RawBytes != t.Info.RawBytes && !f.Truncated:
		return c.rows, changed(path)
	}
	return c.rows, c.finish()
}

// changed says that the file is no longer the one that was opened.
func changed(path string) error {
	return &Error{Path: path, Offset: -1, What: "changed while it was being cut", Hint: "wait until the server has written it, then cut again"}
}

// cutter writes the kept rows in file order.
type cutter struct {
	t    *Trace
	sel  Selection
	path string
	w    *bufio.Writer

	keep   []uint64 // bit set over EventIDs: picked GPU events and their launches
	drop   []uint64 // launches whose GPU events were all left out
	calls  *corrIndex
	heads  []flowHead
	inRows bool
	keys   int
	later  []byte // keys that come behind the first row
	rows   int64
	buf    [2][]byte
	failed error
}

// flowHead is where a flow meets a picked GPU event.
type flowHead struct {
	id uint64
	at Time
}

func (h flowHead) compare(o flowHead) int {
	return cmp.Or(cmp.Compare(h.id, o.id), cmp.Compare(h.at, o.at))
}

func set(bits []uint64, id EventID)      { bits[id/64] |= 1 << (id % 64) }
func has(bits []uint64, id EventID) bool { return bits[id/64]>>(id%64)&1 == 1 }

// pick marks the GPU events wanted and their launches. A launch inside the
// span whose events were not picked is dropped: kept alone it would look like
// a lost kernel.
func (c *cutter) pick() {
	n := len(c.t.file.Blocks)*kineto.BlockLen/64 + 1
	c.keep, c.drop = make([]uint64, n), make([]uint64, n)
	c.calls = newCorrIndex(c.t)
	for i, id := range c.t.gpu {
		l := c.t.LaunchOf(i)
		if !c.sel.GPU(i) {
			if l != NoEvent {
				set(c.drop, l)
			}
			continue
		}
		set(c.keep, id)
		if l != NoEvent {
			set(c.keep, l)
			c.heads = append(c.heads, flowHead{c.t.Event(id).Correlation, c.t.Start(id)})
		}
	}
	slices.SortFunc(c.heads, flowHead.compare)
}

func (c *cutter) wanted(r *kineto.Row) bool {
	at := Time(r.TS) + c.t.base
	if !r.Stored {
		switch r.Ph {
		case 'M':
			return true
		case 's', 't', 'f':
			return c.flow(r, at)
		}
		return at >= c.sel.From && at <= c.sel.To
	}
	id := EventID(r.ID)
	if has(c.keep, id) {
		return true
	}
	e := c.t.Event(id)
	switch e.Kind {
	case Kernel, Copy, Set:
		return false
	case Launch:
		// A driver call inside a runtime call shares its number, and its fate.
		if l := c.calls.find(e.Correlation); l != NoEvent && (has(c.keep, l) || has(c.drop, l)) {
			return has(c.keep, l)
		}
	case Mark:
		// Whole-trace spans and window marks would stretch the cut in a viewer.
		return e.Start >= c.sel.From && e.End() <= c.sel.To
	}
	return e.Start <= c.sel.To && e.End() >= c.sel.From
}

// flow says whether both ends of an arrow are kept: a graph launch has one
// start and an end at each of its kernels. Arrows from forward to backward
// passes are not about launches and are left out.
func (c *cutter) flow(r *kineto.Row, at Time) bool {
	if strings.EqualFold(r.Cat, "fwdbwd") {
		return false
	}
	if r.Ph == 's' {
		l := c.calls.find(r.FlowID)
		return l != NoEvent && has(c.keep, l)
	}
	_, found := slices.BinarySearchFunc(c.heads, flowHead{r.FlowID, at}, flowHead.compare)
	return found
}

func (c *cutter) row(r *kineto.Row) error {
	if r.Stored && int(r.ID) >= c.t.file.Stored() {
		c.failed = changed(c.path)
		return c.failed
	}
	if r.Broken || !c.wanted(r) {
		return nil
	}
	raw, ok := c.strict(r.Raw)
	if !ok {
		return nil
	}
	text := ",\n  "
	if !c.inRows {
		c.inRows = true
		text = c.start() + "\"traceEvents\": [\n  "
	}
	c.rows++
	return c.write([]byte(text), c.redact(raw))
}

// start is what stands before a key: the opening brace or a comma.
func (c *cutter) start() string {
	c.keys++
	if c.keys == 1 {
		return "{\n"
	}
	return ",\n"
}

func (c *cutter) write(parts ...[]byte) error {
	for _, p := range parts {
		if _, err := c.w.Write(p); err != nil {
			c.failed = err
			return err
		}
	}
	return nil
}

// strict returns text as JSON that every reader takes; false when it cannot be.
func (c *cutter) strict(raw []byte) ([]byte, bool) {
	if isJSON(raw) {
		return raw, true
	}
	c.buf[0] = appendStrict(c.buf[0][:0], raw)
	return c.buf[0], isJSON(c.buf[0])
}

func (c *cutter) redact(raw []byte) []byte {
	if !c.sel.Redact {
		return raw
	}
	c.buf[1] = appendRedacted(c.buf[1][:0], raw)
	return c.buf[1]
}

// sharedKeys are the top-level keys that tell nothing about whose machine it was.
var sharedKeys = []string{
	"schemaVersion", "deviceProperties", "displayTimeUnit", "baseTimeNanoseconds", "distributedInfo",
	"cupti_version", "cuda_runtime_version", "cuda_driver_version",
	"roctracer_version", "hip_runtime_version", "hip_driver_version",
	"profile_memory", "with_stack", "record_shapes", "with_modules", "with_flops",
	"trace_id", "vllm_version", "vllm_version_tuple", "DISABLE_CUPTI_LAZY_REINIT",
}

// key writes a key at once, or keeps it until the rows are done.
func (c *cutter) key(key, value []byte) error {
	if c.sel.Redact && !slices.Contains(sharedKeys, string(key)) {
		return nil
	}
	name, ok := c.strict(slices.Concat([]byte(`"`), key, []byte(`"`)))
	if !ok {
		return nil
	}
	name = slices.Clone(name)
	value, ok = c.strict(value)
	if !ok {
		return nil
	}
	value = c.redact(value)
	if c.inRows {
		c.later = slices.Concat(c.later, []byte(",\n"), name, []byte(": "), value)
		return nil
	}
	return c.write([]byte(c.start()), name, []byte(": "), value)
}

func (c *cutter) finish() error {
	if !c.inRows {
		if err := c.write([]byte(c.start()), []byte("\"traceEvents\": [")); err != nil {
			return err
		}
	}
	if err := c.write([]byte("\n]"), c.later, []byte("\n}\n")); err != nil {
		return err
	}
	return c.w.Flush()
}
