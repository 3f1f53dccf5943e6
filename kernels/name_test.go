package kernels

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tokprof/fixtures/golden"
)

// spellings are names as different tools write them, the same kernel twice
// where two spellings are known.
var spellings = []string{
	"void vllm::rms_norm_kernel<c10::BFloat16, 8, 2>(c10::BFloat16*, c10::BFloat16 const*, long)",
	"_ZN4vllm15rms_norm_kernelIN3c104HalfEEEvPT_PKS3_S6_fii",
	"std::enable_if<(((8)>(0)))&&vllm::_typeConvert<c10::BFloat16>::exists, void>::type vllm::fused_add_rms_norm_kernel<c10::BFloat16, 8>(c10::BFloat16*, long)",
	"std::enable_if<!(false), void>::type internal::gemvx::kernel<int, int, float, float, float, float, false, true>(cublasGemvParamsEx<int>)",
	"void at::native::vectorized_elementwise_kernel<4, at::native::FillFunctor<int>, std::array<char*, 1ul> >(int, at::native::FillFunctor<int>, std::array<char*, 1ul>)",
	"void at::native::vectorized_elementwise_kernel<(int)4, at::native::FillFunctor<int>, std::array<char *, (unsigned long)1>>(int, T2, T3)",
	"_ZN2at6native29vectorized_elementwise_kernelILi4ENS0_11FillFunctorIiEESt5arrayIPcLm1EEEEviT0_T1_",
	"void at::native::elementwise_kernel<128, 2, at::native::gpu_kernel_impl_nocast<at::native::direct_copy_kernel_cuda(at::TensorIteratorBase&)::{lambda()#3}::operator()() const::{lambda()#7}::operator()() const::{lambda(float)#1}>(at::TensorIteratorBase&)::{lambda(int)#1}>(int, int)",
	"void at::native::vectorized_elementwise_kernel<(int)2, at::native::<unnamed>::where_kernel_impl(at::TensorIterator &)::[lambda() (instance 1)]::operator ()() const::[lambda(bool, long, long) (instance 1)], std::array<char *, (unsigned long)4>>(int, T2, T3)",
	"_ZN2at6native29vectorized_elementwise_kernelILi8EZNS0_25bfloat16_copy_kernel_cudaERNS_18TensorIteratorBaseEEUlfE_St5arrayIPcLm2EEEEviT0_T1_",
	"_ZN2at6native18elementwise_kernelILi128ELi2EZNS0_22gpu_kernel_impl_nocastIZZZNS0_44_GLOBAL__N__50c743a2_11_Indexing_cu_89862edb18masked_fill_kernelERNS_14TensorIteratorERKN3c106ScalarEENKUlvE_clEvENKUlvE5_clEvEUlfbE_EEvRNS_18TensorIteratorBaseERKT_EUliE_EEviT1_",
	"_ZN43_GLOBAL__N__b6de9c8c_10_SoftMax_cu_9f978f6320softmax_warp_forwardIfffLi6ELb0ELb0EEEvPT0_PKT_iiiPKbib",
	"void <unnamed>::softmax_warp_forward<float, float, float, (int)6, (bool)0, (bool)0>(T2 *, const T1 *, int, int, int, const bool *, int, bool)",
	"_ZN7sgl_hip10activation18act_and_mul_kernelI14__hip_bfloat16TnPFT_RKS3_EXadL_Z4siluIS2_ES3_S5_EEEEvPS3_PS4_i",
	"_ZN5aiter24add_rmsnorm_quant_kernelIDF16bDF16bLi256ELi16ELb0ELb0ELb1ELi1EEEvPT0_PT_PfS4_S4_S4_diiiiiiib",
	"_Z40ncclDevKernel_AllReduce_Sum_bf16_RING_LL24ncclDevKernelArgsStorageILm4096EE",
	"_Z26kgemm_4bit_inference_naiveI13__nv_bfloat16Li128ELi16EEviiiPT_PhPfPKfS2_iiii",
	"ncclDevKernel_Generic_4(ncclDevComm*, channelMasks, ncclWork*) [clone .kd]",
	"__amd_rocclr_fillBufferAligned.kd",
	"void cutlass::device_kernel<flash::enable_sm90_or_later<flash::FlashAttnFwdSm90<flash::CollectiveMainloopFwdSm90<2, cute::tuple<cute::C<1>, cute::C<1>, cute::C<1> > > > > >(flash::FlashAttnFwdSm90::Params)",
	"void cutlass::Kernel2<cutlass_80_tensorop_bf16_s16816gemm_relu_bf16_128x64_64x6_tn_align8>(cutlass_80_tensorop_bf16_s16816gemm_relu_bf16_128x64_64x6_tn_align8::Params)",
	"_ZN7ck_tile6kentryILi1ENS_12Rmsnorm2dFwdINS_27Rmsnorm2dFwdPipelineOnePassIiEEEEJEEEvDpT1_",
	"kernel_cutlass_kernel_flash_attncuteflash_fwd_sm100FlashAttentionForwardSm100_object_at__tensor0000o11101213_None_0",
	"nvjet_sm90_tst_64x8_64x16_4x1_v_bz_splitK_TNT",
	"Cijk_Alik_Bljk_BBS_BH_Bias_HA_S_SAV_UserArgs_MT128x256x32_MI16x16x1_SN_LDSB1",
	"sm90_xmma_gemm_bf16bf16_bf16f32_f32_tn_n_tilesize128x128x64_warpgroupsize1x1x1_execute_segment_k_off_kernel__5x_cublas",
	"_fwd_kernel_0d1d2d34d5d6d7d8d9d",
	"triton__0d1d2d3d4d5d6d",
	"Memcpy HtoD (Pinned -> Device)",
	"[CUDA memcpy Device-to-Host]",
	"void smxx::decode::flash_fwd_mla_combine_kernel<cutlass::bfloat16_t, 512, 8, 160, 256>(",
	"void vllm::topKPerRowDecode<1024, true, false",
	"void transformer_engine::normalization::rmsnorm_fwd_general_kernel<transformer_engine::nor",
	"_ZN5aiter30fused_mx_quant_moe_sort_kernelIDF16",
	"_ZN4vllm15rms_norm_ker",
	"fmha_cutlassF_f16_aligned_64x64_rf_sm80(PyTorchMemEffAttention::AttentionKernel<cutlass::half_t, cutlass::arch::Sm80, true, 64, 64, 64, true, true>::Params)",
	"void foo::Bar<float>::run(int)::{lambda(int)#1}::operator()(int) const",
	"a kernel with spaces",
}

