package match

import (
	"cmp"
	"slices"

	"tokprof/trace/serving"
)

// lane is one engine: a scheduler with its steps and the requests that can be
// its own.
type lane struct {
	t    *timeline
	mine []bool // of the requests
	m    *search
	log  *log
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
		out = append(out, &lane{t: newTimeline(steps, ids), mine: everyone(len(requests))})
	}
	slices.SortFunc(out, func(a, b *lane) int { return cmp.Compare(a.t.index[0], b.t.index[0]) })
	for _, l := range out {
		l.read(requests)
	}
	changed := make([]bool, len(out))
	for i, l := range out {
		changed[i] = l.keepServer(requests)
	}
	if share(out, len(requests)) {
		for i := range changed {
			changed[i] = true
		}
	}
	for i, l := range out {
		if changed[i] {
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

func everyone(n int) []bool {
	all := make([]bool, n)
	for i := range all {
		all[i] = true
	}
	return all
}

func (l *lane) read(requests []serving.Request) { l.m, l.log = aligned(l.t, requests, l.mine) }

// keepServer drops the requests to other servers where nearly all that fit went
// to one.
func (l *lane) keepServer(requests []serving.Request) bool {
	units, most, total := map[int]int{}, 0, 0
	for i, f := range l.fits(len(requests)) {
		units[requests[i].Server] += f.units
		total += f.units
		if units[requests[i].Server] > units[most] {
			most = requests[i].Server
		}
	}
	if units[most] == total || units[most]*5 < total*4 {
		return false
	}
	for i := range requests {
		l.mine[i] = requests[i].Server == most
	}
	return true
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

// share gives each request that several engines claim to the one that it fits
// best, and says whether there were any.
func share(lanes []*lane, requests int) bool {
	best, whose := make([]fit, requests), make([]*lane, requests)
	clash := false
	for _, l := range lanes {
		for i, f := range l.fits(requests) {
			if f.units == 0 {
				continue
			}
			clash = clash || whose[i] != nil
			b := best[i]
			if whose[i] == nil || f.units*10 > b.units*11 || f.units*11 >= b.units*10 && f.uneven < b.uneven {
				best[i], whose[i] = f, l
			}
		}
	}
	if clash {
		for _, l := range lanes {
			for i := range requests {
				l.mine[i] = l.mine[i] && (whose[i] == nil || whose[i] == l)
			}
		}
	}
	return clash
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
