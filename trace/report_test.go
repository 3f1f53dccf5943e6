package trace

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestReport has a program in nsys's place export a report.
func TestReport(t *testing.T) {
	dir := t.TempDir()
	report := filepath.Join(dir, "canary-dir.nsys-rep")
	packed, err := filepath.Abs(exports + "qwen3-12l-graphmode/report1.sqlite.gz")
	if err != nil {
		t.Fatal(err)
	}
	plant := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	plant("canary-dir.nsys-rep", "opaque")
	good := plant("nsys", "#!/bin/sh\n[ \"$1 $2 $3\" = 'export --type sqlite' ] && [ \"$6\" = --output ] && gzip -dc '"+packed+"' > \"$7\"\n")
	bad := plant("nsys-broken", "#!/bin/sh\necho canary-secret >&2\nexit 3\n")
	all, err := OpenAll(context.Background(), report, Options{NsysPath: good, Hash: true})
	if err != nil || len(all) != 1 || len(all[0].GraphRuns) != 11 || all[0].Info.Format != "nsys-rep" || all[0].Info.Path != report ||
		all[0].Info.FileBytes != int64(len("opaque")) || all[0].Info.SHA256 != fmt.Sprintf("%x", sha256.Sum256([]byte("opaque"))) {
		t.Errorf("%v", err)
	}
	var e *Error
	if _, err := OpenAll(context.Background(), report, Options{NsysPath: bad}); !errors.As(err, &e) || strings.Contains(err.Error(), "canary-secret") || !strings.Contains(e.What, "by nsys-broken (exit status 3)") {
		t.Error(err)
	}
	t.Setenv("PATH", t.TempDir())
	const want = "is an Nsight Systems report, which only nsys can read, and nsys is not on PATH: give its place with --nsys PATH, or run `nsys export --type sqlite canary-dir.nsys-rep` where it is installed and give the .sqlite"
	if _, err := OpenAll(context.Background(), report, Options{}); !errors.As(err, &e) || e.Reason() != want {
		t.Error(err)
	}
	if _, err := OpenAll(context.Background(), filepath.Join(dir, "no.nsys-rep"), Options{}); !errors.As(err, &e) || e.What != "does not exist" {
		t.Error(err)
	}
}
