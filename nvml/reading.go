package nvml

import (
	"slices"
	"strconv"
)

// Field is one value that a GPU can be asked for.
type Field uint8

// The fields of a Reading. The comment gives the unit; a counter only grows
// until it wraps or the driver is reloaded, everything else is a level.
const (
	Power          Field = iota // mW; the mean of the last second on Ampere and later, except GA100
	PowerInstant                // mW, without that averaging
	Energy                      // mJ, counter; refreshed about every 100 ms
	SMClock                     // MHz
	MemClock                    // MHz
	Temp                        // °C
	MemTemp                     // °C
	ReasonBits                  // clock-event reasons, a set of bits: see Reasons
	UtilGPU                     // % of the driver's last window with at least one kernel running
	UtilMem                     // % of the driver's last window with device memory in use
	MemUsed                     // bytes
	NVLinkRx                    // KiB of data received, counter; of which links, see Recording.LinkScope
	NVLinkTx                    // KiB of data sent, counter
	PCIeRx                      // bytes received, counter; the driver's may wrap at 32 bits
	PCIeTx                      // bytes sent, counter
	PowerCapNS                  // ns that the software power cap held the clocks down, counter
	SyncBoostNS                 // ns that sync boost did
	SWThermalNS                 // ns that software thermal slowdown did
	HWThermalNS                 // ns that hardware thermal slowdown did
	PowerBrakeNS                // ns that the external power brake did
	ECCCorrected                // errors since the driver was loaded, counter
	ECCUncorrected              // errors since the driver was loaded, counter
	Xid                         // number of an Xid error that the driver told of since the reading before
	SMActive                    // ‰ of the time that a multiprocessor had a warp (GPM, Hopper and later)
	SMOccupancy                 // ‰ of the warps that the multiprocessors can hold (GPM)
	TensorActive                // ‰ of the time that a tensor pipe was busy (GPM)
	DRAMActive                  // ‰ of the peak of device memory bandwidth (GPM)
	GPMNVLinkRx                 // MiB/s over all links (GPM)
	GPMNVLinkTx                 // MiB/s over all links (GPM)
	numFields
)

// Fields is a set of fields.
type Fields uint64

// AllFields holds every field.
const AllFields = Fields(1)<<numFields - 1

// UsualFields are all but those of GPM: its calls, made while other GPUs were
// read, crashed the process on a virtual machine with H200 (driver 580.159.04).
// Where somebody wants them, the GPUs are read one after another.
const UsualFields = AllFields &^ gpmFields

// Set makes a set of fields.
func Set(fields ...Field) Fields {
	var m Fields
	for _, f := range fields {
		m |= 1 << f
	}
	return m
}

// Has says whether a field is in the set.
func (m Fields) Has(f Field) bool { return m>>f&1 == 1 }

// Reading is what one GPU read at one moment. A value counts only where Valid
// has its field: unsupported, not permitted and not asked this time are all
// absent, and absent is not zero. Field says what each value is, and its unit.
type Reading struct {
	UnixNS int64
	GPU    int // the driver's index, Device.Index
	Valid  Fields

	PowerMW, PowerInstantMW, EnergyMJ      uint64
	SMClockMHz, MemClockMHz                uint64
	TempC, MemTempC                        uint64
	Reasons                                Reasons
	UtilGPU, UtilMem                       uint64
	MemUsed                                uint64
	NVLinkRxKiB, NVLinkTxKiB               uint64
	PCIeRxBytes, PCIeTxBytes               uint64
	PowerCapNS, SyncBoostNS                uint64
	SWThermalNS, HWThermalNS, PowerBrakeNS uint64
	ECCCorrected, ECCUncorrected, Xid      uint64
	SMActive, SMOccupancy                  uint64
	TensorActive, DRAMActive               uint64
	GPMNVLinkRxMiBs, GPMNVLinkTxMiBs       uint64
}

