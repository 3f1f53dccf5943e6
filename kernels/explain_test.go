package kernels

import (
	"fmt"
	"strings"
	"testing"

	"tokprof/fixtures/golden"
)

func TestExplain(t *testing.T) {
	c := newClassifier(t)
	var b strings.Builder
	for _, name := range []string{
		"void flash::flash_fwd_splitkv_combine_kernel<Flash_fwd_kernel_traits<128, 64, 64, 4, false, false, cutlass::bfloat16_t>, 4, 6, true>(flash::Flash_fwd_params)",
		"_gemma_fused_add_rmsnorm_kernel",
		"void cutlass::device_kernel<flash::enable_sm90_or_later<flash::FlashAttnFwdSm90<int> > >(int)",
		"void my_scale_kernel<float>(flash::flash_fwd_params, ncclDevComm*)",
		"void vendor::persistent<flash::FlashAttnFwdSm90<int> >(int)",
		"void vendor::xyzzy<float>(float*)",
	} {
		x := c.Explain(name)
		fmt.Fprintf(&b, "%s\n  %s by %q of %s, %q in %q, spelled %q, by argument %v, source %s\n", name, x.Category, x.Rule, x.Scope, x.Matched, x.Words, x.Span, x.ByArgument, x.Source)
		for _, p := range x.Passed {
			fmt.Fprintf(&b, "  passed %s (%s) later=%v: %s\n", p.Rule, p.Category, p.Later, p.Why)
		}
		fmt.Fprintf(&b, "  line %q\n", x.Line)
	}
	golden.Check(t, "explain.golden", []byte(b.String()))
}

// TestExplainAgrees: the reasons given are those of the answer given, and the
// ready rule takes the name it was made for.
func TestExplainAgrees(t *testing.T) {
	c := newClassifier(t)
	for _, n := range append(labels(t, "known_names.tsv"), labels(t, "more_names.tsv")...) {
		x := c.Explain(n.name)
		if m := c.Classify(n.name); m.Category != x.Category || m.Rule != x.Rule || m.Short != x.Short {
			t.Errorf("%s: Classify says %v, Explain %v", n.name, m, x.Match)
		}
		if x.Rule != "" && (!strings.Contains(x.Words, x.Matched) || x.Scope == ScopeBase && !strings.Contains(x.Name.Normal, x.Span) || x.Span == "") {
			t.Errorf("%s: span %q, match %q", n.name, x.Span, x.Matched)
		}
		for _, p := range x.Passed {
			if p.Rule == x.Rule || p.Why == "" {
				t.Errorf("%s: passed %+v", n.name, p)
			}
		}
		mine, err := ParseRules(strings.NewReader(x.Line), "line")
		if err != nil || len(mine) != 1 {
			t.Fatalf("%s: %q: %v", n.name, x.Line, err)
		}
		if m := newClassifier(t, mine...).Classify(n.name); m.Rule != mine[0].ID {
			t.Errorf("%s is not taken by the rule made for it: %q", n.name, x.Line)
		}
	}
}

func TestExplainUserRule(t *testing.T) {
	mine := ruleTable(t, "my.norm | base | ^rmsnorm kernel$ | attention.qk_norm")
	x := newClassifier(t, mine...).Explain("void vllm::rms_norm_kernel<float>(int)")
	if !x.FromUser || x.Rule != "my.norm" {
		t.Errorf("got %+v", x)
	}
	if len(x.Passed) == 0 || x.Passed[0].Rule != "norm" || !x.Passed[0].Later {
		t.Errorf("passed %+v", x.Passed)
	}
}
