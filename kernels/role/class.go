// Package role says what each kernel is for: its role in its layer, from its
// place in one pass of the model. A plain product's name does not tell whose it
// is, and inside a CUDA graph nothing else does; the order of kernels is enough.
// It knows sequences of classified kernels and nothing of files or clocks. Where
// the sequence does not hold what a layer must have, it abstains.
package role

import (
	"strings"

	"tokprof/kernels"
)

// Class is what a kernel can mean for the structure of a pass.
type Class uint8

// Classes.
const (
	None      Class = iota // says nothing about structure
	Core                   // attention itself: the anchor of a layer
	Combine                // the end of a split attention
	Linear                 // linear attention, state space: an anchor too
	KVWrite                // into the KV cache
	AttnAux                // rope, q/k norm, metadata …
	Gemm                   // a product
	Tail                   // the second kernel of a split product
	Prologue               // quantises the input of the next product
	Fill                   // a memset
	Norm                   // possibly a boundary between blocks
	WeakNorm               // an unnamed fused reduction: a norm if it stands where one must
	Act                    // activation between FFN products
	Expert                 // grouped product over experts
	MoE                    // routing, permuting, combining
	Shrink                 // LoRA, first half
	Expand                 // LoRA, second half
	Comm                   // collective
	Embed                  // embedding
	EmbedNorm              // a norm fused with an embedding, or with what is left of one
	Sample                 // sampling
	Softmax                // softmax outside fused attention
	Sigmoid                // an elementwise kernel with a sigmoid
	Product                // an elementwise product of two tensors
)

// Classify turns a kernel's category, tags and name into its class. mla says
// that the kernel is part of multi-head latent attention.
func Classify(m kernels.Match, name string) (c Class, mla bool) {
	switch m.Group {
	case "attention":
		return attentionClass(m, name)
	case "ffn":
		switch m.Subgroup {
		case "activation":
			return Act, false
		case "moe_gemm":
			if strings.Contains(name, "prepare_") {
				// PyTorch lines up the pointers of a grouped product first.
				return Prologue, false
			}
			return Expert, false
		}
		return MoE, false
	case "comm":
		for _, t := range m.Tags {
			if t == "norm" {
				return Norm, false
			}
		}
		return Comm, false
	case "gemm":
		switch m.Subgroup {
		case "splitk_reduce":
			return Tail, false
		case "prologue":
			return Prologue, false
		}
		if strings.Contains(name, "reduce_1Block_kernel") || strings.Contains(name, "_execute_split_k_kernel") {
			// cuBLAS ends some products in a second kernel that no name tells from
			// a product: dot products, and FP32 ones split along k.
			return Tail, false
		}
		return Gemm, false
	case "memory":
		if m.Subgroup == "memset" {
			return Fill, false
		}
		return None, false
	}
	return otherClass(m, name), false
}

func attentionClass(m kernels.Match, name string) (Class, bool) {
	mla := strings.HasPrefix(m.Subgroup, "mla") || strings.Contains(strings.ToLower(name), "mla")
	switch m.Subgroup {
	case "prefill", "decode", "core", "mla_prefill", "mla_decode":
		return Core, mla
	case "combine":
		return Combine, mla
	case "linear":
		return Linear, false
	case "kv_write":
		return KVWrite, mla
	case "quant":
		return Prologue, false
	}
	return AttnAux, mla
}

func otherClass(m kernels.Match, name string) Class {
	switch m.Subgroup {
	case "norm":
		if strings.Contains(name, "embedding") {
			return EmbedNorm
		}
		return Norm
	case "embedding":
		return Embed
	case "sampling":
		return Sample
	case "softmax":
		return Softmax
	case "quant":
		return Prologue
	case "lora":
		switch {
		case strings.Contains(name, "shrink"):
			return Shrink
		case strings.Contains(name, "expand"):
			return Expand
		}
		return None
	}
	switch {
	case unnamedReduction(name):
		return WeakNorm
	case m.Subgroup == "elementwise" && strings.Contains(name, "::rsqrt_kernel"):
		// PyTorch without a fused norm: square, mean, rsqrt, product. The root
		// is what nothing else in a model has.
		return Norm
	case strings.Contains(name, "BinaryFunctor") && strings.Contains(name, "::MulFunctor"):
		return Product
	}
	if strings.Contains(name, "sigmoid") {
		return Sigmoid
	}
	return None
}

// IsConvolution says whether a kernel of class Linear is the short convolution
// in front of linear attention or a state space.
func IsConvolution(name string) bool {
	n := strings.ToLower(name)
	return strings.Contains(n, "conv1d") || strings.Contains(n, "causal_conv") || strings.Contains(n, "short_conv")
}

// IsBare says whether a kernel of class Act is a function of one tensor, as
// PyTorch's own are.
func IsBare(name string) bool {
	return strings.Contains(name, "at::native::") && !strings.Contains(strings.ToLower(name), "glu")
}

// unnamedReduction recognises Inductor reductions whose name lists no ops
// (triton_red_fused_3): fused from custom ops that leave no name.
func unnamedReduction(name string) bool {
	rest, ok := strings.CutPrefix(name, "triton_red_fused_")
	if !ok {
		rest, ok = strings.CutPrefix(name, "triton_per_fused_")
	}
	if !ok || rest == "" {
		return false
	}
	for _, r := range rest {
		if r < '0' || r > '9' {
			return false
		}
	}
	return true
}
