package report

import (
	"bytes"
	"fmt"
	"io"
	"math/rand"
	"slices"
	"strings"
	"testing"

	"tokprof/report/document"
)

// addRandomWhole adds graphs recorded as a whole, to the stacks and to lanes.
func addRandomWhole(rng *rand.Rand, a *document.Analysis) {
	phases := []string{"prefill", "decode", "none", "mixed"}
	for range rng.Intn(9) {
		d := rng.Int63n(1e9)
		a.Stacks.Whole = append(a.Stacks.Whole, document.WholeSample{
			Graph: rng.Uint64(), Rank: rng.Intn(3), Device: rng.Intn(2), Stream: int64(rng.Intn(3)), Phase: phases[rng.Intn(4)],
			TimeNS: d, ExposedNS: rng.Int63n(d + 1), Runs: 1 + rng.Int63n(9)})
	}
	for i := range a.Timelines {
		for n := range a.Timelines[i].Lanes {
			l := &a.Timelines[i].Lanes[n]
			for s := range l.Spans {
				if e := &l.Spans[s]; l.GPU && rng.Intn(9) == 0 {
					e.Kernel, e.Layer, e.Whole = -1, -1, &document.WholeGraph{Graph: rng.Uint64(), Exec: rng.Uint64()}
				}
			}
		}
	}
}

// graphMode is the fixture with the decode steps' kernels of rank 0 recorded as
// whole graphs beside what is there: two on stream 7, of which one runs over a
// kernel of the same lane.
func graphMode() *document.Analysis {
	a := fixture()
	a.Stacks.Whole = []document.WholeSample{
		{Graph: 367, Rank: 0, Stream: 7, Phase: "decode", TimeNS: 1_500_000, ExposedNS: 1_400_000, Runs: 24},
		{Graph: 367, Rank: 1, Stream: 7, Phase: "decode", TimeNS: 500_000, ExposedNS: 500_000, Runs: 8},
		{Graph: 12, Rank: 0, Stream: 9, Phase: "none", TimeNS: 300, ExposedNS: 300, Runs: 1},
	}
	for i := range a.Timelines[0].Lanes {
		if l := &a.Timelines[0].Lanes[i]; l.GPU {
			l.Spans = append([]document.SpanEvent{
				{StartNS: l.Spans[0].StartNS, DurNS: 50_000, Kernel: -1, Correlation: 900, Layer: -1, Part: "graphs", Whole: &document.WholeGraph{Graph: 367, Exec: 368}},
			}, l.Spans...)
		} else {
			l.Spans = append(l.Spans, document.SpanEvent{StartNS: -3000, DurNS: 2000, Kernel: -1, Name: "cudaGraphLaunch", Correlation: 900, Layer: -1})
		}
	}
	return a
}

// beyondFixture is what the drawing of graphMode has and that of the fixture
// has not.
func beyondFixture(t *testing.T, draw func(*document.Analysis) string) string {
	t.Helper()
	plain := strings.Split(draw(fixture()), "\n")
	return strings.Join(slices.DeleteFunc(strings.Split(draw(graphMode()), "\n"), func(l string) bool { return slices.Contains(plain, l) }), "\n")
}

