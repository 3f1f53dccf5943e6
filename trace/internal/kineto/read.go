package kineto

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Read reads a whole trace. The error is a *FormatError when nothing in the file
// can be used, the context's error when it ended, or that of the first read;
// all else that is wrong with the file is told in File. A call of src.R.Read
// that blocks delays cancellation.
func Read(ctx context.Context, src Source, opt Options) (*File, error) {
	return read(ctx, src, opt, nil, nil)
}

func read(ctx context.Context, src Source, opt Options, row rowFunc, onKey func(k, v []byte) error) (*File, error) {
	if len(opt.Args) > maxArgs {
		return nil, fmt.Errorf("more than %d argument keys", maxArgs)
	}
	opt.setDefaults()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	in, err := open(src, &opt)
	if err != nil {
		return nil, err
	}
	f := &frame{store: newStore(), opt: &opt, onKey: onKey}
	f.w = newWorker(&opt, FracDecimal, layout{})
	f.w.row = row
	c := &cutter{ctx: ctx, in: in, limit: opt.MaxRaw}
	f.head(c)
	if opt.Workers > 1 && !c.done && row == nil {
		f.parallel(c)
	} else {
		p := &piece{buf: make([]byte, opt.chunk)}
		for f.err == nil && c.next(p) {
			f.parse(f.w, p)
			f.commit(c, p)
		}
	}
	return f.finish(c)
}

// head reads on alone until the events have begun and their layout is known.
func (f *frame) head(c *cutter) {
	p := &piece{buf: make([]byte, f.opt.chunk)}
	for f.err == nil && c.next(p) {
		f.commit(c, p)
		if f.state == inEvents && len(f.w.lay.cut) > 0 && !f.w.lost && len(f.carry) < f.opt.chunk/2 {
			c.lay, c.clean = f.w.lay, true
			c.tail = append(c.tail, f.carry...)
			c.off -= int64(len(f.carry))
			f.carry = f.carry[:0]
			return
		}
	}
}

// parse reads the events of a piece that starts between two.
func (f *frame) parse(w *worker, p *piece) {
	if !p.clean || w == f.w && !f.clean() {
		p.clean = false
		return
	}
	p.batch.reset(w)
	p.used, p.ended = w.run(p.buf[:p.n], p.base, false, &p.batch)
	p.batch.close()
}

// commit takes pieces in the order of the text. What a worker made of a piece
// counts only when the piece before ended exactly where this one starts, between
// two events; if not, the piece was cut at what only looked like an event, and is
// read again behind what was left.
func (f *frame) commit(c *cutter, p *piece) {
	if p.clean && f.clean() {
		f.take(&p.batch, p.base+int64(p.used))
		f.base += int64(p.used)
		f.err = errors.Join(f.err, p.batch.worker.err)
		rest := p.buf[p.used:p.n]
		if p.ended {
			f.state = atKey
			if f.f.BareArray {
				f.state = atEnd
			}
			f.feed(rest, false)
		} else {
			f.carry = append(f.carry[:0], rest...)
		}
	} else {
		f.feed(p.buf[:p.n], false)
	}
	if f.base+int64(len(f.carry))-f.latest > f.opt.gap {
		f.err = errGap
	}
	if f.err != nil {
		c.stop.Store(true)
	}
}

// parallel has workers take, parse and hand in pieces. A free list bounds how far
// they run ahead; whoever hands in the piece that is next in line commits it and
// those that wait behind it.
func (f *frame) parallel(c *cutter) {
	n := f.opt.Workers
	free := make(chan *piece, 2*n+1)
	for range cap(free) {
		free <- &piece{buf: make([]byte, f.opt.chunk)}
	}
	line := &line{next: c.seq, waiting: map[int]*piece{}, commit: func(p *piece) {
		if f.err == nil {
			f.commit(c, p)
		}
		free <- p
	}}
	var wg sync.WaitGroup
	for range n {
		wg.Add(1)
		go func() {
			defer wg.Done()
			w := newWorker(f.opt, f.w.mode, f.w.lay)
			for {
				p := <-free
				if !c.next(p) {
					free <- p
					return
				}
				f.parse(w, p)
				line.hand(p)
			}
		}()
	}
	wg.Wait()
}

// line brings pieces back into order.
type line struct {
	mu      sync.Mutex
	next    int
	waiting map[int]*piece
	busy    bool
	commit  func(*piece)
}

func (l *line) hand(p *piece) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting[p.seq] = p
	for !l.busy {
		q := l.waiting[l.next]
		if q == nil {
			return
		}
		delete(l.waiting, l.next)
		l.next++
		l.busy = true
		l.mu.Unlock()
		l.commit(q)
		l.mu.Lock()
		l.busy = false
	}
}

// finish reads what is left, and settles whether the file is whole or usable at all.
func (f *frame) finish(c *cutter) (*File, error) {
	if err := c.ctx.Err(); err != nil {
		c.in.close()
		return nil, err
	}
	if f.err == nil {
		f.feed(nil, true)
	}
	out := f.f
	f.settle(c)
	c.in.finish(out, f.err != nil || c.err == errLimit)
	if f.err != nil && f.err != errGap {
		return nil, f.err
	}
	if err := f.useless(c); err != nil {
		return nil, err
	}
	return out, nil
}

