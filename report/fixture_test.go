package report

import (
	"cmp"
	"fmt"
	"math/rand"
	"slices"
	"strings"

	"tokprof/report/document"
)

// fixtureKernel is one kernel of the fixture: how often and how long it runs
// in a step of each phase, in ns.
type fixtureKernel struct {
	name, short, group, subgroup, rule, part string
	tags                                     []string
	perStep                                  int64
	decodeNS, prefillNS                      int64
	python                                   string // method above it in prefill
	line                                     int64
	op                                       string
}

var fixtureKernels = []fixtureKernel{
	{"void cutlass::device_kernel<gate_up>(Params)", "cutlass::device_kernel", "gemm", "dense", "cutlass-device-kernel", "ffn", nil, 16, 28_000, 310_000, "LlamaMLP.forward", 112, "aten::mm"},
	{"nvjet_tst_64x8_64x16_4x1_v_bz_TNT", "nvjet_tst_64x8_64x16_4x1_v_bz_TNT", "gemm", "dense", "nvjet", "ffn", nil, 16, 17_000, 160_000, "LlamaMLP.forward", 118, "aten::mm"},
	{"void flash_fwd_splitkv_kernel<Flash_fwd_kernel_traits<128, 64, 128>, true>(Flash_fwd_params)", "flash_fwd_splitkv_kernel", "attention", "decode", "fa2-splitkv", "attention", nil, 16, 21_500, 0, "", 0, ""},
	{"void flash_fwd_kernel<Flash_fwd_kernel_traits<128, 64, 128>, true>(Flash_fwd_params)", "flash_fwd_kernel", "attention", "prefill", "fa2-fwd", "attention", nil, 16, 0, 220_000, "FlashAttentionImpl.forward", 640, "vllm::unified_attention"},
	{"void vllm::reshape_and_cache_flash_kernel<__nv_bfloat16>(…)", "vllm::reshape_and_cache_flash_kernel", "attention", "kv_write", "reshape-and-cache", "attention", []string{"kv"}, 16, 2_700, 6_100, "FlashAttentionImpl.forward", 600, "_C_cache_ops::reshape_and_cache_flash"},
	{"void vllm::rotary_embedding_kernel<c10::BFloat16, true>(long const*)", "vllm::rotary_embedding_kernel", "attention", "rope", "rotary", "attention", nil, 16, 2_300, 9_000, "LlamaAttention.forward", 200, "_C::rotary_embedding"},
	{"void vllm::cross_device_reduce_1stage<__nv_bfloat16, 2>(vllm::RankData*)", "vllm::cross_device_reduce_1stage", "comm", "all_reduce", "vllm-custom-ar", "transfer", nil, 33, 4_100, 0, "", 0, ""},
	{"ncclDevKernel_AllReduce_Sum_bf16_RING_LL(ncclDevKernelArgsStorage<4096ul>)", "ncclDevKernel_AllReduce_Sum_bf16_RING_LL", "comm", "all_reduce", "nccl", "transfer", nil, 33, 0, 52_000, "RowParallelLinear.forward", 1390, "c10d::allreduce_"},
	{"triton_red_fused_add_mul_rms_norm_3", "triton_red_fused_add_mul_rms_norm_3", "other", "norm", "triton-fused", "other", []string{"norm", "triton"}, 32, 1_900, 8_000, "RMSNorm.forward", 88, "triton"},
	{"nvjet_tst_128x8_64x12_2x1_v_bz_TNT", "nvjet_tst_128x8_64x12_2x1_v_bz_TNT", "other", "lm_head", "lm-head-position", "head", nil, 1, 231_000, 240_000, "LlamaForCausalLM.compute_logits", 590, "aten::mm"},
	{"my_own_kernel_v2(float*)", "my_own_kernel_v2", "other", "unclassified", "", "other", nil, 2, 9_000, 9_000, "Sampler.forward", 31, "custom::op"},
	{"Memcpy HtoD (Pinned -> Device)", "Memcpy HtoD", "memory", "memcpy_h2d", "memcpy", "other", nil, 5, 1_500, 1_500, "GPUModelRunner._prepare_inputs", 1201, "aten::copy_"},
}

