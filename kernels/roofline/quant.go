package roofline

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// quantConfig is the union of the quantization_config forms that are
// understood (transformers, compressed-tensors, AutoAWQ, GPTQ, ModelOpt).
type quantConfig struct {
	Method     string                `json:"quant_method"`
	Algo       string                `json:"quant_algo"`
	Bits       int                   `json:"bits"`
	WBit       int                   `json:"w_bit"`
	Group      int                   `json:"group_size"`
	QGroup     int                   `json:"q_group_size"`
	Block      []int                 `json:"weight_block_size"`
	FourBit    bool                  `json:"load_in_4bit"`
	EightBit   bool                  `json:"load_in_8bit"`
	Groups     map[string]quantGroup `json:"config_groups"`
	NotConvert []string              `json:"modules_to_not_convert"`
	Ignored    []string              `json:"ignored_layers"`
	Ignore     []string              `json:"ignore"`
	Exclude    []string              `json:"exclude_modules"`
}

type quantGroup struct {
	Targets []string    `json:"targets"`
	Weights *quantWidth `json:"weights"`
	Inputs  *quantWidth `json:"input_activations"`
}

type quantWidth struct {
	Bits      int    `json:"num_bits"`
	Type      string `json:"type"`
	Group     int    `json:"group_size"`
	Symmetric *bool  `json:"symmetric"`
}

// quantisation reads quantization_config. A form that is not understood leaves
// a Quant of unknown size, so that what it covers is n/a.
func (c *config) quantisation(m *Model) {
	raw, ok := c.raw("quantization_config")
	if !ok {
		if raw, ok = c.top["quantization_config"]; !ok || string(raw) == "null" {
			return
		}
	}
	m.Quant = &Format{Name: "unknown quantisation"}
	var q quantConfig
	if json.Unmarshal(raw, &q) != nil {
		return
	}
	var rules []skipRule
	for _, entry := range slices.Concat(q.NotConvert, q.Ignored, q.Ignore, q.Exclude) {
		if rule, ok := newSkipRule(entry); ok {
			rules = append(rules, rule)
		}
	}
	m.skip = skippedLayers(rules, m.Layers)
	*m.Quant = q.format(m.Base)
	m.sparse = q.Method == "mxfp4"
}

func (q quantConfig) format(base Format) Format {
	if len(q.Groups) > 0 {
		return q.grouped(base)
	}
	switch q.Method {
	case "fp8", "fbgemm_fp8":
		f := Format{Name: "fp8", Weight: 1, Input: 1, Compute: "fp8"}
		if len(q.Block) == 2 && q.Block[0] > 0 && q.Block[1] > 0 {
			f.Weight += 4 / (float64(q.Block[0]) * float64(q.Block[1])) // one float32 a block
		}
		return f
	case "modelopt", "modelopt_fp4":
		switch {
		case q.Algo == "FP8":
			return Format{Name: "fp8", Weight: 1, Input: 1, Compute: "fp8"}
		case q.Algo == "NVFP4":
			return nvfp4
		}
	case "awq", "gptq":
		bits, group := max(q.Bits, q.WBit), max(q.Group, q.QGroup)
		return weightOnly(bits, group, true, base)
	case "mxfp4":
		// What it multiplies in depends on the GPU: 16 bits on Hopper, narrower
		// on Blackwell.
		return Format{Name: "mxfp4", Weight: 0.5 + 1.0/32, Input: base.Input}
	case "bitsandbytes":
		switch {
		case q.FourBit: // one float32 for 64 weights
			return Format{Name: "bnb4", Weight: 0.5 + 4.0/64, Input: base.Input, Compute: base.Compute}
		case q.EightBit:
			return Format{Name: "bnb8", Weight: 1, Input: base.Input}
		}
	}
	return Format{Name: q.Method}
}

// nvfp4 has one fp8 scale for 16 weights.
var nvfp4 = Format{Name: "nvfp4", Weight: 0.5 + 1.0/16, Input: 0.5 + 1.0/16, Compute: "fp4"}

// grouped reads compressed-tensors' config_groups, when all groups agree.
func (q quantConfig) grouped(base Format) Format {
	var out Format
	first := true
	for _, g := range q.Groups {
		f := g.format(base)
		if !first && f != out {
			return Format{Name: q.Method}
		}
		out, first = f, false
	}
	return out
}

func (g quantGroup) format(base Format) Format {
	if g.Weights == nil {
		return Format{Name: "unknown quantisation"}
	}
	w := *g.Weights
	if g.Inputs == nil {
		if w.Type == "float" && w.Bits == 8 {
			return Format{Name: "fp8", Weight: 1, Input: base.Input, Compute: base.Compute}
		}
		if w.Type == "float" && w.Bits == 4 && w.Group == 16 {
			return Format{Name: "nvfp4", Weight: nvfp4.Weight, Input: base.Input, Compute: base.Compute}
		}
		return weightOnly(w.Bits, w.Group, w.Symmetric != nil && !*w.Symmetric, base)
	}
	switch {
	case w.Bits != g.Inputs.Bits || w.Type != g.Inputs.Type:
		return Format{Name: "mixed quantisation"}
	case w.Type == "float" && w.Bits == 8:
		return Format{Name: "fp8", Weight: 1, Input: 1, Compute: "fp8"}
	case w.Type == "int" && w.Bits == 8:
		return Format{Name: "int8", Weight: 1, Input: 1, Compute: "int8"}
	case w.Type == "float" && w.Bits == 4 && w.Group == 16:
		return nvfp4
	}
	return Format{Name: "unknown quantisation"}
}

