package breakdown

import (
	"cmp"
	"slices"

	"tokprof/trace"
)

// Durations is a distribution of lengths, as distinct lengths in rising order
// with how often each occurred. GPU clocks tick in tens of nanoseconds, so a
// kernel that ran a million times has a few thousand of them.
type Durations []DurationCount

// DurationCount is one length and its count.
type DurationCount struct {
	Dur   trace.Time
	Count int64
}

// Count sorts lengths (in place) into a distribution.
func Count(durs []trace.Time) Durations {
	slices.Sort(durs)
	return countSorted(durs)
}

func countSorted[T trace.Time | uint32](durs []T) Durations {
	distinct := 0
	for i, d := range durs {
		if i == 0 || d != durs[i-1] {
			distinct++
		}
	}
	out := make(Durations, 0, distinct)
	for i, d := range durs {
		if i == 0 || d != durs[i-1] {
			out = append(out, DurationCount{Dur: trace.Time(d)})
		}
		out[len(out)-1].Count++
	}
	return out
}

// Merge adds another distribution.
func (d Durations) Merge(o Durations) Durations {
	all := append(slices.Clone(d), o...)
	slices.SortFunc(all, func(a, b DurationCount) int { return cmp.Compare(a.Dur, b.Dur) })
	out := all[:0]
	for _, c := range all {
		if n := len(out); n > 0 && out[n-1].Dur == c.Dur {
			out[n-1].Count += c.Count
		} else {
			out = append(out, c)
		}
	}
	return out
}

// Launches returns how many lengths there are, repeats counted.
func (d Durations) Launches() (n int64) {
	for _, c := range d {
		n += c.Count
	}
	return n
}

// Quantile returns the smallest length that at least the share q of them does
// not exceed (nearest rank); 0 without lengths.
func (d Durations) Quantile(q float64) trace.Time {
	if len(d) == 0 {
		return 0
	}
	rank := rankOf(q, d.Launches())
	for _, c := range d {
		if rank -= c.Count; rank <= 0 {
			return c.Dur
		}
	}
	return d[len(d)-1].Dur
}

// rankOf is the place of the q-quantile among n sorted values, from 1. The
// margin keeps products like 0.07 × 100, a hair above 7, at 7.
func rankOf(q float64, n int64) int64 { return max(1, int64(q*float64(n)+0.9999999)) }

// nearestRank is Quantile of sorted lengths.
func nearestRank(sorted []trace.Time, q float64) trace.Time {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[rankOf(q, int64(len(sorted)))-1]
}

// Total returns the sum of all lengths.
func (d Durations) Total() (sum trace.Time) {
	for _, c := range d {
		sum += c.Dur * trace.Time(c.Count)
	}
	return sum
}
