package diagnose

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Facts are what findings may rest on. Times are nanoseconds, shares are
// fractions 0–1. A zero is "unknown" where the comment says so.
type Facts struct {
	Engine    string // "vLLM", "SGLang", "TensorRT-LLM"; "" when unknown
	Version   string // "0.20.2"; "" when unknown
	Ranks     int    // ranks with a file; 0: as many as the phases show
	WorldSize int    // ranks that the engine has; 0 when unknown

	Graphs bool // decode steps ran as CUDA graphs
	Eager  bool // the server was told to run eagerly; false when unknown

	WindowNS int64 // length of the window; 0 when unknown

	Phases      []PhaseFacts
	Categories  []CategoryFacts
	Roles       []RoleFacts
	Collectives []CollectiveFacts
	Launches    []LaunchFacts
	Copies      []CopyFacts

	WeightReadFloorNS int64 // least time to read one rank's weights once; 0 when unknown
	Experts           int   // experts of an MoE layer; 0 when unknown or dense
	ExpertsPerToken   int   // of them used for a token; 0 when unknown

	// Time per output token without and with the profiler, from the client
	// or the server; 0 when unknown.
	PlainTPOTNS    int64
	ProfiledTPOTNS int64
	GapsKnown      bool // nearly all tokens of the clients are of known steps
}

// PhaseFacts are the steps of one kind. All numbers per step are means over
// the same steps.
type PhaseFacts struct {
	Name     string // "decode", "prefill", "mixed", …
	Steps    int64  // counted once, not per rank
	Tokens   int64  // over all steps, counted once, not per rank; 0 when unknown
	Requests int64  // likewise
	// PeriodMeanNS is from a step's start to the next one's, DurationMeanNS
	// from its first GPU event to its last. The period is preferred; 0 when
	// unknown. Medians stand in when the means are missing.
	PeriodMeanNS     int64
	PeriodMedianNS   int64
	DurationMeanNS   int64
	DurationMedianNS int64
	Ranks            []RankFacts
	// GapNS is the longest gap between two tokens that a client saw over a step of
	// the phase, or a bound of it; 0 when unknown, and where GapsKnown says so
	// when there was none.
	GapNS int64
	// GPUSteps are the steps counted on each GPU that they ran on: what sums over
	// all GPUs are divided by. 0: Steps on every rank.
	GPUSteps int64
}

// RankFacts is how a mean step of one rank adds up; of a rank that drives
// several GPUs, on one of them.
type RankFacts struct {
	Rank    int  // -1 of a lone rank that has several GPUs
	Device  int  // of the rank's, where it has
	Several bool // GPUs
	Parts   []PartFacts
	Idle    []IdleFacts
}

// PartFacts is the time of a part in a step: "attention", "ffn", "transfer",
// "waiting", "comm" (when transfer and waiting are not told apart), "head",
// "other", "unattributed".
type PartFacts struct {
	Name      string
	TimeNS    int64
	ExposedNS int64 // not hidden by another part
}

// IdleFacts is the idle time of one cause in a step: "host_late", "host_sync",
// "no_step", "profiler", "short_gap", "launch_latency", "dependency", "unknown".
type IdleFacts struct {
	Cause  string
	TimeNS int64
}

// CategoryFacts is the time of one category over all steps of a phase and all
// ranks.
type CategoryFacts struct {
	Phase     string
	Name      string // "other.norm"
	TimeNS    int64
	ExposedNS int64
	Launches  int64
}

// RoleFacts is the time of one role over all steps of a phase and all ranks.
type RoleFacts struct {
	Phase          string
	Role           string // "gate_up"
	TimeNS         int64
	BandwidthShare float64 // of the GPU's peak; 0 when unknown
	Bound          string  // "memory", "compute"; "" when unknown
}

// CollectiveFacts is one kind of collective of one size in one phase.
type CollectiveFacts struct {
	Phase            string
	Kind             string // "all_reduce"
	Kernel           string // short name: tells NCCL from a custom kernel
	Bytes            int64  // of one call; 0 when unknown
	Ranks            int
	Count            int64 // calls over all steps, counted once, not per rank
	TransferNS       int64 // over all calls, one rank's
	TransferMedianNS int64
	LateRank         int     // the rank that is awaited most
	LateShare        float64 // share of the calls in which it is; 0 when unknown
	BusBW            float64 // bytes/s; 0 when unknown
	Ceiling          float64 // of BusBW; 0 when unknown
	Estimated        bool    // split from one rank's file
	// PCIe is the path between the ranks, "PHB" and the like, where no NVLink
	// joins them; "" where one does and where it is not known.
	PCIe string
}

