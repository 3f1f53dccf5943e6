package breakdown

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"tokprof/trace"
)

// stepsOf writes each GPU event's step, in start order, and each step's extent.
func stepsOf(ev *Events) string {
	var b strings.Builder
	for i := range ev.Trace.GPU() {
		fmt.Fprintf(&b, "%d ", ev.StepOf(i))
	}
	for i, s := range ev.Steps {
		from, to := int64(0), int64(0)
		if s.Launches > 0 {
			from, to = int64(s.First-base), int64(s.Last-base)
		}
		fmt.Fprintf(&b, "| %d %s %d–%d busy %d of %d ", i, s.Label.Phase, from, to, s.Busy, s.Launches)
	}
	return strings.TrimSpace(b.String())
}

var stepCases = []struct {
	name  string
	build func(s *script)
	want  string
}{
	{"an asynchronous scheduler runs a step ahead of the GPU", func(s *script) {
		s.step(prefillStep, 0, 100)
		s.step(decodeStep, 200, 100)
		s.launch(gemmName, 10, 250, 500) // in the time of the second annotation
		s.launch(gemmName, 210, 800, 100)
	}, "0 1 | 0 prefill 250–750 busy 500 of 1 | 1 decode 800–900 busy 100 of 1"},
	{"sampling is launched after the annotation closed", func(s *script) {
		s.step(prefillStep, 0, 100)
		s.step(decodeStep, 200, 100)
		s.launch(gemmName, 150, 160, 10)
		s.launch(gemmName, 200, 205, 10) // the very moment the next one opens
		s.launch(gemmName, 999, 1001, 10)
	}, "0 1 1 | 0 prefill 160–170 busy 10 of 1 | 1 decode 205–1011 busy 20 of 2"},
	{"what came before the first annotation has no step", func(s *script) {
		s.step(decodeStep, 200, 100)
		s.launch(gemmName, 150, 260, 10)
		s.launch(gemmName, 250, 280, 10)
	}, "-1 0 | 0 decode 280–290 busy 10 of 1"},
	{"an event without a launch follows its stream", func(s *script) {
		s.step(prefillStep, 0, 100)
		s.step(decodeStep, 200, 100)
		s.gpu(gemmName, 0, 7, 5, 2, 0)
		s.launch(gemmName, 10, 20, 5)
		s.gpu(gemmName, 0, 7, 30, 5, 0)
		s.gpu(gemmName, 0, 8, 40, 5, 0) // another stream, nothing before it
		s.launch(gemmName, 210, 220, 5)
		s.gpu(gemmName, 0, 7, 230, 5, 0)
	}, "-1 0 0 -1 1 1 | 0 prefill 20–35 busy 10 of 2 | 1 decode 220–235 busy 10 of 2"},
	{"idle annotations count in the numbering", func(s *script) {
		s.step(idleStep, 0, 10)
		s.step(decodeStep, 100, 100)
		s.step(idleStep, 300, 10)
		s.step(decodeStep, 400, 100)
		s.launch(gemmName, 110, 120, 5)
		s.launch(gemmName, 410, 420, 5)
	}, "1 3 | 0 dummy 0–0 busy 0 of 0 | 1 decode 120–125 busy 5 of 1 | 2 dummy 0–0 busy 0 of 0 | 3 decode 420–425 busy 5 of 1"},
	{"the engine's own annotation beats the profiler's around it", func(s *script) {
		s.step("ProfilerStep#3", 0, 1000)
		s.step(decodeStep, 100, 100)
		s.step("ProfilerStep#4", 1000, 1000)
		s.launch(gemmName, 50, 60, 5)
		s.launch(gemmName, 110, 120, 5)
	}, "-1 0 | 0 decode 120–125 busy 5 of 1"},
	{"the profiler's stand where there is nothing better", func(s *script) {
		s.step("ProfilerStep#3", 0, 1000)
		s.step("gpu_model_runner: forward", 100, 100)
		s.launch(gemmName, 110, 120, 5)
	}, "0 | 0 none 120–125 busy 5 of 1"},
	{"annotations are taken by start, not by place in the file", func(s *script) {
		s.step(decodeStep, 200, 100)
		s.step(prefillStep, 0, 100)
		s.launch(gemmName, 210, 220, 5)
		s.launch(gemmName, 10, 20, 5)
	}, "0 1 | 0 prefill 20–25 busy 5 of 1 | 1 decode 220–225 busy 5 of 1"},
	{"two processes have their own steps", func(s *script) {
		s.row("user_annotation", prefillStep, 10, 1, 0, 1000, "")
		s.row("user_annotation", decodeStep, 20, 2, 100, 1000, "")
		s.gpu(gemmName, 0, 7, 210, 5, s.callOn("cudaLaunchKernel", 10, 1, 200, 5))
		s.gpu(gemmName, 0, 7, 310, 5, s.callOn("cudaLaunchKernel", 20, 2, 300, 5))
		s.gpu(gemmName, 0, 7, 410, 5, s.callOn("cudaLaunchKernel", 30, 3, 400, 5))
	}, "0 1 -1 | 0 prefill 210–215 busy 5 of 1 | 1 decode 310–315 busy 5 of 1"},
	{"busy is the union over streams", func(s *script) {
		s.step(decodeStep, 0, 100)
		s.gpu(gemmName, 0, 7, 20, 30, s.call("cudaLaunchKernel", 10, 5))
		s.gpu(commName, 0, 8, 30, 10, s.call("cudaLaunchKernel", 12, 5)) // inside
		s.gpu(commName, 0, 8, 45, 15, s.call("cudaLaunchKernel", 14, 5)) // beyond
		s.gpu(gemmName, 0, 7, 70, 10, s.call("cudaLaunchKernel", 16, 5))
	}, "0 0 0 0 | 0 decode 20–80 busy 50 of 4"},
}

