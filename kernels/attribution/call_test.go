package attribution

import (
	"math/rand"
	"testing"

	"tokprof/trace"
)

// TestCallsAreWhole wants every GPU event in the call that launched it.
func TestCallsAreWhole(t *testing.T) {
	rng := rand.New(rand.NewSource(6))
	s := &script{}
	for i := range 60 {
		c := s.Call("cudaGraphLaunch", i*10, 5)
		for range rng.Intn(6) {
			s.GPU(gemmName, rng.Intn(2), 7+rng.Intn(3), i*10+rng.Intn(40), 5, c)
		}
	}
	s.GPU(gemmName, 0, 7, 33, 5, 0)
	ev := s.events(t)
	owned := 0
	for c := range ev.Calls {
		list := ev.OfCall(c)
		owned += len(list)
		end := trace.Time(0)
		for n, i := range list {
			if ev.Trace.LaunchOf(int(i)) != ev.Calls[c].Launch || ev.callOf[i] != int32(c) || n == 0 && i != ev.Calls[c].First || n > 0 && i <= list[n-1] {
				t.Errorf("call %d owns %v", c, list)
			}
			id := ev.Trace.GPU()[i]
			end = max(end, ev.Trace.Start(id)+ev.Trace.Dur(id))
		}
		if end != ev.Calls[c].End || c > 0 && ev.Calls[c].Launch <= ev.Calls[c-1].Launch {
			t.Errorf("call %d: end %d, want %d, or out of order", c, ev.Calls[c].End, end)
		}
	}
	if owned != len(ev.Trace.GPU())-1 {
		t.Errorf("calls own %d of %d launched events", owned, len(ev.Trace.GPU())-1)
	}
}

var callCases = []struct {
	name           string
	graph, submits bool
}{
	{"cudaLaunchKernel", false, true},
	{"cudaLaunchKernelExC", false, true},
	{"cuLaunchKernelEx", false, true},
	{"hipModuleLaunchKernel", false, true},
	{"hipExtModuleLaunchKernel", false, true},
	{"cudaLaunchCooperativeKernel", false, true},
	{"cudaGraphLaunch", true, true},
	{"cuGraphLaunch_ptsz", true, true},
	{"hipGraphLaunch", true, true},
	{"cudaMemcpyAsync", false, true},
	{"cuMemcpyHtoDAsync_v2", false, true},
	{"cudaMemcpyAsync_ptsz", false, true},
	{"cuMemsetD32Async", false, true},
	{"cudaMemcpy", false, true},
	{"cuMemcpyDtoH_v2", false, true},
	{"hipMemcpyWithStream", false, true},
	{"cudaStreamSynchronize", false, false},
	{"cudaDeviceSynchronize", false, false},
	{"cudaEventSynchronize", false, false},
	{"cuCtxSynchronize", false, false},
	{"cudaEventQuery", false, false},
	{"cudaStreamWaitEvent", false, false},
	{"cudaGraphInstantiate", false, false},
	{"cudaGraphAddMemcpyNode", false, false},
	{"cudaLaunchHostFunc", false, false},
	{"cudaFuncSetAttribute", false, false},
}

func TestCallNames(t *testing.T) {
	for _, test := range callCases {
		if isGraphLaunch(test.name) != test.graph || IsSubmit(test.name) != test.submits {
			t.Errorf("%s: graph %v, submits %v", test.name, isGraphLaunch(test.name), IsSubmit(test.name))
		}
	}
}
