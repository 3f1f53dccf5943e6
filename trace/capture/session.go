package capture

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"tokprof/trace/serving"
	"tokprof/trace/serving/load"
)

// Target is one server of a capture.
type Target struct {
	Server *serving.Server
	About  Server
	// TraceDir is the profiler's folder as this process reaches it, "" when it
	// cannot.
	TraceDir string
	Replicas int // data-parallel replicas behind it, 0 when unknown
}

// WindowPlan is one window to record.
type WindowPlan struct {
	Name string
	Load load.Plan
	// Plain puts the same load on the server once before, without the profiler,
	// so that the profiler's tax can be told.
	Plain bool
}

// Options say what to record and where to.
type Options struct {
	Dir       string // the bundle's; must be empty or not exist
	Version   string // of tokprof
	Targets   []Target
	Profilers []Profiler
	Windows   []WindowPlan
	Warmup    *load.Plan
	// Put runs a plan on the servers: window names the rows.
	Put func(ctx context.Context, window string, p load.Plan) ([]serving.Request, []string, error)

	Leave    bool  // leave traces in the profiler's folder, note their names and hashes
	MaxBytes int64 // of traces; a window that grows past it is ended; 0 for no limit
	MaxTime  time.Duration
	Cost     func(steps int) Cost // of the window, by steps; nil when not estimated

	// Readings starts recording the GPUs' readings into a file and returns what
	// ends it; nil when there is no GPU.
	Readings func(ctx context.Context, path string) (end func() error, err error)
	// Extra writes more files into the bundle before it is sealed (topology, a
	// model's config, the log's tail).
	Extra func(dir string, began time.Time) []string

	Patience time.Duration // without a change in the profiler's folder; 0 is 10 min
	Grace    time.Duration // for the answer of a start call when interrupted; 0 is 10 s
	Settle   time.Duration // 0 is 3 s
	Poll     time.Duration // 0 is 250 ms
	Scrape   time.Duration // of /metrics while a window runs; 0 is 1 s
	// Stopping outlives an interrupted capture: under it profilers are stopped.
	Stopping context.Context
	Progress func(string)
}

func (o *Options) fill() {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&o.Patience, 10*time.Minute)
	set(&o.Grace, 10*time.Second)
	set(&o.Settle, 3*time.Second)
	set(&o.Poll, 250*time.Millisecond)
	set(&o.Scrape, time.Second)
	if o.Stopping == nil {
		o.Stopping = context.Background()
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
}

// session is a capture while it runs.
type session struct {
	Options
	b     *Bundle
	rows  []serving.Request
	began time.Time

	// unproven are the profilers of the window whose stop calls were answered by errors
	// alone, and of which no trace shows yet that they stopped.
	unproven []bool

	// stepsNow is how many steps each server says it has run.
	stepsNow []atomic.Int64
	// What the last profiled window really cost.
	steps int
	bytes int64
	flush time.Duration
}

// Record records one run into o.Dir. Whatever ends it, every profiler that it
// started is stopped and what was recorded stays in the bundle, sealed; a
// profiler that could not be stopped is named in LeftProfiling. The bundle is nil
// only when nothing was begun. A panic is passed on after the profilers stopped.
func Record(ctx context.Context, o Options) (*Bundle, error) {
	o.fill()
	if err := emptyDir(o.Dir); err != nil {
		return nil, err
	}
	s := &session{Options: o, began: time.Now(), stepsNow: make([]atomic.Int64, len(o.Targets))}
	s.b = &Bundle{Dir: o.Dir, Manifest: Manifest{Schema: Schema, Version: o.Version, CreatedUnixNS: s.began.UnixNano(), Notes: []string{}}}
	for _, t := range o.Targets {
		s.b.Servers = append(s.b.Servers, t.About)
	}
	return s.b, errors.Join(s.run(ctx), s.finish())
}

func (s *session) run(ctx context.Context) (err error) {
	if s.Readings != nil {
		end, e := s.Readings(ctx, filepath.Join(s.Dir, ReadingsName))
		if e != nil {
			s.note("no GPU readings: %v", e)
		} else {
			defer func() {
				if e := end(); e != nil {
					s.note("GPU readings ended early: %v", e)
				}
			}()
		}
	}
	if s.Warmup != nil {
		s.Progress("warming up")
		// The first requests may compile kernels for minutes.
		most := s.maxTime()
		if most.after > 0 && most.after < s.Patience {
			most = limit{s.Patience, "--patience"}
		}
		if err := s.unprofiled(ctx, "warmup", *s.Warmup, most); err != nil {
			return fmt.Errorf("the warm-up failed, nothing was profiled: %w", err)
		}
	}
	for _, w := range s.Windows {
		if w.Plain {
			if err := s.plain(ctx, w); err != nil {
				return err
			}
		}
		if err := s.profiled(ctx, w); err != nil {
			return err
		}
	}
	return nil
}

