package serving_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"tokprof/trace/serving"
)

// server answers as one version of one engine does.
type server struct {
	engine  string // vllm, sglang, trtllm, dynamo
	version string
	// vLLM: started with a profiler, in developer mode, without an API page.
	profiler, dev, noDocs bool
	key                   string            // wanted below /v1, with SGLang everywhere
	metrics               string            // text of /metrics
	info                  string            // of /server_info
	answers               map[string]answer // by "METHOD /path", before everything else

	mu     sync.Mutex
	calls  []string // of profile routes, with bodies
	active bool
}

type answer struct {
	status int
	body   string
}

func (v *server) start(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(v)
	t.Cleanup(s.Close)
	return s
}

func (v *server) started() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.calls)
}

func (v *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if strings.HasSuffix(r.URL.Path, "_profile") && r.Method != http.MethodOptions || r.URL.Path == "/collective_rpc" && r.Method == http.MethodPost {
		v.mu.Lock()
		v.calls = append(v.calls, strings.TrimSpace(r.Method+" "+r.URL.Path+" "+string(body)))
		v.mu.Unlock()
	}
	if a, ok := v.answers[r.Method+" "+r.URL.Path]; ok {
		w.WriteHeader(a.status)
		fmt.Fprint(w, a.body)
		return
	}
	if v.key != "" && (strings.HasPrefix(r.URL.Path, "/v1") || v.engine == "sglang" && r.URL.Path != "/metrics" && !strings.HasPrefix(r.URL.Path, "/health")) {
		if r.Header.Get("Authorization") != "Bearer "+v.key {
			w.WriteHeader(401)
			fmt.Fprint(w, `{"error":"Unauthorized"}`)
			return
		}
	}
	routes := v.routes()
	route, ok := routes[r.URL.Path]
	switch {
	case v.engine == "dynamo" && strings.HasPrefix(r.URL.Path, "/engine/") && r.Method != http.MethodPost:
		w.WriteHeader(405) // one handler for all below /engine
	case !ok:
		v.fail(w, 404, "Not Found")
	case !slices.Contains(strings.Split(route.methods, ","), r.Method):
		v.fail(w, 405, "Method Not Allowed")
	default:
		route.serve(w)
	}
}

// fail writes an error in the form of the version.
func (v *server) fail(w http.ResponseWriter, status int, text string) {
	version := serving.ParseVersion(v.version)
	w.WriteHeader(status)
	switch {
	case v.engine == "vllm" && version.AtLeast(0, 10, 1):
		fmt.Fprintf(w, `{"error":{"message":%q,"type":%q,"param":null,"code":%d}}`, text, text, status)
	case v.engine == "vllm" && version.AtLeast(0, 9, 0):
		fmt.Fprintf(w, `{"object":"error","message":%q,"type":%q,"param":null,"code":%d}`, text, text, status)
	case v.engine == "dynamo":
	default:
		fmt.Fprintf(w, `{"detail":%q}`, text)
	}
}

type route struct {
	methods string
	serve   func(http.ResponseWriter)
}

func text(s string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) { fmt.Fprint(w, s) }
}

func (v *server) routes() map[string]route {
	routes := map[string]route{}
	get := func(path, body string) { routes[path] = route{"GET", text(body)} }
	if v.metrics != "" {
		get("/metrics", v.metrics)
	}
	switch v.engine {
	case "vllm":
		get("/health", "")
		get("/version", fmt.Sprintf(`{"version":%q}`, v.version))
		get("/v1/models", `{"object":"list","data":[{"id":"sql-lora","object":"model","owned_by":"vllm","root":"/srv/lora","parent":"llama-16l","max_model_len":null},{"id":"llama-16l","object":"model","owned_by":"vllm","root":"models/llama-16l","parent":null,"max_model_len":4096}]}`)
		if v.profiler {
			routes["/start_profile"] = route{"POST", v.startProfile}
			routes["/stop_profile"] = route{"POST", v.stopProfile}
		}
		if v.dev {
			get("/server_info", v.info)
			routes["/collective_rpc"] = route{"POST", text(`{"results":[null]}`)}
		}
	case "sglang":
		get("/health", "")
		get("/v1/models", `{"object":"list","data":[{"id":"qwen","object":"model","owned_by":"sglang","root":"qwen","max_model_len":32768}]}`)
		get("/server_info", v.info)
		routes["/start_profile"] = route{"GET,POST", v.startProfile}
		routes["/stop_profile"] = route{"GET,POST", v.stopProfile}
	case "trtllm":
		get("/health", "")
		get("/version", fmt.Sprintf(`{"version":%q}`, v.version))
		get("/v1/models", `{"object":"list","data":[{"id":"llama","object":"model","owned_by":"tensorrt_llm"}]}`)
		get("/metrics", `[{"iter":1,"iterLatencyMS":3.2}]`)
		get("/prometheus/metrics", v.metrics)
		if v.profiler {
			routes["/start_profile"] = route{"POST", v.startProfile}
			routes["/stop_profile"] = route{"POST", v.stopProfile}
		}
	case "dynamo":
		routes["/engine/start_profile"] = route{"POST", text(`{"status":"ok","message":"Profiling started"}`)}
		routes["/engine/stop_profile"] = route{"POST", text(`{"status":"ok"}`)}
		return routes
	}
	if !v.noDocs {
		paths := map[string]any{}
		for path := range routes {
			paths[path] = struct{}{}
		}
		b, _ := json.Marshal(map[string]any{"openapi": "3.1.0", "paths": paths})
		get("/openapi.json", string(b))
	}
	return routes
}

