package breakdown

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tokprof/kernels/attribution"
	"tokprof/kernels/attribution/tracescript"
	"tokprof/trace"
	"tokprof/trace/synth"
)

// checkSums wants a rank to agree with its trace and with itself.
func checkSums(t *testing.T, tr *trace.Trace, r *Rank) {
	t.Helper()
	var sum, busy trace.Time
	ev := attribution.NewEvents(tr, classifier(t), attribution.Evidence{})
	for _, id := range tr.GPU() {
		sum += tr.Dur(id)
	}
	n := int64(len(tr.GPU()))
	same := func(what string, got, want any) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	var cells, cellN, devices, deviceN, kernels, kernelN, streams, streamN int64
	for _, c := range r.Cells {
		cells, cellN = cells+int64(c.Time), cellN+c.Launches
		if c.Exposed < 0 || c.Exposed > c.Time || c.Node <= 0 || int(c.Node) >= len(r.Frames) {
			t.Errorf("cell %+v", c)
		}
	}
	for _, d := range r.Devices {
		devices, deviceN, busy = devices+int64(d.Sum), deviceN+d.Events, busy+d.Busy
		var own []int32
		for i, id := range tr.GPU() {
			if tr.Track(tr.TrackOf(id)).Device == d.Device {
				own = append(own, int32(i))
			}
		}
		same("busy", d.Busy, union(ev, own))
		checkExposed(t, ev, r, d, own)
	}
	for i, k := range r.Kernels {
		kernels, kernelN = kernels+int64(k.Durs.Total()), kernelN+k.Durs.Launches()
		if !slices.IsSortedFunc(k.Durs, func(a, b DurationCount) int { return cmp.Compare(a.Dur, b.Dur) }) {
			t.Errorf("kernel %d: lengths are not in order", i)
		}
	}
	for _, s := range r.Streams {
		streams, streamN = streams+int64(s.Sum), streamN+s.Events
		if s.Busy > s.Sum {
			t.Errorf("stream %+v", s)
		}
	}
	same("time of cells", cells, int64(sum))
	same("time of devices", devices, int64(sum))
	same("time of kernels", kernels, int64(sum))
	same("time of streams", streams, int64(sum))
	for what, got := range map[string]int64{"cells": cellN, "devices": deviceN, "kernels": kernelN, "streams": streamN} {
		same("events of "+what, got, n)
	}
	checkSteps(t, ev, r)
	checkStepDevices(t, ev, r)
	checkIdle(t, r)
	checkCopies(t, tr, r)
}

// checkSteps wants each step's categories to hold its events' time, and frames
// to stand behind their parents.
func checkSteps(t *testing.T, ev *attribution.Events, r *Rank) {
	t.Helper()
	perStep := make([]trace.Time, len(r.Steps))
	for i, id := range ev.Trace.GPU() {
		if s := ev.StepOf(i); s >= 0 {
			perStep[s] += ev.Trace.Dur(id)
		}
	}
	for _, s := range r.StepSums {
		perStep[s.Step] -= s.Time
	}
	for i, rest := range perStep {
		if rest != 0 {
			t.Errorf("step %d %s: categories are off by %d", i, r.Steps[i].Name, rest)
		}
	}
	for i, f := range r.Frames {
		if f.Parent >= int32(i) || (f.Parent < 0) != (i == 0) {
			t.Errorf("frame %d has parent %d", i, f.Parent)
		}
	}
}

// checkExposed sweeps the device once more, counting groups at each edge.
func checkExposed(t *testing.T, ev *attribution.Events, r *Rank, d Device, own []int32) {
	t.Helper()
	type edge struct {
		at    trace.Time
		group string
		delta int
	}
	var edges []edge
	for _, i := range own {
		id := ev.Trace.GPU()[i]
		g := ev.Match(int(i)).Group
		edges = append(edges, edge{ev.Trace.Start(id), g, 1}, edge{ev.Trace.Start(id) + ev.Trace.Dur(id), g, -1})
	}
	slices.SortFunc(edges, func(a, b edge) int { return cmp.Compare(a.at, b.at) })
	want, running := map[string]trace.Time{}, map[string]int{}
	for i, e := range edges {
		if i > 0 && len(running) == 1 {
			for g := range running {
				want[g] += e.at - edges[i-1].at
			}
		}
		if running[e.group] += e.delta; running[e.group] == 0 {
			delete(running, e.group)
		}
	}
	for _, c := range r.Cells {
		if c.Device == d.Device {
			want[r.Kernels[c.Kernel].Match.Group] -= c.Exposed
		}
	}
	for g, rest := range want {
		if rest != 0 {
			t.Errorf("device %d: exposed time of %s is off by %d", d.Device, g, rest)
		}
	}
}

