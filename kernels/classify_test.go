package kernels

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"tokprof/fixtures/golden"
)

// TestFixtures holds the rules to the labelled names: every group and every
// subgroup of them is right.
func TestFixtures(t *testing.T) {
	c := newClassifier(t)
	for _, fixture := range []string{"known_names.tsv", "more_names.tsv"} {
		names := labels(t, fixture)
		if len(names) < 200 {
			t.Errorf("%s has only %d names", fixture, len(names))
		}
		for _, n := range names {
			if _, err := ParseCategory(n.want.String()); err != nil {
				t.Errorf("%s: %v", fixture, err)
			}
			if m := c.Classify(n.name); m.Category != n.want {
				t.Errorf("%s: %s is %s by rule %q, want %s", fixture, n.name, m.Category, m.Rule, n.want)
			}
		}
	}
}

// TestTable pins category, rule and short name of every fixture, so that a
// change of a rule shows what else it moves.
func TestTable(t *testing.T) {
	c := newClassifier(t)
	var b strings.Builder
	for _, fixture := range []string{"known_names.tsv", "more_names.tsv"} {
		for _, n := range labels(t, fixture) {
			m := c.Classify(n.name)
			fmt.Fprintf(&b, "%s\t%s\t%s\t%s\t%s\n", m.Category, m.Rule, strings.Join(m.Tags, ","), m.Short, clipTo(n.name, 100))
		}
	}
	golden.Check(t, "table.golden", []byte(b.String()))
}

// TestTraps are names that contain the letters of what they are not.
func TestTraps(t *testing.T) {
	long := "void vllm::" + strings.Repeat("a_very_deep_namespace::", 20)
	for _, trap := range []struct{ why, name, want string }{
		{"gemma contains gemm", "_gemma_fused_add_rmsnorm_kernel", "other.norm"},
		{"gemma contains gemm, in camel case", "void flashinfer::norm::GemmaRMSNormKernel<8u, __half>(__half*)", "other.norm"},
		{"flashinfer contains flash", "void flashinfer::norm::RMSNormKernel<8u, __nv_bfloat16>(__nv_bfloat16*)", "other.norm"},
		{"flashinfer contains flash, sampling", "void flashinfer::sampling::TopPSamplingFromProbKernel<1024u, (cub::BlockScanAlgorithm)2>(float*)", "other.sampling"},
		{"FA2 names contain cutlass", "void flash::flash_fwd_kernel<Flash_fwd_kernel_traits<128, 128, 64, 4, false, false, cutlass::bfloat16_t> >(flash::Flash_fwd_params)", "attention.core"},
		{"FA3 names contain cutlass", "void cutlass::device_kernel<flash::enable_sm90_or_later<flash::FlashAttnFwdSm90<flash::CollectiveMainloopFwdSm90<2, cutlass::bfloat16_t> > > >(flash::FlashAttnFwdSm90::Params)", "attention.core"},
		{"a KV data type is no KV write", "void vllm::paged_attention_v1_kernel<unsigned short, unsigned char, 128, 16, 128, (vllm::Fp8KVCacheDataType)1, false>(unsigned short*)", "attention.decode"},
		{"flash layout, but a KV write", "void vllm::reshape_and_cache_flash_kernel<__nv_bfloat16, unsigned char, (vllm::Fp8KVCacheDataType)1>(int)", "attention.kv_write"},
		{"ops of an Inductor name are not the kernel's", "triton_poi_fused_add_all_reduce_mul_1", "other.elementwise"},
		{"an Inductor name with marlin_gemm in it", "triton_red_fused__to_copy_add_marlin_gemm_mean_mul_pow_rsqrt_2", "other.norm"},
		{"symmetric memory", "void multimem_all_reduce_kernel<c10::BFloat16, 16>(c10::BFloat16*, unsigned long)", "comm.all_reduce"},
		{"custom all-reduce without the word", "void vllm::cross_device_reduce_1stage<__nv_bfloat16, 2>(vllm::RankData*)", "comm.all_reduce"},
		{"symmetric NCCL kernels", "ncclSymkDevKernel_AllReduce_AGxLL_R_sum_bf16(ncclSymkDevWorkArgs4K)", "comm.all_reduce"},
		{"a launcher is what it launches: GEMM", "void cutlass::device_kernel<cutlass::gemm::kernel::GemmUniversal<cute::tuple<int, int, int, int>, cutlass::gemm::collective::CollectiveMma<cutlass::bfloat16_t> > >(int)", "gemm.dense"},
		{"a launcher is what it launches: grouped GEMM", "void cutlass::device_kernel<cutlass::gemm::kernel::GemmUniversal<cutlass::gemm::GroupProblemShape<cute::tuple<int, int, int> >, float> >(int)", "ffn.moe_gemm"},
		{"parameters say nothing", "void my_scale_kernel<float>(flash::Flash_fwd_params, vllm::Fp8KVCacheDataType, ncclDevComm*)", "other.elementwise"},
		{"truncated in the arguments", "void vllm::topKPerRowDecode<1024, true, false", "attention.indexer"},
		{"truncated behind the name", "void smxx::decode::flash_fwd_mla_combine_kernel<cutlass::bfloat16_t, 512, 8, 160, 256>(", "attention.combine"},
		{"equal for 460 characters: norm", long + "rms_norm_kernel<c10::BFloat16>(int)", "other.norm"},
		{"equal for 460 characters: activation", long + "silu_and_mul_kernel<c10::BFloat16>(int)", "ffn.activation"},
		{"mangled", "_ZN4vllm15rms_norm_kernelIN3c104HalfEEEvPT_PKS3_S6_fii", "other.norm"},
		{"5,000 characters", "void cutlass::device_kernel<flash::FlashAttnFwdSm90<" + strings.Repeat("cute::tuple<cute::C<1> >, ", 200) + "int> >(int)", "attention.core"},
		{"plan and metadata of an indexer", "void deep_gemm::smxx_paged_mqa_logits_metadata<128u, 256u, 132u>(int)", "attention.metadata"},
		{"a permutation named after DeepEP", "deepep_permute_triton_kernel", "ffn.moe_permute"},
		{"convert is no convolution", "convert_vertical_slash_indexes_kernel", "attention.metadata"},
	} {
		if m := newClassifier(t).Classify(trap.name); m.Category.String() != trap.want {
			t.Errorf("%s: %s by rule %q, want %s", trap.why, m.Category, m.Rule, trap.want)
		}
	}
}

