package capture

import "tokprof/trace/serving/load"

// Window names of the default capture.
const (
	PrefillWindow = "prefill"
	DecodeWindow  = "decode"
	MixedWindow   = "mixed"
)

// Defaults of the sample load. Eight requests are the batch of a lightly loaded
// server; 32 tokens each give a median of some thirty decode steps for little
// stopping time.
const (
	decodeRequests = 8
	decodeInput    = 64
	decodeOutput   = 32
	prefillInput   = 1536
	prefillCount   = 4
	mixedRequests  = 16
	mixedRate      = 20
)

// Sample is what the sample requests of a capture look like; the zero value is
// the default load.
type Sample struct {
	Mixed    bool // one window of both instead of one of each
	Requests int
	Input    load.Range
	Output   load.Range
	Arrival  *load.Arrival
	Shape    load.Shape // what else a shape says: shared prefix, vocabulary, seed, streaming
	// MaxLen is the longest prompt and answer together that the server takes; 0
	// when unknown.
	MaxLen int
}

// Windows plans the sample load: a window of long prompts with short answers and
// one of short prompts with long answers, or one of everything.
func (s Sample) Windows() ([]WindowPlan, error) {
	kinds := []struct {
		name          string
		requests      int
		input, output load.Range
		arrival       load.Arrival
	}{
		{PrefillWindow, prefillCount, load.Range{Min: prefillInput, Max: prefillInput}, load.Range{Min: 2, Max: 2}, load.Arrival{}},
		{DecodeWindow, decodeRequests, load.Range{Min: decodeInput, Max: decodeInput}, load.Range{Min: decodeOutput, Max: decodeOutput}, load.Arrival{}},
	}
	if s.Mixed {
		kinds = kinds[:1]
		kinds[0].name, kinds[0].requests, kinds[0].arrival = MixedWindow, mixedRequests, load.Poisson(mixedRate)
		kinds[0].input, kinds[0].output = load.Range{Min: 32, Max: 900}, load.Range{Min: 8, Max: decodeOutput}
	}
	var out []WindowPlan
	for _, k := range kinds {
		shape := s.Shape
		shape.Window, shape.Requests, shape.Input, shape.Output = k.name, k.requests, k.input, k.output
		if s.Requests > 0 {
			shape.Requests = s.Requests
		}
		if s.Input.Max > 0 {
			shape.Input = s.Input
		}
		if s.Output.Max > 0 {
			shape.Output = s.Output
		}
		if s.Arrival != nil {
			k.arrival = *s.Arrival
		}
		s.fit(&shape)
		p, err := shape.Plan(k.arrival)
		if err != nil {
			return nil, err
		}
		out = append(out, WindowPlan{Name: k.name, Load: p})
	}
	return out, nil
}

// fit shortens default prompts to what the server takes; lengths that were asked
// for stay, and the server says what it thinks of them.
func (s Sample) fit(shape *load.Shape) {
	if s.MaxLen == 0 || s.Input.Max > 0 {
		return
	}
	most := max(1, s.MaxLen-shape.Output.Max)
	shape.Input.Max = min(shape.Input.Max, most)
	shape.Input.Min = min(shape.Input.Min, shape.Input.Max)
}

// Warmup is a few requests that bring a server's caches and clocks up before
// anything is measured: one long prompt, and as many short ones as w has.
func Warmup(w []WindowPlan) *load.Plan {
	p := load.Plan{Window: "warmup"}
	for _, one := range w {
		n := min(len(one.Load.Requests), decodeRequests)
		for _, q := range one.Load.Requests[:n] {
			q.MaxTokens = min(q.MaxTokens, 8)
			q.Due = 0
			q.Salt = "warmup-" + q.Salt
			q.Prompt.Random.Seed += warmupSeed
			p.Requests = append(p.Requests, q)
		}
	}
	return &p
}

// warmupSeed keeps the warm-up's prompts out of the windows' prefix cache where
// the server knows no cache_salt.
const warmupSeed = 1 << 40

// Steps is how many steps of the engine a plan will take at least, for requests
// that run side by side: the longest answer of those due at once, one answer after
// another where they do not overlap. It is an estimate for the cost.
func Steps(p load.Plan) int {
	longest, last := 0, 0.0
	for _, q := range p.Requests {
		longest = max(longest, q.MaxTokens)
		last = max(last, q.Due.Seconds())
	}
	// A step each 8 ms while requests keep coming: between a small model's 3 ms and
	// a large one's 20 ms.
	const perSecond = 125
	return longest + int(last*perSecond) + 1
}
