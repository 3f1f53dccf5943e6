package serving_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tokprof/fixtures/golden"
	"tokprof/trace/serving"
)

var quiet = log.New(io.Discard, "", 0)

func sorted[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

var profileID = regexp.MustCompile(`"window-1-\d+\.\d{6}"`)

// TestProfile writes which calls each server gets, and what is said of them.
func TestProfile(t *testing.T) {
	no, yes := false, true
	options := []struct {
		name string
		o    serving.ProfileOptions
	}{
		{"nothing", serving.ProfileOptions{}},
		{"all", serving.ProfileOptions{Steps: 12, DelaySteps: 2, Prefix: "window-1", OutputDir: "/traces/a", WithStack: &no, RecordShapes: &yes, Activities: []string{"GPU"}}},
	}
	var out strings.Builder
	all := known()
	for _, name := range sorted(all) {
		v := all[name]
		s, err := serving.Connect(t.Context(), serving.Options{URL: v.start(t).URL})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "## %s\n", name)
		for _, o := range options {
			before := time.Now().UnixNano()
			st, err := s.StartProfile(t.Context(), o.o)
			if err != nil {
				if len(v.started()) > 0 && s.Facts.ProfileRoute == serving.RouteAbsent {
					t.Errorf("%s: %q were called without a route", name, v.started())
				}
				fmt.Fprintf(&out, "%s: %v\n", o.name, strings.ReplaceAll(err.Error(), s.URL(), "http://HOST"))
				if !errors.Is(err, serving.ErrNoProfiler) {
					t.Errorf("%s: %v", name, err)
				}
				continue
			}
			if st.SentUnixNS < before || st.AnsweredUnixNS < st.SentUnixNS || st.AnsweredUnixNS > time.Now().UnixNano() {
				t.Errorf("%s: sent %d, answered %d", name, st.SentUnixNS, st.AnsweredUnixNS)
			}
			if st.Bounded != (st.Steps > 0) || st.Why == "" {
				t.Errorf("%s: %+v", name, st)
			}
			if err := s.StopProfile(t.Context()); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			calls := v.started()
			for _, c := range calls[len(calls)-2:] {
				fmt.Fprintf(&out, "%s: %s\n", o.name, profileID.ReplaceAllString(c, `"window-1-TIME"`))
			}
			fmt.Fprintf(&out, "    bounded %t, steps %d: %s; traces in %q; ignored %q\n", st.Bounded, st.Steps, st.Why, st.TraceDir, st.Ignored)
		}
		fmt.Fprintf(&out, "by hand: %s\n\n", strings.ReplaceAll(s.StopByHand(), s.URL(), "http://HOST"))
	}
	golden.Check(t, "profile.txt", []byte(out.String()))
}

