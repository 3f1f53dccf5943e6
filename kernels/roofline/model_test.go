package roofline

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// load reads a config of testdata: public configs, cut to the keys that bear
// on shapes.
func load(t testing.TB, name string) Model {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := ParseModel(f)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return m
}

// Weight shapes by hand from the published architectures; those of llama-16l,
// qwen3 and qwen3-30b-a3b were also recorded by torch at TP 1 and 2
// (aten::mm[[8, 4096], [4096, 3072], [8, 3072]] is a QKV at TP 2).
func TestProduct(t *testing.T) {
	tests := []struct {
		model, role   string
		layer, tp, ep int
		k, n          int
	}{
		{"llama-16l", "qkv_proj", 0, 1, 1, 4096, 6144},
		{"llama-16l", "o_proj", 0, 1, 1, 4096, 4096},
		{"llama-16l", "gate_up", 15, 1, 1, 4096, 28672},
		{"llama-16l", "down", 15, 1, 1, 14336, 4096},
		{"llama-16l", "lm_head", -1, 1, 1, 4096, 128256},
		{"llama-16l", "qkv_proj", 0, 2, 1, 4096, 3072},
		{"llama-16l", "o_proj", 0, 2, 1, 2048, 4096},
		{"llama-16l", "gate_up", 0, 2, 1, 4096, 14336},
		{"llama-16l", "down", 0, 2, 1, 7168, 4096},
		{"llama-16l", "lm_head", -1, 2, 1, 4096, 64128},
		{"llama-3-8b", "qkv_proj", 31, 16, 1, 4096, 512}, // 2 heads and a copy of one K and V
		{"qwen3-8b", "gate_up", 0, 1, 1, 4096, 24576},
		{"qwen3-8b", "lm_head", 0, 1, 1, 4096, 151936},
		{"qwen3-30b-a3b", "qkv_proj", 0, 1, 1, 2048, 5120},
		{"qwen3-30b-a3b", "o_proj", 0, 1, 1, 4096, 2048},
		{"qwen3-30b-a3b", "router", 0, 1, 1, 2048, 128},
		{"qwen3-30b-a3b", "experts_gate_up", 0, 1, 1, 2048, 1536},
		{"qwen3-30b-a3b", "experts_down", 0, 1, 1, 768, 2048},
		{"qwen3-30b-a3b", "experts_down", 0, 4, 1, 192, 2048},
		{"qwen3-30b-a3b", "experts_gate_up", 0, 4, 4, 2048, 1536},
		{"qwen3-30b-a3b", "router", 0, 4, 1, 2048, 128},
		{"deepseek-v3", "q", 0, 8, 1, 1536, 16 * 192},
		{"deepseek-v3", "kv_a", 0, 8, 1, 7168, 2112},
		{"deepseek-v3", "kv_b", 0, 8, 1, 512, 16 * 256},
		{"deepseek-v3", "o_proj", 0, 8, 1, 2048, 7168},
		{"deepseek-v3", "gate_up", 2, 8, 1, 7168, 4608},
		{"deepseek-v3", "down", 2, 1, 1, 18432, 7168},
		{"deepseek-v3", "router", 3, 8, 1, 7168, 256},
		{"deepseek-v3", "experts_gate_up", 3, 1, 8, 7168, 4096},
		{"deepseek-v3", "shared_down", 60, 8, 1, 256, 7168},
		{"deepseek-v2-lite", "q", 1, 1, 1, 2048, 3072},
		{"deepseek-v2-lite", "kv_a", 1, 1, 1, 2048, 576},
		{"deepseek-v2-lite", "shared_gate_up", 1, 1, 1, 2048, 5632},
		{"mixtral-8x7b", "experts_gate_up", 0, 2, 1, 4096, 14336},
		{"qwen1.5-moe-a2.7b", "shared_gate_up", 0, 1, 1, 2048, 11264},
		{"qwen1.5-moe-a2.7b", "shared_expert_gate", 0, 1, 1, 2048, 1},
		{"qwen3-next-80b-a3b", "linear_out_proj", 0, 1, 1, 4096, 2048},
		{"qwen3-next-80b-a3b", "qkv_proj", 3, 1, 1, 2048, 9216},
		{"qwen3-next-80b-a3b", "o_proj", 3, 1, 1, 4096, 2048},
		{"gemma-3-4b", "qkv_proj", 0, 1, 1, 2560, 4096},
		{"gemma-3-4b", "o_proj", 0, 1, 1, 2048, 2560},
		{"gemma-3-4b", "lm_head", 0, 1, 1, 2560, 262208},
		{"gpt-oss-20b", "qkv_proj", 0, 1, 1, 2880, 5120},
		{"gpt-oss-20b", "experts_gate_up", 0, 1, 1, 2880, 5760},
		{"llama-4-scout", "qkv_proj", 0, 8, 1, 5120, 896},
		{"llama-4-scout", "experts_down", 0, 8, 1, 1024, 5120},
		{"llama-4-scout", "shared_gate_up", 0, 8, 1, 5120, 2048},
		{"phi-3-mini", "qkv_proj", 0, 1, 1, 3072, 9216},
		{"phi-3-mini", "gate_up", 0, 1, 1, 3072, 16384},
		{"glm-4.5-air", "qkv_proj", 0, 1, 1, 4096, 14336},
	}
	for _, tt := range tests {
		m := load(t, tt.model)
		k, n, ok := m.Product(tt.role, tt.layer, tt.tp, tt.ep)
		if !ok || k != tt.k || n != tt.n {
			t.Errorf("%s %s layer %d TP %d EP %d: %d×%d %v, want %d×%d", tt.model, tt.role, tt.layer, tt.tp, tt.ep, k, n, ok, tt.k, tt.n)
		}
	}
}

