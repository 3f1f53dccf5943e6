package compose

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"tokprof/kernels/roofline"
	"tokprof/nvml"
	"tokprof/report/document"
)

// ceiling fills in what the path between the ranks of a collective can carry:
// of the groups that ran it, the slowest.
func (b *builder) ceiling(c *document.Collective, together map[string]bool) {
	if b.o.Topology == nil {
		return
	}
	if c.Estimated {
		if l, _ := b.link("\x00\x00", true); b.worldSize() > 1 && l.overPCIe() {
			c.Warning, c.Path = pcieWarning(l.path), string(l.path)
		}
	}
	if len(together) == 0 && c.Estimated {
		together = map[string]bool{strings.Repeat("\x00", b.aloneRanks()): true}
	}
	first := true
	for _, key := range slices.Sorted(maps.Keys(together)) {
		l, how := b.link(key, c.Estimated)
		if first || l.nccl < c.Ceiling {
			c.Ceiling, c.Physical, c.CeilingHow = l.nccl, l.physical, how
			c.Path = cmp.Or(string(l.path), c.Path)
		}
		if l.overPCIe() {
			c.Warning, c.Path = pcieWarning(l.path), string(l.path)
		}
		first = false
	}
}

func (b *builder) worldSize() (n int) {
	for _, r := range b.ranks {
		n = max(n, r.Info.WorldSize)
	}
	return n
}

// pcieWarning is what the field says of tensor parallelism without NVLink
// (vLLM docs, serving/parallelism_scaling: prefer pipeline parallelism there).
func pcieWarning(p nvml.Path) string {
	level := string(p)
	return "these ranks have no NVLink between them: collectives cross PCIe (" + level + ", " + p.Meaning() +
		"). Do not use tensor parallelism here: pipeline or data parallelism moves far less; or else set NCCL_P2P_LEVEL=" + level +
		", and see with NCCL_DEBUG=INFO that NCCL takes direct peer copies"
}

// link is what a path carries in one direction, B/s; 0 when unknown.
type link struct {
	nccl, physical float64
	path           nvml.Path // "" when unknown
}

func (l link) overPCIe() bool { return l.path != "" && l.path.NVLinks() == 0 }

// link finds the path between the ranks of a group, and says in words what it
// rests on.
func (b *builder) link(key string, estimated bool) (link, string) {
	path, gpus, ok := b.path(key, estimated)
	n := len([]rune(key))
	if !estimated {
		n = b.ranksBehind(n)
	}
	switch {
	case n == 0:
		return link{}, "some of these ranks have no file, and how many there are is not known"
	case !ok:
		return link{}, "the path between these ranks is not known"
	case path.NVLinks() > 0:
		return b.nvlink(path, gpus, n)
	}
	l := link{path: path}
	for _, g := range gpus {
		d := b.readDevice(g)
		if d.PCIe == nil || d.PCIe.PeakBytesPerSecond <= 0 {
			return l, "PCIe (" + string(path) + "), of a generation and width that nothing says"
		}
		generation, width := d.PCIe.Generation, d.PCIe.Width
		// An idle link runs at a lower generation than it can.
		if d.PCIe.MaxGeneration > generation {
			generation = d.PCIe.MaxGeneration
		}
		physical, ok := nvml.PCIePeak(generation, width)
		if nccl := ncclPCIe(generation, width); ok && (l.physical == 0 || nccl < l.nccl) {
			l.nccl, l.physical = nccl, physical
		}
	}
	how := "NCCL's figure for PCIe, " + string(path)
	if path == nvml.PathSys || path == nvml.PathNode {
		how += "; what lies between the host bridges may carry less"
	}
	return l, how
}

// ncclPCIe is what NCCL counts on for a PCIe link in one direction, in bytes
// per second: 6 Gb/s a lane of generation 3, double for each later one
// (src/graph/topo.cc, kvDictPciGen: 60 × width / 80 GB/s).
func ncclPCIe(generation, width int) float64 {
	lane := 0.75e9
	for g := 3; g < generation; g++ {
		lane *= 2
	}
	for g := generation; g < 3; g++ {
		lane /= 2
	}
	return lane * float64(width)
}

