package serving

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/tidwall/gjson"
)

// ProfileOptions says what to record. Servers take few of these with the call:
// Started says which were ignored.
type ProfileOptions struct {
	Steps      int    // engine steps to record; 0 records until StopProfile
	DelaySteps int    // engine steps to let pass first: vLLM ≥ 0.33
	Prefix     string // of the traces' names: 1–128 letters, digits, '.', '_', '-'
	OutputDir  string // on the server: SGLang and TensorRT-LLM
	// WithStack and RecordShapes are nil for the server's own choice: SGLang.
	WithStack, RecordShapes *bool
	// Activities are among CPU, GPU and CUDA_PROFILER: SGLang and TensorRT-LLM.
	Activities []string
}

// Started is a recording that runs.
type Started struct {
	Path           string // the route that took the call
	SentUnixNS     int64  // before the call
	AnsweredUnixNS int64  // after it
	// Bounded says that the server ends the recording itself after Steps steps;
	// Why says how that is known, or why nothing bounds it.
	Bounded  bool
	Steps    int
	Why      string
	TraceDir string   // where the traces will be, on the server; "" is not known
	Ignored  []string // options that this server does not take with the call
}

var prefixForm = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)

// clientBounds says that /start_profile of vLLM reads a body (0.33.0).
func (f *Facts) clientBounds() bool { return f.Engine == VLLM && f.Version.AtLeast(0, 33, 0) }

// StartProfile starts a recording. An error that is ErrMayBeProfiling wants a
// StopProfile all the same.
func (s *Server) StartProfile(ctx context.Context, o ProfileOptions) (Started, error) {
	if o.Prefix != "" && !prefixForm.MatchString(o.Prefix) {
		return Started{}, fmt.Errorf("the prefix %q cannot be part of a trace's name: it takes 1 to 128 letters, digits, '.', '_' and '-'", printable(o.Prefix, 40))
	}
	if o.Steps < 0 || o.DelaySteps < 0 {
		return Started{}, errors.New("the number of steps to record cannot be negative")
	}
	if s.Facts.ProfileRoute == RouteAbsent {
		return Started{}, s.noProfiler()
	}
	path := s.Facts.ProfilePath
	if path == "" {
		path = "/start_profile"
	}
	st := Started{Path: path, TraceDir: s.Facts.TraceDir}
	body := s.startBody(o, &st)
	// A connection that idled may be closing just now; start on a fresh one.
	s.client.CloseIdleConnections()
	st.SentUnixNS = time.Now().UnixNano()
	r, err := s.do(ctx, http.MethodPost, path, body)
	st.AnsweredUnixNS = time.Now().UnixNano()
	if errors.Is(err, syscall.ECONNREFUSED) {
		return st, err // on a fresh connection: nothing was sent
	}
	if err != nil {
		if errors.Is(err, context.Canceled) && ctx.Err() != nil {
			err = ctx.Err()
		}
		return st, &sentence{fmt.Sprintf("no answer to POST %s%s, so a recording may run: %v", s.URL(), path, err), []error{ErrMayBeProfiling, err}}
	}
	if err := s.startRefused(path, r); err != nil {
		return st, err
	}
	s.mu.Lock()
	s.bounded = st.Bounded
	s.mu.Unlock()
	return st, nil
}

// startRefused turns an answer that is no success into an error.
func (s *Server) startRefused(path string, r reply) error {
	text := strings.ToLower(string(r.body[:min(len(r.body), 4096)]))
	failed := r.ok() && (gjson.GetBytes(r.body, "status").Str == "error" || gjson.GetBytes(r.body, "success").Type == gjson.False)
	switch {
	case r.ok() && r.page():
		return s.webPage(path)
	case r.ok() && !failed:
		return nil
	case r.status == http.StatusNotFound:
		return s.noProfiler()
	case r.status == http.StatusUnauthorized, r.status == http.StatusForbidden:
		return &sentence{fmt.Sprintf("%s wants a key to profile (%d to POST %s): give it, or its admin key, with --api-key-env NAME or --api-key KEY", s.URL(), r.status, path), []error{ErrUnauthorized}}
	case r.status == http.StatusConflict, strings.Contains(text, "already in progress"), strings.Contains(text, "already active"), strings.Contains(text, "already started"):
		return &sentence{fmt.Sprintf("%s is profiling already; when nobody else needs that recording, stop it with: %s", s.URL(), s.StopByHand()), []error{ErrAlreadyProfiling}}
	case strings.Contains(text, "profiling is not enabled"):
		return s.noProfiler()
	case r.status >= 500:
		hint := ""
		if s.Facts.Engine == SGLang {
			hint = " (a recording that runs already answers so too)"
		}
		return &sentence{fmt.Sprintf("%s answered %d to POST %s%s: %s", s.URL(), r.status, path, hint, s.said(r)), []error{ErrMayBeProfiling}}
	}
	return fmt.Errorf("%s answered %d to POST %s: %s", s.URL(), r.status, path, s.said(r))
}

