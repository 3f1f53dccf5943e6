package attribution

import (
	"fmt"
	"strings"
	"testing"
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
		s.Step(prefillStep, 0, 100)
		s.Step(decodeStep, 200, 100)
		s.Launch(gemmName, 10, 250, 500) // in the time of the second annotation
		s.Launch(gemmName, 210, 800, 100)
	}, "0 1 | 0 prefill 250–750 busy 500 of 1 | 1 decode 800–900 busy 100 of 1"},
	{"sampling is launched after the annotation closed", func(s *script) {
		s.Step(prefillStep, 0, 100)
		s.Step(decodeStep, 200, 100)
		s.Launch(gemmName, 150, 160, 10)
		s.Launch(gemmName, 200, 205, 10) // the very moment the next one opens
		s.Launch(gemmName, 999, 1001, 10)
	}, "0 1 1 | 0 prefill 160–170 busy 10 of 1 | 1 decode 205–1011 busy 20 of 2"},
	{"what came before the first annotation has no step", func(s *script) {
		s.Step(decodeStep, 200, 100)
		s.Launch(gemmName, 150, 260, 10)
		s.Launch(gemmName, 250, 280, 10)
	}, "-1 0 | 0 decode 280–290 busy 10 of 1"},
	{"an event without a launch follows its stream", func(s *script) {
		s.Step(prefillStep, 0, 100)
		s.Step(decodeStep, 200, 100)
		s.GPU(gemmName, 0, 7, 5, 2, 0)
		s.Launch(gemmName, 10, 20, 5)
		s.GPU(gemmName, 0, 7, 30, 5, 0)
		s.GPU(gemmName, 0, 8, 40, 5, 0) // another stream, nothing before it
		s.Launch(gemmName, 210, 220, 5)
		s.GPU(gemmName, 0, 7, 230, 5, 0)
	}, "-1 0 0 -1 1 1 | 0 prefill 20–35 busy 10 of 2 | 1 decode 220–235 busy 10 of 2"},
	{"idle annotations count in the numbering", func(s *script) {
		s.Step(idleStep, 0, 10)
		s.Step(decodeStep, 100, 100)
		s.Step(idleStep, 300, 10)
		s.Step(decodeStep, 400, 100)
		s.Launch(gemmName, 110, 120, 5)
		s.Launch(gemmName, 410, 420, 5)
	}, "1 3 | 0 dummy 0–0 busy 0 of 0 | 1 decode 120–125 busy 5 of 1 | 2 dummy 0–0 busy 0 of 0 | 3 decode 420–425 busy 5 of 1"},
	{"the engine's own annotation beats the profiler's around it", func(s *script) {
		s.Step("ProfilerStep#3", 0, 1000)
		s.Step(decodeStep, 100, 100)
		s.Step("ProfilerStep#4", 1000, 1000)
		s.Launch(gemmName, 50, 60, 5)
		s.Launch(gemmName, 110, 120, 5)
	}, "-1 0 | 0 decode 120–125 busy 5 of 1"},
	{"the profiler's stand where there is nothing better", func(s *script) {
		s.Step("ProfilerStep#3", 0, 1000)
		s.Step("gpu_model_runner: forward", 100, 100)
		s.Launch(gemmName, 110, 120, 5)
	}, "0 | 0 none 120–125 busy 5 of 1"},
	{"annotations are taken by start, not by place in the file", func(s *script) {
		s.Step(decodeStep, 200, 100)
		s.Step(prefillStep, 0, 100)
		s.Launch(gemmName, 210, 220, 5)
		s.Launch(gemmName, 10, 20, 5)
	}, "0 1 | 0 prefill 20–25 busy 5 of 1 | 1 decode 220–225 busy 5 of 1"},
	{"two processes have their own steps", func(s *script) {
		s.Row("user_annotation", prefillStep, 10, 1, 0, 1000, "")
		s.Row("user_annotation", decodeStep, 20, 2, 100, 1000, "")
		s.GPU(gemmName, 0, 7, 210, 5, s.CallOn("cudaLaunchKernel", 10, 1, 200, 5))
		s.GPU(gemmName, 0, 7, 310, 5, s.CallOn("cudaLaunchKernel", 20, 2, 300, 5))
		s.GPU(gemmName, 0, 7, 410, 5, s.CallOn("cudaLaunchKernel", 30, 3, 400, 5))
	}, "0 1 -1 | 0 prefill 210–215 busy 5 of 1 | 1 decode 310–315 busy 5 of 1"},
	{"busy is the union over streams", func(s *script) {
		s.Step(decodeStep, 0, 100)
		s.GPU(gemmName, 0, 7, 20, 30, s.Call("cudaLaunchKernel", 10, 5))
		s.GPU(commName, 0, 8, 30, 10, s.Call("cudaLaunchKernel", 12, 5)) // inside
		s.GPU(commName, 0, 8, 45, 15, s.Call("cudaLaunchKernel", 14, 5)) // beyond
		s.GPU(gemmName, 0, 7, 70, 10, s.Call("cudaLaunchKernel", 16, 5))
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
