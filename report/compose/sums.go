package compose

import (
	"cmp"
	"slices"

	"tokprof/kernels"
	"tokprof/kernels/attribution"
	"tokprof/kernels/breakdown"
	"tokprof/kernels/role"
	"tokprof/report/document"
	"tokprof/report/figures"
	"tokprof/trace"
)

// devices writes devices, streams and launches. The window may be wider than
// one device's own events: what lies outside them is idle too, without a step
// or for a reason that the file does not hold.
func (b *builder) devices() {
	for i, r := range b.ranks {
		for _, d := range r.Devices {
			b.a.Devices = append(b.a.Devices, b.device(i, d))
			b.a.Launches = append(b.a.Launches, launchesOf(b.number[i], d))
		}
		if len(r.Devices) > 0 {
			n := len(b.a.Launches) - len(r.Devices)
			b.a.Launches[n].WithoutKernel = r.Unanswered
		}
		for _, s := range r.Streams {
			b.a.Streams = append(b.a.Streams, document.Stream{
				Rank: b.number[i], Device: s.Device, Stream: s.Stream,
				BusyNS: int64(s.Busy), SumNS: int64(s.Sum), Launches: s.Events,
			})
		}
	}
}

func (b *builder) device(i int, d breakdown.Device) document.Device {
	window := b.a.Window.DurNS
	out := document.Device{
		Rank: b.number[i], Device: d.Device, BusyNS: int64(d.Busy), SumNS: int64(d.Sum),
		GraphNS: int64(d.Graph), IdleNS: window - int64(d.Busy) - int64(d.Graph), Events: d.Events, IdleCauses: []document.IdleCause{},
	}
	causes := d.Idle
	start := trace.Time(b.a.Window.StartUnixNS)
	for _, edge := range [][2]trace.Time{{start, d.First}, {d.Last, start + trace.Time(window)}} {
		noStep, unknown := b.ranks[i].Outside(edge[0], edge[1])
		causes[breakdown.NoStep].Add(noStep)
		causes[breakdown.UnknownCause].Add(unknown)
	}
	for c, idle := range causes {
		cause := breakdown.Cause(c)
		t, gaps := int64(idle.Time), idle.Gaps
		if t > 0 {
			out.IdleCauses = append(out.IdleCauses, document.IdleCause{Cause: cause.String(), TimeNS: t, Share: figures.Share(t, window), Gaps: gaps})
		}
	}
	slices.SortStableFunc(out.IdleCauses, func(x, y document.IdleCause) int { return cmp.Compare(y.TimeNS, x.TimeNS) })
	return out
}

func launchesOf(rank int, d breakdown.Device) document.Launches {
	l := d.Launches
	out := document.Launches{
		Rank: rank, Device: d.Device, Calls: l.Calls, GraphCalls: l.GraphCalls, GraphEvents: l.GraphEvents,
		WithoutLaunch: l.WithoutLaunch, DelayMedianNS: int64(l.DelayMedian), DelayP99NS: int64(l.DelayP99),
		DepthMax: l.DepthMax, CallMedianNS: int64(l.CallMedian),
		ShortNS: int64(breakdown.ShortKernel), ShortKernels: l.Short, ShortTimeNS: int64(l.ShortTime),
	}
	if l.Calls > 0 {
		out.DepthMean = float64(l.DepthSum) / float64(l.Calls)
	}
	return out
}

// rowKey is a row before its share is known.
type rowKey struct {
	phase string
	name  string
}

// rows adds the cells up by group, category, part and role, per phase and over all.
func (b *builder) rows() {
	groups, categories := map[rowKey]*document.Row{}, map[rowKey]*document.Row{}
	parts, roles := map[rowKey]*document.Row{}, map[rowKey]*document.Row{}
	for i, r := range b.ranks {
		for _, c := range r.Cells {
			k := b.a.Kernels[b.kernelAt[i][c.Kernel]]
			cat := kernels.Category{Group: k.Group, Subgroup: k.Subgroup}
			for _, phase := range []string{c.Phase.String(), "all"} {
				addRow(groups, phase, k.Group, c)
				addRow(categories, phase, cat.String(), c)
				addRow(parts, phase, c.Part.String(), c)
				if role := c.Role.String(); role != "" {
					addRow(roles, phase, role, c)
				} else if k.Group == "gemm" {
					addRow(roles, phase, "unattributed", c)
				}
			}
		}
	}
	b.splitRows(parts)
	totals := map[string]int64{}
	for k, r := range groups {
		totals[k.phase] += r.TimeNS
	}
	b.a.Groups = sortRows(groups, totals)
	b.a.Categories = sortRows(categories, totals)
	b.a.Parts = sortRows(parts, totals)
	b.a.Roles = sortRows(roles, totals)
	b.provenance()
}

