package load

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// serve starts a server that answers by h until the test ends, when no goroutine may be
// left but the server's own: no request, and no connection.
func serve(t *testing.T, h http.HandlerFunc) Target {
	t.Helper()
	s := httptest.NewServer(h)
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		defer s.Close()
		for range 200 {
			if runtime.NumGoroutine() <= before {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		stacks := make([]byte, 1<<16)
		t.Errorf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
	})
	return Target{URLs: []string{s.URL}, Model: "m"}
}

// say writes a part of a stream at once.
func say(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/event-stream")
	io.WriteString(w, text)
	w.(http.Flusher).Flush()
}

// token is a chunk of a completion, as vLLM sends it when asked for continuous usage.
func token(w http.ResponseWriter, text, finish string, counted int) {
	say(w, fmt.Sprintf(`data: {"id":"cmpl-1","choices":[{"index":0,"text":%q,"finish_reason":%s}],"usage":{"prompt_tokens":40,"completion_tokens":%d}}`+"\n\n", text, finish, counted))
}

func ExampleRun() {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		token(w, "one", "null", 1)
		token(w, "two", `"length"`, 2)
	}))
	defer s.Close()
	shape := Shape{Window: "warm-up", Requests: 8, Input: Range{64, 900}, Output: Range{2, 2}}
	plan, err := shape.Plan(Poisson(200))
	if err != nil {
		fmt.Println(err)
		return
	}
	res, err := Run(context.Background(), Target{URLs: []string{s.URL}, Model: "m"}, plan, Options{Concurrency: 4})
	if err != nil {
		fmt.Println(err)
		return
	}
	sum := Summarize(res.Rows)
	fmt.Println(sum.Completed, "completed,", sum.OutputTokens, "tokens,", sum.ITL.Count, "gaps between them")
	// Output: 8 completed, 16 tokens, 8 gaps between them
}

func plan(t *testing.T, n, tokens int) Plan {
	t.Helper()
	p, err := Shape{Window: "w", Requests: n, Input: Range{40, 40}, Output: Range{tokens, tokens}}.Plan(Arrival{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// run sends a plan and checks what holds for the rows of every run.
func run(t *testing.T, target Target, p Plan, o Options) Result {
	t.Helper()
	res, err := Run(context.Background(), target, p, o)
	if err != nil {
		t.Fatal(err)
	}
	checkRows(t, res, p)
	return res
}

func checkRows(t *testing.T, res Result, p Plan) {
	t.Helper()
	if len(res.Rows)+res.NotDue != len(p.Requests) {
		t.Errorf("%d rows and %d not due of %d planned", len(res.Rows), res.NotDue, len(p.Requests))
	}
	for i, r := range res.Rows {
		if r.ID != i || r.Window != p.Window || r.DueUnixNS != res.StartUnixNS+int64(p.Requests[i].Due) {
			t.Errorf("row %d: %+v", i, r)
		}
		times := []int64{r.DueUnixNS}
		if r.SentUnixNS != 0 {
			times = append(times, r.SentUnixNS)
		}
		times = append(append(times, r.TokenUnixNS...), r.EndUnixNS)
		if !slices.IsSorted(times) || r.EndUnixNS > res.EndUnixNS {
			t.Errorf("row %d runs back in time: %v, end of all %d", i, times, res.EndUnixNS)
		}
	}
}

// TestConcurrency: no more requests run than allowed, in the order of the plan, and those
// that wait keep the time at which they were due.
func TestConcurrency(t *testing.T) {
	var mu sync.Mutex
	running, most := 0, 0
	full := make(chan struct{})
	target := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		mu.Lock()
		if running++; running > most {
			if most = running; most == 3 {
				close(full)
			}
		}
		mu.Unlock()
		<-full
		time.Sleep(time.Millisecond)
		mu.Lock()
		running--
		mu.Unlock()
		token(w, "a", `"length"`, 1)
	})
	var progress Progress
	res := run(t, target, plan(t, 12, 1), Options{Concurrency: 3, Progress: &progress})
	if most != 3 {
		t.Errorf("%d requests ran at a time, want 3", most)
	}
	s := Summarize(res.Rows)
	if s.Completed != 12 || s.Queue.Max < 2e6 || s.Due.TTFT.Max < s.Sent.TTFT.Max {
		t.Errorf("the wait for a slot is not in the latencies: %+v", s)
	}
	if progress.Sent.Load() != 12 || progress.Done.Load() != 12 || progress.Running.Load() != 0 || progress.Failed.Load() != 0 || progress.Tokens.Load() != 12 {
		t.Errorf("progress %v", &progress)
	}
}

// stalled answers one token and then nothing until the client goes.
func stalled(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	token(w, "a", "null", 1)
	<-r.Context().Done()
}

func TestTimeout(t *testing.T) {
	res := run(t, serve(t, stalled), plan(t, 2, 5), Options{Timeout: 500 * time.Millisecond})
	for _, r := range res.Rows {
		if r.Error != "no end after 500ms" || len(r.TokenUnixNS) != 1 {
			t.Errorf("%+v", r)
		}
	}
}

func TestDeadline(t *testing.T) {
	p := plan(t, 4, 5)
	p.Requests[3].Due = time.Hour
	res := run(t, serve(t, stalled), p, Options{Concurrency: 2, Deadline: 500 * time.Millisecond, Grace: 50 * time.Millisecond})
	var got []string
	for _, r := range res.Rows {
		got = append(got, fmt.Sprintf("%v %d %s", r.SentUnixNS > 0, len(r.TokenUnixNS), r.Error))
	}
	want := []string{"true 1 " + errDeadline.Error(), "true 1 " + errDeadline.Error(), "false 0 not sent: " + errDeadline.Error()}
	if !slices.Equal(got, want) || res.NotDue != 1 {
		t.Errorf("%q, %d not due, want %q and 1", got, res.NotDue, want)
	}
}

func TestGrace(t *testing.T) {
	target := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		time.Sleep(450 * time.Millisecond)
		token(w, "a", `"length"`, 1)
	})
	p := plan(t, 2, 1)
	p.Requests[1].Due = time.Hour
	res := run(t, target, p, Options{Deadline: 300 * time.Millisecond, Grace: time.Minute})
	if len(res.Rows) != 1 || res.Rows[0].Failed() || res.NotDue != 1 {
		t.Errorf("%+v", res)
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	p := plan(t, 5, 5)
	p.Requests[4].Due = time.Hour
	var got atomic.Int64
	res, err := Run(ctx, serve(t, stalled), p, Options{Concurrency: 3, OnToken: func(Token) {
		if got.Add(1) == 3 {
			cancel()
		}
	}})
	if err != context.Canceled {
		t.Errorf("error %v", err)
	}
	checkRows(t, res, p)
	s := Summarize(res.Rows)
	if s.Failed != 4 || s.Errors["cancelled"] != 3 || s.Errors["not sent: cancelled"] != 1 || s.FailedTokens != 3 || res.NotDue != 1 {
		t.Errorf("%+v, %d not due", s, res.NotDue)
	}
}

