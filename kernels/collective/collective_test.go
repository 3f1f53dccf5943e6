package collective

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"tokprof/kernels/breakdown"
	"tokprof/kernels/collective/reducing"
)

// splitsOf spells how each rank's collectives were split: transfer+wait, or ?.
func splitsOf(ranks []*breakdown.Rank) string {
	s := Match(ranks)
	var out []string
	for _, of := range s.Of {
		line := ""
		for _, x := range of {
			if !x.Known {
				line += " ?"
			} else {
				line += fmt.Sprintf(" %d+%d", x.Transfer, x.Wait)
			}
		}
		out = append(out, strings.TrimSpace(line))
	}
	return strings.Join(out, " | ")
}

func TestMatch(t *testing.T) {
	for _, c := range reducing.Cases {
		t.Run(c.Name, func(t *testing.T) {
			if got := splitsOf(c.Ranks); got != c.Want {
				t.Errorf("got  %s\nwant %s", got, c.Want)
			}
		})
	}
}

// TestNames reads number types and algorithms off real kernel names.
func TestNames(t *testing.T) {
	for name, want := range map[string]string{
		"ncclDevKernel_AllReduce_Sum_bf16_RING_LL(ncclDevKernelArgsStorage<4096ul>)":                                                           "2 NCCL's choice",
		"ncclDevKernel_AllReduce_Sum_f16_TREE_LL(ncclDevKernelArgsStorage<4096ul>)":                                                            "2 NCCL's choice",
		"ncclDevKernel_ReduceScatter_Sum_f32_RING_LL(ncclDevKernelArgsStorage<(unsigned long)4096>)":                                           "4 NCCL's choice",
		"ncclKernel_AllReduce_RING_LL_Sum_half(ncclDevComm*, unsigned long, ncclWork*)":                                                        "2 NCCL's choice",
		"ncclDevKernel_AllGather_RING_LL(ncclDevKernelArgsStorage<4096ul>)":                                                                    "0 NCCL's choice",
		"ncclSymkDevKernel_AllReduce_AGxLL_R_sum_bf16(ncclSymkDevWorkArgs4K)":                                                                  "2 one-shot",
		"ncclSymkDevKernel_AllReduce_RSxLD_AGxST_sum_f32(ncclSymkDevWorkArgs4K)":                                                               "4 two-shot",
		"ncclSymkDevKernel_ReduceScatter_LDMC_sum_bf16(ncclSymkDevWorkArgs4K)":                                                                 "2 in-switch",
		"ncclSymkDevKernel_AllGather_LL(ncclSymkDevWorkArgs4K)":                                                                                "0 ",
		"void vllm::cross_device_reduce_1stage<__half, 4>(vllm::RankData*, vllm::RankSignals, vllm::Signal*, __half*, int, int)":               "2 one-shot",
		"void vllm::cross_device_reduce_2stage<__nv_bfloat16, 8>(vllm::RankData*, vllm::RankSignals, vllm::Signal*, __nv_bfloat16*, int, int)": "2 two-shot",
		"multimem_all_reduce_kernel<c10::BFloat16, 16>(c10::BFloat16*, unsigned long)":                                                         "2 in-switch",
		"void flashinfer::trtllm_mnnvl_allreduce::twoshotAllreduceKernel<(unsigned char)8, __nv_bfloat16, false, float4>(int)":                 "2 two-shot",
		"void flashinfer::trtllm_allreduce::oneShotAllReduceKernel<__nv_bfloat16, 8, true, false>(int)":                                        "2 one-shot",
		"void deep_ep::intranode::combine<__nv_bfloat16, 8, 768, 4096>(__nv_bfloat16*, float*)":                                                "0 ",
		"all_reduce": "0 ",
	} {
		if got := fmt.Sprintf("%v %s", elemBytesOf(name), AlgorithmOf(name)); got != want {
			t.Errorf("%.80s: %q, want %q", name, got, want)
		}
	}
}

// TestRates holds bandwidths against nccl-tests' factors.
func TestRates(t *testing.T) {
	for _, c := range []struct {
		kind     string
		ranks    int
		alg, bus float64 // GB/s of 1 GB in 1 ms
	}{
		{"all_reduce", 2, 1000, 1000}, {"all_reduce", 8, 1000, 1750}, {"all_gather", 4, 1000, 750}, {"reduce_scatter", 4, 1000, 750},
		{"all_to_all", 8, 1000, 875}, {"broadcast", 8, 1000, 1000}, {"send_recv", 2, 1000, 1000}, {"ep_dispatch", 8, 1000, 0}, {"all_reduce", 0, 1000, 0},
	} {
		alg, bus := Rates(c.kind, c.ranks, 1e9, 1e6)
		if math.Abs(alg-c.alg*1e9) > 1 || math.Abs(bus-c.bus*1e9) > 1 {
			t.Errorf("%s over %d: %v and %v", c.kind, c.ranks, alg, bus)
		}
	}
}
