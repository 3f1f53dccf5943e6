package document

// Collective is one kind of collective by one kernel. Time inside a collective
// is transfer, which every rank needs, and waiting for the rank that came last.
type Collective struct {
	Kind   string `json:"kind"`
	Kernel string `json:"kernel"`
	// Bytes is the message as nccl-tests counts it: one rank's buffer of an
	// all-reduce, the whole of what is gathered or scattered; the mean where
	// sizes differ (see Sizes), 0 when unknown.
	Bytes      int64  `json:"bytes"`
	BytesHow   string `json:"bytes_how"` // "args" of the kernel, "shapes" of the op's input, "config" or "weights": the step's tokens × the width by either; or several; "" when unknown
	Ranks      int    `json:"ranks"`     // that ran one together, at most
	Count      int64  `json:"count"`
	Unmatched  int64  `json:"unmatched"` // runs without a partner in another rank's file: not split
	TransferNS Spread `json:"transfer_ns"`
	WaitNS     Spread `json:"wait_ns"`         // per rank
	LongestNS  Spread `json:"longest_wait_ns"` // per collective: of the rank that waited longest
	SkewNS     Spread `json:"skew_ns"`         // first rank's start to last rank's
	// AlgBW is bytes over transfer time, BusBW the share of it that each link
	// carries by nccl-tests' factors, both in B/s and of the sizes from 1 MiB
	// where there are any; 0 when unknown.
	AlgBW float64 `json:"algbw"`
	BusBW float64 `json:"busbw"`
	// Ceiling is what NCCL's own model lets BusBW be on the path between the
	// ranks, Physical what the wires carry in one direction; 0 when unknown.
	Ceiling    float64 `json:"ceiling"`
	Physical   float64 `json:"physical"`
	CeilingHow string  `json:"ceiling_how"` // in words
	Percent    float64 `json:"percent"`     // BusBW of Ceiling, 0–100; 0 when unknown and when latency-bound
	// LatencyBound: no message reaches 1 MiB, so bandwidth is not what counts.
	LatencyBound bool   `json:"latency_bound"`
	BestNS       int64  `json:"best_ns"`   // shortest transfer seen of such messages, by any kernel
	Algorithm    string `json:"algorithm"` // as far as the kernel's name shows it; "" when it does not
	// Path is what links the ranks' GPUs, in nvidia-smi's words: "NV18", "PHB";
	// "" when unknown.
	Path    string `json:"path"`
	Warning string `json:"warning,omitempty"`
	// Estimated: from one rank's file, by the lower envelope of equal
	// collectives.
	Estimated     bool  `json:"estimated"`
	TransferSumNS int64 `json:"transfer_sum_ns"` // over all ranks
	WaitSumNS     int64 `json:"wait_sum_ns"`
	// Late says for which rank the others waited, longest first.
	Late  []LateRank       `json:"late"`
	Sizes []CollectiveSize `json:"sizes"` // of known size, largest first
}

// CollectiveSize is the runs of a collective with one message size, or with
// sizes of one power of two where there are many.
type CollectiveSize struct {
	Bytes        int64   `json:"bytes"` // mean
	MinBytes     int64   `json:"min_bytes"`
	MaxBytes     int64   `json:"max_bytes"`
	Count        int64   `json:"count"`
	TransferNS   Spread  `json:"transfer_ns"`
	LongestNS    Spread  `json:"longest_wait_ns"`
	BestNS       int64   `json:"best_ns"`
	AlgBW        float64 `json:"algbw"` // of the median transfer
	BusBW        float64 `json:"busbw"`
	Percent      float64 `json:"percent"`
	LatencyBound bool    `json:"latency_bound"`
}

// LateRank is a rank that others waited for in collectives.
type LateRank struct {
	Rank   int     `json:"rank"`
	WaitNS int64   `json:"wait_ns"` // summed over those who waited
	Share  float64 `json:"share"`   // of all waiting
}
