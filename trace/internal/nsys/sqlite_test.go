package nsys

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tokprof/trace/internal/nsys/database"

	"zombiezen.com/go/sqlite"
)

// small writes an export of a few thousand rows and returns its path.
func small(tb testing.TB) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "report1.sqlite")
	makeExport(tb, path, 2000, 1000)
	return path
}

// taken is what an export handed out.
type taken struct {
	rows map[Kind]int
	time map[Kind]int64
	all  []Row
}

func (t *taken) sink(r *Row) {
	t.rows[r.Kind]++
	t.time[r.Kind] += r.End - r.Start
	t.all = append(t.all, *r)
}

func newTaken() *taken { return &taken{rows: map[Kind]int{}, time: map[Kind]int64{}} }

func readFile(tb testing.TB, path string) (*Export, *taken, error) {
	tb.Helper()
	f, err := os.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	t := newTaken()
	x, err := Read(context.Background(), Source{R: f, Path: path}, Options{Hash: true, TempDir: tb.TempDir()}, t.sink)
	return x, t, err
}

// mustRead reads a file that can be read.
func mustRead(tb testing.TB, path string) (*Export, *taken) {
	tb.Helper()
	x, t, err := readFile(tb, path)
	if err != nil {
		tb.Fatal(err)
	}
	return x, t
}

// change runs SQL on a database.
func change(tb testing.TB, path string, sql ...string) {
	tb.Helper()
	conn, err := sqlite.OpenConn(path, sqlite.OpenReadWrite, sqlite.OpenCreate)
	if err != nil {
		tb.Fatal(err)
	}
	script(tb, conn, sql...)
	if err := conn.Close(); err != nil {
		tb.Fatal(err)
	}
}

func TestWhole(t *testing.T) {
	x, got := mustRead(t, small(t))
	if got.rows[Kernel] != 2000 || got.rows[Runtime] != 1000 || x.Events != 3000 || x.Truncated || x.Skipped != 0 || len(x.Damage) != 0 {
		t.Errorf("%v, %+v", got.rows, x)
	}
	if !x.HasEpoch || x.Epoch != 1795400818610817643 || x.Schema != "3.20.3" || x.Product != "2025.3.2.0" || len(x.SHA256) != 64 {
		t.Errorf("%+v", x)
	}
	if n := x.Names[got.all[0].Name]; n != "void kernel_0<(int)0>(float *)" {
		t.Errorf("first kernel is %q", n)
	}
	if n := x.Names[got.all[2000].Name]; n != "cudaGraphLaunch" {
		t.Errorf("first call is %q", n)
	}
}

