package role

import "strings"

// OfModule says what role the nn.Module frames around a launch prove. classes
// are module class names, outermost first, without instance numbers. Unknown
// where a class alone does not tell (latent attention's several products, a
// plain Linear).
//
// vLLM's layer classes (model_executor/layers/linear.py) say which projection
// they are; SGLang keeps their names.
func OfModule(classes []string) Role {
	if len(classes) == 0 {
		return Unknown
	}
	block, mixture, latent := enclosing(classes)
	for i := len(classes) - 1; i >= 0; i-- {
		switch c := classes[i]; {
		case strings.HasPrefix(c, "QKVParallelLinear"), strings.HasPrefix(c, "QKVCrossParallelLinear"):
			return QKVProj
		case c == "MergedColumnParallelLinear", strings.HasPrefix(c, "MergedColumnParallelLinear"):
			return merged(block, mixture)
		case strings.HasPrefix(c, "RowParallelLinear"):
			return row(block, mixture)
		case strings.HasPrefix(c, "ColumnParallelLinear"):
			return column(block, mixture, latent)
		case c == "GateLinear", strings.HasPrefix(c, "ReplicatedLinear") && block == moe:
			return Router
		case c == "LogitsProcessor", c == "ParallelLMHead":
			return LMHead
		case c == "VocabParallelEmbedding":
			return Embedding
		case c == "Sampler":
			return Sampling
		}
	}
	return Unknown
}

type blockKind uint8

const (
	noBlock blockKind = iota
	attn
	mlp
	moe
	linear
	unclear
)

// enclosing finds the nearest block class, whether an MLP stands inside a
// mixture (a shared expert), and whether attention is latent.
func enclosing(classes []string) (nearest blockKind, mixture, latent bool) {
	for i := len(classes) - 1; i >= 0; i-- {
		c := classes[i]
		k := kindOf(c)
		if nearest == noBlock {
			nearest = k
		}
		mixture = mixture || k == moe || k == mlp && strings.Contains(c, "Shared")
		latent = latent || strings.Contains(c, "MLA") || strings.Contains(c, "MultiHeadLatent")
	}
	return nearest, mixture, latent
}

func kindOf(c string) blockKind {
	switch {
	case strings.HasSuffix(c, "MambaMixer"):
		// The first Mamba: classes do not tell its inner products from the outer.
		return unclear
	case strings.Contains(c, "Mamba"), strings.Contains(c, "DeltaNet"), strings.Contains(c, "DeltaAttention"),
		strings.Contains(c, "LinearAttention"), strings.Contains(c, "ShortConv"):
		return linear
	case strings.HasSuffix(c, "MoE"), strings.HasSuffix(c, "Moe"), strings.HasSuffix(c, "MoeBlock"), strings.HasSuffix(c, "MoEBlock"),
		c == "MLPBlock": // gpt-oss
		return moe
	case strings.HasSuffix(c, "MLP"), strings.HasSuffix(c, "Mlp"), strings.Contains(c, "FeedForward"):
		return mlp
	case strings.Contains(c, "Attention"):
		return attn
	}
	return noBlock
}

func merged(block blockKind, mixture bool) Role {
	switch block {
	case mlp:
		if mixture {
			return SharedGateUp
		}
		return GateUp
	case linear:
		return LinearInProj
	}
	return Unknown
}

func row(block blockKind, mixture bool) Role {
	switch block {
	case mlp:
		if mixture {
			return SharedDown
		}
		return Down
	case linear:
		return LinearOutProj
	case attn:
		return OProj
	}
	return Unknown
}

func column(block blockKind, mixture, latent bool) Role {
	switch block {
	case mlp:
		return merged(block, mixture)
	case linear:
		return LinearInProj
	case attn:
		if !latent {
			return QKVProj
		}
	}
	return Unknown
}
