package serving

import (
	"regexp"
	"strconv"
	"strings"
)

// lineKind is one kind of line: read runs when the text holds the needle.
type lineKind struct {
	needle string
	read   func(l *Log, x logLine)
}

// lineKinds are the lines that tell something; a line may be of several kinds.
// The forms were read from vLLM 0.5 to 0.33 and SGLang 2024 to 2026.
var lineKinds = []lineKind{
	{" reqs", (*Log).interval},
	{"SpecDecoding metrics: ", (*Log).speculation},
	{" batch", (*Log).batch},
	{"  version ", (*Log).banner},
	{"LLM engine (v", (*Log).engine},
	{"API server version ", (*Log).apiVersion},
	{"args: {", (*Log).arguments},
	{"server_args=ServerArgs(", (*Log).arguments},
	{" backend", (*Log).attention},
	{"KV cache size: ", (*Log).kvCache},
	{"aximum concurrency for ", (*Log).concurrency},
	{"KV cache memory: ", (*Log).kvMemory},
	{"odel loading took ", (*Log).modelMemory},
	{"# GPU blocks: ", (*Log).blocks},
	{"blocks: ", (*Log).blocks},
	{"Chunked prefill is enabled with max_num_batched_tokens=", (*Log).chunked},
	{"synchronous scheduling is ", (*Log).async},
	{"races will be saved to: ", (*Log).traceDir},
	{"world_size=", (*Log).world},
	{"is preempted by PreemptionMode.", (*Log).preempted},
	{"max_total_num_tokens=", (*Log).sglangCapacity},
	{"rofil", (*Log).profiling},
}

func (l *Log) read(x logLine) {
	if strings.HasPrefix(x.text, "Iteration(") { // most lines of a log that has them
		l.iteration(x)
		return
	}
	for _, k := range lineKinds {
		if strings.Contains(x.text, k.needle) {
			k.read(l, x)
		}
	}
	for _, t := range troubles {
		if strings.Contains(x.text, t.needle) {
			push(l, &l.Trouble, Trouble{x.at, t.code, printable(ScrubLog(x.text), 300)})
			break
		}
	}
}

// troubles are the lines that explain a bad capture.
var troubles = []struct{ needle, code string }{
	{"No available shared memory broadcast block found", "workers-silent"},
	{"Failed to start profiler", "start-failed"},
	{"Failed to stop profiler", "stop-failed"},
	{"!stack.empty()", "stack-assertion"},
	{"CUPTI_ERROR_", "cupti"},
	{"Profiler was not started", "not-started"},
	{"Profiling is not in progress", "not-started"},
	{"CUDA out of memory", "out-of-memory"},
	{"OutOfMemoryError", "out-of-memory"},
	{"EngineDeadError", "engine-dead"},
	{"Watchdog", "watchdog"},
	{"To serve at least one request with the model", "kv-too-small"},
}

// profilerLines are the profiler's own lines by what they say.
var profilerLines = []struct{ needle, kind string }{
	{"Starting profiler after delay", "delayed start"},
	{"Starting profiler...", "starting"},
	{"Profiler started.", "started"},
	{"Stopping profiler...", "stopping"},
	{"Profiler stopped", "stopped"},
	{"Profiling starts", "started"},
	{"Stop profiling...", "stopping"},
	{"Profiling done", "stopped"},
}

func (l *Log) profiling(x logLine) {
	if strings.Contains(x.text, "Max profiling iterations reached") {
		push(l, &l.Profiling, ProfilerEvent{x.at, x.process, "limit reached"})
		return
	}
	if _, mode, ok := strings.Cut(x.text, "Profiler with mode '"); ok && l.Profiler.Kind == "" {
		l.Profiler.Kind, _, _ = strings.Cut(mode, "'")
	}
	for _, p := range profilerLines {
		if strings.Contains(x.text, p.needle) {
			push(l, &l.Profiling, ProfilerEvent{x.at, x.process, p.kind})
			return
		}
	}
}

// iteration reads "Iteration(17): 1 context requests, 441 context tokens, 8
// generation requests, 8 generation tokens, iteration elapsed time: 4.21 ms
// (dummy), GPU KV cache usage: 12.3%": vLLM 0.14 to 0.32 without what follows ms.
func (l *Log) iteration(x logLine) {
	_, text, _ := strings.Cut(x.text, "Iteration(")
	index, text, ok := strings.Cut(text, "): ")
	it := Iteration{At: x.at, Engine: max(0, rankOf(x.process, "DP"))}
	var err error
	if it.Index, err = strconv.Atoi(index); err != nil || !ok {
		return
	}
	elapsed := false
	for part := range strings.SplitSeq(text, ", ") {
		key, v, isPair := strings.Cut(part, ": ")
		n := int(number(part))
		switch {
		case strings.HasSuffix(part, " context requests"):
			it.ContextRequests = n
		case strings.HasSuffix(part, " context tokens"):
			it.ContextTokens = n
		case strings.HasSuffix(part, " generation requests"):
			it.GenerationRequests = n
		case strings.HasSuffix(part, " generation tokens"):
			it.GenerationTokens = n
		case isPair && key == "iteration elapsed time":
			it.ElapsedNS, elapsed = int64(number(v)*1e6+0.5), true
			it.Dummy = strings.HasSuffix(v, "(dummy)")
		case isPair && strings.HasSuffix(key, "KV cache usage"):
			it.KVUsage, it.KVUsageKnown = share(v), true
		}
	}
	if elapsed {
		push(l, &l.Iterations, it)
	}
}

