package page

import (
	"fmt"
	"strings"
	"testing"

	"tokprof/report/document"
)

// deepDocument has many distinct deep stacks, as Python frames give.
func deepDocument(samples int) *document.Analysis {
	a := &document.Analysis{Window: document.Window{DurNS: 1e9}}
	a.Stacks.Nodes = []document.Frame{{Parent: -1}}
	for i := range 40 {
		a.Kernels = append(a.Kernels, document.Kernel{Name: fmt.Sprint("kernel_", i), Group: "gemm", Launches: 1, TotalNS: 1})
	}
	seed := uint64(7)
	next := func(n int) int {
		seed = seed*6364136223846793005 + 1442695040888963407
		return int(seed>>33) % n
	}
	for i := range samples {
		at := int32(next(len(a.Stacks.Nodes)))
		a.Stacks.Nodes = append(a.Stacks.Nodes, document.Frame{Parent: at, Kind: document.FramePython, Name: fmt.Sprint("f", i), File: "m.py", Line: int64(i)})
		a.Stacks.Samples = append(a.Stacks.Samples, document.Sample{Node: int32(len(a.Stacks.Nodes) - 1), Kernel: int32(next(40)), Phase: "decode",
			TimeNS: int64(next(100_000)), ExposedNS: int64(next(1000)), Launches: int64(1 + next(3))})
	}
	return a
}

// addReadings adds GPUs with as many points as a document can have.
func addReadings(a *document.Analysis, gpus int) {
	a.Readings = &document.Readings{}
	for g := range gpus {
		d := document.DeviceReadings{GPU: g, Name: "NVIDIA H200", Ranks: []int{g}}
		for _, name := range []string{"sm_mhz", "mem_mhz", "power_w", "temp_c", "nvlink_tx_bytes_per_s", "nvlink_rx_bytes_per_s"} {
			x := document.ReadingSeries{Name: name}
			for i := range int64(600) {
				x.UnixNS, x.Values = append(x.UnixNS, i*1_666_667), append(x.Values, 1.234567891e11+float64(i*i%97))
			}
			d.Series = append(d.Series, x)
		}
		for i := range int64(600) {
			d.Bands = append(d.Bands, document.ReadingBand{FromUnixNS: i * 1_666_667, ToUnixNS: i*1_666_667 + 900_000, Reason: []string{"idle", "power cap"}[i%2]})
		}
		a.Readings.Devices = append(a.Readings.Devices, d)
	}
}

// addSamples adds GPUs with as many metrics and points as a document can have.
func addSamples(a *document.Analysis, gpus int) {
	a.Samples = &document.Samples{}
	mean := 12.3456789
	for g := range gpus {
		for i, key := range []string{"gpc_clock", "sm_active", "tensor_active", "dram_read", "dram_write", "nvlink_tx", "nvlink_rx", "pcie_tx", "pcie_rx", ""} {
			x := document.SampledSeries{Source: fmt.Sprint("GPU ", g), Owners: []document.SampledOwner{{Rank: g}}, How: "device_table",
				Metric: fmt.Sprint(key, " [Throughput %]"), Key: key, Samples: 150, PeriodNS: 100_000, Level: document.Level{Min: 1, Mean: 2, Max: 98}, CoveredShare: 0.5}
			for _, p := range []string{"prefill", "decode", "mixed"} {
				x.Phases = append(x.Phases, document.PhaseSample{Phase: p, Mean: &mean, CoveredShare: 1})
			}
			for k := range int64(150) {
				x.UnixNS, x.Values = append(x.UnixNS, k*6_666_667), append(x.Values, float64(k*k%97)+float64(i)/7)
			}
			a.Samples.Series = append(a.Samples.Series, x)
		}
	}
}

func TestPageStaysSmall(t *testing.T) {
	long := func(i int) string { return fmt.Sprint(i, strings.Repeat("<&\xff", 1600)) }
	a := deepDocument(30_000)
	for i := range a.Stacks.Nodes {
		a.Stacks.Nodes[i].Name = long(i)[:200]
	}
	a.Kernels = a.Kernels[:0]
	var lanes [4]document.Lane
	for i := range 1500 {
		s := long(i)
		a.Kernels = append(a.Kernels, document.Kernel{Name: s, ShortName: s, Group: s, Subgroup: s, Rule: s, Tags: []string{s, s}, TotalNS: 1000, Roles: []document.KernelRole{{Role: s, TimeNS: 5}, {Role: s, TimeNS: 5}, {Role: s, TimeNS: 5}}})
		if i < 150 {
			a.Sources = append(a.Sources, document.Source{Path: s, SHA256: s, GPU: s})
			a.Trust = append(a.Trust, document.Trust{Code: s, Message: s})
			a.Devices = append(a.Devices, document.Device{Rank: i, IdleCauses: []document.IdleCause{{Cause: s}, {Cause: s}}})
		}
		a.Roles = append(a.Roles, document.Row{Phase: fmt.Sprint(i % 9), Name: s, TimeNS: 5, Work: &document.Work{Bound: s, How: s}})
		a.Categories = append(a.Categories, document.Row{Phase: fmt.Sprint(i % 9), Name: s, TimeNS: 5})
		a.Groups = append(a.Groups, document.Row{Phase: s, Name: s, TimeNS: 5})
		a.Streams = append(a.Streams, document.Stream{Rank: i})
		a.Launches = append(a.Launches, document.Launches{Rank: i})
		a.Collectives = append(a.Collectives, document.Collective{Kind: s, Kernel: s, TransferSumNS: 5, WaitSumNS: 5, Late: []document.LateRank{{Rank: i, Share: 1}}})
		a.Findings = append(a.Findings, document.Finding{Title: s, Remedy: s, Evidence: []string{s, s}})
		a.Provenance = append(a.Provenance, document.Provenance{Provenance: s, TimeNS: 5})
		addHostileRequest(a, i, s)
		a.Layers = append(a.Layers, document.Layer{Phase: fmt.Sprint(i % 9), Index: i, Kind: s, Outlier: true, Parts: []document.NameTime{{Name: s, TimeNS: 5}, {Name: s, TimeNS: 6}}, TimeNS: 11})
	}
	for i := range 50_000 {
		a.Steps = append(a.Steps, document.Step{Index: i, Rank: i % 8, Phase: "decode", Name: "s", StartUnixNS: int64(i) * 1e6, DurNS: 1e6, BusyNS: 9e5, Tokens: 5, Parts: []document.NameTime{{Name: "ffn", TimeNS: 9e5}}})
		lanes[i%4].Spans = append(lanes[i%4].Spans, document.SpanEvent{StartNS: int64(i) * 1e3, DurNS: 900, Kernel: int32(i % 1500), Layer: i, Role: long(i), Part: "ffn"})
	}
	for i := range 6 {
		a.Timelines = append(a.Timelines, document.Timeline{Phase: "decode", Step: i, DurNS: 1e9, Lanes: lanes[:]})
	}
	addReadings(a, 64)
	addSamples(a, 40)
	for _, n := range []int{1, 2, 15} {
		as := make([]*document.Analysis, n)
		for i := range as {
			as[i] = a
		}
		page := drawPage(t, as...)
		if mb := float64(len(page)) / 1e6; mb >= 5 {
			t.Errorf("%d windows: the page has %.3f MB", n, mb)
		} else {
			t.Logf("%d windows: %.2f MB", n, mb)
		}
	}
}
