// Package tracescript writes small traces for tests: host calls, kernels, steps
// and whole passes, spelled one letter a kernel.
package tracescript

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tokprof/trace"
)

// Names whose groups the tests rely on, one of each.
const (
	Gemm = "nvjet_tst_64x8_64x16_4x1_v_bz_TNT"
	Comm = "ncclDevKernel_AllReduce_Sum_bf16_RING_LL(ncclDevKernelArgsStorage<4096ul>)"
	Attn = "void flash_fwd_splitkv_kernel<Flash_fwd_kernel_traits<128, 64, 128>, true>(Flash_fwd_params)"
	Norm = "void vllm::rms_norm_kernel<c10::BFloat16, 8, 2>(c10::BFloat16*)"
	Copy = "Memcpy HtoD (Pinned -> Device)"
)

// Names of step annotations.
const (
	DecodeStep  = "execute_context_0(0)_generation_8(8)"
	PrefillStep = "execute_context_1(64)_generation_0(0)"
	IdleStep    = "execute_context_0(0)_generation_0(0)"
)

// µs is one microsecond in the scripts' unit.
const µs = 1000

// Script is a trace under construction. Times are nanoseconds after Base.
type Script struct {
	rows []string
	corr int
}

// Base is where the scripts' clock begins, in Unix nanoseconds.
const Base = 1_790_000_000_000_000_000

// Row adds a row of any kind.
func (s *Script) Row(cat, name string, pid, tid any, ts, dur int, args string) {
	s.rows = append(s.rows, fmt.Sprintf(`{"ph": "X", "cat": %q, "name": %q, "pid": %v, "tid": %v, "ts": %d.%03d, "dur": %d.%03d, "args": {%s}}`,
		cat, name, pid, tid, ts/1000, ts%1000, dur/1000, dur%1000, args))
}

// GPU adds a kernel (or a copy, by its name) that call corr launched; 0 for none.
func (s *Script) GPU(name string, device, stream, ts, dur, corr int) {
	cat := "kernel"
	if strings.HasPrefix(name, "Memcpy") {
		cat = "gpu_memcpy"
	}
	args := fmt.Sprintf(`"device": %d, "stream": %d`, device, stream)
	if corr > 0 {
		args += fmt.Sprintf(`, "correlation": %d`, corr)
	}
	s.Row(cat, name, device, stream, ts, dur, args)
}

// Call adds a host call of thread 1 of process 10 and returns its correlation.
func (s *Script) Call(name string, ts, dur int) int { return s.CallOn(name, 10, 1, ts, dur) }

// CallOn is Call on another thread.
func (s *Script) CallOn(name string, pid, tid, ts, dur int) int {
	s.corr++
	s.Row("cuda_runtime", name, pid, tid, ts, dur, fmt.Sprintf(`"correlation": %d`, s.corr))
	return s.corr
}

// Launch adds a 5 µs launch call and its kernel.
func (s *Script) Launch(name string, at, start, dur int) {
	s.GPU(name, 0, 7, start, dur, s.Call("cudaLaunchKernel", at, 5*µs))
}

// Step adds a step annotation of the thread that Call calls on.
func (s *Script) Step(name string, ts, dur int) {
	s.Row("user_annotation", name, 10, 1, ts, dur, "")
}

// Text is the trace file.
func (s *Script) Text() string {
	return fmt.Sprintf("{\"schemaVersion\": 1, \"baseTimeNanoseconds\": %d, \"traceEvents\": [\n%s\n]}\n", Base, strings.Join(s.rows, ",\n"))
}

// Open reads the script as the trace of a rank.
func (s *Script) Open(t testing.TB) *trace.Trace {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rank0.1700000000000000000.pt.trace.json")
	if err := os.WriteFile(path, []byte(s.Text()), 0o644); err != nil {
		t.Fatal(err)
	}
	return OpenFile(t, path)
}

// OpenFile reads a trace file, or ends the test.
func OpenFile(t testing.TB, path string) *trace.Trace {
	t.Helper()
	tr, err := trace.Open(t.Context(), path, trace.Options{Hash: true})
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// Letters are real names for the letters in which tests spell passes.
var Letters = map[string]string{
	"e": "_vocab_parallel_embedding_kernel",
	"E": "triton_red_fused__to_copy_add_embedding_mean_mul_pow_rsqrt_0",
	"Y": "triton_per_fused__to_copy__unsafe_view_add_embedding_mean_mul_pow_rsqrt_7",
	"n": Norm,
	"g": Gemm,
	"a": Attn,
	"k": "void vllm::reshape_and_cache_flash_kernel<__nv_bfloat16, __nv_bfloat16, (vllm::Fp8KVCacheDataType)0>",
	"f": "void vllm::act_and_mul_kernel<c10::BFloat16, &vllm::silu_kernel<c10::BFloat16>, true>(c10::BFloat16*, c10::BFloat16 const*, int)",
	"X": "fused_moe_kernel",
	"o": "void vllm::moe::topkGatingSoftmax<4, 128, 4, 16>(float const*, bool const*, float*, int, int*, int*, int, int, int)",
	"r": Comm,
	"z": "void at::native::reduce_kernel<512, 1, at::native::ReduceOp<float, at::native::ArgMaxOps<float>, unsigned int, long, 4, 4> >(at::native::ReduceOp<float, at::native::ArgMaxOps<float>)",
	"R": "ncclDevKernel_SendRecv(ncclDevKernelArgsStorage<4096ul>)",
	"G": "ncclDevKernel_AllGather_RING_LL(ncclDevKernelArgsStorage<4096ul>)",
	"C": "_causal_conv1d_update_kernel",
	"l": "_selective_scan_update_kernel",
	"m": "Memset (Device)",
	".": "void at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctor_add<c10::BFloat16>, std::array<char*, 3ul> >(int, at::native::CUDAFunctor_add<c10::BFloat16>)",
}

// LetterOf returns the letter of a name, "?" for none.
func LetterOf(name string) string {
	for l, n := range Letters {
		if n == name {
			return l
		}
	}
	return "?"
}

// Pass launches one kernel a letter, 10 µs apart on the host from at on; each
// runs 8 µs, 100 µs after its launch. It returns when the next could start.
func (s *Script) Pass(at, stream int, letters string) int {
	for _, l := range strings.Fields(letters) {
		s.GPU(Letters[l], 0, stream, at+100*µs, 8*µs, s.Call("cudaLaunchKernel", at, 2*µs))
		at += 10 * µs
	}
	return at
}

// Graph launches the letters as one graph replay; stream is that of its kernels.
func (s *Script) Graph(at, stream int, letters string) int {
	corr := s.Call("cudaGraphLaunch", at, 5*µs)
	for n, l := range strings.Fields(letters) {
		s.GPU(Letters[l], 0, stream, at+100*µs+n*10*µs, 8*µs, corr)
	}
	return at + 10*µs*len(strings.Fields(letters)) + 10*µs
}

// Fixtures is the folder of recorded runs, seen from a package of kernels.
const Fixtures = "../../fixtures/traces"

// FixtureFiles lists the workers' traces, which are those with a truth.
func FixtureFiles(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(Fixtures, "*", "*.truth.tsv.gz"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(f, ".truth.tsv.gz") + ".pt.trace.json.gz"
	}
	return files
}

// FixtureName is a fixture's run and rank.
func FixtureName(path string) string {
	return filepath.Base(filepath.Dir(path)) + "/" + strings.TrimSuffix(filepath.Base(path), ".pt.trace.json.gz")
}
