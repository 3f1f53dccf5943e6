package roofline

// What holds a kernel back.
const (
	BoundMemory  = "memory"
	BoundCompute = "compute"
	BoundLatency = "latency" // neither: launches, waves, dependencies
)

// LatencyShare is the share of both peaks below which neither is what holds a
// kernel back.
const LatencyShare = 0.3

// Result is work done in a time against a GPU's peaks.
type Result struct {
	FLOPs       float64 // achieved FLOP/s
	BytesPerSec float64 // achieved bytes a second

	ComputeShare, MemoryShare float64 // of the peaks, 0–1
	ComputeKnown, MemoryKnown bool    // whether the peak is

	// Floor is the seconds below which the GPU cannot do this work; only with
	// both peaks known.
	Floor float64
	// Limit is the roof that the work is under, memory or compute; Bound is the
	// same, or latency where neither peak is near. "" where not known.
	Limit, Bound string
	// Above says that a share is above 1: the data came from cache, or shape,
	// format or time is not what ran.
	Above bool
}

// Bound compares work done in seconds with the GPU's peaks; dtype is a key of
// Dense. ok flags stay false where a peak is not known. No time, no result.
func (g GPU) Bound(w Work, dtype string, seconds float64) Result {
	var r Result
	if !(seconds > 0) {
		return r
	}
	r.FLOPs, r.BytesPerSec = w.FLOPs/seconds, w.Bytes/seconds
	peak := g.Dense[dtype]
	if r.ComputeKnown = peak > 0; r.ComputeKnown {
		r.ComputeShare = r.FLOPs / peak
	}
	if r.MemoryKnown = g.MemBandwidth > 0; r.MemoryKnown {
		r.MemoryShare = r.BytesPerSec / g.MemBandwidth
	}
	r.Above = r.ComputeShare > 1 || r.MemoryShare > 1
	switch {
	case w.FLOPs <= 0 && w.Bytes <= 0:
		return r
	case w.FLOPs <= 0 && r.MemoryKnown: // no format matters to a pure move
		r.Limit, r.Floor = BoundMemory, w.Bytes/g.MemBandwidth
	case !r.ComputeKnown || !r.MemoryKnown:
		return r
	case r.ComputeShare > r.MemoryShare:
		r.Limit, r.Floor = BoundCompute, w.FLOPs/peak
	default:
		r.Limit, r.Floor = BoundMemory, w.Bytes/g.MemBandwidth
	}
	r.Bound = r.Limit
	if max(r.ComputeShare, r.MemoryShare) < LatencyShare {
		r.Bound = BoundLatency
	}
	return r
}