// TestWholeGraphsFolded: their time stands below their phase in frames of their
// own, a rank's apart from another's graph of equal number, and every kernel's line is as it was.
func TestWholeGraphsFolded(t *testing.T) {
	got := beyondFixture(t, func(a *document.Analysis) string {
		var b bytes.Buffer
		if err := WriteFolded(&b, setOf(a)); err != nil {
			t.Fatal(err)
		}
		return b.String()
	})
	const want = "decode;whole graphs (not recorded as kernels);graphs.whole.graph 367 of rank 0 (kernels not recorded) 1500000\n" +
		"decode;whole graphs (not recorded as kernels);graphs.whole.graph 367 of rank 1 (kernels not recorded) 500000\n" +
		"none;whole graphs (not recorded as kernels);graphs.whole.graph 12 of rank 0 (kernels not recorded) 300"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestWholeGraphsInProfile: a sample a graph and rank, with the labels that tell
// it from kernels, and the two sums in the header.
func TestWholeGraphsInProfile(t *testing.T) {
	got := beyondFixture(t, func(a *document.Analysis) string {
		var s strings.Builder
		p := mustProfile(t, a)
		s.WriteString(strings.Join(p.Comments, "\n") + "\n")
		for _, smp := range p.Sample {
			names := []string{}
			for _, l := range smp.Location {
				names = append(names, l.Line[0].Function.Name)
			}
			s.WriteString(strings.Join(names, " < ") + fmt.Sprint(" ", smp.Value, " ", smp.Label) + "\n")
		}
		return s.String()
	})
	const want = `gpu_time: 128 ms in kernels and copies + 2.00 ms in 33 whole CUDA graphs (kernels not recorded; -tagignore=group=graphs leaves them out)
graphs.whole.graph 367 of rank 0 (kernels not recorded) < whole graphs (not recorded as kernels) < decode [1500000 1400000 24] map[category:[graphs.whole] device:[gpu0] graph:[true] group:[graphs] part:[graphs] phase:[decode] rank:[r0] stream:[s7]]
graphs.whole.graph 367 of rank 1 (kernels not recorded) < whole graphs (not recorded as kernels) < decode [500000 500000 8] map[category:[graphs.whole] device:[gpu0] graph:[true] group:[graphs] part:[graphs] phase:[decode] rank:[r1] stream:[s7]]
graphs.whole.graph 12 of rank 0 (kernels not recorded) < whole graphs (not recorded as kernels) < none [300 300 1] map[category:[graphs.whole] device:[gpu0] graph:[true] group:[graphs] part:[graphs] phase:[none] rank:[r0] stream:[s9]]`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestWholeGraphsInPerfetto: a slice on the stream's track, beside the kernels
// that it overlaps, with the arrow from its launch.
func TestWholeGraphsInPerfetto(t *testing.T) {
	tr, _ := readPerfetto(t, setOf(graphMode()), perfettoBytes)
	checkTrace(t, tr)
	tracks := map[int]string{}
	for _, e := range tr.Events {
		if e.Ph == "M" && e.Name == "thread_name" {
			tracks[e.Tid] = e.Args["name"].(string)
		}
	}
	seen, arrows := 0, 0
	for _, e := range tr.Events {
		if e.Cat != "whole graph" {
			continue
		}
		seen++
		if e.Name != "graph 367 (kernels not recorded)" || !strings.HasPrefix(tracks[e.Tid], "GPU 0 stream 7") || e.Dur != "50.000" || e.Args["graph_id"] != 367.0 || e.Args["graph_exec_id"] != 368.0 || e.Args["correlation"] != 900.0 || e.Cname != "thread_state_uninterruptible" {
			t.Errorf("on %s: %+v", tracks[e.Tid], e)
		}
		for _, f := range tr.Events {
			if f.Ph == "f" && f.Tid == e.Tid && f.TS == e.TS {
				arrows++
			}
		}
	}
	if seen != 1 || arrows != 1 {
		t.Errorf("%d graphs, %d arrows", seen, arrows)
	}
}

// TestWholeGraphsHeadKernels: shares of kernels are of the time outside whole
// graphs, and the lists say so.
func TestWholeGraphsHeadKernels(t *testing.T) {
	for name, write := range map[string]func(io.Writer, *document.Set) error{"text": writers["text"], "markdown": WriteMarkdown} {
		for head, a := range map[string]*document.Analysis{"top kernels": fixture(), "kernels outside whole graphs": graphMode()} {
			var b bytes.Buffer
			if err := write(&b, setOf(a)); err != nil {
				t.Fatal(err)
			}
			if whole := strings.Contains(b.String(), "outside whole graphs"); !strings.Contains(b.String(), head) || whole != (a.Stacks.Whole != nil) {
				t.Errorf("%s: no %q over the kernels in\n%s", name, head, b.String())
			}
		}
	}
}
