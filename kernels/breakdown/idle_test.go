package breakdown

import (
	"fmt"
	"math/rand"
	"strings"
	"testing"

	"tokprof/trace"
)

func causes(d Device) string {
	var b strings.Builder
	for c, idle := range d.Idle {
		if idle != (Idle{}) {
			fmt.Fprintf(&b, "%s %d in %d, ", Cause(c), idle.Time, idle.Gaps)
		}
	}
	return strings.TrimSuffix(b.String(), ", ")
}

var idleCases = []struct {
	name  string
	build func(s *script)
	want  string
}{
	{"kernels in a queue", func(s *script) {
		s.Launch(gemmName, 0, 10*µs, 10*µs)
		s.Launch(gemmName, 5*µs, 21*µs, 10*µs)
		s.Launch(gemmName, 10*µs, 34*µs, 10*µs)
	}, "short_gap 4000 in 2"},
	{"the launch came after the device ran dry", func(s *script) {
		s.Launch(gemmName, 0, 10*µs, 10*µs)
		s.Launch(gemmName, 50*µs, 58*µs, 10*µs)
	}, "host_late 30000 in 1, launch_latency 8000 in 1"},
	{"a launch takes its time to reach the device", func(s *script) {
		s.Launch(gemmName, 0, 10*µs, 10*µs)
		s.Launch(gemmName, 18*µs, 28*µs, 10*µs)
	}, "launch_latency 8000 in 1"},
	{"launched in time and held back", func(s *script) {
		s.Launch(gemmName, 0, 10*µs, 100*µs)
		s.Launch(gemmName, 10*µs, 150*µs, 10*µs)
	}, "dependency 40000 in 1"},
	{"a flight has its usual length, the rest was held back", func(s *script) {
		s.Launch(gemmName, 0, 10*µs, 10*µs)
		s.Launch(gemmName, 20*µs, 100*µs, 10*µs) // call ends at 25, flight by 45
	}, "launch_latency 25000 in 1, dependency 55000 in 1"},
	{"the launching thread waits for the GPU", func(s *script) {
		s.Launch(gemmName, 0, 10*µs, 10*µs)
		s.Call("cudaStreamSynchronize", 8*µs, 17*µs) // returns 5 µs into the gap
		s.Launch(gemmName, 50*µs, 58*µs, 10*µs)
	}, "host_late 25000 in 1, host_sync 5000 in 1, launch_latency 8000 in 1"},
	{"an asynchronous server's output thread delays nobody", func(s *script) {
		s.Launch(gemmName, 0, 10*µs, 10*µs)
		s.CallOn("cudaEventSynchronize", 10, 2, 8*µs, 40*µs)
		s.Launch(gemmName, 50*µs, 58*µs, 10*µs)
	}, "host_late 30000 in 1, launch_latency 8000 in 1"},
	{"an asynchronous copy is no wait", func(s *script) {
		s.Launch(gemmName, 0, 10*µs, 10*µs)
		s.Call("cudaMemcpyAsync_ptsz", 22*µs, 20*µs)
		s.Launch(gemmName, 50*µs, 58*µs, 10*µs)
	}, "host_late 30000 in 1, launch_latency 8000 in 1"},
	{"the profiler's own work", func(s *script) {
		s.Launch(gemmName, 0, 10*µs, 10*µs)
		s.Row("overhead", "Activity Buffer Request", -1, 0, 25*µs, 15*µs, "")
		s.Row("overhead", "Buffer Flush", -1, 0, 30*µs, 12*µs, "") // overlaps the other
		s.Launch(gemmName, 50*µs, 58*µs, 10*µs)
	}, "host_late 13000 in 1, profiler 17000 in 1, launch_latency 8000 in 1"},
	{"loading a kernel for the first time is the host's", func(s *script) {
		s.Launch(gemmName, 0, 10*µs, 10*µs)
		s.Row("overhead", "Lazy Function Loading", -1, 0, 25*µs, 15*µs, "")
		s.Launch(gemmName, 50*µs, 58*µs, 10*µs)
	}, "host_late 30000 in 1, launch_latency 8000 in 1"},
	{"no requests between two steps", func(s *script) {
		s.Step(decodeStep, 0, 20*µs)
		s.Step(decodeStep, 500*ms, 20*µs)
		s.Launch(gemmName, 0, 10*µs, 20*µs)
		s.Launch(gemmName, 500*ms+10*µs, 500*ms+20*µs, 10*µs)
	}, "host_late 10000 in 1, no_step 499970000 in 1, launch_latency 10000 in 1"},
	{"steps of an idle engine are no work", func(s *script) {
		s.Step(decodeStep, 0, 20*µs)
		for i := 1; i < 50; i++ {
			s.Step(idleStep, i*10*ms, 20*µs)
		}
		s.Step(decodeStep, 500*ms, 20*µs)
		s.Launch(gemmName, 0, 10*µs, 20*µs)
		s.Launch(gemmName, 500*ms+10*µs, 500*ms+20*µs, 10*µs)
	}, "host_late 10000 in 1, no_step 499970000 in 1, launch_latency 10000 in 1"},
	{"an engine that only idled", func(s *script) {
		s.Launch(gemmName, 0, 10*µs, 20*µs)
		s.Launch(gemmName, 50*ms, 50*ms+10*µs, 10*µs)
		s.Step(idleStep, 90*ms, 20*µs)
		s.Step(idleStep, 500*ms, 20*µs)
	}, "no_step 49970000 in 1, launch_latency 10000 in 1"},
	{"a dummy batch that keeps peers company is work", func(s *script) {
		s.Launch(gemmName, 0, 10*µs, 20*µs)
		s.Step(idleStep, 90*ms, 20*µs)
		s.Launch(gemmName, 100*ms, 100*ms+10*µs, 10*µs)
	}, "host_late 20000000 in 1, no_step 79970000 in 1, launch_latency 10000 in 1"},
	{"scheduling between two steps is late launching", func(s *script) {
		s.Step(decodeStep, 0, 20*µs)
		s.Step(decodeStep, 5*ms, 20*µs)
		s.Launch(gemmName, 0, 10*µs, 20*µs)
		s.Launch(gemmName, 5*ms, 5*ms+10*µs, 10*µs)
	}, "host_late 4970000 in 1, launch_latency 10000 in 1"},
	{"what the file shows of a step begun before it", func(s *script) {
		s.Launch(gemmName, 0, 10*µs, 20*µs)
		s.Launch(gemmName, 50*µs, 60*µs, 20*µs)
		s.Step(decodeStep, 85*µs, 20*µs)
		s.Launch(gemmName, 85*µs, 95*µs, 20*µs)
	}, "host_late 25000 in 2, launch_latency 20000 in 2"},
	{"nobody knows who launched it", func(s *script) {
		s.Launch(gemmName, 0, 10*µs, 10*µs)
		s.GPU(gemmName, 0, 7, 50*µs, 10*µs, 0)
	}, "unknown 30000 in 1"},
	{"a hole inside a graph replay", func(s *script) {
		c := s.Call("cudaGraphLaunch", 0, 5*µs)
		s.GPU(gemmName, 0, 7, 10*µs, 10*µs, c)
		s.GPU(gemmName, 0, 7, 22*µs, 10*µs, c)
		s.GPU(gemmName, 0, 8, 50*µs, 10*µs, c)
	}, "short_gap 2000 in 1, dependency 18000 in 1"},
	{"another stream is busy: no gap", func(s *script) {
		s.Launch(gemmName, 0, 10*µs, 10*µs)
		s.GPU(commName, 0, 8, 15*µs, 100*µs, s.Call("cudaLaunchKernel", 6*µs, 5*µs))
		s.Launch(gemmName, 100*µs, 115*µs, 10*µs)
	}, ""},
	{"a host that fed the other device", func(s *script) {
		s.GPU(gemmName, 0, 7, 10*µs, 10*µs, s.Call("cudaLaunchKernel", 0, 5*µs))
		s.GPU(gemmName, 1, 7, 15*µs, 90*µs, s.Call("cudaLaunchKernel", 6*µs, 5*µs))
		s.GPU(gemmName, 0, 7, 105*µs, 10*µs, s.Call("cudaLaunchKernel", 100*µs, 5*µs))
	}, "host_late 80000 in 1, launch_latency 5000 in 1"},
}

