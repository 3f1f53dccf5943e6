package kineto

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
)

func zipped(text string) string {
	var w bytes.Buffer
	z := gzip.NewWriter(&w)
	_, _ = z.Write([]byte(text))
	_ = z.Close()
	return w.String()
}

// TestUseless has files without anything to work with: the error's whole text.
func TestUseless(t *testing.T) {
	const trace = "give a torch-profiler trace (.pt.trace.json or .pt.trace.json.gz) or an Nsight Systems export (.sqlite)"
	const cut = "it is still being written, or the copy was cut off"
	some := zipped(strings.Repeat(`{"traceEvents": [`, 1000))
	for _, c := range []struct{ name, data, want string }{
		{"empty", "", "is empty (0 bytes): the profiler has not written it yet, or the copy failed"},
		{"one byte", "{", "is cut off before traceEvents (at byte 1): " + cut},
		{"white space", " \n\t ", "holds only white space: the profiler has not written it yet, or the copy failed"},
		{"HTML", "\n<!DOCTYPE html><html>404</html>", "is HTML, not a trace (at byte 1): the download returned a web page; download the file itself again"},
		{"XML", "<Error><Code>AccessDenied</Code></Error>", "is XML or HTML, not a trace: the download may have returned an error page; download the file itself again"},
		{"ELF", "\x7fELF\x02\x01\x01", "is an ELF program or library: " + trace},
		{"SQLite", "SQLite format 3\x00rest", "is an SQLite database, as `nsys export` writes: give the database itself, not packed into anything but gzip"},
		{"zip", "PK\x03\x04abc", "is a zip archive: unpack it and give the trace inside"},
		{"zip in gzip", zipped("PK\x03\x04abc"), "is a zip archive: unpack it and give the trace inside"},
		{"twice", zipped(some), "is gzip-compressed twice: unpack it once with gzip -d"},
		{"binary", "\x08\x8f\x01\x00\x02", "is an unknown binary file (starts 08 8f 01 00): " + trace},
		{"text", "hello world, this is a log", `is not JSON (starts "hello world,"): ` + trace},
		{"pointer", "version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer, not the file itself: fetch the file with git lfs pull"},
		{"other JSON", `{"a": 1, "b": {"traceEvents": []}}`, "is JSON without traceEvents: " + trace},
		{"other value", `{"traceEvents": {"a": 1}}`, "is JSON without traceEvents: " + trace},
		{"JSON lines", "{\"id\": 1}\n{\"id\": 2}\n", "is JSON without traceEvents: " + trace},
		{"numbers", `[1, 2, 3]`, "holds no trace event: " + trace},
		{"objects", `[{"a": 1}, {"b": 2}]`, "holds no trace event (at byte 1): " + trace},
		{"cut in the head", `{"schemaVersion": 1, "devicePr`, "is cut off before traceEvents (at byte 30): " + cut},
		{"cut before events", `{"traceEvents": [ {"ph": "X", "na`, "is cut off before its first event (at byte 33): " + cut},
		{"gzip magic", "\x1f\x8b", "is a gzip file that breaks in its header: " + cut},
		{"gzip header", some[:10], "cannot be unpacked: the gzip stream ends early: " + cut},
	} {
		for _, workers := range []int{1, 2} {
			f, err := readText(c.data, Options{Workers: workers})
			var fe *FormatError
			if f != nil || !errors.As(err, &fe) {
				t.Errorf("%s: %v, %v", c.name, f, err)
			} else if err.Error() != c.want {
				t.Errorf("%s:\n got %s\nwant %s", c.name, err, c.want)
			}
		}
	}
	if _, err := readText(zipped("")[:10]+strings.Repeat("\xff", 40), Options{}); err == nil || !strings.HasPrefix(err.Error(), "cannot be unpacked: the gzip stream is corrupt") {
		t.Errorf("corrupt gzip: %v", err)
	}
	if f, err := readText(`{"traceEvents": []}`, Options{}); err != nil || f.Events != 0 || f.Truncated {
		t.Errorf("empty trace: %v, %v", f, err)
	}
}

