//go:build shared

package main

import (
	"math"
	"path/filepath"
	"testing"

	"tokprof/report/compare"
)

// gpuTick is what the GPUs of the captures count time in, ns.
const gpuTick = 32

// TestSharedReconcile holds the torch and the Nsight recordings of one server
// against each other, the decode and the mixed window: in pure decode steps of
// equal batch the same kernels in the same roles, role shares outside
// collectives within 2 points, and medians of kernels with at least 100
// launches within 5 %, or within four ticks of the GPU's clock where a kernel
// takes less than 2.5 µs: there four ticks are more than 5 %. Collectives
// count by the time they moved data.
func TestSharedReconcile(t *testing.T) {
	captures := filepath.Join(*sharedDir, "captures")
	_, r := reconciled(t, filepath.Join(captures, "llama-16l-tp2"), filepath.Join(captures, "llama-16l-tp2-nsys"), "-q")
	if len(r.Windows) != 2 {
		t.Fatalf("%d windows", len(r.Windows))
	}
	for i := range r.Windows {
		w := &r.Windows[i]
		if w.Torch.Window != w.Nsys.Window || w.Torch.Ranks != 2 || w.Nsys.Ranks != 2 || !w.Same.Agree || w.Same.RolesDiffer != 0 || w.Same.EqualLack != 0 || w.Same.Names < 45 {
			t.Errorf("%s and %s: %+v", w.Torch.Window, w.Nsys.Window, w.Same)
		}
		for _, b := range w.Batches {
			if math.Abs(b.WorstShare) > 0.02 {
				t.Errorf("%s, %d requests: a role's shares are %.1f points apart", w.Torch.Window, b.Requests, b.WorstShare*100)
			}
		}
		compared, outside, worst := heldMedians(t, w)
		t.Logf("%s: %d names on both sides, %d and %d on one; %d medians, %d of them more than 5 %% apart (at most %d ns), others at most %.1f %%; shares at most %.2f points; decode step %d and %d ns; TPOT %d, %d, plain %d ns",
			w.Torch.Window, w.Same.Names, w.Same.TorchOnly, w.Same.NsysOnly, compared, outside, worst.apart, worst.share*100, math.Abs(w.Same.WorstShare)*100,
			w.Batches[0].TorchStepNS, w.Batches[0].NsysStepNS, w.Tax.TorchPerTokNS, w.Tax.NsysPerTokNS, w.Tax.PlainPerTokNS)
		if compared < 15 {
			t.Errorf("%s: %d medians compared", w.Torch.Window, compared)
		}
	}
}

// worstMedian is the largest difference among the medians that are more than 5 %
// apart, and the largest change among the others.
type worstMedian struct {
	apart int64
	share float64
}

// heldMedians holds every median of at least 100 launches against the bar.
func heldMedians(t *testing.T, w *compare.Window) (compared, outside int, worst worstMedian) {
	for _, k := range w.Kernels {
		for _, m := range k.Decode {
			if min(m.TorchLaunches, m.NsysLaunches) < 100 {
				continue
			}
			compared++
			if (k.Group == "comm") != m.TransferOnly {
				t.Errorf("%s: compared by transfer alone: %v", k.ShortName, m.TransferOnly)
			}
			apart := max(m.NsysNS-m.TorchNS, m.TorchNS-m.NsysNS)
			if math.Abs(m.Change) <= 0.05 {
				worst.share = max(worst.share, math.Abs(m.Change))
				continue
			}
			outside++
			worst.apart = max(worst.apart, apart)
			t.Logf("%s, %d requests: %d and %d ns", k.ShortName, m.Requests, m.TorchNS, m.NsysNS)
			if m.TorchNS >= 2500 || apart > 4*gpuTick+1 {
				t.Errorf("%s %s, %d requests: medians %d and %d ns (%+.1f %%)", k.ShortName, k.Role, m.Requests, m.TorchNS, m.NsysNS, m.Change*100)
			}
		}
	}
	return compared, outside, worst
}
