package nsys

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"
)

const benchRows = 3_000_000 // half of them kernels, half calls

// yardsticks sum the columns that Read reads, in SQL.
var yardsticks = []string{
	"SELECT sum(start), sum(end), sum(deviceId), sum(streamId), sum(correlationId), sum(globalPid & 65535), sum(demangledName), sum(graphNodeId & 65535) FROM CUPTI_ACTIVITY_KIND_KERNEL",
	"SELECT sum(start), sum(end), sum(eventClass), sum(globalTid & 65535), sum(correlationId), sum(nameId) FROM CUPTI_ACTIVITY_KIND_RUNTIME",
}

// BenchmarkRead prints the rows per second, and their ratio to those of SQL
// sums over the same columns: through the same engine, and by the sqlite3
// shell where there is one. The three take turns in one run.
func BenchmarkRead(b *testing.B) {
	path := filepath.Join(b.TempDir(), "x.sqlite")
	makeExport(b, path, benchRows/2, benchRows/2)
	shell, _ := exec.LookPath("sqlite3")
	best := map[string]time.Duration{}
	measure := func(what string, f func()) {
		start := time.Now()
		f()
		if d := time.Since(start); best[what] == 0 || d < best[what] {
			best[what] = d
		}
	}
	for b.Loop() {
		measure("read", func() {
			var sum int64
			f, err := os.Open(path)
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = f.Close() }()
			x, err := Read(context.Background(), Source{R: f, Path: path}, Options{}, func(r *Row) { sum += r.End - r.Start })
			if err != nil || x.Events != benchRows {
				b.Fatal(x, err)
			}
		})
		measure("engine", func() { sumSQL(b, path) })
		if shell != "" {
			measure("shell", func() {
				for _, q := range yardsticks {
					if err := exec.Command(shell, path, q).Run(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
	b.ReportMetric(benchRows/best["read"].Seconds()/1e6, "Mrows/s")
	b.ReportMetric(best["engine"].Seconds()/best["read"].Seconds(), "of_engine_sum")
	if shell != "" {
		b.ReportMetric(best["shell"].Seconds()/best["read"].Seconds(), "of_shell_sum")
	}
}

func sumSQL(b *testing.B, path string) {
	conn, err := sqlite.OpenConn(path, sqlite.OpenReadOnly)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	script(b, conn, yardsticks...)
}
