// Package compare holds two recordings of the same load against each other:
// which kernels each has, how long they took in steps that did equal work, and
// what each profiler cost. It adds up and judges; it draws nothing and reads no
// files. Times are int64 nanoseconds, shares and changes fractions.
package compare

import "tokprof/report/document"

// Schema is the name of the JSON object.
const Schema = "tokprof.reconciliation/v1"

// Reconciliation is the windows of two recordings side by side. Slices are
// never nil.
type Reconciliation struct {
	Schema  string   `json:"schema"`
	Version string   `json:"tokprof_version"`
	Command string   `json:"command"` // how to make it again, without paths
	Windows []Window `json:"windows"`
}

// Window is one window of each recording.
type Window struct {
	Verdict string `json:"verdict"`
	Torch   Side   `json:"torch"`
	Nsys    Side   `json:"nsys"`
	// Kernels are all kernels of both sides by role, by time: the totals of
	// each side add up to its gpu_ns.
	Kernels []Kernel `json:"kernels"`
	// Batches are the sizes of decode steps that both sides have, the one with
	// most steps first.
	Batches []Batch `json:"batches"`
	Same    Same    `json:"same"`
	Tax     Tax     `json:"profiler_tax"`
	Notes   []Note  `json:"notes"`
}

// Side is one recording of a window.
type Side struct {
	Window  string            `json:"window"`
	Sources []document.Source `json:"sources"`
	Ranks   int               `json:"ranks"`
	Events  int64             `json:"events"`
	GPUNS   int64             `json:"gpu_ns"`   // sum over kernels, copies and memsets
	GraphNS int64             `json:"graph_ns"` // known only as whole graph executions, in no kernel
	Steps   int64             `json:"steps"`
	Names   int               `json:"names"` // distinct kernel names
}

// Match says how a row's two sides found each other.
type Match string

// Matches.
const (
	ByName    Match = "name"   // one name, whatever the spelling
	ByFamily  Match = "family" // the only kernels of their rule and role that the other side lacks
	TorchOnly Match = "torch only"
	NsysOnly  Match = "nsys only"
)

// Kernel is one kernel in one role. A side that lacks it has no launches.
type Kernel struct {
	Name      string    `json:"name"`
	NsysName  string    `json:"nsys_name"` // as Nsight Systems spells it, or of the kernel it was matched with; "" when equal or absent
	ShortName string    `json:"short_name"`
	Group     string    `json:"group"`
	Subgroup  string    `json:"subgroup"`
	Role      string    `json:"role"`
	Match     Match     `json:"match"`
	Torch     Sum       `json:"torch"`
	Nsys      Sum       `json:"nsys"`
	Decode    []Medians `json:"decode"` // by batch, most launches first
}

// Sum is a side's launches and time over the whole window.
type Sum struct {
	Launches int64 `json:"launches"`
	TotalNS  int64 `json:"total_ns"`
}

// Medians are a kernel's lengths in decode steps of one batch: of a collective
// the time it moved data, without waiting for other ranks.
type Medians struct {
	Requests      int64   `json:"requests"`
	Tokens        int64   `json:"tokens"`
	TorchLaunches int64   `json:"torch_launches"`
	NsysLaunches  int64   `json:"nsys_launches"`
	TorchNS       int64   `json:"torch_median_ns"`
	NsysNS        int64   `json:"nsys_median_ns"`
	Change        float64 `json:"change"`        // of nsys against torch
	TransferOnly  bool    `json:"transfer_only"` // of a collective
}

// Batch is the decode steps of one size on both sides.
type Batch struct {
	Requests      int64   `json:"requests"`
	Tokens        int64   `json:"tokens"`
	TorchSteps    int64   `json:"torch_steps"` // of all ranks
	NsysSteps     int64   `json:"nsys_steps"`
	TorchStepNS   int64   `json:"torch_step_ns"` // median, first to last GPU event
	NsysStepNS    int64   `json:"nsys_step_ns"`
	StepChange    float64 `json:"step_change"`
	TorchPeriodNS int64   `json:"torch_period_ns"` // median, to the next step's start
	NsysPeriodNS  int64   `json:"nsys_period_ns"`
	PeriodChange  float64 `json:"period_change"`
	// Shares are of the time outside collectives, by role or, for kernels
	// without one, by category; largest first.
	Shares     []Share `json:"shares"`
	WorstShare float64 `json:"worst_share_difference"` // largest difference, as a fraction
}

// Share is a role's part of the time outside collectives.
type Share struct {
	Role       string  `json:"role"`
	Torch      float64 `json:"torch"`
	Nsys       float64 `json:"nsys"`
	Difference float64 `json:"difference"` // nsys − torch
}

// Same is how far the two recordings are of one thing. Names are kernels', each
// counted once whatever its roles.
type Same struct {
	Names       int   `json:"names"` // on both sides
	ByFamily    int   `json:"by_family"`
	TorchOnly   int   `json:"torch_only"`
	NsysOnly    int   `json:"nsys_only"`
	TorchOnlyNS int64 `json:"torch_only_ns"` // their time
	NsysOnlyNS  int64 `json:"nsys_only_ns"`
	// Of names in decode steps of equal batch: those that one side lacks there,
	// and those with another role there.
	EqualLack   int `json:"lacking_in_equal_steps"`
	RolesDiffer int `json:"roles_differ"`

	Compared    int     `json:"compared"`       // medians of at least 100 launches on each side
	Median      float64 `json:"median_change"`  // the middle one of their changes
	Worst       float64 `json:"worst_change"`   // the largest, either way
	WorstKernel string  `json:"worst_kernel"`   // its short name
	WorstTorch  int64   `json:"worst_torch_ns"` // its medians
	WorstNsys   int64   `json:"worst_nsys_ns"`
	Outside     int     `json:"outside"` // medians further apart than 5 % and four ticks of the GPU's clock
	WorstShare  float64 `json:"worst_share_difference"`
	Agree       bool    `json:"agree"` // every comparison within its bar
}

// Tax is what the profilers cost. Steps are those of the batch that both sides
// have most of; 0 where something is unknown. Times per token are what clients
// saw.
type Tax struct {
	Requests       int64   `json:"requests"`
	Tokens         int64   `json:"tokens"`
	TorchPerTokNS  int64   `json:"torch_tpot_ns"`
	NsysPerTokNS   int64   `json:"nsys_tpot_ns"`
	PlainPerTokNS  int64   `json:"plain_tpot_ns"` // of the same load without a profiler
	PlainWindow    string  `json:"plain_window"`
	TorchInflation float64 `json:"torch_inflation"` // against plain, of paired requests
	NsysInflation  float64 `json:"nsys_inflation"`
}

// Note is a doubt of one side about its own numbers.
type Note struct {
	Side     string            `json:"side"` // "torch" or "nsys"
	Severity document.Severity `json:"severity"`
	Message  string            `json:"message"`
}