// fixtureRoles are the roles of the fixture's products, in hundredths of their
// time.
var fixtureRoles = map[string][]document.KernelRole{
	"cutlass-device-kernel": {{Role: "gate_up", TimeNS: 100}},
	"nvjet":                 {{Role: "down", TimeNS: 60}, {Role: "qkv_proj", TimeNS: 40}},
	"lm-head-position":      {{Role: "lm_head", TimeNS: 100}},
}

// fixture is a window like a decode capture of a 16-layer Llama on two GPUs:
// 24 decode steps replayed from a CUDA graph and one eager prefill step, where
// rank 1 waits for rank 0.
func fixture() *document.Analysis {
	a := &document.Analysis{
		Schema: document.SchemaAnalysis, Version: "1.0.0", Command: "tokprof analyze rank0.pt.trace.json.gz rank1.pt.trace.json.gz",
		Verdict: "Decode takes 3.21 ms a step (8 tokens). Rank 1 waits 1.03 ms of it for rank 0, whose GPU stands idle for its host; the work itself would need 1.8 ms.",
		Trust: []document.Trust{
			{Code: "graph_capture_trace", Severity: document.Info, Message: "graph_capture_rank0.pt.trace.json.gz was recorded while CUDA graphs were captured: its kernels are warm-ups and not counted"},
			{Code: "model", Severity: document.Info, Message: "the trace fits the model's config: 16 layers"},
			{Code: "ok", Severity: document.OK, Message: "all 9450 GPU events read", Touches: []string{}},
			{Code: "unclassified", Severity: document.Info, Message: "1 kernel name is unclassified", Touches: []string{"groups", "categories"}},
		},
		Window: document.Window{Name: "decode", StartUnixNS: 1_770_000_000_123_456_789},
		Findings: []document.Finding{
			{ID: "host-late", Severity: document.Warning, Title: "Rank 0 launches late: its GPU is idle 42 % of a decode step", Evidence: []string{"idle 1.36 ms of 3.21 ms on rank 0", "queue depth 1.2 on average"}, MaxGain: "at most 1.03 ms of a 3.21 ms decode step (32 %), 26 % of all steps", Remedy: "--cuda-graph-sizes=8,16  # vLLM 0.8.5 and later\n--compilation-config '{\"cudagraph_capture_sizes\":[8,16]}'\n# the log tells the sizes", Confirm: "idle of rank 0 under 15 %, see `nvidia-smi` and --profile"},
			{ID: "copies", Severity: document.Info, Title: "Five small copies a step", Evidence: []string{"5 × 1.5 µs", "two", "three", "four"}, Remedy: "# no flag", MaxGain: "no time of a step"},
		},
		Phases: []document.Phase{
			{Phase: "decode", Steps: 24, StepNS: document.Spread{Median: 3_210_000, P99: 3_400_000}, BusyNS: document.Spread{Median: 1_850_000, P99: 1_900_000}, Tokens: 192, Requests: 192, USPerToken: 401.25, WeightReadFloorNS: 841_000},
			{Phase: "prefill", Steps: 1, StepNS: document.Spread{Median: 22_000_000, P99: 22_000_000}, BusyNS: document.Spread{Median: 18_000_000, P99: 18_000_000}, Tokens: 4096, Requests: 2, USPerToken: 5.37, WeightReadFloorNS: 850_000},
		},
		Roles:      []document.Row{{Phase: "decode", Name: "gate_up", TimeNS: 1, Work: &document.Work{BytesPerS: 3.6e12, MemoryShare: 0.75}}},
		Provenance: []document.Provenance{{Provenance: "position", TimeNS: 97, Share: 0.97}, {Provenance: "shape", TimeNS: 3, Share: 0.03}},
		Graphs:     []document.Graph{{Signature: "a1b2c3", Kernels: 152, Replays: 48, TimeNS: 88_000_000}},
		Copies:     []document.Copy{{Kind: "memcpy_h2d", Count: 250, Bytes: 1_000_000, TimeNS: 375_000, BytesPerS: 2.67e9, MedianB: 4000}},
	}
	for r := range 2 {
		a.Sources = append(a.Sources, document.Source{
			Path: fmt.Sprintf("rank%d.pt.trace.json.gz", r), Format: "kineto", SHA256: strings.Repeat(fmt.Sprint(r+1), 64), Bytes: 4_200_000,
			RawBytes: 61_000_000, Events: 170_000, Engine: "vLLM 0.20.2", Rank: r, WorldSize: 2, GPU: "NVIDIA H200", Role: "gpu",
		})
	}
	addKernels(a)
	for r := range 2 {
		for i := range 25 {
			addStep(a, r, i)
		}
		addTimeline(a, r)
	}
	totals(a)
	return a
}

