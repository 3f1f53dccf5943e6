package serving

import (
	"cmp"
	"iter"
	"regexp"
	"strconv"
	"strings"
)

// safeSettings are the settings whose values say nothing about anybody.
var safeSettings = map[string]bool{}

func init() {
	for _, k := range strings.Fields(`
		tensor_parallel_size pipeline_parallel_size data_parallel_size decode_context_parallel_size prefill_context_parallel_size enable_expert_parallel
		data_parallel_size_local data_parallel_external_lb data_parallel_hybrid_lb api_server_count disable_custom_all_reduce enable_eplb enable_dbo all2all_backend
		max_model_len max_seq_len max_num_seqs max_num_batched_tokens max_num_partial_prefills gpu_memory_utilization quantization dtype kv_cache_dtype cache_dtype
		block_size num_gpu_blocks num_gpu_blocks_override kv_cache_memory_bytes kv_cache_size_tokens kv_cache_max_concurrency kv_offloading_size kv_offloading_backend
		sliding_window enable_prefix_caching enable_chunked_prefill chunked_prefill_enabled async_scheduling enforce_eager scheduling_policy stream_interval
		cudagraph_mode cudagraph_capture_sizes max_cudagraph_capture_size attention_backend optimization_level load_format enable_lora max_loras max_lora_rank
		speculative_method speculative_num_speculative_tokens speculative_num_spec_tokens moe_backend calculate_kv_scales cpu_offload_gb swap_space
		enable_logging_iteration_details enable_mfu_metrics disable_log_stats
		tp_size pp_size dp_size ep_size dcp_size nnodes enable_dp_attention mem_fraction_static max_running_requests max_total_tokens max_total_num_tokens
		chunked_prefill_size max_prefill_tokens schedule_policy schedule_conservativeness page_size disable_radix_cache disable_cuda_graph cuda_graph_max_bs
		decode_attention_backend prefill_attention_backend sampling_backend moe_runner_backend moe_a2a_backend context_length speculative_algorithm
		speculative_num_steps speculative_eagle_topk speculative_num_draft_tokens disable_overlap_schedule enable_mixed_chunk enable_torch_compile num_continuous_decode_steps
		disaggregation_mode enable_metrics decode_log_interval enable_two_batch_overlap`) {
		safeSettings[k] = true
	}
}

var safeValue = regexp.MustCompile(`^[\w .,:+*()\[\]-]{1,200}$`)

// enumForm is how Python writes a value of an enumeration.
var enumForm = regexp.MustCompile(`^<\w+\.(\w+): .*>$`)

// safeSetting is a setting that may be kept: of a known name, with a value that is
// a number, a switch, a word or a list of those.
func safeSetting(key, value string) (string, bool) {
	if m := enumForm.FindStringSubmatch(value); m != nil {
		value = m[1]
	}
	value = strings.NewReplacer("'", "", `"`, "", "<", "", ">", "").Replace(strings.TrimSpace(value))
	if !safeSettings[key] || value == "" || value == "None" || value == "null" || !safeValue.MatchString(value) {
		return "", false
	}
	return value, true
}

// setting is one key and value of a Python object as text.
type setting struct{ parent, key, value string }

// maxDepth bounds how deep objects nest in each other.
const maxDepth = 8

var (
	keyForm    = regexp.MustCompile(`^\s*(?:'(\w+)'\s*:|"(\w+)"\s*:|(\w+)=)\s*`)
	objectForm = regexp.MustCompile(`^(?:\w*\(|\{)`)
)

// pythonSettings yields the settings of what repr or str of Python wrote: "k=v,
// …" and "'k': v, …", those of objects inside with the key of the object.
func pythonSettings(text string) iter.Seq[setting] {
	return func(yield func(setting) bool) { walkSettings("", text, 0, yield) }
}

