package breakdown

import (
	"strings"
	"testing"

	"tokprof/trace"
)

// kernelNames are real names for the letters in which tests spell passes.
var kernelNames = map[string]string{
	"e": "_vocab_parallel_embedding_kernel",
	"n": normName,
	"g": gemmName,
	"a": attnName,
	"k": "void vllm::reshape_and_cache_flash_kernel<__nv_bfloat16, __nv_bfloat16, (vllm::Fp8KVCacheDataType)0>",
	"f": "void vllm::act_and_mul_kernel<c10::BFloat16, &vllm::silu_kernel<c10::BFloat16>, true>(c10::BFloat16*, c10::BFloat16 const*, int)",
	"X": "fused_moe_kernel",
	"o": "void vllm::moe::topkGatingSoftmax<4, 128, 4, 16>(float const*, bool const*, float*, int, int*, int*, int, int, int)",
	"r": commName,
	"z": "void at::native::reduce_kernel<512, 1, at::native::ReduceOp<float, at::native::ArgMaxOps<float>, unsigned int, long, 4, 4> >(at::native::ReduceOp<float, at::native::ArgMaxOps<float>)",
	"R": "ncclDevKernel_SendRecv(ncclDevKernelArgsStorage<4096ul>)",
	"G": "ncclDevKernel_AllGather_RING_LL(ncclDevKernelArgsStorage<4096ul>)",
	"C": "_causal_conv1d_update_kernel",
	"l": "_selective_scan_update_kernel",
	"m": "Memset (Device)",
	".": "void at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctor_add<c10::BFloat16>, std::array<char*, 3ul> >(int, at::native::CUDAFunctor_add<c10::BFloat16>)",
}

// letterOf is the other way round.
func letterOf(name string) string {
	for l, n := range kernelNames {
		if n == name {
			return l
		}
	}
	return "?"
}

// pass launches one kernel a letter, 10 µs apart on the host from at on; each
// runs 8 µs, 100 µs after its launch. It returns when the next could start.
func (s *script) pass(at, stream int, letters string) int {
	for _, l := range strings.Fields(letters) {
		s.gpu(kernelNames[l], 0, stream, at+100*µs, 8*µs, s.call("cudaLaunchKernel", at, 2*µs))
		at += 10 * µs
	}
	return at
}

// graph launches the letters as one graph replay; stream is that of its kernels.
func (s *script) graph(at, stream int, letters string) int {
	corr := s.call("cudaGraphLaunch", at, 5*µs)
	for n, l := range strings.Fields(letters) {
		s.gpu(kernelNames[l], 0, stream, at+100*µs+n*10*µs, 8*µs, corr)
	}
	return at + 10*µs*len(strings.Fields(letters)) + 10*µs
}

// rolesOn lists the roles of one stream's products, in order.
func rolesOn(ev *Events, stream int64) string {
	var out []string
	for i, id := range ev.Trace.GPU() {
		l := letterOf(ev.Trace.Name(ev.Trace.NameOf(id)))
		if ev.Trace.Track(ev.Trace.TrackOf(id)).Stream != stream || l != "g" && l != "X" {
			continue
		}
		r := ev.Known(i).Role.String()
		if r == "" {
			r = "?"
		}
		out = append(out, r)
	}
	return strings.Join(out, " ")
}

// TestKernelNames: the letters mean what their names are classified as.
func TestKernelNames(t *testing.T) {
	c := classifier(t)
	for l, want := range map[string]string{
		"e": "other.embedding", "n": "other.norm", "g": "gemm.dense", "k": "attention.kv_write", "f": "ffn.activation",
		"X": "ffn.moe_gemm", "o": "ffn.moe_router", "r": "comm.all_reduce", "z": "other.sampling", "R": "comm.send_recv",
		"G": "comm.all_gather", "C": "attention.linear", "l": "attention.linear", ".": "other.elementwise",
	} {
		if got := c.Classify(kernelNames[l]).Category.String(); got != want {
			t.Errorf("%s is %s, want %s", l, got, want)
		}
	}
}