func addKernels(a *document.Analysis) {
	a.Stacks.Nodes = []document.Frame{{Parent: -1, Kind: document.FrameRoot, Name: "all"}, {Parent: 0, Kind: document.FramePhase, Name: "decode"},
		{Parent: 0, Kind: document.FramePython, Name: "GPUModelRunner.execute_model", File: "/usr/lib/python3/dist-packages/vllm/v1/worker/gpu_model_runner.py", Line: 1650}}
	for _, k := range fixtureKernels {
		a.Kernels = append(a.Kernels, document.Kernel{Name: k.name, ShortName: k.short, Group: k.group, Subgroup: k.subgroup, Rule: k.rule, Tags: k.tags})
	}
}

// node finds or adds a frame.
func node(a *document.Analysis, f document.Frame) int32 {
	for i, n := range a.Stacks.Nodes {
		if n == f {
			return int32(i)
		}
	}
	a.Stacks.Nodes = append(a.Stacks.Nodes, f)
	return int32(len(a.Stacks.Nodes) - 1)
}

func addStep(a *document.Analysis, rank, index int) {
	phase, launchNS := "decode", int64(400_000)
	if index == 0 {
		phase = "prefill"
	}
	s := document.Step{Index: index, Rank: rank, Phase: phase, Name: "execute_context_0(0)_generation_8(8)", Tokens: 8, Requests: 8}
	parts := map[string]int64{}
	for i, k := range fixtureKernels {
		d := k.decodeNS
		n := node(a, document.Frame{Parent: 1, Kind: document.FrameCategory, Name: k.group + "." + k.subgroup})
		if phase == "prefill" {
			d = k.prefillNS
			n = node(a, document.Frame{Parent: 2, Kind: document.FramePython, Name: k.python, File: "vllm/model_executor/models/llama.py", Line: k.line})
			n = node(a, document.Frame{Parent: n, Kind: document.FrameOp, Name: k.op})
		}
		if d == 0 {
			continue
		}
		d *= k.perStep
		parts[k.part] += d
		if k.part == "transfer" && rank == 1 && phase == "decode" {
			d += 1_000_000
			parts["waiting"] += 1_000_000
		}
		s.BusyNS += d
		s.Launches += k.perStep
		a.Stacks.Samples = append(a.Stacks.Samples, document.Sample{Node: n, Kernel: int32(i), Rank: rank, Stream: 7, Phase: phase, Graph: phase == "decode" && k.group != "memory", TimeNS: d, ExposedNS: d, Launches: k.perStep})
	}
	for _, p := range []string{"attention", "ffn", "transfer", "waiting", "head", "other"} {
		if parts[p] > 0 {
			s.Parts = append(s.Parts, document.NameTime{Name: p, TimeNS: parts[p]})
		}
	}
	s.DurNS = s.BusyNS + launchNS
	s.PeriodNS = 3_210_000
	if index == 0 {
		s.PeriodNS = s.DurNS + 500_000
	}
	if index == 24 {
		s.PeriodNS = 0
	}
	s.StartUnixNS = a.Window.StartUnixNS
	if index > 0 {
		s.StartUnixNS += 25_000_000 + int64(index)*3_210_000
	}
	a.Steps = append(a.Steps, s)
}

