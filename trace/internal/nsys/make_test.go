package nsys

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"zombiezen.com/go/sqlite"
)

// kernelColumns are the kernel table of schema 3.20 beside start and end.
var kernelColumns = []string{
	"deviceId", "contextId", "greenContextId", "streamId", "correlationId", "globalPid", "demangledName", "shortName", "mangledName",
	"launchType", "cacheConfig", "registersPerThread", "gridX", "gridY", "gridZ", "blockX", "blockY", "blockZ", "staticSharedMemory",
	"dynamicSharedMemory", "localMemoryPerThread", "localMemoryTotal", "gridId", "sharedMemoryExecuted", "graphNodeId", "sharedMemoryLimitConfig",
}

// makeExport writes a database as nsys export would: kernels in graphs of 400
// by two processes, and the calls that launched them.
func makeExport(tb testing.TB, path string, kernels, calls int) {
	tb.Helper()
	conn, err := sqlite.OpenConn(path, sqlite.OpenReadWrite, sqlite.OpenCreate)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() {
		if err := conn.Close(); err != nil {
			tb.Fatal(err)
		}
	}()
	script(tb, conn, "PRAGMA journal_mode=OFF", "PRAGMA synchronous=OFF",
		"CREATE TABLE StringIds (id INTEGER NOT NULL PRIMARY KEY, value TEXT NOT NULL)",
		"CREATE TABLE META_DATA_EXPORT (name TEXT NOT NULL, value TEXT)",
		"INSERT INTO META_DATA_EXPORT VALUES ('EXPORT_SCHEMA_VERSION', '3.20.3'), ('EXPORT_PRODUCT_VERSION', '2025.3.2.0')",
		"CREATE TABLE TARGET_INFO_SESSION_START_TIME (utcEpochNs INTEGER, utcTime TEXT, localTime TEXT)",
		"INSERT INTO TARGET_INFO_SESSION_START_TIME VALUES (1795400818610817643, '', '')",
		"CREATE TABLE CUPTI_ACTIVITY_KIND_KERNEL (start INTEGER NOT NULL, end INTEGER NOT NULL, "+strings.Join(kernelColumns, " INTEGER, ")+" INTEGER)",
		"CREATE TABLE CUPTI_ACTIVITY_KIND_RUNTIME (start INTEGER NOT NULL, end INTEGER NOT NULL, eventClass INTEGER NOT NULL, globalTid INTEGER, correlationId INTEGER, nameId INTEGER NOT NULL, returnValue INTEGER NOT NULL, callchainId INTEGER)",
		"BEGIN")
	for i := range 100 {
		script(tb, conn, fmt.Sprintf("INSERT INTO StringIds VALUES (%d, 'void kernel_%d<(int)%d>(float *)')", i+1, i, i*7))
	}
	script(tb, conn, "INSERT INTO StringIds VALUES (101, 'cudaGraphLaunch_v10000')")
	rnd := rand.New(rand.NewPCG(1, 2))
	insert := func(table string, cols int, rows int, fill func(i int, v []int64)) {
		s, _, err := conn.PrepareTransient("INSERT INTO " + table + " VALUES (" + strings.Repeat("?, ", cols-1) + "?)")
		if err != nil {
			tb.Fatal(err)
		}
		v := make([]int64, cols)
		for i := range rows {
			fill(i, v)
			for c, x := range v {
				s.BindInt64(c+1, x)
			}
			if _, err := s.Step(); err != nil {
				tb.Fatal(err)
			}
			if err := s.Reset(); err != nil {
				tb.Fatal(err)
			}
		}
		if err := s.Finalize(); err != nil {
			tb.Fatal(err)
		}
	}
	pid := func(i int) int64 { return 1<<48 | int64(4942+i/400%2)<<24 }
	at := int64(33_000_000)
	insert("CUPTI_ACTIVITY_KIND_KERNEL", 2+len(kernelColumns), kernels, func(i int, v []int64) {
		at += 500 + rnd.Int64N(1000)
		d := 1000 + rnd.Int64N(20000)
		copy(v, []int64{at, at + d, int64(i / 400 % 2), 1, 0, 17, int64(30000 + i/400), pid(i), 1 + int64(i%100), 1 + int64(i%100), 1 + int64(i%100), 1, 1, 128,
			int64(1 + i%64), 1, 1, 256, 1, 1, 4096, 65536, 0, 250871808, int64(i), 167936, 485<<32 | int64(i%400), 1})
		at += d
	})
	call := int64(32_000_000)
	insert("CUPTI_ACTIVITY_KIND_RUNTIME", 8, calls, func(i int, v []int64) {
		call += 500 + rnd.Int64N(1000)
		copy(v, []int64{call, call + 400, 0, pid(i) | 4942, int64(30000 + i), 101, 0, 0})
	})
	script(tb, conn, "COMMIT")
}

func script(tb testing.TB, conn *sqlite.Conn, sql ...string) {
	tb.Helper()
	for _, q := range sql {
		s, _, err := conn.PrepareTransient(q)
		if err != nil {
			tb.Fatalf("%s: %v", q, err)
		}
		for more := true; more; {
			if more, err = s.Step(); err != nil {
				tb.Fatalf("%s: %v", q, err)
			}
		}
		_ = s.Finalize()
	}
}
