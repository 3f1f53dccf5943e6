package load

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tokprof/trace/serving"
)

const done = "data: [DONE]\n\n"

// streams are scripted answers, and the row that each leaves.
var streams = []struct {
	name   string
	tokens int // asked for
	answer func(w http.ResponseWriter)
	want   serving.Request // without times
	timed  int             // tokens with times
}{
	{"vllm", 3, func(w http.ResponseWriter) {
		token(w, "a", "null", 1)
		token(w, "b", "null", 2)
		token(w, "c", `"length"`, 3)
		say(w, `data: {"id":"cmpl-1","choices":[],"usage":{"prompt_tokens":40,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":16}}}`+"\n\n"+done)
	}, serving.Request{PromptTokens: 40, CompletionTokens: 3, CachedTokens: 16, Status: 200, RequestID: "cmpl-1", Finish: "length"}, 3},
	{"bundled", 6, func(w http.ResponseWriter) {
		token(w, "a", "null", 2)
		token(w, "b", "null", 5)
		token(w, "", "null", 5)
		token(w, "c", `"length"`, 6)
		say(w, done)
	}, serving.Request{PromptTokens: 40, CompletionTokens: 6, Bundled: 3, Status: 200, RequestID: "cmpl-1", Finish: "length"}, 6},
	{"no usage", 4, func(w http.ResponseWriter) {
		for range 3 {
			say(w, `data: {"choices":[{"text":"a","finish_reason":null}]}`+"\r\n\r\n: ping\r\n\r\n")
		}
		say(w, `data: {"choices":[{"text":"","finish_reason":"length"}]}`+"\n\n"+done)
	}, serving.Request{PromptTokens: 40, Status: 200, Finish: "length"}, 4},
	{"no usage, own end", 9, func(w http.ResponseWriter) {
		say(w, `data: {"choices":[{"text":"a","finish_reason":null}]}`+"\n\n")
		say(w, `data: {"choices":[{"text":"","finish_reason":"stop"}]}`+"\n\n"+done)
	}, serving.Request{PromptTokens: 40, Status: 200, Finish: "stop"}, 1},
	{"no usage, an end behind the last token", 1, func(w http.ResponseWriter) {
		say(w, `data: {"choices":[{"text":"a","finish_reason":null}]}`+"\n\n")
		say(w, `data: {"choices":[{"text":"","finish_reason":"length"}]}`+"\n\n"+done)
	}, serving.Request{PromptTokens: 40, Status: 200, Finish: "length"}, 1},
	{"usage beyond belief", 2, func(w http.ResponseWriter) {
		token(w, "a", `"length"`, 1)
		say(w, `data: {"choices":[],"usage":{"completion_tokens":2000000000}}`+"\n\n"+done)
	}, serving.Request{PromptTokens: 40, CompletionTokens: 2000000000, Status: 200, RequestID: "cmpl-1", Finish: "length", Error: "the server sends more than the 2 tokens asked for"}, 1},
	{"usage at the end", 8, func(w http.ResponseWriter) {
		say(w, `data: {"choices":[{"text":"ab","finish_reason":null}],"usage":null}`+"\n\n")
		say(w, `data: {"choices":[{"text":"cd","finish_reason":"length"}],"usage":null}`+"\n\n")
		say(w, `data: {"choices":[],"usage":{"prompt_tokens":41,"completion_tokens":8}}`+"\n\n"+done)
	}, serving.Request{PromptTokens: 41, CompletionTokens: 8, Status: 200, Finish: "length"}, 2},
	{"half lines", 2, func(w http.ResponseWriter) {
		for _, part := range []string{"da", `ta: {"choices":[{"te`, `xt":"a"}]}`, "\n", "\ndata: {", `"choices":[{"text":"b","finish_reason":"length"}]}` + "\n\n", done} {
			say(w, part)
		}
	}, serving.Request{PromptTokens: 40, Status: 200, Finish: "length"}, 2},
	{"no [DONE]", 1, func(w http.ResponseWriter) { token(w, "a", `"length"`, 1) },
		serving.Request{PromptTokens: 40, CompletionTokens: 1, Status: 200, RequestID: "cmpl-1", Finish: "length"}, 1},
	{"error in the stream", 5, func(w http.ResponseWriter) {
		token(w, "a", "null", 1)
		say(w, `data: {"error":{"message":"EngineCore encountered an issue","type":"InternalServerError","param":null,"code":500}}`+"\n\n"+done)
	}, serving.Request{PromptTokens: 40, CompletionTokens: 1, Status: 200, RequestID: "cmpl-1", Error: "error in the stream: EngineCore encountered an issue"}, 1},
	{"connection lost", 5, func(w http.ResponseWriter) {
		token(w, "a", "null", 1)
		token(w, "b", "null", 2)
		say(w, `data: {"choices":[{"te`)
		panic(http.ErrAbortHandler)
	}, serving.Request{PromptTokens: 40, CompletionTokens: 2, Status: 200, RequestID: "cmpl-1", Error: "connection lost"}, 2},
	{"early end", 5, func(w http.ResponseWriter) { token(w, "a", "null", 1) },
		serving.Request{PromptTokens: 40, CompletionTokens: 1, Status: 200, RequestID: "cmpl-1", Error: errEarlyEnd.Error()}, 1},
	{"early end in a chunk", 5, func(w http.ResponseWriter) {
		token(w, "a", "null", 1)
		say(w, `data: {"choices":[{"te`)
	}, serving.Request{PromptTokens: 40, CompletionTokens: 1, Status: 200, RequestID: "cmpl-1", Error: errEarlyEnd.Error()}, 1},
	{"nothing", 5, func(w http.ResponseWriter) { say(w, done) }, serving.Request{PromptTokens: 40, Status: 200, Error: errEarlyEnd.Error()}, 0},
	{"no JSON", 5, func(w http.ResponseWriter) { say(w, "data: hello\n\n"+done) },
		serving.Request{PromptTokens: 40, Status: 200, Error: errNotChunk.Error()}, 0},
	{"endless", 2, func(w http.ResponseWriter) {
		for i := range 100 {
			token(w, "a", "null", i+1)
		}
	}, serving.Request{PromptTokens: 40, CompletionTokens: 69, Status: 200, RequestID: "cmpl-1", Error: "the server sends more than the 2 tokens asked for"}, 68},
	{"a count beyond belief", 2, func(w http.ResponseWriter) { token(w, "a", "null", 2000000000) },
		serving.Request{PromptTokens: 40, CompletionTokens: 2000000000, Status: 200, RequestID: "cmpl-1", Error: "the server sends more than the 2 tokens asked for"}, 0},
	{"401", 5, func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(401)
		io.WriteString(w, `{"error":"Unauthorized"}`)
	}, serving.Request{PromptTokens: 40, Status: 401, Error: "HTTP 401: Unauthorized"}, 0},
	{"503", 5, func(w http.ResponseWriter) { http.Error(w, "queue\nis full", http.StatusServiceUnavailable) },
		serving.Request{PromptTokens: 40, Status: 503, Error: "HTTP 503: queue is full"}, 0},
	{"500 without a word", 5, func(w http.ResponseWriter) { w.WriteHeader(500) },
		serving.Request{PromptTokens: 40, Status: 500, Error: "HTTP 500"}, 0},
	{"no stream though asked for", 5, func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		io.WriteString(w, `{"id":"cmpl-2","choices":[{"text":"abcde","finish_reason":"length"}],"usage":{"prompt_tokens":40,"completion_tokens":5}}`)
	}, serving.Request{PromptTokens: 40, CompletionTokens: 5, Status: 200, RequestID: "cmpl-2", Finish: "length"}, 0},
}

