package capture

import (
	"compress/gzip"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tokprof/trace/serving/load"
)

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

const recorderManifest = `{"spec": {"model": "llama"}, "version": {"version": "0.20.2"}, "cmd": "python3 -m vllm.entrypoints.openai.api_server --tensor-parallel-size 2 --data-parallel-size=2 --port 8101",
"windows": [{"name": "decode-plain", "profiled": false, "files": []},
{"name": "prefill", "profiled": true, "start_call_unix_ns": 100, "stop_return_unix_ns": 200, "files": ["profiler_out_0.txt", "rank0.1795400709985551932.pt.trace.json.gz"]},
{"name": "decode", "profiled": true, "start_call_unix_ns": 300, "stop_return_unix_ns": 400, "files": ["profiler_out_0.txt", "rank0.1795400709985551932.pt.trace.json.gz", "rank0.1795400711861592576.pt.trace.json.gz"]}]}`

// TestOpenRecorder reads a folder of the other kind: cumulative files, twins by
// name.
func TestOpenRecorder(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"manifest.json": recorderManifest, "nvml.jsonl": "{}"})
	b, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, w := range b.Windows {
		fmt.Fprintf(&got, "%s %v twin %q %v\n", w.Name, w.Profiled, w.Twin, w.Files)
	}
	want := `decode-plain false twin "" []
prefill true twin "" [rank0.1795400709985551932.pt.trace.json.gz]
decode true twin "decode-plain" [rank0.1795400711861592576.pt.trace.json.gz]
`
	if got.String() != want {
		t.Errorf("windows\n%swant\n%s", &got, want)
	}
	if s := b.Servers[0]; s.Engine != "vLLM" || s.Version != "0.20.2" || s.Model != "llama" || s.WorldSize != 4 || s.Flags["tensor_parallel_size"] != "2" || b.Own() {
		t.Errorf("server %+v, own %v", s, b.Own())
	}
	if b.ReadingsPath() == "" || b.ModelPath() != "" {
		t.Errorf("readings %q, model %q", b.ReadingsPath(), b.ModelPath())
	}
	if w, ok := b.Window("unknown", 310, 390); !ok || w.Name != "decode" {
		t.Errorf("window by time: %v %v", w.Name, ok)
	}
	if w, ok := b.Window("rank0.1795400709985551932.pt.trace.json.gz", 310, 390); !ok || w.Name != "prefill" {
		t.Errorf("window by file: %v %v", w.Name, ok)
	}
	if _, ok := b.Window("unknown", 210, 290); ok {
		t.Error("a trace between the windows has one")
	}
	if _, err := b.VerifyFiles(); err == nil {
		t.Error("a folder without hashes verifies")
	}
}

func TestBadManifests(t *testing.T) {
	for text, want := range map[string]string{
		`[]`:                                "no JSON object",
		`{`:                                 "no JSON object",
		`{"a": 1}`:                          "names no schema",
		`{"schema": "tokprof.bundle/v9"}`:   "use the version that wrote it",
		`{"schema": "tokprof.analysis/v1"}`: "names no schema",
		`{"schema": "tokprof.bundle/v1", "files": [{"path": "../../etc/passwd"}]}`:              "outside the bundle",
		`{"schema": "tokprof.bundle/v1", "windows": [{"name": "w", "files": ["/etc/passwd"]}]}`: "outside the bundle",
		`{"spec": {}, "windows": [{"profiled": true, "files": ["../x.trace.json"]}]}`:           "outside the bundle",
		`{"schema": "tokprof.bundle/v1", "windows": 7}`:                                         "manifest.json",
	} {
		dir := t.TempDir()
		write(t, dir, map[string]string{"manifest.json": text})
		if b, err := Open(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v; want an error with %q", text, b, err, want)
		}
	}
	if _, err := Open("bundle_test.go"); err == nil || !strings.Contains(err.Error(), "holds no manifest.json") {
		t.Errorf("a file: %v", err)
	}
	if _, err := Open(t.TempDir()); err == nil || !strings.Contains(err.Error(), "holds no manifest.json") {
		t.Errorf("an empty folder: %v", err)
	}
}

