package roofline

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
)

// Limits on a config: beyond them a number is damage, not a size.
const (
	maxConfig = 16 << 20 // bytes
	maxLayers = 1000
	maxSize   = 1 << 24
)

// config is one JSON object of a config.json, its language model's, with the
// file's outermost object behind it.
type config struct {
	own, top map[string]json.RawMessage
	defaults map[string]int
	err      error // the first thing wrong
}

// nests are the keys under which multimodal configs keep their language model.
var nests = []string{"text_config", "llm_config", "language_config", "thinker_config"}

// ParseModel reads a Hugging Face config.json, of a language model or of a
// multimodal one that nests it. A key that the model cannot be understood
// without is named in the error.
func ParseModel(r io.Reader) (Model, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxConfig+1))
	if err != nil {
		return Model{}, err
	}
	if len(data) > maxConfig {
		return Model{}, fmt.Errorf("config.json is larger than %d MiB", maxConfig>>20)
	}
	var top map[string]json.RawMessage
	if err := json.Unmarshal(data, &top); err != nil {
		return Model{}, fmt.Errorf("config.json is not a JSON object: %w", err)
	}
	c := &config{own: language(top), top: top}
	m := c.model()
	if c.err != nil {
		return Model{}, c.err
	}
	return m, nil
}

// language finds the object of the language model: the innermost nest.
func language(obj map[string]json.RawMessage) map[string]json.RawMessage {
	for range 3 {
		var inner map[string]json.RawMessage
		for _, key := range nests {
			if json.Unmarshal(obj[key], &inner) == nil && len(inner) > 0 {
				break
			}
			inner = nil
		}
		if inner == nil {
			break
		}
		obj = inner
	}
	return obj
}

func (c *config) model() Model {
	var m Model
	m.Family = c.text("model_type")
	var archs []string
	if json.Unmarshal(c.top["architectures"], &archs) == nil && len(archs) > 0 {
		m.Architecture = archs[0]
	}
	fam, known := families[m.Family]
	c.defaults = fam.defaults
	m.Layers = c.need("num_hidden_layers", maxLayers)
	m.Base = formats[strings.TrimPrefix(c.text("dtype", "torch_dtype"), "torch.")]
	if c.err != nil {
		return m
	}
	if !known {
		m.unknown(c)
		return m
	}
	m.Known = true
	m.Hidden = c.need("hidden_size", maxSize)
	m.Gated = !fam.plain
	m.Heads = c.need("num_attention_heads", maxSize)
	m.Vocab = c.need("vocab_size", maxSize)
	m.Intermediate = c.number("intermediate_size", 0)
	m.TieEmbeddings = c.flag("tie_word_embeddings", fam.tie)
	m.OutputGate = c.flag("attn_output_gate", fam.gate)
	c.attention(&m, fam)
	c.experts(&m, fam)
	c.kinds(&m, fam)
	if m.Intermediate == 0 && m.DenseLayers() > 0 {
		c.fail("config.json has no intermediate_size")
	}
	c.quantisation(&m)
	return m
}

// unknown keeps what a config of an unknown family plainly says; the rest of
// its arithmetic is not ours to guess.
func (m *Model) unknown(c *config) {
	lenient := &config{own: c.own, top: c.top}
	m.Hidden = lenient.number("hidden_size", 0)
	m.Heads = lenient.number("num_attention_heads", 0)
	m.Vocab = lenient.number("vocab_size", 0)
	m.Kinds = make([]Kind, m.Layers)
	for i := range m.Kinds {
		m.Kinds[i].Window = UnknownWindow
	}
}

func (c *config) attention(m *Model, fam family) {
	if fam.latent {
		m.QLoRARank = c.number("q_lora_rank", 0)
		m.KVLoRARank = c.need("kv_lora_rank", maxSize)
		m.QKNopeHeadDim = c.need("qk_nope_head_dim", maxSize)
		m.QKRopeHeadDim = c.need("qk_rope_head_dim", maxSize)
		m.VHeadDim = c.need("v_head_dim", maxSize)
		m.IndexHeads = c.number("index_n_heads", 0)
		m.IndexHeadDim = c.number("index_head_dim", 0)
		m.KVHeads = 1 // one latent vector serves all heads
		return
	}
	if fam.mha {
		m.KVHeads = c.number("num_key_value_heads", m.Heads)
	} else {
		m.KVHeads = c.need("num_key_value_heads", maxSize)
	}
	m.HeadDim = c.number("head_dim", fam.headDim)
	if m.HeadDim == 0 && m.Heads > 0 {
		if m.Hidden%m.Heads != 0 {
			c.fail("config.json has no head_dim, and hidden_size %d is no multiple of num_attention_heads %d", m.Hidden, m.Heads)
			return
		}
		m.HeadDim = m.Hidden / m.Heads
	}
	if m.KVHeads > 0 && m.Heads%m.KVHeads != 0 {
		c.fail("config.json: num_attention_heads %d is no multiple of num_key_value_heads %d", m.Heads, m.KVHeads)
	}
	if fam.linear {
		m.LinearKeyHeads = c.need("linear_num_key_heads", maxSize)
		m.LinearValueHeads = c.need("linear_num_value_heads", maxSize)
		m.LinearKeyHeadDim = c.need("linear_key_head_dim", maxSize)
		m.LinearValueHeadDim = c.need("linear_value_head_dim", maxSize)
	}
}

// fail keeps the first thing wrong.
func (c *config) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf(format, args...)
	}
}

// raw finds a key, null counting as absent.
func (c *config) raw(key string) (json.RawMessage, bool) {
	v, ok := c.own[key]
	return v, ok && string(v) != "null"
}

// text returns the first of keys that is a string, of the language model or
// else of the whole file.
func (c *config) text(keys ...string) string {
	for _, obj := range []map[string]json.RawMessage{c.own, c.top} {
		for _, key := range keys {
			var s string
			if json.Unmarshal(obj[key], &s) == nil && s != "" {
				return s
			}
		}
	}
	return ""
}

// flag returns a boolean of the language model, or else of the whole file.
func (c *config) flag(key string, absent bool) bool {
	for _, obj := range []map[string]json.RawMessage{c.own, c.top} {
		if v, ok := obj[key]; ok && string(v) != "null" {
			var b bool
			if json.Unmarshal(v, &b) != nil {
				c.fail("config.json: %s is not true or false", key)
			}
			return b
		}
	}
	return absent
}

// number returns a size that may be absent.
func (c *config) number(key string, absent int) int {
	v, ok := c.raw(key)
	if !ok {
		if d, ok := c.defaults[key]; ok && absent == 0 {
			return d
		}
		return absent
	}
	var f float64
	if json.Unmarshal(v, &f) != nil || f != math.Trunc(f) || f < 0 || f > maxSize {
		c.fail("config.json: %s is not a size", key)
		return absent
	}
	return int(f)
}

// need returns a size that must be there.
func (c *config) need(key string, limit int) int {
	if _, ok := c.raw(key); !ok {
		if d, ok := c.defaults[key]; ok {
			return d
		}
		c.fail("config.json has no %s", key)
		return 0
	}
	n := c.number(key, 0)
	if c.err == nil && (n == 0 || n > limit) {
		c.fail("config.json: %s is %d", key, n)
	}
	return n
}