// nvlink is NVLink's ceiling for n ranks with one path between each two.
func (b *builder) nvlink(path nvml.Path, gpus []int, n int) (link, string) {
	generation, total := b.linkKind(gpus)
	peak, ok := nvml.NVLinkPeak(generation)
	if !ok {
		return link{path: path}, string(path) + ", of an NVLink generation that nothing says"
	}
	links := path.NVLinks()
	how := fmt.Sprintf("NCCL's figure for %d NVLinks of generation %d", links, generation)
	// Through a switch every pair shows all links of its GPUs; without one a GPU
	// has so many to each of the others.
	switch all := links * (n - 1); {
	case n > 2 && total == 0:
		return link{path: path}, string(path) + ", by a number of links to each GPU that nothing says"
	case n > 2 && all <= total:
		links = all
		how = fmt.Sprintf("NCCL's figure for %d NVLinks of generation %d, %d to each of %d GPUs", links, generation, path.NVLinks(), n-1)
	}
	return link{path: path, nccl: float64(links) * peak.NCCLBytesPerSecond, physical: float64(links) * peak.BytesPerSecond}, how
}

// path is the one path between all the GPUs of a group. Where it is not known
// which GPUs these are, the candidates' must be alike.
func (b *builder) path(key string, estimated bool) (nvml.Path, []int, bool) {
	t := b.o.Topology
	gpus := make([]int, t.GPUs())
	for i := range gpus {
		gpus[i] = i
	}
	ranks := []rune(key)
	if !estimated {
		var of []int
		seen := map[*crew]bool{}
		for _, rank := range ranks {
			c := b.gpus.of(b.indexOf(int(rank)))
			if c == nil {
				of = nil
				break
			}
			if !seen[c] {
				seen[c] = true
				of = append(of, c.gpus...)
			}
		}
		if len(of) > 0 {
			gpus = of
		}
	}
	if len(gpus) < len(ranks) || len(ranks) < 2 {
		return "", nil, false
	}
	var path nvml.Path
	for i, x := range gpus {
		for _, y := range gpus[:i] {
			p := t.Path(x, y)
			if p == "" || path != "" && p != path {
				return "", nil, false
			}
			path = p
		}
	}
	return path, gpus, path != ""
}

func (b *builder) indexOf(number int) int {
	for i, n := range b.number {
		if n == number {
			return i
		}
	}
	return -1
}

// readDevice is what the recording says of a GPU.
func (b *builder) readDevice(gpu int) nvml.Device {
	if b.o.Readings == nil {
		return nvml.Device{Index: gpu}
	}
	d, _ := b.o.Readings.Device(gpu)
	return d
}

// linkKind is the generation of the GPUs' NVLinks and how many each has; 0 for
// what is unknown.
func (b *builder) linkKind(gpus []int) (generation, total int) {
	name := b.gpuName()
	for _, g := range gpus {
		d := b.readDevice(g)
		total = d.ActiveLinks()
		for _, l := range d.Links {
			if l.Active && l.Generation > 0 {
				generation = l.Generation
			}
		}
		if name == "" {
			name = d.Name
		}
	}
	if generation == 0 {
		generation = linkGenerationOf(name)
	}
	peak, known := nvml.NVLinkPeak(generation)
	if part, ok := roofline.LookupGPU(name); ok && known && total == 0 {
		total = int(part.NVLink/peak.BytesPerSecond + 0.5)
	}
	return generation, total
}

// linkParts are the GPUs whose NVLinks run at their generation's full rate.
var linkParts = []struct {
	generation int
	words      []string
}{
	{2, []string{"V100"}},
	{3, []string{"A100", "A800"}},
	{4, []string{"H100", "H200", "H800", "H20", "GH200"}},
	{5, []string{"B200", "GB200", "B300", "GB300"}},
}

// linkGenerationOf is the NVLink generation of a GPU by its name, 0 when
// unknown.
func linkGenerationOf(name string) int {
	for _, word := range strings.FieldsFunc(name, func(r rune) bool { return r == ' ' || r == '-' }) {
		for _, p := range linkParts {
			for _, w := range p.words {
				if w == word {
					return p.generation
				}
			}
		}
	}
	return 0
}
