package serving

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
)

// Request is one request as the client saw it: one line of requests.jsonl. Times
// are Unix nanoseconds on the client's clock, 0 for what did not happen.
type Request struct {
	Window string `json:"window"`
	ID     int    `json:"id"`
	// Server is the index of the server asked, where a load goes to several.
	Server       int `json:"server,omitempty"`
	PromptTokens int `json:"prompt_tokens"`
	MaxTokens    int `json:"max_tokens"`
	// DueUnixNS is when the load wanted to send it: latencies count from here, so
	// that a stalled client does not hide queueing.
	DueUnixNS  int64 `json:"due_unix_ns"`
	SentUnixNS int64 `json:"sent_unix_ns"`
	// TokenUnixNS has one time a token, in order. Tokens that came in one chunk
	// share its time; Bundled counts those after the first of a chunk.
	TokenUnixNS      []int64 `json:"token_unix_ns"`
	Bundled          int     `json:"bundled_tokens,omitempty"`
	CompletionTokens int     `json:"completion_tokens"` // as the server counted
	CachedTokens     int     `json:"cached_tokens,omitempty"`
	Status           int     `json:"status"` // of HTTP; 0 when no answer came
	RequestID        string  `json:"request_id,omitempty"`
	Finish           string  `json:"finish,omitempty"` // "length", "stop", …
	Error            string  `json:"error,omitempty"`
	EndUnixNS        int64   `json:"end_unix_ns"`
}

// Failed says whether the request did not end as it should: an HTTP error, an
// error inside the stream, or a stream that broke off.
func (r *Request) Failed() bool { return r.Error != "" || r.Status != 200 }

// Answered is how many tokens the answer has: as many as the server counted, or
// more where more came.
func (r *Request) Answered() int { return max(r.CompletionTokens, len(r.TokenUnixNS)) }

// TTFT is the time to the first token in nanoseconds, from the moment the
// request was due; ok is false when none came.
func (r *Request) TTFT() (ns int64, ok bool) {
	if len(r.TokenUnixNS) == 0 {
		return 0, false
	}
	from := r.DueUnixNS
	if from == 0 {
		from = r.SentUnixNS
	}
	return r.TokenUnixNS[0] - from, true
}

// TPOT is the mean time per output token after the first in nanoseconds; ok is
// false with fewer than two times. Where the server counted more tokens than came
// with times of their own, its count divides.
func (r *Request) TPOT() (ns float64, ok bool) {
	n := len(r.TokenUnixNS)
	if n < 2 {
		return 0, false
	}
	return float64(r.TokenUnixNS[n-1]-r.TokenUnixNS[0]) / float64(r.Answered()-1), true
}

// ReadRequests reads JSON lines of requests. An error names the line.
func ReadRequests(r io.Reader) ([]Request, error) {
	var out []Request
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 1<<16), 64<<20)
	for line := 1; s.Scan(); line++ {
		if len(bytes.TrimSpace(s.Bytes())) == 0 {
			continue
		}
		var q Request
		if err := json.Unmarshal(s.Bytes(), &q); err != nil {
			return out, fmt.Errorf("line %d is no request row: %w", line, err)
		}
		out = append(out, q)
	}
	return out, s.Err()
}

// WriteRequests writes requests as JSON lines.
func WriteRequests(w io.Writer, rows []Request) error {
	b := bufio.NewWriter(w)
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	for i := range rows {
		if err := e.Encode(&rows[i]); err != nil {
			return err
		}
	}
	return b.Flush()
}
