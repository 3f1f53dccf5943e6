package load

import (
	"encoding/json"
	"errors"
)

// chunk is what a chunk of a stream, or a whole answer, says of its tokens.
type chunk struct {
	id      string
	failed  bool   // it holds an error instead of tokens
	message string // of the error
	choices bool   // it belongs to the answer: not the closing usage
	text    bool   // it brings some text, reasoning or tool call
	finish  string // why the answer ended; empty while it has not
	usage   bool
	prompt  int // with usage: tokens so far
	output  int
	cached  int
}

var errNotChunk = errors.New("no JSON object of a completion")

// parseChunk reads a chunk. The id is wanted only once in a stream.
func parseChunk(b []byte, wantID bool) (chunk, error) {
	s := scanner{b: b}
	c := s.chunk(wantID)
	if s.peek(); s.doubt || s.i != len(b) || c.failed {
		return decodeChunk(b)
	}
	return c, nil
}

func (s *scanner) chunk(wantID bool) (c chunk) {
	for k, more := s.member('{'); more; k, more = s.member(',') {
		switch string(k) {
		case "id":
			if v := s.plain(); wantID {
				c.id = string(v)
			}
		case "error":
			if !s.null() {
				c.failed = true
				s.skip(0)
			}
		case "object":
			c.failed = c.failed || string(s.plain()) == "error"
		case "choices":
			if !s.null() {
				for more := s.element('['); more; more = s.element(',') {
					c.choices = true
					s.choice(&c)
				}
			}
		case "usage":
			if !s.null() {
				c.usage = true
				s.usage(&c)
			}
		default:
			s.skip(0)
		}
	}
	return c
}

func (s *scanner) choice(c *chunk) {
	for k, more := s.member('{'); more; k, more = s.member(',') {
		switch string(k) {
		case "text":
			c.text = s.some() || c.text
		case "delta", "message":
			if !s.null() {
				s.delta(c)
			}
		case "finish_reason":
			if v := s.plain(); len(v) > 0 {
				c.finish = string(v)
			}
		default:
			s.skip(0)
		}
	}
}

func (s *scanner) delta(c *chunk) {
	for k, more := s.member('{'); more; k, more = s.member(',') {
		switch string(k) {
		case "content", "reasoning_content", "reasoning":
			c.text = s.some() || c.text
		case "tool_calls":
			if !s.null() {
				for more := s.element('['); more; more = s.element(',') {
					c.text = true
					s.skip(0)
				}
			}
		default:
			s.skip(0)
		}
	}
}

func (s *scanner) usage(c *chunk) {
	for k, more := s.member('{'); more; k, more = s.member(',') {
		switch string(k) {
		case "prompt_tokens":
			c.prompt = s.count()
		case "completion_tokens":
			c.output = s.count()
		case "prompt_tokens_details":
			if s.null() {
				continue
			}
			for k, more := s.member('{'); more; k, more = s.member(',') {
				if string(k) == "cached_tokens" {
					c.cached = s.count()
				} else {
					s.skip(0)
				}
			}
		default:
			s.skip(0)
		}
	}
}

// decodeChunk reads a chunk in full: errors, and what the scanner did not understand.
func decodeChunk(b []byte) (c chunk, err error) {
	var top map[string]json.RawMessage
	if json.Unmarshal(b, &top) != nil || top == nil {
		return c, errNotChunk
	}
	var object string
	var choices []map[string]json.RawMessage
	var usage map[string]json.RawMessage
	for _, f := range []struct {
		key  string
		into any
	}{{"id", &c.id}, {"object", &object}, {"choices", &choices}, {"usage", &usage}} {
		if raw, ok := top[f.key]; ok && json.Unmarshal(raw, f.into) != nil {
			return chunk{}, errNotChunk
		}
	}
	if e := top["error"]; object == "error" || len(e) > 0 && string(e) != "null" {
		c.failed, c.message = true, errorMessage(b)
		return c, nil
	}
	for _, ch := range choices {
		c.choices = true
		if err := c.decodeChoice(ch); err != nil {
			return chunk{}, err
		}
	}
	if usage != nil {
		c.usage = true
		var details map[string]json.RawMessage
		for _, f := range []struct {
			from map[string]json.RawMessage
			key  string
			into any
		}{{usage, "prompt_tokens", &c.prompt}, {usage, "completion_tokens", &c.output}, {usage, "prompt_tokens_details", &details}} {
			if raw, ok := f.from[f.key]; ok && json.Unmarshal(raw, f.into) != nil {
				return chunk{}, errNotChunk
			}
		}
		if raw, ok := details["cached_tokens"]; ok && json.Unmarshal(raw, &c.cached) != nil {
			return chunk{}, errNotChunk
		}
	}
	return c, nil
}

func (c *chunk) decodeChoice(m map[string]json.RawMessage) error {
	var text, finish string
	var parts [2]map[string]json.RawMessage
	for _, f := range []struct {
		key  string
		into any
	}{{"text", &text}, {"finish_reason", &finish}, {"delta", &parts[0]}, {"message", &parts[1]}} {
		if raw, ok := m[f.key]; ok && json.Unmarshal(raw, f.into) != nil {
			return errNotChunk
		}
	}
	c.text = c.text || text != ""
	if finish != "" {
		c.finish = finish
	}
	for _, d := range parts {
		for _, key := range []string{"content", "reasoning_content", "reasoning"} {
			var v string
			if raw, ok := d[key]; ok && json.Unmarshal(raw, &v) != nil {
				return errNotChunk
			}
			c.text = c.text || v != ""
		}
		var calls []json.RawMessage
		if raw, ok := d["tool_calls"]; ok && json.Unmarshal(raw, &calls) != nil {
			return errNotChunk
		}
		c.text = c.text || len(calls) > 0
	}
	return nil
}