func TestProductUnknown(t *testing.T) {
	tests := []struct {
		model, role   string
		layer, tp, ep int
	}{
		{"falcon-7b", "qkv_proj", 0, 1, 1},
		{"falcon-7b", "lm_head", 0, 1, 1},
		{"llama-16l", "router", 0, 1, 1},
		{"llama-16l", "q", 0, 1, 1},
		{"llama-16l", "qkv_proj", 16, 1, 1},
		{"llama-16l", "qkv_proj", -1, 1, 1},
		{"llama-16l", "qkv_proj", 0, 3, 1},
		{"llama-16l", "qkv_proj", 0, 0, 1},
		{"llama-16l", "sampling", 0, 1, 1},
		{"deepseek-v3", "experts_down", 2, 1, 1},
		{"deepseek-v3", "down", 3, 1, 1},
		{"deepseek-v3", "qkv_proj", 3, 1, 1},
		{"deepseek-v3", "shared_down", 3, 8, 8}, // cut or copied: the server's choice
		{"deepseek-v3", "experts_down", 3, 1, 7},
		{"deepseek-v3", "shared_expert_gate", 3, 1, 1},
		{"qwen3-next-80b-a3b", "linear_in_proj", 0, 1, 1}, // two products
		{"qwen3-next-80b-a3b", "qkv_proj", 0, 1, 1},
	}
	for _, tt := range tests {
		if k, n, ok := load(t, tt.model).Product(tt.role, tt.layer, tt.tp, tt.ep); ok {
			t.Errorf("%s %s layer %d TP %d EP %d: %d×%d, want n/a", tt.model, tt.role, tt.layer, tt.tp, tt.ep, k, n)
		}
	}
	list, ok := load(t, "qwen3-next-80b-a3b").Products("linear_in_proj", 0, 2, 1)
	if !ok || len(list) != 2 || list[0].N != 6144 || list[1].N != 32 {
		t.Errorf("linear_in_proj: %v %v", list, ok)
	}
}

