package trace

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf16"
)

// threeRows is a sound trace; bad files are made of it.
var threeRows = document(`"baseTimeNanoseconds": 1700000000000000000`,
	callRow("cudaLaunchKernel", 100, 1000, 5, 7), kernelRow("first", 0, 7, 9000, 5, 7), kernelRow("second", 0, 7, 9100, 5, 7))

// upTo cuts text behind the first mark.
func upTo(text, mark string) string {
	return text[:strings.Index(text, mark)+len(mark)]
}

func utf16le(s string) string {
	b := []byte{0xff, 0xfe}
	for _, u := range utf16.Encode([]rune(s)) {
		b = append(b, byte(u), byte(u>>8))
	}
	return string(b)
}

func tarred(name, text string) string {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	_ = w.WriteHeader(&tar.Header{Name: name, Size: int64(len(text)), Mode: 0o644})
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return b.String()
}

// outcome says in a line how a file was taken: the refusal, or what was read.
func outcome(t *testing.T, name, text string) string {
	t.Helper()
	path := save(t, name, text)
	tr, err := Open(context.Background(), path, Options{})
	if err != nil {
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%s: %v is no *Error", name, err)
		}
		if got, want := err.Error(), path+" "+e.Reason(); got != want {
			t.Errorf("%s: the error is %q, want path and reason, %q", name, got, want)
		}
		return "refused: " + e.Reason()
	}
	return summary(tr)
}

// summary says in a line what was read.
func summary(t *Trace) string {
	in := t.Info
	s := fmt.Sprintf("%d GPU events, %d rows, %d skipped", len(t.gpu), in.Events, in.Skipped)
	for _, d := range in.Damage {
		s += fmt.Sprintf("; byte %d: %s", d.Offset, d.What)
	}
	if in.Truncated {
		s += fmt.Sprintf("; cut at %d: %s", in.TruncatedAt, in.TruncatedBy)
	}
	return s
}

var packed = gz(threeRows)

