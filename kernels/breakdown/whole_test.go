package breakdown

import (
	"cmp"
	"fmt"
	"math/rand"
	"slices"
	"testing"

	"tokprof/kernels/attribution"
	"tokprof/kernels/attribution/tracescript"
	"tokprof/trace"
)

// graphRun makes a run on the clock of scripts, times in nanoseconds.
func graphRun(graph uint64, start, dur int, launch trace.EventID) trace.GraphRun {
	return trace.GraphRun{Graph: graph, Device: 0, Stream: 7, Start: base + trace.Time(start), Dur: trace.Time(dur), Launch: launch}
}

// launchAt is the call that began at a moment.
func launchAt(t *testing.T, tr *trace.Trace, at int) trace.EventID {
	t.Helper()
	found := trace.NoEvent
	tr.Each(func(id trace.EventID, k trace.Kind) {
		if k == trace.Launch && tr.Start(id) == base+trace.Time(at) {
			found = id
		}
	})
	if found == trace.NoEvent {
		t.Fatalf("no call at %d", at)
	}
	return found
}

// TestWholeRuns puts graph runs between, over and around kernels: their time
// is graph time where no kernel runs, and no gap.
func TestWholeRuns(t *testing.T) {
	s := &script{}
	s.Launch(gemmName, 0, 10*µs, 10*µs)
	s.Call("cudaGraphLaunch", 100*µs, 5*µs)
	s.Call("cudaGraphLaunch", 400*µs, 5*µs)
	s.Launch(gemmName, 200*µs, 220*µs, 10*µs)
	s.Launch(gemmName, 300*µs, 330*µs, 10*µs)
	tr := s.Open(t)
	tr.GraphRuns = []trace.GraphRun{
		graphRun(1, 110*µs, 100*µs, launchAt(t, tr, 100*µs)), // between two kernels
		graphRun(2, 325*µs, 25*µs, trace.NoEvent),            // around one
		graphRun(1, 410*µs, 100*µs, launchAt(t, tr, 400*µs)), // behind all
	}
	r := Reduce(tr, classifier(t), Options{ExcerptTo: -1})
	d := r.Devices[0]
	if d.Busy != 30*µs || d.Graph != 215*µs || d.Sum != 30*µs || d.Last-d.First != 500*µs || r.End != d.Last {
		t.Errorf("busy %d, graph %d, sum %d, %d to %d", d.Busy, d.Graph, d.Sum, d.First-base, d.Last-base)
	}
	// 20–110: the launch at 100 came late, and was 10 on its way; 210–220: the
	// kernel was launched at 200 and on its way; 230–325: nobody knows who
	// launched the run; 350–410: late again.
	const want = "host_late 130000 in 2, launch_latency 30000 in 3, unknown 95000 in 1"
	if got := causes(d); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if len(r.Graphs) != 2 || r.Graphs[0] != (Graph{Signature: "graph 1", Replays: 2, Time: 200 * µs}) || r.Graphs[1].Time != 25*µs || r.Unanswered != 0 {
		t.Errorf("graphs %+v, %d calls without an event", r.Graphs, r.Unanswered)
	}
	if len(r.Kernels) != 1 {
		t.Errorf("kernels %+v", r.Kernels)
	}
}

// TestWholeRunsAddUp: busy, graph and idle time make the whole extent, whatever
// lies over what.
func TestWholeRunsAddUp(t *testing.T) {
	rnd := rand.New(rand.NewSource(5))
	for range 50 {
		s := &script{}
		for i := range 1 + rnd.Intn(20) {
			s.Launch(gemmName, i*50*µs, rnd.Intn(1000)*µs, rnd.Intn(80)*µs)
		}
		tr := s.Open(t)
		for range rnd.Intn(20) {
			tr.GraphRuns = append(tr.GraphRuns, graphRun(uint64(rnd.Intn(3)), rnd.Intn(1000)*µs, rnd.Intn(80)*µs, trace.NoEvent))
		}
		slices.SortStableFunc(tr.GraphRuns, func(a, b trace.GraphRun) int { return cmp.Compare(a.Start, b.Start) })
		r := Reduce(tr, classifier(t), Options{ExcerptTo: -1})
		d := r.Devices[0]
		checkWhole(t, tr, r)
		var idle trace.Time
		for _, c := range d.Idle {
			idle += c.Time
		}
		var own []int32
		for i := range tr.GPU() {
			own = append(own, int32(i))
		}
		if d.Busy+d.Graph+idle != d.Last-d.First || d.Graph < 0 || d.Busy != union(attribution.NewEvents(tr, classifier(t), attribution.Evidence{}), own) {
			t.Fatalf("%d busy, %d graph, %d idle of %d", d.Busy, d.Graph, idle, d.Last-d.First)
		}
	}
}

