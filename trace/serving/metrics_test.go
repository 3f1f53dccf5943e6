package serving_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"tokprof/fixtures/packed"

	"tokprof/fixtures/golden"
	"tokprof/trace/serving"
)

func parseMetrics(t testing.TB, text string) serving.Metrics {
	t.Helper()
	m, err := serving.ParseMetrics(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

var logical = []serving.Logical{
	serving.KVUsage, serving.KVCapacity, serving.Running, serving.Waiting, serving.Preemptions, serving.PromptTokens, serving.GenerationTokens,
	serving.CachedTokens, serving.Finished, serving.TTFT, serving.ITL, serving.TPOT, serving.E2E, serving.QueueTime, serving.PrefillTime,
	serving.DecodeTime, serving.InferenceTime, serving.StepTokens, serving.PrefixQueries, serving.PrefixHits, serving.PrefixHitRate,
	serving.SpecDrafts, serving.SpecDraftTokens, serving.SpecAccepted, serving.SpecAcceptLength, serving.HTTPRequests, serving.HTTPSeconds, serving.GenerationsPerSec,
}

func show(w io.Writer, title string, m serving.Metrics) {
	fmt.Fprintf(w, "## %s: %s, %d metrics, %d engines, skipped %d, reset %t\n", title, m.Engine, m.Len(), m.Engines(), m.Skipped, m.Reset)
	for _, q := range logical {
		if v, ok := m.Value(q); ok {
			fmt.Fprintf(w, "%s = %.6g (%s)\n", q, v, m.Name(q))
		} else if h, ok := m.Histogram(q); ok {
			mean, _ := h.Mean()
			fmt.Fprintf(w, "%s: %.0f samples, mean %.6g, %d buckets (%s)\n", q, h.Count, mean, len(h.Buckets), m.Name(q))
		}
	}
}

// TestMetricsGolden writes what the metrics of a run say in common terms.
func TestMetricsGolden(t *testing.T) {
	var out bytes.Buffer
	before := parseMetrics(t, string(packed.Read(t, "testdata/vllm-0.20.2-overload.before.txt.gz")))
	after := parseMetrics(t, string(packed.Read(t, "testdata/vllm-0.20.2-overload.after.txt.gz")))
	show(&out, "before", before)
	show(&out, "after", after)
	show(&out, "between", serving.Delta(before, after))
	f, err := os.Open("testdata/vllm-0.20.2-overload.during.txt.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var last int64
	for s, err := range serving.Scrapes(f) {
		if err != nil {
			t.Fatal(err)
		}
		if s.UnixNS-last < 5e8 {
			t.Errorf("scrape at %d after %d", s.UnixNS, last)
		}
		last = s.UnixNS
		show(&out, fmt.Sprint(s.UnixNS), s.Metrics)
	}
	show(&out, "SGLang", parseMetrics(t, sglangMetrics))
	show(&out, "TensorRT-LLM", parseMetrics(t, trtMetrics))
	show(&out, "vLLM's first engine", parseMetrics(t, vllmV0Metrics))
	show(&out, "two engines", parseMetrics(t, vllmMetrics))
	golden.Check(t, "metrics.txt", out.Bytes())
}

// TestDeltaAddsUp: every histogram's buckets, sum and count are after minus before.
func TestDeltaAddsUp(t *testing.T) {
	before := parseMetrics(t, string(packed.Read(t, "testdata/vllm-0.20.2-overload.before.txt.gz")))
	after := parseMetrics(t, string(packed.Read(t, "testdata/vllm-0.20.2-overload.after.txt.gz")))
	d := serving.Delta(before, after)
	n := 0
	for _, q := range logical {
		h, ok := d.Histogram(q)
		if _, isValue := d.Value(q); !ok || isValue {
			continue
		}
		a, _ := after.Histogram(q)
		b, _ := before.Histogram(q)
		if h.Count != a.Count-b.Count || math.Abs(h.Sum-(a.Sum-b.Sum)) > 1e-9*math.Abs(a.Sum) {
			t.Errorf("%s: %+v", q, h)
		}
		if last := h.Buckets[len(h.Buckets)-1]; !math.IsInf(last.Le, 1) || last.Count != h.Count {
			t.Errorf("%s: last bucket %+v of %v", q, last, h.Count)
		}
		if !slices.IsSortedFunc(h.Buckets, func(x, y serving.Bucket) int { return int(x.Count - y.Count) }) {
			t.Errorf("%s: buckets are not cumulative", q)
		}
		n++
	}
	if n < 9 {
		t.Errorf("only %d histograms", n)
	}
	if back := serving.Delta(after, before); !back.Reset {
		t.Error("counters that fell are no reset")
	} else if v, _ := back.Value(serving.Preemptions); v != 0 {
		t.Errorf("after a reset: %v preemptions, want those since", v)
	}
	if v, ok := after.Sum("vllm:request_success_total", "finished_reason", "length"); !ok || v != 1104 {
		t.Errorf("%v requests ended by length", v)
	}
}

func TestMetricsDamage(t *testing.T) {
	text := string(packed.Read(t, "testdata/vllm-0.20.2-overload.after.txt.gz"))
	whole := parseMetrics(t, text)
	lines := strings.SplitAfter(text, "\n")
	var damaged strings.Builder
	n := 0
	for i, line := range lines {
		damaged.WriteString(line)
		if i%50 == 49 {
			damaged.WriteString("vllm:num_requests_running{engine=\"0 3\n")
			n++
		}
	}
	m := parseMetrics(t, damaged.String())
	if m.Skipped < n || m.Len() != whole.Len() {
		t.Errorf("%d skipped of %d, %d metrics of %d", m.Skipped, n, m.Len(), whole.Len())
	}
	for _, q := range logical {
		a, _ := whole.Value(q)
		b, _ := m.Value(q)
		if a != b {
			t.Errorf("%s: %v, want %v", q, b, a)
		}
	}
	h, _ := m.Histogram(serving.TTFT)
	if want, _ := whole.Histogram(serving.TTFT); h.Count != want.Count || h.Sum != want.Sum {
		t.Errorf("%+v, want %+v", h, want)
	}
	if _, err := serving.ParseMetrics(strings.NewReader("<html>\n<body>no</body>\n")); err == nil {
		t.Error("a web page is metrics")
	}
	if m, err := serving.ParseMetrics(strings.NewReader("")); err != nil || m.Len() != 0 {
		t.Errorf("nothing: %v", err)
	}
	for _, text := range []string{"{}\na 1\n", "a 1\n{}\n", "a 1\n  {} 2\nb 2", "{}"} {
		m, err := serving.ParseMetrics(strings.NewReader(text))
		if v, ok := m.Sum("a", "", ""); m.Skipped != 1 || ok != strings.Contains(text, "a 1") || ok && (v != 1 || err != nil) {
			t.Errorf("%q: %v, %d skipped, %v", text, v, m.Skipped, err)
		}
	}
	// Of a server behind another, both comment one metric.
	twice := parseMetrics(t, vllmMetrics+vllmMetrics)
	if v, ok := twice.Value(serving.Running); !ok || v != 7 {
		t.Errorf("%v running, want 7", v)
	}
}

// TestMetricsNames: old and new names together count once, values of -1 are off,
// and ranks of one engine are not added up.
func TestMetricsNames(t *testing.T) {
	m := parseMetrics(t, `# TYPE vllm:gpu_cache_usage_perc gauge
vllm:gpu_cache_usage_perc{engine="0"} 0.5
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine="0"} 0.2
vllm:kv_cache_usage_perc{engine="1"} 0.4
# TYPE vllm:time_per_output_token_seconds histogram
vllm:time_per_output_token_seconds_bucket{engine="0",le="0.01"} 2
vllm:time_per_output_token_seconds_bucket{engine="0",le="+Inf"} 2
vllm:time_per_output_token_seconds_sum{engine="0"} 0.012
vllm:time_per_output_token_seconds_count{engine="0"} 2
vllm:time_per_output_token_seconds_bucket{engine="1",le="0.01"} 1
vllm:time_per_output_token_seconds_bucket{engine="1",le="+Inf"} 2
vllm:time_per_output_token_seconds_sum{engine="1"} 0.028
vllm:time_per_output_token_seconds_count{engine="1"} 2
# TYPE vllm:gpu_prefix_cache_hit_rate gauge
vllm:gpu_prefix_cache_hit_rate -1
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0"} NaN
`)
	if v, ok := m.Value(serving.KVUsage); !ok || math.Abs(v-0.3) > 1e-12 {
		t.Errorf("KV usage %v", v)
	}
	h, _ := m.Histogram(serving.ITL)
	if mean, ok := h.Mean(); !ok || math.Abs(mean-0.01) > 1e-12 || len(h.Buckets) != 2 || h.Buckets[0].Count != 3 {
		t.Errorf("ITL %+v", h)
	}
	for _, q := range []serving.Logical{serving.PrefixHitRate, serving.Waiting, serving.TTFT, serving.SpecDrafts} {
		if v, ok := m.Value(q); ok {
			t.Errorf("%s is %v", q, v)
		}
	}
	if _, ok := (serving.Histogram{}).Mean(); ok {
		t.Error("nothing has a mean")
	}
	if v, _ := parseMetrics(t, sglangMetrics).Value(serving.Running); v != 2 {
		t.Errorf("%v running on two ranks of one engine", v)
	}
}

func TestScrapes(t *testing.T) {
	var b []byte
	b = serving.AppendScrape(b, 17, []byte(vllmMetrics))
	b = serving.AppendScrape(b, 18, []byte("a 1")) // no line feed
	b = serving.AppendScrape(b, 19, nil)
	var got []string
	for s, err := range serving.Scrapes(bytes.NewReader(b)) {
		got = append(got, fmt.Sprint(s.UnixNS, s.Metrics.Len(), err))
	}
	if want := []string{"17 3 <nil>", "18 1 <nil>", "19 0 <nil>"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for s := range serving.Scrapes(strings.NewReader(vllmMetrics)) {
		if s.UnixNS != 0 || s.Metrics.Len() != 3 {
			t.Errorf("a single scrape: %+v", s)
		}
	}
	for range serving.Scrapes(strings.NewReader("\n")) {
		t.Error("a blank file has a scrape")
	}
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	w.Write(b)
	w.Close()
	var failed error
	for _, err := range serving.Scrapes(bytes.NewReader(z.Bytes()[:z.Len()-9])) {
		failed = err
	}
	if failed == nil {
		t.Error("a file that breaks off has no error")
	}
}

func FuzzParseMetrics(f *testing.F) {
	f.Add([]byte(vllmMetrics))
	f.Add([]byte(sglangMetrics))
	f.Add([]byte("# TYPE a histogram\na_bucket{le=\"x\"} 1\na_sum 2\n# HELP a x\n# HELP a y\na{b=\"\\\"} 1 2 3\n{\"a:b\",c=\"d\"} 1\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := serving.ParseMetrics(bytes.NewReader(b))
		if err != nil && m.Skipped == 0 {
			t.Errorf("%v without a skipped line", err)
		}
		if m.Skipped > bytes.Count(b, []byte("\n"))*2+2 {
			t.Errorf("%d of %d lines skipped", m.Skipped, bytes.Count(b, []byte("\n"))+1)
		}
		d := serving.Delta(m, m)
		for _, q := range logical {
			m.Value(q)
			if h, ok := m.Histogram(q); ok && !d.Reset && h.Count == h.Count {
				if x, _ := d.Histogram(q); x.Count != 0 {
					t.Errorf("%s: %v happened between a scrape and itself", q, x.Count)
				}
			}
		}
	})
}
