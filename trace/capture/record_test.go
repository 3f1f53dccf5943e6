package capture

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"tokprof/trace/serving"
	"tokprof/trace/serving/load"
	"tokprof/trace/serving/replay"
)

// rig is a replayed server and a capture of it.
type rig struct {
	server *replay.Server
	traces string
	o      Options
	client *serving.Server
	say    []string
}

// quick are limits that suit a server that plays fifty times as fast.
func newRig(t *testing.T, ro replay.Options) *rig {
	t.Helper()
	before := runtime.NumGoroutine()
	r := &rig{traces: cmp.Or(ro.TraceDir, t.TempDir())}
	ro.TraceDir, ro.Speed = r.traces, 50
	r.server = replay.New(replay.Embedded(), ro)
	url, err := r.server.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.server.Close()
		if r.client != nil {
			r.client.HTTPClient().CloseIdleConnections()
		}
		for range 100 {
			if runtime.NumGoroutine() <= before {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		buf := make([]byte, 1<<16)
		t.Errorf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
	})
	if r.client, err = serving.Connect(t.Context(), serving.Options{URL: url}); err != nil {
		t.Fatal(err)
	}
	f := r.client.Facts
	r.o = Options{
		Dir: filepath.Join(t.TempDir(), "bundle"), Version: "test",
		Targets:   []Target{{Server: r.client, TraceDir: r.traces, About: Server{Engine: f.Engine.String(), Version: f.Version.Text, WorldSize: 2}}},
		Profilers: []Profiler{ServerProfiler(r.client, serving.ProfileOptions{}, func(string) {})},
		Windows:   recordedWindows(t),
		Put: func(ctx context.Context, window string, p load.Plan) ([]serving.Request, []string, error) {
			p.Window = window
			res, err := load.Run(ctx, load.Target{URLs: []string{url}, Model: "llama-16l"}, p, load.Options{})
			return res.Rows, res.Notes, err
		},
		Patience: 1500 * time.Millisecond, Settle: 150 * time.Millisecond, Poll: 20 * time.Millisecond, Scrape: 20 * time.Millisecond,
		Progress: func(s string) { r.say = append(r.say, s) },
	}
	return r
}

// recordedWindows is the recording's own load.
func recordedWindows(t *testing.T) (out []WindowPlan) {
	t.Helper()
	for _, w := range replay.Embedded().Windows {
		if !w.Profiled {
			continue
		}
		p, err := load.FromRows(w.Requests, w.Name, 1)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, WindowPlan{Name: w.Name, Load: p, Plain: w.Name == "decode"})
	}
	return out
}

// only keeps one window, so that a test of one fault is short.
func (r *rig) only(name string) {
	r.o.Windows = slices.DeleteFunc(r.o.Windows, func(w WindowPlan) bool { return w.Name != name })
	for i := range r.o.Windows {
		r.o.Windows[i].Plain = false
	}
}

// idle fails the test when the server still profiles.
func (r *rig) idle(t *testing.T) {
	t.Helper()
	if r.server.Profiling() {
		t.Errorf("the server was left profiling; stop was asked %d times", r.server.StopCalls())
	}
}

func (b *Bundle) hasNote(part string) bool {
	return slices.ContainsFunc(b.Notes, func(n string) bool { return strings.Contains(n, part) })
}

