package trace

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"tokprof/trace/internal/kineto"
	"tokprof/trace/internal/nsys"
)

// GraphRun is one execution of a CUDA graph that was recorded as a whole:
// which kernels ran in it, and for how long each, the file does not say.
type GraphRun struct {
	Graph, Exec uint64 // the graph and its executable form, by the file's numbers
	Device      int
	Stream      int64
	Start, Dur  Time
	Launch      EventID // the call that launched it, NoEvent when the file lacks it
}

// End is the moment the run ended.
func (g GraphRun) End() Time { return g.Start + g.Dur }

// Series are values over time that the profiler sampled beside the events. The
// traces of one file share their slices: they list the same series in the same
// order, and differ in Device and DeviceHow alone.
type Series struct {
	Source string // whose: "GPU 1", "NIC mlx5_0 port 1"
	GPU    int    // the profiler's number of that GPU, -1 of what is none
	// Device is the GPU's ordinal in this trace, -1 when the trace is not known to
	// use it. DeviceHow says how that is known: of a Device of -1, "" means that
	// the GPU may be the trace's all the same.
	Device    int
	DeviceHow string
	Name      string // of the metric, its unit in brackets: "SMs Active [Throughput %]"
	Times     []Time // ascending
	Values    []float64
	// Behind: a value is of the time up to it. Otherwise it is of the time from
	// it to the next one.
	Behind bool
	// Unusable counts samples without a finite number.
	Unusable int
}

// How the ordinal of a sampled GPU is known.
const (
	// ByDeviceTable: the export lists which GPU each process calls by which ordinal.
	ByDeviceTable = "device_table"
	// ByEqualNumber: it lists none for the process, so that equal numbers are
	// taken to be one GPU. CUDA_VISIBLE_DEVICES makes that wrong.
	ByEqualNumber = "equal_number"
)

// rows takes an export's rows and keeps them by process, in the columns that
// traces are made of.
type rows struct {
	by   map[uint64]*process
	last *process
}

func newRows() *rows { return &rows{by: map[uint64]*process{}} }

// process is one process of an export.
type process struct {
	id     uint64
	file   *kineto.File
	block  *kineto.Block
	n      uint32
	names  []nameKey
	plain  []uint32 // number of a name without a domain, by nsys.NameID, plus 1
	domain map[nameKey]uint32
	tracks map[lane]uint16
	at     lane // of the row before
	atID   uint16
	pids   map[uint64]bool
	gpu    int64
	open   []kineto.EventID
	runs   []run
	end    int64
}

type nameKey struct{ domain, name nsys.NameID }

// lane is a GPU's stream or a process's thread.
type lane struct {
	gpu  bool
	a, b int64
}

type run struct {
	GraphRun
	corr uint64
}

// maxLanes is how many tracks a trace may have; lanes beyond share the last.
const maxLanes = 1<<16 - 2

func (r *rows) process(id uint64) *process {
	if r.last != nil && r.last.id == id {
		return r.last
	}
	p := r.by[id]
	if p == nil {
		p = &process{id: id, domain: map[nameKey]uint32{}, tracks: map[lane]uint16{}, pids: map[uint64]bool{}}
		p.file = &kineto.File{Wide: map[kineto.WideKey]int64{}, Meta: map[string][]byte{}, Counts: map[string]int64{}}
		p.atID = maxLanes + 1
		r.by[id] = p
	}
	r.last = p
	return p
}

var nsysKinds = [...]kineto.Kind{
	nsys.Kernel: kineto.Kernel, nsys.Memcpy: kineto.Memcpy, nsys.Memset: kineto.Memset,
	nsys.Runtime: kineto.Runtime, nsys.Driver: kineto.Driver, nsys.Range: kineto.Annotation,
	nsys.Mark: kineto.Instant, nsys.Overhead: kineto.Overhead,
}

// add takes one row.
func (r *rows) add(row *nsys.Row) {
	p := r.process(row.Process)
	p.end = max(p.end, row.End)
	if row.Kind.OnGPU() {
		p.gpu++
	}
	if row.Kind == nsys.GraphRun {
		p.runs = append(p.runs, run{GraphRun{
			Graph: row.Graph, Exec: row.Exec, Device: int(row.Device), Stream: row.Stream,
			Start: Time(row.Start), Dur: Time(row.End - row.Start), Launch: NoEvent,
		}, row.Corr})
		return
	}
	p.store(row)
}

