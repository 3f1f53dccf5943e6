package page

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"tokprof/report/document"
	"tokprof/report/figures"
)

// lexicon says what names of a document are called, and which part of the
// model they are drawn as. A kernel may serve several parts; events and samples
// carry their own, and rows about all of a kernel take the largest.
type lexicon struct {
	kernels []string          // by index into Analysis.Kernels
	roles   map[string]string // part by role
	none    string            // what rows of no phase are called
	steps   string            // what steps of no phase are called
	all     string            // what rows of all phases are called
}

func newLexicon(a *document.Analysis) *lexicon {
	l := &lexicon{kernels: make([]string, len(a.Kernels)), roles: map[string]string{}, none: "outside steps", steps: "steps", all: "whole window"}
	if a.SummaryOnly() {
		l.all = "all"
	}
	byKernel := make([]map[string]int64, len(a.Kernels))
	byRole := map[string]map[string]int64{}
	for _, s := range a.Stacks.Samples {
		part := knownPart(s.Part)
		if part == "" {
			continue
		}
		if s.Kernel >= 0 && int(s.Kernel) < len(byKernel) {
			addTo(&byKernel[s.Kernel], part, s.TimeNS)
		}
		if s.Role != "" {
			m := byRole[s.Role]
			addTo(&m, part, s.TimeNS)
			byRole[s.Role] = m
		}
	}
	for i, sums := range byKernel {
		l.kernels[i] = mostTime(sums)
		if l.kernels[i] == "" {
			l.kernels[i] = groupPart(a.Kernels[i].Group)
		}
	}
	for role, sums := range byRole {
		l.roles[role] = mostTime(sums)
	}
	named := slices.ContainsFunc(a.Steps, func(s document.Step) bool { return !noPhase(s.Phase) })
	unnamed := slices.ContainsFunc(a.Steps, func(s document.Step) bool { return noPhase(s.Phase) })
	switch {
	case named && unnamed:
		l.none, l.steps = "phase not known", "other steps"
	case unnamed:
		l.none = "steps"
	}
	return l
}

func addTo(sums *map[string]int64, name string, v int64) {
	if *sums == nil {
		*sums = map[string]int64{}
	}
	(*sums)[name] += v
}

// mostTime is the name with the largest sum, the first in order of equals.
func mostTime(sums map[string]int64) string {
	best := ""
	for n, v := range sums {
		if best == "" || v > sums[best] || v == sums[best] && orderOf(partOrder, n) < orderOf(partOrder, best) {
			best = n
		}
	}
	return best
}

// knownPart is the part that a colour exists for, "" for no part at all.
func knownPart(p string) string {
	if p != "" && !slices.Contains(partOrder, p) {
		return "other"
	}
	return p
}

// groupPart is the part of a kernel of which no sample tells one.
func groupPart(group string) string {
	switch group {
	case "comm", "attention", "ffn":
		return group
	case "gemm":
		return "unattributed"
	}
	return "other"
}

func (l *lexicon) kernelPart(kernel int32) string { return l.kernels[kernel] }

// eventPart is the part of a sample or event of a kernel.
func (l *lexicon) eventPart(part string, kernel int32) string {
	if p := knownPart(part); p != "" {
		return p
	}
	return l.kernelPart(kernel)
}

// phase says a row's phase in words.
func (l *lexicon) phase(p string) string {
	switch p {
	case "none":
		return l.none
	case "all":
		return l.all
	}
	return clip(p, 20)
}

// phaseCell is the phase of one step or layer, a dash where nothing tells it.
func phaseCell(p string) cell {
	if noPhase(p) {
		return cell{Text: "–"}
	}
	return textCell(clip(p, 20))
}

// told drops the phase that nobody knows where it says what the whole window
// says.
func told(phases []string) []string {
	if len(phases) == 2 && phases[0] == "none" && phases[1] == "all" {
		return phases[1:]
	}
	return phases
}

// noPhase is true where nothing tells what a step does.
func noPhase(p string) bool { return p == "" || p == "none" }