// keep adds a load's rows and notes to the bundle.
func (s *session) keep(rows []serving.Request, notes []string) {
	s.rows = append(s.rows, rows...)
	for _, n := range notes {
		s.note("%s", n)
	}
}

// note adds a sentence to the manifest, once.
func (s *session) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	for _, n := range s.b.Notes {
		if n == text {
			return
		}
	}
	s.b.Notes = append(s.b.Notes, text)
}

// plain runs a window's load without the profiler.
func (s *session) plain(ctx context.Context, w WindowPlan) error {
	name := w.Name + PlainSuffix
	s.Progress(name + ": the load without the profiler")
	s.b.Windows = append(s.b.Windows, Window{Name: name, Files: []string{}})
	end := s.scrape(ctx, name)
	defer end()
	return s.unprofiled(ctx, name, w.Load, s.maxTime())
}

// unprofiled puts a load on the servers without the profiler, for so long at
// most. Where not one token came until then the capture ends: what stands still
// now would stand still under the profiler.
func (s *session) unprofiled(ctx context.Context, name string, p load.Plan, most limit) error {
	if most.after > 0 {
		var cancel func()
		ctx, cancel = context.WithTimeoutCause(ctx, most.after, most.reached())
		defer cancel()
	}
	rows, notes, err := s.Put(ctx, name, p)
	s.keep(rows, notes)
	cause := limitOf(ctx)
	if cause == nil {
		return err
	}
	if !slices.ContainsFunc(rows, func(r serving.Request) bool { return len(r.TokenUnixNS) > 0 }) {
		return fmt.Errorf("window %s: no token came, and %w", name, cause)
	}
	s.note("window %s was ended early: %v", name, cause)
	return nil
}

// maxTime is how long a window's load may take.
func (s *session) maxTime() limit { return limit{s.MaxTime, "--max-seconds"} }

// limit is how long a load may take, 0 for ever, and the flag that says so.
type limit struct {
	after time.Duration
	flag  string
}

func (l limit) reached() limitReached {
	return limitReached{fmt.Sprintf("it ran for %v (%s)", l.after, l.flag)}
}

// profiled runs one window under the profiler and collects its files.
func (s *session) profiled(ctx context.Context, w WindowPlan) error {
	win := Window{Name: w.Name, Profiled: true, Files: []string{}}
	if w.Plain {
		win.Twin = w.Name + PlainSuffix
	}
	folders, err := s.folders()
	if err != nil {
		return err
	}
	flushed, err := s.load(ctx, w, &win)
	s.b.Windows = append(s.b.Windows, win)
	at := len(s.b.Windows) - 1
	if win.StopCallUnixNS == 0 || ctx.Err() != nil && s.Stopping.Err() != nil {
		return err
	}
	var lost *stillRunning
	if errors.As(err, &lost) && s.gone(ctx) {
		// Nobody is there who could write a trace.
		return err
	}
	whole, e := s.collect(ctx, folders, &s.b.Windows[at], flushed)
	if lost != nil && whole {
		// Every rank's trace came, so the call that got no answer did arrive.
		s.note("window %s: the connection of the stop call was lost, but every trace came: the profiler has stopped", w.Name)
		s.b.LeftProfiling, err = "", lost.rest
	}
	if err == nil {
		err = e
	}
	return s.prove(err)
}

// gone says whether no server answers any more.
func (s *session) gone(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), scrapeLimit)
	defer cancel()
	for _, t := range s.Targets {
		if _, _, err := t.Server.Metrics(ctx); !errors.Is(err, serving.ErrUnreachable) {
			return false
		}
	}
	return len(s.Targets) > 0
}

