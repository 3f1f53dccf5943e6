package page

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"tokprof/report/document"
	"tokprof/report/figures"
)

// commView is the collectives with what splits their time.
type commView struct {
	Intro, Note, Links string
	Warning            string
	Bars               []barBlock
	Keys               []colourKey
	Table, Speeds      *table
}

func commSection(a *document.Analysis, texts *textBudget) *commView {
	cs := a.Collectives
	if len(cs) == 0 {
		return nil
	}
	v := &commView{Table: commTable(cs), Speeds: speedTable(cs), Intro: commIntro(cs)}
	for _, c := range cs {
		if v.Warning == "" && c.Warning != "" {
			v.Warning = sentence(clip(c.Warning, 500))
		}
	}
	for _, t := range a.Trust {
		if t.Code == "link_bytes" {
			v.Links = sentence(clip(t.Message, 400))
		}
	}
	v.Bars, v.Keys = commBars(cs, texts)
	var alone int64
	for _, c := range cs {
		alone += c.Unmatched
	}
	if alone > 0 {
		why := "no partner in another rank's file"
		if cs[0].Estimated {
			why = "too few equals to estimate from"
		}
		v.Note = fmt.Sprintf("%s runs had %s: their time is not split and stays “comm” in the tables above.", thin(figures.Count(alone)), why)
	}
	return v
}

// sentence writes a clause as a sentence.
func sentence(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:] + "."
}

// commIntro says what the two halves mean and how they were told apart.
func commIntro(cs []document.Collective) string {
	const means = "Time inside a collective is transfer, which every rank needs, and waiting for the rank that came last."
	ranks, estimated := 0, false
	for _, c := range cs {
		ranks = max(ranks, c.Ranks)
		estimated = estimated || c.Estimated
	}
	if estimated {
		return means + " Only one rank's file is here, so the split is an estimate: the shortest tenth of equal collectives counts as transfer, what others take longer as waiting, and for whom is not known."
	}
	return fmt.Sprintf("%s Each collective was matched over its ranks (at most %d) by its order in the step: the shortest run of it is transfer, what the others took longer is waiting.", means, ranks)
}

// commBars draws transfer and waiting of each row on one scale.
func commBars(cs []document.Collective, texts *textBudget) ([]barBlock, []colourKey) {
	var scale int64
	for _, c := range cs {
		scale = max(scale, c.TransferSumNS+c.WaitSumNS)
	}
	if scale <= 0 {
		return nil, nil
	}
	block := barBlock{Axis: axisTicks(scale)}
	seen := map[string]bool{}
	for _, c := range cs[:min(len(cs), 8)] {
		total := c.TransferSumNS + c.WaitSumNS
		if total <= 0 {
			continue
		}
		name, kernel := texts.take(commKind(c.Kind), 40), texts.take(c.Kernel, 60)
		b := bar{Label: name, Total: thin(figures.Dur(total)), Desc: name + " by " + kernel + ", all ranks: " + thin(figures.Dur(total))}
		var at int64
		for _, p := range []document.NameTime{{Name: "transfer", TimeNS: c.TransferSumNS}, {Name: "waiting", TimeNS: c.WaitSumNS}} {
			if p.TimeNS <= 0 {
				continue
			}
			seen[p.Name] = true
			share := thin(figures.Percent(ratio(p.TimeNS, total)))
			seg := segment(p.Name, at, p.TimeNS, float64(scale))
			seg.First = at == 0
			seg.Tip = fmt.Sprintf("%s in %s by %s: %s, %s of it", p.Name, name, kernel, thin(figures.Dur(p.TimeNS)), share)
			if ratio(p.TimeNS, scale) > 0.13 {
				seg.Label = p.Name + " " + share
			}
			b.Segs = append(b.Segs, seg)
			at += p.TimeNS
		}
		block.Bars = append(block.Bars, b)
	}
	return []barBlock{block}, legendOf(seen, partOrder)
}

func commKind(kind string) string { return clip(strings.ReplaceAll(kind, "_", "-"), 40) }

// commColumns says which columns have anything to show.
type commColumns struct{ ranks, alone bool }

func commTable(cs []document.Collective) *table {
	var has commColumns
	for _, c := range cs {
		has.ranks = has.ranks || !c.Estimated
		has.alone = has.alone || c.Unmatched > 0
	}
	t := &table{Caption: "Collectives by kind and kernel", Sort: true, Cols: cols("Kind", "Kernel", "#Count", "#Ranks")}
	add := func(on bool, labels ...string) {
		if on {
			t.Cols = append(t.Cols, cols(labels...)...)
		}
	}
	add(true, "#Transfer, median", "#Waiting, median")
	add(has.ranks, "#Skew, median")
	add(true, "#Transfer, total", "#Waiting, total")
	add(has.ranks, "Waited for")
	add(has.alone, "#Not split")
	for _, c := range cs {
		t.Rows = append(t.Rows, commRow(c, has))
	}
	return t
}

