//go:build unix

package load

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// serveEnv makes the test binary serve streams instead of running tests, so that a
// benchmark's processor time is the client's alone.
const serveEnv = "TOKPROF_TEST_SERVE_STREAMS"

const (
	benchStreams = 256
	benchTokens  = 64
	benchGap     = 15 * time.Millisecond
)

func TestMain(m *testing.M) {
	if os.Getenv(serveEnv) == "" {
		os.Exit(m.Run())
	}
	s := httptest.NewServer(http.HandlerFunc(pacedStream))
	fmt.Println(s.URL)
	io.Copy(io.Discard, os.Stdin) // until the benchmark ends
	s.Close()
}

// pacedStream answers with one token every benchGap, as vLLM words it.
func pacedStream(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "text/event-stream")
	tick := time.NewTicker(benchGap)
	defer tick.Stop()
	for i := range benchTokens {
		<-tick.C
		finish := "null"
		if i == benchTokens-1 {
			finish = `"length"`
		}
		fmt.Fprintf(w, vllmChunk, i, finish, 64+i+1, i+1)
		w.(http.Flusher).Flush()
	}
	io.WriteString(w, "data: [DONE]\n\n")
}

const vllmChunk = `data: {"id":"cmpl-9aff00248e2f2a2a","object":"text_completion","created":1795400707,"model":"m","choices":[{"index":0,` +
	`"text":" word%d","logprobs":null,"finish_reason":%s,"stop_reason":null,"token_ids":null,"prompt_logprobs":null,"prompt_token_ids":null}],` +
	`"usage":{"prompt_tokens":64,"total_tokens":%d,"completion_tokens":%d}}` + "\n\n"

func startStreams(b *testing.B) string {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serveEnv+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(url)
}

// BenchmarkStreams measures the processor time that the client takes per token, with 256
// streams of one token every 15 ms; readonly is the yardstick: the same connections and
// requests, and nothing done with the bytes.
func BenchmarkStreams(b *testing.B) {
	url := startStreams(b)
	p, err := Shape{Requests: benchStreams, Input: Range{64, 64}, Output: Range{benchTokens, benchTokens}}.Plan(Arrival{})
	if err != nil {
		b.Fatal(err)
	}
	target := Target{URLs: []string{url}}
	b.Run("run", func(b *testing.B) {
		perToken(b, func() {
			res, err := Run(context.Background(), target, p, Options{})
			if err != nil {
				b.Fatal(err)
			}
			if s := Summarize(res.Rows); s.OutputTokens != benchStreams*benchTokens || s.Failed > 0 {
				b.Fatalf("%d tokens, %v", s.OutputTokens, s.Errors)
			}
		})
	})
	b.Run("readonly", func(b *testing.B) {
		perToken(b, func() {
			client, done := target.client(benchStreams)
			defer done()
			var wg sync.WaitGroup
			for range benchStreams {
				wg.Go(func() {
					res, err := client.Post(url, "application/json", strings.NewReader("{}"))
					if err != nil {
						b.Error(err)
						return
					}
					io.Copy(io.Discard, res.Body)
					res.Body.Close()
				})
			}
			wg.Wait()
		})
	})
}

func perToken(b *testing.B, run func()) {
	var before, after syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &before)
	for b.Loop() {
		run()
	}
	syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	used := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
	b.ReportMetric(float64(used)/float64(b.N*benchStreams*benchTokens), "cpu-ns/token")
}

// BenchmarkChunk compares the scanner with encoding/json on one chunk of vLLM's.
func BenchmarkChunk(b *testing.B) {
	data := []byte(strings.TrimSpace(strings.TrimPrefix(fmt.Sprintf(vllmChunk, 1, "null", 65, 1), "data: ")))
	for _, c := range []struct {
		name  string
		parse func([]byte) (chunk, error)
	}{
		{"scan", func(d []byte) (chunk, error) { return parseChunk(d, false) }},
		{"json", decodeChunk},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if _, err := c.parse(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkEvents compares the event reader with a plain search for line ends.
func BenchmarkEvents(b *testing.B) {
	var stream []byte
	for i := range 1000 {
		stream = append(stream, fmt.Sprintf(vllmChunk, i, "null", i, i)...)
	}
	now := func() int64 { return 0 }
	b.Run("events", func(b *testing.B) {
		b.SetBytes(int64(len(stream)))
		for b.Loop() {
			for e := newEventReader(bytes.NewReader(stream), now); ; {
				if _, _, err := e.event(); err != nil {
					break
				}
			}
		}
	})
	b.Run("lines", func(b *testing.B) {
		b.SetBytes(int64(len(stream)))
		for b.Loop() {
			for s := bufio.NewScanner(bytes.NewReader(stream)); s.Scan(); {
			}
		}
	})
}
