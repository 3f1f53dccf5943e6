package compose

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"tokprof/nvml"
	"tokprof/report/document"
	"tokprof/report/gpus"
)

// ceiling fills in what the path between the ranks of a collective can carry:
// of the groups that ran it, the slowest.
func (b *builder) ceiling(c *document.Collective, together map[string]bool) {
	if !b.gpus.Linked() {
		return
	}
	if c.Estimated {
		if l, _ := b.link("\x00\x00", true); b.worldSize() > 1 && l.OverPCIe() {
			c.Warning, c.Path = pcieWarning(l.Path), string(l.Path)
		}
	}
	if len(together) == 0 && c.Estimated {
		together = map[string]bool{strings.Repeat("\x00", b.aloneRanks()): true}
	}
	first := true
	for _, key := range slices.Sorted(maps.Keys(together)) {
		l, how := b.link(key, c.Estimated)
		if first || l.NCCL < c.Ceiling {
			c.Ceiling, c.Physical, c.CeilingHow = l.NCCL, l.Physical, how
			c.Path = cmp.Or(string(l.Path), c.Path)
		}
		if l.OverPCIe() {
			c.Warning, c.Path = pcieWarning(l.Path), string(l.Path)
		}
		first = false
	}
}

func (b *builder) worldSize() (n int) {
	for _, r := range b.ranks {
		n = max(n, r.Info.WorldSize)
	}
	return n
}

// pcieWarning is what the field says of tensor parallelism without NVLink
// (vLLM docs, serving/parallelism_scaling: prefer pipeline parallelism there).
func pcieWarning(p nvml.Path) string {
	level := string(p)
	return "these ranks have no NVLink between them: collectives cross PCIe (" + level + ", " + p.Meaning() +
		"). Do not use tensor parallelism here: pipeline or data parallelism moves far less; or else set NCCL_P2P_LEVEL=" + level +
		", and see with NCCL_DEBUG=INFO that NCCL takes direct peer copies"
}

// link finds the path between the ranks of a group as groupKey spells them, or
// between so many of which none is known where that is estimated.
func (b *builder) link(key string, estimated bool) (gpus.Link, string) {
	var ranks []int
	for _, r := range key {
		if estimated {
			r = gpus.AnyRank
		}
		ranks = append(ranks, int(r))
	}
	n := len(ranks)
	if !estimated {
		n = b.ranksBehind(n)
	}
	return b.gpus.Link(ranks, n)
}
