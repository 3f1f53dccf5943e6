package gpus

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"tokprof/report/document"
	"tokprof/report/figures"
	"tokprof/trace"
)

// linkTolerance is how far counters and traced bytes may be apart before one of
// them is in doubt: the last packets and other small messages are in one alone.
const linkTolerance = 0.05

// readingsTrust is about the GPUs' readings and their join with the ranks.
func (j *Joined) readingsTrust() {
	rec := j.host.Readings
	if rec == nil {
		return
	}
	touches := []string{"readings", "phases"}
	if rec.Torn || rec.Damaged > 0 {
		what := "their end is cut off"
		if len(rec.Damage) > 0 {
			what = rec.Damage[0].String()
		}
		j.doubt("damaged_readings", document.Warning, touches, "the GPU readings are damaged (%s): what could not be read is left out", what)
	}
	r := j.a.Readings
	switch {
	case r == nil && !j.onOneClock():
		j.doubt("no_readings", document.Info, touches, "GPU readings are in Unix time and a trace is not: they are not joined")
	case r == nil:
		j.doubt("no_readings", document.Info, touches, "no GPU reading lies in the window")
	case len(j.placed.crews) == 0 || j.placed.why != "":
		j.doubt("unknown_gpus", document.Info, append(touches, "collectives"), "which GPUs %s on is not known: %s; readings stand by GPU, and no energy is anybody's", j.unplaced(), j.placed.why)
	}
	if r == nil {
		return
	}
	for _, c := range j.placed.crews {
		j.crewTrust(c)
	}
	j.energyTrust()
	j.linkTrust()
}

// unplaced names the ranks of no crew.
func (j *Joined) unplaced() string {
	var ranks []int
	for i := range j.ranks {
		if j.placed.of(i) == nil {
			ranks = append(ranks, j.number[i])
		}
	}
	return j.ran(ranks)
}

// ran is "rank 0 ran" or "ranks 0–3 ran".
func (j *Joined) ran(ranks []int) string {
	slices.Sort(ranks)
	if len(ranks) == 1 {
		return fmt.Sprintf("rank %d ran", ranks[0])
	}
	return "ranks " + figures.Ranges(ranks) + " ran"
}

// crewTrust says which GPUs ranks ran on, and how that is known.
func (j *Joined) crewTrust(c crew) {
	ranks := make([]int, 0, len(c.places))
	for _, p := range c.places {
		ranks = append(ranks, j.number[p.rank])
	}
	on := j.ran(ranks) + " on GPU "
	switch {
	case len(c.gpus) == 1:
	case len(c.gpus) == len(c.places):
		on = j.ran(ranks) + " on GPUs "
	default:
		on = fmt.Sprintf("%s on %d of GPUs ", j.ran(ranks), len(c.places))
	}
	on += figures.Ranges(c.gpus)
	switch c.how {
	case howAll, howActive:
		why := "these are all the GPUs that were read"
		if c.how == howActive {
			why = "no other GPU did anything in the window"
		}
		j.doubt("gpu_set", document.Info, []string{"readings", "steps"}, "%s (%s); which on which is not known, since a CUDA ordinal is no driver's index: only what holds for all of them is said of a rank", on, why)
	case howLoad:
		j.doubt("gpu_by_load", document.Info, []string{"readings", "steps"}, "%s, because its power followed the rank's load: an estimate", on)
	}
}

