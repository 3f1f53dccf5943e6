package serving_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tokprof/fixtures/golden"
	"tokprof/trace/serving"
)

// known are servers of every kind that tokprof meets.
func known() map[string]*server {
	return map[string]*server{
		"vllm 0.5.4":                     {engine: "vllm", version: "0.5.4", metrics: vllmV0Metrics},
		"vllm 0.6.3, first engine":       {engine: "vllm", version: "0.6.3", metrics: vllmV0Metrics, profiler: true},
		"vllm 0.9.2, no profiler":        {engine: "vllm", version: "0.9.2", metrics: vllmMetrics},
		"vllm 0.10.2, no API page":       {engine: "vllm", version: "0.10.2", metrics: vllmMetrics, profiler: true, noDocs: true},
		"vllm 0.20.2":                    {engine: "vllm", version: "0.20.2", metrics: vllmMetrics, profiler: true},
		"vllm 0.20.2, no metrics":        {engine: "vllm", version: "0.20.2", profiler: true},
		"vllm 0.22, Rust front end":      {engine: "vllm", version: "0.22.1", metrics: vllmMetrics, noDocs: true},
		"vllm 0.20.2, developer mode":    {engine: "vllm", version: "0.20.2", metrics: vllmMetrics, profiler: true, dev: true, info: vllmInfo},
		"vllm 0.24, only developer mode": {engine: "vllm", version: "0.24.0", metrics: vllmMetrics, dev: true, info: vllmInfo, noDocs: true},
		"vllm 0.12, info as text": {engine: "vllm", version: "0.12.0", metrics: vllmMetrics, dev: true, profiler: true,
			info: `{"vllm_config":"model='/home/canary-user/m', tensor_parallel_size=4, pipeline_parallel_size=2, data_parallel_size=1, enable_prefix_caching=False, speculative_config=None"}`},
		"vllm 0.33": {engine: "vllm", version: "0.33.0", metrics: vllmMetrics, profiler: true},
		"vllm 0.9.2 behind a gateway without owned_by": {engine: "vllm", version: "0.9.2", profiler: true,
			answers: map[string]answer{"GET /v1/models": {200, `{"data":[{"id":"m"}]}`}}},
		"sglang":                      {engine: "sglang", version: "0.5.15", metrics: sglangMetrics, info: sglangInfo},
		"sglang, no metrics, no page": {engine: "sglang", version: "0.5.15", info: sglangInfo, noDocs: true},
		"trtllm":                      {engine: "trtllm", version: "1.3.0rc1", metrics: trtMetrics, profiler: true},
		"trtllm, older":               {engine: "trtllm", version: "1.0.0", metrics: trtMetrics},
		"dynamo worker":               {engine: "dynamo", metrics: dynamoMetrics},
		"something else with models":  {engine: "other", answers: map[string]answer{"GET /v1/models": {200, `{"data":[{"id":"m","owned_by":"llamacpp"}]}`}}},
	}
}

// TestConnect writes what is found out of each server, and how.
func TestConnect(t *testing.T) {
	var out strings.Builder
	all := known()
	for _, name := range sorted(all) {
		v := all[name]
		s, err := serving.Connect(t.Context(), serving.Options{URL: v.start(t).URL})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		f := s.Facts
		fmt.Fprintf(&out, "## %s\n", name)
		for _, e := range f.Evidence {
			fmt.Fprintf(&out, "%s: %s (%s)\n", e.Fact, e.Value, e.How)
		}
		waits, decided := f.StopWaits()
		fmt.Fprintf(&out, "models %v\nconfig %v\nprofiler %+v\ndynamo %t rust %t dev %t V0 %t, API servers %d, stop waits %t (decided %t)\n\n",
			f.Models, f.Config, f.Profiler, f.Dynamo, f.RustFrontEnd, f.DevMode, f.V0, f.APIServers, waits, decided)
		if calls := v.started(); len(calls) > 0 {
			t.Errorf("%s: connecting called %q", name, calls)
		}
		config, _ := json.Marshal(f.Config)
		if strings.Contains(string(config), "canary") {
			t.Errorf("%s: config holds something private: %s", name, config)
		}
	}
	golden.Check(t, "connect.txt", []byte(out.String()))
}

// TestForcedEngine never starts a profiler, whatever the user claims.
func TestForcedEngine(t *testing.T) {
	for name, v := range known() {
		at := v.start(t).URL
		for _, engine := range []string{"vllm", "sglang", "trtllm"} {
			s, err := serving.Connect(t.Context(), serving.Options{URL: at, Engine: engine})
			if err != nil {
				t.Errorf("%s as %s: %v", name, engine, err)
			} else if want, _ := serving.ParseEngine(engine); s.Facts.Engine != want || s.Facts.How("engine") != "--engine" {
				t.Errorf("%s as %s: engine %s (%s)", name, engine, s.Facts.Engine, s.Facts.How("engine"))
			}
		}
		if calls := v.started(); len(calls) > 0 {
			t.Errorf("%s: connecting called %q", name, calls)
		}
	}
}

// TestForcedNothing: the word of the user does not make a server of a web page.
func TestForcedNothing(t *testing.T) {
	_, err := serving.Connect(t.Context(), serving.Options{URL: (&server{engine: "other"}).start(t).URL, Engine: "vllm"})
	if !errors.Is(err, serving.ErrNotInference) {
		t.Error(err)
	}
}

