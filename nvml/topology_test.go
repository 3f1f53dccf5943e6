package nvml

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func readFile(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestTopologyRoundTrip reads real output of nvidia-smi topo -m, draws it and
// reads the drawing.
func TestTopologyRoundTrip(t *testing.T) {
	want := &Topology{
		Nodes: []Node{
			{Name: "GPU0", CPUAffinity: "0-31", NUMAAffinity: "0", GPUNUMAID: "N/A"},
			{Name: "GPU1", CPUAffinity: "0-31", NUMAAffinity: "0", GPUNUMAID: "N/A"},
		},
		Paths: [][]Path{{"X", "NV18"}, {"NV18", "X"}},
	}
	for _, name := range []string{"topo.txt", "topo_ansi.txt"} {
		text := readFile(t, name)
		for form, text := range map[string]string{"as it is": text, "CRLF": strings.ReplaceAll(text, "\n", "\r\n"), "no legend": strings.Split(text, "\n\n")[0], "drawn": want.String()} {
			got, err := ParseTopology(text)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s, %s: %+v, %v; want %+v", name, form, got, err, want)
			}
		}
	}
}

// TestAffinityColumns reads the columns behind the matrix in the ways they are
// printed, with values missing.
func TestAffinityColumns(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"all, tabs", "\tGPU0\tCPU Affinity\tNUMA Affinity\tGPU NUMA ID\nGPU0\t X \t0-31\t0\t\tN/A\n", "0-31|0|N/A"},
		{"no GPU NUMA ID", "\tGPU0\tCPU Affinity\tNUMA Affinity\nGPU0\t X \t0-31,64-95\t0-1\n", "0-31,64-95|0-1|"},
		{"CPU Affinity alone", "\tGPU0\tCPU Affinity\nGPU0\t X \t0-31\n", "0-31||"},
		{"no columns", "\tGPU0\nGPU0\t X \n", "||"},
		{"tabs, no CPUs", "\tGPU0\tCPU Affinity\tNUMA Affinity\tGPU NUMA ID\nGPU0\t X \t\t0\t\tN/A\n", "|0|N/A"},
		{"tabs, no NUMA", "\tGPU0\tCPU Affinity\tNUMA Affinity\tGPU NUMA ID\nGPU0\t X \t0-31\t\t\tN/A\n", "0-31||N/A"},
		{"tabs, all empty", "\tGPU0\tCPU Affinity\tNUMA Affinity\tGPU NUMA ID\nGPU0\t X \t\t\t\n", "||"},
		{"spaces", "        GPU0    CPU Affinity    NUMA Affinity   GPU NUMA ID\nGPU0     X      0-31    0               N/A\n", "0-31|0|N/A"},
		{"spaces, no NUMA", "        GPU0    CPU Affinity    NUMA Affinity   GPU NUMA ID\nGPU0     X      0-31                            N/A\n", "0-31||N/A"},
		{"spaces, no CPUs", "        GPU0    CPU Affinity    NUMA Affinity   GPU NUMA ID\nGPU0     X                      1               N/A\n", "|1|N/A"},
	} {
		got, err := ParseTopology(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		n := got.Nodes[0]
		if s := n.CPUAffinity + "|" + n.NUMAAffinity + "|" + n.GPUNUMAID; s != c.want {
			t.Errorf("%s: %s, want %s", c.name, s, c.want)
		}
	}
}

// TestOldAndCut reads matrices of other drivers and hands.
func TestOldAndCut(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"SOC is SYS", "\tGPU0\tGPU1\nGPU0\t X \tSOC\nGPU1\tSOC\t X \n", "all pairs SYS [[X SYS] [SYS X]]"},
		{"cards by their own name", "\tGPU0\tmlx5_0\tCPU Affinity\nGPU0\t X \tPHB\t0-3\nmlx5_0\tPHB\t X \t\n", "one GPU [[X PHB] [PHB X]]"},
		{"rows of cards are missing", "\tGPU0\tNIC0\tNIC1\nGPU0\t X \tPIX\tSYS\n", "one GPU [[X PIX SYS] [PIX X ] [SYS  X]]"},
		{"a prompt and codes around it", "$ nvidia-smi topo -m\n\x1b[4m\tGPU0\tGPU1\x1b[0m\nGPU0\t X \t\x1b[31mNV4\x1b[0m\nGPU1\tNV4\t X \n$ \n", "all pairs NV4 [[X NV4] [NV4 X]]"},
		{"an unknown word stays", "\tGPU0\tGPU1\nGPU0\t X \tC2C\nGPU1\tC2C\t X \n", "all pairs C2C [[X C2C] [C2C X]]"},
	} {
		got, err := ParseTopology(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if s := got.Describe() + " " + fmt.Sprint(got.Paths); s != c.want {
			t.Errorf("%s: %s, want %s", c.name, s, c.want)
		}
	}
}

