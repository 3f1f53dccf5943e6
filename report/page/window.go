package page

import (
	"fmt"
	"html/template"
	"regexp"
	"sort"
	"strings"
	"time"

	"tokprof/report/document"
	"tokprof/report/figures"
)

// window is one analysis, ready to be drawn.
type window struct {
	ID      string // prefix of the element ids of this window
	Label   string // of its tab
	Heading string
	Facts   []string
	Ticket  string
	Verdict string
	Version string
	Command string

	Trust   []trustItem
	Numbers []number
	Jumps   []jump

	Bars       []barBlock // where a step goes, one block per phase
	BarsNote   string
	BarsTable  *table
	GroupBars  []barBlock
	Groups     *table
	Categories *table
	NoSteps    string
	Legend     []colourKey
	GroupKeys  []colourKey

	Findings []findingView

	Figures  []figureView // one step, drawn
	Flame    *flameView
	Steps    *stepsView
	Readings *readingsView
	Requests *requestsView
	Idle     *table
	Launches *table
	Streams  *table
	Copies   *table
	Kernels  *kernelList
	Comm     *commView
	Roles    *rolesView
	Layers   *layersView
	Graphs   *table
	Sources  *table
	Terms    []term

	HasCharts bool
	Data      template.JS
}

// trustItem is one doubt, or the statement that there is none.
type trustItem struct {
	Mark, Class, Word, Label, Message, Touches string
	Open                                       bool // a doubt among few is open from the start
}

// number is one of the headline numbers.
type number struct {
	Label, Value string
	Lines        []string
}

// jump is a link to a section.
type jump struct{ Href, Text string }

// colourKey is an entry of a colour legend.
type colourKey struct{ Class, Name string }

func newWindow(a *document.Analysis, ticket, id string, caps limits) (*window, error) {
	w := &window{
		ID: id, Label: windowLabel(a), Heading: windowHeading(a), Facts: windowFacts(a),
		Ticket:  clip(ticket, 20000/caps.windows+1000),
		Verdict: clip(a.Verdict, 1000), Version: clip(a.Version, 80),
		Command: clip(a.Command, 2000),
	}
	lex := newLexicon(a)
	w.Trust = trustItems(a, caps.prose)
	w.Numbers = headlineNumbers(a, lex)
	w.addBars(a, lex)
	for i, f := range a.Findings[:min(len(a.Findings), maxFindings)] {
		w.Findings = append(w.Findings, newFinding(f, fmt.Sprintf("%s-try%d", id, i), caps.prose))
	}
	w.addTables(a, lex, caps)
	data, err := w.addExplorers(a, lex, caps)
	if err != nil {
		return nil, err
	}
	w.Kernels = kernelTable(a, lex, caps)
	w.Kernels.withoutUntold(a)
	w.boundTables(caps)
	w.Terms = definitions(a)
	w.Data, err = jsonBlock(data)
	w.addJumps()
	return w, err
}

// addExplorers adds what is drawn by a script, and returns its data.
func (w *window) addExplorers(a *document.Analysis, lex *lexicon, caps limits) (map[string]any, error) {
	data := map[string]any{}
	if len(a.Timelines) > 0 {
		figs, opts, names := timelineFigures(a, w.ID, lex, caps)
		w.Figures = figs
		data["timelines"], data["names"] = opts, names
		w.HasCharts = len(opts) > 0
	}
	if steps, opt := stepsOverTime(a, w.ID, lex, caps); steps != nil {
		w.Steps = steps
		if opt != nil {
			data["steps"] = opt
			w.HasCharts = true
		}
	}
	w.Readings = readingsSection(a, lex)
	w.Requests = requestSection(a, w.ID, w.Steps.anchors(), caps)
	if len(a.Stacks.Samples)+len(a.Stacks.Whole) > 0 {
		flame := newFlame(a, lex, caps)
		w.Flame = flame.view()
		data["flame"] = flame.columns(caps)
	}
	return data, nil
}

