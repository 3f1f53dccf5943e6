package nvml

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Path says how two devices of a host reach each other, in the words of
// nvidia-smi topo -m: X, NV# (# bonded NVLinks), PIX, PXB, PHB, NODE or SYS;
// empty where it is not known.
type Path string

// The paths other than NVLinks, best first.
const (
	PathSelf Path = "X"
	PathPIX  Path = "PIX"
	PathPXB  Path = "PXB"
	PathPHB  Path = "PHB"
	PathNode Path = "NODE"
	PathSys  Path = "SYS"
)

// PathNVLinks is the path over a number of NVLinks.
func PathNVLinks(n int) Path { return Path("NV" + strconv.Itoa(n)) }

// nvlinks counts the NVLinks from one GPU to another, straight or through
// NVSwitches where both have links to some and reach each other; "" without any.
func nvlinks(from, to []end, pci string, reach func() bool) Path {
	straight, switched := 0, 0
	for _, e := range from {
		switch {
		case e.isSwitch:
			switched++
		case samePCI(e.pci, pci):
			straight++
		}
	}
	switch {
	case straight > 0:
		return PathNVLinks(straight)
	case switched > 0 && slices.ContainsFunc(to, func(e end) bool { return e.isSwitch }) && reach():
		return PathNVLinks(switched)
	}
	return ""
}

