//go:build cgo && linux

package driver

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// way is one function that can answer a question.
type way[S any] struct {
	function string
	ask      func(S) (uint64, nvml.Return)
}

// small widens the numbers that the library gives. None of ours can be
// negative.
func small[N ~int | ~uint32 | ~int32](v N, code nvml.Return) (uint64, nvml.Return) {
	if v < 0 && code == nvml.SUCCESS {
		return 0, nvml.ERROR_NO_DATA
	}
	return uint64(v), code
}

// numberWays are the functions that answer each Number, the best first.
var numberWays = [numNumbers][]way[nvml.Device]{
	Power:      {{"nvmlDeviceGetPowerUsage", func(d nvml.Device) (uint64, nvml.Return) { return small(d.GetPowerUsage()) }}},
	PowerLimit: {{"nvmlDeviceGetEnforcedPowerLimit", func(d nvml.Device) (uint64, nvml.Return) { return small(d.GetEnforcedPowerLimit()) }}},
	Energy:     {{"nvmlDeviceGetTotalEnergyConsumption", func(d nvml.Device) (uint64, nvml.Return) { return d.GetTotalEnergyConsumption() }}},
	SMClock:    {{"nvmlDeviceGetClockInfo", func(d nvml.Device) (uint64, nvml.Return) { return small(d.GetClockInfo(nvml.CLOCK_SM)) }}},
	MemClock:   {{"nvmlDeviceGetClockInfo", func(d nvml.Device) (uint64, nvml.Return) { return small(d.GetClockInfo(nvml.CLOCK_MEM)) }}},
	MaxSMClock: {{"nvmlDeviceGetMaxClockInfo", func(d nvml.Device) (uint64, nvml.Return) { return small(d.GetMaxClockInfo(nvml.CLOCK_SM)) }}},
	MaxMemClock: {{"nvmlDeviceGetMaxClockInfo", func(d nvml.Device) (uint64, nvml.Return) {
		return small(d.GetMaxClockInfo(nvml.CLOCK_MEM))
	}}},
	Temperature: {
		{"nvmlDeviceGetTemperatureV", func(d nvml.Device) (uint64, nvml.Return) {
			t, code := d.GetTemperatureV().V1()
			return small(t.Temperature, code)
		}},
		{"nvmlDeviceGetTemperature", func(d nvml.Device) (uint64, nvml.Return) { return small(d.GetTemperature(nvml.TEMPERATURE_GPU)) }},
	},
	ClockReasons: {
		{"nvmlDeviceGetCurrentClocksEventReasons", func(d nvml.Device) (uint64, nvml.Return) { return d.GetCurrentClocksEventReasons() }},
		{"nvmlDeviceGetCurrentClocksThrottleReasons", func(d nvml.Device) (uint64, nvml.Return) { return d.GetCurrentClocksThrottleReasons() }},
	},
	Utilization: {{"nvmlDeviceGetUtilizationRates", func(d nvml.Device) (uint64, nvml.Return) {
		u, code := d.GetUtilizationRates()
		return uint64(u.Gpu)<<32 | uint64(u.Memory), code
	}}},
	MemoryUsed: {
		{"nvmlDeviceGetMemoryInfo_v2", func(d nvml.Device) (uint64, nvml.Return) { m, code := d.GetMemoryInfo_v2(); return m.Used, code }},
		{"nvmlDeviceGetMemoryInfo", func(d nvml.Device) (uint64, nvml.Return) { m, code := d.GetMemoryInfo(); return m.Used, code }},
	},
	MemoryTotal: {{"nvmlDeviceGetMemoryInfo", func(d nvml.Device) (uint64, nvml.Return) { m, code := d.GetMemoryInfo(); return m.Total, code }}},
	ComputeCapability: {{"nvmlDeviceGetCudaComputeCapability", func(d nvml.Device) (uint64, nvml.Return) {
		major, minor, code := d.GetCudaComputeCapability()
		return uint64(major)<<32 | uint64(minor), code
	}}},
	PCIeGeneration:    {{"nvmlDeviceGetCurrPcieLinkGeneration", func(d nvml.Device) (uint64, nvml.Return) { return small(d.GetCurrPcieLinkGeneration()) }}},
	PCIeWidth:         {{"nvmlDeviceGetCurrPcieLinkWidth", func(d nvml.Device) (uint64, nvml.Return) { return small(d.GetCurrPcieLinkWidth()) }}},
	MaxPCIeGeneration: {{"nvmlDeviceGetMaxPcieLinkGeneration", func(d nvml.Device) (uint64, nvml.Return) { return small(d.GetMaxPcieLinkGeneration()) }}},
	MaxPCIeWidth:      {{"nvmlDeviceGetMaxPcieLinkWidth", func(d nvml.Device) (uint64, nvml.Return) { return small(d.GetMaxPcieLinkWidth()) }}},
	PCIeReplays:       {{"nvmlDeviceGetPcieReplayCounter", func(d nvml.Device) (uint64, nvml.Return) { return small(d.GetPcieReplayCounter()) }}},
	ECCMode: {{"nvmlDeviceGetEccMode", func(d nvml.Device) (uint64, nvml.Return) {
		now, _, code := d.GetEccMode()
		return small(now, code)
	}}},
	ECCCorrected: {{"nvmlDeviceGetTotalEccErrors", func(d nvml.Device) (uint64, nvml.Return) {
		return d.GetTotalEccErrors(nvml.MEMORY_ERROR_TYPE_CORRECTED, nvml.VOLATILE_ECC)
	}}},
	ECCUncorrected: {{"nvmlDeviceGetTotalEccErrors", func(d nvml.Device) (uint64, nvml.Return) {
		return d.GetTotalEccErrors(nvml.MEMORY_ERROR_TYPE_UNCORRECTED, nvml.VOLATILE_ECC)
	}}},
	MIGMode: {{"nvmlDeviceGetMigMode", func(d nvml.Device) (uint64, nvml.Return) {
		now, pending, code := d.GetMigMode()
		return uint64(pending)<<32 | uint64(now), code
	}}},
	NUMANode: {{"nvmlDeviceGetNumaNodeId", func(d nvml.Device) (uint64, nvml.Return) { return small(d.GetNumaNodeId()) }}},
}

