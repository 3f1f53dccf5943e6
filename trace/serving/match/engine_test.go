package match

import (
	"math/rand/v2"
	"slices"
	"strconv"

	"tokprof/trace/serving"
)

// engine is a scheduler in the manner of vLLM's, with a client reading from it:
// what a test knows of each token is the step that gave it.
type engine struct {
	Seed     uint64
	Requests int
	Gap      int64 // mean time between requests, ns
	Prompt   [2]int
	Output   [2]int

	Budget int     // tokens a step
	Seqs   int     // running requests
	Blocks int     // of the KV pool, 0 for no limit; a preempted request recomputes
	Cached float64 // share of requests with a prefix hit
	EOS    float64 // share that stop before their limit
	Drafts int     // tokens speculated

	Async    bool // the next step is scheduled while one runs
	Apart    bool // prefill in steps of its own
	NoTokens bool // and these only of requests
	Whole    bool // annotations give totals only
	Context  bool // a resumed request counts as context, not as generation

	Decode, Token int64      // a step's time, and more for each prompt token
	Launch        float64    // share of the next step after which an asynchronous engine looks at a result
	Delay, Jitter int64      // from the engine to the client
	Stall         int64      // the client reads nothing for up to this long
	Clock         int64      // client's clock minus the GPU's
	Hidden        float64    // share of requests of other clients
	Window        [2]float64 // recorded part of the steps
	Hole          [2]float64 // part of the steps missing in the recording
	Stages        int        // of a pipeline, whose batches take turns
	Overrun       bool       // every request runs a step past its end
	Broken        float64    // share whose client left half-way
	Extra         int        // prompt tokens that the client does not know of
	Merged        float64    // share of tokens that come in the chunk of the one after
}

// simulated request.
type simRequest struct {
	sent            int64
	prompt, cached  int
	limit, stop     int // tokens allowed, and made before it stops (≤ limit)
	computed, made  int
	steps           []int
	entered         int // step of the first part of its prompt
	times           []int64
	hidden, running bool
	resumed         bool
	ran             int // turn
}

func (q *simRequest) need() int   { return q.prompt + q.made - q.computed }
func (q *simRequest) blocks() int { return (q.prompt + q.made + 16) / 16 }

// simulate runs the engine. truth has the step of each token of each row, or
// None when it lies outside the recorded steps.
func (e engine) simulate() (steps []Step, rows []serving.Request, truth [][]int) {
	r := rand.New(rand.NewPCG(e.Seed, 7))
	between := func(b [2]int) int { return b[0] + r.IntN(b[1]-b[0]+1) }
	now := int64(1_700_000_000_000_000_000)
	var all, queue, running []*simRequest
	at := now
	for range e.Requests {
		q := &simRequest{entered: None, sent: at, prompt: between(e.Prompt), limit: between(e.Output), hidden: r.Float64() < e.Hidden}
		q.stop = q.limit
		if r.Float64() < e.EOS {
			q.stop = 1 + r.IntN(q.limit)
		}
		if r.Float64() < e.Cached {
			q.cached = r.IntN(q.prompt) / 16 * 16
		}
		all = append(all, q)
		at += int64(r.ExpFloat64() * float64(e.Gap))
	}
	arrived := 0
	free := func() int {
		n := e.Blocks
		for _, q := range running {
			n -= q.blocks()
		}
		return n
	}
	var trailing []*simRequest // ended in the step that runs while the next is scheduled
	type out struct {
		q *simRequest
		n int
	}
	var outs [][]out
	gpu, schedule, turn := now, now, 0
	for {
		for arrived < len(all) && all[arrived].sent+500_000 <= schedule {
			queue = append(queue, all[arrived])
			arrived++
		}
		if len(queue)+len(running)+len(trailing) == 0 {
			if arrived == len(all) {
				break
			}
			schedule = max(schedule, all[arrived].sent+500_000)
			continue
		}
		budget := e.Budget
		var s Step
		var got []out
		context := func(q *simRequest) bool { return q.made == 0 || e.Context && q.resumed }
		count := func(q *simRequest, n int) {
			if context(q) {
				s.ContextRequests++
				s.ContextTokens += int64(n)
			} else {
				s.GenerationRequests++
				s.GenerationTokens += int64(n)
			}
		}
		give := func(q *simRequest, n int) {
			count(q, n)
			budget -= n
			q.ran = turn
			q.computed += n
			if q.made == 0 && q.entered == None {
				q.entered = len(steps)
			}
			if q.computed < q.prompt+q.made {
				return
			}
			q.resumed = false
			tokens := 1
			for range n - 1 {
				if e.Drafts > 0 && q.made > 0 && n <= 1+e.Drafts && r.Float64() < 0.7 {
					tokens++
				} else {
					break
				}
			}
			tokens = min(tokens, q.stop-q.made)
			q.made += tokens
			q.computed = q.prompt + q.made - 1
			got = append(got, out{q, tokens})
		}
		turn++
		busy := func(q *simRequest) bool { // in the batch of another stage
			return e.Stages > 1 && turn-q.ran < e.Stages
		}
		prefillWaits := len(queue) > 0 && len(running) < e.Seqs
		preempted := false
		ran := trailing
		trailing = nil
		if !e.Apart || !prefillWaits {
			for _, q := range ran {
				count(q, 1)
				budget--
			}
		}
		for i := 0; i < len(running); i++ {
			q := running[i]
			if busy(q) {
				continue
			}
			if e.Apart && (prefillWaits || slices.ContainsFunc(running, func(q *simRequest) bool { return q.need() > 1 })) && q.need() <= 1 {
				continue
			}
			for e.Blocks > 0 && free() < 0 && len(running) > i+1 {
				last := running[len(running)-1]
				running = running[:len(running)-1]
				last.computed, last.resumed, preempted = 0, true, true
				queue = slices.Insert(queue, 0, last)
			}
			n := q.need()
			if n == 1 && e.Drafts > 0 {
				n = 1 + e.Drafts
			}
			if n = min(n, budget); n > 0 {
				give(q, n)
			}
		}
		for len(queue) > 0 && len(running) < e.Seqs && budget > 0 && !preempted {
			q := queue[0]
			if e.Blocks > 0 && free() < q.blocks() && len(running) > 0 {
				break
			}
			queue = queue[1:]
			q.computed = min(q.cached, q.need()-1)
			running = append(running, q)
			give(q, min(q.need(), budget))
		}
		running = slices.DeleteFunc(running, func(q *simRequest) bool {
			if q.made < q.stop {
				return false
			}
			if e.Async && q.stop < q.limit || e.Overrun {
				trailing = append(trailing, q)
			}
			return true
		})
		s.Start = max(gpu, schedule) + 50_000 + r.Int64N(100_000)
		s.End = s.Start + int64(float64(e.Decode)*(0.9+0.3*r.Float64())) + e.Token*s.ContextTokens
		gpu = s.End
		schedule = s.End + 200_000
		if e.Async {
			schedule = s.Start + 200_000
		}
		steps = append(steps, s)
		outs = append(outs, got)
	}
	return e.observe(r, steps, all, func(k int, f func(q *simRequest, n int)) {
		for _, o := range outs[k] {
			f(o.q, o.n)
		}
	})
}

