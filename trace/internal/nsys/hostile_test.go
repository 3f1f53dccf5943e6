package nsys

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"zombiezen.com/go/sqlite"
)

// hostile are databases that lie, or try to have something done with them:
// what is done to one of 2,000 kernels and 1,000 calls, how many rows come of
// it, how many are lost, and what is said.
var hostile = []struct {
	what            string
	sql             []string
	events, skipped int64
	says            string
}{
	{"a view in a table's place", []string{"DROP TABLE CUPTI_ACTIVITY_KIND_KERNEL",
		"CREATE VIEW CUPTI_ACTIVITY_KIND_KERNEL AS WITH RECURSIVE c(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM c) SELECT x AS start, x AS \"end\", 0 AS deviceId FROM c"},
		1000, 0, "CUPTI_ACTIVITY_KIND_KERNEL is no ordinary table: it is not read"},
	{"a trigger on a table", []string{"CREATE TRIGGER t AFTER INSERT ON CUPTI_ACTIVITY_KIND_KERNEL BEGIN DELETE FROM StringIds; END"}, 3000, 0, ""},
	{"a generated column", []string{"ALTER TABLE CUPTI_ACTIVITY_KIND_KERNEL RENAME COLUMN \"end\" TO finish",
		"ALTER TABLE CUPTI_ACTIVITY_KIND_KERNEL ADD COLUMN \"end\" INTEGER GENERATED ALWAYS AS (length(hex(zeroblob(100000000)))) VIRTUAL"},
		1000, 2000, "CUPTI_ACTIVITY_KIND_KERNEL has no start or end: its rows are left out"},
	{"an index on an expression", []string{"CREATE INDEX slow ON CUPTI_ACTIVITY_KIND_KERNEL (start, \"end\", abs(start))"}, 3000, 0, ""},
	{"a name of 64 MiB", []string{"UPDATE StringIds SET value = hex(zeroblob(33554432)) WHERE id = 1"}, 3000, 0, ""},
	{"text for times", []string{"UPDATE CUPTI_ACTIVITY_KIND_RUNTIME SET start = 'soon', \"end\" = x'ffff'"},
		2000, 1000, "row 1 of CUPTI_ACTIVITY_KIND_RUNTIME has something else where a number must be"},
	{"text and blobs for other numbers", []string{"UPDATE CUPTI_ACTIVITY_KIND_KERNEL SET deviceId = 'first' WHERE rowid = 5", "UPDATE CUPTI_ACTIVITY_KIND_KERNEL SET globalPid = x'00' WHERE rowid = 9"},
		2998, 2, "row 5 of CUPTI_ACTIVITY_KIND_KERNEL has something else where a number must be"},
	{"numbers as text", []string{"ALTER TABLE CUPTI_ACTIVITY_KIND_KERNEL RENAME TO k", "CREATE TABLE CUPTI_ACTIVITY_KIND_KERNEL AS SELECT cast(start AS TEXT) AS start, cast(\"end\" AS REAL) AS \"end\", '0' AS deviceId, ' 7' AS streamId, correlationId, globalPid, demangledName FROM k"},
		3000, 0, ""},
	{"NULL in every column", []string{"ALTER TABLE CUPTI_ACTIVITY_KIND_KERNEL RENAME TO k", "CREATE TABLE CUPTI_ACTIVITY_KIND_KERNEL (start INTEGER, end INTEGER, deviceId INTEGER, streamId INTEGER, correlationId INTEGER, globalPid INTEGER, demangledName INTEGER)", "INSERT INTO CUPTI_ACTIVITY_KIND_KERNEL SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM k LIMIT 3"},
		1000, 3, "row 1 of CUPTI_ACTIVITY_KIND_KERNEL has no start and end in order"},
	{"times beyond all clocks", []string{"UPDATE CUPTI_ACTIVITY_KIND_KERNEL SET start = -9223372036854775807, \"end\" = 9223372036854775807"},
		1000, 2000, "row 1 of CUPTI_ACTIVITY_KIND_KERNEL has no start and end in order"},
	{"quotes in names", []string{`CREATE TABLE "x""; DROP TABLE StringIds" (a)`, `ALTER TABLE CUPTI_ACTIVITY_KIND_KERNEL ADD COLUMN "a""b" INTEGER`}, 3000, 0, ""},
	{"names in odd case", []string{"ALTER TABLE CUPTI_ACTIVITY_KIND_KERNEL RENAME TO k", "ALTER TABLE k RENAME TO cupti_activity_kind_kernel", "ALTER TABLE cupti_activity_kind_kernel RENAME COLUMN start TO START", "ALTER TABLE StringIds RENAME TO s", "ALTER TABLE s RENAME TO STRINGIDS"}, 3000, 0, ""},
	{"rows without numbers", []string{"ALTER TABLE CUPTI_ACTIVITY_KIND_KERNEL RENAME TO k", "CREATE TABLE CUPTI_ACTIVITY_KIND_KERNEL (start INTEGER, end INTEGER, deviceId INTEGER, streamId INTEGER, correlationId INTEGER, globalPid INTEGER, demangledName INTEGER, graphNodeId INTEGER, PRIMARY KEY (start, graphNodeId)) WITHOUT ROWID",
		"INSERT INTO CUPTI_ACTIVITY_KIND_KERNEL SELECT start, \"end\", deviceId, streamId, correlationId, globalPid, demangledName, graphNodeId FROM k"}, 3000, 0, ""},
	{"a column called rowid", []string{"ALTER TABLE CUPTI_ACTIVITY_KIND_KERNEL ADD COLUMN rowid INTEGER", "UPDATE CUPTI_ACTIVITY_KIND_KERNEL SET rowid = 4"}, 3000, 0, ""},
	{"columns called as the numbers of rows", []string{"ALTER TABLE CUPTI_ACTIVITY_KIND_KERNEL ADD COLUMN rowid INTEGER", "ALTER TABLE CUPTI_ACTIVITY_KIND_KERNEL ADD COLUMN _rowid_ INTEGER", "ALTER TABLE CUPTI_ACTIVITY_KIND_KERNEL ADD COLUMN oid INTEGER"}, 3000, 0, ""},
	{"ids with two names", []string{"ALTER TABLE StringIds RENAME TO s", "CREATE TABLE StringIds (id INTEGER, value TEXT)", "INSERT INTO StringIds SELECT * FROM s", "INSERT INTO StringIds VALUES (1, 'another'), (2, 'void kernel_1<(int)7>(float *)')"},
		3000, 0, "1 ids of StringIds have several names: the first is taken"},
	{"blobs for names", []string{"UPDATE StringIds SET value = x'ff00fe' WHERE id = 1", "UPDATE StringIds SET value = 7 WHERE id = 2"}, 3000, 0, ""},
	{"a table of names that is none", []string{"ALTER TABLE StringIds RENAME TO s", "CREATE VIRTUAL TABLE StringIds USING fts5(id, value)"}, 3000, 0, "the table of names (StringIds) is missing: kernels have no names"},
}