func (v *server) startProfile(w http.ResponseWriter) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.active && v.engine == "sglang" {
		w.WriteHeader(500)
		fmt.Fprint(w, "Internal Server Error")
		return
	}
	v.active = true
	if v.engine == "sglang" {
		fmt.Fprint(w, "Start profiling.\n")
	}
}

func (v *server) stopProfile(w http.ResponseWriter) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.active && v.engine == "sglang" {
		w.WriteHeader(500)
		fmt.Fprint(w, `{"error":{"message":"Profiling is not in progress. Call /start_profile first."}}`)
		return
	}
	v.active = false
	if v.engine == "sglang" {
		fmt.Fprint(w, "Stop profiling. This will take some time.\n")
	}
}

const (
	vllmMetrics = `# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="llama-16l"} 3.0
vllm:num_requests_running{engine="1",model_name="llama-16l"} 4.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="llama-16l"} 1.0
vllm:num_requests_waiting{engine="1",model_name="llama-16l"} 0.0
# TYPE vllm:cache_config_info gauge
vllm:cache_config_info{block_size="16",cache_dtype="auto",enable_prefix_caching="True",engine="0",gpu_memory_utilization="0.9",num_gpu_blocks="27284"} 1.0
`
	// vLLM's first engine, 0.6.3.
	vllmV0Metrics = `# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{model_name="llama-16l"} 0.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{model_name="llama-16l"} 0.0
# TYPE vllm:num_requests_swapped gauge
vllm:num_requests_swapped{model_name="llama-16l"} 0.0
# TYPE vllm:gpu_cache_usage_perc gauge
vllm:gpu_cache_usage_perc{model_name="llama-16l"} 0.25
# TYPE vllm:gpu_prefix_cache_hit_rate gauge
vllm:gpu_prefix_cache_hit_rate{model_name="llama-16l"} -1.0
`
	sglangMetrics = `# TYPE sglang:num_running_reqs gauge
sglang:num_running_reqs{model_name="qwen",tp_rank="0"} 2.0
sglang:num_running_reqs{model_name="qwen",tp_rank="1"} 2.0
# TYPE sglang:num_queue_reqs gauge
sglang:num_queue_reqs{model_name="qwen",tp_rank="0"} 0.0
# TYPE sglang:token_usage gauge
sglang:token_usage{model_name="qwen",tp_rank="0"} 0.28
`
	trtMetrics = `# TYPE trtllm_request_success_total counter
trtllm_request_success_total{model_name="llama"} 5.0
# TYPE trtllm_num_requests_running gauge
trtllm_num_requests_running 1.0
# TYPE trtllm_num_requests_waiting gauge
trtllm_num_requests_waiting 0.0
`
	dynamoMetrics = `# TYPE dynamo_component_uptime_seconds gauge
dynamo_component_uptime_seconds 100
` + vllmMetrics
	vllmInfo = `{"vllm_config":{"model_config":{"model":"/home/canary-user/llama","max_model_len":4096,"quantization":null,"enforce_eager":false,"hf_config":"LlamaConfig {\n  \"vocab_size\": 128256\n}\n","hf_token":"canary-token"},
"cache_config":{"block_size":16,"cache_dtype":"auto","enable_prefix_caching":true},
"parallel_config":{"tensor_parallel_size":2,"pipeline_parallel_size":1,"data_parallel_size":2,"data_parallel_master_ip":"canary-host","_api_process_count":2},
"scheduler_config":{"max_num_seqs":256,"max_num_batched_tokens":8192,"async_scheduling":true},
"compilation_config":{"cudagraph_capture_sizes":[1,2,4],"cache_dir":"/home/canary-user/.cache"},
"speculative_config":{"method":"eagle","num_speculative_tokens":3,"model":"/home/canary-user/draft"},
"profiler_config":{"profiler":"torch","torch_profiler_dir":"/traces","torch_profiler_with_stack":false,"torch_profiler_record_shapes":true,"ignore_frontend":true,"delay_iterations":0,"max_iterations":12}},
"vllm_env":{"VLLM_API_KEY":"canary-key"},"system_env":{"hostname":"canary-host"}}`
	sglangInfo = `{"model_path":"/home/canary-user/qwen","api_key":"canary-key","admin_api_key":"canary-admin","host":"canary-host","tp_size":2,"pp_size":1,"dp_size":1,"ep_size":1,"enable_dp_attention":false,"disable_radix_cache":false,"speculative_algorithm":null,"attention_backend":"flashinfer","max_total_num_tokens":434560,"mem_fraction_static":0.88,"version":"0.5.15"}`
)
