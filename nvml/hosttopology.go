package nvml

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"tokprof/nvml/internal/driver"
)

// Topology works out how the GPUs and network cards of the host are linked, as
// nvidia-smi topo -m shows it.
func (h *Host) Topology() *Topology {
	cards := h.cards()
	t := &Topology{}
	for i := range h.gpus {
		t.Nodes = append(t.Nodes, h.gpuNode(i))
	}
	for i, c := range cards {
		t.Nodes = append(t.Nodes, Node{Name: "NIC" + strconv.Itoa(i), Device: c.name})
	}
	gpus := len(h.gpus)
	for i := range t.Nodes {
		row := make([]Path, len(t.Nodes))
		for j := range t.Nodes {
			switch {
			case i == j:
				row[j] = PathSelf
			case i < gpus && j < gpus:
				row[j] = h.gpuPath(i, j)
			default:
				row[j] = h.busPath(h.place(i, cards), h.place(j, cards))
			}
		}
		t.Paths = append(t.Paths, row)
	}
	return t
}

func (h *Host) gpuNode(i int) Node {
	n := Node{Name: "GPU" + strconv.Itoa(i), GPUNUMAID: "N/A"}
	n.CPUAffinity = h.affinity(i, driver.CPUs, "local_cpulist")
	n.NUMAAffinity = h.affinity(i, driver.MemoryNodes, "numa_node")
	if id, err := h.driver.Number(i, driver.NUMANode); err == nil {
		n.GPUNUMAID = strconv.FormatUint(id, 10)
	}
	return n
}

// affinity asks the driver, then the kernel.
func (h *Host) affinity(gpu int, q driver.Affinity, file string) string {
	if set, err := h.driver.Affinity(gpu, q); err == nil {
		if list := rangeList(set); list != "" {
			return list
		}
	}
	if s := h.read(h.pciDir(gpu), file); s != "" && s != "-1" {
		return s
	}
	return "N/A"
}

// rangeList writes a bit set as the kernel does: 0-3,8.
func rangeList(set []uint64) string {
	var parts []string
	start := -1
	for i := range len(set)*64 + 1 {
		in := i < len(set)*64 && set[i/64]>>(i%64)&1 == 1
		switch {
		case in && start < 0:
			start = i
		case !in && start >= 0:
			part := strconv.Itoa(start)
			if i-1 > start {
				part += "-" + strconv.Itoa(i-1)
			}
			parts, start = append(parts, part), -1
		}
	}
	return strings.Join(parts, ",")
}

// gpuPath counts the NVLinks from GPU a to GPU b, straight or through
// NVSwitches; where there are none it is the way over the bus.
func (h *Host) gpuPath(a, b int) Path {
	if p := nvlinks(h.gpus[a].ends, h.gpus[b].ends, h.gpus[b].pci, func() bool { return h.onFabric(a, b) }); p != "" {
		return p
	}
	level, err := h.driver.Pair(a, b, driver.CommonAncestor)
	if err != nil {
		return h.busPath(h.pciDir(a), h.pciDir(b))
	}
	return ancestorPath(level)
}

// onFabric says whether two GPUs with links to switches reach each other.
func (h *Host) onFabric(a, b int) bool {
	status, err := h.driver.Pair(a, b, driver.P2PNVLink)
	if err == nil && status != 0 {
		return false
	}
	fa, errA := h.driver.Fabric(a)
	fb, errB := h.driver.Fabric(b)
	return errA != nil || errB != nil || fa.CliqueID == fb.CliqueID && fa.ClusterUUID == fb.ClusterUUID
}

// ancestorPath reads nvmlGpuTopologyLevel_t.
func ancestorPath(level uint64) Path {
	switch level {
	case 0, 10:
		return PathPIX
	case 20:
		return PathPXB
	case 30:
		return PathPHB
	case 40:
		return PathNode
	case 50:
		return PathSys
	}
	return ""
}

// samePCI compares addresses whose domain may have four or eight digits.
func samePCI(a, b string) bool { return a != "" && kernelPCI(a) == kernelPCI(b) }