// TestWholeRunsOfExport reads a recording of eleven decode steps whose graphs
// have no kernels inside.
func TestWholeRunsOfExport(t *testing.T) {
	tr := tracescript.OpenFile(t, "../../fixtures/nsys/qwen3-12l-graphmode/report1.sqlite.gz")
	r := Reduce(tr, classifier(t), Options{ExcerptTo: -1})
	checkSums(t, tr, r)
	d := r.Devices[0]
	if d.Graph != 18262952 || len(r.Graphs) != 1 || r.Graphs[0].Replays != 11 || r.Unanswered != 0 {
		t.Errorf("graph time %d, graphs %+v, %d calls without an event", d.Graph, r.Graphs, r.Unanswered)
	}
}

// TestWholeRunsInSteps: a step that launched a graph was at work while it ran.
func TestWholeRunsInSteps(t *testing.T) {
	tr := tracescript.OpenFile(t, "../../fixtures/nsys/qwen3-12l-graphmode/report1.sqlite.gz")
	r := Reduce(tr, classifier(t), Options{ExcerptTo: -1})
	var busy, graph trace.Time
	decode := 0
	for _, s := range r.Steps {
		busy += s.Busy
		graph += s.Graph
		if s.Label.Phase != trace.Decode {
			continue
		}
		decode++
		// One run of 1.66 ms in each, and sampling behind it.
		if s.Graph < 1600*µs || s.Graph > s.Busy || s.Busy < 1600*µs || s.Busy > 2300*µs || s.Last-s.First < s.Busy {
			t.Errorf("step %s busy %d from %d to %d", s.Name, s.Busy, s.First, s.Last)
		}
	}
	// Steps of an asynchronous server overlap, by a hair.
	if d := r.Devices[0]; decode != 11 || busy < d.Busy+d.Graph || busy > (d.Busy+d.Graph)*101/100 || graph < d.Graph || graph > d.Graph*101/100 {
		t.Errorf("%d decode steps; steps busy %d, device %d and %d in graphs", decode, busy, d.Busy, d.Graph)
	}
}

// TestWholeRunsAddUpInSteps: what graphs add to a step is its busy time less
// the union of its events, whatever lies over what.
func TestWholeRunsAddUpInSteps(t *testing.T) {
	rnd := rand.New(rand.NewSource(6))
	graphs := 0
	for range 50 {
		s := &script{}
		for i := range 4 {
			s.Step("execute_context_0(0)_generation_8(8)", i*300*µs, 200*µs)
			s.Call("cudaGraphLaunch", i*300*µs+100*µs, 5*µs)
		}
		for i := range 1 + rnd.Intn(20) {
			s.Launch(gemmName, i*50*µs+10*µs, rnd.Intn(1500)*µs, rnd.Intn(80)*µs)
		}
		tr := s.Open(t)
		for i := range 4 {
			if rnd.Intn(3) > 0 {
				tr.GraphRuns = append(tr.GraphRuns, graphRun(1, i*300*µs+110*µs+rnd.Intn(200)*µs, rnd.Intn(150)*µs, launchAt(t, tr, i*300*µs+100*µs)))
			}
		}
		ev := attribution.NewEvents(tr, classifier(t), attribution.Evidence{})
		own := make([][]int32, len(ev.Steps))
		for i := range tr.GPU() {
			if n := ev.StepOf(i); n >= 0 {
				own[n] = append(own[n], int32(i))
			}
		}
		for n := range ev.Steps {
			st := &ev.Steps[n]
			if u := union(ev, own[n]); st.Graph < 0 || st.Graph+u != st.Busy || st.Busy > st.Last-st.First || st.Ran() != (st.Busy > 0 || st.Launches > 0) {
				t.Fatalf("step %d: %d in graphs, %d in events, %d busy of %d", n, st.Graph, u, st.Busy, st.Last-st.First)
			}
			if st.Graph > 0 {
				graphs++
			}
		}
	}
	if graphs == 0 {
		t.Error("no step had graph time")
	}
}

