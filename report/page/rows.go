package page

import (
	"fmt"
	"sort"

	"tokprof/report/document"
)

// rowBars draws the rows of each phase as one bar of 100 %.
func rowBars(id string, rows []document.Row, order []string) ([]htmlBars, []htmlKey) {
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
	htmlSortPhases(phases)
	seen := map[string]bool{}
	block := htmlBars{ID: id}
	for _, p := range phases[:min(len(phases), htmlMaxBars)] {
		block.Bars = append(block.Bars, rowBar(p, byPhase[p], order, seen))
	}
	return []htmlBars{block}, legendOf(seen, order)
}

func rowBar(phase string, rows []document.Row, order []string, seen map[string]bool) htmlBar {
	var total int64
	for _, r := range rows {
		total += r.TimeNS
	}
	sort.SliceStable(rows, func(i, j int) bool { return orderOf(order, rows[i].Name) < orderOf(order, rows[j].Name) })
	label := htmlPhaseLabel(phase)
	bar := htmlBar{Label: label, Total: htmlThin(document.FormatDur(total)), Desc: label + ": " + htmlThin(document.FormatDur(total)) + " of kernels and copies"}
	var at int64
	for i, r := range rows {
		if len(bar.Segs) == 24 {
			break
		}
		seen[r.Name] = true
		share := htmlRatio(r.TimeNS, total)
		seg := segment(r.Name, at, r.TimeNS, float64(total))
		seg.First = i == 0
		seg.Tip = fmt.Sprintf("%s: %s, %s of %s, %s launches", partLabel(r.Name), htmlThin(document.FormatDur(r.TimeNS)),
			htmlThin(document.FormatShare(share)), label, htmlThin(document.FormatCount(r.Launches)))
		if share > 0.1 {
			seg.Label = partLabel(r.Name) + " " + htmlThin(document.FormatShare(share))
		} else if share > 0.05 {
			seg.Label = htmlThin(document.FormatShare(share))
		}
		bar.Segs = append(bar.Segs, seg)
		at += r.TimeNS
	}
	return bar
}

func legendOf(seen map[string]bool, order []string) []htmlKey {
	names := make([]string, 0, len(seen))
	for n := range seen {
		names = append(names, n)
	}
	sortNames(names, order)
	var keys []htmlKey
	for _, n := range names[:min(len(names), 16)] {
		keys = append(keys, htmlKey{Class: colourClass(n), Name: partLabel(n)})
	}
	return keys
}
