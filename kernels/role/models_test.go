package role

// More models, in the order in which vLLM (or the engine named) launches their
// kernels. They join models in pass_test.go.

// Latent attention in decode, with quantised products (DeepSeek V3 in FP8).
const (
	latentIn   = "n q:kv_a g:kv_a n q:q g:q n x K g:kv_b x M c"
	latentOut  = "g:kv_b q:o_proj g:o_proj r n"
	denseFP8   = "q:gate_up g:gate_up f q:down g:down r"
	sharedFP8  = "q:shared_gate_up g:shared_gate_up f q:shared_down g:shared_down"
	expertsFP8 = "q:experts_gate_up o X:experts_gate_up f q:experts_down X:experts_down o"
	deepEP     = "g:router o q:experts_gate_up r X:experts_gate_up f X:experts_down r"
)

const (
	gdnIn   = "n g:linear_in_proj g:linear_in_proj . C l n l l"
	gdnOut  = "n g:linear_out_proj r n"
	sparse  = "g:router g:shared_gate_up f g:shared_down g:shared_expert_gate i o X:experts_gate_up f X:experts_down o r"
	gatedIn = "n g:qkv_proj n n x k a i"

	mambaIn   = "n g:linear_in_proj C l"
	mambaOut  = "n g:linear_out_proj r"
	mlpBlock  = "n g:gate_up f g:down r"
	attnBlock = "n g:qkv_proj k a g:o_proj r"
	moeBlock  = "n g:router o X:experts_gate_up f X:experts_down o g:shared_gate_up f g:shared_down r"

	// PyTorch without fused kernels: a norm is a root between products, a gate is
	// activated before its other half is made.
	bareIn      = "n p p g:qkv_proj g:qkv_proj g:qkv_proj p p a"
	bareFFN     = "g:gate_up F g:gate_up p g:down"
	bareShared  = "g:shared_gate_up F g:shared_gate_up p g:shared_down"
	bareExperts = "q:experts_gate_up X:experts_gate_up F p q:experts_down X:experts_down p"
	normedIn    = "n p p g:qkv_proj n p p g:qkv_proj n p p g:qkv_proj p p a"

	mamba1 = "n g:linear_in_proj C g n n n g l g:linear_out_proj n"
)

func init() {
	for name, text := range moreModels {
		models[name] = text
	}
}

