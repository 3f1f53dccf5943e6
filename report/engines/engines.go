// Package engines tells which server and which of its engines left which trace,
// which window of a captured run the trace is of, and joins the engines' steps
// with what the run's clients saw.
package engines

import (
	"cmp"
	"slices"

	"tokprof/kernels/breakdown"
	"tokprof/trace"
)

// engine is a scheduler with steps of its own: a server of the run, or one of its
// data-parallel replicas; -1 when unknown.
type engine struct{ server, replica int }

func (p engine) compare(o engine) int {
	return cmp.Or(cmp.Compare(p.server, o.server), cmp.Compare(p.replica, o.replica))
}

// tellEngines finds the ranks' engines. Where several servers left the traces, each
// engine counts as a replica: the ranks come back with its number in
// Info.Replica, so that ranks of equal number are told apart.
func tellEngines(ranks []*breakdown.Rank, serverOf map[string]int) ([]*breakdown.Rank, []engine) {
	engines := make([]engine, len(ranks))
	told := false
	for i, r := range ranks {
		server, ok := serverOf[r.Info.Path]
		told = told || ok
		if !ok {
			server = -1
		}
		engines[i] = engine{server, r.Info.Replica}
	}
	if !told {
		return ranks, engines
	}
	all := slices.Clone(engines)
	slices.SortFunc(all, engine.compare)
	all = slices.Compact(all)
	out := make([]*breakdown.Rank, len(ranks))
	for i, r := range ranks {
		c := *r
		c.Info.Replica = slices.Index(all, engines[i])
		out[i] = &c
	}
	return out, engines
}

// span is when a rank's events happened. Sizes of worlds tell servers apart that
// nothing else does; of known servers they may differ in one window.
func (p engine) span(r *breakdown.Rank) trace.Span {
	s := trace.Span{Start: r.Start, End: r.End, Rank: r.Info.Rank, Replica: r.Info.Replica, WorldSize: r.Info.WorldSize}
	if p.server >= 0 {
		s.WorldSize = 0
	}
	return s
}
