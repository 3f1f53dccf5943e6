package serving

import (
	"bufio"
	"errors"
	"io"
	"regexp"
	"strings"
	"time"
)

// Log is what a server's log tells. Lists keep the newest entries; Dropped counts
// the older ones. Times are the server's wall clock as UTC; vLLM writes no year,
// so its times are in year 0. A time is zero where the line has none.
type Log struct {
	Engine  Engine
	Version Version
	// Args are settings of known names: those given at the start and those that
	// the engine says it runs with.
	Args           map[string]string
	Attention      string // backend
	KVTokens       int64  // of one engine
	KVBytes        int64  // of one GPU
	ModelBytes     int64  // weights on one GPU
	MaxConcurrency float64
	MaxModelLen    int

	AsyncScheduling, ChunkedPrefill, PrefixCaching, SpecDecode *bool

	MaxBatchedTokens int
	Profiler         Profiler
	TraceDir         string // on the server
	WorldSize        int
	TP, PP, DP       int
	DPInsideTP       bool // SGLang's data-parallel attention

	Intervals   []Interval
	Iterations  []Iteration
	Batches     []Batch
	Speculation []Speculation
	Profiling   []ProfilerEvent
	Preemptions []Preemption
	Trouble     []Trouble

	Lines   int
	Cut     int // lines longer than maxLogLine, read in part
	Dropped int // entries left out of the lists

	limit int // of each list
}

// Interval is vLLM's periodic summary. Shares are 0–1.
type Interval struct {
	At              time.Time
	Engine          int // data-parallel index; -1 for all together
	PromptPerS      float64
	GenerationPerS  float64
	Running         int
	Waiting         int
	Deferred        int
	Swapped         int
	Preemptions     int // in the interval
	KVUsage         float64
	PrefixHitRate   float64 // over the last 1,000 requests or so
	PrefixHitsKnown bool
}

// Iteration is one step of vLLM's engine, of --enable-logging-iteration-details.
type Iteration struct {
	At                 time.Time
	Engine             int // data-parallel index
	Index              int
	ContextRequests    int
	ContextTokens      int
	GenerationRequests int
	GenerationTokens   int
	ElapsedNS          int64
	Dummy              bool
	KVUsage            float64 // vLLM ≥ 0.33
	KVUsageKnown       bool
}

// Batch is SGLang's line of a prefill batch, or of every 40th decode step.
type Batch struct {
	At             time.Time
	Rank           string // "DP0 TP0", "" with one GPU
	Prefill        bool
	NewSequences   int
	NewTokens      int
	CachedTokens   int
	Running        int
	Queued         int
	Tokens         int
	KVUsage        float64
	TokensPerS     float64
	AcceptLength   float64 // 0 without speculation
	CUDAGraph      bool
	CUDAGraphKnown bool
}

// Speculation is vLLM's summary of speculative decoding in an interval.
type Speculation struct {
	At         time.Time
	MeanLength float64 // tokens a step and request; before 0.9 without the bonus token
	AcceptRate float64 // 0–1
	Accepted   int
	Drafted    int
}

// ProfilerEvent is a line about the profiler. Kind is starting, started,
// delayed start, limit reached, stopping, stopped.
type ProfilerEvent struct {
	At      time.Time
	Process string // "APIServer", "Worker_TP0", …
	Kind    string
}

// Preemption is a line of vLLM's first engine, which writes one in fifty.
type Preemption struct {
	At         time.Time
	Cumulative int
	Swap       bool
}

// Trouble is a line that explains a bad capture, scrubbed.
type Trouble struct {
	At   time.Time
	Code string
	Text string
}

const (
	maxLogLine = 256 << 10
	// maxEvents bounds each list: an hour of 2 ms steps has 1.8 million, and the
	// newest are those that a capture saw.
	maxEvents = 200_000
)

