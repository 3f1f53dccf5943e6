package document

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"tokprof/trace/serving"
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
	TTFTNS Spread `json:"ttft_ns"`
	TPOTNS Spread `json:"tpot_ns"`
	ITLNS  Spread `json:"itl_ns"` // gaps between tokens that came in chunks of their own
	E2ENS  Spread `json:"e2e_ns"`

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
	Requests   int64      `json:"requests"`
	TimeNS     int64      `json:"time_ns"`
	QueueNS    int64      `json:"queue_ns"`    // due → first step with a part of the prompt
	PrefillNS  int64      `json:"prefill_ns"`  // → end of the step that emitted the token
	DeliveryNS int64      `json:"delivery_ns"` // → client
	Parts      []NameTime `json:"parts"`
	Phases     []NameTime `json:"phases"`
}

// BetweenTokens splits the gaps between tokens of known steps: time_ns =
// steps_ns + delivery_ns; parts and phases add up to steps_ns, which goes from
// the end of one token's step to that of the next. Delivery is what the way to
// the client took longer than for the token before, below 0 when shorter.
type BetweenTokens struct {
	Gaps       int64      `json:"gaps"`
	Stalled    int64      `json:"stalled"` // gaps left out: behind the last recorded step, while the server stopped its profiler
	TimeNS     int64      `json:"time_ns"`
	StepsNS    int64      `json:"steps_ns"`
	DeliveryNS int64      `json:"delivery_ns"`
	Parts      []NameTime `json:"parts"`
	Phases     []NameTime `json:"phases"`
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
	ID           int    `json:"id"`
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
	// the prompt and that emitted the first token; -1 when unknown.
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
	Also       int64      `json:"also"`
	Step       int        `json:"step"`  // that emitted it, -1 when unknown
	Phase      string     `json:"phase"` // of that step
	StepsNS    int64      `json:"steps_ns"`
	DeliveryNS int64      `json:"delivery_ns"`
	Parts      []NameTime `json:"parts"` // add up to steps_ns
	Why        string     `json:"why"`   // in words
}

// Bounds of what a row can say; beyond them it is damaged.
const (
	maxRequestNS     = 24 * 3600 * 1_000_000_000
	maxRequestTokens = 1 << 40
)

// requests writes what the clients of the window saw.
func (b *builder) requests() {
	if b.run == nil {
		return
	}
	own, all := b.requestRows()
	if len(own) == 0 {
		return
	}
	q := &Requests{Errors: []ErrorCount{}, Roles: []RequestRole{}, Rows: []Request{}, Slowest: []SlowToken{}}
	b.a.Requests = q
	j := b.join(all)
	q.Join.Reason = j.reason
	q.Join.Emitted, q.Join.Explained = j.result.Emitted, j.result.Explained
	for _, o := range own {
		row := requestRow(o.row)
		if o.at < 0 {
			q.Damaged++
			row.Error = damagedRow
		} else {
			b.joinRow(&q.Join, &row, o, j)
		}
		q.Rows = append(q.Rows, row)
	}
	if q.Join.Joined > 0 {
		q.Join.Sure /= float64(q.Join.Joined)
	}
	q.Join.Share = share(q.Join.Joined, q.Join.Joined+q.Join.Unmatched)
	q.count(own)
	b.splitRequests(own, j)
	q.Slowest = slowest(own, j, q.ITLNS.Median)
}

const damagedRow = "times or counts that cannot be"

// ownRow is a row of the window; at is its index among the rows that take part
// in the join, -1 when it is damaged.
type ownRow struct {
	row *serving.Request
	at  int
}

// requestRows gives the rows of the window by the time they were due, and all
// sound rows for the join.
func (b *builder) requestRows() (own []ownRow, all []serving.Request) {
	for i := range b.run.Requests {
		r := &b.run.Requests[i]
		at := -1
		if sound(r) {
			at = len(all)
			all = append(all, *r)
		}
		if r.Window == b.run.Name || r.Window == "" {
			own = append(own, ownRow{r, at})
		}
	}
	slices.SortStableFunc(own, func(x, y ownRow) int { return cmp.Compare(dueOf(x.row), dueOf(y.row)) })
	return own, all
}

// dueOf is the moment from which a request's latencies count.
func dueOf(r *serving.Request) int64 {
	if r.DueUnixNS != 0 {
		return r.DueUnixNS
	}
	return r.SentUnixNS
}