// observe is what the client and the recording see.
func (e engine) observe(r *rand.Rand, steps []Step, all []*simRequest, outs func(k int, f func(q *simRequest, n int))) ([]Step, []serving.Request, [][]int) {
	last := int64(0)
	stalled := int64(0)
	for k, s := range steps {
		at := s.End
		if e.Async && k+1 < len(steps) {
			n := steps[k+1]
			at = max(at, n.Start+int64(e.Launch*float64(n.End-n.Start)))
		}
		at += e.Delay + int64(r.ExpFloat64()*float64(e.Jitter))
		if e.Stall > 0 && r.Float64() < 0.1 {
			stalled = max(stalled, at+r.Int64N(e.Stall))
		}
		at = max(at, last, stalled)
		outs(k, func(q *simRequest, n int) {
			at += 30_000
			for range n {
				q.steps = append(q.steps, k)
				q.times = append(q.times, at)
			}
		})
		last = at
	}
	from, to := 0, len(steps)
	if e.Window[1] > 0 {
		from, to = int(e.Window[0]*float64(to)), int(e.Window[1]*float64(to))
	}
	var rows []serving.Request
	var truth [][]int
	for _, q := range all {
		if q.hidden {
			continue
		}
		row := serving.Request{ID: len(rows), PromptTokens: q.prompt - e.Extra, MaxTokens: q.limit, Window: strconv.Itoa(q.entered - from), DueUnixNS: q.sent + e.Clock, SentUnixNS: q.sent + e.Clock, CompletionTokens: q.made, Status: 200, Finish: "length"}
		if q.stop < q.limit {
			row.Finish = "stop"
		}
		var of []int
		for j, k := range q.steps {
			row.TokenUnixNS = append(row.TokenUnixNS, q.times[j]+e.Clock)
			if k -= from; k < 0 || k >= to-from {
				k = None
			}
			of = append(of, k)
		}
		if n := len(of); n > 4 && r.Float64() < e.Broken {
			of, row.TokenUnixNS, row.Error = of[:n/2], row.TokenUnixNS[:n/2], "stream broke off"
		}
		for j := len(of) - 2; j > 0; j-- {
			if r.Float64() < e.Merged {
				row.TokenUnixNS[j] = row.TokenUnixNS[j+1]
				row.Bundled++
			}
		}
		rows = append(rows, row)
		truth = append(truth, of)
	}
	steps = slices.Clone(steps[from:to])
	if e.Hole[1] > 0 {
		a, b := int(e.Hole[0]*float64(len(steps))), int(e.Hole[1]*float64(len(steps)))
		steps = slices.Delete(steps, a, b)
		for _, of := range truth {
			for j, k := range of {
				switch {
				case k >= b:
					of[j] = k - (b - a)
				case k >= a:
					of[j] = None
				}
			}
		}
	}
	if e.Whole {
		for i := range steps {
			s := &steps[i]
			*s = Step{Start: s.Start, End: s.End, Requests: s.ContextRequests + s.GenerationRequests, Tokens: s.ContextTokens + s.GenerationTokens}
			if e.NoTokens {
				s.Tokens = 0
			}
		}
	}
	return steps, rows, truth
}
