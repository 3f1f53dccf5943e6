package kineto

import (
	"bytes"
	"strings"
)

// What can be wrong with an event, for File.Damage.
const (
	whyKey    = "a key is not a quoted string"
	whyColon  = "a key lacks its colon"
	whyValue  = "a value is not JSON"
	whyComma  = "a comma or brace is missing"
	whyTS     = "an event has no usable ts"
	whyPh     = "an event has no ph"
	whyLong   = "an event is longer than 16 MiB"
	whyQuotes = "unescaped quote in a name"
)

// newLayout makes a layout of the gap between two events, the opening brace up
// to the first quote, and the first key with its closing quote. A line end
// cannot stand inside a JSON string, so a gap with one is sign enough of an
// event; in one-line files the brace before and the key behind are asked for too.
func newLayout(gap, open, key string) layout {
	l := layout{gap: gap, sep: []byte(gap + open), brace: len(gap)}
	l.cut, l.cutBrace = l.sep, l.brace
	if !strings.Contains(gap, "\n") {
		l.cut, l.cutBrace = []byte("}"+gap+open+key), l.brace+1
	}
	return l
}

// lastStart returns the place of the last event's brace that b surely holds, or 0.
func (l *layout) lastStart(b []byte) int {
	if len(l.cut) == 0 {
		return 0
	}
	if i := bytes.LastIndex(b, l.cut); i >= 0 {
		return i + l.cutBrace
	}
	return 0
}

// repair deals with the element at p that breaks the grammar. It finds the next
// event, tries to read the broken one once more as one whose name holds bare
// quotes or that lacks a comma, and else gives up that event alone. Until the next event is in sight
// it asks for more text, so that the result does not depend on how the text was cut.
func (w *worker) repair(b []byte, p int, base int64, eof bool) (int, status) {
	why := w.why
	w.prevEnd = -1
	next, limit := w.nextStart(b, p+1), len(b)
	if next >= 0 {
		limit = next
	} else if !eof && len(b)-p <= w.limit {
		return p, short
	}
	if b[p] == '{' {
		w.lenient, w.loose = true, false
		learning := w.learning
		w.learning = false
		e, st := w.parse(b[:limit], p)
		w.lenient, w.learning = false, learning
		if st == good && w.ev.is(slotPh) && (next < 0 || w.between(b[:limit], e) == limit) {
			if w.loose {
				why = whyQuotes
			}
			w.out.note(base+int64(p), why)
			w.recovered = true
			w.take(b, p, e, base, w.class(b))
			w.recovered = false
			return e, good
		}
	}
	w.drop(base+int64(p), why)
	if next < 0 {
		w.lost = true
		return p + 1, good
	}
	return next, good
}

// find moves on to the next event or, when there is none, to the bracket that
// ends the array; without either it passes over all that cannot be the start of one.
func (w *worker) find(b []byte, p int, eof bool) (at int, found bool) {
	if next := w.nextStart(b, p); next >= 0 {
		return next, true
	}
	if !eof {
		if keep := len(b) - maxSeek; keep > p {
			return keep, false
		}
		return p, false
	}
	if end := arrayEnd(b, p); end >= 0 {
		return end, true
	}
	return len(b), false
}

// nextStart returns the place of the brace of the next event at or behind p, or -1.
func (w *worker) nextStart(b []byte, p int) int {
	for {
		i := -1
		if len(w.lay.sep) > 0 {
			if i = bytes.Index(b[p:], w.lay.sep); i >= 0 {
				i += w.lay.brace
			}
		} else {
			i = bytes.IndexByte(b[p:], '{')
		}
		if i < 0 {
			return -1
		}
		p += i
		if w.startsEvent(b, p) {
			return p
		}
		p++
	}
}

// startsEvent says whether the brace at p opens an event by the looks of it: an
// element of an array of objects whose first key is one of an event's.
func (w *worker) startsEvent(b []byte, p int) bool {
	q := skipSpace(b, p+1)
	if q >= len(b) || b[q] != '"' || !eventKey(b, q) {
		return false
	}
	if strings.Contains(w.lay.gap, "\n") {
		return true
	}
	i := spaceBefore(b, p)
	if i == 0 || b[i-1] != ',' {
		return false
	}
	i = spaceBefore(b, i-1)
	return i > 0 && (b[i-1] == '}' || b[i-1] == ']')
}

func spaceBefore(b []byte, p int) int {
	for p > 0 && charClass[b[p-1]] == charSpace {
		p--
	}
	return p
}

// eventKey says whether `"key":` with a key of an event stands at b[p].
func eventKey(b []byte, p int) bool {
	if b[p] != '"' {
		return false
	}
	for _, k := range [...]string{"ph", "cat", "name", "pid", "tid", "ts", "dur", "args", "id", "bp", "s"} {
		e := p + 1 + len(k)
		if e < len(b) && b[e] == '"' && string(b[p+1:e]) == k {
			q := skipSpace(b, e+1)
			return q < len(b) && b[q] == ':'
		}
	}
	return false
}

// looseEnd is stringEnd for a name that may hold bare quotes: it ends where the
// event visibly goes on with a key of its own, be it without a comma, or ends.
func looseEnd(b []byte, p int) int {
	for {
		i := bytes.IndexByte(b[p:], '"')
		if i < 0 {
			return -1
		}
		p += i
		if q := skipSpace(b, p+1); q < len(b) {
			switch b[q] {
			case ',':
				if k := skipSpace(b, q+1); k < len(b) && b[k] == '"' && eventKey(b, k) {
					return p
				}
			case '"':
				if eventKey(b, q) {
					return p
				}
			case '}':
				k := skipSpace(b, q+1)
				if k == len(b) || b[k] == ']' || b[k] == ',' && openBrace(b, k+1) {
					return p
				}
			}
		}
		p++
	}
}

func openBrace(b []byte, p int) bool {
	p = skipSpace(b, p)
	return p == len(b) || b[p] == '{'
}

// arrayEnd returns the place of the bracket that ends the events array in text
// that holds no further event, or -1.
func arrayEnd(b []byte, p int) int {
	for {
		i := bytes.IndexByte(b[p:], ']')
		if i < 0 {
			return -1
		}
		p += i
		if j := spaceBefore(b, p); j > 0 && (b[j-1] == '}' || b[j-1] == ',') {
			q := skipSpace(b, p+1)
			switch {
			case q == len(b) || b[q] == '}':
				return p
			case b[q] == ',':
				if k := skipSpace(b, q+1); k < len(b) && b[k] == '"' {
					if _, _, st := key(b, k); st == good {
						return p
					}
				}
			}
		}
		p++
	}
}
