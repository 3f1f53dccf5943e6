package kineto

import "bytes"

// limits bound what hostile text can make a reader hold or do.
const (
	maxEvent   = 16 << 20  // bytes of one event
	maxSeek    = 2 << 20   // bytes kept while looking for the next event
	maxGapText = 64        // bytes between two events that can be learned
	maxGap     = 256 << 20 // bytes without an event before reading stops
)

// layout is how the file separates events; learned from the first two in a row.
type layout struct {
	gap      string // between a closing and the next opening brace: ",\n  "
	sep      []byte // the gap, the brace and all up to the first key's text: ",\n  {\n    \""
	brace    int    // place of the brace in sep
	cut      []byte // where pieces may be cut: sep, and more on both sides in one-line files
	cutBrace int
}

// worker parses pieces of the events array.
type worker struct {
	parser
	shapes
	lay      layout
	classes  map[string]*class
	names    *table
	texts    *table
	tracks   tracks
	classKey []byte
	limit    int // bytes of an event
	general  bool
	discard  bool
	row      func(w *worker, b []byte, from, to int, base int64, c *class, stored bool) error
	err      error // of row
	out      *batch
	lost     bool // text is being skipped up to the next event

	recovered bool // the event in hand was read past bare quotes
	prevEnd   int  // while the layout is unknown: end of the event just before, or -1
	gapOpen   bool // the text to come starts at that end
}

func newWorker(opt *Options, mode FracMode, lay layout) *worker {
	w := &worker{
		lay: lay, classes: map[string]*class{}, names: newTable(), texts: newTable(),
		limit: opt.event, general: opt.General, discard: opt.Discard,
	}
	w.mode, w.keys, w.learning = mode, opt.Args, !opt.General
	w.tracks.ids = map[string]uint16{}
	w.shapes.budget = 2 * maxTemplates
	w.last, w.before = new(template), new(template)
	w.prevEnd = -1
	return w
}

// run parses events in b, whose first byte stands at base in the whole text and
// is between events or an event's brace. It returns how far it came for good
// (an unfinished event is left for a call with more text) and whether the
// array's bracket was met; used is then behind it.
func (w *worker) run(b []byte, base int64, eof bool, out *batch) (used int, ended bool) {
	w.out = out
	if w.prevEnd = -1; w.gapOpen {
		w.prevEnd, w.gapOpen = 0, false
	}
	p := 0
	for w.err == nil {
		if w.lost {
			q, found := w.find(b, p, eof)
			if p = q; !found {
				break
			}
			w.lost = false
		}
		if p = w.between(b, p); p >= len(b) {
			break
		}
		if b[p] == '{' && !w.general {
			if t, e := w.shapes.match(&w.parser, b, p); t != nil {
				if w.lay.gap == "" {
					w.learnLayout(b, p)
				}
				w.take(b, p, e, base, t.class)
				p = e
				continue
			}
		}
		if b[p] == ']' {
			return p + 1, true
		}
		q, st := w.slow(b, p, base, eof)
		p = q
		if st == short {
			break
		}
	}
	if w.lay.gap == "" && w.prevEnd >= 0 && p-w.prevEnd <= maxGapText {
		w.gapOpen = true
		p = w.prevEnd
	}
	return p, false
}

// between passes over the comma and white space between events.
func (w *worker) between(b []byte, p int) int {
	if e := p + len(w.lay.gap); e > p && e < len(b) && b[e] == '{' && string(b[p:e]) == w.lay.gap {
		return e
	}
	for p < len(b) && (b[p] == ',' || charClass[b[p]] == charSpace) {
		p++
	}
	return p
}

// slow reads one element of the array with the general parser. After short,
// the returned place is where a call with more text must start.
func (w *worker) slow(b []byte, p int, base int64, eof bool) (int, status) {
	if b[p] != '{' {
		return w.stray(b, p, base, eof)
	}
	e, st := w.parse(b, p)
	switch st {
	case good:
		if !w.ev.is(slotPh) {
			w.drop(base+int64(p), whyPh)
			return e, good
		}
		w.accept(b, p, e, base)
		return e, good
	case short:
		if len(b)-p > w.limit {
			w.drop(base+int64(p), whyLong)
			w.lost = true
			return p + 1, good
		}
		return p, short
	}
	return w.repair(b, p, base, eof)
}

// accept takes over the event just read and learns its shape and the layout.
func (w *worker) accept(b []byte, p, e int, base int64) {
	c := w.class(b)
	if w.lay.gap == "" {
		w.learnLayout(b, p)
	}
	if w.learning {
		w.learn(&w.parser, b, p, e, c)
	}
	w.take(b, p, e, base, c)
}

// stray passes over an element that is no object.
func (w *worker) stray(b []byte, p int, base int64, eof bool) (int, status) {
	e, st := skipValue(b, p)
	if st == good {
		w.out.strays++
		w.prevEnd = -1
		return e, good
	}
	if st == short && len(b)-p <= w.limit {
		return p, short
	}
	w.why = whyValue
	return w.repair(b, p, base, eof)
}

// class finds what the row's ph and cat mean.
func (w *worker) class(b []byte) *class {
	cat := w.ev.bytes(b, slotCat)
	k := append(w.classKey[:0], w.ev.ph)
	if w.ev.is(slotCat) {
		k = append(k, '"')
		k = append(k, cat...)
	}
	w.classKey = k
	c := w.classes[string(k)]
	if c == nil {
		c = newClass(w.ev.ph, cat, w.ev.is(slotCat))
		w.classes[string(k)] = c
	}
	return c
}

// drop counts a row lost to damage.
func (w *worker) drop(at int64, why string) {
	w.prevEnd = -1
	w.out.skipped++
	w.out.note(at, why)
}