func walkSettings(parent, text string, depth int, yield func(setting) bool) bool {
	for text != "" {
		end := valueEnd(text)
		part := text[:end]
		text = strings.TrimLeft(text[end:], ",")
		m := keyForm.FindStringSubmatch(part)
		if m == nil {
			continue
		}
		s := setting{parent, m[1] + m[2] + m[3], strings.TrimSpace(part[len(m[0]):])}
		if !yield(s) {
			return false
		}
		if open := objectForm.FindString(s.value); open != "" && depth < maxDepth {
			if !walkSettings(s.key, strings.TrimRight(s.value[len(open):], ")}"), depth+1, yield) {
				return false
			}
		}
	}
	return true
}

// valueEnd is where the first part of a list ends: at a comma outside of quotes
// and brackets.
func valueEnd(text string) int {
	depth := 0
	var quote byte
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quote != 0 && c == '\\':
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == '(' || c == '[' || c == '{':
			depth++
		case c == ')' || c == ']' || c == '}':
			depth--
		case c == ',' && depth <= 0:
			return i
		}
	}
	return len(text)
}

// settingName is a setting's name outside of the object that holds it.
func settingName(parent, key string) string {
	switch {
	case parent == "speculative_config":
		return "speculative_" + strings.TrimPrefix(key, "speculative_")
	case parent == "attention_config" && key == "backend":
		return "attention_backend"
	}
	return key
}

func unquoted(s string) string { return strings.Trim(s, `'"`) }

// readConfig takes settings of an engine's start from a line of the log.
func (l *Log) readConfig(text string) {
	sizes := map[string]int{}
	for s := range pythonSettings(text) {
		if s.parent == "profiler_config" {
			l.Profiler.read(s.key, unquoted(s.value))
			continue
		}
		key := settingName(s.parent, s.key)
		if v, ok := safeSetting(key, s.value); ok {
			l.Args[key] = v
		}
		if s.parent != "" {
			continue
		}
		if n, err := strconv.Atoi(s.value); err == nil {
			sizes[s.key] = n
		}
		l.readSwitch(s.key, s.value)
	}
	if l.Profiler.Dir != "" {
		l.TraceDir = l.Profiler.Dir
	}
	// The defaults are not among the arguments of a start, only in the config of
	// the engine that follows.
	if tp := cmp.Or(sizes["tensor_parallel_size"], sizes["tp_size"]); tp > 0 {
		l.TP = tp
		l.PP = max(1, sizes["pipeline_parallel_size"], sizes["pp_size"])
		l.DP = max(1, sizes["data_parallel_size"], sizes["dp_size"])
	}
}

// readSwitch takes what is on or off.
func (l *Log) readSwitch(key, value string) {
	on := value == "True"
	switch key {
	case "enable_prefix_caching":
		if on || value == "False" {
			l.PrefixCaching = &on
		}
	case "disable_radix_cache":
		on = !on
		l.PrefixCaching = &on
	case "speculative_config", "speculative_algorithm":
		on = value != "None"
		l.SpecDecode = &on
	case "enable_dp_attention":
		l.DPInsideTP = on
	case "max_num_batched_tokens":
		l.MaxBatchedTokens, _ = strconv.Atoi(value)
	case "attention_backend":
		if v := unquoted(value); v != "None" && l.Attention == "" {
			l.Attention = printable(v, 64)
		}
	}
}

// read takes one field of vLLM's ProfilerConfig.
func (p *Profiler) read(key, value string) {
	p.Known = true
	n, _ := strconv.Atoi(value)
	switch key {
	case "profiler":
		p.Kind = strings.TrimSuffix(value, "None")
	case "torch_profiler_dir":
		p.Dir = value
	case "torch_profiler_with_stack":
		p.WithStack = value == "True"
	case "torch_profiler_record_shapes":
		p.RecordShapes = value == "True"
	case "ignore_frontend":
		p.IgnoreFrontend = value == "True"
	case "delay_iterations":
		p.DelayIterations = max(0, n)
	case "max_iterations":
		p.MaxIterations = max(0, n)
	}
}
