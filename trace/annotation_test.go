package trace

import (
	"fmt"
	"testing"
)

func TestParseStep(t *testing.T) {
	for _, c := range []struct {
		name string
		want StepLabel
	}{
		// vLLM ≥ 0.14, and its detailed form since 0.26.
		{"execute_context_2(6144)_generation_3(3)", StepLabel{Scheme: SchemeContext, Phase: Mixed, Tokens: 6147, Requests: 5}},
		{"execute_context_1(64)_generation_0(0)", StepLabel{Scheme: SchemeContext, Phase: Prefill, Tokens: 64, Requests: 1}},
		{"execute_context_0(0)_generation_32(32)", StepLabel{Scheme: SchemeContext, Phase: Decode, Tokens: 32, Requests: 32}},
		{"execute_context_0(0)_generation_8(16)", StepLabel{Scheme: SchemeContext, Phase: Decode, Tokens: 16, Requests: 8}},
		{"execute_context_0(0)_generation_0(0)", StepLabel{Scheme: SchemeContext, Phase: Dummy, Tokens: 0, Requests: 0}},
		{"execute_6147_context_2(sq6144sk7144sqsq20971520sqsk23019520)_generation_3(sq3sk6144sqsq3sqsk6144)", StepLabel{Scheme: SchemeContext, Phase: Mixed, Tokens: 6147, Requests: 5}},
		{"execute_0_context_0()_generation_4(sq4sk99)", StepLabel{Scheme: SchemeContext, Phase: Decode, Tokens: 4, Requests: 4}},
		// Tokens and their square, as in traces of mid 2025.
		{"execute_context_1(888_788544)_generation_0(0)", StepLabel{Scheme: SchemeContext, Phase: Prefill, Tokens: 888, Requests: 1}},
		// vLLM 0.11.1–0.13.
		{"execute_new_2_cached_0", StepLabel{Scheme: SchemeNewCache, Phase: Prefill, Tokens: 0, Requests: 2}},
		{"execute_new_1_cached_7", StepLabel{Scheme: SchemeNewCache, Phase: Mixed, Tokens: 0, Requests: 8}},
		{"execute_new_0_cached_16", StepLabel{Scheme: SchemeNewCache, Phase: Decode, Tokens: 0, Requests: 16}},
		{"execute_new_0_cached_0", StepLabel{Scheme: SchemeNewCache, Phase: Dummy, Tokens: 0, Requests: 0}},
		// SGLang.
		{"step[DECODE bs=32]", StepLabel{Scheme: SchemeBracket, Phase: Decode, Tokens: 32, Requests: 32}},
		{"step[EXTEND bs=2 toks=14721]", StepLabel{Scheme: SchemeBracket, Phase: Prefill, Tokens: 14721, Requests: 2}},
		{"step[MIXED bs=9 toks=520]", StepLabel{Scheme: SchemeBracket, Phase: Mixed, Tokens: 520, Requests: 9}},
		{"step[IDLE bs=0]", StepLabel{Scheme: SchemeBracket, Phase: Dummy, Tokens: 0, Requests: 0}},
		{"step[IDLE]", StepLabel{Scheme: SchemeBracket, Phase: Dummy, Tokens: 0, Requests: 0}},
		{"step[TARGET_VERIFY bs=4]", StepLabel{Scheme: SchemeBracket, Phase: Decode, Tokens: 0, Requests: 4}},
		{"step[DRAFT_EXTEND_V2 bs=4 toks=12]", StepLabel{Scheme: SchemeBracket, Phase: Decode, Tokens: 12, Requests: 4}},
		{"step[SPLIT_PREFILL bs=1 tokens=8]", StepLabel{Scheme: SchemeBracket, Phase: Prefill, Tokens: 8, Requests: 1}},
		{"step[NEW_MODE bs=3]", StepLabel{Scheme: SchemeBracket, Phase: NoPhase, Tokens: 0, Requests: 3}},
		// ATOM: requests of the padded batch behind the slash.
		{"prefill[bs=3 tok=900]", StepLabel{Scheme: SchemeBracket, Phase: Prefill, Tokens: 900, Requests: 3}},
		{"decode[bs=117/128 d=1]", StepLabel{Scheme: SchemeBracket, Phase: Decode, Tokens: 117, Requests: 117}},
		// Schedules of torch.profiler; old writers put a blank.
		{"ProfilerStep#12", StepLabel{Scheme: ProfilerStep, Phase: NoPhase, Tokens: 0, Requests: 0}},
		{"ProfilerStep #3", StepLabel{Scheme: ProfilerStep, Phase: NoPhase, Tokens: 0, Requests: 0}},
		// A count that no engine reaches is no count.
		{"execute_context_1(99999999999999999999)_generation_1(1)", StepLabel{Scheme: SchemeContext, Phase: Mixed, Tokens: 1, Requests: 2}},
	} {
		got, ok := ParseStep(c.name)
		got.ContextRequests, got.ContextTokens, got.GenerationRequests, got.GenerationTokens = 0, 0, 0, 0
		if !ok || got != c.want {
			t.Errorf("ParseStep(%q) = %+v, %v; want %+v", c.name, got, ok, c.want)
		}
	}
}

