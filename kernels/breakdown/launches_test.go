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
	s.launch(gemmName, 0, 12*µs, 20*µs)          // delay 12
	s.launch(normName, 5*µs, 33*µs, 4*µs)        // delay 28, short
	c := s.call("cudaGraphLaunch", 20*µs, 15*µs) // delay 40
	s.gpu(gemmName, 0, 7, 60*µs, 10*µs, c)
	s.gpu(normName, 0, 8, 62*µs, 3*µs, c) // short
	s.gpu(copyName, 0, 7, 80*µs, µs, 0)   // no launch; a copy is no short kernel
	s.call("cudaLaunchKernelExC", 100*µs, 5*µs)
	s.call("cuLaunchKernel", 110*µs, 5*µs)
	s.call("cudaMemcpyAsync", 120*µs, 5*µs)
	s.call("cudaGraphInstantiate", 130*µs, 5*µs)
	s.call("cudaLaunchHostFunc", 140*µs, 5*µs)
	s.call("cudaEventRecord", 150*µs, 5*µs)
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

// TestCallsAreWhole wants every GPU event in the call that launched it.
func TestCallsAreWhole(t *testing.T) {
	rng := rand.New(rand.NewSource(6))
	s := &script{}
	for i := range 60 {
		c := s.call("cudaGraphLaunch", i*10, 5)
		for range rng.Intn(6) {
			s.gpu(gemmName, rng.Intn(2), 7+rng.Intn(3), i*10+rng.Intn(40), 5, c)
		}
	}
	s.gpu(gemmName, 0, 7, 33, 5, 0)
	ev := s.events(t)
	owned := 0
	for c := range ev.calls {
		list := ev.events(c)
		owned += len(list)
		end := trace.Time(0)
		for n, i := range list {
			if ev.Trace.LaunchOf(int(i)) != ev.calls[c].launch || ev.callOf[i] != int32(c) || n == 0 && i != ev.calls[c].first || n > 0 && i <= list[n-1] {
				t.Errorf("call %d owns %v", c, list)
			}
			id := ev.Trace.GPU()[i]
			end = max(end, ev.Trace.Start(id)+ev.Trace.Dur(id))
		}
		if end != ev.calls[c].end || c > 0 && ev.calls[c].launch <= ev.calls[c-1].launch {
			t.Errorf("call %d: end %d, want %d, or out of order", c, ev.calls[c].end, end)
		}
	}
	if owned != len(ev.Trace.GPU())-1 {
		t.Errorf("calls own %d of %d launched events", owned, len(ev.Trace.GPU())-1)
	}
}

var callCases = []struct {
	name                     string
	graph, submits, blocking bool
}{
	{"cudaLaunchKernel", false, true, false},
	{"cudaLaunchKernelExC", false, true, false},
	{"cuLaunchKernelEx", false, true, false},
	{"hipModuleLaunchKernel", false, true, false},
	{"hipExtModuleLaunchKernel", false, true, false},
	{"cudaLaunchCooperativeKernel", false, true, false},
	{"cudaGraphLaunch", true, true, false},
	{"cuGraphLaunch_ptsz", true, true, false},
	{"hipGraphLaunch", true, true, false},
	{"cudaMemcpyAsync", false, true, false},
	{"cuMemcpyHtoDAsync_v2", false, true, false},
	{"cudaMemcpyAsync_ptsz", false, true, false},
	{"cuMemsetD32Async", false, true, false},
	{"cudaMemcpy", false, true, true},
	{"cuMemcpyDtoH_v2", false, true, true},
	{"hipMemcpyWithStream", false, true, true},
	{"cudaStreamSynchronize", false, false, true},
	{"cudaDeviceSynchronize", false, false, true},
	{"cudaEventSynchronize", false, false, true},
	{"cuCtxSynchronize", false, false, true},
	{"cudaEventQuery", false, false, false},
	{"cudaStreamWaitEvent", false, false, false},
	{"cudaGraphInstantiate", false, false, false},
	{"cudaGraphAddMemcpyNode", false, false, false},
	{"cudaLaunchHostFunc", false, false, false},
	{"cudaFuncSetAttribute", false, false, false},
}

func TestCallNames(t *testing.T) {
	for _, test := range callCases {
		if isGraphLaunch(test.name) != test.graph || isSubmit(test.name) != test.submits || isBlocking(test.name) != test.blocking {
			t.Errorf("%s: graph %v, submits %v, blocks %v", test.name, isGraphLaunch(test.name), isSubmit(test.name), isBlocking(test.name))
		}
	}
}
