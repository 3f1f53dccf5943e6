package synth

import "fmt"

// layer plans transformer layer i.
func (p *planner) layer(i int) {
	n := p.b.tokens()
	p.module("LlamaDecoderLayer", i, func() {
		p.py("vllm/model_executor/models/llama.py(344): forward", func() {
			p.norm(2*i, n)
			p.module("LlamaAttention", i, func() {
				p.py("vllm/model_executor/models/llama.py(226): forward", func() { p.attention(i, n) })
			})
			p.norm(2*i+1, n)
			p.module("LlamaMLP", i, func() {
				p.module("MergedColumnParallelLinear", i, func() { p.linear(n, 2*p.share(inner), hidden, 2) })
				p.activation(n)
				p.module("RowParallelLinear", 2*i+1, func() {
					p.linear(n, hidden, p.share(inner), 3)
					p.allReduce(n, i%2 == 1)
				})
			})
		})
	})
}

// attention plans the projections, the rotation, the cache and the attention.
func (p *planner) attention(i, n int) {
	qkv := p.share(heads+2*kvHeads) * headDim
	p.module("QKVParallelLinear", i, func() { p.linear(n, qkv, hidden, 0) })
	p.join()
	q, kv := p.share(heads)*headDim, p.share(kvHeads)*headDim
	p.op("aten::contiguous", inputs(bf16(n, q), scalar("0")), func() {
		p.kernel("cudaLaunchKernel", elementwise(castCopy(12, "c10::BFloat16"), n*q), mainStream, 1500+int64(n)*4)
	})
	p.module("RotaryEmbedding", 0, func() {
		p.op("_C::rotary_embedding", inputs(tensor("long int", n), bf16(n, q), bf16(n, kv), scalar("128"), bf16(8192, 128), scalar("True")), func() {
			p.kernel("cudaLaunchKernel", rows(rotary, 32, n, 512), mainStream, 1500+int64(n)*3)
		})
	})
	p.module("Attention", i, func() {
		cache := bf16(102136, 16, p.share(kvHeads), headDim)
		p.op("vllm::unified_kv_cache_update", inputs(bf16(n, p.share(kvHeads), headDim), bf16(n, p.share(kvHeads), headDim), none), func() {
			p.op("_C_cache_ops::reshape_and_cache_flash", inputs(bf16(n, kv), bf16(n, kv), cache, cache, tensor("long int", n), none), func() {
				p.kernel("cudaLaunchKernel", rows(cacheWrite, 56, n, 512), mainStream, 1600+int64(n)*3)
			})
		})
		p.op("vllm::unified_attention_with_output", inputs(bf16(n, q), bf16(n, kv), bf16(n, kv), bf16(n, q), none, none), func() {
			p.flash(n, q, cache)
		})
	})
	p.module("RowParallelLinear", 2*i, func() {
		p.linear(n, hidden, q, 1)
		p.allReduce(n, false)
	})
}

// flash plans the attention proper; decode splits the keys and combines.
func (p *planner) flash(n, q int, cache input) {
	p.py("vllm/vllm_flash_attn/flash_attn_interface.py(176): flash_attn_varlen_func", func() {
		seqs := tensor("int", p.b.requests())
		args := inputs(bf16(n, q), cache, cache, none, none, none, bf16(n, q), seqs, none, none, none, seqs, scalar(fmt.Sprint(n)), scalar(fmt.Sprint(n)),
			tensor("int", p.b.requests(), 256), none, none, none, scalar("0.088388347648318447"), scalar("True"), scalar("-1"), scalar("-1"),
			scalar("0."), scalar("True"), seqs, scalar("0"), none, scalar("1"))
		p.op("_vllm_fa3_C::fwd", args, func() {
			ns := 5500 + int64(p.b.generation)*90 + int64(p.b.prompt)*int64(p.b.prompt)/220
			k := shaped(flashForward(p.b.phase), 255, 150528, [3]int{sms, 1, 1}, [3]int{256, 1, 1})
			p.kernel("cudaLaunchKernelExC", k, mainStream, ns)
			if p.b.phase == decode {
				p.kernel("cudaLaunchKernel", shaped(flashCombine, 46, 17536, [3]int{p.b.generation, 4, 1}, [3]int{256, 1, 1}), mainStream, 2300)
			}
		})
	})
}