// webPage is the error of a call that some gateway answered in the server's place.
func (s *Server) webPage(path string) error {
	return fmt.Errorf("POST %s%s was answered by a web page, so it did not reach the server: give its own address, or what the gateway between wants with --header", s.URL(), path)
}

func (s *Server) noProfiler() error {
	f := &s.Facts
	text := s.URL() + " has no profiler route"
	line := EnableLine(f.Version, f.Engine)
	switch {
	case f.Engine == Unknown:
		text += ": tokprof knows those of vLLM, SGLang and TensorRT-LLM; when it is one of them, say which with --engine"
	case f.RustFrontEnd:
		text += ": vLLM's Rust front end has none before 0.25; start the server without VLLM_USE_RUST_FRONTEND, and with: " + line
	case f.Engine == TensorRTLLM:
		text += ": TensorRT-LLM has none before May 2026, but records by itself when started after: " + line
	case line == "":
		text += fmt.Sprintf(": %s %s has none; use Nsight Systems: %s", f.Engine, f.Version, NsysLine(f.Version, f.Engine))
	default:
		text += ": start the server with: " + line
	}
	return &sentence{text, []error{ErrNoProfiler}}
}

// startBody is the body for this engine and version, nil where none is read; it
// notes in st what bounds the recording.
func (s *Server) startBody(o ProfileOptions, st *Started) []byte {
	f := &s.Facts
	body := map[string]any{}
	ignore := func(given bool, names ...string) {
		if given {
			st.Ignored = append(st.Ignored, names...)
		}
	}
	switch f.Engine {
	case SGLang, TensorRTLLM:
		s.jsonBody(o, st, body, ignore)
	default:
		s.vllmBody(o, st, body, ignore)
		ignore(o.OutputDir != "", "output dir")
		ignore(o.WithStack != nil, "stacks")
		ignore(o.RecordShapes != nil, "shapes")
		ignore(o.Activities != nil, "activities")
		if len(body) == 0 && !f.Dynamo {
			return nil
		}
	}
	b, _ := json.Marshal(body) // strings, numbers and bools
	return b
}

// vllmBody fills the body of vLLM, and of what is not known.
func (s *Server) vllmBody(o ProfileOptions, st *Started, body map[string]any, ignore func(bool, ...string)) {
	f := &s.Facts
	reads := f.clientBounds() && !f.Dynamo
	switch {
	case st.Path == "/collective_rpc":
		reads = false
		body["method"], body["args"] = "profile", []bool{true}
		if o.Prefix != "" && f.Version.AtLeast(0, 17, 0) {
			body["kwargs"] = map[string]string{"profile_prefix": o.Prefix}
		} else {
			ignore(o.Prefix != "", "prefix")
		}
	case reads && o.Prefix != "":
		body["profile_prefix"] = o.Prefix
	default:
		ignore(o.Prefix != "", "prefix")
	}
	if reads && o.DelaySteps > 0 {
		body["delay_iterations"] = o.DelaySteps
	} else {
		ignore(o.DelaySteps > 0, "delay")
	}
	own := f.Profiler.MaxIterations
	switch {
	case reads && o.Steps > 0:
		body["max_iterations"] = o.Steps
		st.Bounded, st.Steps, st.Why = true, o.Steps, "max_iterations of the call"
	case own > 0:
		st.Bounded, st.Steps, st.Why = true, own, "max_iterations of the server's profiler config"
		ignore(o.Steps > 0 && o.Steps != own, "steps")
	case o.Steps > 0:
		ignore(true, "steps")
		st.Why = "this server takes no number of steps with the call"
		if f.Engine == VLLM && f.Version.Known() {
			st.Why = fmt.Sprintf("vLLM %s takes no number of steps with the call (0.33 and newer do)", f.Version)
		}
	default:
		st.Why = "no number of steps was asked for"
	}
}

// jsonBody fills the body of SGLang (ProfileReq in srt/managers/io_struct.py)
// and TensorRT-LLM, which takes a part of it (NVIDIA/TensorRT-LLM#13872).
func (s *Server) jsonBody(o ProfileOptions, st *Started, body map[string]any, ignore func(bool, ...string)) {
	if o.OutputDir != "" {
		body["output_dir"], st.TraceDir = o.OutputDir, o.OutputDir
	}
	st.Why = "no number of steps was asked for"
	if o.Steps > 0 {
		body["num_steps"] = o.Steps
		st.Bounded, st.Steps, st.Why = true, o.Steps, "num_steps of the call"
	}
	if o.Activities != nil {
		body["activities"] = o.Activities
	}
	ignore(o.DelaySteps > 0, "delay")
	if s.Facts.Engine == TensorRTLLM {
		ignore(o.Prefix != "", "prefix")
		ignore(o.WithStack != nil, "stacks")
		ignore(o.RecordShapes != nil, "shapes")
		return
	}
	if o.WithStack != nil {
		body["with_stack"] = *o.WithStack
	}
	if o.RecordShapes != nil {
		body["record_shapes"] = *o.RecordShapes
	}
	if o.Prefix != "" {
		// The id alone names the files, so the next recording needs another one.
		now := time.Now()
		body["profile_id"] = fmt.Sprintf("%s-%d.%06d", o.Prefix, now.Unix(), now.Nanosecond()/1000)
	}
}

