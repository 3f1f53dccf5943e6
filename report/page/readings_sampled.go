package page

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"tokprof/report/document"
	"tokprof/report/figures"
)

// samplesNote says how the profiler sampled.
func samplesNote(a *document.Analysis) string {
	s := a.Samples
	note := "Nsight Systems sampled metrics"
	var periods []int64
	for _, x := range s.Series {
		if x.PeriodNS > 0 {
			periods = append(periods, x.PeriodNS)
		}
	}
	if len(periods) > 0 {
		low, high := slices.Min(periods), slices.Max(periods)
		note += " every " + thin(figures.Dur(low))
		// The clock of the samples is not even to the nanosecond.
		if to := thin(figures.Dur(high)); high > low && to != thin(figures.Dur(low)) {
			note += "–" + to
		}
		if stepsBelow(a, high) {
			note += ", which is longer than some steps"
		}
	}
	note += "; it numbers GPUs in its own way, neither as the driver nor as CUDA does."
	if s.LeftOut > 0 {
		note += " Left out are " + countOf(int64(s.LeftOut), "metric") + "."
	}
	return note
}

// sampledTables list all series over the window and by phase: those that
// drawings pick out, and the others.
func sampledTables(a *document.Analysis, lex *lexicon) (keyed, others *table) {
	var phases []string
	for _, x := range a.Samples.Series {
		for _, p := range x.Phases {
			if !slices.Contains(phases, p.Phase) && len(phases) < maxSampledPhases {
				phases = append(phases, p.Phase)
			}
		}
	}
	slices.SortStableFunc(phases, func(x, y string) int { return cmp.Compare(document.PhaseRank(x), document.PhaseRank(y)) })
	keyed, others = sampledTable("Sampled metrics", phases, lex), sampledTable("Other sampled metrics", phases, lex)
	names := portNames(a.Samples)
	for i := range a.Samples.Series {
		x := &a.Samples.Series[i]
		t := others
		if x.Key != "" {
			t = keyed
		}
		t.Rows = append(t.Rows, sampledRow(x, names[portOf(x)], phases))
	}
	return filled(keyed), filled(others)
}

// maxSampledPhases bounds the columns.
const maxSampledPhases = 6

func filled(t *table) *table {
	if len(t.Rows) == 0 {
		return nil
	}
	return t
}

func sampledTable(caption string, phases []string, lex *lexicon) *table {
	t := &table{Caption: caption, Note: "Means by time, over the window and over the steps of a phase.", Cols: cols("Of", "Rank", "Metric", "#Samples", "#Window")}
	for _, p := range phases {
		t.Cols = append(t.Cols, column{Label: clip(lex.stepPhase(p), 20), Num: true})
	}
	return t
}

func sampledRow(x *document.SampledSeries, name string, phases []string) row {
	window := levelCell(&x.Level)
	if x.CoveredShare > 0 && x.CoveredShare < 0.995 {
		window.Sub = strings.TrimPrefix(window.Sub+"; of "+thin(figures.Percent(x.CoveredShare))+" of it", "; ")
	}
	cells := []cell{textCell(name), ownersCell(x), textCell(clip(x.Metric, 120)), countCell(int64(x.Samples)), window}
	for _, phase := range phases {
		c := unlessKnown(false, "")
		if i := slices.IndexFunc(x.Phases, func(p document.PhaseSample) bool { return p.Phase == phase }); i >= 0 {
			c = phaseMeanCell(&x.Phases[i])
		}
		cells = append(cells, c)
	}
	return row{Cells: cells}
}

// noMean says in short why a phase has no mean.
var noMean = map[string]string{"not_covered": "not sampled", "short_steps": "short steps"}

func phaseMeanCell(p *document.PhaseSample) cell {
	if p.Mean == nil {
		c := unlessKnown(false, "")
		c.Sub = noMean[p.Why]
		return c
	}
	return cell{Text: plainNumber(*p.Mean), Num: true, Value: strconv.FormatFloat(*p.Mean, 'g', 4, 64)}
}

// howOwned says how the ranks of a sampled GPU are known.
var howOwned = map[string]string{"device_table": "by the export", "equal_number": "same number: an estimate"}

func ownersCell(x *document.SampledSeries) cell {
	var ranks []string
	for _, o := range x.Owners[:min(len(x.Owners), 8)] {
		ranks = append(ranks, strconv.Itoa(o.Rank))
	}
	switch {
	case len(ranks) > 0:
	case !strings.HasPrefix(x.Source, "GPU "):
		return textCell("–")
	case x.How == "":
		return textCell("n/a")
	default:
		return textCell("none")
	}
	c := textCell(strings.Join(ranks, ", "))
	if len(ranks) < len(x.Owners) {
		c.Text += ", …"
	}
	c.Sub = howOwned[x.How]
	return c
}
