package report

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCutCells(t *testing.T) {
	for _, c := range []struct {
		in   string
		n    int
		want string
	}{
		{"abc", 3, "abc"}, {"abcd", 3, "ab…"}, {"abcd", 1, "…"}, {"abcd", 0, ""}, {"abcd", -1, ""}, {"", 0, ""},
		{"宽宽宽", 6, "宽宽宽"}, {"宽宽宽", 5, "宽宽…"}, {"宽宽宽", 4, "宽…"},
		{"a\nb\tc", 9, "a b c"}, {"\x1b[2J", 9, "\uFFFD[2J"}, {"\u202eabc", 9, "\uFFFDabc"}, {"\xff", 9, "\uFFFD"},
	} {
		if got := cutCells(c.in, c.n); got != c.want {
			t.Errorf("cutCells(%q, %d) = %q, want %q", c.in, c.n, got, c.want)
		}
	}
	if got := cutMiddle("triton_red_fused_add_mul_rms_norm_17", 20); got != "triton_red_fu…orm_17" {
		t.Errorf("cutMiddle = %q", got)
	}
}

func TestBar(t *testing.T) {
	for _, c := range []struct {
		share float64
		n     int
		want  string
	}{{0, 8, ""}, {1, 4, "████"}, {2, 4, "████"}, {0.5, 4, "██"}, {1.0 / 16, 4, "▎"}, {-1, 4, ""}, {0.5, 0, ""}} {
		if got := bar(c.share, c.n); got != c.want {
			t.Errorf("bar(%v, %d) = %q, want %q", c.share, c.n, got, c.want)
		}
	}
}

func TestWrapCells(t *testing.T) {
	if got := wrapCells("one two three incomprehensible five", 9); strings.Join(got, "|") != "one two|three|incompre…|five" {
		t.Errorf("wrapCells = %q", got)
	}
	if got := wrapCells("it takes 74 %, or 3 ms.", 11); strings.Join(got, "|") != "it takes|74 %, or|3 ms." {
		t.Errorf("wrapCells = %q", got)
	}
	if got := wrapCells("  \n ", 9); len(got) != 0 {
		t.Errorf("wrapCells of nothing = %q", got)
	}
}

func FuzzCutCells(f *testing.F) {
	for _, s := range []string{"plain", "宽宽", "a\u0301\u0301", "\xff\xc3(", "\x1b[0m", "👩‍👩‍👧"} {
		f.Add(s, 5)
		f.Add(s, 40)
	}
	f.Fuzz(func(t *testing.T, s string, n int) {
		if n > 1000 || n < -1000 {
			return
		}
		for _, got := range []string{cutCells(s, n), cutMiddle(s, n)} {
			if !utf8.ValidString(got) || got != printable(got) {
				t.Fatalf("unprintable %q", got)
			}
			if cellWidth(got) > max(0, n) {
				t.Fatalf("%q is %d cells wide, %d fit", got, cellWidth(got), n)
			}
			if utf8.RuneCountInString(got) > 4*max(0, n)+5 {
				t.Fatalf("%d runes in %d cells", utf8.RuneCountInString(got), n)
			}
		}
	})
}
