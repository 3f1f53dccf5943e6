package report

import (
	"testing"

	"tokprof/report/document"
)

// TestTitle: what a captured run knows comes first, and what there is no room
// for gives way in order.
func TestTitle(t *testing.T) {
	a := withRequests(fixture())
	a.Phases = append(a.Phases, document.Phase{Phase: "mixed", Steps: 1})
	const long = "meta-llama/Llama-3.1-70B-Instruct-quantized.w8a8"
	for _, c := range []struct {
		model string
		n     int
		want  string
	}{
		{"llama-16l", 200, "llama-16l · vLLM 0.20.2 · 2 × NVIDIA H200 (TP 2) · 24 decode, 1 prefill, 1 mixed step · 105 ms"},
		{"llama-16l", 90, "llama-16l · vLLM 0.20.2 · 2 × NVIDIA H200 (TP 2) · 24 decode, 1 prefill, 1 mixed step"},
		{"llama-16l", 80, "llama-16l · vLLM 0.20.2 · 2 × NVIDIA H200 (TP 2) · 24 decode, 2 other steps"},
		{"llama-16l", 70, "llama-16l · vLLM 0.20.2 · 2 × NVIDIA H200 (TP 2) · 26 steps · 105 ms"},
		{long, 80, "meta-llama/Llama-3.1…ized.w8a8 · vLLM 0.20.2 · 2 × NVIDIA H200 (TP 2) · 26 steps"},
		{long, 60, "meta-llama/Lla…d.w8a8 · vLLM 0.20.2 · 2 × NVIDIA H200 (TP 2)"},
		{long, 40, "meta-lla…8a8 · vLLM 0.20.2 · 2 × NVIDIA…"},
	} {
		a.Servers[0].Model = c.model
		if got := titleOf(a, c.n); got != c.want || cellWidth(got) > c.n {
			t.Errorf("in %d cells %q, want %q", c.n, got, c.want)
		}
	}
	a.Servers[0] = document.ServerFacts{Model: "m", WorldSize: 2}
	if got, want := titleOf(a, 60), "m · vLLM 0.20.2 · 2 × NVIDIA H200 (2 ranks) · 26 steps"; got != want {
		t.Errorf("without flags %q, want %q", got, want)
	}
}
