package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"tokprof/fixtures/golden"
	"tokprof/trace/serving/replay"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"tokprof": main, "replayed": replayed})
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
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"serve": serve, "copytraces": copyTraces},
		Setup: func(e *testscript.Env) error {
			e.Setenv("FIXTURES", filepath.Join(fixtures, "traces"))
			e.Setenv("NO_COLOR", "1")
			return nil
		},
	})
}

// faultsByName are the servers that scripts ask for.
var faultsByName = map[string]replay.Faults{
	"noprofiler": {NoProfiler: true},
	"busy":       {AlreadyRunning: 3},
	"dies":       {DieMidCapture: 20},
}

// serve starts a replayed server, with a fault by name, and tells the script its
// $SERVER and the $TRACES folder.
func serve(ts *testscript.TestScript, _ bool, args []string) {
	traces := ts.MkAbs("traces-of-" + strings.Join(append(args, "server"), "-"))
	for name, n := traces, 2; ; n++ { // each server has a folder of its own
		if _, err := os.Stat(traces); err != nil {
			break
		}
		traces = fmt.Sprintf("%s-%d", name, n)
	}
	if len(args) > 0 && args[0] == "process" {
		serveProcess(ts, traces)
		return
	}
	o := replay.Options{TraceDir: traces, Speed: 50}
	if len(args) > 0 {
		f, ok := faultsByName[args[0]]
		if !ok {
			ts.Fatalf("no fault %q", args[0])
		}
		o.Faults = f
	}
	ts.Check(os.MkdirAll(traces, 0o755))
	s := replay.New(replay.Embedded(), o)
	url, err := s.Start(context.Background())
	ts.Check(err)
	ts.Defer(func() {
		if s.Profiling() && args == nil {
			ts.Logf("the server was left profiling")
			ts.Fatalf("left profiling")
		}
		s.Close()
	})
	ts.Setenv("SERVER", url)
	ts.Setenv("TRACES", traces)
}

// serveProcess starts a server in a process of its own, whose arguments name a folder for
// traces that is not there yet.
func serveProcess(ts *testscript.TestScript, traces string) {
	self, err := os.Executable()
	ts.Check(err)
	bin := ts.MkAbs("replayed")
	ts.Check(os.Symlink(self, bin))
	cmd := exec.Command(bin, "--profiler-config", fmt.Sprintf(`{"profiler": "torch", "torch_profiler_dir": %q}`, traces))
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	ts.Defer(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	url, err := bufio.NewReader(out).ReadString('\n')
	ts.Check(err)
	ts.Setenv("SERVER", strings.TrimSpace(url))
	ts.Setenv("TRACES", traces)
}

// replayed is that server. As real ones do, it makes its folder when it needs it first.
func replayed() {
	var c struct {
		Dir string `json:"torch_profiler_dir"`
	}
	err := json.Unmarshal([]byte(os.Args[2]), &c)
	s := replay.New(replay.Embedded(), replay.Options{TraceDir: c.Dir, Speed: 50})
	url, e := s.Start(context.Background())
	if err = errors.Join(err, e, os.Remove(c.Dir)); err != nil {
		panic(err)
	}
	fmt.Println(url)
	for !s.Profiling() {
		time.Sleep(time.Millisecond)
	}
	if err := os.Mkdir(c.Dir, 0o755); err != nil {
		panic(err)
	}
	select {}
}

// copyTraces copies what the server wrote last into a folder, as a person would.
func copyTraces(ts *testscript.TestScript, _ bool, args []string) {
	files, err := filepath.Glob(filepath.Join(ts.Getenv("TRACES"), "rank*.json.gz"))
	ts.Check(err)
	newest := map[string]string{} // by rank
	for _, f := range files {
		rank, _, _ := strings.Cut(filepath.Base(f), ".")
		newest[rank] = max(newest[rank], f)
	}
	for _, f := range newest {
		data, err := os.ReadFile(f)
		ts.Check(err)
		ts.Check(os.WriteFile(filepath.Join(ts.MkAbs(args[0]), filepath.Base(f)), data, 0o644))
	}
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
