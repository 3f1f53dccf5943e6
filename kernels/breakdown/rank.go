// Package breakdown says how the GPU time of one trace adds up: by step, phase,
// category, stack, stream and cause of idleness. It keeps sums of a trace's
// events as kernels/attribution knows them, so that ranks can be reduced one at
// a time. It judges nothing and draws nothing. Times are nanoseconds.
package breakdown

import (
	"cmp"
	"maps"
	"slices"

	"tokprof/kernels"
	"tokprof/kernels/attribution"
	"tokprof/kernels/role"
	"tokprof/trace"
)

// Rank is how the GPU time of one trace file adds up. It holds no reference to
// the trace, so the trace can go before the next rank is read.
type Rank struct {
	Info       trace.Info
	GPUName    string
	Role       Role
	Start, End trace.Time // first GPU event's start, last one's end; 0 without GPU events

	Devices  []Device
	Streams  []Stream
	Kernels  []Kernel
	Frames   []attribution.Frame
	Cells    []Cell
	Whole    []Whole // graphs recorded as a whole, in no cell
	Copies   []Copy
	Steps    []attribution.Step
	StepSums []StepSum
	Layers   []LayerSum
	Graphs   []Graph
	Excerpts []Excerpt
	Captured *attribution.Captured // of a graph-capture trace
	Shapes   []ShapeSum
	Weights  []WeightSeen
	// Collectives, by step and order in it; those outside steps come first.
	Collectives []Collective
	Batches     []BatchKernel // when asked for

	// Disagreements counts products whose module and place in the pass give
	// different roles.
	Disagreements int64
	Landmarks     bool // steps were cut at landmarks: nothing was annotated

	// Ambiguous counts correlation numbers used by several processes: the
	// file holds several ranks.
	Ambiguous     int
	AmbiguousPids []string
	// Unanswered counts submitting calls that own no GPU event; LastLaunch is
	// the start of the last submitting call: a recording whose GPU events end
	// long before it was not complete.
	Unanswered int64
	LastLaunch trace.Time
	// Series are the values that the profiler sampled, shared by all ranks of a
	// file.
	Series []trace.Series

	host      *hostTimes
	onDevices []StepDevice // of several devices only
}

// Device is one GPU of the trace.
type Device struct {
	Device    int
	Busy, Sum trace.Time
	Graph     trace.Time // covered by graph runs recorded as a whole, and by no event
	Events    int64
	First     trace.Time
	Last      trace.Time
	Idle      [numCauses]Idle                  // between First and Last
	PhaseIdle [numPhases][numCauses]trace.Time // by the phase whose step was last at work
	Launches  Launches
}

// Stream is one stream of one device.
type Stream struct {
	Device    int
	Stream    int64
	Busy, Sum trace.Time
	Events    int64
}

// Kernel is one name among the GPU events.
type Kernel struct {
	Name  string
	Match kernels.Match
	Copy  bool // a copy or memset, by the trace's own kind
	Durs  Durations
}

// Cell is the finest sum: everything that is shown adds cells up, which is why
// parts and totals agree to the nanosecond.
type Cell struct {
	Node   int32 // into Frames: innermost frame above the kernel
	Kernel int32 // into Kernels
	Device int
	Stream int64
	Phase  trace.Phase
	Graph  bool
	Role   role.Role
	Prov   attribution.Provenance
	Part   attribution.Part
	Time   trace.Time
	// Exposed is the time in which nothing of another group ran, nor a graph
	// recorded as a whole. Over a device, with the exposed time of its graphs and
	// the time in which several of these ran, it is Device.Busy + Device.Graph.
	Exposed  trace.Time
	Launches int64
}

// Copy is the memory traffic under one name.
type Copy struct {
	Kernel    int32 // into Kernels: its category is the direction
	Count     int64
	Unsized   int64
	Bytes     int64
	Time      trace.Time
	SizedTime trace.Time
	Sizes     []int64 // of the sized ones, by end time
}

