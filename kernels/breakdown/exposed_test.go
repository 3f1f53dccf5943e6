package breakdown

import (
	"math/rand"
	"slices"
	"testing"
	"time"

	"tokprof/kernels/attribution"
	"tokprof/trace"
)

// exposedOracle judges every elementary interval on its own: where only one
// group runs, graph runs being one, the time goes to what started first.
// several is the time in which more than one did.
func exposedOracle(ev *attribution.Events, de deviceEvents) (events map[int32]trace.Time, runs []trace.Time, several trace.Time) {
	type work struct {
		group    string
		from, to trace.Time
		credit   func(trace.Time)
	}
	var all []work
	var edges []trace.Time
	events, runs = map[int32]trace.Time{}, make([]trace.Time, len(de.runs))
	for _, i := range de.events {
		id := ev.Trace.GPU()[i]
		all = append(all, work{ev.Match(int(i)).Group, ev.Trace.Start(id), ev.Trace.Start(id) + ev.Trace.Dur(id), func(d trace.Time) { events[i] += d }})
	}
	for n, g := range de.runs {
		all = append(all, work{"whole", g.Start, g.End(), func(d trace.Time) { runs[n] += d }})
	}
	for _, w := range all {
		edges = append(edges, w.from, w.to)
	}
	slices.Sort(edges)
	for n := 0; n+1 < len(edges); n++ {
		from, to := edges[n], edges[n+1]
		groups := map[string]bool{}
		var first *work
		for i := range all {
			if w := &all[i]; w.from <= from && w.to >= to && from < to {
				groups[w.group] = true
				if first == nil || w.from < first.from {
					first = w
				}
			}
		}
		if len(groups) == 1 {
			first.credit(to - from)
		} else if len(groups) > 1 {
			several += to - from
		}
	}
	return events, runs, several
}

func runSweep(ev *attribution.Events, de deviceEvents) (events map[int32]trace.Time, runs []trace.Time) {
	events = map[int32]trace.Time{}
	sw := &sweep{ev: ev, runs: de.runs, done: func(i int32, e trace.Time) { events[i] += e }}
	for _, i := range de.events {
		sw.add(i)
	}
	sw.finish()
	return events, sw.ran
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

// crowds draws a few events a device from few distinct moments, so that equal,
// nested, touching and empty intervals are common, and lays graph runs among
// those of every other device. The middle device has nothing but runs.
func crowds(t *testing.T, rng *rand.Rand) *trace.Trace {
	const n = 400
	names := []string{gemmName, commName, attnName, normName, copyName}
	s := &script{}
	for device := range n {
		groups := 1 + rng.Intn(len(names))
		for range 1 + rng.Intn(14) {
			if device != n/2 {
				s.GPU(names[rng.Intn(groups)], device, 7+rng.Intn(4), rng.Intn(20), rng.Intn(12), 0)
			}
		}
	}
	tr := s.Open(t)
	for device := 0; device < n; device += 2 {
		for range 1 + rng.Intn(5) {
			g := graphRun(uint64(rng.Intn(2)), rng.Intn(20), rng.Intn(12), trace.NoEvent)
			g.Device = device
			tr.GraphRuns = append(tr.GraphRuns, g)
		}
	}
	return tr
}

func TestExposedEqualsOracle(t *testing.T) {
	ev := attribution.NewEvents(crowds(t, rand.New(rand.NewSource(1))), classifier(t), attribution.Evidence{})
	for _, de := range devices(ev) {
		want, wantRuns, _ := exposedOracle(ev, de)
		got, runs := runSweep(ev, de)
		for _, i := range de.events {
			if got[i] != want[i] {
				t.Errorf("device %d event %d: exposed %d, want %d", de.device, i, got[i], want[i])
			}
		}
		if len(got) != len(de.events) {
			t.Errorf("device %d: %d of %d events were done", de.device, len(got), len(de.events))
		}
		if !slices.Equal(runs, wantRuns) {
			t.Errorf("device %d: graph runs exposed %d, want %d", de.device, runs, wantRuns)
		}
	}
}

// TestExposedAddsUpToWork: on every device the exposed time of kernels and
// graphs and the time in which several groups ran are its busy and graph time.
func TestExposedAddsUpToWork(t *testing.T) {
	for seed := range int64(5) {
		tr := crowds(t, rand.New(rand.NewSource(seed)))
		ev := attribution.NewEvents(tr, classifier(t), attribution.Evidence{})
		r := Reduce(tr, classifier(t), Options{ExcerptTo: -1})
		hidden := trace.Time(0)
		for n, de := range devices(ev) {
			d := r.Devices[n]
			var cells, graphs trace.Time
			for _, c := range r.Cells {
				if c.Device == d.Device {
					cells += c.Exposed
				}
			}
			for _, w := range r.Whole {
				if w.Device == d.Device {
					graphs += w.Exposed
				}
			}
			_, _, several := exposedOracle(ev, de)
			if cells+graphs+several != d.Busy+d.Graph || graphs != d.Graph {
				t.Errorf("device %d: kernels alone %d, graphs alone %d, several %d; busy %d, graphs %d", d.Device, cells, graphs, several, d.Busy, d.Graph)
			}
			if len(de.runs) > 0 && len(de.events) > 0 {
				hidden += several
			}
		}
		if hidden == 0 {
			t.Error("no kernel ran under a graph")
		}
	}
}

func TestExposedIsWholeWithoutOverlap(t *testing.T) {
	s := &script{}
	for i := range 100 {
		s.GPU([]string{gemmName, commName, normName}[i%3], 0, 7+i%2, i*10, 10, 0)
	}
	ev := s.events(t)
	got, _ := runSweep(ev, devices(ev)[0])
	for i, e := range got {
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
		if got, _ := runSweep(ev, de); len(got) != n {
			t.Errorf("%d of %d events were done", len(got), n)
		}
	}
	if d := time.Since(began); d > time.Minute {
		t.Errorf("three crowds of %d events took %v", n, d)
	}
}