func addTimeline(a *document.Analysis, rank int) {
	t := document.Timeline{Title: "decode step 12 (median of 24)", Phase: "decode", Step: 12, Rank: rank, StartUnixNS: a.Window.StartUnixNS + 60_000_000, DurNS: 200_000, Truncated: 3}
	gpu := document.Lane{Name: "GPU 0 stream 7", GPU: true, Stream: 7}
	host := document.Lane{Name: "host thread 2112: launches"}
	host.Spans = append(host.Spans, document.SpanEvent{StartNS: -20_000, DurNS: 15_001, Kernel: -1, Name: "cudaGraphLaunch", Correlation: 77, Layer: -1})
	at := int64(0)
	for i, k := range fixtureKernels[:9] {
		if k.decodeNS == 0 {
			continue
		}
		span := document.SpanEvent{StartNS: at, DurNS: k.decodeNS, Kernel: int32(i), Correlation: 77, Layer: i / 5, Part: cmp.Or(map[string]string{"transfer": "comm"}[k.part], k.part)}
		if roles := fixtureRoles[k.rule]; len(roles) > 0 {
			span.Role = roles[0].Role
		}
		gpu.Spans = append(gpu.Spans, span)
		at += k.decodeNS - 500 // the next one starts before this one ends
	}
	t.Lanes = []document.Lane{gpu, host}
	prefill := document.Timeline{Title: "prefill step 0", Phase: "prefill", Rank: rank, StartUnixNS: a.Window.StartUnixNS, DurNS: 310_000,
		Lanes: []document.Lane{{Name: "GPU 0 stream 7", GPU: true, Stream: 7, Spans: []document.SpanEvent{{DurNS: 310_000, Kernel: 0, Layer: -1}}}}}
	a.Timelines = append(a.Timelines, t, prefill)
}

// totals makes the rows of a document from its samples, so that they agree.
func totals(a *document.Analysis) {
	devices := map[[2]int]*document.Device{}
	groups, cats := map[[2]string]*document.Row{}, map[[2]string]*document.Row{}
	phaseSum := map[string]int64{}
	for _, s := range a.Stacks.Samples {
		d := devices[[2]int{s.Rank, s.Device}]
		if d == nil {
			d = &document.Device{Rank: s.Rank, Device: s.Device}
			devices[[2]int{s.Rank, s.Device}] = d
		}
		d.SumNS += s.TimeNS
		d.BusyNS += s.TimeNS
		d.Events += s.Launches
		k := &a.Kernels[s.Kernel]
		k.TotalNS += s.TimeNS
		k.ExposedNS += s.ExposedNS
		k.Launches += s.Launches
		if s.Graph {
			k.GraphNS += s.TimeNS
		}
		for _, phase := range []string{"all", s.Phase} {
			phaseSum[phase] += s.TimeNS
			addFixtureRow(groups, phase, k.Group, s)
			addFixtureRow(cats, phase, k.Group+"."+k.Subgroup, s)
		}
	}
	a.Window.DurNS = 105_000_000
	for r := range 8 {
		for dev := range 4 {
			if d := devices[[2]int{r, dev}]; d != nil {
				a.Window.DurNS = max(a.Window.DurNS, d.BusyNS)
				a.Devices = append(a.Devices, *d)
			}
		}
	}
	for i := range a.Devices {
		d := &a.Devices[i]
		d.IdleNS = a.Window.DurNS - d.BusyNS
		late := d.IdleNS * 7 / 10
		d.IdleCauses = []document.IdleCause{{Cause: "host_late", TimeNS: late, Share: float64(late) / float64(a.Window.DurNS), Gaps: 20}, {Cause: "short_gap", TimeNS: d.IdleNS - late, Share: 0.1, Gaps: 400}}
	}
	a.Groups, a.Categories = sortedRows(groups, phaseSum), sortedRows(cats, phaseSum)
	for i := range a.Kernels {
		k := &a.Kernels[i]
		if k.Launches > 0 {
			k.MedianNS = k.TotalNS / k.Launches
			k.MinNS, k.P99NS, k.MaxNS = k.MedianNS*9/10, k.MedianNS*12/10, k.MedianNS*2
			k.Share = float64(k.TotalNS) / float64(max(1, phaseSum["all"]))
			for _, r := range fixtureRoles[k.Rule] {
				k.Roles = append(k.Roles, document.KernelRole{Role: r.Role, TimeNS: k.TotalNS * r.TimeNS / 100})
			}
		}
	}
	sortKernels(a)
}