// take counts and stores the event just read from b[from:to].
func (w *worker) take(b []byte, from, to int, base int64, c *class) {
	stored := c.stored
	w.prevEnd = to
	if stored && !w.ev.is(slotTS) {
		w.drop(base+int64(from), whyTS)
		return
	}
	c.rows++
	if stored && !w.discard {
		w.store(b, c)
	} else if c.ph == 'M' && w.ev.is(slotLabel) {
		w.label(b)
	}
	if stored && w.ev.frac {
		w.out.hasFrac = true
	}
	if w.row != nil {
		w.err = w.row(w, b, from, to, base, c, stored)
	}
}

// store appends the event to the batch.
func (w *worker) store(b []byte, c *class) {
	ev, out := &w.ev, w.out
	n := out.n
	if n == len(out.ts) {
		out.grow()
	}
	out.ts[n] = ev.time[0]
	out.dur[n] = 0
	if ev.is(slotDur) && ev.time[1] > 0 {
		out.dur[n] = out.narrow(uint64(ev.time[1]), ColDur)
	}
	out.name[n] = w.names.id(ev.bytes(b, slotName))
	out.corr[n] = out.narrow(ev.count(slotCorr), ColCorr)
	out.ext[n] = out.narrow(ev.count(slotExt), ColExt)
	out.track[n] = w.track(b, c)
	out.kind[n] = c.kind
	if c.gpu {
		w.gpuArgs(out)
	}
	for _, a := range ev.args {
		out.args = append(out.args, argAt{n, a.key, w.texts.raw(a.of(b))})
	}
	out.n++
}

func (w *worker) gpuArgs(out *batch) {
	if w.ev.is(slotBytes) {
		out.bytes = append(out.bytes, intAt{out.n, int64(w.ev.count(slotBytes))})
	}
	if v := w.ev.count(slotNode); v != 0 {
		out.nodes = append(out.nodes, intAt{out.n, int64(v)})
	}
}

// track numbers the event's lane. GPU rows of old files have a thread's name for
// a tid, and python rows may have pid 0, so args come first and only for GPU kinds.
func (w *worker) track(b []byte, c *class) uint16 {
	pid, tid := slotPid, slotTid
	if c.gpu {
		if w.ev.is(slotDevice) {
			pid = slotDevice
		}
		if w.ev.is(slotStream) {
			tid = slotStream
		}
	}
	return w.tracks.id(c.gpu, w.ev.bytes(b, pid), w.ev.bytes(b, tid))
}

// label keeps the name an M row gives to a process or thread.
func (w *worker) label(b []byte) {
	switch kind := string(w.ev.bytes(b, slotName)); kind {
	case "process_name", "process_labels", "thread_name":
		w.out.labels = append(w.out.labels, Label{
			Pid: text(w.ev.bytes(b, slotPid)), Tid: text(w.ev.bytes(b, slotTid)),
			Kind: kind, Name: text(w.ev.bytes(b, slotLabel)),
		})
	}
}

// raw numbers raw JSON text.
func (t *table) raw(b []byte) uint32 {
	if n, ok := t.ids[string(b)]; ok {
		return n
	}
	n := uint32(len(t.list))
	s := string(b)
	t.ids[s] = n
	t.list = append(t.list, s)
	return n
}

// learnLayout notes how the event at p is set off from the one before it.
func (w *worker) learnLayout(b []byte, p int) {
	prev := w.prevEnd
	if prev < 0 {
		return
	}
	q := skipSpace(b, p+1)
	if b[q] != '"' || p-prev > maxGapText || q-p > maxGapText {
		return
	}
	k := stringEnd(b, q+1)
	w.lay = newLayout(string(b[prev:p]), string(b[p:q+1]), string(b[q+1:k+1]))
}

// kinds maps a lower-case cat to its kind. The bare words are those of 2020-21.
var kinds = map[string]Kind{
	"kernel":              Kernel,
	"gpu_memcpy":          Memcpy,
	"memcpy":              Memcpy,
	"gpu_memset":          Memset,
	"memset":              Memset,
	"cuda_runtime":        Runtime,
	"runtime":             Runtime,
	"hip_runtime":         Runtime,
	"mtia_runtime":        Runtime,
	"xpu_runtime":         Runtime,
	"glow_runtime":        Runtime,
	"privateuse1_runtime": Runtime,
	"cuda_driver":         Driver,
	"xpu_driver":          Driver,
	"privateuse1_driver":  Driver,
	"cpu_op":              Op,
	"operator":            Op,
	"user_annotation":     Annotation,
	"gpu_user_annotation": GPUAnnotation,
	"python_function":     Python,
	"overhead":            Overhead,
	"cuda_sync":           Sync,
	"xpu_sync":            Sync,
	"trace":               Span,
}

// class is what the ph and cat of a row settle for all rows like it.
type class struct {
	ph      byte
	cat     string
	counted string // key of File.Counts
	kind    Kind
	stored  bool
	gpu     bool
	rows    int64 // since the last batch ended
}

func newClass(ph byte, cat []byte, hasCat bool) *class {
	c := &class{ph: ph, cat: text(cat), counted: "ph " + string(rune(ph))}
	if hasCat {
		c.counted = c.cat
	}
	if ph == '?' || !bytes.ContainsRune([]byte("XMstfiIC"), rune(ph)) {
		c.counted = "unsupported phase " + string(rune(ph))
	}
	switch ph {
	case 'X':
		c.kind, c.stored = kinds[string(bytes.ToLower([]byte(c.cat)))], true
	case 'i', 'I':
		c.kind, c.stored = Instant, !hasCat
	}
	switch c.kind {
	case Kernel, Memcpy, Memset, GPUAnnotation, Sync:
		c.gpu = true
	}
	return c
}
