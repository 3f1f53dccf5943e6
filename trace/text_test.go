package trace

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Rows of small traces, spelled as Kineto does. Times are ns.

func micros(ns int64) string { return fmt.Sprintf("%d.%03d", ns/1000, ns%1000) }

func gpuRow(cat, name string, device, stream any, ts, dur int64, corr uint64) string {
	return fmt.Sprintf(`{"ph": "X", "cat": %q, "name": %q, "pid": %v, "tid": %v, "ts": %s, "dur": %s, "args": {"device": %v, "stream": %v, "correlation": %d}}`,
		cat, name, device, stream, micros(ts), micros(dur), device, stream, corr)
}

func kernelRow(name string, device, stream any, ts, dur int64, corr uint64) string {
	return gpuRow("kernel", name, device, stream, ts, dur, corr)
}

func callRow(name string, pid any, ts, dur int64, corr uint64) string {
	cat := "cuda_runtime"
	if strings.HasPrefix(name, "cu") && !strings.HasPrefix(name, "cuda") {
		cat = "cuda_driver"
	}
	return fmt.Sprintf(`{"ph": "X", "cat": %q, "name": %q, "pid": %v, "tid": %v, "ts": %s, "dur": %s, "args": {"cbid": 211, "correlation": %d}}`,
		cat, name, pid, pid, micros(ts), micros(dur), corr)
}

func hostRow(cat, name string, ts, dur int64) string {
	return fmt.Sprintf(`{"ph": "X", "cat": %q, "name": %q, "pid": 100, "tid": 100, "ts": %s, "dur": %s, "args": {"External id": 5}}`,
		cat, name, micros(ts), micros(dur))
}

func flowRow(ph string, id uint64, pid, tid any, ts int64) string {
	bind := ""
	if ph == "f" {
		bind = `, "bp": "e"`
	}
	return fmt.Sprintf(`{"ph": %q, "id": %d, "pid": %v, "tid": %v, "ts": %s, "cat": "ac2g", "name": "ac2g"%s}`, ph, id, pid, tid, micros(ts), bind)
}

// document puts rows into a trace file's text; head is further keys.
func document(head string, rows ...string) string {
	if head != "" {
		head += ",\n"
	}
	return "{\n\"schemaVersion\": 1,\n" + head + "\"traceEvents\": [\n  " + strings.Join(rows, ",\n  ") + "\n]\n}\n"
}

// save writes text to a file of its own and returns the path.
func save(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t testing.TB, path string) *Trace {
	t.Helper()
	tr, err := Open(context.Background(), path, Options{})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return tr
}

func openText(t testing.TB, text string) *Trace {
	t.Helper()
	return open(t, save(t, "trace.json", text))
}

// recorded opens the recorded traces, once for all tests.
var recorded = sync.OnceValues(func() (out []*Trace, err error) {
	paths, _, err := Find([]string{"../fixtures/traces"})
	for _, path := range paths {
		tr, err := Open(context.Background(), path, Options{Hash: true})
		if err != nil {
			return nil, err
		}
		out = append(out, tr)
	}
	return out, err
})

func fixtures(t testing.TB) []*Trace {
	t.Helper()
	list, err := recorded()
	if err != nil {
		t.Fatal(err)
	}
	return list
}
