package replay

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"
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

// The recorded time that files took to write is kept up to this, so that nobody
// waits long for nothing.
const longestFlush = 1500 * time.Millisecond

// pieces in which a file appears.
const pieces = 8

// flush writes a profile's files late and in pieces, as the engine does: it
// exports first, then compresses into the file of the final name.
func (s *Server) flush(n *session, f Faults) {
	took := time.Duration(float64(min(longestFlush, time.Duration(n.window.StopReturn-n.window.StopCall))) / s.speed)
	if f.SlowStop > 0 {
		took = f.SlowStop
	}
	start := s.clock.Now()
	if f.StopBeforeFiles || s.opts.Engine == VLLM && s.release.before(10, 0) {
		start = start.Add(took)
	}
	files, err := s.files(n, f)
	if err == nil {
		err = s.write(files, start, took)
	}
	if err == nil {
		err = s.tables(n)
	}
	if err != nil {
		s.note(err)
	}
	if f.PartialWrite {
		s.trickle(files)
		return
	}
	close(n.flushed)
}

// write makes the files grow until start + took.
func (s *Server) write(files []file, start time.Time, took time.Duration) error {
	for i := range pieces {
		if err := s.clock.Sleep(s.ctx, start.Add(took*time.Duration(i+2)/(pieces+1))); err != nil {
			return nil // closed: what is written stays as it is
		}
		for _, x := range files {
			if err := x.appendPart(x.until*i/pieces, x.until*(i+1)/pieces); err != nil {
				return fmt.Errorf("the engine could not write its trace: %w", err)
			}
		}
	}
	return nil
}

// trickle adds a byte at a time and never comes to the end.
func (s *Server) trickle(files []file) {
	for k := 1; ; k++ {
		if s.clock.Sleep(s.ctx, s.clock.Now().Add(20*time.Millisecond)) != nil {
			return
		}
		for _, x := range files {
			if at := x.until + k; at < len(x.data)-1 {
				if err := x.appendPart(at-1, at); err != nil {
					s.note(err)
					return
				}
			}
		}
	}
}

func (s *Server) note(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = errors.Join(s.failed, err)
}

// Err tells what kept the server from writing files that it should have
// written. Clients are not told, as a real engine only logs it.
func (s *Server) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// file is a trace to be written. until is less than its length where it stays cut.
type file struct {
	path  string
	data  []byte
	until int
}

func (x file) appendPart(from, to int) error {
	flags := os.O_WRONLY | os.O_CREATE | os.O_APPEND
	if from == 0 {
		flags |= os.O_TRUNC
	}
	f, err := os.OpenFile(x.path, flags, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(x.data[from:to])
	return errors.Join(err, f.Close())
}

// files prepares a profile's traces, their clocks moved by its shift.
func (s *Server) files(n *session, f Faults) ([]file, error) {
	if n.dir == "" {
		return nil, errors.New("Options.TraceDir is empty: the engine has nowhere to write its traces")
	}
	shift := n.play.shift()
	var out []file
	add := func(name string, data []byte) {
		out = append(out, file{path: filepath.Join(n.dir, name), data: data, until: len(data)})
	}
	for _, t := range s.traces(n, f.DataParallel) {
		if t.rank >= 0 && slices.Contains(f.MissingRanks, t.rank) {
			continue
		}
		data, err := s.rec.trace(t.recorded, shift, n.limit)
		if err != nil {
			return nil, err
		}
		add(t.name, data)
	}
	if k := len(out) - 1; f.HalfGzip && k >= 0 {
		out[k].until /= 2
	}
	if f.FrontendTrace {
		ns := n.started + n.window.StopCall - n.window.StartReturn
		data, err := compress(frontend(n.started))
		if err != nil {
			return nil, err
		}
		add(fmt.Sprintf("host_1000.async_llm.%d.pt.trace.json.gz", ns), data)
	}
	if f.PartialWrite {
		for i := range out {
			out[i].until /= 2
		}
	}
	return out, nil
}

// tables writes the profiler's own tables, from 0.11.1 on, where the recording has them.
func (s *Server) tables(n *session) error {
	if s.opts.Engine != VLLM || s.release.before(11, 1) || s.ctx.Err() != nil {
		return nil
	}
	for rank := range n.window.Traces {
		b, err := s.rec.File(fmt.Sprintf("profiler_out_%d.%s.txt", rank, n.window.Name))
		if err != nil {
			if b, err = s.rec.File(fmt.Sprintf("profiler_out_%d.txt", rank)); err != nil {
				continue
			}
		}
		if err := os.WriteFile(filepath.Join(n.dir, "profiler_out_"+strconv.Itoa(rank)+".txt"), b, 0o644); err != nil {
			return err
		}
	}
	return nil
}
