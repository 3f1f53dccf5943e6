package breakdown

import (
	"cmp"
	"slices"
	"sort"
	"strings"

	"tokprof/kernels/attribution"
	"tokprof/trace"
)

// Cause is why a device stood idle.
type Cause uint8

// Causes.
const (
	ShortGap      Cause = iota // the usual distance between two kernels in a queue
	HostLate                   // the launch call came after the device had run dry
	HostSync                   // … and the launching thread was inside a synchronising call
	NoStep                     // … and no step was running, nor the next one due
	Profiler                   // … and the profiler was at work
	LaunchLatency              // from the launch call to the device
	Dependency                 // launched in time, held back: another stream, an event, a copy
	UnknownCause               // the next event's launch is not in the file
	numCauses
)

func (c Cause) String() string {
	return [...]string{"short_gap", "host_late", "host_sync", "no_step", "profiler", "launch_latency", "dependency", "unknown"}[c]
}

// Bounds of the arithmetic, from the captures of vLLM 0.20 on H200: inside a
// graph replay 99 % of gaps are below 3 µs, and a launch into an empty queue
// reaches the device within 20 µs after its call returned.
// An engine with work opens its next step within milliseconds of the last one
// (at most 4.4 ms there), so steps closer than betweenSteps count as one
// stretch of running.
const (
	shortGap     = 3 * trace.Time(1000)
	maxFlight    = 20 * trace.Time(1000)
	betweenSteps = 20 * trace.Time(1000_000)
)

// Idle is one cause's share of a device's idle time. A gap with several causes
// counts in each.
type Idle struct {
	Time trace.Time
	Gaps int64
}

// Add books one gap's part; an empty one is no gap.
func (i *Idle) Add(t trace.Time) {
	if t > 0 {
		i.Time += t
		i.Gaps++
	}
}

// spans is a sorted list of disjoint intervals.
type spans []span

type span struct{ start, end trace.Time }

func (s *span) include(o span) { s.start, s.end = min(s.start, o.start), max(s.end, o.end) }

// normalise sorts and joins overlapping spans.
func (s spans) normalise() spans {
	slices.SortFunc(s, func(a, b span) int { return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.end, b.end)) })
	out := s[:0]
	for _, x := range s {
		if n := len(out); n > 0 && x.start <= out[n-1].end {
			out[n-1].end = max(out[n-1].end, x.end)
		} else {
			out = append(out, x)
		}
	}
	return out
}

// split appends to in what of the parts lies inside s, and to out the rest.
func (s spans) split(parts, in, out []span) (inside, outside []span) {
	for _, p := range parts {
		i := sort.Search(len(s), func(i int) bool { return s[i].end > p.start })
		for ; i < len(s) && s[i].start < p.end; i++ {
			if s[i].start > p.start {
				out = append(out, span{p.start, s[i].start})
				p.start = s[i].start
			}
			end := min(s[i].end, p.end)
			in = append(in, span{p.start, end})
			p.start = end
		}
		if p.start < p.end {
			out = append(out, p)
		}
	}
	return in, out
}

func total(parts []span) (sum trace.Time) {
	for _, p := range parts {
		sum += p.end - p.start
	}
	return sum
}

// hostTimes are the host intervals that explain idleness.
type hostTimes struct {
	// sync is by launching thread: a server's output thread waits for the GPU
	// nearly all the time, and delays no launch by it.
	sync     map[trace.TrackID]spans
	profiler spans
	running  spans // nil when the file marks no steps
	recorded span  // first to last host event
}

func newHostTimes(ev *attribution.Events) *hostTimes {
	t := ev.Trace
	h := &hostTimes{sync: map[trace.TrackID]spans{}, running: runningSpans(ev.Steps)}
	blocking, profiler := attribution.NewNameTest(t, isBlocking), attribution.NewNameTest(t, isProfilerWork)
	h.recorded = span{1<<63 - 1, -1 << 63}
	t.Each(func(id trace.EventID, k trace.Kind) {
		switch k {
		case trace.Range:
			h.recorded.include(span{t.Start(id), t.Start(id) + t.Dur(id)})
		case trace.Launch:
			h.recorded.include(span{t.Start(id), t.Start(id) + t.Dur(id)})
			if blocking.Holds(id) {
				tr := t.TrackOf(id)
				h.sync[tr] = append(h.sync[tr], span{t.Start(id), t.Start(id) + t.Dur(id)})
			}
		case trace.Overhead:
			if profiler.Holds(id) {
				h.profiler = append(h.profiler, span{t.Start(id), t.Start(id) + t.Dur(id)})
			}
		}
	})
	for tr, s := range h.sync {
		h.sync[tr] = s.normalise()
	}
	h.profiler = h.profiler.normalise()
	return h
}

