package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"tokprof/report/document"
	"tokprof/report/figures"
)

// Bounds of a model's name in a title: below the first, steps give way to it,
// below the second it is cut no further.
const (
	modelCells   = 20
	modelAtLeast = 12
)

// titleOf says what was measured: model, engine, GPUs, ranks, steps by phase,
// length. Where the model is known the title keeps to n cells: length and phases
// give way, then the middle of the model's name, then the steps.
func titleOf(a *document.Analysis, n int) string {
	if a.SummaryOnly() {
		return summaryTitle(a)
	}
	dur := figures.Dur(a.Window.DurNS)
	model, ran := printable(a.ModelWords()), engineOf(a)+" · "+gpusOf(a)
	if model == "" {
		return joinTitle(ran, stepCounts(a.Phases, 0), dur)
	}
	var steps []string // as they give way to the model
	for _, shown := range []int{0, 1, -1} {
		s := stepCounts(a.Phases, shown)
		steps = append(steps, joinTitle(s, dur), s)
	}
	for _, s := range steps {
		if t := joinTitle(model, ran, s); cellWidth(t) <= n {
			return t
		}
	}
	room := n - cellWidth(joinTitle(ran, "")) - cellWidth(" · ")
	if s := steps[len(steps)-1]; room-cellWidth(" · "+s) >= modelCells {
		return joinTitle(cutMiddle(model, room-cellWidth(" · "+s)), ran, s)
	}
	return cutCells(joinTitle(cutMiddle(model, max(room, modelAtLeast)), ran), n)
}

// joinTitle joins what there is.
func joinTitle(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), " · ")
}

// engineOf names the engine and, where a capture tells, its version.
func engineOf(a *document.Analysis) string {
	return cmp.Or(printable(a.EngineWords()), joinDistinct(a, func(s document.Source) string { return s.Engine }), "unknown engine")
}

// gpusOf is "2 × NVIDIA H200 (TP 2)", "2 × NVIDIA H200 (2 of 4 ranks)".
func gpusOf(a *document.Analysis) string {
	world, ranks := 0, map[int]bool{}
	for _, s := range a.Sources {
		if s.Role == "gpu" {
			world = max(world, s.WorldSize)
			ranks[s.Rank] = true
		}
	}
	gpu := cmp.Or(joinDistinct(a, func(s document.Source) string { return s.GPU }), "GPU")
	if n := len(a.Devices); n != 1 || gpu == "GPU" {
		gpu = fmt.Sprintf("%d × %s", n, gpu)
	}
	var notes []string
	if p := a.ParallelWords(); p != "" {
		notes = append(notes, p)
	}
	switch {
	case world > len(ranks) && len(ranks) > 0:
		notes = append(notes, fmt.Sprintf("%d of %d ranks", len(ranks), world))
	case len(ranks) > 1 && len(notes) == 0:
		notes = append(notes, fmt.Sprintf("%d ranks", len(ranks)))
	}
	if len(notes) > 0 {
		gpu += " (" + strings.Join(notes, ", ") + ")"
	}
	return gpu
}

// joinDistinct joins the distinct values of one field of the GPU sources.
func joinDistinct(a *document.Analysis, field func(document.Source) string) string {
	var vals []string
	for _, s := range a.Sources {
		if v := printable(field(s)); s.Role == "gpu" && v != "" && !slices.Contains(vals, v) {
			vals = append(vals, v)
		}
	}
	return strings.Join(vals, " + ")
}

// stepCounts is "24 decode, 1 prefill step", or "5 steps" where no phase is
// known; "" without steps. shown bounds how many phases are told apart ("24
// decode, 1 other step"): 0 is all of them, -1 none.
func stepCounts(phases []document.Phase, shown int) string {
	sorted := slices.Clone(phases)
	slices.SortStableFunc(sorted, func(x, y document.Phase) int { return cmp.Compare(y.Steps, x.Steps) })
	sorted = slices.DeleteFunc(sorted, func(p document.Phase) bool { return p.Steps <= 0 })
	if len(sorted) == 0 {
		return ""
	}
	if keep := max(shown, 0); shown != 0 && len(sorted) > keep {
		rest := document.Phase{Phase: noPhase}
		for _, p := range sorted[keep:] {
			rest.Steps += p.Steps
		}
		sorted = append(sorted[:keep], rest)
	}
	parts := make([]string, len(sorted))
	for i, p := range sorted {
		switch parts[i] = figures.Count(p.Steps); {
		case p.Phase != noPhase:
			parts[i] += " " + p.Phase
		case len(sorted) > 1:
			parts[i] += " other"
		}
	}
	noun := " steps"
	if sorted[len(sorted)-1].Steps == 1 {
		noun = " step"
	}
	return strings.Join(parts, ", ") + noun
}
