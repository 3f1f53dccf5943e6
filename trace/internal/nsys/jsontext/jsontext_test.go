package jsontext

import (
	"fmt"
	"strings"
	"testing"
)

func TestFields(t *testing.T) {
	for in, want := range map[string]string{
		`{}`: "",
		`{"a":1,"b":"x\"y","c":{"d":[2,{"e":3}]}}`: `:a=1 :b=x\"y c:d=2 d:e=3`,
		` {"a" : [ ] , "b" : true }`:               `:b=true`,
		`{"a":1`:                                   "no JSON",
		`{"a":}`:                                   "no JSON",
		`{"a" 1}`:                                  "no JSON",
		`{"a":1,}`:                                 "no JSON",
		`{"a":"x}`:                                 "no JSON",
		`{"a":[1 2]}`:                              "no JSON",
		strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40):       "no JSON",
		`{"a":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + "}": "no JSON",
	} {
		var got []string
		b := []byte(in)
		if _, ok := Fields(b, Space(b, 0), func(object, key, value []byte) {
			got = append(got, fmt.Sprintf("%s:%s=%s", object, key, value))
		}); !ok {
			got = []string{"no JSON"}
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%.40s: %s, want %s", in, s, want)
		}
	}
}

func TestInteger(t *testing.T) {
	for in, want := range map[string]int64{"0": 0, "-9": -9, "281557889717070": 281557889717070, "18446744073709551615": -1, "-9223372036854775808": -1 << 63} {
		if n, ok := Integer([]byte(in)); !ok || n != want {
			t.Errorf("%s: %d, %v", in, n, ok)
		}
	}
	for _, in := range []string{"", "-", "1.5", "1e3", "0x1", " 1", "184467440737095516150"} {
		if n, ok := Integer([]byte(in)); ok {
			t.Errorf("%q: %d", in, n)
		}
	}
}

func TestUnescaped(t *testing.T) {
	for in, want := range map[string]string{`a`: "a", `\u00b5\n\"`: "µ\n\"", `\x41`: "A", `\q`: `\q`} {
		if got := Unescaped([]byte(in)); got != want {
			t.Errorf("%s: %q", in, got)
		}
	}
}
