package main

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"tokprof/kernels/breakdown"
	"tokprof/report/compose"
	"tokprof/report/document"
	"tokprof/report/engines"
	"tokprof/trace/capture"
	"tokprof/trace/serving"
)

// bundleCommand is how to make a bundle's documents again, wherever it lies.
const bundleCommand = "tokprof analyze BUNDLE"

// runWindows is what a bundle knows about the windows of its traces.
func runWindows(b *capture.Bundle) ([]engines.RunWindow, error) {
	rows, err := b.Requests()
	if err != nil {
		return nil, err
	}
	var servers []document.ServerFacts
	for _, s := range b.Servers {
		servers = append(servers, document.ServerFacts{Engine: s.Engine, Version: s.Version, Model: s.Model, WorldSize: s.WorldSize, Flags: s.Flags})
	}
	var out []engines.RunWindow
	for _, w := range b.Windows {
		if !w.Profiled {
			continue
		}
		r := engines.RunWindow{Name: w.Name, FromUnixNS: w.StartCallUnixNS, ToUnixNS: w.StopReturnUnixNS, PlainName: w.Twin, Servers: servers}
		for _, f := range w.Files {
			r.Files = append(r.Files, filepath.Base(f))
		}
		for _, q := range rows {
			switch {
			case q.Window == w.Name, q.Window != w.Twin && overlaps(q, w):
				r.Requests = append(r.Requests, q)
			case q.Window == w.Twin && w.Twin != "":
				r.Plain = append(r.Plain, q)
			}
		}
		r.Plain = sameAnswers(r.Plain, r.Requests, w.Name)
		out = append(out, r)
	}
	return out, nil
}

// sameAnswers are the requests of a run without the profiler whose twins of window got
// answers of the same length. A server that ends answers where it likes, here and not
// there, carried another load: what is left without a partner shows in the comparison.
// Failed twins are left to it.
func sameAnswers(plain, profiled []serving.Request, window string) []serving.Request {
	lengths := map[int]int{}
	for _, q := range profiled {
		if q.Window == window && !q.Failed() {
			lengths[q.ID] = q.Answered()
		}
	}
	return slices.DeleteFunc(plain, func(q serving.Request) bool {
		n, ok := lengths[q.ID]
		return ok && !q.Failed() && n != q.Answered()
	})
}

// overlaps says whether a request ran while a window was recorded.
func overlaps(q serving.Request, w capture.Window) bool {
	return q.SentUnixNS != 0 && q.SentUnixNS < w.StopCallUnixNS && q.EndUnixNS > w.StartCallUnixNS
}

// finishBundle analyses a bundle's traces, writes page, ticket and numbers into
// it, prints the table, and seals it again.
func (s *shared) finishBundle(ctx context.Context, b *capture.Bundle) error {
	a := &analyzeOptions{shared: s, html: filepath.Join(b.Dir, capture.PageName), md: filepath.Join(b.Dir, capture.TicketName), json: filepath.Join(b.Dir, capture.AnalysisName)}
	if err := a.run(ctx, append([]string{b.Dir}, b.Left...)); err != nil {
		return err
	}
	return b.Seal()
}

// unfinished returns the bundle that is the only input and has no analysis yet,
// as after its traces were copied from the server's host: analysing it without
// naming outputs finishes it. It is nil for any other input.
func (o *analyzeOptions) unfinished(args []string) *capture.Bundle {
	if len(args) != 1 || slices.ContainsFunc(o.paths(), func(p string) bool { return p != "" }) {
		return nil
	}
	if b := bundleAt(args[0]); b != nil && b.Own() && !analysed(b) {
		return b
	}
	return nil
}

// analysed says whether a bundle holds its analysis.
func analysed(b *capture.Bundle) bool {
	return slices.ContainsFunc(b.Files, func(f capture.File) bool { return f.Kind == capture.AnalysisFile })
}

// beside takes what lies in a single bundle for what was not named.
func (o *analyzeOptions) beside(bundles []*capture.Bundle) {
	if len(bundles) != 1 {
		return
	}
	b := bundles[0]
	o.model = cmp.Or(o.model, b.ModelPath())
	o.readings = cmp.Or(o.readings, b.ReadingsPath())
	o.topo = cmp.Or(o.topo, b.TopologyPath())
	if len(b.Servers) == 1 {
		o.visible = cmp.Or(o.visible, b.Servers[0].VisibleDevices)
	}
}

// bundleAt opens an argument that is a bundle; nil for any other.
func bundleAt(arg string) *capture.Bundle {
	if arg == "-" {
		return nil
	}
	b, err := capture.Open(arg)
	if err != nil {
		return nil
	}
	return b
}

// withoutEmptyBundles drops the bundles among the inputs that hold no trace:
// theirs were left elsewhere, and are named beside them.
func withoutEmptyBundles(args []string) []string {
	if len(args) < 2 {
		return args
	}
	return slices.DeleteFunc(slices.Clone(args), func(a string) bool {
		b := bundleAt(a)
		if b == nil {
			return false
		}
		files, err := b.Traces()
		return err == nil && len(files) == 0
	})
}

// openBundles opens the arguments that are bundles.
func openBundles(args []string) (out []*capture.Bundle) {
	for _, a := range args {
		if b := bundleAt(a); b != nil {
			out = append(out, b)
		}
	}
	return out
}

// ofRun adds to a document's options what the bundles among its inputs know about
// ranks.
func ofRun(o *compose.Options, bundles []*capture.Bundle, ranks []*breakdown.Rank) error {
	o.ServerOf = map[string]int{}
	for _, b := range bundles {
		for _, r := range ranks {
			if s, ok := b.ServerOf(r.Info.Path, r.Info.SHA256); ok {
				o.ServerOf[r.Info.Path] = s
			}
		}
		w, err := runWindows(b)
		if err != nil {
			return fmt.Errorf("the requests of bundle %s cannot be read: %w", b.Dir, err)
		}
		o.Run = append(o.Run, w...)
	}
	return nil
}
