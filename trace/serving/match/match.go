// Package match says which step of the engine produced which token of which
// request. Steps carry only counts of requests and tokens, so tokens are joined
// by time, order and counts; what those do not decide stays unmatched.
//
// Times alone do not decide it: under asynchronous scheduling a step's tokens
// often reach the client after the next step has ended, and a stalled client
// reads several at once. So the steps are replayed as the engine's scheduler
// must have run them. A running request takes part in every step until it has
// all its tokens, unless the count says that somebody was left out; a waiting
// one enters at a step with context requests. Times only bound this: no token
// arrives before its step ended, none is sent before its request. Where several
// readings remain, the likeliest by prompt lengths, counts and lateness is kept,
// out of a bounded number that are followed side by side.
package match

import "tokprof/trace/serving"

// Step is one forward pass as its annotation and its GPU events give it. Times
// are Unix nanoseconds on the GPU, of its first and last event over all ranks;
// both 0 for a step that launched nothing.
type Step struct {
	Start, End                           int64
	ContextRequests, ContextTokens       int64
	GenerationRequests, GenerationTokens int64

	// Requests and Tokens are the totals of an annotation that does not tell
	// context and generation apart; the four counts above are then 0. Any number
	// of tokens is 0 when not said.
	Requests, Tokens int64

	// Engine tells schedulers apart: of a data-parallel server, or of several
	// servers. Each serves its own requests, and the join decides which.
	Engine int
	// Server is 1 more than the Request.Server whose requests alone the engine
	// can have served; 0 when that is not known.
	Server int
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
	// Sure says of a joined token that no other reading of counts and times
	// would move it; see Result.Sure.
	Sure bool
}

// Request is the place of one request's tokens among the steps.
type Request struct {
	// Entered is the first step that computed a part of its prompt, None when
	// that was not recorded or not decided.
	Entered int
	Tokens  []Token // one for each of the request's TokenUnixNS
}

// Result is the join of one window. Joined, Outside and Unmatched count the
// clients' tokens and add up to all of them. No step has more tokens joined than
// its annotation lets it emit: continuing ones up to its generation requests
// (tokens, when it checks drafts), first ones and those of resumed requests up
// to its context requests.
type Result struct {
	Requests                   []Request // as given
	Joined, Outside, Unmatched int64

	// Emitted counts what the recorded steps emitted by their annotations: one
	// for each generation request and one for each context request whose prompt
	// the step completed. Which those are, the replay says; a context request
	// that it cannot name counts when the next step has one more generation
	// request than the named ones explain. A generation request that ran a step
	// past its end, because the engine learnt of the end late, is not counted
	// where the replay shows it. A request's drafts accepted in one step count
	// once.
	Emitted int64
	// Explained is how many of Emitted have a token joined.
	Explained int64

	// Sure is the share of joined tokens whose step no other reading of the
	// counts and times would change, 0–1. A request's run of tokens is sure when
	// (1) starting it at a later step would put a token before the end of its
	// step or break the counts: the step takes no more requests, prompts no
	// longer add up, or a request is missing or too many where all were
	// explained; (2) starting it at an earlier step would break the counts, or
	// make its promptest token later than that of any run that the counts place
	// alone; (3) no request of the next step that took any could change places
	// with it. From the first step on that left it out, or could have in place of
	// another, it is not sure.
	Sure float64
}

// Steps joins the tokens of requests with steps. Both may hold more than one
// window saw: rows of other windows that were running at the time take part too.
func Steps(steps []Step, requests []serving.Request) Result {
	res := Result{Requests: make([]Request, len(requests))}
	for i := range requests {
		res.Requests[i] = Request{Entered: None, Tokens: make([]Token, len(requests[i].TokenUnixNS))}
		for j := range res.Requests[i].Tokens {
			res.Requests[i].Tokens[j].Step = None
		}
	}
	var all bounds
	of := make([]bounds, len(requests)) // of the engine that has it
	for i, l := range lanes(steps, requests) {
		b := bounds{l.m.t.first(), l.m.t.last(), l.m.write(l.log, &res)}
		for j, f := range l.fits(len(requests)) {
			if f.units > 0 {
				of[j] = b
			}
		}
		if i == 0 {
			all = b
		}
		all = bounds{min(all.first, b.first), max(all.last, b.last), max(all.latest, b.latest)}
	}
	for i := range requests {
		if of[i] == (bounds{}) {
			of[i] = all
		}
		of[i].rest(&requests[i], res.Requests[i].Tokens)
	}
	res.count()
	return res
}

func (res *Result) count() {
	sure := 0
	for i := range res.Requests {
		for _, x := range res.Requests[i].Tokens {
			switch x.Why {
			case Joined:
				res.Joined++
				if x.Sure {
					sure++
				}
			case Outside:
				res.Outside++
			default:
				res.Unmatched++
			}
		}
	}
	if res.Joined > 0 {
		res.Sure = float64(sure) / float64(res.Joined)
	}
}
