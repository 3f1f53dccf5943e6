package roofline

import (
	"maps"
	"slices"
	"strings"
)

// GPU is what a datasheet promises of one device as drivers list it.
type GPU struct {
	Name         string
	MemBandwidth float64 // bytes a second
	// Dense are peaks in FLOP/s without sparsity, of matrix units with 32-bit
	// accumulation where there are any, by format: bf16, fp16, fp8, fp4, int8,
	// tf32, fp32 (outside the matrix units). A format that the datasheet does
	// not give is absent.
	Dense  map[string]float64
	NVLink float64 // bytes a second in one direction, all links of the GPU (AMD: Infinity Fabric); 0: none or not known
	Source string  // the datasheet's title and year
}

// LookupGPU finds a GPU by the name that a driver or a trace gives it
// ("NVIDIA H100 80GB HBM3"). A name that does not tell the exact part ("A100":
// of four kinds), a slice (MIG, vGPU) or an unknown part is not found.
func LookupGPU(name string) (GPU, bool) {
	row, ok := byName[nameKey(name)]
	if !ok {
		return GPU{}, false
	}
	p := parts[row]
	g := GPU{
		Name: p.name, MemBandwidth: p.mem * 1e9, NVLink: p.link * 1e9, Source: p.source,
		Dense: make(map[string]float64, len(p.dense)),
	}
	for format, tera := range p.dense {
		g.Dense[format] = tera * 1e12
	}
	return g, true
}

// Formats lists the formats whose peak is known, in order.
func (g GPU) Formats() []string { return slices.Sorted(maps.Keys(g.Dense)) }

var byName = func() map[string]int {
	out := map[string]int{}
	for i, p := range parts {
		for _, alias := range append([]string{p.name}, p.aliases...) {
			out[nameKey(alias)] = i
		}
	}
	return out
}()

// vendorWords are in a name or not, without telling one part from another.
var vendorWords = map[string]bool{
	"NVIDIA": true, "TESLA": true, "GEFORCE": true, "AMD": true, "INSTINCT": true, "TENSOR": true, "CORE": true, "GPU": true,
}

// nameKey brings spellings of one name together: words in order of the
// alphabet, vendor's and series' left out.
func nameKey(name string) string {
	words := strings.FieldsFunc(strings.ToUpper(name), func(r rune) bool {
		return !(r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.')
	})
	words = slices.DeleteFunc(words, func(w string) bool { return vendorWords[w] })
	slices.Sort(words)
	return strings.Join(words, " ")
}

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
