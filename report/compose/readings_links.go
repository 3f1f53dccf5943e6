package compose

import (
	"slices"

	"tokprof/kernels/collective"
	"tokprof/nvml"
	"tokprof/report/document"
)

// linkMargin is by how many periods of the readings the counters are read
// before and behind the window: a reading's time is that of its first value,
// and the counters come last.
const linkMargin = 2

// linkCheck compares where all ranks are in one file each and send alike: then
// it does not matter which ran on which GPU.
func (b *builder) linkCheck() {
	if b.gpus.why != "" || b.unseen() > 0 || b.split.Estimated || len(b.ranks) < 2 {
		return
	}
	sent, small, sized, all := b.sentBytes()
	if len(sent) == 0 || slices.Max(sent) == 0 || float64(slices.Min(sent)) < 0.99*float64(slices.Max(sent)) {
		return
	}
	counted, quiet, ok := b.countedBytes()
	if !ok {
		return
	}
	c := &document.LinkCheck{TracedBytes: sent[0], SizedShare: share(sized, all), CountedBytes: counted, Quiet: quiet, TracedMostBytes: sent[0] + small}
	c.Ratio = float64(counted) / float64(sent[0])
	b.a.Readings.Links = c
}

// sentBytes is what each rank sends in collectives of known size, the first
// one's part in NCCL's small messages, how many of those there are, and of all.
func (b *builder) sentBytes() (sent []int64, small, sized, all int64) {
	sent = make([]int64, len(b.ranks))
	for _, g := range b.split.Groups {
		all++
		m := b.groupMessage(g)
		first := g.Members[0]
		k := b.a.Kernels[b.kernelAt[first.Rank][first.Run.Kernel]]
		bytes := m.Whole(k.Subgroup, len(g.Members))
		factor := collective.BusFactor(k.Subgroup, len(g.Members))
		algorithm := collective.AlgorithmOf(k.Name)
		if k.Subgroup == "all_reduce" && algorithm == collective.OneShot {
			factor = float64(len(g.Members) - 1) // each reads the whole of every other
		}
		if bytes == 0 || factor == 0 {
			continue
		}
		sized++
		for _, x := range g.Members {
			each := int64(float64(bytes) * factor)
			sent[x.Rank] += each
			if x.Rank == 0 && algorithm == collective.ByNCCL && each < latencyBytes {
				small += each
			}
		}
	}
	return sent, small, sized, all
}

// countedBytes is what the counters of the ranks' GPUs say that each sent.
func (b *builder) countedBytes() (bytes int64, quiet, ok bool) {
	from, to := b.span()
	margin := linkMargin * b.a.Readings.PeriodNS
	quiet = true
	n := int64(0)
	for _, c := range b.gpus.crews {
		for _, g := range c.gpus {
			s := b.o.Readings.Series(g)
			moved := func(from, to int64) (int64, bool) {
				d, ok := s.Between(from, to).Delta(nvml.NVLinkTx)
				return int64(d.Value) * 1024, ok && d.Resets == 0
			}
			x, ok := moved(from-margin, to+margin)
			if !ok {
				return 0, false, false
			}
			bytes += x
			n++
			for _, edge := range [][2]int64{{from - 3*margin, from - margin}, {to + margin, to + 3*margin}} {
				still, ok := moved(edge[0], edge[1])
				quiet = quiet && ok && still == 0
			}
		}
	}
	if n == 0 {
		return 0, false, false
	}
	return bytes / n, quiet, true
}
