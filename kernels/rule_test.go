package kernels

import (
	"regexp"
	"strings"
	"testing"
)

// TestBuiltinRules: every rule can be reached, no earlier rule takes its
// example, and the table says where each identifier comes from.
func TestBuiltinRules(t *testing.T) {
	rules, err := ParseRules(strings.NewReader(builtinTable), "rules.tsv")
	if err != nil {
		t.Fatal(err)
	}
	c := newClassifier(t)
	for _, r := range rules {
		if r.Example == "" || r.Source == "" {
			t.Errorf("rule %s has no example or no source", r.ID)
		}
		if m := c.Classify(r.Example); m.Rule != r.ID || m.Category != r.Category {
			t.Errorf("the example of rule %s is taken by %q (%s): %s", r.ID, m.Rule, m.Category, r.Example)
		}
	}
	used := map[Category]bool{Unclassified: true}
	for _, r := range rules {
		used[r.Category] = true
	}
	for _, category := range Categories() {
		if !used[category] {
			t.Errorf("no rule leads to %s", category)
		}
	}
}

func TestParseRules(t *testing.T) {
	rules := ruleTable(t, "# mine", "id\tscope\tpattern\tcategory\ttags\texample\tsource", "",
		"my.a | base | ^fancy attention$ | attention.core | fp8, mla | FancyAttention | ours", "my.b | whole | \\bother\\b | other.norm")
	if len(rules) != 2 {
		t.Fatalf("%d rules, want 2", len(rules))
	}
	a := rules[0]
	if a.ID != "my.a" || a.Scope != ScopeBase || a.Category.String() != "attention.core" || strings.Join(a.Tags, "+") != "fp8+mla" || a.Example != "FancyAttention" || a.Source != "ours" {
		t.Errorf("first rule: %+v", a)
	}
}

func TestParseRulesErrors(t *testing.T) {
	for _, bad := range []struct{ text, want string }{
		{"a base b other.norm", "mine.tsv:1: column 2 (scope) is missing; separate the columns id, scope, pattern, category, tags, example, source by tabs, not spaces"},
		{"a\tbase\tb", "mine.tsv:1: column 4 (category) is missing"},
		{"# x\n\na\tbody\tb\tother.norm", "mine.tsv:3: column 2 (scope): \"body\" is no part of a name; use one of base, path, qualified, template, first, whole"},
		{"a\tbase\t(b\tother.norm", "mine.tsv:1: column 3 (pattern): error parsing regexp"},
		{"a\tbase\t\tother.norm", "mine.tsv:1: column 3 (pattern): it is empty"},
		{"a\tbase\tb\tother.norms", "mine.tsv:1: column 4 (category): group other has no subgroup \"norms\"; use one of norm,"},
		{"a\tbase\tb\tnorm", "mine.tsv:1: column 4 (category): no group \"norm\""},
		{"a b\tbase\tb\tother.norm", "mine.tsv:1: column 1 (id): \"a b\" is no id"},
		{"a\tbase\tb\tother.norm\na\tbase\tc\tother.norm", "mine.tsv:2: column 1 (id): \"a\" is already taken by line 1"},
		{"a\tbase\tb\tother.norm\tt\te\ts\tmore", "mine.tsv:1: column 8: there are only 7 columns"},
	} {
		_, err := ParseRules(strings.NewReader(bad.text), "mine.tsv")
		if err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%q:\n got %v\nwant %s", bad.text, err, bad.want)
		}
	}
}

func TestUserRulesWin(t *testing.T) {
	name := "void vllm::rms_norm_kernel<c10::BFloat16, 8, 2>(int)"
	mine := ruleTable(t, "my.norm | base | ^rmsnorm kernel$ | attention.qk_norm | mine")
	m := newClassifier(t, mine...).Classify(name)
	if m.Rule != "my.norm" || m.Category.String() != "attention.qk_norm" || len(m.Tags) != 1 {
		t.Errorf("got %+v", m)
	}
	if m := newClassifier(t).Classify(name); m.Category.String() != "other.norm" {
		t.Errorf("without the rule: %+v", m)
	}
	byHand := Rule{ID: "my.hand", Scope: ScopeTemplate, Pattern: "bfloat 16", Category: Category{"other", "quant"}}
	if m := newClassifier(t, byHand).Classify(name); m.Rule != "my.hand" {
		t.Errorf("a rule made in code: %+v", m)
	}
}

func TestNewClassifierRefuses(t *testing.T) {
	norm := Category{"other", "norm"}
	for _, bad := range []struct {
		rules []Rule
		want  string
	}{
		{[]Rule{{ID: "norm", Scope: ScopeBase, Pattern: "x", Category: norm}}, "belongs to another rule"},
		{[]Rule{{ID: "m", Scope: ScopeBase, Pattern: "x", Category: norm}, {ID: "m", Scope: ScopeBase, Pattern: "y", Category: norm}}, "belongs to another rule"},
		{[]Rule{{ID: "m", Scope: "basis", Pattern: "x", Category: norm}}, "is no part of a name"},
		{[]Rule{{ID: "m", Scope: ScopeBase, Pattern: "x", Category: Category{"other", "nrm"}}}, "has no subgroup"},
	} {
		if _, err := NewClassifier(bad.rules); err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%v, want %q in it", err, bad.want)
		}
	}
}

// TestRequired: the cheap test in front of a pattern dismisses nothing that
// the pattern would take.
func TestRequired(t *testing.T) {
	c := newClassifier(t)
	for _, n := range append(labels(t, "known_names.tsv"), labels(t, "more_names.tsv")...) {
		split := Split(n.name)
		v := view{name: &split}
		for i := range c.rules {
			r := &c.rules[i]
			if text := v.words(r.Scope); r.re.MatchString(text) && !r.mayMatch(text) {
				t.Errorf("rule %s matches %q without any of %q", r.ID, text, r.needs)
			}
		}
	}
	for pattern, want := range map[string]string{
		`\bgemm\b`: "gemm", `a|bc`: "", `(fused )?moe`: "moe", `x*`: "", `(?i)gemm`: "", `\b(norm|rms)\b.*quant`: "quant", `(ab){2,}`: "ab",
	} {
		if got := strings.Join(required(pattern), "+"); got != want {
			t.Errorf("required(%q) = %q, want %q", pattern, got, want)
		}
	}
	if required(`(`) != nil || regexp.MustCompile(`x`) == nil {
		t.Error("a pattern that does not parse needs nothing")
	}
}