func TestStreams(t *testing.T) {
	for _, c := range streams {
		t.Run(c.name, func(t *testing.T) {
			target := serve(t, func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				c.answer(w)
			})
			var progress Progress
			var told atomic.Int64
			res := run(t, target, plan(t, 1, c.tokens), Options{Progress: &progress, OnToken: func(k Token) { told.Add(int64(k.Count)) }})
			got := res.Rows[0]
			timed := len(got.TokenUnixNS)
			if timed != c.timed || told.Load() != int64(c.timed) {
				t.Errorf("%d tokens with times, %d told, want %d", timed, told.Load(), c.timed)
			}
			counted := c.timed
			if counted == 0 && c.want.Finish != "" {
				counted = c.want.CompletionTokens
			}
			if n := progress.Tokens.Load(); n != int64(counted) {
				t.Errorf("progress counts %d tokens, want %d", n, counted)
			}
			got.DueUnixNS, got.SentUnixNS, got.EndUnixNS, got.TokenUnixNS = 0, 0, 0, nil
			c.want.Window, c.want.MaxTokens = "w", c.tokens
			if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", c.want); g != w {
				t.Errorf("\n got %s\nwant %s", g, w)
			}
		})
	}
}

// TestHeldOpen: a server that ends the answer and not the connection holds up nothing.
func TestHeldOpen(t *testing.T) {
	target := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		token(w, "a", `"length"`, 1)
		say(w, done)
		<-r.Context().Done()
	})
	for _, r := range run(t, target, plan(t, 3, 1), Options{Concurrency: 1}).Rows {
		if r.Failed() || len(r.TokenUnixNS) != 1 {
			t.Errorf("%+v", r)
		}
	}
}