func TestHostile(t *testing.T) {
	for _, h := range hostile {
		t.Run(h.what, func(t *testing.T) {
			path := small(t)
			change(t, path, h.sql...)
			x, got := mustRead(t, path)
			if x.Events != h.events || int64(len(got.all)) != x.Events || x.Skipped != h.skipped {
				t.Errorf("%d events of %d rows, %d lost", x.Events, len(got.all), x.Skipped)
			}
			var says []string
			for _, d := range x.Damage {
				says = append(says, d.What)
			}
			if s := strings.Join(says, "; "); !strings.HasPrefix(s, h.says) || (h.says == "") != (s == "") {
				t.Errorf("says %q", s)
			}
			if view := strings.Contains(h.what, "view"); x.Truncated != view || view && !strings.Contains(x.TruncatedBy, "is no ordinary table") {
				t.Errorf("truncated by %q", x.TruncatedBy)
			}
			for _, n := range x.Names {
				if len(n) > maxName {
					t.Errorf("a name of %d bytes", len(n))
				}
			}
			if h.says == "" && x.Names[got.all[2].Name] != "void kernel_2<(int)14>(float *)" {
				t.Errorf("a kernel is called %q", x.Names[got.all[2].Name])
			}
		})
	}
}

// TestHugeText reads a database with a text of more than a database may hand
// out: it costs the rows behind, not the memory.
func TestHugeText(t *testing.T) {
	path := small(t)
	change(t, path, "UPDATE StringIds SET value = zeroblob(270000000) WHERE id = 1")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	x, got := mustRead(t, path)
	runtime.ReadMemStats(&after)
	if x.Events != 3000 || len(x.Damage) != 1 || x.Damage[0].What != "1 of 101 names cannot be found in StringIds" || x.Names[got.all[1].Name] != "void kernel_1<(int)7>(float *)" {
		t.Errorf("%d events, %v", x.Events, x.Damage)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 64<<20 {
		t.Errorf("%d MiB taken", grown>>20)
	}
}

// rootPage is the page that a table begins in.
func rootPage(t *testing.T, path, table string) int {
	t.Helper()
	conn, err := sqlite.OpenConn(path, sqlite.OpenReadOnly)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	s, _, err := conn.PrepareTransient("SELECT rootpage FROM sqlite_master WHERE name = '" + table + "'")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Finalize() }()
	if more, err := s.Step(); err != nil || !more {
		t.Fatal(more, err)
	}
	return s.ColumnInt(0)
}