func TestParseStepCounts(t *testing.T) {
	for name, want := range map[string][4]int64{
		"execute_context_2(6144)_generation_3(3)":                                 {2, 6144, 3, 3},
		"execute_context_0(0)_generation_8(16)":                                   {0, 0, 8, 16},
		"execute_9_context_1(sq7sk7sqsq49sqsk49)_generation_2(sq2sk80sqsq2sqsk8)": {1, 7, 2, 2},
		"execute_new_2_cached_3":                                                  {},
		"step[DECODE bs=32]":                                                      {},
	} {
		l, _ := ParseStep(name)
		if got := [4]int64{l.ContextRequests, l.ContextTokens, l.GenerationRequests, l.GenerationTokens}; got != want {
			t.Errorf("%s: context and generation counts %v, want %v", name, got, want)
		}
	}
}

func TestParseStepNearMisses(t *testing.T) {
	for _, name := range []string{
		"", "execute_", "execute_model", "execute_context_2", "execute_context_2(6144)", "execute_new_1",
		"execute_context_(1)_generation_1(1)", "execute_context_-1(1)_generation_1(1)",
		"xexecute_context_1(1)_generation_0(0)", "execute_context_1(1)_generation_0(0)_more",
		"execute_context_1(1)_generation_0(0)\n", " execute_new_1_cached_1", "execute_new_1_cached_1 ",
		"step", "step[", "step[]", "step[3]", "step[DECODE", "step[FORWARD]", "steps[DECODE bs=1]", "step [DECODE bs=1]",
		"prefill", "prefill[layer 3]", "decode[0]", "decode[bs=", "PREFILL[bs=1]",
		"ProfilerStep", "ProfilerStep#", "ProfilerStep#x", "ProfilerStep#1: forward", "profilerstep#1",
		"## Call CompiledFxGraph fabc123 ##", "nccl:_all_gather_base", "capture_32_FULL", "aten::mm",
	} {
		if got, ok := ParseStep(name); ok || got != (StepLabel{}) {
			t.Errorf("ParseStep(%q) = %+v, %v; want none", name, got, ok)
		}
	}
}

func TestPhaseNames(t *testing.T) {
	got := fmt.Sprint(NoPhase, Prefill, Decode, Mixed, Dummy)
	if want := "none prefill decode mixed dummy"; got != want {
		t.Errorf("phases are %q, want %q", got, want)
	}
}

func FuzzParseStep(f *testing.F) {
	for _, s := range []string{
		"execute_6147_context_2(sq6144sk7144)_generation_3(sq3sk6144)", "execute_context_0(0)_generation_0(0)",
		"execute_new_1_cached_7", "step[EXTEND bs=2 toks=14721]", "decode[bs=117/128 d=1]", "ProfilerStep#12",
		"execute_context_1(9223372036854775807)_generation_9223372036854775807(9223372036854775807)",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		l, ok := ParseStep(name)
		switch {
		case !ok && l != StepLabel{}:
			t.Errorf("ParseStep(%q) = %+v, false: a refusal says something", name, l)
		case ok && l.Scheme == NoScheme:
			t.Errorf("ParseStep(%q) = %+v: accepted without a scheme", name, l)
		case l.Tokens < 0 || l.Requests < 0:
			t.Errorf("ParseStep(%q) = %+v: negative counts", name, l)
		case ok && l.Scheme == SchemeContext && (l.Phase == Dummy) != (l.Requests == 0):
			t.Errorf("ParseStep(%q) = %+v: a dummy has no requests, all else has", name, l)
		}
	})
}
