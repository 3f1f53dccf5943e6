package document

import (
	"cmp"
	"slices"

	"tokprof/kernels/breakdown"
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
// step. The shortest run of a collective came last and moved data all the
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
	for i, r := range ranks {
		for j, c := range r.Collectives {
			if c.Step < 0 {
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
	return s
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
// steps of equal batch, the shortest tenth waited for nobody.
func (s *splits) envelope(r *breakdown.Rank) {
	type key struct {
		kernel int32
		tokens int64
		phase  trace.Phase
	}
	at := map[key][]int{}
	for i, c := range r.Collectives {
		if c.Step < 0 {
			continue
		}
		l := r.Steps[c.Step].Label
		k := key{c.Kernel, l.Tokens, l.Phase}
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

// collectives writes one row per kind and kernel.
func (b *builder) collectives() {
	b.split = splitCollectives(b.ranks)
	b.sent = b.messages()
	alone := b.aloneRanks()
	rows := map[int32]*collectiveSum{} // by index into a.Kernels
	var order []int32
	row := func(rank int, c breakdown.Collective) *collectiveSum {
		id := b.kernelAt[rank][c.Kernel]
		if rows[id] == nil {
			k := b.a.Kernels[id]
			rows[id] = &collectiveSum{kernel: id, row: Collective{
				Kind: k.Subgroup, Kernel: k.ShortName, Algorithm: algorithmOf(k.Name),
				Estimated: b.split.estimated, Late: []LateRank{}, Sizes: []CollectiveSize{},
			}, late: map[int]int64{}, together: map[string]bool{}}
			order = append(order, id)
		}
		return rows[id]
	}
	for i, r := range b.ranks {
		for j, c := range r.Collectives {
			s := b.split.of[i][j]
			switch {
			case !s.known:
				row(i, c).unmatched++
			case b.split.estimated:
				row(i, c).add(s)
				row(i, c).size(b.sent[i][j], alone, s.transfer, s.wait)
			default:
				row(i, c).add(s)
			}
		}
	}
	for _, g := range b.split.groups {
		b.addGroup(row(g.members[g.late].rank, g.members[g.late].c), g)
	}
	for _, id := range order {
		b.comm = append(b.comm, rows[id])
	}
	slices.SortStableFunc(b.comm, func(x, y *collectiveSum) int {
		return cmp.Compare(y.row.TransferSumNS+y.row.WaitSumNS, x.row.TransferSumNS+x.row.WaitSumNS)
	})
	for _, s := range b.comm {
		b.a.Collectives = append(b.a.Collectives, s.finish())
	}
}

// addGroup adds what the ranks of one collective have in common.
func (b *builder) addGroup(sum *collectiveSum, g group) {
	late := g.members[g.late]
	sum.groups++
	sum.row.Ranks = max(sum.row.Ranks, len(g.members))
	sum.together[b.groupKey(g)] = true
	first, longest := g.members[0].c.Start, trace.Time(0)
	for _, o := range g.members {
		first = min(first, o.c.Start)
		wait := b.split.of[o.rank][o.index].wait
		longest = max(longest, wait)
		if o.rank != late.rank {
			sum.late[b.number[late.rank]] += int64(wait)
		}
	}
	sum.skew = append(sum.skew, int64(late.c.Start-first))
	sum.longest = append(sum.longest, int64(longest))
	sum.size(b.groupMessage(g), len(g.members), b.split.of[late.rank][late.index].transfer, longest)
}

// collectiveSum gathers one row.
type collectiveSum struct {
	kernel         int32 // index into Analysis.Kernels
	row            Collective
	transfer, wait []int64
	skew, longest  []int64       // by collective
	late           map[int]int64 // ns others waited for this rank
	groups         int64
	unmatched      int64
	sizes          []sizedRun
	together       map[string]bool // groups of ranks that ran it, as groupKey spells them
}

func (s *collectiveSum) add(x split) {
	s.transfer = append(s.transfer, int64(x.transfer))
	s.wait = append(s.wait, int64(x.wait))
	s.row.TransferSumNS += int64(x.transfer)
	s.row.WaitSumNS += int64(x.wait)
}

func (s *collectiveSum) finish() Collective {
	s.row.Count = s.groups
	if s.row.Estimated {
		s.row.Count, s.row.Ranks = int64(len(s.transfer))+s.unmatched, 1
		s.longest = slices.Clone(s.wait)
	}
	s.row.Unmatched = s.unmatched
	s.row.TransferNS, s.row.WaitNS, s.row.SkewNS = spread(s.transfer), spread(s.wait), spread(s.skew)
	s.row.LongestNS = spread(s.longest)
	for rank, ns := range s.late {
		if ns > 0 {
			s.row.Late = append(s.row.Late, LateRank{rank, ns, share(ns, s.row.WaitSumNS)})
		}
	}
	slices.SortFunc(s.row.Late, func(x, y LateRank) int { return cmp.Or(cmp.Compare(y.WaitNS, x.WaitNS), cmp.Compare(x.Rank, y.Rank)) })
	return s.row
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
		addTime(p, "comm", -int64(c.Dur))
		addTime(p, "transfer", int64(s.transfer))
		addTime(p, "waiting", int64(s.wait))
	}
	for i := range steps {
		steps[i].Parts = slices.DeleteFunc(steps[i].Parts, func(t NameTime) bool { return t.TimeNS == 0 })
	}
}
