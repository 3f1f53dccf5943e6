package replay

import (
	"encoding/json"
	"errors"
	"net/http"
)

// errBroken ends a stream by Faults.SSEError.
var errBroken = errors.New("the engine broke off")

// usageInfo counts a request's tokens; in vLLM's order.
type usageInfo struct {
	PromptTokens     int `json:"prompt_tokens"`
	TotalTokens      int `json:"total_tokens"`
	CompletionTokens int `json:"completion_tokens"`
}

// chunk is one event of a stream; answers that come whole have the same head.
type chunk struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	Model   string `json:"model"`
	Choices []any  `json:"choices"`
	Usage   any    `json:"usage,omitempty"` // a nil *usageInfo is written as null
}

// textChoice is the choice of a completion.
type textChoice struct {
	Index        int     `json:"index"`
	Text         string  `json:"text"`
	Logprobs     *string `json:"logprobs"`
	FinishReason *string `json:"finish_reason"`
	StopReason   *string `json:"stop_reason"`
}

// deltaChoice is the choice of a chat's chunk.
type deltaChoice struct {
	Index        int     `json:"index"`
	Delta        delta   `json:"delta"`
	Logprobs     *string `json:"logprobs"`
	FinishReason *string `json:"finish_reason"`
}

type delta struct {
	Role    string `json:"role,omitempty"`
	Content string `json:"content"`
}

// messageChoice is the choice of a whole chat answer.
type messageChoice struct {
	Index        int     `json:"index"`
	Message      delta   `json:"message"`
	Logprobs     *string `json:"logprobs"`
	FinishReason *string `json:"finish_reason"`
	StopReason   *string `json:"stop_reason"`
}

func (a *answer) counts() *usageInfo {
	return &usageInfo{a.prompt, a.prompt + len(a.times), len(a.times)}
}

func (a *answer) head(choices ...any) chunk {
	c := chunk{ID: a.id, Object: "text_completion", Created: a.created, Model: a.model, Choices: choices}
	if a.chat {
		c.Object = "chat.completion"
	}
	if choices == nil {
		c.Choices = []any{}
	}
	return c
}

// stream writes server-sent events as vLLM does: a chunk for each engine output,
// then usage if asked for, then [DONE]. A failure inside is a chunk with an error.
func (a *answer) stream() error {
	h := a.w.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("Cache-Control", "no-cache")
	a.w.WriteHeader(http.StatusOK)
	if err := a.flush(); err != nil {
		return err
	}
	for len(a.times) < len(a.due) {
		first, n, err := a.next()
		if err != nil {
			return err
		}
		if a.chat && first == 0 {
			// The role comes with the first output, before its text.
			if err := a.event(a.delta(delta{Role: "assistant"}, nil)); err != nil {
				return err
			}
		}
		text := ""
		for i := range n {
			text += word(first + i)
		}
		if err := a.event(a.token(text)); err != nil {
			return err
		}
		if a.errorAt > 0 && len(a.times) >= a.errorAt && len(a.times) < len(a.due) {
			return a.breakOff()
		}
	}
	if a.usage {
		c := a.head()
		c.Usage = a.counts()
		if a.chat {
			c.Object = "chat.completion.chunk"
		}
		if err := a.event(c); err != nil {
			return err
		}
	}
	return a.done()
}

// token is the chunk of the tokens just counted.
func (a *answer) token(text string) chunk {
	var finish *string
	if len(a.times) == len(a.due) {
		length := "length"
		finish = &length
	}
	if a.chat {
		return a.delta(delta{Content: text}, finish)
	}
	c := a.head(textChoice{Text: text, FinishReason: finish})
	c.Usage = (*usageInfo)(nil)
	if a.every && a.usage {
		c.Usage = a.counts()
	}
	return c
}

func (a *answer) delta(d delta, finish *string) chunk {
	c := a.head(deltaChoice{Delta: d, FinishReason: finish})
	c.Object = "chat.completion.chunk"
	if a.every && a.usage {
		c.Usage = a.counts()
		if d.Role != "" {
			c.Usage = &usageInfo{a.prompt, a.prompt, 0}
		}
	}
	return c
}

func (a *answer) breakOff() error {
	type failure struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    int     `json:"code"`
	}
	if err := a.event(map[string]failure{"error": {Message: "EngineCore encountered an issue. See stack trace (above) for the root cause.", Type: "InternalServerError", Code: 500}}); err != nil {
		return err
	}
	if err := a.done(); err != nil {
		return err
	}
	return errBroken
}

func (a *answer) event(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return a.write("data: " + string(b) + "\n\n")
}

func (a *answer) done() error { return a.write("data: [DONE]\n\n") }

func (a *answer) write(s string) error {
	if _, err := a.w.Write([]byte(s)); err != nil {
		return err
	}
	return a.flush()
}

func (a *answer) flush() error { return http.NewResponseController(a.w).Flush() }

// whole answers at once when the last token is due.
func (a *answer) whole() error {
	text := ""
	for len(a.times) < len(a.due) {
		first, n, err := a.next()
		if err != nil {
			return err
		}
		for i := range n {
			text += word(first + i)
		}
		if a.errorAt > 0 && len(a.times) >= a.errorAt {
			a.s.fail500(a.w)
			return errBroken
		}
	}
	length := "length"
	c := a.head(textChoice{Text: text, FinishReason: &length})
	if a.chat {
		c = a.head(messageChoice{Message: delta{Role: "assistant", Content: text}, FinishReason: &length})
	}
	c.Usage = a.counts()
	writeJSON(a.w, 200, c)
	return nil
}
