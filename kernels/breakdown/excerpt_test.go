package breakdown

import (
	"fmt"
	"testing"

	"tokprof/trace"
)

// stepsOfLength is a rank of decode steps of the given lengths, 1 ms apart.
func stepsOfLength(lengths ...int) *script {
	s := &script{}
	for i, d := range lengths {
		s.step(decodeStep, i*1000*µs, 100*µs)
		s.gpu(gemmName, 0, 7, i*1000*µs+50*µs, d*µs, s.call("cudaLaunchKernel", i*1000*µs+10*µs, 5*µs))
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
	other := stepsOfLength(10, 20, 50, 30, 40).open(t)
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
	tr := stepsOfLength(50, 10, 30, 40, 20).open(t)
	got := picks(Reduce(tr, classifier(t), Options{ExcerptTo: -1, Like: far}).Excerpts)
	if want := fmt.Sprintf("2:%d 0:%d ", Median, Slowest); got != want {
		t.Errorf("keeps %s, want %s", got, want)
	}
}
