package compose

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"tokprof/kernels"
	"tokprof/kernels/attribution/tracescript"
	"tokprof/kernels/breakdown"
	"tokprof/report/document"
)

// event is what one GPU of a process does in a step, in µs behind its start.
type event struct {
	device     int
	name       string
	start, end int
}

// oneProcess is the document of one process that drives all GPUs of the events,
// in ten decode steps of 1 ms.
func oneProcess(t *testing.T, events ...event) *document.Analysis {
	t.Helper()
	const µs = 1000
	s := &tracescript.Script{}
	for n := range 10 {
		at := n * 1000 * µs
		s.Step(tracescript.DecodeStep, at, 900*µs)
		for _, e := range events {
			launch := s.Call("cudaLaunchKernel", at+(e.start-10)*µs, 5*µs)
			s.GPU(e.name, e.device, 7, at+e.start*µs, (e.end-e.start)*µs, launch)
		}
	}
	c, err := kernels.NewClassifier(nil)
	if err != nil {
		t.Fatal(err)
	}
	r := breakdown.Reduce(s.Open(t), c, breakdown.Options{ExcerptTo: -1})
	a := Build([]*breakdown.Rank{r}, Options{}).Analyses[0]
	checkAgrees(t, a)
	return a
}

// stepText is one step and the mean one of its phase.
func stepText(a *document.Analysis) string {
	s := a.Steps[3]
	m := document.MeanStep(a, s.Phase)
	var parts []string
	for _, p := range s.Parts {
		parts = append(parts, fmt.Sprintf("%s %d", p.Name, p.TimeNS/1000))
	}
	return fmt.Sprintf("%d GPUs: busy %d of %d: %s; mean step %d, idle %d", s.GPUs, s.BusyNS/1000, s.DurNS/1000, strings.Join(parts, ", "),
		m.Total()/m.Steps/1000, m.Idle/m.Steps/1000)
}

// TestGPUsOfOneProcess: the step of a process with two GPUs is as long as it is,
// and its parts are those of one GPU, not of both after each other.
func TestGPUsOfOneProcess(t *testing.T) {
	gemm, comm := tracescript.Gemm, tracescript.Comm
	tensor := oneProcess(t, event{0, gemm, 100, 400}, event{1, gemm, 200, 600}, event{0, comm, 400, 700}, event{1, comm, 600, 700})
	// The last step has no next one, to whose start it could idle.
	if got, want := stepText(tensor), "2 GPUs: busy 550 of 600: unattributed 350, transfer 100, waiting 100; mean step 960, idle 410"; got != want {
		t.Errorf("tensor parallel\ngot  %s\nwant %s", got, want)
	}
	if c := tensor.Collectives[0]; c.Estimated || c.Ranks != 2 || c.Count != 10 || c.TransferNS.Median != 100_000 || c.WaitSumNS != 10*200_000 {
		t.Errorf("got %+v", c)
	}
	p := tensor.Phases[0]
	if p.StepNS.Median != 600_000 || p.BusyNS.Median != 550_000 || math.Abs(p.USPerToken*8-960) > 0.01 {
		t.Errorf("got %+v", p)
	}
	pipeline := oneProcess(t, event{0, gemm, 100, 400}, event{1, gemm, 400, 700})
	if got, want := stepText(pipeline), "2 GPUs: busy 300 of 600: unattributed 300; mean step 960, idle 660"; got != want {
		t.Errorf("pipeline parallel\ngot  %s\nwant %s", got, want)
	}
	one := oneProcess(t, event{0, gemm, 100, 400})
	if got, want := stepText(one), "0 GPUs: busy 300 of 300: unattributed 300; mean step 930, idle 630"; got != want {
		t.Errorf("one GPU\ngot  %s\nwant %s", got, want)
	}
}

// TestFindingsOfGPUs names GPUs, and takes none of one process for another rank.
func TestFindingsOfGPUs(t *testing.T) {
	a := oneProcess(t, event{0, tracescript.Gemm, 500, 600}, event{0, tracescript.Comm, 600, 700},
		event{1, tracescript.Gemm, 100, 200}, event{1, tracescript.Comm, 200, 700})
	var got []string
	for _, f := range a.Findings {
		got = append(got, f.ID+": "+f.Title)
		got = append(got, f.Evidence...)
	}
	want := []string{
		"late_rank: GPU 1 waits",
	}
	for _, w := range want {
		if !strings.Contains(strings.Join(got, "\n"), w) {
			t.Errorf("no %q in\n%s", w, strings.Join(got, "\n"))
		}
	}
}
