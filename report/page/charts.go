package page

import (
	"cmp"
	"fmt"
	"slices"

	"tokprof/report/document"
)

// Charts that people explore are built with go-echarts and handed on as
// options: its own renderer writes names unescaped. Colours, formatters and
// drawing functions stand in the page's script, so no text from a trace ever
// becomes code.

// figureView is one step, drawn: the lanes of all ranks on one clock.
type figureView struct {
	ID, Title, Desc, Note string
	Empty                 string // said instead of a drawing
	Folded                bool
	Lanes, Longest        *table
}

// figureOptions is a figure's data for the script.
type figureOptions struct {
	ID     string         `json:"id"`
	Lanes  int            `json:"lanes"`
	Option map[string]any `json:"option"`
}

// figureNames are the texts that the figures of a window refer to by index.
type figureNames struct {
	Kernels []figureKernel `json:"kernels"`
	Hosts   []string       `json:"hosts"`
	Tags    []figureTag    `json:"tags"`
	Kinds   []string       `json:"kinds"`  // of layers
	Graphs  []string       `json:"graphs"` // recorded as a whole
}

// figureKernel is a kernel as a tooltip names it.
type figureKernel struct {
	Name string `json:"name"`
	What string `json:"what"`
}

// figureTag is what an event is for; its part colours the event.
type figureTag struct {
	Part string `json:"part"`
	Role string `json:"role"`
}

// maxTags bounds the pairs of part and role; a model has a few dozen.
const maxTags = 300

// tag numbers what an event is for, without its role where there are too many.
func (t figureTexts) tag(part, role string) int {
	tag := figureTag{Part: part, Role: clip(role, 40)}
	if _, ok := t.tags.seen[tag]; !ok && len(t.tags.list) >= maxTags {
		tag.Role = ""
	}
	return t.tags.index(tag)
}

// maxFigures bounds the steps drawn per window.
const maxFigures = 8

// figureTexts numbers the texts of all figures of a window.
type figureTexts struct {
	kernels *intern[int32] // rows of the document
	hosts   *intern[string]
	tags    *intern[figureTag]
	kinds   *intern[string]
	graphs  *intern[document.WholeGraph]
}

// timelineFigures joins the timelines of one step over its ranks and draws
// each such step.
func timelineFigures(a *document.Analysis, id string, lex *lexicon, caps limits) ([]figureView, []figureOptions, figureNames) {
	var figs []figureView
	var options []figureOptions
	texts := figureTexts{newIntern[int32](), newIntern[string](), newIntern[figureTag](), newIntern[string](), newIntern[document.WholeGraph]()}
	budget := caps.allEvents
	for _, group := range groupTimelines(a) {
		if len(figs) == maxFigures {
			break
		}
		f := &figure{doc: a, lex: lex, group: group, texts: texts}
		f.fill(min(caps.events, budget))
		fid := fmt.Sprintf("%s-line%d", id, len(figs))
		budget -= f.drawn
		fig := f.view(fid)
		figs = append(figs, fig)
		if fig.Empty == "" {
			options = append(options, figureOptions{ID: fid, Lanes: len(f.lanes), Option: f.chart(fid)})
		}
	}
	return figs, options, texts.names(a, caps.charts)
}

func (t figureTexts) names(a *document.Analysis, budget *textBudget) figureNames {
	names := figureNames{Kernels: []figureKernel{}, Hosts: []string{}, Tags: []figureTag{}, Kinds: []string{}, Graphs: []string{}}
	for _, i := range t.kernels.list {
		k := &a.Kernels[i]
		names.Kernels = append(names.Kernels, figureKernel{Name: budget.take(kernelName(k), 120), What: budget.take(kernelWhat(k, ""), 60)})
	}
	for _, x := range t.tags.list {
		names.Tags = append(names.Tags, figureTag{Part: x.Part, Role: budget.take(x.Role, 40)})
	}
	for _, h := range t.hosts.list {
		names.Hosts = append(names.Hosts, budget.take(h, 80))
	}
	for _, g := range t.graphs.list {
		names.Graphs = append(names.Graphs, budget.take(wholeName(g), 80))
	}
	for _, k := range t.kinds.list {
		names.Kinds = append(names.Kinds, budget.take(k, 40))
	}
	return names
}

// groupTimelines puts the ranks of a step together where their times overlap.
// The main phase comes first, the slowest step after the usual one.
func groupTimelines(a *document.Analysis) [][]*document.Timeline {
	var groups [][]*document.Timeline
	var phases []string
	for i := range a.Timelines {
		t := &a.Timelines[i]
		if !slices.Contains(phases, t.Phase) {
			phases = append(phases, t.Phase)
		}
		joined := false
		for g := range groups {
			f := groups[g][0]
			if f.Phase == t.Phase && f.Step == t.Step && f.Slowest == t.Slowest && len(groups[g]) < 8 && !sameRank(groups[g], t.Rank) &&
				t.StartUnixNS < f.StartUnixNS+f.DurNS && f.StartUnixNS < t.StartUnixNS+t.DurNS {
				groups[g] = append(groups[g], t)
				joined = true
				break
			}
		}
		if !joined {
			groups = append(groups, []*document.Timeline{t})
		}
	}
	mainFirst(a, phases)
	slices.SortStableFunc(groups, func(a, b []*document.Timeline) int {
		return cmp.Or(cmp.Compare(slices.Index(phases, a[0].Phase), slices.Index(phases, b[0].Phase)), cmp.Compare(slower(a[0]), slower(b[0])))
	})
	return groups
}

func slower(t *document.Timeline) int {
	if t.Slowest {
		return 1
	}
	return 0
}
