// Package match says which step of the engine produced which token of which
// request. Steps carry only counts of requests and tokens, so tokens are joined
// by time, order and counts; what those do not decide stays unmatched.
package match

import "tokprof/trace/serving"

// Step is one forward pass as its annotation and its GPU events give it. Times
// are Unix nanoseconds on the GPU, of its first and last event over all ranks.
type Step struct {
	Start, End                           int64
	ContextRequests, ContextTokens       int64
	GenerationRequests, GenerationTokens int64
}

// None marks a token or a request without a step.
const None = -1

// Why says how a token was placed.
type Why uint8

// Placements.
const (
	Unmatched Why = iota // a recorded step may have emitted it; which one is not decided
	Joined               // Step says which
	Outside              // emitted before the first recorded step or after the last one
)

// Token is one token of a request.
type Token struct {
	Step int // index into the steps, None unless Joined
	Why  Why
}

// Request is the place of one request's tokens among the steps.
type Request struct {
	// Entered is the first step that computed a part of its prompt, None when
	// that was not recorded or not decided.
	Entered int
	Tokens  []Token // one for each of the request's TokenUnixNS
}

// Result is the join of one window. Emitted counts the tokens that the recorded
// steps emitted by their annotations' counts; Joined, Outside and Unmatched count the
// clients' tokens. No step has more tokens joined than it can have emitted.
type Result struct {
	Requests                            []Request // as given
	Emitted, Joined, Outside, Unmatched int64
	// Sure is the share of joined tokens whose step no other reading of the
	// counts and times would change, 0–1.
	Sure float64
}

// Steps joins the tokens of requests with steps. Both may hold more than one
// window saw: rows of other windows that were running at the time take part too.
func Steps(steps []Step, requests []serving.Request) Result {
	panic("not built yet")
}