// rankOf is the number behind a name in a process tag such as Worker_DP0_EP0 or
// "DP0 TP0", -1 without.
func rankOf(process, name string) int {
	for part := range strings.FieldsFuncSeq(process, func(r rune) bool { return r == '_' || r == ' ' }) {
		if rest, ok := strings.CutPrefix(part, name); ok {
			if n, err := strconv.Atoi(rest); err == nil {
				return n
			}
		}
	}
	return -1
}

// pairs yields "key: number" of a summary, whose parts came and went with the
// versions: no form of the whole line would hold.
func pairs(text string, yield func(key string, v float64, word string)) {
	for part := range strings.SplitSeq(text, ", ") {
		key, v, ok := strings.Cut(part, ": ")
		if !ok {
			continue
		}
		v = strings.TrimRight(v, " .,")
		yield(strings.TrimSpace(key), number(v), v)
	}
}

// digits is the number that a text begins with, as text.
func digits(s string) string {
	end := 0
	for end < len(s) && (s[end] >= '0' && s[end] <= '9' || s[end] == '.' || s[end] == ',' || s[end] == '-' && end == 0) {
		end++
	}
	return strings.ReplaceAll(strings.TrimRight(s[:end], ".,"), ",", "")
}

// number is the number that a text begins with, 0 without.
func number(s string) float64 {
	v, _ := strconv.ParseFloat(digits(s), 64)
	return v
}

// share reads a percentage.
func share(s string) float64 {
	v, _ := strconv.ParseFloat(digits(s)+"e-2", 64)
	return v
}

var engineIndex = regexp.MustCompile(`^.*?(?:Engine (\d+): |\d+ Engines Aggregated: )`)

func (l *Log) interval(x logLine) {
	text := x.text
	if !strings.Contains(text, "Running: ") {
		return
	}
	it := Interval{At: x.at}
	if m := engineIndex.FindStringSubmatch(text); m != nil {
		if text = text[len(m[0]):]; m[1] == "" {
			it.Engine = -1
		} else {
			it.Engine, _ = strconv.Atoi(m[1])
		}
	}
	usage := false
	pairs(text, func(key string, v float64, word string) {
		switch {
		case strings.HasSuffix(key, "Avg prompt throughput"):
			it.PromptPerS = v
		case key == "Avg generation throughput":
			it.GenerationPerS = v
		case strings.HasSuffix(key, "Running"):
			it.Running = int(v)
		case key == "Waiting", key == "Pending":
			it.Waiting = int(v)
		case key == "Deferred":
			it.Deferred = int(v)
		case key == "Swapped":
			it.Swapped = int(v)
		case key == "Preemptions":
			it.Preemptions = int(v)
		case strings.HasSuffix(key, "KV cache usage") && !usage:
			it.KVUsage, usage = share(word), true
		case key == "Prefix cache hit rate":
			it.PrefixHitRate, it.PrefixHitsKnown = share(word), true
		}
	})
	push(l, &l.Intervals, it)
}

func (l *Log) speculation(x logLine) {
	_, text, _ := strings.Cut(x.text, "SpecDecoding metrics: ")
	s := Speculation{At: x.at}
	pairs(text, func(key string, v float64, word string) {
		switch key {
		case "Mean acceptance length":
			s.MeanLength = v
		case "Draft acceptance rate", "Avg Draft acceptance rate":
			s.AcceptRate = share(word)
		case "Accepted":
			s.Accepted = int(v)
		case "Drafted":
			s.Drafted = int(v)
		}
	})
	push(l, &l.Speculation, s)
}

func (l *Log) batch(x logLine) {
	b := Batch{At: x.at, Rank: x.process, Prefill: strings.HasPrefix(x.text, "Prefill batch")}
	at := strings.IndexByte(x.text, '#')
	if at < 0 || !b.Prefill && !strings.HasPrefix(x.text, "Decode batch") {
		return
	}
	l.Engine = SGLang
	pairs(x.text[at:], func(key string, v float64, word string) {
		switch key {
		case "#new-seq":
			b.NewSequences = int(v)
		case "#new-token":
			b.NewTokens = int(v)
		case "#cached-token":
			b.CachedTokens = int(v)
		case "#running-req":
			b.Running = int(v)
		case "#queue-req":
			b.Queued = int(v)
		case "#token":
			b.Tokens = int(v)
		case "token usage":
			b.KVUsage = v
		case "accept len":
			b.AcceptLength = v
		case "gen throughput (token/s)", "input throughput (token/s)":
			b.TokensPerS = v
		case "cuda graph":
			b.CUDAGraph, b.CUDAGraphKnown = word == "True", true
		}
	})
	push(l, &l.Batches, b)
}

