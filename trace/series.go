package trace

import (
	"cmp"
	"math"
	"slices"
	"sort"

	"tokprof/trace/internal/nsys"
)

// sampledSeries are an export's series on the clock of its traces, those of one
// GPU together. Its metrics are sampled at once, so series of equal times share
// them.
func sampledSeries(x *nsys.Export) []Series {
	var out []Series
	for _, s := range slices.SortedStableFunc(slices.Values(x.Series), func(a, b nsys.Series) int {
		return cmp.Or(-cmp.Compare(min(a.GPU, 0), min(b.GPU, 0)), cmp.Compare(a.GPU, b.GPU), cmp.Compare(a.Source, b.Source))
	}) {
		own := onClock(s, x.Epoch)
		if n := len(out); n > 0 && slices.Equal(out[n-1].Times, own.Times) {
			own.Times = out[n-1].Times
		}
		out = append(out, own)
	}
	return out
}

// maxClock bounds times to what can be told apart from each other in an int64.
const maxClock = Time(1 << 61)

// onClock puts a series on a clock that starts at an epoch; it takes the values
// over.
func onClock(s nsys.Series, epoch int64) Series {
	// Samples of network adapters are read at the end of their time. Those of
	// GPUs stand at its start: on an export of our own, SM activity follows the
	// kernels of the 0.1 ms behind each, and not of those before.
	out := Series{Source: s.Source, GPU: int(s.GPU), Device: -1, Name: s.Name, Behind: s.GPU < 0, Times: make([]Time, 0, len(s.Times))}
	out.Values = s.Values[:0] // there can be 64 M of them: not kept twice
	for i, v := range s.Values {
		at := Time(s.Times[i])
		// Counters have 64 bits: a number beyond is none of theirs.
		if math.IsNaN(v) || math.Abs(v) > math.MaxUint64 || at > maxClock || at < -maxClock {
			out.Unusable++
			continue
		}
		out.Times, out.Values = append(out.Times, at+Time(epoch)), append(out.Values, v)
	}
	if !slices.IsSorted(out.Times) {
		sort.Stable(byTime(out))
	}
	return out
}

type byTime Series

func (s byTime) Len() int           { return len(s.Times) }
func (s byTime) Less(i, j int) bool { return s.Times[i] < s.Times[j] }
func (s byTime) Swap(i, j int) {
	s.Times[i], s.Times[j] = s.Times[j], s.Times[i]
	s.Values[i], s.Values[j] = s.Values[j], s.Values[i]
}

// ownSeries says which of the sampled GPUs the trace's process used, under which
// ordinal.
func (t *Trace) ownSeries(all []Series) []Series {
	if len(all) == 0 {
		return nil
	}
	used := map[int]int{} // ordinals by the profiler's number
	how := map[int]string{}
	listed := ByDeviceTable // how it is known that the other GPUs are not the process's
	for _, device := range t.devices() {
		gpu, by := t.sampledGPU(device)
		if by != "" {
			used[gpu], how[gpu] = device, by
		}
		if by != ByDeviceTable {
			listed = ""
		}
	}
	out := slices.Clone(all)
	for i := range out {
		gpu := out[i].GPU
		if d, ok := used[gpu]; ok && gpu >= 0 {
			out[i].Device, out[i].DeviceHow = d, how[gpu]
		} else if gpu >= 0 {
			out[i].DeviceHow = listed
		}
	}
	return out
}

// devices lists the ordinals of the GPUs that a trace's work ran on.
func (t *Trace) devices() []int {
	var out []int
	for _, tr := range t.tracks {
		if tr.GPU {
			out = append(out, tr.Device)
		}
	}
	for _, g := range t.GraphRuns {
		out = append(out, g.Device)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// sampledGPU is the profiler's number of the GPU that the trace's process calls
// device, and how that is known; "" when it is not: the export then lists the
// process's GPUs, and this one is not among them.
func (t *Trace) sampledGPU(device int) (gpu int, how string) {
	gpu, how = device, ByEqualNumber
	for _, g := range t.Info.GPUs {
		if g.Profiler < 0 {
			continue
		}
		if g.Device == device {
			return g.Profiler, ByDeviceTable
		}
		gpu, how = 0, ""
	}
	return gpu, how
}
