package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"tokprof/trace/capture"
	"tokprof/trace/serving"
)

// TestTaxNeedsSameAnswers: requests whose answers have other lengths with the profiler
// than without it are no pair to tell its cost by.
func TestTaxNeedsSameAnswers(t *testing.T) {
	row := func(window string, id, tokens, status int) serving.Request {
		return serving.Request{Window: window, ID: id, MaxTokens: 3, Status: status, TokenUnixNS: make([]int64, tokens)}
	}
	rows := []serving.Request{
		row("decode-plain", 0, 3, 200), row("decode-plain", 1, 3, 200), row("decode-plain", 2, 1, 200), row("decode-plain", 3, 3, 200), row("decode-plain", 4, 3, 200),
		row("decode", 0, 3, 200), row("decode", 1, 2, 200), row("decode", 2, 1, 200), row("decode", 3, 1, 500),
	}
	b := &capture.Bundle{Dir: t.TempDir(), Manifest: capture.Manifest{Windows: []capture.Window{{Name: "decode-plain"}, {Name: "decode", Profiled: true, Twin: "decode-plain"}}}}
	var text bytes.Buffer
	if err := serving.WriteRequests(&text, rows); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b.Dir, capture.RequestsName), text.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	w, err := runWindows(b)
	if err != nil || len(w) != 1 || len(w[0].Requests) != 4 {
		t.Fatalf("%+v, %v", w, err)
	}
	var kept []int
	for _, q := range w[0].Plain {
		kept = append(kept, q.ID)
	}
	if want := []int{0, 2, 3, 4}; !slices.Equal(kept, want) {
		t.Errorf("kept %v of the run without the profiler, want %v", kept, want)
	}
}
