// Package compose writes documents, one per window, from reduced ranks, GPU
// readings and what a run's clients and servers left. It adds up, judges and
// puts into words; it draws nothing, reads no files and knows no flags.
package compose

import (
	"cmp"
	"slices"

	"tokprof/kernels/breakdown"
	"tokprof/kernels/collective"
	"tokprof/kernels/roofline"
	"tokprof/nvml"
	"tokprof/report/document"
	"tokprof/report/engines"
	"tokprof/report/figures"
	"tokprof/report/gpus"
	"tokprof/report/verdict"
	"tokprof/trace"
)

// Options are what the command line adds to a document.
type Options struct {
	Version string // of tokprof
	Command string // how to make the document again, without paths
	Unread  []Unread
	Model   *roofline.Model     // of the served model; nil when not given
	Run     []engines.RunWindow // windows of the captured run that the traces are of
	// ServerOf says which server of the run left a trace, by the trace's path, as
	// the rows' Server counts them. Those of a run of one server are not in it.
	ServerOf map[string]int

	Readings *nvml.Recording // of the GPUs while the traces were recorded; nil when there are none
	Topology *nvml.Topology  // of the host that the GPUs are in; nil when unknown
	// GPUs says which GPU a rank's device is, where something outside the
	// trace tells.
	GPUs []gpus.Identity
	// VisibleDevices is the CUDA_VISIBLE_DEVICES that the ranks' processes run
	// under; "" when unknown.
	VisibleDevices string
}

// Unread is an input that could not be read.
type Unread struct {
	Name string // base name
	Why  string
	// Frontend: a front-end trace adds no GPU time, so its loss is no loss.
	Frontend bool
	Summary  bool // its kernels are among the other inputs' already, most likely
	// For names the input that another form or table of it was left aside for,
	// "" where it was not.
	For string
}

// Build makes documents of reduced ranks: one window a document, in time
// order. Front-end and graph-capture files are listed beside the windows and
// add no time.
func Build(ranks []*breakdown.Rank, o Options) *document.Set {
	var gpu, beside []*breakdown.Rank
	for _, r := range ranks {
		if r.Role == breakdown.GPURank {
			gpu = append(gpu, r)
		} else {
			beside = append(beside, r)
		}
	}
	gpu, repeats := withoutRepeats(gpu)
	windows := engines.Windows(gpu, o.Run, o.ServerOf)
	s := &document.Set{Schema: document.SchemaAnalysisSet, Analyses: []*document.Analysis{}}
	for n, w := range windows {
		b := newBuilder(o, w)
		b.beside = nearest(beside, windows, n)
		b.repeats = repeats
		b.build()
		s.Analyses = append(s.Analyses, b.a)
	}
	return s
}

func newAnalysis(o Options) *document.Analysis {
	return &document.Analysis{
		Schema: document.SchemaAnalysis, Version: o.Version, Command: o.Command,
		Sources: []document.Source{}, Trust: []document.Trust{}, Devices: []document.Device{}, Streams: []document.Stream{},
		Groups: []document.Row{}, Categories: []document.Row{}, Parts: []document.Row{}, Roles: []document.Row{}, Kernels: []document.Kernel{},
		Copies: []document.Copy{}, Launches: []document.Launches{}, Phases: []document.Phase{}, Steps: []document.Step{}, Layers: []document.Layer{},
		Collectives: []document.Collective{}, Graphs: []document.Graph{}, Provenance: []document.Provenance{}, Findings: []document.Finding{},
	}
}

// withoutRepeats drops files with equal bytes: counting one twice would be a
// wrong number.
func withoutRepeats(ranks []*breakdown.Rank) (kept []*breakdown.Rank, repeats []string) {
	seen := map[string]bool{}
	for _, r := range ranks {
		if h := r.Info.SHA256; h != "" {
			if seen[h] {
				repeats = append(repeats, r.Info.Name)
				continue
			}
			seen[h] = true
		}
		kept = append(kept, r)
	}
	return kept, repeats
}

// nearest picks the side files that belong to window n: the window with the
// nearest time stamp in its file names, or every window when a file has none.
func nearest(beside []*breakdown.Rank, windows []engines.Window, n int) []*breakdown.Rank {
	stamp := func(r *breakdown.Rank) int64 { return trace.ParseFileName(r.Info.Name).StampNS }
	var out []*breakdown.Rank
	for _, r := range beside {
		best, least := n, int64(1<<62)
		for w := range windows {
			for _, of := range windows[w].Ranks {
				d := stamp(r) - stamp(of)
				if stamp(r) == 0 || stamp(of) == 0 {
					continue
				}
				if d = max(d, -d); d < least {
					best, least = w, d
				}
			}
		}
		if best == n {
			out = append(out, r)
		}
	}
	return out
}

// builder makes one window's document.
type builder struct {
	o       Options
	a       *document.Analysis
	ranks   []*breakdown.Rank
	beside  []*breakdown.Rank
	repeats []string
	served  engines.Window // what the run knows of ranks, and whose they are

	number   []int     // document rank of each of ranks
	kernelAt [][]int32 // by rank and its kernel index: index into a.Kernels
	sum      int64
	split    collective.Matching // of time inside collectives
	sent     [][]collective.Message
	comm     []*collectiveSum // of each row of a.Collectives
	gpus     *gpus.Joined     // the ranks on the GPUs that were read
}

func newBuilder(o Options, w engines.Window) *builder {
	b := &builder{o: o, a: newAnalysis(o), served: w, ranks: w.Ranks, number: w.Number}
	b.a.Window.Name = w.Name
	return b
}

