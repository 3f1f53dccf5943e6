package load

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"
)

const (
	arrivals = 4000
	// critical is the Kolmogorov–Smirnov statistic √n·D that a sample of its own
	// distribution exceeds with probability 1e-4.
	critical = 2.23
)

// gaps are the times between arrivals, in units of the mean.
func gaps(t *testing.T, a Arrival, seed uint64) []float64 {
	t.Helper()
	at, err := a.Offsets(arrivals+1, seed)
	if err != nil {
		t.Fatal(err)
	}
	if at[0] != 0 || !slices.IsSorted(at) {
		t.Fatalf("offsets begin at %v, sorted %v", at[0], slices.IsSorted(at))
	}
	out := make([]float64, arrivals)
	for i := range out {
		out[i] = (at[i+1] - at[i]).Seconds() * a.Rate
	}
	return out
}

// ks is √n times the largest distance of the values' distribution from cdf.
func ks(values []float64, cdf func(float64) float64) float64 {
	v := slices.Sorted(slices.Values(values))
	n, d := float64(len(v)), 0.0
	for i, x := range v {
		f := cdf(x)
		d = max(d, f-float64(i)/n, float64(i+1)/n-f)
	}
	return d * math.Sqrt(n)
}

func exponential(x float64) float64 { return -math.Expm1(-x) }

// dispersion is how many standard deviations the variance of the counts in bins of ten
// mean gaps is off the mean, which it equals for a Poisson process.
func dispersion(gaps []float64) float64 {
	counts := make([]float64, arrivals/10-arrivals/100) // the last bins may be behind the end
	at := 0.0
	for _, g := range gaps {
		at += g
		if bin := int(at / 10); bin < len(counts) {
			counts[bin]++
		}
	}
	mean, square := 0.0, 0.0
	for _, c := range counts {
		mean += c / float64(len(counts))
	}
	for _, c := range counts {
		square += (c - mean) * (c - mean)
	}
	k := float64(len(counts) - 1)
	return (square/mean - k) / math.Sqrt(2*k)
}

func TestPoisson(t *testing.T) {
	for seed := range uint64(20) {
		g := gaps(t, Poisson(7), seed)
		if d := ks(g, exponential); d > critical {
			t.Errorf("seed %d: gaps are not exponential: KS %.2f", seed, d)
		}
		if d := dispersion(g); math.Abs(d) > 4 {
			t.Errorf("seed %d: the variance of the counts is %.1f standard deviations off", seed, d)
		}
	}
}

// TestNotPoisson proves that the tests above can fail.
func TestNotPoisson(t *testing.T) {
	for _, a := range []Arrival{{Rate: 7}, {Rate: 7, Burstiness: 2}, {Rate: 7, Burstiness: 0.6}} {
		g := gaps(t, a, 1)
		if d := ks(g, exponential); d <= critical {
			t.Errorf("%v passes for exponential: KS %.2f", a, d)
		}
		if d := dispersion(g); math.Abs(d) <= 4 {
			t.Errorf("%v passes for Poisson counts: %.1f", a, d)
		}
	}
}

// TestGamma compares with the distributions that have a closed form: of shape 2, an Erlang
// distribution, and of shape 1/2, a chi-squared one.
func TestGamma(t *testing.T) {
	for _, c := range []struct {
		shape float64
		cdf   func(x float64) float64 // of a gap with mean 1
	}{
		{2, func(x float64) float64 { return 1 - math.Exp(-2*x)*(1+2*x) }},
		{0.5, func(x float64) float64 { return math.Erf(math.Sqrt(x / 2)) }},
	} {
		for seed := range uint64(10) {
			if d := ks(gaps(t, Arrival{3, c.shape}, seed), c.cdf); d > critical {
				t.Errorf("shape %v, seed %d: KS %.2f", c.shape, seed, d)
			}
		}
	}
}

func TestGammaMoments(t *testing.T) {
	for _, shape := range []float64{0.1, 0.25, 0.5, 0.9, 1, 1.5, 4, 25} {
		g := gaps(t, Arrival{20, shape}, 5)
		sum, square := 0.0, 0.0
		for _, v := range g {
			sum += v
		}
		mean := sum / arrivals
		for _, v := range g {
			square += (v - mean) * (v - mean)
		}
		want := 1 / math.Sqrt(shape)
		cv := math.Sqrt(square/arrivals) / mean
		// The mean of n gaps scatters by CV/√n, their CV by about CV·√((1/2+CV²)/n).
		n := math.Sqrt(arrivals)
		if math.Abs(mean-1) > 4*want/n {
			t.Errorf("shape %v: mean gap %.3f of what the rate says", shape, mean)
		}
		if math.Abs(cv-want) > 4*want*math.Sqrt(0.5+want*want)/n {
			t.Errorf("shape %v: coefficient of variation %.3f, want %.3f", shape, cv, want)
		}
	}
}

func TestArrivalRepeats(t *testing.T) {
	for _, a := range []Arrival{Poisson(2), {2, 0.5}} {
		x, _ := a.Offsets(50, 9)
		y, _ := a.Offsets(100, 9)
		z, _ := a.Offsets(50, 10)
		if !slices.Equal(x, y[:50]) {
			t.Errorf("%v: the same seed gives other offsets", a)
		}
		if slices.Equal(x, z) {
			t.Errorf("%v: another seed gives the same offsets", a)
		}
	}
}

func TestOffsets(t *testing.T) {
	at, err := Arrival{Rate: 4}.Offsets(4, 0)
	if want := []time.Duration{0, 250e6, 500e6, 750e6}; err != nil || !slices.Equal(at, want) {
		t.Errorf("fixed: %v, %v", at, err)
	}
	if at, err = (Arrival{}).Offsets(3, 0); err != nil || !slices.Equal(at, make([]time.Duration, 3)) {
		t.Errorf("once: %v, %v", at, err)
	}
	for _, a := range []Arrival{{Rate: -1}, {Rate: math.NaN()}, {Rate: math.Inf(1)}, {1, -1}, {1, math.NaN()}, {Rate: 1e-9}} {
		if at, err := a.Offsets(3, 0); err == nil {
			t.Errorf("%v: %v", a, at)
		}
	}
}

func TestParseArrival(t *testing.T) {
	for _, s := range []string{"once", "fixed:2", "poisson:0.5", "gamma:3:0.25"} {
		a, err := ParseArrival(s)
		if err != nil || a.String() != s {
			t.Errorf("%q reads as %+v, %q: %v", s, a, a, err)
		}
	}
	for _, s := range []string{"", "once:1", "fixed", "fixed:0", "poisson:-1", "poisson:x", "gamma:1", "gamma:1:2:3", "poisson:Inf", "poisson:NaN"} {
		if a, err := ParseArrival(s); err == nil {
			t.Errorf("%q reads as %+v", s, a)
		}
	}
}

func ExampleArrival() {
	at, _ := Arrival{Rate: 2, Burstiness: 0.5}.Offsets(5, 1)
	for _, d := range at {
		fmt.Println(d.Round(time.Millisecond))
	}
	// Output:
	// 0s
	// 926ms
	// 1.523s
	// 1.748s
	// 1.823s
}
