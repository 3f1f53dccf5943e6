package serving

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"

	"github.com/tidwall/gjson"
)

// Route says whether a server has a route.
type Route uint8

// What is known about a route.
const (
	RouteUnknown Route = iota
	RoutePresent
	RouteAbsent
)

func (r Route) String() string {
	return [...]string{"unknown", "present", "absent"}[min(int(r), 2)]
}

// Model is one model that a server offers.
type Model struct {
	ID     string
	MaxLen int    // tokens of prompt and output together; 0: not told
	Root   string // where its weights come from: a name, or a path on the server
	Parent string // the base model of an adapter
}

// Profiler is the torch or CUDA profiler as the server is configured.
type Profiler struct {
	Known           bool   // the server told
	Kind            string // torch, cuda, …; "" is none
	Dir             string // where traces go, on the server
	WithStack       bool
	RecordShapes    bool
	IgnoreFrontend  bool
	DelayIterations int
	// MaxIterations ends every recording after this many steps; 0 is no bound.
	MaxIterations int
}

// Evidence is one fact and how it is known.
type Evidence struct{ Fact, Value, How string }

// Facts is what a server says about itself. What it does not say is unknown:
// zero, nil, or RouteUnknown.
type Facts struct {
	URL     string
	Engine  Engine
	Version Version
	Models  []Model // base models first, then adapters

	ProfileRoute Route
	// ProfilePath is the route that starts a recording: /start_profile,
	// /engine/start_profile on a Dynamo worker, or /collective_rpc of vLLM's
	// developer mode, where /start_profile is missing.
	ProfilePath   string
	Profiler      Profiler
	TraceDir      string // on the server; "" is not known
	DevMode       bool   // vLLM with VLLM_SERVER_DEV_MODE=1
	RustFrontEnd  bool   // vLLM with the Rust front end, without profile routes
	Dynamo        bool   // the system server of a Dynamo worker
	V0            bool   // vLLM's first engine, gone with 0.11
	APIServers    int    // processes that share the port; 0 unknown
	MetricsPath   string // "" without Prometheus metrics
	WorldSize     int    // GPUs that write traces, all data-parallel ranks together
	TP, PP, DP    int
	Running       int // requests, when LoadKnown
	Waiting       int
	LoadKnown     bool
	VocabSize     int
	KVTokens      int64 // tokens that one engine's KV cache holds
	SpecDecode    *bool
	PrefixCaching *bool

	// Config holds settings of known names: no paths, hosts, keys or variables.
	Config   map[string]string
	Evidence []Evidence // in the order found out
}

// How says how a fact is known, "" for an unknown one. Facts are named engine,
// version, models, profile route, trace dir, profiler, world size, load,
// vocabulary, KV tokens, speculative decoding, prefix caching, data parallel.
func (f *Facts) How(fact string) string {
	for _, e := range f.Evidence {
		if e.Fact == fact {
			return e.How
		}
	}
	return ""
}

func (f *Facts) know(fact, value, how string) {
	for i := range f.Evidence {
		if e := &f.Evidence[i]; e.Fact == fact {
			e.Value, e.How = value, how
			return
		}
	}
	f.Evidence = append(f.Evidence, Evidence{fact, value, how})
}

// StopWaits says whether the stop call returns only when traces are written.
// known is false where the version does not decide it. In every case files may
// still be growing: look at them too.
func (f *Facts) StopWaits() (waits, known bool) {
	switch f.Engine {
	case VLLM:
		switch {
		case f.Version.AtLeast(0, 11, 0):
			return true, true
		case f.V0 || f.Version.Before(0, 8, 0):
			return false, true
		}
	case SGLang:
		return f.Version.AtLeast(0, 4, 7), f.Version.Known()
	}
	return false, false
}

// setWorld notes the parallel sizes, of which DP may be 0 for unknown. inside
// says that data-parallel ranks share the tensor-parallel ones.
func (f *Facts) setWorld(tp, pp, dp int, inside bool, how string) {
	if tp < 1 || tp > 1<<16 || pp > 1<<16 || dp > 1<<16 {
		return
	}
	f.TP, f.PP, f.DP = tp, max(pp, 1), max(dp, 1)
	f.WorldSize = f.TP * f.PP
	if !inside {
		f.WorldSize *= f.DP
	}
	f.know("world size", strconv.Itoa(f.WorldSize)+" (tensor "+strconv.Itoa(f.TP)+" × pipeline "+strconv.Itoa(f.PP)+", data "+strconv.Itoa(f.DP)+")", how)
}

