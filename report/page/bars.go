package page

import (
	"fmt"
	"sort"
	"strconv"

	"tokprof/report/document"
	"tokprof/report/figures"
)

// Bars are drawn here as plain SVG in percent of the width: they need no
// script and print as they are.

// partOrder is how parts follow each other in every bar, legend and table.
var partOrder = []string{"attention", "ffn", "transfer", "waiting", "comm", "head", "other", "unattributed", "graphs", "idle"}

// groupOrder is the same for kernel groups.
var groupOrder = []string{"attention", "ffn", "gemm", "comm", "memory", "other"}

func partLabel(name string) string { return clip(name, 40) }

// colourClass names the colour of a part, group or leg of a request; an unknown name is "other".
func colourClass(name string) string {
	for _, known := range [][]string{requestOrder, groupOrder} {
		for _, k := range known {
			if k == name {
				return "c-" + name
			}
		}
	}
	return "c-other"
}

func orderOf(order []string, name string) int {
	for i, n := range order {
		if n == name {
			return i
		}
	}
	return len(order)
}

// barBlock is one block of bars on one scale.
type barBlock struct {
	ID, Title, Note string
	Axis            []tick
	Bars            []bar
}

type tick struct{ X, Text, Anchor string }

// bar is one stacked bar.
type bar struct {
	Label, Total, Desc string
	Segs               []barSegment
}

// barSegment is one segment; X and W are percent of the drawing's width.
type barSegment struct {
	Name, Class string
	X, W        string
	LX          string // where the label starts
	Label       string // "" when there is no room
	Tip         string
	NS          int64 // the exact time that the width stands for
	First       bool
}

// maxBars bounds the ranks drawn per phase; the table has them all.
const maxBars = 16

// addBars fills "where a step goes" and the groups below it.
func (w *window) addBars(a *document.Analysis, lex *lexicon) {
	means := document.StepMeans(a)
	if len(means) > 0 {
		var common bool
		w.Bars, w.Legend, common = stepBars(w.ID, means, lex)
		w.BarsTable = meansTable(means, lex)
		w.BarsNote = barsNote(means, common, a.PerGPU())
	} else {
		w.Bars, w.Legend = rowBars(w.ID+"-part", a.Parts, partOrder, lex)
		if len(w.Bars) > 0 {
			w.BarsNote = "Shares of the time in kernels and copies of each phase, all ranks together."
			w.BarsTable = rowTable("Time by part", a.Parts, partOrder, lex)
		}
	}
	if a.SummaryOnly() {
		w.NoSteps = "The input sums kernels up by name. Steps, phases, streams, layers, idle time and what overlaps are n/a, and so are the sections about them: they need single events, which nsys export --type sqlite writes."
	} else if len(a.Steps) == 0 {
		w.NoSteps = "No steps are annotated in this trace, so time is shown for the whole window and not per step. Engines write step annotations when their own profiler option is on."
	}
	w.GroupBars, w.GroupKeys = rowBars(w.ID+"-group", a.Groups, groupOrder, lex)
	if len(w.GroupBars) > 0 {
		w.Groups = rowTable("Time by kernel group", a.Groups, groupOrder, lex)
		w.Groups.Note = outsideWhole(a)
		w.Categories = rowTable("Time by category", a.Categories, nil, lex)
	}
}

// outsideWhole says where kernels are listed how much work they leave out, ""
// where none was recorded as a whole.
func outsideWhole(a *document.Analysis) string {
	events, _, whole, _ := a.Stacks.Totals()
	if whole == 0 {
		return ""
	}
	return fmt.Sprintf("Kernels and copies alone, %s: %s in whole CUDA graphs are in no row.", thin(figures.Dur(events)), thin(figures.Dur(whole)))
}