// runningSpans are the stretches in which the engine had work. Steps that
// launched nothing on an idle engine are not work. What was launched just
// before the first annotation, or ran after the last, belongs to a step that
// the file shows in part.
func runningSpans(steps []attribution.Step) spans {
	if len(steps) == 0 {
		return nil
	}
	out := make(spans, 0, len(steps))
	for _, s := range steps {
		if s.Label.Phase == trace.Dummy && !s.Ran() {
			continue
		}
		out = append(out, span{s.Start - betweenSteps/2, max(s.End, s.Last) + betweenSteps/2})
	}
	out = out.normalise()
	for i := range out {
		if i > 0 {
			out[i].start += betweenSteps / 2
		}
		if i < len(out)-1 {
			out[i].end -= betweenSteps / 2
		}
	}
	return out
}

// isBlocking says whether a host call returns only when the GPU has caught up.
func isBlocking(name string) bool {
	if strings.Contains(name, "Async") || strings.Contains(name, "Graph") {
		return false
	}
	for _, s := range []string{"DeviceSynchronize", "StreamSynchronize", "EventSynchronize", "CtxSynchronize", "Memcpy"} {
		if strings.Contains(name, s) {
			return true
		}
	}
	return false
}

// isProfilerWork says whether an overhead row is work that the profiler made.
// The same category holds the driver's own (lazy loading, its compiler, a full
// command buffer), which an unprofiled server pays too.
func isProfilerWork(name string) bool {
	for _, s := range []string{"Buffer Flush", "Instrumentation", "Resource", "Activity Buffer", "Activity Init"} {
		if strings.Contains(name, s) {
			return true
		}
	}
	return false
}

// Outside splits a stretch before a device's first or after its last event: in
// part of it the host was recorded and ran no step, of the rest the file holds
// no reason.
func (r *Rank) Outside(from, to trace.Time) (noStep, unknown trace.Time) {
	if r.host == nil || r.host.running == nil || to <= from {
		return 0, max(to-from, 0)
	}
	recorded, _ := spans{r.host.recorded}.split([]span{{from, to}}, nil, nil)
	_, outside := r.host.running.split(recorded, nil, nil)
	noStep = total(outside)
	return noStep, to - from - noStep
}

// idler explains the gaps of one device.
type idler struct {
	phase   trace.Phase // of the step that was last at work: a gap counts for it
	byPhase [numPhases][numCauses]trace.Time
	ev      *attribution.Events
	host    *hostTimes
	idle    [numCauses]Idle
	parts   [3][]span // scratch
}

// gap explains the time from one device-wide end to the next start. next is
// the GPU event that ended the gap.
func (d *idler) gap(from, to trace.Time, next int32) {
	if to <= from {
		return
	}
	c := d.ev.CallOf(int(next))
	switch {
	case to-from <= shortGap:
		d.add(ShortGap, to-from)
	case c < 0:
		d.waitForHost(from, to, UnknownCause, nil)
	case d.ev.Calls[c].First != next:
		// Inside one graph replay: the launch was long since done.
		d.add(Dependency, to-from)
	default:
		d.launched(from, to, d.ev.Calls[c].Launch)
	}
}

// launched splits a gap at its ending event's launch call: before it the host
// was late, while it ran and for the flight after it the launch was on its
// way, and what remains was held back on the device's side.
func (d *idler) launched(from, to trace.Time, launch trace.EventID) {
	t := d.ev.Trace
	call := min(max(t.Start(launch), from), to)
	d.waitForHost(from, call, HostLate, d.host.sync[t.TrackOf(launch)])
	flight := min(max(t.Start(launch)+t.Dur(launch)+maxFlight, call), to)
	d.add(LaunchLatency, flight-call)
	d.add(Dependency, to-flight)
}

// waitForHost splits host time by what the host did; the rest has cause other.
// Synchronising counts only while the host is inside the call: what it does
// between the call's return and the launch is its own work.
func (d *idler) waitForHost(from, to trace.Time, other Cause, sync spans) {
	if to <= from {
		return
	}
	b := &d.parts
	b[0] = append(b[0][:0], span{from, to})
	b[1], b[2] = d.host.profiler.split(b[0], b[1][:0], b[2][:0])
	d.add(Profiler, total(b[1]))
	if d.host.running != nil {
		b[0], b[1] = d.host.running.split(b[2], b[0][:0], b[1][:0])
		d.add(NoStep, total(b[1]))
		b[0], b[2] = b[2], b[0]
	}
	b[0], b[1] = sync.split(b[2], b[0][:0], b[1][:0])
	d.add(HostSync, total(b[0]))
	d.add(other, total(b[1]))
}

func (d *idler) add(c Cause, t trace.Time) {
	d.idle[c].Add(t)
	if t > 0 {
		d.byPhase[d.phase][c] += t
	}
}
