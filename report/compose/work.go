package compose

import (
	"fmt"
	"slices"
	"strings"

	"tokprof/kernels/breakdown"
	"tokprof/kernels/roofline"
	"tokprof/report/document"
)

// work fills in what each role computed and moved, where that is known: from
// the model's config and the steps' tokens, or from the shapes that launches
// recorded. Else it stays unknown.
func (b *builder) work() {
	gpu, known := roofline.LookupGPU(b.gpuName())
	if !known {
		gpu = roofline.GPU{}
	}
	tp, tpKnown := b.tensorParallel()
	for i := range b.a.Roles {
		r := &b.a.Roles[i]
		if !isProduct(r) {
			continue
		}
		if b.o.Model != nil && tpKnown {
			r.Work = b.workByConfig(r, gpu, tp)
		}
		if r.Work == nil {
			r.Work = b.workByShapes(r, gpu)
		}
	}
	if b.o.Model != nil {
		b.checkModel(tp, tpKnown)
		if tpKnown {
			b.floors(gpu, tp)
		}
	}
}

// isProduct leaves out roles whose time is not that of matrix products.
func isProduct(r *document.Row) bool {
	switch r.Name {
	case "unattributed", "embedding", "sampling":
		return false
	}
	return r.Phase != "all"
}

func (b *builder) gpuName() string {
	name := ""
	for _, r := range b.ranks {
		if name != "" && r.GPUName != name {
			return ""
		}
		name = r.GPUName
	}
	return name
}

// tensorParallel is how many ranks share each layer: what the weights' shapes
// say, one for a lone GPU, else the number of ranks that reduce together.
func (b *builder) tensorParallel() (int, bool) {
	if b.o.Model != nil {
		if tp, ok := b.o.Model.TP(b.found()); ok {
			return tp, true
		}
	}
	world := 0
	for _, r := range b.ranks {
		world = max(world, r.Info.WorldSize)
	}
	if world == 1 {
		return 1, true
	}
	for _, c := range b.a.Collectives {
		if c.Kind == "all_reduce" && !c.Estimated && c.Ranks > 1 {
			return c.Ranks, true
		}
	}
	return 0, false
}

// found is what the trace shows of the model.
func (b *builder) found() roofline.Found {
	var f roofline.Found
	for _, l := range b.a.Layers {
		f.Layers = max(f.Layers, l.Index+1)
	}
	for _, r := range b.ranks {
		for _, w := range r.Weights {
			f.Shapes = append(f.Shapes, roofline.Seen{Role: w.Role.String(), Layer: max(w.Layer, 0), K: w.K, N: w.N})
		}
	}
	return f
}

// workByConfig sums a role over the layers and steps of a phase; nil where the
// config does not determine it, nor how several GPUs of one rank share it.
func (b *builder) workByConfig(r *document.Row, gpu roofline.GPU, tp int) *document.Work {
	w := &document.Work{How: "config", CoveredNS: r.TimeNS}
	format := ""
	for i := range b.ranks {
		if len(b.ranks[i].Devices) > 1 {
			return nil
		}
		for _, s := range b.ranks[i].Steps {
			if s.Label.Phase.String() != r.Phase || s.Launches == 0 {
				continue
			}
			tokens := int(s.Label.Tokens)
			if r.Name == "lm_head" {
				tokens = int(s.Label.Requests)
			}
			if tokens <= 0 || !b.addSteps(w, r.Name, tokens, tp, &format) {
				return nil
			}
		}
	}
	return finishWork(w, gpu, format)
}

// addSteps adds one step's work of a role over the layers that have it.
func (b *builder) addSteps(w *document.Work, name string, tokens, tp int, format *string) bool {
	m := b.o.Model
	layers := m.Layers
	if name == "lm_head" {
		layers = 1
	}
	any := false
	for l := range layers {
		x, ok := m.Work(name, l, tokens, tp, 1)
		if !ok {
			continue
		}
		any = true
		w.FLOPs += x.FLOPs
		w.Bytes += x.Bytes
		w.Estimated = w.Estimated || x.Estimated
		*format = m.Format(name, l).Compute
	}
	return any
}

// workByShapes sums what launches recorded; nil when none did.
func (b *builder) workByShapes(r *document.Row, gpu roofline.GPU) *document.Work {
	w := &document.Work{How: "shapes"}
	format := ""
	for i := range b.ranks {
		for _, s := range b.ranks[i].Shapes {
			if s.Phase.String() != r.Phase || s.Role.String() != r.Name || s.ElemBytes == 0 {
				continue
			}
			x := roofline.WorkOfShape(s.M, s.K, s.N, s.ElemBytes)
			w.FLOPs += x.FLOPs * float64(s.Count)
			w.Bytes += x.Bytes * float64(s.Count)
			w.CoveredNS += int64(s.Time)
			format = formatOf(s.ElemBytes)
		}
	}
	if w.CoveredNS == 0 {
		return nil
	}
	return finishWork(w, gpu, format)
}

// formatOf names the tensor-core format of an element size; "" where the size
// alone does not tell.
func formatOf(elemBytes float64) string {
	if elemBytes == 2 {
		return "bf16"
	}
	return ""
}

func finishWork(w *document.Work, gpu roofline.GPU, format string) *document.Work {
	seconds := float64(w.CoveredNS) / 1e9
	if seconds <= 0 {
		return nil
	}
	w.FLOPsPerS, w.BytesPerS = w.FLOPs/seconds, w.Bytes/seconds
	if gpu.MemBandwidth > 0 {
		res := gpu.Bound(roofline.Work{FLOPs: w.FLOPs, Bytes: w.Bytes}, format, seconds)
		if res.Above {
			// More than the GPU can: the work is not what the role did.
			return nil
		}
		w.Bound = res.Bound
		if res.ComputeKnown {
			w.ComputeShare = res.ComputeShare
		}
		if res.MemoryKnown {
			w.MemoryShare = res.MemoryShare
		}
	}
	return w
}

// checkModel says where the trace is not the model that was given.
func (b *builder) checkModel(tp int, known bool) {
	f := b.found()
	if known {
		f.TP = tp
	}
	list := b.o.Model.Check(f)
	if len(list) == 0 {
		shapes := ""
		if len(f.Shapes) > 0 {
			shapes = fmt.Sprintf(", %d weight shapes", len(f.Shapes))
		}
		b.doubt("model", document.Info, nil, "the trace fits the model's config: %d layers%s", f.Layers, shapes)
		return
	}
	texts := make([]string, 0, 3)
	for _, m := range list[:min(len(list), 3)] {
		texts = append(texts, m.Text)
	}
	b.doubt("model_mismatch", document.Warning, []string{"roles", "layers"}, "the trace is not the model that was given: %s", strings.Join(texts, "; "))
}

// floors gives each phase the least time in which one rank can read its
// weights once, which no decode step beats.
func (b *builder) floors(gpu roofline.GPU, tp int) {
	several := func(r *breakdown.Rank) bool { return len(r.Devices) > 1 }
	if gpu.MemBandwidth <= 0 || slices.ContainsFunc(b.ranks, several) {
		return // how several GPUs of one rank share its weights is not known
	}
	for i := range b.a.Phases {
		p := &b.a.Phases[i]
		if p.Tokens == 0 || p.Steps == 0 {
			continue
		}
		bytes, _, ok := b.o.Model.WeightReadFloor(int(p.Tokens/p.Steps), roofline.Rank{TP: tp})
		if ok {
			p.WeightReadFloorNS = int64(bytes / gpu.MemBandwidth * 1e9)
		}
	}
}