// NVLinks is how many NVLinks a path bonds, 0 for any other path.
func (p Path) NVLinks() int {
	digits, ok := strings.CutPrefix(string(p), "NV")
	if !ok {
		return 0
	}
	n, err := strconv.Atoi(digits)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// Meaning says in a few words what a path crosses.
func (p Path) Meaning() string {
	switch p {
	case PathSelf:
		return "the device itself"
	case PathPIX:
		return "at most one PCIe bridge"
	case PathPXB:
		return "several PCIe bridges, no host bridge"
	case PathPHB:
		return "a PCIe host bridge, typically the CPU"
	case PathNode:
		return "the link between host bridges of one NUMA node"
	case PathSys:
		return "the link between NUMA nodes (QPI, UPI, xGMI)"
	case "":
		return "not known"
	}
	if n := p.NVLinks(); n > 0 {
		return fmt.Sprintf("%d bonded NVLinks", n)
	}
	return "a path that this version does not know"
}

// Node is a GPU or a network card of a topology.
type Node struct {
	Name         string `json:"name"`             // GPU0, NIC0
	Device       string `json:"device,omitempty"` // of a network card: mlx5_0
	CPUAffinity  string `json:"cpu_affinity,omitempty"`
	NUMAAffinity string `json:"numa_affinity,omitempty"`
	GPUNUMAID    string `json:"gpu_numa_id,omitempty"` // N/A for a GPU whose memory is no NUMA node
}

// IsGPU says whether a node is a GPU.
func (n Node) IsGPU() bool { return strings.HasPrefix(n.Name, "GPU") }

// Topology is how the GPUs and network cards of a host are linked.
type Topology struct {
	Nodes []Node   `json:"nodes"`
	Paths [][]Path `json:"paths"` // Paths[i][j] leads from node i to node j
}

// GPUs counts the GPUs.
func (t *Topology) GPUs() int {
	n := 0
	for _, node := range t.Nodes {
		if node.IsGPU() {
			n++
		}
	}
	return n
}

// Path is the path between two GPUs by their index, empty where it is not known.
func (t *Topology) Path(a, b int) Path {
	i, j := t.index("GPU"+strconv.Itoa(a)), t.index("GPU"+strconv.Itoa(b))
	if i < 0 || j < 0 {
		return ""
	}
	return t.Paths[i][j]
}

func (t *Topology) index(name string) int {
	return slices.IndexFunc(t.Nodes, func(n Node) bool { return n.Name == name })
}

// Topology tells the paths between the GPUs of a recording, as far as the
// links that it lists tell them: straight ones, and through the NVSwitches of
// one fabric. It is nil where they tell none.
func (rec *Recording) Topology() *Topology {
	t, known := &Topology{}, false
	for i := range rec.Devices {
		t.Nodes = append(t.Nodes, Node{Name: "GPU" + strconv.Itoa(rec.Devices[i].Index)})
		row := make([]Path, len(rec.Devices))
		for j := range rec.Devices {
			if row[j] = PathSelf; i != j {
				row[j] = rec.Devices[i].pathTo(&rec.Devices[j])
				known = known || row[j] != ""
			}
		}
		t.Paths = append(t.Paths, row)
	}
	if !known {
		return nil
	}
	return t
}

// Kinds lists the paths that occur between different devices, each once, the
// best first: NVLinks by number, then the others as they are listed above.
func (t *Topology) Kinds() []Path {
	var kinds []Path
	for i, row := range t.Paths {
		for j, p := range row {
			if i != j && p != "" && !slices.Contains(kinds, p) {
				kinds = append(kinds, p)
			}
		}
	}
	rank := []Path{PathPIX, PathPXB, PathPHB, PathNode, PathSys}
	slices.SortStableFunc(kinds, func(a, b Path) int {
		if na, nb := a.NVLinks(), b.NVLinks(); na != nb {
			return nb - na
		}
		return slices.Index(rank, a) - slices.Index(rank, b)
	})
	return kinds
}

// Describe says in a few words how the GPUs are linked: "all pairs NV18".
func (t *Topology) Describe() string {
	count, pairs := map[Path]int{}, 0
	for i, a := range t.Nodes {
		for j, b := range t.Nodes[:i] {
			if a.IsGPU() && b.IsGPU() {
				count[t.Paths[i][j]]++
				pairs++
			}
		}
	}
	if pairs == 0 {
		return "one GPU"
	}
	var parts []string
	for _, p := range append(t.Kinds(), "") {
		switch n := count[p]; {
		case n == 0:
		case n == pairs && p == "":
			return "unknown paths"
		case n == pairs:
			return "all pairs " + string(p)
		case p == "":
			parts = append(parts, fmt.Sprintf("%d unknown", n))
		default:
			parts = append(parts, fmt.Sprintf("%d %s", n, p))
		}
	}
	return fmt.Sprintf("%d pairs: %s", pairs, strings.Join(parts, ", "))
}

// affinityTitles are the columns behind the matrix.
var affinityTitles = []struct {
	title, short string
	of           func(*Node) *string
}{
	{"CPU Affinity", "CPUs", func(n *Node) *string { return &n.CPUAffinity }},
	{"NUMA Affinity", "NUMA", func(n *Node) *string { return &n.NUMAAffinity }},
	{"GPU NUMA ID", "GPU NUMA", func(n *Node) *string { return &n.GPUNUMAID }},
}

// String draws the matrix as nvidia-smi topo -m does, with the legend of the
// network cards; ParseTopology reads it back to an equal Topology.
func (t *Topology) String() string {
	var b strings.Builder
	t.block(&b, slices.Concat(t.matrix(), t.affinity(false)))
	first := true
	for _, n := range t.Nodes {
		if n.Device == "" {
			continue
		}
		if first {
			b.WriteString("\nNIC Legend:\n\n")
			first = false
		}
		fmt.Fprintf(&b, "  %s: %s\n", n.Name, n.Device)
	}
	return b.String()
}

// Table draws the matrix with short titles. Where width columns are too few,
// the GPUs and affinities come first and the network cards in further blocks.
func (t *Topology) Table(width int) string {
	matrix, affinity := t.matrix(), t.affinity(true)
	groups := [][]column{slices.Concat(matrix, affinity)}
	if t.width(groups[0]) > width {
		groups = [][]column{slices.Concat(matrix[:t.GPUs()], affinity), matrix[t.GPUs():]}
	}
	var b strings.Builder
	for _, columns := range groups {
		for len(columns) > 0 {
			n := 1
			for n < len(columns) && t.width(columns[:n+1]) <= width {
				n++
			}
			if b.Len() > 0 {
				b.WriteByte('\n')
			}
			t.block(&b, columns[:n])
			columns = columns[n:]
		}
	}
	return b.String()
}

// column is a column of the drawn matrix.
type column struct {
	title string
	cell  func(row int) string
	width int
}

func (t *Topology) column(title string, cell func(int) string) column {
	c := column{title, cell, len(title)}
	for i := range t.Nodes {
		c.width = max(c.width, len(cell(i)))
	}
	return c
}

// affinity makes the columns behind the matrix that any node has.
func (t *Topology) affinity(short bool) []column {
	var out []column
	for _, a := range affinityTitles {
		cell := func(i int) string { return *a.of(&t.Nodes[i]) }
		if !slices.ContainsFunc(t.Nodes, func(n Node) bool { return *a.of(&n) != "" }) {
			continue
		}
		title := a.title
		if short {
			title = a.short
		}
		out = append(out, t.column(title, cell))
	}
	return out
}

// matrix makes a column per node.
func (t *Topology) matrix() []column {
	var out []column
	for j, n := range t.Nodes {
		out = append(out, t.column(n.Name, func(i int) string {
			switch p := t.Paths[i][j]; p {
			case PathSelf:
				return " X"
			case "":
				return "?"
			default:
				return string(p)
			}
		}))
	}
	return out
}

// labelWidth is the room for the names of the rows.
func (t *Topology) labelWidth() int {
	return t.column("", func(i int) string { return t.Nodes[i].Name }).width
}

func (t *Topology) width(columns []column) int {
	w := t.labelWidth()
	for _, c := range columns {
		w += 1 + c.width
	}
	return w
}

func (t *Topology) block(b *strings.Builder, columns []column) {
	line := func(name string, cell func(column) string) {
		var l strings.Builder
		fmt.Fprintf(&l, "%-*s", t.labelWidth(), name)
		for _, c := range columns {
			fmt.Fprintf(&l, " %-*s", c.width, cell(c))
		}
		b.WriteString(strings.TrimRight(l.String(), " "))
		b.WriteByte('\n')
	}
	line("", func(c column) string { return c.title })
	for i, n := range t.Nodes {
		if t.rowKnown(i) {
			line(n.Name, func(c column) string { return c.cell(i) })
		}
	}
}

// rowKnown says whether a node's row is more than the mirror of others':
// nvidia-smi's output is sometimes saved without the rows of network cards.
func (t *Topology) rowKnown(i int) bool {
	return t.Nodes[i].IsGPU() || !slices.Contains(t.Paths[i], "")
}
