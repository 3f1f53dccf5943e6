package page

import (
	"slices"

	"tokprof/report/document"
)

// term is a definition.
type term struct{ Term, Text string }

// definitions says in one line each what the page's words mean.
func definitions(a *document.Analysis) []term {
	if a.SummaryOnly() {
		return summaryTerms
	}
	terms := []term{
		{"Window", "First GPU event to last, over all ranks. Windows are never added together."},
		{"Busy", "The time in which at least one kernel or copy runs on a GPU; overlaps count once."},
		{"Sum", "The durations of all kernels and copies added up; overlaps count twice."},
		{"Exposed", "Time of a group that no other group's work hides."},
		{"Idle", "The window less busy time, split by what held the next launch back."},
	}
	if len(a.Steps) > 0 {
		cut := "the annotation that was open at launch"
		if !slices.ContainsFunc(a.Steps, func(s document.Step) bool { return s.Name != "" }) {
			cut = "the kernels that begin and end it, for want of annotations"
		}
		terms = append(terms,
			term{"Step", "One forward pass of the engine on one rank, cut by " + cut + "."},
			term{"Phase", "Prefill reads prompts, decode makes one token a request, mixed does both in one step."})
	}
	parts := map[string]bool{}
	for _, r := range a.Parts {
		parts[r.Name] = true
	}
	if len(parts) > 0 {
		terms = append(terms, term{"Part", "Attention with its projections, FFN with experts and router, head (embedding, LM head, sampling), communication, the rest."})
	}
	if parts["transfer"] || parts["waiting"] {
		terms = append(terms, term{"Transfer, waiting", "The shortest time any rank spends in the same collective is transfer; what another rank spends above it is waiting for the late one."})
	}
	if parts["comm"] {
		terms = append(terms, term{"Comm", "Time inside collectives, not split into transfer and waiting for a late rank."})
	}
	if parts["unattributed"] {
		terms = append(terms, term{"Unattributed", "Matrix products whose role in the layer could not be established; never spread over the others."})
	}
	if a.Readings != nil {
		terms = append(terms, term{"Energy", "By the driver's energy counter, which moves about every 100 ms; n/a where a phase has fewer than 10 such moves in its own steps. Between two of them it is taken to be even in time."})
	}
	if a.Samples != nil {
		terms = append(terms, term{"Sampled metric", "A counter that Nsight Systems read from the GPU or network adapter at even times. Means are by time; a phase's are over its steps, each up to the next one's start, of the ranks on the GPU or of all ranks of the file for a network port."})
	}
	if slices.ContainsFunc(a.Collectives, func(c document.Collective) bool { return c.BusBW > 0 }) {
		terms = append(terms, term{"Bus bandwidth", "Message size over transfer time, times nccl-tests' factor for what each link carries: 2(n−1)/n for an all-reduce, (n−1)/n for a gather."})
	}
	if slices.ContainsFunc(a.Devices, func(d document.Device) bool { return d.GraphNS > 0 }) {
		terms = append(terms, term{"Graphs", "CUDA graphs that were recorded as a whole count as busy, but which kernels ran in them is not in the file. Shares of kernels, groups, categories and roles are of the time outside them."})
	}
	if q := a.Requests; q != nil {
		terms = append(terms, term{"TTFT, TPOT", "Time from the moment a request was due to its first token; mean time per token after it."})
		if q.FirstToken != nil {
			terms = append(terms, term{"Queue, delivery", "From due to the first step with a part of the prompt; from the end of the step that emitted a token to the client. Between tokens, delivery is what it took longer than for the token before."})
		}
	}
	return append(terms,
		term{"Group, category", "What a kernel is, judged by the rule named in its row from its name alone."},
		term{"p99", "The value that one in a hundred exceeds."})
}
