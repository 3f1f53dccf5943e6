package diagnose

import (
	"fmt"
	"strconv"
	"strings"
)

// Engine names, as the document writes them.
const (
	vLLM     = "vLLM"
	sgLang   = "SGLang"
	tensorRT = "TensorRT-LLM"
)

// knob is one setting of one server and the versions that have it. A setting
// whose first or last version lies between two releases that we read counts
// from, or until, the one we read: the range is what we know, not more.
type knob struct {
	engine string
	name   string // settings that it names, spaced: what a remedy must not name outside the range
	line   string // to paste; %d is filled by set
	note   string // said behind the line, "" for nothing
	since  string // first version; "" for all since 0.5
	until  string // first version without it; "" when it still exists
	// defaultSince is the version from which it is the default. From then on
	// the line is check, since pasting it would change nothing.
	defaultSince string
	check        string
}

// The table: vLLM's from the argument parsers, configuration classes and
// environment modules of its releases 0.8.5 to 0.33.0 (20 of them), SGLang's
// from those of 0.4.3 to 0.5.23, TensorRT-LLM's from the LLM API of 1.0.
var (
	asyncScheduling = &knob{engine: vLLM, name: "--async-scheduling", line: "--async-scheduling", since: "0.10.0",
		defaultSince: "0.14.0", check: `drop --no-async-scheduling; the log must say "Asynchronous scheduling is enabled"`}
	numaBind    = &knob{engine: vLLM, name: "--numa-bind", line: "--numa-bind", since: "0.20.0"}
	noEager     = &knob{engine: vLLM, name: "--enforce-eager", line: "remove --enforce-eager"}
	captureSize = &knob{engine: vLLM, name: "--max-cudagraph-capture-size --cudagraph-capture-sizes",
		line: "--max-cudagraph-capture-size %d", note: "or add it to --cudagraph-capture-sizes", since: "0.11.1"}
	captureSizes = &knob{engine: vLLM, name: "cudagraph_capture_sizes", since: "0.8.5", until: "0.11.1",
		line: `--compilation-config '{"cudagraph_capture_sizes":[1,2,4,8,16,32,64,128,256,%d]}'`}
	batchedTokens = &knob{engine: vLLM, name: "--max-num-batched-tokens", line: "--max-num-batched-tokens %d"}
	longPrefill   = &knob{engine: vLLM, name: "--long-prefill-token-threshold", line: "--long-prefill-token-threshold %d", since: "0.8.5"}
	maxSeqs       = &knob{engine: vLLM, name: "--max-num-seqs", line: "--max-num-seqs N"}

	keepCustomReduce = &knob{engine: vLLM, name: "--disable-custom-all-reduce", line: "remove --disable-custom-all-reduce"}
	fiReduceFusion   = &knob{engine: vLLM, name: "enable_fi_allreduce_fusion", since: "0.10.0", until: "0.12.0",
		line: `--compilation-config '{"pass_config":{"enable_fi_allreduce_fusion":true}}'`}
	reduceNormFusion = &knob{engine: vLLM, name: "fuse_allreduce_rms", since: "0.12.0", defaultSince: "0.17.0",
		line:  `--compilation-config '{"pass_config":{"fuse_allreduce_rms":true}}'`,
		check: "fuse_allreduce_rms needs the flashinfer package, Hopper or Blackwell, and DP = PP = 1"}
	flashReduce = &knob{engine: vLLM, name: "VLLM_ALLREDUCE_USE_FLASHINFER", line: "VLLM_ALLREDUCE_USE_FLASHINFER=1", since: "0.17.0",
		defaultSince: "0.33.0", check: "drop VLLM_ALLREDUCE_USE_FLASHINFER=0"}
	symmReduce = &knob{engine: vLLM, name: "VLLM_ALLREDUCE_USE_SYMM_MEM", line: "VLLM_ALLREDUCE_USE_SYMM_MEM=1", since: "0.10.2",
		defaultSince: "0.11.0", check: "drop VLLM_ALLREDUCE_USE_SYMM_MEM=0; it needs NVLink multicast (NVSwitch)"}
	asyncTP = &knob{engine: vLLM, name: "fuse_gemm_comms enable_sp", since: "0.12.0", until: "0.29.0",
		line: `--compilation-config '{"pass_config":{"enable_sp":true,"fuse_gemm_comms":true}}'`}
	stages     = &knob{engine: vLLM, name: "--pipeline-parallel-size", line: "--tensor-parallel-size 1 --pipeline-parallel-size %d"}
	narrower   = &knob{engine: vLLM, name: "--tensor-parallel-size", line: "--tensor-parallel-size %d, with more replicas"}
	balancer   = &knob{engine: vLLM, name: "--enable-eplb", line: "--enable-eplb", since: "0.9.2"}
	sgBalancer = &knob{engine: sgLang, name: "--enable-eplb", line: "--enable-eplb", since: "0.4.7"}

	normQuantFusion = &knob{engine: vLLM, name: "fuse_norm_quant fuse_act_quant", since: "0.12.0",
		line: `--compilation-config '{"pass_config":{"fuse_norm_quant":true,"fuse_act_quant":true}}'`}
	oldQuantFusion = &knob{engine: vLLM, name: "enable_fusion", since: "0.8.5", until: "0.12.0",
		line: `--compilation-config '{"pass_config":{"enable_fusion":true}}'`}
	ropeFusion = &knob{engine: vLLM, name: "enable_qk_norm_rope_fusion", since: "0.11.1",
		line: `--compilation-config '{"pass_config":{"enable_qk_norm_rope_fusion":true}}'`}
	compileSizes = &knob{engine: vLLM, name: "compile_sizes", line: `--compilation-config '{"compile_sizes":[%d]}'`, since: "0.8.5"}
	linearKernel = &knob{engine: vLLM, name: "--linear-backend", line: "--linear-backend NAME", note: "quantised products; auto picks by itself", since: "0.22.0"}
	expertKernel = &knob{engine: vLLM, name: "--moe-backend", line: "--moe-backend NAME (auto picks by itself)", since: "0.17.0"}
	expertTuning = &knob{engine: vLLM, name: "VLLM_TUNED_CONFIG_FOLDER", since: "0.10.2",
		line: "VLLM_TUNED_CONFIG_FOLDER=DIR (from benchmarks/kernels/benchmark_moe.py --tune)"}
	expertParallel = &knob{engine: vLLM, name: "--enable-expert-parallel", line: "--enable-expert-parallel", since: "0.8.5"}
	quantised      = &knob{engine: vLLM, name: "--quantization", line: "--quantization fp8"}
	smallCache     = &knob{engine: vLLM, name: "--kv-cache-dtype", line: "--kv-cache-dtype fp8"}
	flashSampler   = &knob{engine: vLLM, name: "VLLM_USE_FLASHINFER_SAMPLER", line: "VLLM_USE_FLASHINFER_SAMPLER=1", since: "0.8.5",
		defaultSince: "0.22.0", check: "drop VLLM_USE_FLASHINFER_SAMPLER=0; it needs the flashinfer package"}
	loraRank    = &knob{engine: vLLM, name: "--max-lora-rank", line: "--max-lora-rank R (the adapters' own rank, not more)"}
	loraActive  = &knob{engine: vLLM, name: "--specialize-active-lora", line: "--specialize-active-lora", since: "0.16.0"}
	loraSharded = &knob{engine: vLLM, name: "--fully-sharded-loras", line: "--fully-sharded-loras"}
	noStacks    = &knob{engine: vLLM, name: "--profiler-config", since: "0.13.0",
		line: "--profiler-config.torch_profiler_with_stack false"}
	noStacksEnv = &knob{engine: vLLM, name: "VLLM_TORCH_PROFILER_WITH_STACK", line: "VLLM_TORCH_PROFILER_WITH_STACK=0", since: "0.10.1", until: "0.13.0"}

	sgOverlap     = &knob{engine: sgLang, name: "--disable-overlap-schedule", line: "remove --disable-overlap-schedule", since: "0.4.3"}
	sgNuma        = &knob{engine: sgLang, name: "--numa-node", line: "--numa-node NODE (one per GPU)", since: "0.5.3"}
	sgGraphs      = &knob{engine: sgLang, name: "--disable-cuda-graph", line: "remove --disable-cuda-graph", since: "0.4.3", until: "0.5.15"}
	sgGraphsNew   = &knob{engine: sgLang, name: "--cuda-graph-backend-decode", line: "remove --cuda-graph-backend-decode disabled", since: "0.5.15"}
	sgGraphMax    = &knob{engine: sgLang, name: "--cuda-graph-max-bs", line: "--cuda-graph-max-bs N (at least the running requests)", since: "0.4.3", until: "0.5.15"}
	sgGraphMaxNew = &knob{engine: sgLang, name: "--cuda-graph-max-bs-decode", line: "--cuda-graph-max-bs-decode N (at least the running requests)", since: "0.5.15"}
	sgPiecewise   = &knob{engine: sgLang, name: "--enable-piecewise-cuda-graph", line: "--enable-piecewise-cuda-graph", since: "0.5.6", until: "0.5.13"}
	sgPrefill     = &knob{engine: sgLang, name: "--cuda-graph-backend-prefill", line: "remove --cuda-graph-backend-prefill disabled", since: "0.5.15"}
	sgChunk       = &knob{engine: sgLang, name: "--chunked-prefill-size", line: "--chunked-prefill-size %d", since: "0.4.3"}
	sgCustom      = &knob{engine: sgLang, name: "--disable-custom-all-reduce", line: "remove --disable-custom-all-reduce", since: "0.4.3"}
	sgFusion      = &knob{engine: sgLang, name: "--enable-flashinfer-allreduce-fusion", line: "--enable-flashinfer-allreduce-fusion", since: "0.5.1", until: "0.5.15"}
	sgFusionNew   = &knob{engine: sgLang, name: "--flashinfer-allreduce-fusion-backend", line: "--flashinfer-allreduce-fusion-backend auto", since: "0.5.15"}
	sgSymm        = &knob{engine: sgLang, name: "--enable-torch-symm-mem", line: "--enable-torch-symm-mem", since: "0.5.3"}
	sgRunning     = &knob{engine: sgLang, name: "--max-running-requests", line: "--max-running-requests N", since: "0.4.3"}
	sgExperts     = &knob{engine: sgLang, name: "--moe-runner-backend", line: "--moe-runner-backend NAME", since: "0.5.1"}
	sgQuantised   = &knob{engine: sgLang, name: "--quantization", line: "--quantization fp8", since: "0.4.3"}
	sgCache       = &knob{engine: sgLang, name: "--kv-cache-dtype", line: "--kv-cache-dtype fp8_e4m3", since: "0.4.6"}

	trtGraphs  = &knob{engine: tensorRT, name: "cuda_graph_config enable_padding", line: "cuda_graph_config: {enable_padding: true}", since: "1.0"}
	trtOverlap = &knob{engine: tensorRT, name: "disable_overlap_scheduler", line: "disable_overlap_scheduler: false", since: "1.0"}
	trtReduce  = &knob{engine: tensorRT, name: "allreduce_strategy", line: "allreduce_strategy: AUTO", since: "1.0"}
	trtTokens  = &knob{engine: tensorRT, name: "max_num_tokens enable_chunked_prefill", line: "max_num_tokens: %d, with enable_chunked_prefill: true", since: "1.0"}
)

