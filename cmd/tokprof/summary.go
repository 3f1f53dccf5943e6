package main

import (
	"fmt"

	"tokprof/report/compose"
	"tokprof/report/document"
	"tokprof/trace"
)

// onlySummaries is the error where no input holds single events, and some hold
// sums.
type onlySummaries struct {
	error
	list []*trace.Summary
}

func (e *onlySummaries) Unwrap() error { return e.error }

// summaries says what sums by name tell, without the steps and moments that
// most drawings are about.
func (o *analyzeOptions) summaries(only *onlySummaries, d compose.Options) (*document.Set, error) {
	c, err := o.classifier()
	if err != nil {
		return nil, err
	}
	for _, f := range []struct{ name, given string }{{"pprof", o.pprof}, {"folded", o.folded}, {"perfetto", o.perfetto}, {"steps", o.steps}, {"model", o.model}, {"readings", o.readings}} {
		if f.given != "" {
			return nil, usageError{fmt.Sprintf("--%s needs single events, and %s", f.name, only.Error()), ""}
		}
	}
	return pickWindow(compose.BuildSummaries(only.list, c, d), o.window)
}
