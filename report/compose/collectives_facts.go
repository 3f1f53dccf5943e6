package compose

import (
	"cmp"
	"slices"

	"tokprof/kernels/collective"
	"tokprof/nvml"
	"tokprof/report/diagnose"
	"tokprof/report/document"
	"tokprof/report/figures"
	"tokprof/trace"
)

// phaseCollective is what one kernel's collectives were in one phase, as the
// first rank saw them.
type phaseCollective struct {
	diagnose.CollectiveFacts
	kernel    int32   // in the document
	transfers []int64 // of each run
	sizes     []sizedRun
	late      map[int]int64 // how often each document rank came last
}

func (p *phaseCollective) size(m collective.Message, ranks int, transfer trace.Time) {
	if bytes := m.Whole(p.Kind, ranks); bytes > 0 {
		p.sizes = append(p.sizes, sizedRun{bytes: bytes, transfer: int64(transfer), ranks: ranks})
	}
}

// phaseCollectives sums the collectives of the first rank's first device by
// phase and kernel, in the order in which they came first.
func (b *builder) phaseCollectives() (order []*phaseCollective) {
	type key struct {
		phase  string
		kernel int32
	}
	at := map[key]*phaseCollective{}
	alone := b.aloneRanks()
	for j, c := range b.ranks[0].Collectives {
		s := b.split.Of[0][j]
		if c.Step < 0 || !s.Known || c.Device != b.ranks[0].Collectives[0].Device {
			continue
		}
		k := key{b.ranks[0].Steps[c.Step].Label.Phase.String(), b.kernelAt[0][c.Kernel]}
		p := at[k]
		if p == nil {
			kernel := b.a.Kernels[k.kernel]
			p = &phaseCollective{kernel: k.kernel, late: map[int]int64{}}
			p.Phase, p.Kind, p.Kernel, p.Ranks, p.Estimated = k.phase, kernel.Subgroup, kernel.ShortName, 1, b.split.Estimated
			at[k], order = p, append(order, p)
		}
		p.Count++
		p.TransferNS += int64(s.Transfer)
		p.transfers = append(p.transfers, int64(s.Transfer))
		if b.split.Estimated {
			p.size(b.sent[0][j], cmp.Or(c.Ranks, alone), s.Transfer)
		}
	}
	for _, g := range b.split.Groups {
		first := slices.IndexFunc(g.Members, func(m collective.Member) bool {
			return m.Rank == 0 && m.Run.Device == b.ranks[0].Collectives[0].Device
		})
		if first < 0 || g.Members[first].Run.Step < 0 {
			continue
		}
		m := g.Members[first]
		if p := at[key{b.ranks[0].Steps[m.Run.Step].Label.Phase.String(), b.kernelAt[0][m.Run.Kernel]}]; p != nil {
			p.Ranks = max(p.Ranks, len(g.Members))
			if ofRanks(g) > 1 {
				p.late[b.number[g.Members[g.Late].Rank]]++
			}
			p.size(b.groupMessage(g), b.groupRanks(g), b.split.Of[0][m.Index].Transfer)
		}
	}
	return order
}

// collectiveFacts sums the collectives of each phase as one rank saw them.
func (b *builder) collectiveFacts() []diagnose.CollectiveFacts {
	var out []diagnose.CollectiveFacts
	for _, p := range b.phaseCollectives() {
		slices.Sort(p.transfers)
		p.TransferMedianNS = figures.Quantile(p.transfers, 0.5)
		row := b.commRow(p.kernel)
		row.Bytes, row.BusBW = 0, 0
		total(&row, p.sizes)
		p.Bytes, p.BusBW, p.Ceiling = row.Bytes, row.BusBW, row.Ceiling
		if nvml.Path(row.Path).NVLinks() == 0 {
			p.PCIe = row.Path
		}
		for rank, n := range p.late {
			if s := figures.Share(n, p.Count); s > p.LateShare || s == p.LateShare && rank < p.LateRank {
				p.LateRank, p.LateShare = rank, s
			}
		}
		out = append(out, p.CollectiveFacts)
	}
	return out
}

// commRow is a copy of the row of a kernel's collectives.
func (b *builder) commRow(kernel int32) document.Collective {
	for n, s := range b.comm {
		if s.kernel == kernel {
			return b.a.Collectives[n]
		}
	}
	return document.Collective{}
}

// ofRanks is how many ranks ran a collective: the devices of one are not told
// apart by who comes late.
func ofRanks(g collective.Group) int {
	seen := map[int]bool{}
	for _, m := range g.Members {
		seen[m.Rank] = true
	}
	return len(seen)
}
