package figures

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Three significant digits, a space before the unit. Drawings that want another
// space replace it.

// Dur writes nanoseconds: "736 ns", "4.21 µs", "1.03 ms", "12.3 s".
func Dur(ns int64) string {
	return scaled(float64(ns), 1000, []string{"ns", "µs", "ms", "s"})
}

// Bytes writes a size with decimal prefixes: "63.2 MB".
func Bytes(n int64) string {
	return scaled(float64(n), 1000, []string{"B", "kB", "MB", "GB", "TB"})
}

// Rate writes bytes a second: "41.2 GB/s"; "n/a" when unknown (0).
func Rate(bytesPerS float64) string {
	if bytesPerS <= 0 {
		return "n/a"
	}
	return scaled(bytesPerS, 1000, []string{"B/s", "kB/s", "MB/s", "GB/s", "TB/s"})
}

// Energy writes joules: "41 mJ", "2.40 kJ".
func Energy(joule float64) string {
	return scaled(joule*1000, 1000, []string{"mJ", "J", "kJ", "MJ"})
}

// Percent writes a fraction as percent: "43 %", "4.1 %", "<0.1 %".
func Percent(f float64) string {
	p := f * 100
	switch {
	case math.IsNaN(p):
		return "n/a"
	case p == 0:
		return "0 %"
	case p > 0 && p < 0.1:
		return "<0.1 %"
	case p < 9.95:
		return strconv.FormatFloat(p, 'f', 1, 64) + " %"
	}
	return strconv.FormatFloat(p, 'f', 0, 64) + " %"
}

// Change writes a relative change with its sign: "+37 %", "−4.1 %".
func Change(f float64) string {
	switch {
	case f > 0:
		return "+" + Percent(f)
	case f < 0:
		return "−" + Percent(-f)
	}
	return "±" + Percent(f)
}

// Mean writes a plain mean: "7.62", "1 303".
func Mean(v float64) string {
	if v >= 99.95 {
		return Count(int64(math.Round(v)))
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// Count writes a whole number with thin groups: "12 345".
func Count(n int64) string {
	s := strconv.FormatInt(n, 10)
	neg := strings.HasPrefix(s, "-")
	s = strings.TrimPrefix(s, "-")
	var b strings.Builder
	if neg {
		b.WriteByte('-')
	}
	for i, r := range s {
		if i > 0 && (len(s)-i)%3 == 0 && len(s) > 4 {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// scaled picks the largest unit that keeps the number at 1 or more. A value
// that rounds up to the next unit is written in it: 999.7 ns is "1.00 µs".
func scaled(v, step float64, units []string) string {
	i := 0
	for i < len(units)-1 && math.Abs(v) >= step*0.9995 {
		v /= step
		i++
	}
	if i == 0 {
		return strconv.FormatFloat(v, 'f', 0, 64) + " " + units[0]
	}
	digits := 2
	switch a := math.Abs(v); {
	case a >= 99.95:
		digits = 0
	case a >= 9.995:
		digits = 1
	}
	return strconv.FormatFloat(v, 'f', digits, 64) + " " + units[i]
}

// Ranges writes rising numbers as "0, 2–5".
func Ranges(n []int) string {
	var out []string
	for i := 0; i < len(n); {
		j := i
		for j+1 < len(n) && n[j+1] == n[j]+1 {
			j++
		}
		switch {
		case j == i:
			out = append(out, fmt.Sprint(n[i]))
		case j == i+1:
			out = append(out, fmt.Sprint(n[i]), fmt.Sprint(n[j]))
		default:
			out = append(out, fmt.Sprintf("%d–%d", n[i], n[j]))
		}
		i = j + 1
	}
	return strings.Join(out, ", ")
}