func TestMaxRequests(t *testing.T) {
	target := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		token(w, "a", `"length"`, 1)
	})
	res, err := Run(context.Background(), target, plan(t, 5, 1), Options{MaxRequests: 2})
	if err != nil || len(res.Rows) != 2 || res.NotDue != 0 {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestNoServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + l.Addr().String()
	l.Close()
	r := run(t, Target{URLs: []string{url}}, plan(t, 1, 1), Options{}).Rows[0]
	if r.Error != "dial: connection refused" || r.Status != 0 || !r.Failed() {
		t.Errorf("%+v", r)
	}
}

// TestServers: requests go to the servers in turn, with the target's headers.
func TestServers(t *testing.T) {
	var got [2]atomic.Int64
	target := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if r.Header.Get("Authorization") != "Bearer k" {
			w.WriteHeader(401)
			return
		}
		got[len(strings.Split(r.URL.Path, "/"))-4].Add(1)
		token(w, "a", `"length"`, 1)
	})
	target.URLs = []string{target.URLs[0] + "/a", target.URLs[0] + "/b/b"}
	target.Header = http.Header{"Authorization": {"Bearer k"}}
	p := plan(t, 6, 1)
	p.Spread(2)
	res := run(t, target, p, Options{})
	for i, r := range res.Rows {
		if r.Failed() || r.Server != i%2 {
			t.Errorf("%+v", r)
		}
	}
	if got[0].Load() != 3 || got[1].Load() != 3 {
		t.Errorf("requests %d and %d", got[0].Load(), got[1].Load())
	}
}

func TestRunRefuses(t *testing.T) {
	good := plan(t, 1, 1)
	edit := func(f func(q *Planned)) Plan {
		p := Plan{Requests: slices.Clone(good.Requests)}
		f(&p.Requests[0])
		return p
	}
	here := Target{URLs: []string{"http://127.0.0.1:1"}}
	for name, c := range map[string]struct {
		t Target
		p Plan
		o Options
	}{
		"no server":    {Target{}, good, Options{}},
		"no scheme":    {Target{URLs: []string{"127.0.0.1:1"}}, good, Options{}},
		"no host":      {Target{URLs: []string{"http://"}}, good, Options{}},
		"bad URL":      {Target{URLs: []string{"http://a b"}}, good, Options{}},
		"empty plan":   {here, Plan{}, Options{}},
		"no tokens":    {here, edit(func(q *Planned) { q.MaxTokens = 0 }), Options{}},
		"server 1":     {here, edit(func(q *Planned) { q.Server = 1 }), Options{}},
		"past":         {here, edit(func(q *Planned) { q.Due = -1 }), Options{}},
		"no prompt":    {here, edit(func(q *Planned) { q.Prompt = Prompt{} }), Options{}},
		"no ids":       {here, edit(func(q *Planned) { q.Prompt.Random.Hi = q.Prompt.Random.Lo }), Options{}},
		"below 0":      {here, good, Options{Concurrency: -1}},
		"below 0 wait": {here, good, Options{Timeout: -1}},
	} {
		if res, err := Run(context.Background(), c.t, c.p, c.o); err == nil || res.Rows != nil {
			t.Errorf("%s: %+v, %v", name, res, err)
		}
	}
}