// LaunchFacts is how the host fed one GPU over the whole window.
type LaunchFacts struct {
	Rank          int
	Device        int // as in RankFacts
	Several       bool
	Calls         int64
	GraphCalls    int64 // of them graph launches
	DelayMedianNS int64 // call to first GPU event
	DelayP99NS    int64
	QueueDepth    float64 // mean of launches in flight when another is issued
	CallMedianNS  int64
	ShortNS       int64 // threshold of a short kernel; 0 when unknown
	ShortKernels  int64
	ShortTimeNS   int64
}

// CopyFacts is one direction of copies in one phase over all steps and ranks.
type CopyFacts struct {
	Phase       string
	Kind        string // "memcpy_h2d"
	Count       int64
	ExposedNS   int64
	MedianBytes int64
	Pageable    int64 // of Count from or to pageable memory; 0 also when unknown
}

// cleaned is a copy with impossible numbers (negative times, shares beyond 1)
// brought to the nearest possible one, so that no rule needs to doubt them.
func (f Facts) cleaned() *Facts {
	f.Phases = slices.Clone(f.Phases)
	for i := range f.Phases {
		p := &f.Phases[i]
		atLeastZero(&p.Steps, &p.GPUSteps, &p.Tokens, &p.Requests, &p.PeriodMeanNS, &p.PeriodMedianNS, &p.DurationMeanNS, &p.DurationMedianNS, &p.GapNS)
		p.Ranks = slices.Clone(p.Ranks)
		for j := range p.Ranks {
			r := &p.Ranks[j]
			r.Parts, r.Idle = slices.Clone(r.Parts), slices.Clone(r.Idle)
			for k := range r.Parts {
				atLeastZero(&r.Parts[k].TimeNS, &r.Parts[k].ExposedNS)
			}
			for k := range r.Idle {
				atLeastZero(&r.Idle[k].TimeNS)
			}
		}
	}
	f.Categories = slices.Clone(f.Categories)
	for i := range f.Categories {
		c := &f.Categories[i]
		atLeastZero(&c.TimeNS, &c.ExposedNS, &c.Launches)
	}
	f.Roles = slices.Clone(f.Roles)
	for i := range f.Roles {
		r := &f.Roles[i]
		atLeastZero(&r.TimeNS)
		r.BandwidthShare = unit(r.BandwidthShare)
	}
	f.Collectives = slices.Clone(f.Collectives)
	for i := range f.Collectives {
		c := &f.Collectives[i]
		atLeastZero(&c.Bytes, &c.Count, &c.TransferNS, &c.TransferMedianNS)
		c.LateShare = unit(c.LateShare)
	}
	f.Launches = slices.Clone(f.Launches)
	for i := range f.Launches {
		l := &f.Launches[i]
		atLeastZero(&l.Calls, &l.GraphCalls, &l.DelayMedianNS, &l.DelayP99NS, &l.CallMedianNS, &l.ShortNS, &l.ShortKernels, &l.ShortTimeNS)
	}
	f.Copies = slices.Clone(f.Copies)
	for i := range f.Copies {
		c := &f.Copies[i]
		atLeastZero(&c.Count, &c.ExposedNS, &c.MedianBytes, &c.Pageable)
	}
	atLeastZero(&f.WindowNS, &f.WeightReadFloorNS, &f.PlainTPOTNS, &f.ProfiledTPOTNS)
	return &f
}

// longestTime bounds every number, so that sums of a few thousand cannot
// overflow: 26 days in nanoseconds.
const longestTime = math.MaxInt64 >> 12

func atLeastZero(ns ...*int64) {
	for _, n := range ns {
		*n = min(max(*n, 0), longestTime)
	}
}

func unit(x float64) float64 {
	if math.IsNaN(x) {
		return 0
	}
	return min(max(x, 0), 1)
}

// share is part over whole, 0–1; 0 of nothing.
func share(part, whole int64) float64 {
	if whole <= 0 {
		return 0
	}
	return unit(float64(part) / float64(whole))
}

// step is the time that one step of the phase takes; 0 when unknown.
func (p *PhaseFacts) step() int64 {
	for _, ns := range []int64{p.PeriodMeanNS, p.PeriodMedianNS, p.DurationMeanNS, p.DurationMedianNS} {
		if ns > 0 {
			return ns
		}
	}
	return 0
}

// Names of phases that rules tell apart.
const (
	decode  = "decode"
	mixed   = "mixed"
	prefill = "prefill"
	dummy   = "dummy"
)

