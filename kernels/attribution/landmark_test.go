package attribution

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tokprof/kernels/attribution/tracescript"
	"tokprof/trace"
)

// unannotated writes a fixture without its step annotations.
func unannotated(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
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
