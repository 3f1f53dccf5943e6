package capture

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"tokprof/trace/serving"
)

// Profiler is something that records between a start and a stop: a server's own
// profile routes, or a session of Nsight Systems.
type Profiler interface {
	// Start begins to record a window. An error that leaves the profiler off says so by
	// NotStarted; after any other one it may be running.
	Start(ctx context.Context, window string) error
	// Stop ends recording and returns when the profiler says that it is done. It
	// blocks for as long as the profiler writes, minutes for long recordings.
	Stop(ctx context.Context) error
	// ByHand is a command that stops it.
	ByHand() string
}

// NotStarted marks an error of Start that left the profiler off.
type NotStarted struct{ Err error }

func (e NotStarted) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e NotStarted) Unwrap() error { return e.Err }

// Unanswered marks an error of Start whose call nobody answered: the profiler may take it
// yet, behind the call that stops it.
type Unanswered struct{ Err error }

func (e Unanswered) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e Unanswered) Unwrap() error { return e.Err }

// MayFlush marks an error of Stop after which traces may still come.
type MayFlush struct{ Err error }

func (e MayFlush) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e MayFlush) Unwrap() error { return e.Err }

// routes drives a server's own profile routes.
type routes struct {
	server  *serving.Server
	options serving.ProfileOptions
	tell    func(string)
}

// ServerProfiler returns a profiler that starts and stops a server's own one. tell
// is told what the server does not do as asked.
func ServerProfiler(s *serving.Server, o serving.ProfileOptions, tell func(string)) Profiler {
	return &routes{s, o, tell}
}

func (r *routes) Start(ctx context.Context, _ string) error {
	st, err := r.server.StartProfile(ctx, r.options)
	if err != nil && !errors.Is(err, serving.ErrMayBeProfiling) {
		return NotStarted{err}
	}
	if err != nil && (ctx.Err() != nil || errors.Is(err, serving.ErrUnreachable)) {
		return Unanswered{err}
	}
	if err == nil && r.options.Steps > 0 && (!st.Bounded || st.Steps != r.options.Steps) {
		r.tell("the recording is not bounded by --steps: " + st.Why)
	}
	return err
}

func (r *routes) Stop(ctx context.Context) error {
	err := r.server.StopProfile(ctx)
	var stop *serving.StopError
	switch {
	case errors.As(err, &stop) && stop.ProbablyEnded:
		return nil
	case errors.As(err, &stop) && stop.MayStillFlush && stop.Status != 0:
		return MayFlush{err}
	}
	return err
}

func (r *routes) ByHand() string { return r.server.StopByHand() }

// guard starts the profilers of one window together and sees to it that each one
// that may be running is stopped, once.
type guard struct {
	all      []Profiler
	stopping context.Context // outlives an interrupted capture
	tell     func(string)
	// A start call is cut off after patience, and so long after an interrupt as grace:
	// one that was answered can surely be stopped.
	patience, grace time.Duration

	mu      sync.Mutex
	running []bool
	// unproven are those whose stop calls were all answered by errors: they may have
	// stopped in the middle of it, or never have heard of it (a gateway's 503). And those
	// whose start call was not answered: they may begin after they were stopped.
	unproven []bool
}

func newGuard(all []Profiler, o *Options) *guard {
	return &guard{
		all: all, stopping: o.Stopping, tell: o.Progress, patience: o.Patience, grace: o.Grace,
		running: make([]bool, len(all)), unproven: make([]bool, len(all)),
	}
}

// starting is the context of a start call.
func (g *guard) starting(ctx context.Context) (context.Context, func()) {
	out, cancel := context.WithTimeout(g.stopping, g.patience)
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-time.After(g.grace):
			cancel()
		case <-out.Done():
		}
	})
	return out, func() { stop(); cancel() }
}