// plainStep is the step as it is without the profiler, where the time per token
// is known both ways: a decode step makes one token per request. Without such
// knowledge it is the step itself.
func (f *Facts) plainStep(p *PhaseFacts) int64 {
	if p.Name != decode || f.PlainTPOTNS <= 0 || f.ProfiledTPOTNS <= f.PlainTPOTNS {
		return p.step()
	}
	return max(1, int64(float64(p.step())*float64(f.PlainTPOTNS)/float64(f.ProfiledTPOTNS)))
}

// plainStepWords is "a 2.39 ms unprofiled decode step" where the step without the
// profiler is known to be another one: beside it stand lengths of profiled steps.
func (f *Facts) plainStepWords(p *PhaseFacts) string {
	return aStep(f.plainStep(p), f.plainName(p))
}

func (f *Facts) plainName(p *PhaseFacts) string {
	if f.plainStep(p) != p.step() {
		return "unprofiled " + p.Name
	}
	return p.Name
}

// perStep is a mean of a count over the steps; 0 when unknown.
func (p *PhaseFacts) perStep(n int64) float64 {
	if p.Steps <= 0 {
		return 0
	}
	return float64(n) / float64(p.Steps)
}

// weight is the phase's share of the time of all steps.
func (f *Facts) weight(p *PhaseFacts) float64 {
	var all float64
	for i := range f.Phases {
		o := &f.Phases[i]
		all += float64(o.step()) * float64(o.Steps)
	}
	if all <= 0 {
		return 0
	}
	return unit(float64(p.step()) * float64(p.Steps) / all)
}

func (f *Facts) phase(name string) *PhaseFacts {
	for i := range f.Phases {
		if f.Phases[i].Name == name {
			return &f.Phases[i]
		}
	}
	return nil
}

// ranks is the number of ranks whose files the facts rest on.
func (f *Facts) ranks() int64 {
	n := f.Ranks
	for i := range f.Phases {
		n = max(n, len(f.Phases[i].Ranks))
	}
	return int64(max(n, 1))
}

// eachStep turns a total over steps and GPUs into a mean per step and GPU.
func (f *Facts) eachStep(p *PhaseFacts, total int64) int64 {
	switch {
	case p.GPUSteps > 0:
		return total / p.GPUSteps
	case p.Steps <= 0:
		return 0
	}
	return total / p.Steps / f.ranks()
}

// gpuName is "rank 1", or "GPU 3 of rank 1" where the rank has several, and
// "GPU 3" where there is no other rank.
func gpuName(rank, device int, several bool) string {
	switch {
	case several && rank < 0:
		return fmt.Sprintf("GPU %d", device)
	case several:
		return fmt.Sprintf("GPU %d of rank %d", device, rank)
	}
	return fmt.Sprintf("rank %d", rank)
}

func (r *RankFacts) name() string   { return gpuName(r.Rank, r.Device, r.Several) }
func (l *LaunchFacts) name() string { return gpuName(l.Rank, l.Device, l.Several) }

// unit is what a mean step is of: a rank, or a GPU where one rank has several.
func (p *PhaseFacts) unit() string {
	if slices.ContainsFunc(p.Ranks, func(r RankFacts) bool { return r.Several }) {
		return "GPU"
	}
	return "rank"
}

// categories adds up the categories of a phase that match one of the names; a
// name that ends in a dot stands for its group.
func (f *Facts) categories(phase string, names ...string) (sum CategoryFacts) {
	for _, c := range f.Categories {
		for _, n := range names {
			if c.Phase == phase && (c.Name == n || strings.HasSuffix(n, ".") && strings.HasPrefix(c.Name, n)) {
				sum.TimeNS += c.TimeNS
				sum.ExposedNS += c.ExposedNS
				sum.Launches += c.Launches
				break
			}
		}
	}
	return sum
}

// part is a rank's time of the named parts in a step.
func (r *RankFacts) part(names ...string) (sum PartFacts) {
	for _, p := range r.Parts {
		if slices.Contains(names, p.Name) {
			sum.TimeNS += p.TimeNS
			sum.ExposedNS += p.ExposedNS
		}
	}
	return sum
}

// idle is a rank's idle time of the named causes in a step.
func (r *RankFacts) idle(causes ...string) (sum int64) {
	for _, i := range r.Idle {
		if slices.Contains(causes, i.Cause) {
			sum += i.TimeNS
		}
	}
	return sum
}

// least is the smallest value over the ranks of a phase: what all of them
// could save, and therefore the step. 0 without ranks.
func (p *PhaseFacts) least(value func(*RankFacts) int64) int64 {
	if len(p.Ranks) == 0 {
		return 0
	}
	least := int64(math.MaxInt64)
	for i := range p.Ranks {
		least = min(least, value(&p.Ranks[i]))
	}
	return least
}
