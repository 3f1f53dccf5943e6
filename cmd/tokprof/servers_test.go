package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tokprof/report/document"
	"tokprof/trace/capture"
	"tokprof/trace/serving"
	"tokprof/trace/serving/replay"
)

// TestTwoServersJoined captures two servers that get the same requests at the
// same time: what each of them recorded is joined with its own requests.
func TestTwoServersJoined(t *testing.T) {
	rec := replay.Embedded()
	var urls, traces []string
	for range 2 {
		dir := t.TempDir()
		s := replay.New(rec, replay.Options{TraceDir: dir})
		url, err := s.Start(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		urls, traces = append(urls, url), append(traces, dir)
	}
	var out bytes.Buffer
	o := &captureOptions{shared: &shared{quiet: true, std: streams{strings.NewReader(""), &out, &out}}, out: filepath.Join(t.TempDir(), "run"), traceDirs: traces, noTax: true, maxTime: 10 * time.Minute, patience: 10 * time.Minute, maxBytes: "1GB", settle: 200 * time.Millisecond}
	o.servers, o.engine = urls, "auto"
	o.readings = func(context.Context, string) (func() error, error) { return nil, errors.New("no GPU here") }
	for _, w := range rec.Windows {
		for _, r := range w.Requests {
			if w.Profiled { // sent in turn: one of each pair to each server
				o.recorded = append(o.recorded, r, r)
			}
		}
	}
	if err := o.run(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	b, err := capture.Open(o.out)
	if err != nil {
		t.Fatal(err)
	}
	files, err := b.Traces()
	if err != nil || len(files) != 8 {
		t.Fatalf("traces %q, %v", files, err)
	}
	set := analysisOf(t, o.out)
	if len(set.Analyses) != 2 {
		t.Fatalf("%d windows", len(set.Analyses))
	}
	for i, a := range set.Analyses {
		q := a.Requests
		if want := []int64{6, 16}[i]; len(a.Servers) != 2 || q == nil || q.Count != want || q.Join.Reason != "" {
			t.Fatalf("window %s: servers %+v, requests %+v", a.Window.Name, a.Servers, q)
		}
		// How many tokens are joined is up to how busy the machine is that plays
		// the servers.
		joined := [2]int64{}
		for _, r := range q.Rows {
			if r.Server == nil || r.Joined > 0 && r.Rank != 2**r.Server {
				t.Fatalf("window %s: request %d of server %v is at steps of rank %d", a.Window.Name, r.ID, r.Server, r.Rank)
			}
			joined[*r.Server] += r.Joined
		}
		if joined[0] == 0 || joined[1] == 0 {
			t.Errorf("window %s: %v tokens joined, by server; %+v\n%+v", a.Window.Name, joined, q.Join, q.Rows)
		}
	}
	rows, err := b.Requests()
	if err != nil || slices.ContainsFunc(rows, func(r serving.Request) bool { return r.Failed() }) {
		t.Errorf("failed requests: %v", err)
	}
}

// analysisOf reads the windows of a bundle's analysis.
func analysisOf(t *testing.T, dir string) *document.Set {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, capture.AnalysisName))
	if err != nil {
		t.Fatal(err)
	}
	a := &document.Set{}
	if err := json.Unmarshal(text, a); err != nil || a.Schema != document.SchemaAnalysisSet {
		t.Fatalf("schema %s: %v", a.Schema, err)
	}
	return a
}
