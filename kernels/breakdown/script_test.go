package breakdown

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tokprof/kernels"
	"tokprof/trace"
)

// Names whose groups the tests rely on, one of each.
const (
	gemmName    = "nvjet_tst_64x8_64x16_4x1_v_bz_TNT"
	commName    = "ncclDevKernel_AllReduce_Sum_bf16_RING_LL(ncclDevKernelArgsStorage<4096ul>)"
	attnName    = "void flash_fwd_splitkv_kernel<Flash_fwd_kernel_traits<128, 64, 128>, true>(Flash_fwd_params)"
	normName    = "void vllm::rms_norm_kernel<c10::BFloat16, 8, 2>(c10::BFloat16*)"
	copyName    = "Memcpy HtoD (Pinned -> Device)"
	decodeStep  = "execute_context_0(0)_generation_8(8)"
	prefillStep = "execute_context_1(64)_generation_0(0)"
	idleStep    = "execute_context_0(0)_generation_0(0)"
)

// µs is one microsecond in the scripts' unit.
const µs = 1000

// script is a trace under construction. Times are nanoseconds after base.
type script struct {
	rows []string
	corr int
}

const base = 1_790_000_000_000_000_000

func (s *script) row(cat, name string, pid, tid any, ts, dur int, args string) {
	s.rows = append(s.rows, fmt.Sprintf(`{"ph": "X", "cat": %q, "name": %q, "pid": %v, "tid": %v, "ts": %d.%03d, "dur": %d.%03d, "args": {%s}}`,
		cat, name, pid, tid, ts/1000, ts%1000, dur/1000, dur%1000, args))
}

// gpu adds a kernel (or a copy, by its name) that call corr launched; 0 for none.
func (s *script) gpu(name string, device, stream, ts, dur, corr int) {
	cat := "kernel"
	if strings.HasPrefix(name, "Memcpy") {
		cat = "gpu_memcpy"
	}
	args := fmt.Sprintf(`"device": %d, "stream": %d`, device, stream)
	if corr > 0 {
		args += fmt.Sprintf(`, "correlation": %d`, corr)
	}
	s.row(cat, name, device, stream, ts, dur, args)
}

// call adds a host call of thread 1 of process 10 and returns its correlation.
func (s *script) call(name string, ts, dur int) int { return s.callOn(name, 10, 1, ts, dur) }

func (s *script) callOn(name string, pid, tid, ts, dur int) int {
	s.corr++
	s.row("cuda_runtime", name, pid, tid, ts, dur, fmt.Sprintf(`"correlation": %d`, s.corr))
	return s.corr
}

// launch adds a 5 µs launch call and its kernel.
func (s *script) launch(name string, at, start, dur int) {
	s.gpu(name, 0, 7, start, dur, s.call("cudaLaunchKernel", at, 5*µs))
}

func (s *script) step(name string, ts, dur int) {
	s.row("user_annotation", name, 10, 1, ts, dur, "")
}

func (s *script) text() string {
	return fmt.Sprintf("{\"schemaVersion\": 1, \"baseTimeNanoseconds\": %d, \"traceEvents\": [\n%s\n]}\n", base, strings.Join(s.rows, ",\n"))
}

func (s *script) open(t testing.TB) *trace.Trace {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rank0.1700000000000000000.pt.trace.json")
	if err := os.WriteFile(path, []byte(s.text()), 0o644); err != nil {
		t.Fatal(err)
	}
	return open1(t, path)
}

func (s *script) events(t testing.TB) *Events { return NewEvents(s.open(t), classifier(t), Evidence{}) }

func (s *script) reduce(t testing.TB) *Rank {
	return Reduce(s.open(t), classifier(t), Options{ExcerptTo: -1})
}

func open1(t testing.TB, path string) *trace.Trace {
	t.Helper()
	tr, err := trace.Open(t.Context(), path, trace.Options{Hash: true})
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func classifier(t testing.TB) *kernels.Classifier {
	t.Helper()
	c, err := kernels.NewClassifier(nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
