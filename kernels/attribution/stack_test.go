package attribution

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tokprof/kernels/attribution/tracescript"
	"tokprof/trace"
	"tokprof/trace/synth"
)

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
		s.Row("python_function", llamaFrame, 10, 1, 0, 100, "")
		s.Step(decodeStep, 5, 90)
		s.Row("python_function", "nn.Module: LlamaMLP_13", 10, 1, 10, 80, "")
		s.Row("cpu_op", "aten::linear", 10, 1, 20, 60, "")
		s.Row("cpu_op", "aten::mm", 10, 1, 30, 40, "")
		s.Launch(gemmName, 40, 200, 1)
	}, "forward@vllm/model_executor/models/llama.py:112;[decode];<LlamaMLP>;aten::linear;aten::mm"},
	{"what is over, to come or on another thread is not around", func(s *script) {
		s.Row("cpu_op", "aten::outer", 10, 1, 0, 100, "")
		s.Row("cpu_op", "aten::over", 10, 1, 10, 30, "")
		s.Row("cpu_op", "aten::to_come", 10, 1, 41, 30, "")
		s.Row("cpu_op", "aten::other_thread", 10, 2, 20, 40, "")
		s.Row("cpu_op", "aten::other_process", 11, 1, 20, 40, "")
		s.Launch(gemmName, 40, 200, 1)
	}, "aten::outer"},
	{"of events that begin together the longer one is around, wherever it stands", func(s *script) {
		s.Row("cpu_op", "aten::b", 10, 1, 10, 20, "")
		s.Row("cpu_op", "aten::a", 10, 1, 10, 50, "")
		s.Row("cpu_op", "aten::c", 10, 1, 10, 10, "")
		s.Row("python_function", "f.py(1): f", 10, 1, 10, 50, "")
		s.Launch(gemmName, 15, 200, 1)
	}, "f@f.py:1;aten::a;aten::b;aten::c"},
	{"an inner event written before its outer one ends on time", func(s *script) {
		s.Row("cpu_op", "aten::short", 10, 1, 10, 5, "")
		s.Row("cpu_op", "aten::long", 10, 1, 10, 50, "")
		s.Launch(gemmName, 40, 200, 1)
	}, "aten::long"},
	{"an event may begin with its launch, but not end with it", func(s *script) {
		s.Row("cpu_op", "aten::begins", 10, 1, 40, 20, "")
		s.Row("cpu_op", "aten::ends", 10, 1, 30, 10, "")
		s.Launch(gemmName, 40, 200, 1)
	}, "aten::begins"},
	{"instance numbers, addresses and hashes go", func(s *script) {
		s.Row("user_annotation", "## Call CompiledFxGraph fmupoierfzkrjzxtvgy2mkwqhkenqiegdvgezgifripf5hbzaxcl ##", 10, 1, 0, 100, "")
		s.Row("python_function", "<built-in method copy_ of Tensor object at 0x7f88543da530>", 10, 1, 10, 80, "")
		s.Launch(gemmName, 40, 200, 1)
	}, "[## Call CompiledFxGraph … ##];<built-in method copy_ of Tensor object>"},
	{"where a compiler keeps its code differs from run to run", func(s *script) {
		s.Row("python_function", "/root/.cache/torch_aot_compile/1ce6547effb044d7cebfb4365a33f385b1bd26a4bd5ab9b2/cx/ccx6547effb044d7cebfb4365a33f385b1.py(77): call", 10, 1, 0, 100, "")
		s.Row("cpu_op", "## Call CompiledFxGraph fmupoierfzkrjzxtvgy2mkwqhkenqiegdvgezgifripf5hbzaxcl ##", 10, 1, 10, 80, "")
		s.Launch(gemmName, 40, 200, 1)
	}, "call@….py:77;## Call CompiledFxGraph … ##"},
	{"one name of two kinds", func(s *script) {
		s.Row("python_function", "aten::mm", 10, 1, 0, 100, "")
		s.Row("cpu_op", "aten::mm", 10, 1, 10, 80, "")
		s.Launch(gemmName, 40, 200, 1)
	}, "aten::mm;aten::mm"},
}

func TestStacks(t *testing.T) {
	for _, test := range stackCases {
		t.Run(test.name, func(t *testing.T) {
			s := &script{}
			test.build(s)
			ev := s.events(t)
			if got := pathOf(ev.Stacks.Frames(), ev.Calls[0].Node); got != test.want {
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
	for c := 0; c < len(ev.Calls); c += nth {
		l := ev.Calls[c].Launch
		want := enclosing(ev.Trace, on[ev.Trace.TrackOf(l)], ev.Trace.Start(l))
		got := ""
		if n := ev.Calls[c].Node; n >= 0 {
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
	return tracescript.OpenFile(t, path), st
}
