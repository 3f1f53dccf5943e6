package compose

import (
	"cmp"
	"slices"
	"strings"

	"tokprof/kernels/breakdown"
	"tokprof/kernels/collective"
	"tokprof/report/document"
	"tokprof/report/figures"
	"tokprof/trace"
)

// collectives writes one row per kind and kernel.
func (b *builder) collectives() {
	b.split = b.served.Match()
	b.sent = collective.Messages(b.ranks, b.o.Model)
	alone := b.aloneRanks()
	rows := map[int32]*collectiveSum{} // by index into a.Kernels
	var order []int32
	row := func(rank int, c breakdown.Collective) *collectiveSum {
		id := b.kernelAt[rank][c.Kernel]
		if rows[id] == nil {
			k := b.a.Kernels[id]
			rows[id] = &collectiveSum{kernel: id, row: document.Collective{
				Kind: k.Subgroup, Kernel: k.ShortName, Algorithm: collective.AlgorithmOf(k.Name),
				Estimated: b.split.Estimated, Late: []document.LateRank{}, Sizes: []document.CollectiveSize{},
			}, late: map[int]int64{}, together: map[string]bool{}}
			order = append(order, id)
		}
		return rows[id]
	}
	for i, r := range b.ranks {
		for j, c := range r.Collectives {
			s := b.split.Of[i][j]
			switch {
			case !s.Known:
				row(i, c).unmatched++
			case b.split.Estimated:
				row(i, c).add(s)
				ranks := cmp.Or(c.Ranks, alone)
				row(i, c).together[strings.Repeat("\x00", ranks)] = true
				row(i, c).size(b.sent[i][j], ranks, s.Transfer, s.Wait)
			default:
				row(i, c).add(s)
			}
		}
	}
	for _, g := range b.split.Groups {
		b.addGroup(row(g.Members[g.Late].Rank, g.Members[g.Late].Run), g)
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
func (b *builder) addGroup(sum *collectiveSum, g collective.Group) {
	late := g.Members[g.Late]
	sum.groups++
	sum.row.Ranks = max(sum.row.Ranks, len(g.Members))
	sum.together[b.groupKey(g)] = true
	first, longest := g.Members[0].Run.Start, trace.Time(0)
	for _, o := range g.Members {
		first = min(first, o.Run.Start)
		wait := b.split.Of[o.Rank][o.Index].Wait
		longest = max(longest, wait)
		if o.Rank != late.Rank {
			sum.late[b.number[late.Rank]] += int64(wait)
		}
	}
	sum.skew = append(sum.skew, int64(late.Run.Start-first))
	sum.longest = append(sum.longest, int64(longest))
	sum.size(b.groupMessage(g), b.groupRanks(g), b.split.Of[late.Rank][late.Index].Transfer, longest)
}

// collectiveSum gathers one row.
type collectiveSum struct {
	kernel         int32 // index into Analysis.Kernels
	row            document.Collective
	transfer, wait []int64
	skew, longest  []int64       // by collective
	late           map[int]int64 // ns others waited for this rank
	groups         int64
	unmatched      int64
	sizes          []sizedRun
	together       map[string]bool // groups of ranks that ran it, as groupKey spells them
}

func (s *collectiveSum) add(x collective.Split) {
	s.transfer = append(s.transfer, int64(x.Transfer))
	s.wait = append(s.wait, int64(x.Wait))
	s.row.TransferSumNS += int64(x.Transfer)
	s.row.WaitSumNS += int64(x.Wait)
}

func (s *collectiveSum) finish() document.Collective {
	s.row.Count = s.groups
	if s.row.Estimated {
		s.row.Count, s.row.Ranks = int64(len(s.transfer))+s.unmatched, 1
		s.longest = slices.Clone(s.wait)
	}
	s.row.Unmatched = s.unmatched
	s.row.TransferNS, s.row.WaitNS, s.row.SkewNS = figures.SpreadOf(s.transfer), figures.SpreadOf(s.wait), figures.SpreadOf(s.skew)
	s.row.LongestNS = figures.SpreadOf(s.longest)
	for rank, ns := range s.late {
		if ns > 0 {
			s.row.Late = append(s.row.Late, document.LateRank{Rank: rank, WaitNS: ns, Share: figures.Share(ns, s.row.WaitSumNS)})
		}
	}
	slices.SortFunc(s.row.Late, func(x, y document.LateRank) int {
		return cmp.Or(cmp.Compare(y.WaitNS, x.WaitNS), cmp.Compare(x.Rank, y.Rank))
	})
	return s.row
}
