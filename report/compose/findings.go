package compose

import (
	"cmp"
	"slices"
	"strings"

	"tokprof/kernels/breakdown"
	"tokprof/report/diagnose"
	"tokprof/report/document"
	"tokprof/trace"
)

// findings hands the numbers to the rules and writes down what they conclude.
func (b *builder) findings() {
	if b.graphsWhole() || b.copiesAlone() {
		return // they would rest on the part of each step that has kernels
	}
	for _, f := range diagnose.Diagnose(b.facts()) {
		b.a.Findings = append(b.a.Findings, document.Finding{
			ID: f.ID, Severity: document.Severity(f.Severity), Title: f.Title, Evidence: append([]string{}, f.Evidence...),
			MaxGain: f.MaxGain, GainNS: f.GainNS, GainShare: f.GainShare, Phase: f.Phase, Remedy: f.Remedy, Confirm: f.Confirm,
		})
	}
}

func (b *builder) facts() diagnose.Facts {
	f := diagnose.Facts{
		Ranks: len(b.ranks), WindowNS: b.a.Window.DurNS, Graphs: b.decodeInGraphs(),
	}
	for _, s := range b.a.Sources {
		f.WorldSize = max(f.WorldSize, s.WorldSize)
		if f.Engine == "" {
			f.Engine = s.Engine
		}
	}
	for _, r := range b.ranks {
		if r.Info.Version != "" {
			f.Version = r.Info.Version
		}
	}
	if len(b.a.Servers) > 0 {
		s := b.a.Servers[0]
		f.Engine, f.Version = cmp.Or(f.Engine, s.Engine), cmp.Or(f.Version, s.Version)
	}
	if x := b.a.Tax; x != nil {
		f.PlainTPOTNS, f.ProfiledTPOTNS = x.PlainTPOTNS, x.TPOTNS
	}
	f.Phases, f.GapsKnown = b.phaseFacts(), b.gapsKnown()
	if p := document.PhaseNamed(b.a, "decode"); p != nil {
		f.WeightReadFloorNS = p.WeightReadFloorNS
	}
	if b.o.Model != nil {
		f.Experts, f.ExpertsPerToken = b.o.Model.Experts, b.o.Model.ExpertsPerToken
	}
	for _, r := range b.a.Categories {
		if r.Phase != "all" {
			f.Categories = append(f.Categories, diagnose.CategoryFacts{Phase: r.Phase, Name: r.Name, TimeNS: r.TimeNS, ExposedNS: r.ExposedNS, Launches: r.Launches})
		}
	}
	for _, r := range b.a.Roles {
		if r.Phase != "all" {
			x := diagnose.RoleFacts{Phase: r.Phase, Role: r.Name, TimeNS: r.TimeNS}
			if r.Work != nil {
				x.BandwidthShare, x.Bound = r.Work.MemoryShare, r.Work.Bound
			}
			f.Roles = append(f.Roles, x)
		}
	}
	for _, l := range b.a.Launches {
		rank, several := b.placeOf(slices.Index(b.number, l.Rank))
		f.Launches = append(f.Launches, diagnose.LaunchFacts{
			Rank: rank, Device: l.Device, Several: several, Calls: l.Calls, GraphCalls: l.GraphCalls, DelayMedianNS: l.DelayMedianNS, DelayP99NS: l.DelayP99NS,
			QueueDepth: l.DepthMean, CallMedianNS: l.CallMedianNS, ShortNS: l.ShortNS, ShortKernels: l.ShortKernels, ShortTimeNS: l.ShortTimeNS,
		})
	}
	f.Collectives = b.collectiveFacts()
	f.Copies = b.copyFacts()
	return f
}

// graphsWhole says whether graphs were recorded without the kernels inside.
func (b *builder) graphsWhole() bool {
	return slices.ContainsFunc(b.a.Devices, func(d document.Device) bool { return d.GraphNS > 0 })
}

// copiesAlone says whether no kernel was recorded beside copies and memsets.
func (b *builder) copiesAlone() bool {
	kernel := func(k breakdown.Kernel) bool { return !k.Copy }
	return len(b.a.Kernels) > 0 && !b.graphsWhole() && !slices.ContainsFunc(b.ranks, func(r *breakdown.Rank) bool { return slices.ContainsFunc(r.Kernels, kernel) })
}

// decodeInGraphs says whether most of the decode steps' GPU time was replayed.
func (b *builder) decodeInGraphs() bool {
	var graph, all trace.Time
	for _, r := range b.ranks {
		for _, c := range r.Cells {
			if c.Phase == trace.Decode {
				all += c.Time
				if c.Graph {
					graph += c.Time
				}
			}
		}
	}
	return graph*2 > all
}