// push appends, and drops the older half of a list that is twice too long.
func push[T any](l *Log, list *[]T, x T) {
	*list = append(*list, x)
	if len(*list) >= 2*l.limit {
		l.Dropped += l.limit
		*list = append((*list)[:0], (*list)[l.limit:]...)
	}
}

// trim leaves the newest ones.
func trim[T any](l *Log, list *[]T) {
	if over := len(*list) - l.limit; over > 0 {
		l.Dropped += over
		*list = (*list)[over:]
	}
}

// logLine is a line taken apart.
type logLine struct {
	at      time.Time
	process string // "EngineCore_DP0"; for SGLang "DP0 TP0"
	text    string
}

var (
	ansi = regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]`)
	// vLLM 0.5–0.7: INFO 01-25 12:00:00 metrics.py:455] …; since 0.8:
	// INFO 04-19 01:27:12 [loggers.py:127] …
	vllmStart = regexp.MustCompile(`^[A-Z]+ (\d\d-\d\d \d\d:\d\d:\d\d)(?:\.\d+)? \[?[\w./-]+:\d+\] ?`)
	// [2025-09-30 11:11:52 DP0 TP0 EP0 PP0] …
	sglangStart = regexp.MustCompile(`^\[(20\d\d-\d\d-\d\d \d\d:\d\d:\d\d)(?:\.\d+)?((?: \w+)*)\] `)

	levels = []string{"INFO ", "WARNING ", "ERROR ", "DEBUG ", "CRITICAL "}
)

// takeApart finds the text of a line behind what the logger writes before it.
func takeApart(line string) logLine {
	if strings.IndexByte(line, 0x1b) >= 0 {
		line = ansi.ReplaceAllString(line, "")
	}
	if strings.HasPrefix(line, "[20") {
		if m := sglangStart.FindStringSubmatch(line); m != nil {
			l := logLine{text: line[len(m[0]):], process: strings.TrimSpace(m[2])}
			l.at, _ = time.Parse("2006-01-02 15:04:05", m[1])
			return l
		}
	}
	for _, level := range levels {
		i := strings.Index(line, level)
		if i < 0 {
			continue
		}
		if m := vllmStart.FindStringSubmatch(line[i:]); m != nil {
			l := logLine{text: line[i+len(m[0]):], process: process(line[:i])}
			l.at, _ = time.Parse("01-02 15:04:05", m[1])
			return l
		}
	}
	return logLine{text: line}
}

// process is the name in the last "(EngineCore_DP0 pid=44565)": two processes may
// share a line.
func process(before string) string {
	end := strings.LastIndex(before, "pid=")
	if end < 0 {
		return ""
	}
	name, _, _ := strings.Cut(before[strings.LastIndexByte(before[:end], '(')+1:end], " ")
	return name
}

// ParseLog reads a server's log. What is not understood is passed over; an error
// comes only from the reader, beside what was read before it.
func ParseLog(r io.Reader) (*Log, error) { return parseLog(r, maxEvents) }

func parseLog(r io.Reader, limit int) (*Log, error) {
	l := &Log{Args: map[string]string{}, limit: limit}
	in := bufio.NewReaderSize(r, 1<<16)
	var line []byte
	cut := false
	for {
		piece, err := in.ReadSlice('\n')
		room := maxLogLine - len(line)
		cut = cut || len(piece) > room
		line = append(line, piece[:min(len(piece), room)]...)
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if len(line) > 0 {
			l.Lines++
			if cut {
				l.Cut++
			}
			l.read(takeApart(strings.TrimRight(string(line), "\r\n")))
		}
		line, cut = line[:0], false
		if err != nil {
			l.finish()
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return l, err
		}
	}
}

func (l *Log) finish() {
	trim(l, &l.Intervals)
	trim(l, &l.Iterations)
	trim(l, &l.Batches)
	trim(l, &l.Speculation)
	trim(l, &l.Profiling)
	trim(l, &l.Preemptions)
	trim(l, &l.Trouble)
}
