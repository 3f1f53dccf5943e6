package trace

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"slices"

	"tokprof/trace/internal/kineto"
	"tokprof/trace/internal/nsys"
)

// formOf looks at the first bytes of a file, and leaves it to be read from its
// start.
func formOf(src *kineto.Source) nsys.Form {
	const enough = 4096
	if src.At != nil {
		head, err := kineto.Head(io.NewSectionReader(src.At, 0, 1<<16), enough)
		if err != nil {
			return nsys.NoExport
		}
		return nsys.Detect(head)
	}
	raw := make([]byte, 1<<16)
	n, _ := io.ReadAtLeast(src.R, raw, 16) // why it ended shows again when it is read
	src.R = io.MultiReader(bytes.NewReader(raw[:n]), src.R)
	head, err := kineto.Head(bytes.NewReader(raw[:n]), enough)
	if err != nil {
		return nsys.NoExport
	}
	return nsys.Detect(head)
}

// openExport reads an Nsight Systems export: one trace for each process that
// used a GPU.
func openExport(ctx context.Context, path string, src kineto.Source, o Options) ([]*Trace, error) {
	r := newRows()
	x, err := readExport(ctx, path, src, o, r.add)
	if err != nil {
		return nil, err
	}
	if x.Events == 0 && len(x.Summary) > 0 {
		return nil, &Error{Err: &SummaryOnly{newSummary(path, x)}, Path: path, Offset: -1, What: "sums kernels up by name, without the times of single ones", Hint: "give the report's events: nsys stats --report cuda_gpu_trace --format csv"}
	}
	return r.traces(path, x), nil
}

func readExport(ctx context.Context, path string, src kineto.Source, o Options, sink nsys.Sink) (*nsys.Export, error) {
	opt := nsys.Options{Hash: o.Hash}
	if o.Progress != nil {
		opt.Progress = func(n int64) { o.Progress(n, src.Size) }
	}
	in := nsys.Source{R: src.R}
	if src.At != nil {
		in.Path = path
	}
	x, err := nsys.Read(ctx, in, opt, sink)
	if err != nil {
		return nil, exportError(ctx, path, err)
	}
	return x, nil
}

func exportError(ctx context.Context, path string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if path == "-" {
		path = BaseName(path)
	}
	var fe *nsys.FormatError
	if errors.As(err, &fe) {
		return &Error{Path: path, Offset: -1, What: fe.What, Hint: fe.Hint, Err: err}
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return openError(path, err)
	}
	return &Error{Path: path, Offset: -1, What: "cannot be read: " + cause(err), Err: err}
}

// traces makes a trace of each process with GPU rows, or of all rows together
// where none has any. Processes are ranks in the order of their GPUs.
func (r *rows) traces(path string, x *nsys.Export) []*Trace {
	list := r.ranks(x)
	samples := sampledSeries(x)
	out := make([]*Trace, len(list))
	for i, p := range list {
		p.finish(x)
		t := buildExport(path, x, p)
		t.Series = t.ownSeries(samples)
		if len(list) > 1 {
			t.Info.Rank, t.Info.WorldSize = i, len(list)
			t.Info.Events = int64(p.n) + int64(len(p.runs))
		}
		if i > 0 {
			// What is the file's, not the process's, is told once.
			t.Info.SHA256, t.Info.Skipped, t.Info.Damage = "", 0, nil
		}
		out[i] = t
	}
	return out
}

// ranks lists the processes that become traces.
func (r *rows) ranks(x *nsys.Export) []*process {
	var list []*process
	for _, id := range slices.Sorted(maps.Keys(r.by)) {
		if p := r.by[id]; p.gpu > 0 {
			list = append(list, p)
		}
	}
	if len(list) == 0 {
		// No GPU work: the file's counts must be told all the same.
		return []*process{r.process(0)}
	}
	slices.SortStableFunc(list, func(a, b *process) int { return cmp.Compare(a.firstGPU(x), b.firstGPU(x)) })
	return list
}

