package breakdown

import (
	"cmp"
	"slices"

	"tokprof/kernels"
	"tokprof/kernels/attribution"
	"tokprof/kernels/role"
	"tokprof/trace"
)

// sums adds events up into a Rank.
type sums struct {
	ev *attribution.Events
	r  *Rank
	s  *attribution.Stacks

	kernelOf []int32   // by trace.NameID, -1 before its first event
	durs     []lengths // by kernel
	cells    map[cellKey]int32
	last     []lastCell                                       // by trace.NameID
	streams  []*Stream                                        // by trace.TrackID
	steps    []*[attribution.PartCount][role.Count]trace.Time // by step
	layers   []layerSum                                       // by phase, layer and part
	perPhase int                                              // layers of one phase in layers
	copies   map[int32]*Copy
	nodes    map[leafKey]int32
	comm     []Collective
	batches  *batches // nil when nobody asks
}

// cellKey tells cells apart. base is the host frame around the launch, from
// which the cell's node follows.
type cellKey struct {
	base  int32
	name  trace.NameID
	track trace.TrackID
	phase trace.Phase
	graph bool
	role  role.Role
	prov  attribution.Provenance
	part  attribution.Part
	kind  role.LayerKind
}

// layerSum adds up one part of one layer in one phase.
type layerSum struct {
	time  trace.Time
	steps int64
	last  int32 // the step it last ran in
	kind  role.LayerKind
}

// lastCell remembers where a name's last event went: most often the next one
// goes there too.
type lastCell struct {
	key  cellKey
	cell int32
	ok   bool
}

// lengths are the durations of one kernel; few take longer than 4 s.
type lengths struct {
	short []uint32
	long  []trace.Time
}

func (l *lengths) add(d trace.Time) {
	if d >= 0 && d < 1<<32 {
		l.short = append(l.short, uint32(d))
	} else {
		l.long = append(l.long, d)
	}
}

func (l *lengths) count() Durations {
	slices.Sort(l.short)
	return countSorted(l.short).Merge(Count(l.long))
}

type leafKey struct {
	node  int32
	phase trace.Phase
	kind  role.LayerKind
	role  role.Role
	cat   kernels.Category
}

func newSums(ev *attribution.Events, r *Rank, s *attribution.Stacks) *sums {
	u := &sums{
		ev: ev, r: r, s: s,
		kernelOf: make([]int32, ev.Trace.Names()), last: make([]lastCell, ev.Trace.Names()),
		streams: make([]*Stream, ev.Trace.Tracks()), steps: make([]*[attribution.PartCount][role.Count]trace.Time, len(ev.Steps)),
		cells: map[cellKey]int32{}, copies: map[int32]*Copy{}, nodes: map[leafKey]int32{},
	}
	for i := range u.kernelOf {
		u.kernelOf[i] = -1
	}
	u.perPhase = ev.Layers()
	u.layers = make([]layerSum, numPhases*u.perPhase*int(attribution.PartCount))
	return u
}

// device adds up the events of one device.
func (u *sums) device(de deviceEvents, host *hostTimes) {
	t := u.ev.Trace
	for i := range u.layers {
		u.layers[i].last = -1 // a step counts on each device
	}
	d := Device{Device: de.device, Events: int64(len(de.events))}
	w := &walk{idler: idler{ev: u.ev, host: host}, runs: de.runs}
	sw := &sweep{ev: u.ev, done: u.add, runs: de.runs}
	d.First = de.first(t)
	last := d.First
	w.last = d.First
	for _, i := range de.events {
		id := t.GPU()[i]
		start := t.Start(id)
		end := start + t.Dur(id)
		w.until(start)
		w.gap(w.last, start, i)
		w.reach(start, end)
		w.phase = u.ev.Phase(int(i))
		d.Busy += max(0, end-max(start, last))
		last = max(last, end)
		d.Sum += end - start
		sw.add(i)
	}
	w.until(1<<63 - 1)
	sw.finish()
	d.Last, d.Graph = w.last, w.covered-d.Busy
	d.Idle, d.PhaseIdle = w.idle, w.byPhase
	d.Launches = launches(u.ev, de)
	u.r.Whole = append(u.r.Whole, wholeSums(de.runs, sw.ran)...)
	if len(u.r.Devices) == 0 || d.First < u.r.Start {
		u.r.Start = d.First
	}
	u.r.End = max(u.r.End, d.Last)
	u.r.Devices = append(u.r.Devices, d)
}

