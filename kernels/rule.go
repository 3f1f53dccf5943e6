package kernels

import (
	"bufio"
	_ "embed"
	"fmt"
	"io"
	"regexp"
	"regexp/syntax"
	"strings"
	"sync"
)

// Rule says what the kernels are whose name matches. Rules are kept in an
// ordered table; the first that matches decides.
type Rule struct {
	// ID names the rule in reports: short, unique, lower case.
	ID string
	// Scope says which part of the name Pattern looks at; see Scopes.
	Scope string
	// Pattern is an RE2 expression over the words of that part: lower case,
	// identifiers cut at underscores, digits and camel humps, one space between
	// words (see spell).
	Pattern string
	// Category is what a match is.
	Category
	// Tags name what else a fused kernel does, and the number formats or
	// techniques a reader may want to filter by.
	Tags []string
	// Example is a name that this rule takes; a test proves it for the
	// built-in table.
	Example string
	// Source says where the identifier comes from.
	Source string

	re *regexp.Regexp
	// needs are letters of which at least one must occur for Pattern to match;
	// most rules are dismissed by this alone.
	needs []string
}

// The parts of a name that a rule can look at.
const (
	// ScopeBase is the kernel's own identifier. For launchers such as
	// cutlass::device_kernel<K> it is that of K.
	ScopeBase = "base"
	// ScopePath is the namespaces and classes, joined by "::".
	ScopePath = "path"
	// ScopeQualified is path and base, joined by "::".
	ScopeQualified = "qualified"
	// ScopeTemplate is the template arguments.
	ScopeTemplate = "template"
	// ScopeFirst is the first template argument that names a type; for launchers
	// that of the outer name.
	ScopeFirst = "first"
	// ScopeWhole is qualified name and template arguments: everything but the
	// parameter list.
	ScopeWhole = "whole"
)

var scopes = []string{ScopeBase, ScopePath, ScopeQualified, ScopeTemplate, ScopeFirst, ScopeWhole}

// columns of a rule table, in order.
var columns = []string{"id", "scope", "pattern", "category", "tags", "example", "source"}

//go:embed rules.tsv
var builtinTable string

// BuiltinRules returns the built-in table, in order.
func BuiltinRules() []Rule { return append([]Rule(nil), builtin()...) }

var builtin = sync.OnceValue(func() []Rule {
	rules, err := ParseRules(strings.NewReader(builtinTable), "built-in rules")
	if err != nil {
		panic(err) // a test parses the table, so this build is broken
	}
	return rules
})

// ParseRules reads a rule table: one rule a line, seven columns separated by
// tabs (id, scope, pattern, category, tags, example, source), of which the
// last three may be missing. Empty lines, lines that begin with # and a header
// line are skipped. The name is what errors call the table.
func ParseRules(r io.Reader, name string) ([]Rule, error) {
	var rules []Rule
	seen := map[string]int{}
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), 1<<20)
	for no := 1; lines.Scan(); no++ {
		line := strings.TrimRight(lines.Text(), "\r\n")
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "id\tscope\t") {
			continue
		}
		rule, err := parseRule(line)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, no, err)
		}
		if first := seen[rule.ID]; first > 0 {
			return nil, fmt.Errorf("%s:%d: column 1 (id): %q is already taken by line %d; give the rule another id", name, no, rule.ID, first)
		}
		seen[rule.ID] = no
		rules = append(rules, rule)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return rules, nil
}

// parseRule reads one line.
func parseRule(line string) (Rule, error) {
	cells := strings.Split(line, "\t")
	if len(cells) < 4 {
		return Rule{}, fmt.Errorf("column %d (%s) is missing; separate the columns %s by tabs, not spaces", len(cells)+1, columns[len(cells)], strings.Join(columns, ", "))
	}
	if len(cells) > len(columns) {
		return Rule{}, fmt.Errorf("column %d: there are only %d columns (%s); remove the extra tab", len(columns)+1, len(columns), strings.Join(columns, ", "))
	}
	for len(cells) < len(columns) {
		cells = append(cells, "")
	}
	for i := range cells {
		cells[i] = strings.TrimSpace(cells[i])
	}
	rule := Rule{ID: cells[0], Scope: cells[1], Pattern: cells[2], Tags: fields(cells[4]), Example: cells[5], Source: cells[6]}
	if rule.ID == "" || strings.ContainsAny(rule.ID, " ,") {
		return Rule{}, fmt.Errorf("column 1 (id): %q is no id; write one word", rule.ID)
	}
	category, err := ParseCategory(cells[3])
	if err != nil {
		return Rule{}, fmt.Errorf("column 4 (category): %w", err)
	}
	rule.Category = category
	return rule, rule.compile()
}

func fields(cell string) []string {
	tags := strings.FieldsFunc(cell, func(r rune) bool { return r == ',' || r == ' ' })
	if len(tags) == 0 {
		return nil
	}
	return tags
}

// compile checks scope and pattern and makes the rule ready for use.
func (r *Rule) compile() error {
	known := false
	for _, s := range scopes {
		known = known || s == r.Scope
	}
	if !known {
		return fmt.Errorf("column 2 (scope): %q is no part of a name; use one of %s", r.Scope, strings.Join(scopes, ", "))
	}
	if r.Pattern == "" {
		return fmt.Errorf("column 3 (pattern): it is empty and would match every kernel; write a regular expression over the words of the name")
	}
	re, err := regexp.Compile(r.Pattern)
	if err != nil {
		return fmt.Errorf("column 3 (pattern): %w; write an RE2 expression", err)
	}
	r.re, r.needs = re, required(r.Pattern)
	return nil
}

// required returns a set of texts of which at least one occurs in whatever the
// pattern matches; nil when no such set is known. Looking for a text is some
// fifty times cheaper than running the expression.
func required(pattern string) []string {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil
	}
	set := anyOf(re.Simplify())
	for _, s := range set {
		if len(s) < 2 {
			return nil
		}
	}
	return set
}

func anyOf(re *syntax.Regexp) []string {
	switch re.Op {
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase != 0 {
			return nil
		}
		return []string{string(re.Rune)}
	case syntax.OpCapture, syntax.OpPlus:
		return anyOf(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return anyOf(re.Sub[0])
		}
	case syntax.OpAlternate:
		var all []string
		for _, sub := range re.Sub {
			set := anyOf(sub)
			if set == nil {
				return nil
			}
			all = append(all, set...)
		}
		return all
	case syntax.OpConcat:
		var best []string
		for _, sub := range re.Sub {
			if set := anyOf(sub); set != nil && (best == nil || worth(set) > worth(best)) {
				best = set
			}
		}
		return best
	}
	return nil
}

// worth prefers sets whose shortest text is long.
func worth(set []string) int {
	shortest := len(set[0])
	for _, s := range set {
		shortest = min(shortest, len(s))
	}
	return shortest*16 - len(set)
}

// mayMatch is the cheap half of the rule's test.
func (r *Rule) mayMatch(text string) bool {
	if len(r.needs) == 0 {
		return true
	}
	for _, s := range r.needs {
		if strings.Contains(text, s) {
			return true
		}
	}
	return false
}
