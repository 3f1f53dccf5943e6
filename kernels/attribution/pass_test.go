package attribution

import (
	"strings"
	"testing"

	"tokprof/kernels/attribution/tracescript"
	"tokprof/trace"
)

// rolesOn lists the roles of one stream's products, in order.
func rolesOn(ev *Events, stream int64) string {
	var out []string
	for i, id := range ev.Trace.GPU() {
		l := tracescript.LetterOf(ev.Trace.Name(ev.Trace.NameOf(id)))
		if ev.Trace.Track(ev.Trace.TrackOf(id)).Stream != stream || l != "g" && l != "X" {
			continue
		}
		r := ev.Known(i).Role.String()
		if r == "" {
			r = "?"
		}
		out = append(out, r)
	}
	return strings.Join(out, " ")
}

// TestKernelNames: the letters mean what their names are classified as.
func TestKernelNames(t *testing.T) {
	c := classifier(t)
	for l, want := range map[string]string{
		"e": "other.embedding", "E": "other.norm", "Y": "other.norm", "n": "other.norm", "g": "gemm.dense", "k": "attention.kv_write", "f": "ffn.activation",
		"X": "ffn.moe_gemm", "o": "ffn.moe_router", "r": "comm.all_reduce", "z": "other.sampling", "R": "comm.send_recv",
		"G": "comm.all_gather", "C": "attention.linear", "l": "attention.linear", ".": "other.elementwise",
	} {
		if got := c.Classify(tracescript.Letters[l]).Category.String(); got != want {
			t.Errorf("%s is %s, want %s", l, got, want)
		}
	}
}

// TestOutsideSteps: what ran before the first annotation has roles too, where
// it shows whole layers, but no number of a layer: the recording may have begun
// anywhere in the pass.
func TestOutsideSteps(t *testing.T) {
	s := &script{}
	at := s.Pass(10*µs, 7, "f g n g k a "+strings.Repeat("g n g f g n g k a ", 3)+"g n g f g n g z")
	s.Step(decodeStep, at, 5000*µs)
	s.Pass(at+10*µs, 7, "e n g k a "+strings.Repeat("g n g f g n g k a ", 3)+"g n g f g n g z")
	ev := s.events(t)
	layer := strings.Repeat("qkv_proj o_proj gate_up down ", 4) + "lm_head"
	if got, want := rolesOn(ev, 7), "? "+layer+" "+layer; got != want {
		t.Errorf("roles %s, want %s", got, want)
	}
	for i, id := range ev.Trace.GPU() {
		if l := ev.Known(i).Layer; ev.Trace.Start(id) < trace.Time(at) && l != -1 {
			t.Errorf("event %d before the first step stands in layer %d", i, l)
		}
	}
}

// TestSideStreams: a block on two streams is read as if it were on one,
// whichever half is beside, and a small product beside a large one belongs to
// the same projection.
func TestSideStreams(t *testing.T) {
	for _, test := range []struct {
		name             string
		main, side       string // of one layer; side starts with the kernel behind main's second norm
		want, wantBeside string // roles of one layer
	}{
		{"shared expert beside", "n g k a g n g o X f X o r", "g f g",
			"qkv_proj o_proj router experts_gate_up experts_down", "shared_gate_up shared_down"},
		{"routed experts beside", "n g k a g n g f g . r", "g o X f X o",
			"qkv_proj o_proj shared_gate_up shared_down", "router experts_gate_up experts_down"},
		{"linear attention's small product", "n g C l n g n g f g r", "",
			"linear_in_proj linear_out_proj gate_up down", ""},
		{"a collective beside says nothing", "n g k a g n g f g r", "r r",
			"qkv_proj o_proj gate_up down", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &script{}
			s.Step(decodeStep, 0, 5000*µs)
			at := s.Pass(10*µs, 7, "e")
			const layers = 4
			for range layers {
				head, tail := test.main, ""
				if i := strings.LastIndex(test.main, "n "); test.side != "" {
					head, tail = test.main[:i+1], test.main[i+1:]
				}
				at = s.Pass(at, 7, head)
				s.Pass(at+3*µs, 20, test.side)
				at = s.Pass(at, 7, tail)
			}
			s.Pass(at, 7, "n g z")
			ev := s.events(t)
			wantMain := strings.TrimSpace(strings.Repeat(test.want+" ", layers) + "lm_head")
			if got := rolesOn(ev, 7); got != wantMain {
				t.Errorf("main stream: %s, want %s", got, wantMain)
			}
			if got, want := rolesOn(ev, 20), strings.TrimSpace(strings.Repeat(test.wantBeside+" ", layers)); got != want && test.wantBeside != "" {
				t.Errorf("beside: %s, want %s", got, want)
			}
			for i, id := range ev.Trace.GPU() {
				if k := ev.Known(i); ev.Trace.Track(ev.Trace.TrackOf(id)).Stream == 20 && k.Role.String() != "" && k.Layer < 0 {
					t.Errorf("event %d has role %s and no layer", i, k.Role)
				}
			}
		})
	}
}

// TestSmallProductBeside: both input products of linear attention are its input
// projection, also when the second runs on a stream of its own.
func TestSmallProductBeside(t *testing.T) {
	s := &script{}
	s.Step(decodeStep, 0, 5000*µs)
	at := s.Pass(10*µs, 7, "e")
	for range 3 {
		at = s.Pass(at, 7, "n")
		s.Pass(at+3*µs, 20, "g")
		at = s.Pass(at, 7, "g C l n g n g f g r")
	}
	s.Pass(at, 7, "n g z")
	ev := s.events(t)
	if got, want := rolesOn(ev, 20), "linear_in_proj linear_in_proj linear_in_proj"; got != want {
		t.Errorf("beside: %s, want %s", got, want)
	}
}

// TestTwoMicroBatches: a stream with attention of its own is a pass of its own.
func TestTwoMicroBatches(t *testing.T) {
	s := &script{}
	s.Step(decodeStep, 0, 5000*µs)
	text := "e " + strings.Repeat("n g k a g n g f g ", 3) + "n g z"
	s.Pass(10*µs, 7, text+" a") // the busier one is the main stream
	s.Pass(13*µs, 20, text)
	ev := s.events(t)
	if a, b := rolesOn(ev, 7), rolesOn(ev, 20); a != b || !strings.HasPrefix(a, "qkv_proj o_proj gate_up down") || strings.Contains(b, "?") {
		t.Errorf("one stream has %s, the other %s", a, b)
	}
}

// TestKernelsBehindTheirMarker: what an asynchronous scheduler runs a step late
// has the phase and the roles of the step that launched it.
func TestKernelsBehindTheirMarker(t *testing.T) {
	s := &script{}
	text := "e " + strings.Repeat("n g k a g n g f g ", 2) + "n g z"
	for n := range 3 {
		name := decodeStep
		if n == 0 {
			name = prefillStep
		}
		s.Step(name, n*1000*µs, 300*µs)
		s.Pass(n*1000*µs+10*µs, 7, text)
	}
	// On the GPU all runs 900 µs later: most of it in the next annotation's time.
	tr := s.Open(t)
	ev := NewEvents(tr, classifier(t), Evidence{})
	want := strings.TrimSpace(strings.Repeat("qkv_proj o_proj gate_up down qkv_proj o_proj gate_up down lm_head ", 3))
	if got := rolesOn(ev, 7); got != want {
		t.Errorf("roles %s", got)
	}
	if ev.Phase(0) != trace.Prefill || ev.Phase(len(tr.GPU())-1) != trace.Decode {
		t.Error("phases do not follow the launch")
	}
}
