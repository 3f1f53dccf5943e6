package match

import (
	"slices"

	"tokprof/trace/serving"
)

// client is what reads from the engine, and what of it all a test gets to see.
type client struct {
	Launch        float64 // share of the next step after which an asynchronous engine looks at a result
	Delay, Jitter int64   // from the engine to the client
	Stall         int64   // now and then the client reads nothing for up to this long
	Clock         int64   // client's clock minus the GPU's
	Merged        float64 // share of tokens that come in the chunk of the one after

	Hidden   float64    // share of requests of other clients
	Broken   float64    // share whose client left half-way
	Extra    int        // prompt tokens that the client does not know of
	Window   [2]float64 // recorded part of the steps
	Hole     [2]float64 // part of these that is missing
	Whole    bool       // annotations give totals only
	NoTokens bool       // annotations do not give generation tokens, or totals of tokens
}

// seen is a run as a test sees it, with what it knows: the step of each token of
// each row, None outside the recorded steps, and the step of the first part of
// each prompt.
type seen struct {
	steps   []Step
	rows    []serving.Request
	truth   [][]int
	entered []int
}

func (e engine) simulate() seen {
	p := e.run()
	p.deliver()
	s := seen{steps: p.steps}
	from, to := 0, len(s.steps)
	if e.Window[1] > 0 {
		from, to = int(e.Window[0]*float64(to)), int(e.Window[1]*float64(to))
	}
	s.steps = slices.Clone(s.steps[from:to])
	a, b := int(e.Hole[0]*float64(to-from)), int(e.Hole[1]*float64(to-from))
	s.steps = slices.Delete(s.steps, a, b)
	recorded := func(k int) int {
		switch k -= from; {
		case k < 0, k >= to-from, k >= a && k < b:
			return None
		case k >= b:
			return k - (b - a)
		}
		return k
	}
	for _, q := range p.all {
		if p.r.Float64() >= e.Hidden {
			p.row(&s, q, recorded)
		}
	}
	for i := range s.steps {
		if e.NoTokens {
			s.steps[i].GenerationTokens = 0
		}
		if x := &s.steps[i]; e.Whole {
			*x = Step{Start: x.Start, End: x.End, Requests: x.ContextRequests + x.GenerationRequests, Tokens: x.ContextTokens + x.GenerationTokens}
			if e.NoTokens {
				x.Tokens = 0
			}
		}
	}
	return s
}

// deliver brings each step's tokens to the client: in one burst, in order.
func (p *plant) deliver() {
	last, stalled := int64(0), int64(0)
	for k, s := range p.steps {
		at := s.End
		if p.Async && k+1 < len(p.steps) {
			next := p.steps[k+1]
			at = max(at, next.Start+int64(p.Launch*float64(next.End-next.Start)))
		}
		at += p.Delay + int64(p.r.ExpFloat64()*float64(p.Jitter))
		if p.Stall > 0 && p.r.Float64() < 0.1 {
			stalled = max(stalled, at+p.r.Int64N(p.Stall))
		}
		at = max(at, last, stalled)
		for _, g := range p.gifts[k] {
			at += 30_000
			for range g.n {
				g.q.steps = append(g.q.steps, k)
				g.q.times = append(g.q.times, at)
			}
		}
		last = at
	}
}

// row is a request as the client writes it down.
func (p *plant) row(s *seen, q *planned, recorded func(int) int) {
	row := serving.Request{
		ID: len(s.rows), PromptTokens: q.prompt - p.Extra, MaxTokens: q.limit, CompletionTokens: q.made,
		DueUnixNS: q.sent + p.Clock, SentUnixNS: q.sent + p.Clock, Status: 200, Finish: "length",
	}
	if q.stop < q.limit {
		row.Finish = "stop"
	}
	var of []int
	for j, k := range q.steps {
		row.TokenUnixNS = append(row.TokenUnixNS, q.times[j]+p.Clock)
		of = append(of, recorded(k))
	}
	if n := len(of); n > 4 && p.r.Float64() < p.Broken {
		of, row.TokenUnixNS, row.Error = of[:n/2], row.TokenUnixNS[:n/2], "stream broke off"
	}
	for j := len(of) - 2; j > 0; j-- {
		if p.r.Float64() < p.Merged {
			row.TokenUnixNS[j] = row.TokenUnixNS[j+1]
			row.Bundled++
		}
	}
	s.rows = append(s.rows, row)
	s.truth = append(s.truth, of)
	s.entered = append(s.entered, recorded(q.entered))
}
