package replay

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// client drives a started server.
type client struct {
	*Server
	t   *testing.T
	url string
	dir string
	key string
	*http.Client
}

// start starts a server of the embedded recording and checks at the test's end
// that nothing of it is left.
func start(t *testing.T, o Options) *client {
	t.Helper()
	before := runtime.NumGoroutine()
	c := &client{t: t, dir: t.TempDir(), Client: &http.Client{Transport: &http.Transport{}}}
	o.TraceDir = c.dir
	if o.Speed == 0 {
		o.Speed = 50
	}
	c.Server = New(Embedded(), o)
	var err error
	if c.url, err = c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		c.CloseIdleConnections()
		for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				b := make([]byte, 1<<16)
				t.Fatalf("%d goroutines, %d before the server started:\n%s", runtime.NumGoroutine(), before, b[:runtime.Stack(b, true)])
			}
		}
		if err := c.Err(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// do sends a request; status is 0 and the body the error where no answer came.
func (c *client) do(method, path, body string) (status int, answer string) {
	req, err := http.NewRequestWithContext(context.Background(), method, c.url+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	res, err := c.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, string(b) + err.Error()
	}
	return res.StatusCode, string(b)
}

func (c *client) want(method, path, body string, status int, answer string) {
	c.t.Helper()
	if got, text := c.do(method, path, body); got != status || text != answer {
		c.t.Errorf("%s %s: %d %q, want %d %q", method, path, got, text, status, answer)
	}
}

// ids is a prompt of n token ids.
func ids(n int) string {
	return "[" + strings.TrimSuffix(strings.Repeat("7,", n), ",") + "]"
}

func completion(prompt, tokens int) string {
	return fmt.Sprintf(`{"prompt":%s,"max_tokens":%d,"min_tokens":%d,"ignore_eos":true,"stream":true,"stream_options":{"include_usage":true,"continuous_usage_stats":true}}`, ids(prompt), tokens, tokens)
}

// stream is what a client saw of one streamed answer.
type stream struct {
	status       int
	sent, answer time.Time // of the request, of its headers
	at           []time.Time
	data         []string // without "data: "
	err          error
}

func (c *client) stream(path, body string) (s stream) {
	s.sent = time.Now()
	res, err := c.Post(c.url+path, "application/json", strings.NewReader(body))
	if err != nil {
		s.err = err
		return s
	}
	defer res.Body.Close()
	s.answer, s.status = time.Now(), res.StatusCode
	var b bytes.Buffer
	buf := make([]byte, 4096)
	for {
		n, err := res.Body.Read(buf)
		b.Write(buf[:n])
		for {
			event, rest, ok := strings.Cut(b.String(), "\n\n")
			if !ok {
				break
			}
			b.Reset()
			b.WriteString(rest)
			s.data = append(s.data, strings.TrimPrefix(event, "data: "))
			s.at = append(s.at, time.Now())
		}
		if err == io.EOF {
			return s
		}
		if err != nil {
			s.err = err
			return s
		}
	}
}

// play sends the requests of a recorded window at their recorded distances.
func (c *client) play(w *Window) []stream {
	out := make([]stream, len(w.Requests))
	var wg sync.WaitGroup
	begin := time.Now()
	for i, q := range w.Requests {
		wg.Go(func() {
			time.Sleep(time.Until(begin.Add(time.Duration(float64(q.SentUnixNS-w.Requests[0].SentUnixNS) / c.speed))))
			out[i] = c.stream("/v1/completions", completion(q.PromptTokens, q.MaxTokens))
		})
	}
	wg.Wait()
	return out
}

// profile starts, plays and stops one window.
func (c *client) profile(w *Window) []stream {
	c.t.Helper()
	c.want("POST", "/start_profile", "", 200, "")
	out := c.play(w)
	c.want("POST", "/stop_profile", "", 200, "")
	return out
}

func window(t *testing.T, name string) *Window {
	rec := Embedded()
	i := slices.IndexFunc(rec.Windows, func(w Window) bool { return w.Name == name })
	if i < 0 {
		t.Fatal("no window", name)
	}
	return &rec.Windows[i]
}

// files lists the trace folder.
func (c *client) files() []string {
	c.t.Helper()
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		c.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

var digits = regexp.MustCompile(`\d{16,20}|[0-9.]+-TP|^[0-9a-f]{5}-rank`)

// shapes are the names in the trace folder without their times.
func (c *client) shapes() string {
	names := c.files()
	for i := range names {
		names[i] = digits.ReplaceAllString(names[i], "N")
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// trace reads a whole trace of the folder.
func (c *client) trace(name string) []byte {
	c.t.Helper()
	f, err := os.Open(filepath.Join(c.dir, name))
	if err != nil {
		c.t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		c.t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		c.t.Fatalf("%s: %v", name, err)
	}
	return b
}

// eventually waits for something that the server does on its own.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never came: " + what)
		}
	}
}

func baseTime(t *testing.T, trace []byte) int64 {
	t.Helper()
	var base int64
	i := bytes.Index(trace, clockKey)
	if _, err := fmt.Sscanf(string(trace[i:i+60]), `"baseTimeNanoseconds": %d`, &base); err != nil {
		t.Fatal(err)
	}
	return base
}

// A profile's traces and its tokens are moved by one shift, which its first
// request fixes, and no token comes before its recorded time.
func TestOneShift(t *testing.T) {
	c := start(t, Options{Speed: 1})
	moved := map[string]int64{}
	for _, name := range []string{"prefill", "decode"} {
		w := window(t, name)
		before := c.files()
		streams := c.profile(w)
		var shifts []int64
		for _, f := range c.files() {
			if slices.Contains(before, f) || !strings.HasSuffix(f, ".gz") {
				continue
			}
			var rank int
			var ns int64
			if _, err := fmt.Sscanf(f, "rank%d.%d.pt.trace.json.gz", &rank, &ns); err != nil {
				t.Fatal(f, err)
			}
			var recorded int64
			fmt.Sscanf(w.Traces[rank], "rank%d.%d", new(int), &recorded)
			const base = 1790857026000000000 // of all the recording's traces
			text := c.trace(f)
			shifts = append(shifts, baseTime(t, text)-base, ns-recorded)
			if rank == 0 && !json.Valid(text) {
				t.Errorf("%s is no JSON", f)
			}
		}
		if len(shifts) != 4 || slices.Min(shifts) != slices.Max(shifts) {
			t.Fatalf("window %s: traces and their names moved by %v, want four equal shifts", name, shifts)
		}
		shift := shifts[0]
		moved[name] = shift
		anchored := 0
		for i, s := range streams {
			q := w.Requests[i]
			if at := q.SentUnixNS + shift; at >= s.sent.UnixNano() && at <= s.answer.UnixNano() {
				anchored++
			}
			if len(s.data) != q.MaxTokens+2 || s.status != 200 || s.err != nil {
				t.Fatalf("window %s, request %d: %d events, status %d, %v", name, i, len(s.data), s.status, s.err)
			}
			for k, tok := range q.TokenUnixNS {
				if early := tok + shift - s.at[k].UnixNano(); early > 0 {
					t.Errorf("window %s, request %d: token %d came %d ns before its recorded time", name, i, k, early)
				}
			}
		}
		if anchored == 0 {
			t.Errorf("window %s: no request was under way at its recorded time under the traces' shift", name)
		}
	}
	if moved["prefill"] == moved["decode"] {
		t.Error("both windows have one shift: the second was not fixed by its own first request")
	}
	if got, want := c.shapes(), "profiler_out_0.txt rank0.N.pt.trace.json.gz rank0.N.pt.trace.json.gz rank1.N.pt.trace.json.gz rank1.N.pt.trace.json.gz"; got != want {
		t.Errorf("files %s\nwant  %s", got, want)
	}
	if c.Profiling() || c.StopCalls() != 2 {
		t.Errorf("profiling %v, %d stop calls", c.Profiling(), c.StopCalls())
	}
}
