package nvml

import (
	"errors"
	"fmt"

	"tokprof/nvml/internal/driver"
)

// Devices asks who the GPUs are and how they stand.
func (h *Host) Devices() []Device {
	version := h.Versions().Driver
	devices := make([]Device, len(h.gpus))
	for i := range devices {
		q := questions{host: h, gpu: i}
		devices[i] = q.device()
		devices[i].Driver = version
		devices[i].LinkScope = h.gpus[i].scope
	}
	return devices
}

// questions asks one GPU and keeps what it did not answer.
type questions struct {
	host       *Host
	gpu        int
	unanswered []string
}

func (q *questions) note(what string, err error) {
	if err != nil {
		q.unanswered = append(q.unanswered, fmt.Sprintf("%s: %v", what, err))
	}
}

func (q *questions) number(what string, n driver.Number) uint64 {
	v, err := q.host.driver.Number(q.gpu, n)
	q.note(what, err)
	return v
}

// told asks for a number whose absence must not look like zero.
func (q *questions) told(what string, n driver.Number) *uint64 {
	v, err := q.host.driver.Number(q.gpu, n)
	q.note(what, err)
	if err != nil {
		return nil
	}
	return &v
}

func (q *questions) text(what string, t driver.Text) string {
	v, err := q.host.driver.Text(q.gpu, t)
	q.note(what, err)
	return v
}

func (q *questions) device() Device {
	d := Device{
		Index:          q.gpu,
		Name:           q.text("name", driver.Name),
		UUID:           q.text("UUID", driver.UUID),
		PCI:            q.text("PCI address", driver.PCIAddress),
		MemoryBytes:    q.number("memory", driver.MemoryTotal),
		PowerLimitMW:   q.number("power limit", driver.PowerLimit),
		MaxSMClockMHz:  q.number("highest SM clock", driver.MaxSMClock),
		MaxMemClockMHz: q.number("highest memory clock", driver.MaxMemClock),
	}
	major := 0
	if cc, err := q.host.driver.Number(q.gpu, driver.ComputeCapability); err == nil {
		major = int(cc >> 32)
		d.ComputeCapability = fmt.Sprintf("%d.%d", major, uint32(cc))
	} else {
		q.note("compute capability", err)
	}
	d.PCIe = q.pcie()
	d.Links = q.links(linkGeneration(major))
	d.Health = q.health()
	d.Fabric = q.fabric()
	d.MIG = q.mig()
	d.Unsupported = q.unanswered
	return d
}

func (q *questions) pcie() *PCIe {
	p := PCIe{
		Generation:    int(q.number("PCIe generation", driver.PCIeGeneration)),
		Width:         int(q.number("PCIe width", driver.PCIeWidth)),
		MaxGeneration: int(q.number("highest PCIe generation", driver.MaxPCIeGeneration)),
		MaxWidth:      int(q.number("highest PCIe width", driver.MaxPCIeWidth)),
		Replays:       q.told("PCIe replays", driver.PCIeReplays),
	}
	if p.Generation == 0 && p.MaxGeneration == 0 {
		return nil
	}
	p.PeakBytesPerSecond, _ = PCIePeak(p.MaxGeneration, p.MaxWidth)
	return &p
}

// remoteTypes are the other ends that the driver names.
var remoteTypes = map[uint64]string{0: "GPU", 1: "NPU", driver.RemoteSwitch: "switch"}

func (q *questions) links(generation int) []Link {
	h := q.host
	var links []Link
	for i := range h.linkCount(q.gpu) {
		state, err := h.driver.Link(q.gpu, i, driver.LinkState)
		if err != nil {
			q.note(fmt.Sprintf("NVLink %d", i), err)
			continue
		}
		l := Link{Index: i, Active: state == 1, Generation: generation, RemoteIs: "unknown"}
		if l.Active {
			q.link(&l)
		}
		links = append(links, l)
	}
	return links
}

