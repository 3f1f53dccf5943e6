package engines

import (
	"cmp"
	"slices"

	"tokprof/kernels/breakdown"
	"tokprof/report/document"
	"tokprof/trace"
)

// Window is the ranks that were recorded together, what the run knows about them,
// and the engines that they are of.
type Window struct {
	Name string // as the run names it, else by its number; unlike any other's
	// Ranks are by replica and rank. Where several servers left the traces, each
	// engine of them counts as a replica.
	Ranks []*breakdown.Rank
	// Number is each rank's number in the document: over all replicas and servers,
	// no two alike.
	Number []int

	run     *RunWindow // nil when the window is of no captured run
	engines []engine   // of each of Ranks
	world   []int      // of each of Ranks: those of one world can run collectives together
}

// Windows parts the ranks that have GPU work into windows, in time order. serverOf
// says which server of the run left a trace, by the trace's path; it holds nothing
// of a run of one server.
func Windows(ranks []*breakdown.Rank, run []RunWindow, serverOf map[string]int) []Window {
	ranks, of := tellEngines(ranks, serverOf)
	spans := make([]trace.Span, len(ranks))
	for i, r := range ranks {
		spans[i] = of[i].span(r)
	}
	files := gathered(trace.Windows(spans), run, ranks, of)
	picked := runWindows(run, ranks, files)
	names := windowNames(picked)
	out := make([]Window, len(files))
	for n := range out {
		w := Window{Name: names[n], run: picked[n]}
		for _, i := range files[n] {
			w.Ranks, w.engines = append(w.Ranks, ranks[i]), append(w.engines, of[i])
		}
		w.numberRanks()
		out[n] = w
	}
	return out
}

// Servers are those that the window was recorded of; nil when unknown. Models are
// named without directories.
func (w *Window) Servers() (out []document.ServerFacts) {
	if w.run == nil {
		return nil
	}
	for _, s := range w.run.Servers {
		s.Model = document.ModelName(s.Model)
		out = append(out, s)
	}
	return out
}

// gathered joins groups of files that one window of the run names and that are of
// different servers: servers that worked one after the other do not overlap.
func gathered(windows [][]int, run []RunWindow, ranks []*breakdown.Rank, engines []engine) [][]int {
	named := func(files []int) int {
		for w := range run {
			if run[w].names(ranks, files) > 0 {
				return w
			}
		}
		return -1
	}
	var out [][]int
	for _, files := range windows {
		n := slices.IndexFunc(out, func(o []int) bool {
			return named(o) >= 0 && named(o) == named(files) && otherServers(engines, o, files)
		})
		if n < 0 {
			out = append(out, files)
			continue
		}
		out[n] = append(slices.Clone(out[n]), files...)
		slices.SortStableFunc(out[n], func(a, b int) int {
			return cmp.Or(cmp.Compare(ranks[a].Info.Replica, ranks[b].Info.Replica), cmp.Compare(ranks[a].Info.Rank, ranks[b].Info.Rank))
		})
	}
	return out
}

// otherServers says that two groups of files are of known servers, and share none.
func otherServers(engines []engine, a, b []int) bool {
	for _, i := range a {
		for _, j := range b {
			if engines[i].server < 0 || engines[j].server < 0 || engines[i].server == engines[j].server {
				return false
			}
		}
	}
	return true
}