func checkCopies(t *testing.T, tr *trace.Trace, r *Rank) {
	t.Helper()
	want := map[string]Copy{}
	for _, id := range tr.GPU() {
		e := tr.Event(id)
		if e.Kind == trace.Kernel {
			continue
		}
		c := want[tr.Name(e.Name)]
		c.Count++
		c.Time += e.Dur
		if n, ok := tr.Bytes(id); ok {
			c.Bytes += n
			c.SizedTime += e.Dur
		} else {
			c.Unsized++
		}
		want[tr.Name(e.Name)] = c
	}
	for _, c := range r.Copies {
		w := want[r.Kernels[c.Kernel].Name]
		if c.Count != w.Count || c.Bytes != w.Bytes || c.Time != w.Time || c.SizedTime != w.SizedTime || c.Unsized != w.Unsized || int64(len(c.Sizes)) != c.Count-c.Unsized {
			t.Errorf("copies %q: %+v, want %+v", r.Kernels[c.Kernel].Name, c, w)
		}
		if !r.Kernels[c.Kernel].Copy {
			t.Errorf("%q is no copy", r.Kernels[c.Kernel].Name)
		}
	}
	if len(r.Copies) != len(want) {
		t.Errorf("%d kinds of copies, want %d", len(r.Copies), len(want))
	}
}

func TestSumsOfFixtures(t *testing.T) {
	for _, path := range tracescript.FixtureFiles(t) {
		t.Run(tracescript.FixtureName(path), func(t *testing.T) {
			tr := tracescript.OpenFile(t, path)
			checkSums(t, tr, Reduce(tr, classifier(t), Options{ExcerptTo: -1}))
		})
	}
}

// synthTrace opens a generated trace of a few steps.
func synthTrace(t testing.TB, o synth.Options) (*trace.Trace, synth.Stats) {
	t.Helper()
	var text bytes.Buffer
	st, err := synth.Write(&text, o)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "rank0.1700000000000000000.pt.trace.json")
	if err := os.WriteFile(path, text.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return tracescript.OpenFile(t, path), st
}

func TestSumsOfSynth(t *testing.T) {
	for name, o := range map[string]synth.Options{
		"eager": {}, "graphs": {Graphs: true, Bytes: 2 << 20}, "two ranks": {Graphs: true, WorldSize: 2, Rank: 1, Bytes: 2 << 20},
		"key per line": {Layout: synth.KeyPerLine}, "compact": {Layout: synth.Compact, MetaLast: true}, "damaged": {DamageEvery: 50},
	} {
		t.Run(name, func(t *testing.T) {
			tr, st := synthTrace(t, o)
			r := Reduce(tr, classifier(t), Options{ExcerptTo: -1})
			checkSums(t, tr, r)
			var sum, kernels, graph, graphCalls int64
			for _, c := range r.Cells {
				sum += int64(c.Time)
				if !r.Kernels[c.Kernel].Copy {
					kernels += c.Launches
				}
			}
			for _, d := range r.Devices {
				graph, graphCalls = graph+d.Launches.GraphEvents, graphCalls+d.Launches.GraphCalls
				if d.Launches.WithoutLaunch != 0 {
					t.Errorf("%d events without a launch", d.Launches.WithoutLaunch)
				}
			}
			if sum != st.KernelNS || kernels != st.Kernels || graph != st.GraphKernels || graphCalls != st.GraphLaunches || len(r.Steps) != st.Steps || r.Unanswered != 0 {
				t.Errorf("%d ns in %d kernels, %d of %d graph launches, %d steps, %d unanswered; want %d in %d, %d of %d, %d, 0",
					sum, kernels, graph, graphCalls, len(r.Steps), r.Unanswered, st.KernelNS, st.Kernels, st.GraphKernels, st.GraphLaunches, st.Steps)
			}
		})
	}
}

// TestSumsOfRandom puts two devices, many streams, copies of unknown size and
// events outside steps together.
func TestSumsOfRandom(t *testing.T) {
	s := &script{}
	for i := range 400 {
		if i%50 == 7 {
			s.Step(decodeStep, i*900, 3000)
		}
		c := s.CallOn([]string{"cudaLaunchKernel", "cudaGraphLaunch"}[i%9/8], 10, 1+i%2, i*1000, 900)
		for n := range 1 + i%9/8*3 {
			s.GPU([]string{gemmName, commName, normName, copyName}[(i*7+n)%4], i%2, 7+n+i%3, i*1000+500+i*i%1700, i*37%2900, c*(1-i%13/12))
		}
	}
	tr := s.Open(t)
	checkSums(t, tr, Reduce(tr, classifier(t), Options{ExcerptTo: -1}))
}

