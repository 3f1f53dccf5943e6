package nsys

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// check reads bytes that may be anything: a *FormatError, or an export whose
// counts are those of the rows handed out.
func check(t *testing.T, data []byte) {
	rows := int64(0)
	var last Row
	x, err := Read(context.Background(), Source{R: bytes.NewReader(data)}, Options{TempDir: t.TempDir()}, func(r *Row) {
		rows++
		if last = *r; !r.sound() || r.End < 0 && !r.Open && Detect(data) != SQLite {
			t.Fatalf("row %+v", last)
		}
	})
	var fe *FormatError
	switch {
	case err != nil && !errors.As(err, &fe):
		t.Fatal(err)
	case err != nil:
		return
	case rows != x.Events || int(last.Name) >= len(x.Names) || int(last.Domain) >= len(x.Names):
		t.Fatalf("%d rows, %+v", rows, x)
	case x.Skipped > 0 && len(x.Damage) == 0 && !x.Truncated && len(x.Summary) < maxSummary:
		t.Fatalf("%d skipped, and nothing said", x.Skipped)
	}
	for _, n := range x.Names {
		if len(n) > maxName+len("\uFFFD") {
			t.Fatalf("a name of %d bytes", len(n))
		}
	}
}

func FuzzLines(f *testing.F) {
	all := []string{stringLine, domainLine, nodeLine, kernelLine, bareLine, copyLine, setLine, graphLine, callLine, rangeLine, ncclLine, commLine, syncLine, threadLine}
	f.Add([]byte(strings.Join(all, "\n")))
	for _, l := range all {
		f.Add([]byte(stringLine + "\n" + l))
	}
	for _, d := range damaged {
		if len(d.text) < 1<<12 {
			f.Add([]byte(d.text))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if Detect(data) == JSONLines {
			check(t, data)
		}
	})
}

func FuzzTables(f *testing.F) {
	for _, s := range []string{saying + traceHead + copyRow + setRow + kernelRow, sumHead + sumRow, bothHead + bothRow + memoryRow, oldSum, guiSum, microTrace, "[\n {\"Start (ns)\": 1, \"Duration (ns)\": 2, \"CorrId\": 3, \"Name\": \"k\"}\n]"} {
		f.Add([]byte(s))
	}
	for _, c := range statsForms {
		f.Add([]byte(c.text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if Detect(data) == Tables {
			check(t, data)
		}
	})
}

func FuzzDatabase(f *testing.F) {
	path := filepath.Join(f.TempDir(), "x.sqlite")
	makeExport(f, path, 40, 10)
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole, uint32(0), byte(0))
	f.Add(whole[:len(whole)/2], uint32(100), byte(255))
	f.Add(whole, uint32(28), byte(7))
	f.Fuzz(func(t *testing.T, data []byte, at uint32, with byte) {
		if len(data) == 0 {
			return
		}
		b := bytes.Clone(data)
		b[int(at)%len(b)] ^= with
		if Detect(b) == SQLite {
			check(t, b)
		}
	})
}

func FuzzGzip(f *testing.F) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(stringLine + "\n" + kernelLine + "\n"))
	_ = z.Close()
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		if bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
			check(t, data)
		}
	})
}