// StepSum is the time of one role, or of what has none, in one part and step,
// over all devices.
type StepSum struct {
	Step int32
	Part attribution.Part
	Role role.Role
	Time trace.Time
}

// LayerSum is the time of one part of one layer over the steps of a phase and
// the devices that the layer ran on.
type LayerSum struct {
	Phase trace.Phase
	Layer int
	Kind  role.LayerKind
	Part  attribution.Part
	Time  trace.Time
	Steps int64 // in which the layer ran, counted on each device
}

// Options say what to keep beside the sums.
type Options struct {
	// ExcerptFrom and ExcerptTo pick steps to keep event by event; with
	// ExcerptTo < ExcerptFrom the representative step of each phase is kept.
	ExcerptFrom, ExcerptTo int
	// Like are excerpts of ranks reduced before: of steps that ran at the same
	// time, the same one is kept.
	Like     []Excerpt
	Batches  bool // keep the lengths of kernels by the batch of their steps
	Evidence attribution.Evidence
}

// Reduce adds up one trace.
func Reduce(t *trace.Trace, c *kernels.Classifier, o Options) *Rank {
	ev := attribution.NewEvents(t, c, o.Evidence)
	r := &Rank{Info: t.Info, GPUName: t.GPUName(), Role: roleOf(ev), Steps: ev.Steps, Series: t.Series}
	r.Ambiguous, r.AmbiguousPids = t.AmbiguousLaunches()
	if r.Role == GraphCapture {
		r.Captured = attribution.ReadCaptured(t)
	}
	if len(t.GPU()) == 0 && len(t.GraphRuns) == 0 {
		return r
	}
	r.Disagreements, r.Landmarks = ev.Disagreements, ev.Landmarks
	u := newSums(ev, r, ev.Stacks)
	if o.Batches {
		u.batches = newBatches(ev)
	}
	r.host = newHostTimes(ev)
	on := devices(ev)
	for _, device := range on {
		u.device(device, r.host)
		if len(on) > 1 {
			r.onDevices = append(r.onDevices, stepDevices(ev, device)...)
		}
	}
	slices.SortStableFunc(r.onDevices, func(a, b StepDevice) int { return cmp.Compare(a.Step, b.Step) })
	u.finish()
	r.Collectives = u.collectives()
	r.Batches = u.batches.list()
	r.Shapes, r.Weights = shapeSums(ev)
	r.Unanswered, r.LastLaunch = unanswered(ev)
	r.Graphs = findGraphs(ev)
	r.Excerpts = excerpts(ev, o, u.kernelOf)
	return r
}

// devices lists the indices into GPU() of each device, by ordinal.
func devices(ev *attribution.Events) []deviceEvents {
	t := ev.Trace
	perTrack := make([]int, t.Tracks())
	for _, id := range t.GPU() {
		perTrack[t.TrackOf(id)]++
	}
	counts := map[int]int{}
	for tr, n := range perTrack {
		if n > 0 {
			counts[t.Track(trace.TrackID(tr)).Device] += n
		}
	}
	for _, g := range t.GraphRuns {
		counts[g.Device] += 0 // known, if only by its graph runs
	}
	var out []deviceEvents
	for _, d := range slices.Sorted(maps.Keys(counts)) {
		out = append(out, deviceEvents{device: d, events: make([]int32, 0, counts[d])})
	}
	of := make([]*deviceEvents, t.Tracks())
	for tr := range of {
		for n := range out {
			if out[n].device == t.Track(trace.TrackID(tr)).Device {
				of[tr] = &out[n]
			}
		}
	}
	for i, id := range t.GPU() {
		d := of[t.TrackOf(id)]
		d.events = append(d.events, int32(i))
	}
	for i := range out {
		out[i].runs = runsOf(ev, out[i].device)
	}
	return out
}

type deviceEvents struct {
	device int
	events []int32
	runs   []deviceRun // by start
}
