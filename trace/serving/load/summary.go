package load

import (
	"math"
	"slices"
	"time"

	"tokprof/trace/serving"
)

// Summary adds rows up. Latencies are of the completed requests alone: a failed one's
// would flatter the server. All times are nanoseconds.
type Summary struct {
	Requests  int            `json:"requests"`
	Completed int            `json:"completed"`
	Failed    int            `json:"failed"`
	Errors    map[string]int `json:"errors,omitempty"` // failed requests by their error
	// DurationNS is from the first due time to the last end.
	DurationNS int64 `json:"duration_ns"`
	// Tokens of completed requests, as the server counted them where it did.
	InputTokens  int64 `json:"input_tokens"`
	OutputTokens int64 `json:"output_tokens"`
	CachedTokens int64 `json:"cached_tokens"` // of the input, where the server tells
	// FailedTokens are the output tokens that came before requests failed.
	FailedTokens int64 `json:"failed_tokens"`
	// BundledTokens came in the chunk of the token before them; UntimedTokens have no
	// time of their own, since the server told their number only at the end.
	BundledTokens int64 `json:"bundled_tokens"`
	UntimedTokens int64 `json:"untimed_tokens"`
	// Rates over DurationNS; 0 when that is 0.
	RequestsPerSecond     float64 `json:"requests_per_second"`
	InputTokensPerSecond  float64 `json:"input_tokens_per_second"`
	OutputTokensPerSecond float64 `json:"output_tokens_per_second"`

	Due  Latency `json:"due"`  // from the time each request was due: what users feel
	Sent Latency `json:"sent"` // from the time it was sent: without the client's queue
	// Queue is the wait from due to sent: for a free slot, and for the client itself.
	Queue Dist `json:"queue_ns"`
	// TPOT is, per request of two tokens or more, the time from first to last token over
	// the tokens after the first.
	TPOT Dist `json:"tpot_ns"`
	// ITL is the gap between successive tokens, over all requests together, so that long
	// answers weigh more. Tokens of one chunk have gaps of 0, and untimed ones none.
	ITL Dist `json:"itl_ns"`
}

// Latency is what depends on when a request's clock starts.
type Latency struct {
	TTFT Dist `json:"ttft_ns"` // to the first token
	E2E  Dist `json:"e2e_ns"`  // to the last token; to the end where tokens have no times
}

// Dist is a distribution. Percentiles are by nearest rank: the smallest value that at
// least so many percent of the values do not exceed, so each is a value that occurred.
// All is 0 when Count is.
type Dist struct {
	Count  int     `json:"count"`
	Mean   float64 `json:"mean"`
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	P90    float64 `json:"p90"`
	P99    float64 `json:"p99"`
	Max    float64 `json:"max"`
}

// Distribution is the distribution of values, which it sorts.
func Distribution(values []float64) Dist {
	n := len(values)
	if n == 0 {
		return Dist{}
	}
	slices.Sort(values)
	rank := func(percent int) float64 { return values[(n*percent+99)/100-1] }
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return Dist{Count: n, Mean: sum / float64(n), Min: values[0], Median: rank(50), P90: rank(90), P99: rank(99), Max: values[n-1]}
}

// Summarize adds rows up.
func Summarize(rows []serving.Request) Summary {
	s := Summary{Requests: len(rows)}
	var v values
	first, last := int64(math.MaxInt64), int64(0)
	for i := range rows {
		r := &rows[i]
		if d := due(r); d > 0 {
			first = min(first, d)
		}
		last = max(last, r.EndUnixNS)
		if r.Failed() {
			s.fail(r)
			continue
		}
		s.Completed++
		s.InputTokens += int64(r.PromptTokens)
		s.OutputTokens += int64(r.Answered())
		s.CachedTokens += int64(r.CachedTokens)
		s.BundledTokens += int64(r.Bundled)
		s.UntimedTokens += int64(r.Answered() - len(r.TokenUnixNS))
		v.add(r)
	}
	if last > first {
		s.DurationNS = last - first
		seconds := time.Duration(s.DurationNS).Seconds()
		s.RequestsPerSecond = float64(s.Completed) / seconds
		s.InputTokensPerSecond = float64(s.InputTokens) / seconds
		s.OutputTokensPerSecond = float64(s.OutputTokens) / seconds
	}
	s.Due = Latency{Distribution(v.dueTTFT), Distribution(v.dueE2E)}
	s.Sent = Latency{Distribution(v.sentTTFT), Distribution(v.sentE2E)}
	s.Queue, s.TPOT, s.ITL = Distribution(v.queue), Distribution(v.tpot), Distribution(v.itl)
	return s
}

func (s *Summary) fail(r *serving.Request) {
	s.Failed++
	s.FailedTokens += int64(r.Answered())
	if s.Errors == nil {
		s.Errors = map[string]int{}
	}
	why := r.Error
	if why == "" {
		why = (&statusError{code: r.Status}).Error()
	}
	s.Errors[why]++
}

// values are the latencies of rows, in nanoseconds.
type values struct {
	dueTTFT, dueE2E, sentTTFT, sentE2E, queue, tpot, itl []float64
}

func (v *values) add(r *serving.Request) {
	from, sent, times := due(r), r.SentUnixNS, r.TokenUnixNS
	end := r.EndUnixNS
	if n := len(times); n > 0 {
		end = times[n-1]
		v.dueTTFT = append(v.dueTTFT, float64(times[0]-from))
		v.sentTTFT = append(v.sentTTFT, float64(times[0]-sent))
		if all := r.Answered(); all > 1 {
			v.tpot = append(v.tpot, float64(end-times[0])/float64(all-1))
		}
		for i := 1; i < n; i++ {
			v.itl = append(v.itl, float64(times[i]-times[i-1]))
		}
	}
	v.dueE2E = append(v.dueE2E, float64(end-from))
	v.sentE2E = append(v.sentE2E, float64(end-sent))
	v.queue = append(v.queue, float64(sent-from))
}