func (f *Facts) setTraceDir(dir, how string) {
	if dir != "" {
		f.TraceDir = dir
		f.know("trace dir", dir, how)
	}
}

func (f *Facts) setKVTokens(n int64, how string) {
	if n > 0 {
		f.KVTokens = n
		f.know("KV tokens", strconv.FormatInt(n, 10), how)
	}
}

func (f *Facts) setFlag(p **bool, on bool, fact, how string) {
	*p = &on
	value := "off"
	if on {
		value = "on"
	}
	f.know(fact, value, how)
}

// setConfig keeps a setting that may be kept; what was known first stays.
func (f *Facts) setConfig(key, value string) {
	if v, ok := safeSetting(key, value); ok && f.Config[key] == "" {
		if f.Config == nil {
			f.Config = map[string]string{}
		}
		f.Config[key] = v
	}
}

// AddLog fills what is still unknown from the server's log.
func (f *Facts) AddLog(l *Log) { f.addLog(l, "server log") }

func (f *Facts) addLog(l *Log, how string) {
	if f.Engine == Unknown && l.Engine != Unknown {
		f.Engine = l.Engine
		f.know("engine", f.Engine.String(), how)
	}
	if f.Version.Text == "" && l.Version.Text != "" {
		f.Version = l.Version
		f.know("version", f.Version.Text, how)
	}
	if f.TraceDir == "" {
		f.setTraceDir(l.TraceDir, how)
	}
	if f.WorldSize == 0 && l.TP > 0 {
		f.setWorld(l.TP, l.PP, max(l.DP, f.DP), l.DPInsideTP, how)
	}
	if f.KVTokens == 0 {
		f.setKVTokens(l.KVTokens, how)
	}
	if !f.Profiler.Known && l.Profiler.Known {
		f.Profiler = l.Profiler
		f.know("profiler", l.Profiler.Kind, how)
	}
	if f.SpecDecode == nil && l.SpecDecode != nil {
		f.setFlag(&f.SpecDecode, *l.SpecDecode, "speculative decoding", how)
	}
	if f.PrefixCaching == nil && l.PrefixCaching != nil {
		f.setFlag(&f.PrefixCaching, *l.PrefixCaching, "prefix caching", how)
	}
	for k, v := range l.Args {
		f.setConfig(k, v)
	}
}

// readVLLMInfo reads vllm_config of the developer mode's /server_info: an object
// with config_format=json, before that the text that the log has too.
func (f *Facts) readVLLMInfo(c gjson.Result) {
	const how = "/server_info"
	if c.Type == gjson.String {
		l := &Log{Args: map[string]string{}}
		l.readConfig(c.Str)
		f.addLog(l, how)
		return
	}
	for _, part := range []string{"model_config", "cache_config", "parallel_config", "scheduler_config", "compilation_config", "speculative_config", "lora_config", "load_config", "attention_config"} {
		c.Get(part).ForEach(func(k, v gjson.Result) bool {
			f.setConfig(settingName(part, k.Str), v.String())
			return true
		})
	}
	if p := c.Get("parallel_config"); p.Exists() {
		dp := p.Get("data_parallel_size").Int()
		if p.Get("data_parallel_external_lb").Bool() {
			dp = 1
		} else if p.Get("data_parallel_hybrid_lb").Bool() {
			dp = p.Get("data_parallel_size_local").Int()
		}
		f.setWorld(int(p.Get("tensor_parallel_size").Int()), int(p.Get("pipeline_parallel_size").Int()), int(dp), false, how)
		f.APIServers = int(p.Get("_api_process_count").Int())
	}
	if p := c.Get("profiler_config"); p.Exists() {
		f.Profiler = Profiler{
			Known: true, Kind: p.Get("profiler").Str, Dir: p.Get("torch_profiler_dir").Str,
			WithStack: p.Get("torch_profiler_with_stack").Bool(), RecordShapes: p.Get("torch_profiler_record_shapes").Bool(),
			IgnoreFrontend:  p.Get("ignore_frontend").Bool(),
			DelayIterations: int(p.Get("delay_iterations").Int()), MaxIterations: int(p.Get("max_iterations").Int()),
		}
		f.know("profiler", cmp.Or(f.Profiler.Kind, "none"), how)
		f.setTraceDir(f.Profiler.Dir, how)
	}
	if s := c.Get("speculative_config"); c.Get("model_config").Exists() {
		f.setFlag(&f.SpecDecode, s.IsObject(), "speculative decoding", how)
	}
	if v := c.Get("cache_config.enable_prefix_caching"); v.IsBool() {
		f.setFlag(&f.PrefixCaching, v.Bool(), "prefix caching", how)
	}
	f.setVocabulary(c.Get("model_config").Raw, how)
}

