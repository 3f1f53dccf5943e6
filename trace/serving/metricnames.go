package serving

import (
	"math"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
)

// Logical is something that engines measure, whatever they call it.
type Logical string

// What engines measure. Histograms of times are in seconds.
const (
	KVUsage          Logical = "kv_usage"    // share of the KV cache in use, 0–1, mean over engines
	KVCapacity       Logical = "kv_capacity" // tokens, of one engine
	Running          Logical = "running"     // requests now
	Waiting          Logical = "waiting"
	Preemptions      Logical = "preemptions"
	PromptTokens     Logical = "prompt_tokens"
	GenerationTokens Logical = "generation_tokens"
	CachedTokens     Logical = "cached_tokens" // prompt tokens that a cache gave
	Finished         Logical = "finished"      // requests that ended, however
	TTFT             Logical = "ttft"
	// ITL is the time between outputs of one request: tokens where the engine
	// neither speculates nor bundles. vLLM's first bucket ends at 10 ms, so only
	// mean and count say something about a fast server.
	ITL               Logical = "itl"
	TPOT              Logical = "tpot" // one sample a request: its mean ITL
	E2E               Logical = "e2e"
	QueueTime         Logical = "queue_time"
	PrefillTime       Logical = "prefill_time"
	DecodeTime        Logical = "decode_time"
	InferenceTime     Logical = "inference_time"
	StepTokens        Logical = "step_tokens"    // histogram: tokens of a step
	PrefixQueries     Logical = "prefix_queries" // blocks to vLLM 0.8, tokens since: use the ratio
	PrefixHits        Logical = "prefix_hits"
	PrefixHitRate     Logical = "prefix_hit_rate" // gauge of 0–1 of engines without the counters
	SpecDrafts        Logical = "spec_drafts"     // times that tokens were drafted
	SpecDraftTokens   Logical = "spec_draft_tokens"
	SpecAccepted      Logical = "spec_accepted_tokens"
	SpecAcceptLength  Logical = "spec_accept_length" // gauge: tokens a step and request
	HTTPRequests      Logical = "http_requests"
	HTTPSeconds       Logical = "http_seconds"
	GenerationsPerSec Logical = "generation_throughput" // gauge, tokens a second
)

// names are the metrics of each logical one, newest first: the first present
// counts, since versions in between show old and new ones together. Counters end
// in _total since prometheus_client appends it. vLLM's were extracted over its
// tags 0.5 to 0.33; SGLang's stand in srt/observability/metrics_collector.py,
// TensorRT-LLM's in tensorrt_llm/metrics/collector.py.
var names = map[Logical][]string{
	KVUsage:           {"vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc", "sglang:token_usage", "trtllm_kv_cache_utilization"},
	KVCapacity:        {"sglang:max_total_num_tokens"},
	Running:           {"vllm:num_requests_running", "sglang:num_running_reqs", "trtllm_num_requests_running"},
	Waiting:           {"vllm:num_requests_waiting", "sglang:num_queue_reqs", "trtllm_num_requests_waiting"},
	Preemptions:       {"vllm:num_preemptions_total", "sglang:num_retracted_requests_total"},
	PromptTokens:      {"vllm:prompt_tokens_total", "sglang:prompt_tokens_total"},
	GenerationTokens:  {"vllm:generation_tokens_total", "sglang:generation_tokens_total"},
	CachedTokens:      {"vllm:prompt_tokens_cached_total", "sglang:cached_tokens_total"},
	Finished:          {"vllm:request_success_total", "sglang:num_requests_total", "trtllm_request_success_total"},
	TTFT:              {"vllm:time_to_first_token_seconds", "sglang:time_to_first_token_seconds", "trtllm_time_to_first_token_seconds"},
	ITL:               {"vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds", "sglang:inter_token_latency_seconds", "sglang:time_per_output_token_seconds"},
	TPOT:              {"vllm:request_time_per_output_token_seconds", "trtllm_time_per_output_token_seconds"},
	E2E:               {"vllm:e2e_request_latency_seconds", "sglang:e2e_request_latency_seconds", "trtllm_e2e_request_latency_seconds"},
	QueueTime:         {"vllm:request_queue_time_seconds", "sglang:queue_time_seconds", "trtllm_request_queue_time_seconds"},
	PrefillTime:       {"vllm:request_prefill_time_seconds"},
	DecodeTime:        {"vllm:request_decode_time_seconds"},
	InferenceTime:     {"vllm:request_inference_time_seconds"},
	StepTokens:        {"vllm:iteration_tokens_total"},
	PrefixQueries:     {"vllm:prefix_cache_queries_total", "vllm:gpu_prefix_cache_queries_total", "sglang:prompt_tokens_total"},
	PrefixHits:        {"vllm:prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits_total", "sglang:cached_tokens_total"},
	PrefixHitRate:     {"vllm:gpu_prefix_cache_hit_rate", "sglang:cache_hit_rate", "trtllm_kv_cache_hit_rate"},
	SpecDrafts:        {"vllm:spec_decode_num_drafts_total"},
	SpecDraftTokens:   {"vllm:spec_decode_num_draft_tokens_total"},
	SpecAccepted:      {"vllm:spec_decode_num_accepted_tokens_total"},
	SpecAcceptLength:  {"sglang:spec_accept_length"},
	HTTPRequests:      {"http_requests_total"},
	HTTPSeconds:       {"http_request_duration_seconds"},
	GenerationsPerSec: {"sglang:gen_throughput", "vllm:avg_generation_throughput_toks_per_s"},
}

