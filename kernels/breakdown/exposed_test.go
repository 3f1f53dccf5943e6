package breakdown

import (
	"cmp"
	"math/rand"
	"slices"
	"testing"
	"time"

	"tokprof/kernels/attribution"
	"tokprof/trace"
)

// exposedOracle judges every elementary interval on its own: where only one
// group runs, the time goes to the event that started first.
func exposedOracle(ev *attribution.Events, events []int32) map[int32]trace.Time {
	t := ev.Trace
	start := func(i int32) trace.Time { return t.Start(t.GPU()[i]) }
	end := func(i int32) trace.Time { return start(i) + t.Dur(t.GPU()[i]) }
	var edges []trace.Time
	for _, i := range events {
		edges = append(edges, start(i), end(i))
	}
	slices.Sort(edges)
	out := map[int32]trace.Time{}
	for n := 0; n+1 < len(edges); n++ {
		from, to := edges[n], edges[n+1]
		groups := map[string]bool{}
		var running []int32
		for _, i := range events {
			if start(i) <= from && end(i) >= to && from < to {
				running = append(running, i)
				groups[ev.Match(int(i)).Group] = true
			}
		}
		if len(groups) == 1 {
			slices.SortStableFunc(running, func(a, b int32) int { return cmp.Or(cmp.Compare(start(a), start(b)), cmp.Compare(a, b)) })
			out[running[0]] += to - from
		}
	}
	return out
}

func runSweep(ev *attribution.Events, events []int32) map[int32]trace.Time {
	got := map[int32]trace.Time{}
	sw := &sweep{ev: ev, done: func(i int32, e trace.Time) { got[i] += e }}
	for _, i := range events {
		sw.add(i)
	}
	sw.finish()
	return got
}

func union(ev *attribution.Events, events []int32) (busy trace.Time) {
	last := trace.Time(-1 << 62)
	for _, i := range events {
		id := ev.Trace.GPU()[i]
		start := ev.Trace.Start(id)
		end := start + ev.Trace.Dur(id)
		busy += max(0, end-max(start, last))
		last = max(last, end)
	}
	return busy
}

// TestExposedEqualsOracle draws crowds of a few events each, one crowd a
// device, from few distinct moments so that equal, nested, touching and empty
// intervals are common.
func TestExposedEqualsOracle(t *testing.T) {
	rng := rand.New(rand.NewSource(1))
	names := []string{gemmName, commName, attnName, normName, copyName}
	s := &script{}
	for device := range 400 {
		groups := 1 + rng.Intn(len(names))
		for range 1 + rng.Intn(14) {
			s.GPU(names[rng.Intn(groups)], device, 7+rng.Intn(4), rng.Intn(20), rng.Intn(12), 0)
		}
	}
	ev := s.events(t)
	for _, de := range devices(ev) {
		want, got := exposedOracle(ev, de.events), runSweep(ev, de.events)
		perGroup := map[string]trace.Time{}
		for _, i := range de.events {
			if got[i] != want[i] {
				t.Errorf("device %d event %d: exposed %d, want %d", de.device, i, got[i], want[i])
			}
			perGroup[ev.Match(int(i)).Group] += got[i]
		}
		if len(got) != len(de.events) {
			t.Errorf("device %d: %d of %d events were done", de.device, len(got), len(de.events))
		}
		all := trace.Time(0)
		for _, d := range perGroup {
			all += d
		}
		if busy := union(ev, de.events); all > busy || len(perGroup) == 1 && all != busy {
			t.Errorf("device %d: %d groups exposed for %d of %d busy", de.device, len(perGroup), all, busy)
		}
	}
}

func TestExposedIsWholeWithoutOverlap(t *testing.T) {
	s := &script{}
	for i := range 100 {
		s.GPU([]string{gemmName, commName, normName}[i%3], 0, 7+i%2, i*10, 10, 0)
	}
	ev := s.events(t)
	for i, e := range runSweep(ev, devices(ev)[0].events) {
		if e != 10 {
			t.Errorf("event %d: exposed %d of 10", i, e)
		}
	}
}

// TestExposedOfACrowd ends well within its limit, on a busy machine too, unless
// an event costs a look at every other one: then it takes minutes.
func TestExposedOfACrowd(t *testing.T) {
	const n = 60_000
	shapes := map[string]func(i int) (start, dur int){
		"nested":    func(i int) (int, int) { return i, 2*n - 2*i },
		"staircase": func(i int) (int, int) { return i, n },
		"equal":     func(int) (int, int) { return 0, n },
	}
	s := &script{}
	device := 0
	for _, shape := range shapes {
		for i := range n {
			start, dur := shape(i)
			s.GPU([]string{gemmName, commName}[i*3/n%2], device, 7, start, dur, 0)
		}
		device++
	}
	ev := s.events(t)
	began := time.Now()
	for _, de := range devices(ev) {
		if got := runSweep(ev, de.events); len(got) != n {
			t.Errorf("%d of %d events were done", len(got), n)
		}
	}
	if d := time.Since(began); d > time.Minute {
		t.Errorf("three crowds of %d events took %v", n, d)
	}
}
