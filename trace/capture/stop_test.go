package capture

import (
	"context"
	"errors"
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
		if err == nil || !strings.Contains(err.Error(), "could not be stopped") || b.LeftProfiling != real.ByHand() {
			t.Errorf("error %v, left profiling %q", err, b.LeftProfiling)
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
// not hold the capture.
func TestStalledWithoutProfiler(t *testing.T) {
	for _, at := range []string{"warmup", "decode-plain"} {
		r := newRig(t, replay.Options{})
		r.o.Warmup, r.o.MaxTime = Warmup(r.o.Windows), 2*time.Second
		put := r.o.Put
		r.o.Put = func(ctx context.Context, window string, p load.Plan) ([]serving.Request, []string, error) {
			if window == at {
				<-ctx.Done()
				return nil, nil, context.Cause(ctx)
			}
			return put(ctx, window, p)
		}
		if _, err := Record(t.Context(), r.o); err == nil || !strings.Contains(err.Error(), "window "+at+" did not end: it ran for 2s") {
			t.Errorf("%s: %v", at, err)
		}
		r.idle(t)
	}
}