func (b *builder) build() {
	b.sources()
	b.a.Servers = b.served.Servers()
	b.window()
	b.mergeKernels()
	b.devices()
	b.collectives()
	b.rows()
	b.copies()
	b.steps()
	b.batches()
	b.phases()
	b.layers()
	b.joinGPUs()
	b.speeds()
	b.graphs()
	b.stacks()
	b.timelines()
	b.work()
	b.requests()
	b.trust()
	b.findings()
	b.a.Verdict = verdict.Of(b.a)
	if b.copiesAlone() {
		b.a.Verdict = verdict.OfCopies(b.events(), b.sum)
	}
}

// requests writes what the clients of the window saw, and what the profiler cost
// them.
func (b *builder) requests() {
	q, tax, doubts := b.served.Requests(b.a.Steps, verdict.PartWords)
	b.a.Requests, b.a.Tax = q, tax
	b.a.Trust = append(b.a.Trust, doubts...)
}

func (b *builder) sources() {
	for i, r := range slices.Concat(b.ranks, b.beside) {
		s := document.Source{
			Path: r.Info.Name, Format: r.Info.Format, SHA256: r.Info.SHA256, Bytes: r.Info.FileBytes,
			RawBytes: r.Info.RawBytes, Events: r.Info.Events, SkippedEvents: r.Info.Skipped,
			Truncated: r.Info.Truncated, Engine: r.Info.Engine, Rank: r.Info.Rank,
			WorldSize: r.Info.WorldSize, GPU: r.GPUName, Role: r.Role.String(),
		}
		if i < len(b.ranks) {
			s.Rank = b.number[i]
		}
		b.a.Sources = append(b.a.Sources, s)
	}
}

func (b *builder) window() {
	start, end := b.ranks[0].Start, b.ranks[0].End
	for _, r := range b.ranks {
		start, end = min(start, r.Start), max(end, r.End)
	}
	b.a.Window.StartUnixNS = int64(start)
	b.a.Window.DurNS = int64(end - start)
}

// mergeKernels joins the ranks' kernels by name and orders them by total time.
func (b *builder) mergeKernels() {
	type merged struct {
		k     document.Kernel
		durs  breakdown.Durations
		cells []cellOf
	}
	at := map[string]int{}
	var all []*merged
	b.kernelAt = make([][]int32, len(b.ranks))
	for i, r := range b.ranks {
		b.kernelAt[i] = make([]int32, len(r.Kernels))
		for j, k := range r.Kernels {
			n, ok := at[k.Name]
			if !ok {
				n = len(all)
				at[k.Name] = n
				all = append(all, &merged{k: document.Kernel{
					Name: k.Name, ShortName: k.Match.Short, Group: k.Match.Group, Subgroup: k.Match.Subgroup,
					Rule: k.Match.Rule, Tags: append([]string{}, k.Match.Tags...), Roles: []document.KernelRole{}, Phases: []document.PhaseTime{},
				}})
			}
			all[n].durs = all[n].durs.Merge(k.Durs)
			b.kernelAt[i][j] = int32(n)
		}
		for _, c := range r.Cells {
			m := all[b.kernelAt[i][c.Kernel]]
			m.cells = append(m.cells, cellOf{i, c})
		}
	}
	for _, m := range all {
		fillKernel(&m.k, m.durs, m.cells)
		b.sum += m.k.TotalNS
	}
	order := make([]int, len(all))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(x, y int) int {
		return cmp.Or(cmp.Compare(all[y].k.TotalNS, all[x].k.TotalNS), cmp.Compare(all[x].k.Name, all[y].k.Name))
	})
	place := make([]int32, len(all))
	for n, i := range order {
		place[i] = int32(n)
		all[i].k.Share = figures.Share(all[i].k.TotalNS, b.sum)
		b.a.Kernels = append(b.a.Kernels, all[i].k)
	}
	for _, list := range b.kernelAt {
		for j := range list {
			list[j] = place[list[j]]
		}
	}
}

type cellOf struct {
	rank int
	breakdown.Cell
}

func fillKernel(k *document.Kernel, durs breakdown.Durations, cells []cellOf) {
	k.Launches = durs.Launches()
	k.MinNS, k.MedianNS = int64(durs[0].Dur), int64(durs.Quantile(0.5))
	k.P99NS, k.MaxNS = int64(durs.Quantile(0.99)), int64(durs[len(durs)-1].Dur)
	phases := map[trace.Phase]*document.PhaseTime{}
	roles := map[string]int64{}
	for _, c := range cells {
		if r := c.Role.String(); r != "" {
			roles[r] += int64(c.Time)
		}
		k.TotalNS += int64(c.Time)
		k.ExposedNS += int64(c.Exposed)
		if c.Graph {
			k.GraphNS += int64(c.Time)
		}
		p := phases[c.Phase]
		if p == nil {
			p = &document.PhaseTime{Phase: c.Phase.String()}
			phases[c.Phase] = p
		}
		p.TimeNS += int64(c.Time)
		p.Launches += c.Launches
	}
	for _, p := range phaseOrder {
		if t := phases[p]; t != nil {
			k.Phases = append(k.Phases, *t)
		}
	}
	for r, t := range roles {
		k.Roles = append(k.Roles, document.KernelRole{Role: r, TimeNS: t})
	}
	slices.SortFunc(k.Roles, func(x, y document.KernelRole) int {
		return cmp.Or(cmp.Compare(y.TimeNS, x.TimeNS), cmp.Compare(x.Role, y.Role))
	})
}

var phaseOrder = []trace.Phase{trace.Prefill, trace.Decode, trace.Mixed, trace.Dummy, trace.NoPhase}
