package role

// Role is what a kernel is for.
type Role uint8

// Roles. Unknown on a product is an abstention.
const (
	Unknown Role = iota
	QKVProj
	OProj
	GateUp
	Down
	Router
	ExpertsGateUp
	ExpertsDown
	SharedGateUp
	SharedDown
	SharedExpertGate
	LMHead
	Embedding
	Sampling
	Q
	KVA
	KVB
	LinearInProj
	LinearOutProj
	Count // of roles
)

var roleNames = [...]string{
	"", "qkv_proj", "o_proj", "gate_up", "down", "router", "experts_gate_up", "experts_down",
	"shared_gate_up", "shared_down", "shared_expert_gate", "lm_head", "embedding", "sampling",
	"q", "kv_a", "kv_b", "linear_in_proj", "linear_out_proj",
}

func (r Role) String() string { return roleNames[r] }

// Part returns the headline part that a role belongs to, "" for Unknown.
func (r Role) Part() string {
	switch r {
	case QKVProj, OProj, Q, KVA, KVB, LinearInProj, LinearOutProj:
		return "attention"
	case GateUp, Down, Router, ExpertsGateUp, ExpertsDown, SharedGateUp, SharedDown, SharedExpertGate:
		return "ffn"
	case LMHead, Embedding, Sampling:
		return "head"
	}
	return ""
}

// Zone is where in its layer a kernel stands, for kernels that have no role.
type Zone uint8

// Zones.
const (
	NoZone    Zone = iota
	Attention      // between the first projection and the output projection
	FFN            // between the first FFN product and the norm behind the last
	Head           // behind the language model's head
)

// LayerKind tells layers of one model apart.
type LayerKind uint8

// Layer kinds.
const (
	NoLayer LayerKind = iota
	Dense
	Mixture // experts
	LinearDense
	LinearMixture
	LinearOnly    // state-space layers without FFN
	AttentionOnly // where FFNs are layers of their own
	UnknownLayer
)

func (k LayerKind) String() string {
	return [...]string{"outside layers", "dense", "experts", "linear", "linear experts", "linear only", "attention only", "unknown"}[k]
}

// Place is what the order of a pass says about one kernel.
type Place struct {
	Role       Role
	Layer      int16 // -1 before the first layer, behind the last and where unknown
	Kind       LayerKind
	Zone       Zone
	Confidence float32
}

// Kernel is one kernel of a pass, as the rules see it.
type Kernel struct {
	Class Class
	MLA   bool
	Conv  bool   // the short convolution in front of linear attention
	Bare  bool   // an activation without the product of gate and up
	Name  uint32 // equal for equal names
}
