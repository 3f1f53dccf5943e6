package compare

import (
	"cmp"
	"math"
	"slices"

	"tokprof/report/document"
	"tokprof/report/figures"
)

// batches are the sizes of decode steps that both sides have, by the steps of
// the side that has fewer.
func batches(a [sides]*document.Analysis) []Batch {
	out := []Batch{}
	for i := range a[torch].Batches {
		x := &a[torch].Batches[i]
		y := batchLike(a[nsys], x)
		if y == nil || x.Phase != "decode" || x.Requests == 0 && x.Tokens == 0 || x.Steps == 0 || y.Steps == 0 {
			continue
		}
		b := Batch{
			Requests: x.Requests, Tokens: x.Tokens, TorchSteps: x.Steps, NsysSteps: y.Steps,
			TorchStepNS: x.StepNS, NsysStepNS: y.StepNS, StepChange: change(x.StepNS, y.StepNS),
			TorchPeriodNS: x.PeriodNS, NsysPeriodNS: y.PeriodNS, PeriodChange: change(x.PeriodNS, y.PeriodNS),
			Shares: shares(a, x, y),
		}
		for _, s := range b.Shares {
			if math.Abs(s.Difference) > math.Abs(b.WorstShare) {
				b.WorstShare = s.Difference
			}
		}
		out = append(out, b)
	}
	slices.SortStableFunc(out, func(x, y Batch) int {
		return cmp.Compare(min(y.TorchSteps, y.NsysSteps), min(x.TorchSteps, x.NsysSteps))
	})
	return out
}

func batchLike(a *document.Analysis, x *document.Batch) *document.Batch {
	for i := range a.Batches {
		if y := &a.Batches[i]; y.Phase == x.Phase && y.Requests == x.Requests && y.Tokens == x.Tokens {
			return y
		}
	}
	return nil
}

// shares are the roles' parts of the time outside collectives.
func shares(a [sides]*document.Analysis, x, y *document.Batch) []Share {
	times := map[string]*[sides]int64{}
	var names []string
	var sum [sides]int64
	for side, b := range []*document.Batch{x, y} {
		for _, k := range b.Kernels {
			if k.Comm {
				continue
			}
			name := k.Role
			if name == "" {
				of := &a[side].Kernels[k.Kernel]
				name = of.Group + "." + of.Subgroup
			}
			if times[name] == nil {
				times[name] = &[sides]int64{}
				names = append(names, name)
			}
			times[name][side] += k.TotalNS
			sum[side] += k.TotalNS
		}
	}
	out := make([]Share, 0, len(names))
	for _, n := range names {
		s := Share{Role: n, Torch: figures.Share(times[n][torch], sum[torch]), Nsys: figures.Share(times[n][nsys], sum[nsys])}
		s.Difference = s.Nsys - s.Torch
		out = append(out, s)
	}
	slices.SortFunc(out, func(x, y Share) int {
		return cmp.Or(cmp.Compare(y.Torch+y.Nsys, x.Torch+x.Nsys), cmp.Compare(x.Role, y.Role))
	})
	return out
}
