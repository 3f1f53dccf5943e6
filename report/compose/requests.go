package compose

import (
	"tokprof/report/latency"

	"tokprof/report/document"
)

// requests writes what the clients of the window saw, and what the profiler cost
// them.
func (b *builder) requests() {
	if b.run == nil {
		return
	}
	load := latency.Load{Window: b.run.Name, Requests: b.run.Requests, Servers: len(b.run.Servers), Plain: b.run.Plain, PlainWindow: b.run.PlainName}
	engines, reason := b.engineSteps()
	b.a.Requests = latency.Explain(&load, engines, reason, partWords)
	if b.a.Requests == nil || len(load.Plain) == 0 {
		return
	}
	tax, paired, of := latency.TaxOf(&load)
	if b.a.Tax = tax; tax == nil {
		b.doubt("no_tax", document.Info, []string{"requests"}, "what the profiler cost is not known: only %d of %d requests of %s pair up with the profiled ones by order and prompt length",
			paired, of, cutRunes(load.PlainWindow, 40))
	}
}