// settle fills in the figures about the whole.
func (f *frame) settle(c *cutter) {
	out := f.f
	out.Frac, out.IntegerTS = f.w.mode, !f.frac
	out.RawBytes = f.base + int64(len(f.carry))
	if out.RawBytes < c.off {
		out.RawBytes = c.off
	}
	why := ""
	switch {
	case f.whole():
	case f.err == errGap:
		why = errGap.Error()
	case f.state == inEvents && f.w.between(f.carry, 0) < len(f.carry):
		why = "the JSON ends inside an event"
	case f.state == inEvents || f.state == atEvents:
		if !out.BareArray { // Chrome's array form may lack its bracket
			why = "the JSON ends before the bracket that closes traceEvents"
		}
	case f.seen:
		why = "the JSON ends inside the keys behind traceEvents"
	default:
		why = "the JSON ends before traceEvents"
	}
	out.ChecksumFailed = checksumFailed(c.err)
	if c.err != nil && f.err == nil {
		what, ok := c.in.explain(c.err, out.RawBytes, f.whole())
		if f.whole() || ok && why == "" {
			f.note(out.RawBytes, what)
		} else {
			why = what
		}
	}
	if why != "" {
		out.Truncated, out.TruncatedAt, out.TruncatedBy = true, out.RawBytes, why
	}
}

// useless says why the file holds nothing to work with, or nil.
func (f *frame) useless(c *cutter) error {
	out := f.f
	if c.err != nil && out.RawBytes == 0 {
		what, _ := c.in.explain(c.err, 0, false)
		return &FormatError{What: "cannot be unpacked: " + what, Hint: "it is still being written, or the copy was cut off"}
	}
	switch {
	case out.Events == 0 && f.err == errGap:
		return &FormatError{What: fmt.Sprintf("has no event in its first %d MiB", (f.latest+f.opt.gap)>>20), Hint: hintOther}
	case out.Events == 0 && c.err == errLimit && !f.whole():
		return &FormatError{What: fmt.Sprintf("has no event in its first %d bytes", c.limit), Hint: hintOther}
	case !f.seen && f.state == atStart:
		return &FormatError{What: "holds only white space", Hint: "the profiler has not written it yet, or the copy failed"}
	case !f.seen && out.Truncated:
		return &FormatError{out.RawBytes, "is cut off before traceEvents", "it is still being written, or the copy was cut off"}
	case !f.seen:
		return &FormatError{What: "is JSON without traceEvents", Hint: hintTrace}
	case out.Events == 0 && out.Skipped > 0:
		at := int64(0)
		if len(out.Damage) > 0 {
			at = out.Damage[0].Offset
		}
		return &FormatError{at, "holds no trace event", hintTrace}
	case out.Events == 0 && out.Truncated:
		return &FormatError{out.RawBytes, "is cut off before its first event", "it is still being written, or the copy was cut off"}
	}
	return nil
}

// Row is one row of traceEvents as Scan hands it out; its slices are good until
// the callback returns.
type Row struct {
	Raw    []byte // the object's bytes, braces included
	Offset int64  // of Raw in the decompressed text
	Index  int64  // place among the rows read well
	Stored bool   // Read keeps the row, and knows it by ID
	ID     EventID
	Broken bool // Raw is not valid JSON: its name holds bare quotes, or a comma is missing
	Kind   Kind
	Ph     byte
	Cat    string // "" when absent
	Name   []byte // raw text between the quotes
	TS     int64  // ns on the file's clock, 0 when absent
	Dur    int64  // ns, 0 when absent
	Corr   uint64
	Ext    uint64
	FlowID uint64 // top-level id, 0 when absent
	Pid    []byte // raw, without quotes
	Tid    []byte
}

// Handler gets the parts of a file in the order of the text. Writing every key
// with its value, and the rows wanted as one traceEvents array where the first
// row comes, makes a valid trace again.
type Handler struct {
	Key func(key, value []byte) error // a top-level key but traceEvents, raw text without the key's quotes; may be nil
	Row func(*Row) error
}

type rowFunc = func(w *worker, b []byte, from, to int, base int64, c *class, stored bool) error

// Scan reads a trace in one goroutine and hands out its parts; opt.Workers is not
// used. The File has no blocks. A Handler's error ends the scan and is returned.
func Scan(ctx context.Context, src Source, opt Options, h Handler) (*File, error) {
	opt.Workers, opt.Discard = 1, true
	r := new(Row)
	var rows, stored int64
	return read(ctx, src, opt, func(w *worker, b []byte, from, to int, base int64, c *class, keep bool) error {
		ev := &w.ev
		*r = Row{
			Raw: b[from:to], Offset: base + int64(from), Index: rows,
			Stored: keep, ID: EventID(stored), Broken: w.recovered,
			Kind: c.kind, Ph: c.ph, Cat: c.cat,
			Name: ev.bytes(b, slotName), Pid: ev.bytes(b, slotPid), Tid: ev.bytes(b, slotTid),
			Corr: ev.count(slotCorr), Ext: ev.count(slotExt), FlowID: ev.count(slotID),
		}
		if ev.is(slotTS) {
			r.TS = ev.time[0]
		}
		if ev.is(slotDur) {
			r.Dur = max(ev.time[1], 0)
		}
		rows++
		if keep {
			stored++
		}
		return h.Row(r)
	}, h.Key)
}
