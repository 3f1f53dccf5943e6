package replay

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// metrics counts what was served and writes it over the recorded idle text.
type metrics struct {
	model    string
	lines    []line
	capacity float64 // tokens that fit into the KV cache, 0 when unknown

	mu      sync.Mutex
	engines []*engine
	next    int // engine that takes the next request
}

// engine is what one engine has served.
type engine struct {
	running, held  int // requests; tokens in their caches
	prompt, output int // tokens
	finished       map[string]int
	histograms     map[string]*histogram
}

type histogram struct {
	bounds []float64
	counts []int // of values at most the bound
	sum    float64
	n      int
}

func (h *histogram) observe(v float64) {
	h.n++
	h.sum += v
	for i, b := range h.bounds {
		if v <= b {
			h.counts[i]++
		}
	}
}

// line is one line of the text: a comment, or a sample.
type line struct {
	text         string // as recorded
	name, labels string // name empty for a comment
	value        float64
}

var (
	sample    = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{.*\})? ([^ ]+)$`)
	le        = regexp.MustCompile(`le="([^"]+)"`)
	reason    = regexp.MustCompile(`finished_reason="([^"]+)"`)
	gpuBlocks = regexp.MustCompile(`num_gpu_blocks="(\d+)"`)
	blockSize = regexp.MustCompile(`[{,]block_size="(\d+)"`)
)

const engineLabel = `engine="0"`

func newMetrics(rec *Recording, engines int) *metrics {
	m := &metrics{model: rec.Model}
	for text := range strings.Lines(string(rec.metrics)) {
		l := line{text: strings.TrimRight(text, "\r\n")}
		if g := sample.FindStringSubmatch(l.text); g != nil {
			l.name, l.labels = g[1], g[2]
			l.value, _ = strconv.ParseFloat(g[3], 64)
		}
		if l.name == "vllm:cache_config_info" {
			m.capacity = number(gpuBlocks, l.labels) * number(blockSize, l.labels)
		}
		m.lines = append(m.lines, l)
	}
	for range engines {
		e := &engine{finished: map[string]int{}, histograms: map[string]*histogram{}}
		for _, l := range m.lines {
			family, ok := strings.CutSuffix(l.name, "_bucket")
			b, err := strconv.ParseFloat(strings.Trim(first(le, l.labels), "+"), 64)
			if !ok || err != nil || !strings.HasPrefix(family, "vllm:") {
				continue
			}
			h := e.histograms[family]
			if h == nil {
				h = &histogram{}
				e.histograms[family] = h
			}
			h.bounds, h.counts = append(h.bounds, b), append(h.counts, 0)
		}
		m.engines = append(m.engines, e)
	}
	return m
}

func first(re *regexp.Regexp, s string) string {
	if g := re.FindStringSubmatch(s); g != nil {
		return g[1]
	}
	return ""
}

func number(re *regexp.Regexp, s string) float64 {
	v, _ := strconv.ParseFloat(first(re, s), 64)
	return v
}

// begin counts a request that runs; engines take turns.
func (m *metrics) begin(prompt int) (engine int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	engine = m.next
	m.next = (m.next + 1) % len(m.engines)
	m.engines[engine].running++
	m.engines[engine].held += prompt
	return engine
}

// tokens counts the last n tokens of an answer, the first of which says that its
// prompt is done.
func (m *metrics) tokens(a *answer, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, count := m.engines[a.engine], len(a.times)
	e.output += n
	e.held += n
	if count == n {
		e.prompt += a.prompt
		e.observe("time_to_first_token_seconds", float64(a.times[0]-a.arrived)/1e9)
	} else {
		// One value an engine output, as vLLM counts, not one a token.
		e.observe("inter_token_latency_seconds", float64(a.times[count-1]-a.times[count-n-1])/1e9)
	}
}

