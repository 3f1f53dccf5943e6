package nsys

import (
	"errors"
	"io"
)

// array reads a table as JSON: an array of objects whose keys are the headers.
func (t *tables) array() error {
	t.table++
	h := &header{}
	columns := map[string]field{}
	factors := map[field]float64{}
	cells := make([]string, fieldCount)
	for f := range h.at {
		h.at[f] = f
	}
	for {
		c, err := t.in.ReadByte()
		if err != nil {
			if errors.Is(err, io.EOF) {
				t.cut("the text ends inside a table")
			}
			return err
		}
		t.off++
		switch c {
		case ']':
			return nil
		case '{':
		default:
			continue
		}
		var n int64
		t.buf, n, err = element(t.in, c, t.buf[:0])
		t.off += n
		if err != nil {
			if errors.Is(err, io.EOF) {
				t.cut("the text ends inside a table")
			}
			return err
		}
		var seen [fieldCount]bool
		clear(cells)
		_, ok := fields(t.buf, 0, func(_, key, v []byte) {
			f, known := columns[string(key)]
			if !known && len(columns) < 256 {
				var factor float64
				f, factor = columnOf(unescaped(key))
				columns[string(key)] = f
				factors[f] = factor
			}
			if f != noField && !seen[f] {
				seen[f] = true
				cells[f] = unescaped(v)
			}
		})
		if !ok {
			t.lose("an object of a table is no JSON")
			continue
		}
		for f := range h.at {
			h.at[f], h.factor[f] = -1, factors[field(f)]
			if seen[f] {
				h.at[f] = f
			}
		}
		if h.known() {
			t.take(h, cells)
		}
	}
}