// schemas are databases of other versions and makers, by what is done to one
// of 3.20.3, and what must come of it.
var schemas = []struct {
	what  string
	sql   []string
	check func(x *Export, got *taken) bool
}{
	{"older name of the meta table", []string{"ALTER TABLE META_DATA_EXPORT RENAME TO EXPORT_META_DATA"},
		func(x *Export, got *taken) bool { return x.Schema == "3.20.3" }},
	{"no session start", []string{"DROP TABLE TARGET_INFO_SESSION_START_TIME"},
		func(x *Export, got *taken) bool { return !x.HasEpoch && x.Epoch == 0 }},
	{"normalised", []string{"INSERT INTO META_DATA_EXPORT VALUES ('EXPORT_PARAM_TIME_NORMALIZE', 'true')"},
		func(x *Export, got *taken) bool { return x.HasEpoch && x.Epoch == 0 }},
	{"shifted", []string{"INSERT INTO META_DATA_EXPORT VALUES ('EXPORT_PARAM_TIME_SHIFT', '-500')"},
		func(x *Export, got *taken) bool { return x.Epoch == 1795400818610817643+500 }},
	{"no process in the rows", []string{"ALTER TABLE CUPTI_ACTIVITY_KIND_KERNEL DROP COLUMN globalPid"},
		func(x *Export, got *taken) bool {
			return x.OneProcess && !slices.ContainsFunc(got.all, func(r Row) bool { return r.Process != 0 })
		}},
	{"short names alone", []string{"ALTER TABLE CUPTI_ACTIVITY_KIND_KERNEL DROP COLUMN demangledName"},
		func(x *Export, got *taken) bool { return x.Names[got.all[0].Name] == "void kernel_0<(int)0>(float *)" }},
	{"no graph nodes", []string{"ALTER TABLE CUPTI_ACTIVITY_KIND_KERNEL DROP COLUMN graphNodeId"},
		func(x *Export, got *taken) bool { return got.rows[Kernel] == 2000 && got.all[0].Node == 0 }},
	{"calls alone", []string{"DROP TABLE CUPTI_ACTIVITY_KIND_KERNEL"},
		func(x *Export, got *taken) bool { return got.rows[Kernel] == 0 && got.rows[Runtime] == 1000 }},
	{"no end", []string{"ALTER TABLE CUPTI_ACTIVITY_KIND_KERNEL RENAME COLUMN \"end\" TO finish"},
		func(x *Export, got *taken) bool { return got.rows[Kernel] == 0 && len(x.Damage) == 1 }},
	{"no strings", []string{"DROP TABLE StringIds"},
		func(x *Export, got *taken) bool { return got.rows[Kernel] == 2000 && len(x.Damage) == 1 }},
	{"strings without a key", []string{"ALTER TABLE StringIds RENAME TO s", "CREATE TABLE StringIds (id INTEGER, value TEXT)", "INSERT INTO StringIds SELECT * FROM s"},
		func(x *Export, got *taken) bool { return x.Names[got.all[0].Name] == "void kernel_0<(int)0>(float *)" }},
	{"rows from before the session", []string{"UPDATE CUPTI_ACTIVITY_KIND_KERNEL SET start = -2000, \"end\" = -1000 WHERE rowid <= 7"},
		func(x *Export, got *taken) bool { return x.Early == 7 && got.rows[Kernel] == 1993 && x.Skipped == 0 }},
	{"rows that end before they start", []string{"UPDATE CUPTI_ACTIVITY_KIND_KERNEL SET \"end\" = start - 1 WHERE rowid IN (3, 9)"},
		func(x *Export, got *taken) bool {
			return x.Skipped == 2 && got.rows[Kernel] == 1998 && len(x.Damage) == 1 && strings.HasPrefix(x.Damage[0].What, "row 3 of CUPTI_ACTIVITY_KIND_KERNEL has no start and end in order")
		}},
	{"rows without a start or an end", []string{"ALTER TABLE CUPTI_ACTIVITY_KIND_RUNTIME RENAME TO r", "CREATE TABLE CUPTI_ACTIVITY_KIND_RUNTIME (start INTEGER, end INTEGER, eventClass INTEGER, globalTid INTEGER, correlationId INTEGER, nameId INTEGER)",
		"INSERT INTO CUPTI_ACTIVITY_KIND_RUNTIME VALUES (NULL, 9, 0, 1, 1, 101), (9, NULL, 0, 1, 1, 101), (9, 9, 0, 1, 1, 101)"},
		func(x *Export, got *taken) bool { return x.Skipped == 2 && got.rows[Runtime] == 1 }},
	{"graph mode", []string{
		"INSERT INTO META_DATA_EXPORT VALUES ('x', 'y')", "CREATE TABLE META_DATA_CAPTURE (name TEXT NOT NULL, value TEXT)",
		"INSERT INTO META_DATA_CAPTURE VALUES ('PROCESS_0:CUDA_GRAPH_TRACE_OPTIONS:MODE', 'Graph')",
		"CREATE TABLE CUPTI_ACTIVITY_KIND_GRAPH_TRACE (start INTEGER NOT NULL, end INTEGER NOT NULL, deviceId INTEGER, streamId INTEGER, correlationId INTEGER, globalPid INTEGER, graphId INTEGER, graphExecId INTEGER)",
		"INSERT INTO CUPTI_ACTIVITY_KIND_GRAPH_TRACE VALUES (5, 9, 1, 7, 3, 4, 367, 368)"},
		func(x *Export, got *taken) bool {
			i := slices.IndexFunc(got.all, func(r Row) bool { return r.Kind == GraphRun })
			return x.GraphMode == "graph" && i >= 0 && got.all[i].Graph == 367 && got.all[i].Exec == 368 && got.all[i].Corr == 3
		}},
	{"network samples", []string{
		"CREATE TABLE NET_NIC_METRIC (start INTEGER, end INTEGER, globalId INTEGER, portId INTEGER, metricsListId INTEGER, metricsIdx INTEGER, value INTEGER)",
		"CREATE TABLE TARGET_INFO_NETWORK_METRICS (metricsListId INTEGER, metricsIdx INTEGER, name TEXT, unit TEXT)",
		"CREATE TABLE NIC_ID_MAP (nicId INTEGER, globalId INTEGER)", "CREATE TABLE TARGET_INFO_NIC_INFO (nicId INTEGER, name TEXT)",
		"INSERT INTO TARGET_INFO_NETWORK_METRICS VALUES (1, 0, 'Bytes sent', 'B')", "INSERT INTO NIC_ID_MAP VALUES (2, 77)", "INSERT INTO TARGET_INFO_NIC_INFO VALUES (2, 'mlx5_0')",
		"INSERT INTO NET_NIC_METRIC VALUES (0, 10, 77, 1, 1, 0, 4096), (10, 20, 77, 1, 1, 0, 8192)"},
		func(x *Export, got *taken) bool {
			return len(x.Series) == 1 && x.Series[0].Source == "NIC mlx5_0 port 1" && x.Series[0].Name == "Bytes sent [B]" &&
				slices.Equal(x.Series[0].Times, []int64{10, 20}) && slices.Equal(x.Series[0].Values, []float64{4096, 8192})
		}},
	{"network samples of adapters without a name: no hardware's own number is told", []string{
		"CREATE TABLE NET_NIC_METRIC (start INTEGER, end INTEGER, globalGuid INTEGER, portNumber INTEGER, metricsListId INTEGER, metricsIdx INTEGER, value INTEGER)",
		"INSERT INTO NET_NIC_METRIC VALUES (0, 10, 0x506b4b0300a1b277, 1, 1, 0, 4096), (0, 10, 0x506b4b0300a1c377, 1, 1, 0, 8192)"},
		func(x *Export, got *taken) bool {
			return len(x.Series) == 2 && x.Series[0].Source == "NIC 1 port 1" && x.Series[1].Source == "NIC 2 port 1"
		}},
	{"ranges", []string{
		"CREATE TABLE NVTX_EVENTS (start INTEGER NOT NULL, end INTEGER, eventType INTEGER NOT NULL, text TEXT, globalTid INTEGER, textId INTEGER, domainId INTEGER, binaryData TEXT)",
		"INSERT INTO NVTX_EVENTS VALUES (5, 9, 60, 'by start and end', 83936257, NULL, 0, NULL), (6, 7, 59, NULL, 83936257, 101, 3, 'neAvfF5nqK8A9QEAAAAAAA=='), (8, NULL, 59, 'open', 83936257, NULL, 0, NULL), (8, NULL, 34, 'mark', 83936257, NULL, 0, NULL), (-9, NULL, 75, 'NCCL', 83936257, NULL, 3, NULL)"},
		func(x *Export, got *taken) bool {
			r := slices.DeleteFunc(slices.Clone(got.all), func(r Row) bool { return r.Kind != Range && r.Kind != Mark })
			return len(r) == 4 && x.Names[r[0].Name] == "by start and end" && x.Names[r[1].Name] == "cudaGraphLaunch_v10000" && x.Names[r[1].Domain] == "NCCL" &&
				r[1].Bytes == 128256 && r[2].Open && r[2].End == 8 && r[3].Kind == Mark && r[0].Pid == 5 && r[0].Thread == 50177
		}},
}

