package breakdown

import (
	"fmt"
	"strings"
	"testing"
)

// TestBatches sums lengths by the batch of their steps.
func TestBatches(t *testing.T) {
	s := &script{}
	s.Step(prefillStep, 0, 100*µs)
	s.Launch(gemmName, 10*µs, 20*µs, 30*µs)
	s.Step(decodeStep, 200*µs, 100*µs)
	s.Launch(gemmName, 210*µs, 220*µs, 7*µs)
	s.Launch(normName, 230*µs, 240*µs, 2*µs)
	s.Step(decodeStep, 400*µs, 100*µs)
	s.Launch(gemmName, 410*µs, 420*µs, 9*µs)
	s.Step("execute_context_0(0)_generation_4(4)", 600*µs, 100*µs)
	s.Launch(gemmName, 610*µs, 620*µs, 5*µs)
	if r := s.reduce(t); r.Batches != nil {
		t.Errorf("%d batches, and nobody asked", len(r.Batches))
	}
	r := Reduce(s.Open(t), classifier(t), Options{ExcerptTo: -1, Batches: true})
	var got strings.Builder
	total := make([]Durations, len(r.Kernels))
	for _, b := range r.Batches {
		fmt.Fprintf(&got, "%v %d %d %.10s %v\n", b.Phase, b.Requests, b.Tokens, r.Kernels[b.Kernel].Name, b.Durs)
		total[b.Kernel] = total[b.Kernel].Merge(b.Durs)
	}
	const want = `prefill 1 64 nvjet_tst_ [{30000 1}]
decode 4 4 nvjet_tst_ [{5000 1}]
decode 8 8 nvjet_tst_ [{7000 1} {9000 1}]
decode 8 8 void vllm: [{2000 1}]
`
	if got.String() != want {
		t.Errorf("got\n%s", got.String())
	}
	for i, k := range r.Kernels {
		if fmt.Sprint(total[i]) != fmt.Sprint(k.Durs) {
			t.Errorf("%.20s: batches have %v, the kernel %v", k.Name, total[i], k.Durs)
		}
	}
}
