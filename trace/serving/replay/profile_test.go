package replay

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// vLLM's routes as each version has them.
func TestRoutes(t *testing.T) {
	const flat = `{"object":"error","message":%[1]q,"type":%[1]q,"param":null,"code":%[2]d}` + "\n"
	for version, x := range map[string]struct {
		body   string // of an error
		failed string // of a 500
	}{
		"0.8.5":  {"{\"detail\":%[1]q}\n", "Internal Server Error"},
		"0.9.1":  {flat, "Internal Server Error"},
		"0.10.0": {flat, "Internal Server Error"},
		"0.10.1": {`{"error":` + strings.Replace(strings.TrimSpace(flat), `"object":"error",`, "", 1) + "}\n", "Internal Server Error"},
		"0.20.2": {`{"error":` + strings.Replace(strings.TrimSpace(flat), `"object":"error",`, "", 1) + "}\n",
			`{"error":{"message":"Internal Server Error","type":"InternalServerError","param":null,"code":500}}` + "\n"},
	} {
		c := start(t, Options{Version: version, Faults: Faults{StartError500: true}})
		code := func(text string, n int) string {
			b := x.body
			if !strings.Contains(b, "[2]") {
				return fmt.Sprintf(b, text)
			}
			return fmt.Sprintf(b, text, n)
		}
		missing, method := code("Not Found", 404), code("Method Not Allowed", 405)
		c.want("GET", "/version", "", 200, fmt.Sprintf("{\"version\":%q}\n", version))
		c.want("GET", "/health", "", 200, "")
		c.want("GET", "/load", "", 404, missing)
		c.want("POST", "/reset_prefix_cache", "", 404, missing)
		c.want("GET", "/server_info", "", 404, missing)
		c.want("GET", "/start_profile", "", 405, method)
		c.want("GET", "/v1/completions", "", 405, method)
		c.want("POST", "/start_profile", "", 500, x.failed)
		if c.Profiling() {
			t.Error("a start that failed profiles")
		}
		c.SetFaults(Faults{NoProfiler: true})
		c.want("POST", "/start_profile", "", 404, missing)
		c.want("GET", "/start_profile", "", 404, missing)
		c.want("POST", "/stop_profile", "", 404, missing)
	}
}

func TestOpenAPI(t *testing.T) {
	for _, x := range []struct {
		o    Options
		want string
	}{
		{Options{}, "/health /start_profile /stop_profile /tokenize /v1/chat/completions /v1/completions /v1/models /version"},
		{Options{Faults: Faults{NoProfiler: true}}, "/health /tokenize /v1/chat/completions /v1/completions /v1/models /version"},
		{Options{Engine: SGLang}, "/get_server_info /health /server_info /start_profile /stop_profile /v1/chat/completions /v1/completions /v1/models"},
	} {
		c := start(t, x.o)
		_, text := c.do("GET", "/openapi.json", "")
		var v struct{ Paths map[string]map[string]any }
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(slices.Sorted(maps.Keys(v.Paths)), " "); got != x.want {
			t.Errorf("paths %s\nwant  %s", got, x.want)
		}
		if _, ok := v.Paths["/v1/completions"]["post"]; !ok || len(v.Paths["/v1/completions"]) != 1 {
			t.Errorf("methods of /v1/completions: %v", v.Paths["/v1/completions"])
		}
	}
}

// Only /v1 is guarded.
func TestKey(t *testing.T) {
	const refused = "{\"error\":\"Unauthorized\"}\n"
	c := start(t, Options{APIKey: "sesame"})
	c.want("GET", "/v1/models", "", 401, refused)
	c.want("POST", "/v1/completions", completion(64, 1), 401, refused)
	c.want("POST", "/start_profile", "", 200, "")
	c.want("POST", "/stop_profile", "", 200, "")
	c.key = "sesam"
	c.want("GET", "/v1/models", "", 401, refused)
	c.key = "sesame"
	if status, text := c.do("POST", "/v1/completions", completion(64, 1)); status != 200 {
		t.Errorf("with the key: %d %s", status, text)
	}
	c.SetFaults(Faults{Unauthorized: true})
	c.want("GET", "/v1/models", "", 401, refused)
}

