package page

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"tokprof/report/document"
)

// kernelList is the kernel table.
type kernelList struct {
	Note   string
	Groups []string
	Rows   []kernelEntry
	Others *kernelEntry
	Count  int
}

// kernelEntry is one row of it.
type kernelEntry struct {
	Index                   int
	Short, Name, What, Rule string
	Group, Class            string
	Roles, Tags, Phases     string
	Launches, Total, Share  cell
	Median, P99, Exposed    cell
	MinMax, Graph           string
}

func kernelTable(a *document.Analysis, lex *lexicon, caps limits) *kernelList {
	if len(a.Kernels) == 0 {
		return nil
	}
	t := &kernelList{Count: len(a.Kernels)}
	shown := a.Kernels[:min(len(a.Kernels), caps.kernelRows)]
	names := make([]string, 0, len(shown))
	for i := range shown {
		names = append(names, shown[i].Name)
	}
	long := fitTexts(names, 5000, caps.nameBytes)
	for i := range shown {
		r := kernelRow(&shown[i], lex.kernelPart(int32(i)), lex, long, caps.kernels)
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
		o := kernelEntry{Short: fmt.Sprintf("%s other kernels together", thin(document.FormatCount(int64(len(rest))))), Class: "c-other",
			Launches: countCell(sum.Launches), Total: durCell(sum.TotalNS), Share: shareCell(sum.Share, "c-other"),
			Median: noCell(), P99: noCell(), Exposed: durCell(sum.ExposedNS)}
		t.Others = &o
		t.Note = fmt.Sprintf("The %d largest of %s.", len(shown), thin(document.FormatCount(int64(len(a.Kernels)))))
	}
	return t
}

func kernelRow(k *document.Kernel, part string, lex *lexicon, long int, texts *textBudget) kernelEntry {
	r := kernelEntry{
		Short: texts.take(kernelName(k), 90), Name: clip(k.Name, long),
		Group: texts.take(k.Group, 30), What: texts.take(k.Group+"."+k.Subgroup, 60), Class: colourClass(part),
		Rule: texts.take(k.Rule, 60), Tags: texts.take(strings.Join(k.Tags, ", "), 120),
		Launches: countCell(k.Launches), Total: durCell(k.TotalNS), Share: shareCell(k.Share, colourClass(part)),
		Median: durCell(k.MedianNS), P99: durCell(k.P99NS), Exposed: durCell(k.ExposedNS),
		MinMax: thin(document.FormatDur(k.MinNS)) + " to " + thin(document.FormatDur(k.MaxNS)),
		Graph:  thin(document.FormatShare(ratio(k.GraphNS, k.TotalNS))),
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
		s := clip(x.Role, 30)
		if len(k.Roles) > 1 {
			s += " " + thin(document.FormatShare(ratio(x.TimeNS, k.TotalNS)))
		}
		roles = append(roles, s)
	}
	for i, x := range k.Phases {
		if i == 6 {
			break
		}
		phases = append(phases, lex.phase(x.Phase)+" "+thin(document.FormatDur(x.TimeNS))+" in "+strconv.FormatInt(x.Launches, 10))
	}
	r.Roles, r.Phases = texts.take(strings.Join(roles, ", "), 160), texts.take(strings.Join(phases, "; "), 300)
	return r
}

// commView is the collectives with what splits their time.
type commView struct {
	Intro, Note string
	Bars        []barBlock
	Keys        []colourKey
	Table       *table
}

func commSection(cs []document.Collective, texts *textBudget) *commView {
	if len(cs) == 0 {
		return nil
	}
	v := &commView{Table: commTable(cs), Intro: commIntro(cs)}
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
		v.Note = fmt.Sprintf("%s runs had %s: their time is not split and stays “comm” in the tables above.", thin(document.FormatCount(alone)), why)
	}
	return v
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
		b := bar{Label: name, Total: thin(document.FormatDur(total)), Desc: name + " by " + kernel + ", all ranks: " + thin(document.FormatDur(total))}
		var at int64
		for _, p := range []document.NameTime{{Name: "transfer", TimeNS: c.TransferSumNS}, {Name: "waiting", TimeNS: c.WaitSumNS}} {
			if p.TimeNS <= 0 {
				continue
			}
			seen[p.Name] = true
			share := thin(document.FormatShare(ratio(p.TimeNS, total)))
			seg := segment(p.Name, at, p.TimeNS, float64(scale))
			seg.First = at == 0
			seg.Tip = fmt.Sprintf("%s in %s by %s: %s, %s of it", p.Name, name, kernel, thin(document.FormatDur(p.TimeNS)), share)
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
type commColumns struct{ bytes, rates, ranks, alone bool }

func commTable(cs []document.Collective) *table {
	var has commColumns
	for _, c := range cs {
		has.bytes = has.bytes || c.Bytes > 0
		has.rates = has.rates || c.BusBW > 0 || c.Ceiling > 0
		has.ranks = has.ranks || !c.Estimated
		has.alone = has.alone || c.Unmatched > 0
	}
	t := &table{Caption: "Collectives by kind and kernel", Sort: true, Cols: cols("Kind", "Kernel", "#Count", "#Ranks")}
	add := func(on bool, labels ...string) {
		if on {
			t.Cols = append(t.Cols, cols(labels...)...)
		}
	}
	add(has.bytes, "#Size")
	add(true, "#Transfer, median", "#Waiting, median")
	add(has.ranks, "#Skew, median")
	add(true, "#Transfer, total", "#Waiting, total")
	add(has.ranks, "Waited for")
	add(has.rates, "#Bus bandwidth", "#Ceiling")
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
	add(has.bytes, known(c.Bytes > 0, bytesCell(c.Bytes)))
	add(true, spreadCell(c.TransferNS), spreadCell(c.WaitNS))
	add(has.ranks, known(!c.Estimated, spreadCell(c.SkewNS)))
	add(true, durCell(c.TransferSumNS), durCell(c.WaitSumNS))
	add(has.ranks, textCell(lateWords(c.Late)))
	add(has.rates, known(c.BusBW > 0, rateCell(c.BusBW)), known(c.Ceiling > 0, rateCell(c.Ceiling)))
	add(has.alone, countCell(c.Unmatched))
	return r
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
	c.Sub = "p99 " + thin(document.FormatDur(s.P99))
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
		words = append(words, fmt.Sprintf("rank\u00a0%d %s", l.Rank, thin(document.FormatShare(l.Share))))
	}
	return strings.Join(words, ", ")
}