// TestExtentOnAClockFromZero: moment 0 is a moment like others.
func TestExtentOnAClockFromZero(t *testing.T) {
	s := &script{}
	s.GPU(gemmName, 0, 7, 0, 5, 0)
	s.GPU(gemmName, 1, 7, 3, 9, 0)
	path := filepath.Join(t.TempDir(), "trace.json")
	if err := os.WriteFile(path, []byte(strings.Replace(s.Text(), fmt.Sprint(base), "0", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	if r := Reduce(tracescript.OpenFile(t, path), classifier(t), Options{ExcerptTo: -1}); r.Start != 0 || r.End != 12 {
		t.Errorf("from %d to %d, want 0 to 12", r.Start, r.End)
	}
}

// TestStepSumsAddUp wants each step's parts to hold its events' durations.
func TestStepSumsAddUp(t *testing.T) {
	s := &script{}
	s.Step(decodeStep, 0, 100)
	s.Step(decodeStep, 1000, 100)
	s.Launch(gemmName, 10, 100, 7)
	s.Launch(normName, 20, 110, 5)
	s.Launch(gemmName, 30, 120, 3)
	s.Launch(commName, 1010, 1100, 11)
	r := s.reduce(t)
	got := map[string]trace.Time{}
	for _, x := range r.StepSums {
		got[fmt.Sprint(x.Step, " ", x.Part)] += x.Time
	}
	want := map[string]trace.Time{"0 unattributed": 10, "0 other": 5, "1 comm": 11}
	if len(got) != len(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for k, d := range want {
		if got[k] != d {
			t.Errorf("%s: %d, want %d", k, got[k], d)
		}
	}
	if !slices.IsSortedFunc(r.StepSums, func(a, b StepSum) int { return int(a.Step - b.Step) }) {
		t.Errorf("not by step: %v", r.StepSums)
	}
}

// TestHidingTakesNoTime: hidden kernels stay in every sum.
func TestHidingTakesNoTime(t *testing.T) {
	s := &script{}
	s.Step(decodeStep, 0, 1000*µs)
	s.Pass(10*µs, 7, "e "+strings.Repeat("n g k a g n g f g ", 4))
	tr := s.Open(t)
	want := Reduce(tr, classifier(t), Options{ExcerptTo: -1}).Devices[0].Sum
	for _, h := range []string{"", "norm", "activation", "random:50%"} {
		hide, err := attribution.ParseHide(h)
		if err != nil {
			t.Fatal(err)
		}
		r := Reduce(tr, classifier(t), Options{ExcerptTo: -1, Evidence: attribution.Evidence{Hide: hide}})
		var sum trace.Time
		for _, c := range r.Cells {
			sum += c.Time
		}
		if r.Devices[0].Sum != want || sum != want {
			t.Errorf("%s hidden: %d on the device, %d in cells, want %d", h, r.Devices[0].Sum, sum, want)
		}
	}
}

// TestReduceIsDeterministic: maps must not show.
func TestReduceIsDeterministic(t *testing.T) {
	tr := tracescript.OpenFile(t, tracescript.FixtureFiles(t)[0])
	a, b := Reduce(tr, classifier(t), Options{ExcerptTo: -1}), Reduce(tr, classifier(t), Options{ExcerptTo: -1})
	if !slices.Equal(a.Frames, b.Frames) || !slices.Equal(a.Cells, b.Cells) || !slices.Equal(a.StepSums, b.StepSums) || !slices.Equal(a.Graphs, b.Graphs) || !slices.Equal(a.Steps, b.Steps) {
		t.Error("two readings of one trace differ")
	}
}

func TestRoles(t *testing.T) {
	one := func(pattern string) string {
		files, _ := filepath.Glob(filepath.Join(tracescript.Fixtures, pattern))
		if len(files) == 0 {
			t.Fatalf("no fixture %s", pattern)
		}
		return files[0]
	}
	for _, test := range []struct {
		pattern string
		want    Role
	}{
		{"llama-4l-hostbound/host_*.async_llm.*", Frontend},
		{"llama-16l-tp2/graph_capture_*", GraphCapture},
		{"llama-16l-tp2/rank0*.trace.json.gz", GPURank},
	} {
		if r := Reduce(tracescript.OpenFile(t, one(test.pattern)), classifier(t), Options{ExcerptTo: -1}); r.Role != test.want {
			t.Errorf("%s is %s, want %s", test.pattern, r.Role, test.want)
		}
	}
	// A server that captures a graph on demand goes on serving.
	s := &script{}
	s.Call("cudaStreamEndCapture", 0, 5)
	s.GPU(gemmName, 0, 7, 20, 5, s.Call("cudaGraphLaunch", 10, 5))
	if r := s.reduce(t); r.Role != GPURank {
		t.Errorf("a rank that captured a graph and replays it is %s", r.Role)
	}
	// One that only captures says what its graphs hold.
	s = &script{}
	s.Call("cudaStreamBeginCapture", 200*µs, 2*µs)
	s.Pass(210*µs, 7, "n g m")
	s.Call("cudaStreamEndCapture", 300*µs, 2*µs)
	if r := s.reduce(t); r.Role != GraphCapture || r.Captured == nil {
		t.Errorf("a file of captures is %s", r.Role)
	}
}