// TestIdleCauses wants one device's gaps explained as an engineer would.
func TestIdleCauses(t *testing.T) {
	for _, test := range idleCases {
		t.Run(test.name, func(t *testing.T) {
			s := &script{}
			test.build(s)
			if got := causes(s.reduce(t).Devices[0]); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

// checkIdle wants every device's causes to hold exactly its idle time.
func checkIdle(t *testing.T, r *Rank) {
	t.Helper()
	for _, d := range r.Devices {
		var idle trace.Time
		for c, i := range d.Idle {
			idle += i.Time
			if i.Time < 0 || (i.Time > 0) != (i.Gaps > 0) {
				t.Errorf("device %d: %s is %d ns in %d gaps", d.Device, Cause(c), i.Time, i.Gaps)
			}
		}
		if want := d.Last - d.First - d.Busy - d.Graph; idle != want {
			t.Errorf("device %d: causes hold %d ns of %d idle: %s", d.Device, idle, want, causes(d))
		}
	}
}

func TestIdleCausesAddUp(t *testing.T) {
	rng := rand.New(rand.NewSource(3))
	for range 60 {
		s := &script{}
		for range rng.Intn(4) {
			s.Step(decodeStep, rng.Intn(100)*ms, rng.Intn(20)*ms)
		}
		for range rng.Intn(6) {
			s.Row("overhead", "Buffer Flush", -1, 0, rng.Intn(100)*ms, rng.Intn(5)*ms, "")
			s.CallOn("cudaDeviceSynchronize", 10, 1+rng.Intn(2), rng.Intn(100)*ms, rng.Intn(9)*ms)
		}
		for range 1 + rng.Intn(40) {
			at := rng.Intn(100) * ms
			corr := 0
			if rng.Intn(5) > 0 {
				corr = s.CallOn([]string{"cudaLaunchKernel", "cudaGraphLaunch"}[rng.Intn(2)], 10, 1+rng.Intn(2), at, rng.Intn(50)*µs)
			}
			for range 1 + rng.Intn(2) {
				s.GPU(gemmName, rng.Intn(2), 7, at+rng.Intn(30)*ms-ms, rng.Intn(ms), corr)
			}
		}
		checkIdle(t, s.reduce(t))
	}
}

const ms = 1000 * µs

// TestSpans checks the interval arithmetic against a bit per moment.
func TestSpans(t *testing.T) {
	rng := rand.New(rand.NewSource(4))
	const n = 40
	draw := func(k int) (s spans) {
		for range k {
			a := trace.Time(rng.Intn(n))
			s = append(s, span{a, a + trace.Time(rng.Intn(8))})
		}
		return s
	}
	bits := func(s spans) (out [2 * n]bool) {
		for _, x := range s {
			for i := x.start; i < x.end; i++ {
				out[i] = true
			}
		}
		return out
	}
	for range 2000 {
		a, b := draw(rng.Intn(6)), draw(rng.Intn(6))
		wantA, wantB := bits(a), bits(b)
		a, b = a.normalise(), b.normalise()
		in, out := a.split(b, nil, nil)
		gotIn, gotOut := bits(in), bits(out)
		for i := range gotIn {
			if gotIn[i] != (wantA[i] && wantB[i]) || gotOut[i] != (wantB[i] && !wantA[i]) {
				t.Fatalf("%v split by %v: in %v, out %v", b, a, in, out)
			}
		}
		sum := trace.Time(0)
		for _, bit := range wantB {
			if bit {
				sum++
			}
		}
		if total(in)+total(out) != sum {
			t.Fatalf("%v split by %v: %d inside and %d outside of %d", b, a, total(in), total(out), sum)
		}
	}
}

// TestOutside: beyond a device's own events the file knows only where it was
// recorded and ran no step.
func TestOutside(t *testing.T) {
	s := &script{}
	s.Step(idleStep, 0, µs) // recorded from here
	s.Step(decodeStep, 100*ms, ms)
	s.Launch(gemmName, 100*ms, 100*ms+10*µs, ms)
	s.Call("cudaEventQuery", 300*ms, ms) // to here
	r := s.reduce(t)
	for _, test := range []struct{ from, to, noStep, unknown int }{
		{-50 * ms, 0, 0, 50 * ms},
		{-50 * ms, 100*ms + 10*µs, 90 * ms, 60*ms + 10*µs},
		{101 * ms, 400 * ms, 301*ms - 111*ms - 10*µs, 99*ms + 10*ms + 10*µs},
		{5, 5, 0, 0},
		{7, 5, 0, 0},
	} {
		noStep, unknown := r.Outside(base+trace.Time(test.from), base+trace.Time(test.to))
		if int(noStep) != test.noStep || int(unknown) != test.unknown {
			t.Errorf("%d to %d: no step %d, unknown %d; want %d, %d", test.from, test.to, noStep, unknown, test.noStep, test.unknown)
		}
	}
	if noStep, unknown := new(Rank).Outside(0, 5); noStep != 0 || unknown != 5 {
		t.Errorf("a rank without host rows knows of %d ns without a step", noStep)
	}
}

// TestBlockingNames: synchronising calls and plain copies block, asynchronous
// copies and what builds a graph do not.
func TestBlockingNames(t *testing.T) {
	for name, want := range map[string]bool{
		"cudaLaunchKernel":            false,
		"cudaLaunchKernelExC":         false,
		"cuLaunchKernelEx":            false,
		"hipModuleLaunchKernel":       false,
		"hipExtModuleLaunchKernel":    false,
		"cudaLaunchCooperativeKernel": false,
		"cudaGraphLaunch":             false,
		"cuGraphLaunch_ptsz":          false,
		"hipGraphLaunch":              false,
		"cudaMemcpyAsync":             false,
		"cuMemcpyHtoDAsync_v2":        false,
		"cudaMemcpyAsync_ptsz":        false,
		"cuMemsetD32Async":            false,
		"cudaMemcpy":                  true,
		"cuMemcpyDtoH_v2":             true,
		"hipMemcpyWithStream":         true,
		"cudaStreamSynchronize":       true,
		"cudaDeviceSynchronize":       true,
		"cudaEventSynchronize":        true,
		"cuCtxSynchronize":            true,
		"cudaEventQuery":              false,
		"cudaStreamWaitEvent":         false,
		"cudaGraphInstantiate":        false,
		"cudaGraphAddMemcpyNode":      false,
		"cudaLaunchHostFunc":          false,
		"cudaFuncSetAttribute":        false,
	} {
		if got := isBlocking(name); got != want {
			t.Errorf("%s: blocks %v, want %v", name, got, want)
		}
	}
}
