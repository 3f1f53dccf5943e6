package engines

import (
	"slices"

	"tokprof/kernels/breakdown"
	"tokprof/kernels/collective"
)

// numberRanks gives each file its rank over all replicas and servers; files that
// do not say get the free numbers in file order. Replicas that are worlds of
// their own all have a rank 0, replicas of one world (expert parallel) count on.
// Servers are worlds of their own.
func (w *Window) numberRanks() {
	first := w.worlds()
	used := map[int]bool{}
	w.Number = make([]int, len(w.Ranks))
	for i, r := range w.Ranks {
		w.Number[i] = -1
		if r.Info.Rank < 0 {
			continue
		}
		if n := first[w.world[i]] + r.Info.Rank; !used[n] {
			used[n], w.Number[i] = true, n
		}
	}
	next := 0
	for i := range w.Number {
		for w.Number[i] < 0 {
			if !used[next] {
				used[next], w.Number[i] = true, next
			}
			next++
		}
	}
}

// worlds finds the ranks that can run collectives together, each such world by a
// number, and which rank over all worlds is the first of each.
func (w *Window) worlds() (first []int) {
	restart := map[int]bool{} // servers with replicas that count their ranks from 0
	seen := map[[2]int]bool{}
	for i, r := range w.Ranks {
		at := [2]int{w.engines[i].server, r.Info.Rank}
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
	for i, r := range w.Ranks {
		p := world(w.engines[i])
		sizes[p] = max(sizes[p], r.Info.WorldSize, r.Info.Rank+1, 1)
		worlds = append(worlds, p)
	}
	slices.SortFunc(worlds, engine.compare)
	worlds = slices.Compact(worlds)
	base, next := 0, 0
	for n, p := range worlds {
		if n > 0 && p.server != worlds[n-1].server {
			base = next
		}
		first = append(first, base+max(p.replica, 0)*sizes[p])
		next = max(next, first[n]+sizes[p])
	}
	w.world = make([]int, len(w.Ranks))
	for i, p := range w.engines {
		w.world[i] = slices.Index(worlds, world(p))
	}
	return first
}

// Match splits the time inside collectives, of each world by itself. Members of its
// groups are counted as Ranks are.
func (w *Window) Match() collective.Matching {
	out := collective.Matching{Of: make([][]collective.Split, len(w.Ranks))}
	for world := range slices.Max(w.world) + 1 {
		var of []int
		var ranks []*breakdown.Rank
		for i, r := range w.Ranks {
			if w.world[i] == world {
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