func TestRecord(t *testing.T) {
	r := newRig(t, replay.Options{})
	r.o.Warmup = Warmup(r.o.Windows)
	b, err := Record(t.Context(), r.o)
	if err != nil {
		t.Fatal(err)
	}
	r.idle(t)
	if b.LeftProfiling != "" || len(b.Notes) > 0 {
		t.Errorf("left profiling %q, notes %q", b.LeftProfiling, b.Notes)
	}
	again, err := Open(r.o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	var windows []string
	for _, w := range again.Windows {
		windows = append(windows, w.Name)
		if w.Profiled && len(w.Files) != 2 {
			t.Errorf("window %s has files %q, want those of two ranks", w.Name, w.Files)
		}
	}
	if want := []string{"prefill", "decode-plain", "decode"}; !slices.Equal(windows, want) {
		t.Errorf("windows %q, want %q", windows, want)
	}
	rows, err := again.Requests()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, q := range rows {
		got[q.Window] += len(q.TokenUnixNS)
		if q.Failed() {
			t.Errorf("request %d of %s failed: %s", q.ID, q.Window, q.Error)
		}
	}
	if got["prefill"] != 6 || got["decode"] != 192 || got["decode-plain"] != 192 {
		t.Errorf("tokens by window %v, want 6, 192 and 192", got)
	}
	if bad, err := again.VerifyFiles(); err != nil || len(bad) > 0 {
		t.Errorf("a new bundle does not verify: %v %v", bad, err)
	}
	for _, name := range []string{"metrics.decode.before.txt", "metrics.decode.after.txt", "metrics.decode-plain.before.txt"} {
		if _, err := os.Stat(filepath.Join(r.o.Dir, name)); err != nil {
			t.Error(err)
		}
	}
	files, err := again.Traces()
	if err != nil || len(files) != 4 {
		t.Errorf("traces %q, %v", files, err)
	}
}

// TestFaults plays each way in which servers fail: none is left profiling, and
// the bundle says what is missing.
func TestFaults(t *testing.T) {
	for _, c := range []struct {
		name   string
		faults replay.Faults
		edit   func(*rig)
		err    string   // part of the error, "" for none
		notes  []string // parts of notes
		files  int      // of the window, -1 not looked at
	}{
		{name: "no profiler", faults: replay.Faults{NoProfiler: true}, err: "has no profiler route"},
		{name: "start 500", faults: replay.Faults{StartError500: true}, err: "did not start"},
		{name: "stop 500 while files come", faults: replay.Faults{StopError500: true}, files: 2},
		{name: "200 before files", faults: replay.Faults{StopBeforeFiles: true}, files: 2},
		{name: "stop connection lost", faults: replay.Faults{StopLost: true}, notes: []string{"but every trace came"}, files: 2},
		{name: "slow stop", faults: replay.Faults{SlowStop: 700 * time.Millisecond}, files: 2},
		{name: "missing rank", faults: replay.Faults{MissingRanks: []int{1}}, notes: []string{"no trace of rank 1"}, files: 1},
		{name: "missing rank, world unknown", faults: replay.Faults{MissingRanks: []int{1}}, edit: func(r *rig) { r.o.Targets[0].About.WorldSize = 0 }, notes: []string{"no trace of rank 1"}, files: 1},
		{name: "half gzip", faults: replay.Faults{HalfGzip: true}, notes: []string{"is not whole"}, files: 2},
		{name: "front-end trace", faults: replay.Faults{FrontendTrace: true}, files: 3},
		{name: "stream errors", faults: replay.Faults{SSEError: 3}, files: 2},
		{name: "bundled tokens", faults: replay.Faults{BundledTokens: 4}, files: 2},
		{name: "data parallel", faults: replay.Faults{DataParallel: 2}, edit: func(r *rig) { r.o.Targets[0].Replicas = 2 }, files: 2},
		{name: "death", faults: replay.Faults{DieMidCapture: 20}, err: "could not be stopped", files: 0},
		{name: "never whole", faults: replay.Faults{PartialWrite: true, StopBeforeFiles: true}, edit: func(r *rig) { r.o.Patience = 200 * time.Millisecond }, notes: []string{"is not whole"}, files: 2},
		{name: "unreachable folder", edit: func(r *rig) { r.o.Targets[0].TraceDir = "" }, notes: []string{"cannot be reached from here"}, files: 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, replay.Options{Faults: c.faults})
			r.only("decode")
			if c.edit != nil {
				c.edit(r)
			}
			b, err := Record(t.Context(), r.o)
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("error %v, want %q", err, c.err)
			}
			r.idle(t)
			for _, n := range c.notes {
				if !b.hasNote(n) {
					t.Errorf("no note says %q: %q", n, b.Notes)
				}
			}
			if (c.name == "death") != (b.LeftProfiling != "") {
				t.Errorf("left profiling: %q", b.LeftProfiling)
			}
			if w := b.Windows[0]; len(w.Files) != c.files {
				t.Errorf("files %q, want %d; notes %q", w.Files, c.files, b.Notes)
			}
			if bad, err := b.VerifyFiles(); err != nil || len(bad) > 0 {
				t.Errorf("the bundle does not verify: %v %v", bad, err)
			}
		})
	}
}

