package document

// Samples is what the profiler sampled beside the events while the window ran:
// GPU metrics and network counters of Nsight Systems.
type Samples struct {
	// Series are ordered by file, GPU and metric, network adapters last; those
	// with a key come first where not all fit.
	Series  []SampledSeries `json:"series"`
	LeftOut int             `json:"left_out"` // series beyond the most that a document holds

	// Unusable are samples of the files without a usable time or a finite number,
	// in no value here.
	Unusable int `json:"unusable"`
}

// SampledSeries is one metric of one GPU or network port over the window.
type SampledSeries struct {
	File   int    `json:"file"`   // the one that holds it, by its first place in sources
	Source string `json:"source"` // "GPU 1", by the profiler's number, which is neither the driver's index nor a CUDA ordinal; "NIC mlx5_0 port 1"
	// Owners are the ranks of the file that ran on the GPU; none of network ports.
	Owners []SampledOwner `json:"owners"`
	// How the owners are known, or that there are none: "device_table" (of the
	// export), "equal_number" (the export has no such table: equal numbers are
	// taken to be one GPU); "" when it is not known that there are none.
	How    string `json:"how"`
	Metric string `json:"metric"` // its name in the file, with the unit in brackets
	// Key is what the metric is by the words of its name, over versions and GPUs:
	// "sm_active", "tensor_active", "dram_read", …; "" for all others.
	Key  string `json:"key"`
	Unit string `json:"unit"` // as the name states it: "Throughput %"; "" when it does not

	Samples  int   `json:"samples"`   // that speak for the window
	PeriodNS int64 `json:"period_ns"` // median time between two; 0 when there is one alone
	// Level is over the window, the mean by the time that samples speak for:
	// CoveredShare of the window.
	Level        Level         `json:"level"`
	CoveredShare float64       `json:"covered_share"`
	Phases       []PhaseSample `json:"phases"`

	// The series over time, thinned: points keep its lows and highs. Behind: a
	// value is of the time before its point, not of the time from it on.
	Behind bool      `json:"behind"`
	UnixNS []int64   `json:"unix_ns"`
	Values []float64 `json:"values"`
}

// SampledOwner is one device of one rank.
type SampledOwner struct {
	Rank   int `json:"rank"`
	Device int `json:"device"`
}

// PhaseSample is a metric during the steps of a phase, each up to the next
// one's start: those of the owners, or of all ranks of the file for a network
// port.
type PhaseSample struct {
	Phase string   `json:"phase"`
	Mean  *float64 `json:"mean,omitempty"` // by time; absent where Why says why
	// Why there is no mean: "not_covered" (samples speak for less than four
	// fifths of the time), "short_steps" (most of it is shared by samples with
	// time outside the phase, since the steps are short against the period).
	Why          string  `json:"why,omitempty"`
	CoveredShare float64 `json:"covered_share"` // of the steps' time
}

// Keys of the metrics that drawings pick out.
const (
	KeySMActive     = "sm_active"
	KeyTensorActive = "tensor_active"
	KeyDRAMRead     = "dram_read"
	KeyDRAMWrite    = "dram_write"
	KeyNVLinkTx     = "nvlink_tx" // user data; requests and responses are series of their own
	KeyNVLinkRx     = "nvlink_rx"
	KeyPCIeTx       = "pcie_tx"
	KeyPCIeRx       = "pcie_rx"
	KeyGPCClock     = "gpc_clock"
	KeyNICTx        = "nic_tx"
	KeyNICRx        = "nic_rx"
)
