package replay

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// maxBody bounds what a request may send.
const maxBody = 32 << 20

// release is a version of vLLM as numbers.
type release struct{ major, minor, patch int }

// parseRelease reads "0.20.2", "v0.10.1rc1", "0.9"; what is no number is 0.
func parseRelease(s string) release {
	var n [3]int
	for i, part := range strings.SplitN(strings.TrimPrefix(s, "v"), ".", 3) {
		end := strings.IndexFunc(part, func(r rune) bool { return r < '0' || r > '9' })
		if end < 0 {
			end = len(part)
		}
		n[i], _ = strconv.Atoi(part[:end])
	}
	return release{n[0], n[1], n[2]}
}

// before says whether the release is older than 0.minor.patch.
func (r release) before(minor, patch int) bool {
	return r.major == 0 && (r.minor < minor || r.minor == minor && r.patch < patch)
}

type handle func(w http.ResponseWriter, r *http.Request)

// routes maps a path to its handlers by method.
func (s *Server) routes() map[string]map[string]handle {
	get := func(h handle) map[string]handle { return map[string]handle{"GET": h, "HEAD": h} }
	post := func(h handle) map[string]handle { return map[string]handle{"POST": h} }
	routes := map[string]map[string]handle{
		"/health":              get(func(http.ResponseWriter, *http.Request) {}),
		"/metrics":             get(s.serveMetrics),
		"/v1/models":           get(s.serveModels),
		"/v1/completions":      post(func(w http.ResponseWriter, r *http.Request) { s.complete(w, r, false) }),
		"/v1/chat/completions": post(func(w http.ResponseWriter, r *http.Request) { s.complete(w, r, true) }),
		"/tokenize":            post(s.serveTokenize),
	}
	if s.opts.Engine == SGLang {
		s.sglangRoutes(routes)
	} else {
		routes["/version"] = get(func(w http.ResponseWriter, _ *http.Request) {
			writeJSON(w, 200, map[string]string{"version": s.opts.Version})
		})
		if !s.fault().NoProfiler {
			routes["/start_profile"], routes["/stop_profile"] = post(s.startProfile), post(s.stopProfile)
		}
	}
	routes["/openapi.json"] = get(func(w http.ResponseWriter, _ *http.Request) { s.serveOpenAPI(w, routes) })
	return routes
}

// Handler serves the recording without a listener of its own. Close ends it too.
func (s *Server) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.enter() {
			panic(http.ErrAbortHandler) // cuts the connection
		}
		defer s.work.Done()
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(s.ctx, cancel)()
		r = r.WithContext(ctx)
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		if strings.HasPrefix(r.URL.Path, "/v1") && !s.authorized(r) {
			writeJSON(w, 401, map[string]string{"error": "Unauthorized"})
			return
		}
		methods, ok := s.routes()[r.URL.Path]
		if !ok {
			s.fail(w, 404, "NotFoundError", "Not Found")
			return
		}
		h, ok := methods[r.Method]
		if !ok {
			s.fail(w, 405, "Method Not Allowed", "Method Not Allowed")
			return
		}
		h(w, r)
	})
}

// authorized checks the key of a request to /v1.
func (s *Server) authorized(r *http.Request) bool {
	if s.fault().Unauthorized {
		return false
	}
	want := "Bearer " + s.opts.APIKey
	return s.opts.APIKey == "" || subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte(want)) == 1
}

// fail writes an error as the played version does: FastAPI's own form before
// 0.9.0, flat to 0.10.0, nested from 0.10.1.
func (s *Server) fail(w http.ResponseWriter, code int, kind, message string) {
	if code == 404 && message == "Not Found" {
		kind = "Not Found"
	}
	type body struct {
		Object  string  `json:"object,omitempty"`
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    int     `json:"code"`
	}
	b := body{Message: message, Type: kind, Code: code}
	switch {
	case s.opts.Engine == SGLang || s.release.before(9, 0):
		writeJSON(w, code, map[string]string{"detail": message})
	case s.release.before(10, 1):
		b.Object = "error"
		writeJSON(w, code, b)
	default:
		writeJSON(w, code, map[string]body{"error": b})
	}
}

// fail500 writes what an exception in a route gives: plain text before 0.17.
func (s *Server) fail500(w http.ResponseWriter) {
	if s.opts.Engine == SGLang || s.release.before(17, 0) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(500)
		io.WriteString(w, "Internal Server Error")
		return
	}
	s.fail(w, 500, "InternalServerError", "Internal Server Error")
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // the client may be gone
}

// readJSON decodes a body; an empty one leaves v as it is.
func readJSON(r *http.Request, v any) error {
	err := json.NewDecoder(r.Body).Decode(v)
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func (s *Server) serveModels(w http.ResponseWriter, _ *http.Request) {
	type model struct {
		ID          string  `json:"id"`
		Object      string  `json:"object"`
		Created     int64   `json:"created"`
		OwnedBy     string  `json:"owned_by"`
		Root        string  `json:"root"`
		Parent      *string `json:"parent"`
		MaxModelLen int     `json:"max_model_len"`
		Permission  []any   `json:"permission"`
	}
	owner := "vllm"
	if s.opts.Engine == SGLang {
		owner = "sglang"
	}
	writeJSON(w, 200, map[string]any{"object": "list", "data": []model{{
		ID: s.rec.Model, Object: "model", Created: s.made / 1e9, OwnedBy: owner, Root: s.rec.Model, MaxModelLen: s.rec.MaxModelLen, Permission: []any{},
	}}})
}

// serveOpenAPI tells the routes, which is how a client learns whether the profiler is on.
func (s *Server) serveOpenAPI(w http.ResponseWriter, routes map[string]map[string]handle) {
	paths := map[string]map[string]any{}
	for path, methods := range routes {
		if path == "/openapi.json" || path == "/metrics" { // mounted, not in the schema
			continue
		}
		paths[path] = map[string]any{}
		for m := range methods {
			if m != "HEAD" {
				paths[path][strings.ToLower(m)] = map[string]any{"responses": map[string]any{"200": map[string]string{"description": "Successful Response"}}}
			}
		}
	}
	writeJSON(w, 200, map[string]any{"openapi": "3.1.0", "info": map[string]string{"title": "FastAPI", "version": "0.1.0"}, "paths": paths})
}

func (s *Server) serveTokenize(w http.ResponseWriter, r *http.Request) {
	var q prompt
	if err := readJSON(r, &q); err != nil {
		s.fail(w, 400, "BadRequestError", err.Error())
		return
	}
	ids, err := q.tokens(len(q.Messages) > 0)
	if err != nil {
		s.fail(w, 400, "BadRequestError", err.Error())
		return
	}
	writeJSON(w, 200, struct {
		Count       int      `json:"count"`
		MaxModelLen int      `json:"max_model_len"`
		Tokens      []int    `json:"tokens"`
		TokenStrs   []string `json:"token_strs"`
	}{len(ids), s.rec.MaxModelLen, ids, nil})
}