// fieldTable says of each field what it is called in a recording, whether it
// counts up, and where a Reading keeps it.
var fieldTable = [numFields]struct {
	key     string
	counter bool
	at      func(*Reading) *uint64
}{
	Power:          {"power_mw", false, func(r *Reading) *uint64 { return &r.PowerMW }},
	PowerInstant:   {"power_instant_mw", false, func(r *Reading) *uint64 { return &r.PowerInstantMW }},
	Energy:         {"energy_mj", true, func(r *Reading) *uint64 { return &r.EnergyMJ }},
	SMClock:        {"sm_mhz", false, func(r *Reading) *uint64 { return &r.SMClockMHz }},
	MemClock:       {"mem_mhz", false, func(r *Reading) *uint64 { return &r.MemClockMHz }},
	Temp:           {"temp_c", false, func(r *Reading) *uint64 { return &r.TempC }},
	MemTemp:        {"mem_temp_c", false, func(r *Reading) *uint64 { return &r.MemTempC }},
	ReasonBits:     {"reasons", false, func(r *Reading) *uint64 { return (*uint64)(&r.Reasons) }},
	UtilGPU:        {"util_gpu", false, func(r *Reading) *uint64 { return &r.UtilGPU }},
	UtilMem:        {"util_mem", false, func(r *Reading) *uint64 { return &r.UtilMem }},
	MemUsed:        {"mem_used", false, func(r *Reading) *uint64 { return &r.MemUsed }},
	NVLinkRx:       {"nvlink_rx_kib", true, func(r *Reading) *uint64 { return &r.NVLinkRxKiB }},
	NVLinkTx:       {"nvlink_tx_kib", true, func(r *Reading) *uint64 { return &r.NVLinkTxKiB }},
	PCIeRx:         {"pcie_rx_bytes", true, func(r *Reading) *uint64 { return &r.PCIeRxBytes }},
	PCIeTx:         {"pcie_tx_bytes", true, func(r *Reading) *uint64 { return &r.PCIeTxBytes }},
	PowerCapNS:     {"power_cap_ns", true, func(r *Reading) *uint64 { return &r.PowerCapNS }},
	SyncBoostNS:    {"sync_boost_ns", true, func(r *Reading) *uint64 { return &r.SyncBoostNS }},
	SWThermalNS:    {"sw_thermal_ns", true, func(r *Reading) *uint64 { return &r.SWThermalNS }},
	HWThermalNS:    {"hw_thermal_ns", true, func(r *Reading) *uint64 { return &r.HWThermalNS }},
	PowerBrakeNS:   {"power_brake_ns", true, func(r *Reading) *uint64 { return &r.PowerBrakeNS }},
	ECCCorrected:   {"ecc_corrected", true, func(r *Reading) *uint64 { return &r.ECCCorrected }},
	ECCUncorrected: {"ecc_uncorrected", true, func(r *Reading) *uint64 { return &r.ECCUncorrected }},
	Xid:            {"xid", false, func(r *Reading) *uint64 { return &r.Xid }},
	SMActive:       {"sm_active_permille", false, func(r *Reading) *uint64 { return &r.SMActive }},
	SMOccupancy:    {"sm_occupancy_permille", false, func(r *Reading) *uint64 { return &r.SMOccupancy }},
	TensorActive:   {"tensor_active_permille", false, func(r *Reading) *uint64 { return &r.TensorActive }},
	DRAMActive:     {"dram_active_permille", false, func(r *Reading) *uint64 { return &r.DRAMActive }},
	GPMNVLinkRx:    {"gpm_nvlink_rx_mibs", false, func(r *Reading) *uint64 { return &r.GPMNVLinkRxMiBs }},
	GPMNVLinkTx:    {"gpm_nvlink_tx_mibs", false, func(r *Reading) *uint64 { return &r.GPMNVLinkTxMiBs }},
}

// fieldByKey finds a field by its name in a recording.
var fieldByKey = func() map[string]Field {
	m := make(map[string]Field, numFields)
	for i, row := range fieldTable {
		m[row.key] = Field(i)
	}
	return m
}()

// String is the field's name in a recording, with its unit.
func (f Field) String() string {
	if f >= numFields {
		return "unknown field"
	}
	return fieldTable[f].key
}

// MarshalText writes the field's name, so that fields can be keys of JSON.
func (f Field) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// Counter says whether a field counts up, so that only differences mean
// something.
func (f Field) Counter() bool { return f < numFields && fieldTable[f].counter }

// ParseField finds a field by its name in a recording.
func ParseField(name string) (Field, bool) {
	f, ok := fieldByKey[name]
	return f, ok
}

// FieldNames lists the names of all fields, in their order.
func FieldNames() []string {
	return slices.Collect(func(yield func(string) bool) {
		for _, row := range fieldTable {
			if !yield(row.key) {
				return
			}
		}
	})
}

// MarshalJSON writes a reading as it stands in a recording.
func (r Reading) MarshalJSON() ([]byte, error) { return r.appendJSON(nil), nil }

func (r *Reading) appendJSON(b []byte) []byte {
	b = append(b, `{"t": `...)
	b = strconv.AppendInt(b, r.UnixNS, 10)
	b = append(b, `, "gpu": `...)
	b = strconv.AppendInt(b, int64(r.GPU), 10)
	for f := range numFields {
		if r.Valid.Has(f) {
			b = append(append(append(b, `, "`...), fieldTable[f].key...), `": `...)
			b = strconv.AppendUint(b, *fieldTable[f].at(r), 10)
		}
	}
	return append(b, '}')
}

// Value returns a field's value; ok is false where the GPU did not say.
func (r *Reading) Value(f Field) (v uint64, ok bool) {
	if f >= numFields || !r.Valid.Has(f) {
		return 0, false
	}
	return *fieldTable[f].at(r), true
}

// Put sets a field's value and marks it valid.
func (r *Reading) Put(f Field, v uint64) {
	*fieldTable[f].at(r) = v
	r.Valid |= 1 << f
}

// Fill takes over what an older reading of the same GPU has and r has not: the
// slower values are not asked every time. Xid errors are events and do not last.
func (r *Reading) Fill(older *Reading) {
	for f := range numFields {
		if v, ok := older.Value(f); ok && f != Xid && !r.Valid.Has(f) {
			r.Put(f, v)
		}
	}
}
