package kineto

// slot says which field of an event a value belongs to.
type slot uint8

const (
	slotNone slot = iota
	slotPh
	slotCat
	slotName
	slotPid
	slotTid
	slotDevice
	slotStream
	slotLabel
	slotTS
	slotDur
	slotCorr
	slotExt
	slotBytes
	slotNode
	slotID
	slotArg // slotArg+k is Options.Args[k]

	slotText = slotLabel + 1 // slots below it hold text
)

// maxArgs is how many keys Options.Args may name.
const maxArgs = 32

// span is a stretch of the buffer an event was read from.
type span struct{ from, to int }

func (s span) of(b []byte) []byte { return b[s.from:s.to] }

// event is one row as read; a field counts only when its bit in has is set.
type event struct {
	has  uint32
	ph   byte
	frac bool // ts had a fraction
	text [slotText]span
	time [2]int64 // ts, dur in ns
	num  [slotID - slotCorr + 1]uint64
	args []argSpan
}

// argSpan is the raw text of one of Options.Args.
type argSpan struct {
	key uint8
	span
}

func (e *event) is(s slot) bool { return e.has>>s&1 != 0 }

func (e *event) count(s slot) uint64 {
	if e.is(s) {
		return e.num[s-slotCorr]
	}
	return 0
}

func (e *event) bytes(b []byte, s slot) []byte {
	if e.is(s) {
		return e.text[s].of(b)
	}
	return nil
}

// parser reads one event after another out of buffers; its fields are the last one's.
type parser struct {
	ev   event
	mode FracMode
	keys []string // Options.Args
	why  string   // what broke, after bad

	// While learning is on, marks collects the values whose text may differ in
	// the next event of the same shape; odd says that the shape is not worth it.
	learning bool
	odd      bool
	marks    []mark
	seen     uint32 // slots met, to notice duplicate keys

	lenient bool // the name may hold bare quotes, and commas may be missing
	loose   bool // the name did hold some
	scratch []byte
}

// mark is a value met while learning.
type mark struct {
	span
	act  action
	slot slot
}

// parse reads the event whose brace is at b[at] and returns its end.
func (p *parser) parse(b []byte, at int) (int, status) {
	p.ev.has, p.ev.ph, p.ev.args = 0, 0, p.ev.args[:0]
	p.marks, p.odd, p.seen = p.marks[:0], false, 0
	return p.members(b, at, false)
}

// members reads an object's keys and values: the event itself, or its args.
func (p *parser) members(b []byte, at int, inArgs bool) (int, status) {
	for i := at + 1; ; {
		if i = skipSpace(b, i); i >= len(b) {
			return at, short
		}
		if b[i] == '}' {
			return i + 1, good
		}
		if b[i] == ',' {
			i++
			continue
		}
		if b[i] != '"' {
			p.why = whyKey
			return i, bad
		}
		k, v, st := key(b, i)
		if st != good {
			p.why = whyColon
			return v, st
		}
		if i, st = p.member(b, k, v, inArgs); st != good {
			return i, st
		}
		i, st = afterItem(b, i)
		switch {
		case st == good && b[i] != ']':
		case st == bad && p.lenient && !inArgs && eventKey(b, i):
			// The next key is in plain sight; only the comma before it is missing.
		case st == short:
			return i, short
		default:
			p.why = whyComma
			return i, bad
		}
	}
}

// member reads the value at v of key k.
func (p *parser) member(b, k []byte, v int, inArgs bool) (int, status) {
	if n := len(k); n > 0 && hasEscape(k) {
		p.scratch = appendUnescaped(p.scratch[:0], k)
		k, p.odd = p.scratch, true
	}
	if inArgs {
		s := argSlot(k)
		for n, name := range p.keys {
			if string(k) != name {
				continue
			}
			if s != slotNone {
				p.odd = true
				p.rawArg(b, v, n)
			} else {
				s = slotArg + slot(n)
			}
		}
		return p.value(b, v, s, true)
	}
	if string(k) == "args" {
		p.resetArgs()
		if b[v] == '{' {
			return p.members(b, v, true)
		}
	}
	return p.value(b, v, topSlot(k), false)
}

// resetArgs forgets what an earlier args object of the same event said.
func (p *parser) resetArgs() {
	const argSlots = 1<<slotDevice | 1<<slotStream | 1<<slotLabel | 1<<slotCorr | 1<<slotExt | 1<<slotBytes | 1<<slotNode
	const met = 1 << 31
	p.odd = p.odd || p.seen&met != 0
	p.seen |= met
	p.ev.has &^= argSlots
	p.ev.args = p.ev.args[:0]
}

// rawArg notes the value at v as text of Options.Args[n] besides its own slot.
func (p *parser) rawArg(b []byte, v, n int) {
	if e, st := skipValue(b, v); st == good {
		p.setArg(uint8(n), span{v, e})
	}
}

func (p *parser) setArg(key uint8, s span) {
	for i := range p.ev.args {
		if p.ev.args[i].key == key {
			p.ev.args[i].span = s
			return
		}
	}
	p.ev.args = append(p.ev.args, argSpan{key, s})
}

