package engines

import (
	"fmt"
	"slices"

	"tokprof/kernels/breakdown"
	"tokprof/report/document"
	"tokprof/trace/serving"
)

// RunWindow is what a captured run knows about one of its windows.
type RunWindow struct {
	Name string
	// FromUnixNS and ToUnixNS are the start call and the return of the stop
	// call of the profiler; 0 when unknown.
	FromUnixNS, ToUnixNS int64
	Files                []string // base names of the window's traces
	// Requests are the rows of this window, and those of others that were
	// running at the time: these take part in the join, not in the statistics.
	Requests []serving.Request
	// Plain are the rows of the same load without the profiler.
	Plain     []serving.Request
	PlainName string
	Servers   []document.ServerFacts // of the run, as the rows' Server counts them
}

// names counts the files that the window names.
func (w *RunWindow) names(ranks []*breakdown.Rank, files []int) (n int64) {
	for _, i := range files {
		if slices.Contains(w.Files, ranks[i].Info.Name) {
			n++
		}
	}
	return n
}

// runWindows finds the run's window of each group of files: the one that names
// most of the files, else the one that was open longest while they were
// recorded. No window of the run is taken twice; nil where there is none.
func runWindows(run []RunWindow, gpu []*breakdown.Rank, windows [][]int) []*RunWindow {
	out := make([]*RunWindow, len(windows))
	taken := make([]bool, len(run))
	pick := func(n int, score func(*RunWindow) int64) {
		best, most := -1, int64(0)
		for w := range run {
			if s := score(&run[w]); !taken[w] && s > most {
				best, most = w, s
			}
		}
		if best >= 0 {
			out[n], taken[best] = &run[best], true
		}
	}
	for n, files := range windows {
		pick(n, func(w *RunWindow) int64 { return w.names(gpu, files) })
	}
	for n, files := range windows {
		if out[n] != nil {
			continue
		}
		start, end := gpu[files[0]].Start, gpu[files[0]].End
		for _, i := range files {
			start, end = min(start, gpu[i].Start), max(end, gpu[i].End)
		}
		pick(n, func(w *RunWindow) int64 {
			return min(int64(end), w.ToUnixNS) - max(int64(start), w.FromUnixNS)
		})
	}
	return out
}

// NumberedName names the window n, from 0, of no run.
func NumberedName(n int) string { return fmt.Sprintf("w%d", n+1) }

// windowNames names windows as the run does, others by their number. No two
// have one name.
func windowNames(run []*RunWindow) []string {
	used := map[string]bool{}
	out := make([]string, len(run))
	name := func(n int, want string) {
		out[n] = want
		for i := 2; used[out[n]]; i++ {
			out[n] = fmt.Sprintf("%s-%d", want, i)
		}
		used[out[n]] = true
	}
	for n, w := range run {
		if w != nil && w.Name != "" {
			name(n, w.Name)
		}
	}
	for n := range run {
		if out[n] == "" {
			name(n, NumberedName(n))
		}
	}
	return out
}