// load starts the profilers, puts the load on the servers and stops the
// profilers again, also when the load panics.
func (s *session) load(ctx context.Context, w WindowPlan, win *Window) (flushed bool, err error) {
	g := newGuard(s.Profilers, &s.Options)
	before := s.stepsRun()
	endScrape := s.scrape(ctx, w.Name)
	defer func() {
		defer func() { endScrape(); s.steps = s.stepsRun() - before }()
		if !g.anyRunning() {
			return
		}
		win.StopCallUnixNS = time.Now().UnixNano()
		s.Progress(w.Name + ": stopping the profiler; the server writes its traces now, which can take minutes")
		var stopErr error
		flushed, stopErr = g.stop()
		s.unproven = g.unproven
		win.StopReturnUnixNS = time.Now().UnixNano()
		s.flush = time.Duration(win.StopReturnUnixNS - win.StopCallUnixNS)
		if left := g.leftRunning(); left != "" {
			s.b.LeftProfiling = left
			err = &stillRunning{stopErr, err}
		}
	}()
	win.StartCallUnixNS = time.Now().UnixNano()
	s.Progress(w.Name + ": starting the profiler")
	if err := g.start(ctx, w.Name); err != nil {
		return false, fmt.Errorf("the profiler did not start: %w", err)
	}
	win.StartReturnUnixNS = time.Now().UnixNano()
	ctx, cancel := s.bounded(ctx, w.Name)
	defer cancel()
	s.Progress(fmt.Sprintf("%s: %d requests", w.Name, len(w.Load.Requests)))
	rows, notes, err := s.Put(ctx, w.Name, w.Load)
	s.keep(rows, notes)
	if cause := limitOf(ctx); cause != nil {
		s.note("window %s was ended early: %v", w.Name, cause)
		return false, nil
	}
	return false, err
}

// limitReached ends a window's load without failing the capture.
type limitReached struct{ what string }

func (e limitReached) Error() string { return e.what }

// limitOf is the limit that ended a load, nil where none did.
func limitOf(ctx context.Context) error {
	if cause := context.Cause(ctx); errors.As(cause, &limitReached{}) {
		return cause
	}
	return nil
}

// bounded ends a window's load when it has run for too long, or has recorded
// more steps than the bytes allow.
func (s *session) bounded(ctx context.Context, window string) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := func() { cancel(nil) }
	if s.MaxTime > 0 {
		t := time.AfterFunc(s.MaxTime, func() { cancel(s.maxTime().reached()) })
		stop = func() { t.Stop(); cancel(nil) }
	}
	if s.MaxBytes > 0 && s.Cost != nil {
		go s.watchBytes(ctx, cancel, s.stepsRun())
	}
	return ctx, stop
}

// stepsRun is how many steps the servers say they have run, all together.
func (s *session) stepsRun() (n int) {
	for i := range s.stepsNow {
		n += int(s.stepsNow[i].Load())
	}
	return n
}

// watchBytes ends a window's load when the steps that the servers have run since
// will fill more than MaxBytes. Servers that count no steps are bounded by time
// and requests alone.
func (s *session) watchBytes(ctx context.Context, cancel context.CancelCauseFunc, before int) {
	s.eachScrape(ctx, func() {
		if c := s.expect(s.stepsRun() - before); c.MaxBytes > s.MaxBytes {
			cancel(limitReached{fmt.Sprintf("after %d steps its traces will be %s (--max-bytes)", c.Steps, megabytes(c.MaxBytes))})
		}
	})
}

// expect is what so many steps will cost: by an earlier window where there was
// one.
func (s *session) expect(steps int) Cost {
	return s.Cost(steps).measured(steps, s.bytes, s.flush, s.steps)
}

// finish writes what belongs to the whole run and seals the bundle.
func (s *session) finish() error {
	var errs []error
	f, err := os.Create(filepath.Join(s.Dir, RequestsName))
	if err == nil {
		err = serving.WriteRequests(f, s.rows)
		errs = append(errs, f.Close())
	}
	errs = append(errs, err)
	if s.Extra != nil {
		for _, n := range s.Extra(s.Dir, s.began) {
			s.note("%s", n)
		}
	}
	s.b.ByHand = s.b.LeftProfiling
	for i, t := range s.Targets {
		name := "SERVER"
		if len(s.Targets) > 1 {
			name = fmt.Sprintf("SERVER%d", i)
		}
		s.b.LeftProfiling = strings.ReplaceAll(s.b.LeftProfiling, t.Server.URL(), name)
	}
	if err := s.b.Seal(); err != nil {
		errs = append(errs, NotSealed{err})
	}
	return errors.Join(errs...)
}
