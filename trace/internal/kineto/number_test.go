package kineto

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestTime(t *testing.T) {
	for _, c := range []struct {
		text string
		mode FracMode
		want int64
		ok   bool
	}{
		{"0", FracDecimal, 0, true},
		{"1790857026000000.123", FracDecimal, 1790857026000000123, true},
		{"4543518810267.200", FracDecimal, 4543518810267200, true},
		{"1428625731622.25", FracDecimal, 1428625731622250, true},
		{"102.95699890136719", FracDecimal, 102957, true},
		{"0.0005", FracDecimal, 1, true},
		{"0.00049999", FracDecimal, 0, true},
		{"-2.5", FracDecimal, -2500, true},
		{"-0.0005", FracDecimal, -1, true},
		{"1.5e3", FracDecimal, 1500000, true},
		{"15E-1", FracDecimal, 1500, true},
		{"1e-30", FracDecimal, 0, true},
		{"9223372036854775.807", FracDecimal, 9223372036854775807, true},
		{"9223372036854775.808", FracDecimal, 0, false},
		{"1e300", FracDecimal, 0, false},
		{"1000000000000000.00070", FracDecimal, 1000000000000000001, true},
		{"5.5", FracUnpadded, 5005, true},
		{"5.50", FracUnpadded, 5050, true},
		{"5.500", FracUnpadded, 5500, true},
		{"5.0", FracUnpadded, 5000, true},
		{"", FracDecimal, 0, false},
		{"-", FracDecimal, 0, false},
		{".", FracDecimal, 0, false},
		{"1e", FracDecimal, 0, false},
		{"1.2.3", FracDecimal, 0, false},
		{"NaN", FracDecimal, 0, false},
	} {
		got, _, ok := parseTime([]byte(c.text), c.mode)
		if ok != c.ok || ok && got != c.want {
			t.Errorf("%q mode %d: %d, %v; want %d, %v", c.text, c.mode, got, ok, c.want, c.ok)
		}
		fast, _, end := fastTime([]byte(c.text+","), 0, c.mode)
		if end == len(c.text) && (fast != c.want || !c.ok) {
			t.Errorf("%q mode %d, fast: %d; want %d", c.text, c.mode, fast, c.want)
		}
	}
}

func FuzzTime(f *testing.F) {
	for _, s := range []string{"1", "4543518810267.200", "1e3", "-0.0005", "99999999999999999999", "0.00000000000000000000000001e25"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 200 || strings.Trim(s, "0123456789.eE+-") != "" {
			return
		}
		got, _, ok := parseTime([]byte(s), FracDecimal)
		if !json.Valid([]byte(s)) {
			return
		}
		if i := strings.IndexAny(s, "eE"); i >= 0 && len(s)-i > 5 {
			return
		}
		want, wantOK := nanos(json.Number(s))
		if ok != wantOK || ok && got != want {
			t.Fatalf("%q: %d, %v; exact arithmetic says %d, %v", s, got, ok, want, wantOK)
		}
		fast, _, end := fastTime([]byte(s+","), 0, FracDecimal)
		if end == len(s) && fast != want {
			t.Fatalf("%q: fast %d, exact %d", s, fast, want)
		}
	})
}

func TestUnescape(t *testing.T) {
	for raw, want := range map[string]string{
		`plain`:                  "plain",
		`a\"b\\c\/d\n\t\r\b\f`:   "a\"b\\c/d\n\t\r\b\f",
		`\u00e9\u4e2d`:           "é中",
		`\ud83d\ude00!`:          "😀!",
		`\ud83d x`:               "\ufffd x",
		`\ude00\ud83d`:           "\ufffd\ufffd",
		`\ud83d\u0041`:           "\ufffdA",
		`C:\dir\torch\`:          "C:\\dir\torch\\",
		`\uZZZZ\u12`:             `\uZZZZ\u12`,
		"bad \xff\xfe utf":       "bad \ufffd\ufffd utf",
		"torch\\cuda\\__init__.": `torch\cuda\__init__.`,
	} {
		if got := text([]byte(raw)); got != want {
			t.Errorf("%q: %q, want %q", raw, got, want)
		}
	}
}
