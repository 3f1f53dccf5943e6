package trace

import (
	"fmt"
	"strings"
	"testing"
)

// summed is a summary of kernels ("k", a letter each with its time) and copies.
func summed(path string, rows ...SummedKernel) *Summary {
	return &Summary{Info: Info{Path: path, Name: BaseName(path)}, Kernels: rows}
}

func sumOf(name string, kind Kind, launches int64, total Time) SummedKernel {
	return SummedKernel{Name: name, Kind: kind, Launches: launches, Total: total, Min: -1, Median: -1, Max: -1, Digit: 1}
}

// TestSummedRuns tells which tables are of one run.
func TestSummedRuns(t *testing.T) {
	k, g, c := sumOf("k<int>", Kernel, 3, 900), sumOf("g", Kernel, 1, 100), sumOf("Memcpy HtoD", Copy, 2, 50)
	rounded := func(s SummedKernel, total, digit Time) SummedKernel { s.Total, s.Digit = total, digit; return s }
	cut := summed("d/cut.csv", k)
	cut.Info.Truncated = true
	for _, x := range []struct {
		what string
		list []*Summary
		want string
	}{
		{"one table in two forms", []*Summary{summed("d/cuda_gpu_kern_sum.csv", k, g), summed("d/cuda_gpu_kern_sum.json", g, k)},
			"cuda_gpu_kern_sum.csv (2 rows) again cuda_gpu_kern_sum.json"},
		{"kernels beside kernels and copies: the whole counts", []*Summary{summed("d/a_cuda_gpu_kern_sum.csv", k, g), summed("e/other.csv", k, g, c)},
			"other.csv (3 rows) again a_cuda_gpu_kern_sum.csv"},
		{"kernels and copies apart, by their names", []*Summary{summed("d/r1_cuda_gpu_kern_sum.csv", k, g), summed("d/r1_cuda_gpu_mem_time_sum.csv", c), summed("d/r2_cuda_gpu_mem_time_sum.csv", sumOf("Memset", Set, 1, 1))},
			"r1_cuda_gpu_kern_sum.csv+r1_cuda_gpu_mem_time_sum.csv (3 rows); r2_cuda_gpu_mem_time_sum.csv (1 rows)"},
		{"apart, of other directories", []*Summary{summed("d/cuda_gpu_kern_sum.csv", k), summed("e/cuda_gpu_mem_time_sum.csv", c)},
			"cuda_gpu_kern_sum.csv (1 rows); cuda_gpu_mem_time_sum.csv (1 rows)"},
		{"old names", []*Summary{summed("d/r_gpukernsum.csv", k), summed("d/r_gpumemtimesum.csv.gz", c)},
			"r_gpukernsum.csv+r_gpumemtimesum.csv.gz (2 rows)"},
		{"a nanosecond more is another run, whatever the name", []*Summary{summed("d/cuda_gpu_kern_sum.csv", k), summed("d/cuda_gpu_kern_sum.json", sumOf("k<int>", Kernel, 3, 901))},
			"cuda_gpu_kern_sum.csv (1 rows); cuda_gpu_kern_sum.json (1 rows)"},
		{"short names come to the same", []*Summary{summed("d/a.csv", k, g), summed("d/b.csv", sumOf("k", Kernel, 4, 1000))},
			"a.csv (2 rows) again b.csv"},
		{"cut digits agree name by name", []*Summary{summed("d/gui.tsv", rounded(k, 1000, 1000), rounded(g, 0, 1000)), summed("d/a.csv", k, g)},
			"a.csv (2 rows) again gui.tsv"},
		{"cut digits of other names prove nothing", []*Summary{summed("d/gui.tsv", rounded(sumOf("k", Kernel, 4, 0), 1000, 1000)), summed("d/a.csv", k, g)},
			"gui.tsv (1 rows); a.csv (2 rows)"},
		{"a cut table is a part of the whole one", []*Summary{cut, summed("d/a.csv", k, g)},
			"a.csv (2 rows) again cut.csv"},
		{"other launches", []*Summary{summed("d/a.csv", k), summed("d/b.csv", sumOf("k<int>", Kernel, 4, 900))},
			"a.csv (1 rows); b.csv (1 rows)"},
	} {
		var runs []string
		for _, r := range SummedRuns(x.list) {
			name := func(list []*Summary) string {
				var out []string
				for _, s := range list {
					out = append(out, s.Info.Name)
				}
				return strings.Join(out, "+")
			}
			s := fmt.Sprintf("%s (%d rows)", name(r.Parts), len(r.Kernels))
			if len(r.Again) > 0 {
				s += " again " + name(r.Again)
			}
			runs = append(runs, s)
		}
		if got := strings.Join(runs, "; "); got != x.want {
			t.Errorf("%s: %s\nwant %s", x.what, got, x.want)
		}
	}
}