// TestNoFalseCollectives: a wrong collective would make ranks wait for each
// other that never do.
func TestNoFalseCollectives(t *testing.T) {
	c := newClassifier(t)
	names := []string{
		"void at::native::reduce_kernel<512, 1, at::native::ReduceOp<float, at::native::MeanOps<float> > >(int)",
		"void at::native::vectorized_gather_kernel<16, long>(char*)", "gather_kernel", "scatter_add_kernel", "scatter_reduce_kernel",
		"_scatter_gather_elementwise_kernel", "mul_broadcast_2d_kernel", "broadcast_to_kernel", "all_kernel", "any_all_reduce_bool", "warp_all_reduce_kernel<float>",
		"block_all_reduce_sum_f32_f32_kernel<256>", "_moe_sum_reduce_kernel", "_fwd_kernel_ep_gather", "_fwd_kernel_ep_scatter_1", "flash_fwd_splitkv_combine_kernel",
		"splitKreduce_kernel", "reduce_segments", "_reduce_grouped", "triton_poi_fused_add_all_reduce_0", "triton_red_fused_all_gather_mean_mul_pow_rsqrt_2",
		"moe_combine_kernel", "experts_combine_kernel", "token_dispatch_kernel", "cp_gather_cache", "send_to_host_kernel", "segment_reduce_kernel",
		"cub::DeviceReduceKernel", "reduce_1Block_kernel", "void foo_kernel<vllm::RankData, ncclDevComm>(ncclDevComm*)", "barrier_free_gemm_kernel",
		"deepep_post_reorder_triton_kernel", "finalizeMoeRoutingKernel", "one_shot_topk_kernel", "twoshot_prefix_sum",
	}
	for _, n := range names {
		if m := c.Classify(n); m.Group == "comm" {
			t.Errorf("%s is taken for %s by rule %s", n, m.Category, m.Rule)
		}
	}
}

func TestUnknown(t *testing.T) {
	for _, n := range []string{"", " ", "xyzzy", "void plugh<int>(float*)", "(", "::", "_Z", "<>", "\x00\xff"} {
		m := newClassifier(t).Classify(n)
		if m.Category != Unclassified || m.Rule != "" {
			t.Errorf("%q is %s by rule %q, want unclassified by none", n, m.Category, m.Rule)
		}
	}
}

// TestSpellings: how a tool spells a name does not change what it is.
func TestSpellings(t *testing.T) {
	c := newClassifier(t)
	for _, n := range append(labels(t, "known_names.tsv"), labels(t, "more_names.tsv")...) {
		if isCopy(n.name) || strings.HasPrefix(n.name, "_Z") {
			continue
		}
		want := c.Classify(n.name)
		for _, other := range []string{
			strings.TrimPrefix(n.name, "void "), "void " + strings.TrimPrefix(n.name, "void "), n.name + ".kd", n.name + " [clone .kd]", " " + n.name,
			strings.ReplaceAll(n.name, "(anonymous namespace)", "<unnamed>"),
			strings.NewReplacer("<128,", "<(int)128,", "<4,", "<(int)4,", " true,", " (bool)1,", " false,", " (bool)0,", "*)", " *)").Replace(n.name),
			strings.ReplaceAll(n.name, "> >", ">>"),
		} {
			if got := c.Classify(other); got.Rule != want.Rule || got.Short != want.Short {
				t.Errorf("%s\n is %s (%s)\n but %s\n is %s (%s)", n.name, want.Rule, want.Short, other, got.Rule, got.Short)
			}
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	c := newClassifier(t)
	names := labels(t, "known_names.tsv")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for _, n := range names {
				if m := c.Classify(n.name); m.Category != n.want {
					t.Errorf("%s is %s, want %s", n.name, m.Category, n.want)
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkClassify(b *testing.B) {
	names := append(labels(b, "known_names.tsv"), labels(b, "more_names.tsv")...)
	b.Run("first", func(b *testing.B) {
		c := newClassifier(b)
		for i := 0; b.Loop(); i++ {
			c.decide(names[i%len(names)].name)
		}
	})
	b.Run("again", func(b *testing.B) {
		c := newClassifier(b)
		for i := 0; b.Loop(); i++ {
			c.Classify(names[i%len(names)].name)
		}
	})
}
