package trace

import (
	"math"
	"slices"
	"testing"

	"tokprof/trace/internal/nsys"
)

// twoRanks is an export of two processes whose ordinals count the GPUs the other
// way round, of one whose GPUs have no number, and samples of three GPUs and of
// a network port.
func twoRanks() *nsys.Export {
	at := []int64{10, 20, 30}
	return &nsys.Export{
		Epoch:   1000,
		Devices: map[nsys.DeviceID]int64{{Pid: 11, Cuda: 0}: 1, {Pid: 11, Cuda: 1}: 0, {Pid: 12, Cuda: 0}: 1, {Pid: 12, Cuda: 1}: 0},
		UUIDs:   map[nsys.DeviceID]string{{Pid: 11, Cuda: 0}: "b", {Pid: 11, Cuda: 1}: "a", {Pid: 12, Cuda: 0}: "b", {Pid: 12, Cuda: 1}: "a", {Pid: 14, Cuda: 0}: "a"},
		Series: []nsys.Series{
			{Source: "NIC mlx5_0 port 1", GPU: -1, Name: "Bytes sent [B]", Times: []int64{30, 10, 20}, Values: []float64{3, 1, 2}},
			{Source: "GPU 1", GPU: 1, Name: "SMs Active [Throughput %]", Times: at, Values: []float64{1, 2, 3}},
			{Source: "GPU 0", GPU: 0, Name: "SMs Active [Throughput %]", Times: at, Values: []float64{4, 5, 6}},
			{Source: "GPU 1", GPU: 1, Name: "Tensor Active [Throughput %]", Times: []int64{10, 20, 30}, Values: []float64{0, math.Inf(1), math.NaN()}},
			{Source: "GPU 1", GPU: 1, Name: "SM Issue [Throughput %]", Times: []int64{10, 20, 30}, Values: []float64{7, 8, 9}},
			{Source: "GPU 2", GPU: 2, Name: "SMs Active [Throughput %]", Times: []int64{math.MinInt64, 20}, Values: []float64{1, 1}},
		},
	}
}

func TestSampledSeries(t *testing.T) {
	all := sampledSeries(twoRanks())
	var order []string
	for _, s := range all {
		order = append(order, s.Source+" "+s.Name)
	}
	if want := []string{"GPU 0 SMs Active [Throughput %]", "GPU 1 SMs Active [Throughput %]", "GPU 1 Tensor Active [Throughput %]", "GPU 1 SM Issue [Throughput %]", "GPU 2 SMs Active [Throughput %]", "NIC mlx5_0 port 1 Bytes sent [B]"}; !slices.Equal(order, want) {
		t.Errorf("%q", order)
	}
	nic := all[5]
	if !nic.Behind || !slices.Equal(nic.Times, []Time{1010, 1020, 1030}) || !slices.Equal(nic.Values, []float64{1, 2, 3}) {
		t.Errorf("network samples are not in order: %+v", nic)
	}
	if tensor := all[2]; tensor.Unusable != 2 || !slices.Equal(tensor.Times, []Time{1010}) || tensor.Behind {
		t.Errorf("samples without a number: %+v", tensor)
	}
	if far := all[4]; far.Unusable != 1 || !slices.Equal(far.Times, []Time{1020}) {
		t.Errorf("a sample beyond all clocks: %+v", far)
	}
	if &all[0].Times[0] != &all[1].Times[0] {
		t.Error("equal times are kept twice")
	}
}

// TestOwnSeries wants a GPU to be a rank's by the export's table of devices, by
// its number only where the process has no table, and never against the table.
func TestOwnSeries(t *testing.T) {
	x := twoRanks()
	all := sampledSeries(x)
	for _, c := range []struct {
		what    string
		pid     uint64
		devices []int
		gpu     map[int]int // ordinal by the profiler's number
		how     string
		others  string // how it is known that the other GPUs are not used
	}{
		{"first ordinal is GPU 1", 11, []int{0}, map[int]int{1: 0}, ByDeviceTable, ByDeviceTable},
		{"second ordinal is GPU 0", 12, []int{1}, map[int]int{0: 1}, ByDeviceTable, ByDeviceTable},
		{"both", 12, []int{0, 1}, map[int]int{0: 1, 1: 0}, ByDeviceTable, ByDeviceTable},
		{"an ordinal that the table lacks", 11, []int{2}, map[int]int{}, "", ""},
		{"no table of the process", 13, []int{1}, map[int]int{1: 1}, ByEqualNumber, ""},
		{"a table without the profiler's numbers", 14, []int{0}, map[int]int{0: 0}, ByEqualNumber, ""},
	} {
		tr := &Trace{Info: Info{GPUs: gpusOf(x, &process{id: c.pid << 24})}}
		for _, d := range c.devices {
			tr.tracks = append(tr.tracks, Track{GPU: true, Device: d})
		}
		tr.tracks = append(tr.tracks, Track{Device: 9})
		got := tr.ownSeries(all)
		for i, s := range got {
			d, how := -1, c.others
			if of, used := c.gpu[s.GPU]; used {
				d, how = of, c.how
			}
			if s.GPU < 0 {
				how = ""
			}
			if s.Device != d || s.DeviceHow != how {
				t.Errorf("%s: %s is device %d (%q), want %d (%q)", c.what, s.Source, s.Device, s.DeviceHow, d, how)
			}
			if len(s.Values) > 0 && &s.Values[0] != &all[i].Values[0] {
				t.Errorf("%s: the samples of %s are not shared", c.what, s.Source)
			}
		}
	}
	if (&Trace{}).ownSeries(nil) != nil {
		t.Error("series from nowhere")
	}
}
