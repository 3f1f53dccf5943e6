package kineto

import (
	"bytes"
	"context"
	"maps"
	"reflect"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// TestMissingPunctuation has rows that lack a comma or a quote between their own
// keys: a kernel stays one, or the row is skipped, but never comes out as another.
func TestMissingPunctuation(t *testing.T) {
	const sound = `{"ph": "X", "cat": "kernel", "name": "first", "pid": 0, "tid": "stream 7", "ts": 1.000, "dur": 2.000, "args": {"device": 0, "stream": 7, "correlation": 5}}`
	kernel := flat{Kind: Kernel, Name: "first", TS: 1000, Dur: 2000, Corr: 5, Track: gpu("0", "7")}
	last := flat{Kind: Kernel, Name: "last", TS: 9000, Track: gpu("", "")}
	for _, c := range []struct{ name, from, to, damage string }{
		{"comma behind cat", `"kernel",`, `"kernel"`, whyComma},
		{"comma behind name", `"first",`, `"first"`, whyComma},
		{"comma behind a number", `1.000,`, `1.000`, whyComma},
		{"two commas", `"kernel", "name": "first",`, `"kernel" "name": "first"`, whyComma},
		{"quotes and comma", `"first",`, `"fi"r"st"`, whyQuotes},
		{"comma in args", `"device": 0,`, `"device": 0`, ""},
		{"quote behind cat", `"kernel",`, `"kernel,`, ""},
		{"quote in cat", `"kernel"`, `"ker"nel"`, ""},
		{"quote in tid", `"stream 7"`, `"stream "7"`, ""},
	} {
		for _, gap := range []string{", ", ",\n  "} {
			row := strings.Replace(sound, c.from, c.to, 1)
			text := `{"traceEvents": [` + sound + gap + sound + gap + row + gap + `{"ph": "X", "cat": "kernel", "name": "last", "ts": 9}]}`
			f := compareWays(t, text, nil)
			third := kernel
			if c.damage == whyQuotes {
				third.Name = `fi"r"st`
			}
			want, skipped := []flat{kernel, kernel, third, last}, int64(0)
			if c.damage == "" {
				want, skipped = []flat{kernel, kernel, last}, 1
			}
			if !reflect.DeepEqual(flatten(f), want) || f.Skipped != skipped || f.Counts["kernel"] != int64(len(want)) || len(f.Counts) != 1 {
				t.Errorf("%s: %s", c.name, describe(f))
			}
			if len(f.Damage) != 1 || c.damage != "" && f.Damage[0].What != c.damage {
				t.Errorf("%s: damage %v, want %q", c.name, f.Damage, c.damage)
			}
		}
	}
}

// TestStrays has elements that are no objects: they are no rows, and no sign of
// a trace either.
func TestStrays(t *testing.T) {
	const first = `{"ph":"X","name":"a","pid":1,"tid":1,"ts":1}`
	f := compareWays(t, `{"traceEvents":[1, "a", [2], `+first+`, null]}`, nil)
	if f.Events != 1 || f.Skipped != 4 || !maps.Equal(f.Counts, map[string]int64{"ph X": 1, "not an object": 4}) {
		t.Errorf("%s", describe(f))
	}
	for _, c := range []struct{ name, head, want string }{
		{"an array", "[", "has no event in its first 8 MiB: it is not a torch-profiler trace; give a torch-profiler trace (.pt.trace.json or .pt.trace.json.gz) or an Nsight Systems export (.sqlite)"},
		{"events", `{"traceEvents":[`, "has no event in its first 8 MiB: it is not a torch-profiler trace; give a torch-profiler trace (.pt.trace.json or .pt.trace.json.gz) or an Nsight Systems export (.sqlite)"},
		{"behind an event", `[` + first + ",", ""},
	} {
		for _, workers := range []int{1, 2} {
			r := &repeat{head: c.head, fill: bytes.Repeat([]byte("1, "), 1<<18)}
			f, err := Read(context.Background(), Source{R: r}, Options{Workers: workers, gap: 8 << 20})
			if c.want != "" && (err == nil || err.Error() != c.want) {
				t.Errorf("%s: %v, %v", c.name, f, err)
			}
			if c.want == "" && (err != nil || f.Events != 1 || f.TruncatedBy != errGap.Error()) {
				t.Errorf("%s: %v, %v", c.name, f, err)
			}
			if r.n > 20<<20 {
				t.Errorf("%s: read %d bytes", c.name, r.n)
			}
		}
	}
}

// TestNoEventInSight gives up on files whose first 8 MiB hold no event.
func TestNoEventInSight(t *testing.T) {
	for _, c := range []struct{ head, fill string }{
		{"", " "}, {"{", " "}, {`{"a":"`, "a"}, {`{"traceEvents":[`, " "}, {`{"a":}`, `,"a",`}, {`{"a":`, `,`},
	} {
		r := &repeat{head: c.head, fill: []byte(strings.Repeat(c.fill, 1<<20/len(c.fill)))}
		f, err := Read(context.Background(), Source{R: r}, Options{Workers: 1, gap: 8 << 20})
		if err == nil || !strings.HasPrefix(err.Error(), "has no event in its first 8 MiB: it is not a torch-profiler trace") {
			t.Errorf("%s: %v, %v", c.head, f, err)
		}
	}
	_, err := readText(`{"a": 1, "b": 2}`, Options{MaxRaw: 10, chunk: 4})
	if err == nil || !strings.HasPrefix(err.Error(), "has no event in its first 10 bytes: it is not a torch-profiler trace") {
		t.Errorf("limit: %v", err)
	}
}

// TestResync has files whose outermost object breaks: the keys behind are read.
func TestResync(t *testing.T) {
	const (
		events = `"traceEvents": [{"ph":"X","ts":1},{"ph":"X","ts":2}]`
		base   = `"baseTimeNanoseconds": 17`
	)
	value := func(k string) string { return "the top-level value of " + k + " is not JSON" }
	comma := func(k string) string { return "a comma is missing behind the top-level value of " + k }
	for _, c := range []struct {
		text   string
		keys   string
		damage []string
	}{
		{`{"v": 1, "h": "it's "here"", ` + base + `, ` + events + `}`, "v baseTimeNanoseconds", []string{value("h")}},
		{`{"h": "5" wide", ` + base + `, "x": {"y": 1}, ` + events + `}`, "baseTimeNanoseconds x", []string{value("h")}},
		{`{"h": tru, ` + base + `, ` + events + `}`, "baseTimeNanoseconds", []string{value("h")}},
		{`{"h": 1, b: 2, ` + base + `, ` + events + `}`, "h baseTimeNanoseconds", []string{whyTopKey}},
		{`{"h" 1, ` + base + `, ` + events + `}`, "baseTimeNanoseconds", []string{"a top-level key lacks its colon"}},
		{`{"h": "x" ` + base + ` "k": 2, ` + events + `}`, "h baseTimeNanoseconds k", []string{comma("h"), comma("baseTimeNanoseconds")}},
		{`{"h": "x" ` + events + ` , "k": 2}`, "h k", []string{comma("h")}},
		{`{"d": [{"id": 0, "name": "A "B"", "m": 3, "o": {"p": 4}}, {"id": 1, "name": "5" x", "m": 3}], ` + base + `, ` + events + `}`, "baseTimeNanoseconds", []string{value("d")}},
		{`{"d": {"a": "b"c", "e": [1, 2], "f": 3, "g": {}}, ` + base + `, ` + events + `, "k": 1}`, "f g baseTimeNanoseconds k", []string{value("d")}},
		{`{"h": x "traceEvents" : [{"ph":"X","ts":1},{"ph":"X","ts":2}], ` + base + `}`, "baseTimeNanoseconds", []string{value("h")}},
		{`{"h": x, "traceEvents": 5, ` + events + `, ` + base + `}`, "traceEvents baseTimeNanoseconds", []string{value("h")}},
		{`{` + events + `, "INFO": ["say "hi"", "b"], ` + base + `}`, "baseTimeNanoseconds", []string{value("INFO")}},
		{`{` + events + `, "h": "a"b"` + "}\n", "", []string{value("h")}},
	} {
		f := compareWays(t, c.text, nil)
		if f == nil {
			t.Errorf("%s: refused", c.text)
			continue
		}
		var damage []string
		for _, d := range f.Damage {
			damage = append(damage, d.What)
		}
		if got := strings.Join(f.MetaOrder, " "); got != c.keys || !reflect.DeepEqual(damage, c.damage) || f.Events != 2 || f.Truncated {
			t.Errorf("%s:\nkeys %s, want %s; damage %q, want %q; %d rows, truncated by %q", c.text, got, c.keys, damage, c.damage, f.Events, f.TruncatedBy)
		}
		if strings.Contains(c.text, base) && f.BaseNS() != 17 {
			t.Errorf("%s: base %d", c.text, f.BaseNS())
		}
	}
	f := mustRead(t, `{`+events+`, "h": "a"b", "k": 1`, Options{})
	if !f.Truncated || f.TruncatedBy != "the JSON ends inside the keys behind traceEvents" {
		t.Errorf("cut behind damage: truncated by %q", f.TruncatedBy)
	}
}

// TestBehindTheText breaks compressed files behind their last block: the text is whole.
func TestBehindTheText(t *testing.T) {
	text := fixtures(t)["nccl.json.gz"]
	gz := zipped(text)
	var w bytes.Buffer
	e, _ := zstd.NewWriter(&w, zstd.WithEncoderCRC(true))
	_, _ = e.Write([]byte(text))
	_ = e.Close()
	zst := w.String()
	const (
		garbage   = "bytes behind the gzip stream are no gzip"
		noTrailer = "the gzip trailer is missing: its checksum could not be checked"
		gzSum     = "the checksum of the gzip stream does not match"
	)
	flip := func(s string, at int) string {
		b := []byte(s)
		b[len(b)-at] ^= 1
		return string(b)
	}
	for _, c := range []struct {
		name, data, want string
		sum              bool
	}{
		{"1 byte behind", gz + "x", garbage, false},
		{"7 bytes behind", gz + "garbage", garbage, false},
		{"9 bytes behind", gz + "\x1f\x8bgarbage", garbage, false},
		{"zero and byte behind", gz + "\x00x", garbage, false},
		{"20 bytes behind", gz + strings.Repeat("x", 20), garbage, false},
		{"a cut member behind", gz + gz[:30], noTrailer, false},
		{"no trailer", gz[:len(gz)-8], noTrailer, false},
		{"half a trailer", gz[:len(gz)-3], noTrailer, false},
		{"wrong sum", flip(gz, 6), gzSum, true},
		{"wrong length", flip(gz, 1), gzSum, true},
		{"zstd: bytes behind", zst + "garbage", "bytes behind the zstd stream are no zstd", false},
	} {
		for _, workers := range []int{1, 3} {
			f := mustRead(t, c.data, Options{Workers: workers, chunk: 1 << 16, Hash: true})
			if f.Truncated || len(f.Damage) != 1 || f.Damage[0] != (Damage{int64(len(text)), c.want}) || f.ChecksumFailed != c.sum || f.SHA256 == "" {
				t.Errorf("%s: truncated by %q, damage %v, want %q; checksum failed %v", c.name, f.TruncatedBy, f.Damage, c.want, f.ChecksumFailed)
			}
		}
	}
	half := zipped(text[:len(text)/2])
	// The zstd decoder keeps the last block of a frame back when its sum is wrong.
	for data, sum := range map[string]bool{half[:len(half)-8]: false, flip(half, 6): true, half: false, flip(zst, 1): true, zst[:len(zst)-4]: false} {
		if f := mustRead(t, data, Options{}); !f.Truncated || f.ChecksumFailed != sum || len(f.Damage) > 0 {
			t.Errorf("half the text: truncated by %q, damage %v", f.TruncatedBy, f.Damage)
		}
	}
	if f := mustRead(t, gz, Options{}); f.ChecksumFailed || len(f.Damage) > 0 {
		t.Errorf("a sound file: %v", f.Damage)
	}
}
