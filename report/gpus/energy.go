package gpus

import "tokprof/report/document"

// minRefreshes is how many refreshes of the energy counter an interval needs:
// the counter moves about every 100 ms, so that fewer measure its edges.
const minRefreshes = 10

// energy gives each phase the energy of its GPUs.
func (j *Joined) energy() {
	replicas, ok := j.replicaGPUs()
	if !ok {
		return
	}
	spans := j.stepSpans()
	lines := map[int]counterLine{}
	for _, x := range replicas {
		for _, g := range x.gpus {
			lines[g] = energyLine(j.host.Readings.Series(g))
		}
	}
	for i := range j.a.Phases {
		p := &j.a.Phases[i]
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
		p.RoleEnergy = j.roleEnergy(p.Phase, total)
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
func (j *Joined) replicaGPUs() ([]replicaGPUs, bool) {
	if j.placed.why != "" || len(j.placed.crews) == 0 {
		return nil, false
	}
	at := map[int]int{}
	var out []replicaGPUs
	gpus := 0
	for _, c := range j.placed.crews {
		replica := j.ranks[c.places[0].rank].Info.Replica
		for _, p := range c.places {
			if j.ranks[p.rank].Info.Replica != replica {
				return nil, false
			}
		}
		n, seen := at[replica]
		if !seen {
			n = len(out)
			at[replica] = n
			out = append(out, replicaGPUs{rank: j.countedRank(replica)})
		}
		out[n].gpus = append(out[n].gpus, c.gpus...)
		gpus += len(c.gpus)
	}
	return out, gpus == j.places()+j.window.Unseen
}

// places counts the devices of all ranks.
func (j *Joined) places() (n int) {
	for _, r := range j.ranks {
		n += len(r.Devices)
	}
	return n
}

// countedRank is the rank whose steps count for its replica.
func (j *Joined) countedRank(replica int) int {
	best := -1
	for i, r := range j.ranks {
		if r.Info.Replica == replica && (best < 0 || len(j.ranks[best].Steps) == 0 && len(r.Steps) > 0) {
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
func (j *Joined) roleEnergy(phase string, joule float64) []document.NameEnergy {
	times := j.window.Busy(phase)
	var busy int64
	for _, x := range times {
		busy += x.TimeNS
	}
	var out []document.NameEnergy
	for _, x := range times {
		if x.TimeNS > 0 {
			out = append(out, document.NameEnergy{Name: x.Name, EnergyJ: joule * float64(x.TimeNS) / float64(busy)})
		}
	}
	return out
}
