// Package document is what a report says: one document per window. It is the
// contract between those who write documents (report/compose) and those who
// draw or compare them. Times are int64 nanoseconds, shares are fractions 0–1.
package document

import (
	"fmt"

	"tokprof/kernels/attribution"
	"tokprof/report/figures"
)

// Schema names of the JSON objects.
const (
	SchemaAnalysis    = "tokprof.analysis/v1"
	SchemaAnalysisSet = "tokprof.analysis-set/v1"
)

// Analysis says where the GPU time of one window went, over all its ranks.
// Its JSON form is the contract tokprof.analysis/v1: field names are pinned
// by a test. Slices are never nil, so that readers need no special case.
type Analysis struct {
	Schema  string `json:"schema"`
	Version string `json:"tokprof_version"`
	// Command is how to make this document again, without paths.
	Command string `json:"command"`

	Verdict string   `json:"verdict"` // one or two sentences
	Sources []Source `json:"sources"`
	Trust   []Trust  `json:"trust"`
	Window  Window   `json:"window"`

	Devices    []Device   `json:"devices"`
	Streams    []Stream   `json:"streams"`
	Groups     []Row      `json:"groups"`
	Categories []Row      `json:"categories"`
	Parts      []Row      `json:"parts"`
	Roles      []Row      `json:"roles"`
	Kernels    []Kernel   `json:"kernels"` // by total_ns, largest first
	Copies     []Copy     `json:"copies"`
	Launches   []Launches `json:"launches"`

	Phases      []Phase      `json:"phases"`
	Steps       []Step       `json:"steps"`
	Layers      []Layer      `json:"layers"`
	Collectives []Collective `json:"collectives"`
	Graphs      []Graph      `json:"graphs"`
	Provenance  []Provenance `json:"provenance"`
	Findings    []Finding    `json:"findings"`

	// Servers, Requests and Tax are known of a captured run only.
	Servers  []ServerFacts `json:"servers,omitempty"`
	Requests *Requests     `json:"requests,omitempty"`
	Tax      *Tax          `json:"profiler_tax,omitempty"`
	// Readings are there when the GPUs were read while the window ran.
	Readings *Readings `json:"readings,omitempty"`
	// Samples are there when the profiler sampled GPU or network metrics.
	Samples *Samples `json:"samples,omitempty"`

	// Stacks and Timelines feed the flame graph, pprof, folded and Perfetto
	// drawings; they are not part of the JSON contract.
	Stacks    Stacks     `json:"-"`
	Timelines []Timeline `json:"-"`
	// Batches are there when the ranks were reduced with them, for comparing
	// recordings; they are not part of the JSON contract either.
	Batches []Batch `json:"-"`
}

// Set is several windows of one run, never added together.
type Set struct {
	Schema   string      `json:"schema"`
	Analyses []*Analysis `json:"analyses"`
}

// Source is one input file.
type Source struct {
	Path          string `json:"path"` // base name: no directories leave the machine
	Format        string `json:"format"`
	SHA256        string `json:"sha256"`
	Bytes         int64  `json:"bytes"`
	RawBytes      int64  `json:"raw_bytes"`
	Events        int64  `json:"events"`
	SkippedEvents int64  `json:"skipped_events"`
	Truncated     bool   `json:"truncated"`
	Engine        string `json:"engine"` // "vLLM", "SGLang", "" when unknown
	Rank          int    `json:"rank"`   // -1 when unknown
	WorldSize     int    `json:"world_size"`
	GPU           string `json:"gpu"`  // "NVIDIA H200"; "" when unknown
	Role          string `json:"role"` // "gpu", "frontend" (CPU only), "graph_capture": only gpu sources are counted; "summary" (see SummaryOnly)
}

// Severity of a trust line or finding.
type Severity string

// Severities, mildest first.
const (
	OK      Severity = "ok"
	Info    Severity = "info"
	Warning Severity = "warning"
	Error   Severity = "error"
)

// Trust is one doubt about our own numbers, or the statement that there is none.
type Trust struct {
	Code     string   `json:"code"` // "truncated", "skipped_events", "unclassified", …
	Severity Severity `json:"severity"`
	Message  string   `json:"message"`
	// Touches names the numbers that the doubt is about.
	Touches []string `json:"touches"`
	// Files are all inputs that a line is about which counts them; absent of
	// other lines.
	Files []string `json:"files,omitempty"`
}