// energyTrust says why phases have no energy.
func (j *Joined) energyTrust() {
	var without []string
	for _, p := range j.a.Phases {
		if p.EnergyJ == 0 {
			without = append(without, p.Phase)
		}
	}
	most := 0
	for _, d := range j.a.Readings.Devices {
		most = max(most, d.EnergyRefreshes)
	}
	if len(without) > 0 && most > 0 && j.placed.why == "" {
		j.doubt("no_energy", document.Info, []string{"phases"}, "no energy of %s: the driver renewed its energy counter %s in the window, and a phase needs %d refreshes in its own steps",
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
func (j *Joined) linkTrust() {
	c := j.a.Readings.Links
	if c == nil || c.SizedShare < 1-linkTolerance {
		return
	}
	moved := fmt.Sprintf("each GPU's NVLinks sent %s by the driver's counters and %s by the traced collectives", figures.Bytes(c.CountedBytes), figures.Bytes(c.TracedBytes))
	touches := []string{"collectives", "readings"}
	links := j.groupLinks()
	switch near := func(r float64) bool { return r > 1-linkTolerance && r < 1+linkTolerance }; {
	case !c.Quiet:
		// Other traffic is in the counters; they bound the traced bytes from above.
		if c.Ratio*float64(max(links, 1)) < 1-linkTolerance {
			j.doubt("link_bytes", document.Info, touches, "%s: sizes or counters are off", moved)
		}
	case near(c.Ratio):
		j.doubt("link_bytes", document.Info, touches, "%s: they agree", moved)
	case within(c, 1):
		j.doubt("link_bytes", document.Info, touches, "%s, %s with the flags of NCCL's LL protocol on small messages: they agree", moved, figures.Bytes(c.TracedMostBytes))
	case links > 1 && within(c, links):
		j.doubt("link_bytes", document.Info, touches, "%s: the counters seem to count one of %d links", moved, links)
	default:
		j.doubt("link_bytes", document.Info, touches, "%s: sizes, counters or the protocol's own traffic make the difference", moved)
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
func (j *Joined) groupLinks() int {
	if j.linked == nil {
		return 0
	}
	if kinds := j.linked.Kinds(); len(kinds) == 1 {
		return kinds[0].NVLinks()
	}
	return 0
}

// samplesTrust is about the profiler's own series and whose they are.
func (j *Joined) samplesTrust() {
	touches := []string{"samples"}
	s := j.a.Samples
	if n := j.unusable(); n > 0 {
		j.doubt("damaged_samples", document.Warning, touches, "%s samples have no usable time or number: they are in no value", figures.Count(int64(n)))
	}
	switch {
	case s == nil && slices.ContainsFunc(j.sampled, func(x *sampled) bool { return len(x.Times) > 0 }):
		j.doubt("no_samples", document.Info, touches, "the profiler's GPU and network samples lie outside the window")
	case s == nil:
		return
	case s.LeftOut > 0:
		j.doubt("samples_left_out", document.Info, touches, "%s of %s sampled series are left out: a document holds at most %d", figures.Count(int64(s.LeftOut)), figures.Count(int64(s.LeftOut+len(s.Series))), maxSampled)
	}
	if s == nil {
		return
	}
	j.sampledOwners(touches)
	least := slices.MinFunc(s.Series, func(x, y document.SampledSeries) int { return cmp.Compare(x.CoveredShare, y.CoveredShare) })
	if least.CoveredShare < mostOf {
		j.doubt("samples_partial", document.Info, touches, "the samples of %s cover %s of the window: its levels are of that part, and phases outside have none", least.Source, figures.Percent(least.CoveredShare))
	}
}

// sampledOwners says which ranks have no samples of their GPU, and where a GPU
// is taken to be theirs by its number alone.
func (j *Joined) sampledOwners(touches []string) {
	var assumed, without, unknown []int
	for i, r := range j.ranks {
		gpus := slices.DeleteFunc(slices.Clone(r.Series), func(x trace.Series) bool { return x.GPU < 0 })
		own := slices.DeleteFunc(slices.Clone(gpus), func(x trace.Series) bool { return x.Device < 0 })
		listed := !slices.ContainsFunc(gpus, func(x trace.Series) bool { return x.DeviceHow != trace.ByDeviceTable })
		switch {
		case len(gpus) == 0 || len(own) > 0 && listed:
		case len(own) > 0 && slices.ContainsFunc(own, func(x trace.Series) bool { return x.DeviceHow == trace.ByEqualNumber }):
			assumed = append(assumed, j.number[i])
		case len(own) > 0:
		case listed:
			without = append(without, j.number[i])
		default:
			unknown = append(unknown, j.number[i])
		}
	}
	if len(assumed) > 0 {
		j.doubt("sampled_gpu", document.Info, touches, "%s on the GPU that has the same number in the samples, as far as is known: the export does not list its processes' GPUs, and CUDA_VISIBLE_DEVICES makes the numbers differ", j.ran(assumed))
	}
	if len(without) > 0 {
		j.doubt("unsampled_ranks", document.Info, touches, "%s on a GPU without samples: record with --gpu-metrics-devices=all to have them", j.ran(without))
	}
	if len(unknown) > 0 {
		j.doubt("unknown_sampled_gpus", document.Info, touches, "whether %s on a sampled GPU is not known: the export does not list its processes' GPUs; no phase has means of them", j.ran(unknown))
	}
}
