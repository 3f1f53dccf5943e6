package breakdown

import (
	"bytes"
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tokprof/fixtures/golden"
	"tokprof/kernels/attribution"
	"tokprof/kernels/attribution/tracescript"
	"tokprof/trace"
)

// pathOf spells the frames from the root down to a node.
func pathOf(frames []attribution.Frame, n int32) string {
	var out []string
	for ; n > 0; n = frames[n].Parent {
		f := frames[n]
		s := f.Name
		switch {
		case f.File != "":
			s = fmt.Sprintf("%s@%s:%d", f.Name, f.File, f.Line)
		case f.Kind == attribution.FrameModule:
			s = "<" + f.Name + ">"
		case f.Kind == attribution.FramePhase, f.Kind == attribution.FrameRange, f.Kind == attribution.FrameCategory:
			s = "[" + f.Name + "]"
		}
		out = append(out, s)
	}
	slices.Reverse(out)
	return strings.Join(out, ";")
}

var leafCases = []struct {
	name  string
	build func(s *script)
	want  string
}{
	{"host frames say what a kernel is for", func(s *script) {
		s.Row("cpu_op", "aten::mm", 10, 1, 10, 80, "")
		s.Launch(gemmName, 40, 200, 1)
	}, "aten::mm"},
	{"below a graph launch the category stands in", func(s *script) {
		s.Row("python_function", "graphs.py(139): replay", 10, 1, 0, 100, "")
		s.GPU(gemmName, 0, 7, 200, 1, s.Call("cudaGraphLaunch", 40, 5))
	}, "replay@graphs.py:139;[outside layers];[gemm.dense]"},
	{"without host frames phase and category stand in", func(s *script) {
		s.GPU(gemmName, 0, 7, 200, 1, s.Call("cudaLaunchKernel", 40, 5))
	}, "[none];[outside layers];[gemm.dense]"},
	{"without a launch, too", func(s *script) { s.GPU(gemmName, 0, 7, 200, 1, 0) }, "[none];[outside layers];[gemm.dense]"},
}

func TestLeaves(t *testing.T) {
	for _, test := range leafCases {
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

// TestTreeGolden pins the tree of the runs with frames, of one with ops and of
// one with graph replays, down to a hundredth of the time.
func TestTreeGolden(t *testing.T) {
	for _, run := range []string{"qwen3-12l-eager", "qwen3-moe-12l-eager", "llama-4l-hostbound", "llama-8b-tp1", "llama-16l-tp2"} {
		t.Run(run, func(t *testing.T) {
			i := slices.IndexFunc(tracescript.FixtureFiles(t), func(f string) bool { return filepath.Base(filepath.Dir(f)) == run })
			r := Reduce(tracescript.OpenFile(t, tracescript.FixtureFiles(t)[i]), classifier(t), Options{ExcerptTo: -1})
			golden.Check(t, run+".tree", tree(r))
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
			return pathOf([]attribution.Frame{{}, f}, 1)
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
