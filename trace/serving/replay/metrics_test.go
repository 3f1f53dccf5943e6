package replay

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
)

// sample reads one sample of /metrics by its name and labels.
func (c *client) sample(series string) float64 {
	c.t.Helper()
	status, text := c.do("GET", "/metrics", "")
	if status != 200 {
		c.t.Fatalf("/metrics: %d %s", status, text)
	}
	return sampleOf(c.t, text, series)
}

func sampleOf(t *testing.T, text, series string) float64 {
	t.Helper()
	_, after, ok := strings.Cut("\n"+text, "\n"+series+" ")
	if !ok {
		t.Fatalf("no series %s", series)
	}
	value, _, _ := strings.Cut(after, "\n")
	v, err := strconv.ParseFloat(value, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Before the first request /metrics is the recorded text to the letter, and
// after one window its counters have grown as the recorded ones did.
func TestMetrics(t *testing.T) {
	c := start(t, Options{})
	if _, text := c.do("GET", "/metrics", ""); text != string(Embedded().metrics) {
		t.Error("the idle text is not the recorded one")
	}
	c.profile(window(t, "prefill"))
	_, before := c.do("GET", "/metrics", "")
	c.profile(window(t, "decode"))
	_, after := c.do("GET", "/metrics", "")
	// Grown between metrics.decode.before and .after of the capture.
	for series, want := range map[string]float64{
		"prompt_tokens_total{L}":                                                            708,
		`prompt_tokens_by_source_total{L,source="local_compute"}`:                           708,
		`prompt_tokens_by_source_total{L,source="local_cache_hit"}`:                         0,
		"generation_tokens_total{L}":                                                        192,
		`request_success_total{engine="0",finished_reason="length",model_name="llama-16l"}`: 8,
		"time_to_first_token_seconds_count{L}":                                              8,
		`time_to_first_token_seconds_bucket{engine="0",le="+Inf",model_name="llama-16l"}`:   8,
		"inter_token_latency_seconds_count{L}":                                              184,
		"e2e_request_latency_seconds_count{L}":                                              8,
		"request_time_per_output_token_seconds_count{L}":                                    8,
		"request_prompt_tokens_sum{L}":                                                      708,
		`request_prompt_tokens_bucket{engine="0",le="100.0",model_name="llama-16l"}`:        6,
		"request_generation_tokens_sum{L}":                                                  192,
		"request_params_max_tokens_sum{L}":                                                  192,
		"num_requests_running{L}":                                                           0,
		"kv_cache_usage_perc{L}":                                                            0,
		"num_preemptions_total{L}":                                                          0,
	} {
		series = "vllm:" + strings.Replace(series, "L", `engine="0",model_name="llama-16l"`, 1)
		if got := sampleOf(t, after, series) - sampleOf(t, before, series); got != want {
			t.Errorf("%s grew by %g, want %g", series, got, want)
		}
	}
	sums := map[string]float64{}
	for _, name := range []string{"time_to_first_token", "request_decode_time", "e2e_request_latency", "inter_token_latency"} {
		sums[name] = sampleOf(t, after, fmt.Sprintf(`vllm:%s_seconds_sum{engine="0",model_name="llama-16l"}`, name))
	}
	if sums["time_to_first_token"] <= 0 || math.Abs(sums["time_to_first_token"]+sums["request_decode_time"]-sums["e2e_request_latency"]) > 1e-9 || math.Abs(sums["request_decode_time"]-sums["inter_token_latency"]) > 1e-9 {
		t.Errorf("sums of seconds do not add up: %v", sums)
	}
}

// Requests that run show while they run, with the cache they hold.
func TestMetricsRunning(t *testing.T) {
	m := newMetrics(Embedded(), 2)
	for range 3 {
		m.begin(1000)
	}
	var b strings.Builder
	m.write(&b, 4)
	const blocks = 157980 // num_gpu_blocks of the recorded cache_config_info, of 16 tokens
	for series, want := range map[string]float64{
		`vllm:num_requests_running{engine="0",model_name="llama-16l"}`: 6,
		`vllm:num_requests_running{engine="1",model_name="llama-16l"}`: 1,
		`vllm:kv_cache_usage_perc{engine="0",model_name="llama-16l"}`:  2000. / (blocks * 16),
		`vllm:kv_cache_usage_perc{engine="1",model_name="llama-16l"}`:  1000. / (blocks * 16),
	} {
		if got := sampleOf(t, b.String(), series); got != want {
			t.Errorf("%s is %g, want %g", series, got, want)
		}
	}
	// The second engine repeats the first one's samples, no comment and no process series.
	text := b.String()
	if zero, one := strings.Count(text, `engine="0"`), strings.Count(text, `engine="1"`); zero != one || zero == 0 {
		t.Errorf("%d samples of engine 0, %d of engine 1", zero, one)
	}
	for what, n := range map[string]int{"\n# TYPE vllm:num_requests_running": 1, "\nprocess_cpu_seconds_total ": 1} {
		if got := strings.Count(text, what); got != n {
			t.Errorf("%q stands %d times", what, got)
		}
	}
}
