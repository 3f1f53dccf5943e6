package synth_test

import (
	"cmp"
	"slices"
	"strings"
	"testing"
)

// TestNesting checks that the frames of a host thread nest and that the rows of
// a stream follow one another.
func TestNesting(t *testing.T) {
	for name, o := range variants() {
		text, _ := write(t, o)
		tracks := map[string][]*event{}
		for _, e := range parse(t, text).TraceEvents {
			if e.host() || e.gpu() {
				tracks[e.track()] = append(tracks[e.track()], e)
			}
		}
		for track, rows := range tracks {
			slices.SortFunc(rows, func(a, b *event) int {
				return cmp.Or(cmp.Compare(a.start(), b.start()), cmp.Compare(b.end(), a.end()))
			})
			var stack []*event
			for _, e := range rows {
				for len(stack) > 0 && stack[len(stack)-1].end() <= e.start() {
					stack = stack[:len(stack)-1]
				}
				if len(stack) > 0 && (e.gpu() || e.end() > stack[len(stack)-1].end()) {
					t.Fatalf("%s: on %s, %q overlaps %q", name, track, e.Name, stack[len(stack)-1].Name)
				}
				stack = append(stack, e)
			}
		}
	}
}

// contains reports whether the frame outer covers inner on the same thread.
func contains(outer, inner *event) bool {
	return outer != nil && outer.track() == inner.track() && outer.start() < inner.start() && inner.end() < outer.end()
}

func TestPythonParents(t *testing.T) {
	for name, o := range variants() {
		text, st := write(t, o)
		frames, roots := map[int64]*event{}, 0
		events := parse(t, text).TraceEvents
		for _, e := range events {
			if e.Cat == "python_function" {
				if frames[e.arg("Python id")] != nil {
					t.Fatalf("%s: Python id %d twice", name, e.arg("Python id"))
				}
				frames[e.arg("Python id")] = e
			}
		}
		for _, e := range frames {
			if e.Args["Python parent id"] == nil {
				roots++
			} else if !contains(frames[e.arg("Python parent id")], e) {
				t.Fatalf("%s: parent of %q does not cover it", name, e.Name)
			}
			if _, ok := e.Args["Python module id"]; ok != strings.HasPrefix(e.Name, "nn.Module: ") {
				t.Fatalf("%s: module id of %q", name, e.Name)
			}
		}
		if roots != 2*st.Steps {
			t.Errorf("%s: %d root frames in %d steps on two threads", name, roots, st.Steps)
		}
	}
}

// joined is a trace by its ids.
type joined struct {
	calls, ops map[int64]*event
	gpu        map[int64][]*event
	starts     map[int64]int
	ends       map[int64]int
}

func join(t *testing.T, events []*event) joined {
	j := joined{map[int64]*event{}, map[int64]*event{}, map[int64][]*event{}, map[int64]int{}, map[int64]int{}}
	for _, e := range events {
		id := e.arg("correlation")
		switch {
		case e.call():
			if j.calls[id] != nil {
				t.Fatalf("correlation %d belongs to two calls", id)
			}
			j.calls[id] = e
		case e.gpu():
			j.gpu[id] = append(j.gpu[id], e)
		case e.Cat == "cpu_op" || e.Cat == "user_annotation":
			j.ops[e.arg("External id")] = e
		case e.Ph == "s":
			j.starts[e.ID]++
		case e.Ph == "f":
			j.ends[e.ID]++
		}
	}
	return j
}

// launches reports whether a call starts GPU work.
func launches(name string) bool {
	return strings.Contains(name, "Launch") || name == "cudaMemcpyAsync" || name == "cudaMemsetAsync"
}

func TestJoins(t *testing.T) {
	for name, o := range variants() {
		text, st := write(t, o)
		j := join(t, parse(t, text).TraceEvents)
		for id, call := range j.calls {
			rows := j.gpu[id]
			switch {
			case call.Name == "cudaGraphLaunch":
				if want := st.GraphKernels / st.GraphLaunches; int64(len(rows)) != want || want < 30 {
					t.Errorf("%s: a graph owns %d kernels, want %d", name, len(rows), want)
				}
			case launches(call.Name) && len(rows) != 1, !launches(call.Name) && len(rows) != 0:
				t.Errorf("%s: %s owns %d GPU rows", name, call.Name, len(rows))
			}
			if ext := call.arg("External id"); ext != 0 && !contains(j.ops[ext], call) {
				t.Errorf("%s: no op with External id %d covers %s", name, ext, call.Name)
			}
			for _, r := range rows {
				if r.start() <= call.end() || r.arg("External id") != call.arg("External id") {
					t.Fatalf("%s: %q does not fit its launch", name, r.Name)
				}
				if r.Pid != float64(o.Rank) || r.Tid != float64(r.arg("stream")) || r.arg("device") != int64(o.Rank) {
					t.Fatalf("%s: %q is on %s", name, r.Name, r.track())
				}
			}
		}
		for id := range j.gpu {
			if j.calls[id] == nil {
				t.Errorf("%s: no call started correlation %d", name, id)
			}
		}
		for id := range j.starts {
			if j.ends[id] == 0 || j.starts[id] != 1 || j.ends[id] > len(j.gpu[id]) {
				t.Errorf("%s: flow %d has %d starts and %d ends", name, id, j.starts[id], j.ends[id])
			}
		}
		for id := range j.ends {
			if j.starts[id] == 0 {
				t.Errorf("%s: flow %d has no start", name, id)
			}
		}
	}
}

// TestDeviceAnnotations checks that the device side of an annotation covers the
// work that its host side launched, and one nanosecond more at each end.
func TestDeviceAnnotations(t *testing.T) {
	for name, o := range variants() {
		text, st := write(t, o)
		events := parse(t, text).TraceEvents
		j := join(t, events)
		seen := 0
		for _, e := range events {
			if e.Cat != "gpu_user_annotation" {
				continue
			}
			seen++
			host := j.ops[e.arg("External id")]
			if host == nil || host.Name != e.Name {
				t.Fatalf("%s: %q has no host side", name, e.Name)
			}
			first, last := int64(0), int64(0)
			for id, call := range j.calls {
				if !contains(host, call) {
					continue
				}
				for _, r := range j.gpu[id] {
					if first == 0 || r.start() < first {
						first = r.start()
					}
					last = max(last, r.end())
				}
			}
			if e.start() != first-1 || e.end() != last+1 {
				t.Fatalf("%s: %q spans %d..%d, its work %d..%d", name, e.Name, e.start(), e.end(), first, last)
			}
		}
		if want := st.ByCat["user_annotation"]; int64(seen) != want {
			t.Errorf("%s: %d of %d annotations have a device side", name, seen, want)
		}
	}
}

// TestOverlap checks that some communication is hidden behind compute and some
// is not, so that exposed time is worth computing.
func TestOverlap(t *testing.T) {
	text, _ := write(t, variants()["tp2"])
	var comm, rest []*event
	for _, e := range parse(t, text).TraceEvents {
		if e.Cat == "kernel" && e.arg("stream") == 21 {
			comm = append(comm, e)
		} else if e.Cat == "kernel" {
			rest = append(rest, e)
		}
	}
	hidden := 0
	for _, c := range comm {
		if slices.ContainsFunc(rest, func(e *event) bool { return e.start() < c.end() && c.start() < e.end() }) {
			hidden++
		}
	}
	if hidden == 0 || hidden == len(comm) {
		t.Errorf("%d of %d all-reduces overlap other kernels", hidden, len(comm))
	}
}