func TestSchemas(t *testing.T) {
	for _, s := range schemas {
		t.Run(s.what, func(t *testing.T) {
			path := small(t)
			change(t, path, s.sql...)
			if x, got := mustRead(t, path); !s.check(x, got) {
				t.Errorf("%v %+v", got.rows, x)
			}
		})
	}
}

// refused are files that hold no export, and the sentence about each.
var refused = []struct {
	what string
	make func(t *testing.T, path string)
	want string
}{
	{"empty", func(t *testing.T, path string) { write(t, path, nil) },
		"is empty (0 bytes): nsys has not written it yet, or the copy failed"},
	{"cut in the header", func(t *testing.T, path string) { write(t, path, []byte(database.Magic+"\x10\x00")) },
		"is an SQLite database cut off after 18 bytes: it is still being written, or the copy was cut off"},
	{"cut behind the header", func(t *testing.T, path string) { makeExport(t, path, 2000, 0); truncate(t, path, 2048) },
		"is cut off: the database has 2048 bytes of its 1"},
	{"without tables", func(t *testing.T, path string) { change(t, path, "PRAGMA user_version=1") },
		"is an SQLite database without tables: nsys export was interrupted; give an Nsight Systems export: nsys export --type sqlite report.nsys-rep"},
	{"another program's", func(t *testing.T, path string) { change(t, path, "CREATE TABLE moz_cookies (id INTEGER)") },
		"is an SQLite database, but no Nsight Systems export: give an Nsight Systems export: nsys export --type sqlite report.nsys-rep"},
	{"4 GiB of nothing", func(t *testing.T, path string) { write(t, path, nil); truncate(t, path, 4<<30) },
		"is no Nsight Systems export: give an Nsight Systems export: nsys export --type sqlite report.nsys-rep"},
	{"noise behind the magic", func(t *testing.T, path string) {
		write(t, path, []byte(database.Magic+strings.Repeat("\x10\x00\xff\x7f", 4000)))
	}, "is cut off: the database has 16016 bytes of its 1099779534848, and nothing in the rest can be read"},
	{"zstd", func(t *testing.T, path string) { write(t, path, []byte("\x28\xb5\x2f\xfd....")) },
		"is an Nsight Systems export under zstd: unpack it with zstd -d; exports are read plain or under gzip"},
	{"gzip header", func(t *testing.T, path string) { write(t, path, []byte{0x1f, 0x8b, 8}) },
		"is a gzip file that breaks in its header: it is still being written, or the copy was cut off"},
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func truncate(t *testing.T, path string, n int64) {
	t.Helper()
	if err := os.Truncate(path, n); err != nil {
		t.Fatal(err)
	}
}

func TestRefused(t *testing.T) {
	for _, r := range refused {
		t.Run(r.what, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "report1.sqlite")
			r.make(t, path)
			_, got, err := readFile(t, path)
			var fe *FormatError
			if !errors.As(err, &fe) || !strings.HasPrefix(err.Error(), r.want) || len(got.all) != 0 {
				t.Errorf("%v and %d rows, want %s", err, len(got.all), r.want)
			}
		})
	}
}