// weightOnly is integer weights with one 16-bit scale, and a zero point of the
// weights' own width if zero, for each group; it multiplies in base.
func weightOnly(bits, group int, zero bool, base Format) Format {
	if bits < 2 || bits > 8 {
		return Format{Name: "unknown quantisation"}
	}
	f := Format{Name: "int" + strconv.Itoa(bits), Weight: float64(bits) / 8, Input: base.Input, Compute: base.Compute}
	if group > 0 {
		scale := 2.0
		if zero {
			scale += float64(bits) / 8
		}
		f.Weight += scale / float64(group)
	}
	return f
}

// modules are the names that checkpoints give a role's weights inside a layer.
var modules = map[string][]string{
	"qkv_proj":        {"self_attn.q_proj", "self_attn.qkv_proj"},
	"o_proj":          {"self_attn.o_proj"},
	"gate_up":         {"mlp.gate_proj", "mlp.up_proj", "mlp.gate_up_proj", "feed_forward.gate_proj"},
	"down":            {"mlp.down_proj", "feed_forward.down_proj"},
	"experts_gate_up": {"mlp.experts.0.gate_proj", "block_sparse_moe.experts.0.w1", "feed_forward.experts.0.gate_proj"},
	"experts_down":    {"mlp.experts.0.down_proj", "block_sparse_moe.experts.0.w2", "feed_forward.experts.0.down_proj"},
	"shared_gate_up":  {"mlp.shared_experts.gate_proj", "mlp.shared_expert.gate_proj", "feed_forward.shared_expert.gate_proj"},
	"shared_down":     {"mlp.shared_experts.down_proj", "mlp.shared_expert.down_proj", "feed_forward.shared_expert.down_proj"},
	"q":               {"self_attn.q_b_proj", "self_attn.q_proj"},
	"kv_a":            {"self_attn.kv_a_proj_with_mqa", "self_attn.fused_qkv_a_proj"},
	"kv_b":            {"self_attn.kv_b_proj"},
	"linear_in_proj":  {"linear_attn.in_proj_qkvz", "linear_attn.in_proj_qkv"},
	"linear_out_proj": {"linear_attn.out_proj"},
}

// Format returns how a role's numbers are stored in a layer. Routers, gates,
// the embedding and the head stay in the base format: engines do not quantise
// them.
func (m Model) Format(role string, layer int) Format {
	if _, ok := modules[role]; m.Quant == nil || !ok || m.sparse && !strings.HasPrefix(role, "experts_") {
		return m.Base
	}
	if skipped := m.skip[role]; layer >= 0 && layer < len(skipped) && skipped[layer] {
		return m.Base
	}
	return *m.Quant
}

// prefixes are what checkpoints put before a layer's number.
var prefixes = []string{"model.layers.", "language_model.model.layers.", "model.language_model.layers."}

// skippedLayers tells for each role the layers in which a rule keeps one of its
// modules unquantised. Lists of some checkpoints name every module, so this is
// worked out once.
func skippedLayers(rules []skipRule, layers int) map[string][]bool {
	if len(rules) == 0 {
		return nil
	}
	out := make(map[string][]bool, len(modules))
	for role, names := range modules {
		skipped := make([]bool, layers)
		for layer := range skipped {
			skipped[layer] = slices.ContainsFunc(names, func(name string) bool {
				return slices.ContainsFunc(prefixes, func(prefix string) bool {
					full := prefix + strconv.Itoa(layer) + "." + name
					return slices.ContainsFunc(rules, func(r skipRule) bool { return r.covers(full) })
				})
			})
		}
		out[role] = skipped
	}
	return out
}

// skipRule is one entry of a list of unquantised modules.
type skipRule struct {
	segments string         // a run of whole path segments, with a dot on each side
	re       *regexp.Regexp // or a pattern
}

// newSkipRule reads an entry: a regular expression after "re:", a pattern with
// stars, or a run of path segments. ok is false for one that says nothing.
func newSkipRule(entry string) (skipRule, bool) {
	if expr, ok := strings.CutPrefix(entry, "re:"); ok {
		re, err := regexp.Compile("^(?:" + expr + ")")
		return skipRule{re: re}, err == nil
	}
	entry = strings.Trim(entry, ".")
	if strings.Contains(entry, "*") {
		expr := strings.ReplaceAll(regexp.QuoteMeta(entry), `\*`, `.*`)
		re, err := regexp.Compile(`(?:^|\.)` + expr + `(?:\.|$)`)
		return skipRule{re: re}, err == nil
	}
	return skipRule{segments: "." + entry + "."}, entry != ""
}

func (r skipRule) covers(name string) bool {
	if r.re != nil {
		return r.re.MatchString(name)
	}
	return strings.Contains("."+name+".", r.segments)
}