// Doubt is a line of trust, worded as fmt.Sprintf does; touches may be nil.
func Doubt(code string, s Severity, touches []string, format string, args ...any) Trust {
	if touches == nil {
		touches = []string{}
	}
	return Trust{Code: code, Severity: s, Message: fmt.Sprintf(format, args...), Touches: touches}
}

// Window is the span all numbers are about: first GPU event to last, over all ranks.
type Window struct {
	Name        string `json:"name"`
	StartUnixNS int64  `json:"start_unix_ns"`
	DurNS       int64  `json:"dur_ns"`
}

// Device is one GPU of one rank. Ordinals are local to a process, so
// (rank, device) is the key. busy_ns + graph_ns + idle_ns = window.dur_ns.
type Device struct {
	Rank       int         `json:"rank"`
	Device     int         `json:"device"`
	BusyNS     int64       `json:"busy_ns"` // union of intervals
	SumNS      int64       `json:"sum_ns"`  // sum of durations
	IdleNS     int64       `json:"idle_ns"`
	GraphNS    int64       `json:"graph_ns"` // known only as whole graph executions, in no kernel row
	Events     int64       `json:"events"`
	IdleCauses []IdleCause `json:"idle_causes"` // sums to idle_ns, largest first
}

// IdleCause is a part of a device's idle time.
type IdleCause struct {
	Cause  string  `json:"cause"` // "host_late", "host_sync", "no_step", "profiler", "short_gap", "launch_latency", "dependency", "unknown"
	TimeNS int64   `json:"time_ns"`
	Share  float64 `json:"share"` // of the window
	Gaps   int64   `json:"gaps"`
}

// Stream is one stream of one device.
type Stream struct {
	Rank     int   `json:"rank"`
	Device   int   `json:"device"`
	Stream   int64 `json:"stream"`
	BusyNS   int64 `json:"busy_ns"`
	SumNS    int64 `json:"sum_ns"`
	Launches int64 `json:"launches"` // GPU events
}

// Row is time by phase and name. Rows of phase "all" sum to the devices' sum_ns.
type Row struct {
	Phase     string  `json:"phase"` // "prefill", "decode", "mixed", "none" or "all"
	Name      string  `json:"name"`  // group: "attention"; category: "attention.decode"; part: "ffn"
	TimeNS    int64   `json:"time_ns"`
	Share     float64 `json:"share"`      // of the phase's sum
	ExposedNS int64   `json:"exposed_ns"` // nothing of another group ran on the device, nor a whole graph
	Launches  int64   `json:"launches"`
	// Work is what a role computed and moved; absent where that is unknown.
	Work *Work `json:"work,omitempty"`
}

// Work is what the kernels of a role had to compute and move, against what the
// GPU can. It covers CoveredNS of the row's time: of the rest, shapes or tokens
// are unknown.
type Work struct {
	FLOPs        float64 `json:"flops"`
	Bytes        float64 `json:"bytes"`
	CoveredNS    int64   `json:"covered_ns"`
	FLOPsPerS    float64 `json:"flops_per_s"`
	BytesPerS    float64 `json:"bytes_per_s"`
	ComputeShare float64 `json:"compute_share"` // of the GPU's peak; 0 when unknown
	MemoryShare  float64 `json:"memory_share"`
	Bound        string  `json:"bound"`     // "memory", "compute", "latency"; "" when unknown
	How          string  `json:"how"`       // "shapes" or "config"
	Estimated    bool    `json:"estimated"` // routing is taken to be uniform
}

// Kernel is one kernel name (copies and memsets are rows too). Of a summary,
// p99_ns, exposed_ns and in_graph_ns are unknown and 0, as are min_ns and
// median_ns where its table lacks them.
type Kernel struct {
	Name      string       `json:"name"`
	ShortName string       `json:"short_name"`
	Group     string       `json:"group"`
	Subgroup  string       `json:"subgroup"`
	Rule      string       `json:"rule"` // "" when unclassified
	Tags      []string     `json:"tags"`
	Launches  int64        `json:"launches"`
	TotalNS   int64        `json:"total_ns"`
	Share     float64      `json:"share"`
	MinNS     int64        `json:"min_ns"`
	MedianNS  int64        `json:"median_ns"`
	P99NS     int64        `json:"p99_ns"`
	MaxNS     int64        `json:"max_ns"`
	ExposedNS int64        `json:"exposed_ns"`  // as in Row
	GraphNS   int64        `json:"in_graph_ns"` // the part of total_ns launched by a CUDA graph
	Roles     []KernelRole `json:"roles"`
	Phases    []PhaseTime  `json:"phases"`
}