// TestSparse reads an export whose file was made 4 GiB long.
func TestSparse(t *testing.T) {
	path := small(t)
	truncate(t, path, 4<<30)
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	got := newTaken()
	x, err := Read(context.Background(), Source{R: f, Path: path}, Options{}, got.sink)
	if err != nil || x.Events != 3000 {
		t.Errorf("%v, %+v", err, x)
	}
}

// TestTruncated cuts an export at every 16th of its length: each cut gives a
// part of the rows and says that it is one, or a sentence.
func TestTruncated(t *testing.T) {
	path := small(t)
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	last := 3000
	answers := 0
	for n := int64(15); n > 0; n-- {
		truncate(t, path, st.Size()*n/16)
		x, got, err := readFile(t, path)
		var fe *FormatError
		switch {
		case err == nil:
			answers++
			if !x.Truncated || x.TruncatedAt != st.Size()*n/16 || len(got.all) > last {
				t.Errorf("%d/16: %d rows after %d, %+v", n, len(got.all), last, x)
			}
			last = len(got.all)
		case !errors.As(err, &fe) || !strings.HasPrefix(fe.What, "is cut off"):
			t.Errorf("%d/16: %v", n, err)
		}
	}
	if answers < 8 || last == 3000 {
		t.Errorf("%d of 15 cuts gave an answer, the last %d rows", answers, last)
	}
}

