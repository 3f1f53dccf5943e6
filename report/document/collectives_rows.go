package document

import (
	"cmp"
	"slices"
	"strings"

	"tokprof/kernels/breakdown"
	"tokprof/kernels/collective"
	"tokprof/report/figures"
	"tokprof/trace"
)

// Collective is one kind of collective by one kernel. Time inside a collective
// is transfer, which every rank needs, and waiting for the rank that came last.
type Collective struct {
	Kind   string `json:"kind"`
	Kernel string `json:"kernel"`
	// Bytes is the message as nccl-tests counts it: one rank's buffer of an
	// all-reduce, the whole of what is gathered or scattered; the mean where
	// sizes differ (see Sizes), 0 when unknown.
	Bytes      int64  `json:"bytes"`
	BytesHow   string `json:"bytes_how"` // "args" of the kernel, "shapes" of the op's input, "config" or "weights": the step's tokens × the width by either; or several; "" when unknown
	Ranks      int    `json:"ranks"`     // that ran one together, at most
	Count      int64  `json:"count"`
	Unmatched  int64  `json:"unmatched"` // runs without a partner in another rank's file: not split
	TransferNS Spread `json:"transfer_ns"`
	WaitNS     Spread `json:"wait_ns"`         // per rank
	LongestNS  Spread `json:"longest_wait_ns"` // per collective: of the rank that waited longest
	SkewNS     Spread `json:"skew_ns"`         // first rank's start to last rank's
	// AlgBW is bytes over transfer time, BusBW the share of it that each link
	// carries by nccl-tests' factors, both in B/s and of the sizes from 1 MiB
	// where there are any; 0 when unknown.
	AlgBW float64 `json:"algbw"`
	BusBW float64 `json:"busbw"`
	// Ceiling is what NCCL's own model lets BusBW be on the path between the
	// ranks, Physical what the wires carry in one direction; 0 when unknown.
	Ceiling    float64 `json:"ceiling"`
	Physical   float64 `json:"physical"`
	CeilingHow string  `json:"ceiling_how"` // in words
	Percent    float64 `json:"percent"`     // BusBW of Ceiling, 0–100; 0 when unknown and when latency-bound
	// LatencyBound: no message reaches 1 MiB, so bandwidth is not what counts.
	LatencyBound bool   `json:"latency_bound"`
	BestNS       int64  `json:"best_ns"`   // shortest transfer seen of such messages, by any kernel
	Algorithm    string `json:"algorithm"` // as far as the kernel's name shows it; "" when it does not
	// Path is what links the ranks' GPUs, in nvidia-smi's words: "NV18", "PHB";
	// "" when unknown.
	Path    string `json:"path"`
	Warning string `json:"warning,omitempty"`
	// Estimated: from one rank's file, by the lower envelope of equal
	// collectives.
	Estimated     bool  `json:"estimated"`
	TransferSumNS int64 `json:"transfer_sum_ns"` // over all ranks
	WaitSumNS     int64 `json:"wait_sum_ns"`
	// Late says for which rank the others waited, longest first.
	Late  []LateRank       `json:"late"`
	Sizes []CollectiveSize `json:"sizes"` // of known size, largest first
}

// CollectiveSize is the runs of a collective with one message size, or with
// sizes of one power of two where there are many.
type CollectiveSize struct {
	Bytes        int64   `json:"bytes"` // mean
	MinBytes     int64   `json:"min_bytes"`
	MaxBytes     int64   `json:"max_bytes"`
	Count        int64   `json:"count"`
	TransferNS   Spread  `json:"transfer_ns"`
	LongestNS    Spread  `json:"longest_wait_ns"`
	BestNS       int64   `json:"best_ns"`
	AlgBW        float64 `json:"algbw"` // of the median transfer
	BusBW        float64 `json:"busbw"`
	Percent      float64 `json:"percent"`
	LatencyBound bool    `json:"latency_bound"`
}

// LateRank is a rank that others waited for in collectives.
type LateRank struct {
	Rank   int     `json:"rank"`
	WaitNS int64   `json:"wait_ns"` // summed over those who waited
	Share  float64 `json:"share"`   // of all waiting
}

// collectives writes one row per kind and kernel.
func (b *builder) collectives() {
	b.split = b.splitWorlds()
	b.sent = collective.Messages(b.ranks, b.o.Model)
	alone := b.aloneRanks()
	rows := map[int32]*collectiveSum{} // by index into a.Kernels
	var order []int32
	row := func(rank int, c breakdown.Collective) *collectiveSum {
		id := b.kernelAt[rank][c.Kernel]
		if rows[id] == nil {
			k := b.a.Kernels[id]
			rows[id] = &collectiveSum{kernel: id, row: Collective{
				Kind: k.Subgroup, Kernel: k.ShortName, Algorithm: collective.AlgorithmOf(k.Name),
				Estimated: b.split.Estimated, Late: []LateRank{}, Sizes: []CollectiveSize{},
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
	row            Collective
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

func (s *collectiveSum) finish() Collective {
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
			s.row.Late = append(s.row.Late, LateRank{rank, ns, share(ns, s.row.WaitSumNS)})
		}
	}
	slices.SortFunc(s.row.Late, func(x, y LateRank) int { return cmp.Or(cmp.Compare(y.WaitNS, x.WaitNS), cmp.Compare(x.Rank, y.Rank)) })
	return s.row
}