func TestNoTopology(t *testing.T) {
	wide := "\t"
	for i := range maxNodes + 1 {
		wide += fmt.Sprintf("GPU%d\t", i)
	}
	for text, want := range map[string]string{
		"":                                    "no line of GPU names",
		"GPU0\t X \tNV18\n":                   "no line of GPU names",
		"\tGPU0\tGPU1\nGPU0\t X \tNV1\n":      "the row of GPU1 is missing",
		"\tGPU0\tGPU1\nGPU0\t X \n":           "line 2: the row of GPU0 has 1 paths for 2 columns",
		"\tGPU0\tGPU0\n":                      "line 1: two columns are named GPU0",
		"\n\tGPU0\nGPU0\t X \nGPU0\t X \n":    "line 4: a second row of GPU0",
		"\tGPU0\tGPU1\nGPU0\tNV1\t X \n":      `line 2: "NV1" cannot be the path from GPU0 to GPU0`,
		"\tGPU0\tGPU1\nGPU0\t X \t<b>x</b>\n": `line 2: "<b>x</b>" cannot be the path from GPU0 to GPU1`,
		wide:                                  "devices in one matrix",
		strings.Repeat("\n", maxTopology+1):   "too long",
	} {
		got, err := ParseTopology(text)
		if got != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want an error with %q", text, err, want)
		}
	}
}

func TestPaths(t *testing.T) {
	for p, links := range map[Path]int{"NV18": 18, "NV1": 1, "NODE": 0, "NV": 0, "NV-3": 0, "": 0} {
		if p.NVLinks() != links {
			t.Errorf("%q bonds %d links, want %d", p, p.NVLinks(), links)
		}
	}
	seen := map[string]Path{}
	for _, p := range []Path{PathSelf, PathNVLinks(2), PathPIX, PathPXB, PathPHB, PathNode, PathSys, "", "ODD"} {
		if m := p.Meaning(); m == "" || seen[m] != "" {
			t.Errorf("%q means %q, as %q does", p, m, seen[m])
		} else {
			seen[m] = p + "."
		}
	}
	top := &Topology{Nodes: []Node{{Name: "GPU0"}, {Name: "GPU1"}, {Name: "NIC0"}}, Paths: [][]Path{{"X", "SYS", "PIX"}, {"SYS", "X", ""}, {"PIX", "", "X"}}}
	if got := fmt.Sprint(top.Kinds()); got != "[PIX SYS]" {
		t.Errorf("the kinds are %s", got)
	}
	if p := top.Path(1, 0); p != "SYS" {
		t.Errorf("the path from GPU 1 to GPU 0 is %q", p)
	}
	if p := top.Path(0, 7); p != "" {
		t.Errorf("the path to a GPU that is not there is %q", p)
	}
}

// TestNarrowTable draws eight GPUs and nine cards: no line is wider than the
// terminal, and the blocks together hold every cell.
func TestNarrowTable(t *testing.T) {
	top := &Topology{}
	for i := range 17 {
		n := Node{Name: fmt.Sprintf("GPU%d", i), CPUAffinity: "0-63,128-191", NUMAAffinity: "0", GPUNUMAID: "N/A"}
		if i >= 8 {
			n = Node{Name: fmt.Sprintf("NIC%d", i-8)}
		}
		top.Nodes = append(top.Nodes, n)
		row := make([]Path, 17)
		for j := range row {
			row[j] = PathNVLinks(1 + i + j)
		}
		row[i] = PathSelf
		top.Paths = append(top.Paths, row)
	}
	table := top.Table(80)
	for line := range strings.Lines(table) {
		if len(line) > 81 {
			t.Errorf("%d columns: %s", len(line)-1, line)
		}
	}
	if got, want := strings.Count(table, "NV"), strings.Count(top.String(), "NV"); got != want {
		t.Errorf("the table has %d paths over NVLinks, the matrix %d", got, want)
	}
	if blocks := strings.Count(table, "\n\n"); blocks != 1 || strings.Index(table, "NUMA") > strings.Index(table, "NIC0") {
		t.Errorf("GPUs and affinities come first, the cards below:\n%s", table)
	}
	if !strings.Contains(top.Table(10), "GPU0\n") {
		t.Error("a terminal narrower than a cell gets no table")
	}
}