// Public parameter counts, in billions, of the language model alone.
func TestParameters(t *testing.T) {
	for name, want := range map[string]float64{
		"llama-3-8b": 8.03, "llama-3.2-1b": 1.236, "qwen3-8b": 8.19, "qwen3-30b-a3b": 30.53, "deepseek-v3": 671.0,
		"kimi-k2": 1026.4, "deepseek-v2-lite": 15.71, "mixtral-8x7b": 46.70, "qwen1.5-moe-a2.7b": 14.32,
		"qwen3-next-80b-a3b": 79.67, "gemma-3-4b": 3.88, "gpt-oss-20b": 20.91, "llama-4-scout": 107.77,
		"phi-3-mini": 3.82, "glm-4.5-air": 106.85, "qwen2.5-7b-awq": 7.62,
	} {
		total, _, ok := load(t, name).Parameters()
		if got := total / 1e9; !ok || math.Abs(got-want) > want/100 {
			t.Errorf("%s: %.2f B %v, want %.2f B", name, got, ok, want)
		}
	}
	if _, _, ok := load(t, "falcon-7b").Parameters(); ok {
		t.Error("an unknown family's parameters were counted")
	}
}

func TestKinds(t *testing.T) {
	v3 := load(t, "deepseek-v3")
	if v3.DenseLayers() != 3 || v3.MoELayers() != 58 || v3.Kinds[0].Mixer != Latent {
		t.Errorf("deepseek-v3: %d dense, %d with experts", v3.DenseLayers(), v3.MoELayers())
	}
	next := load(t, "qwen3-next-80b-a3b")
	if next.LinearLayers() != 36 || next.Kinds[3].Mixer != Attention || next.Kinds[4].Mixer != Linear {
		t.Errorf("qwen3-next: %d linear layers", next.LinearLayers())
	}
	gemma := load(t, "gemma-3-4b")
	if gemma.Kinds[0].Window != 1024 || gemma.Kinds[5].Window != 0 || !gemma.TieEmbeddings || gemma.Heads != 8 {
		t.Errorf("gemma-3: %+v", gemma.Kinds[:6])
	}
	oss := load(t, "gpt-oss-20b")
	if oss.Kinds[0].Window != 128 || oss.Kinds[1].Window != 0 || !oss.Kinds[0].MoE {
		t.Errorf("gpt-oss: %+v", oss.Kinds[:2])
	}
	scout := load(t, "llama-4-scout")
	if scout.Kinds[0].Chunk != 8192 || scout.Kinds[3].Chunk != 0 || scout.MoELayers() != 48 {
		t.Errorf("llama-4: %+v", scout.Kinds[:4])
	}
	if w := load(t, "qwen1.5-moe-a2.7b").Kinds[23].Window; w != 0 {
		t.Errorf("qwen1.5-moe: window %d though use_sliding_window is false", w)
	}
}

func TestFormat(t *testing.T) {
	tests := []struct {
		model, role string
		layer       int
		name        string
		weight      float64
	}{
		{"llama-3-8b", "down", 0, "bf16", 2},
		{"deepseek-v3", "experts_down", 3, "fp8", 1 + 4.0/(128*128)},
		{"deepseek-v3", "router", 3, "bf16", 2},
		{"deepseek-v3", "lm_head", -1, "bf16", 2},
		{"gpt-oss-20b", "experts_down", 0, "mxfp4", 0.53125},
		{"gpt-oss-20b", "qkv_proj", 0, "bf16", 2},
		{"qwen2.5-7b-awq", "gate_up", 0, "int4", 0.5 + 2.5/128},
		{"llama-3-8b-fp8", "down", 1, "fp8", 1},
		{"llama-3-8b-fp8", "down", 0, "bf16", 2}, // in the ignore list
		{"llama-3-8b-fp8", "qkv_proj", 0, "fp8", 1},
	}
	for _, tt := range tests {
		f := load(t, tt.model).Format(tt.role, tt.layer)
		if f.Name != tt.name || math.Abs(f.Weight-tt.weight) > 1e-9 {
			t.Errorf("%s %s: %+v, want %s of %v bytes", tt.model, tt.role, f, tt.name, tt.weight)
		}
	}
}

