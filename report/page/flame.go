package page

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"tokprof/report/document"
)

// The flame graph is a tree of phase → host frames or category → kernel. CUDA
// graphs recorded as a whole stand below their phase in a frame of their own:
// left out, a phase that ran in them would look like idle time. The line above
// the graph says how much of its width they are. It
// is cut to a bounded number of frames; what is cut stays in the picture as
// "other", so that every width still adds up to the document's sum.

// flameTypes are the sample types, in the order of flameNode.total.
var flameTypes = [3]string{"time", "exposed", "launches"}

// flameMinShare is the share of every sample type under which a frame of a
// large tree is cut.
const flameMinShare = 1.0 / 20000

// flameSmall is the number of frames that is always drawn whole.
const flameSmall = 1500

type flameNode struct {
	parent int32
	kernel int32  // -1 when not a kernel
	part   string // of a kernel; of a whole graph wholePart
	role   string // of a kernel, "" when unknown
	kind   string
	name   string
	self   [3]int64
	total  [3]int64
	frames int // merged into an "other" node
}

type flameTree struct {
	doc   *document.Analysis
	lex   *lexicon
	nodes []flameNode
	cut   int // frames merged into "other" nodes
}

// flameView is what the template shows of the flame graph.
type flameView struct {
	Total, Note string
	Frames      int
	Paths       *table
	Keys, Group []colourKey
}

type flameKey struct {
	parent     int32
	kernel     int32
	kind, name string
	part, role string
}

// newFlame builds, cuts and orders the tree.
func newFlame(a *document.Analysis, lex *lexicon, caps limits) *flameTree {
	t := &flameTree{doc: a, lex: lex}
	t.build()
	t.addUp()
	t.prune(caps.flameNodes)
	t.order()
	return t
}

func (t *flameTree) build() {
	st := &t.doc.Stacks
	t.nodes = []flameNode{{parent: -1, kernel: -1, kind: "root", name: "all"}}
	index := map[flameKey]int32{}
	child := func(k flameKey) int32 {
		if i, ok := index[k]; ok {
			return i
		}
		i := int32(len(t.nodes))
		t.nodes = append(t.nodes, flameNode{parent: k.parent, kernel: k.kernel, kind: k.kind, name: k.name, part: k.part, role: k.role})
		index[k] = i
		return i
	}
	type place struct {
		node  int32
		phase string
	}
	phase := func(p string) int32 {
		return child(flameKey{parent: 0, kernel: -1, kind: "phase", name: t.lex.phase(p)})
	}
	for i := range st.Whole {
		w := &st.Whole[i]
		at := child(flameKey{parent: phase(w.Phase), kernel: -1, kind: "category", name: document.WholeFrame})
		n := &t.nodes[child(flameKey{parent: at, kernel: -1, kind: "replays", name: st.WholeName(w), part: wholePart})]
		n.self[0] += w.TimeNS
		n.self[1] += w.ExposedNS
		n.self[2] += w.Runs
	}
	placed := map[place]int32{}
	for _, s := range st.Samples {
		at, ok := placed[place{s.Node, s.Phase}]
		if !ok {
			at = phase(s.Phase)
			for _, i := range framePath(st, s.Node) {
				f := &st.Nodes[i]
				if f.Kind != document.FramePhase {
					at = child(flameKey{parent: at, kernel: -1, kind: frameKinds[f.Kind], name: frameName(f)})
				}
			}
			placed[place{s.Node, s.Phase}] = at
		}
		leaf := flameKey{parent: at, kernel: s.Kernel, kind: "kernel", role: s.Role}
		if s.Kernel >= 0 && int(s.Kernel) < len(t.doc.Kernels) {
			leaf.name, leaf.part = kernelName(&t.doc.Kernels[s.Kernel]), t.lex.eventPart(s.Part, s.Kernel)
		} else {
			leaf.kernel, leaf.name = -1, "unknown kernel"
		}
		n := &t.nodes[child(leaf)]
		n.self[0] += s.TimeNS
		n.self[1] += s.ExposedNS
		n.self[2] += s.Launches
	}
}

// wholePart is the part of graphs recorded as a whole, and stands for their
// group too: what kernels ran in them nobody knows.
const wholePart = "graphs"

