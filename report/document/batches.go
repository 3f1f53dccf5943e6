package document

import "tokprof/kernels/breakdown"

// Batch is the steps of one size: what another recording of the same load must
// agree with. The batch without a phase is what no step did.
type Batch struct {
	Phase    string
	Requests int64 // 0 when not said
	Tokens   int64 // 0 when not said
	Steps    int64 // of all ranks
	StepNS   int64 // median, first to last GPU event
	PeriodNS int64 // median, to the next step's start; 0 when none follows
	Kernels  []BatchKernel
}

// BatchKernel is one kernel in one role, in the steps of one batch.
type BatchKernel struct {
	Kernel   int // index into Analysis.Kernels
	Role     string
	Part     string
	Launches int64
	TotalNS  int64
	// Durs are the lengths; of a collective the time it moved data, where its
	// waiting could be told apart (Split of Launches).
	Durs  breakdown.Durations
	Comm  bool
	Split int64
}
