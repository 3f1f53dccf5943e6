package load

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"tokprof/fixtures/golden"
)

func TestBody(t *testing.T) {
	ids := Planned{Prompt: Prompt{IDs: []int32{7, 0, 31999}}, MaxTokens: 5, Exact: true, Salt: "s"}
	text := Planned{Prompt: Prompt{Text: "a \"b\"\n<c> é"}, MaxTokens: 1}
	whole := ids
	whole.NoStream = true
	random := Planned{Prompt: Prompt{Random: RandomIDs{Count: 4, Shared: 2, SharedSeed: 1, Seed: 2, Lo: 5, Hi: 9}}, MaxTokens: 2, Exact: true}
	var b bytes.Buffer
	for _, c := range []struct {
		name   string
		p      Planned
		t      Target
		fields Fields
	}{
		{"vllm", ids, Target{Model: "org/m"}, VLLMFields},
		{"tensorrt-llm", ids, Target{Model: "m"}, TensorRTLLMFields},
		{"openai", ids, Target{Model: "m"}, OpenAIFields},
		{"no fields", ids, Target{}, 0},
		{"text", text, Target{Model: "m"}, VLLMFields},
		{"whole", whole, Target{Model: "m"}, VLLMFields},
		{"random", random, Target{Model: "m"}, VLLMFields},
		{"chat", text, Target{Model: "m", Chat: true}, VLLMFields},
		{"chat of ids", ids, Target{Model: "m", Chat: true}, VLLMFields},
	} {
		body := appendBody(nil, &c.p, &c.t, c.fields, "run")
		if !json.Valid(body) {
			t.Errorf("%s: no JSON: %s", c.name, body)
		}
		fmt.Fprintf(&b, "%s\n%s\n", c.name, body)
	}
	golden.Check(t, "bodies.golden", b.Bytes())
}

func TestRefused(t *testing.T) {
	for _, c := range []struct {
		name, answer string
		want         Fields
	}{
		{"tensorrt-llm", `{"object":"error","message":"[{'type': 'extra_forbidden', 'loc': ('body', 'cache_salt'), 'msg': 'Extra inputs are not permitted', 'input': 's'}]","code":400}`, CacheSalt},
		{"two", `{"detail":[{"type":"extra_forbidden","loc":["body","min_tokens"]},{"type":"extra_forbidden","loc":["body","ignore_eos"]}]}`, MinTokens | IgnoreEOS},
		{"go server", `json: unknown field "continuous_usage_stats"`, ContinuousUsage},
		{"no usage at all", `Unrecognized request argument supplied: stream_options`, IncludeUsage | ContinuousUsage},
		{"usage", `unexpected keyword 'include_usage'`, IncludeUsage | ContinuousUsage},
		{"older vllm", `{"message":"Parameter 'cache_salt' is not supported with this instance of vLLM, which uses engine V0."}`, CacheSalt},
		{"a bad value", `{"message":"min_tokens must be less than or equal to max_tokens=4, got 5."}`, 0},
		{"another field", `{"message":"Extra inputs are not permitted: temperature"}`, 0},
		{"nothing", ``, 0},
	} {
		if got := refused([]byte(c.answer), VLLMFields); got != c.want {
			t.Errorf("%s: fields %b, want %b", c.name, got, c.want)
		}
	}
	if got := refused([]byte("unknown field cache_salt"), TensorRTLLMFields); got != 0 {
		t.Errorf("a field that was not sent is refused: %b", got)
	}
}

// TestStrictServer: fields that a server names as unknown, one at a time, are left out,
// and the load goes on.
func TestStrictServer(t *testing.T) {
	var mu sync.Mutex
	refusals := 0
	target := serve(t, func(w http.ResponseWriter, r *http.Request) {
		d := json.NewDecoder(r.Body)
		d.DisallowUnknownFields()
		var body struct {
			Model         string
			Prompt        []int
			MaxTokens     int `json:"max_tokens"`
			Temperature   float64
			Stream        bool
			StreamOptions struct {
				IncludeUsage bool `json:"include_usage"`
			} `json:"stream_options"`
		}
		if err := d.Decode(&body); err != nil {
			io.Copy(io.Discard, r.Body)
			mu.Lock()
			refusals++
			mu.Unlock()
			http.Error(w, err.Error(), 400)
			return
		}
		token(w, "a", `"length"`, 1)
	})
	res := run(t, target, plan(t, 5, 1), Options{Concurrency: 1})
	for _, r := range res.Rows {
		if r.Failed() {
			t.Errorf("%+v", r)
		}
	}
	if refusals != 4 || len(res.Notes) != 4 || !strings.Contains(strings.Join(res.Notes, " "), "cache_salt") {
		t.Errorf("%d refusals, notes %q", refusals, res.Notes)
	}
}

