package breakdown

import (
	"fmt"
	"strings"
	"testing"

	"tokprof/trace"
)

// stepsOfLength is a rank of decode steps of the given lengths, 1 ms apart.
func stepsOfLength(lengths ...int) *script {
	s := &script{}
	for i, d := range lengths {
		s.Step(decodeStep, i*1000*µs, 100*µs)
		s.GPU(gemmName, 0, 7, i*1000*µs+50*µs, d*µs, s.Call("cudaLaunchKernel", i*1000*µs+10*µs, 5*µs))
	}
	return s
}

func picks(list []Excerpt) string {
	out := ""
	for _, x := range list {
		out += fmt.Sprintf("%d:%d ", x.Step, x.Why)
	}
	return out
}

// TestLikeKeepsTheSameStep: a later rank keeps the steps that ran while the
// first rank's did, though its own median and slowest are others.
func TestLikeKeepsTheSameStep(t *testing.T) {
	first := stepsOfLength(50, 10, 30, 40, 20).reduce(t).Excerpts
	if got, want := picks(first), fmt.Sprintf("2:%d 0:%d ", Median, Slowest); got != want {
		t.Fatalf("the first rank keeps %s, want %s", got, want)
	}
	other := stepsOfLength(10, 20, 50, 30, 40).Open(t)
	if got, want := picks(Reduce(other, classifier(t), Options{ExcerptTo: -1}).Excerpts), fmt.Sprintf("3:%d 2:%d ", Median, Slowest); got != want {
		t.Errorf("alone, the other keeps %s, want %s", got, want)
	}
	like := Reduce(other, classifier(t), Options{ExcerptTo: -1, Like: first}).Excerpts
	if got, want := picks(like), fmt.Sprintf("2:%d 0:%d ", Median, Slowest); got != want {
		t.Errorf("beside the first, the other keeps %s, want %s", got, want)
	}
}

// TestLikeWithoutAPeer: where no step ran meanwhile, a rank's own choice stands.
func TestLikeWithoutAPeer(t *testing.T) {
	far := []Excerpt{{Phase: trace.Decode, Why: Median, Start: base + 1<<50, End: base + 1<<50 + 1000}}
	tr := stepsOfLength(50, 10, 30, 40, 20).Open(t)
	got := picks(Reduce(tr, classifier(t), Options{ExcerptTo: -1, Like: far}).Excerpts)
	if want := fmt.Sprintf("2:%d 0:%d ", Median, Slowest); got != want {
		t.Errorf("keeps %s, want %s", got, want)
	}
}

// TestRepresentativeStep wants the median step of each phase, and the asked
// ones with their host calls.
func TestRepresentativeStep(t *testing.T) {
	s := &script{}
	for i, dur := range []int{50, 10, 30, 40, 20} {
		s.Step(decodeStep, i*1000, 500)
		s.Launch(gemmName, i*1000+100, i*1000+200, dur)
	}
	tr := s.Open(t)
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

// TestExcerptIsBounded: a step of a hundred thousand launches must still be
// drawn; what is left out is counted.
func TestExcerptIsBounded(t *testing.T) {
	s := &script{}
	s.Step(decodeStep, 0, 100)
	for i := range maxHostSpans + 3 {
		s.GPU(gemmName, 0, 7, 100+i*10, 5, s.Call("cudaLaunchKernel", i*10, 5))
	}
	x := s.reduce(t).Excerpts[0]
	if x.Dropped != 3 || len(x.Lanes) != 2 || len(x.Lanes[0].Spans) != maxHostSpans+3 || len(x.Lanes[1].Spans) != maxHostSpans {
		t.Errorf("%d dropped of %d lanes", x.Dropped, len(x.Lanes))
	}
}
