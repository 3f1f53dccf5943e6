package diagnose

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// digits is a number with three significant digits and no exponent.
func digits(x float64) string {
	if x == 0 || math.IsNaN(x) || math.IsInf(x, 0) {
		return "0"
	}
	places := max(0, 2-int(math.Floor(math.Log10(math.Abs(x)))))
	s := strconv.FormatFloat(x, 'f', min(places, 4), 64)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}

// dur is a time in the unit that people think in: steps are milliseconds,
// kernels microseconds.
func dur(ns int64) string {
	x, unit := float64(ns), "ns"
	for _, u := range []string{"µs", "ms", "s"} {
		if x < 999.5 {
			break
		}
		x, unit = x/1e3, u
	}
	switch {
	case unit == "ns" || x >= 99.95:
		return strconv.FormatFloat(x, 'f', 0, 64) + " " + unit
	case x >= 9.995:
		return strconv.FormatFloat(x, 'f', 1, 64) + " " + unit
	}
	return strconv.FormatFloat(x, 'f', 2, 64) + " " + unit
}

// percent is a share with two significant digits.
func percent(share float64) string {
	if share > 0 && share < 0.0995 {
		return strconv.FormatFloat(share*100, 'f', 1, 64) + " %"
	}
	return strconv.FormatFloat(share*100, 'f', 0, 64) + " %"
}

// bytesText is a size in binary units, as message sizes are thought of.
func bytesText(n int64) string {
	for _, u := range []struct {
		size int64
		name string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= u.size {
			return digits(float64(n)/float64(u.size)) + " " + u.name
		}
	}
	return strconv.FormatInt(n, 10) + " B"
}

// titleLength is the longest title: one line of a card, and hardly more of a
// terminal.
const titleLength = 84

// title formats a title. The numbers in it are of bounded width, so the cut is
// a safety net for strange names from a trace.
func title(format string, args ...any) string {
	r := []rune(fmt.Sprintf(format, args...))
	if len(r) > titleLength {
		r = append(r[:titleLength-1], '…')
	}
	return string(r)
}

// add appends an evidence line.
func (fd *Finding) add(format string, args ...any) {
	fd.Evidence = append(fd.Evidence, fmt.Sprintf(format, args...))
}

// aStep is "a 3.21 ms decode step", "an 18.1 ms mixed step".
func aStep(ns int64, phase string) string {
	d := dur(ns)
	article := "a "
	number, _, _ := strings.Cut(strings.SplitN(d, " ", 2)[0], ".")
	if strings.HasPrefix(d, "8") || number == "11" || number == "18" {
		article = "an "
	}
	return article + d + " " + phase + " step"
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

func plural(n int64, noun string) string {
	if n == 1 {
		return noun
	}
	return noun + "s"
}

// nonePhase takes the phase out of sentences about steps that have none.
var nonePhase = strings.NewReplacer(" none step", " step", "none, rank ", "rank ", "none: ", "", "also none: ", "also other steps: ", "none step", "step")

// dropNone writes "none step" as "step": nobody reads it as a phase.
func (fd *Finding) dropNone() {
	if fd.Phase != "none" {
		return
	}
	for _, s := range []*string{&fd.Title, &fd.MaxGain, &fd.Confirm} {
		*s = nonePhase.Replace(*s)
	}
	for i := range fd.Evidence {
		fd.Evidence[i] = nonePhase.Replace(fd.Evidence[i])
	}
}