// Profile calls out of order: a second start is ignored, or refused from 0.33
// on, and a stop of nothing is fine.
func TestCallsOutOfOrder(t *testing.T) {
	c := start(t, Options{})
	c.want("POST", "/stop_profile", "", 200, "")
	c.want("POST", "/start_profile", "", 200, "")
	c.want("POST", "/start_profile", "", 200, "")
	if !c.Profiling() {
		t.Error("not profiling after start")
	}
	c.want("POST", "/stop_profile", "", 200, "")
	if c.Profiling() || c.StopCalls() != 2 {
		t.Errorf("profiling %v, %d stops", c.Profiling(), c.StopCalls())
	}
	c = start(t, Options{Version: "0.33.0"})
	c.want("POST", "/start_profile", `{"profile_prefix":"a b"}`, 400, `{"error":{"message":"profile_prefix must be 1 to 128 of A-Z, a-z, 0-9, '.', '_' and '-', iterations 0 or more","type":"BadRequestError","param":null,"code":400}}`+"\n")
	c.want("POST", "/start_profile", `{"profile_prefix":"night.1"}`, 200, "")
	c.want("POST", "/start_profile", "", 409, `{"error":{"message":"Profiler is already active. Stop it before starting a new session.","type":"ProfilerAlreadyActiveError","param":null,"code":409}}`+"\n")
	c.want("POST", "/stop_profile", "", 200, "")
	if got, want := c.shapes(), "night.1_rank0.N.pt.trace.json.gz night.1_rank1.N.pt.trace.json.gz profiler_out_0.txt"; got != want {
		t.Errorf("files %s, want %s", got, want)
	}
}

// After the last recorded window the first is played anew, in files of their own.
func TestRounds(t *testing.T) {
	c := start(t, Options{})
	for range 3 {
		c.profile(window(t, "prefill"))
	}
	var sizes []int
	for _, f := range c.files() {
		if strings.HasPrefix(f, "rank0.") {
			sizes = append(sizes, len(c.trace(f)))
		}
	}
	slices.Sort(sizes)
	if len(sizes) != 3 || sizes[0] != sizes[1] || sizes[1] == sizes[2] {
		t.Errorf("traces of rank 0 of %d bytes, want the prefill window's twice and the decode window's", sizes)
	}
}

// Each version and fault leaves files of its own names.
func TestFileNames(t *testing.T) {
	for _, x := range []struct {
		o    Options
		want string
	}{
		{Options{Version: "0.9.1"}, "host_1000.N.pt.trace.json.gz host_1001.N.pt.trace.json.gz"},
		{Options{Version: "0.11.0"}, "host_1000.N.pt.trace.json.gz host_1001.N.pt.trace.json.gz"},
		{Options{Version: "0.16.0"}, "N-0.N.pt.trace.json.gz N-1.N.pt.trace.json.gz profiler_out_0.txt"},
		{Options{Faults: Faults{DataParallel: 2}}, "dp0_pp0_tp0_dcp0_ep0_rank0.N.pt.trace.json.gz dp1_pp0_tp0_dcp0_ep0_rank0.N.pt.trace.json.gz profiler_out_0.txt"},
		{Options{Faults: Faults{MissingRanks: []int{0}}}, "profiler_out_0.txt rank1.N.pt.trace.json.gz"},
		{Options{Faults: Faults{FrontendTrace: true}}, "host_1000.async_llm.N.pt.trace.json.gz profiler_out_0.txt rank0.N.pt.trace.json.gz rank1.N.pt.trace.json.gz"},
	} {
		c := start(t, x.o)
		c.want("POST", "/start_profile", "", 200, "")
		c.want("POST", "/stop_profile", "", 200, "")
		eventually(t, x.want, func() bool { return c.shapes() == x.want && c.allComplete(strings.Count(x.want, ".gz"))() })
		for _, f := range c.files() {
			if !strings.HasSuffix(f, ".gz") || !x.o.Faults.FrontendTrace {
				continue
			}
			text := c.trace(f)
			if front := strings.Contains(f, "async_llm"); front && !json.Valid(text) || bytes.Contains(text, []byte(`"kernel"`)) == front {
				t.Errorf("%s holds other events than it should, in %d bytes", f, len(text))
			}
		}
	}
}

// Requests go round the engines, whose metrics stand apart.
func TestDataParallelMetrics(t *testing.T) {
	c := start(t, Options{Faults: Faults{DataParallel: 2, AlreadyRunning: 3}})
	c.play(window(t, "prefill"))
	for series, want := range map[string]float64{
		`vllm:request_success_total{engine="0",finished_reason="length",model_name="llama-16l"}`: 2,
		`vllm:request_success_total{engine="1",finished_reason="length",model_name="llama-16l"}`: 1,
		`vllm:num_requests_running{engine="0",model_name="llama-16l"}`:                           3,
		`vllm:num_requests_running{engine="1",model_name="llama-16l"}`:                           0,
	} {
		if got := c.sample(series); got != want {
			t.Errorf("%s is %g, want %g", series, got, want)
		}
	}
}

// A server that bounds its profiles itself ends them so too.
func TestConfiguredLimit(t *testing.T) {
	c := start(t, Options{MaxIterations: 2})
	c.want("POST", "/start_profile", `{"max_iterations":5000}`, 200, "") // not read before 0.33
	c.play(window(t, "prefill"))
	eventually(t, "files before the stop", func() bool { return !c.Profiling() && c.allComplete(2)() })
	c.want("POST", "/start_profile", "", 200, "")
	if c.Profiling() {
		t.Error("a second start profiles before the stop")
	}
	c.want("POST", "/stop_profile", "", 200, "")
	c.want("POST", "/start_profile", "", 200, "")
	if !c.Profiling() {
		t.Error("a start after the stop does not profile")
	}
}

