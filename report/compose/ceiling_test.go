package compose

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"tokprof/kernels/breakdown"
	"tokprof/kernels/collective/reducing"
	"tokprof/nvml"
	"tokprof/report/document"
	"tokprof/report/gpus"
)

// hostOf is a host of n GPUs with one path between each two of them, but for
// those of odd.
func hostOf(n int, path nvml.Path, odd map[[2]int]nvml.Path) *nvml.Topology {
	t := &nvml.Topology{}
	for i := range n {
		t.Nodes = append(t.Nodes, nvml.Node{Name: fmt.Sprint("GPU", i)})
		t.Paths = append(t.Paths, make([]nvml.Path, n))
		for j := range n {
			t.Paths[i][j] = path
			if p, ok := odd[[2]int{min(i, j), max(i, j)}]; ok {
				t.Paths[i][j] = p
			}
		}
		t.Paths[i][i] = nvml.PathSelf
	}
	return t
}

// devicesOf describes n GPUs of one kind.
func devicesOf(n int, name string, pcie *nvml.PCIe, links ...nvml.Link) *nvml.Recording {
	rec := &nvml.Recording{}
	for i := range n {
		rec.Devices = append(rec.Devices, nvml.Device{Index: i, Name: name, PCIe: pcie, Links: links})
	}
	return rec
}

func upLinks(n, generation int) (out []nvml.Link) {
	for i := range n {
		out = append(out, nvml.Link{Index: i, Active: true, Generation: generation})
	}
	return out
}

// TestCeilings holds the path between ranks against what NCCL counts on and
// what the wires carry, in GB/s.
func TestCeilings(t *testing.T) {
	gen4 := &nvml.PCIe{Generation: 4, Width: 16, PeakBytesPerSecond: 31.5e9}
	asleep := &nvml.PCIe{Generation: 1, Width: 16, MaxGeneration: 5, MaxWidth: 16, PeakBytesPerSecond: 4e9}
	for _, c := range []struct {
		name           string
		gpu            string
		ranks          int
		topo           *nvml.Topology
		rec            *nvml.Recording
		nccl, physical float64
		warn           string // part of the warning
	}{
		{"two H200 behind a switch", "NVIDIA H200", 2, hostOf(2, "NV18", nil), nil, 370.8, 450, ""},
		{"eight H100 behind a switch", "NVIDIA H100 80GB HBM3", 8, hostOf(8, "NV18", nil), nil, 370.8, 450, ""},
		{"four of eight: any four are alike", "NVIDIA H100 80GB HBM3", 4, hostOf(8, "NV18", nil), nil, 370.8, 450, ""},
		{"eight A100 behind a switch", "NVIDIA A100-SXM4-80GB", 8, hostOf(8, "NV12", nil), nil, 240, 300, ""},
		{"four A100 wired to each other", "NVIDIA A100-SXM4-40GB", 4, hostOf(4, "NV4", nil), nil, 240, 300, ""},
		{"two of four A100 wired to each other", "NVIDIA A100-SXM4-40GB", 2, hostOf(4, "NV4", nil), nil, 80, 100, ""},
		{"three H800 behind a switch: eight links are all they have", "NVIDIA H800", 3, hostOf(8, "NV8", nil), nil, 164.8, 200, ""},
		{"eight B200", "NVIDIA B200", 8, hostOf(8, "NV18", nil), nil, 721.8, 900, ""},
		{"a generation that only the driver tells", "", 8, hostOf(8, "NV18", nil), devicesOf(8, "NVIDIA X1", nil, upLinks(18, 5)...), 721.8, 900, ""},
		{"a bridge of unknown generation", "NVIDIA X1", 2, hostOf(2, "NV4", nil), nil, 0, 0, ""},
		{"an A6000's bridge is slower than its generation", "NVIDIA RTX A6000", 2, hostOf(2, "NV4", nil), nil, 0, 0, ""},
		{"four L40S over PCIe", "NVIDIA L40S", 4, hostOf(4, nvml.PathPHB, nil), devicesOf(4, "NVIDIA L40S", gen4), 24, 31.504, "NCCL_P2P_LEVEL=PHB"},
		{"across sockets", "NVIDIA L40S", 2, hostOf(2, nvml.PathSys, nil), devicesOf(2, "NVIDIA L40S", gen4), 24, 31.504, "pipeline or data parallelism"},
		{"a link that sleeps at generation 1", "NVIDIA H100 PCIe", 2, hostOf(2, nvml.PathPIX, nil), devicesOf(2, "NVIDIA H100 PCIe", asleep), 48, 63.008, "cross PCIe"},
		{"PCIe of unknown width", "NVIDIA L40S", 2, hostOf(2, nvml.PathPHB, nil), nil, 0, 0, "cross PCIe"},
		{"pairs that differ, and which are ours is not known", "NVIDIA H100 NVL", 2, hostOf(4, nvml.PathSys, map[[2]int]nvml.Path{{0, 1}: "NV12", {2, 3}: "NV12"}), nil, 0, 0, ""},
		{"more ranks than the host has GPUs", "NVIDIA H200", 4, hostOf(2, "NV18", nil), nil, 0, 0, ""},
		{"no topology", "NVIDIA H200", 2, nil, nil, 0, 0, ""},
	} {
		var ranks []*breakdown.Rank
		for i := range c.ranks {
			r := reducing.Rank(i, 1, 0, reducing.Run(0, 100, 400, 0))
			r.GPUName, r.Info.WorldSize = c.gpu, c.ranks
			ranks = append(ranks, r)
		}
		a := Build(ranks, Options{Topology: c.topo, Readings: c.rec}).Analyses[0]
		got := a.Collectives[0]
		if !near(got.Ceiling, c.nccl*1e9, 1e-6) || !near(got.Physical, c.physical*1e9, 1e-6) {
			t.Errorf("%s: %v and %v GB/s, want %v and %v (%s)", c.name, got.Ceiling/1e9, got.Physical/1e9, c.nccl, c.physical, got.CeilingHow)
		}
		if (got.Warning == "") != (c.warn == "") || !strings.Contains(got.Warning, c.warn) {
			t.Errorf("%s: warning %q", c.name, got.Warning)
		}
		found := slices.ContainsFunc(a.Findings, func(f document.Finding) bool { return f.ID == "transfer_over_pcie" })
		if found != (c.warn != "") {
			t.Errorf("%s: finding %v", c.name, found)
		}
		if (c.topo != nil) != (got.CeilingHow != "") {
			t.Errorf("%s: %q", c.name, got.CeilingHow)
		}
	}
}

