package replay

import (
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// unfinished says why a trace of the folder cannot be read to its end.
func (c *client) unfinished(name string) error {
	f, err := os.Open(filepath.Join(c.dir, name))
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, z)
	return err
}

func (c *client) traces() (names []string) {
	for _, f := range c.files() {
		if strings.HasSuffix(f, ".gz") {
			names = append(names, f)
		}
	}
	return names
}

func (c *client) allComplete(n int) func() bool {
	return func() bool {
		names := c.traces()
		for _, f := range names {
			if c.unfinished(f) != nil {
				return false
			}
		}
		return len(names) == n
	}
}

// Stops that answer before the engine has written its files: none is complete
// yet, and all become so.
func TestStopBeforeFiles(t *testing.T) {
	const slow = 400 * time.Millisecond
	for name, x := range map[string]struct {
		o      Options
		status int
	}{
		"before files": {Options{Faults: Faults{StopBeforeFiles: true, SlowStop: slow}}, 200},
		"error 500":    {Options{Faults: Faults{StopError500: true, SlowStop: slow}}, 500},
		"lost":         {Options{Faults: Faults{StopLost: true, SlowStop: slow}}, 0},
		"engine V0":    {Options{Version: "0.9.1", Faults: Faults{SlowStop: slow}}, 200},
	} {
		t.Run(name, func(t *testing.T) {
			c := start(t, x.o)
			c.want("POST", "/start_profile", "", 200, "")
			c.play(window(t, "prefill"))
			if status, text := c.do("POST", "/stop_profile", ""); status != x.status {
				t.Errorf("stop answered %d %s, want %d", status, text, x.status)
			}
			if c.Profiling() {
				t.Error("still profiling after the stop")
			}
			eventually(t, "complete files", c.allComplete(2))
		})
	}
}

// While a stop blocks, files grow under their final names; when it answers they
// are complete.
func TestSlowStop(t *testing.T) {
	c := start(t, Options{Faults: Faults{SlowStop: 500 * time.Millisecond}})
	c.want("POST", "/start_profile", "", 200, "")
	sizes := map[int64]bool{}
	stopped := make(chan bool)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stopped:
				return
			case <-time.After(5 * time.Millisecond):
			}
			if names, err := filepath.Glob(filepath.Join(c.dir, "*.gz")); err == nil {
				for _, f := range names {
					if i, err := os.Stat(f); err == nil {
						sizes[i.Size()] = true
					}
				}
			}
		}
	})
	began := time.Now()
	c.want("POST", "/stop_profile", "", 200, "")
	if took := time.Since(began); took < 500*time.Millisecond {
		t.Errorf("a slow stop answered after %v", took)
	}
	if !c.allComplete(2)() {
		t.Error("files are not complete when the stop answers")
	}
	close(stopped)
	wg.Wait()
	if len(sizes) < 3 {
		t.Errorf("files were seen in %d sizes: they came in one piece", len(sizes))
	}
}

func TestHalfGzip(t *testing.T) {
	c := start(t, Options{Faults: Faults{HalfGzip: true}})
	c.profile(window(t, "prefill"))
	names := c.traces()
	if len(names) != 2 {
		t.Fatal(names)
	}
	if err := c.unfinished(names[0]); err != nil {
		t.Errorf("%s: %v", names[0], err)
	}
	if err := c.unfinished(names[1]); err != io.ErrUnexpectedEOF {
		t.Errorf("%s: %v, want an unexpected end", names[1], err)
	}
}

