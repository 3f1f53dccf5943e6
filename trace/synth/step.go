package synth

import "fmt"

// The model that the steps run: Llama 3 8B, its heads and inner width divided
// among the ranks.
const (
	hidden     = 4096
	heads      = 32
	kvHeads    = 8
	headDim    = 128
	inner      = 14336
	vocabulary = 128256
)

// share is a rank's part of n.
func (p *planner) share(n int) int { return max(1, n/p.o.WorldSize) }

// fused reports whether the step runs compiled kernels; replaying graphs and
// compiling go together.
func (p *planner) fused() bool { return p.o.Graphs }

// step plans a whole engine step.
func (p *planner) step() {
	p.py("vllm/v1/engine/core.py(1205): _process_engine_step", func() {
		p.poll()
		p.py("vllm/v1/engine/core.py(402): step", func() {
			p.scheduler()
			p.py("vllm/v1/executor/uniproc_executor.py(76): collective_rpc", func() {
				p.py("vllm/v1/worker/gpu_worker.py(742): execute_model", p.execute)
			})
			p.sampled()
			p.py("vllm/v1/core/sched/scheduler.py(1310): update_from_output", func() {
				for range 4 {
					p.py("vllm/v1/core/sched/scheduler.py(1602): _update_request_with_output", func() {
						p.py("<built-in method append of list object at 0x7f88e41482c0>", nil)
						p.py("vllm/v1/core/sched/utils.py(88): check_stop", nil)
					})
				}
				p.py("vllm/v1/core/sched/scheduler.py(1939): make_stats", nil)
			})
		})
	})
}

// poll plans the work of the receiving thread.
func (p *planner) poll() {
	tid := p.cat.pollTID()
	p.emit(instr{
		op: opPoll, e: p.cat.python(tid, "zmq/sugar/socket.py(785): recv_multipart"),
		inner: &[2]*entry{
			p.cat.python(tid, "enum.py(726): __call__"),
			p.cat.python(tid, "vllm/v1/serial_utils.py(340): decode"),
		},
	})
}

func (p *planner) scheduler() {
	p.py("vllm/v1/core/sched/scheduler.py(264): schedule", func() {
		p.py("vllm/v1/core/sched/request_queue.py(122): __len__", func() { p.py("<built-in function len>", nil) })
		for range 3 {
			p.py("vllm/v1/core/kv_cache_manager.py(265): allocate_slots", func() {
				p.py("vllm/v1/core/kv_cache_coordinator.py(80): get_num_blocks_to_allocate", func() {
					p.py("vllm/v1/core/kv_cache_utils.py(137): block_hash", nil)
				})
				p.py("vllm/v1/core/single_type_kv_cache_manager.py(385): remove_skipped_blocks", nil)
			})
		}
		p.py("vllm/v1/core/block_pool.py(486): get_usage", nil)
	})
}

// execute plans everything an annotated step covers.
func (p *planner) execute() {
	b := p.b
	name := fmt.Sprintf("execute_context_%d(%d)_generation_%d(%d)", b.context, b.prompt, b.generation, b.generation)
	p.within(p.cat.annotation(name), func() {
		p.py("vllm/v1/worker/gpu_model_runner.py(3455): execute_model", func() {
			p.prepare()
			p.py("vllm/v1/worker/gpu_model_runner.py(3120): _model_forward", p.forward)
			p.module("LogitsProcessor", 0, p.logits)
			p.module("Sampler", 0, p.sample)
		})
	})
}

// prepare plans the copies of a step's inputs to the device.
func (p *planner) prepare() {
	p.py("vllm/v1/worker/gpu_model_runner.py(1776): _prepare_inputs", func() {
		for i := range 5 {
			n := 1 << (10 + i%3)
			p.py("vllm/v1/utils.py(133): copy_to_gpu", func() {
				p.slice("int", n)
				p.py("<built-in method copy_ of Tensor object at 0x7f88543da530>", func() {
					p.op("aten::copy_", inputs(tensor("int", n), tensor("int", n), scalar("True")), func() {
						p.copyBytes("Memcpy HtoD (Pinned -> Device)", mainStream, int64(4*n))
					})
				})
			})
		}
		n := p.b.tokens()
		p.op("aten::fill_", inputs(tensor("int", n), scalar("0")), func() {
			p.kernel("cudaLaunchKernel", elementwise(fill("int"), n), mainStream, 1300)
		})
		p.op("aten::zero_", inputs(tensor("int", n)), func() { p.set(int64(4 * n)) })
		p.op("aten::add", inputs(tensor("long int", n), tensor("long int", n), scalar("1")), func() {
			p.kernel("cudaLaunchKernel", elementwise(addScalar("long", 2), n), mainStream, 1500)
		})
		p.op("aten::_to_copy", inputs(tensor("int", n), scalar("4"), none, none, none, scalar("False"), none), func() {
			p.op("aten::empty_strided", inputs(ints(n), ints(1), scalar("4"), scalar("0"), none, scalar("False")), nil)
			p.op("aten::copy_", inputs(tensor("long int", n), tensor("int", n), scalar("False")), func() {
				p.kernel("cudaLaunchKernel", elementwise(castCopy(4, "long"), n), mainStream, 1400)
			})
		})
		p.op("_vllm_fa3_C::get_scheduler_metadata", inputs(scalar("1"), scalar("1900"), scalar("32"), scalar("8"), tensor("int", p.b.requests())), func() {
			p.kernel("cudaLaunchKernelExC", rows(flashPrepare, 32, 1, 992), mainStream, 1900)
		})
	})
}