// store puts a row into the columns.
func (p *process) store(row *nsys.Row) {
	b := p.block
	if b == nil || b.N == kineto.BlockLen {
		b = new(kineto.Block)
		p.block = b
		p.file.Blocks = append(p.file.Blocks, b)
	}
	id := kineto.EventID(p.n)
	i := b.N
	b.TS[i] = row.Start
	b.Dur[i] = p.narrow(uint64(row.End-row.Start), id, kineto.ColDur)
	b.Corr[i] = p.narrow(row.Corr, id, kineto.ColCorr)
	b.Name[i] = p.name(row)
	b.Track[i] = p.track(row)
	b.Kind[i] = nsysKinds[row.Kind]
	if row.Open {
		p.open = append(p.open, id)
	}
	if row.Node != 0 {
		p.file.Nodes = append(p.file.Nodes, kineto.IntArg{Event: id, Value: int64(row.Node)})
	}
	if row.Bytes >= 0 {
		p.file.Bytes = append(p.file.Bytes, kineto.IntArg{Event: id, Value: row.Bytes})
	}
	b.N++
	p.n++
}

func (p *process) narrow(v uint64, id kineto.EventID, c kineto.Column) uint32 {
	if v < uint64(kineto.Wide) {
		return uint32(v)
	}
	p.file.Wide[kineto.WideKey{Event: id, Column: c}] = int64(v)
	return kineto.Wide
}

// name is the trace's number of a row's name; the texts come when all rows have.
func (p *process) name(row *nsys.Row) uint32 {
	k := nameKey{row.Domain, row.Name}
	if row.Domain != 0 {
		n, ok := p.domain[k]
		if !ok {
			n = uint32(len(p.names))
			p.domain[k], p.names = n, append(p.names, k)
		}
		return n
	}
	if int(row.Name) >= len(p.plain) {
		p.plain = slices.Grow(p.plain, int(row.Name)+1-len(p.plain))[:row.Name+1]
	}
	if n := p.plain[row.Name]; n != 0 {
		return n - 1
	}
	p.names = append(p.names, k)
	p.plain[row.Name] = uint32(len(p.names))
	return uint32(len(p.names) - 1)
}

func (p *process) track(row *nsys.Row) uint16 {
	l := lane{true, row.Device, row.Stream}
	if !row.Kind.OnGPU() {
		l = lane{false, int64(row.Pid), int64(row.Thread)}
	}
	if l == p.at && p.atID <= maxLanes {
		return p.atID
	}
	n, ok := p.tracks[l]
	if !ok {
		n = uint16(min(len(p.tracks), maxLanes))
		if n == maxLanes {
			l = lane{} // one entry for all the lanes beyond
		}
		if _, ok := p.tracks[l]; !ok {
			p.tracks[l] = n
			p.file.Tracks = append(p.file.Tracks, kineto.Track{GPU: l.gpu, Pid: strconv.FormatInt(l.a, 10), Tid: strconv.FormatInt(l.b, 10)})
		}
	}
	if !l.gpu {
		p.pids[row.Pid] = true
	}
	p.at, p.atID = l, n
	return n
}

// finish writes the names and what else is known only at the end.
func (p *process) finish(x *nsys.Export) {
	f := p.file
	f.Names = make([]string, len(p.names))
	for i, k := range p.names {
		f.Names[i] = rangeName(x.Names[k.domain], x.Names[k.name])
	}
	f.Bytes = slices.DeleteFunc(f.Bytes, func(a kineto.IntArg) bool {
		b, i := f.At(a.Event)
		return b.Kind[i] == kineto.Annotation && !isMessage(f.Names[b.Name[i]])
	})
	for _, id := range p.open {
		b, i := f.At(id)
		b.Dur[i] = p.narrow(uint64(max(p.end-b.TS[i], 0)), id, kineto.ColDur)
	}
	for l := range p.tracks {
		if name := x.Threads[nsys.ThreadID{Pid: uint64(l.a), Thread: uint64(l.b)}]; !l.gpu && name != "" {
			f.Labels = append(f.Labels, kineto.Label{Pid: strconv.FormatInt(l.a, 10), Tid: strconv.FormatInt(l.b, 10), Kind: "thread_name", Name: name})
		}
	}
	slices.SortFunc(f.Labels, func(a, b kineto.Label) int { return cmp.Or(cmp.Compare(a.Pid, b.Pid), cmp.Compare(a.Tid, b.Tid)) })
	if name := x.Processes[p.id]; name != "" {
		f.Labels = append(f.Labels, kineto.Label{Kind: "process_name", Name: name})
	}
	p.plain, p.domain = nil, nil
}

// rangeName is an annotation's name. Ranges of a named domain carry it in
// front, but for steps, which are known by how they start.
func rangeName(domain, name string) string {
	if domain == "" {
		return name
	}
	if _, ok := ParseStep(name); ok {
		return name
	}
	return domain + ":" + name
}

// isMessage says whether a range is an NCCL call that moves data.
func isMessage(name string) bool {
	call, ok := strings.CutPrefix(name, "NCCL:nccl")
	return ok && !strings.HasPrefix(call, "Comm") && !strings.HasPrefix(call, "Group")
}
