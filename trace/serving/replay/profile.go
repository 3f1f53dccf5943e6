package replay

import (
	"errors"
	"net/http"
	"regexp"
)

// session is one profile: the window that is played as long as it runs.
type session struct {
	window  *Window
	play    *play
	usual   usual
	asked   bool          // a request has fixed the shift
	started int64         // real
	dir     string        // where files go
	prefix  string        // of their names
	limit   int           // steps to record, 0 for no limit
	delay   int           // steps before these
	step    int           // steps seen: tokens of the request that is furthest
	flushed chan struct{} // closed when the files are written
}

// begin starts profiling the next window. Called with s.mu held.
func (s *Server) begin(dir, prefix string, limit, delay int) {
	if limit == 0 {
		limit = s.opts.MaxIterations
	}
	w := s.profiled[s.next]
	s.next = (s.next + 1) % len(s.profiled)
	now := s.clock.Now().UnixNano()
	s.session = &session{window: w, play: s.newPlay(w), usual: s.rec.usual(w), started: now, dir: dir, prefix: prefix, limit: limit, delay: delay, flushed: make(chan struct{})}
	// Until a request comes, the shift is that of the calls.
	s.session.play.anchor(w.StartReturn, now)
	s.sent = 0
}

// steps ends a profile that has a step limit. Called with s.mu held.
func (s *Server) steps(ofRequest int) {
	n := s.session
	n.step = max(n.step, ofRequest)
	if n.limit > 0 && n.step >= n.limit+n.delay {
		s.session, s.stopped = nil, n
		s.work.Add(1) // a handler holds s.work while it counts tokens
		go func() {
			defer s.work.Done()
			s.flush(n, s.fault())
		}()
	}
}

// startProfile is vLLM's /start_profile. A start while profiling is ignored, or
// refused from 0.33 on, which also reads a body.
func (s *Server) startProfile(w http.ResponseWriter, r *http.Request) {
	if s.fault().StartError500 {
		s.fail500(w)
		return
	}
	var q struct {
		Prefix string `json:"profile_prefix"`
		Delay  int    `json:"delay_iterations"`
		Max    int    `json:"max_iterations"`
	}
	asks := !s.release.before(33, 0)
	if asks {
		err := readJSON(r, &q)
		if err == nil && (q.Delay < 0 || q.Max < 0 || !prefixes.MatchString(q.Prefix)) {
			err = errors.New("profile_prefix must be 1 to 128 of A-Z, a-z, 0-9, '.', '_' and '-', iterations 0 or more")
		}
		if err != nil {
			s.fail(w, 400, "BadRequestError", err.Error())
			return
		}
		if q.Prefix != "" {
			q.Prefix += "_"
		}
	}
	s.mu.Lock()
	busy := s.session != nil || s.stopped != nil
	if !busy {
		s.begin(s.opts.TraceDir, q.Prefix, q.Max, q.Delay)
	}
	s.mu.Unlock()
	if busy && asks {
		s.fail(w, 409, "ProfilerAlreadyActiveError", "Profiler is already active. Stop it before starting a new session.")
	}
}

var prefixes = regexp.MustCompile(`^[A-Za-z0-9._-]{0,128}$`)

// stopProfile is vLLM's /stop_profile: it answers when the files are written, on
// the engine before 0.10 at once. A stop of what does not run is fine.
func (s *Server) stopProfile(w http.ResponseWriter, r *http.Request) {
	n := s.takeSession()
	f := s.fault()
	switch {
	case f.StopLost:
		reset(w)
	case f.StopError500:
		s.fail500(w)
	case n == nil || f.StopBeforeFiles || s.release.before(10, 0):
	default:
		s.await(n, r)
	}
}

// takeSession counts a stop call and ends the profile under way, whose files are
// then written on their own. It returns a profile that ended by itself as well,
// nil when there is neither.
func (s *Server) takeSession() *session {
	s.mu.Lock()
	s.stops++
	n, ended := s.session, s.stopped
	f := s.faults
	s.session, s.stopped = nil, nil
	s.mu.Unlock()
	if n == nil {
		return ended
	}
	if s.enter() {
		go func() {
			defer s.work.Done()
			s.flush(n, f)
		}()
	}
	return n
}

// await returns when a profile's files are written; it breaks the connection
// when the client or the server goes first.
func (s *Server) await(n *session, r *http.Request) {
	select {
	case <-n.flushed:
	case <-r.Context().Done():
		panic(http.ErrAbortHandler)
	}
}

// reset breaks the client's connection the hard way.
func reset(w http.ResponseWriter) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if t, ok := c.(interface{ SetLinger(int) error }); ok {
		_ = t.SetLinger(0) // RST instead of FIN
	}
	c.Close()
}
