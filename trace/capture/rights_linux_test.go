package capture

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// unprivileged runs f with the rights of nobody in particular, also where the tests are
// run by the superuser, whom no mode of a file stops.
func unprivileged(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		_ = syscall.Setfsuid(65534)
		f()
	}()
	<-done
}

// openDir is a folder of the test that others may look into.
func openDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestReadOnlyFolder: a bundle that cannot be written is told before anything is done to
// the server.
func TestReadOnlyFolder(t *testing.T) {
	dir := filepath.Join(openDir(t), "run")
	if err := os.Mkdir(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	unprivileged(t, func() {
		for path, want := range map[string]string{
			dir:                       "nothing can be written into " + dir + ": permission denied",
			filepath.Join(dir, "sub"): filepath.Join(dir, "sub") + " cannot be made: permission denied",
		} {
			if b, err := Record(t.Context(), Options{Dir: path}); b != nil || err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, %v, want %q", b, err, want)
			}
		}
	})
}

// TestUnreadableTraces: a trace that we may not read does not keep the others out of the
// bundle, and the error says what to do. Without a table of the profiler's nothing is lost.
func TestUnreadableTraces(t *testing.T) {
	from, dir := openDir(t), openDir(t)
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	modes := map[string]os.FileMode{"profiler_out_0.txt": 0, "rank0.1.pt.trace.json": 0, "rank1.1.pt.trace.json": 0o644}
	for name, mode := range modes {
		if err := os.WriteFile(filepath.Join(from, name), []byte("{}"), mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		files []string
		err   string
		came  []string
		note  string
	}{
		{[]string{"profiler_out_0.txt", "rank1.1.pt.trace.json"}, "", []string{"rank1.1.pt.trace.json"}, "window w: profiler_out_0.txt cannot be read: permission denied"},
		{[]string{"rank0.1.pt.trace.json", "rank1.1.pt.trace.json"}, "run tokprof as a user who may", []string{"w.rank1.1.pt.trace.json"}, "window w: rank0.1.pt.trace.json cannot be read: permission denied"},
	} {
		s := &session{Options: Options{Dir: dir, Targets: make([]Target, 1)}, b: &Bundle{Dir: dir}}
		w := Window{Name: "w"}
		var err error
		unprivileged(t, func() { err = s.bring(&folder{dir: from, targets: []int{0}}, arrived{files: c.files}, &w) })
		if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("error %v, want %q", err, c.err)
		}
		if !slices.Equal(w.Files, c.came) || !slices.Equal(s.b.Notes, []string{c.note}) {
			t.Errorf("files %q, notes %q", w.Files, s.b.Notes)
		}
	}
}