// knobs is the table, for those who check it.
var knobs = []*knob{
	asyncScheduling, numaBind, noEager, captureSize, captureSizes, batchedTokens, longPrefill, maxSeqs,
	keepCustomReduce, fiReduceFusion, reduceNormFusion, flashReduce, symmReduce, asyncTP, narrower, stages, balancer,
	normQuantFusion, oldQuantFusion, ropeFusion, compileSizes, linearKernel, expertKernel, expertTuning, expertParallel,
	quantised, smallCache, flashSampler, loraRank, loraActive, loraSharded, noStacks, noStacksEnv,
	sgBalancer, sgOverlap, sgNuma, sgGraphs, sgGraphsNew, sgGraphMax, sgGraphMaxNew, sgPiecewise, sgPrefill, sgChunk, sgCustom,
	sgFusion, sgFusionNew, sgSymm, sgRunning, sgExperts, sgQuantised, sgCache,
	trtGraphs, trtOverlap, trtReduce, trtTokens,
}

// set is the knob with its number filled in.
func (k *knob) set(n int64) *knob {
	c := *k
	c.line = fmt.Sprintf(k.line, n)
	return &c
}

// has reports whether a version has the knob; an unknown one may.
func (k *knob) has(version string) bool {
	return version == "" || !before(version, k.since) && (k.until == "" || before(version, k.until))
}