func addFixtureRow(rows map[[2]string]*document.Row, phase, name string, s document.Sample) {
	r := rows[[2]string{phase, name}]
	if r == nil {
		r = &document.Row{Phase: phase, Name: name}
		rows[[2]string{phase, name}] = r
	}
	r.TimeNS += s.TimeNS
	r.ExposedNS += s.ExposedNS
	r.Launches += s.Launches
}

// random is a random document whose rows agree with its samples.
func random(rng *rand.Rand, name func() string) *document.Analysis {
	a := &document.Analysis{Schema: document.SchemaAnalysis, Version: name(), Verdict: name(), Command: name(), Window: document.Window{Name: name(), StartUnixNS: 1e18}}
	phases := []string{"prefill", "decode", "mixed", "none"}
	for range rng.Intn(3) {
		a.Sources = append(a.Sources, document.Source{Path: name(), Format: name(), SHA256: name(), Engine: name(), GPU: name(), Role: "gpu", Rank: rng.Intn(3) - 1, WorldSize: rng.Intn(9)})
	}
	for range rng.Intn(6) {
		a.Trust = append(a.Trust, document.Trust{Code: name(), Severity: []document.Severity{document.OK, document.Info, document.Warning, document.Error}[rng.Intn(4)], Message: name()})
		a.Provenance = append(a.Provenance, document.Provenance{Provenance: []string{"none", name()}[rng.Intn(2)], Share: rng.Float64()})
	}
	for range rng.Intn(14) {
		f := document.Finding{ID: name(), Title: name(), Severity: document.Warning, Remedy: name() + strings.Repeat("\n"+name(), rng.Intn(12)), Confirm: name(), MaxGain: name()}
		for range rng.Intn(6) {
			f.Evidence = append(f.Evidence, name())
		}
		a.Findings = append(a.Findings, f)
	}
	if len(a.Findings) > 0 && rng.Intn(2) == 0 {
		a.Verdict += " " + a.Findings[0].Title + "."
	}
	a.Stacks.Nodes = []document.Frame{{Parent: -1}}
	for i := range rng.Intn(30) {
		a.Stacks.Nodes = append(a.Stacks.Nodes, document.Frame{Parent: int32(rng.Intn(i + 1)), Kind: document.FrameKind(1 + rng.Intn(6)), Name: name(), File: name(), Line: int64(rng.Intn(3))})
	}
	for range 1 + rng.Intn(20) {
		a.Kernels = append(a.Kernels, document.Kernel{Name: name(), ShortName: name(), Group: []string{"gemm", "comm", "other", name()}[rng.Intn(4)], Subgroup: []string{"x", "unclassified", ""}[rng.Intn(3)], Rule: name(), Tags: []string{name()}, Roles: []document.KernelRole{{Role: name(), TimeNS: rng.Int63n(1e9)}, {Role: name(), TimeNS: rng.Int63n(1e9)}}})
	}
	for range rng.Intn(200) {
		d := rng.Int63n(1e9)
		a.Stacks.Samples = append(a.Stacks.Samples, document.Sample{
			Node: int32(rng.Intn(len(a.Stacks.Nodes))), Kernel: int32(rng.Intn(len(a.Kernels))), Rank: rng.Intn(3), Device: rng.Intn(2),
			Stream: int64(rng.Intn(3)), Phase: phases[rng.Intn(4)], Graph: rng.Intn(2) == 0, TimeNS: d, ExposedNS: rng.Int63n(d + 1), Launches: 1 + rng.Int63n(9)})
	}
	for i := range rng.Intn(40) {
		d := rng.Int63n(1e8)
		s := document.Step{Index: i, Rank: rng.Intn(4), Phase: phases[rng.Intn(4)], DurNS: d, BusyNS: d / 2, PeriodNS: d, Name: name()}
		for range rng.Intn(12) {
			s.Parts = append(s.Parts, document.NameTime{Name: name(), TimeNS: rng.Int63n(1e8)})
		}
		a.Steps = append(a.Steps, s)
		a.Phases = append(a.Phases, document.Phase{Phase: []string{name(), phases[rng.Intn(4)]}[rng.Intn(2)], Steps: rng.Int63n(1e6), WeightReadFloorNS: rng.Int63n(1e7)})
	}
	for i := range rng.Intn(4) {
		a.Timelines = append(a.Timelines, randomTimeline(rng, i, len(a.Kernels), name))
	}
	if rng.Intn(2) == 0 {
		addRandomRequests(rng, a, name)
	}
	if rng.Intn(2) == 0 {
		addRandomWhole(rng, a)
	}
	totals(a)
	return a
}

