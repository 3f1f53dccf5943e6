package kineto

import (
	"bytes"
	"strings"
)

// state is where in the file's outermost object the text stands.
type state uint8

const (
	atStart  state = iota
	atKey          // a key, a comma or the closing brace
	atEvents       // in front of the events, whose first stretch shows how ts is written
	inEvents
	inBig   // inside a top-level value that is too long to keep
	seeking // the outermost object is broken: looking for its next key
	atEnd
)

const (
	maxMeta  = 1 << 20   // bytes of a top-level value that is kept
	seekView = 1 << 10   // text looked at to tell a key while seeking
	fracView = 256 << 10 // text looked at to tell how fractions are written
)

// whyTopKey also meets every bracket behind a wrong guess at a key, so it is told
// only while the keys are in step.
const whyTopKey = "a top-level key is not a quoted string"

// frame walks the outermost structure of one file. It is fed the text in pieces.
type frame struct {
	*store
	opt    *Options
	w      *worker
	batch  batch
	state  state
	carry  []byte // text fed and not used up yet
	base   int64  // offset of carry, or of the next piece
	seen   bool   // the events array was met
	latest int64  // offset up to which the last events or keys were read
	big    bigValue
	lost   lostKeys
	onKey  func(key, value []byte) error
	tail   bool // text behind the end was noted
	err    error
}

// lostKeys is what is known while the outermost object's keys are out of step.
type lostKeys struct {
	on   bool // since something broke, and until the events array is met
	box  bool // inside an object or array, whose own keys must not be taken for top-level ones
	last byte // the last character passed that is not white space
}

// bigValue follows a value too long to keep: nesting and strings only.
type bigValue struct {
	depth   int
	quoted  bool
	escaped bool
}

// feed takes the next piece of the text.
func (f *frame) feed(piece []byte, eof bool) {
	b := piece
	if len(f.carry) > 0 {
		if n := len(f.carry) + len(piece); n > cap(f.carry) {
			f.carry = append(make([]byte, 0, 2*n), f.carry...)
		}
		f.carry = append(f.carry, piece...)
		b = f.carry
	}
	used := 0
	for f.err == nil && f.state != atEnd {
		n, more := f.step(b[used:], eof)
		used += n
		f.base += int64(n)
		if more {
			break
		}
	}
	if f.state == atEnd {
		f.trailing(b[used:])
		used = len(b)
	}
	f.carry = append(f.carry[:0], b[used:]...)
}

// step reads one part of the structure and returns how much of b it used; more
// says that it needs text behind b.
func (f *frame) step(b []byte, eof bool) (used int, more bool) {
	switch f.state {
	case atStart:
		return f.start(b, eof)
	case atKey:
		return f.keyValue(b)
	case atEvents:
		if len(b) < fracView && !eof {
			return 0, true
		}
		f.w.mode = fracMode(b[:min(len(b), fracView)])
		f.state = inEvents
	case inEvents:
		return f.events(b, eof)
	case inBig:
		n, done := f.big.skip(b)
		if done {
			f.state = atKey
		}
		return n, !done
	case seeking:
		return f.seek(b, eof)
	}
	return 0, false
}

func (f *frame) start(b []byte, eof bool) (int, bool) {
	p := 0
	if bytes.HasPrefix(b, []byte("\xef\xbb\xbf")) {
		p = 3
	}
	if p = skipSpace(b, p); p == len(b) {
		return p, true
	}
	switch b[p] {
	case '{':
		f.state = atKey
	case '[':
		f.f.BareArray, f.seen = true, true
		f.state = atEvents
	default:
		if len(b)-p < 512 && !eof {
			return 0, true
		}
		f.err = notJSON(b[p:], f.base+int64(p))
	}
	return p + 1, false
}

// keyValue reads one key and its value, or the end of the object.
func (f *frame) keyValue(b []byte) (int, bool) {
	p := 0
	for p < len(b) && (b[p] == ',' || charClass[b[p]] == charSpace) {
		p++
	}
	if p == len(b) {
		return p, true
	}
	if b[p] == '}' {
		f.state = atEnd
		if f.lost.on {
			return f.closed(p)
		}
		return p + 1, false
	}
	if b[p] != '"' {
		return f.broken(p, whyTopKey)
	}
	k, v, st := key(b, p)
	switch {
	case st == bad:
		return f.broken(p, "a top-level key lacks its colon")
	case st == short && len(b)-p > maxMeta:
		return f.broken(p, "a top-level key never ends")
	case st == short:
		return p, true
	}
	if text(k) == "traceEvents" && b[v] == '[' {
		return f.found(v)
	}
	return f.value(b, p, v, k)
}

// found enters the events array whose bracket is at v.
func (f *frame) found(v int) (int, bool) {
	f.seen, f.lost = true, lostKeys{}
	f.state = atEvents
	return v + 1, false
}

// closed takes the brace at p, met while keys are out of step: in front of the
// events it can only be that of an inner object, behind them it may be either.
func (f *frame) closed(p int) (int, bool) {
	if f.seen {
		f.tail = true
	} else {
		f.state, f.lost.box, f.lost.last = seeking, false, '}'
	}
	return p + 1, false
}

