package nvml

import "fmt"

// LinkPeak is what one NVLink of a generation can move in one direction, in
// bytes per second. Data sheets give the sum of both directions of all links;
// a collective's bus bandwidth compares with one direction.
type LinkPeak struct {
	Generation     int
	BytesPerSecond float64
	// NCCLBytesPerSecond is what NCCL counts on per link: the number of active
	// links times this is a realistic ceiling of bus bandwidth behind NVSwitch
	// (collectives inside the switch, NVLS, can show more).
	NCCLBytesPerSecond float64
	Source             string
}

// linkPeaks holds the generations of data-centre GPUs.
var linkPeaks = []LinkPeak{
	{2, 25e9, 20.0e9, "V100 data sheet: 300 GB/s both ways over 6 links; NCCL src/graph/topo.h SM70_NVLINK_BW"},
	{3, 25e9, 20.0e9, "A100 data sheet: 600 GB/s both ways over 12 links; NCCL src/graph/topo.h SM80_NVLINK_BW"},
	{4, 25e9, 20.6e9, "H100 data sheet: 900 GB/s both ways over 18 links; NCCL src/graph/topo.h SM90_NVLINK_BW"},
	{5, 50e9, 40.1e9, "B200 data sheet: 1800 GB/s both ways over 18 links; NCCL src/graph/topo.h SM100_NVLINK_BW"},
}

// NVLinkPeak looks up a generation; ok is false for one that is not known.
func NVLinkPeak(generation int) (LinkPeak, bool) {
	for _, p := range linkPeaks {
		if p.Generation == generation {
			return p, true
		}
	}
	return LinkPeak{}, false
}

// linkGeneration is the NVLink generation of a compute capability's major
// number, 0 where none is known: Volta 2, Ampere 3, Hopper 4, Blackwell 5.
func linkGeneration(major int) int {
	switch major {
	case 7, 8, 9, 10:
		return major - 5
	}
	return 0
}

// lanePeaks are bytes per second of one PCIe lane in one direction after line
// coding, by generation: PCI-SIG base specifications (8b/10b, then 128b/130b,
// then the flits of generation 6).
var lanePeaks = []float64{0, 0.25e9, 0.5e9, 0.985e9, 1.969e9, 3.938e9, 7.563e9}

// PCIePeak is what a PCIe link of a generation and width can move in one
// direction, in bytes per second; ok is false for one that is not known.
func PCIePeak(generation, width int) (bytesPerSecond float64, ok bool) {
	if generation < 1 || generation >= len(lanePeaks) || width < 1 || width > 32 {
		return 0, false
	}
	return lanePeaks[generation] * float64(width), true
}

func hex(v uint64) string { return fmt.Sprintf("%#x", v) }
