package attribution

import (
	"fmt"
	"strings"
	"testing"

	"tokprof/kernels/attribution/tracescript"
	"tokprof/trace"
)

// stepLetters spells the kernels of each step, in start order.
func stepLetters(ev *Events) string {
	by := make([][]string, len(ev.Steps)+1)
	for i, id := range ev.Trace.GPU() {
		n := ev.StepOf(i) + 1
		by[n] = append(by[n], tracescript.LetterOf(ev.Trace.Name(ev.Trace.NameOf(id))))
	}
	var out []string
	for n, letters := range by {
		if n == 0 && len(letters) == 0 {
			continue
		}
		name := "none"
		if n > 0 {
			name = fmt.Sprint(n-1, " ", ev.Steps[n-1].Label.Phase)
		}
		out = append(out, name+": "+strings.Join(letters, " "))
	}
	return strings.Join(out, "; ")
}

const stage = "n g k a g n g f g "

var receiveCases = []struct {
	name  string
	build func(s *script)
	want  string
}{
	{"last stage", func(s *script) {
		for n := range 3 {
			at := n * 2000 * µs
			s.Pass(at+970*µs, 7, "R R")
			s.Step(decodeStep, at+1000*µs, 200*µs)
			s.Pass(at+1010*µs, 7, stage)
			s.Pass(at+1210*µs, 7, "z")
		}
	}, "0 decode: R R n g k a g n g f g z; 1 decode: R R n g k a g n g f g z; 2 decode: R R n g k a g n g f g z"},
	{"middle stage: receive in front, send behind", func(s *script) {
		for n := range 2 {
			at := n * 1000 * µs
			s.Pass(at+360*µs, 7, "R G R")
			s.Step(decodeStep, at+400*µs, 200*µs)
			s.Pass(at+410*µs, 7, stage)
			s.Pass(at+605*µs, 7, "R")
		}
	}, "0 decode: R G R n g k a g n g f g R; 1 decode: R G R n g k a g n g f g R"},
	{"first stage: the next annotation follows soon", func(s *script) {
		for n := range 2 {
			at := n * 400 * µs
			s.Step(decodeStep, at, 200*µs)
			s.Pass(at+10*µs, 7, stage)
			s.Pass(at+205*µs, 7, "R R")
		}
	}, "0 decode: n g k a g n g f g R R; 1 decode: n g k a g n g f g R R"},
	{"too long before", func(s *script) {
		s.Step(decodeStep, 0, 200*µs)
		s.Pass(10*µs, 7, stage)
		s.Pass(2000*µs, 7, "R")
		s.Step(decodeStep, 5000*µs, 200*µs)
		s.Pass(5010*µs, 7, stage)
	}, "0 decode: n g k a g n g f g R; 1 decode: n g k a g n g f g"},
	{"something else in between", func(s *script) {
		s.Step(decodeStep, 0, 200*µs)
		s.Pass(10*µs, 7, stage)
		s.Pass(900*µs, 7, "R z")
		s.Step(decodeStep, 1000*µs, 200*µs)
		s.Pass(1010*µs, 7, stage)
	}, "0 decode: n g k a g n g f g R z; 1 decode: n g k a g n g f g"},
	{"before the very first annotation", func(s *script) {
		s.Pass(950*µs, 7, "z R")
		s.Step(decodeStep, 1000*µs, 200*µs)
		s.Pass(1010*µs, 7, stage)
	}, "none: z; 0 decode: R n g k a g n g f g"},
}

// TestReceives: a pipeline stage's receive right in front of an annotation is
// that step's, its send behind one is the old step's.
func TestReceives(t *testing.T) {
	for _, test := range receiveCases {
		t.Run(test.name, func(t *testing.T) {
			s := &script{}
			test.build(s)
			if got := stepLetters(s.events(t)); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

// TestDummyBatches: between annotations, a pass that starts at an all-reduce
// and has no attention core is a step of phase dummy, numbered behind all
// annotations; sampling and drafts stay with the step before.
func TestDummyBatches(t *testing.T) {
	const (
		real  = "e n g k a g n g o X f X r n g"
		dummy = "r e n g k g n g o X f X r n g k g n g o X f X r n"
	)
	for _, test := range []struct {
		name, gap, want string
	}{
		{"one dummy batch", dummy, "0 decode: " + real + " z; 1 decode: " + real + "; 2 dummy: " + dummy},
		{"two of them", dummy + " " + dummy, "0 decode: " + real + " z; 1 decode: " + real + "; 2 dummy: " + dummy + "; 3 dummy: " + dummy},
		{"without an embedding's kernel", "r n g k g n g o X f X r n", "0 decode: " + real + " z; 1 decode: " + real + "; 2 dummy: r n g k g n g o X f X r n"},
		{"a draft has attention", "r " + real, "0 decode: " + real + " z r " + real + "; 1 decode: " + real},
		{"sampling over ranks is no pass", "G r z", "0 decode: " + real + " z G r z; 1 decode: " + real},
		{"a pass without an all-reduce in front", "n g k g n g f g", "0 decode: " + real + " z n g k g n g f g; 1 decode: " + real},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &script{}
			s.Step(decodeStep, 0, 300*µs)
			at := s.Pass(10*µs, 7, real)
			at = s.Pass(max(at, 310*µs), 7, "z")
			at = s.Pass(at, 7, test.gap)
			s.Step(decodeStep, at+2000*µs, 300*µs)
			s.Pass(at+2010*µs, 7, real)
			ev := s.events(t)
			if got := stepLetters(ev); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			for i := range ev.Trace.GPU() {
				if ev.Phase(i) == trace.Dummy && ev.StepOf(i) < 2 {
					t.Errorf("event %d of a dummy batch has the number of an annotation", i)
				}
			}
		})
	}
}

// TestDummyBatchRoles: the KV writes are a dummy batch's anchors.
func TestDummyBatchRoles(t *testing.T) {
	s := &script{}
	s.Step(decodeStep, 0, 100*µs)
	s.Pass(10*µs, 7, "e n g k a g n g f g n g z")
	s.Pass(400*µs, 7, "r e "+strings.Repeat("n g k g n g o X f X o r ", 3)+"n g")
	ev := s.events(t)
	got := rolesOn(ev, 7)
	want := "qkv_proj o_proj gate_up down lm_head " + strings.Repeat("qkv_proj o_proj router experts_gate_up experts_down ", 3) + "lm_head"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