// value reads the value at v of the key at p.
func (f *frame) value(b []byte, p, v int, k []byte) (int, bool) {
	e, st := skipValue(b, v)
	if st == good {
		e, st = afterItem(b, e)
		if st == bad && b[e] == '"' {
			if _, _, st = key(b, e); st == good {
				f.note(f.base+int64(e), "a comma is missing behind the top-level value of "+clip(k))
			}
		}
	}
	switch {
	case st == bad:
		n, more := f.broken(p, "the top-level value of "+clip(k)+" is not JSON")
		f.lost.box = b[v] == '{' || b[v] == '['
		return n, more
	case st == short && len(b)-v <= maxMeta:
		return p, true
	case st == short || e-v > maxMeta:
		f.note(f.base+int64(v), "the top-level value of "+clip(k)+" is longer than 1 MiB and left out")
		f.state, f.big = inBig, bigValue{}
		return v, false
	}
	raw := bytes.TrimRight(b[v:e], " \t\r\n")
	f.meta(k, raw)
	if f.onKey != nil {
		f.err = f.onKey(k, raw)
	}
	f.latest = f.base + int64(e)
	return e, false
}

// clip shortens a key for a message.
func clip(k []byte) string {
	if len(k) > 40 {
		k = append(append([]byte(nil), k[:40]...), "…"...)
	}
	return strings.ToValidUTF8(string(k), "?")
}

// broken gives up on a key or value of the outermost object and looks for the next.
func (f *frame) broken(p int, what string) (int, bool) {
	if !f.lost.on || what != whyTopKey {
		f.note(f.base+int64(p), what)
	}
	f.state, f.lost = seeking, lostKeys{on: true}
	return p, false
}

// seek looks for the next key of the outermost object: any behind a comma, and
// the events array wherever its key stands.
func (f *frame) seek(b []byte, eof bool) (int, bool) {
	for p, c := range b {
		if charClass[c] == charSpace {
			continue
		}
		if c == ',' || c == '"' && !f.seen {
			view := b[p:min(len(b), p+seekView)]
			v, events, st := f.topKey(view)
			switch {
			case st == short && len(view) < seekView && !eof:
				return p, true
			case st == good && events:
				return f.found(p + v)
			case st == good:
				f.state = atKey
				return p, false
			}
		}
		f.lost.last = c
	}
	return len(b), true
}

// topKey says whether b starts with a comma and a key, or with the events array's
// key alone, and where the value is.
func (f *frame) topKey(b []byte) (v int, events bool, st status) {
	const name = `"traceEvents"`
	q := 0
	if b[0] == ',' {
		if q = skipSpace(b, 1); q == len(b) {
			return 0, false, short
		}
	}
	events = bytes.HasPrefix(b[q:], []byte(name))
	switch {
	case b[q] != '"':
		return 0, false, bad
	case bytes.HasPrefix([]byte(name), b[q:]):
		return 0, false, short
	case !events && (b[0] != ',' || f.lost.box && f.lost.last != ']' && f.lost.last != '}'):
		return 0, false, bad
	}
	_, v, st = key(b, q)
	events = events && st == good && b[v] == '['
	if b[0] != ',' && st == good && !events {
		st = bad
	}
	return v, events, st
}

// whole says whether the text came up to its last bracket.
func (f *frame) whole() bool {
	return f.state == atEnd || f.state == seeking && f.lost.last == '}'
}

// events reads events up to the end of b or of the array.
func (f *frame) events(b []byte, eof bool) (int, bool) {
	f.batch.reset(f.w)
	used, ended := f.w.run(b, f.base, eof, &f.batch)
	f.batch.close()
	f.take(&f.batch, f.base+int64(used))
	if f.w.err != nil {
		f.err = f.w.err
	}
	if ended {
		f.state = atKey
		if f.f.BareArray {
			f.state = atEnd
		}
	}
	return used, !ended
}

// take stores a batch that ended at offset end.
func (f *frame) take(t *batch, end int64) {
	f.add(t)
	if t.events > 0 {
		f.latest = end
	}
}

// trailing notes the first thing behind the outermost value that is not white space.
func (f *frame) trailing(b []byte) {
	if p := skipSpace(b, 0); p < len(b) && !f.tail {
		f.tail = true
		f.note(f.base+int64(p), "text goes on behind the end of the JSON")
	}
	f.base += int64(len(b))
}

// skip passes over more of the value and says whether its end was met.
func (v *bigValue) skip(b []byte) (n int, done bool) {
	for i, c := range b {
		switch {
		case v.escaped:
			v.escaped = false
		case v.quoted:
			v.escaped = c == '\\'
			v.quoted = c != '"'
		case c == '"':
			v.quoted = true
		case c == '{' || c == '[':
			v.depth++
		case (c == ',' || c == '}' || c == ']') && v.depth == 0:
			return i, true
		case c == '}' || c == ']':
			v.depth--
		}
	}
	return len(b), false
}

// clean says whether the text to come is between two events and nothing is open.
func (f *frame) clean() bool {
	return f.state == inEvents && len(f.carry) == 0 && !f.w.lost && !f.w.gapOpen
}
