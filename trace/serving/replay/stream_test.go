package replay

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"tokprof/fixtures/golden"
)

// leap is a clock on which waiting takes no time: it leaps to the moment waited for.
type leap struct {
	mu  sync.Mutex
	now time.Time
}

func (c *leap) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *leap) Sleep(ctx context.Context, until time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if until.After(c.now) {
		c.now = until
	}
	return ctx.Err()
}

// stamped notes on the server's clock when each part was written.
type stamped struct {
	*httptest.ResponseRecorder
	clock *leap
	at    []int64
}

func (s *stamped) Write(b []byte) (int, error) {
	s.at = append(s.at, s.clock.Now().UnixNano())
	return s.ResponseRecorder.Write(b)
}

// still is a server whose clock stands unless it waits, without a listener.
func still(t *testing.T, o Options) (*Server, *leap) {
	c := &leap{now: time.Unix(1800000000, 0)}
	o.Clock, o.TraceDir = c, t.TempDir()
	s := New(Embedded(), o)
	t.Cleanup(s.Close)
	return s, c
}

func ask(s *Server, c *leap, method, path, body string) *stamped {
	w := &stamped{httptest.NewRecorder(), c, nil}
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("X-Request-Id", "a1")
	s.Handler().ServeHTTP(w, r)
	return w
}

// A lone request in a profile is sent at the recorded times to the nanosecond,
// and at speed 10 at a tenth of the distances.
func TestRecordedTimes(t *testing.T) {
	for _, speed := range []float64{1, 10} {
		s, c := still(t, Options{Speed: speed})
		for _, name := range []string{"prefill", "decode"} {
			w := window(t, name)
			ask(s, c, "POST", "/start_profile", "")
			c.Sleep(t.Context(), c.Now().Add(time.Hour)) // a start is not what fixes the shift
			q := w.Requests[1]
			sent := c.Now().UnixNano()
			got := ask(s, c, "POST", "/v1/completions", completion(q.PromptTokens, q.MaxTokens)).at
			if len(got) != q.MaxTokens+2 {
				t.Fatalf("%d parts for %d tokens", len(got), q.MaxTokens)
			}
			for i, tok := range q.TokenUnixNS {
				if want := sent + int64(float64(tok-q.SentUnixNS)/speed); got[i] != want {
					t.Errorf("speed %g, window %s: token %d at %d, want %d", speed, name, i, got[i], want)
				}
			}
			ask(s, c, "POST", "/stop_profile", "")
		}
	}
}

// Outside a profile the plain twin of the window to come is played, and played
// again when its row is taken or late; what fits nothing gets the median timing.
func TestPlainTimes(t *testing.T) {
	s, c := still(t, Options{})
	w := window(t, "decode-plain")
	first := func(prompt, tokens int) int64 {
		sent := c.Now().UnixNano()
		return ask(s, c, "POST", "/v1/completions", completion(prompt, tokens)).at[0] - sent
	}
	for _, i := range []int{2, 0, 2, 5, 5} {
		q := w.Requests[i]
		if got, want := first(q.PromptTokens, q.MaxTokens), q.TokenUnixNS[0]-q.SentUnixNS; got != want {
			t.Errorf("request like %d: first token after %d ns, want %d", i, got, want)
		}
	}
	u := s.rec.usual(nil)
	if got := first(65, 24); got != u.ttft {
		t.Errorf("request like none: first token after %d ns, want the median %d", got, u.ttft)
	}
	var all []int64
	for i := range s.rec.Windows {
		for _, q := range s.rec.Windows[i].Requests {
			all = append(all, q.TokenUnixNS[0]-q.SentUnixNS)
		}
	}
	below := 0
	for _, v := range all {
		if v < u.ttft {
			below++
		}
	}
	if below != len(all)/2 {
		t.Errorf("%d of %d TTFTs lie below the median", below, len(all))
	}
}

// In a profile a shape that the window lacks gets the window's median timing, and
// equal shapes are taken in order.
func TestProfileOtherShape(t *testing.T) {
	s, c := still(t, Options{})
	ask(s, c, "POST", "/start_profile", "")
	w := window(t, "prefill")
	sent := c.Now().UnixNano()
	got := ask(s, c, "POST", "/v1/completions", completion(10, 3)).at
	u := s.rec.usual(w)
	for i := range 3 {
		if want := sent + u.ttft + int64(i)*u.tpot; got[i] != want {
			t.Errorf("token %d at %d, want %d", i, got[i], want)
		}
	}
	p := s.newPlay(w)
	q := w.Requests[0]
	if a, b := p.take(q.PromptTokens, q.MaxTokens, 9, 0), p.take(q.PromptTokens, q.MaxTokens, 9, 0); a != 0 || b != -1 {
		t.Errorf("rows taken %d, %d: want 0 and none", a, b)
	}
	// What is asked after all its tokens were due is not answered at once.
	p = s.newPlay(w)
	p.anchor(q.SentUnixNS, 0)
	last := q.TokenUnixNS[1] - q.SentUnixNS
	if i := p.take(q.PromptTokens, q.MaxTokens, 9, last+1); i != -1 {
		t.Errorf("a request after its window took row %d", i)
	}
	if i := p.take(q.PromptTokens, q.MaxTokens, 9, last); i != 0 {
		t.Errorf("a late request took row %d, want 0", i)
	}
}