func addRow(rows map[rowKey]*document.Row, phase, name string, c breakdown.Cell) {
	k := rowKey{phase, name}
	r := rows[k]
	if r == nil {
		r = &document.Row{Phase: phase, Name: name}
		rows[k] = r
	}
	r.TimeNS += int64(c.Time)
	r.ExposedNS += int64(c.Exposed)
	r.Launches += c.Launches
}

// sortRows orders by phase ("all" first), then time.
func sortRows(rows map[rowKey]*document.Row, totals map[string]int64) []document.Row {
	order := map[string]int{"all": 0}
	for i, p := range phaseOrder {
		order[p.String()] = i + 1
	}
	out := make([]document.Row, 0, len(rows))
	for _, r := range rows {
		r.Share = figures.Share(r.TimeNS, totals[r.Phase])
		out = append(out, *r)
	}
	slices.SortFunc(out, func(x, y document.Row) int {
		return cmp.Or(cmp.Compare(order[x.Phase], order[y.Phase]), cmp.Compare(y.TimeNS, x.TimeNS), cmp.Compare(x.Name, y.Name))
	})
	return out
}

// provenance adds up how the roles are known; a product without a role counts
// as known by nothing.
func (b *builder) provenance() {
	times := map[attribution.Provenance]int64{}
	total := int64(0)
	for i, r := range b.ranks {
		for _, c := range r.Cells {
			k := b.a.Kernels[b.kernelAt[i][c.Kernel]]
			if c.Role != role.Unknown || k.Group == "gemm" {
				times[c.Prov] += int64(c.Time)
				total += int64(c.Time)
			}
		}
	}
	for p := attribution.ByName; ; p-- {
		if times[p] > 0 {
			b.a.Provenance = append(b.a.Provenance, document.Provenance{Provenance: p.String(), TimeNS: times[p], Share: figures.Share(times[p], total)})
		}
		if p == attribution.ByNothing {
			return
		}
	}
}

func (b *builder) copies() {
	at := map[string]*document.Copy{}
	sized := map[string]int64{}
	sizes := map[string][]int64{}
	var order []string
	for i, r := range b.ranks {
		for _, c := range r.Copies {
			kind := b.a.Kernels[b.kernelAt[i][c.Kernel]].Subgroup
			o := at[kind]
			if o == nil {
				o = &document.Copy{Kind: kind}
				at[kind] = o
				order = append(order, kind)
			}
			sizes[kind] = append(sizes[kind], c.Sizes...)
			o.Count += c.Count
			o.Unsized += c.Unsized
			o.Bytes += c.Bytes
			o.TimeNS += int64(c.Time)
			sized[kind] += int64(c.SizedTime)
		}
	}
	slices.Sort(order)
	for _, kind := range order {
		o := at[kind]
		if sized[kind] > 0 {
			o.BytesPerS = float64(o.Bytes) / float64(sized[kind]) * 1e9
		}
		slices.Sort(sizes[kind])
		o.MedianB = figures.Quantile(sizes[kind], 0.5)
		b.a.Copies = append(b.a.Copies, *o)
	}
}

func (b *builder) steps() {
	for i, r := range b.ranks {
		sums, next, on := r.StepSums, followers(r.Steps), byStep(r)
		for n, s := range r.Steps {
			out := document.Step{
				Index: n, Rank: b.number[i], Phase: s.Label.Phase.String(), Name: s.Name,
				StartUnixNS: int64(s.Start), Tokens: s.Label.Tokens, Requests: s.Label.Requests,
				Launches: s.Launches, Parts: []document.NameTime{}, Roles: []document.NameTime{},
			}
			if s.Ran() {
				out.StartUnixNS, out.DurNS = int64(s.First), int64(s.Last-s.First)
			}
			out.BusyNS = on[n].mean(on[n].busy)
			if on[n].gpus > 1 {
				out.GPUs = on[n].gpus
			}
			if next[n] != nil {
				out.PeriodNS = int64(next[n].First - s.First)
			}
			for len(sums) > 0 && int(sums[0].Step) == n {
				figures.AddTime(&out.Parts, sums[0].Part.String(), int64(sums[0].Time))
				if role := sums[0].Role.String(); role != "" {
					figures.AddTime(&out.Roles, role, int64(sums[0].Time))
				}
				sums = sums[1:]
			}
			if on[n].graph > 0 {
				figures.AddTime(&out.Parts, document.WholePart, on[n].graph)
			}
			b.a.Steps = append(b.a.Steps, out)
		}
		steps := b.a.Steps[len(b.a.Steps)-len(r.Steps):]
		b.splitSteps(i, steps)
		for n := range steps {
			for _, list := range [][]document.NameTime{steps[n].Parts, steps[n].Roles} {
				for k := range list {
					list[k].TimeNS = on[n].mean(list[k].TimeNS)
				}
			}
		}
	}
}

