package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"tokprof/trace/serving"
)

var errPanicked = errors.New("another request panicked")

// errDeadline is the cause of what Options.Deadline ends.
var errDeadline = errors.New("cut off at the load's deadline")

// timeoutError is the cause of a request that took longer than it may.
type timeoutError time.Duration

func (t timeoutError) Error() string { return "no end after " + time.Duration(t).String() }

// statusError is an answer that is no success.
type statusError struct {
	code int
	body []byte
}

func (e *statusError) Error() string {
	if e.code >= 300 && e.code < 400 {
		return fmt.Sprintf("HTTP %d: it redirects; give the URL that it redirects to", e.code)
	}
	if m := errorMessage(e.body); strings.TrimSpace(m) != "" {
		return fmt.Sprintf("HTTP %d: %s", e.code, m)
	}
	return fmt.Sprintf("HTTP %d", e.code)
}

// errorMessage is the message in an error's JSON, in the forms that vLLM, SGLang,
// TensorRT-LLM and FastAPI give it, or the text itself where it is no JSON.
func errorMessage(body []byte) string {
	var top map[string]json.RawMessage
	if json.Unmarshal(body, &top) != nil {
		return string(body)
	}
	for _, key := range []string{"error", "message", "detail"} {
		raw := top[key]
		var s string
		if json.Unmarshal(raw, &s) == nil && s != "" {
			return s
		}
		var in struct{ Message string }
		if json.Unmarshal(raw, &in) == nil && in.Message != "" {
			return in.Message
		}
	}
	return string(body)
}

// reason is why a request failed, without the names and addresses of machines: rows
// are handed on, and are counted by it. What authorises the requests, which a server may
// repeat, is hidden before the text is cut.
func (l *load) reason(ctx context.Context, err error) string {
	if cause := context.Cause(ctx); errors.Is(cause, context.Canceled) {
		return "cancelled"
	} else if cause != nil {
		return cause.Error()
	}
	if lost := serving.Lost(err); lost != "" {
		return lost
	}
	var u *url.Error
	if errors.As(err, &u) {
		host := u.URL
		if p, perr := url.Parse(u.URL); perr == nil {
			host = p.Host
		}
		return sentence(l.secrets.Hide(strings.ReplaceAll(u.Err.Error(), host, "server")))
	}
	return sentence(l.secrets.Hide(err.Error()))
}

// sentence is one line of printable text, cut where a server repeats the request.
func sentence(s string) string {
	for _, at := range []string{"'input'", `"input"`, "input_value"} {
		if i := strings.Index(s, at); i >= 0 {
			s = s[:i]
		}
	}
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }), " ")
	return clip(s, 200)
}

// clip is the first characters of a text, of so many at most.
func clip(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}
