package nsys

import (
	"bufio"
	"errors"
	"io"

	"tokprof/trace/internal/nsys/jsontext"
)

// tableStart is how the line of a table begins; the table of strings is the
// first line of today's exports and the last but two of 2019's.
const tableStart = `{"data":[`

// table reads a line that holds a table, element by element: the table of
// strings holds what processes printed and may be longer than memory should
// be.
func (l *lines) table() error {
	_, _ = l.in.Discard(len(tableStart))
	l.off += int64(len(tableStart))
	for id := int64(0); ; id++ {
		c, err := l.byte()
		for err == nil && (c == ',' || c == ' ' || c == '\r' || c == '\n') {
			c, err = l.byte()
		}
		switch {
		case err != nil:
		case c == ']':
			n, err := l.skipLine()
			l.off += n
			return err
		case c == '"':
			err = l.element(c)
			if err == nil {
				l.keep(id, jsontext.Unescaped(l.buf))
			}
		case c == '{':
			if err = l.element(c); err == nil {
				l.thread()
			}
		default:
			l.lose("a table holds what is neither text nor an object")
			n, err := l.skipLine()
			l.off += n
			return err
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				l.cut("the text ends inside a table")
			}
			return err
		}
	}
}

func (l *lines) byte() (byte, error) {
	c, err := l.in.ReadByte()
	if err == nil {
		l.off++
	}
	return c, err
}

func (l *lines) element(c byte) (err error) {
	var n int64
	l.buf, n, err = element(l.in, c, l.buf[:0])
	l.off += n
	return err
}

// thread takes one row of the table of threads.
func (l *lines) thread() {
	e := &l.ev
	*e = newLineEvent()
	if _, ok := jsontext.Fields(l.buf, 0, e.set); ok && e.tid != 0 && len(l.threads) < 1<<20 {
		l.threads = append(l.threads, ThreadName{e.tid, e.name})
	}
}

// element reads the string or object that c began into buf, as much of it as a
// line may have: a string without its quotes. n is how many bytes it took.
func element(in *bufio.Reader, c byte, buf []byte) (out []byte, n int64, err error) {
	object, depth := c == '{', 0
	quoted := !object
	if object {
		buf, depth = append(buf, c), 1
	}
	for escaped := false; ; {
		c, err := in.ReadByte()
		if err != nil {
			return buf, n, err
		}
		n++
		switch {
		case escaped:
			escaped = false
		case c == '\\':
			escaped = true
		case c == '"' && !object:
			return buf, n, nil
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{':
			depth++
		case c == '}':
			depth--
		}
		if len(buf) < maxLine {
			buf = append(buf, c)
		}
		if object && depth == 0 {
			return buf, n, nil
		}
	}
}
