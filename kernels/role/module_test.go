package role

import (
	"strings"
	"testing"
)

func TestOfModule(t *testing.T) {
	for _, tt := range []struct{ classes, want string }{
		{"LlamaForCausalLM LlamaModel LlamaDecoderLayer LlamaAttention QKVParallelLinear", "qkv_proj"},
		{"LlamaForCausalLM LlamaModel LlamaDecoderLayer LlamaAttention RowParallelLinear", "o_proj"},
		{"LlamaForCausalLM LlamaModel LlamaDecoderLayer LlamaMLP MergedColumnParallelLinear", "gate_up"},
		{"LlamaForCausalLM LlamaModel LlamaDecoderLayer LlamaMLP RowParallelLinear", "down"},
		{"Qwen3MoeForCausalLM Qwen3MoeSparseMoeBlock ReplicatedLinear", "router"},
		{"Qwen3MoeForCausalLM Qwen3MoeDecoderLayer Qwen3MoeMLP RowParallelLinear", "down"},
		{"DeepseekV2MoE DeepseekV2MLP RowParallelLinear", "shared_down"},
		{"DeepseekV2MoE DeepseekV2MLP MergedColumnParallelLinear", "shared_gate_up"},
		{"DeepseekV2MLAAttention ReplicatedLinear", ""},
		{"DeepseekV2MLAAttention ColumnParallelLinear", ""},
		{"DeepseekV2MLAAttention MultiHeadLatentAttention RowParallelLinear", "o_proj"},
		{"Qwen3NextGatedDeltaNet ColumnParallelLinear", "linear_in_proj"},
		{"Qwen3NextGatedDeltaNet RowParallelLinear", "linear_out_proj"},
		{"LlamaForCausalLM LogitsProcessor", "lm_head"},
		{"LlamaForCausalLM LlamaAttention QKVParallelLinearWithLoRA", "qkv_proj"},
		{"LlamaForCausalLM Linear", ""},
		{"", ""},
	} {
		if got := OfModule(strings.Fields(tt.classes)).String(); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.classes, got, tt.want)
		}
	}
}