func TestVerifyFiles(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"requests.jsonl": "a", "server0/rank0.1795400709985551932.pt.trace.json": "{}", "metrics.x.before.txt": "m"})
	b := &Bundle{Dir: dir}
	if err := b.Seal(); err != nil {
		t.Fatal(err)
	}
	again, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if bad, err := again.VerifyFiles(); err != nil || len(bad) > 0 {
		t.Fatalf("%v %v", bad, err)
	}
	write(t, dir, map[string]string{"requests.jsonl": "b", "metrics.x.before.txt": "longer", "new.txt": ""})
	if err := os.RemoveAll(filepath.Join(dir, "server0")); err != nil {
		t.Fatal(err)
	}
	bad, err := again.VerifyFiles()
	if err != nil {
		t.Fatal(err)
	}
	want := []Damage{
		{"metrics.x.before.txt", "has 6 bytes, the manifest says 1"},
		{"new.txt", "is not in the manifest"},
		{"requests.jsonl", "has other contents than the manifest's hash says"},
		{"server0/rank0.1795400709985551932.pt.trace.json", "is missing"},
	}
	if !slices.Equal(bad, want) {
		t.Errorf("%v, want %v", bad, want)
	}
}

func TestComplete(t *testing.T) {
	dir := t.TempDir()
	whole := filepath.Join(dir, "a.trace.json.gz")
	f, err := os.Create(whole)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // two members, as a recording has
		z := gzip.NewWriter(f)
		_, _ = z.Write([]byte(`{"distributedInfo": {"backend": "nccl", "rank": 0, "world_size": 4}, "traceEvents": []}`))
		_ = z.Close()
	}
	_ = f.Close()
	data, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, map[string]string{
		"cut.trace.json.gz": string(data[:len(data)-3]), "empty.trace.json.gz": "", "plain.trace.json": "{\"traceEvents\": []}\n",
		"open.trace.json": `{"traceEvents": [{"ph": "X"`, "text.trace.json.gz": "not gzip", "table.txt": "x",
	})
	for name, want := range map[string]bool{
		"a.trace.json.gz": true, "cut.trace.json.gz": false, "empty.trace.json.gz": false, "plain.trace.json": true,
		"open.trace.json": false, "text.trace.json.gz": false, "gone.trace.json": false,
	} {
		if err := complete(filepath.Join(dir, name), TraceFile); (err == nil) != want {
			t.Errorf("%s: %v, want whole %v", name, err, want)
		}
	}
	if n := worldOf(whole); n != 4 {
		t.Errorf("world size %d, want 4", n)
	}
	if n := worldOf(filepath.Join(dir, "plain.trace.json")); n != 0 {
		t.Errorf("world size %d of a trace that says none", n)
	}
}

func TestPublicName(t *testing.T) {
	for name, want := range map[string]string{
		"gpu-node-17_1704.async_llm.1795400541831409435.pt.trace.json.gz":      "host_1704.async_llm.1795400541831409435.pt.trace.json.gz",
		"gpu_node_17_99.1795400541831409435.pt.trace.json":                     "host_99.1795400541831409435.pt.trace.json",
		"rank0.1795400541965894466.pt.trace.json.gz":                           "rank0.1795400541965894466.pt.trace.json.gz",
		"dp0_pp0_tp0_dcp0_ep0_rank0.1795400613539183104.pt.trace.json.gz":      "dp0_pp0_tp0_dcp0_ep0_rank0.1795400613539183104.pt.trace.json.gz",
		"mine_dp1_pp0_tp0_dcp0_ep0_rank0.1795400613539183104.pt.trace.json.gz": "mine_dp1_pp0_tp0_dcp0_ep0_rank0.1795400613539183104.pt.trace.json.gz",
		"1795400541.123456-TP-0.trace.json.gz":                                 "1795400541.123456-TP-0.trace.json.gz",
	} {
		if got := publicName(name); got != want {
			t.Errorf("%s becomes %s, want %s", name, got, want)
		}
	}
}

