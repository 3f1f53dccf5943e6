package nvml

import (
	"cmp"
	"slices"
	"time"
)

// Series is the readings of one GPU in the order of time.
type Series []Reading

// Series returns the readings of a GPU.
func (rec *Recording) Series(gpu int) Series {
	var s Series
	for _, r := range rec.Readings {
		if r.GPU == gpu {
			s = append(s, r)
		}
	}
	return s
}

// GPUs lists the indices that have a device or a reading, ascending.
func (rec *Recording) GPUs() []int {
	var all []int
	for _, d := range rec.Devices {
		all = append(all, d.Index)
	}
	seen := make(map[int]bool)
	for _, r := range rec.Readings {
		if !seen[r.GPU] {
			seen[r.GPU] = true
			all = append(all, r.GPU)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Device finds the description of a GPU.
func (rec *Recording) Device(gpu int) (Device, bool) {
	i := slices.IndexFunc(rec.Devices, func(d Device) bool { return d.Index == gpu })
	if i < 0 {
		return Device{Index: gpu}, false
	}
	return rec.Devices[i], true
}

// holds is how long a value stands for the time after it: behind a longer gap
// nothing is known.
const holds = 2 * time.Second

// Between cuts a recording to the Unix ns [from, to]. Where the recording
// reaches beyond an edge, each GPU gets a reading at that edge which repeats
// what it had last told (within 2 s), so that levels, integrals and counters
// cover the window whole and windows side by side add up.
func (rec *Recording) Between(from, to int64) *Recording {
	out := *rec
	out.Readings = nil
	for _, gpu := range rec.GPUs() {
		out.Readings = append(out.Readings, rec.Series(gpu).Between(from, to)...)
	}
	slices.SortStableFunc(out.Readings, func(a, b Reading) int { return cmp.Compare(a.UnixNS, b.UnixNS) })
	return &out
}

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