// From 0.33 on a start may bound the profile: it ends by itself after so many
// steps, its files come before any stop, and a stop is needed all the same.
func TestStepLimit(t *testing.T) {
	c := start(t, Options{Version: "0.33.0"})
	c.profile(window(t, "prefill"))
	before := c.files()
	c.want("POST", "/start_profile", `{"max_iterations":5}`, 200, "")
	c.play(window(t, "decode"))
	if c.Profiling() {
		t.Error("still profiling after more steps than asked for")
	}
	eventually(t, "files before the stop", func() bool { return len(c.files()) == len(before)+2 })
	c.want("POST", "/start_profile", "", 409, `{"error":{"message":"Profiler is already active. Stop it before starting a new session.","type":"ProfilerAlreadyActiveError","param":null,"code":409}}`+"\n")
	c.want("POST", "/stop_profile", "", 200, "")
	c.want("POST", "/start_profile", "", 200, "")
	for _, f := range c.files() {
		if slices.Contains(before, f) {
			continue
		}
		counts := map[string]int{}
		var v struct {
			TraceEvents []struct {
				Cat, Name string
			}
		}
		if err := json.Unmarshal(c.trace(f), &v); err != nil {
			t.Fatal(f, err)
		}
		for _, e := range v.TraceEvents {
			if strings.HasPrefix(e.Name, "execute_") {
				e.Cat += " step"
			}
			counts[e.Cat]++
		}
		if counts["user_annotation step"] != 5 || counts["gpu_user_annotation step"] != 5 || counts["kernel"] < 500 || counts["kernel"] > 3000 || counts["cpu_op"] == 0 {
			t.Errorf("%s, bounded by 5 steps, holds %v", f, counts)
		}
	}
}

// SGLang's profile routes.
func TestSGLang(t *testing.T) {
	c := start(t, Options{Engine: SGLang, Faults: Faults{AlreadyRunning: 2}})
	_, text := c.do("GET", "/server_info", "")
	var info struct {
		TP      int    `json:"tp_size"`
		DP      int    `json:"dp_size"`
		Version string `json:"version"`
	}
	if err := json.Unmarshal([]byte(text), &info); err != nil || info.TP != 2 || info.DP != 1 || info.Version != "0.5.15" {
		t.Errorf("%v: %s", err, text)
	}
	c.want("GET", "/version", "", 404, "{\"detail\":\"Not Found\"}\n")
	c.want("POST", "/stop_profile", "", 500, "Internal Server Error")
	c.want("POST", "/start_profile", `{"num_steps":"x"}`, 422, "{\"detail\":\"strconv.Atoi: parsing \\\"x\\\": invalid syntax\"}\n")
	c.want("POST", "/start_profile", fmt.Sprintf(`{"output_dir":%q}`, filepath.Dir(c.dir)), 500, "Internal Server Error")
	sub := filepath.Join(c.dir, "1795400000.5")
	if err := os.Mkdir(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	c.want("GET", "/start_profile", fmt.Sprintf(`{"output_dir":%q,"profile_id":"night","profile_prefix":"a"}`, sub), 200, "Start profiling.\n")
	c.want("POST", "/start_profile", "", 500, "Internal Server Error")
	c.play(window(t, "prefill"))
	c.want("POST", "/stop_profile", "", 200, "Stop profiling. This will take some time.\n")
	c.dir = sub
	if got, want := strings.Join(c.files(), " "), "a-night-TP-0.trace.json.gz a-night-TP-1.trace.json.gz"; got != want {
		t.Errorf("files %s, want %s", got, want)
	}
	for series, want := range map[string]float64{
		`sglang:num_running_reqs{model_name="llama-16l"}`:                  2,
		`sglang:prompt_tokens_total{model_name="llama-16l"}`:               3900,
		`sglang:generation_tokens_total{model_name="llama-16l"}`:           6,
		`sglang:num_requests_total{model_name="llama-16l"}`:                3,
		`sglang:e2e_request_latency_seconds_count{model_name="llama-16l"}`: 3,
		`sglang:inter_token_latency_seconds_count{model_name="llama-16l"}`: 3,
	} {
		if got := c.sample(series); got != want {
			t.Errorf("%s is %g, want %g", series, got, want)
		}
	}
	// num_steps ends a profile; the next start needs no stop between.
	c = start(t, Options{Engine: SGLang})
	c.want("POST", "/start_profile", `{"num_steps":"2"}`, 200, "Start profiling.\n")
	c.play(window(t, "prefill"))
	if c.Profiling() {
		t.Error("still profiling after num_steps")
	}
	c.want("POST", "/start_profile", "{}", 200, "Start profiling.\n")
	c.want("POST", "/stop_profile", "", 200, "Stop profiling. This will take some time.\n")
}
