package page

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"tokprof/report/document"
)

// htmlKernels is the kernel table.
type htmlKernels struct {
	Note   string
	Groups []string
	Rows   []htmlKernel
	Others *htmlKernel
	Count  int
}

// htmlKernel is one row of it.
type htmlKernel struct {
	Index                   int
	Short, Name, What, Rule string
	Group, Class            string
	Roles, Tags, Phases     string
	Launches, Total, Share  htmlCell
	Median, P99, Exposed    htmlCell
	MinMax, Graph           string
}

func kernelTable(a *document.Analysis, caps htmlCaps) *htmlKernels {
	if len(a.Kernels) == 0 {
		return nil
	}
	t := &htmlKernels{Count: len(a.Kernels)}
	shown := a.Kernels[:min(len(a.Kernels), caps.kernelRows)]
	names := make([]string, 0, len(shown))
	for i := range shown {
		names = append(names, shown[i].Name)
	}
	long := fitTexts(names, 5000, caps.nameBytes)
	for i := range shown {
		r := kernelRow(&shown[i], long, caps.kernels)
		r.Index = i
		if !slices.Contains(t.Groups, r.Group) && len(t.Groups) < 16 {
			t.Groups = append(t.Groups, r.Group)
		}
		t.Rows = append(t.Rows, r)
	}
	slices.Sort(t.Groups)
	if rest := a.Kernels[len(shown):]; len(rest) > 0 {
		var sum document.Kernel
		for _, k := range rest {
			sum.Launches += k.Launches
			sum.TotalNS += k.TotalNS
			sum.Share += k.Share
			sum.ExposedNS += k.ExposedNS
		}
		o := htmlKernel{Short: fmt.Sprintf("%s other kernels together", htmlThin(document.FormatCount(int64(len(rest))))), Class: "c-other",
			Launches: countCell(sum.Launches), Total: durCell(sum.TotalNS), Share: shareCell(sum.Share, "c-other"),
			Median: noCell(), P99: noCell(), Exposed: durCell(sum.ExposedNS)}
		t.Others = &o
		t.Note = fmt.Sprintf("The %d largest of %s.", len(shown), htmlThin(document.FormatCount(int64(len(a.Kernels)))))
	}
	return t
}

func kernelRow(k *document.Kernel, long int, texts *textBudget) htmlKernel {
	part := kernelPart(k)
	r := htmlKernel{
		Short: texts.take(kernelName(k), 90), Name: htmlClip(k.Name, long),
		Group: texts.take(k.Group, 30), What: texts.take(k.Group+"."+k.Subgroup, 60), Class: colourClass(part),
		Rule: texts.take(k.Rule, 60), Tags: texts.take(strings.Join(k.Tags, ", "), 120),
		Launches: countCell(k.Launches), Total: durCell(k.TotalNS), Share: shareCell(k.Share, colourClass(part)),
		Median: durCell(k.MedianNS), P99: durCell(k.P99NS), Exposed: durCell(k.ExposedNS),
		MinMax: htmlThin(document.FormatDur(k.MinNS)) + " to " + htmlThin(document.FormatDur(k.MaxNS)),
		Graph:  htmlThin(document.FormatShare(htmlRatio(k.GraphNS, k.TotalNS))),
	}
	if k.Group == "" {
		r.Group, r.What = "other", "unclassified"
	}
	var roles, phases []string
	for i, x := range k.Roles {
		if i == 6 {
			roles = append(roles, fmt.Sprintf("%d more", len(k.Roles)-i))
			break
		}
		s := htmlClip(x.Role, 30)
		if len(k.Roles) > 1 {
			s += " " + htmlThin(document.FormatShare(htmlRatio(x.TimeNS, k.TotalNS)))
		}
		roles = append(roles, s)
	}
	for i, x := range k.Phases {
		if i == 6 {
			break
		}
		phases = append(phases, htmlPhaseLabel(x.Phase)+" "+htmlThin(document.FormatDur(x.TimeNS))+" in "+strconv.FormatInt(x.Launches, 10))
	}
	r.Roles, r.Phases = texts.take(strings.Join(roles, ", "), 160), texts.take(strings.Join(phases, "; "), 300)
	return r
}

// htmlLayers is a small bar per layer with its table.
type htmlLayers struct {
	Bars  []htmlLayerBar
	Note  string
	Width string
	Keys  []htmlKey
	Table *htmlTable
}

// htmlLayerBar is the stack of one layer, in a drawing of 1000 by 100.
type htmlLayerBar struct {
	X, Tip  string
	Segs    []htmlLayerSeg
	Outlier bool
}

type htmlLayerSeg struct{ Y, H, Class string }

const htmlMaxLayers = 100

