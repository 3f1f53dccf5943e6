package nsys

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// field is what a column of a table says.
type field uint8

const (
	noField field = iota
	fStart
	fDuration
	fCorr
	fGrid
	fBytes
	fFrom
	fTo
	fDevice
	fStream
	fName
	fTotal
	fLaunches
	fAvg
	fMed
	fMin
	fMax
	fStdDev
	fCategory
	fSource // of ranges that no GPU ran
	fieldCount
)

// fieldNames are the headers of nsys stats over the years, units and blanks
// left out, lower case.
var fieldNames = map[string]field{
	"start": fStart, "duration": fDuration, "corrid": fCorr, "correlationid": fCorr, "grdx": fGrid, "gridx": fGrid,
	"bytes": fBytes, "size": fBytes, "srcmemkd": fFrom, "dstmemkd": fTo, "device": fDevice, "strm": fStream, "stream": fStream,
	"name": fName, "operation": fName, "kernelname": fName, "totaltime": fTotal, "total": fTotal,
	"instances": fLaunches, "calls": fLaunches, "count": fLaunches, "operations": fLaunches,
	"avg": fAvg, "average": fAvg, "med": fMed, "median": fMed, "min": fMin, "minimum": fMin, "max": fMax, "maximum": fMax,
	"stddev": fStdDev, "category": fCategory, "source": fSource,
}

// columnOf is what a header says, and what to multiply its numbers by to get
// nanoseconds or bytes: 0 when the numbers carry their own unit, or none.
func columnOf(header string) (field, float64) {
	name, unit := strings.TrimSpace(header), ""
	if i := strings.IndexByte(name, '('); i >= 0 {
		unit = strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(name[i+1:]), ")"))
		name = name[:i]
	}
	name = strings.ToLower(strings.ReplaceAll(strings.ReplaceAll(name, " ", ""), "\u00a0", ""))
	f, factor := fieldNames[name], units[strings.ToLower(unit)]
	if f.isTime() && (unit != "" && factor == 0 || unit != "" && strings.EqualFold(unit, "b") || unit == "" && name == "total") {
		return noField, 0 // a table of sizes has the same headers but for the unit
	}
	return f, factor
}

// isTime says whether a column holds times, in a table that is read.
func (f field) isTime() bool {
	return f == fStart || f == fDuration || f >= fTotal && f <= fStdDev && f != fLaunches
}

// textFields are the columns of text; all others hold numbers.
var textFields = []field{fName, fDevice, fFrom, fTo, fCategory}

// Column says whether a header of nsys stats is one that is read, and whether
// its cells are text.
func Column(header string) (known, text bool) {
	f, _ := columnOf(header)
	return f != noField, slices.Contains(textFields, f)
}

var units = map[string]float64{
	"ns": 1, "nsec": 1, "us": 1e3, "µs": 1e3, "μs": 1e3, "usec": 1e3, "ms": 1e6, "msec": 1e6, "s": 1e9, "sec": 1e9, "b": 1,
}

// header is the columns of a table.
type header struct {
	sep    byte
	at     [fieldCount]int // by field, -1 when absent
	factor [fieldCount]float64
	n      int // columns
}

// timeline says whether rows are single events; otherwise they are sums.
func (h *header) timeline() bool { return h.at[fStart] >= 0 && h.at[fDuration] >= 0 }

// headerOf reads a line as the header of a table of GPU events or kernels, nil
// when it is none.
func headerOf(line string) *header {
	for _, sep := range []byte{',', '\t', ';'} {
		cells := splitCells(line, sep, nil)
		if len(cells) < 3 {
			continue
		}
		h := &header{sep: sep, n: len(cells)}
		for f := range h.at {
			h.at[f] = -1
		}
		for i, c := range cells {
			if f, factor := columnOf(c); f != noField && h.at[f] < 0 {
				h.at[f], h.factor[f] = i, factor
			}
		}
		if h.known() {
			return h
		}
	}
	return nil
}

// known says whether the columns are those of a table that is read.
func (h *header) known() bool {
	if h.at[fName] < 0 {
		return false
	}
	if h.timeline() {
		return h.at[fCorr] >= 0 || h.at[fDevice] >= 0
	}
	return h.at[fTotal] >= 0 && h.at[fLaunches] >= 0 && h.at[fMin] >= 0 && h.at[fSource] < 0
}

// splitCells splits a line of separated values; quoted ones may hold the
// separator, and quotes doubled.
func splitCells(line string, sep byte, out []string) []string {
	for {
		if !strings.HasPrefix(line, `"`) {
			i := strings.IndexByte(line, sep)
			if i < 0 {
				return append(out, line)
			}
			out, line = append(out, line[:i]), line[i+1:]
			continue
		}
		end := 1
		for {
			i := strings.IndexByte(line[end:], '"')
			if i < 0 {
				return append(out, line[1:])
			}
			end += i + 1
			if end >= len(line) || line[end] != '"' {
				break
			}
			end++
		}
		out = append(out, strings.ReplaceAll(line[1:end-1], `""`, `"`))
		if end >= len(line) {
			return out
		}
		line = line[end+1:]
	}
}

// quantity reads a number with the column's unit or its own ("61.602 ms",
// "5,850,000"), rounded to a whole one. digit is what the last digit printed is
// worth, at least 1.
func quantity(s string, factor float64) (n, digit int64, ok bool) {
	s = strings.TrimSpace(s)
	num, unit := s, ""
	if i := strings.LastIndexAny(s, "0123456789"); i >= 0 && i < len(s)-1 {
		num, unit = s[:i+1], strings.TrimSpace(s[i+1:])
	}
	if unit != "" {
		if factor, ok = units[strings.ToLower(unit)]; !ok {
			return 0, 1, false
		}
	}
	if factor == 0 {
		factor = 1
	}
	num, ok = ungrouped(num)
	if !ok {
		return 0, 1, false
	}
	whole, frac, _ := strings.Cut(num, ".")
	if strings.Trim(whole, "+-") == "" {
		return 0, 1, false
	}
	digits := int(math.Round(math.Log10(factor)))
	if len(frac) <= digits {
		// Whole nanoseconds: no way through floating point.
		v, err := strconv.ParseInt(whole+frac+strings.Repeat("0", digits-len(frac)), 10, 64)
		return v, int64(math.Pow10(digits - len(frac))), err == nil
	}
	v, err := strconv.ParseFloat(num, 64)
	if err != nil || math.Abs(v*factor) > maxTime {
		return 0, 1, false
	}
	if v2, err := strconv.ParseInt(whole+frac[:digits], 10, 64); err == nil && strings.Trim(frac[digits:], "0") == "" {
		return v2, 1, true
	}
	return int64(math.Round(v * factor)), 1, true
}

// ungrouped is a number without the commas between its thousands; false where
// a comma stands elsewhere, for it may then be another language's point.
func ungrouped(s string) (string, bool) {
	if !strings.Contains(s, ",") {
		return s, true
	}
	whole, frac, dotted := strings.Cut(s, ".")
	groups := strings.Split(whole, ",")
	for i, g := range groups {
		if i > 0 && len(g) != 3 || g == "" {
			return "", false
		}
	}
	if dotted {
		frac = "." + frac
	}
	return strings.Join(groups, "") + frac, !strings.Contains(frac, ",")
}