// addRandomRequests adds requests and a tax of any numbers.
func addRandomRequests(rng *rand.Rand, a *document.Analysis, name func() string) {
	n := func() int64 { return rng.Int63n(1e12) - rng.Int63n(1e9)*int64(rng.Intn(2)) }
	q := &document.Requests{Count: n(), Failed: n(), Damaged: int64(rng.Intn(2)), TPOTNS: document.Spread{Median: n()}, TTFTNS: document.Spread{Median: n()}, Join: document.Join{Joined: n(), Share: rng.Float64(), Reason: name()}}
	for i := range rng.Intn(4) {
		q.Rows = append(q.Rows, document.Request{ID: i, Error: name(), TTFTNS: n(), FirstToken: &document.FirstToken{QueueNS: n(), PrefillNS: n(), DeliveryNS: n(), Parts: []document.NameTime{{Name: name(), TimeNS: n()}}}})
		q.Slowest = append(q.Slowest, document.SlowToken{Request: i, GapNS: n(), Why: name()})
		q.Errors = append(q.Errors, document.ErrorCount{Error: name(), Count: n()})
	}
	a.Requests, a.Tax = q, &document.Tax{Window: name(), TTFTNS: n(), TPOTNS: n(), PlainTPOTNS: n(), TPOTInflation: rng.Float64() - 0.5, TTFTInflation: rng.Float64() - 0.5, PlainFirst: rng.Intn(2) == 0}
	a.Trust = append(a.Trust, document.Trust{Code: "profiler_tax", Severity: document.Info, Message: "profiler tax: " + a.Tax.Words()})
	for range rng.Intn(3) {
		a.Servers = append(a.Servers, document.ServerFacts{Engine: name(), Version: name(), Model: name(), Flags: map[string]string{"tp_size": fmt.Sprint(rng.Intn(3)), name(): name()}})
	}
}

