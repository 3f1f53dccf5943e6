package kernels

import (
	"strings"
	"testing"
)

func TestCategories(t *testing.T) {
	all := Categories()
	if first, last := all[0].String(), all[len(all)-1].String(); first != "attention.prefill" || last != "other.unclassified" {
		t.Errorf("page order runs from %s to %s", first, last)
	}
	seen := map[Category]bool{}
	for _, c := range all {
		if seen[c] {
			t.Errorf("%s is listed twice", c)
		}
		seen[c] = true
		if back, err := ParseCategory(c.String()); err != nil || back != c {
			t.Errorf("ParseCategory(%q) = %v, %v", c, back, err)
		}
	}
	if !seen[Unclassified] {
		t.Error("the list lacks Unclassified")
	}
}

func TestParseCategoryRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"attention.decoding": "no subgroup \"decoding\"; use one of prefill, decode",
		"attn.decode":        "no group \"attn\"",
		"attention":          "no subgroup \"\"",
		"":                   "no group \"\"",
	} {
		if _, err := ParseCategory(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseCategory(%q): %v, want %q in it", text, err, want)
		}
	}
}
