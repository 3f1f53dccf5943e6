// Package collective says which runs of collectives on several ranks were one,
// how the time inside them splits into transfer and waiting, how large their
// messages were, and what a kernel's name shows of the algorithm.
package collective

import (
	"cmp"
	"maps"
	"slices"

	"tokprof/kernels/breakdown"
	"tokprof/trace"
)

// Split is what matching says about one collective run of one rank: the part
// that moved data, and the part that waited for the rank that came last.
type Split struct {
	Transfer, Wait trace.Time
	Known          bool
}

// Matching holds, per rank, one split for each of the rank's Collectives.
type Matching struct {
	Of        [][]Split
	Estimated bool // from one rank's file
	Groups    []Group
}

// Group is one collective over the ranks that ran it together.
type Group struct {
	Members []Member
	Late    int // index into Members: the rank that came last
}

// Member is one rank's run of a group's collective.
type Member struct {
	Rank, Index int // of the run among the rank's Collectives
	Run         breakdown.Collective
}

// minEstimate is how many equal collectives one rank's lower envelope needs: of
// fewer, none may have come last.
const minEstimate = 8

// Match matches the ranks' collectives by their order inside the step, and
// those outside every step by the time at which they ran. The devices of one
// process take part like ranks. The shortest run of a
// collective came last and moved data all the time; what the others took longer
// is waiting. Runs that do not overlap in time are not one collective, whatever
// their order. One rank alone gets an estimate from the lower envelope of equal
// collectives.
func Match(ranks []*breakdown.Rank) Matching {
	s := Matching{Of: make([][]Split, len(ranks))}
	for i, r := range ranks {
		s.Of[i] = make([]Split, len(r.Collectives))
	}
	if len(ranks) == 1 && oneDevice(ranks[0]) {
		s.Estimated = true
		s.envelope(ranks[0])
		return s
	}
	shift := AlignSteps(ranks)
	type key struct{ step, order int32 }
	at := map[key][]Member{}
	var order []key
	var outside []Member
	for i, r := range ranks {
		for j, c := range r.Collectives {
			if c.Step < 0 {
				outside = append(outside, Member{i, j, c})
				continue
			}
			k := key{c.Step + shift[i], c.Order}
			if len(at[k]) == 0 {
				order = append(order, k)
			}
			at[k] = append(at[k], Member{i, j, c})
		}
	}
	slices.SortFunc(order, func(a, b key) int { return cmp.Or(cmp.Compare(a.step, b.step), cmp.Compare(a.order, b.order)) })
	for _, k := range order {
		for _, g := range overlapping(ranks, at[k]) {
			s.add(g)
		}
	}
	for _, g := range atOneTime(ranks, outside) {
		s.add(g)
	}
	return s
}

// atOneTime puts runs together that have no step to count in: each rank's of
// one kernel that were all running at one moment. A rank is inside a collective
// until the last one has come, so the runs of one overlap, and those of the
// next begin when the first of them has ended.
func atOneTime(ranks []*breakdown.Rank, all []Member) (out []Group) {
	byName := map[string][]Member{}
	for _, m := range all {
		name := ranks[m.Rank].Kernels[m.Run.Kernel].Name
		byName[name] = append(byName[name], m)
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		out = append(out, slices.DeleteFunc(overlapping(ranks, byName[name]), func(g Group) bool { return !g.whole() })...)
	}
	return out
}

// whole says whether a group is one run of each of its devices, and of no more
// than its kernels say took part.
func (g Group) whole() bool {
	seen := map[[2]int]bool{}
	for _, m := range g.Members {
		place := [2]int{m.Rank, m.Run.Device}
		if seen[place] || m.Run.Ranks > 0 && m.Run.Ranks < len(g.Members) {
			return false
		}
		seen[place] = true
	}
	return true
}

// oneDevice says whether a rank's collectives ran on one device.
func oneDevice(r *breakdown.Rank) bool {
	return !slices.ContainsFunc(r.Collectives, func(c breakdown.Collective) bool { return c.Device != r.Collectives[0].Device })
}

// overlapping puts runs together that have one kernel name and were all
// running at one moment: with pipeline or data parallelism, equal order means
// equal collective only inside each group of ranks.
func overlapping(ranks []*breakdown.Rank, all []Member) []Group {
	slices.SortStableFunc(all, func(a, b Member) int { return cmp.Compare(a.Run.Start, b.Run.Start) })
	var out []Group
	var end trace.Time
	for _, m := range all {
		n := len(out) - 1
		name := ranks[m.Rank].Kernels[m.Run.Kernel].Name
		if n >= 0 && m.Run.Start < end && sameName(ranks, out[n].Members[0], name) {
			out[n].Members = append(out[n].Members, m)
			end = min(end, m.Run.Start+m.Run.Dur)
			continue
		}
		out = append(out, Group{Members: []Member{m}})
		end = m.Run.Start + m.Run.Dur
	}
	return slices.DeleteFunc(out, func(g Group) bool { return len(g.Members) < 2 })
}

func sameName(ranks []*breakdown.Rank, m Member, name string) bool {
	return ranks[m.Rank].Kernels[m.Run.Kernel].Name == name
}

func (s *Matching) add(g Group) {
	least := g.Members[0].Run.Dur
	for i, m := range g.Members {
		least = min(least, m.Run.Dur)
		if m.Run.Start >= g.Members[g.Late].Run.Start {
			g.Late = i
		}
	}
	for _, m := range g.Members {
		s.Of[m.Rank][m.Index] = Split{least, m.Run.Dur - least, true}
	}
	s.Groups = append(s.Groups, g)
}

// envelope estimates one rank's transfer: among collectives of one kernel in
// steps of equal batch, or outside steps of one size, the shortest tenth waited
// for nobody.
func (s *Matching) envelope(r *breakdown.Rank) {
	type key struct {
		kernel int32
		tokens int64
		bytes  int64
		phase  trace.Phase
	}
	at := map[key][]int{}
	for i, c := range r.Collectives {
		k := key{kernel: c.Kernel, bytes: c.Bytes}
		switch {
		case c.Step >= 0:
			l := r.Steps[c.Step].Label
			k = key{kernel: c.Kernel, tokens: l.Tokens, phase: l.Phase}
		case c.Bytes == 0:
			continue
		}
		at[k] = append(at[k], i)
	}
	for _, list := range at {
		if len(list) < minEstimate {
			continue
		}
		durs := make([]trace.Time, len(list))
		for n, i := range list {
			durs[n] = r.Collectives[i].Dur
		}
		slices.Sort(durs)
		floor := durs[len(durs)/10]
		for _, i := range list {
			d := r.Collectives[i].Dur
			s.Of[0][i] = Split{min(d, floor), max(0, d-floor), true}
		}
	}
}

// AlignSteps finds how far each rank's step numbers are from the first rank's:
// a profiler may start a step later on one rank. The shift under which most
// steps have one annotation and overlap in time wins.
func AlignSteps(ranks []*breakdown.Rank) []int32 {
	const reach = 4
	out := make([]int32, len(ranks))
	for i, r := range ranks[1:] {
		best, most := 0, -1
		for _, shift := range []int{0, 1, -1, 2, -2, 3, -3, reach, -reach} {
			n := 0
			for j, s := range r.Steps {
				k := j + shift
				if k < 0 || k >= len(ranks[0].Steps) {
					continue
				}
				o := ranks[0].Steps[k]
				if s.Name == o.Name && s.First < o.Last && o.First < s.Last {
					n++
				}
			}
			if n > most {
				best, most = shift, n
			}
		}
		out[i+1] = int32(best)
	}
	return out
}