func layerBars(layers []document.Layer) *htmlLayers {
	if len(layers) == 0 {
		return nil
	}
	shown := layers[:min(len(layers), htmlMaxLayers)]
	usual, top := layerMedians(shown)
	v := &htmlLayers{Width: hundredths(820 / float64(len(shown))),
		Table: &htmlTable{Caption: "Time by layer", Sort: true, Cols: htmlCols("Layer", "Kind", "#Time", "#Against the median of its kind", "Parts")}}
	outliers := 0
	if len(layers) > len(shown) {
		v.Note = fmt.Sprintf("The first %d of %d layers.", len(shown), len(layers))
	}
	seen := map[string]bool{}
	for i, l := range shown {
		b := htmlLayerBar{X: hundredths(float64(i) * 1000 / float64(len(shown)))}
		at := 0.0
		parts := slices.Clone(l.Parts)
		slices.SortStableFunc(parts, func(a, b document.NameTime) int { return orderOf(partOrder, a.Name) - orderOf(partOrder, b.Name) })
		var words []string
		for _, p := range parts[:min(len(parts), 10)] {
			h := htmlRatio(p.TimeNS, top) * 96
			at += h
			seen[p.Name] = true
			b.Segs = append(b.Segs, htmlLayerSeg{Y: hundredths(100 - at), H: hundredths(h), Class: colourClass(p.Name)})
			words = append(words, partLabel(p.Name)+" "+htmlThin(document.FormatDur(p.TimeNS)))
		}
		against := htmlRatio(l.TimeNS, usual[l.Kind])
		b.Outlier = against > 1.25 && len(shown) > 2
		kind := htmlClip(strings.ReplaceAll(l.Kind, "_", " "), 40)
		b.Tip = fmt.Sprintf("layer %d (%s): %s", l.Index, kind, htmlThin(document.FormatDur(l.TimeNS)))
		v.Bars = append(v.Bars, b)
		rel := htmlCell{Text: strconv.FormatFloat(against, 'f', 2, 64) + " ×", Num: true, Value: strconv.FormatFloat(against, 'f', 4, 64)}
		if b.Outlier {
			outliers++
			rel.Sub = "outlier"
		}
		n := countCell(int64(l.Index))
		n.Num = false
		v.Table.Rows = append(v.Table.Rows, htmlRow{Cells: []htmlCell{n, textCell(kind), durCell(l.TimeNS), rel, textCell(strings.Join(words, ", "))}})
	}
	if outliers > 0 {
		v.Note = strings.TrimSpace(fmt.Sprintf("%s %d marked above: more than a quarter over the median of their kind.", v.Note, outliers))
	}
	v.Keys = legendOf(seen, partOrder)
	return v
}

func hundredths(f float64) string { return strconv.FormatFloat(f, 'f', 2, 64) }

// layerMedians is the median time by kind and the longest of all layers.
func layerMedians(layers []document.Layer) (map[string]int64, int64) {
	times := map[string][]int64{}
	top := int64(1)
	for _, l := range layers {
		times[l.Kind] = append(times[l.Kind], l.TimeNS)
		var sum int64
		for _, p := range l.Parts {
			sum += p.TimeNS
		}
		top = max(top, l.TimeNS, sum)
	}
	out := map[string]int64{}
	for k, v := range times {
		out[k] = document.Median(v)
	}
	return out, top
}

// htmlDefinitions says in one line each what the page's words mean.
func htmlDefinitions(a *document.Analysis) []htmlTerm {
	terms := []htmlTerm{
		{"Window", "First GPU event to last, over all ranks. Windows are never added together."},
		{"Busy", "The time in which at least one kernel or copy runs on a GPU; overlaps count once."},
		{"Sum", "The durations of all kernels and copies added up; overlaps count twice."},
		{"Exposed", "Time of a group that no other group's work hides."},
		{"Idle", "The window less busy time, split by what held the next launch back."},
	}
	if len(a.Steps) > 0 {
		terms = append(terms,
			htmlTerm{"Step", "One forward pass of the engine on one rank, cut by the annotation that was open at launch."},
			htmlTerm{"Phase", "Prefill reads prompts, decode makes one token a request, mixed does both in one step."})
	}
	parts := map[string]bool{}
	for _, r := range a.Parts {
		parts[r.Name] = true
	}
	if len(parts) > 0 {
		terms = append(terms, htmlTerm{"Part", "Attention with its projections, FFN with experts and router, head (embedding, LM head, sampling), communication, the rest."})
	}
	if parts["transfer"] || parts["waiting"] {
		terms = append(terms, htmlTerm{"Transfer, waiting", "The shortest time any rank spends in the same collective is transfer; what another rank spends above it is waiting for the late one."})
	}
	if parts["comm"] {
		terms = append(terms, htmlTerm{"Comm", "Time inside collectives, not split into transfer and waiting for a late rank."})
	}
	if parts["unattributed"] {
		terms = append(terms, htmlTerm{"Unattributed", "Matrix products whose role in the layer could not be established; never spread over the others."})
	}
	return append(terms,
		htmlTerm{"Group, category", "What a kernel is, judged by the rule named in its row from its name alone."},
		htmlTerm{"p99", "The value that one in a hundred exceeds."})
}
