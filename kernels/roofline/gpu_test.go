package roofline

import "testing"

func TestLookupGPU(t *testing.T) {
	tests := []struct {
		name, format string
		peak, mem    float64 // TFLOP/s, GB/s
	}{
		{"NVIDIA H200", "bf16", 989.4, 4800},
		{"NVIDIA H100 80GB HBM3", "fp8", 1978.9, 3350},
		{"NVIDIA H100 PCIe", "bf16", 756, 2039},
		{"H100 NVL", "bf16", 835.5, 3938},
		{"NVIDIA A100-SXM4-80GB", "bf16", 312, 2039},
		{"A100-SXM4-40GB", "bf16", 312, 1555},
		{"A100-PCIE-40GB", "int8", 624, 1555},
		{"NVIDIA A100 80GB PCIe", "bf16", 312, 1935},
		{"Tesla V100-SXM2-32GB", "fp16", 125, 900},
		{"NVIDIA L4", "fp8", 242.5, 300},
		{"NVIDIA L40S", "bf16", 362.05, 864},
		{"NVIDIA A10", "bf16", 125, 600},
		{"NVIDIA GeForce RTX 4090", "bf16", 165.2, 1008},
		{"nvidia rtx pro 6000 blackwell server edition", "fp4", 2000, 1597},
		{"NVIDIA H20", "bf16", 148, 4000},
		{"NVIDIA GH200 480GB", "bf16", 989.4, 4000},
		{"NVIDIA B200", "fp4", 9000, 8000},
		{"NVIDIA GB200", "bf16", 2500, 8000},
		{"NVIDIA B300 SXM6 AC", "fp4", 13500, 8000},
		{"AMD Instinct MI300X", "fp8", 2614.9, 5300},
		{"AMD Instinct MI325X", "bf16", 1307.4, 6000},
		{"AMD Instinct MI250X", "bf16", 191.5, 1638.4},
		{"AMD Instinct MI210", "bf16", 181, 1638.4},
		{"AMD Instinct MI355X", "fp4", 10066.3, 8000},
	}
	for _, tt := range tests {
		g, ok := LookupGPU(tt.name)
		if !ok || !near(g.Dense[tt.format], tt.peak*1e12) || !near(g.MemBandwidth, tt.mem*1e9) {
			t.Errorf("%s: %v %+v", tt.name, ok, g)
		}
	}
	for _, name := range []string{
		"", "NVIDIA", "NVIDIA A100", "NVIDIA H100", "H200 MIG 1g.18gb", "NVIDIA H100 80GB HBM3 MIG 3g.40gb",
		"GRID A100-40C", "NVIDIA GeForce RTX 4090 Laptop GPU", "NVIDIA A100-SXM-64GB", "NVIDIA H20-3e",
		"AMD Instinct MI250X/MI250", "NVIDIA Z9000",
	} {
		if g, ok := LookupGPU(name); ok {
			t.Errorf("%q is taken for %s", name, g.Name)
		}
	}
}

// TestParts holds what is true of every row, whatever its figures.
func TestParts(t *testing.T) {
	seen := map[string]string{}
	for _, p := range parts {
		for _, alias := range append([]string{p.name}, p.aliases...) {
			if other, twice := seen[nameKey(alias)]; twice {
				t.Errorf("%s names both %s and %s", alias, other, p.name)
			}
			seen[nameKey(alias)] = p.name
		}
		if p.mem < 100 || p.mem > 20_000 || p.source == "" || p.dense["fp16"] == 0 {
			t.Errorf("%s: %+v", p.name, p)
		}
		if b := p.dense["bf16"]; b != 0 && (p.dense["fp8"] != 0 && p.dense["fp8"] < 1.99*b || p.dense["fp32"] > b) {
			t.Errorf("%s: formats out of order: %v", p.name, p.dense)
		}
	}
}

func TestBound(t *testing.T) {
	g, _ := LookupGPU("NVIDIA H200")
	read := Work{FLOPs: 1e9, Bytes: 4.8e9}
	tests := []struct {
		what         string
		w            Work
		dtype        string
		seconds      float64
		limit, bound string
		share        float64
	}{
		{"memory at half the peak", read, "bf16", 2e-3, BoundMemory, BoundMemory, 0.5},
		{"far from both", read, "bf16", 1e-2, BoundMemory, BoundLatency, 0.1},
		{"compute", Work{FLOPs: 989.4e9, Bytes: 1e6}, "bf16", 1.25e-3, BoundCompute, BoundCompute, 0.8},
		{"a format without a peak", read, "", 2e-3, "", "", 0.5},
		{"a move", Work{Bytes: 4.8e9}, "", 1.25e-3, BoundMemory, BoundMemory, 0.8},
		{"nothing", Work{}, "bf16", 1, "", "", 0},
	}
	for _, tt := range tests {
		r := g.Bound(tt.w, tt.dtype, tt.seconds)
		if r.Limit != tt.limit || r.Bound != tt.bound || !near(max(r.MemoryShare, r.ComputeShare), tt.share) || r.Above {
			t.Errorf("%s: %+v", tt.what, r)
		}
	}
	if r := g.Bound(read, "bf16", 2e-3); !near(r.Floor, 1e-3) || !near(r.BytesPerSec, 2.4e12) || !near(r.FLOPs, 5e11) || !r.ComputeKnown {
		t.Errorf("%+v", r)
	}
	if r := g.Bound(read, "bf16", 5e-4); !r.Above {
		t.Errorf("twice the bandwidth is not remarked: %+v", r)
	}
	if r := g.Bound(read, "bf16", 0); r != (Result{}) {
		t.Errorf("no time: %+v", r)
	}
	if r := (GPU{}).Bound(read, "bf16", 1); r.Bound != "" || r.MemoryKnown || r.ComputeKnown || r.BytesPerSec == 0 {
		t.Errorf("no GPU: %+v", r)
	}
}