func (l *Log) setVersion(text string) {
	if v := ParseVersion(text); v.Known() && l.Version.Text == "" {
		l.Engine, l.Version = VLLM, v
	}
}

func (l *Log) banner(x logLine) {
	if _, v, ok := strings.Cut(x.text, "█  version "); ok {
		l.setVersion(v)
	}
}

func (l *Log) apiVersion(x logLine) {
	_, v, _ := strings.Cut(x.text, "API server version ")
	l.setVersion(v)
}

func (l *Log) engine(x logLine) {
	_, rest, _ := strings.Cut(x.text, "LLM engine (v")
	v, config, _ := strings.Cut(rest, ")")
	l.setVersion(v)
	l.readConfig(strings.TrimPrefix(strings.TrimSpace(config), "with config: "))
}

func (l *Log) arguments(x logLine) {
	if _, args, ok := strings.Cut(x.text, "ServerArgs("); ok {
		l.Engine = SGLang
		l.readConfig(strings.TrimSuffix(args, ")"))
	} else if _, args, ok := strings.Cut(x.text, "non-default args: {"); ok {
		l.readConfig(strings.TrimSuffix(args, "}"))
	}
}

var attentionForm = regexp.MustCompile(`Using ([\w-]+) attention backend|Use (\w+) backend by default|Using (XFormers|Flash Attention|[Ff]lash[Ii]nfer|ROCmFlashAttention|Torch SDPA) backend`)

func (l *Log) attention(x logLine) {
	if m := attentionForm.FindStringSubmatch(x.text); m != nil && l.Attention == "" {
		l.Attention = m[1] + m[2] + m[3]
	}
}

func after(text, needle string) float64 {
	_, rest, _ := strings.Cut(text, needle)
	return number(strings.TrimSpace(rest))
}

func (l *Log) kvCache(x logLine) { l.KVTokens = int64(after(x.text, "KV cache size: ")) }

var concurrencyForm = regexp.MustCompile(`aximum concurrency for ([\d,]+) tokens per request: ([\d.]+)x`)

func (l *Log) concurrency(x logLine) {
	if m := concurrencyForm.FindStringSubmatch(x.text); m != nil {
		l.MaxModelLen = int(number(m[1]))
		l.MaxConcurrency = number(m[2])
	}
}

func (l *Log) kvMemory(x logLine) {
	l.KVBytes = int64(after(x.text, "KV cache memory: ") * (1 << 30))
}

func (l *Log) modelMemory(x logLine) {
	if strings.Contains(x.text, "GiB") {
		l.ModelBytes = int64(after(x.text, "odel loading took ") * (1 << 30))
	}
}

var blocksForm = regexp.MustCompile(`# (?:GPU|cuda|CUDA) blocks: (\d+), # CPU blocks: \d+`)

func (l *Log) blocks(x logLine) {
	if m := blocksForm.FindStringSubmatch(x.text); m != nil && l.KVTokens == 0 {
		size := number(l.Args["block_size"])
		if size == 0 {
			size = 16 // the first engine's default on GPUs
		}
		l.KVTokens = int64(number(m[1]) * size)
	}
}

func (l *Log) chunked(x logLine) {
	on := true
	l.ChunkedPrefill = &on
	l.MaxBatchedTokens = int(after(x.text, "max_num_batched_tokens="))
}

func (l *Log) async(x logLine) {
	on := strings.Contains(x.text, "synchronous scheduling is enabled")
	l.AsyncScheduling = &on
}

func (l *Log) traceDir(x logLine) {
	_, dir, _ := strings.Cut(x.text, "races will be saved to: ")
	dir, _, _ = strings.Cut(strings.TrimSpace(dir), " (with profile id")
	l.TraceDir = printable(dir, 4096)
}

var worldForm = regexp.MustCompile(`\bworld_size=(\d{1,6})\b`)

func (l *Log) world(x logLine) {
	if m := worldForm.FindStringSubmatch(x.text); m != nil {
		n, _ := strconv.Atoi(m[1])
		l.WorldSize = max(l.WorldSize, n)
	}
}

func (l *Log) preempted(x logLine) {
	push(l, &l.Preemptions, Preemption{x.at, int(after(x.text, "total_num_cumulative_preemption=")), strings.Contains(x.text, "PreemptionMode.SWAP")})
}

func (l *Log) sglangCapacity(x logLine) {
	if n := after(x.text, "max_total_num_tokens="); n > 0 && !strings.Contains(x.text, "ServerArgs(") {
		l.KVTokens = int64(n)
		if n := after(x.text, "chunked_prefill_size="); n > 0 {
			l.MaxBatchedTokens = int(n)
		}
	}
}
