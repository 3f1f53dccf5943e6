package capture

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"tokprof/trace/serving"
	"tokprof/trace/serving/load"
	"tokprof/trace/serving/replay"
)

// deaf is a profiler whose stop calls a gateway answers with an error.
type deaf struct{ Profiler }

func (deaf) Stop(context.Context) error { return MayFlush{errors.New("answered 503")} }

// TestStopUnproven: stop calls that were all answered by errors prove nothing, unless a
// trace comes. The bundle says that the profiler may still run and how to stop it.
func TestStopUnproven(t *testing.T) {
	for _, folder := range []bool{true, false} {
		r := newRig(t, replay.Options{})
		real := r.o.Profilers[0]
		r.o.Profilers[0] = deaf{real}
		r.o.Patience = 200 * time.Millisecond
		if !folder {
			r.o.Targets[0].TraceDir = ""
		}
		b, err := Record(t.Context(), r.o)
		if err == nil || !strings.Contains(err.Error(), "could not be stopped") || b.ByHand != real.ByHand() {
			t.Errorf("error %v, left profiling %q", err, b.ByHand)
		}
		if len(b.Windows) != 1 {
			t.Errorf("%d windows: no other is begun on a server that may still profile", len(b.Windows))
		}
		if err := real.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		r.idle(t)
	}
}

// TestStalledWithoutProfiler: a server that stands still before the profiler starts does
// not hold the capture; one that is only slow is profiled all the same.
func TestStalledWithoutProfiler(t *testing.T) {
	for _, c := range []struct {
		at       string
		patience time.Duration
		rows     []serving.Request
		want     string // of the error, or of a note where tokens came
	}{
		{"warmup", time.Second, nil, "window warmup: no token came, and it ran for 2s (--max-seconds)"},
		{"warmup", 3 * time.Second, nil, "window warmup: no token came, and it ran for 3s (--patience)"},
		{"decode-plain", time.Second, nil, "window decode-plain: no token came, and it ran for 2s (--max-seconds)"},
		{"decode-plain", time.Second, []serving.Request{{Window: "decode-plain", TokenUnixNS: []int64{1}}}, "window decode-plain was ended early: it ran for 2s (--max-seconds)"},
	} {
		r := newRig(t, replay.Options{})
		r.o.Warmup, r.o.MaxTime, r.o.Patience = Warmup(r.o.Windows), 2*time.Second, c.patience
		put := r.o.Put
		r.o.Put = func(ctx context.Context, window string, p load.Plan) ([]serving.Request, []string, error) {
			if window == c.at {
				<-ctx.Done()
				return c.rows, nil, context.Cause(ctx)
			}
			return put(ctx, window, p)
		}
		b, err := Record(t.Context(), r.o)
		switch {
		case c.rows == nil && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %s", c.at, err, c.want)
		case c.rows != nil && (err != nil || !slices.Contains(b.Notes, c.want)):
			t.Errorf("%s: %v, notes %q, want %s", c.at, err, b.Notes, c.want)
		}
		r.idle(t)
	}
}

// sleepy is a profiler whose start call is answered late, or, cut off before, takes
// effect all the same: behind the stop call.
type sleepy struct {
	Profiler
	after   time.Duration
	started chan struct{}
}

func (p *sleepy) Start(ctx context.Context, window string) error {
	select {
	case <-time.After(p.after):
		return p.Profiler.Start(ctx, window)
	case <-ctx.Done():
		go func() {
			time.Sleep(p.after)
			_ = p.Profiler.Start(context.WithoutCancel(ctx), window)
			close(p.started)
		}()
		return Unanswered{ctx.Err()}
	}
}

// TestStartHangs: an interrupt waits a while for the answer of a start call, since what
// was answered can be stopped. Without an answer the profiler may begin after it was
// stopped, and the bundle says so.
func TestStartHangs(t *testing.T) {
	for _, c := range []struct {
		name            string
		grace, patience time.Duration
		interrupt, left bool
	}{
		{"answered in time", time.Minute, time.Minute, true, false},
		{"interrupted, not answered", time.Millisecond, time.Minute, true, true},
		{"never answered", time.Minute, 100 * time.Millisecond, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, replay.Options{})
			r.only("decode")
			real := r.o.Profilers[0]
			p := &sleepy{real, 300 * time.Millisecond, make(chan struct{})}
			r.o.Profilers[0], r.o.Grace, r.o.Patience = p, c.grace, c.patience
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			r.o.Progress = func(s string) {
				if c.interrupt && strings.HasPrefix(s, "decode: starting") {
					cancel()
				}
			}
			b, err := Record(ctx, r.o)
			if err == nil || (b.ByHand != "") != c.left || c.left && (b.ByHand != real.ByHand() || !strings.Contains(err.Error(), "the start call not at all")) {
				t.Errorf("%v, left profiling %q", err, b.ByHand)
			}
			if r.server.StopCalls() != 1 {
				t.Errorf("stop was asked %d times", r.server.StopCalls())
			}
			if c.left {
				<-p.started
				if err := real.Stop(t.Context()); err != nil {
					t.Error(err)
				}
			}
			r.idle(t)
		})
	}
}
