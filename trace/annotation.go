package trace

import (
	"regexp"
	"strconv"
	"strings"
)

// Phase of a step.
type Phase uint8

// Phases. NoPhase is time outside every step, or in a step whose annotation
// does not say.
const (
	NoPhase Phase = iota
	Prefill
	Decode
	Mixed
	Dummy // a batch that only keeps peers company
)

func (p Phase) String() string {
	return [...]string{"none", "prefill", "decode", "mixed", "dummy"}[p]
}

// StepLabel is what an engine's step annotation says.
type StepLabel struct {
	Scheme   StepScheme
	Phase    Phase
	Tokens   int64 // computed in the step, 0 when not said
	Requests int64 // 0 when not said

	// What a step did for requests in their prefill and in generation, where
	// the annotation tells them apart (SchemeContext).
	ContextRequests, ContextTokens       int64
	GenerationRequests, GenerationTokens int64
}

// StepScheme is a way of marking steps. Where a file has several, the finest
// engine's own wins: schemes are in rising order of trust.
type StepScheme uint8

// Schemes.
const (
	NoScheme       StepScheme = iota
	ProfilerStep              // ProfilerStep#N of a torch.profiler schedule
	SchemeNewCache            // vLLM 0.11.1–0.13: execute_new_N_cached_M
	SchemeBracket             // SGLang step[DECODE bs=32], ATOM prefill[bs=..]
	SchemeContext             // vLLM ≥ 0.14: execute_context_N(T)_generation_M(U)
)

// The forms seen in files: vLLM v0.14+ native, with a token total in front and
// sq/sk details (0.26+), and with both numbers in the brackets joined by an
// underscore.
var (
	stepContext  = regexp.MustCompile(`^execute_(?:\d+_)?context_(\d+)\((?:sq)?(\d+)?[^)]*\)_generation_(\d+)\((?:sq)?(\d+)?[^)]*\)$`)
	stepNewCache = regexp.MustCompile(`^execute_new_(\d+)_cached_(\d+)$`)
	stepSGLang   = regexp.MustCompile(`^step\[(\w+)((?: [^\]]*)?)\]`)
	stepATOM     = regexp.MustCompile(`^(prefill|decode|mixed)\[(bs=[^\]]*)\]`)
	stepBS       = regexp.MustCompile(`\bbs=(\d+)`)
	stepToks     = regexp.MustCompile(`\btok(?:en)?s?=(\d+)`)
	stepProfiler = regexp.MustCompile(`^ProfilerStep\s*#\d+$`)
)

// ParseStep reads a step annotation; ok is false for any other text.
func ParseStep(name string) (l StepLabel, ok bool) {
	switch {
	case strings.HasPrefix(name, "execute_"):
		return parseVLLM(name)
	case strings.HasPrefix(name, "step["), strings.HasPrefix(name, "prefill["),
		strings.HasPrefix(name, "decode["), strings.HasPrefix(name, "mixed["):
		return parseBracket(name)
	case stepProfiler.MatchString(name):
		return StepLabel{Scheme: ProfilerStep}, true
	}
	return l, false
}

func parseVLLM(name string) (StepLabel, bool) {
	if m := stepContext.FindStringSubmatch(name); m != nil {
		ctx, gen := number(m[1]), number(m[3])
		return StepLabel{
			Scheme: SchemeContext, Phase: phaseOf(ctx, gen),
			Tokens: number(m[2]) + number(m[4]), Requests: ctx + gen,
			ContextRequests: ctx, ContextTokens: number(m[2]), GenerationRequests: gen, GenerationTokens: number(m[4]),
		}, true
	}
	if m := stepNewCache.FindStringSubmatch(name); m != nil {
		// A cached request may still be in its prefill (chunks); the name does
		// not say, so a step of cached requests alone is taken for decode.
		fresh, cached := number(m[1]), number(m[2])
		return StepLabel{Scheme: SchemeNewCache, Phase: phaseOf(fresh, cached), Requests: fresh + cached}, true
	}
	return StepLabel{}, false
}

func phaseOf(ctx, gen int64) Phase {
	switch {
	case ctx > 0 && gen > 0:
		return Mixed
	case ctx > 0:
		return Prefill
	case gen > 0:
		return Decode
	}
	return Dummy
}

// forwardModes are SGLang's names for what a batch does, and ATOM's. Verifying
// and extending drafts are the decode steps of speculative decoding.
var forwardModes = map[string]Phase{
	"decode": Decode, "target_verify": Decode, "draft_extend": Decode, "draft_extend_v2": Decode,
	"extend": Prefill, "prefill": Prefill, "split_prefill": Prefill, "dllm_extend": Prefill,
	"mixed": Mixed,
	"idle":  Dummy, "dummy_first": Dummy, "prebuilt": Dummy,
}

func parseBracket(name string) (StepLabel, bool) {
	word, rest := "", ""
	if m := stepSGLang.FindStringSubmatch(name); m != nil {
		word, rest = m[1], m[2]
	} else if m := stepATOM.FindStringSubmatch(name); m != nil {
		word, rest = m[1], m[2]
	} else {
		return StepLabel{}, false
	}
	l := StepLabel{Scheme: SchemeBracket}
	if m := stepBS.FindStringSubmatch(rest); m != nil {
		l.Requests = number(m[1])
	}
	if m := stepToks.FindStringSubmatch(rest); m != nil {
		l.Tokens = number(m[1])
	}
	var known bool
	if l.Phase, known = forwardModes[strings.ToLower(word)]; !known && l.Requests == 0 {
		return StepLabel{}, false // someone's own step[3]
	}
	if l.Phase == Decode && l.Tokens == 0 && strings.EqualFold(word, "decode") {
		l.Tokens = l.Requests
	}
	return l, true
}

// number is the number in s, 0 when there is none or no engine counts that far.
func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n > 1<<60 {
		return 0
	}
	return n
}
