package compose

import (
	"slices"

	"tokprof/kernels/breakdown"
	"tokprof/kernels/collective"
	"tokprof/report/document"
	"tokprof/report/gpus"
	"tokprof/trace"
)

// joinGPUs joins the window with what its GPUs read and are.
func (b *builder) joinGPUs() {
	b.gpus = gpus.Join(
		gpus.Host{Readings: b.o.Readings, Topology: b.o.Topology, GPUs: b.o.GPUs, VisibleDevices: b.o.VisibleDevices},
		gpus.Window{Analysis: b.a, Ranks: b.ranks, Number: b.number, Unseen: b.unseen(), GPUName: b.gpuName(), Busy: b.busyBy, Sent: b.sentBytes},
	)
}

// unseen counts ranks without a file.
func (b *builder) unseen() int {
	known := map[int]bool{}
	for i := range b.ranks {
		known[b.number[i]] = true
	}
	missing, _ := b.missing(known)
	return len(missing)
}

// busyBy is the GPU time of a phase by role, and by part for what has none; the
// longest first.
func (b *builder) busyBy(phase string) (out []document.NameTime) {
	rows := map[rowKey]*document.Row{}
	for i, r := range b.ranks {
		for _, c := range r.Cells {
			if c.Phase.String() != phase {
				continue
			}
			name := c.Role.String()
			if name == "" {
				name = c.Part.String()
			}
			addRow(rows, phase, name, c)
		}
		b.splitRank(i, rows, phase, allDevices)
	}
	for _, s := range b.a.Steps {
		if g := s.GraphNS(); g > 0 && s.Phase == phase {
			addRow(rows, phase, document.WholePart, breakdown.Cell{Time: trace.Time(g * s.OnGPUs())})
		}
	}
	for _, r := range sortRows(rows, nil) {
		out = append(out, document.NameTime{Name: r.Name, TimeNS: r.TimeNS})
	}
	return out
}

// sentBytes is what each rank sent in collectives of known size; nothing where
// they are estimated from a lone file, or of a rank's several GPUs, which the
// counters tell apart.
func (b *builder) sentBytes() gpus.Sent {
	if b.split.Estimated || slices.ContainsFunc(b.ranks, func(r *breakdown.Rank) bool { return len(r.Devices) > 1 }) {
		return gpus.Sent{}
	}
	sent := gpus.Sent{Bytes: make([]int64, len(b.ranks))}
	for _, g := range b.split.Groups {
		sent.All++
		m := b.groupMessage(g)
		first := g.Members[0]
		k := b.a.Kernels[b.kernelAt[first.Rank][first.Run.Kernel]]
		bytes := m.Whole(k.Subgroup, len(g.Members))
		factor := collective.BusFactor(k.Subgroup, len(g.Members))
		algorithm := collective.AlgorithmOf(k.Name)
		if k.Subgroup == "all_reduce" && algorithm == collective.OneShot {
			factor = float64(len(g.Members) - 1) // each reads the whole of every other
		}
		if bytes == 0 || factor == 0 {
			continue
		}
		sent.Sized++
		for _, x := range g.Members {
			each := int64(float64(bytes) * factor)
			sent.Bytes[x.Rank] += each
			if x.Rank == 0 && algorithm == collective.ByNCCL && each < latencyBytes {
				sent.Small += each
			}
		}
	}
	return sent
}
