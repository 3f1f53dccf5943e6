package trace

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestNamedPipe: a pipe is read like a file, and one without a writer does not hold an
// interrupted reader.
func TestNamedPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trace.json.gz")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := OpenAll(ctx, path, Options{})
		ended <- err
	}()
	select {
	case err := <-ended:
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("an interrupted reader waits for a writer")
	}

	const file = "../fixtures/traces/llama-16l-tp2/rank0.1795400711861592576.pt.trace.json.gz"
	want, err := Open(t.Context(), file, Options{Hash: true})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	written := filepath.Join(t.TempDir(), filepath.Base(file))
	if err := syscall.Mkfifo(written, 0o600); err != nil {
		t.Fatal(err)
	}
	go func() { ended <- os.WriteFile(written, text, 0) }()
	got, err := Open(t.Context(), written, Options{Hash: true})
	if err != nil || got.Info.SHA256 != want.Info.SHA256 {
		t.Errorf("through a pipe: %v", err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