// averaged are the gauges of a share, whose mean over engines says something.
var averaged = []Logical{KVUsage, KVCapacity, PrefixHitRate, SpecAcceptLength}

// Name is the metric that this scrape has for a logical one; "" for none.
func (m Metrics) Name(q Logical) string {
	for _, n := range names[q] {
		if m.Has(n) {
			return n
		}
	}
	return ""
}

// Value is a counter or gauge over all engines: the sum, for shares the mean. ok
// is false when the server does not have it, or has it switched off.
func (m Metrics) Value(q Logical) (v float64, ok bool) {
	f := m.families[m.Name(q)]
	if f == nil || len(f.series) == 0 || f.kind == dto.MetricType_HISTOGRAM || f.kind == dto.MetricType_SUMMARY {
		return 0, false
	}
	all := onePerEngine(f.series, func(s series) float64 { return s.value })
	for _, s := range all {
		v += s.value
	}
	if slices.Contains(averaged, q) {
		v /= float64(len(all))
		if v < 0 { // vLLM's first engine says -1 for a cache that is off
			return 0, false
		}
	}
	return v, !math.IsNaN(v) && !math.IsInf(v, 0)
}

// Histogram is a histogram over all engines. It has no percentiles: the buckets
// of latencies are too coarse for them.
type Histogram struct {
	Sum, Count float64
	Buckets    []Bucket // cumulative
}

// Mean is Sum by Count; ok is false without samples.
func (h Histogram) Mean() (mean float64, ok bool) {
	if h.Count <= 0 || math.IsNaN(h.Sum) {
		return 0, false
	}
	return h.Sum / h.Count, true
}

// Histogram is a logical histogram over all engines; ok is false when the server
// does not have it.
func (m Metrics) Histogram(q Logical) (h Histogram, ok bool) {
	f := m.families[m.Name(q)]
	if f == nil || len(f.series) == 0 || f.kind != dto.MetricType_HISTOGRAM && f.kind != dto.MetricType_SUMMARY {
		return h, false
	}
	for _, s := range onePerEngine(f.series, func(s series) float64 { return s.count }) {
		h.Sum += s.sum
		h.Count += s.count
		for _, b := range s.buckets {
			i, found := slices.BinarySearchFunc(h.Buckets, b.Le, func(x Bucket, le float64) int {
				switch {
				case x.Le < le:
					return -1
				case x.Le > le:
					return 1
				}
				return 0
			})
			if !found {
				h.Buckets = slices.Insert(h.Buckets, i, Bucket{Le: b.Le})
			}
			h.Buckets[i].Count += b.Count
		}
	}
	return h, true
}

// rankLabels tell the ranks of one engine apart. With SGLang's
// --enable-metrics-for-all-schedulers each rank repeats the engine's numbers.
var rankLabels = []string{"tp_rank", "pp_rank", "moe_ep_rank", "pid"}

// onePerEngine keeps the largest of the series that differ only in rank.
func onePerEngine(all []series, by func(series) float64) []series {
	var out []series
	seen := map[string]int{}
	for _, s := range all {
		k := seriesKey(s.labels, rankLabels)
		i, ok := seen[k]
		switch {
		case !ok:
			seen[k] = len(out)
			out = append(out, s)
		case by(s) > by(out[i]):
			out[i] = s
		}
	}
	return out
}

// seriesKey is a label set as one text, without some labels.
func seriesKey(labels map[string]string, without []string) string {
	parts := make([]string, 0, len(labels))
	for k, v := range labels {
		if !slices.Contains(without, k) {
			parts = append(parts, k+"\x00"+v)
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, "\x01")
}

// Delta is what happened between two scrapes of one server: counters and
// histograms as differences, gauges as they stand after. A counter that fell
// says that the server restarted; then Reset is set and the whole of after counts.
func Delta(before, after Metrics) Metrics {
	d := Metrics{Engine: after.Engine, Skipped: before.Skipped + after.Skipped, families: map[string]*family{}}
	for name, f := range after.families {
		g := &family{kind: f.kind, series: slices.Clone(f.series)}
		d.families[name] = g
		old := before.families[name]
		if old == nil || f.kind == dto.MetricType_GAUGE || f.kind == dto.MetricType_UNTYPED {
			continue
		}
		was := map[string]series{}
		for _, s := range old.series {
			was[seriesKey(s.labels, nil)] = s
		}
		for i := range g.series {
			s, b := &g.series[i], was[seriesKey(g.series[i].labels, nil)]
			if s.value < b.value || s.count < b.count {
				d.Reset = true
				continue
			}
			s.value, s.sum, s.count = s.value-b.value, s.sum-b.sum, s.count-b.count
			s.buckets = subtract(s.buckets, b.buckets)
		}
	}
	if d.Reset {
		d.families = after.families
	}
	return d
}

func subtract(after, before []Bucket) []Bucket {
	out := slices.Clone(after)
	for i := range out {
		for _, b := range before {
			if b.Le == out[i].Le {
				out[i].Count = max(0, out[i].Count-b.Count)
			}
		}
	}
	return out
}
