// Package replay plays a recorded run back over HTTP, faults included; it embeds
// its recording. The server speaks as vLLM 0.20.2 does (or an older or newer
// vLLM, or SGLang): its routes, its streams token by token at the recorded times,
// its profiler's files with their clock moved to now, its metrics. With it
// everything that drives a server can be shown and tested without one.
package replay

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// Engine is which server's manners are played.
type Engine string

// Engines.
const (
	VLLM   Engine = "" // vLLM, of Options.Version
	SGLang Engine = "sglang"
)

// Options say how a recording is played.
type Options struct {
	// TraceDir is where the engine writes its trace files; made if missing.
	TraceDir string
	// Speed squeezes the recorded times of tokens and of files being written: 50
	// plays 50 times as fast. 0 is 1, as recorded. Only at 1 do tokens and the
	// traces' steps share a clock throughout; else they do at the first request.
	Speed float64
	// APIKey, when not empty, guards /v1 as --api-key does; other routes stay open.
	APIKey string
	// Engine is whose routes and file names are played.
	Engine Engine
	// Version, when not empty, is the version told, and decides what vLLM of that
	// version does otherwise: before 0.10 stop answers at once (engine V0), from
	// 0.33 /start_profile takes a body; file names and error bodies follow too.
	Version string
	// MaxIterations, when not 0, ends each profile by itself after so many steps,
	// as the server's profiler config does; its files come before the stop call.
	MaxIterations int
	Faults        Faults
	// Clock is nil for the real one.
	Clock Clock
}

// Faults are ways in which a server and its profiler go wrong. They combine; the
// zero value is a server that works.
type Faults struct {
	// NoProfiler: the server was started without its profiler, so the routes are 404.
	NoProfiler bool
	// StartError500: /start_profile answers 500 and nothing is profiled.
	StartError500 bool
	// StopError500: /stop_profile answers 500 at once while the engine still
	// writes its files (several API servers before one engine).
	StopError500 bool
	// StopBeforeFiles: /stop_profile answers 200 before any file exists.
	StopBeforeFiles bool
	// StopLost: the connection is reset on /stop_profile, as a proxy's idle limit
	// does; the engine writes its files all the same.
	StopLost bool
	// SlowStop, when not 0, is how long the engine takes to write its files, and
	// /stop_profile to answer. Options.Speed does not shorten it.
	SlowStop time.Duration
	// MissingRanks: these ranks write no trace.
	MissingRanks []int
	// HalfGzip: the last rank's trace ends in its middle and stays so; the stop
	// answers 200.
	HalfGzip bool
	// PartialWrite: traces grow byte by byte and never become complete, and
	// /stop_profile does not answer (with StopBeforeFiles it does).
	PartialWrite bool
	// FrontendTrace: the API server writes its own trace, *.async_llm.*, without GPU events.
	FrontendTrace bool
	// DieMidCapture, when not 0: after so many tokens sent while profiling all
	// connections break and the server is gone. No file comes.
	DieMidCapture int
	// SSEError, when not 0: each stream breaks off with an error chunk after so many tokens.
	SSEError int
	// BundledTokens, when over 1: so many tokens come in one chunk.
	BundledTokens int
	// Unauthorized: every request to /v1 is answered 401.
	Unauthorized bool
	// DataParallel, when over 1: so many engines of one GPU each stand behind the
	// server: their traces are named dp0_…, dp1_… and metrics carry engine labels.
	DataParallel int
	// AlreadyRunning: so many requests of others run all the time, by /metrics.
	AlreadyRunning int
}

// Clock is what the server reads the time from and waits on.
type Clock interface {
	Now() time.Time
	// Sleep waits until a moment; it returns the context's error when that ends first.
	Sleep(ctx context.Context, until time.Time) error
}

type realClock struct{}

func (realClock) Now() time.Time { return time.Now() }

func (realClock) Sleep(ctx context.Context, until time.Time) error {
	d := time.Until(until)
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Server plays one recording. Its methods may be called at the same time.
type Server struct {
	rec      *Recording
	opts     Options
	clock    Clock
	speed    float64
	profiled []*Window
	release  release
	made     int64 // Unix ns
	metrics  *metrics

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	dead     bool // after Faults.DieMidCapture
	http     *http.Server
	served   chan struct{}
	unwatch  func() bool
	faults   Faults
	next     int // index into profiled of the window to come
	plain    map[*Window]*play
	plays    []*play
	session  *session // the profile under way, nil when none is
	stopped  *session // ended by its step limit; a stop is still to come
	stops    int
	failed   error // of writing files
	sent     int   // tokens sent while profiling
	requests int   // ever
}

// New makes a server of a recording. Wrong options come to light in Start.
func New(rec *Recording, o Options) *Server {
	s := &Server{rec: rec, opts: o, clock: o.Clock, speed: o.Speed, faults: o.Faults, plain: map[*Window]*play{}}
	if s.clock == nil {
		s.clock = realClock{}
	}
	if s.speed <= 0 {
		s.speed = 1
	}
	if s.opts.Version == "" {
		s.opts.Version = rec.Version
		if o.Engine == SGLang {
			s.opts.Version = "0.5.15"
		}
	}
	s.release = parseRelease(s.opts.Version)
	for i := range rec.Windows {
		if rec.Windows[i].Profiled {
			s.profiled = append(s.profiled, &rec.Windows[i])
		}
	}
	s.made = s.clock.Now().UnixNano()
	s.metrics = newMetrics(rec, max(1, o.Faults.DataParallel))
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Start listens on a free port of 127.0.0.1 and returns its URL. The server ends
// with Close, or when ctx does.
func (s *Server) Start(ctx context.Context) (baseURL string, err error) {
	if s.opts.TraceDir == "" {
		return "", errors.New("replay: Options.TraceDir is empty: say where the engine writes its traces")
	}
	if err := os.MkdirAll(s.opts.TraceDir, 0o755); err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.http != nil {
		return "", errors.New("replay: the server was started or closed before: make a new one")
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	s.http = &http.Server{Handler: s.Handler(), ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: 10 * time.Second}
	s.served = make(chan struct{})
	go func() {
		defer close(s.served)
		_ = s.http.Serve(l) // ErrServerClosed, always
	}()
	s.unwatch = context.AfterFunc(ctx, s.Close)
	return "http://" + l.Addr().String(), nil
}

// Close ends the server: it breaks its connections, stops writing files and
// returns when nothing of it runs any more. Closing twice is fine.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	srv, served := s.http, s.served
	s.mu.Unlock()
	s.cancel()
	if srv != nil {
		s.unwatch()
		srv.Close()
		<-served
	}
	s.work.Wait()
}

// enter counts one more thing that runs; false after Close.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.dead {
		return false
	}
	s.work.Add(1)
	return true
}

// die cuts all connections and the listener, as an engine does that crashes.
func (s *Server) die() {
	s.mu.Lock()
	s.dead, s.session = true, nil
	srv := s.http
	s.mu.Unlock()
	if srv != nil {
		srv.Close()
	}
}

// SetFaults replaces the faults from now on. The number of engines stays.
func (s *Server) SetFaults(f Faults) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.DataParallel = s.faults.DataParallel
	s.faults = f
}

func (s *Server) fault() Faults {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.faults
}

// Profiling says whether the engine is profiling: from a start that worked to
// the stop call or the step limit.
func (s *Server) Profiling() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.session != nil
}

// StopCalls is how often /stop_profile was asked.
func (s *Server) StopCalls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stops
}