func TestBundledTimes(t *testing.T) {
	target := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		token(w, "a", "null", 3)
		time.Sleep(2 * time.Millisecond)
		token(w, "b", `"length"`, 5)
	})
	at := run(t, target, plan(t, 1, 5), Options{}).Rows[0].TokenUnixNS
	if len(at) != 5 || at[0] != at[2] || at[2] >= at[3] || at[3] != at[4] {
		t.Errorf("times %v, want three equal, then two", at)
	}
}

func TestNoStream(t *testing.T) {
	target := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var body struct{ Stream *bool }
		json.NewDecoder(r.Body).Decode(&body)
		if body.Stream == nil || *body.Stream {
			http.Error(w, "stream?", 400)
			return
		}
		io.WriteString(w, `{"id":"cmpl-1","choices":[{"text":"abc","finish_reason":"length"}],"usage":{"prompt_tokens":40,"completion_tokens":3}}`)
	})
	p := plan(t, 2, 3)
	for i := range p.Requests {
		p.Requests[i].NoStream = true
	}
	s := Summarize(run(t, target, p, Options{}).Rows)
	if s.Completed != 2 || s.OutputTokens != 6 || s.UntimedTokens != 6 || s.Due.TTFT.Count != 0 || s.Due.E2E.Count != 2 {
		t.Errorf("%+v", s)
	}
}

func TestChat(t *testing.T) {
	target := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Messages []struct{ Role, Content string }
		}
		err := json.NewDecoder(r.Body).Decode(&body)
		if err != nil || r.URL.Path != "/prefix/v1/chat/completions" || len(body.Messages) != 1 || len(strings.Fields(body.Messages[0].Content)) != 40 {
			http.Error(w, fmt.Sprint(err, r.URL.Path, body), 400)
			return
		}
		say(w, `data: {"id":"c","choices":[{"delta":{"role":"assistant","content":""},"finish_reason":null}]}`+"\n\n")
		time.Sleep(2 * time.Millisecond)
		say(w, `data: {"id":"c","choices":[{"delta":{"reasoning_content":"a"},"finish_reason":null}]}`+"\n\n")
		say(w, `data: {"id":"c","choices":[{"delta":{"content":"b"},"finish_reason":null}]}`+"\n\n")
		say(w, `data: {"id":"c","choices":[{"delta":{},"finish_reason":"length"}]}`+"\n\ndata: [DONE]\n\n")
	})
	target.Chat = true
	target.URLs[0] += "/prefix/v1/"
	res := run(t, target, plan(t, 1, 4), Options{})
	if r := res.Rows[0]; r.Failed() || len(r.TokenUnixNS) != 2 {
		t.Errorf("%+v", r)
	}
	if len(res.Notes) != 1 || !strings.Contains(res.Notes[0], "chat") {
		t.Errorf("notes %q", res.Notes)
	}
}