func (q *questions) link(l *Link) {
	d := q.host.driver
	if v, err := d.Link(q.gpu, l.Index, driver.LinkVersion); err == nil {
		l.Version = int(v)
	}
	if v, err := d.Link(q.gpu, l.Index, driver.LinkRemoteType); err == nil && remoteTypes[v] != "" {
		l.RemoteIs = remoteTypes[v]
	}
	l.Remote, _ = d.RemotePCI(q.gpu, l.Index)
	speed := []driver.FieldValue{{ID: driver.FieldOneLinkSpeed, Scope: uint32(l.Index)}, {ID: driver.FieldLinkSpeed}}
	if d.Fields(q.gpu, speed) == nil {
		for _, v := range speed {
			if v.Err == nil && l.SpeedMBps == 0 {
				l.SpeedMBps = v.Value
			}
		}
	}
	if peak, ok := NVLinkPeak(l.Generation); ok {
		l.PeakBytesPerSecond = peak.BytesPerSecond
	}
	for _, e := range []struct {
		ask driver.Link
		to  **uint64
	}{{driver.LinkReplays, &l.Replays}, {driver.LinkRecoveries, &l.Recoveries}, {driver.LinkCRCErrors, &l.CRCErrors}} {
		if v, err := d.Link(q.gpu, l.Index, e.ask); err == nil {
			*e.to = &v
		}
	}
}

func (q *questions) health() *Health {
	h := Health{
		Corrected:   q.told("corrected ECC errors", driver.ECCCorrected),
		Uncorrected: q.told("uncorrected ECC errors", driver.ECCUncorrected),
	}
	h.ECC = yes(q.told("ECC mode", driver.ECCMode))
	rows := []driver.FieldValue{{ID: driver.FieldRemapCorrect}, {ID: driver.FieldRemapUncorrect}, {ID: driver.FieldRemapPending}, {ID: driver.FieldRemapFailed}}
	if err := q.host.driver.Fields(q.gpu, rows); err != nil {
		q.note("row remapping", err)
		return &h
	}
	told := make([]*uint64, len(rows))
	for i := range rows {
		if rows[i].Err == nil {
			told[i] = &rows[i].Value
		}
	}
	q.note("row remapping", rows[0].Err)
	h.RemappedCorrected, h.RemappedUncorrected = told[0], told[1]
	h.RemapPending, h.RemapFailed = yes(told[2]), yes(told[3])
	return &h
}

// yes reads a number as a truth.
func yes(v *uint64) *bool {
	if v == nil {
		return nil
	}
	b := *v != 0
	return &b
}

// fabricStates are the words of nvidia-smi.
var fabricStates = []string{"not supported", "not started", "in progress", "completed"}

func (q *questions) fabric() *Fabric {
	raw, err := q.host.driver.Fabric(q.gpu)
	if err != nil {
		q.note("fabric", err)
		return nil
	}
	f := Fabric{State: "unknown", Status: raw.Status, CliqueID: raw.CliqueID, Health: fabricTrouble(raw.Health)}
	if raw.State >= 0 && raw.State < len(fabricStates) {
		f.State = fabricStates[raw.State]
	}
	if u := raw.ClusterUUID; u != [16]byte{} {
		f.ClusterUUID = fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
	}
	return &f
}

// fabricTrouble reads the health mask: two bits each, 1 is yes, and four bits
// of misconfiguration, above 1 is one (nvml.h, NVML_GPU_FABRIC_HEALTH_MASK_…).
func fabricTrouble(mask uint32) []string {
	var out []string
	for _, t := range []struct {
		shift int
		what  string
	}{{0, "degraded bandwidth"}, {2, "route recovery in progress"}, {4, "a route is unhealthy"}, {6, "access timeout recovery"}} {
		if mask>>t.shift&3 == 1 {
			out = append(out, t.what)
		}
	}
	if mask>>8&15 > 1 {
		out = append(out, fmt.Sprintf("incorrect configuration (%d)", mask>>8&15))
	}
	return out
}

func (q *questions) mig() *MIG {
	mode, err := q.host.driver.Number(q.gpu, driver.MIGMode)
	if err != nil {
		if !errors.Is(err, driver.ErrUnsupported) {
			q.note("MIG", err)
		}
		return nil
	}
	m := MIG{Enabled: uint32(mode) == 1, Pending: mode>>32 == 1}
	if !m.Enabled {
		return &m
	}
	parts, err := q.host.driver.Parts(q.gpu)
	q.note("MIG partitions", err)
	for _, p := range parts {
		m.Parts = append(m.Parts, MIGPart(p))
	}
	return &m
}
