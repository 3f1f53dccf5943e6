package replay

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// prompt is the part of a request that says what to continue.
type prompt struct {
	Model    string          `json:"model"`
	Prompt   json.RawMessage `json:"prompt"` // text, token ids, or a list of one of these
	Messages []message       `json:"messages"`
}

type message struct {
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"`
}

// request is the body of /v1/completions and /v1/chat/completions, as far as an
// answer without meaning depends on it. Answers are always max_tokens long.
type request struct {
	prompt
	MaxTokens           *int `json:"max_tokens"`
	MaxCompletionTokens *int `json:"max_completion_tokens"`
	Stream              bool `json:"stream"`
	StreamOptions       struct {
		IncludeUsage         bool `json:"include_usage"`
		ContinuousUsageStats bool `json:"continuous_usage_stats"`
	} `json:"stream_options"`
}

var errPrompt = errors.New("prompt must be a text, a list of token ids, or a list of one of these")

// tokens gives the prompt's token ids. Text has a token for each four bytes and
// one before: the recording's tokenizer is not at hand, and nothing depends on it.
func (p *prompt) tokens(chat bool) ([]int, error) {
	if chat {
		if len(p.Messages) == 0 {
			return nil, errors.New("messages must not be empty")
		}
		ids := []int{1}
		for _, m := range p.Messages {
			// The template: role, two marks, and a newline.
			ids = append(append(ids, 2, 3, 4, 5), textTokens(string(m.Content))[1:]...)
		}
		return ids, nil
	}
	var text string
	if json.Unmarshal(p.Prompt, &text) == nil {
		return textTokens(text), nil
	}
	var ids []int
	if json.Unmarshal(p.Prompt, &ids) == nil {
		return ids, nil
	}
	var many []json.RawMessage
	if json.Unmarshal(p.Prompt, &many) == nil && len(many) == 1 {
		return (&prompt{Prompt: many[0]}).tokens(false)
	}
	return nil, errPrompt
}

func textTokens(s string) []int {
	ids := []int{1}
	for i := 0; i < len(s); i += 4 {
		id := 10
		for _, b := range []byte(s[i:min(i+4, len(s))]) {
			id = (id*31 + int(b)) % 120000
		}
		ids = append(ids, id)
	}
	return ids
}

// length is how many tokens to answer: 16 by default, or what fits for a chat.
func (q *request) length(chat bool, room int) int {
	switch {
	case q.MaxCompletionTokens != nil && chat:
		return *q.MaxCompletionTokens
	case q.MaxTokens != nil:
		return *q.MaxTokens
	case chat:
		return min(room, 256)
	}
	return 16
}

// answer is one request being answered.
type answer struct {
	s               *Server
	w               http.ResponseWriter
	r               *http.Request
	id, model       string
	chat            bool
	usage, every    bool
	created         int64
	prompt, engine  int
	arrived         int64
	due             []int64
	bundle, errorAt int
	times           []int64 // of tokens sent
}

// complete answers a completion, streamed or whole.
func (s *Server) complete(w http.ResponseWriter, r *http.Request, chat bool) {
	var q request
	if err := readJSON(r, &q); err != nil {
		s.fail(w, 400, "BadRequestError", err.Error())
		return
	}
	ids, err := q.tokens(chat)
	n := q.length(chat, s.rec.MaxModelLen-len(ids))
	if err != nil {
		s.fail(w, 400, "BadRequestError", err.Error())
		return
	}
	if code, kind, message := s.refuse(&q, len(ids), n); code != 0 {
		s.fail(w, code, kind, message)
		return
	}
	a := &answer{s: s, w: w, r: r, chat: chat, model: s.rec.Model, prompt: len(ids), usage: q.StreamOptions.IncludeUsage, every: q.StreamOptions.ContinuousUsageStats}
	a.begin(n)
	finish := "abort"
	defer func() { s.metrics.end(a, finish) }()
	if q.Stream {
		err = a.stream()
	} else {
		err = a.whole()
	}
	switch {
	case err == nil:
		finish = "length"
	case errors.Is(err, errBroken):
		finish = "error"
	default:
		panic(http.ErrAbortHandler) // what is cut short must not look whole
	}
}

// refuse says in vLLM's words why a request is not answered; code 0 when it is.
func (s *Server) refuse(q *request, prompt, n int) (code int, kind, message string) {
	room := s.rec.MaxModelLen - prompt
	switch {
	case q.Model != "" && q.Model != s.rec.Model:
		return 404, "NotFoundError", fmt.Sprintf("The model `%s` does not exist.", q.Model)
	case prompt == 0:
		return 400, "BadRequestError", "The prompt is empty."
	case n < 1:
		return 400, "BadRequestError", fmt.Sprintf("max_tokens must be at least 1, got %d.", n)
	case n > room:
		return 400, "BadRequestError", fmt.Sprintf("This model's maximum context length is %d tokens. However, you requested %d output tokens and your prompt contains %d input tokens.", s.rec.MaxModelLen, n, prompt)
	}
	return 0, "", ""
}

// begin gives the request its name, its engine and the times of its tokens.
func (a *answer) begin(tokens int) {
	s := a.s
	now := s.clock.Now()
	a.arrived, a.created = now.UnixNano(), now.Unix()
	s.mu.Lock()
	s.requests++
	name := a.r.Header.Get("X-Request-Id")
	if name == "" {
		name = fmt.Sprintf("%016x", uint64(a.arrived)^uint64(s.requests)<<48)
	}
	a.due = s.schedule(a.prompt, tokens, a.arrived)
	f := s.faults
	s.mu.Unlock()
	a.bundle, a.errorAt = max(1, f.BundledTokens), f.SSEError
	a.id = "cmpl-" + name
	if a.chat {
		a.id = "chatcmpl-" + name
	}
	a.w.Header().Set("X-Request-Id", name)
	a.engine = s.metrics.begin(a.prompt)
}

// next waits for the next tokens, one or a bundle of them, and counts them.
func (a *answer) next() (first, n int, err error) {
	first = len(a.times)
	n = min(a.bundle, len(a.due)-first)
	if err := a.s.clock.Sleep(a.r.Context(), time.Unix(0, a.due[first+n-1])); err != nil {
		return first, 0, err
	}
	now := a.s.clock.Now().UnixNano()
	for range n {
		a.times = append(a.times, now)
	}
	a.s.metrics.tokens(a, n)
	a.s.counted(n, len(a.times))
	return first, n, nil
}

// counted notes tokens sent while profiling: steps are counted by the request
// that is furthest, and faults by tokens.
func (s *Server) counted(n, ofRequest int) {
	s.mu.Lock()
	die := s.dead
	if s.session != nil {
		s.sent += n
		die = die || s.faults.DieMidCapture > 0 && s.sent >= s.faults.DieMidCapture
		s.steps(ofRequest)
	}
	s.mu.Unlock()
	if die {
		s.die()
		panic(http.ErrAbortHandler)
	}
}

// words are the answers' words: they mean as little as a model of dummy weights says.
var words = [...]string{" of", " the", " river", " stone", " light", " under", " seven", " slow", " green", " north", " paper", " wheel"}

func word(i int) string { return words[(i*7+i/12)%len(words)] }