// norm plans a normalisation of n rows.
func (p *planner) norm(i, n int) {
	ns := 1700 + int64(n)*9
	p.module("RMSNorm", i, func() {
		if p.fused() {
			name := fmt.Sprintf("triton_red_fused__to_copy_add_mean_mul_pow_rsqrt_%d", i%3)
			p.op(name, inputs(bf16(n, hidden), bf16(n, hidden), scalar("4096")), func() {
				p.kernel("cuLaunchKernel", rows(name, 38, n, 512), mainStream, ns)
			})
			return
		}
		op, k := "_C::fused_add_rms_norm", addRMSNorm
		if i == 0 {
			op, k = "_C::rms_norm", rmsNorm
		}
		p.op(op, inputs(bf16(n, hidden), bf16(n, hidden), bf16(hidden), scalar("9.9999999999999995e-07")), func() {
			p.kernel("cudaLaunchKernel", rows(k, 30, n, 256), mainStream, ns)
		})
	})
}

// activation plans the gate of the MLP.
func (p *planner) activation(n int) {
	ns := 1600 + int64(n)*12
	p.module("SiluAndMul", 0, func() {
		if p.fused() {
			name := fmt.Sprintf("triton_poi_fused_mul_silu_slice_%d", 10+n%7)
			p.op(name, inputs(bf16(n, 2*p.share(inner)), bf16(n, p.share(inner)), scalar(fmt.Sprint(n*p.share(inner)))), func() {
				p.kernel("cuLaunchKernel", rows(name, 32, n, 128), mainStream, ns)
			})
			return
		}
		p.op("_C::silu_and_mul", inputs(bf16(n, p.share(inner)), bf16(n, 2*p.share(inner))), func() {
			p.kernel("cudaLaunchKernel", rows(siluMul, 23, n, 1024), mainStream, ns)
		})
	})
}

// linear plans a product of m rows with a weight of n by k. Which product of the
// layer it is decides its kernel; three of them split k when m is small.
func (p *planner) linear(m, n, k, which int) {
	weight := float64(n) * float64(k) * 2
	ns := 1800 + int64(max(weight/4.2e12, weight*float64(m)/6e14)*1e9)
	p.op("aten::linear", inputs(bf16(m, k), bf16(n, k), none), func() {
		p.op("aten::mm", inputs(bf16(m, k), bf16(k, n)), func() {
			if which == 2 && m >= 4096 {
				p.kernel("cudaLaunchKernelExC", fp8Gemm(m/4096), mainStream, ns)
				return
			}
			splitK := m < 256 && (which == 0 || which == 1 || which == 3)
			p.kernel("cuLaunchKernelEx", gemm(m, which, splitK), mainStream, ns)
			if splitK {
				p.kernel("cudaLaunchKernel", shaped(splitKReduce, 32, 0, [3]int{m, 1, 1}, [3]int{32, 16, 1}), mainStream, 1900)
			}
		})
	})
}

// allReduce plans the sum over the ranks on the communication stream. With
// overlap, the main stream goes on until the next join.
func (p *planner) allReduce(n int, overlap bool) {
	size := p.o.WorldSize
	if size == 1 {
		return
	}
	p.op("vllm::all_reduce", inputs(bf16(n, hidden), scalar("tp:0")), func() {
		p.after(commStream, mainStream)
		bytes := int64(n) * hidden * 2
		if bytes <= 1<<19 {
			k := shaped(fmt.Sprintf(allReduceP2P, size), 40, 0, [3]int{36, 1, 1}, [3]int{512, 1, 1})
			p.kernel("cudaLaunchKernel", k, commStream, 4200+bytes/200)
		} else {
			k := shaped(allReduceNCCL, 96, 103808, [3]int{24, 1, 1}, [3]int{544, 1, 1})
			p.kernel("cudaLaunchKernelExC", k, commStream, 9000+bytes/250)
		}
		p.behind = true
		if !overlap {
			p.join()
		}
	})
}

// join makes the main stream wait for an all-reduce it ran ahead of.
func (p *planner) join() {
	if p.behind {
		p.after(mainStream, commStream)
		p.behind = false
	}
}
