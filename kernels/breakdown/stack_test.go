package breakdown

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tokprof/trace"
	"tokprof/trace/synth"
)

var update = flag.Bool("update", false, "rewrite golden files")

// pathOf spells the frames from the root down to a node.
func pathOf(frames []Frame, n int32) string {
	var out []string
	for ; n > 0; n = frames[n].Parent {
		f := frames[n]
		s := f.Name
		switch {
		case f.File != "":
			s = fmt.Sprintf("%s@%s:%d", f.Name, f.File, f.Line)
		case f.Kind == FrameModule:
			s = "<" + f.Name + ">"
		case f.Kind == FramePhase, f.Kind == FrameRange, f.Kind == FrameCategory:
			s = "[" + f.Name + "]"
		}
		out = append(out, s)
	}
	slices.Reverse(out)
	return strings.Join(out, ";")
}

const llamaFrame = "/usr/lib/python3/dist-packages/vllm/model_executor/models/llama.py(112): forward"

var stackCases = []struct {
	name  string
	build func(s *script)
	want  string
}{
	{"frames, modules, ranges and ops nest by time", func(s *script) {
		s.row("python_function", llamaFrame, 10, 1, 0, 100, "")
		s.step(decodeStep, 5, 90)
		s.row("python_function", "nn.Module: LlamaMLP_13", 10, 1, 10, 80, "")
		s.row("cpu_op", "aten::linear", 10, 1, 20, 60, "")
		s.row("cpu_op", "aten::mm", 10, 1, 30, 40, "")
		s.launch(gemmName, 40, 200, 1)
	}, "forward@vllm/model_executor/models/llama.py:112;[decode];<LlamaMLP>;aten::linear;aten::mm"},
	{"what is over, to come or on another thread is not around", func(s *script) {
		s.row("cpu_op", "aten::outer", 10, 1, 0, 100, "")
		s.row("cpu_op", "aten::over", 10, 1, 10, 30, "")
		s.row("cpu_op", "aten::to_come", 10, 1, 41, 30, "")
		s.row("cpu_op", "aten::other_thread", 10, 2, 20, 40, "")
		s.row("cpu_op", "aten::other_process", 11, 1, 20, 40, "")
		s.launch(gemmName, 40, 200, 1)
	}, "aten::outer"},
	{"of events that begin together the longer one is around, wherever it stands", func(s *script) {
		s.row("cpu_op", "aten::b", 10, 1, 10, 20, "")
		s.row("cpu_op", "aten::a", 10, 1, 10, 50, "")
		s.row("cpu_op", "aten::c", 10, 1, 10, 10, "")
		s.row("python_function", "f.py(1): f", 10, 1, 10, 50, "")
		s.launch(gemmName, 15, 200, 1)
	}, "f@f.py:1;aten::a;aten::b;aten::c"},
	{"an inner event written before its outer one ends on time", func(s *script) {
		s.row("cpu_op", "aten::short", 10, 1, 10, 5, "")
		s.row("cpu_op", "aten::long", 10, 1, 10, 50, "")
		s.launch(gemmName, 40, 200, 1)
	}, "aten::long"},
	{"an event may begin with its launch, but not end with it", func(s *script) {
		s.row("cpu_op", "aten::begins", 10, 1, 40, 20, "")
		s.row("cpu_op", "aten::ends", 10, 1, 30, 10, "")
		s.launch(gemmName, 40, 200, 1)
	}, "aten::begins"},
	{"instance numbers, addresses and hashes go", func(s *script) {
		s.row("user_annotation", "## Call CompiledFxGraph fmupoierfzkrjzxtvgy2mkwqhkenqiegdvgezgifripf5hbzaxcl ##", 10, 1, 0, 100, "")
		s.row("python_function", "<built-in method copy_ of Tensor object at 0x7f88543da530>", 10, 1, 10, 80, "")
		s.launch(gemmName, 40, 200, 1)
	}, "[## Call CompiledFxGraph … ##];<built-in method copy_ of Tensor object>"},
	{"where a compiler keeps its code differs from run to run", func(s *script) {
		s.row("python_function", "/root/.cache/torch_aot_compile/1ce6547effb044d7cebfb4365a33f385b1bd26a4bd5ab9b2/cx/ccx6547effb044d7cebfb4365a33f385b1.py(77): call", 10, 1, 0, 100, "")
		s.row("cpu_op", "## Call CompiledFxGraph fmupoierfzkrjzxtvgy2mkwqhkenqiegdvgezgifripf5hbzaxcl ##", 10, 1, 10, 80, "")
		s.launch(gemmName, 40, 200, 1)
	}, "call@….py:77;## Call CompiledFxGraph … ##"},
	{"one name of two kinds", func(s *script) {
		s.row("python_function", "aten::mm", 10, 1, 0, 100, "")
		s.row("cpu_op", "aten::mm", 10, 1, 10, 80, "")
		s.launch(gemmName, 40, 200, 1)
	}, "aten::mm;aten::mm"},
	{"below a graph launch the category stands in", func(s *script) {
		s.row("python_function", "graphs.py(139): replay", 10, 1, 0, 100, "")
		s.gpu(gemmName, 0, 7, 200, 1, s.call("cudaGraphLaunch", 40, 5))
	}, "replay@graphs.py:139;[outside layers];[gemm.dense]"},
	{"without host frames phase and category stand in", func(s *script) {
		s.gpu(gemmName, 0, 7, 200, 1, s.call("cudaLaunchKernel", 40, 5))
	}, "[none];[outside layers];[gemm.dense]"},
	{"without a launch, too", func(s *script) { s.gpu(gemmName, 0, 7, 200, 1, 0) }, "[none];[outside layers];[gemm.dense]"},
}