// sound says whether a row's times follow each other and its counts can be.
func sound(r *serving.Request) bool {
	from := dueOf(r)
	if from <= 0 || r.PromptTokens < 0 || r.PromptTokens > maxRequestTokens || r.CachedTokens < 0 || r.CachedTokens > r.PromptTokens {
		return false
	}
	last := from
	for _, t := range r.TokenUnixNS {
		if t < last {
			return false
		}
		last = t
	}
	return last-from <= maxRequestNS && r.EndUnixNS-from <= maxRequestNS
}

// requestRow is a row as the client gave it; what is not sound stays 0.
func requestRow(r *serving.Request) Request {
	out := Request{ID: r.ID, DueUnixNS: dueOf(r), EnteredStep: -1, FirstStep: -1}
	if !sound(r) {
		return out
	}
	out.PromptTokens, out.CachedTokens, out.OutputTokens = int64(r.PromptTokens), int64(r.CachedTokens), int64(len(r.TokenUnixNS))
	if r.Failed() {
		out.Error = errorText(r)
	}
	if n := len(r.TokenUnixNS); n > 0 {
		out.FirstUnixNS, out.LastUnixNS = r.TokenUnixNS[0], r.TokenUnixNS[n-1]
		out.TTFTNS = out.FirstUnixNS - out.DueUnixNS
		if n > 1 {
			out.TPOTNS = (out.LastUnixNS - out.FirstUnixNS) / int64(n-1)
		}
		out.E2ENS = max(out.LastUnixNS, r.EndUnixNS) - out.DueUnixNS
	}
	return out
}

// count fills the sums and spreads over the rows.
func (q *Requests) count(own []ownRow) {
	var ttft, tpot, itl, e2e []int64
	var first, last int64
	errors := map[string]int64{}
	q.Count = int64(len(own))
	for i, o := range own {
		row := &q.Rows[i]
		if o.at < 0 {
			continue
		}
		q.InputTokens += row.PromptTokens
		q.OutputTokens += row.OutputTokens
		if first == 0 {
			first = row.DueUnixNS
		}
		last = max(last, row.LastUnixNS)
		if o.row.Failed() {
			q.Failed++
			errors[row.Error]++
			continue
		}
		if row.OutputTokens == 0 {
			continue
		}
		ttft, e2e = append(ttft, row.TTFTNS), append(e2e, row.E2ENS)
		if row.OutputTokens > 1 {
			tpot = append(tpot, row.TPOTNS)
		}
		for k := 1; k < len(o.row.TokenUnixNS); k++ {
			if gap := o.row.TokenUnixNS[k] - o.row.TokenUnixNS[k-1]; gap > 0 {
				itl = append(itl, gap)
			}
		}
	}
	q.TTFTNS, q.TPOTNS, q.ITLNS, q.E2ENS = spread(ttft), spread(tpot), spread(itl), spread(e2e)
	if last > first {
		q.TokensPerS = float64(q.OutputTokens) / float64(last-first) * 1e9
	}
	for text, n := range errors {
		q.Errors = append(q.Errors, ErrorCount{text, n})
	}
	slices.SortFunc(q.Errors, func(x, y ErrorCount) int {
		return cmp.Or(cmp.Compare(y.Count, x.Count), cmp.Compare(x.Error, y.Error))
	})
}

// What an error text must not carry into a ticket: addresses, and numbers that
// make equal errors look different.
var (
	errorQuoted  = regexp.MustCompile(`"[^"]*"`)
	errorAddress = regexp.MustCompile(`[a-z]+://\S+|\[[0-9a-fA-F:]+\](?::\d+)?|\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?|\b[\w-]+(?:\.[\w-]+)+:\d+\b|\S*/\S*`)
	errorNumber  = regexp.MustCompile(`\d{3,}`)
)

// errorText is why a request failed: the status, else the last clause of the
// error, which names the cause in Go and in Python.
func errorText(r *serving.Request) string {
	if r.Status != 0 && r.Status != 200 {
		return fmt.Sprintf("HTTP %d", r.Status)
	}
	if r.Error == "" {
		return "no answer"
	}
	s := strings.TrimSpace(strings.ToValidUTF8(r.Error[:min(len(r.Error), 2000)], "\uFFFD"))
	s = errorAddress.ReplaceAllString(errorQuoted.ReplaceAllString(s, "…"), "…")
	s = errorNumber.ReplaceAllString(s, "N")
	if i := strings.LastIndex(s, ": "); i >= 0 && strings.TrimSpace(s[i+2:]) != "" {
		s = strings.TrimSpace(s[i+2:])
	}
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
	return cmp.Or(cutRunes(s, 120), "unknown error")
}

// cutRunes keeps at most n characters.
func cutRunes(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
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
