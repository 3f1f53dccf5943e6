package page

import (
	"fmt"
	"slices"
	"strings"

	"tokprof/report/document"
)

// rolePart says which part of the model a role belongs to.
var rolePart = map[string]string{
	"qkv_proj": "attention", "o_proj": "attention", "q": "attention", "kv_a": "attention", "kv_b": "attention",
	"linear_in_proj": "attention", "linear_out_proj": "attention",
	"gate_up": "ffn", "down": "ffn", "router": "ffn", "experts_gate_up": "ffn", "experts_down": "ffn",
	"shared_gate_up": "ffn", "shared_down": "ffn", "shared_expert_gate": "ffn",
	"lm_head": "head", "embedding": "head", "sampling": "head",
}

// kernelPart is the part that most of a kernel's time belongs to; it colours
// the kernel in the flame graph and the timeline. A collective is "comm": its
// split into transfer and waiting belongs to single events.
func kernelPart(k *document.Kernel) string {
	switch k.Group {
	case "comm", "attention", "ffn":
		return k.Group
	}
	best, most, known := "", int64(0), int64(0)
	sums := map[string]int64{}
	for _, r := range k.Roles {
		p, ok := rolePart[r.Role]
		if !ok {
			continue
		}
		known += r.TimeNS
		sums[p] += r.TimeNS
		if sums[p] > most {
			best, most = p, sums[p]
		}
	}
	if best != "" && known*2 >= k.TotalNS {
		return best
	}
	switch {
	case k.Group == "gemm":
		return "unattributed"
	case k.Subgroup == "sampling" || k.Subgroup == "lm_head" || k.Subgroup == "embedding":
		return "head"
	}
	return "other"
}

// flamePathRows is the number of paths in the table under the flame graph.
const flamePathRows = 30

// view is the flame graph in words and as a table of its largest paths.
func (t *flameTree) view() *htmlFlame {
	root := &t.nodes[0]
	v := &htmlFlame{
		Total:  htmlThin(document.FormatDur(root.total[0])) + " in " + htmlThin(document.FormatCount(root.total[2])) + " launches",
		Frames: len(t.nodes),
	}
	if t.cut > 0 {
		v.Note = fmt.Sprintf("%s small frames are drawn together as “other”; widths still add up to the whole.", htmlThin(document.FormatCount(int64(t.cut))))
	}
	parts, groups := map[string]bool{}, map[string]bool{}
	var leaves []int
	for i := range t.nodes {
		if n := &t.nodes[i]; n.kernel >= 0 {
			k := &t.doc.Kernels[n.kernel]
			parts[kernelPart(k)] = true
			groups[groupOrder[min(orderOf(groupOrder, k.Group), len(groupOrder)-1)]] = true
			leaves = append(leaves, i)
		} else if n.kind == "other" {
			leaves = append(leaves, i)
		}
	}
	v.Keys, v.Group = legendOf(parts, partOrder), legendOf(groups, groupOrder)
	slices.SortStableFunc(leaves, func(a, b int) int {
		return int(min(1, max(-1, t.nodes[b].total[0]-t.nodes[a].total[0])))
	})
	v.Paths = &htmlTable{Caption: "Largest paths of the flame graph", Cols: htmlCols("Path", "#Time", "#Share", "#Exposed", "#Launches")}
	for _, i := range leaves[:min(len(leaves), flamePathRows)] {
		n := &t.nodes[i]
		share := htmlRatio(n.total[0], root.total[0])
		class := "c-other"
		if n.kernel >= 0 {
			class = colourClass(kernelPart(&t.doc.Kernels[n.kernel]))
		}
		v.Paths.Rows = append(v.Paths.Rows, htmlRow{Cells: []htmlCell{{Text: t.pathText(i), Code: true},
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
		names = append(names, htmlClip(t.nodes[n].name, 60))
	}
	slices.Reverse(names)
	if n := len(names); n > 7 {
		names = append(append(names[:2:2], fmt.Sprintf("… %d …", n-6)), names[n-4:]...)
	}
	return strings.Join(names, " › ")
}