// withRequests adds what eight clients saw of the fixture, its server, and its tax.
func withRequests(a *document.Analysis) *document.Analysis {
	a.Requests = &document.Requests{
		Count: 8, InputTokens: 708, OutputTokens: 192, TokensPerS: 1555,
		TTFTNS: document.Spread{Median: 48_711_026, P99: 48_728_227}, TPOTNS: document.Spread{Median: 3_226_689, P99: 3_874_852},
		Join:    document.Join{Emitted: 192, Explained: 192, Joined: 192, Share: 1, Sure: 0.9},
		Errors:  []document.ErrorCount{},
		Roles:   []document.RequestRole{{Span: "prefill", Role: "gate_up", TimeNS: 12_930_000}},
		Slowest: []document.SlowToken{{Request: 0, Position: 2, GapNS: 18_875_068, Step: 2, Phase: "mixed", StepsNS: 18_143_068, DeliveryNS: 732_000, Parts: []document.NameTime{{Name: "idle", TimeNS: 18_143_068}}, Why: "step 2: mixed, prefill of 644 tokens of 7 other requests"}},
		Rows: []document.Request{{ID: 1, PromptTokens: 71, OutputTokens: 24, TTFTNS: 48_711_026, EnteredStep: 2, FirstStep: 2, FirstToken: &document.FirstToken{
			Requests: 1, TimeNS: 48_711_026, QueueNS: 28_039_750, PrefillNS: 18_142_593, DeliveryNS: 2_528_683,
			Parts: []document.NameTime{{Name: "ffn", TimeNS: 18_142_593}}, Phases: []document.NameTime{{Name: "mixed", TimeNS: 18_142_593}}}}},
	}
	a.Servers = []document.ServerFacts{{Engine: "vLLM", Version: "0.20.2", Model: "llama-16l", WorldSize: 2, Flags: map[string]string{"tensor_parallel_size": "2"}}}
	a.Tax = &document.Tax{Window: "decode-plain", Requests: 8, Gaps: 184, PlainFirst: true, TTFTNS: 48_711_026, PlainTTFTNS: 73_778_697, TTFTInflation: -0.34, TPOTNS: 3_226_689, PlainTPOTNS: 2_362_482, TPOTInflation: 0.3658}
	a.Trust = append(a.Trust, document.Trust{Code: "profiler_tax", Severity: document.Info, Message: "profiler tax: " + a.Tax.Words(), Touches: []string{"steps"}})
	return a
}

func randomTimeline(rng *rand.Rand, step, kernels int, name func() string) document.Timeline {
	t := document.Timeline{Title: name(), Phase: name(), Step: step, Rank: rng.Intn(3) - 1, StartUnixNS: 1e18 + rng.Int63n(1e10), DurNS: rng.Int63n(1e7), Truncated: rng.Int63n(3)}
	for range rng.Intn(4) {
		l := document.Lane{Name: name(), GPU: rng.Intn(2) == 0}
		for range rng.Intn(60) {
			e := document.SpanEvent{StartNS: rng.Int63n(1e6) - 1000, DurNS: rng.Int63n(1e5), Kernel: int32(rng.Intn(kernels)), Correlation: uint64(rng.Intn(20)), Part: name(), Role: name(), Layer: rng.Intn(3) - 1}
			if !l.GPU {
				e.Kernel, e.Name = -1, name()
			}
			l.Spans = append(l.Spans, e)
		}
		t.Lanes = append(t.Lanes, l)
	}
	return t
}

func sortedRows(rows map[[2]string]*document.Row, phaseSum map[string]int64) []document.Row {
	var out []document.Row
	for _, r := range rows {
		r.Share = float64(r.TimeNS) / float64(max(1, phaseSum[r.Phase]))
		out = append(out, *r)
	}
	slices.SortFunc(out, func(x, y document.Row) int {
		return cmp.Or(cmp.Compare(x.Phase, y.Phase), cmp.Compare(y.TimeNS, x.TimeNS), cmp.Compare(x.Name, y.Name))
	})
	return out
}

// sortKernels puts the largest first, as the document promises, and moves the
// indexes of samples and spans along.
func sortKernels(a *document.Analysis) {
	order := make([]int, len(a.Kernels))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(x, y int) int { return cmp.Compare(a.Kernels[y].TotalNS, a.Kernels[x].TotalNS) })
	sorted, moved := make([]document.Kernel, len(order)), make([]int32, len(order))
	for to, from := range order {
		sorted[to], moved[from] = a.Kernels[from], int32(to)
	}
	a.Kernels = sorted
	for i := range a.Stacks.Samples {
		a.Stacks.Samples[i].Kernel = moved[a.Stacks.Samples[i].Kernel]
	}
	for _, t := range a.Timelines {
		for _, l := range t.Lanes {
			for i := range l.Spans {
				if l.Spans[i].Kernel >= 0 {
					l.Spans[i].Kernel = moved[l.Spans[i].Kernel]
				}
			}
		}
	}
}
