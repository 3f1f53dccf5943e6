package compose

import (
	"tokprof/kernels/breakdown"
	"tokprof/report/document"
	"tokprof/trace"
)

// minRefreshes is how many refreshes of the energy counter an interval needs:
// the counter moves about every 100 ms, so that fewer measure its edges.
const minRefreshes = 10

// energy gives each phase the energy of its GPUs.
func (b *builder) energy() {
	replicas, ok := b.replicaGPUs()
	if !ok {
		return
	}
	spans := b.stepSpans()
	lines := map[int]counterLine{}
	for _, x := range replicas {
		for _, g := range x.gpus {
			lines[g] = energyLine(b.o.Readings.Series(g))
		}
	}
	for i := range b.a.Phases {
		p := &b.a.Phases[i]
		var total float64
		var gpuNS int64
		known := true
		for _, x := range replicas {
			for _, g := range x.gpus {
				e, ns, ok := lines[g].during(spans[x.rank][p.Phase])
				total, gpuNS, known = total+e, gpuNS+ns, known && (ok || ns == 0)
			}
		}
		if !known || gpuNS == 0 {
			continue
		}
		p.EnergyJ, p.PowerWMean = total, total/float64(gpuNS)*1e9
		if p.Tokens > 0 {
			p.JPerToken = total / float64(p.Tokens)
		}
		p.RoleEnergy = b.roleEnergy(p.Phase, total)
	}
}

// replicaGPUs is all the GPUs that one replica runs on, and a rank whose steps
// are the replica's.
type replicaGPUs struct {
	rank int
	gpus []int
}

// replicaGPUs finds the GPUs of each replica. ok is false where some are not
// known: tokens are all replicas', so their energy must be.
func (b *builder) replicaGPUs() ([]replicaGPUs, bool) {
	if b.gpus.why != "" || len(b.gpus.crews) == 0 {
		return nil, false
	}
	at := map[int]int{}
	var out []replicaGPUs
	gpus := 0
	for _, c := range b.gpus.crews {
		replica := b.ranks[c.places[0].rank].Info.Replica
		for _, p := range c.places {
			if b.ranks[p.rank].Info.Replica != replica {
				return nil, false
			}
		}
		n, seen := at[replica]
		if !seen {
			n = len(out)
			at[replica] = n
			out = append(out, replicaGPUs{rank: b.countedRank(replica)})
		}
		out[n].gpus = append(out[n].gpus, c.gpus...)
		gpus += len(c.gpus)
	}
	return out, gpus == b.places()+b.unseen()
}

// places counts the devices of all ranks.
func (b *builder) places() (n int) {
	for _, r := range b.ranks {
		n += len(r.Devices)
	}
	return n
}

// countedRank is the rank whose steps count for its replica.
func (b *builder) countedRank(replica int) int {
	best := -1
	for i, r := range b.ranks {
		if r.Info.Replica == replica && (best < 0 || len(b.ranks[best].Steps) == 0 && len(r.Steps) > 0) {
			best = i
		}
	}
	return best
}

// during is the energy in J of some intervals and their length: what the
// counter counted between two refreshes is taken to be even in time. ok is
// false when fewer than minRefreshes lie mostly in the intervals, or the
// counter does not cover most of them.
func (l counterLine) during(list []interval) (joule float64, ns int64, ok bool) {
	for _, in := range list {
		ns += in.to - in.from
	}
	covered, refreshes, from := int64(0), 0, 0
	for i := 1; i < len(l.at); i++ {
		a, z := l.at[i-1], l.at[i]
		var inside int64
		for from < len(list) && list[from].to <= a {
			from++
		}
		for k := from; k < len(list) && list[k].from < z; k++ {
			inside += max(0, min(list[k].to, z)-max(list[k].from, a))
		}
		joule += (l.total[i] - l.total[i-1]) * float64(inside) / float64(z-a)
		covered += inside
		if 2*inside >= z-a {
			refreshes++
		}
	}
	if refreshes < minRefreshes || float64(covered) < mostOf*float64(ns) {
		return 0, ns, false
	}
	return joule * float64(ns) / float64(covered), ns, true
}

// roleEnergy shares a phase's energy out by busy time: over roles, and over
// parts for what has none.
func (b *builder) roleEnergy(phase string, joule float64) []document.NameEnergy {
	rows := map[rowKey]*document.Row{}
	for i, r := range b.ranks {
		for _, c := range r.Cells {
			if c.Phase.String() != phase {
				continue
			}
			name := c.Role.String()
			if name == "" {
				name = c.Part.String()
			}
			addRow(rows, phase, name, c)
		}
		b.splitRank(i, rows, phase)
	}
	for _, s := range b.a.Steps {
		if g := s.GraphNS(); g > 0 && s.Phase == phase {
			addRow(rows, phase, document.WholePart, breakdown.Cell{Time: trace.Time(g)})
		}
	}
	var busy int64
	for _, r := range rows {
		busy += r.TimeNS
	}
	var out []document.NameEnergy
	for _, r := range sortRows(rows, nil) {
		if r.TimeNS > 0 {
			out = append(out, document.NameEnergy{Name: r.Name, EnergyJ: joule * float64(r.TimeNS) / float64(busy)})
		}
	}
	return out
}