// wire is one NVLink of a GPU.
type wire struct {
	nvml.Device
	link int
}

func linkErrors(counter nvml.NvLinkErrorCounter) []way[wire] {
	return []way[wire]{{"nvmlDeviceGetNvLinkErrorCounter", func(w wire) (uint64, nvml.Return) { return w.GetNvLinkErrorCounter(w.link, counter) }}}
}

// linkWays are the functions that answer each Link.
var linkWays = [numLinks][]way[wire]{
	LinkState:      {{"nvmlDeviceGetNvLinkState", func(w wire) (uint64, nvml.Return) { return small(w.GetNvLinkState(w.link)) }}},
	LinkVersion:    {{"nvmlDeviceGetNvLinkVersion", func(w wire) (uint64, nvml.Return) { return small(w.GetNvLinkVersion(w.link)) }}},
	LinkRemoteType: {{"nvmlDeviceGetNvLinkRemoteDeviceType", func(w wire) (uint64, nvml.Return) { return small(w.GetNvLinkRemoteDeviceType(w.link)) }}},
	LinkReplays:    linkErrors(nvml.NVLINK_ERROR_DL_REPLAY),
	LinkRecoveries: linkErrors(nvml.NVLINK_ERROR_DL_RECOVERY),
	LinkCRCErrors:  linkErrors(nvml.NVLINK_ERROR_DL_CRC_FLIT),
}

// otherFunctions are those that no table names.
var otherFunctions = []string{
	"nvmlSystemGetDriverVersion", "nvmlSystemGetNVMLVersion", "nvmlSystemGetCudaDriverVersion",
	"nvmlDeviceGetName", "nvmlDeviceGetUUID", "nvmlDeviceGetPciInfo_v3", "nvmlDeviceGetNvLinkRemotePciInfo_v2",
	"nvmlDeviceGetTopologyCommonAncestor", "nvmlDeviceGetP2PStatus",
	"nvmlDeviceGetCpuAffinityWithinScope", "nvmlDeviceGetMemoryAffinity", "nvmlDeviceGetFieldValues",
	"nvmlDeviceGetGpuFabricInfoV", "nvmlDeviceGetGpuFabricInfo",
	"nvmlDeviceGetMaxMigDeviceCount", "nvmlDeviceGetMigDeviceHandleByIndex",
	"nvmlEventSetCreate", "nvmlEventSetWait_v2", "nvmlEventSetFree", "nvmlDeviceRegisterEvents",
	"nvmlGpmQueryDeviceSupport", "nvmlGpmSampleAlloc", "nvmlGpmSampleGet", "nvmlGpmSampleFree", "nvmlGpmMetricsGet",
}

// functions lists every function that we call.
func functions() []string {
	all := slices.Concat(required, otherFunctions)
	for _, ways := range numberWays {
		for _, w := range ways {
			all = append(all, w.function)
		}
	}
	for _, ways := range linkWays {
		for _, w := range ways {
			all = append(all, w.function)
		}
	}
	return all
}

// ask tries the ways to answer in their order, as far as the library has them:
// a newer function may be there and still not support the GPU.
func ask[S any](l *library, ways []way[S], subject S) (v uint64, err error) {
	for _, w := range ways {
		v, err = guard(l, w.function, func() (uint64, nvml.Return) { return w.ask(subject) })
		if err == nil {
			return v, nil
		}
	}
	return v, err
}

// Number asks a GPU.
func (l *library) Number(gpu int, q Number) (uint64, error) {
	d, err := l.device(gpu)
	if err != nil {
		return 0, err
	}
	return ask(l, numberWays[q], d)
}