// add books one event with its exposed time.
func (u *sums) add(i int32, exposed trace.Time) {
	t := u.ev.Trace
	e := t.Event(t.GPU()[i])
	c := &u.r.Cells[u.cell(i, e)]
	c.Time += e.Dur
	c.Exposed += exposed
	c.Launches++
	u.durs[c.Kernel].add(e.Dur)
	if u.batches != nil {
		u.batches.add(i, c.Kernel, e.Dur)
	}
	if u.r.Kernels[c.Kernel].Match.Group == "comm" {
		external := e.External
		if u.ev.InGraph(int(i)) {
			external = 0
		}
		m := t.Message(t.GPU()[i])
		u.comm = append(u.comm, Collective{
			Step: int32(u.ev.StepOf(int(i))), Device: t.Track(e.Track).Device, Kernel: c.Kernel, Start: e.Start, Dur: e.Dur, Exposed: exposed,
			Bytes: m.Bytes, Told: m.Bytes > 0, Ranks: m.Ranks, external: external,
		})
	}
	u.byStep(i, e.Dur)
	u.stream(e)
	if e.Kind != trace.Kernel {
		u.copy(e, c.Kernel)
	}
}

// cell finds or makes the cell of an event.
func (u *sums) cell(i int32, e trace.Event) int32 {
	known := u.ev.Known(int(i))
	k := cellKey{
		base: -1, name: e.Name, track: e.Track, phase: u.ev.Phase(int(i)),
		role: known.Role, prov: known.Provenance, part: known.Part, kind: known.Kind,
	}
	if c := u.ev.CallOf(int(i)); c >= 0 {
		k.base, k.graph = u.ev.Calls[c].Node, u.ev.Calls[c].Graph
	}
	last := &u.last[e.Name]
	if last.ok && last.key == k {
		return last.cell
	}
	n, ok := u.cells[k]
	if !ok {
		n = int32(len(u.r.Cells))
		u.cells[k] = n
		tr := u.ev.Trace.Track(e.Track)
		u.r.Cells = append(u.r.Cells, Cell{
			Node: u.leaf(k, u.ev.Match(int(i)).Category), Kernel: u.kernel(i, e),
			Device: tr.Device, Stream: tr.Stream, Phase: k.phase, Graph: k.graph,
			Role: k.role, Prov: k.prov, Part: k.part,
		})
	}
	*last = lastCell{k, n, true}
	return n
}

func (u *sums) kernel(i int32, e trace.Event) int32 {
	if n := u.kernelOf[e.Name]; n >= 0 {
		return n
	}
	n := int32(len(u.r.Kernels))
	u.kernelOf[e.Name] = n
	u.durs = append(u.durs, lengths{})
	u.r.Kernels = append(u.r.Kernels, Kernel{
		Name: u.ev.Trace.Name(e.Name), Match: u.ev.Match(int(i)), Copy: e.Kind != trace.Kernel,
	})
	return n
}

// leaf is the frame an event hangs from: the host frames around its launch
// where they say what the kernel is for; below a graph launch, which hides
// that, below a step's annotation alone, as in Nsight exports, and without host
// frames, phase, layer kind, and role or category stand in.
func (u *sums) leaf(c cellKey, cat kernels.Category) int32 {
	if c.base >= 0 && !c.graph && u.s.Frames()[c.base].Kind != attribution.FramePhase {
		return c.base
	}
	k := leafKey{c.base, c.phase, c.kind, c.role, cat}
	if n, ok := u.nodes[k]; ok {
		return n
	}
	parent := c.base
	if c.base < 0 {
		parent = u.s.Node(attribution.Frame{Parent: 0, Kind: attribution.FramePhase, Name: c.phase.String()})
	}
	parent = u.s.Node(attribution.Frame{Parent: parent, Kind: attribution.FrameCategory, Name: layerFrame(c.kind)})
	name := c.role.String()
	if name == "" {
		name = cat.String()
	}
	n := u.s.Node(attribution.Frame{Parent: parent, Kind: attribution.FrameCategory, Name: name})
	u.nodes[k] = n
	return n
}

