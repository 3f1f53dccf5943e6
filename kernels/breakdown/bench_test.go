package breakdown_test

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"tokprof/kernels"
	"tokprof/kernels/breakdown"
	"tokprof/trace"
	"tokprof/trace/synth"
)

// benchTrace writes a generated trace of TOKPROF_BENCH_BYTES (64 MB when
// unset) and opens it.
func benchTrace(b *testing.B, o synth.Options) *trace.Trace {
	b.Helper()
	o.Bytes = 64 << 20
	if s := os.Getenv("TOKPROF_BENCH_BYTES"); s != "" {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		o.Bytes = n
	}
	path := filepath.Join(b.TempDir(), "trace.json")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := synth.Write(f, o); err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	t, err := trace.Open(b.Context(), path, trace.Options{})
	if err != nil {
		b.Fatal(err)
	}
	return t
}

func BenchmarkReduce(b *testing.B) {
	for name, o := range map[string]synth.Options{"eager": {}, "graphs": {Graphs: true}} {
		b.Run(name, func(b *testing.B) {
			t := benchTrace(b, o)
			c, err := kernels.NewClassifier(nil)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				breakdown.Reduce(t, c, breakdown.Options{ExcerptTo: -1})
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(t.Info.Events), "ns/event")
		})
	}
}