// TestSideStreams: a block on two streams is read as if it were on one,
// whichever half is beside, and a small product beside a large one belongs to
// the same projection.
func TestSideStreams(t *testing.T) {
	for _, test := range []struct {
		name             string
		main, side       string // of one layer; side starts with the kernel behind main's second norm
		want, wantBeside string // roles of one layer
	}{
		{"shared expert beside", "n g k a g n g o X f X o r", "g f g",
			"qkv_proj o_proj router experts_gate_up experts_down", "shared_gate_up shared_down"},
		{"routed experts beside", "n g k a g n g f g . r", "g o X f X o",
			"qkv_proj o_proj shared_gate_up shared_down", "router experts_gate_up experts_down"},
		{"linear attention's small product", "n g C l n g n g f g r", "",
			"linear_in_proj linear_out_proj gate_up down", ""},
		{"a collective beside says nothing", "n g k a g n g f g r", "r r",
			"qkv_proj o_proj gate_up down", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &script{}
			s.step(decodeStep, 0, 5000*µs)
			at := s.pass(10*µs, 7, "e")
			const layers = 4
			for range layers {
				head, tail := test.main, ""
				if i := strings.LastIndex(test.main, "n "); test.side != "" {
					head, tail = test.main[:i+1], test.main[i+1:]
				}
				at = s.pass(at, 7, head)
				s.pass(at+3*µs, 20, test.side)
				at = s.pass(at, 7, tail)
			}
			s.pass(at, 7, "n g z")
			ev := s.events(t)
			wantMain := strings.TrimSpace(strings.Repeat(test.want+" ", layers) + "lm_head")
			if got := rolesOn(ev, 7); got != wantMain {
				t.Errorf("main stream: %s, want %s", got, wantMain)
			}
			if got, want := rolesOn(ev, 20), strings.TrimSpace(strings.Repeat(test.wantBeside+" ", layers)); got != want && test.wantBeside != "" {
				t.Errorf("beside: %s, want %s", got, want)
			}
			for i, id := range ev.Trace.GPU() {
				if k := ev.Known(i); ev.Trace.Track(ev.Trace.TrackOf(id)).Stream == 20 && k.Role.String() != "" && k.Layer < 0 {
					t.Errorf("event %d has role %s and no layer", i, k.Role)
				}
			}
		})
	}
}

// TestSmallProductBeside: both input products of linear attention are its input
// projection, also when the second runs on a stream of its own.
func TestSmallProductBeside(t *testing.T) {
	s := &script{}
	s.step(decodeStep, 0, 5000*µs)
	at := s.pass(10*µs, 7, "e")
	for range 3 {
		at = s.pass(at, 7, "n")
		s.pass(at+3*µs, 20, "g")
		at = s.pass(at, 7, "g C l n g n g f g r")
	}
	s.pass(at, 7, "n g z")
	ev := s.events(t)
	if got, want := rolesOn(ev, 20), "linear_in_proj linear_in_proj linear_in_proj"; got != want {
		t.Errorf("beside: %s, want %s", got, want)
	}
}

// TestTwoMicroBatches: a stream with attention of its own is a pass of its own.
func TestTwoMicroBatches(t *testing.T) {
	s := &script{}
	s.step(decodeStep, 0, 5000*µs)
	text := "e " + strings.Repeat("n g k a g n g f g ", 3) + "n g z"
	s.pass(10*µs, 7, text+" a") // the busier one is the main stream
	s.pass(13*µs, 20, text)
	ev := s.events(t)
	if a, b := rolesOn(ev, 7), rolesOn(ev, 20); a != b || !strings.HasPrefix(a, "qkv_proj o_proj gate_up down") || strings.Contains(b, "?") {
		t.Errorf("one stream has %s, the other %s", a, b)
	}
}

// TestKernelsBehindTheirMarker: what an asynchronous scheduler runs a step late
// has the phase and the roles of the step that launched it.
func TestKernelsBehindTheirMarker(t *testing.T) {
	s := &script{}
	text := "e " + strings.Repeat("n g k a g n g f g ", 2) + "n g z"
	for n := range 3 {
		name := decodeStep
		if n == 0 {
			name = prefillStep
		}
		s.step(name, n*1000*µs, 300*µs)
		s.pass(n*1000*µs+10*µs, 7, text)
	}
	// On the GPU all runs 900 µs later: most of it in the next annotation's time.
	tr := s.open(t)
	ev := NewEvents(tr, classifier(t), Evidence{})
	want := strings.TrimSpace(strings.Repeat("qkv_proj o_proj gate_up down qkv_proj o_proj gate_up down lm_head ", 3))
	if got := rolesOn(ev, 7); got != want {
		t.Errorf("roles %s", got)
	}
	if ev.Phase(0) != trace.Prefill || ev.Phase(len(tr.GPU())-1) != trace.Decode {
		t.Error("phases do not follow the launch")
	}
}
