package match

import (
	"testing"

	"tokprof/trace/serving"
)

const ms = 1_000_000

// TestOneStepLate is an asynchronous engine: each token arrives after the next
// step has ended, and only the counts say where it belongs.
func TestOneStepLate(t *testing.T) {
	at := func(x int64) int64 { return 1_700_000_000_000_000_000 + x*ms }
	steps := []Step{
		{Start: at(0), End: at(10), ContextRequests: 1, ContextTokens: 100},
		{Start: at(10), End: at(20), GenerationRequests: 1, GenerationTokens: 1, ContextRequests: 1, ContextTokens: 50},
		{Start: at(20), End: at(30), GenerationRequests: 2, GenerationTokens: 2},
		{Start: at(30), End: at(40), GenerationRequests: 1, GenerationTokens: 1},
	}
	rows := []serving.Request{
		{PromptTokens: 100, SentUnixNS: at(-1), TokenUnixNS: []int64{at(21), at(31), at(41)}, Status: 200, Finish: "length"},
		{PromptTokens: 50, SentUnixNS: at(-1), TokenUnixNS: []int64{at(32), at(42), at(43)}, Status: 200, Finish: "length"},
	}
	r := Steps(steps, rows)
	if r.Emitted != 6 || r.Explained != 6 || r.Joined != 6 {
		t.Fatalf("%+v", r)
	}
	for i, q := range r.Requests {
		for j, x := range q.Tokens {
			if x.Step != i+j {
				t.Errorf("token %d of request %d: step %d", j, i, x.Step)
			}
		}
	}
}
