package page

import (
	"fmt"
	"slices"
	"strings"

	"tokprof/report/figures"
)

// flamePathRows is the number of paths in the table under the flame graph.
const flamePathRows = 30

// view is the flame graph in words and as a table of its largest paths.
func (t *flameTree) view() *flameView {
	root := &t.nodes[0]
	v := &flameView{Total: t.totalWords(), Frames: len(t.nodes)}
	if t.cut > 0 {
		v.Note = fmt.Sprintf("%s small frames are drawn together as “other”; widths still add up to the whole.", thin(figures.Count(int64(t.cut))))
	}
	parts, groups := map[string]bool{}, map[string]bool{}
	var leaves []int
	for i := range t.nodes {
		if n := &t.nodes[i]; n.kernel >= 0 {
			k := &t.doc.Kernels[n.kernel]
			parts[n.part] = true
			groups[groupOrder[min(orderOf(groupOrder, k.Group), len(groupOrder)-1)]] = true
			leaves = append(leaves, i)
		} else if n.part == wholePart {
			parts[wholePart], groups[wholePart] = true, true
			leaves = append(leaves, i)
		} else if n.kind == "other" {
			leaves = append(leaves, i)
		}
	}
	v.Keys, v.Group = legendOf(parts, partOrder), legendOf(groups, append(slices.Clone(groupOrder), wholePart))
	slices.SortStableFunc(leaves, func(a, b int) int {
		return int(min(1, max(-1, t.nodes[b].total[0]-t.nodes[a].total[0])))
	})
	v.Paths = &table{Caption: "Largest paths of the flame graph", Cols: cols("Path", "#Time", "#Share", "#Exposed", "#Launches")}
	for _, i := range leaves[:min(len(leaves), flamePathRows)] {
		n := &t.nodes[i]
		share := ratio(n.total[0], root.total[0])
		class := "c-other"
		if n.part != "" {
			class = colourClass(n.part)
		}
		v.Paths.Rows = append(v.Paths.Rows, row{Cells: []cell{{Text: t.pathText(i), Code: true},
			durCell(n.total[0]), shareCell(share, class), durCell(n.total[1]), countCell(n.total[2])}})
	}
	if len(leaves) > flamePathRows {
		v.Paths.Note = fmt.Sprintf("%d of %d paths.", flamePathRows, len(leaves))
	}
	return v
}

// pathText is a path below the root, its middle left out when it is deep.
func (t *flameTree) pathText(i int) string {
	var names []string
	for n := int32(i); n > 0; n = t.nodes[n].parent {
		names = append(names, clip(t.nodes[n].name, 60))
	}
	slices.Reverse(names)
	if n := len(names); n > 7 {
		names = append(append(names[:2:2], fmt.Sprintf("… %d …", n-6)), names[n-4:]...)
	}
	return strings.Join(names, " › ")
}

// totalWords say what the width of the graph is, kernels and whole graphs apart.
func (t *flameTree) totalWords() string {
	events, launches, whole, runs := t.doc.Stacks.Totals()
	words := thin(figures.Dur(events)) + " in " + thin(figures.Count(launches)) + " launches"
	if runs == 0 {
		return words
	}
	return fmt.Sprintf("%s of kernels and copies + %s in %s whole CUDA graphs (hatched), whose kernels are not recorded: together the full width, %s",
		words, thin(figures.Dur(whole)), thin(figures.Count(runs)), thin(figures.Dur(events+whole)))
}
