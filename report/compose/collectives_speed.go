package compose

import (
	"cmp"
	"math/bits"
	"slices"
	"strings"

	"tokprof/kernels/collective"
	"tokprof/report/document"
	"tokprof/report/figures"
	"tokprof/trace"
)

const (
	// latencyBytes is the message below which the time of a collective is that of
	// its hops, whatever the link can move.
	latencyBytes = 1 << 20
	// manySizes is above how many sizes of a collective they are put together by
	// powers of two.
	manySizes = 16
)

// sizedRun is one collective of known size.
type sizedRun struct {
	bytes, transfer, longest int64
	ranks                    int
}

// size books one collective: over how many ranks, 0 when unknown, and how long
// it moved data and made a rank wait.
func (s *collectiveSum) size(m collective.Message, ranks int, transfer, longest trace.Time) {
	bytes := m.Whole(s.row.Kind, ranks)
	if bytes == 0 {
		return
	}
	if !strings.Contains(s.row.BytesHow, m.How) {
		s.row.BytesHow = strings.TrimPrefix(s.row.BytesHow+", "+m.How, ", ")
	}
	s.sizes = append(s.sizes, sizedRun{bytes, int64(transfer), int64(longest), ranks})
}

// aloneRanks is over how many ranks the collectives of a lone file run, 0 when
// nothing says so: groups of two or more split a world of two or three into one.
func (b *builder) aloneRanks() int {
	if !b.split.Estimated {
		return 0
	}
	if b.o.Model != nil {
		if tp, ok := b.o.Model.TP(b.found()); ok {
			return tp
		}
	}
	if world := b.worldSize(); world == 2 || world == 3 {
		return world
	}
	return 0
}

// groupRanks is how many ranks ran a group's collective, 0 when nothing says.
func (b *builder) groupRanks(g collective.Group) int {
	return cmp.Or(g.Members[0].Run.Ranks, b.ranksBehind(len(g.Members)))
}

// ranksBehind is how many ranks stand behind the n of a group that have files:
// more than these where some have none, 0 when nothing says how many.
func (b *builder) ranksBehind(n int) int {
	if b.unseen() == 0 {
		return n
	}
	if b.o.Model != nil {
		if tp, ok := b.o.Model.TP(b.found()); ok && tp >= n {
			return tp
		}
	}
	return 0
}

// groupKey spells the ranks of a group.
func (b *builder) groupKey(g collective.Group) string {
	ranks := make([]rune, 0, len(g.Members))
	for _, m := range g.Members {
		ranks = append(ranks, rune(b.number[m.Rank]))
	}
	slices.Sort(ranks)
	return string(ranks)
}

// groupMessage is the size that all ranks of a group agree on.
func (b *builder) groupMessage(g collective.Group) collective.Message {
	m := b.sent[g.Members[0].Rank][g.Members[0].Index]
	for _, o := range g.Members[1:] {
		if b.sent[o.Rank][o.Index] != m {
			return collective.Message{}
		}
	}
	return m
}

// speeds fills in how fast the collectives of known size were, against what
// the path between their ranks can carry.
func (b *builder) speeds() {
	best := b.bestTimes()
	for n, s := range b.comm {
		c := &b.a.Collectives[n]
		b.ceiling(c, s.together)
		classes := sizeClasses(s.sizes)
		for _, runs := range classes {
			c.Sizes = append(c.Sizes, sizeRow(c, runs, best))
		}
		total(c, s.sizes)
	}
}

// kindSize is a message of a kind.
type kindSize struct {
	kind  string
	bytes int64
}

// bestTimes are the shortest transfers of each size.
func (b *builder) bestTimes() map[kindSize]int64 {
	best := map[kindSize]int64{}
	for _, s := range b.comm {
		for _, r := range s.sizes {
			k := kindSize{s.row.Kind, r.bytes}
			if t, ok := best[k]; !ok || r.transfer < t {
				best[k] = r.transfer
			}
		}
	}
	return best
}

// sizeClasses groups runs by size, or by powers of two when there are many
// sizes; the largest first.
func sizeClasses(runs []sizedRun) [][]sizedRun {
	exact := map[int64]bool{}
	for _, r := range runs {
		exact[r.bytes] = true
	}
	class := func(r sizedRun) int64 { return r.bytes }
	if len(exact) > manySizes {
		class = func(r sizedRun) int64 { return int64(bits.Len64(uint64(r.bytes))) }
	}
	of := map[int64][]sizedRun{}
	for _, r := range runs {
		of[class(r)] = append(of[class(r)], r)
	}
	out := make([][]sizedRun, 0, len(of))
	for _, list := range of {
		out = append(out, list)
	}
	slices.SortFunc(out, func(x, y []sizedRun) int { return cmp.Compare(y[0].bytes, x[0].bytes) })
	return out
}

// sizeRow sums up runs of one size class.
func sizeRow(c *document.Collective, runs []sizedRun, best map[kindSize]int64) document.CollectiveSize {
	var transfer, longest []int64
	out := document.CollectiveSize{MinBytes: runs[0].bytes, MaxBytes: runs[0].bytes, Count: int64(len(runs))}
	ranks := 0
	for _, r := range runs {
		transfer, longest = append(transfer, r.transfer), append(longest, r.longest)
		out.Bytes += r.bytes
		out.MinBytes, out.MaxBytes = min(out.MinBytes, r.bytes), max(out.MaxBytes, r.bytes)
		ranks = max(ranks, r.ranks)
		if t := best[kindSize{c.Kind, r.bytes}]; out.BestNS == 0 || t < out.BestNS {
			out.BestNS = t
		}
	}
	out.Bytes /= out.Count
	out.TransferNS, out.LongestNS = figures.SpreadOf(transfer), figures.SpreadOf(longest)
	out.LatencyBound = out.MaxBytes < latencyBytes
	out.AlgBW, out.BusBW = collective.Rates(c.Kind, ranks, out.Bytes, out.TransferNS.Median)
	if !out.LatencyBound {
		out.Percent = percentOf(out.BusBW, c.Ceiling)
	}
	return out
}

// total fills in the row over all sizes: rates are of the sizes that bandwidth
// bounds where there are any.
func total(c *document.Collective, runs []sizedRun) {
	if len(runs) == 0 {
		return
	}
	c.LatencyBound = !slices.ContainsFunc(runs, func(r sizedRun) bool { return r.bytes >= latencyBytes })
	var all, bytes, transfer int64
	ranks := 0
	for _, r := range runs {
		all += r.bytes
		if c.LatencyBound || r.bytes >= latencyBytes {
			bytes += r.bytes
			transfer += r.transfer
			ranks = max(ranks, r.ranks)
		}
	}
	c.Bytes = all / int64(len(runs))
	c.AlgBW, c.BusBW = collective.Rates(c.Kind, ranks, bytes, transfer)
	for _, s := range c.Sizes {
		if c.BestNS == 0 || s.BestNS < c.BestNS {
			c.BestNS = s.BestNS
		}
	}
	if !c.LatencyBound {
		c.Percent = percentOf(c.BusBW, c.Ceiling)
	}
}

func percentOf(bw, ceiling float64) float64 {
	if ceiling <= 0 {
		return 0
	}
	return 100 * bw / ceiling
}