// minimal is a Llama config without one of the keys it needs when %s is empty.
const minimal = `{"model_type":"llama","num_hidden_layers":2,"hidden_size":64,"num_attention_heads":4,
"vocab_size":128,"intermediate_size":128,"torch_dtype":"bfloat16"%s}`

func parse(extra string) (Model, error) {
	return ParseModel(strings.NewReader(strings.Replace(minimal, "%s", extra, 1)))
}

func TestParseModelErrors(t *testing.T) {
	for text, want := range map[string]string{
		`[]`:                       "not a JSON object",
		`{`:                        "not a JSON object",
		`{"model_type":"llama"}`:   "config.json has no num_hidden_layers",
		`{"num_hidden_layers":-1}`: "num_hidden_layers is not a size",
		`{"model_type":"llama","num_hidden_layers":2}`:     "config.json has no hidden_size",
		`{"model_type":"llama","num_hidden_layers":"2"}`:   "num_hidden_layers is not a size",
		`{"model_type":"llama","num_hidden_layers":1e9}`:   "num_hidden_layers is not a size",
		`{"model_type":"llama","num_hidden_layers":20000}`: "num_hidden_layers is 20000",
	} {
		if _, err := ParseModel(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	for extra, want := range map[string]string{
		`,"num_attention_heads":3`:                       "no multiple of num_attention_heads",
		`,"num_key_value_heads":3`:                       "no multiple of num_key_value_heads",
		`,"layer_types":["full_attention"]`:              "layer_types does not name 2 layers",
		`,"tie_word_embeddings":"yes"`:                   "tie_word_embeddings is not true or false",
		`,"model_type":"mixtral"`:                        "has no num_key_value_heads",
		`,"model_type":"deepseek_v3"`:                    "has no kv_lora_rank",
		`,"model_type":"olmoe"`:                          "has no num_local_experts",
		`,"model_type":"olmoe","num_experts":4`:          "has no num_experts_per_tok",
		`,"intermediate_size":null`:                      "has no intermediate_size",
		`,"model_type":"qwen3","num_key_value_heads":{}`: "num_key_value_heads is not a size",
	} {
		if _, err := parse(extra); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", extra, err, want)
		}
	}
}

func TestParseModelUnknown(t *testing.T) {
	m := load(t, "falcon-7b")
	if m.Known || m.Layers != 32 || m.Hidden != 4544 || m.Family != "falcon" {
		t.Errorf("falcon: %+v", m)
	}
	m, err := parse(`,"torch_dtype":"float32"`)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := m.Work("down", 0, 1, 1, 1); ok {
		t.Error("work in bytes though the dtype that runs is not known")
	}
	if m, ok := m.WithDtype("float16"); !ok || m.Base.Weight != 2 {
		t.Error("WithDtype float16")
	}
	m, err = parse(`,"quantization_config":{"quant_method":"quark"}`)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := m.Work("down", 0, 1, 1, 1); ok {
		t.Error("work of an unknown quantisation")
	}
	if _, ok := m.Work("lm_head", 0, 1, 1, 1); !ok {
		t.Error("the head is not quantised")
	}
}

func FuzzParseModel(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.json")
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseModel(strings.NewReader(string(b)))
		if err != nil {
			return
		}
		if len(m.Kinds) != m.Layers {
			t.Fatalf("%d kinds of %d layers", len(m.Kinds), m.Layers)
		}
		for _, role := range layerRoles {
			for _, tp := range []int{1, 2, 8} {
				list, ok := m.Products(role, m.Layers-1, tp, 1)
				for _, p := range list {
					if ok && (p.K <= 0 || p.N <= 0) {
						t.Fatalf("%s: %d×%d", role, p.K, p.N)
					}
				}
			}
		}
		m.Attention(0, []Sequence{{1, 100}, {7, 7}}, 1, 0)
		if bytes, _, ok := m.WeightReadFloor(3, Rank{}); ok && !(bytes > 0) {
			t.Fatalf("floor of %v bytes", bytes)
		}
		m.Check(Found{Layers: 1, Shapes: []Seen{{"down", 0, 1, 2}}})
	})
}