func connect(t *testing.T, h http.Handler, o serving.Options) *serving.Server {
	t.Helper()
	ts := httptest.NewUnstartedServer(h)
	ts.Config.ErrorLog = quiet
	ts.Start()
	t.Cleanup(ts.Close)
	o.URL = ts.URL
	s, err := serving.Connect(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStartErrors(t *testing.T) {
	const key = "canary-key-123"
	for _, c := range []struct {
		engine string
		a      answer
		kind   error
		want   string
	}{
		{"vllm", answer{404, ""}, serving.ErrNoProfiler, "start the server with: --profiler-config"},
		{"vllm", answer{409, `{"error":"x"}`}, serving.ErrAlreadyProfiling, "is profiling already"},
		{"vllm", answer{500, `{"error":{"message":"ProfilerAlreadyActiveError: Profiler is already active"}}`}, serving.ErrAlreadyProfiling, "stop it with: curl -X POST"},
		{"vllm", answer{500, "Profiling is not enabled. key " + key}, serving.ErrNoProfiler, "start the server with"},
		{"vllm", answer{500, "Internal Server Error, key " + key}, serving.ErrMayBeProfiling, "answered 500 to POST /start_profile: Internal Server Error"},
		{"vllm", answer{401, key}, serving.ErrUnauthorized, "--api-key-env"},
		{"vllm", answer{422, `bad ` + key}, nil, "answered 422"},
		{"sglang", answer{500, "Internal Server Error"}, serving.ErrMayBeProfiling, "a recording that runs already answers so too"},
		{"sglang", answer{400, "Profiling is already in progress. Call /stop_profile first."}, serving.ErrAlreadyProfiling, "profiling already"},
		{"sglang", answer{200, `{"success":false,"message":"no"}`}, nil, "answered 200"},
	} {
		v := &server{engine: c.engine, version: "0.20.2", profiler: true, info: sglangInfo, answers: map[string]answer{"POST /start_profile": c.a}}
		s := connect(t, v, serving.Options{APIKey: key})
		_, err := s.StartProfile(t.Context(), serving.ProfileOptions{})
		if err == nil || c.kind != nil && !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s %v: %v", c.engine, c.a, err)
		}
	}
	s := connect(t, &server{engine: "vllm", version: "0.33.0", profiler: true}, serving.Options{})
	for _, o := range []serving.ProfileOptions{{Steps: -1}, {DelaySteps: -1}, {Prefix: "a b"}, {Prefix: strings.Repeat("x", 129)}, {Prefix: "../x"}} {
		if _, err := s.StartProfile(t.Context(), o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
}

// TestStartWebPage: a login page in place of the server starts nothing.
func TestStartWebPage(t *testing.T) {
	v := &server{engine: "vllm", version: "0.20.2", profiler: true, answers: map[string]answer{"POST /start_profile": {200, "<html>Log in</html>"}}}
	_, err := connect(t, v, serving.Options{}).StartProfile(t.Context(), serving.ProfileOptions{})
	if err == nil || errors.Is(err, serving.ErrMayBeProfiling) || !strings.Contains(err.Error(), "did not reach the server") {
		t.Error(err)
	}
}

// TestStartCutOff: without an answer a recording may run, and the error says so.
func TestStartCutOff(t *testing.T) {
	v := &server{engine: "vllm", version: "0.20.2", profiler: true}
	reached := make(chan struct{})
	s := connect(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			close(reached)
			io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
			return
		}
		v.ServeHTTP(w, r)
	}), serving.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-reached; cancel() }()
	_, err := s.StartProfile(ctx, serving.ProfileOptions{})
	if !errors.Is(err, serving.ErrMayBeProfiling) || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestStartNobodyThere: a call that was never sent starts nothing.
func TestStartNobodyThere(t *testing.T) {
	v := (&server{engine: "vllm", version: "0.20.2", profiler: true}).start(t)
	s, err := serving.Connect(t.Context(), serving.Options{URL: v.URL})
	if err != nil {
		t.Fatal(err)
	}
	v.Close()
	_, err = s.StartProfile(t.Context(), serving.ProfileOptions{})
	if !errors.Is(err, serving.ErrUnreachable) || errors.Is(err, serving.ErrMayBeProfiling) {
		t.Error(err)
	}
}

// dropping breaks the connection of the first stop calls.
func dropping(v *server, drops int64) (http.Handler, *atomic.Int64) {
	var stops atomic.Int64
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/stop_profile" && r.Method == http.MethodPost && stops.Add(1) <= drops {
			panic(http.ErrAbortHandler)
		}
		v.ServeHTTP(w, r)
	}), &stops
}

func TestStopTriesAgain(t *testing.T) {
	for drops := range int64(7) {
		h, stops := dropping(&server{engine: "vllm", version: "0.20.2", profiler: true}, drops)
		s := connect(t, h, serving.Options{})
		serving.SetStopPause(s, time.Millisecond)
		err := s.StopProfile(t.Context())
		if drops < 5 {
			if err != nil || stops.Load() != drops+1 {
				t.Errorf("%d drops: %v after %d calls", drops, err, stops.Load())
			}
			continue
		}
		var stop *serving.StopError
		if !errors.As(err, &stop) || stop.Status != 0 || stop.Attempts != 5 || !stop.MayStillFlush || !strings.Contains(err.Error(), "curl -X POST") {
			t.Errorf("%d drops: %v", drops, err)
		}
	}
}