// A file that never becomes complete grows all the time, and the stop does not
// answer; the client's patience ends it.
func TestPartialWrite(t *testing.T) {
	c := start(t, Options{Faults: Faults{PartialWrite: true}})
	c.want("POST", "/start_profile", "", 200, "")
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, "POST", c.url+"/stop_profile", nil)
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan bool, 1)
	go func() {
		res, err := c.Do(req)
		if err == nil {
			res.Body.Close()
		}
		answered <- err == nil
	}()
	size := func(i int) int64 {
		names := c.traces()
		if len(names) != 2 {
			return 0
		}
		s, err := os.Stat(filepath.Join(c.dir, names[i]))
		if err != nil {
			t.Error(err)
			return 0
		}
		return s.Size()
	}
	eventually(t, "two files", func() bool { return size(0) > 1<<16 && size(1) > 1<<16 })
	for i := range 2 {
		was := size(i)
		eventually(t, "growth", func() bool { return size(i) > was })
		if err := c.unfinished(c.traces()[i]); err != io.ErrUnexpectedEOF {
			t.Errorf("rank %d: %v, want an unexpected end", i, err)
		}
	}
	cancel()
	if <-answered {
		t.Error("the stop was answered")
	}
	if c.Profiling() {
		t.Error("still profiling")
	}
	c.SetFaults(Faults{PartialWrite: true, StopBeforeFiles: true})
	c.want("POST", "/start_profile", "", 200, "")
	c.want("POST", "/stop_profile", "", 200, "")
}

// A server that dies breaks its streams and answers nothing any more.
func TestDieMidCapture(t *testing.T) {
	c := start(t, Options{Speed: 5, Faults: Faults{DieMidCapture: 20}})
	c.play(window(t, "decode-plain")) // tokens outside a profile do not count
	c.want("POST", "/start_profile", "", 200, "")
	tokens, broken := 0, 0
	for _, s := range c.play(window(t, "decode")) {
		tokens += len(s.data)
		if s.err != nil {
			broken++
		}
	}
	if broken != 8 || tokens > 20 {
		t.Errorf("%d streams of 8 broke off after %d tokens, want 20 at most", broken, tokens)
	}
	if status, text := c.do("POST", "/stop_profile", ""); status != 0 {
		t.Errorf("a dead server answers %d %s", status, text)
	}
	if names := c.traces(); len(names) != 0 || c.Profiling() {
		t.Errorf("a dead server profiles (%v) and writes %v", c.Profiling(), names)
	}
}

// A stream that breaks off says so and is no success.
func TestSSEError(t *testing.T) {
	c := start(t, Options{Faults: Faults{SSEError: 3}})
	s := c.stream("/v1/completions", completion(64, 24))
	if len(s.data) != 5 || !strings.Contains(s.data[3], `"error"`) || s.data[4] != "[DONE]" || s.err != nil {
		t.Errorf("%v: %q", s.err, s.data)
	}
	for reason, want := range map[string]float64{"error": 1, "length": 0} {
		eventually(t, reason, func() bool {
			return c.sample(`vllm:request_success_total{engine="0",finished_reason="`+reason+`",model_name="llama-16l"}`) == want
		})
	}
}

// Close ends everything: streams under way, a stop that blocks, files half written.
func TestCloseUnderWay(t *testing.T) {
	c := start(t, Options{Speed: 0.01, Faults: Faults{SlowStop: time.Hour}})
	c.want("POST", "/start_profile", "", 200, "")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if s := c.stream("/v1/completions", completion(64, 24)); s.err == nil {
				t.Error("a stream ended well under Close")
			}
		})
	}
	eventually(t, "four requests", func() bool {
		return c.sample(`vllm:num_requests_running{engine="0",model_name="llama-16l"}`) == 4
	})
	wg.Go(func() {
		if status, text := c.do("POST", "/stop_profile", ""); status != 0 {
			t.Errorf("the stop answered %d %s", status, text)
		}
	})
	eventually(t, "the stop", func() bool { return c.StopCalls() == 1 })
	c.Close()
	wg.Wait()
	c.Close()
	if _, err := c.Start(t.Context()); err == nil {
		t.Error("a closed server starts")
	}
}

// The context given to Start ends the server.
func TestContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	s := New(Embedded(), Options{TraceDir: t.TempDir()})
	url, err := s.Start(ctx)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	eventually(t, "the server's end", func() bool {
		res, err := c.Get(url + "/health")
		if err == nil {
			res.Body.Close()
		}
		return err != nil
	})
	s.Close()
	if _, err := New(Embedded(), Options{}).Start(context.Background()); err == nil {
		t.Error("a server without a trace folder starts")
	}
}