func (w *window) addJumps() {
	add := func(have bool, name, text string) {
		if have {
			w.Jumps = append(w.Jumps, jump{Href: "#" + w.ID + "-" + name, Text: text})
		}
	}
	add(len(w.Bars) > 0 || w.NoSteps != "", "step", "Where a step goes")
	add(len(w.Findings) > 0, "findings", "Findings")
	add(w.Groups != nil, "groups", "Groups")
	add(len(w.Figures) > 0, "drawn", "One step, drawn")
	add(w.Flame != nil, "flame", "Flame graph")
	add(w.Steps != nil, "steps", "Steps")
	add(w.Readings != nil, "readings", "GPU readings")
	add(w.Requests != nil, "requests", "Requests")
	add(w.Idle != nil, "idle", "Idle")
	add(w.Launches != nil, "launches", "Launches")
	add(w.Layers != nil, "layers", "Layers")
	add(w.Roles != nil, "roles", "Roles")
	add(w.Kernels != nil, "kernels", "Kernels")
	add(w.Comm != nil, "collectives", "Collectives")
	add(true, "known", "How we know")
}

func windowLabel(a *document.Analysis) string {
	if a.Window.Name != "" {
		return clip(a.Window.Name, 60)
	}
	return "window"
}

// numberedWindow is a name that we gave for want of a better one.
var numberedWindow = regexp.MustCompile(`^w\d{1,4}$`)

// windowHeading is the title line: window, model, engine, GPUs.
func windowHeading(a *document.Analysis) string {
	var parts []string
	if !numberedWindow.MatchString(a.Window.Name) {
		parts = append(parts, windowLabel(a))
	}
	if a.SummaryOnly() {
		return strings.Join(append(parts, "Kernel summary of nsys stats"), " · ")
	}
	engines, gpus := map[string]bool{}, map[string]bool{}
	var engine, gpu []string
	for _, s := range a.Sources {
		if s.Engine != "" && !engines[s.Engine] && a.EngineWords() == "" {
			engines[s.Engine] = true
			engine = append(engine, clip(s.Engine, 40))
		}
		if s.GPU != "" && !gpus[s.GPU] {
			gpus[s.GPU] = true
			gpu = append(gpu, clip(s.GPU, 60))
		}
	}
	for _, known := range []string{a.ModelWords(), a.EngineWords()} {
		if known != "" {
			parts = append(parts, clip(known, 120))
		}
	}
	if len(engine) > 0 {
		parts = append(parts, strings.Join(engine[:min(3, len(engine))], ", "))
	}
	g := "GPU"
	if len(gpu) > 0 {
		g = strings.Join(gpu[:min(3, len(gpu))], ", ")
	}
	if n := len(a.Devices); n > 0 {
		g = fmt.Sprintf("%d × %s", n, g)
		if p := a.ParallelWords(); p != "" {
			g += " (" + clip(p, 60) + ")"
		}
		parts = append(parts, g)
	}
	return strings.Join(parts, " · ")
}

func windowFacts(a *document.Analysis) []string {
	if a.SummaryOnly() {
		return []string{"engine, GPU, steps and window n/a"}
	}
	var facts []string
	world := 0
	for _, s := range a.Sources {
		world = max(world, s.WorldSize)
	}
	ranks := map[int]bool{}
	for _, d := range a.Devices {
		ranks[d.Rank] = true
	}
	switch {
	case world > 1:
		facts = append(facts, fmt.Sprintf("%d of %d ranks", len(ranks), world))
	case len(ranks) > 1:
		facts = append(facts, fmt.Sprintf("%d ranks", len(ranks)))
	}
	if s := stepCounts(a.Phases); s != "" {
		facts = append(facts, s)
	}
	window := "window of " + thin(figures.Dur(a.Window.DurNS))
	if numberedWindow.MatchString(a.Window.Name) {
		window = "window " + a.Window.Name + " of " + thin(figures.Dur(a.Window.DurNS))
	}
	facts = append(facts, window)
	if a.UnixClock() {
		facts = append(facts, time.Unix(0, a.Window.StartUnixNS).UTC().Format("2006-01-02 15:04:05 UTC"))
	}
	return facts
}