// KernelRole is the time of a kernel in one role.
type KernelRole struct {
	Role   string `json:"role"`
	TimeNS int64  `json:"time_ns"`
}

// PhaseTime is time within one phase.
type PhaseTime struct {
	Phase    string `json:"phase"`
	TimeNS   int64  `json:"time_ns"`
	Launches int64  `json:"launches"`
}

// Copy is one direction of memory traffic.
type Copy struct {
	Kind    string `json:"kind"` // memcpy_h2d …, memset
	Count   int64  `json:"count"`
	Bytes   int64  `json:"bytes"`
	TimeNS  int64  `json:"time_ns"`
	Unsized int64  `json:"unsized"` // copies of unknown size: in count and time_ns, not in bytes or bandwidth
	// BytesPerS is bytes over the time of the sized copies; 0 when unknown.
	BytesPerS float64 `json:"bytes_per_s"`
	MedianB   int64   `json:"median_bytes"`
}

// Launches is how the host fed one device.
type Launches struct {
	Rank          int     `json:"rank"`
	Device        int     `json:"device"`
	Calls         int64   `json:"calls"`          // launch calls that own at least one GPU event
	GraphCalls    int64   `json:"graph_calls"`    // of them graph launches
	GraphEvents   int64   `json:"graph_events"`   // GPU events owned by graph launches
	WithoutLaunch int64   `json:"without_launch"` // GPU events whose launch call is not in the file
	WithoutKernel int64   `json:"without_kernel"` // launch calls whose GPU event is not in the file
	DelayMedianNS int64   `json:"delay_median_ns"`
	DelayP99NS    int64   `json:"delay_p99_ns"` // launch call start → first GPU event start
	DepthMean     float64 `json:"queue_depth_mean"`
	DepthMax      int64   `json:"queue_depth_max"` // launches waiting or running when a launch is issued
	CallMedianNS  int64   `json:"call_median_ns"`  // length of the launch call
	ShortNS       int64   `json:"short_ns"`        // threshold of a short kernel
	ShortKernels  int64   `json:"short_kernels"`
	ShortTimeNS   int64   `json:"short_time_ns"`
}

// Phase is the steps of one kind.
type Phase struct {
	Phase      string  `json:"phase"`
	Steps      int64   `json:"steps"`
	StepNS     Spread  `json:"step_ns"`
	BusyNS     Spread  `json:"busy_ns"`           // of one GPU: as in Step
	GraphNS    Spread  `json:"graph_ns,omitzero"` // of busy_ns: only graphs recorded as a whole ran; absent without such
	Tokens     int64   `json:"tokens"`
	Requests   int64   `json:"requests"`
	USPerToken float64 `json:"us_per_token"` // of the mean step, start to start; 0 when tokens are unknown
	// WeightReadFloorNS is the least time in which a rank can read its weights
	// once at its GPU's datasheet bandwidth; 0 when unknown.
	WeightReadFloorNS int64 `json:"weight_read_floor_ns"`

	// What the GPUs read during the phase's steps, each up to the next one's
	// start; absent where that is not known.
	SMMHzMean  float64 `json:"sm_mhz_mean,omitempty"`  // over the GPUs of all ranks
	PowerWMean float64 `json:"power_w_mean,omitempty"` // of one GPU
	EnergyJ    float64 `json:"energy_j,omitempty"`     // of all GPUs together
	JPerToken  float64 `json:"j_per_token,omitempty"`
	// RoleEnergy shares EnergyJ out by busy time: an estimate, since power
	// differs between kernels.
	RoleEnergy []NameEnergy `json:"energy_by_role,omitempty"`
	Clock      *ClockEffect `json:"clock,omitempty"`
}

// Spread is the middle and the tail of a distribution.
type Spread = figures.Spread