func barsNote(means []*document.StepMean, common, perGPU bool) string {
	note := "Mean over the steps of a phase. Idle runs until the next step starts."
	if perGPU {
		note += " Of a rank with several GPUs it is the mean of one."
	}
	if !common {
		note += " Each phase has its own scale."
	}
	var pauses int64
	for _, m := range means {
		pauses += m.Pauses
	}
	if pauses > 0 {
		are := "pauses between steps, longer than five usual steps, are"
		if pauses == 1 {
			are = "pause between steps, longer than five usual steps, is"
		}
		note += fmt.Sprintf(" %d %s left out.", pauses, are)
	}
	return note
}

// stepBars draws one bar per rank and phase. Phases share one scale unless
// that would make one unreadable.
func stepBars(id string, means []*document.StepMean, lex *lexicon) (blocks []barBlock, keys []colourKey, common bool) {
	top := map[string]int64{}
	var all, least int64
	for _, m := range means {
		t := m.Total() / m.Steps
		top[m.Phase] = max(top[m.Phase], t)
		all = max(all, t)
	}
	least = all
	for _, t := range top {
		least = min(least, t)
	}
	common = least*4 >= all
	seen := map[string]bool{}
	skipped := 0
	for i, m := range means {
		if n := len(blocks); n == 0 || means[i-1].Phase != m.Phase {
			scale := top[m.Phase]
			if common {
				scale = all
			}
			blocks = append(blocks, barBlock{ID: fmt.Sprintf("%s-bars%d", id, n), Title: capital(lex.stepPhase(m.Phase)), Axis: axisTicks(scale)})
			skipped = 0
		}
		b := &blocks[len(blocks)-1]
		if len(b.Bars) >= maxBars {
			skipped++
			b.Note = fmt.Sprintf("%d more ranks are in the table.", skipped)
			continue
		}
		scale := top[m.Phase]
		if common {
			scale = all
		}
		b.Bars = append(b.Bars, meanBar(m, scale, seen))
	}
	return blocks, legendOf(seen, partOrder), common
}

// meanBar lays the mean step out on a scale of ns.
func meanBar(m *document.StepMean, scale int64, seen map[string]bool) bar {
	names := make([]string, 0, len(m.Parts)+1)
	for n, v := range m.Parts {
		if v > 0 {
			names = append(names, n)
		}
	}
	if m.Idle > 0 {
		names = append(names, "idle")
	}
	sortNames(names, partOrder)
	total := m.Total()
	bar := bar{
		Label: fmt.Sprintf("rank %d", m.Rank),
		Total: thin(figures.Dur(total / m.Steps)),
	}
	bar.Desc = fmt.Sprintf("%s, rank %d: %s", capital(stepWord(m.Phase)), m.Rank, bar.Total)
	full := float64(scale) * float64(m.Steps)
	var at int64
	for i, n := range names {
		v := m.Parts[n]
		if n == "idle" {
			v = m.Idle
		}
		seen[n] = true
		mean, share := thin(figures.Dur(v/m.Steps)), thin(figures.Percent(ratio(v, total)))
		seg := segment(n, at, v, full)
		seg.First = i == 0
		seg.Tip = fmt.Sprintf("%s: %s a step, %s of the %s, rank %d", partLabel(n), mean, share, stepWord(m.Phase), m.Rank)
		if float64(v)/full > 0.075 {
			seg.Label = partLabel(n) + " " + mean
			if float64(v)/full < 0.13 {
				seg.Label = mean
			}
		}
		bar.Segs = append(bar.Segs, seg)
		at += v
	}
	return bar
}

func segment(name string, at, v int64, full float64) barSegment {
	x, w := 0.0, 0.0
	if full > 0 {
		x, w = float64(at)/full*100, float64(v)/full*100
	}
	return barSegment{Name: clip(name, 40), Class: colourClass(name), X: percent(x), W: percent(w), LX: percent(x + 0.5), NS: v}
}

func percent(f float64) string { return strconv.FormatFloat(f, 'f', 3, 64) + "%" }

func sortNames(names []string, order []string) {
	sort.Slice(names, func(i, j int) bool {
		if a, b := orderOf(order, names[i]), orderOf(order, names[j]); a != b {
			return a < b
		}
		return names[i] < names[j]
	})
}