// TestCircles points pages of a table to each other, to one page over and over,
// and to themselves. No row comes twice, and what is lost is told.
func TestCircles(t *testing.T) {
	const page = 4096
	for _, table := range []string{"CUPTI_ACTIVITY_KIND_KERNEL", "NVTX_EVENTS"} {
		path := small(t)
		change(t, path, "CREATE TABLE NVTX_EVENTS (start INTEGER NOT NULL, end INTEGER, eventType INTEGER, globalTid INTEGER, text TEXT)",
			"INSERT INTO NVTX_EVENTS SELECT start, \"end\", 59, 1, 'x' FROM CUPTI_ACTIVITY_KIND_KERNEL")
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		root := (rootPage(t, path, table) - 1) * page
		if whole[root] != 5 {
			t.Fatalf("page type %d", whole[root])
		}
		cells := int(binary.BigEndian.Uint16(whole[root+3:]))
		child := func(b []byte, i int) []byte {
			at := int(binary.BigEndian.Uint16(b[root+12+2*i:]))
			return b[root+at : root+at+4]
		}
		for what, spoil := range map[string]func(b []byte){
			"one page over and over": func(b []byte) {
				for i := range cells {
					copy(child(b, i), child(b, 0))
				}
			},
			"one page in another's place": func(b []byte) { copy(child(b, 3), child(b, 2)) },
			"two pages swapped": func(b []byte) {
				third := slices.Clone(child(b, 3))
				copy(child(b, 3), child(b, 2))
				copy(child(b, 2), third)
			},
			"the root below itself": func(b []byte) { binary.BigEndian.PutUint32(child(b, 1), uint32(root/page+1)) },
		} {
			b := slices.Clone(whole)
			spoil(b)
			write(t, path, b)
			x, got := mustRead(t, path)
			seen := map[string]int{}
			for _, r := range got.all {
				seen[fmt.Sprint(r.Kind, r.Start, r.Process)]++
			}
			for k, n := range seen {
				if n > 1 {
					t.Errorf("%s, %s: %s came %d times", table, what, k, n)
					break
				}
			}
			if x.Events >= 5000 || !x.Truncated || x.Skipped == 0 || !strings.Contains(x.TruncatedBy, table+" breaks off after") {
				t.Errorf("%s, %s: %d events, %d lost, %q", table, what, x.Events, x.Skipped, x.TruncatedBy)
			}
		}
	}
}

// TestLockedByAnother reads a database that another process writes.
func TestLockedByAnother(t *testing.T) {
	if path := os.Getenv("NSYS_LOCK"); path != "" {
		conn, err := sqlite.OpenConn(path, sqlite.OpenReadWrite)
		if err != nil {
			t.Fatal(err)
		}
		script(t, conn, "BEGIN EXCLUSIVE")
		fmt.Println("locked")
		_, _ = os.Stdin.Read(make([]byte, 1)) // until the other is done
		return
	}
	path := small(t)
	cmd := exec.Command(os.Args[0], "-test.run=^TestLockedByAnother$")
	cmd.Env = append(os.Environ(), "NSYS_LOCK="+path)
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, len("locked"))
	if _, err := out.Read(line); err != nil || string(line) != "locked" {
		t.Fatalf("%q, %v", line, err)
	}
	const want = "is locked by another program: nsys may still be writing it; wait until it has finished, or copy the file"
	if _, _, err := readFile(t, path); err == nil || err.Error() != want {
		t.Errorf("%v", err)
	}
	_ = in.Close()
	_ = cmd.Wait()
	if x, _ := mustRead(t, path); x.Events != 3000 {
		t.Errorf("%d events behind the lock", x.Events)
	}
}

// TestReadOnlyFolder reads exports where nothing can be written beside them.
func TestReadOnlyFolder(t *testing.T) {
	for _, mode := range []string{"DELETE", "WAL"} {
		path := small(t)
		change(t, path, "PRAGMA journal_mode="+mode)
		dir := filepath.Dir(path)
		if err := os.Chmod(path, 0o400); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, 0o500); err != nil {
			t.Fatal(err)
		}
		x, _ := mustRead(t, path)
		if x.Events != 3000 || x.Truncated {
			t.Errorf("%s: %+v", mode, x)
		}
		if left, err := filepath.Glob(path + "?*"); err != nil || len(left) != 0 {
			t.Errorf("%s: left %v, %v", mode, left, err)
		}
		_ = os.Chmod(dir, 0o700)
	}
}