func TestProfilerDir(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"vllm", "serve", "m", "--profiler-config", `{"profiler": "torch", "torch_profiler_dir": "./prof"}`}, "./prof"},
		{[]string{"vllm", "serve", "m", `--profiler-config={"torch_profiler_dir": "/p"}`}, "/p"},
		{[]string{"vllm", "serve", "m", "--profiler-config.torch_profiler_dir", "/p"}, "/p"},
		{[]string{"vllm", "serve", "m", "--profiler-config.torch_profiler_dir=/p"}, "/p"},
		{[]string{"vllm", "serve", "m", "--profiler-config"}, ""},
		{[]string{"vllm", "serve", "m", "--profiler-config", "no json"}, ""},
		{nil, ""},
	} {
		if got := profilerDir(c.args); got != c.want {
			t.Errorf("%q: %q, want %q", c.args, got, c.want)
		}
	}
	env := []byte("HOME=/h\x00VLLM_TORCH_PROFILER_DIR=/p\x00CUDA_VISIBLE_DEVICES=3,1\x00X=y\x00")
	if dir, gpus, none := variable(env, profilerVariables[0]), variable(env, visibleDevices), variable(env, "Y"); dir != "/p" || gpus != "3,1" || none != "" {
		t.Errorf("from the environment: %q, %q and %q", dir, gpus, none)
	}
}

func TestListeners(t *testing.T) {
	// From /proc/net/tcp: a listener on 127.0.0.1:8101, a connection to it, and a
	// listener elsewhere.
	table := `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1FA5 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 0000000000000000 100 0 0 10 0
   1: 0100007F:1FA5 0100007F:B9BA 01 00000000:00000000 00:00000000 00000000     0        0 4343 1 0000000000000000 20 4 30 10 -1
   2: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4444 1 0000000000000000 100 0 0 10 0
short line
`
	got := map[string]bool{}
	listeners(strings.NewReader(table), 8101, got)
	if len(got) != 1 || !got["socket:[4242]"] {
		t.Errorf("sockets %v", got)
	}
}

func TestCost(t *testing.T) {
	c := Expect(25, 2, 16, false)
	if got := c.String(); got != "about 25 steps × 2 ranks × 16 layers: 0.8 MB to 3.4 MB of traces, 1 s to 9 s to write them" {
		t.Error(got)
	}
	// The run that the figures come from: 28 steps, 545 kB a rank, 2.1 s.
	if c := Expect(28, 2, 16, false); c.MinBytes > 2*545145 || c.MaxBytes < 2*545145 || c.MinFlush > 2100*time.Millisecond || c.MaxFlush < 2100*time.Millisecond {
		t.Errorf("the recorded run is outside %+v", c)
	}
	unknown := Expect(25, 0, 0, true)
	if unknown.MaxBytes <= c.MaxBytes || unknown.MinBytes <= 0 {
		t.Errorf("unknown ranks and layers: %+v", unknown)
	}
	if m := c.measured(50, 1000, time.Second, 25); m.MinBytes != 2000 || m.MaxFlush != 2*time.Second || !m.Measured {
		t.Errorf("scaled %+v", m)
	}
	if m := c.measured(50, 0, 0, 0); m != c {
		t.Errorf("nothing was measured, yet %+v", m)
	}
}

// TestWatchBytes ends a load whose steps will write too much.
func TestWatchBytes(t *testing.T) {
	s := &session{Options: Options{Scrape: time.Millisecond, MaxBytes: 1000, Cost: func(steps int) Cost { return Cost{Steps: steps, MaxBytes: int64(steps) * 100} }}}
	s.stepsNow = make([]atomic.Int64, 1)
	ctx, stop := s.bounded(t.Context(), "w")
	defer stop()
	s.stepsNow[0].Store(10)
	select {
	case <-ctx.Done():
		t.Fatal("ended at the limit, not past it")
	case <-time.After(50 * time.Millisecond):
	}
	s.stepsNow[0].Store(11)
	<-ctx.Done()
	if got := fmt.Sprint(context.Cause(ctx)); !strings.Contains(got, "after 11 steps") || !strings.Contains(got, "--max-bytes") {
		t.Error(got)
	}
}

func TestSampleWindows(t *testing.T) {
	w, err := Sample{Shape: load.Shape{Seed: 1}, MaxLen: 1000}.Windows()
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, p := range w {
		fmt.Fprintf(&got, "%s: %d × %d in, %d out, about %d steps\n", p.Name, len(p.Load.Requests), p.Load.Requests[0].PromptTokens, p.Load.Requests[0].MaxTokens, Steps(p.Load))
	}
	if want := "prefill: 4 × 998 in, 2 out, about 3 steps\ndecode: 8 × 64 in, 32 out, about 33 steps\n"; got.String() != want {
		t.Errorf("%swant %s", &got, want)
	}
	for _, q := range Warmup(w).Requests {
		if q.MaxTokens > 8 || !strings.HasPrefix(q.Salt, "warmup-") {
			t.Errorf("warm-up request %+v", q)
		}
	}
}