var moreModels = map[string]string{
	"DeepSeek V3 in FP8, tensor parallel": "e:embedding r " + times(3, latentIn+" "+latentOut+" "+denseFP8) +
		times(3, latentIn+" "+latentOut+" g:router o "+sharedFP8+" "+expertsFP8+" r") + "n g:lm_head r z:sampling",
	"DeepSeek V3, shared expert before the router": "e:embedding r " + latentIn + " " + latentOut + " " + denseFP8 + " " +
		times(4, latentIn+" "+latentOut+" "+sharedFP8+" g:router o "+expertsFP8+" r") + "n g:lm_head r z:sampling",
	"DeepSeek V3 with DeepEP and an MTP draft": "e:embedding " + latentIn + " " + latentOut + " " + denseFP8 + " " +
		times(4, latentIn+" "+latentOut+" "+sharedFP8+" "+deepEP) + "n g:lm_head r z:sampling . e:embedding n n . g " +
		latentIn + " " + latentOut + " " + sharedFP8 + " " + deepEP + " n g:lm_head r z:sampling",
	"DeepSeek V2 Lite, prefill with context": "e:embedding " +
		times(3, "n g:kv_a g:q n x K g:kv_b x a . g:kv_b x a c g:o_proj r n g:router o X:experts_gate_up f X:experts_down o g:shared_gate_up f g:shared_down . r") +
		"n g:lm_head z:sampling",
	"Qwen3-Next, gate behind the shared expert": "e:embedding " +
		times(2, times(3, gdnIn+" "+gdnOut+" "+sparse)+gatedIn+" g:o_proj r n "+sparse) + "n g:lm_head r z:sampling",
	"Gemma 3": "e:embedding . " + times(3, "n g:qkv_proj n n x k a g:o_proj r n n g:gate_up f g:down r n") + "n g:lm_head . z:sampling",
	"gpt-oss, matmul_ogs": "e:embedding " +
		times(4, "n g:qkv_proj . x k a g:o_proj . r n g:router o o o X:experts_gate_up f X:experts_down o r") + "n g:lm_head r z:sampling",
	"gpt-oss, activation inside": "e:embedding " +
		times(4, "n g:qkv_proj x k a c g:o_proj r n g:router o q:experts_gate_up X:experts_gate_up X:experts_down o r") + "n g:lm_head r z:sampling",
	"Llama 4, sigmoid routing behind the shared expert": "e:embedding " +
		times(3, "n g:qkv_proj x n n k a g:o_proj r n g:gate_up f g:down r "+
			"n g:qkv_proj x n n k a g:o_proj r n g:router g:shared_gate_up f g:shared_down . i o X:experts_gate_up f X:experts_down o . r") +
		"n g:lm_head r z:sampling",
	"Mixtral with AWQ, dequantised": "e:embedding " +
		times(3, "n q:qkv_proj g:qkv_proj x k a q:o_proj g:o_proj n g:router o o X:experts_gate_up f X:experts_down o") + "n g:lm_head z:sampling",
	"per-token FP8 with separate all-reduce": "e:embedding " +
		times(3, "n q:qkv_proj g:qkv_proj x k q a q:o_proj g:o_proj r n q:gate_up g:gate_up f q:down g:down r") + "n g:lm_head r z:sampling",
	"fused all-reduce and norm": "e:embedding r n " +
		times(3, "q:qkv_proj g:qkv_proj x k a q:o_proj g:o_proj n q:gate_up g:gate_up f g:down n") + "g:lm_head r z:sampling",
	"Nemotron-H": "e:embedding " + times(2, mambaIn+" "+mambaOut+" "+mlpBlock) + mambaIn + " " + mambaOut + " " + attnBlock + " " + mlpBlock + " " +
		times(2, mambaIn+" "+mambaOut+" "+mlpBlock) + mambaIn + " " + mambaOut + " " + attnBlock + " " + mlpBlock + " " +
		mambaIn + " " + mambaOut + " " + mlpBlock + " n g:lm_head r z:sampling",
	"Nemotron 3, experts": "e:embedding " + times(2, mambaIn+" "+mambaOut+" "+moeBlock) + mambaIn + " " + mambaOut + " " + attnBlock + " " + moeBlock + " " +
		times(2, mambaIn+" "+mambaOut+" "+moeBlock) + mambaIn + " " + mambaOut + " " + attnBlock + " " + moeBlock + " n g:lm_head r z:sampling",
	"Granite 4, state space and attention": "e:embedding " +
		times(3, "n g:linear_in_proj C l n g:linear_out_proj n g:router o X:experts_gate_up f X:experts_down o g:shared_gate_up f g:shared_down .") +
		"n g:qkv_proj k a g:o_proj n g:router o X:experts_gate_up f X:experts_down o g:shared_gate_up f g:shared_down . n g:lm_head z:sampling",
	"Jamba, products and norms before the scan": "e:embedding " + times(4, mamba1+" g:gate_up f g:down ") +
		"n g:qkv_proj k a g:o_proj n g:gate_up f g:down " + times(2, mamba1+" g:gate_up f g:down ") + "n g:lm_head z:sampling",
	"FalconMamba": "e:embedding " + times(5, "n g:linear_in_proj C g n n n g l g:linear_out_proj") + "n g:lm_head z:sampling",
	"LFM2, short convolutions": "e:embedding " +
		times(2, times(2, "n g:linear_in_proj C g:linear_out_proj n g:gate_up f g:down")+"n g:qkv_proj n n x k a g:o_proj n g:gate_up f g:down") +
		"n g:lm_head z:sampling",
	"Kimi Linear": "e:embedding " +
		times(2, times(2, "n g:linear_in_proj g:linear_in_proj g:linear_in_proj g:linear_in_proj i g:linear_in_proj g:linear_in_proj C C C l l l n g:linear_out_proj "+
			"n g:router o X:experts_gate_up f X:experts_down o g:shared_gate_up f g:shared_down")+
			"n g:kv_a g:q n K g:kv_b M c g:kv_b g:o_proj n g:router o X:experts_gate_up f X:experts_down o g:shared_gate_up f g:shared_down") + "n g:lm_head z:sampling",
	"EAGLE-3, two drafts": denseBegins + " " + times(3, denseLayer) + denseEnd + " " + logits +
		" . g . e:embedding n n . g:qkv_proj x k a g:o_proj n g:gate_up f g:down n g:lm_head z:sampling" +
		" . e:embedding n n . g:qkv_proj x k a g:o_proj n g:gate_up f g:down n g:lm_head z:sampling",
	"n-gram speculation":      ". . " + denseBegins + " " + times(2, denseLayer) + denseEnd + " g:lm_head . z:sampling . z:sampling .",
	"pipeline's middle stage": "r r r n g:qkv_proj x k a " + times(2, denseLayer) + "g:o_proj r n g:gate_up f g:down r r",
	"vision tower in front": "g . n g:qkv_proj x a " + times(3, "g:o_proj n g:gate_up f g:down n g:qkv_proj x a") +
		"g:o_proj n g:gate_up f g:down n g f g " + denseBegins + " " + times(3, denseLayer) + denseEnd + " " + logits,
	"attention and FFN side by side":         "e:embedding " + times(4, "n g:qkv_proj x k a g:o_proj r g:gate_up f g:down r") + "n g:lm_head r z:sampling",
	"activation inside the products":         "e:embedding " + times(3, "n g:qkv_proj x k a g:o_proj n g:gate_up g:down") + "n g:lm_head r z:sampling",
	"SGLang on ROCm, fused norms":            "e:embedding n " + times(3, "g:qkv_proj n x k a q:o_proj g:o_proj n g:gate_up f q:down g:down n") + "g:lm_head . z:sampling",
	"post-norms alone (OLMo 2)":              "e:embedding " + times(3, "g:qkv_proj n n x k a g:o_proj n g:gate_up f g:down n") + "g:lm_head z:sampling",
	"compiled, the embedding in later norms": "E:embedding " + times(3, "g:qkv_proj x k a g:o_proj E g:gate_up f g:down E") + "g:qkv_proj x k a g:o_proj n g:gate_up f g:down n g:lm_head z:sampling",
	"PyTorch, Llama":                         "e:embedding . g p p " + times(4, bareIn+" g:o_proj n p p "+bareFFN) + "n p p g:lm_head z:sampling",
	"PyTorch, Qwen3":                         "e:embedding . g p p " + times(5, normedIn+" g:o_proj n p p "+bareFFN) + "n p p g:lm_head z:sampling",
	"PyTorch, Qwen3 MoE":                     "e:embedding . g p p " + times(5, normedIn+" g:o_proj n p p g:router "+bareExperts) + "n p p g:lm_head z:sampling",
	"PyTorch, Command R":                     "e:embedding . g p p " + times(5, bareIn+" g:o_proj "+bareFFN) + "n p p g:lm_head p z:sampling",
	"PyTorch, gate and up in one":            "e:embedding . g p p " + times(4, "n p p g:qkv_proj p p a g:o_proj n p p g:gate_up F p g:down") + "n p p g:lm_head z:sampling",
	"PyTorch, Qwen2 MoE": "e:embedding . g p p " + times(4, bareIn+" g:o_proj n p p "+bareShared+" g:router y "+bareExperts+" g:shared_expert_gate t:shared_expert_gate i p") +
		"n p p g:lm_head z:sampling",
	"PyTorch, GLM 4.5": "e:embedding . g p p " + bareIn + " g:o_proj n p p " + bareFFN + " " +
		times(4, bareIn+" g:o_proj n p p g:router t:router i "+bareExperts+" "+bareShared) + "n p p g:lm_head z:sampling",
	"PyTorch, latent attention by no name": "e:embedding . g p p " +
		times(5, "n p p g n p p g g n p p g a g:o_proj n p p "+bareFFN) + "n p p g:lm_head z:sampling",
	"dummy batch of latent attention": "r e:embedding " + times(3, "n q:kv_a g:kv_a n q:q g:q n x K q:o_proj g:o_proj n g:router o X:experts_gate_up f X:experts_down o r") +
		"n g:lm_head r z:sampling",
}
