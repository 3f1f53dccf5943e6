package main

import (
	"compress/gzip"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"tokprof/kernels"
	"tokprof/kernels/attribution"
	"tokprof/kernels/breakdown"
	"tokprof/trace"
	"tokprof/trace/synth"
)

// benchFile writes a generated trace of TOKPROF_BENCH_BYTES of text (64 MB
// when unset), gzip-compressed as torch writes it, and returns its path.
func benchFile(b *testing.B, o synth.Options) string {
	b.Helper()
	o.Bytes = 64 << 20
	if s := os.Getenv("TOKPROF_BENCH_BYTES"); s != "" {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		o.Bytes = n
	}
	path := filepath.Join(b.TempDir(), "rank0.1795400711861592576.pt.trace.json.gz")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	z := gzip.NewWriter(f)
	if _, err := synth.Write(z, o); err != nil {
		b.Fatal(err)
	}
	if err := z.Close(); err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	return path
}

// BenchmarkAnalyzeProcess runs tokprof analyze with every output as a process
// of its own, in turn with gzip -dc of the same file, and reports the ratio of
// their best times.
func BenchmarkAnalyzeProcess(b *testing.B) {
	for name, o := range map[string]synth.Options{"eager": {}, "graphs": {Graphs: true}} {
		b.Run(name, func(b *testing.B) {
			path := benchFile(b, o)
			dir := b.TempDir()
			bin := filepath.Join(dir, "tokprof")
			if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
				b.Fatalf("%v: %s", err, out)
			}
			out := func(n string) string { return filepath.Join(dir, n) }
			ours, gz := time.Duration(1<<62), time.Duration(1<<62)
			for b.Loop() {
				gz = min(gz, timed(b, "gzip", "-dc", path))
				ours = min(ours, timed(b, bin, "analyze", "-q", path, "-o", out("p.html"), "--md", out("t.md"), "--json", out("a.json"),
					"--csv", out("k.csv"), "--pprof", out("g.pb.gz"), "--folded", out("s.txt"), "--perfetto", out("s.json")))
			}
			b.ReportMetric(ours.Seconds()/gz.Seconds(), "of_gzip")
			b.ReportMetric(ours.Seconds(), "s/analyze")
			b.ReportMetric(float64(runtime.GOMAXPROCS(0)), "procs")
		})
	}
}

func timed(b *testing.B, name string, args ...string) time.Duration {
	b.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = io.Discard, os.Stderr
	begun := time.Now()
	if err := cmd.Run(); err != nil {
		b.Fatal(err)
	}
	return time.Since(begun)
}

// BenchmarkRoles opens and reduces a trace with role assignment and without,
// in turn, and reports the ratio of their best times.
func BenchmarkRoles(b *testing.B) {
	path := benchFile(b, synth.Options{Graphs: true})
	c, err := kernels.NewClassifier(nil)
	if err != nil {
		b.Fatal(err)
	}
	reduce := func(e attribution.Evidence) time.Duration {
		begun := time.Now()
		t, err := trace.Open(context.Background(), path, trace.Options{})
		if err != nil {
			b.Fatal(err)
		}
		breakdown.Reduce(t, c, breakdown.Options{ExcerptTo: -1, Evidence: e})
		d := time.Since(begun)
		runtime.GC()
		return d
	}
	with, without := time.Duration(1<<62), time.Duration(1<<62)
	for b.Loop() {
		without = min(without, reduce(attribution.Evidence{None: true}))
		with = min(with, reduce(attribution.Evidence{}))
	}
	b.ReportMetric(with.Seconds()/without.Seconds(), "of_without")
}

// BenchmarkMemory reports the live memory of an opened and reduced trace, an
// event, beyond the 64 MB that any trace may cost.
func BenchmarkMemory(b *testing.B) {
	path := benchFile(b, synth.Options{})
	c, err := kernels.NewClassifier(nil)
	if err != nil {
		b.Fatal(err)
	}
	var before, after runtime.MemStats
	var events int64
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		t, err := trace.Open(context.Background(), path, trace.Options{})
		if err != nil {
			b.Fatal(err)
		}
		r := breakdown.Reduce(t, c, breakdown.Options{ExcerptTo: -1})
		runtime.GC()
		runtime.ReadMemStats(&after)
		events = t.Info.Events
		runtime.KeepAlive(r)
		runtime.KeepAlive(t)
	}
	live := float64(after.HeapAlloc) - float64(before.HeapAlloc)
	b.ReportMetric(live/float64(events), "B/event")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/float64(events), "mallocs/event")
}
