package attribution

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tokprof/fixtures/packed"

	"tokprof/kernels/attribution/tracescript"
	"tokprof/trace"
)

// unannotated writes a fixture without its step annotations.
func unannotated(t *testing.T, path string) string {
	t.Helper()
	text := packed.Read(t, path)
	out := filepath.Join(t.TempDir(), strings.TrimSuffix(filepath.Base(path), ".gz"))
	if err := os.WriteFile(out, bytes.ReplaceAll(text, []byte(`"execute_`), []byte(`"not_a_step_`)), 0o644); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestLandmarksEqualAnnotations: without its annotations a fixture has as many
// steps as with them, and nearly all GPU time in the corresponding one.
func TestLandmarksEqualAnnotations(t *testing.T) {
	eachFixture(t, func(t *testing.T, ev *Events, _ []truth) {
		var path string
		for _, p := range tracescript.FixtureFiles(t) {
			if strings.HasSuffix(t.Name(), tracescript.FixtureName(p)) {
				path = p
			}
		}
		bare := NewEvents(tracescript.OpenFile(t, unannotated(t, path)), classifier(t), Evidence{})
		busy := 0
		for _, s := range ev.Steps {
			if s.Launches > 0 {
				busy++
			}
		}
		if !bare.Landmarks || len(bare.Steps) != busy {
			t.Fatalf("%d steps by landmarks, %d by annotations", len(bare.Steps), busy)
		}
		first := map[int]int{}
		var right, all trace.Time
		for i, id := range ev.Trace.GPU() {
			s := ev.StepOf(i)
			if s < 0 {
				continue
			}
			d := ev.Trace.Dur(id)
			all += d
			if _, ok := first[s]; !ok {
				first[s] = len(first)
			}
			if bare.StepOf(i) == first[s] {
				right += d
			}
		}
		if float64(right) < 0.999*float64(all) {
			t.Errorf("%d of %d ns in the step of its annotation", right, all)
		}
	})
}

// TestPhasesByQueries: in plain PyTorch no kernel serves one phase alone. The
// attention's shapes tell them apart; a prompt alone could be an encoder's pass.
func TestPhasesByQueries(t *testing.T) {
	files, err := filepath.Glob("../../fixtures/traces/torch-models/*.pt.trace.json.gz")
	if err != nil || len(files) < 8 {
		t.Fatal(files, err)
	}
	for _, path := range files {
		tr := tracescript.OpenFile(t, unannotated(t, path))
		for _, c := range []struct {
			blind bool
			want  string
		}{{false, "prefill decode "}, {true, "none none "}} {
			got := ""
			for _, s := range NewEvents(tr, classifier(t), Evidence{Blind: c.blind}).Steps {
				got += s.Label.Phase.String() + " "
			}
			if got != c.want {
				t.Errorf("%s, blind %v: phases %s, want %s", path, c.blind, got, c.want)
			}
		}
	}
	path := unannotated(t, files[0])
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	oneEach := []byte(`[[4, 16, 1, 64],`)
	if !bytes.Contains(text, oneEach) {
		t.Fatalf("%s has no attention of one position", files[0])
	}
	if err := os.WriteFile(path, bytes.ReplaceAll(text, oneEach, []byte(`[[4, 16, 2, 64],`)), 0o644); err != nil {
		t.Fatal(err)
	}
	steps := NewEvents(tracescript.OpenFile(t, path), classifier(t), Evidence{}).Steps
	if len(steps) != 2 || steps[0].Label.Phase != trace.NoPhase || steps[1].Label.Phase != trace.NoPhase {
		t.Errorf("without decode: %+v", steps)
	}
}

// cutByLandmarks spells unannotated passes, a bar between steps.
func cutByLandmarks(t *testing.T, passes ...string) string {
	t.Helper()
	s := &script{}
	at := 0
	for _, p := range passes {
		at = s.Pass(at, 7, p) + 500*µs
	}
	ev := s.events(t)
	var b strings.Builder
	last := -1
	for i, id := range ev.Trace.GPU() {
		if s := ev.StepOf(i); s != last && s > 0 {
			b.WriteString("| ")
			last = s
		} else if s < 0 {
			b.WriteString("-")
		}
		b.WriteString(tracescript.LetterOf(ev.Trace.Name(ev.Trace.NameOf(id))) + " ")
	}
	return strings.TrimSpace(b.String())
}

func TestLandmarks(t *testing.T) {
	const layers = "n g k a g n g f g n g k a g n g f g"
	for _, test := range []struct {
		name   string
		passes []string
		want   string
	}{
		{"a whole model", []string{"e " + layers + " n g z", "e " + layers + " n g z"}, "e " + layers + " n g z | e " + layers + " n g z"},
		{"a first stage has no sampler", []string{"e " + layers + " R", "e " + layers + " R"}, "e " + layers + " R | e " + layers + " R"},
		{"norms with the embedding in their names", []string{"E g k a g Y g f g n g k a g n g f g R", "E g k a g Y g f g n g k a g n g f g R"},
			"E g k a g Y g f g n g k a g n g f g R | E g k a g Y g f g n g k a g n g f g R"},
		{"a last stage has no embedding", []string{layers + " n g z", layers + " n g z"}, layers + " n g z | " + layers + " n g z"},
		{"a middle stage has neither", []string{"R " + layers + " R", "R " + layers + " R"}, "R " + layers + " R R " + layers + " R"},
		{"without attention there is no pass", []string{"g f g g f g z", "g f g z"}, "-g -f -g -g -f -g -z -g -f -g -z"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := cutByLandmarks(t, test.passes...); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

// TestLandmarksOfWholeGraphs: a graph recorded as a whole stands for the
// attention it hides, so that decode steps of a recording without annotations
// and without kernels in its graphs are still steps of their own. A piece of a
// graph beside attention says nothing of the phase, and graphs without the marks
// of steps make no model's passes.
func TestLandmarksOfWholeGraphs(t *testing.T) {
	const layers = "n g k a g n g f g n g k a g n g f g"
	for _, test := range []struct {
		name, passes string // a pass: letters, W a whole graph, c a copy to the device
		want         string
	}{
		{"decode steps behind a prefill", "e " + layers + " n g z|c W g z|c W g z", "22 none whole 0, 3 decode whole 1, 3 decode whole 1, "},
		{"nothing but decode", "c W g z|c W g z|c W g z", "3 decode whole 1, 3 decode whole 1, 3 decode whole 1, "},
		{"steps that begin with a graph", "W g z|W g z|W", "2 decode whole 1, 2 decode whole 1, "},
		{"pieces around attention", "c W k a W g z|c W k a W g z", "5 none whole 2, 5 none whole 2, "},
		{"no sampler, no embedding", "c W g|c W g", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := wholeByLandmarks(t, strings.Split(test.passes, "|")); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

// TestHeadsBehindGraphs: one product between a step's only whole graph and its
// sampling gives the logits; nothing else behind graphs is known.
func TestHeadsBehindGraphs(t *testing.T) {
	for _, test := range []struct{ passes, want string }{
		{"c W g z|c W n g z|W . g z", "lm_head lm_head lm_head"},
		{"c W g g z|c W g z|c W g z", "? ? lm_head lm_head"},
		{"c W k a W g z|c W W g z|c W g z", "? ? lm_head"},
		{"c W g f g z|c W g X z|c g W g z", "? ? ? ? ? lm_head"},
		{"c W g z|c W g z|c W g", "lm_head lm_head ?"},
	} {
		if got := rolesOn(wholeGraphs(t, strings.Split(test.passes, "|")), 7); got != test.want {
			t.Errorf("%s: %s, want %s", test.passes, got, test.want)
		}
	}
}

// wholeByLandmarks says of each step how many events it has, its phase and its
// whole graphs.
func wholeByLandmarks(t *testing.T, passes []string) string {
	t.Helper()
	ev := wholeGraphs(t, passes)
	runs := map[int]int{}
	for i := range ev.Trace.GraphRuns {
		runs[ev.StepOfRun(i)]++
	}
	out := ""
	for i := range ev.Steps {
		out += fmt.Sprintf("%d %s whole %d, ", ev.Steps[i].Launches, ev.Steps[i].Label.Phase, runs[i])
	}
	return out
}

// wholeGraphs plays passes with graphs recorded as a whole.
func wholeGraphs(t *testing.T, passes []string) *Events {
	t.Helper()
	s := &script{}
	at := 0
	var launched []int
	for _, p := range passes {
		for _, l := range strings.Fields(p) {
			switch l {
			case "W":
				s.Call("cudaGraphLaunch", at, 2*µs)
				launched = append(launched, at)
				at += 10 * µs
			case "c":
				s.Launch(tracescript.Copy, at, at+100*µs, 8*µs)
				at += 10 * µs
			default:
				at = s.Pass(at, 7, l)
			}
		}
		at += 500 * µs
	}
	tr := s.Open(t)
	tr.Each(func(id trace.EventID, k trace.Kind) {
		if k == trace.Launch && tr.Name(tr.NameOf(id)) == "cudaGraphLaunch" {
			tr.GraphRuns = append(tr.GraphRuns, trace.GraphRun{Graph: 1, Stream: 7, Start: tr.Start(id) + 100*µs, Dur: 8 * µs, Launch: id})
		}
	})
	if len(tr.GraphRuns) != len(launched) {
		t.Fatalf("%d runs of %d launches", len(tr.GraphRuns), len(launched))
	}
	return NewEvents(tr, classifier(t), Evidence{})
}