// firstGPU is the lowest number, among the machine's, of the GPUs a process
// used.
func (p *process) firstGPU(x *nsys.Export) int64 {
	first := int64(1 << 62)
	for l := range p.tracks {
		if l.gpu {
			first = min(first, p.machineGPU(x, l.a))
		}
	}
	for _, g := range p.runs {
		first = min(first, p.machineGPU(x, int64(g.Device)))
	}
	return first
}

// pid is what the export's table of devices calls the process.
func (p *process) pid() uint64 { return p.id >> 24 & 0xffffff }

// machineGPU is the machine's number of the GPU that the process calls device.
func (p *process) machineGPU(x *nsys.Export, device int64) int64 {
	if g, ok := x.Devices[nsys.DeviceID{Pid: p.pid(), Cuda: device}]; ok {
		return g
	}
	return device
}

func buildExport(path string, x *nsys.Export, p *process) *Trace {
	t := &Trace{file: p.file, base: Time(x.Epoch), export: true, origin: map[int64]uint64{}}
	for n, of := range x.Nodes {
		if n.Process == p.id {
			t.origin[int64(n.Node)] = of
		}
	}
	t.tracks = tracks(p.file)
	t.gpu = gpuOrder(t)
	t.joins = join(t)
	t.Info = exportInfo(path, x, p, t)
	t.GraphRuns = graphRuns(t, p)
	return t
}

// fileInfo is what an export says that is no single process's.
func fileInfo(path string, x *nsys.Export) Info {
	in := Info{
		Path: path, Name: BaseName(path), Format: x.Format, SHA256: x.SHA256,
		FileBytes: x.FileBytes, RawBytes: x.RawBytes, Events: x.Events, Skipped: x.Skipped,
		Truncated: x.Truncated, TruncatedAt: x.TruncatedAt, TruncatedBy: x.TruncatedBy,
		Epoch: x.HasEpoch, Rank: -1, Replica: -1, Counts: maps.Clone(x.Counts),
		GPUNames: map[int]string{},
	}
	for _, d := range x.Damage {
		in.Damage = append(in.Damage, Damage(d))
	}
	if x.Early > 0 {
		in.Counts["before the session"] = x.Early
	}
	return in
}

func exportInfo(path string, x *nsys.Export, p *process, t *Trace) Info {
	in := fileInfo(path, x)
	in.Epoch = in.Epoch || epochClock(t)
	for _, tr := range t.tracks {
		if name := x.GPUs[p.machineGPU(x, int64(tr.Device))]; tr.GPU && name != "" {
			in.GPUNames[tr.Device] = name
		}
	}
	in.GPUs = gpusOf(x, p)
	in.Engine = engine(t)
	return in
}

// gpusOf lists the GPUs that a process saw. Nothing is said of a process that
// the export's table of devices lacks: that its ordinals are the profiler's
// numbers would be a guess.
func gpusOf(x *nsys.Export, p *process) []GPU {
	var out []GPU
	for d, uuid := range x.UUIDs {
		if d.Pid != p.pid() {
			continue
		}
		g := GPU{Device: int(d.Cuda), UUID: uuid, Profiler: -1}
		if n, ok := x.Devices[d]; ok {
			h := x.Hardware[n]
			// Of a part of a GPU, the whole's UUID is the one that others know.
			g.Name, g.UUID, g.PCI, g.Profiler = x.GPUs[n], cmp.Or(h.UUID, uuid), h.PCI, int(n)
		}
		out = append(out, g)
	}
	slices.SortFunc(out, func(a, b GPU) int { return cmp.Compare(a.Device, b.Device) })
	return out
}

// graphRuns joins graph runs to their launches and sorts them by start.
func graphRuns(t *Trace, p *process) []GraphRun {
	if len(p.runs) == 0 {
		return nil
	}
	calls := newCorrIndex(t)
	out := make([]GraphRun, len(p.runs))
	for i, r := range p.runs {
		out[i] = r.GraphRun
		out[i].Start += t.base
		out[i].Launch = calls.find(r.corr)
	}
	slices.SortStableFunc(out, func(a, b GraphRun) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.Device, b.Device), cmp.Compare(a.Stream, b.Stream))
	})
	return out
}
