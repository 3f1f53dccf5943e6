package engines

import (
	"tokprof/report/document"
	"tokprof/report/latency"
)

// Requests says what the clients of the window saw and what the profiler cost them,
// each nil when unknown, with the doubts that only making them shows. steps are the
// document's, rank by rank with their parts; partWords name parts in a sentence.
func (w *Window) Requests(steps []document.Step, partWords map[string]string) (q *document.Requests, tax *document.Tax, doubts []document.Trust) {
	if w.run == nil {
		return nil, nil, nil
	}
	load := latency.Load{Window: w.run.Name, Requests: w.run.Requests, Servers: len(w.run.Servers), Plain: w.run.Plain, PlainWindow: w.run.PlainName}
	served, reason := w.engineSteps(steps)
	q = latency.Explain(&load, served, reason, partWords)
	if q == nil || len(load.Plain) == 0 {
		return q, nil, nil
	}
	tax, paired, of := latency.TaxOf(&load)
	if tax == nil {
		doubts = append(doubts, document.Doubt("no_tax", document.Info, []string{"requests"}, "what the profiler cost is not known: only %d of %d requests of %s pair up with the profiled ones by order and prompt length",
			paired, of, cutRunes(load.PlainWindow, 40)))
	}
	return q, tax, doubts
}
