package match

import (
	"cmp"
	"math"
	"slices"

	"tokprof/trace/serving"
)

// lane is one engine: a scheduler with its steps and the requests that can be
// its own.
type lane struct {
	t      *timeline
	mine   []bool // of the requests
	server []bool // those to its server
	told   bool   // the steps say which server that is
	m      *search
	kept   *reading
	log    *log
}

// lanes splits steps by engine and requests by what fits: first each engine
// reads all of them, then those that fit it best.
func lanes(steps []Step, requests []serving.Request) []*lane {
	of := map[int][]int{}
	for i := range steps {
		of[steps[i].Engine] = append(of[steps[i].Engine], i)
	}
	var out []*lane
	for _, ids := range of {
		out = append(out, newLane(newTimeline(steps, ids), requests))
	}
	byRhythm(out, requests)
	for _, l := range out {
		l.read(requests)
		l.chooseServer(requests)
	}
	slices.SortFunc(out, func(a, b *lane) int { return cmp.Compare(a.t.index[0], b.t.index[0]) })
	if len(out) > 1 {
		share(out, len(requests))
		for _, l := range out {
			l.read(requests)
		}
	}
	// What two still claim belongs to the first: the other reads once more
	// without it.
	taken := make([]bool, len(requests))
	for _, l := range out {
		if clash := l.drop(taken); clash {
			l.read(requests)
		}
		for i, f := range l.fits(len(requests)) {
			taken[i] = taken[i] || f.units > 0
		}
	}
	return out
}

func newLane(t *timeline, requests []serving.Request) *lane {
	l := &lane{t: t, told: t.steps[0].Server > 0, server: make([]bool, len(requests))}
	for i := range requests {
		l.server[i] = !l.told || requests[i].Server == t.steps[0].Server-1
	}
	l.mine = slices.Clone(l.server)
	return l
}

func (l *lane) read(requests []serving.Request) {
	l.m, l.kept = aligned(l.t, requests, l.mine)
	l.log = l.m.replay(l.kept)
}

// chooseServer keeps to the requests of one server where that reads better than
// all of them together.
func (l *lane) chooseServer(requests []serving.Request) {
	const most = 16
	var servers []int
	for i := range requests {
		if s := requests[i].Server; !slices.Contains(servers, s) && len(servers) <= most {
			servers = append(servers, s)
		}
	}
	if l.told || len(servers) == 1 || len(servers) > most {
		return
	}
	best := *l
	for _, s := range servers {
		one := lane{t: l.t, mine: make([]bool, len(requests)), server: make([]bool, len(requests))}
		for i := range requests {
			one.server[i] = requests[i].Server == s
			one.mine[i] = l.mine[i] && one.server[i]
		}
		if one.read(requests); one.kept.cost < best.kept.cost {
			best = one
		}
	}
	*l = best
}

// byRhythm takes requests away from engines whose steps they do not go with:
// an engine's own get a token with each of its steps, always about as late.
func byRhythm(lanes []*lane, requests []serving.Request) {
	if len(lanes) < 2 {
		return
	}
	for i := range requests {
		off := make([]float64, len(lanes))
		least := math.Inf(1)
		for j, l := range lanes {
			if off[j] = l.t.offBeat(requests[i].TokenUnixNS); l.server[i] {
				least = min(least, off[j])
			}
		}
		for j, l := range lanes {
			l.mine[i] = l.server[i] && off[j] <= 2*least+0.05
		}
	}
}

// offBeat says how far tokens are from one a step and evenly late, in steps a
// token; 0 where too few came to say.
func (t *timeline) offBeat(times []int64) float64 {
	last, lastLate := 0, int64(0)
	off, n := 0.0, 0
	for _, at := range times {
		if at < t.first() || at > t.last() {
			continue
		}
		g := int(t.genAt[t.ended(at)])
		if g == 0 {
			continue
		}
		k := int(t.gens[g-1])
		late := at - t.end[k]
		if n++; n > 1 {
			whole := math.Abs(float64(g-last) - 1)
			part := math.Abs(float64(late-lastLate)) / float64(max(1, t.end[min(k+1, len(t.end)-1)]-t.end[max(0, k-1)])) * 2
			off += min(whole+part, 2)
		}
		last, lastLate = g, late
	}
	if n < 5 {
		return 0
	}
	return off / float64(n-1)
}

// fit says how well a request goes with an engine: how many of its units found
// a step, and how evenly late they came, in ns.
type fit struct {
	units  int
	uneven float64
}

func (l *lane) fits(requests int) []fit {
	out := make([]fit, requests)
	last := make([]int64, requests)
	for k, gave := range l.log.given {
		for _, g := range gave {
			r := l.m.rows[g.row]
			f := &out[r.req]
			late := r.units[g.unit].at - l.m.t.end[k]
			if f.units > 0 {
				f.uneven += float64(max(late-last[r.req], last[r.req]-late))
			}
			f.units++
			last[r.req] = late
		}
	}
	for i := range out {
		out[i].uneven /= float64(max(1, out[i].units-1))
	}
	return out
}

// share gives each request to the engine that it fits best. One that fits none
// so far stays open to all.
func share(lanes []*lane, requests int) {
	best, whose := make([]fit, requests), make([]*lane, requests)
	for _, l := range lanes {
		for i, f := range l.fits(requests) {
			b := best[i]
			if f.units > 0 && (whose[i] == nil || f.units*10 > b.units*11 || f.units*11 >= b.units*10 && f.uneven < b.uneven) {
				best[i], whose[i] = f, l
			}
		}
	}
	for _, l := range lanes {
		for i := range requests {
			l.mine[i] = l.server[i] && (whose[i] == nil || whose[i] == l)
		}
	}
}

// drop takes requests away that others have, and says whether one of them was
// placed here.
func (l *lane) drop(taken []bool) bool {
	clash := false
	for i, f := range l.fits(len(taken)) {
		if taken[i] {
			clash = clash || f.units > 0
			l.mine[i] = false
		}
	}
	return clash
}
