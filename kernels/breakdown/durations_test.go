package breakdown

import (
	"math"
	"math/rand"
	"slices"
	"testing"

	"tokprof/trace"
)

func randomLengths(rng *rand.Rand, n int) []trace.Time {
	out := make([]trace.Time, n)
	for i := range out {
		out[i] = trace.Time(rng.Intn(40)) * 32
		if rng.Intn(9) == 0 {
			out[i] = trace.Time(1<<32 - 2 + rng.Intn(4)) // around the 32-bit store's end
		}
	}
	return out
}

// nearest is the definition: the smallest value that at least q of them do not exceed.
func nearest(sorted []trace.Time, q float64) trace.Time {
	for i, v := range sorted {
		if float64(i+1) >= q*float64(len(sorted))-1e-9 {
			return v
		}
	}
	return 0
}

func TestDurationsEqualNaive(t *testing.T) {
	rng := rand.New(rand.NewSource(2))
	for n := range 120 {
		a, b := randomLengths(rng, n), randomLengths(rng, rng.Intn(50))
		all := slices.Concat(a, b)
		var l lengths
		for _, d := range a {
			l.add(d)
		}
		got := l.count().Merge(Count(slices.Clone(b)))
		if want := Count(slices.Clone(all)); !slices.Equal(got, want) {
			t.Fatalf("merging %v and %v gives %v, want %v", a, b, got, want)
		}
		slices.Sort(all)
		var sum trace.Time
		for i, d := range all {
			sum += d
			if i > 0 && d == all[i-1] {
				continue
			}
			if !slices.ContainsFunc(got, func(c DurationCount) bool { return c.Dur == d }) {
				t.Fatalf("%v lacks %d", got, d)
			}
		}
		if got.Launches() != int64(len(all)) || got.Total() != sum {
			t.Fatalf("%v: %d lengths of %d, want %d of %d", got, got.Launches(), got.Total(), len(all), sum)
		}
		for _, q := range []float64{0, 0.01, 0.07, 0.25, 0.5, 0.9, 0.99, 1} {
			if g, w := got.Quantile(q), nearest(all, math.Max(q, 1e-9)); g != w {
				t.Fatalf("%d lengths %v: quantile %v is %d, want %d", len(all), all, q, g, w)
			}
			if g, w := nearestRank(all, q), got.Quantile(q); g != w {
				t.Fatalf("nearestRank(%v) is %d, Quantile %d", q, g, w)
			}
		}
	}
}
