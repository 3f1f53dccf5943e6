package serving_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"tokprof/fixtures/golden"
	"tokprof/trace/serving"
)

func parseLog(t testing.TB, text string) *serving.Log {
	t.Helper()
	l, err := serving.ParseLog(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestLogGolden writes all that is read from logs of two runs.
func TestLogGolden(t *testing.T) {
	for _, name := range []string{"vllm-0.20.2-tp2", "vllm-0.20.2-overload"} {
		b, err := os.ReadFile("testdata/" + name + ".log")
		if err != nil {
			t.Fatal(err)
		}
		got, err := json.MarshalIndent(parseLog(t, string(b)), "", " ")
		if err != nil {
			t.Fatal(err)
		}
		golden.Check(t, name+".log.json", append(got, '\n'))
	}
}

func at(month time.Month, day, hour, minute, second int) time.Time {
	return time.Date(0, month, day, hour, minute, second, 0, time.UTC)
}

// TestIntervals reads the summary line in the forms of vLLM 0.5 to 0.33, with what
// runtimes write before it.
func TestIntervals(t *testing.T) {
	for _, c := range []struct {
		line string
		want serving.Interval
	}{
		{"INFO 03-05 21:31:24 metrics.py:161] Avg prompt throughput: 36.2 tokens/s, Avg generation throughput: 4.6 tokens/s, Running: 1 reqs, Swapped: 2 reqs, Pending: 3 reqs, GPU KV cache usage: 0.1%, CPU KV cache usage: 9.0%.",
			serving.Interval{At: at(3, 5, 21, 31, 24), PromptPerS: 36.2, GenerationPerS: 4.6, Running: 1, Swapped: 2, Waiting: 3, KVUsage: 0.001}},
		{"llama-8b-1 | INFO 08-25 00:36:27 metrics.py:351] Avg prompt throughput: 0.0 tokens/s, Avg generation throughput: 0.1 tokens/s, Running: 1 reqs, Swapped: 0 reqs, Pending: 0 reqs, GPU KV cache usage: 17.9%, CPU KV cache usage: 0.0%.",
			serving.Interval{At: at(8, 25, 0, 36, 27), GenerationPerS: 0.1, Running: 1, KVUsage: 0.179}},
		{"INFO 01-30 10:00:01 loggers.py:48] Running: 5 reqs, Waiting: 7 reqs ",
			serving.Interval{At: at(1, 30, 10, 0, 1), Running: 5, Waiting: 7}},
		{"INFO 12-24 09:42:41 [loggers.py:257] Engine 003: Avg prompt throughput: 10.7 tokens/s, Avg generation throughput: 1.5 tokens/s, Running: 0 reqs, Waiting: 4 reqs, GPU KV cache usage: 0.3%, Prefix cache hit rate: 39.8%, External prefix cache hit rate: 11.6%, MM cache hit rate: 98.6%",
			serving.Interval{At: at(12, 24, 9, 42, 41), Engine: 3, PromptPerS: 10.7, GenerationPerS: 1.5, Waiting: 4, KVUsage: 0.003, PrefixHitRate: 0.398, PrefixHitsKnown: true}},
		{"\x1b[0;36m(APIServer pid=37)\x1b[0;0m INFO 01-07 20:17:18 [loggers.py:248] 2 Engines Aggregated: Avg prompt throughput: 17015.0 tokens/s, Avg generation throughput: 889.6 tokens/s, Running: 52 reqs, Waiting: 1 reqs, Deferred: 6 reqs, Preemptions: 8, GPU KV cache usage: 99.5%",
			serving.Interval{At: at(1, 7, 20, 17, 18), Engine: -1, PromptPerS: 17015, GenerationPerS: 889.6, Running: 52, Waiting: 1, Deferred: 6, Preemptions: 8, KVUsage: 0.995}},
		{"node1 bash[59857]: (APIServer pid=59857) INFO 11-05 18:07:38 [loggers.py:259] Engine 000: Avg prompt throughput: 1.0 tokens/s, Avg generation throughput: 2.0 tokens/s, Running: 3 reqs, Waiting: 4 reqs, KV fetch: 5 waiting to start, 6 in progress, 7 completed waiting, Preemptions: 9, CPU KV cache usage: 12.5%",
			serving.Interval{At: at(11, 5, 18, 7, 38), PromptPerS: 1, GenerationPerS: 2, Running: 3, Waiting: 4, Preemptions: 9, KVUsage: 0.125}},
		{"[loggers.py:248] Engine 000: Avg prompt throughput: 1.0 tokens/s, Avg generation throughput: 2.0 tokens/s, Running: 52 reqs, Waiting: 0 reqs, GPU KV cache usage: 11.5%",
			serving.Interval{PromptPerS: 1, GenerationPerS: 2, Running: 52, KVUsage: 0.115}},
	} {
		l := parseLog(t, c.line)
		if len(l.Intervals) != 1 || l.Intervals[0] != c.want {
			t.Errorf("%s\n got %+v\nwant %+v", c.line, l.Intervals, c.want)
		}
	}
}

// TestIterations: the forms of 0.20 and 0.33, with data parallelism.
func TestIterations(t *testing.T) {
	l := parseLog(t, `(EngineCore pid=901) INFO 11-23 03:40:38 [core.py:381] Iteration(1): 2 context requests, 1700 context tokens, 1 generation requests, 3 generation tokens, iteration elapsed time: 199.61 ms
(EngineCore_DP1 pid=902) INFO 11-23 03:40:39 [core.py:381] Iteration(17): 0 context requests, 0 context tokens, 8 generation requests, 8 generation tokens, iteration elapsed time: 4.21 ms (dummy), GPU KV cache usage: 12.5%
`)
	want := []serving.Iteration{
		{At: at(11, 23, 3, 40, 38), Index: 1, ContextRequests: 2, ContextTokens: 1700, GenerationRequests: 1, GenerationTokens: 3, ElapsedNS: 199_610_000},
		{At: at(11, 23, 3, 40, 39), Engine: 1, Index: 17, GenerationRequests: 8, GenerationTokens: 8, ElapsedNS: 4_210_000, Dummy: true, KVUsage: 0.125, KVUsageKnown: true},
	}
	if !reflect.DeepEqual(l.Iterations, want) {
		t.Errorf("%+v", l.Iterations)
	}
}

func TestSGLangLog(t *testing.T) {
	l := parseLog(t, `[2026-08-01 22:25:21] server_args=ServerArgs(model_path='/home/canary/q', host='canary', api_key='canary', tp_size=2, pp_size=1, dp_size=2, enable_dp_attention=True, attention_backend='fa3', disable_radix_cache=True, speculative_algorithm=None, mem_fraction_static=0.78)
[2025-09-30 11:11:50 DP0 TP0] max_total_num_tokens=434560, chunked_prefill_size=8192, max_prefill_tokens=16384, max_running_requests=2048, context_len=32768, available_gpu_mem=7.10 GB
[2025-09-30 11:11:51 DP0 TP0] Prefill batch. #new-seq: 2, #new-token: 512, #cached-token: 64, token usage: 0.01, #running-req: 3, #queue-req: 4, 
[2025-09-30 11:11:52 DP1 TP1] Decode batch [40], #running-req: 5, #token: 4000, token usage: 0.28, accept len: 2.50, accept rate: 0.83, cuda graph: True, gen throughput (token/s): 312.40, #queue-req: 6, 
[2025-09-30 11:11:53] Prefill batch, #new-seq: 1, #new-token: 7, #cached-token: 0, token usage: 0.00, #running-req: 0, #queue-req: 0, #pending-token: 9, cuda graph: False, input throughput (token/s): 99.5
[2025-09-30 11:11:54 TP0] Profiling starts. Traces will be saved to: /traces (with profile id: 1759.5)
[2025-09-30 11:11:55 TP0] Stop profiling...
[2025-09-30 11:11:56 TP0] Profiling done. Traces are saved to: /traces
`)
	when := func(s int) time.Time { return time.Date(2025, 9, 30, 11, 11, s, 0, time.UTC) }
	if want := []serving.Batch{
		{At: when(51), Rank: "DP0 TP0", Prefill: true, NewSequences: 2, NewTokens: 512, CachedTokens: 64, KVUsage: 0.01, Running: 3, Queued: 4},
		{At: when(52), Rank: "DP1 TP1", Running: 5, Tokens: 4000, KVUsage: 0.28, AcceptLength: 2.5, CUDAGraph: true, CUDAGraphKnown: true, TokensPerS: 312.4, Queued: 6},
		{At: when(53), Prefill: true, NewSequences: 1, NewTokens: 7, CUDAGraphKnown: true, TokensPerS: 99.5},
	}; !reflect.DeepEqual(l.Batches, want) {
		t.Errorf("%+v", l.Batches)
	}
	if want := []serving.ProfilerEvent{{when(54), "TP0", "started"}, {when(55), "TP0", "stopping"}, {when(56), "TP0", "stopped"}}; !reflect.DeepEqual(l.Profiling, want) {
		t.Errorf("%+v", l.Profiling)
	}
	if l.Engine != serving.SGLang || l.KVTokens != 434560 || l.MaxBatchedTokens != 8192 || l.TraceDir != "/traces" || l.Attention != "fa3" || l.TP != 2 || l.DP != 2 || !l.DPInsideTP || *l.PrefixCaching || *l.SpecDecode {
		t.Errorf("%+v", l)
	}
	if args := fmt.Sprint(l.Args); strings.Contains(args, "canary") || l.Args["mem_fraction_static"] != "0.78" {
		t.Error(args)
	}
	var f serving.Facts
	f.AddLog(l)
	if f.Engine != serving.SGLang || f.WorldSize != 2 || f.TraceDir != "/traces" || f.KVTokens != 434560 || f.How("world size") != "server log" || f.Config["tp_size"] != "2" {
		t.Errorf("%+v", f)
	}
}

// TestOldLines: lines of vLLM's first engine, and of versions between.
func TestOldLines(t *testing.T) {
	l := parseLog(t, `INFO 01-25 12:00:00 llm_engine.py:237] Initializing an LLM engine (v0.6.3) with config: model='m', speculative_config=None, tensor_parallel_size=1, pipeline_parallel_size=1, enforce_eager=False, enable_prefix_caching=False, seed=0)
INFO 01-25 12:00:01 selector.py:115] Using XFormers backend.
INFO 01-25 12:00:02 gpu_executor.py:122] # GPU blocks: 27284, # CPU blocks: 2048
INFO 01-25 12:00:02 gpu_executor.py:126] Maximum concurrency for 131072 tokens per request: 3.33x
INFO 01-25 12:00:03 api_server.py:1 ] Torch Profiler is enabled in the API server
WARNING 01-25 12:00:04 scheduler.py:1481] Sequence group cmpl-1 is preempted by PreemptionMode.RECOMPUTE mode because there is not enough KV cache space. This can affect the end-to-end performance. Increase gpu_memory_utilization or tensor_parallel_size to provide more KV cache memory. total_num_cumulative_preemption=51
(VllmWorker rank=3 pid=10237) INFO 04-19 01:27:12 [gpu_model_runner.py:1332] Model loading took 14.9555 GiB and 3.100000 seconds
INFO 04-19 01:27:13 [metrics.py:87] SpecDecoding metrics: Draft acceptance rate: 62.5%, Mean acceptance length: 2.20, Accepted: 50 tokens, Drafted: 80 tokens, Per-position acceptance rate: 0.8, 0.4
(VllmWorker rank=3 pid=10237) WARNING 04-19 01:27:14 [wrapper.py:9] Failed to stop profiler: /home/canary/x !stack.empty() INTERNAL ASSERT FAILED
INFO 04-19 01:27:15 [shm_broadcast.py:1] No available shared memory broadcast block found in 60 seconds.
`)
	if l.Version.Text != "0.6.3" || l.Attention != "XFormers" || l.KVTokens != 27284*16 || l.MaxConcurrency != 3.33 || l.MaxModelLen != 131072 || l.ModelBytes != 16058345848 {
		t.Errorf("%+v", l)
	}
	if want := []serving.Preemption{{At: at(1, 25, 12, 0, 4), Cumulative: 51}}; !reflect.DeepEqual(l.Preemptions, want) {
		t.Errorf("%+v", l.Preemptions)
	}
	if want := []serving.Speculation{{At: at(4, 19, 1, 27, 13), MeanLength: 2.2, AcceptRate: 0.625, Accepted: 50, Drafted: 80}}; !reflect.DeepEqual(l.Speculation, want) {
		t.Errorf("%+v", l.Speculation)
	}
	if want := []serving.Trouble{
		{at(4, 19, 1, 27, 14), "stop-failed", "Failed to stop profiler: <path> !stack.empty() INTERNAL ASSERT FAILED"},
		{at(4, 19, 1, 27, 15), "workers-silent", "No available shared memory broadcast block found in 60 seconds."},
	}; !reflect.DeepEqual(l.Trouble, want) {
		t.Errorf("%+v", l.Trouble)
	}
}

// TestLogIsBounded: of too many entries the newest stay, long lines are cut, and a
// reader that fails leaves what was read.
func TestLogIsBounded(t *testing.T) {
	const n, limit = 1_030, 100
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, "Iteration(%d): 0 context requests, 0 context tokens, 1 generation requests, 1 generation tokens, iteration elapsed time: 2.00 ms\n", i)
	}
	l, err := serving.ParseLogWithin(&b, limit)
	if err != nil || len(l.Iterations) != limit || l.Dropped != n-limit || l.Iterations[0].Index != n-limit || l.Iterations[limit-1].Index != n-1 || l.Lines != n {
		t.Errorf("%d entries, %d dropped, from %d on", len(l.Iterations), l.Dropped, l.Iterations[0].Index)
	}
	long := strings.Repeat("x", 1<<20) + "\nGPU KV cache size: 1,234 tokens"
	if l := parseLog(t, long); l.Cut != 1 || l.Lines != 2 || l.KVTokens != 1234 {
		t.Errorf("%d cut, %d lines, %d tokens", l.Cut, l.Lines, l.KVTokens)
	}
	broken := errors.New("broken")
	l, err = serving.ParseLog(iotest.TimeoutReader(strings.NewReader("x")))
	if l == nil || err != nil && !errors.Is(err, iotest.ErrTimeout) {
		t.Error(l, err)
	}
	l, err = serving.ParseLog(iotest.ErrReader(broken))
	if !errors.Is(err, broken) || l == nil {
		t.Error(l, err)
	}
}

func FuzzParseLog(f *testing.F) {
	for _, name := range []string{"vllm-0.20.2-overload"} {
		b, err := os.ReadFile("testdata/" + name + ".log")
		if err != nil {
			f.Fatal(err)
		}
		for line := range bytes.Lines(b) {
			f.Add(line)
		}
	}
	f.Add([]byte("server_args=ServerArgs(a={'b':[(1,'\\''"))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := serving.ParseLog(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if want := bytes.Count(b, []byte("\n")); l.Lines < want || l.Lines > want+1 {
			t.Errorf("%d lines of %d", l.Lines, want)
		}
		if n := len(l.Intervals) + len(l.Iterations) + len(l.Batches); n > l.Lines {
			t.Errorf("%d entries of %d lines", n, l.Lines)
		}
		new(serving.Facts).AddLog(l)
	})
}