// badFiles are files as people have them, and how each is taken.
var badFiles = []struct{ name, text, want string }{
	// Files that are no traces.
	{"empty.json", "",
		"refused: is empty (0 bytes): the profiler has not written it yet, or the copy failed"},
	{"empty.json.gz", "",
		"refused: is empty (0 bytes): the profiler has not written it yet, or the copy failed"},
	{"blank.json", " \n\n\t",
		"refused: holds only white space: the profiler has not written it yet, or the copy failed"},
	{"page.json", "<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>\n",
		"refused: is HTML, not a trace: the download returned a web page; download the file itself again"},
	{"page2.json", "<html>\n<body>404 Not Found</body></html>\n",
		"refused: is HTML, not a trace: the download returned a web page; download the file itself again"},
	{"error.json", `<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>`,
		"refused: is XML or HTML, not a trace: the download may have returned an error page; download the file itself again"},
	{"report.sqlite", "SQLite format 3\x00\x10\x00\x01\x01",
		"refused: is an SQLite database cut off after 20 bytes: it is still being written, or the copy was cut off"},
	{"prog.json", "\x7fELF\x02\x01\x01\x00\x00",
		"refused: is an ELF program or library: give a torch-profiler trace (.pt.trace.json or .pt.trace.json.gz) or an Nsight Systems export (.sqlite)"},
	{"noise.json", "\x00\x01\x02\x03\x04",
		"refused: is an unknown binary file (starts 00 01 02 03): give a torch-profiler trace (.pt.trace.json or .pt.trace.json.gz) or an Nsight Systems export (.sqlite)"},
	{"wide.json", utf16le(threeRows),
		"refused: is UTF-16 text: save it as UTF-8"},
	{"traces.tar", tarred("rank0.json", threeRows),
		"refused: is a tar archive: unpack it and give the trace inside"},
	{"traces.tar.gz", gz(tarred("rank0.json", threeRows)),
		"refused: is a tar archive: unpack it and give the trace inside"},
	{"twice.json.gz", gz(packed),
		"refused: is gzip-compressed twice: unpack it once with gzip -d"},
	{"traces.zip", "PK\x03\x04\x14\x00",
		"refused: is a zip archive: unpack it and give the trace inside"},
	{"notes.json", "these are notes\n",
		"refused: is not JSON (starts \"these are no\"): give a torch-profiler trace (.pt.trace.json or .pt.trace.json.gz) or an Nsight Systems export (.sqlite)"},
	{"config.json", `{"model": "m", "tensor_parallel_size": 2}`,
		"refused: is JSON without traceEvents: give a torch-profiler trace (.pt.trace.json or .pt.trace.json.gz) or an Nsight Systems export (.sqlite)"},
	{"lines.json", "{\"a\": 1}\n{\"a\": 2}\n",
		"refused: is JSON without traceEvents: give a torch-profiler trace (.pt.trace.json or .pt.trace.json.gz) or an Nsight Systems export (.sqlite)"},
	{"numbers.json", `[1, 2, 3]`,
		"refused: holds no trace event: give a torch-profiler trace (.pt.trace.json or .pt.trace.json.gz) or an Nsight Systems export (.sqlite)"},
	{"records.json", `[{"a": 1}, {"a": 2}]`,
		"refused: holds no trace event (at byte 1): give a torch-profiler trace (.pt.trace.json or .pt.trace.json.gz) or an Nsight Systems export (.sqlite)"},
	{"none.json", `{"traceEvents": null}`,
		"refused: is JSON without traceEvents: give a torch-profiler trace (.pt.trace.json or .pt.trace.json.gz) or an Nsight Systems export (.sqlite)"},
	{"text.json", `"traceEvents"`,
		"refused: is not JSON (starts \"\\\"traceEvents\"): give a torch-profiler trace (.pt.trace.json or .pt.trace.json.gz) or an Nsight Systems export (.sqlite)"},
	{"pointer.json", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
		"refused: is a Git LFS pointer, not the file itself: fetch the file with git lfs pull"},
	// Traces without GPU rows.
	{"no-rows.json", document(""),
		"0 GPU events, 0 rows, 0 skipped"},
	{"no-rows-array.json", `[]`,
		"0 GPU events, 0 rows, 0 skipped"},
	{"host.json", document("", hostRow("cpu_op", "aten::mm", 1000, 5)),
		"0 GPU events, 1 rows, 0 skipped"},
	// Cut files.
	{"cut-head.json", upTo(threeRows, `"schemaVersion"`),
		"refused: is cut off before traceEvents (at byte 17): it is still being written, or the copy was cut off"},
	{"cut-key.json", upTo(threeRows, `"baseTimeNanosec`),
		"refused: is cut off before traceEvents (at byte 38): it is still being written, or the copy was cut off"},
	{"cut-value.json", upTo(threeRows, `"baseTimeNanoseconds": 1700`),
		"refused: is cut off before traceEvents (at byte 49): it is still being written, or the copy was cut off"},
	{"cut-bracket.json", upTo(threeRows, `"traceEvents": [`),
		"refused: is cut off before its first event (at byte 82): it is still being written, or the copy was cut off"},
	{"cut-first.json", upTo(threeRows, `"cudaLaunch`),
		"refused: is cut off before its first event (at byte 139): it is still being written, or the copy was cut off"},
	{"cut-name.json", upTo(threeRows, `"sec`),
		"1 GPU events, 2 rows, 0 skipped; cut at 434: the JSON ends inside an event"},
	{"cut-number.json", upTo(threeRows, `"ts": 9.1`),
		"1 GPU events, 2 rows, 0 skipped; cut at 469: the JSON ends inside an event"},
	{"cut-args.json", upTo(threeRows[:len(threeRows)-8], `"second"`) + `, "pid": 0, "tid": 7, "ts": 9.100, "dur": 0.005, "args": {"device"`,
		"1 GPU events, 2 rows, 0 skipped; cut at 504: the JSON ends inside an event"},
	{"cut-between.json", strings.TrimSuffix(threeRows, "\n]\n}\n") + ",\n",
		"2 GPU events, 3 rows, 0 skipped; cut at 542: the JSON ends before the bracket that closes traceEvents"},
	{"cut-array.json", strings.TrimSuffix(threeRows, "]\n}\n"),
		"2 GPU events, 3 rows, 0 skipped; cut at 541: the JSON ends before the bracket that closes traceEvents"},
	{"cut-end.json", strings.TrimSuffix(threeRows, "}\n"),
		"2 GPU events, 3 rows, 0 skipped; cut at 543: the JSON ends inside the keys behind traceEvents"},
	{"cut-behind.json", strings.TrimSuffix(threeRows, "}\n") + ", \"traceName\": \"/tmp",
		"2 GPU events, 3 rows, 0 skipped; cut at 563: the JSON ends inside the keys behind traceEvents"},
	{"cut.json.gz", packed[:len(packed)-20],
		"1 GPU events, 2 rows, 0 skipped; cut at 468: the gzip stream ends early"},
	{"cut-trailer.json.gz", packed[:len(packed)-8],
		"2 GPU events, 3 rows, 0 skipped; byte 545: the gzip trailer is missing: its checksum could not be checked"},
	{"cut-half.json.gz", packed[:len(packed)/2],
		"refused: is cut off before its first event (at byte 110): it is still being written, or the copy was cut off"},
	{"cut-header.json.gz", packed[:6],
		"refused: is a gzip file that breaks in its header: it is still being written, or the copy was cut off"},
	{"cut-magic.json.gz", packed[:2],
		"refused: is a gzip file that breaks in its header: it is still being written, or the copy was cut off"},
	{"wrong-sum.json.gz", packed[:len(packed)-8] + "\x00\x00\x00\x00" + packed[len(packed)-4:],
		"2 GPU events, 3 rows, 0 skipped; byte 545: the checksum of the gzip stream does not match"},
	{"tail.json.gz", packed + "\x00\x00\x00\x00",
		"2 GPU events, 3 rows, 0 skipped"},
	// Damaged rows.
	{"quotes.json", strings.Replace(threeRows, `"first"`, `"{"device": "cpu", "dtype": "half"}(3): run"`, 1),
		"2 GPU events, 3 rows, 0 skipped; byte 243: unescaped quote in a name"},
	{"quote.json", strings.Replace(threeRows, `"first"`, `"it's 5" wide"`, 1),
		"2 GPU events, 3 rows, 0 skipped; byte 243: unescaped quote in a name"},
	{"newline.json", strings.Replace(threeRows, `"first"`, "\"lib = load(\"a\",\n \"b\")\r\n\"", 1),
		"2 GPU events, 3 rows, 0 skipped; byte 243: unescaped quote in a name"},
	{"inf.json", strings.Replace(threeRows, `"device"`, `"blocks per SM": inf, "warps per SM": -nan, "device"`, 2),
		"2 GPU events, 3 rows, 0 skipped"},
	{"missing-brace.json", strings.Replace(threeRows, `{"ph": "X", "cat": "kernel"`, `"ph": "X", "cat": "kernel"`, 1),
		"1 GPU events, 2 rows, 2 skipped; byte 247: a value is not JSON"},
	{"hole.json", strings.Replace(threeRows, `"first"`, "\x00\x00\x00\x00\x00\x00", 1),
		"1 GPU events, 2 rows, 1 skipped; byte 243: a value is not JSON"},
	{"no-ts.json", strings.Replace(threeRows, `"ts": 9.000`, `"ts": "soon"`, 1),
		"1 GPU events, 2 rows, 1 skipped; byte 243: an event has no usable ts"},
	{"no-ph.json", strings.Replace(threeRows, `"ph": "X", "cat": "kernel"`, `"cat": "kernel"`, 1),
		"1 GPU events, 2 rows, 1 skipped; byte 243: an event has no ph"},
	{"begin-end.json", document("", `{"ph": "B", "cat": "kernel", "name": "b", "pid": 0, "tid": 7, "ts": 1}`, `{"ph": "E", "pid": 0, "tid": 7, "ts": 2}`),
		"0 GPU events, 2 rows, 0 skipped"},
	{"trailing.json", threeRows + threeRows,
		"2 GPU events, 3 rows, 0 skipped; byte 545: text goes on behind the end of the JSON"},
	{"comma.json", strings.Replace(threeRows, "\n]", ",\n]", 1),
		"2 GPU events, 3 rows, 0 skipped"},
	{"bom.json", "\xef\xbb\xbf" + threeRows,
		"2 GPU events, 3 rows, 0 skipped"},
	{"head.json", strings.Replace(threeRows, `"baseTimeNanoseconds": 1700000000000000000`, `"host_name": "it's "here"", "baseTimeNanoseconds": 1700000000000000000`, 1),
		"2 GPU events, 3 rows, 0 skipped; byte 22: the top-level value of host_name is not JSON"},
}

func TestBadFiles(t *testing.T) {
	for _, c := range badFiles {
		if got := outcome(t, c.name, c.text); got != c.want {
			t.Errorf("%s: %s\nwant %s", c.name, got, c.want)
		}
	}
}

// TestCutOfBadFiles cuts all that could be opened: what was read well comes out
// as JSON proper, and nothing is mistaken for a file that changed.
func TestCutOfBadFiles(t *testing.T) {
	cuts := 0
	for _, c := range badFiles {
		path := save(t, c.name, c.text)
		tr, err := Open(context.Background(), path, Options{})
		if err != nil {
			continue
		}
		small, _ := cut(t, path, tr, everything(true))
		if strings.Contains(c.want, "unescaped quote") {
			continue // those rows stay out
		}
		checkCut(t, tr, small, func(int) bool { return true })
		cuts++
	}
	if cuts < 20 {
		t.Errorf("%d files were cut, want most of %d", cuts, len(badFiles))
	}
}