func commRow(c document.Collective, has commColumns) row {
	kind, kernel := textCell(commKind(c.Kind)), textCell(clip(c.Kernel, 120))
	kernel.Code = true
	if c.Estimated {
		kind.Sub = "estimate"
	}
	r := row{Cells: []cell{kind, kernel, countCell(c.Count), countCell(int64(c.Ranks))}}
	add := func(on bool, cells ...cell) {
		if on {
			r.Cells = append(r.Cells, cells...)
		}
	}
	add(true, spreadCell(c.TransferNS), spreadCell(c.WaitNS))
	add(has.ranks, known(!c.Estimated, spreadCell(c.SkewNS)))
	add(true, durCell(c.TransferSumNS), durCell(c.WaitSumNS))
	add(has.ranks, textCell(lateWords(c.Late)))
	add(has.alone, countCell(c.Unmatched))
	return r
}

// ofCeiling is how near a collective comes to what its path can carry; small
// messages are bound by latency, whatever that is.
func ofCeiling(percent float64, latency bool) cell {
	switch {
	case latency:
		return cell{Text: "latency-bound", Num: true, Value: "-1"}
	case percent <= 0:
		return noCell()
	}
	return shareCell(percent/100, "c-transfer")
}

// speedTable has a row per collective and message size: large ones against the
// ceiling, small ones against the best of their size. Nil where no size is known.
func speedTable(cs []document.Collective) *table {
	t := &table{Caption: "How fast messages go", Sort: true, Cols: cols("Kind", "Kernel", "#Size", "#Count", "#Transfer, median", "#Over the best", "#Bus bandwidth", "#Of the ceiling")}
	var ceilings []string
	how := ""
	for _, c := range cs {
		for i, s := range c.Sizes {
			t.Rows = append(t.Rows, row{Cells: append(speedHead(c, i > 0), speedCells(s)...)})
		}
		if c.BytesHow != "" {
			how = c.BytesHow
		}
		if w := ceilingWords(c); w != "" && !slices.Contains(ceilings, w) {
			ceilings = append(ceilings, w)
		}
	}
	if len(t.Rows) == 0 {
		return nil
	}
	t.Note = strings.Join(append(ceilings, "Below 1 MiB latency rules, and what counts is the time over the best that was seen for the size.", bytesWords(how)), " ")
	return t
}

func speedHead(c document.Collective, again bool) []cell {
	kind, kernel := textCell(commKind(c.Kind)), textCell(clip(c.Kernel, 120))
	kernel.Code = !again
	kind.Again, kernel.Again = again, again
	if !again {
		kernel.Sub = clip(c.Algorithm, 40)
	}
	return []cell{kind, kernel}
}

func speedCells(s document.CollectiveSize) []cell {
	size := bytesCell(s.Bytes)
	if s.MinBytes < s.MaxBytes {
		size.Sub = thin(figures.Bytes(s.MinBytes)) + "–" + thin(figures.Bytes(s.MaxBytes))
	}
	over := noCell()
	if s.BestNS > 0 {
		f := float64(s.TransferNS.Median) / float64(s.BestNS)
		over = cell{Text: "× " + formatFloat(f), Num: true, Value: strconv.FormatFloat(f, 'g', -1, 64)}
	}
	return []cell{size, countCell(s.Count), spreadCell(s.TransferNS), over, known(s.BusBW > 0, rateCell(s.BusBW)), ofCeiling(s.Percent, s.LatencyBound)}
}

// ceilingWords say what the ceiling rests on, or why there is none.
func ceilingWords(c document.Collective) string {
	switch {
	case c.CeilingHow == "":
		return ""
	case c.Ceiling <= 0:
		return "No ceiling: " + clip(c.CeilingHow, 200) + "."
	}
	return fmt.Sprintf("The ceiling is %s, %s, one direction; the wires carry %s.", thin(figures.Rate(c.Ceiling)), clip(c.CeilingHow, 200), thin(figures.Rate(c.Physical)))
}

// bytesWords says how sizes are known.
func bytesWords(how string) string {
	const tokens, padding = "the step's tokens × the width of ", ", without a CUDA graph's padding"
	var words []string
	for _, known := range []struct{ by, words string }{
		{"args", "what the kernel's own args say"},
		{"shapes", "the input that the op recorded"},
		{"config", tokens + "the model's config" + padding},
		{"weights", tokens + "the weights" + padding},
	} {
		if strings.Contains(how, known.by) {
			words = append(words, known.words)
		}
	}
	if len(words) == 0 {
		return ""
	}
	return "Sizes are " + strings.Join(words, ", or ") + "."
}

// known is a cell, or a dash where its number is not known.
func known(is bool, c cell) cell {
	if is {
		return c
	}
	return noCell()
}

// spreadCell is a median with the tail beside it.
func spreadCell(s document.Spread) cell {
	c := durCell(s.Median)
	c.Sub = "p99 " + thin(figures.Dur(s.P99))
	return c
}

// lateWords names the ranks that the others waited for.
func lateWords(late []document.LateRank) string {
	if len(late) == 0 {
		return "nobody"
	}
	var words []string
	for i, l := range late {
		if i == 4 {
			words = append(words, fmt.Sprintf("%d more", len(late)-i))
			break
		}
		words = append(words, fmt.Sprintf("rank\u00a0%d %s", l.Rank, thin(figures.Percent(l.Share))))
	}
	return strings.Join(words, ", ")
}