// TestLocked reads an export that another program is writing.
func TestLocked(t *testing.T) {
	path := small(t)
	conn, err := sqlite.OpenConn(path, sqlite.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	script(t, conn, "BEGIN EXCLUSIVE")
	const want = "is locked by another program: nsys may still be writing it; wait until it has finished, or copy the file"
	if _, _, err := readFile(t, path); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	script(t, conn, "ROLLBACK")
	if x, _ := mustRead(t, path); x.Events != 3000 {
		t.Errorf("%+v", x)
	}
}

// TestWriteAheadLog reads an export in WAL mode: at rest, while its log is in
// use, and with a log left behind.
func TestWriteAheadLog(t *testing.T) {
	path := small(t)
	change(t, path, "PRAGMA journal_mode=WAL")
	if x, _ := mustRead(t, path); x.Events != 3000 || x.Truncated {
		t.Errorf("at rest: %+v", x)
	}
	conn, err := sqlite.OpenConn(path, sqlite.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	script(t, conn, "PRAGMA wal_autocheckpoint=0", "DELETE FROM CUPTI_ACTIVITY_KIND_KERNEL WHERE rowid > 1500")
	if x, _ := mustRead(t, path); x.Events != 2500 || x.Truncated {
		t.Errorf("in use: %+v", x)
	}
	copied := filepath.Join(t.TempDir(), "copy.sqlite")
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		write(t, copied+suffix, b)
	}
	x, _ := mustRead(t, copied)
	if x.Events != 3000 || !x.Truncated || x.TruncatedBy != "the write-ahead log beside the database (-wal) was not read" {
		t.Errorf("left behind: %+v", x)
	}
	left, err := filepath.Glob(copied + "*")
	if err != nil || len(left) != 2 {
		t.Errorf("reading left files: %v", left)
	}
}

// TestChanged reads an export that grows meanwhile.
func TestChanged(t *testing.T) {
	path := small(t)
	rows := 0
	_, err := readSQLite(context.Background(), path, Options{}, func(*Row) {
		if rows++; rows == 100 {
			f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = f.Write(make([]byte, 4096))
			_ = f.Close()
		}
	})
	if err == nil || !strings.HasPrefix(err.Error(), "changed while it was being read") {
		t.Error(err)
	}
}

func TestCancelled(t *testing.T) {
	path := small(t)
	ctx, cancel := context.WithCancel(context.Background())
	rows := 0
	_, err := readSQLite(ctx, path, Options{}, func(*Row) {
		if rows++; rows == 100 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || rows > 3000 {
		t.Error(err, rows)
	}
}

// TestFlipped changes single bytes all over an export: there is an answer or a
// sentence, and never more rows than the file can hold.
func TestFlipped(t *testing.T) {
	path := small(t)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for i := range 120 {
		b := slices.Clone(whole)
		at := (i*7919 + i*i*31) % len(b)
		if i < 100 {
			at = i // the file's header
		}
		b[at] ^= byte(1 << (i % 8))
		write(t, path, b)
		x, got, err := readFile(t, path)
		var fe *FormatError
		switch {
		case err != nil && !errors.As(err, &fe):
			t.Fatalf("byte %d: %v", at, err)
		case err != nil:
			seen[fe.What]++
		case int64(len(got.all)) != x.Events || x.Events > int64(len(b)/4):
			t.Errorf("byte %d: %d rows, %d events", at, len(got.all), x.Events)
		case x.Events < 3000 && !x.Truncated && x.Skipped+x.Early == 0 && len(x.Damage) == 0:
			t.Errorf("byte %d: %d events, and nothing said", at, x.Events)
		}
	}
	t.Log(fmt.Sprint(slices.Sorted(maps.Keys(seen))))
}
