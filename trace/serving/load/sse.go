package load

import (
	"bytes"
	"errors"
	"io"
)

// maxLine bounds one line of a stream, and one event's data: a chunk of tokens has a few
// hundred bytes.
const maxLine = 4 << 20

var errLongLine = errors.New("the stream has a line of more than 4 MiB")

// eventReader reads server-sent events (WHATWG HTML §9.2): the data of each, without
// copying it where the event came in one piece. Comments and all fields but data are
// passed over.
type eventReader struct {
	r     io.Reader
	clock func() int64
	buf   []byte
	next  int   // start of what was not yet looked at
	end   int   // end of what was read
	at    int64 // when that was read
	data  []byte
	err   error
}

func newEventReader(r io.Reader, clock func() int64) *eventReader {
	return &eventReader{r: r, clock: clock, buf: make([]byte, 4<<10)}
}

// event is the next event's data, valid until the next call, and when its last
// line came. Data before the end of a stream that broke off comes first, then the error.
func (e *eventReader) event() (data []byte, at int64, err error) {
	e.data = e.data[:0]
	held := false
	for {
		line, ok := e.line()
		if !ok {
			if held {
				return e.data, at, nil
			}
			return nil, e.at, e.err
		}
		if len(line) == 0 {
			if held {
				return e.data, at, nil
			}
			continue
		}
		value, ok := bytes.CutPrefix(line, []byte("data"))
		if !ok || len(value) > 0 && value[0] != ':' {
			continue
		}
		value = bytes.TrimPrefix(bytes.TrimPrefix(value, []byte(":")), []byte(" "))
		at = e.at
		if !held && e.blank() {
			return value, at, nil
		}
		if held {
			e.data = append(e.data, '\n')
		}
		if len(e.data)+len(value) > maxLine {
			e.err, e.next, e.end = errLongLine, 0, 0
			return nil, at, e.err
		}
		e.data, held = append(e.data, value...), true
	}
}

// ended says that the stream has nothing after the event that came last.
func (e *eventReader) ended() bool { return e.err == io.EOF && e.next == e.end }

// blank passes over an empty line that is already in the buffer, as most servers end it.
func (e *eventReader) blank() bool {
	if e.next == e.end || e.buf[e.next] != '\n' {
		return false
	}
	e.next++
	return true
}

// line is the next line without its end. The last one of a stream that ended needs none;
// of one that broke off it is left out.
func (e *eventReader) line() ([]byte, bool) {
	seen := e.next
	for {
		if i := bytes.IndexByte(e.buf[seen:e.end], '\n'); i >= 0 {
			line := e.buf[e.next : seen+i]
			e.next = seen + i + 1
			return bytes.TrimSuffix(line, []byte("\r")), true
		}
		if e.err != nil {
			line := e.buf[e.next:e.end]
			e.next = e.end
			return bytes.TrimSuffix(line, []byte("\r")), len(line) > 0 && e.err == io.EOF
		}
		seen = e.fill()
	}
}

// fill reads more behind what the buffer holds of a line, and returns where it begins.
func (e *eventReader) fill() int {
	if e.next > 0 {
		e.end = copy(e.buf, e.buf[e.next:e.end])
		e.next = 0
	}
	if e.end == len(e.buf) {
		if e.end >= maxLine {
			e.end, e.err = 0, errLongLine
			return 0
		}
		e.buf = append(e.buf, make([]byte, len(e.buf))...)
	}
	from := e.end
	for tries := 0; ; tries++ {
		n, err := e.r.Read(e.buf[from:])
		e.at = e.clock()
		e.end = from + n
		if err == nil && n == 0 && tries > 100 {
			err = io.ErrNoProgress
		}
		e.err = err
		if n > 0 || err != nil {
			return from
		}
	}
}
