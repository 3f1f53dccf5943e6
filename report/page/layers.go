package page

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"tokprof/report/document"
	"tokprof/report/figures"
)

// layersView is one strip of bars per phase, the main phase first, with one
// table for all.
type layersView struct {
	Keys  []colourKey
	Main  *layerStrip
	Rest  []*layerStrip
	More  string // what the folded strips are of
	Table *table
}

// layerStrip is the layers of one phase on a scale of its own.
type layerStrip struct {
	Title, Desc string
	Note        string
	Outliers    []string
	Bars        []layerBar
	Ticks       []tick
	Kinds       []kindRun // runs of one kind, when there are several
	KindNote    string
}

// layerBar is the stack of one layer: X and W in percent of the width, the
// heights in pixels of layerHeight.
type layerBar struct {
	X, W, Tip string
	Segs      []layerSegment
	Mark      string // text above an outlier
	MX        string
}

type layerSegment struct{ Y, H, Class string }

// kindRun is a run of layers of one kind.
type kindRun struct{ X1, X2, Letter string }

const (
	maxLayers      = 160
	maxLayerStrips = 6
	layerHeight    = 96 // of the tallest bar
	layerTop       = 18 // room for marks above it
)

func layerSection(a *document.Analysis, lex *lexicon, caps limits) *layersView {
	if len(a.Layers) == 0 {
		return nil
	}
	byPhase := map[string][]document.Layer{}
	var phases []string
	for _, l := range a.Layers {
		if byPhase[l.Phase] == nil {
			phases = append(phases, l.Phase)
		}
		byPhase[l.Phase] = append(byPhase[l.Phase], l)
	}
	mainFirst(a, phases)
	per := "rank"
	if a.PerGPU() {
		per = "GPU that runs it"
	}
	v := &layersView{Table: &table{Caption: "Time by layer: mean per step and " + per, Sort: true,
		Cols: cols("Layer", "Phase", "Kind", "#Time", "#Against the median of its phase and kind", "Parts")}}
	seen := map[string]bool{}
	var more []string
	room := caps.layerBars
	for i, p := range phases {
		layers := byPhase[p]
		v.addRows(layers)
		if room == 0 || i >= maxLayerStrips {
			continue
		}
		s := newLayerStrip(lex.stepPhase(p), layers, min(room, maxLayers), seen, caps.charts)
		room -= len(s.Bars)
		if i == 0 {
			v.Main = s
			continue
		}
		v.Rest = append(v.Rest, s)
		more = append(more, lex.stepPhase(p))
	}
	v.Keys, v.More = legendOf(seen, partOrder), strings.Join(more, ", ")
	return v
}

// mainFirst puts the phase that the verdict is about before the others, which
// follow as drawings list them.
func mainFirst(a *document.Analysis, phases []string) {
	sortPhases(phases)
	first := ""
	if p := mainPhase(a); p != nil {
		first = p.Phase
	}
	if i := slices.Index(phases, first); i > 0 {
		copy(phases[1:i+1], phases[:i])
		phases[0] = first
	}
}

func newLayerStrip(title string, all []document.Layer, limit int, seen map[string]bool, texts *textBudget) *layerStrip {
	layers := all[:min(len(all), limit)]
	usual, top := layerMedians(layers)
	s := &layerStrip{}
	s.Title = fmt.Sprintf("%s: %d layers, the tallest %s a step", capital(title), len(all), thin(figures.Dur(top)))
	if len(layers) < len(all) {
		s.Note = fmt.Sprintf("The first %d are drawn.", len(layers))
	}
	s.Desc = s.Title + "; the table has the numbers"
	width := 100 / float64(len(layers))
	marked := -10.0
	for i, l := range layers {
		x := float64(i) * width
		b := layerBar{X: percent(x), W: percent(width * 0.84), MX: percent(min(max(x+width*0.42, 2), 98))}
		at := 0.0
		parts := sortedParts(l.Parts)
		for _, p := range parts[:min(len(parts), 10)] {
			h := ratio(p.TimeNS, top) * layerHeight
			at += h
			seen[p.Name] = true
			b.Segs = append(b.Segs, layerSegment{Y: hundredths(layerTop + layerHeight - at), H: hundredths(h), Class: colourClass(p.Name)})
		}
		b.Tip = texts.take(fmt.Sprintf("layer %d (%s): %s; %s", l.Index, kindLabel(l.Kind), thin(figures.Dur(l.TimeNS)), partWords(parts)), 300)
		if l.Outlier {
			if x-marked >= 5 {
				b.Mark, marked = fmt.Sprintf("▼ %d", l.Index), x
			}
			s.Outliers = append(s.Outliers, texts.take(outlierWords(l, usual[l.Kind], parts), 300))
		}
		s.Bars = append(s.Bars, b)
	}
	if n := len(s.Outliers); n > 8 {
		s.Outliers = append(s.Outliers[:8], fmt.Sprintf("%d more in the table", n-8))
	}
	s.Ticks = layerTicks(layers, width)
	s.addKinds(layers, width)
	return s
}