func TestSteps(t *testing.T) {
	for _, test := range stepCases {
		t.Run(test.name, func(t *testing.T) {
			s := &script{}
			test.build(s)
			if got := stepsOf(s.events(t)); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

// TestRepresentativeStep wants the median step of each phase, and the asked
// ones with their host calls.
func TestRepresentativeStep(t *testing.T) {
	s := &script{}
	for i, dur := range []int{50, 10, 30, 40, 20} {
		s.step(decodeStep, i*1000, 500)
		s.launch(gemmName, i*1000+100, i*1000+200, dur)
	}
	tr := s.open(t)
	for _, test := range []struct {
		from, to int
		want     string
	}{
		{0, -1, "2: 2100–7100 GPU[200+30] host[100+5000]; 0: 100–5100 GPU[200+50] host[100+5000]; "},
		{1, 2, "1: 1100–6100 GPU[200+10] host[100+5000]; 2: 2100–7100 GPU[200+30] host[100+5000]; "},
		{4, 99, "4: 4100–9100 GPU[200+20] host[100+5000]; "},
		{-3, 0, "0: 100–5100 GPU[200+50] host[100+5000]; "},
		{7, 9, ""},
	} {
		r := Reduce(tr, classifier(t), Options{ExcerptFrom: test.from, ExcerptTo: test.to})
		got := ""
		for _, x := range r.Excerpts {
			got += fmt.Sprintf("%d: %d–%d ", x.Step, x.Start-base, x.End-base)
			for _, l := range x.Lanes {
				kind := "host"
				if l.GPU {
					kind = "GPU"
				}
				for _, sp := range l.Spans {
					got += fmt.Sprintf("%s[%d+%d] ", kind, (sp.Start-base)%1000, sp.Dur)
				}
			}
			got = strings.TrimSpace(got) + "; "
		}
		if got != test.want {
			t.Errorf("steps %d to %d: got %q, want %q", test.from, test.to, got, test.want)
		}
	}
	if got := Reduce(tr, classifier(t), Options{ExcerptTo: -1}).Excerpts[0]; got.Count != 5 || got.Why == Asked {
		t.Errorf("the representative of five steps is one of %d, asked %v", got.Count, got.Why == Asked)
	}
}

// TestStepSumsAddUp wants each step's parts to hold its events' durations.
func TestStepSumsAddUp(t *testing.T) {
	s := &script{}
	s.step(decodeStep, 0, 100)
	s.step(decodeStep, 1000, 100)
	s.launch(gemmName, 10, 100, 7)
	s.launch(normName, 20, 110, 5)
	s.launch(gemmName, 30, 120, 3)
	s.launch(commName, 1010, 1100, 11)
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

// TestExcerptIsBounded: a step of a hundred thousand launches must still be
// drawn; what is left out is counted.
func TestExcerptIsBounded(t *testing.T) {
	s := &script{}
	s.step(decodeStep, 0, 100)
	for i := range maxHostSpans + 3 {
		s.gpu(gemmName, 0, 7, 100+i*10, 5, s.call("cudaLaunchKernel", i*10, 5))
	}
	x := s.reduce(t).Excerpts[0]
	if x.Dropped != 3 || len(x.Lanes) != 2 || len(x.Lanes[0].Spans) != maxHostSpans+3 || len(x.Lanes[1].Spans) != maxHostSpans {
		t.Errorf("%d dropped of %d lanes", x.Dropped, len(x.Lanes))
	}
}
