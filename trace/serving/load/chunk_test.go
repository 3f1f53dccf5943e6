package load

import (
	"bytes"
	"encoding/json"
	"testing"
)

func TestParseChunk(t *testing.T) {
	for _, c := range []struct {
		name, data string
		want       chunk
		fast       bool // by the scanner alone
	}{
		{"vllm completion", `{"id":"cmpl-1","object":"text_completion","created":1795400707,"model":"m","choices":[{"index":0,"text":" a","logprobs":null,"finish_reason":null,"stop_reason":null}],"usage":{"prompt_tokens":64,"total_tokens":65,"completion_tokens":1}}`,
			chunk{id: "cmpl-1", choices: true, text: true, usage: true, prompt: 64, output: 1}, true},
		{"vllm last", `{"id":"cmpl-1","choices":[{"index":0,"text":"","finish_reason":"length"}],"usage":null}`,
			chunk{id: "cmpl-1", choices: true, finish: "length"}, true},
		{"vllm usage", `{"id":"cmpl-1","choices":[],"usage":{"prompt_tokens":64,"total_tokens":72,"completion_tokens":8,"prompt_tokens_details":{"cached_tokens":48}}}`,
			chunk{id: "cmpl-1", usage: true, prompt: 64, output: 8, cached: 48}, true},
		{"no details", `{"choices":[],"usage":{"prompt_tokens":64,"completion_tokens":null,"prompt_tokens_details":null}}`,
			chunk{usage: true, prompt: 64}, true},
		{"chat role", `{"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}`,
			chunk{id: "c", choices: true}, true},
		{"chat text", `{"id":"c","choices":[{"delta":{"content":"\"}],\\"},"finish_reason":null}]}`, chunk{id: "c", choices: true, text: true}, true},
		{"reasoning", `{"choices":[{"delta":{"reasoning_content":"hm","content":null}}]}`, chunk{choices: true, text: true}, true},
		{"tool call", `{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\":"}}]}}]}`, chunk{choices: true, text: true}, true},
		{"whole chat answer", `{"choices":[{"message":{"role":"assistant","content":"a","tool_calls":[]},"finish_reason":"tool_calls"}]}`,
			chunk{choices: true, text: true, finish: "tool_calls"}, true},
		{"logprobs", `{"choices":[{"text":"a","logprobs":{"token_logprobs":[-0.5,1e-3,0]}}]}`, chunk{choices: true, text: true}, true},
		{"an answer that looks like usage", `{"choices":[{"text":"\",\"usage\":{\"completion_tokens\":9}"}]}`, chunk{choices: true, text: true}, true},
		{"a key inside something else", `{"x":{"usage":{"completion_tokens":9},"error":1},"choices":[{"text":"a","y":[{"finish_reason":"stop"}]}]}`,
			chunk{choices: true, text: true}, true},
		{"spaces", " { \"choices\" : [ { \"text\" : \"a\" } , { } ] , \"usage\" : { \"completion_tokens\" : 2 } } ",
			chunk{choices: true, text: true, usage: true, output: 2}, true},
		{"escaped id", `{"id":"a\u0062","choices":[{"text":"a"}]}`, chunk{id: "ab", choices: true, text: true}, false},
		{"id of no text", "{\"id\":\"a\xff\",\"choices\":[]}", chunk{id: "a\ufffd"}, false},
		{"escaped key", `{"ch\u006fices":[{"text":"a"}]}`, chunk{choices: true, text: true}, false},
		{"vllm error", `{"error":{"message":"EngineCore died","type":"InternalServerError","param":null,"code":500}}`,
			chunk{failed: true, message: "EngineCore died"}, false},
		{"older vllm error", `{"object":"error","message":"bad","type":"BadRequestError","param":null,"code":400}`,
			chunk{failed: true, message: "bad"}, false},
		{"no error", `{"error":null,"choices":[{"text":"a"}]}`, chunk{choices: true, text: true}, true},
	} {
		got, err := parseChunk([]byte(c.data), true)
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v\nwant %+v", c.name, got, err, c.want)
		}
		s := scanner{b: []byte(c.data)}
		if got := s.chunk(true); c.fast != (!s.doubt && !got.failed) {
			t.Errorf("%s: scanned without decoding %v, want %v", c.name, !c.fast, c.fast)
		}
	}
}

func TestNoChunk(t *testing.T) {
	for _, data := range []string{
		``, `null`, `[]`, `1`, `{`, `{"choices":[{"text":"a"}]`, `{"choices":[{"text":"a"}]}}`, `{"choices":{"text":"a"}}`,
		`{"choices":[{"text":1}]}`, `{"usage":{"completion_tokens":1.5},"choices":[]}`, `{"choices":[{"text":"a` + "\n" + `"}]}`,
		`{"choices":[{"text":"\x"}]}`, `{"usage":{"completion_tokens":01}}`, `{"usage":{"completion_tokens":99999999999999999999}}`, `<html>`,
	} {
		if c, err := parseChunk([]byte(data), true); err == nil {
			t.Errorf("%q reads as %+v", data, c)
		}
	}
}

// FuzzChunk: what the scanner understands, encoding/json understands alike.
func FuzzChunk(f *testing.F) {
	for _, s := range []string{
		`{"id":"c","choices":[{"text":"a","finish_reason":"stop","delta":{"content":"x","tool_calls":[1]}}],"usage":{"prompt_tokens":1,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":3}}}`,
		`{"object":"error","message":"m"}`, `{"error":{"message":"m"}}`, `{"a":[-1.5e+3,true,false,null,"\u00e9\n"]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s := scanner{b: data}
		got := s.chunk(true)
		if s.peek(); s.doubt || s.i != len(data) || got.failed || repeatsKeys(json.NewDecoder(bytes.NewReader(data))) {
			return
		}
		if want, err := decodeChunk(data); err != nil || got != want {
			t.Errorf("%q scans as %+v, decodes as %+v, %v", data, got, want, err)
		}
	})
}

// repeatsKeys says whether an object has a key twice: of the two values each reader may
// take its own.
func repeatsKeys(d *json.Decoder) bool {
	t, err := d.Token()
	open, ok := t.(json.Delim)
	if err != nil || !ok {
		return false
	}
	seen := map[string]bool{}
	for d.More() {
		if open == '{' {
			k, err := d.Token()
			name, ok := k.(string)
			if err != nil || !ok || seen[name] {
				return true
			}
			seen[name] = true
		}
		if repeatsKeys(d) {
			return true
		}
	}
	_, err = d.Token()
	return err != nil
}
