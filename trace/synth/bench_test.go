package synth_test

import (
	"compress/gzip"
	"io"
	"testing"

	"tokprof/trace/synth"
)

var benchmarks = []struct {
	name string
	o    synth.Options
}{
	{"Classic", synth.Options{}},
	{"KeyPerLine", synth.Options{Layout: synth.KeyPerLine}},
	{"Compact", synth.Options{Layout: synth.Compact}},
	{"Graphs", synth.Options{Graphs: true}},
	{"TP2", synth.Options{WorldSize: 2}},
}

// BenchmarkWrite measures the generator alone.
func BenchmarkWrite(b *testing.B) {
	for _, bm := range benchmarks {
		b.Run(bm.name, func(b *testing.B) {
			bm.o.Bytes = 256 << 20
			for b.Loop() {
				st, err := synth.Write(io.Discard, bm.o)
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(st.Bytes)
				b.ReportMetric(float64(st.Bytes)/float64(st.Events), "B/event")
			}
		})
	}
}

// BenchmarkGzipRatio reports how well the output compresses at level 6; real
// traces give 15 to 18.
func BenchmarkGzipRatio(b *testing.B) {
	for _, bm := range benchmarks {
		b.Run(bm.name, func(b *testing.B) {
			bm.o.Bytes = 48 << 20
			for b.Loop() {
				var n counter
				z := gzip.NewWriter(&n)
				st, err := synth.Write(z, bm.o)
				if err != nil {
					b.Fatal(err)
				}
				if err := z.Close(); err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(st.Bytes)/float64(n), "ratio")
			}
		})
	}
}

// counter counts the bytes written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}
