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
