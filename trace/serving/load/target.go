package load

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
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
		MaxIdleConnsPerHost: concurrency,
		DisableCompression:  true, // a compressed stream holds tokens back
		Protocols:           new(http.Protocols),
		// Uvicorn closes idle connections after 5 s: a request sent just then would fail
		// for no fault of the server.
		IdleConnTimeout: 4 * time.Second,
	}
	tr.Protocols.SetHTTP1(true)
	// Followed, a redirect would hand keys in headers to whatever host it names, and
	// measure that one.
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &http.Client{Transport: tr, CheckRedirect: stay}, tr.CloseIdleConnections
}

// Fields is a set of request fields that not every engine takes. Where a server
// refuses one by name, Run leaves it out from then on, sends the request again, and notes
// it. The requests that met with the refusal are late by that.
type Fields uint8

// The fields, by what they ask.
const (
	MinTokens       Fields = 1 << iota // min_tokens: no end before the length asked
	IgnoreEOS                          // ignore_eos: the model's own end does not count
	CacheSalt                          // cache_salt: a prefix cache of its own
	IncludeUsage                       // stream_options.include_usage: token counts at the end
	ContinuousUsage                    // stream_options.continuous_usage_stats: token counts with each chunk
)

// What to send to which engine. vLLM and SGLang ignore what a version does not know;
// TensorRT-LLM refuses it, and had no cache_salt at first; OpenAIFields is for anything
// else.
const (
	VLLMFields        = MinTokens | IgnoreEOS | CacheSalt | IncludeUsage | ContinuousUsage
	SGLangFields      = VLLMFields
	TensorRTLLMFields = VLLMFields &^ CacheSalt
	OpenAIFields      = IncludeUsage
)

var fieldNames = [...]struct {
	field Fields
	name  string
	lost  string // what the load loses without it
}{
	{MinTokens, "min_tokens", "answers may end before their length"},
	{IgnoreEOS, "ignore_eos", "answers may end before their length"},
	{CacheSalt, "cache_salt", "equal prompts may come from the prefix cache"},
	{IncludeUsage, "include_usage", "output tokens are counted by chunks"},
	{ContinuousUsage, "continuous_usage_stats", "tokens sent together are not told apart"},
}

// appendBody appends the request's JSON. run tells this run's salts from others'.
func appendBody(b []byte, p *Planned, t *Target, fields Fields, run string) []byte {
	b = append(b, '{')
	if t.Model != "" {
		b = append(b, `"model":`...)
		b = append(appendString(b, t.Model), ',')
	}
	switch {
	case t.Chat:
		b = append(b, `"messages":[{"role":"user","content":`...)
		b = append(appendString(b, p.Prompt.text()), `}]`...)
	case p.Prompt.Text != "":
		b = appendString(append(b, `"prompt":`...), p.Prompt.Text)
	default:
		b = p.Prompt.appendIDs(append(b, `"prompt":`...))
	}
	b = append(b, `,"max_tokens":`...)
	b = strconv.AppendInt(b, int64(p.MaxTokens), 10)
	b = append(b, `,"temperature":0`...)
	if p.Exact && fields&MinTokens != 0 {
		b = append(b, `,"min_tokens":`...)
		b = strconv.AppendInt(b, int64(p.MaxTokens), 10)
	}
	if p.Exact && fields&IgnoreEOS != 0 {
		b = append(b, `,"ignore_eos":true`...)
	}
	if p.Salt != "" && fields&CacheSalt != 0 {
		b = appendString(append(b, `,"cache_salt":`...), p.Salt+"-"+run)
	}
	if p.NoStream {
		return append(b, `,"stream":false}`...)
	}
	b = append(b, `,"stream":true`...)
	switch {
	case fields&ContinuousUsage != 0:
		b = append(b, `,"stream_options":{"include_usage":true,"continuous_usage_stats":true}`...)
	case fields&IncludeUsage != 0:
		b = append(b, `,"stream_options":{"include_usage":true}`...)
	}
	return append(b, '}')
}

// appendString appends s as a JSON string.
func appendString(b []byte, s string) []byte {
	q, _ := json.Marshal(s) // a string always has a form
	return append(b, q...)
}

// refused says which of the fields a server's answer refuses: those that it names, where
// it speaks of a field it does not know or support. (TensorRT-LLM: "Extra inputs are
// not permitted" behind the place; Go servers: unknown field "name".)
func refused(answer []byte, fields Fields) Fields {
	answer = bytes.ToLower(answer)
	unknown := false
	for _, w := range []string{"extra", "unknown", "not permitted", "unexpected", "unrecognized", "not supported", "unsupported", "forbidden", "not allowed"} {
		unknown = unknown || bytes.Contains(answer, []byte(w))
	}
	if !unknown {
		return 0
	}
	var out Fields
	for _, f := range fieldNames {
		if bytes.Contains(answer, []byte(f.name)) {
			out |= f.field
		}
	}
	if bytes.Contains(answer, []byte("stream_options")) && out&(IncludeUsage|ContinuousUsage) == 0 {
		out |= IncludeUsage | ContinuousUsage
	}
	if out&IncludeUsage != 0 {
		out |= ContinuousUsage // it needs the other
	}
	return out & fields
}

// fieldNotes has a sentence for each field that the server refused.
func fieldNotes(f Fields) []string {
	var out []string
	for _, n := range fieldNames {
		if f&n.field != 0 {
			out = append(out, "The server refuses "+n.name+", so it was left out: "+n.lost+".")
		}
	}
	return out
}
