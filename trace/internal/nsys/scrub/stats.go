package scrub

import (
	"bufio"
	"context"
	"io"
	"regexp"
	"slices"
	"strings"

	"tokprof/trace/internal/nsys"
	"tokprof/trace/internal/nsys/jsontext"
)

// tableCopier writes the tables of nsys stats anew: the columns that are
// known, numbers as they are and texts masked. What nsys says before and
// between tables names the report's path, and stays behind.
type tableCopier struct {
	w     *bufio.Writer
	mask  masker
	sep   byte
	holds []int // by column: columnNumber, columnText, or columnLeft
	rows  int64 // of the table
	n     int   // tables so far
}

const (
	columnLeft = iota
	columnNumber
	columnText
)

func scrubStats(ctx context.Context, text *bufio.Reader, w io.Writer, out *Scrubbed) (*nsys.Export, error) {
	c := &tableCopier{w: bufio.NewWriterSize(w, 1<<16)}
	x, err := nsys.CopyTables(ctx, text, c)
	if err != nil {
		return nil, err
	}
	out.Masked = c.mask.masked
	return x, c.w.Flush()
}

// plainColumns are the headers that are copied though nothing reads them,
// units and blanks left out, lower case.
var plainColumns = strings.Fields("grdy grdz blkx blky blkz gridxyz blockxyz reg/trd stcsmem dymsmem throughput ctx greenctx time pid tid")

// knownUnits are what may stand in brackets behind a header.
var knownUnits = strings.Fields("ns us µs μs ms s sec nsec usec msec % b kb mb gb kib mib gib b/s kb/s mb/s gb/s kib/s mib/s gib/s")

// copiedColumn says what a header's column holds, and the header as it may be
// copied.
func copiedColumn(h string) (text string, holds int) {
	known, isText := nsys.Column(h)
	name, unit, _ := strings.Cut(h, "(")
	unit = strings.ToLower(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(unit), ")")))
	name = strings.TrimSpace(name)
	if unit != "" && !slices.Contains(knownUnits, unit) {
		h = name // which says as much to whoever reads it
	}
	switch plain := strings.ToLower(strings.ReplaceAll(name, " ", "")); {
	case isText:
		return h, columnText
	case known, slices.Contains(plainColumns, plain):
		return h, columnNumber
	}
	return "", columnLeft
}

// Header starts a table with separators.
func (c *tableCopier) Header(cells []string, sep byte) {
	if c.n++; c.n > 1 {
		_ = c.w.WriteByte('\n')
	}
	c.sep, c.holds, c.rows = sep, c.holds[:0], 0
	var kept []string
	for _, h := range cells {
		text, holds := copiedColumn(h)
		c.holds = append(c.holds, holds)
		if holds != columnLeft {
			kept = append(kept, text)
		}
	}
	c.line(kept)
}

// Row writes one row of a table with separators.
func (c *tableCopier) Row(cells []string) {
	var kept []string
	for i, s := range cells {
		switch c.holds[i] {
		case columnNumber:
			kept = append(kept, plainNumber(s))
		case columnText:
			kept = append(kept, c.mask.name(s))
		}
	}
	c.line(kept)
}

func (c *tableCopier) line(cells []string) {
	for i, s := range cells {
		if i > 0 {
			_ = c.w.WriteByte(c.sep)
		}
		if strings.ContainsAny(s, "\"\r\n") || strings.IndexByte(s, c.sep) >= 0 {
			s = `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
		}
		_, _ = c.w.WriteString(s) // its error shows at Flush
	}
	_ = c.w.WriteByte('\n')
}

// plainNumber is a cell if it is a number, or several, with a unit or without.
func plainNumber(s string) string {
	if numberCell.MatchString(s) {
		return s
	}
	return ""
}

var numberCell = regexp.MustCompile(`^\s*[-+]?\d[\d.,eE+-]*(?:\s+\d[\d.,]*)*\s*(?:[numµμ]?s|%|[KMG]?i?B(?:/s)?)?\s*$`)

var jsonNumber = regexp.MustCompile(`^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?$`)

// Open starts a table in JSON, Close ends it.
func (c *tableCopier) Open() { _, _ = c.w.WriteString("["); c.rows = 0 }

func (c *tableCopier) Close() { _, _ = c.w.WriteString("\n]\n") }

// Object writes one row of a table in JSON.
func (c *tableCopier) Object(raw []byte) {
	if c.rows++; c.rows > 1 {
		_ = c.w.WriteByte(',')
	}
	_, _ = c.w.WriteString("\n  {")
	first := true
	_, _ = jsontext.Fields(raw, 0, func(_, key, value []byte) {
		text, holds := copiedColumn(jsontext.Unescaped(key))
		if holds == columnLeft {
			return
		}
		if !first {
			_, _ = c.w.WriteString(", ")
		}
		first = false
		_, _ = c.w.Write(append(appendJSON(nil, text), ':', ' '))
		switch s := jsontext.Unescaped(value); {
		case holds == columnText:
			_, _ = c.w.Write(appendJSON(nil, c.mask.name(s)))
		case jsonNumber.MatchString(s):
			_, _ = c.w.WriteString(s)
		default:
			_, _ = c.w.Write(appendJSON(nil, plainNumber(s)))
		}
	})
	_ = c.w.WriteByte('}')
}