// TestStubbornServer: a refusal that leaves nothing more to leave out is an error.
func TestStubbornServer(t *testing.T) {
	target := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		http.Error(w, `unknown field "cache_salt"`, http.StatusUnprocessableEntity)
	})
	r := run(t, target, plan(t, 1, 1), Options{}).Rows[0]
	if r.Error != `HTTP 422: unknown field "cache_salt"` || r.Status != 422 {
		t.Errorf("%+v", r)
	}
}

// TestSalts: no two requests share a salt, of one run or of two.
func TestSalts(t *testing.T) {
	var mu sync.Mutex
	var salts []string
	target := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Salt string `json:"cache_salt"`
		}
		json.NewDecoder(r.Body).Decode(&body)
		mu.Lock()
		salts = append(salts, body.Salt)
		mu.Unlock()
		token(w, "a", `"length"`, 1)
	})
	for range 2 {
		run(t, target, plan(t, 3, 1), Options{})
	}
	slices.Sort(salts)
	if n := len(slices.Compact(slices.Clone(salts))); n != 6 || salts[0] == "" {
		t.Errorf("salts %q", salts)
	}
}

func TestErrorMessage(t *testing.T) {
	for body, want := range map[string]string{
		`{"error":"Unauthorized"}`: "Unauthorized",
		`{"error":{"message":"Not Found","type":"Not Found","param":null,"code":404}}`: "Not Found",
		`{"object":"error","message":"too\n  long","code":400}`:                        "too long",
		`{"detail":"Method Not Allowed"}`:                                              "Method Not Allowed",
		"Internal Server Error":                                                        "Internal Server Error",
		"":                                                                             "",
		`{"message":"1 validation error: {'type': 'int_type', 'loc': ('body', 'prompt'), 'input': 'my secret'}"}`: "1 validation error: {'type': 'int_type', 'loc': ('body', 'prompt'),",
		strings.Repeat("é", 300): strings.Repeat("é", 200) + "…",
	} {
		if got := sentence(errorMessage([]byte(body))); got != want {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
}

// TestNoSecrets: a server that repeats what authorised a request leaves nothing of it in
// the rows, which are handed on; not even at the end of a text that is cut.
func TestNoSecrets(t *testing.T) {
	const key = "key-0123456789"
	for name, answer := range map[string]http.HandlerFunc{
		"an error": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(400)
			fmt.Fprintf(w, `{"error":{"message":"refused %s"}}`, r.Header.Get("Authorization"))
		},
		"an error in the stream": func(w http.ResponseWriter, r *http.Request) {
			token(w, "a", "null", 1)
			say(w, `data: {"error":{"message":"lost `+r.Header.Get("Authorization")+`"}}`+"\n\n"+done)
		},
		"cut in the key": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(401)
			fmt.Fprint(w, strings.Repeat(".", 180), " ", strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		},
	} {
		target := serve(t, answer)
		target.Header = http.Header{"Authorization": {"Bearer " + key}}
		for _, row := range run(t, target, plan(t, 1, 1), Options{}).Rows {
			if !row.Failed() || strings.Contains(row.Error, key[:6]) {
				t.Errorf("%s: the row says %q", name, row.Error)
			}
		}
	}
}

// TestRedirect: a redirect is not followed, so that no key reaches the host that it names.
func TestRedirect(t *testing.T) {
	var went atomic.Int32
	elsewhere := serve(t, func(w http.ResponseWriter, r *http.Request) {
		went.Add(1)
		token(w, "a", `"length"`, 1)
	})
	target := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URLs[0]+r.URL.Path, http.StatusTemporaryRedirect)
	})
	target.Header = http.Header{"X-Key": {"key-0123456789"}}
	row := run(t, target, plan(t, 1, 1), Options{}).Rows[0]
	if want := "HTTP 307: it redirects; give the URL that it redirects to"; row.Error != want || row.Status != 307 || went.Load() != 0 {
		t.Errorf("%d, %q, %d requests went on; want %q", row.Status, row.Error, went.Load(), want)
	}
}
