package synth

import (
	"fmt"
	"strings"
)

// kernel is a kernel's name and the part of its args that launches of one shape
// share.
type kernel struct{ name, args string }

// sms is the number of multiprocessors of the pretended GPU.
const sms = 132

// shaped returns a kernel with the args of a launch shape.
func shaped(name string, regs, smem int, grid, block [3]int) kernel {
	blocks := float64(grid[0]*grid[1]*grid[2]) / sms
	warps := blocks * float64(block[0]*block[1]*block[2]) / 32
	args := fmt.Sprintf(`,      "registers per thread": %d,      "shared memory": %d,      "blocks per SM": %.6f,      `+
		`"warps per SM": %.6f,      "grid": [%d, %d, %d],      "block": [%d, %d, %d],      "est. achieved occupancy %%": %d`,
		regs, smem, blocks, warps, grid[0], grid[1], grid[2], block[0], block[1], block[2], min(100, int(warps/64*100)))
	return kernel{name, args}
}

// rows is a kernel with a block a token.
func rows(name string, regs, tokens, threads int) kernel {
	return shaped(name, regs, 0, [3]int{tokens, 1, 1}, [3]int{threads, 1, 1})
}

// elementwise is a kernel over n elements.
func elementwise(name string, n int) kernel {
	return shaped(name, 32, 0, [3]int{(n + 511) / 512, 1, 1}, [3]int{128, 1, 1})
}

// gemm returns the kernel a library would choose for a product of m rows; which
// of the products of a layer it is decides the tile, as tuning does.
func gemm(m, which int, splitK bool) kernel {
	tilesM := [...]int{64, 128, 192, 256, 384}
	tilesN := [...]int{8, 16, 24, 32, 40, 56, 64, 72, 96, 112, 128, 136, 152, 168, 176, 240}
	clusters := [...]string{"1x2_h", "2x1_v", "4x1_v", "2x4_h"}
	size := 0
	for n := m; n > 1; n /= 2 {
		size++
	}
	tm, tn := tilesM[(size/3+which)%len(tilesM)], tilesN[(size+which*3)%len(tilesN)]
	suffix := "TNT"
	switch {
	case splitK:
		suffix = "splitK_TNT"
	case m >= 1024:
		suffix = "coopA_TNT"
	}
	name := fmt.Sprintf("nvjet_sm90_tst_%dx%d_64x%d_%s_bz_%s", tm, tn, 3+(size*5+which)%14, clusters[(size+which)%4], suffix)
	return shaped(name, 168, 164292+which*4096+size*512, [3]int{2, 32 + which*32, 1}, [3]int{384, 1, 1})
}

// fp8Gemm is the kernel a quantized product runs, with one of the long names
// that templates give.
func fp8Gemm(which int) kernel {
	tile := fmt.Sprintf("cute::tuple<cute::C<%d>, cute::C<128>, cute::C<%d> >", 64<<(which%2), 64<<(which/2%2))
	name := "void cutlass::device_kernel<vllm::enable_sm90_or_later<cutlass::gemm::kernel::GemmUniversal<cute::tuple<int, int, int, int>, " +
		"cutlass::gemm::collective::CollectiveMma<cutlass::gemm::MainloopSm90TmaGmmaWarpSpecializedFP8<4, cute::tuple<cute::C<2>, cute::C<1>, " +
		"cute::C<1> >, cutlass::gemm::KernelTmaWarpSpecializedPingpongFP8FastAccum>, " + tile + ", cutlass::float_e4m3_t, " +
		"cute::tuple<long, cute::C<1>, long>, cutlass::float_e4m3_t, cute::tuple<long, cute::C<1>, long>, cute::TiledMMA<cute::MMA_Atom<" +
		"cute::SM90::GMMA::MMA_64x128x32_F32E4M3E4M3_SS_TN<(cute::SM90::GMMA::ScaleIn)1> >, cute::Layout<cute::tuple<cute::C<1>, cute::C<1>, " +
		"cute::C<1> > > >, cute::SM90_TMA_LOAD>, void> > >(Params)"
	return shaped(name, 168, 213504, [3]int{sms, 1, 1}, [3]int{384, 1, 1})
}

const splitKReduce = "void cublasLt::splitKreduce_kernel<32, 16, int, float, __nv_bfloat16, float, __nv_bfloat16, false, float, __nv_bfloat16, " +
	"__nv_bfloat16, true, false, false, false>(cublasLt::cublasSplitKParams<float>, float const*, __nv_bfloat16 const*, float*, __nv_bfloat16*, " +
	"float const*, float const*, __nv_bfloat16 const*, float const*, __nv_bfloat16*, void*, long, float*, int*, float*, float*, float const*, " +
	"float const*, float const*, float const*, float const*)"