// TestNotesNameNoHost: the notes of a bundle are handed on, also those about a server
// that is gone.
func TestNotesNameNoHost(t *testing.T) {
	r := newRig(t, replay.Options{})
	r.only("decode")
	put := r.o.Put
	r.o.Put = func(ctx context.Context, window string, p load.Plan) ([]serving.Request, []string, error) {
		r.server.Close()
		return put(ctx, window, p)
	}
	b, err := Record(t.Context(), r.o)
	if err == nil || !b.hasNote("metrics of server 0 are missing in places: dial: connection refused") {
		t.Errorf("%v, notes %q", err, b.Notes)
	}
	text, err := os.ReadFile(filepath.Join(r.o.Dir, ManifestName))
	if err != nil || strings.Contains(string(text), "127.0.0.1") || b.LeftProfiling != "curl -X POST SERVER/stop_profile" || b.ByHand != r.o.Profilers[0].ByHand() {
		t.Errorf("%s, %v", text, err)
	}
}

// TestEngines records servers whose profilers behave otherwise.
func TestEngines(t *testing.T) {
	for _, c := range []struct {
		name  string
		o     replay.Options
		steps int
	}{
		{"vLLM with a step limit in the call", replay.Options{Version: "0.33.0"}, 6},
		{"vLLM whose stop answers at once", replay.Options{Version: "0.9.1"}, 0},
		{"SGLang", replay.Options{Engine: replay.SGLang}, 0},
		{"SGLang with a step limit", replay.Options{Engine: replay.SGLang}, 6},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, c.o)
			r.only("decode")
			r.o.Profilers = []Profiler{ServerProfiler(r.client, serving.ProfileOptions{Steps: c.steps, OutputDir: r.traces}, func(s string) { t.Error(s) })}
			b, err := Record(t.Context(), r.o)
			if err != nil {
				t.Fatal(err)
			}
			r.idle(t)
			if len(b.Windows[0].Files) != 2 || len(b.Notes) > 0 || b.LeftProfiling != "" {
				t.Errorf("files %q, notes %q, left %q", b.Windows[0].Files, b.Notes, b.LeftProfiling)
			}
		})
	}
}

func TestUnauthorized(t *testing.T) {
	r := newRig(t, replay.Options{})
	r.only("decode")
	r.server.SetFaults(replay.Faults{Unauthorized: true})
	b, err := Record(t.Context(), r.o)
	if err != nil {
		t.Fatal(err)
	}
	r.idle(t)
	rows, err := b.Requests()
	if err != nil || len(rows) != 8 || rows[0].Status != 401 || !rows[0].Failed() {
		t.Errorf("%d rows, %v, first %+v", len(rows), err, rows)
	}
}

// TestInterrupted ends a capture in each of its stages: the profiler is off
// afterwards and the bundle is sealed.
func TestInterrupted(t *testing.T) {
	for _, at := range []string{"warming up", "decode: starting the profiler", "decode: 8 requests", "decode: stopping the profiler", "decode: waiting for traces"} {
		t.Run(at, func(t *testing.T) {
			r := newRig(t, replay.Options{})
			r.only("decode")
			r.o.Warmup = Warmup(r.o.Windows)
			ctx, cancel := context.WithCancel(t.Context())
			r.o.Progress = func(s string) {
				if strings.HasPrefix(s, at) {
					cancel()
				}
			}
			b, err := Record(ctx, r.o)
			cancel()
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("error %v", err)
			}
			r.idle(t)
			if b.LeftProfiling != "" {
				t.Errorf("left profiling: %s", b.LeftProfiling)
			}
			if _, err := Open(r.o.Dir); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestPanic expects a load that panics to leave no profiler running.
func TestPanic(t *testing.T) {
	r := newRig(t, replay.Options{})
	r.only("decode")
	r.o.Put = func(ctx context.Context, _ string, p load.Plan) ([]serving.Request, []string, error) {
		res, err := load.Run(ctx, load.Target{URLs: []string{r.client.URL()}, Model: "llama-16l"}, p, load.Options{OnToken: func(load.Token) { panic("in a request") }})
		return res.Rows, res.Notes, err
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_, _ = Record(t.Context(), r.o)
	}()
	r.idle(t)
	if r.server.StopCalls() == 0 {
		t.Error("stop was never asked")
	}
}

// TestLimits ends a window's load by time and by the bytes that its steps will
// fill.
func TestLimits(t *testing.T) {
	r := newRig(t, replay.Options{})
	r.only("decode")
	r.o.MaxTime = time.Millisecond
	b, err := Record(t.Context(), r.o)
	if err != nil || !b.hasNote("--max-seconds") {
		t.Errorf("%v, notes %q", err, b.Notes)
	}
	r.idle(t)
}

func TestNotEmpty(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "mine"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if b, err := Record(t.Context(), Options{Dir: dir}); b != nil || err == nil || !strings.Contains(err.Error(), "is not empty") {
		t.Errorf("%v, %v", b, err)
	}
}