// outlierWords says how far a layer is above the median of its kind.
func outlierWords(l document.Layer, usual int64, parts []document.NameTime) string {
	return fmt.Sprintf("layer %d takes %s, %s × the median of its kind (%s)", l.Index, thin(figures.Dur(l.TimeNS)),
		strconv.FormatFloat(ratio(l.TimeNS, usual), 'f', 2, 64), partWords(parts))
}

// layerTicks numbers about eight of the layers.
func layerTicks(layers []document.Layer, width float64) []tick {
	var out []tick
	every := max(1, (len(layers)+7)/8)
	for i := 0; i < len(layers); i += every {
		out = append(out, tick{X: percent((float64(i) + 0.42) * width), Text: strconv.Itoa(layers[i].Index), Anchor: "middle"})
	}
	return out
}

// addKinds marks runs of one kind with a letter where there are several kinds.
func (s *layerStrip) addKinds(layers []document.Layer, width float64) {
	letters := map[string]string{}
	var words []string
	for _, l := range layers {
		if _, ok := letters[l.Kind]; !ok && len(letters) < 26 {
			letters[l.Kind] = string(rune('A' + len(letters)))
			words = append(words, letters[l.Kind]+" "+kindLabel(l.Kind))
		}
	}
	if len(letters) < 2 {
		return
	}
	for i := 0; i < len(layers); {
		j := i
		for j < len(layers) && layers[j].Kind == layers[i].Kind {
			j++
		}
		s.Kinds = append(s.Kinds, kindRun{X1: percent(float64(i) * width), X2: percent((float64(j) - 0.16) * width), Letter: letters[layers[i].Kind]})
		i = j
	}
	s.KindNote = "Kinds: " + strings.Join(words[:min(len(words), 8)], ", ") + "."
}

func (v *layersView) addRows(layers []document.Layer) {
	usual, _ := layerMedians(layers)
	for _, l := range layers {
		against := ratio(l.TimeNS, usual[l.Kind])
		rel := cell{Text: strconv.FormatFloat(against, 'f', 2, 64) + " ×", Num: true, Value: strconv.FormatFloat(against, 'f', 4, 64)}
		if l.Outlier {
			rel.Sub = "outlier"
		}
		n := countCell(int64(l.Index))
		n.Num = false
		v.Table.Rows = append(v.Table.Rows, row{Cells: []cell{n, phaseCell(l.Phase), textCell(kindLabel(l.Kind)),
			durCell(l.TimeNS), rel, textCell(partWords(sortedParts(l.Parts)))}})
	}
}

func kindLabel(kind string) string {
	if kind == "" {
		return "kind not known"
	}
	return clip(strings.ReplaceAll(kind, "_", " "), 40)
}

func sortedParts(parts []document.NameTime) []document.NameTime {
	out := slices.Clone(parts)
	slices.SortStableFunc(out, func(a, b document.NameTime) int { return orderOf(partOrder, a.Name) - orderOf(partOrder, b.Name) })
	return out
}

func partWords(parts []document.NameTime) string {
	var words []string
	for _, p := range parts[:min(len(parts), 10)] {
		words = append(words, partLabel(p.Name)+" "+thin(figures.Dur(p.TimeNS)))
	}
	return strings.Join(words, ", ")
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
		slices.Sort(v)
		out[k] = v[(len(v)-1)/2] // as outliers are told: by the lower middle of two
	}
	return out, top
}

func layerWord(layer int) string {
	if layer < 0 {
		return ""
	}
	return strconv.Itoa(layer)
}

// layerKind is the kind of one layer of a phase, "" when the document has none.
func layerKind(a *document.Analysis, phase string, layer int) string {
	for _, l := range a.Layers {
		if l.Phase == phase && l.Index == layer {
			return kindLabel(l.Kind)
		}
	}
	return ""
}