const (
	rmsNorm = "void vllm::rms_norm_kernel<c10::BFloat16, 8, 2>(c10::BFloat16*, c10::BFloat16 const*, long, long, long, long, long, " +
		"c10::BFloat16 const*, float, int, int)"
	addRMSNorm = "std::enable_if<(((8)>(0)))&&vllm::_typeConvert<c10::BFloat16>::exists, void>::type vllm::fused_add_rms_norm_kernel<c10::BFloat16, 8>" +
		"(c10::BFloat16*, long, c10::BFloat16*, c10::BFloat16 const*, float, int, int)"
	rotary = "void vllm::rotary_embedding_kernel<c10::BFloat16, true>(long const*, c10::BFloat16*, c10::BFloat16*, float const*, int, long, long, " +
		"long, int, int, int, long, bool)"
	cacheWrite = "void vllm::reshape_and_cache_flash_kernel<__nv_bfloat16, __nv_bfloat16, (vllm::Fp8KVCacheDataType)0>(__nv_bfloat16 const*, " +
		"__nv_bfloat16 const*, __nv_bfloat16*, __nv_bfloat16*, long const*, long, long, long, long, long, int, int, int, float const*, float const*, int)"
	siluMul = "void vllm::act_and_mul_kernel<c10::BFloat16, __nv_bfloat162, &(c10::BFloat16 vllm::silu_kernel<c10::BFloat16>(c10::BFloat16 const&)), " +
		"&(__nv_bfloat162 vllm::packed_silu_kernel<__nv_bfloat162>(__nv_bfloat162 const&)), true, true, false, false>(c10::BFloat16*, " +
		"c10::BFloat16 const*, int, float)"
	flashCombine = "void cutlass::device_kernel<flash::FlashAttnFwdCombine<cute::tuple<cute::C<8>, cute::C<128> >, 5, 256, 1, false, true, " +
		"cutlass::bfloat16_t, float, cutlass::arch::Sm90> >(flash::FlashAttnFwdCombine<cute::tuple<cute::C<8>, cute::C<128> >, 5, 256, 1, false, " +
		"true, cutlass::bfloat16_t, float, cutlass::arch::Sm90>::Params)"
	flashPrepare = "void flash::prepare_varlen_num_blocks_kernel<1, false>(int, int, int, int const*, int const*, int const*, int const*, int const*, " +
		"int const*, int, int, int, int, int, cutlass::FastDivmod, cutlass::FastDivmod, int*, int*, int*, int*, int*, bool, bool, bool, int)"
	allReduceP2P  = "void vllm::cross_device_reduce_1stage<__nv_bfloat16, %d>(vllm::RankData*, vllm::RankSignals, vllm::Signal*, __nv_bfloat16*, int, int)"
	allReduceNCCL = "ncclDevKernel_AllReduce_Sum_bf16_RING_LL(ncclDevKernelArgsStorage<4096ul>)"
	allGatherNCCL = "ncclDevKernel_AllGather_RING_LL(ncclDevKernelArgsStorage<4096ul>)"
	gather        = "void at::native::vectorized_gather_kernel<16, long>(char*, char*, long*, int, long, long, long, long, bool)"
	softmax       = "void at::native::(anonymous namespace)::cunn_SoftMaxForward<4, float, float, float, at::native::(anonymous namespace)::" +
		"SoftMaxForwardEpilogue>(float*, float const*, int)"
	argmax = "void at::native::reduce_kernel<512, 1, at::native::ReduceOp<float, at::native::ArgMaxOps<float>, unsigned int, long, 4, 4> >" +
		"(at::native::ReduceOp<float, at::native::ArgMaxOps<float>, unsigned int, long, 4, 4>)"
	divide = "void at::native::vectorized_elementwise_kernel<4, at::native::BinaryFunctor<float, float, float, at::native::binary_internal::" +
		"DivFunctor<float> >, std::array<char*, 3ul> >(int, at::native::BinaryFunctor<float, float, float, at::native::binary_internal::" +
		"DivFunctor<float> >, std::array<char*, 3ul>)"
)

// fill is the kernel that sets a tensor to one value.
func fill(typ string) string {
	return "void at::native::vectorized_elementwise_kernel<4, at::native::FillFunctor<" + typ + ">, std::array<char*, 1ul> >(int, at::native::FillFunctor<" +
		typ + ">, std::array<char*, 1ul>)"
}

// addScalar is an addition of one type, over vectors of a width.
func addScalar(typ string, width int) string {
	f := "at::native::CUDAFunctor_add<" + typ + ">, std::array<char*, 3ul>"
	return fmt.Sprintf("void at::native::vectorized_elementwise_kernel<%d, %s >(int, %s)", width, f, f)
}

// castCopy is a copy between types; n tells the types apart, as the numbers of
// lambdas in real names do.
func castCopy(n int, typ string) string {
	f := fmt.Sprintf("at::native::direct_copy_kernel_cuda(at::TensorIteratorBase&)::{lambda()#3}::operator()() const::{lambda()#%d}::operator()() "+
		"const::{lambda(%s)#1}, std::array<char*, 2ul>", n, typ)
	rest := strings.Repeat(", TrivialOffsetCalculator<1, unsigned int>", 2) + ", at::native::memory::LoadWithCast<1>, at::native::memory::StoreWithCast<1>"
	return "void at::native::unrolled_elementwise_kernel<" + f + ", 4" + rest + " >(int, " + f + rest + ")"
}

// flashForward is the attention kernel, specialised for the phase.
func flashForward(p phase) string {
	block, split := 128, false
	if p == decode {
		block, split = 64, true
	}
	tile := fmt.Sprintf("cute::tuple<cute::C<%d>, cute::C<128>, cute::C<128> >", block)
	const one = "cute::tuple<cute::C<1>, cute::C<1>, cute::C<1> >"
	const types = "cutlass::bfloat16_t, float, cutlass::arch::Sm90"
	return fmt.Sprintf("void cutlass::device_kernel<flash::enable_sm90_or_later<flash::FlashAttnFwdSm90<flash::CollectiveMainloopFwdSm90<2, %s, %s, 128, "+
		types+", true, false, false, true, true, false, false, true, true, true, %t, false, cutlass::bfloat16_t, 4>, "+
		"flash::CollectiveEpilogueFwd<%s, %s, cutlass::bfloat16_t, cutlass::arch::Sm90, 256, true, true, %t, false, 4>, "+
		"flash::VarlenDynamicPersistentTileScheduler<%d, 128, 256, 128, %t, true, true, true, %t, true> > > >(Params)",
		one, tile, split, tile, one, split, block, split, p == mixed)
}
