package latency

import (
	"cmp"
	"slices"

	"tokprof/report/figures"
)

// Requests is what the clients of a window saw, and where in the steps of the
// engine that time went.
type Requests struct {
	Count        int64        `json:"count"`
	Failed       int64        `json:"failed"`
	Damaged      int64        `json:"damaged"` // rows whose times cannot be: in count, in nothing else
	Errors       []ErrorCount `json:"errors"`  // of the failed ones, most frequent first
	InputTokens  int64        `json:"input_tokens"`
	OutputTokens int64        `json:"output_tokens"`
	// TokensPerS is output tokens over the time from the first request due to
	// the last token; 0 when unknown.
	TokensPerS float64 `json:"tokens_per_s"`

	// Of the requests that ended as they should, from the moment they were due.
	TTFTNS figures.Spread `json:"ttft_ns"`
	TPOTNS figures.Spread `json:"tpot_ns"`
	ITLNS  figures.Spread `json:"itl_ns"` // gaps between tokens that came in chunks of their own
	E2ENS  figures.Spread `json:"e2e_ns"`

	Join Join `json:"join"`
	// FirstToken and BetweenTokens are sums over the rows that have them; Roles
	// say what the time of their steps was for.
	FirstToken    *FirstToken    `json:"first_token,omitempty"`
	BetweenTokens *BetweenTokens `json:"between_tokens,omitempty"`
	Roles         []RequestRole  `json:"roles"`

	Rows    []Request   `json:"rows"`    // in the order in which they were due
	Slowest []SlowToken `json:"slowest"` // longest gaps between tokens, longest first
}

// ErrorCount is failed requests with one text of error, without addresses.
type ErrorCount struct {
	Error string `json:"error"`
	Count int64  `json:"count"`
}

// Join says how far tokens are joined with the steps that emitted them.
// joined + outside + unmatched = the tokens of all rows.
type Join struct {
	Emitted   int64   `json:"emitted"`   // by the recorded steps, as their annotations count
	Explained int64   `json:"explained"` // of emitted: have a token joined, of these rows or another window's
	Joined    int64   `json:"joined"`
	Outside   int64   `json:"outside"` // before the first recorded step or after the last one
	Unmatched int64   `json:"unmatched"`
	Share     float64 `json:"share"` // joined of those not outside
	Sure      float64 `json:"sure"`  // share of the joined that no other reading of counts and times would move
	// Reason says why nothing could be joined; "" when it was tried.
	Reason string `json:"reason"`
}

// FirstToken splits the time to the first token: time_ns = queue_ns +
// prefill_ns + delivery_ns, and parts as well as phases add up to prefill_ns.
// Parts of a step are the mean over its ranks, where streams overlap in
// proportion; idle is a part too. Phases are those of the steps; "none" is time
// between steps.
type FirstToken struct {
	Requests   int64              `json:"requests"`
	TimeNS     int64              `json:"time_ns"`
	QueueNS    int64              `json:"queue_ns"`    // due → first step with a part of the prompt
	PrefillNS  int64              `json:"prefill_ns"`  // → end of the step that emitted the token
	DeliveryNS int64              `json:"delivery_ns"` // → client
	Parts      []figures.NameTime `json:"parts"`
	Phases     []figures.NameTime `json:"phases"`
}

// BetweenTokens splits the gaps between tokens of known steps: time_ns =
// steps_ns + delivery_ns; parts and phases add up to steps_ns, which goes from
// the end of one token's step to that of the next. Delivery is what the way to
// the client took longer than for the token before, below 0 when shorter.
type BetweenTokens struct {
	Gaps       int64              `json:"gaps"`
	Stalled    int64              `json:"stalled"` // gaps left out: behind the last recorded step, while the server stopped its profiler
	TimeNS     int64              `json:"time_ns"`
	StepsNS    int64              `json:"steps_ns"`
	DeliveryNS int64              `json:"delivery_ns"`
	Parts      []figures.NameTime `json:"parts"`
	Phases     []figures.NameTime `json:"phases"`
	// Longest is the longest of the gaps that a step of each phase lies in, as the
	// client saw it; not part of the JSON contract.
	Longest []figures.NameTime `json:"-"`
}

// RequestRole is the time of one role over first_token ("prefill") or
// between_tokens ("decode"). Time in no role is not listed.
type RequestRole struct {
	Span   string `json:"span"`
	Role   string `json:"role"`
	TimeNS int64  `json:"time_ns"`
}

// Request is one request of the window. Times that are unknown are 0.
type Request struct {
	ID int `json:"id"`
	// Server is the one that was asked, as index into servers; absent where there
	// are not several.
	Server       *int   `json:"server,omitempty"`
	PromptTokens int64  `json:"prompt_tokens"`
	CachedTokens int64  `json:"cached_tokens"`
	OutputTokens int64  `json:"output_tokens"` // as the client received them
	Error        string `json:"error"`
	DueUnixNS    int64  `json:"due_unix_ns"`
	FirstUnixNS  int64  `json:"first_token_unix_ns"`
	LastUnixNS   int64  `json:"last_token_unix_ns"`
	TTFTNS       int64  `json:"ttft_ns"`
	TPOTNS       int64  `json:"tpot_ns"`
	E2ENS        int64  `json:"e2e_ns"`
	Joined       int64  `json:"joined"` // tokens of known steps
	// EnteredStep and FirstStep are the steps that computed the first part of
	// the prompt and that emitted the first token; -1 when unknown. They are steps
	// of Rank, the first one of the engine that served the request.
	Rank          int            `json:"rank"`
	EnteredStep   int            `json:"entered_step"`
	FirstStep     int            `json:"first_step"`
	FirstToken    *FirstToken    `json:"first_token,omitempty"`
	BetweenTokens *BetweenTokens `json:"between_tokens,omitempty"`
}

// SlowToken is one token that came long after the one before it.
type SlowToken struct {
	Request  int   `json:"request"`
	Position int   `json:"position"` // of the token in its request, from 0
	GapNS    int64 `json:"gap_ns"`
	// Also counts the other requests whose token of the same step was half as
	// slow or slower.
	Also       int64              `json:"also"`
	Step       int                `json:"step"`  // that emitted it, -1 when unknown
	Rank       int                `json:"rank"`  // whose step that is: the first of its engine
	Phase      string             `json:"phase"` // of that step
	StepsNS    int64              `json:"steps_ns"`
	DeliveryNS int64              `json:"delivery_ns"`
	Parts      []figures.NameTime `json:"parts"` // add up to steps_ns
	Why        string             `json:"why"`   // in words
}

// Typical is the request with the median time to the first token among those
// whose steps are known; nil when there is none.
func (q *Requests) Typical() *Request {
	var known []*Request
	for i := range q.Rows {
		if q.Rows[i].FirstToken != nil {
			known = append(known, &q.Rows[i])
		}
	}
	if len(known) == 0 {
		return nil
	}
	slices.SortStableFunc(known, func(x, y *Request) int { return cmp.Compare(x.TTFTNS, y.TTFTNS) })
	return known[(len(known)-1)/2]
}
