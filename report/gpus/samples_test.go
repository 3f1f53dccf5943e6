package gpus

import (
	"math"
	"math/rand/v2"
	"testing"

	"tokprof/kernels/breakdown"
	"tokprof/report/document"
	"tokprof/trace"
)

// sampledWindow joins a series with one rank's steps, which are in the order of
// time.
func sampledWindow(steps []document.Step, s trace.Series) *Joined {
	last := steps[len(steps)-1]
	a := &document.Analysis{Steps: steps}
	a.Window.StartUnixNS = steps[0].StartUnixNS
	a.Window.DurNS = last.StartUnixNS + last.DurNS - steps[0].StartUnixNS
	for i := range steps[1:] {
		steps[i].PeriodNS = steps[i+1].StartUnixNS - steps[i].StartUnixNS
	}
	return Join(Host{}, Window{Analysis: a, Ranks: []*breakdown.Rank{{Series: []trace.Series{s}}}, Number: []int{0}})
}

// TestSampledMeans holds means against adding up each unit of time by itself.
func TestSampledMeans(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 11))
	const unit, length = int64(1000), 600
	means := 0
	for n := range 300 {
		var steps []document.Step
		for at := int64(r.IntN(20)); at < length; {
			to := at + 1 + int64(r.IntN(60))
			phase := []trace.Phase{trace.Prefill, trace.Decode, trace.Mixed}[r.IntN(3)]
			steps = append(steps, document.Step{Phase: phase.String(), StartUnixNS: epoch + at*unit, DurNS: (min(to, length) - at) * unit})
			at = to + int64(r.IntN(10))
		}
		s := trace.Series{Source: "GPU 5", GPU: 5, Device: 0, DeviceHow: trace.ByDeviceTable, Name: "x", Behind: n%2 == 1}
		for at := -50 + int64(r.IntN(80)); at < length+50; at += 1 + int64(r.IntN(12))*int64(r.IntN(3)) {
			s.Times, s.Values = append(s.Times, trace.Time(epoch+at*unit)), append(s.Values, math.Round(r.NormFloat64()*1000)/8)
		}
		j := sampledWindow(steps, s)
		if j.a.Samples == nil {
			continue
		}
		got := j.a.Samples.Series[0]
		x := &sampled{Series: s}
		x.out.PeriodNS = got.PeriodNS
		for _, p := range got.Phases {
			sum, covered, all := slowMean(x, j.stepSpans()[0][p.Phase], unit)
			if math.Abs(p.CoveredShare-covered/all) > 1e-9 || p.Mean != nil && math.Abs(*p.Mean-sum/covered) > 1e-6*math.Abs(sum/covered)+1e-9 {
				t.Errorf("%d: %s is %v of %v, want %v of %v", n, p.Phase, p.Mean, p.CoveredShare, sum/covered, covered/all)
			}
			if p.Mean != nil {
				means++
				if *p.Mean < got.Level.Min || *p.Mean > got.Level.Max {
					t.Errorf("%d: %s: %v is outside %v–%v", n, p.Phase, *p.Mean, got.Level.Min, got.Level.Max)
				}
			}
		}
	}
	if means < 100 {
		t.Errorf("only %d phases have a mean", means)
	}
}

// slowMean looks at each unit of time: which sample speaks for it.
func slowMean(s *sampled, list []interval, unit int64) (sum, covered, all float64) {
	for _, in := range list {
		for at := in.from; at < in.to; at += unit {
			all++
			for i := range s.Times {
				if s.since(i) <= at && at < s.until(i) {
					sum += s.Values[i]
					covered++
					break
				}
			}
		}
	}
	return sum, covered, all
}
