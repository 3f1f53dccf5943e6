package capture

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"tokprof/trace"
)

// TestSameNames: a server that writes each window's files over the last window's loses
// none of them in the bundle, and their ranks and kinds stay known.
func TestSameNames(t *testing.T) {
	from, dir := t.TempDir(), t.TempDir()
	s := &session{Options: Options{Dir: dir, Targets: make([]Target, 1)}, b: &Bundle{Dir: dir}}
	for _, window := range []string{"prefill", "decode"} {
		f, err := watchFolder(from)
		if err != nil {
			t.Fatal(err)
		}
		f.targets = []int{0}
		a := arrived{files: []string{"trace-rank-1.json", "profiler_out_0.txt"}}
		for _, name := range a.files {
			if err := os.WriteFile(filepath.Join(from, name), []byte(window), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		w := Window{Name: window}
		if err := s.bring(f, a, &w); err != nil {
			t.Fatal(err)
		}
		if len(w.Files) != 1 || trace.ParseFileName(w.Files[0]).Rank != 1 {
			t.Errorf("window %s has files %q, want one of rank 1", window, w.Files)
		}
	}
	files, err := hashAll(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(dir, f.Path))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, f.Path+" "+string(f.Kind)+" "+string(text))
	}
	want := []string{
		"decode.trace-rank-1.json trace decode", "profiler_out_0.decode.txt profiler_table decode",
		"profiler_out_0.txt profiler_table prefill", "trace-rank-1.json trace prefill",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// TestStillGrowing: a trace of the last window that the server still writes is no trace of
// this one; one that is written over the last window's is.
func TestStillGrowing(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("rank0.1795400709985551932.pt.trace.json", "{")
	write("trace-rank-0.json", "{")
	f, err := watchFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	write("rank0.1795400709985551932.pt.trace.json", "{}")
	write("trace-rank-0.json", "{}")
	write("rank0.1795400711861592576.pt.trace.json", "{}")
	now, err := f.fresh()
	got := slices.Sorted(maps.Keys(now))
	if want := []string{"rank0.1795400711861592576.pt.trace.json", "trace-rank-0.json"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
}
