package inflate

import (
	"bytes"
	stdgzip "compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
)

// benchBytes is the uncompressed size of the benchmark input.
func benchBytes(b *testing.B) int {
	text := os.Getenv("TOKPROF_BENCH_BYTES")
	if text == "" {
		return 256 << 20
	}
	n, err := strconv.Atoi(text)
	if err != nil || n <= 0 {
		b.Fatalf("TOKPROF_BENCH_BYTES=%q is not a size", text)
	}
	return n
}

// traceGzip makes a gzip file of size bytes of profiler-like JSON: layers that
// launch the same kernels over and over, with long names and rising times.
func traceGzip(b *testing.B, size int) []byte {
	rng := rand.New(rand.NewPCG(5, 5))
	names := kernelNames(rng)
	var gz bytes.Buffer
	w, err := stdgzip.NewWriterLevel(&gz, 6)
	if err != nil {
		b.Fatal(err)
	}
	var buf []byte
	ts := int64(5390000000000000)
	for id, written := 1, 0; written < size; id++ {
		ts += 4000 + rng.Int64N(60000)
		buf = appendEvents(buf[:0], rng, names[(id+rng.IntN(8)/7)%len(names)], ts, id)
		n, err := w.Write(buf[:min(len(buf), size-written)])
		if err != nil {
			b.Fatal(err)
		}
		written += n
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	return gz.Bytes()
}

var benchOps = []string{"mm", "add", "mul", "silu", "empty", "linear", "reshape", "_unsafe_view", "as_strided"}

// appendEvents writes a kernel launch with what surrounds it: two operators,
// the runtime call and the kernel. Times are in nanoseconds.
func appendEvents(buf []byte, rng *rand.Rand, kernel string, ts int64, id int) []byte {
	for op := range 2 {
		at := ts + int64(op)*1500 + rng.Int64N(1000)
		buf = fmt.Appendf(buf, `  {
    "ph": "X", "cat": "cpu_op", "name": "aten::%s", "pid": 4242, "tid": 4242,
    "ts": %d.%03d, "dur": %d.%03d,
    "args": {
      "External id": %d,"Record function id": 0, "Ev Idx": %d
    }
  },
`, benchOps[rng.IntN(len(benchOps))], at/1000, at%1000, rng.IntN(90), rng.IntN(1000), id, 2*id+op)
	}
	buf = fmt.Appendf(buf, `  {
    "ph": "X", "cat": "cuda_runtime", "name": "cudaLaunchKernel", "pid": 4242, "tid": 4242,
    "ts": %d.%03d, "dur": %d.%03d,
    "args": {
      "External id": %d, "cbid": 211, "correlation": %d
    }
  },
`, ts/1000, ts%1000, 3+rng.IntN(4), rng.IntN(1000), id, id)
	start := ts + 9000 + rng.Int64N(1000)
	return fmt.Appendf(buf, `  {
    "ph": "X", "cat": "kernel", "name": "%s", "pid": 0, "tid": 7,
    "ts": %d.%03d, "dur": %d.%03d,
    "args": {
      "External id": %d,      "queued": 0, "device": 0, "context": 1, "stream": 7, "correlation": %d,
      "registers per thread": 32, "shared memory": 0, "grid": [%d, 1, 1], "block": [128, 1, 1]
    }
  },
`, kernel, start/1000, start%1000, 2+rng.IntN(60), rng.IntN(1000), id, id, 1<<rng.IntN(9))
}

// kernelNames makes one layer's worth of names the length of real ones.
func kernelNames(rng *rand.Rand) []string {
	parts := []string{
		"void at::native::vectorized_elementwise_kernel<4, ", "at::native::CUDAFunctor_add<c10::BFloat16>, ",
		"std::array<char*, 3ul> >(int, ", "cutlass::gemm::kernel::GemmUniversal<cute::tuple<int, int, int, int>, ",
		"at::native::(anonymous namespace)::", "flash::enable_sm90_or_later<flash::FlashAttnFwdSm90<", "cute::C<128>, cute::C<256>, cute::C<64>",
		"__nv_bfloat16, float, 2, true, false>", "triton_poi_fused_add_mul_silu_slice_", "::Params)", "const*, unsigned int)",
	}
	names := make([]string, 14)
	for i := range names {
		for range 5 + rng.IntN(6) {
			names[i] += parts[rng.IntN(len(parts))]
		}
		names[i] += strconv.Itoa(i)
	}
	return names
}

// BenchmarkDrain reads the same file with each implementation in turn, so
// that a noisy host slows them alike, and reports the ratio of the medians.
func BenchmarkDrain(b *testing.B) {
	size := benchBytes(b)
	gz := traceGzip(b, size)
	buf := make([]byte, 512<<10)
	open := map[string]func(io.Reader) (io.Reader, error){
		"inflate":   func(r io.Reader) (io.Reader, error) { return NewReader(r) },
		"klauspost": func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
		"std":       func(r io.Reader) (io.Reader, error) { return stdgzip.NewReader(r) },
	}
	times := map[string][]time.Duration{}
	for b.Loop() {
		for _, name := range []string{"klauspost", "inflate", "std"} {
			start := time.Now()
			r, err := open[name](bytes.NewReader(gz))
			if err != nil {
				b.Fatal(err)
			}
			if n := count(b, r, buf); n != size {
				b.Fatalf("%s: %d bytes of %d", name, n, size)
			}
			times[name] = append(times[name], time.Since(start))
		}
	}
	median := func(name string) float64 {
		slices.Sort(times[name])
		return times[name][len(times[name])/2].Seconds()
	}
	for name := range open {
		b.ReportMetric(float64(size)/median(name)/1e6, name+"-MB/s")
	}
	b.ReportMetric(median("klauspost")/median("inflate"), "x-klauspost")
	b.ReportMetric(median("std")/median("inflate"), "x-std")
	b.ReportMetric(float64(size)/float64(len(gz)), "gzip-ratio")
}

// BenchmarkReader is the reader alone, for profiles and allocations.
func BenchmarkReader(b *testing.B) {
	size := min(benchBytes(b), 32<<20)
	gz := traceGzip(b, size)
	for _, bufSize := range []int{32 << 10, 512 << 10} {
		b.Run(fmt.Sprintf("buffer=%dK", bufSize>>10), func(b *testing.B) {
			buf := make([]byte, bufSize)
			src := bytes.NewReader(gz)
			z, err := NewReader(src)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				src.Reset(gz)
				if err := z.Reset(src); err != nil {
					b.Fatal(err)
				}
				count(b, z, buf)
			}
		})
	}
}

// count reads r to its end and returns the number of bytes.
func count(b *testing.B, r io.Reader, buf []byte) int {
	total := 0
	for {
		n, err := r.Read(buf)
		total += n
		if err == io.EOF {
			return total
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