// start starts all profilers side by side; when one fails, those that run are
// for the caller's stop.
func (g *guard) start(ctx context.Context, window string) error {
	errs := make([]error, len(g.all))
	var wait sync.WaitGroup
	for i, p := range g.all {
		wait.Go(func() {
			// Marked before the call: a call that is cut off may have arrived.
			g.set(i, true)
			ctx, end := g.starting(ctx)
			defer end()
			errs[i] = p.Start(ctx, window)
			var off NotStarted
			if errors.As(errs[i], &off) {
				g.set(i, false)
			}
			var late Unanswered
			g.unproven[i] = errors.As(errs[i], &late)
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}

func (g *guard) set(i int, running bool) {
	g.mu.Lock()
	g.running[i] = running
	g.mu.Unlock()
}

func (g *guard) isRunning(i int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.running[i]
}

func (g *guard) anyRunning() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Contains(g.running, true)
}

// stop stops every profiler that may be running. It does so under a context of
// its own, since the capture's may have ended. flushed is false when a profiler
// may still be writing.
func (g *guard) stop() (flushed bool, err error) {
	errs := make([]error, len(g.all))
	still := make([]bool, len(g.all))
	var wait sync.WaitGroup
	for i, p := range g.all {
		if !g.isRunning(i) {
			continue
		}
		wait.Go(func() { still[i], errs[i] = g.stopOne(i, p) })
	}
	wait.Wait()
	flushed = true
	for i := range still {
		flushed = flushed && !still[i] && errs[i] == nil
	}
	return flushed, errors.Join(errs...)
}

func (g *guard) stopOne(i int, p Profiler) (still bool, err error) {
	err = p.Stop(g.stopping)
	var flush MayFlush
	if errors.As(err, &flush) {
		// The server took the call and failed in the middle. Asked once more it is
		// off, or fails in the same way because there is nothing left to stop.
		g.tell(fmt.Sprintf("stopping the profiler: %v; asking once more, traces may still come", err))
		if err = p.Stop(g.stopping); errors.As(err, &flush) {
			g.unproven[i], err = true, nil
		}
		still = true
	}
	if err == nil {
		g.set(i, false)
	}
	return still, err
}

// leftRunning says which profilers could not be stopped, "" when none is left.
func (g *guard) leftRunning() string {
	return byHand(g.all, g.isRunning)
}

// byHand says how to stop some of the profilers, a line each.
func byHand(all []Profiler, which func(i int) bool) string {
	var hands []string
	for i, p := range all {
		if which(i) {
			hands = append(hands, p.ByHand())
		}
	}
	return strings.Join(hands, "\n")
}

// proved notes that servers have written: profilers write when they have stopped.
func (s *session) proved(targets []int) {
	for _, t := range targets {
		if t < len(s.unproven) { // one session of Nsight Systems may serve several
			s.unproven[t] = false
		}
	}
}

// prove says which profilers may still run: those that answered the stop calls with
// errors, or the start call not at all, and left no trace.
func (s *session) prove(err error) error {
	left := byHand(s.Profilers, func(i int) bool { return s.unproven[i] })
	if left == "" || s.b.LeftProfiling != "" {
		return err
	}
	s.b.LeftProfiling = left
	return &stillRunning{errors.New("the server answered each stop call with an error, or the start call not at all, and no trace came"), err}
}

// stillRunning is a profiler that did not stop, beside what else went wrong.
type stillRunning struct{ stop, rest error }

func (e *stillRunning) Error() string {
	return errors.Join(fmt.Errorf("the profiler could not be stopped: %w", e.stop), e.rest).Error()
}

func (e *stillRunning) Unwrap() []error { return []error{e.stop, e.rest} }

// nsysSession drives a session that `nsys launch --session-new=NAME` made.
type nsysSession struct {
	nsys, name, dir string
}

// NsysSession returns a profiler that starts and stops collecting in a named
// session of Nsight Systems on this host and writes its reports, one a window,
// into a folder. nsys is the program's path.
func NsysSession(nsys, name, dir string) Profiler {
	return &nsysSession{nsys, name, dir}
}

func (n *nsysSession) Start(ctx context.Context, window string) error {
	// The session's own process, which may run in another directory, reads the path.
	report, err := filepath.Abs(filepath.Join(n.dir, window))
	if err != nil {
		return NotStarted{err}
	}
	err = n.run(ctx, "start", "--session="+n.name, "--output="+report, "--force-overwrite=true", "--sample=none")
	if err != nil && ctx.Err() == nil {
		return NotStarted{err}
	}
	if err != nil {
		return Unanswered{err} // cut off, nsys may have started
	}
	return nil
}

func (n *nsysSession) Stop(ctx context.Context) error {
	return n.run(ctx, "stop", "--session="+n.name)
}

func (n *nsysSession) ByHand() string { return n.nsys + " stop --session=" + n.name }

func (n *nsysSession) run(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, n.nsys, args...)
	ownGroup(cmd)
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	said := strings.TrimSpace(string(out))
	if said == "" {
		said = err.Error()
	}
	first, _, _ := strings.Cut(said, "\n")
	return fmt.Errorf("nsys %s failed: %s (nsys sessions list shows the sessions)", args[0], first)
}
