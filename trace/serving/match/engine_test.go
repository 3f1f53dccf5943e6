package match

import (
	"math/rand/v2"
	"slices"
)

// engine is a scheduler in the manner of vLLM's, with a client that reads from
// it: what a test knows of each token is the step that gave it.
type engine struct {
	Seed     uint64
	Requests int
	Gap      int64 // mean time between requests, ns
	Prompt   [2]int
	Output   [2]int

	Budget int     // tokens a step
	Seqs   int     // running requests
	Blocks int     // of 16 tokens in the KV pool, 0 for no limit; a preempted request recomputes
	Cached float64 // share of requests with a prefix hit
	EOS    float64 // share that stop before their limit
	Drafts int     // tokens speculated, seven in ten accepted

	Async   bool // the next step is scheduled while one runs
	Apart   bool // prefills run in steps of their own
	Stages  int  // of a pipeline, whose batches take turns
	Overrun bool // every request runs a step past its end, as those that stop do in Async
	Context bool // a resumed request counts as context, not as generation

	Decode, Token int64 // a step's time, and more for each prompt token

	client
}

// planned is a request in the engine.
type planned struct {
	sent           int64
	prompt, cached int
	limit, stop    int // tokens allowed, and made before it stops
	computed, made int
	ran            int // the turn that served it last
	resumed        bool
	entered        int // step of the first part of its prompt
	steps          []int
	times          []int64
}

func (q *planned) left() int   { return q.prompt + q.made - q.computed }
func (q *planned) blocks() int { return (q.prompt + q.made + 16) / 16 }

// gift is what a request got in a step.
type gift struct {
	q *planned
	n int
}

// plant is an engine at work.
type plant struct {
	engine
	r              *rand.Rand
	all            []*planned
	arrived        int
	queue, running []*planned
	ended          []*planned // whose end the engine does not know yet
	steps          []Step
	gifts          [][]gift

	// of the step in hand
	step      Step
	budget    int
	given     []gift
	turn      int
	preempted bool
}

// run runs the engine until all requests have ended.
func (e engine) run() *plant {
	p := &plant{engine: e, r: rand.New(rand.NewPCG(e.Seed, 7))}
	const begin = 1_700_000_000_000_000_000
	p.plan(begin)
	gpu, schedule := int64(begin), int64(begin)
	for {
		const parse = 500_000 // from the client to the scheduler
		for p.arrived < len(p.all) && p.all[p.arrived].sent+parse <= schedule {
			p.queue = append(p.queue, p.all[p.arrived])
			p.arrived++
		}
		if len(p.queue)+len(p.running)+len(p.ended) == 0 {
			if p.arrived == len(p.all) {
				return p
			}
			schedule = max(schedule, p.all[p.arrived].sent+parse)
			continue
		}
		p.schedule()
		s := &p.step
		s.Start = max(gpu, schedule) + 50_000 + p.r.Int64N(100_000)
		s.End = s.Start + int64(float64(e.Decode)*(0.9+0.3*p.r.Float64())) + e.Token*s.ContextTokens
		gpu, schedule = s.End, s.End+200_000
		if e.Async {
			schedule = s.Start + 200_000
		}
		p.steps = append(p.steps, *s)
		p.gifts = append(p.gifts, p.given)
	}
}

func (p *plant) plan(at int64) {
	between := func(b [2]int) int { return b[0] + p.r.IntN(b[1]-b[0]+1) }
	for range p.Requests {
		q := &planned{sent: at, prompt: between(p.Prompt), limit: between(p.Output), entered: None}
		q.stop = q.limit
		if p.r.Float64() < p.EOS {
			q.stop = 1 + p.r.IntN(q.limit)
		}
		if p.r.Float64() < p.Cached {
			q.cached = p.r.IntN(q.prompt) / 16 * 16
		}
		p.all = append(p.all, q)
		at += int64(p.r.ExpFloat64() * float64(p.Gap))
	}
}

// schedule fills one step.
func (p *plant) schedule() {
	p.step, p.budget, p.given, p.preempted = Step{}, p.Budget, nil, false
	p.turn++
	alone := p.Apart && (len(p.queue) > 0 && len(p.running) < p.Seqs || slices.ContainsFunc(p.running, func(q *planned) bool { return q.left() > 1 }))
	if !alone {
		for _, q := range p.ended {
			p.count(q, 1)
		}
	}
	p.ended = nil
	for i := 0; i < len(p.running); i++ {
		q := p.running[i]
		if p.Stages > 1 && p.turn-q.ran < p.Stages || alone && q.left() <= 1 {
			continue
		}
		p.preempt(i)
		n := q.left()
		if n == 1 {
			n += p.Drafts
		}
		if n = min(n, p.budget); n > 0 {
			p.give(q, n)
		}
	}
	p.admit()
	p.running = slices.DeleteFunc(p.running, func(q *planned) bool {
		if q.made < q.stop {
			return false
		}
		if p.Overrun || p.Async && q.stop < q.limit {
			p.ended = append(p.ended, q)
		}
		return true
	})
}

func (p *plant) free() int {
	n := p.Blocks
	for _, q := range p.running {
		n -= q.blocks()
	}
	return n
}

// preempt puts the last running requests back into the queue until the rest fit.
func (p *plant) preempt(i int) {
	for p.Blocks > 0 && p.free() < 0 && len(p.running) > i+1 {
		last := p.running[len(p.running)-1]
		p.running = p.running[:len(p.running)-1]
		last.computed, last.resumed, p.preempted = 0, true, true
		p.queue = slices.Insert(p.queue, 0, last)
	}
}

func (p *plant) admit() {
	for len(p.queue) > 0 && len(p.running) < p.Seqs && p.budget > 0 && !p.preempted {
		q := p.queue[0]
		if p.Blocks > 0 && p.free() < q.blocks() && len(p.running) > 0 {
			return
		}
		p.queue = p.queue[1:]
		q.computed = min(q.cached, q.left()-1)
		p.running = append(p.running, q)
		p.give(q, min(q.left(), p.budget))
	}
}

func (p *plant) count(q *planned, n int) {
	p.budget -= n
	if q.made == 0 || p.Context && q.resumed {
		p.step.ContextRequests++
		p.step.ContextTokens += int64(n)
		return
	}
	p.step.GenerationRequests++
	p.step.GenerationTokens += int64(n)
}

// give computes n tokens of a request, which gets tokens if they are its last.
func (p *plant) give(q *planned, n int) {
	p.count(q, n)
	q.computed += n
	q.ran = p.turn
	if q.made == 0 && q.entered == None {
		q.entered = len(p.steps)
	}
	if q.computed < q.prompt+q.made {
		return
	}
	tokens := 1
	for p.Drafts > 0 && q.made > 0 && !q.resumed && tokens < n && p.r.Float64() < 0.7 {
		tokens++
	}
	q.resumed = false
	tokens = min(tokens, q.stop-q.made)
	q.made += tokens
	q.computed = q.prompt + q.made - 1
	p.given = append(p.given, gift{q, tokens})
}
