package scrub

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tokprof/trace/internal/nsys"
)

// FuzzScrub copies bytes that may be anything: there is a sentence, or a copy
// that says what the original says, or counts what it leaves out.
func FuzzScrub(f *testing.F) {
	all := []string{`{"data":["","void k<(int)1>(float *)","cudaLaunchKernel_v7000"]}`, domainLine, nodeLine, kernelLine, bareLine, copyLine, setLine, graphLine, callLine, rangeLine, ncclLine, commLine, syncLine}
	f.Add([]byte(strings.Join(all, "\n")))
	for _, l := range all {
		f.Add([]byte(l))
	}
	f.Add([]byte(sumHead + "1,1000,3,1,1,1,1,,k\n"))
	f.Add([]byte("Start (ns),Duration (ns),CorrId,Device,Strm,Name\n1,2,3,NVIDIA H200 (0),7,\"k\"\n"))
	path := filepath.Join(f.TempDir(), "x.sqlite")
	change(f, path, "CREATE TABLE StringIds (id INTEGER NOT NULL PRIMARY KEY, value TEXT NOT NULL)", "INSERT INTO StringIds VALUES (1, 'k')",
		"CREATE TABLE CUPTI_ACTIVITY_KIND_KERNEL (start INTEGER NOT NULL, end INTEGER NOT NULL, deviceId INTEGER, streamId INTEGER, correlationId INTEGER, globalPid INTEGER, demangledName INTEGER)",
		"INSERT INTO CUPTI_ACTIVITY_KIND_KERNEL VALUES (1, 2, 0, 7, 3, 16777216, 1), (3, 4, 0, 7, 4, 16777216, 1)")
	database, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(database)
	f.Fuzz(func(t *testing.T, data []byte) {
		var fe *nsys.FormatError
		x, err := nsys.Read(context.Background(), nsys.Source{R: bytes.NewReader(data)}, nsys.Options{TempDir: t.TempDir()}, func(*nsys.Row) {})
		if err != nil {
			return
		}
		out, copied, err := scrubbed(t, data)
		if err != nil {
			if !errors.As(err, &fe) {
				t.Fatal(err)
			}
			return
		}
		left := int64(0)
		for _, n := range copied.Left {
			left += n
		}
		y, err := nsys.Read(context.Background(), nsys.Source{R: bytes.NewReader(out)}, nsys.Options{TempDir: t.TempDir()}, func(*nsys.Row) {})
		if err != nil {
			if x.Events > left || len(x.Summary) > 0 {
				t.Fatalf("the copy: %v\n%s", err, out)
			}
			return
		}
		between := func(y, x int64) bool { return y <= x && x <= y+left }
		if nsys.Detect(data) != nsys.SQLite && (!between(y.Events, x.Events) || !between(y.Early, x.Early) || len(y.Summary) != len(x.Summary) || y.Skipped > x.Skipped) {
			t.Fatalf("%d events, %d early, %d sums, %d skipped; in the copy %d, %d, %d, %d, with %d left out\n%s", x.Events, x.Early, len(x.Summary), x.Skipped, y.Events, y.Early, len(y.Summary), y.Skipped, left, out)
		}
	})
}