// FuzzParseTopology reads any text: what it accepts is square, has itself on
// the diagonal and survives being drawn.
func FuzzParseTopology(f *testing.F) {
	for _, name := range []string{"topo.txt", "topo_ansi.txt"} {
		f.Add(readFile(f, name))
	}
	f.Add("\tGPU0\tNIC0\tCPU Affinity\nGPU0\t X \tPIX\t0\nNIC Legend:\n\n  NIC0: mlx5_0\n")
	f.Add("  GPU0  GPU1  CPU Affinity  NUMA Affinity  GPU NUMA ID\nGPU0  X  SOC       N/A\nGPU1  ?   X  0 \n")
	f.Fuzz(func(t *testing.T, text string) {
		top, err := ParseTopology(text)
		if err != nil {
			return
		}
		for i, row := range top.Paths {
			if len(row) != len(top.Nodes) || row[i] != PathSelf {
				t.Fatalf("%q: row %d is %q", text, i, row)
			}
		}
		again, err := ParseTopology(top.String())
		if err != nil || !reflect.DeepEqual(again.Paths, top.Paths) {
			t.Errorf("%q drawn as\n%sis read as %v, %v", text, top, again, err)
		}
	})
}

// TestRecordingTopology takes paths from the links that a recording lists.
func TestRecordingTopology(t *testing.T) {
	const a, b = "00000000:1B:00.0", "00000000:43:00.0"
	gpu := func(index int, pci string, cluster string, ends ...string) Device {
		d := Device{Index: index, PCI: pci}
		if cluster != "" {
			d.Fabric = &Fabric{ClusterUUID: cluster}
		}
		for _, e := range ends {
			l := Link{Active: e != "down", RemoteIs: "GPU", Remote: e}
			if e == "switch" {
				l.Remote, l.RemoteIs = "FFFFFFFF:FF:FF.0", e
			}
			d.Links = append(d.Links, l)
		}
		return d
	}
	for _, c := range []struct {
		name string
		x, y Device
		want Path
	}{
		{"straight", gpu(0, a, "", "0000:43:00.0", b, "down"), gpu(3, b, "", a, a), "NV2"},
		{"to a third GPU", gpu(0, a, "", "00000000:99:00.0"), gpu(3, b, "", "00000000:99:00.0"), ""},
		{"through switches", gpu(0, a, "", "switch", "switch", "down"), gpu(3, b, "", "switch", "switch"), "NV2"},
		{"one fabric", gpu(0, a, "f1", "switch"), gpu(3, b, "f1", "switch"), "NV1"},
		{"two fabrics", gpu(0, a, "f1", "switch"), gpu(3, b, "f2", "switch"), ""},
		{"one on the switches", gpu(0, a, "", "switch"), gpu(3, b, ""), ""},
		{"links that are down", gpu(0, a, "", "down"), gpu(3, b, "", "down"), ""},
		{"none", gpu(0, a, ""), gpu(3, b, ""), ""},
	} {
		topo := (&Recording{Devices: []Device{c.x, c.y}}).Topology()
		if c.want == "" {
			if topo != nil {
				t.Errorf("%s: %+v", c.name, topo)
			}
			continue
		}
		if topo == nil || topo.Path(0, 3) != c.want || topo.Path(3, 0) != c.want {
			t.Errorf("%s: %+v, want %s", c.name, topo, c.want)
		}
	}
	if topo := (&Recording{}).Topology(); topo != nil {
		t.Errorf("of no GPU: %+v", topo)
	}
}
