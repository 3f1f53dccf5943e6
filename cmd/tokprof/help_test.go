package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"tokprof/trace/serving/replay"
)

// build makes the program once for tests that run it as a process.
func build(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "tokprof")
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return bin
}

// exampleFiles are the names that help texts use, and what stands behind them.
var exampleFiles = map[string]string{
	"trace.json.gz":           "llama-8b-tp1/rank0.1795400541965894466.pt.trace.json.gz",
	"rank0.pt.trace.json.gz":  "llama-8b-tp1/rank0.1795400541965894466.pt.trace.json.gz",
	"rank0.json.gz":           "llama-16l-tp2/rank0.1795400711861592576.pt.trace.json.gz",
	"rank1.json.gz":           "llama-16l-tp2/rank1.1795400711877083304.pt.trace.json.gz",
	"before.json.gz":          "qwen3-12l-eager/rank0.1795400524966605128.pt.trace.json.gz",
	"after.json.gz":           "llama-8b-tp1/rank0.1795400541965894466.pt.trace.json.gz",
	"traces/rank0.1.json.gz":  "llama-16l-tp2/rank0.1795400709985551932.pt.trace.json.gz",
	"traces/rank0.2.json.gz":  "llama-16l-tp2/rank0.1795400711861592576.pt.trace.json.gz",
	"traces/config-not-trace": "",
	"nvml.jsonl":              "../../nvml/testdata/llama-16l-tp2-nccl.jsonl.gz",
	"topo.txt":                "../../nvml/testdata/topo.txt",
	"report1.sqlite":          "../nsys/llama-16l-tp2/report1.sqlite.gz",
	"cuda_gpu_trace.csv":      "../nsys/qwen3-12l-graphmode/report1.cuda_gpu_trace.csv.gz",
}

func exampleDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, from := range exampleFiles {
		to := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		var data []byte
		if from != "" {
			var err error
			if data, err = os.ReadFile(filepath.Join("../../fixtures/traces", from)); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(to, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "names.txt"), []byte("gemv\nncclDevKernel_AllReduce\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// exampleServers starts what help texts ask for at addresses of their own: two
// replayed servers and a program that acts like nsys.
func exampleServers(t *testing.T, bin string) *strings.Replacer {
	t.Helper()
	var swap []string
	for _, host := range []string{"localhost", "node1", "node2"} {
		traces := filepath.Join(t.TempDir(), host)
		s := replay.New(replay.Embedded(), replay.Options{TraceDir: traces, Speed: 50})
		url, err := s.Start(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		swap = append(swap, "http://"+host+":8000", url, "/mnt/"+host+"/prof", traces)
	}
	// It writes a report at each stop, which it exports as the one of the examples.
	nsys := `#!/bin/sh
case $1 in
start) echo "$3" | sed s/--output=// >"$0.out" ;;
stop) echo report >"$(cat "$0.out").nsys-rep" ;;
export) cp report1.sqlite "$7" ;;
esac
`
	if err := os.WriteFile(filepath.Join(filepath.Dir(bin), "nsys"), []byte(nsys), 0o755); err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer(swap...)
}

// TestExamples runs every example of every help text.
func TestExamples(t *testing.T) {
	bin, dir := build(t), exampleDir(t)
	servers := exampleServers(t, bin)
	root := newRoot(streams{nil, io.Discard, io.Discard})
	n := 0
	for _, c := range append([]*cobra.Command{root}, root.Commands()...) {
		for line := range strings.Lines(strings.ReplaceAll(c.Example, "\\\n", " ")) {
			line = servers.Replace(strings.TrimSpace(line))
			if line == "" || strings.Contains(line, "-http=") || strings.Contains(line, "--open") {
				continue
			}
			n++
			cmd := exec.Command("bash", "-eo", "pipefail", "-c", line)
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(bin)+":"+os.Getenv("PATH"))
			out, err := cmd.CombinedOutput()
			if strings.HasPrefix(line, "tokprof gpus") && strings.Contains(string(out), "no NVIDIA driver") {
				continue // the answer on a host without one
			}
			// head closes its end early; what it printed is the answer.
			if err != nil && !strings.Contains(line, "| head") || len(out) == 0 && !strings.Contains(line, " -o ") {
				t.Errorf("%s: %v\n%s", line, err, out)
			}
		}
	}
	if n < 15 {
		t.Errorf("only %d examples found", n)
	}
}

// TestHelpWidth keeps help within a terminal of 80 columns.
func TestHelpWidth(t *testing.T) {
	for _, name := range []string{"", "analyze", "capture", "demo", "events", "explain", "gpus", "pprof", "reconcile", "scrub", "trim", "verify"} {
		var out strings.Builder
		args := []string{"--help"}
		if name != "" {
			args = []string{name, "--help"}
		}
		if code := run(t.Context(), args, streams{nil, &out, io.Discard}); code != 0 {
			t.Fatalf("%s --help: exit %d", name, code)
		}
		for line := range strings.Lines(out.String()) {
			if w := utf8.RuneCountInString(strings.TrimRight(line, "\n")); w > 80 && !strings.Contains(line, ",dur_ns,") {
				t.Errorf("%s --help: %d columns: %s", name, w, line)
			}
		}
	}
}

// TestWebUI serves pprof's web page of a trace and reads its flame graph.
func TestWebUI(t *testing.T) {
	bin := build(t)
	ctx, stop := context.WithTimeout(t.Context(), 60*time.Second)
	defer stop()
	cmd := exec.CommandContext(ctx, bin, "pprof", "-http=localhost:0", "-no_browser", "../../fixtures/traces/llama-8b-tp1/rank0.1795400541965894466.pt.trace.json.gz")
	errs, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	url := ""
	for sc := bufio.NewScanner(errs); url == "" && sc.Scan(); {
		url = regexp.MustCompile(`http://\S+`).FindString(sc.Text())
	}
	if url == "" {
		t.Fatal("no address was told")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/ui/flamegraph", nil)
	if err != nil {
		t.Fatal(err)
	}
	// pprof tells its address before it listens.
	res, err := http.DefaultClient.Do(req)
	for err != nil && ctx.Err() == nil {
		time.Sleep(50 * time.Millisecond)
		res, err = http.DefaultClient.Do(req)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	page, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK || !strings.Contains(string(page), "gpu_time") {
		t.Errorf("status %s, %d bytes without gpu_time", res.Status, len(page))
	}
}
