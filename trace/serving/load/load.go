// Package load puts a described load on a server and measures what its users
// feel: the time to the first token (TTFT), the time per output token (TPOT), the
// gaps between tokens (ITL) and the time to the last one (E2E).
//
// A Plan says which requests are due when. It comes from a Shape with an Arrival,
// from a ShareGPT file or from the rows of an earlier run, and is the same for the
// same seed. Run sends it and returns one serving.Request a request; Summarize adds
// rows up. Latencies count from the moment at which a request was due, so that
// neither a stalled client nor a full server hides the waiting that it caused.
package load

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"tokprof/trace/serving"
)

// Target is where a load goes.
type Target struct {
	// URLs are the base URLs of the servers, without /v1; Planned.Server is an
	// index into them.
	URLs   []string
	Model  string      // as /v1/models names it; left out of requests when empty
	Header http.Header // sent with every request (authorisation)
	// Chat asks /v1/chat/completions instead of /v1/completions. Chat takes text
	// only, so prompts of token ids become words and their length approximate.
	Chat bool
	// Fields are the fields beyond OpenAI's that the engine takes; 0 is VLLMFields.
	Fields Fields
	TLS    *tls.Config // for Client nil
	// Client sends the requests. Nil makes one for this load: HTTP/1.1, kept alive,
	// as many connections as requests run, no compression.
	Client *http.Client
}

// Options bound a load and show its progress. The zero value sends the whole plan.
type Options struct {
	// Concurrency is how many requests run at most at a time; those due beyond it wait
	// in order and keep their due time. 0 means MaxRunning.
	Concurrency int
	// MaxRequests ends the plan after so many requests; 0 sends all.
	MaxRequests int
	// Deadline, from the start, after which nothing is sent any more; 0 is none. What
	// runs then has Grace to end.
	Deadline time.Duration
	Grace    time.Duration
	// Timeout bounds one request from sending to its end; 0 means DefaultTimeout.
	Timeout time.Duration
	// OnToken is told of each chunk of tokens as it comes. It is called by the
	// goroutines of the requests, many at a time, and must not block.
	OnToken  func(t Token)
	Progress *Progress // counters to read while the load runs
}

// MaxRunning is how many requests run at a time where Options.Concurrency is 0: enough
// for any server, and within the open files that systems allow a process.
const MaxRunning = 4096

// DefaultTimeout is the limit of one request: a server that flushes a profile answers
// nothing for many minutes.
const DefaultTimeout = 30 * time.Minute

// Token is what Options.OnToken is told: request ID got Count tokens at UnixNS.
type Token struct {
	ID, Server, Count int
	UnixNS            int64
}

// Progress counts what a running load has done; read it at any time.
type Progress struct {
	Sent, Running, Done, Failed, Tokens atomic.Int64
}

// Result is what a load left.
type Result struct {
	// Rows holds one row for every request that was due, in the order of the plan, the
	// failed ones and those that waited for a slot in vain (SentUnixNS 0) too.
	Rows []serving.Request
	// NotDue counts the planned requests whose time had not come when the load ended.
	NotDue int
	// StartUnixNS is the time from which due offsets count; EndUnixNS the end of the
	// last request.
	StartUnixNS, EndUnixNS int64
	// Notes say what was done differently than planned, one sentence each.
	Notes []string
}

// endpoints are the URLs that requests go to, one for each of the target's.
func (t *Target) endpoints() ([]string, error) {
	if len(t.URLs) == 0 {
		return nil, fmt.Errorf("load: no server given: set the base URL")
	}
	path := "/v1/completions"
	if t.Chat {
		path = "/v1/chat/completions"
	}
	out := make([]string, len(t.URLs))
	for i, s := range t.URLs {
		u, err := url.Parse(s)
		if err != nil {
			return nil, fmt.Errorf("load: server %d: %w", i, err)
		}
		if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return nil, fmt.Errorf("load: %q is no base URL of a server: give one like http://127.0.0.1:8000", s)
		}
		u.Path = strings.TrimSuffix(strings.TrimSuffix(u.Path, "/"), "/v1") + path
		out[i] = u.String()
	}
	return out, nil
}

// client is the target's, or one made for a load of so many requests at a time;
// done frees its connections.
func (t *Target) client(concurrency int) (c *http.Client, done func()) {
	if t.Client != nil {
		return t.Client, func() {}
	}
	tr := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		TLSClientConfig:     t.TLS,
		MaxIdleConns:        0,
		MaxIdleConnsPerHost: concurrency,
		DisableCompression:  true, // a compressed stream holds tokens back
		Protocols:           new(http.Protocols),
		// Uvicorn closes idle connections after 5 s: a request sent just then would fail
		// for no fault of the server.
		IdleConnTimeout: 4 * time.Second,
	}
	tr.Protocols.SetHTTP1(true)
	return &http.Client{Transport: tr}, tr.CloseIdleConnections
}