// framePath is the nodes from below the root to n. A node that names no parent
// before itself ends it, so that a damaged tree cannot loop.
func framePath(st *document.Stacks, n int32) []int32 {
	var p []int32
	for n > 0 && int(n) < len(st.Nodes) {
		p = append(p, n)
		if st.Nodes[n].Parent >= n {
			break
		}
		n = st.Nodes[n].Parent
	}
	slices.Reverse(p)
	return p
}

var frameKinds = map[document.FrameKind]string{
	document.FrameRoot: "root", document.FramePython: "Python", document.FrameModule: "module", document.FrameOp: "op",
	document.FrameRange: "range", document.FramePhase: "phase", document.FrameCategory: "category",
}

func frameName(f *document.Frame) string {
	if f.File == "" {
		return f.Name
	}
	file := f.File[strings.LastIndexAny(f.File, `/\`)+1:]
	if f.Line > 0 {
		return fmt.Sprintf("%s (%s:%d)", f.Name, file, f.Line)
	}
	return fmt.Sprintf("%s (%s)", f.Name, file)
}

func kernelName(k *document.Kernel) string {
	if k.ShortName != "" {
		return k.ShortName
	}
	return k.Name
}

// kernelWhat says what a kernel is and, where known, what it is for.
func kernelWhat(k *document.Kernel, role string) string {
	what := k.Group + "." + k.Subgroup
	if k.Group == "" {
		what = "unclassified"
	}
	if role != "" {
		what += ", " + role
	}
	return what
}

// addUp fills the totals; a parent stands before its children.
func (t *flameTree) addUp() {
	for i := range t.nodes {
		t.nodes[i].total = t.nodes[i].self
	}
	for i := len(t.nodes) - 1; i > 0; i-- {
		p := &t.nodes[t.nodes[i].parent]
		for k, v := range t.nodes[i].total {
			p.total[k] += v
		}
	}
}

// prune keeps the largest frames, at most about limit with their "other"
// siblings. A parent is never smaller than its child, so what is kept is a
// tree.
func (t *flameTree) prune(limit int) {
	weight := make([]float64, len(t.nodes))
	byWeight := make([]int32, len(t.nodes))
	for i := range t.nodes {
		byWeight[i] = int32(i)
		for k, v := range t.nodes[i].total {
			weight[i] = max(weight[i], ratio(v, t.nodes[0].total[k]))
		}
	}
	slices.SortStableFunc(byWeight, func(a, b int32) int { return cmp.Compare(weight[b], weight[a]) })
	keep := len(byWeight)
	if keep > flameSmall {
		for keep > flameSmall && weight[byWeight[keep-1]] < flameMinShare {
			keep--
		}
	}
	// Each kept frame may get one "other" child.
	if keep < len(byWeight) || keep > limit {
		keep = min(keep, max(limit/2, 1))
	}
	if keep == len(byWeight) {
		return
	}
	kept := make([]bool, len(t.nodes))
	for _, i := range byWeight[:keep] {
		kept[i] = true
	}
	t.merge(kept)
}

// merge joins the frames that are not kept into one "other" per parent.
func (t *flameTree) merge(kept []bool) {
	old := t.nodes
	moved := make([]int32, len(old)) // new index, or that of the "other" it went into
	other := map[int32]int32{}
	t.nodes = nil
	for i, n := range old {
		if kept[i] {
			moved[i] = int32(len(t.nodes))
			if n.parent >= 0 {
				n.parent = moved[n.parent]
			}
			t.nodes = append(t.nodes, n)
			continue
		}
		t.cut++
		at := moved[n.parent]
		if kept[n.parent] {
			o, ok := other[at]
			if !ok {
				o = int32(len(t.nodes))
				other[at] = o
				t.nodes = append(t.nodes, flameNode{parent: at, kernel: -1, kind: "other"})
			}
			at = o
		}
		moved[i] = at
		t.nodes[at].frames++
		for k, v := range n.self {
			t.nodes[at].self[k] += v
		}
	}
	for i := range t.nodes {
		if n := &t.nodes[i]; n.kind == "other" {
			n.name = fmt.Sprintf("other (%d frames)", n.frames)
		}
	}
	t.addUp()
}

// order puts the nodes in the order of drawing: parents first, larger
// siblings before smaller ones, "other" last.
func (t *flameTree) order() {
	kids := make([][]int32, len(t.nodes))
	for i := 1; i < len(t.nodes); i++ {
		kids[t.nodes[i].parent] = append(kids[t.nodes[i].parent], int32(i))
	}
	for _, k := range kids {
		slices.SortStableFunc(k, func(a, b int32) int {
			x, y := &t.nodes[a], &t.nodes[b]
			if (x.kind == "other") != (y.kind == "other") {
				if x.kind == "other" {
					return 1
				}
				return -1
			}
			return cmp.Or(cmp.Compare(y.total[0], x.total[0]), cmp.Compare(y.total[2], x.total[2]), cmp.Compare(x.name, y.name))
		})
	}
	sorted := make([]flameNode, 0, len(t.nodes))
	stack := []int32{0}
	moved := make([]int32, len(t.nodes))
	for len(stack) > 0 {
		i := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		n := t.nodes[i]
		moved[i] = int32(len(sorted))
		if n.parent >= 0 {
			n.parent = moved[n.parent]
		}
		sorted = append(sorted, n)
		for _, c := range slices.Backward(kids[i]) {
			stack = append(stack, c)
		}
	}
	t.nodes = sorted
}

// flameColumns is the tree as the script reads it: a column per field, texts,
// kinds and colours by index, own values only (totals are theirs added up).
type flameColumns struct {
	Texts  []string   `json:"texts"`
	Kinds  []string   `json:"kinds"`
	Parts  []string   `json:"parts"`
	Groups []string   `json:"groups"`
	Labels []string   `json:"labels"` // category and role in words
	Paints [][3]int   `json:"paints"` // part, group and label of a kernel or whole graph
	Types  [3]string  `json:"types"`
	Parent []int32    `json:"parent"`
	Name   []int      `json:"name"`
	Kind   []int      `json:"kind"`
	Paint  []int      `json:"paint"` // -1: neither kernel nor whole graph
	Values [3][]int64 `json:"values"`
}

func (t *flameTree) columns(caps limits) flameColumns {
	c := flameColumns{Parts: partOrder, Groups: append(slices.Clone(groupOrder), wholePart), Types: flameTypes, Paints: [][3]int{}}
	names := newIntern[string]()
	kinds := newIntern[string]()
	labels := newIntern[string]()
	paints := newIntern[[3]int]()
	for i := range t.nodes {
		n := &t.nodes[i]
		c.Parent = append(c.Parent, n.parent)
		c.Name = append(c.Name, names.index(n.name))
		c.Kind = append(c.Kind, kinds.index(n.kind))
		paint := -1
		if n.part == wholePart {
			paint = paints.index([3]int{orderOf(partOrder, n.part), len(groupOrder), labels.index("kernels not recorded")})
		} else if n.kernel >= 0 {
			k := &t.doc.Kernels[n.kernel]
			paint = paints.index([3]int{orderOf(partOrder, n.part), min(orderOf(groupOrder, k.Group), len(groupOrder)-1), labels.index(kernelWhat(k, n.role))})
		}
		c.Paint = append(c.Paint, paint)
		for k, v := range n.self {
			c.Values[k] = append(c.Values[k], v)
		}
	}
	long := fitTexts(names.list, 160, caps.flameBytes)
	for i, s := range names.list {
		names.list[i] = clip(s, long)
	}
	for i, s := range labels.list {
		labels.list[i] = caps.charts.take(s, 80)
	}
	c.Texts, c.Kinds, c.Labels = names.list, kinds.list, labels.list
	c.Paints = append(c.Paints, paints.list...)
	return c
}

// intern numbers values in the order of their first appearance.
type intern[T comparable] struct {
	list []T
	seen map[T]int
}

func newIntern[T comparable]() *intern[T] { return &intern[T]{list: []T{}, seen: map[T]int{}} }

func (n *intern[T]) index(v T) int {
	i, ok := n.seen[v]
	if !ok {
		i = len(n.list)
		n.seen[v] = i
		n.list = append(n.list, v)
	}
	return i
}
