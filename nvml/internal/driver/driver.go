// Package driver holds the calls into NVIDIA's management library that we
// make, in the library's own numbers. A call into a library that is missing,
// or that lacks the function, kills the process: so every function is looked
// up before it is called, and what is missing is an error like any other.
package driver

// Driver answers questions about the GPUs of a host. GPUs are counted from 0,
// links of a GPU too. Calls for different GPUs may run at the same time. An
// answer that the library does not have is an error for which ErrUnsupported,
// ErrNotPermitted or ErrLost may hold.
type Driver interface {
	// Count is how many GPUs there are.
	Count() (int, error)
	// Text and Number ask a GPU one question; HostText asks the host.
	HostText(HostText) (string, error)
	Text(gpu int, q Text) (string, error)
	Number(gpu int, q Number) (uint64, error)
	// Link asks about one NVLink, RemotePCI for the address of its other end.
	Link(gpu, link int, q Link) (uint64, error)
	RemotePCI(gpu, link int) (string, error)
	// Pair asks about two GPUs.
	Pair(a, b int, q Pair) (uint64, error)
	// Affinity returns the processors or memory nodes near a GPU as a bit set,
	// lowest first.
	Affinity(gpu int, q Affinity) ([]uint64, error)
	// Fields asks for many values in one call. An error of one value stands in
	// its Err; the error returned is of the call as a whole.
	Fields(gpu int, values []FieldValue) error
	// Fabric tells of the NVSwitch fabric.
	Fabric(gpu int) (Fabric, error)
	// Parts lists the MIG partitions of a GPU.
	Parts(gpu int) ([]Part, error)
	// Activity measures by GPM what the GPU did since the call before, which
	// should be 100 ms ago or more; the first call gives ErrNotReady.
	Activity(gpu int) (Activity, error)
	// Xid returns an Xid error that happened and was not returned yet; ok is
	// false when there is none. It does not wait.
	Xid() (gpu int, xid uint64, ok bool, err error)
	// Close gives the library back.
	Close() error
}

// HostText is a question about the host that text answers.
type HostText int

// The texts of a host.
const (
	DriverVersion HostText = iota
	LibraryVersion
	CUDAVersion
)

// Text is a question about a GPU that text answers.
type Text int

// The texts of a GPU.
const (
	Name Text = iota
	UUID
	PCIAddress // 00000000:1B:00.0
)

// Number is a question about a GPU that a number answers.
type Number int

// The numbers of a GPU.
const (
	Power             Number = iota // mW
	PowerLimit                      // mW
	Energy                          // mJ
	SMClock                         // MHz
	MemClock                        // MHz
	MaxSMClock                      // MHz
	MaxMemClock                     // MHz
	Temperature                     // °C
	ClockReasons                    // bits
	Utilization                     // % of the GPU in the upper, of the memory in the lower 32 bits
	MemoryUsed                      // bytes
	MemoryTotal                     // bytes
	ComputeCapability               // major number in the upper, minor in the lower 32 bits
	PCIeGeneration
	PCIeWidth
	MaxPCIeGeneration
	MaxPCIeWidth
	PCIeReplays
	ECCMode        // 1 is on
	ECCCorrected   // since the driver was loaded
	ECCUncorrected // since the driver was loaded
	MIGMode        // 1 is on: pending in the upper, current in the lower 32 bits
	NUMANode       // of a GPU whose memory is one
	numNumbers
)

// Link is a question about one NVLink.
type Link int

// The numbers of an NVLink.
const (
	LinkState      Link = iota // 1 is active
	LinkVersion                // as the library counts
	LinkRemoteType             // 0 GPU, 1 NPU, 2 switch, 255 unknown
	LinkReplays
	LinkRecoveries
	LinkCRCErrors
	numLinks
)

// MaxLinks bounds the NVLinks of a GPU (NVML_NVLINK_MAX_LINKS of NVML 13).
const MaxLinks = 36

// RemoteSwitch is LinkRemoteType of an NVSwitch.
const RemoteSwitch = 2

// Pair is a question about two GPUs.
type Pair int

// The numbers of a pair.
const (
	CommonAncestor Pair = iota // 0 internal, 10 PIX, 20 PXB, 30 PHB, 40 NODE, 50 SYS
	P2PRead                    // 0 is OK, as the other P2P numbers
	P2PWrite
	P2PNVLink
)

// Affinity is a set of neighbours.
type Affinity int

// The neighbours of a GPU.
const (
	CPUs Affinity = iota
	MemoryNodes
)

// FieldID is the library's number of a value (nvml.h, NVML_FI_DEV_…).
type FieldID uint32

// The values that are asked for in batches.
const (
	FieldPowerCapNS     FieldID = 74
	FieldSyncBoostNS    FieldID = 76
	FieldMemTemp        FieldID = 82
	FieldEnergy         FieldID = 83
	FieldLinkSpeed      FieldID = 90 // MB/s of every active link
	FieldLinkCount      FieldID = 91
	FieldNVLinkTx       FieldID = 138 // KiB of data, scope a link or AllLinks
	FieldNVLinkRx       FieldID = 139
	FieldRemapCorrect   FieldID = 142
	FieldRemapUncorrect FieldID = 143
	FieldRemapPending   FieldID = 144
	FieldRemapFailed    FieldID = 145
	FieldOneLinkSpeed   FieldID = 164 // MB/s, scope a link
	FieldPowerInstant   FieldID = 186
	FieldPCIeTx         FieldID = 197
	FieldPCIeRx         FieldID = 198
	FieldSWThermalNS    FieldID = 269
	FieldHWThermalNS    FieldID = 270
	FieldPowerBrakeNS   FieldID = 271
)

// AllLinks is the scope of a sum over all links; scope 0 would be link 0 alone.
const AllLinks = 0xFFFFFFFF

// FieldValue is a question of a batch and its answer.
type FieldValue struct {
	ID    FieldID
	Scope uint32
	Value uint64
	Err   error
}

// Fabric is the state of the NVSwitch fabric. Health is a mask of the library's
// (NVML_GPU_FABRIC_HEALTH_MASK_…), 0 where it does not say.
type Fabric struct {
	State       int // 0 not supported, 1 not started, 2 in progress, 3 completed
	Status      int
	CliqueID    uint32
	ClusterUUID [16]byte
	Health      uint32
}

// Part is a MIG partition.
type Part struct {
	Index       int
	Name, UUID  string
	MemoryBytes uint64
}

// Activity is what GPM measured: percentages of the time or of the peak, and
// MiB/s. A negative number was not measured.
type Activity struct {
	SMActive, SMOccupancy, TensorActive, DRAMActive float64
	NVLinkRx, NVLinkTx                              float64
}
