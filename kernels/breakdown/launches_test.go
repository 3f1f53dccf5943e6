package breakdown

import (
	"math/rand"
	"slices"
	"testing"

	"tokprof/trace"
)

// TestDepthEqualsNaive counts, at each call, the earlier ones still at work.
func TestDepthEqualsNaive(t *testing.T) {
	rng := rand.New(rand.NewSource(5))
	for range 500 {
		n := rng.Intn(30)
		starts, ends := make([]trace.Time, n), make([]trace.Time, n)
		perm := rng.Perm(300)
		for i := range n {
			starts[i] = trace.Time(perm[i]) // distinct: one thread makes one call at a time
			ends[i] = starts[i] + 1 + trace.Time(rng.Intn(60))
		}
		var sum, deepest int64
		for i := range n {
			d := int64(0)
			for j := range n {
				if starts[j] < starts[i] && ends[j] > starts[i] {
					d++
				}
			}
			sum, deepest = sum+d, max(deepest, d)
		}
		gotSum, gotMax := depth(slices.Clone(starts), slices.Clone(ends))
		if gotSum != sum || gotMax != deepest {
			t.Fatalf("starts %v ends %v: depth %d (max %d), want %d (%d)", starts, ends, gotSum, gotMax, sum, deepest)
		}
	}
}

func TestLaunches(t *testing.T) {
	s := &script{}
	s.Launch(gemmName, 0, 12*µs, 20*µs)          // delay 12
	s.Launch(normName, 5*µs, 33*µs, 4*µs)        // delay 28, short
	c := s.Call("cudaGraphLaunch", 20*µs, 15*µs) // delay 40
	s.GPU(gemmName, 0, 7, 60*µs, 10*µs, c)
	s.GPU(normName, 0, 8, 62*µs, 3*µs, c) // short
	s.GPU(copyName, 0, 7, 80*µs, µs, 0)   // no launch; a copy is no short kernel
	s.Call("cudaLaunchKernelExC", 100*µs, 5*µs)
	s.Call("cuLaunchKernel", 110*µs, 5*µs)
	s.Call("cudaMemcpyAsync", 120*µs, 5*µs)
	s.Call("cudaGraphInstantiate", 130*µs, 5*µs)
	s.Call("cudaLaunchHostFunc", 140*µs, 5*µs)
	s.Call("cudaEventRecord", 150*µs, 5*µs)
	r := s.reduce(t)
	want := Launches{
		Calls: 3, GraphCalls: 1, GraphEvents: 2, WithoutLaunch: 1,
		DelayMedian: 28 * µs, DelayP99: 40 * µs, CallMedian: 5 * µs,
		DepthSum: 0 + 1 + 2, DepthMax: 2, Short: 2, ShortTime: 7 * µs,
	}
	if got := r.Devices[0].Launches; got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if r.Unanswered != 3 || r.LastLaunch != base+120*µs {
		t.Errorf("%d calls without a GPU event, the last submitting one at %d", r.Unanswered, r.LastLaunch-base)
	}
}
