package compose

import (
	"testing"

	"tokprof/kernels"
	"tokprof/kernels/breakdown"
	"tokprof/trace"
)

// TestBatchesAddUp sums the batches of a window of two ranks: they hold every
// launch and every nanosecond, and of collectives the transfer alone.
func TestBatchesAddUp(t *testing.T) {
	c, err := kernels.NewClassifier(nil)
	if err != nil {
		t.Fatal(err)
	}
	var ranks []*breakdown.Rank
	for _, name := range []string{tp2Rank0, tp2Rank1} {
		tr, err := trace.Open(t.Context(), fixturePath(name), trace.Options{})
		if err != nil {
			t.Fatal(err)
		}
		ranks = append(ranks, breakdown.Reduce(tr, c, breakdown.Options{ExcerptTo: -1, Batches: true}))
	}
	a := Build(ranks, Options{}).Analyses[0]
	var total, events, transfer, steps int64
	launches := make([]int64, len(a.Kernels))
	for _, b := range a.Batches {
		steps += b.Steps
		for _, k := range b.Kernels {
			total += k.TotalNS
			launches[k.Kernel] += k.Launches
			switch {
			case k.Comm:
				transfer += int64(k.Durs.Total())
				if k.Split != k.Durs.Launches() || k.Split > k.Launches {
					t.Errorf("%d of %d collectives split, %d lengths", k.Split, k.Launches, k.Durs.Launches())
				}
			case k.TotalNS != int64(k.Durs.Total()) || k.Launches != k.Durs.Launches():
				t.Errorf("%s: %d ns of %d, lengths %v", a.Kernels[k.Kernel].Name, k.TotalNS, k.Launches, k.Durs)
			}
		}
		if b.Phase == "decode" && (b.Requests == 0 || b.Steps == 0 || b.StepNS <= 0) {
			t.Errorf("batch %+v", b)
		}
	}
	var sum, moved, done int64
	for _, d := range a.Devices {
		sum, events = sum+d.SumNS, events+d.Events
	}
	for i, k := range a.Kernels {
		if launches[i] != k.Launches {
			t.Errorf("%s: %d launches in batches, %d", k.Name, launches[i], k.Launches)
		}
	}
	for _, x := range a.Collectives {
		moved += x.TransferSumNS
	}
	for _, s := range a.Steps {
		if s.DurNS > 0 {
			done++
		}
	}
	if total != sum || transfer != moved || steps != done || total == 0 || transfer == 0 || events == 0 {
		t.Errorf("%d ns of %d, %d ns moving data of %d, %d steps of %d", total, sum, transfer, moved, steps, done)
	}
}