// TestCeilingOfPlacedRanks takes the path between the very GPUs, where known.
func TestCeilingOfPlacedRanks(t *testing.T) {
	topo := hostOf(4, nvml.PathSys, map[[2]int]nvml.Path{{0, 1}: "NV12", {2, 3}: "NV12"})
	pcie := &nvml.PCIe{Generation: 5, Width: 16, PeakBytesPerSecond: 63e9}
	for on, want := range map[[2]int]float64{{2, 3}: 12 * 20.6e9, {0, 1}: 12 * 20.6e9, {1, 2}: 48e9} {
		pair := []*breakdown.Rank{reducing.Rank(0, 1, 0, reducing.Run(0, 100, 50, 0)), reducing.Rank(1, 1, 0, reducing.Run(0, 140, 10, 0))}
		for _, r := range pair {
			r.Info.WorldSize = 2
		}
		rec := devicesOf(4, "NVIDIA H100 NVL", pcie)
		for i := range rec.Devices {
			rec.Devices[i].UUID = fmt.Sprint("GPU-", i)
			rec.Readings = append(rec.Readings, nvml.Reading{UnixNS: 500, GPU: i})
		}
		a := Build(pair, Options{Topology: topo, Readings: rec, GPUs: []gpus.Identity{{Rank: 0, UUID: fmt.Sprint("GPU-", on[0])}, {Rank: 1, UUID: fmt.Sprint("GPU-", on[1])}}}).Analyses[0]
		if got := a.Collectives[0].Ceiling; got != want {
			t.Errorf("GPUs %v: %v B/s, want %v (%s)", on, got, want, a.Collectives[0].CeilingHow)
		}
	}
}

// TestCeilingOfLoneFile takes the path between all GPUs, which are alike, though
// it is known on which the one rank ran: the other is on another.
func TestCeilingOfLoneFile(t *testing.T) {
	lone := reducing.Rank(0, 1, 0, reducing.Run(0, 100, 50, 0))
	lone.Info.WorldSize = 2
	rec := devicesOf(2, "NVIDIA H200", nil)
	for i := range rec.Devices {
		rec.Devices[i].UUID = fmt.Sprint("GPU-", i)
		rec.Readings = append(rec.Readings, nvml.Reading{UnixNS: 120, GPU: i})
	}
	a := Build([]*breakdown.Rank{lone}, Options{Topology: hostOf(2, "NV18", nil), Readings: rec, GPUs: []gpus.Identity{{UUID: "GPU-0"}}}).Analyses[0]
	if got := placed(a); got != "0=[0] uuid, 1=[] " {
		t.Fatalf("placed %q", got)
	}
	if got := a.Collectives[0]; got.Ceiling != 18*20.6e9 {
		t.Errorf("%v B/s (%s)", got.Ceiling, got.CeilingHow)
	}
}
