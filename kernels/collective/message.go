package collective

import (
	"regexp"

	"tokprof/kernels/breakdown"
	"tokprof/kernels/role"
	"tokprof/kernels/roofline"
	"tokprof/trace"
)

// Message is the size of one run of a collective on one rank, as one rank's
// part: the buffer of an all-reduce, what a rank brings to a gather.
type Message struct {
	Part int64  // 0 when unknown
	How  string // "args", "shapes", "config", "weights"; "" when unknown
}

// Whole is the size as nccl-tests counts it, 0 when unknown.
func (m Message) Whole(kind string, ranks int) int64 {
	if kind == "all_gather" {
		return m.Part * int64(ranks)
	}
	return m.Part
}

// width is how wide something is that a collective carries for each token.
type width struct {
	n   int // 0 when unknown
	how string
}

// Messages sizes each rank's collectives, by rank and index; the model of the
// ranks is nil when it is not known.
func Messages(ranks []*breakdown.Rank, model *roofline.Model) [][]Message {
	hidden, usual := hiddenOf(ranks, model), activationBytes(ranks, model)
	out := make([][]Message, len(ranks))
	for i, r := range ranks {
		out[i] = make([]Message, len(r.Collectives))
		s := sizer{r: r, hidden: hidden, shard: vocabShard(r), elem: make([]float64, len(r.Kernels))}
		for k := range r.Kernels {
			if s.elem[k] = elemBytesOf(r.Kernels[k].Name); s.elem[k] == 0 {
				s.elem[k] = usual
			}
		}
		for from, to := range stepRuns(r.Collectives) {
			s.step(r.Collectives[from:to], out[i][from:to])
		}
		// What the kernel or its op was given is what it moves, padding included.
		for j, c := range r.Collectives {
			switch {
			case c.Told:
				out[i][j] = Message{c.Bytes, "args"}
			case c.Bytes > 0:
				out[i][j] = Message{c.Bytes, "shapes"}
			}
		}
	}
	return out
}

// sizer sizes the collectives of one rank.
type sizer struct {
	r             *breakdown.Rank
	hidden, shard width
	elem          []float64 // bytes of a number, by kernel; 0 when unknown
}

// stepRuns yields the bounds of each step's collectives: they are sorted by step.
func stepRuns(list []breakdown.Collective) func(yield func(from, to int) bool) {
	return func(yield func(from, to int) bool) {
		for from := 0; from < len(list); {
			to := from
			for to < len(list) && list[to].Step == list[from].Step {
				to++
			}
			if list[from].Step >= 0 && !yield(from, to) {
				return
			}
			from = to
		}
	}
}

// step sizes the collectives of one step. A tensor-parallel layer reduces
// twice, behind its attention and behind its FFN, and a split embedding once
// more: only where a step has just that many do they carry its tokens × hidden.
// One gather in a step is that of the logits, of one row a request.
func (s *sizer) step(list []breakdown.Collective, out []Message) {
	label := s.r.Steps[list[0].Step].Label
	layers := layersOf(s.r, label.Phase)
	type each struct {
		kind   string
		device int
	}
	count := map[each]int{}
	for _, c := range list {
		count[each{s.kind(c), c.Device}]++
	}
	for j, c := range list {
		kind := s.kind(c)
		w, rows := width{}, int64(0)
		switch n := count[each{kind, c.Device}]; {
		case (kind == "all_reduce" || kind == "reduce_scatter") && layers > 0 && (n == 2*layers || n == 2*layers+1):
			w, rows = s.hidden, label.Tokens
		case kind == "all_gather" && n == 1:
			w, rows = s.shard, label.Requests
		}
		if size := s.elem[c.Kernel]; w.n > 0 && rows > 0 && size > 0 {
			out[j] = Message{int64(float64(rows) * float64(w.n) * size), w.how}
		}
	}
}

func (s *sizer) kind(c breakdown.Collective) string { return s.r.Kernels[c.Kernel].Match.Subgroup }

// layersOf counts the layers that a rank runs in a phase.
func layersOf(r *breakdown.Rank, p trace.Phase) int {
	n := 0
	for _, l := range r.Layers {
		if l.Phase == p {
			n = max(n, l.Layer+1)
		}
	}
	return n
}

// hiddenOf is the width of what flows from layer to layer: the config's, which
// the weights must not gainsay, or that of the weights which enter and leave it.
func hiddenOf(ranks []*breakdown.Rank, model *roofline.Model) width {
	sides := map[int]bool{}
	for _, r := range ranks {
		for _, w := range r.Weights {
			switch w.Role {
			case role.OProj, role.Down:
				sides[w.N] = true
			case role.QKVProj, role.GateUp:
				sides[w.K] = true
			}
		}
	}
	if m := model; m != nil && m.Hidden > 0 {
		if len(sides) > 0 && !sides[m.Hidden] {
			return width{}
		}
		return width{m.Hidden, "config"}
	}
	for n := range sides {
		if len(sides) == 1 {
			return width{n, "weights"}
		}
	}
	return width{}
}

// vocabShard is the width of the logits that one rank computes.
func vocabShard(r *breakdown.Rank) width {
	out := width{}
	for _, w := range r.Weights {
		if w.Role != role.LMHead {
			continue
		}
		if out.n > 0 && out.n != w.N {
			return width{}
		}
		out = width{w.N, "weights"}
	}
	return out
}

// activationBytes is the size of one number of what products hand on, 0 when
// unknown: products of plain 16-bit weights have 16-bit results.
func activationBytes(ranks []*breakdown.Rank, model *roofline.Model) float64 {
	if m := model; m != nil && m.Base.Input > 0 {
		return m.Base.Input
	}
	size := 0.0
	for _, r := range ranks {
		for _, s := range r.Shapes {
			if s.ElemBytes != 2 || size != 0 && size != s.ElemBytes {
				return 0
			}
			size = s.ElemBytes
		}
	}
	return size
}

// numberWords are the spellings of number types in names of collectives:
// ncclDevKernel_AllReduce_Sum_bf16_…, cross_device_reduce_1stage<__half, 2>.
var numberWords = []struct {
	size    float64
	pattern *regexp.Regexp
}{
	{2, regexp.MustCompile(`(?i)(^|[^a-z0-9])(__nv_|nv_|c10::)?(bf16|bfloat16|f16|fp16|half2?)([^a-z0-9]|$)`)},
	{4, regexp.MustCompile(`(?i)(^|[^a-z0-9])(f32|fp32|float|float32)([^a-z0-9]|$)`)},
}

// elemBytesOf is the size of a number that the name of a collective's kernel
// shows, 0 when it shows none or several.
func elemBytesOf(kernel string) float64 {
	size := 0.0
	for _, w := range numberWords {
		if w.pattern.MatchString(kernel) {
			if size != 0 {
				return 0
			}
			size = w.size
		}
	}
	return size
}