// stepWord is what a step of a phase is called: "decode step", and "step"
// where nothing tells the phase.
func stepWord(phase string) string {
	if noPhase(phase) {
		return "step"
	}
	return clip(phase, 20) + " step"
}

// stepPhase is the phase in a list of steps: "decode", and "steps" or "other
// steps" where nothing tells it.
func (l *lexicon) stepPhase(phase string) string {
	if noPhase(phase) {
		return l.steps
	}
	return clip(phase, 20)
}

// figureTitle is a timeline's own title, without a phase that nobody knows.
func figureTitle(t *document.Timeline) string {
	title := strings.TrimPrefix(clip(t.Title, 120), "none ")
	if title == "" {
		title = fmt.Sprintf("%s %d", stepWord(t.Phase), t.Step)
	}
	if c := title[0]; c >= 'a' && c <= 'z' {
		title = string(c-32) + title[1:]
	}
	return title
}

// stepCounts says how many steps a window has: "24 decode, 1 prefill steps".
func stepCounts(ps []document.Phase) string {
	var named []string
	var unnamed int64
	for _, p := range ps {
		switch {
		case p.Steps == 0:
		case p.Phase == "none":
			unnamed += p.Steps
		default:
			named = append(named, thin(figures.Count(p.Steps))+" "+clip(p.Phase, 20))
		}
	}
	switch {
	case unnamed > 0 && len(named) > 0:
		return fmt.Sprintf("%s steps, %s of phase not known", strings.Join(named, ", "), thin(figures.Count(unnamed)))
	case unnamed > 0:
		return thin(figures.Count(unnamed)) + " steps"
	case len(named) > 0:
		return strings.Join(named, ", ") + " steps"
	}
	return ""
}

// rolesView is what the work is for, and how that is known.
type rolesView struct {
	Table    *table
	Work     *table // nil where nothing is known of work
	Evidence []barBlock
	Keys     []colourKey
	Known    *table
}

// evidenceOrder is the ways to know a role, strongest first.
var evidenceOrder = []string{"name", "module", "shape", "capture", "twin", "position", "none"}

// evidenceWords say each way in a few words.
var evidenceWords = map[string]string{
	"name":     "the kernel's own name",
	"module":   "the module or range that launched it",
	"shape":    "shapes of the operator that launched it",
	"capture":  "the trace of the graph's capture",
	"twin":     "an equal step launched without a graph",
	"position": "its place in the order of the pass",
	"none":     "not known; never spread over the others",
}

func roleSection(a *document.Analysis, lex *lexicon, texts *textBudget) *rolesView {
	v := &rolesView{Table: rowTable("Time by role", a.Roles, nil, lex), Work: workTable(a, lex)}
	if len(a.Provenance) > 0 {
		v.Evidence, v.Keys = evidenceBar(a.Provenance, texts)
		v.Known = evidenceTable(a.Provenance)
	}
	if v.Table == nil && v.Known == nil {
		return nil
	}
	return v
}

// evidenceClass is the shade of a way to know: the stronger the darker.
func evidenceClass(name string) string {
	if i := slices.Index(evidenceOrder, name); i >= 0 && name != "none" {
		return fmt.Sprintf("c-e%d", i)
	}
	return "c-idle"
}

func sortedEvidence(ps []document.Provenance) []document.Provenance {
	out := slices.Clone(ps)
	slices.SortStableFunc(out, func(a, b document.Provenance) int {
		return orderOf(evidenceOrder, a.Provenance) - orderOf(evidenceOrder, b.Provenance)
	})
	return out
}