// phaseFacts gives each phase's mean step, GPU by GPU.
func (b *builder) phaseFacts() []diagnose.PhaseFacts {
	var out []diagnose.PhaseFacts
	for _, p := range b.a.Phases {
		f := diagnose.PhaseFacts{
			Name: p.Phase, Steps: p.Steps, Tokens: p.Tokens, Requests: p.Requests,
			DurationMedianNS: p.StepNS.Median,
		}
		if m := document.MeanStep(b.a, p.Phase); m != nil {
			f.PeriodMeanNS = m.Total() / m.Steps
		}
		f.GapNS = b.longestGap(p.Phase)
		for i, r := range b.ranks {
			for _, d := range r.Devices {
				if x, steps := b.rankFacts(i, d, p.Phase); steps > 0 {
					f.Ranks = append(f.Ranks, x)
					f.GPUSteps += steps
				}
			}
		}
		out = append(out, f)
	}
	return out
}

// gapsKnown says whether nearly all tokens that clients saw are of known steps.
func (b *builder) gapsKnown() bool {
	q := b.a.Requests
	return q != nil && q.BetweenTokens != nil && q.BetweenTokens.Gaps > 0 && q.Join.Share >= 0.99
}

// longestGap is the longest gap between two tokens that a client saw over a step
// of a phase. Where tokens are not joined with steps no gap at all was longer
// than the longest of all.
func (b *builder) longestGap(phase string) int64 {
	q := b.a.Requests
	if q == nil {
		return 0
	}
	if b.gapsKnown() {
		for _, t := range q.BetweenTokens.Longest {
			if t.Name == phase {
				return t.TimeNS
			}
		}
		return 0
	}
	if len(q.Slowest) > 0 {
		return q.Slowest[0].GapNS
	}
	return 0
}

// rankFacts is the mean step of a rank on one of its devices, over so many
// steps: its parts and its idle time by cause.
func (b *builder) rankFacts(i int, d breakdown.Device, phase string) (out diagnose.RankFacts, steps int64) {
	r := b.ranks[i]
	for _, s := range r.StepDevices() {
		if s.Device == d.Device && r.Steps[s.Step].Label.Phase.String() == phase {
			steps++
		}
	}
	if steps == 0 {
		return out, 0
	}
	parts := map[rowKey]*document.Row{}
	for _, c := range r.Cells {
		if c.Phase.String() == phase && c.Device == d.Device {
			addRow(parts, phase, c.Part.String(), c)
		}
	}
	b.splitRank(i, parts, phase, d.Device)
	out.Device = d.Device
	out.Rank, out.Several = b.placeOf(i)
	for _, p := range parts {
		out.Parts = append(out.Parts, diagnose.PartFacts{Name: p.Name, TimeNS: p.TimeNS / steps, ExposedNS: p.ExposedNS / steps})
	}
	slices.SortFunc(out.Parts, func(x, y diagnose.PartFacts) int { return strings.Compare(x.Name, y.Name) })
	for c, t := range d.PhaseIdle[phaseNumber(phase)] {
		if t > 0 {
			out.Idle = append(out.Idle, diagnose.IdleFacts{Cause: breakdown.Cause(c).String(), TimeNS: int64(t) / steps})
		}
	}
	return out, steps
}

// placeOf is how findings name a rank: -1 where nothing but its GPUs is to be
// told apart.
func (b *builder) placeOf(i int) (rank int, several bool) {
	if several = len(b.ranks[i].Devices) > 1; several && len(b.ranks) == 1 {
		return -1, true
	}
	return b.number[i], several
}

func phaseNumber(name string) trace.Phase {
	for _, p := range phaseOrder {
		if p.String() == name {
			return p
		}
	}
	return trace.NoPhase
}

// copyFacts sums copies by phase and direction.
func (b *builder) copyFacts() []diagnose.CopyFacts {
	type key struct{ phase, kind string }
	at := map[key]*diagnose.CopyFacts{}
	var order []key
	for i, r := range b.ranks {
		for _, c := range r.Cells {
			kernel := b.a.Kernels[b.kernelAt[i][c.Kernel]]
			if kernel.Group != "memory" {
				continue
			}
			k := key{c.Phase.String(), kernel.Subgroup}
			if at[k] == nil {
				at[k] = &diagnose.CopyFacts{Phase: k.phase, Kind: k.kind}
				order = append(order, k)
			}
			at[k].Count += c.Launches
			at[k].ExposedNS += int64(c.Exposed)
			if strings.Contains(kernel.Name, "Pageable") {
				at[k].Pageable += c.Launches
			}
		}
	}
	var out []diagnose.CopyFacts
	for _, k := range order {
		for _, c := range b.a.Copies {
			if c.Kind == k.kind {
				at[k].MedianBytes = c.MedianB
			}
		}
		out = append(out, *at[k])
	}
	return out
}
