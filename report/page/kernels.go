package page

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"tokprof/report/document"
	"tokprof/report/figures"
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
	t := &kernelList{Count: len(a.Kernels), Note: outsideWhole(a)}
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
		o := kernelEntry{Short: fmt.Sprintf("%s other kernels together", thin(figures.Count(int64(len(rest))))), Class: "c-other",
			Launches: countCell(sum.Launches), Total: durCell(sum.TotalNS), Share: shareCell(sum.Share, "c-other"),
			Median: noCell(), P99: noCell(), Exposed: durCell(sum.ExposedNS)}
		t.Others = &o
		t.Note = strings.TrimSpace(fmt.Sprintf("The %d largest of %s. %s", len(shown), thin(figures.Count(int64(len(a.Kernels)))), t.Note))
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
		MinMax: thin(figures.Dur(k.MinNS)) + " to " + thin(figures.Dur(k.MaxNS)),
		Graph:  thin(figures.Percent(ratio(k.GraphNS, k.TotalNS))),
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
			s += " " + thin(figures.Percent(ratio(x.TimeNS, k.TotalNS)))
		}
		roles = append(roles, s)
	}
	for i, x := range k.Phases {
		if i == 6 {
			break
		}
		phases = append(phases, lex.phase(x.Phase)+" "+thin(figures.Dur(x.TimeNS))+" in "+strconv.FormatInt(x.Launches, 10))
	}
	r.Roles, r.Phases = texts.take(strings.Join(roles, ", "), 160), texts.take(strings.Join(phases, "; "), 300)
	return r
}