func TestSplitGolden(t *testing.T) {
	var b strings.Builder
	for _, s := range spellings {
		n := Split(s)
		e := n.effective()
		fmt.Fprintf(&b, "raw       %s\nnormal    %s\nbase      %s\npath      %s\ntemplate  %s\nparams    %s\nmangled   %v\ntruncated %v\n", s, n.Normal, n.Base, strings.Join(n.Path, "::"), n.Template, n.Params, n.Mangled, n.Truncated)
		if e.Base != n.Base {
			fmt.Fprintf(&b, "launches  %s\n", e.qualified())
		}
		fmt.Fprintf(&b, "words     %s\nshort     %s\n\n", spell(e.Base), n.Short())
	}
	golden.Check(t, "split.golden", []byte(b.String()))
}

// TestSplitSpellings: the parts agree between the tools that were seen to
// write the same kernel.
func TestSplitSpellings(t *testing.T) {
	for _, same := range [][]string{spellings[4:7], spellings[11:13]} {
		first := Split(same[0])
		for _, s := range same[1:] {
			if n := Split(s); n.Base != first.Base || n.Template != first.Template || strings.Join(n.Path, "::") != strings.Join(first.Path, "::") {
				t.Errorf("%s\n splits into %q %q %q\n%s\n into %q %q %q", same[0], first.Path, first.Base, first.Template, s, n.Path, n.Base, n.Template)
			}
		}
	}
}

func TestWords(t *testing.T) {
	for text, want := range map[string]string{
		"fusedQKNormRope2d":              "fused qk norm rope 2 d",
		"RMSNormKernel":                  "rmsnorm kernel",
		"rms_norm":                       "rmsnorm",
		"topkGatingSoftmax":              "topk gating softmax",
		"FusedMoEGemm":                   "fused moe gemm",
		"_gemma3_gemm":                   "gemma 3 gemm",
		"s16816gemm_bf16":                "s 16816 gemm bf 16",
		"ncclDevKernel_AllReduce_Sum":    "nccl dev kernel allreduce sum",
		"ncclDevKernel_ReduceScatter":    "nccl dev kernel reducescatter",
		"a::b<float, C<1>>":              "a::b<float, c<1>>",
		"LoRA SwiGLU SiLU RoPE":          "lora swiglu silu rope",
		"BatchMLAPagedAttention":         "batch mla paged attention",
		"GEMMs":                          "gemms",
		"Memcpy HtoD (Pinned -> Device)": "memcpy htod (pinned -> device)",
		"__x__":                          "x",
		"":                               "",
	} {
		got, at := spellAt(text)
		if got != want || spell(text) != want {
			t.Errorf("spell(%q) = %q, want %q", text, got, want)
		}
		if len(at) != len(got)+1 {
			t.Errorf("spellAt(%q): %d origins for %d bytes", text, len(at), len(got))
		}
	}
}

