package kineto

import (
	"bytes"
	"encoding/binary"
)

// action is how to pass over a value whose text differs from event to event.
type action uint8

const (
	actNum  action = iota // a number, kept as text or not at all
	actStr                // a string's text, kept or not
	actTime               // microseconds
	actUint               // decimal digits
	actBox                // an object or array
)

// step is literal text and the value behind it.
type step struct {
	lit  string
	act  action
	slot slot
}

// template is the shape of an event that was read before: the same keys in the
// same order with the same white space. It accepts nothing that the general
// parser would not read the same way, since every byte of an event is either
// equal to the learned one or part of a value read by the same rules.
type template struct {
	steps []step
	tail  string
	class *class
	has   uint32
	id    int // place in shapes.list
	hits  int
}

const (
	maxTemplates = 32
	maxSteps     = 96
)

// match reads the event at b[at] and returns its end, or -1 when its shape differs.
func (t *template) match(p *parser, b []byte, at int) int {
	ev := &p.ev
	ev.args = ev.args[:0]
	i := at
	for k := range t.steps {
		s := &t.steps[k]
		j := i + len(s.lit)
		if j >= len(b) || string(b[i:j]) != s.lit {
			return -1
		}
		switch s.act {
		case actNum:
			i = numberEnd(b, j)
		case actUint:
			var v uint64
			v, i = digits(b, j)
			if i == j || i-j > 18 {
				return -1
			}
			ev.num[s.slot-slotCorr] = v
			continue
		case actTime:
			if i = p.matchTime(b, j, s.slot); i < 0 {
				return -1
			}
			continue
		case actStr:
			i = matchStr(b, j)
		case actBox:
			i = matchBox(b, j)
		}
		switch {
		case i < 0:
			return -1
		case s.slot == slotNone:
		case s.slot < slotText:
			ev.text[s.slot] = span{j, i}
		case s.slot >= slotArg:
			p.keep(s, span{j, i})
		}
	}
	e := i + len(t.tail)
	if e > len(b) || string(b[i:e]) != t.tail {
		return -1
	}
	ev.has, ev.ph = t.has, t.class.ph
	return e
}

func (p *parser) matchTime(b []byte, i int, s slot) int {
	v, frac, e := fastTime(b, i, p.mode)
	p.ev.time[s-slotTS] = v
	if s == slotTS {
		p.ev.frac = frac
	}
	return e
}

// matchStr is stringEnd for the usual case of a string without a backslash
// in front of its quote.
func matchStr(b []byte, i int) int {
	n := bytes.IndexByte(b[i:], '"')
	if n < 0 {
		return -1
	}
	if b[i+n-1] != '\\' {
		return i + n
	}
	return stringEnd(b, i)
}

func matchBox(b []byte, i int) int {
	if b[i] != '{' && b[i] != '[' {
		return -1
	}
	e, st := skipBox(b, i)
	if st != good {
		return -1
	}
	return e
}

// keep notes an argument that Options.Args names, with its quotes.
func (p *parser) keep(s *step, t span) {
	if s.act == actStr {
		t.from--
		t.to++
	}
	p.ev.args = append(p.ev.args, argSpan{uint8(s.slot - slotArg), t})
}

// shapes is one goroutine's set of templates.
type shapes struct {
	list   []*template
	before *template // the shapes of the last two events
	last   *template
	guess  [1 << 10]*template // what came behind two shapes the last time
	looks  [1 << 6]*template  // what an event with such bytes near its start was
	budget int                // shapes that may still be learned; matches earn more
	earned int
}

// match tries the template that followed the last two the last time, then the
// last one to look alike, then all others.
func (s *shapes) match(p *parser, b []byte, at int) (*template, int) {
	g := &s.guess[s.last.id<<5|s.before.id]
	if *g != nil {
		if e := (*g).match(p, b, at); e >= 0 {
			s.hit(*g)
			return *g, e
		}
	}
	if at+34 > len(b) {
		return nil, -1
	}
	x := binary.LittleEndian.Uint64(b[at+18:]) ^ binary.LittleEndian.Uint64(b[at+26:])<<1
	l := &s.looks[x*0x9e3779b97f4a7c15>>58]
	if *l != nil && *l != *g {
		if e := (*l).match(p, b, at); e >= 0 {
			*g = *l
			s.hit(*l)
			return *l, e
		}
	}
	for _, t := range s.list {
		if e := t.match(p, b, at); e >= 0 {
			*g, *l = t, t
			s.hit(t)
			return t, e
		}
	}
	return nil, -1
}

func (s *shapes) hit(t *template) {
	t.hits++
	s.before, s.last = s.last, t
	if s.earned++; s.earned >= 64 && s.budget < 2*maxTemplates {
		s.earned = 0
		s.budget++
	}
}

// learn makes a template of the event b[at:end] that p has just read.
func (s *shapes) learn(p *parser, b []byte, at, end int, c *class) {
	if p.odd || len(p.marks) > maxSteps || s.budget == 0 {
		return
	}
	s.budget--
	t := &template{class: c, has: p.ev.has}
	i := at
	for _, m := range p.marks {
		t.steps = append(t.steps, step{string(b[i:m.from]), m.act, m.slot})
		i = m.to
	}
	t.tail = string(b[i:end])
	for _, old := range s.list {
		if old.same(t) {
			return
		}
	}
	s.before, s.last = s.last, t
	if len(s.list) < maxTemplates {
		t.id = len(s.list)
		s.list = append(s.list, t)
		return
	}
	least := 0
	for i, old := range s.list {
		if old.hits < s.list[least].hits {
			least = i
		}
		old.hits /= 2
	}
	t.id = least
	s.list[least] = t
}

func (t *template) same(u *template) bool {
	if t.tail != u.tail || len(t.steps) != len(u.steps) {
		return false
	}
	for i := range t.steps {
		if t.steps[i] != u.steps[i] {
			return false
		}
	}
	return true
}
