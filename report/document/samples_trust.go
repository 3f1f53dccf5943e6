package document

import (
	"cmp"
	"slices"

	"tokprof/report/figures"
	"tokprof/trace"
)

// samplesTrust is about the profiler's own series and whose they are.
func (b *builder) samplesTrust() {
	touches := []string{"samples"}
	s := b.a.Samples
	switch {
	case len(b.sampled) > 0 && s == nil:
		b.doubt("no_samples", Info, touches, "the profiler's GPU and network samples lie outside the window")
	case s == nil:
		return
	case s.LeftOut > 0:
		b.doubt("samples_left_out", Info, touches, "%s of %s sampled series are left out: a document holds at most %d", figures.Count(int64(s.LeftOut)), figures.Count(int64(s.LeftOut+len(s.Series))), maxSampled)
	}
	if s == nil {
		return
	}
	if s.Unusable > 0 {
		b.doubt("damaged_samples", Warning, touches, "%s samples have no usable time or number: they are in no value", figures.Count(int64(s.Unusable)))
	}
	b.sampledOwners(touches)
	least := slices.MinFunc(s.Series, func(x, y SampledSeries) int { return cmp.Compare(x.CoveredShare, y.CoveredShare) })
	if least.CoveredShare < mostOf {
		b.doubt("samples_partial", Info, touches, "the samples of %s cover %s of the window: its levels are of that part, and phases outside have none", least.Source, figures.Percent(least.CoveredShare))
	}
}

// sampledOwners says which ranks have no samples of their GPU, and where a GPU
// is taken to be theirs by its number alone.
func (b *builder) sampledOwners(touches []string) {
	var assumed, without []int
	for i := range b.ranks {
		gpus, own := false, false
		for _, x := range b.sampled {
			if x.GPU < 0 || !slices.Contains(x.ranks, i) {
				continue
			}
			gpus = true
			mine := slices.ContainsFunc(x.out.Owners, func(o SampledOwner) bool { return o.Rank == b.number[i] })
			own = own || mine
			if mine && x.out.How == trace.ByEqualNumber && !slices.Contains(assumed, b.number[i]) {
				assumed = append(assumed, b.number[i])
			}
		}
		if gpus && !own {
			without = append(without, b.number[i])
		}
	}
	if len(assumed) > 0 {
		b.doubt("sampled_gpu", Info, touches, "%s on the GPU that has the same number in the samples, as far as is known: the export does not list its processes' GPUs, and CUDA_VISIBLE_DEVICES makes the numbers differ", b.ran(assumed))
	}
	if len(without) > 0 {
		b.doubt("unsampled_ranks", Info, touches, "%s on a GPU without samples: record with --gpu-metrics-devices=all to have them", b.ran(without))
	}
}
