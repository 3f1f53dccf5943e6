package trace

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Files made to hurt: the reader must come back soon, in bounded memory, and
// with an answer or a sentence.

// twoGB is 2 GiB of one letter, packed: gzip files may be joined end to end.
func twoGB(c string) string { return strings.Repeat(gz(strings.Repeat(c, 1<<20)), 2<<10) }

func hostile() map[string]struct{ text, want string } {
	sound := strings.TrimSuffix(threeRows, "\n]\n}\n")
	spaces, letters := twoGB(" "), twoGB("a")
	deep := strings.Repeat("[", 1_000_000)
	return map[string]struct{ text, want string }{
		"a 10 MB name": {
			strings.Replace(threeRows, "first", strings.Repeat("kernel<", 10<<20/7), 1), "2 GPU events, 3 rows, 0 skipped",
		},
		"a 40 MB name": {
			strings.Replace(threeRows, "first", strings.Repeat("kernel<", 40<<20/7), 1),
			"1 GPU events, 2 rows, 1 skipped; byte 243: an event is longer than 16 MiB",
		},
		"a million brackets in an argument": {
			strings.Replace(threeRows, `"correlation": 7}}`, `"deep": `+deep+strings.Repeat("]", 1_000_000)+`, "correlation": 7}}`, 1), "2 GPU events, 2 rows, 1 skipped; byte 85: a value is not JSON",
		},
		"a million brackets that never close": {
			sound + `, {"ph": "X", "args": ` + deep, "2 GPU events, 3 rows, 1 skipped; byte 542: a value is not JSON; cut at 1000562: the JSON ends before the bracket that closes traceEvents",
		},
		"a million brackets as the file":  {deep, "refused: holds no trace event (at byte 1): give a torch-profiler trace (.pt.trace.json or .pt.trace.json.gz) or an Nsight Systems export (.sqlite)"},
		"a million braces":                {strings.Repeat(`{"a":`, 1_000_000), "refused: is cut off before traceEvents (at byte 5000000): it is still being written, or the copy was cut off"},
		"a million brackets in a key":     {document(`"deep": `+deep+strings.Repeat("]", 1_000_000), kernelRow("k", 0, 7, 1, 1, 1)), "1 GPU events, 1 rows, 0 skipped; byte 22: the top-level value of deep is not JSON"},
		"2 GB of blanks":                  {gz("{") + spaces + gz(`"traceEvents": []}`), "refused"},
		"2 GB of one letter in a name":    {gz(sound+`, {"ph": "X", "name": "`) + letters + gz(`"}]}`), "2 GPU events, 3 rows, 1 skipped; byte 542: an event is longer than 16 MiB; cut at N: 256 MiB passed without an event"},
		"2 GB of one letter, and no JSON": {letters, "refused: is not JSON (starts \"aaaaaaaaaaaa\"): give a torch-profiler trace (.pt.trace.json or .pt.trace.json.gz) or an Nsight Systems export (.sqlite)"},
		"70,000 names on as many streams": {document("", manyNames(70_000)...), "70000 GPU events, 70000 rows, 0 skipped"},
	}
}

func manyNames(n int) []string {
	rows := make([]string, n)
	for i := range rows {
		rows[i] = kernelRow(fmt.Sprint("k", i), 0, i, int64(i), 1, 1)
	}
	return rows
}

const bombEnv = "TOKPROF_TEST_OPEN"

// TestMain opens one file when it is started as the child of TestHostileFiles.
func TestMain(m *testing.M) {
	path := os.Getenv(bombEnv)
	if path == "" {
		os.Exit(m.Run())
	}
	tr, err := Open(context.Background(), path, Options{Workers: 2})
	var e *Error
	switch {
	case errors.As(err, &e):
		fmt.Println("refused: " + e.Reason())
	case err != nil:
		fmt.Println(err)
	default:
		fmt.Println(summary(tr))
	}
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	fmt.Println(mem.Sys)
}

// longNumber is an offset that depends on how far the workers ran ahead.
var longNumber = regexp.MustCompile(`[0-9]{9,}`)

func TestHostileFiles(t *testing.T) {
	t.Parallel()
	const maxMemory, maxTime = 400 << 20, 30 * time.Second
	for name, c := range hostile() {
		cmd := exec.Command(os.Args[0])
		// The race detector would have each child sleep before it exits.
		cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", bombEnv+"="+save(t, "hostile.json", c.text))
		begun := time.Now()
		out, err := cmd.CombinedOutput()
		spent := time.Since(begun)
		got, memory, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
		if got = longNumber.ReplaceAllString(got, "N"); c.want == "refused" {
			got, _, _ = strings.Cut(got, ": ") // how is the reader's to say
		}
		if err != nil || got != c.want {
			t.Errorf("%s: %v, %.2000s\nwant %s", name, err, got, c.want)
		}
		if n, err := strconv.Atoi(memory); err != nil || n > maxMemory || spent > maxTime {
			t.Errorf("%s: took %v and %s bytes, want at most %v and %d", name, spent, memory, maxTime, maxMemory)
		}
	}
}