// end counts a request that is over.
func (m *metrics) end(a *answer, finish string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, n := m.engines[a.engine], len(a.times)
	e.running--
	e.held -= a.prompt + n
	e.finished[finish]++
	if finish != "length" || n == 0 {
		return
	}
	decode := float64(a.times[n-1]-a.times[0]) / 1e9
	prefill := float64(a.times[0]-a.arrived) / 1e9
	e.observe("e2e_request_latency_seconds", prefill+decode)
	e.observe("request_queue_time_seconds", 0)
	e.observe("request_prefill_time_seconds", prefill)
	e.observe("request_decode_time_seconds", decode)
	e.observe("request_inference_time_seconds", prefill+decode)
	if n > 1 {
		e.observe("request_time_per_output_token_seconds", decode/float64(n-1))
	}
	e.observe("request_prompt_tokens", float64(a.prompt))
	e.observe("request_prefill_kv_computed_tokens", float64(a.prompt))
	e.observe("request_generation_tokens", float64(n))
	e.observe("request_max_num_generation_tokens", float64(n))
	e.observe("request_params_max_tokens", float64(n))
	e.observe("request_params_n", 1)
}

func (e *engine) observe(name string, v float64) {
	if h := e.histograms["vllm:"+name]; h != nil {
		h.observe(v)
	}
}

// served is what an engine adds to a recorded sample.
func (e *engine) served(l *line, capacity float64) float64 {
	name, ok := strings.CutPrefix(l.name, "vllm:")
	if !ok {
		return 0
	}
	switch name {
	case "num_requests_running":
		return float64(e.running)
	case "prompt_tokens_total", "prefix_cache_queries_total":
		return float64(e.prompt)
	case "prompt_tokens_by_source_total":
		if strings.Contains(l.labels, `source="local_compute"`) {
			return float64(e.prompt)
		}
	case "generation_tokens_total":
		return float64(e.output)
	case "request_success_total":
		return float64(e.finished[first(reason, l.labels)])
	case "kv_cache_usage_perc":
		if capacity > 0 {
			return min(1, float64(e.held)/capacity)
		}
	}
	for suffix, of := range map[string]func(*histogram) float64{
		"_sum":   func(h *histogram) float64 { return h.sum },
		"_count": func(h *histogram) float64 { return float64(h.n) },
		"_bucket": func(h *histogram) float64 {
			bound, err := strconv.ParseFloat(strings.Trim(first(le, l.labels), "+"), 64)
			if i := slices.Index(h.bounds, bound); err == nil && i >= 0 {
				return float64(h.counts[i])
			}
			return 0
		},
	} {
		if family, ok := strings.CutSuffix(l.name, suffix); ok && e.histograms[family] != nil {
			return of(e.histograms[family])
		}
	}
	return 0
}

// write writes the text; others run all the time on engine 0.
func (m *metrics) write(w io.Writer, others int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var b bytes.Buffer
	for i := 0; i < len(m.lines); {
		if m.lines[i].name == "" || !strings.Contains(m.lines[i].labels, engineLabel) {
			b.WriteString(m.lines[i].text + "\n")
			i++
			continue
		}
		// The samples of a family, engine by engine.
		end := i
		for end < len(m.lines) && strings.Contains(m.lines[end].labels, engineLabel) {
			end++
		}
		for k, e := range m.engines {
			for _, l := range m.lines[i:end] {
				v := l.value + e.served(&l, m.capacity)
				if l.name == "vllm:num_requests_running" && k == 0 {
					v += float64(others)
				}
				labels := strings.Replace(l.labels, engineLabel, fmt.Sprintf("engine=%q", strconv.Itoa(k)), 1)
				b.WriteString(l.name + labels + " " + promFloat(v) + "\n")
			}
		}
		i = end
	}
	_, _ = w.Write(b.Bytes()) // the client may be gone
}

// promFloat writes a number as Python's client does.
func promFloat(v float64) string {
	switch {
	case math.IsInf(v, 1):
		return "+Inf"
	case v == math.Trunc(v) && math.Abs(v) < 1e6:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case math.Abs(v) >= 1e6:
		return strconv.FormatFloat(v, 'e', -1, 64)
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

func (s *Server) serveMetrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=1.0.0; charset=utf-8")
	if s.opts.Engine == SGLang {
		s.metrics.writeSGLang(w, s.fault().AlreadyRunning)
		return
	}
	s.metrics.write(w, s.fault().AlreadyRunning)
}
