package main

import (
	"bytes"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tokprof/trace/capture"
	"tokprof/trace/serving/replay"
)

// lines is a writer that tells when a line with some text has come.
type lines struct {
	buf  bytes.Buffer
	part string
	seen chan struct{}
}

func (l *lines) Write(p []byte) (int, error) {
	had := strings.Contains(l.buf.String(), l.part)
	l.buf.Write(p)
	if !had && strings.Contains(l.buf.String(), l.part) {
		close(l.seen)
	}
	return len(p), nil
}

// TestCaptureSignals ends a capturing process in the middle, as people and
// supervisors do: the server is not left profiling, and the bundle is sealed.
func TestCaptureSignals(t *testing.T) {
	bin := build(t)
	for _, c := range []struct {
		name   string
		signal syscall.Signal
		at     string
	}{
		{"Ctrl-C while requests run", syscall.SIGINT, "decode: 8 requests"},
		{"SIGTERM while requests run", syscall.SIGTERM, "decode: 8 requests"},
		{"the terminal goes", syscall.SIGHUP, "decode: 8 requests"},
		{"Ctrl-C while the server writes", syscall.SIGINT, "decode: stopping the profiler"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, traces := filepath.Join(t.TempDir(), "run"), t.TempDir()
			s := replay.New(replay.Embedded(), replay.Options{TraceDir: traces, Faults: replay.Faults{SlowStop: 500 * time.Millisecond}})
			url, err := s.Start(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			cmd := exec.CommandContext(t.Context(), bin, "capture", "--server", url, "--trace-dir", traces, "-o", dir, "--no-tax", "--output-tokens", "200")
			said := &lines{part: c.at, seen: make(chan struct{})}
			cmd.Stderr = said
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			select {
			case <-said.seen:
			case <-time.After(30 * time.Second):
				t.Fatal("the capture did not get there")
			}
			if err := cmd.Process.Signal(c.signal); err != nil {
				t.Fatal(err)
			}
			err = cmd.Wait()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != exitInterrupted {
				t.Errorf("ended with %v, want exit code %d:\n%s", err, exitInterrupted, said.buf.String())
			}
			if s.Profiling() || s.StopCalls() == 0 {
				t.Errorf("left profiling: %v; stop was asked %d times", s.Profiling(), s.StopCalls())
			}
			b, err := capture.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			if bad, err := b.VerifyFiles(); err != nil || len(bad) > 0 {
				t.Errorf("the bundle is not sealed: %v %v", bad, err)
			}
		})
	}
}

// TestDemoInterrupted expects the demo's own server to live until its profiler is
// stopped, so that Ctrl-C raises no false alarm.
func TestDemoInterrupted(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), build(t), "demo", "-o", filepath.Join(t.TempDir(), "run"))
	said := &lines{part: "prefill: 3 requests", seen: make(chan struct{})}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-said.seen:
	case <-time.After(30 * time.Second):
		t.Fatal("the demo did not get there")
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	err := cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitInterrupted || out.Len() > 0 {
		t.Errorf("ended with %v, want exit code %d; it said\n%s", err, exitInterrupted, &out)
	}
}

// TestSecondSignal: what cannot be interrupted, such as opening a pipe that nobody
// writes to, ends at the second signal.
func TestSecondSignal(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "rules")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), build(t), "explain", "--rules", pipe, "kernel")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for range 100 {
		select {
		case <-ended:
			return
		case <-time.After(100 * time.Millisecond):
			_ = cmd.Process.Signal(syscall.SIGINT)
		}
	}
	_ = cmd.Process.Kill()
	t.Error("two signals did not end it")
}