// TestCutAnywhere cuts a trace at every byte: the events before stay, and the
// cut is told.
func TestCutAnywhere(t *testing.T) {
	text := `{"schemaVersion": 1, "traceEvents": [
  {
    "ph": "X", "cat": "kernel", "name": "a]}", "pid": 0, "tid": 7,
    "ts": 1.000, "dur": 1.000,
    "args": {
      "stream": 7, "device": 0
    }
  },
  {
    "ph": "X", "cat": "kernel", "name": "b", "pid": 0, "tid": 7,
    "ts": 2.000, "dur": 1.000
  },
  {
    "ph": "X", "cat": "kernel", "name": "c", "pid": 0, "tid": 7,
    "ts": 3.000, "dur": 1.000
  }
  ],
  "traceName": "x"
}`
	events := []int{strings.Index(text, "  },") + 3, strings.LastIndex(text, "  },") + 3, strings.LastIndex(text, "  }\n  ]") + 3}
	for n := range text {
		want := int64(0)
		for _, e := range events {
			if n >= e {
				want++
			}
		}
		for _, opt := range []Options{{Workers: 1}, {Workers: 2, chunk: 64}} {
			f, err := readText(text[:n], opt)
			if want == 0 {
				if err == nil {
					t.Fatalf("cut at %d: no error", n)
				}
				continue
			}
			if err != nil || f.Events != want || f.Skipped != 0 || !f.Truncated || f.TruncatedAt != int64(n) || len(f.Damage) != 0 {
				t.Fatalf("cut at %d, %+v: %v, want %d events; %v", n, opt, f, want, err)
			}
		}
	}
	why := map[string]int{}
	for _, n := range []int{events[0] + 9, events[2], len(text) - 1} {
		why[mustRead(t, text[:n], Options{}).TruncatedBy]++
	}
	for _, w := range []string{"the JSON ends inside an event", "the JSON ends before the bracket that closes traceEvents", "the JSON ends inside the keys behind traceEvents"} {
		if why[w] != 1 {
			t.Errorf("reasons %v lack %q", why, w)
		}
	}
}

func TestDamagedGzip(t *testing.T) {
	text := fixtures(t)["stacks.json.gz"]
	data := zipped(text)
	whole := mustRead(t, text, Options{})
	for _, workers := range []int{1, 3} {
		opt := Options{Workers: workers, chunk: 1 << 16}
		f := mustRead(t, data[:len(data)/2], opt)
		if !f.Truncated || f.TruncatedBy != "the gzip stream ends early" || f.Events < 100 || f.Events >= whole.Events || f.Skipped != 0 {
			t.Errorf("cut: %v, truncated by %q", f, f.TruncatedBy)
		}
		b := []byte(data)
		b[len(b)-6] ^= 1
		f = mustRead(t, string(b), opt)
		if f.Truncated || f.Events != whole.Events || len(f.Damage) != 1 || f.Damage[0].What != "the checksum of the gzip stream does not match" {
			t.Errorf("checksum: %v, truncated by %q, %v", f, f.TruncatedBy, f.Damage)
		}
		b = []byte(data)
		for i := range 50 {
			b[len(b)/2+i] = 0xa5
		}
		if f, err := readText(string(b), opt); err != nil || !f.Truncated && f.Skipped == 0 && len(f.Damage) == 0 {
			t.Errorf("corrupt: %v, %v", f, err)
		}
	}
}

const oneEvent = `{"ph":"X","name":"%s","pid":1,"tid":1,"ts":%d}`

func TestDeepAndLong(t *testing.T) {
	deep := strings.Repeat("[", 1e6)
	closed := deep + strings.Repeat("]", 1e6)
	long := func(n int) string { return fmt.Sprintf(oneEvent, strings.Repeat("n", n), 2) }
	first, last := fmt.Sprintf(oneEvent, "a", 1), fmt.Sprintf(oneEvent, "z", 3)
	for _, c := range []struct {
		name, text string
		events     int64
		skipped    int64
	}{
		{"deep args", `{"traceEvents":[` + first + `,{"ph":"X","ts":1,"args":{"x":` + closed + `}},` + last + `]}`, 2, 1},
		{"deep meta", `{"x":` + closed + `,"traceEvents":[` + first + `,` + last + `]}`, 2, 0},
		{"deep element", `[` + first + `,` + closed + `,` + last + `]`, 2, 1},
		{"deep and cut", `[` + first + `,` + deep, 1, 1},
		{"10 MB name", `[` + first + `,` + long(10e6) + `,` + last + `]`, 3, 0},
		{"20 MB name", `[` + first + `,` + long(20e6) + `,` + last + `]`, 2, 1},
		{"no closing quote", `[` + first + `,` + last + `,{"ph":"X","ts":4,"name":"` + strings.Repeat(" ", 20e6), 2, 1},
	} {
		for _, opt := range []Options{{Workers: 1}, {Workers: 2, chunk: 1 << 18}} {
			f, err := readText(c.text, opt)
			if err != nil || f.Events != c.events || f.Skipped != c.skipped {
				t.Errorf("%s: %v, %v; want %d rows and %d skipped", c.name, f, err, c.events, c.skipped)
			}
		}
	}
}

// repeat is an endless file: head, then one byte for ever.
type repeat struct {
	head string
	fill []byte
	n    int64
}

