package report

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text from traces is measured in terminal cells before it is printed: bytes
// and runes both lie about how wide a name is.

// printable makes untrusted text safe for one line of a terminal, a table or a
// record. White space becomes a space; control characters, invisible format
// characters (which reorder or hide text) and invalid UTF-8 become U+FFFD.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\n' || r == '\r' || r == '\v' || r == '\f':
			return ' '
		case !unicode.IsGraphic(r):
			return utf8.RuneError
		}
		return r
	}, s)
}

// wideRunes are the blocks that terminals draw two cells wide.
var wideRunes = &unicode.RangeTable{
	R16: []unicode.Range16{
		{Lo: 0x1100, Hi: 0x115F, Stride: 1}, {Lo: 0x231A, Hi: 0x231B, Stride: 1}, {Lo: 0x2329, Hi: 0x232A, Stride: 1},
		{Lo: 0x23E9, Hi: 0x23F3, Stride: 1}, {Lo: 0x25FD, Hi: 0x25FE, Stride: 1}, {Lo: 0x2614, Hi: 0x2615, Stride: 1},
		{Lo: 0x2648, Hi: 0x2653, Stride: 1}, {Lo: 0x267F, Hi: 0x267F, Stride: 1}, {Lo: 0x2693, Hi: 0x2693, Stride: 1},
		{Lo: 0x26A1, Hi: 0x26A1, Stride: 1}, {Lo: 0x26AA, Hi: 0x26AB, Stride: 1}, {Lo: 0x26BD, Hi: 0x26C5, Stride: 1},
		{Lo: 0x26CE, Hi: 0x26FD, Stride: 1}, {Lo: 0x2705, Hi: 0x2757, Stride: 1}, {Lo: 0x2795, Hi: 0x27BF, Stride: 1},
		{Lo: 0x2B1B, Hi: 0x2B55, Stride: 1}, {Lo: 0x2E80, Hi: 0x303E, Stride: 1}, {Lo: 0x3041, Hi: 0xA4CF, Stride: 1},
		{Lo: 0xA960, Hi: 0xA97F, Stride: 1}, {Lo: 0xAC00, Hi: 0xD7A3, Stride: 1}, {Lo: 0xF900, Hi: 0xFAFF, Stride: 1},
		{Lo: 0xFE10, Hi: 0xFE19, Stride: 1}, {Lo: 0xFE30, Hi: 0xFE6F, Stride: 1}, {Lo: 0xFF00, Hi: 0xFF60, Stride: 1},
		{Lo: 0xFFE0, Hi: 0xFFE6, Stride: 1},
	},
	R32: []unicode.Range32{
		{Lo: 0x16FE0, Hi: 0x1B2FF, Stride: 1}, {Lo: 0x1F000, Hi: 0x1FAFF, Stride: 1}, {Lo: 0x20000, Hi: 0x3FFFD, Stride: 1},
	},
}

// runeCells is the number of terminal cells of one printable rune: 0, 1 or 2.
func runeCells(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	case unicode.Is(wideRunes, r):
		return 2
	}
	return 1
}

// cellWidth is the number of terminal cells of printable text.
func cellWidth(s string) int {
	n := 0
	for _, r := range s {
		n += runeCells(r)
	}
	return n
}

// takeCells is the longest prefix of s that fits in n cells.
func takeCells(s string, n int) string {
	// A name of nothing but combining marks has no width at all: the limit on
	// runes keeps it from filling the line nevertheless.
	cells, runes := 0, 0
	for i, r := range s {
		if cells += runeCells(r); cells > n || runes >= 4*n {
			return s[:i]
		}
		runes++
	}
	return s
}

// takeCellsEnd is the longest suffix of s that fits in n cells.
func takeCellsEnd(s string, n int) string {
	cells, runes, at := 0, 0, len(s)
	for at > 0 {
		r, size := utf8.DecodeLastRuneInString(s[:at])
		if cells += runeCells(r); cells > n || runes >= 4*n {
			break
		}
		at -= size
		runes++
	}
	return s[at:]
}

// cutCells makes s printable and at most n cells wide; a cut shows as "…".
func cutCells(s string, n int) string {
	s = printable(s)
	if takeCells(s, n) == s {
		return s
	}
	if n < 1 {
		return ""
	}
	return takeCells(s, n-1) + "…"
}

// cutMiddle is cutCells with the hole in the middle: generated kernel names
// often differ only in their last characters.
func cutMiddle(s string, n int) string {
	s = printable(s)
	if takeCells(s, n) == s || n < 12 {
		return cutCells(s, n)
	}
	tail := (n - 1) / 3
	return takeCells(s, n-1-tail) + "…" + takeCellsEnd(s, tail)
}

// padRight fills s with spaces up to n cells.
func padRight(s string, n int) string {
	return s + strings.Repeat(" ", max(0, n-cellWidth(s)))
}

// padLeft fills s with spaces in front up to n cells.
func padLeft(s string, n int) string {
	return strings.Repeat(" ", max(0, n-cellWidth(s))) + s
}

// proseCells bounds one piece of prose, in terminal cells: sentences are ours,
// the names in them are not.
const proseCells = 1000

// wrapCells breaks text at spaces into lines of at most width cells; a word that
// is wider is cut with "…". Empty text gives no line.
func wrapCells(text string, width int) []string {
	words := glueUnits(strings.Fields(printable(text)))
	var lines []string
	for len(words) > 0 {
		line := words[0]
		words = words[1:]
		for len(words) > 0 && cellWidth(line)+1+cellWidth(words[0]) <= width {
			line += " " + words[0]
			words = words[1:]
		}
		lines = append(lines, cutCells(line, width))
	}
	return lines
}

// glueUnits joins a number and its unit: "74 %" is one word.
func glueUnits(words []string) []string {
	var out []string
	for _, w := range words {
		n := len(out) - 1
		unit := strings.TrimRight(w, ".,;:)")
		if n >= 0 && unit != "" && strings.Contains(" % ns µs ms s kB MB GB ", " "+unit+" ") && out[n][len(out[n])-1] >= '0' && out[n][len(out[n])-1] <= '9' {
			out[n] += " " + w
			continue
		}
		out = append(out, w)
	}
	return out
}

// bar draws a share of 0–1 as eighth blocks, at most n cells wide.
func bar(share float64, n int) string {
	if !(share > 0) || n < 1 {
		return ""
	}
	eighths := int(min(share, 1)*float64(n*8) + 0.5)
	full, rest := eighths/8, eighths%8
	s := strings.Repeat("█", full)
	if rest > 0 {
		s += string([]rune("▏▎▍▌▋▊▉")[rest-1])
	}
	return s
}