func TestConnectURLs(t *testing.T) {
	v := &server{engine: "vllm", version: "0.20.2", profiler: true, key: "canary-key-123"}
	h := httptest.NewServer(http.StripPrefix("/pool/a", v))
	defer h.Close()
	host := strings.TrimPrefix(h.URL, "http://")
	for _, u := range []string{host + "/pool/a", h.URL + "/pool/a/", h.URL + "/pool/a/v1", h.URL + "/pool/a/v1/"} {
		s, err := serving.Connect(t.Context(), serving.Options{URL: u, APIKey: v.key})
		if err != nil {
			t.Fatalf("%s: %v", u, err)
		}
		if s.URL() != h.URL+"/pool/a" || s.String() != "vLLM 0.20.2 at "+host {
			t.Errorf("%s: at %s, shown as %s", u, s.URL(), s)
		}
	}
	for _, u := range []string{"", "http://", "ftp://x", "http://x?api_key=canary-key-123", "http://user:canary-key-123@x y", ":80"} {
		if _, err := serving.Connect(t.Context(), serving.Options{URL: u}); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: %v", u, err)
		}
	}
	user := strings.Replace(h.URL, "http://", "http://someone:canary-pass@", 1)
	if _, err := serving.Connect(t.Context(), serving.Options{URL: user + "/pool/a"}); !errors.Is(err, serving.ErrUnauthorized) || strings.Contains(err.Error(), "canary") {
		t.Errorf("basic auth: %v", err)
	}
}

func TestConnectErrors(t *testing.T) {
	const key = "canary-key-123"
	echo := `{"error":{"message":"Incorrect API key provided: ` + key + ` for /home/canary-user"}}`
	answers := func(status int, body string) *server {
		return &server{engine: "other", answers: map[string]answer{"GET /v1/models": {status, body}}}
	}
	cases := []struct {
		name string
		v    *server
		key  string
		kind error
		want string
	}{
		{"no key", &server{engine: "vllm", version: "0.20.2", key: key}, "", serving.ErrUnauthorized, "wants a key (401 to GET /v1/models): give it with --api-key-env NAME or --api-key KEY"},
		{"wrong key", &server{engine: "vllm", version: "0.20.2", key: "other"}, key, serving.ErrUnauthorized, "does not accept the key (401 to GET /v1/models): check --api-key-env or --api-key"},
		{"forbidden", answers(403, echo), key, serving.ErrUnauthorized, "does not accept the key (403"},
		{"SGLang's info wants the admin's key", &server{engine: "sglang", answers: map[string]answer{"GET /server_info": {401, echo}}}, key, serving.ErrUnauthorized, "(401 to GET /server_info)"},
		{"starting", answers(503, ""), "", serving.ErrStarting, "still starting"},
		{"dead engine", &server{engine: "vllm", version: "0.20.2", answers: map[string]answer{"GET /health": {503, ""}}}, "", serving.ErrEngineDead, "has died (503 to GET /health)"},
		{"nothing known", &server{engine: "other"}, "", serving.ErrNotInference, "GET /v1/models answered 404, /version 404; is this the right port and path?"},
		{"a web page", answers(200, "<html>"), "", serving.ErrNotInference, "GET /v1/models answered 200"},
		{"redirect", answers(302, ""), "", serving.ErrNotInference, "redirects (302"},
		{"TLS port", answers(400, "Client sent an HTTP request to an HTTPS server.\n"), "", serving.ErrTLS, "write https://"},
	}
	for _, c := range cases {
		_, err := serving.Connect(t.Context(), serving.Options{URL: c.v.start(t).URL, APIKey: c.key})
		if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		} else if strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestConnectUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().String()
	l.Close()
	_, err = serving.Connect(t.Context(), serving.Options{URL: at})
	if !errors.Is(err, serving.ErrUnreachable) || !strings.Contains(err.Error(), "http://"+at+" is not reachable: nothing listens there") {
		t.Error(err)
	}

	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer silent.Close()
	_, err = serving.Connect(t.Context(), serving.Options{URL: silent.URL, Timeout: 20 * time.Millisecond})
	if !errors.Is(err, serving.ErrUnreachable) || !strings.Contains(err.Error(), "does not answer in time") {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err = serving.Connect(ctx, serving.Options{URL: silent.URL}); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestConnectTLS(t *testing.T) {
	v := &server{engine: "vllm", version: "0.20.2", profiler: true}
	h := httptest.NewTLSServer(v)
	defer h.Close()
	h.Config.ErrorLog = quiet
	_, err := serving.Connect(t.Context(), serving.Options{URL: h.URL})
	if !errors.Is(err, serving.ErrTLS) || !strings.Contains(err.Error(), "is not trusted") || !strings.Contains(err.Error(), "give its authority with --ca FILE") {
		t.Error(err)
	}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := serving.Connect(t.Context(), serving.Options{URL: h.URL, CAFile: ca})
	if err != nil {
		t.Fatal(err)
	}
	if want := "curl -X POST --cacert " + ca + " " + h.URL + "/stop_profile"; s.StopByHand() != want {
		t.Errorf("%s, want %s", s.StopByHand(), want)
	}
	plain := v.start(t)
	_, err = serving.Connect(t.Context(), serving.Options{URL: strings.Replace(plain.URL, "http:", "https:", 1)})
	if !errors.Is(err, serving.ErrTLS) || !strings.Contains(err.Error(), "write http://") {
		t.Error(err)
	}
	for _, o := range []serving.Options{{URL: h.URL, CAFile: ca + "x"}, {URL: h.URL, CAFile: "probe_test.go"}, {URL: h.URL, Engine: "tgi"}} {
		if _, err := serving.Connect(t.Context(), o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
}
