package replay

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
)

// sglangRoutes adds what SGLang has in place of vLLM's routes. Its profile routes
// are always there, for GET and POST, and answer with text.
func (s *Server) sglangRoutes(routes map[string]map[string]handle) {
	delete(routes, "/tokenize")
	both := func(h handle) map[string]handle { return map[string]handle{"GET": h, "POST": h} }
	info := func(w http.ResponseWriter, _ *http.Request) {
		tp, dp := len(s.profiled[0].Traces), 1
		if n := s.fault().DataParallel; n > 1 {
			tp, dp = 1, n
		}
		writeJSON(w, 200, map[string]any{
			"version": s.opts.Version, "served_model_name": s.rec.Model,
			"tp_size": tp, "dp_size": dp, "pp_size": 1, "ep_size": 1, "context_length": s.rec.MaxModelLen,
		})
	}
	routes["/server_info"], routes["/get_server_info"] = both(info), both(info)
	if !s.fault().NoProfiler {
		routes["/start_profile"], routes["/stop_profile"] = both(s.startSGLang), both(s.stopSGLang)
	}
}

// startSGLang is SGLang's /start_profile.
func (s *Server) startSGLang(w http.ResponseWriter, r *http.Request) {
	var q struct {
		OutputDir string          `json:"output_dir"`
		NumSteps  json.RawMessage `json:"num_steps"` // a number, or one in quotes
		ProfileID string          `json:"profile_id"`
		Prefix    string          `json:"profile_prefix"`
	}
	err := readJSON(r, &q)
	steps := 0
	if text := strings.Trim(string(q.NumSteps), `"`); err == nil && text != "" && text != "null" {
		steps, err = strconv.Atoi(text)
	}
	if err != nil {
		s.fail(w, 422, "", err.Error())
		return
	}
	dir, ok := s.below(q.OutputDir)
	s.mu.Lock()
	// A profile that ended by its step limit needs no stop here.
	busy := s.session != nil
	if ok = ok && !busy && !s.faults.StartError500; ok {
		s.stopped = nil
		id := q.ProfileID
		if id == "" {
			id = fmt.Sprintf("%.7f", float64(s.clock.Now().UnixNano())/1e9)
		}
		if q.Prefix != "" {
			id = q.Prefix + "-" + id
		}
		s.begin(dir, filepath.Base(id), steps, 0)
	}
	s.mu.Unlock()
	if !ok {
		s.fail500(w)
		return
	}
	io.WriteString(w, "Start profiling.\n")
}

// below allows the trace folder and folders in it: a played server writes nowhere else.
func (s *Server) below(dir string) (string, bool) {
	if dir == "" {
		return s.opts.TraceDir, true
	}
	rel, err := filepath.Rel(s.opts.TraceDir, dir)
	return dir, err == nil && filepath.IsLocal(rel)
}

// stopSGLang is SGLang's /stop_profile: 500 when nothing runs.
func (s *Server) stopSGLang(w http.ResponseWriter, r *http.Request) {
	n := s.takeSession()
	f := s.fault()
	switch {
	case f.StopLost:
		reset(w)
		return
	case n == nil || f.StopError500:
		s.fail500(w)
		return
	case !f.StopBeforeFiles:
		s.await(n, r)
	}
	io.WriteString(w, "Stop profiling. This will take some time.\n")
}

// writeSGLang writes the few series that SGLang has of the same facts.
func (m *metrics) writeSGLang(w io.Writer, others int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all engine
	all.histograms = map[string]*histogram{}
	for _, e := range m.engines {
		all.running, all.prompt, all.output = all.running+e.running, all.prompt+e.prompt, all.output+e.output
		for _, n := range e.finished {
			all.finished = map[string]int{"": all.finished[""] + n}
		}
		for name, h := range e.histograms {
			if all.histograms[name] == nil {
				all.histograms[name] = &histogram{}
			}
			all.histograms[name].sum += h.sum
			all.histograms[name].n += h.n
		}
	}
	var b bytes.Buffer
	add := func(kind, name, suffix string, v float64) {
		if suffix == "" || suffix == "_sum" {
			fmt.Fprintf(&b, "# HELP sglang:%[1]s %[1]s\n# TYPE sglang:%[1]s %[2]s\n", name, kind)
		}
		fmt.Fprintf(&b, "sglang:%s%s{model_name=%q} %s\n", name, suffix, m.model, promFloat(v))
	}
	add("gauge", "num_running_reqs", "", float64(all.running+others))
	add("gauge", "num_queue_reqs", "", 0)
	add("counter", "prompt_tokens_total", "", float64(all.prompt))
	add("counter", "generation_tokens_total", "", float64(all.output))
	add("counter", "num_requests_total", "", float64(all.finished[""]))
	for _, name := range []string{"time_to_first_token_seconds", "inter_token_latency_seconds", "e2e_request_latency_seconds"} {
		if h := all.histograms["vllm:"+name]; h != nil {
			add("histogram", name, "_sum", h.sum)
			add("histogram", name, "_count", float64(h.n))
		}
	}
	_, _ = w.Write(b.Bytes()) // the client may be gone
}