// vocabSize finds the size in a configuration of transformers, also where that
// stands as text inside a JSON string.
var vocabSize = regexp.MustCompile(`"vocab_size\\?"\s*:\s*(\d{1,9})`)

// setVocabulary takes the smallest size named: any token below it is in every
// part of a model of several.
func (f *Facts) setVocabulary(config, how string) {
	for _, m := range vocabSize.FindAllStringSubmatch(config, -1) {
		if n, _ := strconv.Atoi(m[1]); n > 0 && (f.VocabSize == 0 || n < f.VocabSize) {
			f.VocabSize = n
			f.know("vocabulary", m[1], how)
		}
	}
}

// readSGLangInfo reads /server_info: the server's arguments (its keys among
// them), the scheduler's numbers, and version (sglang srt/entrypoints/http_server.py).
func (f *Facts) readSGLangInfo(r gjson.Result) {
	const how = "/server_info"
	if v := r.Get("version").Str; v != "" {
		f.Version = ParseVersion(v)
		f.know("version", f.Version.Text, how)
	}
	r.ForEach(func(k, v gjson.Result) bool {
		f.setConfig(k.Str, v.String())
		return true
	})
	f.setWorld(int(r.Get("tp_size").Int()), int(r.Get("pp_size").Int()), int(r.Get("dp_size").Int()), r.Get("enable_dp_attention").Bool(), how)
	f.setKVTokens(r.Get("max_total_num_tokens").Int(), how)
	if v := r.Get("disable_radix_cache"); v.IsBool() {
		f.setFlag(&f.PrefixCaching, !v.Bool(), "prefix caching", how)
	}
	if v := r.Get("speculative_algorithm"); v.Exists() {
		f.setFlag(&f.SpecDecode, v.Str != "", "speculative decoding", how)
	}
	f.setVocabulary(r.Raw, how)
}

// readLoad reads what the metrics tell beside the load.
func (f *Facts) readLoad(m Metrics) {
	if m.Engine == Unknown {
		return
	}
	how := f.MetricsPath
	running, ok := m.Value(Running)
	waiting, ok2 := m.Value(Waiting)
	if f.LoadKnown = ok && ok2; f.LoadKnown {
		f.Running, f.Waiting = int(running), int(waiting)
		f.know("load", fmt.Sprintf("%d running, %d waiting", f.Running, f.Waiting), how)
	}
	f.V0 = m.Has("vllm:num_requests_swapped") || m.Has("vllm:cpu_cache_usage_perc")
	if n := m.Engines(); f.DP == 0 && n > 0 {
		f.DP = n
		f.know("data parallel", strconv.Itoa(n), how+", engines that it tells apart")
	}
	labels := m.Labels("vllm:cache_config_info")
	for k, v := range labels {
		f.setConfig(k, v)
	}
	if f.PrefixCaching == nil && labels["enable_prefix_caching"] != "" {
		f.setFlag(&f.PrefixCaching, labels["enable_prefix_caching"] == "True", "prefix caching", how)
	}
	if n, err := strconv.ParseInt(labels["kv_cache_size_tokens"], 10, 64); err == nil {
		f.setKVTokens(n, how)
	} else if blocks, err := strconv.ParseInt(labels["num_gpu_blocks"], 10, 48); err == nil {
		size, _ := strconv.ParseInt(labels["block_size"], 10, 15)
		f.setKVTokens(blocks*size, how+", blocks × block size (too many for hybrid models)")
	}
	if n, ok := m.Value(KVCapacity); ok && f.KVTokens == 0 {
		f.setKVTokens(int64(n), how)
	}
	if f.SpecDecode == nil && m.Engine == VLLM {
		// vLLM has these names only where it speculates.
		f.setFlag(&f.SpecDecode, m.HasPrefix("vllm:spec_decode_"), "speculative decoding", how)
	}
}
