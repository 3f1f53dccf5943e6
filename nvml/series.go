package nvml

import (
	"cmp"
	"slices"
	"time"
)

// Series is the readings of one GPU in the order of time.
type Series []Reading

// holds is how long a value stands for the time after it: behind a longer gap
// nothing is known.
const holds = 2 * time.Second

// Between cuts a series to [from, to], with readings at the edges as
// Recording.Between says.
func (s Series) Between(from, to int64) Series {
	if to < from {
		return nil
	}
	i, atFrom := s.find(from)
	j, atTo := s.find(to)
	if atTo {
		for j < len(s) && s[j].UnixNS == to {
			j++
		}
	}
	var out Series
	if !atFrom && i > 0 && i < len(s) {
		if edge, ok := s.known(from); ok {
			out = append(out, edge)
		}
	}
	out = append(out, s[i:j]...)
	if !atTo && to > from && j > 0 && j < len(s) {
		if edge, ok := s.known(to); ok {
			out = append(out, edge)
		}
	}
	return out
}

// find is the index of the first reading at or after t, and whether it is at t.
func (s Series) find(t int64) (int, bool) {
	return slices.BinarySearchFunc(s, t, func(r Reading, t int64) int { return cmp.Compare(r.UnixNS, t) })
}

// known is what the GPU had last told of each field by t, as a reading at t.
func (s Series) known(t int64) (Reading, bool) {
	i, _ := s.find(t + 1)
	edge := Reading{UnixNS: t}
	for i--; i >= 0 && s[i].UnixNS >= t-int64(holds); i-- {
		edge.GPU = s[i].GPU
		edge.Fill(&s[i])
	}
	return edge, edge.Valid != 0
}

// with is the readings that have a field.
func (s Series) with(f Field) Series {
	return slices.DeleteFunc(slices.Clone(s), func(r Reading) bool { return !r.Valid.Has(f) })
}

// Span is the time from the first reading to the last.
func (s Series) Span() time.Duration {
	if len(s) == 0 {
		return 0
	}
	return time.Duration(s[len(s)-1].UnixNS - s[0].UnixNS)
}

// Period is the median time between readings and the longest; ok is false
// with fewer than two.
func (s Series) Period() (median, longest time.Duration, ok bool) {
	var gaps []time.Duration
	for i := 1; i < len(s); i++ {
		gaps = append(gaps, time.Duration(s[i].UnixNS-s[i-1].UnixNS))
	}
	if len(gaps) == 0 {
		return 0, 0, false
	}
	slices.Sort(gaps)
	return gaps[len(gaps)/2], gaps[len(gaps)-1], true
}

// Levels is how a field stood over a series.
type Levels struct {
	Min      uint64  `json:"min"`
	Max      uint64  `json:"max"`
	Mean     float64 `json:"mean"` // weighted by time: a value holds until the next reading
	Readings int     `json:"readings"`
}

// Levels weighs a level by time; ok is false where no reading has it. Spans
// of more than 2 s without a reading are left out of the mean.
func (s Series) Levels(f Field) (Levels, bool) {
	var l Levels
	var weighted, spent float64
	for r, until := range s.steps(f) {
		v := *fieldTable[f].at(&r)
		if l.Readings == 0 {
			l.Min, l.Max, l.Mean = v, v, float64(v)
		}
		l.Min, l.Max = min(l.Min, v), max(l.Max, v)
		l.Readings++
		weighted += float64(v) * float64(until-r.UnixNS)
		spent += float64(until - r.UnixNS)
	}
	if spent > 0 {
		l.Mean = weighted / spent
	}
	return l, l.Readings > 0
}

// steps yields the readings that have a field, each with the time up to which
// it stands: the next reading's, or its own at the end and before a gap.
func (s Series) steps(f Field) func(yield func(Reading, int64) bool) {
	return func(yield func(Reading, int64) bool) {
		s := s.with(f)
		for i, r := range s {
			until := r.UnixNS
			if i+1 < len(s) && s[i+1].UnixNS-r.UnixNS <= int64(holds) {
				until = s[i+1].UnixNS
			}
			if !yield(r, until) {
				return
			}
		}
	}
}

// Refresh is how often the driver renews a field.
type Refresh struct {
	Median   time.Duration `json:"median_ns"` // between changes of the value; never below the readings' own period
	Shortest time.Duration `json:"shortest_ns"`
	Changes  int           `json:"changes"`
}