// TestOnlyWholeRuns reduces a trace whose GPU work is graph runs alone: it is a
// rank's, and its time is graph time, neither busy nor idle.
func TestOnlyWholeRuns(t *testing.T) {
	s := &script{}
	s.Call("cudaGraphLaunch", 100*µs, 5*µs)
	s.Call("cudaGraphLaunch", 300*µs, 5*µs)
	tr := s.Open(t)
	if r := Reduce(tr, classifier(t), Options{ExcerptTo: -1}); r.Role != Frontend || len(r.Devices) != 0 {
		t.Errorf("without runs: %s, %+v", r.Role, r.Devices)
	}
	tr.GraphRuns = []trace.GraphRun{
		graphRun(1, 110*µs, 100*µs, launchAt(t, tr, 100*µs)),
		graphRun(1, 310*µs, 100*µs, launchAt(t, tr, 300*µs)),
	}
	r := Reduce(tr, classifier(t), Options{ExcerptTo: -1})
	if r.Role != GPURank || len(r.Devices) != 1 || len(r.Kernels)+len(r.Cells) != 0 {
		t.Fatalf("%s, %d devices, %d kernels", r.Role, len(r.Devices), len(r.Kernels))
	}
	d := r.Devices[0]
	if d.Busy != 0 || d.Sum != 0 || d.Graph != 200*µs || d.Last-d.First != 300*µs {
		t.Errorf("busy %d, graph %d, %d to %d", d.Busy, d.Graph, d.First-base, d.Last-base)
	}
	if got := causes(d); got != "host_late 90000 in 1, launch_latency 10000 in 1" {
		t.Error(got)
	}
	if len(r.Graphs) != 1 || r.Graphs[0] != (Graph{Signature: "graph 1", Replays: 2, Time: 200 * µs}) {
		t.Errorf("graphs %+v", r.Graphs)
	}
}

// checkWhole wants every graph run in one sum, and what only they covered to be
// the devices' graph time.
func checkWhole(t *testing.T, tr *trace.Trace, r *Rank) {
	t.Helper()
	var length, ran, exposed, graph trace.Time
	var runs int64
	for _, g := range tr.GraphRuns {
		ran += g.Dur
	}
	for _, w := range r.Whole {
		length, exposed, runs = length+w.Time, exposed+w.Exposed, runs+w.Runs
		if w.Exposed < 0 || w.Exposed > w.Time || w.Runs < 1 {
			t.Errorf("%+v", w)
		}
	}
	for _, d := range r.Devices {
		graph += d.Graph
	}
	if length != ran || exposed != graph || runs != int64(len(tr.GraphRuns)) {
		t.Errorf("%d runs of %d, %d alone; the trace has %d of %d, the devices %d alone", runs, length, exposed, len(tr.GraphRuns), ran, graph)
	}
}

// wholeScript is two decode steps that each launch a graph: in the first a
// kernel of another stream runs beside it, the second launches nothing else.
// A third run's launch is unknown.
func wholeScript(t *testing.T) *trace.Trace {
	s := &script{}
	s.Step(decodeStep, 0, 200*µs)
	s.Call("cudaGraphLaunch", 10*µs, 5*µs)
	s.GPU(gemmName, 0, 9, 60*µs, 20*µs, s.Call("cudaLaunchKernel", 20*µs, 5*µs))
	s.Step(decodeStep, 300*µs, 200*µs)
	s.Call("cudaGraphLaunch", 310*µs, 5*µs)
	s.Call("cudaGraphLaunch", 330*µs, 5*µs)
	tr := s.Open(t)
	tr.GraphRuns = []trace.GraphRun{
		graphRun(1, 40*µs, 100*µs, launchAt(t, tr, 10*µs)),
		graphRun(3, 160*µs, 10*µs, trace.NoEvent),
		graphRun(1, 340*µs, 100*µs, launchAt(t, tr, 310*µs)),
		graphRun(2, 450*µs, 30*µs, launchAt(t, tr, 330*µs)),
	}
	return tr
}

// TestWholeSums: runs are summed by graph, stream and phase; a run whose launch
// is unknown has no phase.
func TestWholeSums(t *testing.T) {
	tr := wholeScript(t)
	r := Reduce(tr, classifier(t), Options{ExcerptTo: -1})
	checkWhole(t, tr, r)
	want := []Whole{
		{Graph: 1, Stream: 7, Phase: trace.Decode, Time: 200 * µs, Exposed: 180 * µs, Runs: 2},
		{Graph: 3, Stream: 7, Time: 10 * µs, Exposed: 10 * µs, Runs: 1},
		{Graph: 2, Stream: 7, Phase: trace.Decode, Time: 30 * µs, Exposed: 30 * µs, Runs: 1},
	}
	if !slices.Equal(r.Whole, want) {
		t.Errorf("%+v, want %+v", r.Whole, want)
	}
}

