package roofline

// family is what a model_type implies beyond the numbers of its config: the
// structure of its layers and the defaults of its config class (transformers,
// models/*/configuration_*.py, and the model code beside it).
type family struct {
	plain   bool // two FFN products, not three: no gate
	mha     bool // absent num_key_value_heads means one per head
	tie     bool // tie_word_embeddings when absent
	headDim int  // head_dim when absent; 0: hidden_size / num_attention_heads
	latent  bool // MLA
	linear  bool // layer_types may say linear_attention
	gate    bool // attention's output gate is inside q_proj
	experts expertStyle
	shared  sharedStyle
	window  windowStyle
	// every is the period of full attention among windowed layers when the
	// config does not give sliding_window_pattern.
	every    int
	defaults map[string]int // other defaults that released configs rely on
}

// expertStyle says which layers have experts and how large they are.
type expertStyle uint8

const (
	noExperts    expertStyle = iota
	allLayers                // every layer; experts of intermediate_size
	qwenExperts              // decoder_sparse_step, mlp_only_layers; moe_intermediate_size
	deepExperts              // first_k_dense_replace, moe_layer_freq; moe_intermediate_size
	llama4Expert             // interleave_moe_layer_step, moe_layers; intermediate_size
)

// sharedStyle says how large the shared expert is.
type sharedStyle uint8

const (
	noShared     sharedStyle = iota
	countShared              // n_shared_experts × moe_intermediate_size
	sizedShared              // shared_expert_intermediate_size, with a sigmoid gate
	equalShared              // one, as large as a routed expert
	graniteSized             // shared_intermediate_size, no gate
)

// windowStyle says which layers look back a limited distance when the config
// has no layer_types.
type windowStyle uint8

const (
	noWindow     windowStyle = iota
	allWindow                // every layer, if sliding_window is set
	qwenWindow               // use_sliding_window, from max_window_layers on
	periodWindow             // all but every n-th layer
	chunkWindow              // Llama 4: chunks, all but every n-th layer
	openWindow               // not told without layer_types
)

var families = map[string]family{
	"llama":      {mha: true},
	"mistral":    {window: allWindow},
	"ministral":  {window: openWindow},
	"ministral3": {window: allWindow},
	"mixtral":    {window: allWindow, experts: allLayers},

	"qwen2":           {window: qwenWindow},
	"qwen2_vl":        {window: qwenWindow},
	"qwen2_vl_text":   {window: qwenWindow},
	"qwen2_5_vl":      {window: qwenWindow},
	"qwen2_5_vl_text": {window: qwenWindow},
	"qwen3":           {window: qwenWindow, headDim: 128},
	"qwen3_vl_text":   {headDim: 128},
	"qwen2_moe":       {window: qwenWindow, experts: qwenExperts, shared: sizedShared},
	"qwen3_moe":       {window: qwenWindow, experts: qwenExperts},

	"qwen3_vl_moe_text": {experts: qwenExperts},
	"qwen3_next":        {headDim: 256, linear: true, gate: true, experts: qwenExperts, shared: sizedShared},
	"qwen3_5_text":      {headDim: 256, linear: true, gate: true},
	"qwen3_5_moe_text":  {headDim: 256, linear: true, gate: true, experts: qwenExperts, shared: sizedShared},

	"deepseek_v2":  {latent: true, experts: deepExperts, shared: countShared},
	"deepseek_v3":  {latent: true, experts: deepExperts, shared: countShared},
	"deepseek_v32": {latent: true, experts: deepExperts, shared: countShared},
	"kimi_k2":      {latent: true, experts: deepExperts, shared: countShared},
	"deepseek":     {experts: deepExperts, shared: countShared},

	"glm":      {headDim: 128},
	"glm4":     {headDim: 128},
	"glm4_moe": {headDim: 128, experts: deepExperts, shared: countShared},

	"gemma":  {headDim: 256, tie: true},
	"gemma2": {headDim: 256, tie: true, window: periodWindow, every: 2},
	"gemma3_text": {headDim: 256, tie: true, window: periodWindow, every: 6, defaults: map[string]int{
		"num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 262208, "sliding_window": 4096}},

	"gpt_oss": {headDim: 64, experts: allLayers, window: periodWindow, every: 2},
	"llama4_text": {headDim: 128, experts: llama4Expert, shared: equalShared, window: chunkWindow, every: 4,
		defaults: map[string]int{"attention_chunk_size": 8192, "interleave_moe_layer_step": 1}},

	"phi3":   {mha: true, window: allWindow},
	"phimoe": {experts: allLayers, window: allWindow},

	"olmo":     {mha: true},
	"olmo2":    {mha: true},
	"olmo3":    {mha: true, window: openWindow},
	"olmoe":    {mha: true, experts: allLayers},
	"granite":  {mha: true},
	"cohere":   {mha: true, tie: true},
	"cohere2":  {mha: true, tie: true, window: periodWindow, every: 4},
	"smollm3":  {tie: true, window: openWindow},
	"seed_oss": {headDim: 128},
	"exaone4":  {window: openWindow},

	"granitemoe":       {mha: true, experts: allLayers},
	"granitemoeshared": {mha: true, experts: allLayers, shared: graniteSized},
	"minimax_m2":       {headDim: 128, experts: allLayers},
	"starcoder2":       {plain: true, window: allWindow, tie: true},
}
