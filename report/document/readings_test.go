package document

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestSeriesThinned wants few points, in order, that keep lows and highs.
func TestSeriesThinned(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		const points = 600
		var x ReadingSeries
		n := 1 + r.IntN(5000)
		for i := range n {
			x.Add(int64(i), float64(r.IntN(100)))
		}
		low, high := r.IntN(n), r.IntN(n)
		x.Values[low], x.Values[high] = -5, 500
		got := x.Thinned(points)
		if len(got.Values) > points || !slices.IsSorted(got.UnixNS) || got.UnixNS[0] != 0 || got.UnixNS[len(got.UnixNS)-1] != int64(n-1) {
			t.Fatalf("%d points of %d, from %d", len(got.Values), n, got.UnixNS[0])
		}
		if slices.Max(got.Values) != 500 || low != high && slices.Min(got.Values) != -5 {
			t.Errorf("of %d points the lows or highs are gone", n)
		}
	}
}