func TestStacks(t *testing.T) {
	for _, test := range stackCases {
		t.Run(test.name, func(t *testing.T) {
			s := &script{}
			test.build(s)
			r := s.reduce(t)
			if got := pathOf(r.Frames, r.Cells[0].Node); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

// enclosing is the path around a moment of a thread, found by looking at every
// host event of it.
func enclosing(t *trace.Trace, on []trace.EventID, at trace.Time) string {
	var around []trace.Event
	for _, id := range on {
		if e := t.Event(id); e.Start <= at && e.End() > at {
			around = append(around, e)
		}
	}
	rank := map[trace.Kind]int{trace.Range: 0, trace.Frame: 1, trace.Op: 2}
	slices.SortStableFunc(around, func(a, b trace.Event) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(b.Dur, a.Dur), cmp.Compare(rank[a.Kind], rank[b.Kind]))
	})
	frames := []Frame{{Kind: FrameRoot}}
	for _, e := range around {
		f := makeFrame(t.Name(e.Name), e.Kind)
		f.Parent = int32(len(frames) - 1)
		frames = append(frames, f)
	}
	return pathOf(frames, int32(len(frames)-1))
}

// checkStacks compares the path of every nth call with the slow search.
func checkStacks(t *testing.T, ev *Events, nth int) {
	t.Helper()
	s := newStacks()
	hostStacks(ev, s)
	on := ev.Trace.ByTrack(func(k trace.Kind) bool { return k == trace.Range || k == trace.Frame || k == trace.Op })
	for c := 0; c < len(ev.calls); c += nth {
		l := ev.calls[c].launch
		want := enclosing(ev.Trace, on[ev.Trace.TrackOf(l)], ev.Trace.Start(l))
		got := ""
		if n := ev.calls[c].node; n >= 0 {
			got = pathOf(s.frames, n)
		}
		if got != want {
			t.Fatalf("call %d (%s at %d):\ngot  %s\nwant %s", c, ev.Trace.Name(ev.Trace.NameOf(l)), ev.Trace.Start(l), got, want)
		}
	}
}

func TestStacksEqualSlowSearch(t *testing.T) {
	eachFixture(t, func(t *testing.T, ev *Events, _ []truth) { checkStacks(t, ev, 7) })
	for name, o := range map[string]synth.Options{"eager": {}, "graphs": {Graphs: true, WorldSize: 2}} {
		t.Run("synth "+name, func(t *testing.T) {
			tr, _ := synthTrace(t, o)
			checkStacks(t, NewEvents(tr, classifier(t), Evidence{}), 11)
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
	return open1(t, path), st
}

// TestTreeGolden pins the tree of the runs with frames, of one with ops and of
// one with graph replays, down to a hundredth of the time.
func TestTreeGolden(t *testing.T) {
	for _, run := range []string{"qwen3-12l-eager", "qwen3-moe-12l-eager", "llama-4l-hostbound", "llama-8b-tp1", "llama-16l-tp2"} {
		t.Run(run, func(t *testing.T) {
			i := slices.IndexFunc(fixtureFiles(t), func(f string) bool { return filepath.Base(filepath.Dir(f)) == run })
			r := Reduce(open1(t, fixtureFiles(t)[i]), classifier(t), Options{ExcerptTo: -1})
			golden(t, run+".tree", tree(r))
		})
	}
}

// tree draws the frames that hold at least a hundredth of the time, with the
// time and launches below each; frames of one child share its line.
func tree(r *Rank) []byte {
	times, launches := make([]trace.Time, len(r.Frames)), make([]int64, len(r.Frames))
	children := make([][]int32, len(r.Frames))
	for _, c := range r.Cells {
		for n := c.Node; n >= 0; n = r.Frames[n].Parent {
			times[n] += c.Time
			launches[n] += c.Launches
		}
	}
	for n := 1; n < len(r.Frames); n++ {
		children[r.Frames[n].Parent] = append(children[r.Frames[n].Parent], int32(n))
	}
	var b bytes.Buffer
	var draw func(n int32, depth int)
	draw = func(n int32, depth int) {
		label := func(n int32) string {
			f := r.Frames[n]
			f.Parent = 0
			return pathOf([]Frame{{}, f}, 1)
		}
		line := label(n)
		for len(children[n]) == 1 && times[children[n][0]] == times[n] {
			n = children[n][0]
			line += "; " + label(n)
		}
		fmt.Fprintf(&b, "%s%d ns %d × %s\n", strings.Repeat("  ", depth), times[n], launches[n], line)
		slices.SortFunc(children[n], func(a, b int32) int {
			return cmp.Or(cmp.Compare(times[b], times[a]), cmp.Compare(label(a), label(b)))
		})
		for _, c := range children[n] {
			if times[c]*100 >= times[0] {
				draw(c, depth+1)
			}
		}
	}
	draw(0, 0)
	return b.Bytes()
}

// golden compares got with testdata/name, or writes it with -update.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s differs (go test ./kernels/breakdown -update rewrites it); got:\n%s", path, got)
	}
}