func TestStopErrors(t *testing.T) {
	for _, c := range []struct {
		engine string
		a      answer
		want   *serving.StopError // nil: no error
	}{
		{"vllm", answer{500, "Internal Server Error"}, &serving.StopError{Status: 500, Attempts: 1, MayStillFlush: true}},
		{"vllm", answer{504, "upstream request timeout"}, &serving.StopError{Status: 504, Attempts: 1, MayStillFlush: true}},
		{"vllm", answer{200, "\n<!DOCTYPE html><title>Log in</title>"}, &serving.StopError{Status: 200, Attempts: 1}},
		{"vllm", answer{403, ""}, &serving.StopError{Status: 403, Attempts: 1}},
		{"sglang", answer{500, "Profiling is not in progress. Call /start_profile first."}, nil},
		{"sglang", answer{500, "Internal Server Error"}, &serving.StopError{Status: 500, Attempts: 1, MayStillFlush: true, ProbablyEnded: true}},
	} {
		v := &server{engine: c.engine, version: "0.20.2", profiler: true, info: sglangInfo, answers: map[string]answer{"POST /stop_profile": c.a}}
		s := connect(t, v, serving.Options{})
		if _, err := s.StartProfile(t.Context(), serving.ProfileOptions{Steps: 5}); err != nil {
			t.Fatal(err)
		}
		err := s.StopProfile(t.Context())
		var stop *serving.StopError
		if c.want == nil {
			if err != nil {
				t.Errorf("%s %v: %v", c.engine, c.a, err)
			}
		} else if !errors.As(err, &stop) || stop.Status != c.want.Status || stop.Attempts != c.want.Attempts || stop.MayStillFlush != c.want.MayStillFlush || stop.ProbablyEnded != c.want.ProbablyEnded {
			t.Errorf("%s %v: %+v", c.engine, c.a, err)
		}
	}
	s := connect(t, &server{engine: "vllm", version: "0.20.2"}, serving.Options{})
	err := s.StopProfile(t.Context())
	var stop *serving.StopError
	want := s.URL() + " answered 404 to POST /stop_profile, so the call reached no profiler: a gateway does not hand it on, or another server answers here now. When the recording still runs, stop it at the server's own address (curl -X POST " + s.URL() + "/stop_profile), or restart the server"
	if !errors.Is(err, serving.ErrNoProfiler) || !errors.As(err, &stop) || stop.Status != 404 || err.Error() != want {
		t.Error(err)
	}
}

// TestStopIsPatient: the bound of other requests does not hold for stopping, the
// context's does.
func TestStopIsPatient(t *testing.T) {
	v := &server{engine: "vllm", version: "0.20.2", profiler: true}
	release := make(chan struct{})
	s := connect(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/stop_profile" && r.Method == http.MethodPost {
			io.Copy(io.Discard, r.Body)
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}
		v.ServeHTTP(w, r)
	}), serving.Options{Timeout: 300 * time.Millisecond})
	ctx, cancel := context.WithTimeout(t.Context(), 600*time.Millisecond)
	defer cancel()
	err := s.StopProfile(ctx)
	var stop *serving.StopError
	if !errors.As(err, &stop) || !errors.Is(err, context.DeadlineExceeded) || !stop.MayStillFlush {
		t.Error(err)
	}
	close(release)
	if err := s.StopProfile(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestStopByHand(t *testing.T) {
	v := &server{engine: "sglang", version: "0.5.15", info: sglangInfo, key: "canary-key-123"}
	s := connect(t, v, serving.Options{APIKey: v.key, Header: http.Header{"x-team-token": {"canary-team"}}})
	want := `curl -X POST -H "Authorization: Bearer $API_KEY" -H "X-Team-Token: $X_TEAM_TOKEN" ` + s.URL() + "/stop_profile"
	if s.StopByHand() != want {
		t.Errorf("%s, want %s", s.StopByHand(), want)
	}
	// Pasted as it is, it stops: one argument a word.
	if strings.ContainsAny(s.URL(), " '\"$") {
		t.Error(s.URL())
	}
}

// TestNothingStaysBehind: no goroutine outlives its call but those of connections.
func TestNothingStaysBehind(t *testing.T) {
	ts := httptest.NewServer(&server{engine: "vllm", version: "0.20.2", profiler: true, metrics: vllmMetrics})
	defer ts.Close()
	before := runtime.NumGoroutine()
	for range 5 {
		s, err := serving.Connect(t.Context(), serving.Options{URL: ts.URL})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		s.StartProfile(ctx, serving.ProfileOptions{})
		s.StopProfile(ctx)
		if err := s.StopProfile(t.Context()); err != nil {
			t.Error(err)
		}
		s.Close()
	}
	ts.CloseClientConnections()
	for range 100 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
}

func TestMetricsOfServer(t *testing.T) {
	v := &server{engine: "trtllm", version: "1.3.0", metrics: trtMetrics}
	s := connect(t, v, serving.Options{})
	raw, m, err := s.Metrics(t.Context())
	if err != nil || string(raw) != trtMetrics || m.Engine != serving.TensorRTLLM {
		t.Errorf("%q %v %v", raw, m.Engine, err)
	}
	s = connect(t, &server{engine: "sglang", info: sglangInfo}, serving.Options{})
	if _, _, err := s.Metrics(t.Context()); err == nil || !strings.HasSuffix(err.Error(), "shows no Prometheus metrics: start it with --enable-metrics") {
		t.Error(err)
	}
}
