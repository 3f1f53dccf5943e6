package nvml

// Device says who a GPU is and how it stands. Empty and zero mean that the
// driver did not say, unless a field's comment says otherwise.
type Device struct {
	Index  int    `json:"gpu"`
	Name   string `json:"name"`
	UUID   string `json:"uuid,omitempty"`
	PCI    string `json:"pci,omitempty"` // 00000000:1B:00.0, as nvidia-smi writes it
	Driver string `json:"driver,omitempty"`

	ComputeCapability string `json:"compute_capability,omitempty"` // "9.0"
	MemoryBytes       uint64 `json:"memory_bytes,omitempty"`
	PowerLimitMW      uint64 `json:"power_limit_mw,omitempty"`
	MaxSMClockMHz     uint64 `json:"max_sm_mhz,omitempty"`
	MaxMemClockMHz    uint64 `json:"max_mem_mhz,omitempty"`
	PCIe              *PCIe  `json:"pcie,omitempty"`
	Links             []Link `json:"links,omitempty"` // NVLinks in their order, inactive ones too
	LinkScope         string `json:"link_scope,omitempty"`

	Health *Health `json:"health,omitempty"`
	Fabric *Fabric `json:"fabric,omitempty"`
	MIG    *MIG    `json:"mig,omitempty"`
	// Unsupported lists what the driver was asked and did not answer, with its reason.
	Unsupported []string `json:"unsupported,omitempty"`
}

// ActiveLinks counts the NVLinks that are up.
func (d *Device) ActiveLinks() int {
	n := 0
	for _, l := range d.Links {
		if l.Active {
			n++
		}
	}
	return n
}

// pathTo is the NVLinks to another GPU; without any the path is not known.
func (d *Device) pathTo(other *Device) Path {
	return nvlinks(d.ends(), other.ends(), other.PCI, func() bool { return d.sameFabric(other) })
}

// ends is what the active NVLinks lead to.
func (d *Device) ends() (out []end) {
	for _, l := range d.Links {
		if l.Active {
			out = append(out, end{l.Remote, l.RemoteIs == "switch"})
		}
	}
	return out
}

// sameFabric is true too where one of them says nothing of its fabric.
func (d *Device) sameFabric(other *Device) bool {
	a, b := d.Fabric, other.Fabric
	return a == nil || b == nil || a.CliqueID == b.CliqueID && a.ClusterUUID == b.ClusterUUID
}

// LinkBytesPerSecond is what all active NVLinks of the GPU can move in one
// direction (see NVLinkPeak); 0 where it has none or their kind is unknown.
func (d *Device) LinkBytesPerSecond() float64 {
	var sum float64
	for _, l := range d.Links {
		if l.Active {
			sum += l.PeakBytesPerSecond
		}
	}
	return sum
}

// Link is one NVLink of a GPU.
type Link struct {
	Index      int  `json:"link"`
	Active     bool `json:"active"`
	Generation int  `json:"generation,omitempty"` // 4 on Hopper, by the compute capability
	// Version is the number that the driver gives, as it gives it: whether that
	// counts generations or entries of an enumeration differs between drivers.
	Version   int    `json:"version,omitempty"`
	Remote    string `json:"remote,omitempty"`     // PCI address of the other end
	RemoteIs  string `json:"remote_is,omitempty"`  // GPU, NPU, switch or unknown
	SpeedMBps uint64 `json:"speed_mbps,omitempty"` // line rate of one direction as nvidia-smi nvlink -s shows it, overhead included
	// PeakBytesPerSecond is what data can move in one direction; see NVLinkPeak.
	PeakBytesPerSecond float64 `json:"peak_bytes_per_second,omitempty"`
	Replays            *uint64 `json:"replays,omitempty"`    // errors that a resend repaired
	Recoveries         *uint64 `json:"recoveries,omitempty"` // times the link had to be trained anew
	CRCErrors          *uint64 `json:"crc_errors,omitempty"`
}

// PCIe is a GPU's bus link now and at best.
type PCIe struct {
	Generation         int     `json:"generation"`
	Width              int     `json:"width"`
	MaxGeneration      int     `json:"max_generation,omitempty"`
	MaxWidth           int     `json:"max_width,omitempty"`
	PeakBytesPerSecond float64 `json:"peak_bytes_per_second,omitempty"` // one direction, at best; see PCIePeak
	Replays            *uint64 `json:"replays,omitempty"`
}

// Health is what the driver knows of a GPU's memory. A nil number was not told.
type Health struct {
	ECC                 *bool   `json:"ecc,omitempty"`
	Corrected           *uint64 `json:"ecc_corrected,omitempty"`   // since the driver was loaded
	Uncorrected         *uint64 `json:"ecc_uncorrected,omitempty"` // since the driver was loaded
	RemappedCorrected   *uint64 `json:"remapped_corrected,omitempty"`
	RemappedUncorrected *uint64 `json:"remapped_uncorrected,omitempty"`
	RemapPending        *bool   `json:"remap_pending,omitempty"` // waits for a reset of the GPU
	RemapFailed         *bool   `json:"remap_failed,omitempty"`  // the GPU should be replaced
}

// Fabric is the state of the NVSwitch fabric as a GPU sees it.
type Fabric struct {
	State       string `json:"state"` // not supported, not started, in progress or completed
	Status      int    `json:"status"`
	CliqueID    uint32 `json:"clique_id"`
	ClusterUUID string `json:"cluster_uuid,omitempty"`
	// Health lists what is wrong with the fabric, empty when nothing is or the
	// driver does not say.
	Health []string `json:"health,omitempty"`
}

// MIG is how a GPU is partitioned.
type MIG struct {
	Enabled bool      `json:"enabled"`
	Pending bool      `json:"pending"` // what it will be after the next reset
	Parts   []MIGPart `json:"parts,omitempty"`
}

// MIGPart is one partition of a GPU.
type MIGPart struct {
	Index       int    `json:"index"`
	Name        string `json:"name"`
	UUID        string `json:"uuid"`
	MemoryBytes uint64 `json:"memory_bytes,omitempty"`
}

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
