package gpus

import (
	"strings"
	"testing"

	"tokprof/kernels/breakdown"
	"tokprof/nvml"
	"tokprof/report/document"
)

// twoGPUs are linked by a path.
func twoGPUs(p nvml.Path) *nvml.Topology {
	return &nvml.Topology{Nodes: []nvml.Node{{Name: "GPU0"}, {Name: "GPU1"}}, Paths: [][]nvml.Path{{nvml.PathSelf, p}, {p, nvml.PathSelf}}}
}

// TestLinkOfGroup wants what is not known of a group's path to be said.
func TestLinkOfGroup(t *testing.T) {
	for _, c := range []struct {
		topo  *nvml.Topology
		ranks []int
		n     int
		nccl  float64
		how   string
	}{
		{twoGPUs("NV18"), []int{0, 1}, 2, 18 * 20.6e9, "18 NVLinks of generation 4"},
		{twoGPUs("NV18"), []int{AnyRank, AnyRank}, 2, 18 * 20.6e9, "18 NVLinks of generation 4"},
		{twoGPUs("NV18"), []int{0}, 1, 0, "the path between these ranks is not known"},
		{twoGPUs("NV18"), []int{0, 1}, 0, 0, "how many there are is not known"},
		{nil, []int{0, 1}, 2, 0, "the path between these ranks is not known"},
	} {
		j := Join(Host{Topology: c.topo}, Window{Analysis: &document.Analysis{}, Ranks: []*breakdown.Rank{{}, {}}, Number: []int{0, 1}, GPUName: "NVIDIA H200"})
		if l, how := j.Link(c.ranks, c.n); !near(l.NCCL, c.nccl, 1e-9) || !strings.Contains(how, c.how) || l.OverPCIe() {
			t.Errorf("ranks %v of %d: %+v, %q", c.ranks, c.n, l, how)
		}
	}
}

// TestLinkBytes wants one sentence about counters and traced bytes where they
// can be held against each other.
func TestLinkBytes(t *testing.T) {
	for _, c := range []struct {
		name          string
		topo          *nvml.Topology
		counted, most int64
		sized         float64
		quiet         bool
		want          string // of the sentence; "" for none
	}{
		{"as many", nil, 960, 1000, 1, true, "collectives: they agree"},
		{"flags of small messages", nil, 1150, 1200, 1, true, "small messages: they agree"},
		{"one link of all", twoGPUs("NV18"), 56, 1000, 1, true, "count one of 18 links"},
		{"half", twoGPUs("NV18"), 500, 1000, 1, true, "make the difference"},
		{"other traffic", nil, 1500, 1000, 1, false, ""},
		{"other traffic, and less than traced", nil, 500, 1000, 1, false, "sizes or counters are off"},
		{"less than traced, if on one link of all", twoGPUs("NV18"), 500, 1000, 1, false, ""},
		{"collectives of unknown size", nil, 500, 1000, 0.9, true, ""},
	} {
		a := &document.Analysis{}
		j := Join(Host{Readings: &nvml.Recording{}, Topology: c.topo}, Window{Analysis: a})
		a.Readings = &document.Readings{Links: &document.LinkCheck{
			TracedBytes: 1000, TracedMostBytes: c.most, CountedBytes: c.counted, Ratio: float64(c.counted) / 1000, SizedShare: c.sized, Quiet: c.quiet,
		}}
		var got []string
		for _, x := range j.Trust() {
			if x.Code == "link_bytes" {
				got = append(got, x.Message)
			}
		}
		if s := strings.Join(got, "\n"); len(got) > 1 || (s == "") != (c.want == "") || !strings.Contains(s, c.want) {
			t.Errorf("%s: %q, want %q", c.name, s, c.want)
		}
	}
}
