package compose

import (
	"cmp"
	"slices"

	"tokprof/report/document"
	"tokprof/report/figures"
	"tokprof/trace"
)

// samplesTrust is about the profiler's own series and whose they are.
func (b *builder) samplesTrust() {
	touches := []string{"samples"}
	s := b.a.Samples
	switch {
	case len(b.sampled) > 0 && s == nil:
		b.doubt("no_samples", document.Info, touches, "the profiler's GPU and network samples lie outside the window")
	case s == nil:
		return
	case s.LeftOut > 0:
		b.doubt("samples_left_out", document.Info, touches, "%s of %s sampled series are left out: a document holds at most %d", figures.Count(int64(s.LeftOut)), figures.Count(int64(s.LeftOut+len(s.Series))), maxSampled)
	}
	if s == nil {
		return
	}
	if s.Unusable > 0 {
		b.doubt("damaged_samples", document.Warning, touches, "%s samples have no usable time or number: they are in no value", figures.Count(int64(s.Unusable)))
	}
	b.sampledOwners(touches)
	least := slices.MinFunc(s.Series, func(x, y document.SampledSeries) int { return cmp.Compare(x.CoveredShare, y.CoveredShare) })
	if least.CoveredShare < mostOf {
		b.doubt("samples_partial", document.Info, touches, "the samples of %s cover %s of the window: its levels are of that part, and phases outside have none", least.Source, figures.Percent(least.CoveredShare))
	}
}

// sampledOwners says which ranks have no samples of their GPU, and where a GPU
// is taken to be theirs by its number alone.
func (b *builder) sampledOwners(touches []string) {
	var assumed, without, unknown []int
	for i, r := range b.ranks {
		gpus := slices.DeleteFunc(slices.Clone(r.Series), func(x trace.Series) bool { return x.GPU < 0 })
		own := slices.DeleteFunc(slices.Clone(gpus), func(x trace.Series) bool { return x.Device < 0 })
		listed := !slices.ContainsFunc(gpus, func(x trace.Series) bool { return x.DeviceHow != trace.ByDeviceTable })
		switch {
		case len(gpus) == 0 || len(own) > 0 && listed:
		case len(own) > 0 && slices.ContainsFunc(own, func(x trace.Series) bool { return x.DeviceHow == trace.ByEqualNumber }):
			assumed = append(assumed, b.number[i])
		case len(own) > 0:
		case listed:
			without = append(without, b.number[i])
		default:
			unknown = append(unknown, b.number[i])
		}
	}
	if len(assumed) > 0 {
		b.doubt("sampled_gpu", document.Info, touches, "%s on the GPU that has the same number in the samples, as far as is known: the export does not list its processes' GPUs, and CUDA_VISIBLE_DEVICES makes the numbers differ", b.ran(assumed))
	}
	if len(without) > 0 {
		b.doubt("unsampled_ranks", document.Info, touches, "%s on a GPU without samples: record with --gpu-metrics-devices=all to have them", b.ran(without))
	}
	if len(unknown) > 0 {
		b.doubt("unknown_sampled_gpus", document.Info, touches, "whether %s on a sampled GPU is not known: the export does not list its processes' GPUs; no phase has means of them", b.ran(unknown))
	}
}