// kernelPCI writes an address as the kernel does: 0000:1b:00.0.
func kernelPCI(address string) string {
	domain, rest, _ := strings.Cut(strings.ToLower(address), ":")
	for len(domain) > 4 && domain[0] == '0' {
		domain = domain[1:]
	}
	return domain + ":" + rest
}

// card is a network card with RDMA.
type card struct{ name, dir string }

// cards lists them in the order of their names.
func (h *Host) cards() []card {
	class := filepath.Join(h.sysfs, "class/infiniband")
	entries, _ := os.ReadDir(class)
	var out []card
	for _, e := range entries {
		if dir, err := filepath.EvalSymlinks(filepath.Join(class, e.Name(), "device")); err == nil {
			out = append(out, card{e.Name(), dir})
		}
	}
	return out
}

// place is the folder of a node's PCI device, empty where it is not known.
func (h *Host) place(node int, cards []card) string {
	if node < len(h.gpus) {
		return h.pciDir(node)
	}
	return cards[node-len(h.gpus)].dir
}

func (h *Host) pciDir(gpu int) string {
	dir, err := filepath.EvalSymlinks(filepath.Join(h.sysfs, "bus/pci/devices", kernelPCI(h.gpus[gpu].pci)))
	if err != nil {
		return ""
	}
	return dir
}

func (h *Host) read(dir, file string) string {
	if dir == "" {
		return ""
	}
	b, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// busPath compares the places of two devices in the kernel's PCI tree, where
// each bridge is a folder and a switch is two: its upstream and a downstream
// port. Devices behind one switch part at its downstream ports.
func (h *Host) busPath(a, b string) Path {
	if a == "" || b == "" {
		return ""
	}
	sa, sb := strings.Split(a, "/"), strings.Split(b, "/")
	root := func(s string) bool { return strings.HasPrefix(s, "pci") }
	ra, rb := slices.IndexFunc(sa, root), slices.IndexFunc(sb, root)
	if ra < 0 || rb < 0 {
		return ""
	}
	sa, sb = sa[ra:], sb[rb:]
	same := 0
	for same < min(len(sa), len(sb)) && sa[same] == sb[same] {
		same++
	}
	switch {
	case same == 0 && h.read(a, "numa_node") == h.read(b, "numa_node"):
		return PathNode
	case same == 0:
		return PathSys
	case same == 1:
		return PathPHB
	case max(len(sa), len(sb))-same <= 2:
		return PathPIX
	}
	return PathPXB
}

// Peer is what the driver says of two GPUs, in its own words.
type Peer struct {
	A            int    `json:"a"`
	B            int    `json:"b"`
	NVLinks      int    `json:"nvlinks"`        // of A that lead to B
	Ancestor     string `json:"ancestor"`       // the path over the bus
	P2PRead      string `json:"p2p_read"`       // OK, or what stands against it: CNS, GNS, TNS, DR, NS
	P2PWrite     string `json:"p2p_write"`      // as P2PRead
	P2POverLinks string `json:"p2p_over_links"` // as P2PRead
}

// p2pWords are nvidia-smi's abbreviations of nvmlGpuP2PStatus_t.
var p2pWords = []string{"OK", "CNS", "GNS", "TNS", "DR", "NS", "U"}

// Peers lists what the driver says of each pair of GPUs.
func (h *Host) Peers() []Peer {
	word := func(a, b int, q driver.Pair) string {
		if v, err := h.driver.Pair(a, b, q); err == nil && v < uint64(len(p2pWords)) {
			return p2pWords[v]
		}
		return ""
	}
	peers := []Peer{}
	for a := range h.gpus {
		for b := range a {
			p := Peer{A: b, B: a, NVLinks: h.gpuPath(b, a).NVLinks(), P2PRead: word(b, a, driver.P2PRead), P2PWrite: word(b, a, driver.P2PWrite), P2POverLinks: word(b, a, driver.P2PNVLink)}
			if level, err := h.driver.Pair(b, a, driver.CommonAncestor); err == nil {
				p.Ancestor = string(ancestorPath(level))
			}
			peers = append(peers, p)
		}
	}
	return peers
}