// StopError is a stop call that did not succeed.
type StopError struct {
	Status   int // of HTTP; 0 when the connection was lost each time
	Attempts int
	// MayStillFlush: the workers may be writing traces all the same, so look at
	// the files. Front ends of several processes answer 500 so.
	MayStillFlush bool
	// ProbablyEnded: the recording was bounded, and the server answers like this
	// when it had ended already.
	ProbablyEnded bool
	Err           error

	text string
}

func (e *StopError) Error() string { return e.text }
func (e *StopError) Unwrap() error { return e.Err }

// stopAttempts bounds how often a lost stop call is repeated, after pauses that
// begin with stopPause and double.
const (
	stopAttempts = 5
	stopPause    = 500 * time.Millisecond
)

// StopProfile ends the recording. It may take minutes: vLLM and SGLang answer
// when the traces are written; nothing but the context bounds it. A lost
// connection is tried again, since stopping twice does no harm. A recording that
// had ended is no error. Any other answer is a *StopError, of the kind ErrNoProfiler
// where there is no such route.
func (s *Server) StopProfile(ctx context.Context) error {
	path, body := s.stopCall()
	pause := s.pause
	for attempt := 1; ; attempt++ {
		r, err := s.do(ctx, http.MethodPost, path, body)
		if err == nil {
			return s.stopAnswer(path, r, attempt)
		}
		if ctx.Err() != nil {
			return &StopError{Attempts: attempt, MayStillFlush: true, Err: ctx.Err(),
				text: fmt.Sprintf("waiting for %s to stop profiling ended (%v): it may still write traces; when it still records, stop it with: %s", s.URL(), ctx.Err(), s.StopByHand())}
		}
		if attempt == stopAttempts || errors.Is(err, ErrTLS) {
			return &StopError{Attempts: attempt, MayStillFlush: !errors.Is(err, ErrTLS), Err: err,
				text: fmt.Sprintf("no answer to POST %s%s after %d attempts (%v); when the server still records, stop it with: %s", s.URL(), path, attempt, err, s.StopByHand())}
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause *= 2
	}
}

// stopCall is the call that ends what StartProfile's path started.
func (s *Server) stopCall() (path string, body []byte) {
	switch path = s.Facts.ProfilePath; path {
	case "/collective_rpc":
		return path, []byte(`{"method":"profile","args":[false]}`)
	case "/engine/start_profile":
		return "/engine/stop_profile", []byte("{}")
	}
	return "/stop_profile", nil
}

func (s *Server) stopAnswer(path string, r reply, attempt int) error {
	failed := gjson.GetBytes(r.body, "status").Str == "error"
	idle := bytes.Contains(r.body, []byte("not in progress"))
	s.mu.Lock()
	bounded := s.bounded
	s.mu.Unlock()
	switch {
	case r.ok() && r.page():
		return &StopError{Status: r.status, Attempts: attempt, text: s.webPage(path).Error()}
	case r.ok() && !failed, idle:
		s.mu.Lock()
		s.bounded = false
		s.mu.Unlock()
		return nil
	case r.status == http.StatusNotFound:
		return &StopError{Status: r.status, Attempts: attempt, Err: ErrNoProfiler,
			text: fmt.Sprintf("%s answered 404 to POST %s, so the call reached no profiler: a gateway does not hand it on, or another server answers here now. When the recording still runs, stop it at the server's own address (%s), or restart the server", s.URL(), path, s.StopByHand())}
	}
	return &StopError{
		Status: r.status, Attempts: attempt, MayStillFlush: failed || r.status >= 500,
		ProbablyEnded: bounded && s.Facts.Engine == SGLang && r.status == http.StatusInternalServerError,
		text:          fmt.Sprintf("%s answered %d to POST %s: %s", s.URL(), r.status, path, s.said(r)),
	}
}

// StopByHand is a shell line that ends a recording. A key is a variable in it.
func (s *Server) StopByHand() string {
	path, body := s.stopCall()
	var b strings.Builder
	b.WriteString("curl -X POST")
	if s.caFile != "" {
		b.WriteString(" --cacert " + quote(s.caFile))
	}
	for _, name := range slices.Sorted(maps.Keys(s.header)) {
		switch {
		case name == "Authorization" && s.bearer:
			b.WriteString(` -H "Authorization: Bearer $API_KEY"`)
		default:
			b.WriteString(` -H "` + name + `: $` + strings.ToUpper(strings.ReplaceAll(name, "-", "_")) + `"`)
		}
	}
	if body != nil {
		b.WriteString(" -H 'Content-Type: application/json' -d " + quote(string(body)))
	}
	return b.String() + " " + quote(s.URL()+path)
}

// quote makes one word of a POSIX shell.
func quote(s string) string {
	if regexp.MustCompile(`^[A-Za-z0-9_./:@%+=,-]+$`).MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
