package gpus

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"tokprof/report/document"
	"tokprof/report/figures"
	"tokprof/trace"
)

// Bounds of a document.
const (
	maxSampled    = 400
	sampledPoints = 60_000 // of all series together
	leastPoints   = 20     // of one
	// mostWhole is the share of a phase's covered time whose samples must lie in
	// the phase as a whole.
	mostWhole = 0.5
)

// sampled is a series of one file on its way into the document.
type sampled struct {
	trace.Series
	at     int   // among the series of its file
	ranks  []int // of the file, as in Joined.ranks
	lo, hi int   // the samples that speak for the window
	out    document.SampledSeries
}

// samples joins the profiler's series with the window. They and the steps of
// their file share a clock, whether it is known to be Unix time or not.
func (j *Joined) samples() {
	list, all := j.sampledSeries()
	j.sampled = all
	if len(list) == 0 {
		return
	}
	s := &document.Samples{Series: []document.SampledSeries{}, Unusable: j.unusable()}
	if n := len(list); n > maxSampled {
		s.LeftOut = n - maxSampled
		slices.SortStableFunc(list, func(x, y *sampled) int { return -cmp.Compare(min(1, len(x.out.Key)), min(1, len(y.out.Key))) })
		list = list[:maxSampled]
	}
	points := max(leastPoints, min(seriesPoints, sampledPoints/len(list)))
	spans := j.stepSpans()
	type source struct {
		file int
		name string
	}
	times := map[source]map[string][]interval{}
	for _, x := range list {
		k := source{x.out.File, x.out.Source}
		if times[k] == nil {
			times[k] = phaseTimes(spans, j.workers(x))
		}
		x.sum(j, times[k], points)
		s.Series = append(s.Series, x.out)
	}
	j.a.Samples = s
}

// unusable counts the samples without a usable time or number. When they were
// is not known, so those of series that say nothing of the window count too.
func (j *Joined) unusable() (n int) {
	for _, x := range j.sampled {
		n += x.Unusable
	}
	return n
}

// sampledSeries lists the series of each file once, though all its ranks carry
// them: those that say something of the window, and all.
func (j *Joined) sampledSeries() (list, all []*sampled) {
	from, to := j.span()
	type file struct {
		path   string
		series int
	}
	first := map[file]int{} // of a file's series in all
	for i, r := range j.ranks {
		f := file{r.Info.Path, len(r.Series)}
		at, again := first[f]
		if !again {
			at = len(all)
			first[f] = at
			for _, x := range r.Series {
				s := newSampled(x, len(all)-at)
				s.out.File = i
				all = append(all, s)
			}
		}
		for k, x := range r.Series {
			s := all[at+k]
			s.ranks = append(s.ranks, i)
			if x.Device >= 0 {
				s.out.Owners = append(s.out.Owners, document.SampledOwner{Rank: j.number[i], Device: x.Device})
			}
		}
	}
	for _, s := range all {
		s.out.How = j.howOwned(s)
		if s.cut(from, to) {
			list = append(list, s)
		}
	}
	return list, all
}

// howOwned is the least that is known of a rank that owns the series, or of all
// ranks when none does.
func (j *Joined) howOwned(s *sampled) string {
	how := trace.ByDeviceTable
	for _, i := range s.ranks {
		switch x := j.ranks[i].Series[s.at]; {
		case len(s.out.Owners) > 0 && x.Device < 0:
		case x.DeviceHow != trace.ByDeviceTable:
			how = x.DeviceHow
		}
	}
	return how
}

func newSampled(x trace.Series, at int) *sampled {
	s := &sampled{Series: x, at: at, out: document.SampledSeries{Source: x.Source, Owners: []document.SampledOwner{}, Metric: x.Name, Behind: x.Behind, Phases: []document.PhaseSample{}}}
	s.out.Unit = metricUnit(x.Name)
	s.out.Key = metricKey(x.Name, x.GPU < 0)
	return s
}

// workers are the ranks whose steps a series is held against, by their index.
func (j *Joined) workers(x *sampled) []int {
	if x.GPU < 0 {
		return x.ranks
	}
	var out []int
	for _, i := range x.ranks {
		if slices.ContainsFunc(x.out.Owners, func(o document.SampledOwner) bool { return o.Rank == j.number[i] }) {
			out = append(out, i)
		}
	}
	return out
}

// phaseTimes joins the steps of some ranks by phase: those that touch are one
// interval.
func phaseTimes(spans []map[string][]interval, ranks []int) map[string][]interval {
	out := map[string][]interval{}
	for _, i := range ranks {
		for phase, list := range spans[i] {
			out[phase] = append(out[phase], list...)
		}
	}
	for phase, list := range out {
		slices.SortFunc(list, func(x, y interval) int { return cmp.Or(cmp.Compare(x.from, y.from), cmp.Compare(x.to, y.to)) })
		joined := list[:1]
		for _, in := range list[1:] {
			if last := &joined[len(joined)-1]; in.from <= last.to {
				last.to = max(last.to, in.to)
			} else {
				joined = append(joined, in)
			}
		}
		out[phase] = joined
	}
	return out
}

