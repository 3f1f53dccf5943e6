// Package figures is the numbers of a report and how they are written: named
// amounts of time, medians and tails, and the one place where a unit prefix is
// picked and a number is rounded.
package figures

import (
	"cmp"
	"slices"
)

// NameTime is a named amount of time.
type NameTime struct {
	Name   string `json:"name"`
	TimeNS int64  `json:"time_ns"`
}

// Spread is the middle and the tail of a distribution.
type Spread struct {
	Median int64 `json:"median"`
	P99    int64 `json:"p99"`
}

// SpreadOf is the spread of values, which it sorts.
func SpreadOf(v []int64) Spread {
	slices.Sort(v)
	return Spread{Quantile(v, 0.5), Quantile(v, 0.99)}
}

// Share is a part of a whole, 0 of none.
func Share(part, whole int64) float64 {
	if whole <= 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

// Quantile is the nearest-rank quantile of sorted values: the smallest value
// that at least q of them do not exceed. 0 without values.
func Quantile[T ~int64](sorted []T, q float64) T {
	if len(sorted) == 0 {
		return 0
	}
	n := int(q*float64(len(sorted)) + 0.9999999)
	return sorted[min(max(n, 1), len(sorted))-1]
}

// AddTime adds time to a list under a name.
func AddTime(list *[]NameTime, name string, t int64) {
	for i := range *list {
		if (*list)[i].Name == name {
			(*list)[i].TimeNS += t
			return
		}
	}
	*list = append(*list, NameTime{name, t})
}

// ByTime orders a list in place, largest first, equal ones by name.
func ByTime(list []NameTime) []NameTime {
	slices.SortStableFunc(list, func(x, y NameTime) int {
		return cmp.Or(cmp.Compare(y.TimeNS, x.TimeNS), cmp.Compare(x.Name, y.Name))
	})
	return list
}
