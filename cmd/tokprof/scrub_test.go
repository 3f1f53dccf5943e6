package main

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"tokprof/report/document"
)

// scrubTo runs tokprof scrub and returns the bytes it wrote.
func scrubTo(t *testing.T, path, out string) []byte {
	t.Helper()
	var stdout, errs bytes.Buffer
	if code := run(t.Context(), []string{"scrub", path, "-o", out}, streams{nil, &stdout, &errs}); code != 0 || stdout.Len() > 0 {
		t.Fatalf("scrub %s: exit %d: %s", path, code, errs.String())
	}
	if !strings.Contains(errs.String(), " rows") || strings.Count(errs.String(), "\n") != 1 {
		t.Errorf("scrub %s says %q", path, errs.String())
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sameAnalysis holds what tokprof says of an export against what it says of
// the copy: all but the names and sizes of the files.
func sameAnalysis(t *testing.T, path, copied string) {
	t.Helper()
	a, b := analysis(t, path), analysis(t, copied)
	for _, x := range []*document.Analysis{a, b} {
		x.Command = ""
		for i := range x.Sources {
			s := &x.Sources[i]
			s.Path, s.SHA256, s.Bytes, s.RawBytes = "", "", 0, 0
			s.Format = strings.TrimSuffix(s.Format, ".gz")
		}
	}
	if !reflect.DeepEqual(a, b) {
		t.Errorf("%s: the analysis of the copy differs", path)
	}
}

// canaries are the outputs' bytes, also unpacked, that hold a planted secret.
func canaries(t *testing.T, name string, b []byte) {
	t.Helper()
	for form, text := range map[string][]byte{"": b, " unpacked": unpack(b)} {
		if i := bytes.Index(bytes.ToLower(text), []byte("canary")); i >= 0 {
			t.Errorf("%s%s holds %.60q", name, form, text[i:])
		}
	}
}

// TestScrub scrubs each form, plain and compressed.
func TestScrub(t *testing.T) {
	for _, name := range []string{
		"llama-16l-tp2/report1.sqlite.gz", "llama-16l-tp2/report1.json.gz", "llama-16l-tp2/report1.cuda_gpu_trace.csv.gz",
		"qwen3-12l-graphmode/report1.sqlite.gz", "qwen3-12l-graphmode/report1.cuda_gpu_trace.json.gz", "llama-4l-gpumetrics/report1.sqlite.gz",
	} {
		dir := t.TempDir()
		packed := filepath.Join(dir, "safe."+strings.TrimPrefix(filepath.Base(name), "report1."))
		plain := strings.TrimSuffix(packed, ".gz")
		a, b := scrubTo(t, nsysFixtures+name, packed), scrubTo(t, nsysFixtures+name, plain)
		if !bytes.HasPrefix(a, []byte{0x1f, 0x8b}) || !bytes.Equal(unpack(a), b) {
			t.Errorf("%s: %d bytes compressed, %d plain", name, len(unpack(a)), len(b))
		}
		sameAnalysis(t, nsysFixtures+name, packed)
		sameAnalysis(t, nsysFixtures+name, plain)
	}
}

// TestScrubPrivate looks for secrets that were planted wherever an export
// keeps private things.
func TestScrubPrivate(t *testing.T) {
	path := nsysFixtures + "private/report1.sqlite.gz"
	for _, name := range []string{"safe.sqlite", "safe.sqlite.gz"} {
		out := filepath.Join(t.TempDir(), name)
		canaries(t, name, scrubTo(t, path, out))
		sameAnalysis(t, path, out)
	}
}
