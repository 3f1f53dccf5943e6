package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"tokprof/fixtures/golden"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"tokprof": main})
}

// TestScript runs the program as a user would: each file in testdata/script
// holds commands and what they must print. $FIXTURES is the fixtures folder.
func TestScript(t *testing.T) {
	fixtures, err := filepath.Abs("../../fixtures")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *golden.Update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("FIXTURES", filepath.Join(fixtures, "traces"))
			e.Setenv("NO_COLOR", "1")
			return nil
		},
	})
}

// TestInterrupt stops a run while it reads and expects no file behind it.
func TestInterrupt(t *testing.T) {
	dir := t.TempDir()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	old := os.Stdin
	os.Stdin = r
	defer func() { os.Stdin = old }()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGUSR1)
	defer stop()
	if _, err := w.WriteString(`{"traceEvents": [`); err != nil {
		t.Fatal(err)
	}
	done := make(chan int, 1)
	out := filepath.Join(dir, "page.html")
	go func() {
		done <- run(ctx, []string{"analyze", "-", "-o", out}, streams{r, os.Stdout, os.Stderr})
	}()
	stop()
	if code := <-done; code != exitInterrupted {
		t.Errorf("exit code %d, want %d", code, exitInterrupted)
	}
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