func evidenceBar(ps []document.Provenance, texts *textBudget) ([]barBlock, []colourKey) {
	var total, at int64
	for _, p := range ps {
		total += p.TimeNS
	}
	if total <= 0 {
		return nil, nil
	}
	b := bar{Label: "known by", Desc: "How roles are known, by share of time"}
	var keys []colourKey
	for _, p := range sortedEvidence(ps)[:min(len(ps), 12)] {
		if p.TimeNS <= 0 {
			continue
		}
		share, name := ratio(p.TimeNS, total), texts.take(p.Provenance, 40)
		seg := segment(name, at, p.TimeNS, float64(total))
		seg.Class, seg.First = evidenceClass(p.Provenance), at == 0
		seg.Tip = fmt.Sprintf("%s: %s, %s", name, thin(figures.Dur(p.TimeNS)), thin(figures.Percent(share)))
		b.Segs = append(b.Segs, seg)
		keys = append(keys, colourKey{Class: seg.Class, Name: name + " " + thin(figures.Percent(share))})
		at += p.TimeNS
	}
	return []barBlock{{Bars: []bar{b}}}, keys
}

func evidenceTable(ps []document.Provenance) *table {
	t := &table{Caption: "How roles are known, strongest evidence first", Cols: cols("Evidence", "#Time", "#Share", "Known by")}
	for _, p := range sortedEvidence(ps) {
		c := textCell(p.Provenance)
		c.Class = evidenceClass(p.Provenance)
		words := evidenceWords[p.Provenance]
		t.Rows = append(t.Rows, row{Cells: []cell{c, durCell(p.TimeNS), shareCell(p.Share, c.Class), textCell(words)}})
	}
	return t
}

// workTable says how near to the GPU's peaks each role comes, by phase: a role
// computes in prefill and reads weights in decode.
func workTable(a *document.Analysis, lex *lexicon) *table {
	t := &table{Caption: "What each role computes and moves", Sort: true,
		Cols: cols("Role", "Phase", "#Time", "#Compute", "#of peak", "#Memory traffic", "#of peak", "Bound by", "#Time covered", "Known from")}
	byPhase := map[string][]document.Row{}
	var phases []string
	for _, r := range a.Roles {
		if r.Work == nil || r.Phase == "all" {
			continue
		}
		if byPhase[r.Phase] == nil {
			phases = append(phases, r.Phase)
		}
		byPhase[r.Phase] = append(byPhase[r.Phase], r)
	}
	mainFirst(a, phases)
	guessed := false
	for _, p := range phases {
		for _, r := range byPhase[p] {
			guessed = guessed || r.Work.Estimated
			t.Rows = append(t.Rows, workRow(r, lex))
		}
	}
	if len(t.Rows) == 0 {
		return nil
	}
	if guessed {
		t.Note = "An estimate takes routing to experts to be uniform."
	}
	return t
}

func workRow(r document.Row, lex *lexicon) row {
	class := colourClass(lex.roles[r.Name])
	w := r.Work
	name, how := textCell(clip(r.Name, 40)), textCell(clip(w.How, 40))
	name.Class = class
	if w.Estimated {
		how.Sub = "estimate"
	}
	bound := clip(w.Bound, 40)
	if bound == "" {
		bound = "–"
	}
	return row{Cells: []cell{name, textCell(lex.phase(r.Phase)), durCell(r.TimeNS),
		known(w.FLOPsPerS > 0, flopsCell(w.FLOPsPerS)), known(w.ComputeShare > 0, shareCell(w.ComputeShare, class)),
		known(w.BytesPerS > 0, rateCell(w.BytesPerS)), known(w.MemoryShare > 0, shareCell(w.MemoryShare, class)),
		textCell(bound), shareCell(ratio(w.CoveredNS, r.TimeNS), "c-busy"), how}}
}

// flopsCell writes operations a second with the prefix that keeps the number
// at 1 or more.
func flopsCell(v float64) cell {
	units := []string{"FLOP/s", "kFLOP/s", "MFLOP/s", "GFLOP/s", "TFLOP/s"}
	i, x := 0, v
	for ; i < len(units)-1 && x >= 999.5; i++ {
		x /= 1000
	}
	return cell{Text: formatFloat(x) + "\u202f" + units[i], Num: true, Value: strconv.FormatFloat(v, 'g', -1, 64)}
}
