package load

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"tokprof/trace/serving"
)

// Each use of a seed has a stream of its own, so that another output length changes
// neither the prompts nor the arrivals.
const (
	streamInput = iota + 1
	streamOutput
	streamArrival
	streamPrompt
	streamDataset
)

// Range is a length in tokens, drawn evenly from Min to Max, both included.
type Range struct{ Min, Max int }

// ParseRange reads "128" or "64:900".
func ParseRange(s string) (Range, error) {
	lo, hi, two := strings.Cut(s, ":")
	if !two {
		hi = lo
	}
	a, err1 := strconv.Atoi(lo)
	b, err2 := strconv.Atoi(hi)
	if err1 != nil || err2 != nil || a < 1 || b < a {
		return Range{}, fmt.Errorf("%q is no length in tokens: give one like 128, or a range like 64:900", s)
	}
	return Range{a, b}, nil
}

// String is what ParseRange reads.
func (r Range) String() string {
	if r.Min == r.Max {
		return strconv.Itoa(r.Min)
	}
	return fmt.Sprintf("%d:%d", r.Min, r.Max)
}

func (r Range) draw(g *rand.Rand) int { return r.Min + g.IntN(r.Max-r.Min+1) }

// Shape describes requests of synthetic prompts: random token ids, which no server
// has in its prefix cache.
type Shape struct {
	Window        string
	Requests      int
	Input, Output Range // tokens of prompt and answer; the answer's are exact
	// SharedPrefix is how many tokens all prompts begin with in common, out of Input.
	SharedPrefix int
	// Vocab is the range of token ids [Min, Max) of the prompts. Zero means 1000 to
	// 30000: behind the special tokens, and inside every vocabulary served today.
	Vocab    Range
	NoStream bool
	// Seed decides lengths and prompts. Plans of one seed and two window names have the
	// same lengths and different prompts, so that they compare.
	Seed uint64
}

// Plan makes the shape's requests, due as a says.
func (s Shape) Plan(a Arrival) (Plan, error) {
	if s.Requests < 1 {
		return Plan{}, fmt.Errorf("load: a shape of %d requests: at least 1 is needed", s.Requests)
	}
	for _, r := range []Range{s.Input, s.Output} {
		if r.Min < 1 || r.Max < r.Min {
			return Plan{}, fmt.Errorf("load: a length from %d to %d tokens: at least 1 is needed, the smaller one first", r.Min, r.Max)
		}
	}
	vocab := s.Vocab
	if vocab == (Range{}) {
		vocab = Range{1000, 30000}
	}
	if vocab.Min < 0 || vocab.Max <= vocab.Min || vocab.Max > 1<<30 {
		return Plan{}, fmt.Errorf("load: no token ids in [%d, %d)", vocab.Min, vocab.Max)
	}
	due, err := a.Offsets(s.Requests, s.Seed)
	if err != nil {
		return Plan{}, err
	}
	in, out := rand.New(rand.NewPCG(s.Seed, streamInput)), rand.New(rand.NewPCG(s.Seed, streamOutput))
	own := windowSeed(s.Window, s.Seed)
	p := Plan{Window: s.Window, Requests: make([]Planned, s.Requests)}
	for i := range p.Requests {
		n := s.Input.draw(in)
		p.Requests[i] = Planned{
			Due: due[i], PromptTokens: n, MaxTokens: s.Output.draw(out), Exact: true, NoStream: s.NoStream,
			Salt: salt(own, i, s.SharedPrefix > 0),
			Prompt: Prompt{Random: RandomIDs{
				Count: n, Shared: min(max(s.SharedPrefix, 0), n), SharedSeed: own, Seed: own + uint64(i) + 1,
				Lo: int32(vocab.Min), Hi: int32(vocab.Max),
			}},
		}
	}
	return p, nil
}

// windowSeed is the seed of a window's prompts.
func windowSeed(window string, seed uint64) uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s\x00%d", window, seed)
	return h.Sum64()
}

// salt keeps a request apart from all others, or a plan from all other plans.
func salt(seed uint64, i int, shared bool) string {
	s := strconv.FormatUint(seed, 36)
	if shared {
		return s
	}
	return s + "-" + strconv.Itoa(i)
}

// FromRows plans the load of recorded rows again under the name window: their due
// offsets, servers, and lengths of prompts and answers, with random prompts. An answer
// that stopped by itself is asked for at the length it had. Rows without a length or a
// time are left out, and noted.
func FromRows(rows []serving.Request, window string, seed uint64) (Plan, error) {
	p := Plan{Window: window}
	own := windowSeed(window, seed)
	first := int64(math.MaxInt64)
	for i := range rows {
		r := &rows[i]
		out := r.MaxTokens
		if r.CompletionTokens > 0 && (r.Finish == "stop" || out < 1) {
			out = r.CompletionTokens
		}
		if r.PromptTokens < 1 || out < 1 || due(r) <= 0 {
			continue
		}
		first = min(first, due(r))
		p.Requests = append(p.Requests, Planned{
			Due: time.Duration(due(r)), Server: r.Server, PromptTokens: r.PromptTokens, MaxTokens: out, Exact: true,
			Salt:   salt(own, i, false),
			Prompt: Prompt{Random: RandomIDs{Count: r.PromptTokens, Seed: own + uint64(i) + 1, Lo: 1000, Hi: 30000}},
		})
	}
	for i := range p.Requests {
		p.Requests[i].Due -= time.Duration(first)
	}
	if left := len(rows) - len(p.Requests); left > 0 {
		p.Notes = append(p.Notes, fmt.Sprintf("%d of %d recorded requests have no length or no time, and are not sent again.", left, len(rows)))
	}
	if len(p.Requests) == 0 {
		return p, fmt.Errorf("load: none of %d recorded requests says its lengths and its time", len(rows))
	}
	return p, nil
}

// due is when a row's request was due, by its sending where the due time is unknown.
func due(r *serving.Request) int64 {
	if r.DueUnixNS != 0 {
		return r.DueUnixNS
	}
	return r.SentUnixNS
}
