package page

import (
	"fmt"
	"html/template"
	"regexp"
	"sort"
	"strings"
	"time"

	"tokprof/report/document"
)

// htmlWindow is one analysis, ready to be drawn.
type htmlWindow struct {
	ID      string // prefix of the element ids of this window
	Label   string // of its tab
	Heading string
	Facts   []string
	Ticket  string
	Verdict string
	Version string
	Command string

	Trust   []htmlTrust
	Numbers []htmlNumber
	Jumps   []htmlJump

	Bars       []htmlBars // where a step goes, one block per phase
	BarsNote   string
	BarsTable  *htmlTable
	GroupBars  []htmlBars
	Groups     *htmlTable
	Categories *htmlTable
	NoSteps    string
	Legend     []htmlKey
	GroupKeys  []htmlKey

	Findings []document.Finding

	Figures   []htmlFigure // one step, drawn
	Flame     *htmlFlame
	Steps     *htmlSteps
	Idle      *htmlTable
	Launches  *htmlTable
	Streams   *htmlTable
	Copies    *htmlTable
	Kernels   *htmlKernels
	Comm      *htmlTable
	Roles     *htmlTable
	LayerBars *htmlLayers
	Graphs    *htmlTable
	Sources   *htmlTable
	Known     *htmlTable // provenance
	Terms     []htmlTerm

	HasCharts bool
	Data      template.JS
}

// htmlTrust is one doubt, or the statement that there is none.
type htmlTrust struct {
	Mark, Class, Word, Label, Message, Touches string
	Open                                       bool // a doubt among few is open from the start
}

// htmlNumber is one of the headline numbers.
type htmlNumber struct {
	Label, Value string
	Lines        []string
}

// htmlJump is a link to a section.
type htmlJump struct{ Href, Text string }

// htmlKey is an entry of a colour legend.
type htmlKey struct{ Class, Name string }

// htmlTerm is a definition.
type htmlTerm struct{ Term, Text string }

func newHTMLWindow(a *document.Analysis, ticket, id string, caps htmlCaps) (*htmlWindow, error) {
	w := &htmlWindow{
		ID: id, Label: htmlWindowLabel(a), Heading: htmlWindowHeading(a), Facts: htmlWindowFacts(a),
		Ticket:  htmlClip(ticket, 20000/caps.windows+1000),
		Verdict: htmlClip(a.Verdict, 1000), Version: htmlClip(a.Version, 80),
		Command: htmlClip(a.Command, 2000),
	}
	w.Trust = trustItems(a, caps.prose)
	w.Numbers = headlineNumbers(a)
	w.addBars(a)
	for i, f := range a.Findings {
		if i == 5 {
			break
		}
		w.Findings = append(w.Findings, clipFinding(f, caps.prose))
	}
	w.addTables(a)
	data, err := w.addExplorers(a, caps)
	if err != nil {
		return nil, err
	}
	w.Kernels = kernelTable(a, caps)
	w.boundTables(caps)
	w.Terms = htmlDefinitions(a)
	w.Data, err = jsonBlock(data)
	w.addJumps()
	return w, err
}

// addExplorers adds what is drawn by a script, and returns its data.
func (w *htmlWindow) addExplorers(a *document.Analysis, caps htmlCaps) (map[string]any, error) {
	data := map[string]any{}
	if len(a.Timelines) > 0 {
		figs, opts, names := timelineFigures(a, w.ID, caps)
		w.Figures = figs
		data["timelines"], data["names"] = opts, names
		w.HasCharts = true
	}
	if steps, opt := stepsOverTime(a, w.ID, caps); steps != nil {
		w.Steps = steps
		if opt != nil {
			data["steps"] = opt
			w.HasCharts = true
		}
	}
	if len(a.Stacks.Samples) > 0 {
		flame := newFlame(a, caps)
		w.Flame = flame.view()
		data["flame"] = flame.columns(caps.flameBytes)
	}
	return data, nil
}

func (w *htmlWindow) addJumps() {
	add := func(have bool, name, text string) {
		if have {
			w.Jumps = append(w.Jumps, htmlJump{Href: "#" + w.ID + "-" + name, Text: text})
		}
	}
	add(len(w.Bars) > 0 || w.NoSteps != "", "step", "Where a step goes")
	add(w.Groups != nil, "groups", "Groups")
	add(len(w.Findings) > 0, "findings", "Findings")
	add(len(w.Figures) > 0, "drawn", "One step, drawn")
	add(w.Flame != nil, "flame", "Flame graph")
	add(w.Steps != nil, "steps", "Steps")
	add(w.Idle != nil, "idle", "Idle")
	add(w.Launches != nil, "launches", "Launches")
	add(w.LayerBars != nil, "layers", "Layers")
	add(w.Roles != nil, "roles", "Roles")
	add(w.Kernels != nil, "kernels", "Kernels")
	add(w.Comm != nil, "collectives", "Collectives")
	add(true, "known", "How we know")
}