var severityMarks = map[document.Severity]trustItem{
	document.OK:      {Mark: "✓", Class: "ok", Word: "fine"},
	document.Info:    {Mark: "i", Class: "info", Word: "note"},
	document.Warning: {Mark: "!", Class: "warn", Word: "doubt"},
	document.Error:   {Mark: "×", Class: "err", Word: "problem"},
}

func trustItems(a *document.Analysis, prose *textBudget) []trustItem {
	items := make([]trustItem, 0, len(a.Trust)+1)
	for i, t := range a.Trust {
		if i == 40 {
			items = append(items, trustItem{Mark: "i", Class: "info", Word: "note",
				Label: "more", Message: fmt.Sprintf("%d more lines are in the JSON form of this document.", len(a.Trust)-i)})
			break
		}
		item, ok := severityMarks[t.Severity]
		if !ok {
			item = severityMarks[document.Info]
		}
		item.Label = prose.take(strings.ReplaceAll(t.Code, "_", " "), 40)
		message := t.Message
		if len(t.Files) > 2 {
			message += ". All of them: " + strings.Join(t.Files, ", ") + "."
		}
		item.Message = prose.take(message, 1000)
		item.Touches = prose.take(strings.Join(t.Touches, ", "), 300)
		items = append(items, item)
	}
	doubts := 0
	for _, t := range items {
		if t.Class == "warn" || t.Class == "err" {
			doubts++
		}
	}
	for i := range items {
		items[i].Open = doubts <= 2 && (items[i].Class == "warn" || items[i].Class == "err")
	}
	if len(items) == 0 {
		items = append(items, trustItem{Mark: "i", Class: "info", Word: "note", Label: "unchecked",
			Message: "No check of the input was recorded for this window."})
	}
	return items
}

// maxFindings is the number of findings on a page: the first ones matter most.
const maxFindings = 5

// findingView is a card: what, why, how much, what to do, how to see that it
// helped.
type findingView struct {
	Mark, Class, Word string
	Title, MaxGain    string
	Evidence          []string
	RemedyID, Remedy  string
	Confirm           string
}

// findingWords say how much a finding matters.
var findingWords = map[document.Severity]string{
	document.OK: "fine", document.Info: "minor", document.Warning: "moderate", document.Error: "major",
}

func newFinding(f document.Finding, id string, prose *textBudget) findingView {
	sev := f.Severity
	if _, ok := severityMarks[sev]; !ok {
		sev = document.Info
	}
	m := severityMarks[sev]
	v := findingView{Mark: m.Mark, Class: m.Class, Word: findingWords[sev], RemedyID: id}
	v.Title, v.MaxGain = prose.take(f.Title, 300), prose.take(f.MaxGain, 300)
	v.Remedy, v.Confirm = prose.take(strings.TrimSpace(f.Remedy), 1500), prose.take(f.Confirm, 500)
	for _, e := range f.Evidence[:min(len(f.Evidence), 12)] {
		v.Evidence = append(v.Evidence, prose.take(e, 500))
	}
	return v
}

// mainPhase is the phase that the verdict and the headline numbers are
// about, nil without steps.
func mainPhase(a *document.Analysis) *document.Phase {
	if p := document.PhaseNamed(a, document.MainPhase(a)); p != nil && p.Steps > 0 {
		return p
	}
	var best *document.Phase
	for i := range a.Phases {
		if p := &a.Phases[i]; p.Steps > 0 && (best == nil || p.Steps > best.Steps) {
			best = p
		}
	}
	return best
}

func sortPhases(ps []string) {
	sort.Slice(ps, func(i, j int) bool {
		if a, b := document.PhaseRank(ps[i]), document.PhaseRank(ps[j]); a != b {
			return a < b
		}
		return ps[i] < ps[j]
	})
}

// thin puts the thin space that never breaks between number and unit.
func thin(s string) string { return strings.ReplaceAll(s, " ", "\u202f") }