func layerFrame(k role.LayerKind) string {
	switch k {
	case role.NoLayer:
		return k.String()
	case role.UnknownLayer:
		return "layers of unknown kind"
	}
	return k.String() + " layers"
}

// byStep books an event's time on its step and layer.
func (u *sums) byStep(i int32, dur trace.Time) {
	s := int32(u.ev.StepOf(int(i)))
	if s < 0 {
		return
	}
	known := u.ev.Known(int(i))
	if u.steps[s] == nil {
		u.steps[s] = new([attribution.PartCount][role.Count]trace.Time)
	}
	u.steps[s][known.Part][known.Role] += dur
	if known.Layer < 0 {
		return
	}
	l := u.layer(u.ev.Steps[s].Label.Phase, int(known.Layer), known.Part)
	l.time += dur
	l.kind = known.Kind
	if l.last != s {
		l.last = s
		l.steps++
	}
}

func (u *sums) layer(p trace.Phase, layer int, part attribution.Part) *layerSum {
	return &u.layers[(int(p)*u.perPhase+layer)*int(attribution.PartCount)+int(part)]
}

const numPhases = int(trace.Dummy) + 1

// stream books an event on its stream.
func (u *sums) stream(e trace.Event) {
	s := u.streams[e.Track]
	if s == nil {
		tr := u.ev.Trace.Track(e.Track)
		s = &Stream{Device: tr.Device, Stream: tr.Stream}
		u.streams[e.Track] = s
	}
	s.Sum += e.Dur
	s.Events++
}

func (u *sums) copy(e trace.Event, kernel int32) {
	c := u.copies[kernel]
	if c == nil {
		c = &Copy{Kernel: kernel}
		u.copies[kernel] = c
	}
	c.Count++
	c.Time += e.Dur
	n, ok := u.ev.Trace.Bytes(e.ID)
	if !ok {
		c.Unsized++
		return
	}
	c.Bytes += n
	c.SizedTime += e.Dur
	c.Sizes = append(c.Sizes, n)
}

// finish sorts what was gathered into the rank.
func (u *sums) finish() {
	u.r.Frames = u.s.Frames()
	for i := range u.r.Kernels {
		u.r.Kernels[i].Durs = u.durs[i].count()
		u.durs[i] = lengths{}
	}
	busy := streamBusy(u.ev.Trace)
	for tr, s := range u.streams {
		if s != nil {
			s.Busy = busy[tr]
			u.r.Streams = append(u.r.Streams, *s)
		}
	}
	slices.SortFunc(u.r.Streams, func(a, b Stream) int {
		return cmp.Or(cmp.Compare(a.Device, b.Device), cmp.Compare(a.Stream, b.Stream))
	})
	for _, c := range u.copies {
		u.r.Copies = append(u.r.Copies, *c)
	}
	slices.SortFunc(u.r.Copies, func(a, b Copy) int { return cmp.Compare(a.Kernel, b.Kernel) })
	u.stepSums()
}

// stepSums lists each step's time by part and role, and each layer's by part.
func (u *sums) stepSums() {
	for n, times := range u.steps {
		if times == nil {
			continue
		}
		for part := range attribution.PartCount {
			for r := range role.Count {
				if d := times[part][r]; d > 0 {
					u.r.StepSums = append(u.r.StepSums, StepSum{int32(n), part, r, d})
				}
			}
		}
	}
	for p := range numPhases {
		for layer := range u.perPhase {
			for part := range attribution.PartCount {
				if l := u.layer(trace.Phase(p), layer, part); l.steps > 0 {
					u.r.Layers = append(u.r.Layers, LayerSum{trace.Phase(p), layer, l.kind, part, l.time, l.steps})
				}
			}
		}
	}
}

// streamBusy is the union of intervals of each GPU track, by track.
func streamBusy(t *trace.Trace) []trace.Time {
	last := make([]trace.Time, t.Tracks())
	busy := make([]trace.Time, t.Tracks())
	for i := range last {
		last[i] = -1 << 63
	}
	for _, id := range t.GPU() {
		tr := t.TrackOf(id)
		start := t.Start(id)
		end := start + t.Dur(id)
		busy[tr] += max(0, end-max(start, last[tr]))
		last[tr] = max(last[tr], end)
	}
	return busy
}