// said is the note, if any, and the versions.
func (k *knob) said() string {
	if k.note == "" {
		return k.versions()
	}
	return k.note + "; " + k.versions()
}

// versions are the versions that have the knob, in words.
func (k *knob) versions() string {
	switch {
	case k.until != "" && k.since != "":
		return k.engine + " " + k.since + " to before " + k.until
	case k.until != "":
		return k.engine + " before " + k.until
	case k.since != "":
		return k.engine + " " + k.since + " and later"
	}
	return k.engine + ", all versions"
}

// text is the knob's line for a version, with the versions as a comment.
func (k *knob) text(version string) string {
	switch {
	case k.defaultSince == "":
		return k.line + "  # " + k.said()
	case version != "" && !before(version, k.defaultSince):
		return "# default since " + k.engine + " " + k.defaultSince + ": " + k.check
	}
	return k.line + "  # " + k.said() + ", default since " + k.defaultSince
}

// remedy is the lines of the knobs that the server has, then the advice that
// needs no flag. When the server has none of the knobs, it says so, and from
// when on there is one.
func (f *Facts) remedy(advice string, ks ...*knob) string {
	var lines []string
	later := ""
	for _, k := range ks {
		switch {
		case f.Engine != "" && f.Engine != k.engine:
		case k.has(f.Version) || f.Engine == "":
			lines = append(lines, k.text(f.knownVersion()))
		case k.since != "" && before(f.Version, k.since) && (later == "" || before(k.since, later)):
			later = k.since
		}
	}
	if len(lines) == 0 && f.Engine != "" && len(ks) > 0 {
		line := "# no flag of " + strings.TrimSpace(f.Engine+" "+f.Version) + " is known to do this"
		if later != "" {
			line += "; " + later + " and later have one"
		}
		lines = append(lines, line)
	}
	if objects := strings.Count("\n"+strings.Join(lines, "\n"), "\n--compilation-config"); objects > 1 {
		lines = append(lines, "# a second --compilation-config replaces the first: merge the objects")
	}
	if advice != "" {
		lines = append(lines, "# "+advice)
	}
	return strings.Join(lines, "\n")
}

// knownVersion is the version, if the engine that counts by it is known too.
func (f *Facts) knownVersion() string {
	if f.Engine == "" {
		return ""
	}
	return f.Version
}

// before compares versions by their first three numbers: of "0.20.2rc1.dev5"
// that is 0.20.2, since a pre-release has what its release has.
func before(a, b string) bool {
	x, y := numbers(a), numbers(b)
	for i := range x {
		if x[i] != y[i] {
			return x[i] < y[i]
		}
	}
	return false
}

func numbers(version string) (n [3]int) {
	for i, s := range strings.SplitN(strings.TrimPrefix(version, "v"), ".", 4) {
		if i == len(n) {
			break
		}
		end := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' })
		if end < 0 {
			end = len(s)
		}
		n[i], _ = strconv.Atoi(s[:end])
		if end < len(s) {
			break
		}
	}
	return n
}