// cut finds the samples that speak for the window; false when none does.
func (s *sampled) cut(from, to int64) bool {
	s.out.PeriodNS = medianPeriod(s.Times)
	s.lo, s.hi = 0, len(s.Times)
	for s.lo < s.hi && s.until(s.lo) <= from && int64(s.Times[s.lo]) < from {
		s.lo++
	}
	for s.hi > s.lo && s.since(s.hi-1) >= to && int64(s.Times[s.hi-1]) > to {
		s.hi--
	}
	s.out.Samples = s.hi - s.lo
	return s.hi > s.lo
}

// medianPeriod is the middle of the times between samples.
func medianPeriod(at []trace.Time) int64 {
	var gaps []int64
	// A sample of them will do: periods are even but for lost samples.
	stride := max(1, len(at)/10_000)
	for i := stride; i < len(at); i += stride {
		if d := int64(at[i] - at[i-1]); d > 0 {
			gaps = append(gaps, d)
		}
	}
	if len(gaps) == 0 {
		return 0
	}
	return document.Median(gaps)
}

// gapPeriods is for how many periods a sample speaks where the one before or
// behind it is missing.
const gapPeriods = 2

// since and until are the time that a sample speaks for.
func (s *sampled) since(i int) int64 {
	at := int64(s.Times[i])
	if !s.Behind {
		return at
	}
	least := at - gapPeriods*s.out.PeriodNS
	if i == 0 {
		return at - s.out.PeriodNS
	}
	return max(least, int64(s.Times[i-1]))
}

func (s *sampled) until(i int) int64 {
	at := int64(s.Times[i])
	if s.Behind {
		return at
	}
	if i == len(s.Times)-1 {
		return at + s.out.PeriodNS
	}
	return min(at+gapPeriods*s.out.PeriodNS, int64(s.Times[i+1]))
}

// over is the sum of value × ns over intervals, the ns of them that samples
// speak for, and how many of these ns are of samples that lie in an interval as
// a whole.
func (s *sampled) over(list []interval) (sum float64, covered, whole int64) {
	for _, in := range list {
		i, _ := slices.BinarySearch(s.Times, trace.Time(in.from))
		for i = max(i-1, 0); i < len(s.Times) && s.since(i) < in.to; i++ {
			since, until := s.since(i), s.until(i)
			ns := min(until, in.to) - max(since, in.from)
			if ns <= 0 {
				continue
			}
			sum += s.Values[i] * float64(ns)
			covered += ns
			if since >= in.from && until <= in.to {
				whole += ns
			}
		}
	}
	return sum, covered, whole
}

// sum fills what the document says of the series.
func (s *sampled) sum(j *Joined, phases map[string][]interval, points int) {
	from, to := j.span()
	scale := 1.0
	values := s.Values[s.lo:s.hi]
	low, high := slices.Min(values), slices.Max(values)
	if strings.EqualFold(s.out.Unit, "MHz") && high >= 1e6 {
		// Nsight Systems writes Hz under this name; no clock reaches a THz.
		scale = 1e-6
	}
	mean := func(sum float64, ns int64) float64 { return min(max(sum/float64(ns), low), high) * scale }
	s.out.Level = document.Level{Min: low * scale, Max: high * scale}
	if sum, covered, _ := s.over([]interval{{from, to}}); covered > 0 {
		s.out.Level.Mean, s.out.CoveredShare = mean(sum, covered), figures.Share(covered, to-from)
	} else {
		s.out.Level.Mean = mean(sumOf(values), int64(len(values)))
	}
	for _, phase := range slices.SortedFunc(maps.Keys(phases), func(x, y string) int { return cmp.Compare(document.PhaseRank(x), document.PhaseRank(y)) }) {
		var all int64
		for _, in := range phases[phase] {
			all += in.to - in.from
		}
		sum, covered, whole := s.over(phases[phase])
		p := document.PhaseSample{Phase: phase, CoveredShare: figures.Share(covered, all)}
		switch {
		case p.CoveredShare < mostOf:
			p.Why = whyNotCovered
		case figures.Share(whole, covered) < mostWhole:
			p.Why = whyShortSteps
		default:
			m := mean(sum, covered)
			p.Mean = &m
		}
		s.out.Phases = append(s.out.Phases, p)
	}
	s.draw(from, to, scale, points)
}

// Why a phase has no mean.
const (
	whyNotCovered = "not_covered"
	whyShortSteps = "short_steps"
)

func sumOf(values []float64) (sum float64) {
	for _, v := range values {
		sum += v
	}
	return sum
}

// draw keeps the points inside the window, thinned.
func (s *sampled) draw(from, to int64, scale float64, points int) {
	line := document.ReadingSeries{UnixNS: make([]int64, 0, s.out.Samples), Values: make([]float64, 0, s.out.Samples)}
	for i := s.lo; i < s.hi; i++ {
		if at := int64(s.Times[i]); at >= from && at <= to {
			line.Add(at, s.Values[i]*scale)
		}
	}
	line = line.Thinned(points)
	s.out.UnixNS, s.out.Values = line.UnixNS, line.Values
}
