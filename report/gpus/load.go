package gpus

import (
	"math"
	"slices"

	"tokprof/kernels/breakdown"
	"tokprof/nvml"
)

// What makes the load of a rank show in a GPU's power: so many refreshes of the
// energy counter, so close, and so much closer than to any other.
const (
	loadRefreshes = 10
	loadLeast     = 0.7
	loadMargin    = 0.3
)

// byLoad pairs places with GPUs whose power follows how busy the rank was.
// Ranks in lockstep look alike and stay undecided: ok is false.
func (m *matcher) byLoad(places []place, gpus []int) (gpuOf []int, ok bool) {
	if len(places) != len(gpus) {
		return nil, false
	}
	like := make([][]float64, len(places))
	for i, p := range places {
		like[i] = make([]float64, len(gpus))
		for j, g := range gpus {
			c, ok := likeness(m.j.ranks[p.rank], energyLine(m.rec.Series(g)))
			if !ok {
				return nil, false
			}
			like[i][j] = c
		}
	}
	gpuOf = make([]int, len(places))
	for i := range places {
		best := 0
		for j := range gpus {
			if like[i][j] > like[i][best] {
				best = j
			}
		}
		if like[i][best] < loadLeast || slices.Contains(gpuOf[:i], gpus[best]) {
			return nil, false
		}
		for k := range gpus {
			if k != best && like[i][k] > like[i][best]-loadMargin || k != i && like[k][best] > like[i][best]-loadMargin {
				return nil, false
			}
		}
		gpuOf[i] = gpus[best]
	}
	return gpuOf, true
}

// likeness is the correlation of a rank's busy share with the power between
// refreshes of the energy counter. ok is false where either stands still or
// there are too few.
func likeness(r *breakdown.Rank, e counterLine) (float64, bool) {
	var busy, power []float64
	for i := 1; i < len(e.at); i++ {
		from, to := e.at[i-1], e.at[i]
		busy = append(busy, busyBetween(r, from, to)/float64(to-from))
		power = append(power, (e.total[i]-e.total[i-1])/float64(to-from))
	}
	if len(busy) < loadRefreshes {
		return 0, false
	}
	return correlation(busy, power)
}

// busyBetween spreads each step's busy time evenly over the step.
func busyBetween(r *breakdown.Rank, from, to int64) (ns float64) {
	for _, s := range r.Steps {
		if in := min(int64(s.Last), to) - max(int64(s.First), from); in > 0 {
			ns += float64(s.Busy) * float64(in) / float64(s.Last-s.First)
		}
	}
	return ns
}

// correlation is Pearson's; ok is false where a side does not vary.
func correlation(x, y []float64) (float64, bool) {
	n := float64(len(x))
	var mx, my float64
	for i := range x {
		mx, my = mx+x[i]/n, my+y[i]/n
	}
	var xy, xx, yy float64
	for i := range x {
		dx, dy := x[i]-mx, y[i]-my
		xy, xx, yy = xy+dx*dy, xx+dx*dx, yy+dy*dy
	}
	if xx <= 0 || yy <= 0 {
		return 0, false
	}
	return xy / math.Sqrt(xx*yy), true
}

// counterLine is a counter at its refreshes, in the order of time.
type counterLine struct {
	at    []int64
	total []float64
}

// energyLine is the energy counter in J at each of its refreshes: it stands
// still for about 100 ms between them. Empty when it was reset.
func energyLine(s nvml.Series) counterLine {
	var l counterLine
	last, any := uint64(0), false
	for i := range s {
		v, ok := s[i].Value(nvml.Energy)
		if !ok {
			continue
		}
		if any && v < last {
			return counterLine{}
		}
		// The first value is no refresh: it may have stood for a while.
		if n := len(l.at); any && v > last && n > 0 && l.at[n-1] == s[i].UnixNS {
			l.total[n-1] = float64(v) / 1000 // no time lies between the two
		} else if any && v > last {
			l.at = append(l.at, s[i].UnixNS)
			l.total = append(l.total, float64(v)/1000)
		}
		last, any = v, true
	}
	return l
}