func (r *repeat) Read(p []byte) (int, error) {
	if r.head != "" {
		n := copy(p, r.head)
		r.head = r.head[n:]
		return n, nil
	}
	n := copy(p, r.fill)
	r.n += int64(n)
	return n, nil
}

func TestBombs(t *testing.T) {
	first := fmt.Sprintf(oneEvent, "a", 1)
	for _, c := range []struct {
		name, head string
		c          byte
		usable     bool
	}{
		{"spaces", "", ' ', false},
		{"spaces in the object", "{", ' ', false},
		{"a key", `{"`, 'a', false},
		{"a value", `{"a":"`, 'a', false},
		{"brackets", `{"a":`, '[', false},
		{"no event", `{"traceEvents":[`, ' ', false},
		{"spaces behind an event", `{"traceEvents":[` + first, ' ', true},
		{"a name", `{"traceEvents":[` + first + `,{"ph":"X","name":"`, 'x', true},
		{"braces", `{"traceEvents":[` + first + `,`, '{', true},
		{"quotes", `{"traceEvents":[` + first + `,{"`, '"', true},
		{"backslashes", `{"traceEvents":[` + first + `,{"ph":"`, '\\', true},
		{"a footer", `{"traceEvents":[` + first + `],"x":"`, 'x', true},
		{"behind the end", `{"traceEvents":[` + first + `]}`, 'x', true},
	} {
		for _, workers := range []int{1, 2} {
			r := &repeat{head: c.head, fill: bytes.Repeat([]byte{c.c}, 1<<20)}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			f, err := Read(context.Background(), Source{R: r}, Options{Workers: workers, Hash: true, event: 2 << 20, gap: 8 << 20})
			runtime.ReadMemStats(&after)
			if (err == nil) != c.usable {
				t.Errorf("%s: %v, %v", c.name, f, err)
			}
			if err == nil && (f.Events != 1 || c.name != "behind the end" && !f.Truncated) {
				t.Errorf("%s: %v, truncated by %q", c.name, f, f.TruncatedBy)
			}
			if r.n > 20<<20 {
				t.Errorf("%s: read %d bytes", c.name, r.n)
			}
			if d := int64(after.TotalAlloc - before.TotalAlloc); d > 60<<20 {
				t.Errorf("%s: allocated %d bytes", c.name, d)
			}
		}
	}
}

func TestLimits(t *testing.T) {
	text := fixtures(t)["nccl.json.gz"]
	f := mustRead(t, text, Options{MaxRaw: 100e3, chunk: 30000})
	if !f.Truncated || f.TruncatedBy != errLimit.Error() || f.Events < 100 {
		t.Errorf("%v, truncated by %q", f, f.TruncatedBy)
	}
	if _, err := readText(text, Options{Args: make([]string, 33)}); err == nil {
		t.Error("33 argument keys are accepted")
	}
	broken := io.MultiReader(strings.NewReader(text[:100000]), &failing{})
	f, err := Read(context.Background(), Source{R: broken}, Options{})
	if err != nil || !f.Truncated || f.TruncatedBy != "reading failed: disk gone" {
		t.Errorf("%v, %v", f, err)
	}
	text = `{"traceEvents":[{"ph":"X","ts":1},{"ph":"X"},{"ph":"X","ts":null},{"ph":"X","ts":1e300},{"name":"x"}]} trailing`
	f = mustRead(t, text, Options{})
	if f.Events != 1 || f.Skipped != 4 || f.Damage[0].What != whyTS || f.Damage[3].What != whyPh || f.Damage[4].Offset != int64(strings.Index(text, "trailing")) {
		t.Errorf("%v %v", f, f.Damage)
	}
	f = mustRead(t, `{"x": tru, "traceName": "a"b", "traceEvents" : [{"ph":"X","ts":1}], "y": z}`, Options{})
	if f.Events != 1 || len(f.Damage) != 3 || f.Truncated {
		t.Errorf("%v %v", f, f.Damage)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("disk gone") }

func TestFracMode(t *testing.T) {
	for text, want := range map[string]FracMode{
		`{"ts": 1711111111111111.5, "dur": 1.50}`:                  FracUnpadded,
		`{"ts": 1711111111111111.5, "dur": 1.50},{"ts": 1.050}`:    FracDecimal,
		`{"ts": 1711111111111111.5, "dur": 1.5}`:                   FracDecimal,
		`{"ts": 4511111111111.5, "dur": 1.50}`:                     FracDecimal,
		`{"ts": 1711111111111111.51, "dur": 1.50, "dur": 1.12345}`: FracDecimal,
		`{"ts": 1711111111111111.500, "dur": 1.250}`:               FracDecimal,
	} {
		if got := fracMode([]byte(text)); got != want {
			t.Errorf("%s: %d", text, got)
		}
	}
}