// stepSum is what the GPUs of a rank did in one step, all together.
type stepSum struct{ gpus, busy, graph int64 }

// mean is a sum over the GPUs of the step, of one of them: they work side by
// side, so that only this can be held against the step's length.
func (s stepSum) mean(sum int64) int64 { return sum / max(s.gpus, 1) }

// byStep sums each step of a rank over the GPUs that it ran on.
func byStep(r *breakdown.Rank) []stepSum {
	out := make([]stepSum, len(r.Steps))
	for _, d := range r.StepDevices() {
		s := &out[d.Step]
		s.gpus++
		s.busy += int64(d.Busy)
		s.graph += int64(d.Graph)
	}
	return out
}

// followers gives each step that launched something the next such one in time;
// dummy batches without an annotation stand behind all others in the list.
func followers(steps []attribution.Step) []*attribution.Step {
	var busy []int
	for i := range steps {
		if steps[i].Ran() {
			busy = append(busy, i)
		}
	}
	slices.SortStableFunc(busy, func(x, y int) int { return cmp.Compare(steps[x].First, steps[y].First) })
	out := make([]*attribution.Step, len(steps))
	for n := 0; n+1 < len(busy); n++ {
		out[busy[n]] = &steps[busy[n+1]]
	}
	return out
}

// phases counts each step once, on the lowest rank of its replica that has
// steps: the ranks of a replica run the same ones, replicas run their own.
func (b *builder) phases() {
	counted, seen := map[int]bool{}, map[int]bool{}
	for i, r := range b.ranks {
		if len(r.Steps) > 0 && !seen[r.Info.Replica] {
			seen[r.Info.Replica], counted[b.number[i]] = true, true
		}
	}
	for _, p := range phaseOrder {
		var durs, busy, graph []int64
		out := document.Phase{Phase: p.String()}
		for _, s := range b.a.Steps {
			if !counted[s.Rank] || s.Phase != out.Phase || s.DurNS == 0 && s.Launches == 0 {
				continue
			}
			durs, busy, graph = append(durs, s.DurNS), append(busy, s.BusyNS), append(graph, s.GraphNS())
			out.Steps++
			out.Tokens += s.Tokens
			out.Requests += s.Requests
		}
		if out.Steps == 0 {
			continue
		}
		out.StepNS, out.BusyNS, out.GraphNS = figures.SpreadOf(durs), figures.SpreadOf(busy), figures.SpreadOf(graph)
		if out.Tokens > 0 {
			out.USPerToken = b.stepUS(out) * float64(out.Steps) / float64(out.Tokens)
		}
		b.a.Phases = append(b.a.Phases, out)
	}
}

// stepUS is the mean step of a phase in µs. It reaches to the next step's start:
// tokens come no faster than steps begin.
func (b *builder) stepUS(p document.Phase) float64 {
	if m := document.MeanStep(b.a, p.Phase); m != nil {
		return float64(m.Total()) / 1000 / float64(m.Steps)
	}
	return float64(p.StepNS.Median) / 1000
}

// stacks joins the ranks' trees; equal frames under equal parents are one.
func (b *builder) stacks() {
	at := map[document.Frame]int32{}
	st := &b.a.Stacks
	st.Nodes = []document.Frame{{Parent: -1, Kind: document.FrameRoot, Name: "all"}}
	st.Whole = b.wholeSamples()
	for i, r := range b.ranks {
		place := make([]int32, len(r.Frames))
		for n, f := range r.Frames {
			if n == 0 {
				continue
			}
			fr := f
			fr.Parent = place[f.Parent]
			k := fr
			id, ok := at[k]
			if !ok {
				id = int32(len(st.Nodes))
				st.Nodes = append(st.Nodes, fr)
				at[k] = id
			}
			place[n] = id
		}
		for _, c := range r.Cells {
			st.Samples = append(st.Samples, document.Sample{
				Node: place[c.Node], Kernel: b.kernelAt[i][c.Kernel], Rank: b.number[i], Device: c.Device,
				Stream: c.Stream, Phase: c.Phase.String(), Graph: c.Graph, Role: c.Role.String(), Part: c.Part.String(),
				TimeNS: int64(c.Time), ExposedNS: int64(c.Exposed), Launches: c.Launches,
			})
		}
	}
}
