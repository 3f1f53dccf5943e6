package kineto

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"tokprof/trace/synth"
)

// benchFiles makes each big trace once for all benchmarks of a run.
var benchFiles struct {
	sync.Mutex
	dir   string
	names map[string]string
}

// benchFile returns the path of a synthetic trace of TOKPROF_BENCH_BYTES bytes
// (1 GB; 64 MB with -short). The directory TOKPROF_BENCH_DIR keeps the files
// from one run to the next.
func benchFile(b *testing.B, layout synth.Layout, zip bool) string {
	b.Helper()
	size := int64(1e9)
	if testing.Short() {
		size = 64e6
	}
	if s := os.Getenv("TOKPROF_BENCH_BYTES"); s != "" {
		v, err := strconv.ParseFloat(s, 64)
		if err != nil {
			b.Fatal(err)
		}
		size = int64(v)
	}
	benchFiles.Lock()
	defer benchFiles.Unlock()
	key := fmt.Sprintf("layout%d-%d.json", layout, size)
	if zip {
		key += ".gz"
	}
	if name := benchFiles.names[key]; name != "" {
		return name
	}
	if benchFiles.names == nil {
		benchFiles.names = map[string]string{}
		if benchFiles.dir = os.Getenv("TOKPROF_BENCH_DIR"); benchFiles.dir == "" {
			dir, err := os.MkdirTemp("", "kineto-bench")
			if err != nil {
				b.Fatal(err)
			}
			benchFiles.dir = dir
		}
	}
	name := filepath.Join(benchFiles.dir, key)
	if _, err := os.Stat(name); err != nil {
		writeBench(b, name, synth.Options{Bytes: size, Layout: layout}, zip)
	}
	benchFiles.names[key] = name
	return name
}

func writeBench(b *testing.B, name string, opt synth.Options, zip bool) {
	f, err := os.Create(name)
	if err != nil {
		b.Fatal(err)
	}
	w := io.Writer(f)
	var z *gzip.Writer
	if zip {
		z, _ = gzip.NewWriterLevel(f, 6)
		w = z
	}
	if _, err := synth.Write(w, opt); err != nil {
		b.Fatal(err)
	}
	if zip {
		err = z.Close()
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	if err != nil {
		b.Fatal(err)
	}
}

func TestMain(m *testing.M) {
	code := m.Run()
	if benchFiles.dir != "" && os.Getenv("TOKPROF_BENCH_DIR") == "" {
		_ = os.RemoveAll(benchFiles.dir)
	}
	os.Exit(code)
}

// countLines is RC, the yardstick for plain files: read in 1 MiB pieces and
// count the line ends.
func countLines(b *testing.B, name string) time.Duration {
	f, err := os.Open(name)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	buf := make([]byte, 1<<20)
	start := time.Now()
	lines := 0
	for {
		n, err := f.Read(buf)
		lines += bytes.Count(buf[:n], []byte{'\n'})
		if err != nil {
			break
		}
	}
	runtime.KeepAlive(lines)
	return time.Since(start)
}

// sumBytes is the second yardstick for plain files: read and add up the bytes one
// by one. It moves with the speed of a core, where countLines moves with that of
// memory and vector units, which differs fourfold among machines.
func sumBytes(b *testing.B, name string) time.Duration {
	f, err := os.Open(name)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	buf := make([]byte, 1<<20)
	start := time.Now()
	var sum uint64
	for {
		n, err := f.Read(buf)
		for _, c := range buf[:n] {
			sum += uint64(c)
		}
		if err != nil {
			break
		}
	}
	runtime.KeepAlive(sum)
	return time.Since(start)
}

// drainGzip is the yardstick for .gz files.
func drainGzip(b *testing.B, name string) time.Duration {
	f, err := os.Open(name)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	start := time.Now()
	z, err := gzip.NewReader(f)
	if err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 1<<20)
	for err == nil {
		_, err = z.Read(buf)
	}
	if err != io.EOF {
		b.Fatal(err)
	}
	return time.Since(start)
}

func timeRead(b *testing.B, name string, opt Options) (time.Duration, *File) {
	f, err := os.Open(name)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	start := time.Now()
	got, err := Read(context.Background(), Source{Name: name, R: f, Size: -1}, opt)
	if err != nil {
		b.Fatal(err)
	}
	return time.Since(start), got
}

// BenchmarkPlain reports each way of reading as a share of the throughput of RC
// (of_RC) and of the byte loop (of_sum), all run in turn, best of all rounds.
func BenchmarkPlain(b *testing.B) {
	for _, l := range []struct {
		name   string
		layout synth.Layout
	}{{"classic", synth.Classic}, {"keyperline", synth.KeyPerLine}, {"compact", synth.Compact}} {
		for _, o := range []struct {
			name string
			opt  Options
		}{
			{"parse1", Options{Workers: 1, Discard: true}},
			{"store1", Options{Workers: 1}},
			{"store2", Options{Workers: 2}},
		} {
			b.Run(l.name+"/"+o.name, func(b *testing.B) {
				name, classic := benchFile(b, l.layout, false), benchFile(b, synth.Classic, false)
				count := func() time.Duration { return countLines(b, classic) }
				sum := func() time.Duration { return sumBytes(b, classic) }
				best, yards, f := benchTurns(b, name, o.opt, count, sum)
				rate := float64(f.RawBytes) / best.Seconds()
				size := float64(fileSize(b, classic))
				b.ReportMetric(rate/(size/yards[0].Seconds()), "of_RC")
				b.ReportMetric(rate/(size/yards[1].Seconds()), "of_sum")
			})
		}
	}
}

// BenchmarkGzip reports the time into the store over that of draining the same
// file through a library's gzip.
func BenchmarkGzip(b *testing.B) {
	name := benchFile(b, synth.Classic, true)
	for _, workers := range []int{1, 2} {
		b.Run(fmt.Sprintf("store%d", workers), func(b *testing.B) {
			drain := func() time.Duration { return drainGzip(b, name) }
			best, yards, _ := benchTurns(b, name, Options{Workers: workers}, drain)
			b.ReportMetric(float64(best)/float64(yards[0]), "x_drain")
		})
	}
}

// benchTurns runs the yardsticks and the reader in turn, three times a round, and
// returns the best time of each.
func benchTurns(b *testing.B, name string, opt Options, yards ...func() time.Duration) (best time.Duration, refs []time.Duration, f *File) {
	best = time.Hour
	refs = slices.Repeat([]time.Duration{time.Hour}, len(yards))
	var allocs uint64
	reads := 0
	for b.Loop() {
		for range 3 {
			for i, yard := range yards {
				refs[i] = min(refs[i], yard())
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			var d time.Duration
			d, f = timeRead(b, name, opt)
			runtime.ReadMemStats(&after)
			best = min(best, d)
			allocs += after.Mallocs - before.Mallocs
			reads++
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(f.RawBytes)/1e6/best.Seconds(), "MB/s")
	b.ReportMetric(float64(best)/float64(f.Events), "ns/event")
	b.ReportMetric(float64(allocs)/float64(reads)/float64(f.Events), "mallocs/event")
	b.ReportMetric(float64(runtime.GOMAXPROCS(0)), "procs")
	return best, refs, f
}

func fileSize(b *testing.B, name string) int64 {
	st, err := os.Stat(name)
	if err != nil {
		b.Fatal(err)
	}
	return st.Size()
}
