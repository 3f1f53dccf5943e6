package serving

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// Connect finds out what a server is, without starting anything on it. Errors
// are one sentence, and of one of the kinds above.
func Connect(ctx context.Context, o Options) (*Server, error) {
	forced, err := ParseEngine(o.Engine)
	if err != nil {
		return nil, err
	}
	s, err := newServer(o)
	if err != nil {
		return nil, err
	}
	p := probe{s: s, f: &s.Facts}
	if err := p.identify(ctx, forced); err != nil {
		return nil, err
	}
	if err := p.describe(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// probe is one look at a server.
type probe struct {
	s *Server
	f *Facts

	models, version, serverInfo reply
	metrics                     Metrics
}

// identify asks what every engine answers, and decides which engine it is.
func (p *probe) identify(ctx context.Context, forced Engine) (err error) {
	if p.models, err = p.s.ask(ctx, http.MethodGet, "/v1/models", nil); err != nil {
		return err
	}
	if err := p.refused("/v1/models", p.models); err != nil {
		return err
	}
	if p.version, err = p.s.ask(ctx, http.MethodGet, "/version", nil); err != nil {
		return err
	}
	if err := p.readMetrics(ctx); err != nil {
		return err
	}
	p.readModels()
	how := ""
	owner := gjson.GetBytes(p.models.body, "data.0.owned_by").Str
	switch {
	case forced != Unknown:
		p.f.Engine, how = forced, "--engine"
	case p.models.ok() && owners[owner] != Unknown:
		p.f.Engine, how = owners[owner], "owned_by in /v1/models"
	case p.metrics.Engine != Unknown:
		p.f.Engine, how = p.metrics.Engine, "names in "+p.f.MetricsPath
	}
	if p.f.Engine == Unknown || p.f.Engine == SGLang {
		if err := p.askSGLang(ctx); err != nil {
			return err
		}
		if p.f.Engine == Unknown && p.serverInfo.ok() {
			p.f.Engine, how = SGLang, "answers /server_info"
		}
	}
	version := gjson.GetBytes(p.version.body, "version").Str
	if !p.version.ok() {
		version = ""
	}
	if p.f.Engine == Unknown && version != "" && len(p.f.Models) > 0 && isVLLMError(ctx, p.s) {
		p.f.Engine, how = VLLM, "answers /version, and errors have vLLM's form"
	}
	if version == "" && len(p.f.Models) == 0 && p.metrics.Engine == Unknown && !p.serverInfo.ok() && !p.f.Dynamo {
		return &sentence{fmt.Sprintf("%s is not an inference server that tokprof knows: GET /v1/models answered %d, /version %d; is this the right port and path?",
			p.s.URL(), p.models.status, p.version.status), []error{ErrNotInference}}
	}
	if how != "" {
		p.f.know("engine", p.f.Engine.String(), how)
	}
	if version != "" {
		p.f.Version = ParseVersion(version)
		p.f.know("version", p.f.Version.Text, "/version")
	}
	return nil
}

// owners are the values of owned_by: vllm/entrypoints/openai, sglang
// srt/entrypoints/openai/protocol.py, tensorrt_llm/serve/openai_protocol.py.
var owners = map[string]Engine{"vllm": VLLM, "sglang": SGLang, "tensorrt_llm": TensorRTLLM}

// refused turns the answers that stop us into errors.
func (p *probe) refused(path string, r reply) error {
	at := p.s.URL()
	switch r.status {
	case http.StatusUnauthorized, http.StatusForbidden:
		text := fmt.Sprintf("%s wants a key (%d to GET %s): give it with --api-key-env NAME or --api-key KEY", at, r.status, path)
		if p.s.bearer {
			text = fmt.Sprintf("%s does not accept the key (%d to GET %s): check --api-key-env or --api-key", at, r.status, path)
		}
		return &sentence{text, []error{ErrUnauthorized}}
	case http.StatusServiceUnavailable:
		return &sentence{fmt.Sprintf("%s is still starting, or has no engine behind it (503 to GET %s): try again when it serves", at, path), []error{ErrStarting}}
	case http.StatusBadRequest:
		if bytes.Contains(r.body, []byte("HTTP request to an HTTPS server")) || bytes.Contains(r.body, []byte("HTTP request was sent to HTTPS port")) {
			return &sentence{at + " speaks TLS: write https:// before it", []error{ErrTLS}}
		}
	}
	if r.status >= 300 && r.status < 400 {
		return &sentence{fmt.Sprintf("%s redirects (%d to GET %s): give the URL that it redirects to", at, r.status, path), []error{ErrNotInference}}
	}
	return nil
}

func (p *probe) readModels() {
	if !p.models.ok() {
		return
	}
	for _, m := range gjson.GetBytes(p.models.body, "data").Array() {
		if id := m.Get("id").Str; id != "" {
			p.f.Models = append(p.f.Models, Model{ID: id, MaxLen: int(m.Get("max_model_len").Int()), Root: m.Get("root").Str, Parent: m.Get("parent").Str})
		}
	}
	slices.SortStableFunc(p.f.Models, func(a, b Model) int {
		return min(len(a.Parent), 1) - min(len(b.Parent), 1)
	})
	if len(p.f.Models) > 0 {
		p.f.know("models", strconv.Itoa(len(p.f.Models)), "/v1/models")
	}
}

// readMetrics finds the Prometheus metrics: TensorRT-LLM has JSON at /metrics.
func (p *probe) readMetrics(ctx context.Context) error {
	for _, path := range []string{"/metrics", "/prometheus/metrics"} {
		r, err := p.s.ask(ctx, http.MethodGet, path, nil)
		if err != nil {
			return err
		}
		if body := bytes.TrimSpace(r.body); !r.ok() || len(body) == 0 || body[0] == '[' || body[0] == '{' || body[0] == '<' {
			continue
		}
		m, err := ParseMetrics(bytes.NewReader(r.body))
		if err != nil || m.Len() == 0 {
			continue
		}
		p.metrics, p.f.MetricsPath = m, path
		p.f.Dynamo = m.HasPrefix("dynamo_component_") || m.HasPrefix("dynamo_runtime_")
		if m.Engine != Unknown {
			return nil
		}
	}
	return nil
}

// askSGLang asks what only SGLang answers; /get_server_info is the older name.
func (p *probe) askSGLang(ctx context.Context) error {
	for _, path := range []string{"/server_info", "/get_server_info"} {
		r, err := p.s.ask(ctx, http.MethodGet, path, nil)
		if err != nil {
			return err
		}
		if p.f.Engine == SGLang {
			if err := p.refused(path, r); err != nil {
				return err
			}
		}
		if r.ok() && gjson.GetBytes(r.body, "tp_size").Exists() {
			p.serverInfo = r
			return nil
		}
	}
	return nil
}

// isVLLMError asks for a route that nobody has: vLLM's answer has its own form
// from 0.9 on (vllm-project/vllm#17664, #22099).
func isVLLMError(ctx context.Context, s *Server) bool {
	r, err := s.ask(ctx, http.MethodGet, "/tokprof-asks-for-nothing", nil)
	if err != nil || r.status != http.StatusNotFound {
		return false
	}
	e := gjson.GetBytes(r.body, "error")
	if !e.Exists() {
		e = gjson.ParseBytes(r.body)
	}
	return e.Get("message").Str == "Not Found" && e.Get("code").Int() == http.StatusNotFound
}

// describe fills in the facts of the engine found.
func (p *probe) describe(ctx context.Context) error {
	if p.f.Engine == VLLM || p.f.Engine == Unknown {
		r, err := p.s.ask(ctx, http.MethodGet, "/health", nil)
		if err != nil {
			return err
		}
		if r.status == http.StatusServiceUnavailable || r.status == http.StatusInternalServerError {
			return &sentence{fmt.Sprintf("the engine behind %s has died (%d to GET /health): look into the server's log and restart it", p.s.URL(), r.status), []error{ErrEngineDead}}
		}
	}
	switch {
	case p.f.Engine == VLLM && !p.f.Dynamo:
		r, err := p.s.ask(ctx, http.MethodGet, "/server_info?config_format=json", nil)
		if err != nil {
			return err
		}
		if r.ok() && gjson.GetBytes(r.body, "vllm_config").Exists() {
			p.f.DevMode, p.serverInfo = true, r
			p.f.readVLLMInfo(gjson.GetBytes(r.body, "vllm_config"))
		}
	case p.f.Engine == SGLang && p.serverInfo.ok():
		p.f.readSGLangInfo(gjson.ParseBytes(p.serverInfo.body))
	}
	p.f.readLoad(p.metrics)
	return p.findProfiler(ctx)
}

// findProfiler finds the profile route by asking nothing that could start it:
// SGLang starts recording on GET too, so only OPTIONS is sent, which no router
// hands on. An existing route answers it 405, a missing one 404.
func (p *probe) findProfiler(ctx context.Context) error {
	path := "/start_profile"
	if p.f.Dynamo {
		path = "/engine/start_profile"
	}
	routes, err := p.openapi(ctx)
	if err != nil {
		return err
	}
	route, how := RoutePresent, "in /openapi.json"
	if p.f.Dynamo || !slices.Contains(routes, path) {
		if route, how, err = p.askRoute(ctx, path); err != nil {
			return err
		}
		if route == RouteUnknown && len(routes) > 0 && !p.f.Dynamo {
			route, how = RouteAbsent, "not in /openapi.json"
		}
	}
	if route == RouteUnknown && p.f.Engine == SGLang && !p.f.Version.Before(0, 3, 4) {
		route, how = RoutePresent, "every SGLang since 0.3.4 has it"
	}
	if route == RouteAbsent && p.f.Engine == VLLM && p.f.DevMode && (!p.f.Profiler.Known || p.f.Profiler.Kind != "") {
		if len(routes) == 0 || slices.Contains(routes, "/collective_rpc") {
			route, path, how = RoutePresent, "/collective_rpc", "developer mode, in place of the missing "+path
		}
	}
	if route == RouteAbsent && p.f.Engine == VLLM && len(routes) == 0 && p.version.header.Get("Server") == "" && p.f.Version.AtLeast(0, 22, 0) {
		// uvicorn, under the Python front end, names itself and has an API page.
		p.f.RustFrontEnd = true
		how += "; looks like the Rust front end"
	}
	p.f.ProfileRoute = route
	if route != RouteAbsent {
		p.f.ProfilePath = path
	}
	if how != "" {
		p.f.know("profile route", strings.TrimSpace(route.String()+" "+p.f.ProfilePath), how)
	}
	return nil
}

// openapi is the routes of the server's own description, nil without one.
func (p *probe) openapi(ctx context.Context) ([]string, error) {
	r, err := p.s.ask(ctx, http.MethodGet, "/openapi.json", nil)
	if err != nil || !r.ok() {
		return nil, err
	}
	var routes []string
	gjson.GetBytes(r.body, "paths").ForEach(func(k, _ gjson.Result) bool {
		routes = append(routes, k.Str)
		return true
	})
	// A gateway's description says nothing about the engine behind it.
	if !slices.Contains(routes, "/v1/models") && !slices.Contains(routes, "/v1/completions") {
		return nil, nil
	}
	return routes, nil
}

// askRoute asks for a route with a method that it does not have, and for one
// that nobody has, since some servers answer all the same.
func (p *probe) askRoute(ctx context.Context, path string) (Route, string, error) {
	control := strings.TrimSuffix(path, "start_profile") + "tokprof_asks_for_nothing"
	var status [2]int
	for i, at := range []string{path, control} {
		r, err := p.s.ask(ctx, http.MethodOptions, at, nil)
		if err != nil {
			return RouteUnknown, "", err
		}
		status[i] = r.status
	}
	switch how := fmt.Sprintf("%d to OPTIONS %s", status[0], path); {
	case status[0] == http.StatusNotFound:
		return RouteAbsent, how, nil
	case status[0] == http.StatusMethodNotAllowed && status[1] == http.StatusNotFound:
		return RoutePresent, how, nil
	default:
		return RouteUnknown, how, nil
	}
}
