package gpus

import (
	"fmt"
	"slices"
	"strings"

	"tokprof/kernels/roofline"
	"tokprof/nvml"
)

// Link is what a path carries in one direction, B/s; 0 when unknown.
type Link struct {
	NCCL     float64   // what NCCL counts on
	Physical float64   // what the wires carry
	Path     nvml.Path // "" when unknown
}

// OverPCIe says that no NVLink is on the path.
func (l Link) OverPCIe() bool { return l.Path != "" && l.Path.NVLinks() == 0 }

// AnyRank stands for a rank of which nothing says which of the window's it is.
const AnyRank = -1

// topology is how the GPUs are linked: as the matrix says or, without one, as
// far as the readings list links.
func (j *Joined) topology() *nvml.Topology {
	if j.host.Topology == nil && j.host.Readings != nil {
		return j.host.Readings.Topology()
	}
	return j.host.Topology
}

// Linked says whether anything is known of how the GPUs are linked.
func (j *Joined) Linked() bool { return j.linked != nil }

// Link finds the path between the document ranks of a group that have files,
// and what it carries for all n of the group, 0 when nothing says how many. In
// words, it says what that rests on, or why it is not known.
func (j *Joined) Link(ranks []int, n int) (Link, string) {
	l, how := j.pathLink(ranks, n)
	if l.NCCL > 0 && j.host.Topology == nil {
		how += ", which the readings list"
	}
	return l, how
}

func (j *Joined) pathLink(ranks []int, n int) (Link, string) {
	path, gpus, ok := j.path(ranks)
	switch {
	case n == 0:
		return Link{}, "some of these ranks have no file, and how many there are is not known"
	case !ok:
		return Link{}, "the path between these ranks is not known"
	case path.NVLinks() > 0:
		return j.nvlink(path, gpus, n)
	}
	l := Link{Path: path}
	for _, g := range gpus {
		d := j.readDevice(g)
		if d.PCIe == nil || d.PCIe.PeakBytesPerSecond <= 0 {
			return l, "PCIe (" + string(path) + "), of a generation and width that nothing says"
		}
		generation, width := d.PCIe.Generation, d.PCIe.Width
		// An idle link runs at a lower generation than it can.
		if d.PCIe.MaxGeneration > generation {
			generation = d.PCIe.MaxGeneration
		}
		physical, ok := nvml.PCIePeak(generation, width)
		if nccl := ncclPCIe(generation, width); ok && (l.Physical == 0 || nccl < l.NCCL) {
			l.NCCL, l.Physical = nccl, physical
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
func (j *Joined) nvlink(path nvml.Path, gpus []int, n int) (Link, string) {
	generation, total := j.linkKind(gpus)
	peak, ok := nvml.NVLinkPeak(generation)
	if !ok {
		return Link{Path: path}, string(path) + ", of an NVLink generation that nothing says"
	}
	links := path.NVLinks()
	how := fmt.Sprintf("NCCL's figure for %d NVLinks of generation %d", links, generation)
	// Through a switch every pair shows all links of its GPUs; without one a GPU
	// has so many to each of the others.
	switch all := links * (n - 1); {
	case n > 2 && total == 0:
		return Link{Path: path}, string(path) + ", by a number of links to each GPU that nothing says"
	case n > 2 && all <= total:
		links = all
		how = fmt.Sprintf("NCCL's figure for %d NVLinks of generation %d, %d to each of %d GPUs", links, generation, path.NVLinks(), n-1)
	}
	return Link{Path: path, NCCL: float64(links) * peak.NCCLBytesPerSecond, Physical: float64(links) * peak.BytesPerSecond}, how
}

// path is the one path between all the GPUs of a group. Where it is not known
// which GPUs these are, the candidates' must be alike.
func (j *Joined) path(ranks []int) (nvml.Path, []int, bool) {
	t := j.linked
	if t == nil {
		return "", nil, false
	}
	gpus := j.gpusOf(ranks)
	if len(gpus) == 0 {
		for i := range t.GPUs() {
			gpus = append(gpus, i)
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

// gpusOf lists the GPUs that some document ranks are on, or may be on together;
// none where a rank's are not known.
func (j *Joined) gpusOf(ranks []int) (gpus []int) {
	seen := map[*crew]bool{}
	for _, rank := range ranks {
		c := j.placed.of(slices.Index(j.number, rank))
		if c == nil {
			return nil
		}
		if !seen[c] {
			seen[c] = true
			gpus = append(gpus, c.gpus...)
		}
	}
	return gpus
}

// readDevice is what the recording says of a GPU.
func (j *Joined) readDevice(gpu int) nvml.Device {
	if j.host.Readings == nil {
		return nvml.Device{Index: gpu}
	}
	d, _ := j.host.Readings.Device(gpu)
	return d
}

// linkKind is the generation of the GPUs' NVLinks and how many each has; 0 for
// what is unknown.
func (j *Joined) linkKind(gpus []int) (generation, total int) {
	name := j.window.GPUName
	for _, g := range gpus {
		d := j.readDevice(g)
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