// Link asks a link.
func (l *library) Link(gpu, link int, q Link) (uint64, error) {
	d, err := l.device(gpu)
	if err != nil {
		return 0, err
	}
	return ask(l, linkWays[q], wire{d, link})
}

// RemotePCI asks a link for its other end.
func (l *library) RemotePCI(gpu, link int) (string, error) {
	d, err := l.device(gpu)
	if err != nil {
		return "", err
	}
	pci, err := guard(l, "nvmlDeviceGetNvLinkRemotePciInfo_v2", func() (nvml.PciInfo, nvml.Return) { return d.GetNvLinkRemotePciInfo(link) })
	return busID(pci), err
}

// Pair asks two GPUs.
func (l *library) Pair(a, b int, q Pair) (uint64, error) {
	from, errFrom := l.device(a)
	to, errTo := l.device(b)
	if err := errors.Join(errFrom, errTo); err != nil {
		return 0, err
	}
	if q == CommonAncestor {
		return guard(l, "nvmlDeviceGetTopologyCommonAncestor", func() (uint64, nvml.Return) { return small(from.GetTopologyCommonAncestor(to)) })
	}
	index := map[Pair]nvml.GpuP2PCapsIndex{P2PRead: nvml.P2P_CAPS_INDEX_READ, P2PWrite: nvml.P2P_CAPS_INDEX_WRITE, P2PNVLink: nvml.P2P_CAPS_INDEX_NVLINK}[q]
	return guard(l, "nvmlDeviceGetP2PStatus", func() (uint64, nvml.Return) { return small(from.GetP2PStatus(to, index)) })
}

// Room for the bit sets of affinity: go-nvml divides by 8 where it means 64.
const (
	cpuRoom  = 8192 / 8
	nodeRoom = 1024 / 8
)

// Affinity asks a GPU for its neighbours.
func (l *library) Affinity(gpu int, q Affinity) ([]uint64, error) {
	d, err := l.device(gpu)
	if err != nil {
		return nil, err
	}
	function, call := "nvmlDeviceGetCpuAffinityWithinScope", func() ([]uint, nvml.Return) {
		return d.GetCpuAffinityWithinScope(cpuRoom, nvml.AFFINITY_SCOPE_NODE)
	}
	if q == MemoryNodes {
		function, call = "nvmlDeviceGetMemoryAffinity", func() ([]uint, nvml.Return) {
			return d.GetMemoryAffinity(nodeRoom, nvml.AFFINITY_SCOPE_NODE)
		}
	}
	words, err := guard(l, function, call)
	set := make([]uint64, len(words))
	for i, w := range words {
		set[i] = uint64(w)
	}
	return set, err
}

// Fields asks for a batch.
func (l *library) Fields(gpu int, values []FieldValue) error {
	d, err := l.device(gpu)
	if err != nil {
		return err
	}
	raw := make([]nvml.FieldValue, len(values))
	for i, v := range values {
		raw[i].FieldId, raw[i].ScopeId = uint32(v.ID), v.Scope
	}
	_, err = guard(l, "nvmlDeviceGetFieldValues", func() (struct{}, nvml.Return) { return struct{}{}, d.GetFieldValues(raw) })
	if err != nil {
		return err
	}
	for i := range values {
		values[i].Value, values[i].Err = number(raw[i])
	}
	return nil
}

// number reads a field's value by its type (nvmlValueType_t).
func number(v nvml.FieldValue) (uint64, error) {
	if v.NvmlReturn != uint32(nvml.SUCCESS) {
		return 0, Error{"nvmlDeviceGetFieldValues", int(v.NvmlReturn)}
	}
	bits := binary.NativeEndian.Uint64(v.Value[:])
	switch nvml.ValueType(v.ValueType) {
	case nvml.VALUE_TYPE_DOUBLE:
		if f := math.Float64frombits(bits); f >= 0 && f < 1<<63 {
			return uint64(f + 0.5), nil
		}
		return 0, Error{"nvmlDeviceGetFieldValues", int(nvml.ERROR_NO_DATA)}
	case nvml.VALUE_TYPE_UNSIGNED_INT:
		return uint64(binary.NativeEndian.Uint32(v.Value[:])), nil
	case nvml.VALUE_TYPE_SIGNED_INT:
		return positive(int64(int32(binary.NativeEndian.Uint32(v.Value[:]))))
	case nvml.VALUE_TYPE_SIGNED_LONG_LONG:
		return positive(int64(bits))
	case nvml.VALUE_TYPE_UNSIGNED_SHORT:
		return uint64(binary.NativeEndian.Uint16(v.Value[:])), nil
	}
	return bits, nil
}

// positive refuses negative numbers: none of our values can be one.
func positive(v int64) (uint64, error) {
	if v < 0 {
		return 0, Error{"nvmlDeviceGetFieldValues", int(nvml.ERROR_NO_DATA)}
	}
	return uint64(v), nil
}
