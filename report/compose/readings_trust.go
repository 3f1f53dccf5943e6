package compose

import (
	"fmt"
	"slices"
	"strings"

	"tokprof/report/document"
	"tokprof/report/figures"
)

// linkTolerance is how far counters and traced bytes may be apart before one of
// them is in doubt: the last packets and other small messages are in one alone.
const linkTolerance = 0.05

// readingsTrust is about the GPUs' readings and their join with the ranks.
func (b *builder) readingsTrust() {
	rec := b.o.Readings
	if rec == nil {
		return
	}
	touches := []string{"readings", "phases"}
	if rec.Torn || rec.Damaged > 0 {
		what := "their end is cut off"
		if len(rec.Damage) > 0 {
			what = rec.Damage[0].String()
		}
		b.doubt("damaged_readings", document.Warning, touches, "the GPU readings are damaged (%s): what could not be read is left out", what)
	}
	r := b.a.Readings
	switch {
	case r == nil && !b.onOneClock():
		b.doubt("no_readings", document.Info, touches, "GPU readings are in Unix time and a trace is not: they are not joined")
	case r == nil:
		b.doubt("no_readings", document.Info, touches, "no GPU reading lies in the window")
	case len(b.gpus.crews) == 0 || b.gpus.why != "":
		b.doubt("unknown_gpus", document.Info, append(touches, "collectives"), "which GPUs %s on is not known: %s; readings stand by GPU, and no energy is anybody's", b.unplaced(), b.gpus.why)
	}
	if r == nil {
		return
	}
	for _, c := range b.gpus.crews {
		b.crewTrust(c)
	}
	b.energyTrust()
	b.linkTrust()
}

// unplaced names the ranks of no crew.
func (b *builder) unplaced() string {
	var ranks []int
	for i := range b.ranks {
		if b.gpus.of(i) == nil {
			ranks = append(ranks, b.number[i])
		}
	}
	return b.ran(ranks)
}

// ran is "rank 0 ran" or "ranks 0–3 ran".
func (b *builder) ran(ranks []int) string {
	slices.Sort(ranks)
	if len(ranks) == 1 {
		return fmt.Sprintf("rank %d ran", ranks[0])
	}
	return "ranks " + figures.Ranges(ranks) + " ran"
}

// crewTrust says which GPUs ranks ran on, and how that is known.
func (b *builder) crewTrust(c crew) {
	ranks := make([]int, 0, len(c.places))
	for _, p := range c.places {
		ranks = append(ranks, b.number[p.rank])
	}
	on := b.ran(ranks) + " on GPU "
	switch {
	case len(c.gpus) == 1:
	case len(c.gpus) == len(c.places):
		on = b.ran(ranks) + " on GPUs "
	default:
		on = fmt.Sprintf("%s on %d of GPUs ", b.ran(ranks), len(c.places))
	}
	on += figures.Ranges(c.gpus)
	switch c.how {
	case howAll, howActive:
		why := "these are all the GPUs that were read"
		if c.how == howActive {
			why = "no other GPU did anything in the window"
		}
		b.doubt("gpu_set", document.Info, []string{"readings", "steps"}, "%s (%s); which on which is not known, since a CUDA ordinal is no driver's index: only what holds for all of them is said of a rank", on, why)
	case howLoad:
		b.doubt("gpu_by_load", document.Info, []string{"readings", "steps"}, "%s, because its power followed the rank's load: an estimate", on)
	}
}

// energyTrust says why phases have no energy.
func (b *builder) energyTrust() {
	var without []string
	for _, p := range b.a.Phases {
		if p.EnergyJ == 0 {
			without = append(without, p.Phase)
		}
	}
	most := 0
	for _, d := range b.a.Readings.Devices {
		most = max(most, d.EnergyRefreshes)
	}
	if len(without) > 0 && most > 0 && b.gpus.why == "" {
		b.doubt("no_energy", document.Info, []string{"phases"}, "no energy of %s: the driver renewed its energy counter %s in the window, and a phase needs %d refreshes in its own steps",
			strings.Join(without, ", "), times(most), minRefreshes)
	}
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return figures.Count(int64(n)) + " times"
}

// linkTrust holds NVLink counters and traced collectives against each other.
func (b *builder) linkTrust() {
	c := b.a.Readings.Links
	if c == nil || c.SizedShare < 1-linkTolerance {
		return
	}
	moved := fmt.Sprintf("each GPU's NVLinks sent %s by the driver's counters and %s by the traced collectives", figures.Bytes(c.CountedBytes), figures.Bytes(c.TracedBytes))
	touches := []string{"collectives", "readings"}
	links := b.groupLinks()
	switch near := func(r float64) bool { return r > 1-linkTolerance && r < 1+linkTolerance }; {
	case !c.Quiet:
		// Other traffic is in the counters; they bound the traced bytes from above.
		if c.Ratio*float64(max(links, 1)) < 1-linkTolerance {
			b.doubt("link_bytes", document.Info, touches, "%s: sizes or counters are off", moved)
		}
	case near(c.Ratio):
		b.doubt("link_bytes", document.Info, touches, "%s: they agree", moved)
	case within(c, 1):
		b.doubt("link_bytes", document.Info, touches, "%s, %s with the flags of NCCL's LL protocol on small messages: they agree", moved, figures.Bytes(c.TracedMostBytes))
	case links > 1 && within(c, links):
		b.doubt("link_bytes", document.Info, touches, "%s: the counters seem to count one of %d links", moved, links)
	default:
		b.doubt("link_bytes", document.Info, touches, "%s: sizes, counters or the protocol's own traffic make the difference", moved)
	}
}

// within says whether the counters, if they count one of so many links, are
// between the least and the most that was traced.
func within(c *document.LinkCheck, links int) bool {
	all := float64(c.CountedBytes) * float64(links)
	return all > (1-linkTolerance)*float64(c.TracedBytes) && all < (1+linkTolerance)*float64(c.TracedMostBytes)
}

// groupLinks is the number of NVLinks between the GPUs where all pairs have
// the same, 0 otherwise.
func (b *builder) groupLinks() int {
	if b.o.Topology == nil {
		return 0
	}
	if kinds := b.o.Topology.Kinds(); len(kinds) == 1 {
		return kinds[0].NVLinks()
	}
	return 0
}
