package gpus

import (
	"cmp"
	"slices"

	"tokprof/nvml"
	"tokprof/report/document"
	"tokprof/report/figures"
)

// sameClock is how close the clocks of several GPUs must be to count as one.
const sameClock = 0.01

// clocks gives each step the SM clock of its GPU, and each phase what lower
// clocks can have cost it.
func (j *Joined) clocks() {
	lines := map[int]levelLine{}
	for _, c := range j.placed.crews {
		for _, g := range c.gpus {
			// Not cut to the window: a reading stands for the time after it.
			lines[g] = newLevelLine(j.host.Readings.Series(g), nvml.SMClock)
		}
	}
	rankAt := map[int]int{}
	for i := range j.ranks {
		rankAt[j.number[i]] = i
	}
	for i := range j.a.Steps {
		s := &j.a.Steps[i]
		if c := j.placed.of(rankAt[s.Rank]); c != nil && s.DurNS > 0 {
			s.SMMHz = clockOf(c, lines, interval{s.StartUnixNS, s.StartUnixNS + s.DurNS})
		}
	}
	for i := range j.a.Phases {
		p := &j.a.Phases[i]
		p.SMMHzMean = j.phaseClock(p.Phase, lines)
		p.Clock = clockEffect(p.Phase, j.countedSteps())
	}
}

// clockOf is the clock of a rank of a crew: of several GPUs any may be the
// rank's, so they must agree. 0 when unknown.
func clockOf(c *crew, lines map[int]levelLine, in interval) float64 {
	var low, high, sum float64
	for i, g := range c.gpus {
		v, ok := lines[g].mean(in)
		if !ok {
			return 0
		}
		if i == 0 {
			low, high = v, v
		}
		low, high, sum = min(low, v), max(high, v), sum+v
	}
	if high-low > sameClock*high {
		return 0
	}
	return sum / float64(len(c.gpus))
}

// phaseClock is the mean clock over a phase's steps and the GPUs of their ranks;
// 0 when a GPU's is unknown.
func (j *Joined) phaseClock(phase string, lines map[int]levelLine) float64 {
	spans := j.stepSpans()
	var sum float64
	var covered, all int64
	for _, c := range j.placed.crews {
		// Which rank of the crew ran where does not matter to the mean.
		for i, g := range c.gpus {
			list := spans[c.places[i%len(c.places)].rank][phase]
			s, n := lines[g].over(list...)
			sum, covered = sum+s, covered+n
			for _, in := range list {
				all += in.to - in.from
			}
		}
	}
	if covered == 0 || float64(covered) < mostOf*float64(all) || j.placed.why != "" {
		return 0
	}
	return sum / float64(covered)
}

// stepSpans are the times of each rank's steps by phase: to the next step's
// start, since the idle time between is the step's too, but without pauses.
func (j *Joined) stepSpans() []map[string][]interval {
	limits := document.PauseLimits(j.a.Steps)
	out := make([]map[string][]interval, len(j.ranks))
	for i := range j.ranks {
		out[i] = map[string][]interval{}
		for _, s := range j.a.Steps {
			if s.Rank != j.number[i] || s.DurNS == 0 {
				continue
			}
			span := s.DurNS
			if s.PeriodNS > 0 && s.PeriodNS <= limits[s.Phase] {
				span = s.PeriodNS
			}
			out[i][s.Phase] = append(out[i][s.Phase], interval{s.StartUnixNS, s.StartUnixNS + span})
		}
		for _, list := range out[i] {
			slices.SortFunc(list, func(x, y interval) int { return cmp.Compare(x.from, y.from) })
		}
	}
	return out
}

// countedSteps are the steps that phases count: each once, on one rank of its
// replica.
func (j *Joined) countedSteps() (out []document.Step) {
	counted := map[int]bool{}
	for _, r := range j.ranks {
		counted[j.number[j.countedRank(r.Info.Replica)]] = true
	}
	for _, s := range j.a.Steps {
		if counted[s.Rank] {
			out = append(out, s)
		}
	}
	return out
}

// clockEffect works out what lower clocks can have cost a phase; nil when no
// step has a clock.
func clockEffect(phase string, steps []document.Step) *document.ClockEffect {
	var known []document.Step
	e := &document.ClockEffect{}
	for _, s := range steps {
		if s.Phase == phase && s.SMMHz > 0 {
			known = append(known, s)
			e.ReferenceMHz = max(e.ReferenceMHz, s.SMMHz)
		}
	}
	if len(known) == 0 {
		return nil
	}
	var normal []int64
	for _, s := range known {
		normal = append(normal, int64(float64(s.DurNS)*s.SMMHz/e.ReferenceMHz))
	}
	e.StepsKnown, e.StepNS = len(known), figures.SpreadOf(normal)
	slices.SortStableFunc(known, func(x, y document.Step) int { return cmp.Compare(x.DurNS, y.DurNS) })
	middle, slow := known[(len(known)-1)/2], known[len(known)-1]
	e.SlowStep, e.SlowRank, e.SlowMHz, e.SlowNS = slow.Index, slow.Rank, slow.SMMHz, slow.DurNS
	e.ExcessNS = slow.DurNS - middle.DurNS
	if slow.SMMHz < middle.SMMHz {
		e.ByClockNS = min(e.ExcessNS, int64(float64(slow.DurNS)*(1-slow.SMMHz/middle.SMMHz)))
	}
	return e
}