func htmlWindowLabel(a *document.Analysis) string {
	if a.Window.Name != "" {
		return htmlClip(a.Window.Name, 60)
	}
	return "window"
}

// numberedWindow is a name that we gave for want of a better one.
var numberedWindow = regexp.MustCompile(`^w\d{1,4}$`)

// htmlWindowHeading is the title line: window, engine, GPUs.
func htmlWindowHeading(a *document.Analysis) string {
	var parts []string
	if !numberedWindow.MatchString(a.Window.Name) {
		parts = append(parts, htmlWindowLabel(a))
	}
	engines, gpus := map[string]bool{}, map[string]bool{}
	var engine, gpu []string
	for _, s := range a.Sources {
		if s.Engine != "" && !engines[s.Engine] {
			engines[s.Engine] = true
			engine = append(engine, htmlClip(s.Engine, 40))
		}
		if s.GPU != "" && !gpus[s.GPU] {
			gpus[s.GPU] = true
			gpu = append(gpu, htmlClip(s.GPU, 60))
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
		parts = append(parts, fmt.Sprintf("%d × %s", n, g))
	}
	return strings.Join(parts, " · ")
}

func htmlWindowFacts(a *document.Analysis) []string {
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
	var steps []string
	for _, p := range a.Phases {
		if p.Steps > 0 {
			steps = append(steps, htmlThin(document.FormatCount(p.Steps))+" "+htmlClip(p.Phase, 20))
		}
	}
	if len(steps) > 0 {
		facts = append(facts, strings.Join(steps, ", ")+" steps")
	}
	window := "window of " + htmlThin(document.FormatDur(a.Window.DurNS))
	if numberedWindow.MatchString(a.Window.Name) {
		window = "window " + a.Window.Name + " of " + htmlThin(document.FormatDur(a.Window.DurNS))
	}
	facts = append(facts, window)
	if a.Window.StartUnixNS > 0 {
		facts = append(facts, time.Unix(0, a.Window.StartUnixNS).UTC().Format("2006-01-02 15:04:05 UTC"))
	}
	return facts
}

var severityMarks = map[document.Severity]htmlTrust{
	document.OK:      {Mark: "✓", Class: "ok", Word: "fine"},
	document.Info:    {Mark: "i", Class: "info", Word: "note"},
	document.Warning: {Mark: "!", Class: "warn", Word: "doubt"},
	document.Error:   {Mark: "×", Class: "err", Word: "problem"},
}

func trustItems(a *document.Analysis, prose *textBudget) []htmlTrust {
	items := make([]htmlTrust, 0, len(a.Trust)+1)
	for i, t := range a.Trust {
		if i == 40 {
			items = append(items, htmlTrust{Mark: "i", Class: "info", Word: "note",
				Label: "more", Message: fmt.Sprintf("%d more lines are in the JSON form of this document.", len(a.Trust)-i)})
			break
		}
		item, ok := severityMarks[t.Severity]
		if !ok {
			item = severityMarks[document.Info]
		}
		item.Label = prose.take(strings.ReplaceAll(t.Code, "_", " "), 40)
		item.Message = prose.take(t.Message, 1000)
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
		items = append(items, htmlTrust{Mark: "i", Class: "info", Word: "note", Label: "unchecked",
			Message: "No check of the input was recorded for this window."})
	}
	return items
}

func clipFinding(f document.Finding, prose *textBudget) document.Finding {
	f.Title, f.MaxGain = prose.take(f.Title, 300), prose.take(f.MaxGain, 300)
	f.Remedy, f.Confirm = prose.take(f.Remedy, 1000), prose.take(f.Confirm, 500)
	f.Evidence = append([]string{}, f.Evidence[:min(len(f.Evidence), 12)]...)
	for i := range f.Evidence {
		f.Evidence[i] = prose.take(f.Evidence[i], 500)
	}
	if _, ok := severityMarks[f.Severity]; !ok {
		f.Severity = document.Info
	}
	return f
}

// htmlMainPhase is the phase that the verdict and the headline numbers are
// about, nil without steps.
func htmlMainPhase(a *document.Analysis) *document.Phase {
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

func htmlSortPhases(ps []string) {
	sort.Slice(ps, func(i, j int) bool {
		if a, b := document.PhaseRank(ps[i]), document.PhaseRank(ps[j]); a != b {
			return a < b
		}
		return ps[i] < ps[j]
	})
}

// htmlThin puts the thin space that never breaks between number and unit.
func htmlThin(s string) string { return strings.ReplaceAll(s, " ", "\u202f") }
