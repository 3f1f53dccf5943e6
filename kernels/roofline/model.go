// Package roofline says what a role must compute and move, and what a GPU can.
// It knows the arithmetic of model layers (Hugging Face config.json), of
// products with recorded shapes, and the datasheet peaks of GPUs. What a config
// or a name does not determine is answered with ok == false, never guessed.
package roofline

// Model is the arithmetic of one language model, read from its config.json.
// Sizes are of the whole model, before any parallelism.
type Model struct {
	Architecture string // architectures[0], "" if absent
	Family       string // model_type of the language model
	// Known says that the family's layer is understood. Of an unknown family
	// only the plain sizes below are kept, and every product is n/a.
	Known bool

	Layers, Hidden, Heads, KVHeads, HeadDim, Intermediate, Vocab int

	TieEmbeddings bool // lm_head and embedding are one matrix
	Gated         bool // the FFN has a gate beside its up projection
	OutputGate    bool // attention has a gate on its output inside q_proj

	Experts, ExpertsPerToken, MoEIntermediate int
	SharedIntermediate                        int  // of all shared experts together; 0: none
	SharedGate                                bool // the shared expert has a sigmoid gate

	// Latent attention (MLA); QLoRARank 0 means one direct q_proj.
	QLoRARank, KVLoRARank, QKNopeHeadDim, QKRopeHeadDim, VHeadDim int
	// Sparse attention's indexer (DeepSeek-V3.2).
	IndexHeads, IndexHeadDim int

	// Linear attention (gated delta net).
	LinearKeyHeads, LinearValueHeads, LinearKeyHeadDim, LinearValueHeadDim int

	Kinds []Kind // one per layer

	Base   Format            // what is not quantised: torch_dtype
	Quant  *Format           // what is quantised, nil if nothing is
	skip   map[string][]bool // by role and layer: not quantised after all
	sparse bool              // only the experts are quantised (mxfp4)
}

// Mixer is how a layer mixes tokens.
type Mixer string

// Mixers.
const (
	UnknownMixer Mixer = ""
	Attention    Mixer = "attention"        // softmax attention over K and V
	Latent       Mixer = "latent_attention" // MLA
	Linear       Mixer = "linear_attention" // a state of constant size
)

// Kind is what one layer is made of.
type Kind struct {
	Mixer Mixer
	MoE   bool
	// Window is how many tokens back attention looks, itself included; 0: all
	// of them, UnknownWindow: the config does not say.
	Window int
	// Chunk is the size of local attention's chunks (Llama 4); 0: none.
	Chunk int
}

// UnknownWindow marks a layer whose attention span the config does not tell.
const UnknownWindow = -1

// Format is how the numbers of a product are stored.
type Format struct {
	Name    string  // "bf16", "fp8", "int4" …
	Weight  float64 // bytes of one weight, its share of the scales included; 0: unknown
	Input   float64 // bytes of one input activation; 0: unknown
	Compute string  // key into GPU.Dense; "": depends on GPU and engine
}

// known says whether bytes can be counted.
func (f Format) known() bool { return f.Weight > 0 && f.Input > 0 }

// formats are the plain number formats by torch's names.
var formats = map[string]Format{
	"bfloat16": {Name: "bf16", Weight: 2, Input: 2, Compute: "bf16"},
	"float16":  {Name: "fp16", Weight: 2, Input: 2, Compute: "fp16"},
	"half":     {Name: "fp16", Weight: 2, Input: 2, Compute: "fp16"},
}

// WithDtype returns the model as served with another plain dtype ("bfloat16",
// "float16"): what a server's --dtype said. ok is false for any other name.
// A torch_dtype of float32 is not taken from the config: servers load such
// checkpoints in 16 bits unless told otherwise.
func (m Model) WithDtype(name string) (Model, bool) {
	f, ok := formats[name]
	if !ok {
		return m, false
	}
	m.Base = f
	return m, true
}

// count returns how many layers satisfy want.
func (m Model) count(want func(Kind) bool) int {
	n := 0
	for _, k := range m.Kinds {
		if want(k) {
			n++
		}
	}
	return n
}

// DenseLayers counts the layers without routed experts.
func (m Model) DenseLayers() int { return m.count(func(k Kind) bool { return !k.MoE }) }

// MoELayers counts the layers with routed experts.
func (m Model) MoELayers() int { return m.count(func(k Kind) bool { return k.MoE }) }

// LinearLayers counts the layers with linear attention.
func (m Model) LinearLayers() int { return m.count(func(k Kind) bool { return k.Mixer == Linear }) }