// slice plans a view; views start nothing on the device.
func (p *planner) slice(typ string, n int) {
	p.op("aten::slice", inputs(tensor(typ, n), scalar("0"), scalar("0"), scalar("1"), scalar("1")), func() {
		p.op("aten::as_strided", inputs(tensor(typ, n), ints(n), ints(1), scalar("0")), nil)
	})
}

// forward plans the model, as a graph replay or launch by launch.
func (p *planner) forward() {
	if p.o.Graphs && p.b.phase == decode {
		p.py("vllm/compilation/cuda_graph.py(211): __call__", func() {
			p.py("torch/cuda/graphs.py(139): replay", func() {
				p.emit(instr{op: opGraphLaunch, e: p.cat.call("cudaGraphLaunch")})
				p.inGraph = true
				p.layers()
				p.inGraph = false
			})
		})
		return
	}
	p.module("LlamaForCausalLM", 0, func() {
		p.module("LlamaModel", 0, func() {
			if p.fused() {
				// Compiled code without a full graph runs inside of an annotation of its own.
				p.within(p.cat.annotation("## Call CompiledFxGraph fmupoierfzkrjzxtvgy2mkwqhkenqiegdvgezgifripf5hbzaxcl ##"), p.layers)
				return
			}
			p.layers()
		})
	})
}

func (p *planner) layers() {
	for i := range p.o.Layers {
		p.layer(i)
	}
	p.join()
}

// logits plans the last product; ranks hold parts of the vocabulary and gather
// the results with a collective that torch knows about.
func (p *planner) logits() {
	n := p.b.requests()
	p.op("aten::index", inputs(bf16(p.b.tokens(), hidden), none), func() {
		p.kernel("cudaLaunchKernel", rows(gather, 32, n, 256), mainStream, 1400)
	})
	p.linear(n, p.share(vocabulary), hidden, 7)
	if p.o.WorldSize == 1 {
		return
	}
	out := n * vocabulary
	p.op("record_param_comms", inputs(bf16(n, p.share(vocabulary)), none, scalar("3"), scalar("0")), func() {
		k := rows(allGatherNCCL, 96, 21, 512)
		ranks := make([]int, p.o.WorldSize)
		for i := range ranks {
			ranks[i] = i
		}
		k.args += fmt.Sprintf(`, "Collective name": "_allgather_base", "In msg nelems": %d, "Out msg nelems": %d, "Group size": %d, "dtype": "BFloat16", `+
			`"In split size": "[]", "Out split size": "[]", "Process Group Name": "3", "Process Group Description": "undefined", `+
			`"Process Group Ranks": "%s"`, out/p.o.WorldSize, out, p.o.WorldSize, list(ranks))
		p.kernel("cudaLaunchKernelExC", k, mainStream, 9000+int64(out)/100)
	})
}

// sample plans the choice of tokens.
func (p *planner) sample() {
	n := p.b.requests()
	logits := tensor("float", n, vocabulary)
	p.py("vllm/v1/sample/sampler.py(68): forward", func() {
		p.op("aten::to", inputs(bf16(n, vocabulary), scalar("6"), scalar("False"), scalar("False"), none), func() {
			p.kernel("cudaLaunchKernel", elementwise(castCopy(7, "float"), n*vocabulary), mainStream, 2500+int64(n)*180)
		})
		p.op("aten::div_", inputs(logits, tensor("float", n, 1)), func() {
			p.kernel("cudaLaunchKernel", elementwise(divide, n*vocabulary), mainStream, 2200+int64(n)*170)
		})
		p.op("aten::_softmax", inputs(logits, scalar("-1"), scalar("False")), func() {
			p.kernel("cudaLaunchKernel", rows(softmax, 32, n, 1024), mainStream, 5200+int64(n)*150)
		})
		p.op("aten::argmax", inputs(logits, scalar("-1"), scalar("False")), func() {
			p.kernel("cudaLaunchKernel", rows(argmax, 32, n, 512), mainStream, 6100+int64(n)*110)
		})
	})
}

// sampled plans the copy of the tokens to the host on a stream of its own, and
// the wait for it that keeps the device from lagging ever further behind.
func (p *planner) sampled() {
	p.py("vllm/v1/worker/gpu_model_runner.py(3329): _bookkeeping_sync", func() {
		n := p.b.requests()
		p.op("aten::copy_", inputs(tensor("long int", n), tensor("long int", n), scalar("True")), func() {
			p.after(copyStream, mainStream)
			p.copyBytes("Memcpy DtoH (Device -> Pinned)", copyStream, int64(8*n))
		})
		p.py("<built-in method synchronize of torch.Event object at 0x7f88ec10f2b0>", func() {
			p.emit(instr{op: opSync, e: p.cat.call("cudaEventSynchronize"), stream: copyStream})
		})
	})
}
