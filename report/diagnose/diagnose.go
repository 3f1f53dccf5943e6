// Package diagnose turns the facts of a run into ordered findings: what costs
// time, how much of it could be won back at most, which knob to turn and which
// number must move when it is turned. All thresholds of judgement live here;
// the package measures nothing and reads nothing.
//
// A finding states only what the numbers carry. Its gain is a ceiling after
// Amdahl: the exposed time that would vanish if its cause did, never more than
// the step. Its remedy names flags of the server's own version; a flag that
// the version lacks is not named.
package diagnose

import (
	"cmp"
	"slices"
)

// Severity is how much a finding matters. The words are those of the document.
type Severity string

// Severities, mildest first.
const (
	Info    Severity = "info"
	Warning Severity = "warning"
	Error   Severity = "error"
)

// Finding is a conclusion with its evidence, a remedy and a test of the remedy.
type Finding struct {
	ID       string
	Severity Severity
	Title    string   // at most 84 characters, with the number
	Evidence []string // short lines: numbers and their place
	// GainNS is what could be saved at most per step of Phase; 0 when the
	// finding promises no time.
	GainNS int64
	// StepShare is GainNS over the step that it is saved from.
	StepShare float64
	// GainShare is that saving over the time of all steps of the window:
	// what orders the findings.
	GainShare float64
	MaxGain   string // the same in words
	Remedy    string // lines to paste, each with the versions that have it
	Confirm   string // the number that must change in a re-run
	Phase     string // "" when it is about the whole window

	few bool // rests on fewer than fewSteps steps
}

// rule is one thing an expert would look for. judge is pure and returns nil
// when the facts do not show it.
type rule struct {
	id    string
	judge func(*Facts) *Finding
	// unless names rules that, when they speak, already say this.
	unless []string
}

// rules are all rules. The order decides only between findings of equal gain:
// causes before symptoms.
var rules = []rule{
	{id: "late_rank", judge: lateRank},
	{id: "eager_decode", judge: eagerDecode},
	{id: "host_bound", judge: hostBound},
	{id: "host_sync", judge: hostSync},
	{id: "launch_latency", judge: launchLatency},
	{id: "uncovered_steps", judge: uncoveredSteps},
	{id: "rank_imbalance", judge: rankImbalance},
	{id: "unseen_ranks", judge: unseenRanks},
	{id: "transfer_over_pcie", judge: transferOverPCIe},
	{id: "slow_all_reduce", judge: slowAllReduce, unless: []string{"transfer_over_pcie"}},
	{id: "exposed_transfer", judge: exposedTransfer, unless: []string{"transfer_over_pcie", "slow_all_reduce"}},
	{id: "stream_wait", judge: streamWait},
	{id: "mixed_interference", judge: mixedInterference},
	{id: "low_bandwidth_gemm", judge: lowBandwidthGEMM},
	{id: "low_bandwidth_experts", judge: lowBandwidthExperts},
	{id: "splitk_reduce", judge: splitKReduce},
	{id: "quant_prologue", judge: quantPrologue},
	{id: "unfused_kernels", judge: unfusedKernels},
	{id: "short_kernels", judge: shortKernels, unless: []string{"unfused_kernels"}},
	{id: "attention_kv_read", judge: attentionKVRead},
	{id: "kv_write", judge: kvWrite},
	{id: "moe_overhead", judge: moeOverhead},
	{id: "lora_overhead", judge: loraOverhead},
	{id: "sampling", judge: sampling},
	{id: "copies", judge: copies},
	{id: "no_step", judge: noStep},
	{id: "unexplained_idle", judge: unexplainedIdle},
	{id: "thin_experts", judge: thinExperts},
	{id: "weight_read", judge: weightRead},
	{id: "small_batch", judge: smallDecodeBatch, unless: []string{"weight_read", "thin_experts"}},
	{id: "profiler_tax", judge: profilerTax},
}

// Diagnose returns the findings, at most maxFindings: first those with a gain,
// largest first, then those whose gain was seen in a step or two only, then
// those that promise none. It is deterministic and does not change its
// argument. When no rule promises a gain, it says so and names the largest part.
func Diagnose(facts Facts) []Finding {
	f := facts.cleaned()
	var found []Finding
	spoke := map[string]bool{}
	for _, r := range rules {
		if slices.ContainsFunc(r.unless, func(id string) bool { return spoke[id] }) {
			continue
		}
		fd := r.judge(f)
		if fd == nil {
			continue
		}
		spoke[r.id] = true
		fd.ID, fd.Severity = r.id, fd.severity()
		fd.dropNone()
		found = append(found, *fd)
	}
	if !slices.ContainsFunc(found, func(fd Finding) bool { return fd.GainNS > 0 }) {
		if fd := nothing(f); fd != nil {
			fd.ID, fd.Severity = "nothing", Info
			fd.dropNone()
			found = append([]Finding{*fd}, found...)
		}
	}
	// Stable: findings without a gain keep the order of the rules. Severity
	// follows from these keys, so it needs none of its own.
	slices.SortStableFunc(found, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.class(), b.class()), cmp.Compare(b.GainShare, a.GainShare))
	})
	return found[:min(len(found), maxFindings)]
}

// class orders before the gain does: a window with a single prefill says little
// about prefill, however long that one took.
func (fd *Finding) class() int {
	switch {
	case fd.GainNS == 0:
		return 2
	case fd.few:
		return 1
	}
	return 0
}

// severity grows with the share of all steps that could be won; what was seen
// in a step or two stays a remark.
func (fd *Finding) severity() Severity {
	switch {
	case fd.class() > 0:
		return Info
	case fd.GainShare >= errorShare:
		return Error
	case fd.GainShare >= warningShare:
		return Warning
	}
	return Info
}

// finding starts a finding about saving gain of each step of p. It is nil when
// the gain is too small to speak of. Without a profiler a step is shorter while
// GPU work is not, so where that step is known, it is what the gain is held against.
func (f *Facts) finding(p *PhaseFacts, gain int64) *Finding {
	step := f.plainStep(p)
	gain = min(gain, step)
	if gain <= 0 {
		return nil
	}
	fd := &Finding{Phase: p.Name, GainNS: gain, StepShare: share(gain, step)}
	fd.GainShare = fd.StepShare * f.weight(p)
	if fd.StepShare < minStepShare || fd.GainShare < minWindowShare {
		return nil
	}
	fd.MaxGain = "at most " + dur(gain) + " of " + f.plainStepWords(p) + " (" + percent(fd.StepShare) + ")"
	if f.weight(p) < mainPhaseShare {
		fd.MaxGain += ", " + percent(fd.GainShare) + " of all steps"
	}
	if p.Steps < fewSteps {
		fd.few = true
		fd.add("only %d %s in the window", p.Steps, plural(p.Steps, p.Name+" step"))
	}
	return fd
}

// worst is the first in order among the findings of judge over the phases; the
// others are named in its evidence.
func (f *Facts) worst(judge func(*PhaseFacts) *Finding) *Finding {
	var best *Finding
	var all []*Finding
	for i := range f.Phases {
		// Dummy steps of data parallelism serve nobody: their time is not to be won.
		if f.Phases[i].Name == dummy {
			continue
		}
		if fd := judge(&f.Phases[i]); fd != nil {
			all = append(all, fd)
			if best == nil || fd.class() < best.class() || fd.class() == best.class() && fd.GainShare > best.GainShare {
				best = fd
			}
		}
	}
	for _, fd := range all {
		if fd != best {
			best.add("also %s: at most %s a step (%s)", fd.Phase, dur(fd.GainNS), percent(fd.StepShare))
		}
	}
	return best
}
