package capture

import (
	"os"
	"path/filepath"
	"runtime"
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