// value reads any value at i into slot s.
func (p *parser) value(b []byte, i int, s slot, inArgs bool) (int, status) {
	if s != slotNone && s < slotArg {
		p.odd = p.odd || p.seen>>s&1 != 0
		p.seen |= 1 << s
		p.ev.has &^= 1 << s
	}
	p.why = whyValue
	switch b[i] {
	case '"':
		return p.str(b, i, s, inArgs)
	case '{', '[':
		from := len(p.marks)
		e, st := skipBox(b, i)
		if st == good && p.learning && !p.numbers(b[:e], i, from, s) {
			p.marks = append(p.marks[:from], mark{span{i, e}, actBox, s})
		}
		if st == good && s >= slotArg {
			p.setArg(uint8(s-slotArg), span{i, e})
		}
		return e, st
	}
	e, st := skipScalar(b, i)
	if st == good {
		p.scalar(b, span{i, e}, s)
	}
	return e, st
}

// numbers marks the members of a short list of numbers one by one, which is
// quicker to match again than a box of unknown make.
func (p *parser) numbers(b []byte, i, from int, s slot) bool {
	if b[i] != '[' || s != slotNone {
		return false
	}
	for i++; len(p.marks)-from <= 4; {
		i = skipSpace(b, i)
		if b[i] == ']' {
			return true
		}
		if b[i] == ',' {
			i++
			continue
		}
		e := scalarEnd(b, i)
		if !numeric(b[i:e]) {
			return false
		}
		p.marks = append(p.marks, mark{span{i, e}, actNum, slotNone})
		i = e
	}
	return false
}

// str reads the string at i.
func (p *parser) str(b []byte, i int, s slot, inArgs bool) (int, status) {
	e := stringEnd(b, i+1)
	if p.lenient && s == slotName && !inArgs {
		strict := e
		e = looseEnd(b, i+1)
		p.loose = p.loose || e != strict
	}
	if e < 0 {
		return i, short
	}
	text := span{i + 1, e}
	switch {
	case s == slotNone:
		p.mark(text, actStr, s)
	case s == slotPh:
		p.ev.ph = '?'
		if e == i+2 && b[i+1] < 0x80 {
			p.ev.ph = b[i+1]
		}
		p.ev.has |= 1 << s
		p.odd = p.odd || hasEscape(text.of(b))
	case s == slotCat:
		p.ev.text[s] = text
		p.ev.has |= 1 << s
	case s < slotText:
		p.ev.text[s] = text
		p.ev.has |= 1 << s
		p.mark(text, actStr, s)
	case s >= slotArg:
		p.setArg(uint8(s-slotArg), span{i, e + 1})
		p.mark(text, actStr, s)
	default:
		p.odd = true
		p.number(text.of(b), s)
	}
	return e + 1, good
}

func (p *parser) mark(s span, a action, sl slot) {
	if p.learning {
		p.marks = append(p.marks, mark{s, a, sl})
	}
}

// scalar takes a number or bare word into its slot. Words stay literal text of
// the shape learned.
func (p *parser) scalar(b []byte, t span, s slot) {
	text := t.of(b)
	if s >= slotArg {
		p.setArg(uint8(s-slotArg), t)
	}
	if !numeric(text) {
		p.odd = p.odd || s >= slotArg
		return
	}
	switch {
	case s == slotNone || s >= slotArg || s == slotPh || s == slotCat:
		p.mark(t, actNum, s)
	case s < slotText:
		p.ev.text[s] = t
		p.ev.has |= 1 << s
		p.mark(t, actNum, s)
	case s < slotCorr:
		p.number(text, s)
		p.mark(t, actTime, s)
	default:
		p.number(text, s)
		p.mark(t, actUint, s)
	}
}

// number reads text into a time or count slot; what does not fit leaves the slot unset.
func (p *parser) number(text []byte, s slot) {
	var ok bool
	switch {
	case s == slotTS || s == slotDur:
		var frac bool
		p.ev.time[s-slotTS], frac, ok = parseTime(text, p.mode)
		if s == slotTS {
			p.ev.frac = frac
		}
	case s == slotID:
		p.ev.num[s-slotCorr], ok = parseID(text)
	default:
		p.ev.num[s-slotCorr], ok = parseUint(text)
	}
	if ok {
		p.ev.has |= 1 << s
	} else {
		p.odd = true
	}
}

func topSlot(k []byte) slot {
	switch string(k) {
	case "ph":
		return slotPh
	case "cat":
		return slotCat
	case "name":
		return slotName
	case "pid":
		return slotPid
	case "tid":
		return slotTid
	case "ts":
		return slotTS
	case "dur":
		return slotDur
	case "id":
		return slotID
	}
	return slotNone
}

func argSlot(k []byte) slot {
	switch string(k) {
	case "correlation":
		return slotCorr
	case "External id", "external id":
		return slotExt
	case "device":
		return slotDevice
	case "stream":
		return slotStream
	case "bytes":
		return slotBytes
	case "graph node id":
		return slotNode
	case "name", "labels":
		return slotLabel
	}
	return slotNone
}