// Step is one forward pass of the engine on one rank.
type Step struct {
	Index       int    `json:"index"`
	Rank        int    `json:"rank"`
	Phase       string `json:"phase"`
	Name        string `json:"name"` // the annotation
	StartUnixNS int64  `json:"start_unix_ns"`
	DurNS       int64  `json:"dur_ns"` // first to last GPU event; 0 for a step that launched nothing
	// GPUs is how many of the rank's GPUs the step ran on, absent for one. Of
	// several, busy_ns, parts and roles are the mean of one, which goes with
	// dur_ns and period_ns; launches are of all.
	GPUs     int64 `json:"gpus,omitempty"`
	BusyNS   int64 `json:"busy_ns"`
	Tokens   int64 `json:"tokens"`
	Requests int64 `json:"requests"`
	Launches int64 `json:"launches"`
	// PeriodNS is the time to the next step's start, 0 for the last one.
	PeriodNS int64 `json:"period_ns"`
	// Parts are of kernels, and "graphs" is what whole graphs, whose kernels the
	// file lacks, add to their union.
	Parts []NameTime `json:"parts"`
	Roles []NameTime `json:"roles"`
	SMMHz float64    `json:"sm_mhz,omitempty"` // mean SM clock of the rank's GPU; absent when unknown
}

// NameTime is a named amount of time.
type NameTime = figures.NameTime

// Layer is one repeat of the sequence inside a step, over the steps of a phase
// and all GPUs.
type Layer struct {
	Phase  string     `json:"phase"`
	Index  int        `json:"index"`
	Kind   string     `json:"kind"`    // "dense", "experts", "linear" …
	TimeNS int64      `json:"time_ns"` // mean per step and GPU that it ran on
	Parts  []NameTime `json:"parts"`   // likewise
	// Outlier says that the layer takes far longer than the median of its kind.
	Outlier bool `json:"outlier"`
}

// Graph is one captured CUDA graph of one rank and its replays there. Equal
// hashes on two ranks are graphs of equal kernels; the numbers of graphs that
// the file holds as a whole count within a process, and equal ones on two
// ranks say nothing.
type Graph struct {
	Rank      int    `json:"rank"`
	Signature string `json:"signature"` // hash of the kernels' names in stream order, or "graph 367" of a whole one
	Kernels   int64  `json:"kernels"`   // GPU events of one replay; 0 of a whole one
	Replays   int64  `json:"replays"`
	TimeNS    int64  `json:"time_ns"`
}

// Provenance is how much time is known in which way.
type Provenance struct {
	Provenance string  `json:"provenance"`
	TimeNS     int64   `json:"time_ns"`
	Share      float64 `json:"share"`
}

// Finding is a conclusion with evidence and a remedy.
type Finding struct {
	ID        string   `json:"id"`
	Severity  Severity `json:"severity"`
	Title     string   `json:"title"`
	Phase     string   `json:"phase"`
	Evidence  []string `json:"evidence"`
	MaxGain   string   `json:"max_gain"`   // in words, "" when nothing is to be gained
	GainNS    int64    `json:"gain_ns"`    // per step of the phase, at most
	GainShare float64  `json:"gain_share"` // of the time of all steps, at most
	Remedy    string   `json:"remedy"`     // lines to paste; # starts a comment
	Confirm   string   `json:"confirm"`
}

// Stacks is where time was spent, as a tree of frames with samples at its nodes.
type Stacks struct {
	// Nodes[0] is the root; a node's parent stands before it.
	Nodes   []Frame
	Samples []Sample // aggregated: one per distinct key
	// Whole are graphs recorded as a whole. Their time is in no sample: what
	// draws both says which is which.
	Whole []WholeSample
}

// Frame is one node of the tree: its Parent is an index into Stacks.Nodes, -1
// for the root.
type Frame = attribution.Frame

// FrameKind says where a frame came from.
type FrameKind = attribution.FrameKind

// Frame kinds.
const (
	FrameRoot     = attribution.FrameRoot
	FramePython   = attribution.FramePython
	FrameModule   = attribution.FrameModule   // nn.Module
	FrameOp       = attribution.FrameOp       // framework operator
	FrameRange    = attribution.FrameRange    // annotation of the host
	FramePhase    = attribution.FramePhase    // phase of the step
	FrameCategory = attribution.FrameCategory // group or category, where host frames end
)

// Sample is GPU events with equal stack, kernel and labels.
type Sample struct {
	Node      int32 // innermost frame above the kernel, index into Stacks.Nodes
	Kernel    int32 // index into Analysis.Kernels
	Rank      int
	Device    int
	Stream    int64
	Phase     string
	Graph     bool   // launched by a CUDA graph
	Role      string // "" when unknown
	Part      string
	TimeNS    int64
	ExposedNS int64
	Launches  int64
}