func TestShort(t *testing.T) {
	for name, want := range map[string]string{
		"nvjet_sm90_tst_64x8_64x16_4x1_v_bz_splitK_TNT": "nvjet 64x8 splitK",
		"nvjet_tst_144x128_64x6_2x1_v_bz_bias_TNN":      "nvjet 144x128 bias",
		spellings[4]:  "vectorized_elementwise FillFunctor<int>",
		spellings[19]: "device_kernel FlashAttnFwdSm90",
		spellings[3]:  "gemvx::kernel",
		"void flash::flash_fwd_splitkv_combine_kernel<Flash_fwd_kernel_traits<256, 64, 64, 4> >(int)": "flash_fwd_splitkv_combine_kernel",
		"ampere_bf16_s16816gemm_bf16_64x64_sliced1x2_ldg8_f2f_stages_64x6_tn":                         "ampere_bf16_s16816gemm_bf16 64x64",
		spellings[25]: "sm90_xmma_gemm_bf16bf16 128x128x64",
		spellings[24]: "Cijk 128x256x32",
		spellings[22]: "FlashAttentionForwardSm100",
		"void at::native::vectorized_elementwise_kernel<2, at::native::AUnaryFunctor<long, long, long, at::native::binary_internal::MulFunctor<long> >, std::array<char*, 2ul> >(int)": "vectorized_elementwise MulFunctor<long>",
		strings.Repeat("x", 70) + "_end": strings.Repeat("x", 39) + "…" + strings.Repeat("x", 16) + "_end",
		"\xff\xfe":                       "?",
	} {
		if got := Split(name).Short(); got != want {
			t.Errorf("short of %s\n got %q\nwant %q", name, got, want)
		}
	}
}

// TestSplitNormal: the normal form of a name is a spelling of it.
func TestSplitNormal(t *testing.T) {
	names := slices.Clone(spellings)
	for _, l := range append(labels(t, "known_names.tsv"), labels(t, "more_names.tsv")...) {
		names = append(names, l.name)
	}
	for _, s := range names {
		n := Split(s)
		again := Split(n.Normal)
		if again.Base != n.Base || again.Normal != n.Normal || again.Template != n.Template {
			t.Errorf("%q is\n%q %q, its normal form\n%q %q", s, n.Normal, n.Base, again.Normal, again.Base)
		}
	}
}

// FuzzSplit: whatever a trace calls a kernel, splitting and classifying end,
// and the parts belong to the name.
func FuzzSplit(f *testing.F) {
	for _, s := range spellings {
		f.Add(s)
	}
	f.Add("_ZN" + strings.Repeat("I", 300))
	f.Add("_Z1fI" + strings.Repeat("S_S_", 200))
	f.Add(strings.Repeat("a<", 3000))
	f.Add(strings.Repeat("(", 3000))
	c := newClassifier(f)
	f.Fuzz(func(t *testing.T, s string) {
		n := Split(s)
		if n.Raw != s {
			t.Fatalf("Raw is %q", n.Raw)
		}
		for _, part := range append([]string{n.Base, n.Template, n.Params}, n.Path...) {
			if !strings.Contains(n.Normal, part) {
				t.Fatalf("%q is no part of %q", part, n.Normal)
			}
		}
		if len(n.Normal) > maxName {
			t.Fatalf("a name of %d bytes became %d", len(s), len(n.Normal))
		}
		if short := n.Short(); len([]rune(short)) > maxShort {
			t.Fatalf("short name %q is too long", short)
		}
		m, x := c.decide(s), c.Explain(s)
		if m.Category != x.Category || m.Rule != x.Rule {
			t.Fatalf("Classify says %v, Explain %v", m, x.Match)
		}
		if _, err := ParseRules(strings.NewReader(x.Line), "line"); err != nil {
			t.Fatalf("the ready rule %q: %v", x.Line, err)
		}
	})
}

// nastyNames are shapes that cost the most, as long as a name is looked at or a
// part of that.
func nastyNames(length int) (out []string) {
	for _, piece := range []string{"a<", "(", "a(", "a<)", "a::", "void ", "<unnamed>", "{", "a b ", "(int)1", "> ", "_ZN", "S_", " [clone x]", "ab_", "aB"} {
		for _, head := range []string{"", "_ZN", "_Z1fI", "kernel<"} {
			out = append(out, head+strings.Repeat(piece, length/len(piece)+10))
		}
	}
	return out
}

// TestSplitNasty: no shape of a name holds the reader up.
func TestSplitNasty(t *testing.T) {
	for _, s := range nastyNames(maxName) {
		start := time.Now()
		n := Split(s)
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("%q… takes %v", s[:20], took)
		}
		if n.Raw != s || len(n.Normal) > maxName {
			t.Errorf("%q… became %d bytes", s[:20], len(n.Normal))
		}
	}
}

// BenchmarkSplitNasty prints by how much a byte of the nastiest names costs more
// at full length than at an eighth of it: 1 where splitting is linear.
func BenchmarkSplitNasty(b *testing.B) {
	short, long := nastyNames(maxName/8), nastyNames(maxName)
	worst := 0.0
	for b.Loop() {
		for i := range long {
			cost := func(s string) float64 {
				start := time.Now()
				for range 4 {
					Split(s)
				}
				return float64(time.Since(start)) / float64(len(s))
			}
			worst = max(worst, cost(long[i])/cost(short[i]))
		}
	}
	b.ReportMetric(worst, "worst-byte-cost")
}
