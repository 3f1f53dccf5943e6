package trace

import (
	"cmp"
	"path/filepath"
	"regexp"
	"slices"
)

// SummedRun is what summaries tell of one run.
type SummedRun struct {
	Parts   []*Summary     // whose rows count: one, or one for kernels and one for copies
	Again   []*Summary     // that say the same once more
	Kernels []SummedKernel // of the parts
}

// SummedRuns tells which summaries are of one run, in the order of the list.
// Content decides: two tables with the same launches and, as far as their
// digits go, the same times are of one run, and two that differ are not. Where
// one has kernels alone and the other copies alone, they are of one run if
// they lie in one directory under one report's name.
func SummedRuns(list []*Summary) []SummedRun {
	var groups [][]*Summary
	for _, s := range list {
		i := slices.IndexFunc(groups, func(g []*Summary) bool { return ofRun(g, s) })
		if i < 0 {
			groups = append(groups, []*Summary{s})
			continue
		}
		groups[i] = append(groups[i], s)
	}
	out := make([]SummedRun, len(groups))
	for i, g := range groups {
		out[i] = summedRun(g)
	}
	return out
}

// ofRun says whether a summary is of the run that others are of.
func ofRun(group []*Summary, s *Summary) bool {
	named := false
	for _, o := range group {
		same, known := o.sameRun(s)
		if known {
			return same
		}
		named = named || o.reportName() == s.reportName()
	}
	return named
}

// sameRun compares the kernels of two summaries, or else their copies; known
// is false where they have nothing to compare.
func (s *Summary) sameRun(o *Summary) (same, known bool) {
	for _, kernels := range []bool{true, false} {
		a, b := s.rowsOf(kernels), o.rowsOf(kernels)
		if len(a) == 0 || len(b) == 0 {
			continue
		}
		switch {
		case !s.whole():
			return within(a, b), true
		case !o.whole():
			return within(b, a), true
		}
		return len(a) == len(b) && within(a, b) || sumAlike(a, b), true
	}
	return false, false
}

// whole says whether no row of the file was lost.
func (s *Summary) whole() bool { return !s.Info.Truncated && s.Info.Skipped == 0 }

func (s *Summary) rowsOf(kernels bool) []SummedKernel {
	var out []SummedKernel
	for _, k := range s.Kernels {
		if (k.Kind == Kernel) == kernels {
			out = append(out, k)
		}
	}
	return out
}

// within says whether every row of a is one of b.
func within(a, b []SummedKernel) bool {
	by := make(map[string]*SummedKernel, len(b))
	for i := range b {
		by[b[i].Name] = &b[i]
	}
	for _, k := range a {
		o := by[k.Name]
		if o == nil || o.Launches != k.Launches || max(k.Total-o.Total, o.Total-k.Total) > max(k.Digit, o.Digit)/2 {
			return false
		}
	}
	return true
}

// sumAlike says whether rows of other names, short ones perhaps, or names
// behind their ranges, come to the same: to the nanosecond, for less proves
// nothing.
func sumAlike(a, b []SummedKernel) bool {
	var launches int64
	var total Time
	for _, k := range a {
		launches, total = launches+k.Launches, total+k.Total
	}
	for _, k := range b {
		launches, total = launches-k.Launches, total-k.Total
	}
	rounded := func(k SummedKernel) bool { return k.Digit > 1 }
	return launches == 0 && total == 0 && !slices.ContainsFunc(a, rounded) && !slices.ContainsFunc(b, rounded)
}

// reportOf is the end of the names that nsys stats gives its tables.
var reportOf = regexp.MustCompile(`(?i)[-_.]?(?:cuda_?)?gpu_?(?:kern(?:el)?|mem)?_?(?:gb_?|time_?)?(?:sum|trace).*$`)

// reportName is a file's directory and its report's name, as far as the file's
// name tells it: "run/report1" of run/report1_cuda_gpu_kern_sum.csv.gz.
func (s *Summary) reportName() string {
	return filepath.Dir(s.Info.Path) + "\x00" + reportOf.ReplaceAllString(stemOf(s.Info.Name), "")
}

// summedRun picks the summaries of one run that count: whole and exact ones
// first, and one that has all before two that have parts.
func summedRun(group []*Summary) SummedRun {
	lacks := func(s *Summary) (n int) {
		if !s.whole() {
			n += 4
		}
		if slices.ContainsFunc(s.Kernels, func(k SummedKernel) bool { return k.Digit > 1 }) {
			n += 2
		}
		if len(s.rowsOf(true)) == 0 || len(s.rowsOf(false)) == 0 {
			n++
		}
		return n
	}
	best := slices.Clone(group)
	slices.SortStableFunc(best, func(a, b *Summary) int { return cmp.Compare(lacks(a), lacks(b)) })
	var r SummedRun
	for _, kernels := range []bool{true, false} {
		i := slices.IndexFunc(best, func(s *Summary) bool { return len(s.rowsOf(kernels)) > 0 })
		if i < 0 {
			continue
		}
		if !slices.Contains(r.Parts, best[i]) {
			r.Parts = append(r.Parts, best[i])
		}
		r.Kernels = append(r.Kernels, best[i].rowsOf(kernels)...)
	}
	for _, s := range group {
		if !slices.Contains(r.Parts, s) {
			r.Again = append(r.Again, s)
		}
	}
	return r
}
