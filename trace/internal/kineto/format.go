package kineto

import (
	"bytes"
	"fmt"
	"strings"
)

// FormatError says why a file holds nothing that can be read as a trace. Its
// text goes on from a file name: "x.json is empty (0 bytes): …".
type FormatError struct {
	Offset int64  // byte in the decompressed text
	What   string // "is HTML, not a trace"
	Hint   string // what it probably is or what to do, one clause
}

// Error is What, the offset when it is not the file's start, and Hint.
func (e *FormatError) Error() string {
	s := e.What
	if e.Offset > 0 {
		s += fmt.Sprintf(" (at byte %d)", e.Offset)
	}
	if e.Hint != "" {
		s += ": " + e.Hint
	}
	return s
}

const (
	hintTrace = "give a torch-profiler trace (.pt.trace.json or .pt.trace.json.gz) or an Nsight Systems export (.sqlite)"
	hintOther = "it is not a torch-profiler trace; " + hintTrace
)

// magics are the first bytes of files that people hand over by mistake.
var magics = []struct{ magic, what, hint string }{
	{"SQLite format 3\x00", "is an SQLite database, as `nsys export` writes", "give the database itself, not packed into anything but gzip"},
	{"PK\x03\x04", "is a zip archive", "unpack it and give the trace inside"},
	{"\x7fELF", "is an ELF program or library", hintTrace},
	{"7z\xbc\xaf\x27\x1c", "is a 7-Zip archive", "unpack it and give the trace inside"},
	{"\xfd7zXZ\x00", "is xz-compressed", "unpack it with xz -d and give the trace inside"},
	{"BZh", "is bzip2-compressed", "unpack it with bzip2 -d and give the trace inside"},
	{"\x04\x22\x4d\x18", "is lz4-compressed", "unpack it with lz4 -d and give the trace inside"},
	{"PAR1", "is a Parquet file", hintTrace},
	{"\x1f\x8b", "is gzip-compressed twice", "unpack it once with gzip -d"},
	{"version https://git-lfs", "is a Git LFS pointer, not the file itself", "fetch the file with git lfs pull"},
	{"\xff\xfe", "is UTF-16 text", "save it as UTF-8"},
	{"\xfe\xff", "is UTF-16 text", "save it as UTF-8"},
	{"\x80\x02", "is a Python pickle", "save the profile with export_chrome_trace and give that file"},
	{"\x80\x04", "is a Python pickle", "save the profile with export_chrome_trace and give that file"},
}

// notJSON names what text that starts neither with { nor [ is.
func notJSON(b []byte, at int64) *FormatError {
	for _, m := range magics {
		if bytes.HasPrefix(b, []byte(m.magic)) {
			return &FormatError{at, m.what, m.hint}
		}
	}
	head := strings.ToLower(string(b[:min(len(b), 512)]))
	if strings.HasPrefix(head, "<!doctype html") || strings.HasPrefix(head, "<html") {
		return &FormatError{at, "is HTML, not a trace", "the download returned a web page; download the file itself again"}
	}
	if head[0] == '<' {
		return &FormatError{at, "is XML or HTML, not a trace", "the download may have returned an error page; download the file itself again"}
	}
	if len(b) > 262 && string(b[257:262]) == "ustar" {
		return &FormatError{at, "is a tar archive", "unpack it and give the trace inside"}
	}
	for _, c := range []byte(head) {
		if c < ' ' && c != '\t' && c != '\n' && c != '\r' {
			return &FormatError{at, fmt.Sprintf("is an unknown binary file (starts % x)", b[:min(len(b), 4)]), hintTrace}
		}
	}
	return &FormatError{at, fmt.Sprintf("is not JSON (starts %q)", b[:min(len(b), 12)]), hintTrace}
}

// fracMode tells from the first events how the digits behind the point of a ts
// or dur are meant. The writer of spring 2024 printed whole nanoseconds without
// padding, at times since the epoch: its fractions may have one or two digits
// and end in a zero but never start with one.
func fracMode(b []byte) FracMode {
	var epoch, brief, trailing bool
	for _, k := range [...]string{`"ts"`, `"dur"`} {
		for p := 0; ; {
			i := bytes.Index(b[p:], []byte(k))
			if i < 0 {
				break
			}
			p += i
			_, v, st := key(b, p)
			if p += len(k); st != good {
				continue
			}
			_, q := digits(b, v)
			if q-v >= 16 {
				epoch = true
			}
			if q >= len(b) || b[q] != '.' {
				continue
			}
			_, e := digits(b, q+1)
			frac := b[q+1 : e]
			if e == len(b) || len(frac) == 0 {
				continue
			}
			if len(frac) > 3 || len(frac) > 1 && frac[0] == '0' {
				return FracDecimal
			}
			brief = brief || len(frac) < 3
			trailing = trailing || len(frac) > 1 && frac[len(frac)-1] == '0'
		}
	}
	if epoch && brief && trailing {
		return FracUnpadded
	}
	return FracDecimal
}
