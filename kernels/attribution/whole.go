package attribution

import "tokprof/kernels/role"

// headsBehindGraphs gives roles to what runs behind a graph that was recorded as
// a whole. A step's one graph is its forward pass; of what the server launches
// behind it, one product in front of the sampling is the language model's head.
// Several graphs are pieces of a pass, and several products may be a draft's:
// both say nothing.
func (p *placer) headsBehindGraphs(steps [][]int32, out []Known) {
	t := p.ev.Trace
	runs := make([]int, len(steps))
	end := make([]int64, len(steps))
	for i, s := range p.ev.runOf {
		if s >= 0 {
			runs[s]++
			end[s] = int64(t.GraphRuns[i].End())
		}
	}
	for s, events := range steps {
		if runs[s] != 1 {
			continue
		}
		head, sampling := -1, []int32(nil)
		known := true
		for _, i := range events {
			c := p.class(i).Class
			behind := int64(t.Start(t.GPU()[i])) >= end[s]
			switch {
			case c == role.Core, c == role.Linear, c == role.KVWrite, behind && (c == role.Act || c == role.Expert):
				known = false
			case behind && c == role.Gemm:
				known = known && head < 0
				head = int(i)
			case behind && head >= 0 && (c == role.Sample || c == role.Softmax):
				sampling = append(sampling, i)
			}
		}
		if !known || head < 0 || len(sampling) == 0 {
			continue
		}
		out[head].Role, out[head].Confidence, out[head].Zone = role.LMHead, 1, role.Head
		for _, i := range sampling {
			out[i].Role, out[i].Confidence, out[i].Zone = role.Sampling, 1, role.Head
		}
	}
}
