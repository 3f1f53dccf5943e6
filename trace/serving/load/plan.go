package load

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"
)

// Plan is a list of requests and when they are due.
type Plan struct {
	Window   string // name that the rows carry
	Requests []Planned
	// Estimated says that PromptTokens and MaxTokens were estimated from text, because
	// no tokenizer counted.
	Estimated bool
	// Notes say what the builder left out or changed, one sentence each.
	Notes []string
}

// Planned is one request to send.
type Planned struct {
	Due          time.Duration // from the start of the load
	Server       int           // index into Target.URLs
	Prompt       Prompt
	PromptTokens int // length of the prompt: as made, or estimated for text
	MaxTokens    int // of the answer; at least 1
	// Exact asks for exactly MaxTokens: min_tokens and ignore_eos, where the engine
	// has them.
	Exact bool
	// Salt keeps prompts apart in the server's prefix cache (cache_salt): equal prompts
	// share a cache only under equal salts. Run appends its start, so that no run finds
	// what an earlier one left. Empty sends none.
	Salt string
	// NoStream asks for the whole answer at once; its tokens then have no times.
	NoStream bool
}

// Prompt is what a request asks to continue: Text, or IDs, or else Random.
type Prompt struct {
	Text   string
	IDs    []int32
	Random RandomIDs
}

// RandomIDs is a prompt of random token ids, made when it is sent: the first Shared of
// Count from SharedSeed, the others from Seed, all in [Lo, Hi).
type RandomIDs struct {
	Count, Shared    int
	SharedSeed, Seed uint64
	Lo, Hi           int32
}

// appendIDs appends the prompt's token ids as a JSON array.
func (p *Prompt) appendIDs(b []byte) []byte {
	b = append(b, '[')
	n := 0
	for id := range p.ids() {
		if n > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(id), 10)
		n++
	}
	return append(b, ']')
}

// ids yields the prompt's token ids.
func (p *Prompt) ids() func(yield func(int32) bool) {
	if len(p.IDs) > 0 {
		return slices.Values(p.IDs)
	}
	r := p.Random
	return func(yield func(int32) bool) {
		shared, own := rand.NewPCG(r.SharedSeed, streamPrompt), rand.NewPCG(r.Seed, streamPrompt)
		span := uint64(r.Hi - r.Lo)
		for i := range r.Count {
			src := own
			if i < r.Shared {
				src = shared
			}
			if !yield(r.Lo + int32(src.Uint64()%span)) {
				return
			}
		}
	}
}

// words are common enough to be one token each, with the space before them, in every
// vocabulary that we know.
var words = [...]string{
	"time", "year", "people", "way", "day", "man", "thing", "woman", "life", "child", "world", "school", "state",
	"family", "student", "group", "country", "problem", "hand", "part", "place", "case", "week", "company", "system",
	"program", "question", "work", "government", "number", "night", "point", "home", "water", "room", "mother", "area",
	"money", "story", "fact", "month", "lot", "right", "study", "book", "eye", "job", "word", "business", "issue", "side",
	"kind", "head", "house", "service", "friend", "father", "power", "hour", "game", "line", "end", "member", "law",
}

// text is the prompt as text: for token ids as many words.
func (p *Prompt) text() string {
	if p.Text != "" {
		return p.Text
	}
	var b []byte
	for id := range p.ids() {
		if len(b) > 0 {
			b = append(b, ' ')
		}
		b = append(b, words[int(uint32(id))%len(words)]...)
	}
	return string(b)
}

// Spread sends the plan's requests to servers 0 to n-1 in turn.
func (p *Plan) Spread(n int) {
	for i := range p.Requests {
		p.Requests[i].Server = i % max(n, 1)
	}
}

// sorted is the plan's requests in order of their due times, as far as max (0: all).
func (p *Plan) sorted(max int) []Planned {
	out := slices.Clone(p.Requests)
	slices.SortStableFunc(out, func(a, b Planned) int { return cmp.Compare(a.Due, b.Due) })
	if max > 0 && max < len(out) {
		out = out[:max]
	}
	return out
}

// check says what is wrong with a plan for so many servers.
func (p *Plan) check(servers int) error {
	if len(p.Requests) == 0 {
		return fmt.Errorf("load: the plan %q has no requests", p.Window)
	}
	for i := range p.Requests {
		q := &p.Requests[i]
		r := q.Prompt.Random
		switch {
		case q.Server < 0 || q.Server >= servers:
			return fmt.Errorf("load: request %d of plan %q goes to server %d of %d", i, p.Window, q.Server, servers)
		case q.MaxTokens < 1:
			return fmt.Errorf("load: request %d of plan %q asks for %d tokens: at least 1 is needed", i, p.Window, q.MaxTokens)
		case q.Due < 0:
			return fmt.Errorf("load: request %d of plan %q is due %v before the start", i, p.Window, -q.Due)
		case q.Prompt.Text == "" && len(q.Prompt.IDs) == 0 && (r.Count < 1 || r.Hi <= r.Lo || r.Lo < 0):
			return fmt.Errorf("load: request %d of plan %q has no prompt", i, p.Window)
		}
	}
	return nil
}