// axisTicks marks zero and round values up to the scale.
func axisTicks(scale int64) []tick {
	if scale <= 0 {
		return nil
	}
	step := int64(1)
	for _, f := range []int64{1, 2, 5} {
		for s := f; s <= scale; s *= 10 {
			if scale/s >= 3 && s > step {
				step = s
			}
			if s > 1<<58 {
				break
			}
		}
	}
	var out []tick
	for v := int64(0); v <= scale; v += step {
		t := tick{X: percent(float64(v) / float64(scale) * 100), Text: tickText(v), Anchor: "middle"}
		if v == 0 {
			t.Anchor = "start"
		} else if float64(v) > float64(scale)*0.96 {
			t.Anchor = "end"
		}
		out = append(out, t)
	}
	return out
}

// tickText writes a round time without needless zeros.
func tickText(ns int64) string {
	units := []struct {
		d int64
		u string
	}{{1_000_000_000, "s"}, {1_000_000, "ms"}, {1000, "µs"}, {1, "ns"}}
	if ns == 0 {
		return "0"
	}
	for _, u := range units {
		if ns >= u.d {
			return strconv.FormatFloat(float64(ns)/float64(u.d), 'f', -1, 64) + "\u202f" + u.u
		}
	}
	return ""
}

// rowBars draws the rows of each phase as one bar of 100 %.
func rowBars(id string, rows []document.Row, order []string, lex *lexicon) ([]barBlock, []colourKey) {
	byPhase := map[string][]document.Row{}
	var phases []string
	for _, r := range rows {
		if r.TimeNS <= 0 {
			continue
		}
		if byPhase[r.Phase] == nil {
			phases = append(phases, r.Phase)
		}
		byPhase[r.Phase] = append(byPhase[r.Phase], r)
	}
	if len(phases) == 0 {
		return nil, nil
	}
	sortPhases(phases)
	phases = told(phases)
	seen := map[string]bool{}
	block := barBlock{ID: id}
	for _, p := range phases[:min(len(phases), maxBars)] {
		block.Bars = append(block.Bars, rowBar(lex.phase(p), byPhase[p], order, seen))
	}
	return []barBlock{block}, legendOf(seen, order)
}

func rowBar(label string, rows []document.Row, order []string, seen map[string]bool) bar {
	var total int64
	for _, r := range rows {
		total += r.TimeNS
	}
	sort.SliceStable(rows, func(i, j int) bool { return orderOf(order, rows[i].Name) < orderOf(order, rows[j].Name) })
	bar := bar{Label: label, Total: thin(figures.Dur(total)), Desc: label + ": " + thin(figures.Dur(total)) + " of kernels and copies"}
	var at int64
	for i, r := range rows {
		if len(bar.Segs) == 24 {
			break
		}
		seen[r.Name] = true
		share := ratio(r.TimeNS, total)
		seg := segment(r.Name, at, r.TimeNS, float64(total))
		seg.First = i == 0
		seg.Tip = fmt.Sprintf("%s: %s, %s of %s, %s launches", partLabel(r.Name), thin(figures.Dur(r.TimeNS)),
			thin(figures.Percent(share)), label, thin(figures.Count(r.Launches)))
		if share > 0.1 {
			seg.Label = partLabel(r.Name) + " " + thin(figures.Percent(share))
		} else if share > 0.05 {
			seg.Label = thin(figures.Percent(share))
		}
		bar.Segs = append(bar.Segs, seg)
		at += r.TimeNS
	}
	return bar
}

func legendOf(seen map[string]bool, order []string) []colourKey {
	names := make([]string, 0, len(seen))
	for n := range seen {
		names = append(names, n)
	}
	sortNames(names, order)
	var keys []colourKey
	for _, n := range names[:min(len(names), 16)] {
		keys = append(keys, colourKey{Class: colourClass(n), Name: clip(n, 24)})
	}
	return keys
}
