package document

import "sort"

// StepMean is the mean step of one phase on one rank, kept as sums over its
// steps.
type StepMean struct {
	Phase    string
	Rank     int
	Steps    int64
	Launches int64
	Parts    map[string]int64 // sums over the steps
	Idle     int64            // sum over the steps
	Pauses   int64            // steps that a pause of the server follows
}

// Total is the time of all parts and the idle time, summed over the steps.
func (m *StepMean) Total() int64 {
	t := m.Idle
	for _, v := range m.Parts {
		t += v
	}
	return t
}

// MeanStep is the mean step of a phase over all ranks: the one step that every
// sentence speaks of, so that no two name different times for it, and what a
// table's column of the phase adds up to. Its Rank is -1. Nil where no step of
// the phase has parts.
func MeanStep(a *Analysis, phase string) *StepMean {
	var all *StepMean
	for _, m := range StepMeans(a) {
		if m.Phase != phase {
			continue
		}
		if all == nil {
			all = &StepMean{Phase: phase, Rank: -1, Parts: map[string]int64{}}
		}
		all.Steps += m.Steps
		all.Launches += m.Launches
		all.Idle += m.Idle
		all.Pauses += m.Pauses
		for part, ns := range m.Parts {
			all.Parts[part] += ns
		}
	}
	return all
}

// StepMeans adds up the steps of each phase and rank. Idle runs to the next
// step's start; a pause of the server (a period far above the phase's median)
// is nobody's step and is left out.
func StepMeans(a *Analysis) []*StepMean {
	limits := PauseLimits(a.Steps)
	type key struct {
		phase string
		rank  int
	}
	byKey := map[key]*StepMean{}
	var out []*StepMean
	for i := range a.Steps {
		s := &a.Steps[i]
		if s.DurNS == 0 || len(s.Parts) == 0 {
			continue
		}
		k := key{s.Phase, s.Rank}
		m := byKey[k]
		if m == nil {
			m = &StepMean{Phase: s.Phase, Rank: s.Rank, Parts: map[string]int64{}}
			byKey[k] = m
			out = append(out, m)
		}
		m.Steps++
		m.Launches += s.Launches
		for _, p := range s.Parts {
			m.Parts[p.Name] += p.TimeNS
		}
		span := s.DurNS
		if s.PeriodNS > limits[s.Phase] {
			m.Pauses++
		} else if s.PeriodNS > 0 {
			span = s.PeriodNS
		}
		m.Idle += max(0, span-s.BusyNS)
	}
	sort.SliceStable(out, func(i, j int) bool {
		if a, b := PhaseRank(out[i].Phase), PhaseRank(out[j].Phase); a != b {
			return a < b
		}
		if out[i].Phase != out[j].Phase {
			return out[i].Phase < out[j].Phase
		}
		return out[i].Rank < out[j].Rank
	})
	return out
}

// PauseLimits is the period above which a step is followed by a pause.
func PauseLimits(steps []Step) map[string]int64 {
	periods := map[string][]int64{}
	durs := map[string][]int64{}
	for _, s := range steps {
		if s.PeriodNS > 0 {
			periods[s.Phase] = append(periods[s.Phase], s.PeriodNS)
		}
		durs[s.Phase] = append(durs[s.Phase], s.DurNS)
	}
	out := map[string]int64{}
	for p, d := range durs {
		out[p] = 5 * max(Median(d), 1_000_000)
		if len(periods[p]) >= 4 {
			out[p] = 5 * Median(periods[p])
		}
	}
	return out
}

// Median sorts v and gives its middle, the upper one of two. v must not be
// empty.
func Median(v []int64) int64 {
	sort.Slice(v, func(i, j int) bool { return v[i] < v[j] })
	return v[len(v)/2]
}

// PhaseRank orders phases as drawings list them.
func PhaseRank(p string) int {
	for i, name := range []string{"prefill", "decode", "mixed", "dummy", "none", "all"} {
		if p == name {
			return i
		}
	}
	return 9
}
