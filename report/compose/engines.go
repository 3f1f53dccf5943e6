package compose

import (
	"cmp"
	"slices"

	"tokprof/kernels/breakdown"
	"tokprof/kernels/collective"
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
func (o *Options) tellEngines(ranks []*breakdown.Rank) ([]*breakdown.Rank, []engine) {
	engines := make([]engine, len(ranks))
	told := false
	for i, r := range ranks {
		server, ok := o.ServerOf[r.Info.Path]
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

// numberRanks gives each file its rank over all replicas and servers; files that
// do not say get the free numbers in file order. Replicas that are worlds of
// their own all have a rank 0, replicas of one world (expert parallel) count on.
// Servers are worlds of their own.
func (b *builder) numberRanks() {
	first := b.worlds()
	used := map[int]bool{}
	b.number = make([]int, len(b.ranks))
	for i, r := range b.ranks {
		b.number[i] = -1
		if r.Info.Rank < 0 {
			continue
		}
		if n := first[b.world[i]] + r.Info.Rank; !used[n] {
			used[n], b.number[i] = true, n
		}
	}
	next := 0
	for i := range b.number {
		for b.number[i] < 0 {
			if !used[next] {
				used[next], b.number[i] = true, next
			}
			next++
		}
	}
}

// worlds finds the ranks that can run collectives together, each such world by a
// number, and which rank over all worlds is the first of each.
func (b *builder) worlds() (first []int) {
	restart := map[int]bool{} // servers with replicas that count their ranks from 0
	seen := map[[2]int]bool{}
	for i, r := range b.ranks {
		at := [2]int{b.engines[i].server, r.Info.Rank}
		restart[at[0]] = restart[at[0]] || r.Info.Rank >= 0 && seen[at]
		seen[at] = true
	}
	world := func(p engine) engine {
		if !restart[p.server] {
			p.replica = -1
		}
		return p
	}
	sizes := map[engine]int{}
	var worlds []engine
	for i, r := range b.ranks {
		w := world(b.engines[i])
		sizes[w] = max(sizes[w], r.Info.WorldSize, r.Info.Rank+1, 1)
		worlds = append(worlds, w)
	}
	slices.SortFunc(worlds, engine.compare)
	worlds = slices.Compact(worlds)
	base, next := 0, 0
	for n, w := range worlds {
		if n > 0 && w.server != worlds[n-1].server {
			base = next
		}
		first = append(first, base+max(w.replica, 0)*sizes[w])
		next = max(next, first[n]+sizes[w])
	}
	b.world = make([]int, len(b.ranks))
	for i, p := range b.engines {
		b.world[i] = slices.Index(worlds, world(p))
	}
	return first
}

// splitWorlds collective.Matching the time inside collectives, of each world by itself.
func (b *builder) splitWorlds() collective.Matching {
	out := collective.Matching{Of: make([][]collective.Split, len(b.ranks))}
	for w := range slices.Max(b.world) + 1 {
		var of []int
		var ranks []*breakdown.Rank
		for i, r := range b.ranks {
			if b.world[i] == w {
				of, ranks = append(of, i), append(ranks, r)
			}
		}
		s := collective.Match(ranks)
		for n, i := range of {
			out.Of[i] = s.Of[n]
			out.Estimated = out.Estimated || s.Estimated && len(s.Of[n]) > 0
		}
		for _, g := range s.Groups {
			for m := range g.Members {
				g.Members[m].Rank = of[g.Members[m].Rank]
			}
			out.Groups = append(out.Groups, g)
		}
	}
	return out
}