// The wire, to the letter.
func TestWire(t *testing.T) {
	chat := `{"model":"llama-16l","messages":[{"role":"user","content":"one two three"}],"max_completion_tokens":3,"stream":true,"stream_options":{"include_usage":true,"continuous_usage_stats":true}}`
	var out bytes.Buffer
	for _, x := range []struct {
		name, path, body string
		f                Faults
	}{
		{"completion", "/v1/completions", completion(64, 3), Faults{}},
		{"completion, no usage", "/v1/completions", `{"prompt":"seven bytes","max_tokens":2,"stream":true}`, Faults{}},
		{"completion, usage at the end", "/v1/completions", `{"prompt":["seven bytes"],"max_tokens":2,"stream":true,"stream_options":{"include_usage":true}}`, Faults{}},
		{"completion, two tokens a chunk", "/v1/completions", completion(64, 3), Faults{BundledTokens: 2}},
		{"completion, an error inside", "/v1/completions", completion(64, 3), Faults{SSEError: 1}},
		{"completion, whole", "/v1/completions", `{"prompt":[[1,2,3]],"max_tokens":2}`, Faults{}},
		{"completion, whole, an error", "/v1/completions", `{"prompt":[[1,2,3]],"max_tokens":2}`, Faults{SSEError: 1}},
		{"chat", "/v1/chat/completions", chat, Faults{}},
		{"chat, whole", "/v1/chat/completions", strings.Replace(chat, `"stream":true`, `"stream":false`, 1), Faults{}},
		{"models", "/v1/models", "", Faults{}},
		{"tokenize", "/tokenize", `{"prompt":"seven bytes"}`, Faults{}},
		{"tokenize, chat", "/tokenize", `{"messages":[{"role":"user","content":"one"}]}`, Faults{}},
		{"other model", "/v1/completions", `{"model":"other","prompt":[1]}`, Faults{}},
		{"too long", "/v1/completions", `{"prompt":[1,2],"max_tokens":4095}`, Faults{}},
		{"far too long", "/v1/completions", `{"prompt":[1,2],"max_tokens":9223372036854775807}`, Faults{}},
		{"no tokens", "/v1/completions", `{"prompt":[1,2],"max_tokens":0}`, Faults{}},
		{"no prompt", "/v1/completions", `{"max_tokens":1}`, Faults{}},
		{"empty prompt", "/v1/completions", `{"prompt":[],"max_tokens":1}`, Faults{}},
		{"no messages", "/v1/chat/completions", `{"messages":[]}`, Faults{}},
		{"no JSON", "/v1/completions", `{"prompt"`, Faults{}},
	} {
		s, c := still(t, Options{Faults: x.f})
		method := "POST"
		if x.body == "" {
			method = "GET"
		}
		w := ask(s, c, method, x.path, x.body)
		fmt.Fprintf(&out, "== %s: %d %s %s\n%s\n", x.name, w.Code, w.Header().Get("Content-Type"), w.Header().Get("X-Request-Id"), w.Body)
	}
	golden.Check(t, "wire.golden", out.Bytes())
}

// Usage counts each token once and in order, in chunks of any size.
func TestUsage(t *testing.T) {
	for bundle := range 6 {
		s, c := still(t, Options{Faults: Faults{BundledTokens: bundle}})
		w := ask(s, c, "POST", "/v1/completions", completion(64, 24))
		last := 0
		for event := range strings.SplitSeq(strings.TrimSpace(w.Body.String()), "\n\n") {
			data, ok := strings.CutPrefix(event, "data: ")
			if !ok {
				t.Fatalf("no event: %q", event)
			}
			if data == "[DONE]" {
				continue
			}
			var v struct {
				Usage   usageInfo
				Choices []struct{ Text string }
			}
			if err := json.Unmarshal([]byte(data), &v); err != nil {
				t.Fatal(err)
			}
			words := 0
			for _, c := range v.Choices {
				words += len(strings.Fields(c.Text))
			}
			if u := v.Usage; u.CompletionTokens != last+words || u.TotalTokens != u.PromptTokens+u.CompletionTokens || u.PromptTokens != 64 {
				t.Errorf("bundles of %d: usage %+v after %d tokens and %d more", bundle, u, last, words)
			}
			last = v.Usage.CompletionTokens
		}
		if last != 24 {
			t.Errorf("bundles of %d: %d tokens", bundle, last)
		}
	}
}

// A client that goes is let go: its request counts as aborted and nothing runs on.
func TestClientGoes(t *testing.T) {
	c := start(t, Options{Speed: 0.001})
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, "POST", c.url+"/v1/completions", strings.NewReader(completion(64, 24)))
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.sample(`vllm:num_requests_running{engine="0",model_name="llama-16l"}`); got != 1 {
		t.Errorf("%g requests run", got)
	}
	cancel()
	res.Body.Close()
	eventually(t, "the request's end", func() bool {
		return c.sample(`vllm:request_success_total{engine="0",finished_reason="abort",model_name="llama-16l"}`) == 1
	})
	if got := c.sample(`vllm:num_requests_running{engine="0",model_name="llama-16l"}`); got != 0 {
		t.Errorf("%g requests run after the only one was aborted", got)
	}
}