// TestWholeRunsAreDrawn: a graph recorded as a whole stands on its stream, its
// launch on the host's lane; one that no step is known to have launched is in
// no drawing. A step with nothing but graphs is one to draw.
func TestWholeRunsAreDrawn(t *testing.T) {
	tr := wholeScript(t)
	got := ""
	for _, x := range Reduce(tr, classifier(t), Options{ExcerptFrom: 0, ExcerptTo: 9}).Excerpts {
		got += fmt.Sprintf("step %d %d-%d:", x.Step, (x.Start-base)/µs, (x.End-base)/µs)
		for _, l := range x.Lanes {
			got += fmt.Sprintf(" %v %d[", l.GPU, l.Stream)
			for _, s := range l.Spans {
				got += fmt.Sprintf("%d+%d #%d k%d", (s.Start-base)/µs, s.Dur/µs, s.Correlation, s.Kernel)
				if s.Whole != nil {
					got += fmt.Sprintf(" graph %d", s.Whole.Graph)
				}
				got += ";"
			}
			got += "]"
		}
		got += "\n"
	}
	const want = "step 0 10-140: true 7[40+100 #1 k-1 graph 1;] true 9[60+20 #2 k0;] false -1[10+5 #1 k-1;20+5 #2 k-1;]\n" +
		"step 1 310-480: true 7[340+100 #3 k-1 graph 1;450+30 #4 k-1 graph 2;] false -1[310+5 #3 k-1;330+5 #4 k-1;]\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if got, want := picks(Reduce(tr, classifier(t), Options{ExcerptTo: -1}).Excerpts), fmt.Sprintf("0:%d ", Median); got != want {
		t.Errorf("keeps %s, want %s", got, want)
	}
	tr.GraphRuns[2].Dur = 20 * µs
	tr.GraphRuns[3].Dur = 10 * µs
	tr.GraphRuns[3].Start = tr.GraphRuns[2].End()
	if got, want := picks(Reduce(tr, classifier(t), Options{ExcerptTo: -1}).Excerpts), fmt.Sprintf("1:%d ", Median); got != want {
		t.Errorf("keeps %s, want %s", got, want)
	}
}

// TestNothingButWholeRuns: a file without a single GPU event is no front end's
// where graphs ran.
func TestNothingButWholeRuns(t *testing.T) {
	s := &script{}
	s.Step(decodeStep, 0, 200*µs)
	s.Call("cudaGraphLaunch", 10*µs, 5*µs)
	tr := s.Open(t)
	tr.GraphRuns = []trace.GraphRun{graphRun(1, 40*µs, 100*µs, launchAt(t, tr, 10*µs)), graphRun(1, 150*µs, 50*µs, trace.NoEvent)}
	r := Reduce(tr, classifier(t), Options{ExcerptTo: -1})
	checkWhole(t, tr, r)
	d := r.Devices[0]
	if r.Role != GPURank || d.Busy != 0 || d.Graph != 150*µs || r.End-r.Start != 160*µs || d.Idle[UnknownCause].Time != 10*µs || len(r.Excerpts) != 1 || r.Steps[0].Graph != 100*µs {
		t.Errorf("%v: %+v, %d excerpts, step %+v", r.Role, d, len(r.Excerpts), r.Steps[0])
	}
}

// TestIdleBehindWholeRuns: the idle time behind a graph run belongs to the phase
// of the step that launched it, though no event of that step came yet.
func TestIdleBehindWholeRuns(t *testing.T) {
	s := &script{}
	s.Step(prefillStep, 0, 50*µs)
	s.Launch(gemmName, 10*µs, 20*µs, 20*µs)
	s.Step(decodeStep, 60*µs, 200*µs)
	s.Call("cudaGraphLaunch", 70*µs, 5*µs)
	s.Launch(gemmName, 200*µs, 210*µs, 10*µs)
	tr := s.Open(t)
	tr.GraphRuns = []trace.GraphRun{graphRun(1, 80*µs, 50*µs, launchAt(t, tr, 70*µs))}
	idle := Reduce(tr, classifier(t), Options{ExcerptTo: -1}).Devices[0].PhaseIdle
	sum := func(p trace.Phase) (out trace.Time) {
		for _, d := range idle[p] {
			out += d
		}
		return out
	}
	if prefill, decode := sum(trace.Prefill), sum(trace.Decode); prefill != 40*µs || decode != 80*µs {
		t.Errorf("idle %d in prefill, %d in decode; want 40 and 80 µs", prefill, decode)
	}
}
