// Package gpus joins what the GPUs of a host read, and how they are linked,
// with the ranks, steps and collectives of a document.
package gpus

import (
	"tokprof/kernels/breakdown"
	"tokprof/nvml"
	"tokprof/report/document"
)

// Host is what is known of a host's GPUs from outside the traces.
type Host struct {
	Readings *nvml.Recording // of the GPUs while the traces were recorded; nil when there are none
	Topology *nvml.Topology  // of the host that the GPUs are in; nil when only the readings tell
	// GPUs says which GPU a rank's device is, where something tells.
	GPUs []Identity
	// VisibleDevices is the CUDA_VISIBLE_DEVICES that the ranks' processes run
	// under; "" when unknown.
	VisibleDevices string
}

// Identity is the GPU behind one device of a rank: by its UUID or PCI address,
// as the driver writes them.
type Identity struct {
	Rank, Device int
	UUID, PCI    string
}

// Window is one window's ranks and its document, whose steps and phases are
// there already.
type Window struct {
	Analysis *document.Analysis
	Ranks    []*breakdown.Rank
	Number   []int  // document rank of each of Ranks
	Unseen   int    // ranks without a file
	GPUName  string // of every rank's GPU; "" when unknown or not the same
	// Busy is the GPU time of a phase by role, and by part for what has none;
	// the longest first.
	Busy func(phase string) []document.NameTime
	// Sent is what the traced collectives sent; nothing where that is only
	// estimated.
	Sent func() Sent
}

// Sent is what collectives sent.
type Sent struct {
	Bytes      []int64 // of each of Window.Ranks, in collectives of known size
	Small      int64   // bytes of the first rank in NCCL's small messages
	Sized, All int64   // collectives of known size, and of any
}

// Joined is a window's ranks on the host's GPUs.
type Joined struct {
	host    Host
	window  Window
	a       *document.Analysis
	ranks   []*breakdown.Rank
	number  []int
	linked  *nvml.Topology // nil when nothing tells
	placed  placing        // of ranks on the GPUs that were read
	sampled []*sampled     // series of the ranks' files
	trust   []document.Trust
}

// Join writes what the GPUs read, and what the profiler sampled of them, into a
// window's document: its readings and samples, and the clocks and energy of its
// steps and phases.
func Join(h Host, w Window) *Joined {
	j := &Joined{host: h, window: w, a: w.Analysis, ranks: w.Ranks, number: w.Number}
	j.linked = j.topology()
	j.readings()
	j.samples()
	return j
}

// Trust states every doubt about the joined numbers.
func (j *Joined) Trust() []document.Trust {
	j.trust = nil
	j.readingsTrust()
	j.samplesTrust()
	return j.trust
}

func (j *Joined) doubt(code string, s document.Severity, touches []string, format string, args ...any) {
	j.trust = append(j.trust, document.Doubt(code, s, touches, format, args...))
}

// span is the window in Unix ns.
func (j *Joined) span() (from, to int64) {
	return j.a.Window.StartUnixNS, j.a.Window.StartUnixNS + j.a.Window.DurNS
}
