package document

import (
	"cmp"
	"maps"
	"slices"

	"tokprof/kernels/breakdown"
	"tokprof/report/figures"
	"tokprof/trace"
)

// split is what matching says about one collective run of one rank: the part
// that moved data, and the part that waited for the rank that came last.
type split struct {
	transfer, wait trace.Time
	known          bool
}

// splits holds, per rank, one split for each of the rank's Collectives.
type splits struct {
	of        [][]split
	estimated bool
	groups    []group
}

// group is one collective over the ranks that ran it together.
type group struct {
	members []member
	late    int // index into members: the rank that came last
}

type member struct {
	rank, index int
	c           breakdown.Collective
}

// minEstimate is how many equal collectives one rank's lower envelope needs: of
// fewer, none may have come last.
const minEstimate = 8

// splitCollectives matches the ranks' collectives by their order inside the
// step, and those outside every step by the time at which they ran. The
// shortest run of a collective came last and moved data all the
// time; what the others took longer is waiting. Runs that do not overlap in
// time are not one collective, whatever their order. One rank alone gets an
// estimate from the lower envelope of equal collectives.
func splitCollectives(ranks []*breakdown.Rank) splits {
	s := splits{of: make([][]split, len(ranks))}
	for i, r := range ranks {
		s.of[i] = make([]split, len(r.Collectives))
	}
	if len(ranks) == 1 {
		s.estimated = true
		s.envelope(ranks[0])
		return s
	}
	shift := alignSteps(ranks)
	type key struct{ step, order int32 }
	at := map[key][]member{}
	var order []key
	var outside []member
	for i, r := range ranks {
		for j, c := range r.Collectives {
			if c.Step < 0 {
				outside = append(outside, member{i, j, c})
				continue
			}
			k := key{c.Step + shift[i], c.Order}
			if len(at[k]) == 0 {
				order = append(order, k)
			}
			at[k] = append(at[k], member{i, j, c})
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
func atOneTime(ranks []*breakdown.Rank, all []member) (out []group) {
	byName := map[string][]member{}
	for _, m := range all {
		name := ranks[m.rank].Kernels[m.c.Kernel].Name
		byName[name] = append(byName[name], m)
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		out = append(out, slices.DeleteFunc(overlapping(ranks, byName[name]), func(g group) bool { return !g.whole() })...)
	}
	return out
}

// whole says whether a group is one run of each of its ranks, and of no more
// ranks than its kernels say took part.
func (g group) whole() bool {
	seen := map[int]bool{}
	for _, m := range g.members {
		if seen[m.rank] || m.c.Ranks > 0 && m.c.Ranks < len(g.members) {
			return false
		}
		seen[m.rank] = true
	}
	return true
}

// overlapping puts members together that have one kernel name and were all
// running at one moment: with pipeline or data parallelism, equal order means
// equal collective only inside each group of ranks.
func overlapping(ranks []*breakdown.Rank, all []member) []group {
	slices.SortStableFunc(all, func(a, b member) int { return cmp.Compare(a.c.Start, b.c.Start) })
	var out []group
	var end trace.Time
	for _, m := range all {
		n := len(out) - 1
		name := ranks[m.rank].Kernels[m.c.Kernel].Name
		if n >= 0 && m.c.Start < end && sameName(ranks, out[n].members[0], name) {
			out[n].members = append(out[n].members, m)
			end = min(end, m.c.Start+m.c.Dur)
			continue
		}
		out = append(out, group{members: []member{m}})
		end = m.c.Start + m.c.Dur
	}
	return slices.DeleteFunc(out, func(g group) bool { return len(g.members) < 2 })
}

func sameName(ranks []*breakdown.Rank, m member, name string) bool {
	return ranks[m.rank].Kernels[m.c.Kernel].Name == name
}

func (s *splits) add(g group) {
	least := g.members[0].c.Dur
	for i, m := range g.members {
		least = min(least, m.c.Dur)
		if m.c.Start >= g.members[g.late].c.Start {
			g.late = i
		}
	}
	for _, m := range g.members {
		s.of[m.rank][m.index] = split{least, m.c.Dur - least, true}
	}
	s.groups = append(s.groups, g)
}

// envelope estimates one rank's transfer: among collectives of one kernel in
// steps of equal batch, or outside steps of one size, the shortest tenth waited
// for nobody.
func (s *splits) envelope(r *breakdown.Rank) {
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
			s.of[0][i] = split{min(d, floor), max(0, d-floor), true}
		}
	}
}

// alignSteps finds how far each rank's step numbers are from the first rank's:
// a profiler may start a step later on one rank. The shift under which most
// steps have one annotation and overlap in time wins.
func alignSteps(ranks []*breakdown.Rank) []int32 {
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

// splitRows turns time inside matched collectives into transfer and waiting,
// phase by phase. What another stream hid of one is taken from its waiting
// first: the data moves at its end.
func (b *builder) splitRows(parts map[rowKey]*Row) {
	for i := range b.ranks {
		b.splitRank(i, parts, "")
	}
}

// splitRank does it for one rank's collectives, of one phase or of all ("").
func (b *builder) splitRank(i int, parts map[rowKey]*Row, only string) {
	r := b.ranks[i]
	for j, c := range r.Collectives {
		s := b.split.of[i][j]
		phase := trace.NoPhase
		if c.Step >= 0 {
			phase = r.Steps[c.Step].Label.Phase
		}
		if !s.known || only != "" && phase.String() != only {
			continue
		}
		transfer := breakdown.Cell{Time: s.transfer, Exposed: min(s.transfer, c.Exposed), Launches: 1}
		wait := breakdown.Cell{Time: s.wait, Exposed: c.Exposed - transfer.Exposed}
		rows := []string{phase.String(), "all"}
		if only != "" {
			rows = rows[:1]
		}
		for _, p := range rows {
			addRow(parts, p, "transfer", transfer)
			addRow(parts, p, "waiting", wait)
			addRow(parts, p, "comm", breakdown.Cell{Time: -c.Dur, Exposed: -c.Exposed, Launches: -1})
		}
	}
	for k, r := range parts {
		if k.name == "comm" && r.TimeNS == 0 && r.Launches == 0 {
			delete(parts, k)
		}
	}
}

// splitSteps does the same in one rank's steps.
func (b *builder) splitSteps(rank int, steps []Step) {
	for j, c := range b.ranks[rank].Collectives {
		s := b.split.of[rank][j]
		if !s.known || c.Step < 0 {
			continue
		}
		p := &steps[c.Step].Parts
		figures.AddTime(p, "comm", -int64(c.Dur))
		figures.AddTime(p, "transfer", int64(s.transfer))
		figures.AddTime(p, "waiting", int64(s.wait))
	}
	for i := range steps {
		steps[i].Parts = slices.DeleteFunc(steps[i].Parts, func(t NameTime) bool { return t.TimeNS == 0 })
	}
}