// Refresh measures how often a value changed; ok is false below three
// changes. A level that stands still looks slower than it is.
func (s Series) Refresh(f Field) (Refresh, bool) {
	var times []int64
	s = s.with(f)
	for i := 1; i < len(s); i++ {
		if *fieldTable[f].at(&s[i]) != *fieldTable[f].at(&s[i-1]) {
			times = append(times, s[i].UnixNS)
		}
	}
	if len(times) < 3 {
		return Refresh{Changes: len(times)}, false
	}
	gaps := make([]time.Duration, len(times)-1)
	for i := range gaps {
		gaps[i] = time.Duration(times[i+1] - times[i])
	}
	slices.Sort(gaps)
	return Refresh{gaps[len(gaps)/2], gaps[0], len(times)}, true
}

// Delta is what a counter counted over a series.
type Delta struct {
	Value  uint64 `json:"value"`
	FromNS int64  `json:"from_unix_ns"` // the first reading that has the counter
	ToNS   int64  `json:"to_unix_ns"`   // the last one
	Wraps  int    `json:"wraps"`        // times the counter passed 2^32 and went on from 0
	// Resets counts falls that are no wrap (the driver was reloaded): what was
	// counted between the reading before and the reset is lost, so Value is a
	// lower bound.
	Resets int `json:"resets"`
}

// PerSecond is the mean rate, 0 where no time passed.
func (d Delta) PerSecond() float64 {
	if d.ToNS <= d.FromNS {
		return 0
	}
	return float64(d.Value) / time.Duration(d.ToNS-d.FromNS).Seconds()
}

// Delta adds up what a counter counted; ok is false with fewer than two
// readings of it.
func (s Series) Delta(f Field) (Delta, bool) {
	s = s.with(f)
	if len(s) < 2 {
		return Delta{}, false
	}
	d := Delta{FromNS: s[0].UnixNS, ToNS: s[len(s)-1].UnixNS}
	at := fieldTable[f].at
	for i := 1; i < len(s); i++ {
		before, now := *at(&s[i-1]), *at(&s[i])
		switch {
		case now >= before:
			d.Value += now - before
		case wrapped(before, now):
			d.Value += 1<<32 - before + now
			d.Wraps++
		default:
			d.Value += now
			d.Resets++
		}
	}
	return d, true
}

// wrapped says whether a falling counter looks like one of 32 bits that went
// round: it stood in the upper half and the step is less than half a round.
func wrapped(before, now uint64) bool {
	return before >= 1<<31 && before < 1<<32 && 1<<32-before+now < 1<<31
}

// EnergyUse compares the two ways to know how much energy a GPU used. Both
// cover the same time: from the first refresh of the energy counter to the last.
type EnergyUse struct {
	CounterMJ  uint64  `json:"counter_mj"`  // by the counter; the better one
	IntegralMJ float64 `json:"integral_mj"` // by the trapezoid of the power readings; 0 without them
	FromNS     int64   `json:"from_unix_ns"`
	ToNS       int64   `json:"to_unix_ns"`
	Refreshes  int     `json:"refreshes"` // of the counter, the first one included
}

// MeanMW is the mean power by the counter.
func (e EnergyUse) MeanMW() float64 {
	if e.ToNS <= e.FromNS {
		return 0
	}
	return float64(e.CounterMJ) / time.Duration(e.ToNS-e.FromNS).Seconds()
}

// EnergyUse measures between refreshes of the counter, since the counter
// stands still for about 100 ms between them; ok is false with fewer than two
// refreshes or when the counter was reset.
func (s Series) EnergyUse() (EnergyUse, bool) {
	with := s.with(Energy)
	first, last, n := -1, -1, 0
	for i := 1; i < len(with); i++ {
		if with[i].EnergyMJ != with[i-1].EnergyMJ {
			if first < 0 {
				first = i
			}
			last = i
			n++
		}
	}
	if n < 2 {
		return EnergyUse{}, false
	}
	d, _ := with[first : last+1].Delta(Energy)
	if d.Resets > 0 {
		return EnergyUse{}, false
	}
	e := EnergyUse{CounterMJ: d.Value, FromNS: d.FromNS, ToNS: d.ToNS, Refreshes: n}
	e.IntegralMJ, _ = s.Between(e.FromNS, e.ToNS).PowerIntegral()
	return e, true
}

// PowerIntegral is the energy in mJ under the power readings, by trapezoids;
// gaps of more than 2 s count nothing. ok is false with fewer than two readings.
func (s Series) PowerIntegral() (mJ float64, ok bool) {
	s = s.with(Power)
	if len(s) < 2 {
		return 0, false
	}
	for i := 1; i < len(s); i++ {
		if gap := time.Duration(s[i].UnixNS - s[i-1].UnixNS); gap <= holds {
			mJ += (float64(s[i-1].PowerMW) + float64(s[i].PowerMW)) / 2 * gap.Seconds()
		}
	}
	return mJ, true
}
