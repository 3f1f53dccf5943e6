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
		{"GptOssModel TransformerBlock OAIAttention QKVParallelLinear", "qkv_proj"},
		{"GptOssModel TransformerBlock MLPBlock ReplicatedLinear", "router"},
		{"Llama4DecoderLayer Llama4MoE LlamaMLP MergedColumnParallelLinear", "shared_gate_up"},
		{"Qwen3NextSparseMoeBlock SharedFusedMoE Qwen3NextMLP ReplicatedLinear", ""},
		{"NemotronHMLPDecoderLayer NemotronHMLP ColumnParallelLinear", "gate_up"},
		{"NemotronHMambaDecoderLayer MambaMixer2 MergedColumnParallelLinear", "linear_in_proj"},
		{"NemotronHMoEDecoderLayer NemotronHMoE NemotronHMLP RowParallelLinear", "shared_down"},
		{"JambaMambaDecoderLayer JambaMambaMixer RowParallelLinear", ""},
		{"JambaMambaDecoderLayer MambaMixer ColumnParallelLinear", ""},
		{"GraniteMoeHybridMambaDecoderLayer GraniteMoeSharedMLP MergedColumnParallelLinear", "shared_gate_up"},
		{"KimiDecoderLayer KimiDeltaAttention ColumnParallelLinear", "linear_in_proj"},
		{"KimiDecoderLayer KimiDeltaAttention RowParallelLinear", "linear_out_proj"},
		{"LlamaForCausalLMEagle3 LlamaModel ReplicatedLinear", ""},
		{"Qwen2_5_VisionTransformer Qwen2_5_VisionPatchMerger RowParallelLinear", ""},
		{"LlamaModel VocabParallelEmbedding", "embedding"},
		{"Sampler", "sampling"},
		{"LlamaForCausalLM LlamaAttention QKVParallelLinearWithLoRA", "qkv_proj"},
		{"LlamaForCausalLM Linear", ""},
		{"", ""},
	} {
		if got := OfModule(strings.Fields(tt.classes)).String(); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.classes, got, tt.want)
		}
	}
}
