package breakdown

import (
	"slices"

	"tokprof/kernels/attribution"
	"tokprof/trace"
)

// ShortKernel is the length below which a kernel costs about as much to launch
// as to run: a launch call takes 3–6 µs of host time on the captured servers.
const ShortKernel = 5 * trace.Time(1000)

// Launches is how the host fed one device.
type Launches struct {
	Calls, GraphCalls, GraphEvents int64
	WithoutLaunch                  int64      // GPU events whose call is not in the file
	WithoutKernel                  int64      // submitting calls that own no GPU event (of the whole file, on its first device)
	DelayMedian, DelayP99          trace.Time // call start → first GPU event start
	CallMedian                     trace.Time // length of the call
	DepthSum, DepthMax             int64
	Short                          int64
	ShortTime                      trace.Time
}

// launches measures the calls that own events of one device.
func launches(ev *attribution.Events, de deviceEvents) Launches {
	t := ev.Trace
	var l Launches
	for _, i := range de.events {
		id := t.GPU()[i]
		if d := t.Dur(id); d < ShortKernel && ev.IsKernel(int(i)) {
			l.Short++
			l.ShortTime += d
		}
		c := ev.CallOf(int(i))
		if c < 0 {
			l.WithoutLaunch++
			continue
		}
		call := &ev.Calls[c]
		if call.Graph {
			l.GraphEvents++
		}
		if call.First == i {
			l.Calls++
			if call.Graph {
				l.GraphCalls++
			}
		}
	}
	a, b := make([]trace.Time, 0, l.Calls), make([]trace.Time, 0, l.Calls)
	a, b = owned(ev, de, a, b, func(c *attribution.Call) (trace.Time, trace.Time) { return t.Start(c.Launch), c.End })
	l.DepthSum, l.DepthMax = depth(a, b)
	a, b = owned(ev, de, a[:0], b[:0], func(c *attribution.Call) (trace.Time, trace.Time) {
		return t.Start(t.GPU()[c.First]) - t.Start(c.Launch), t.Dur(c.Launch)
	})
	slices.Sort(a)
	slices.Sort(b)
	l.DelayMedian, l.DelayP99, l.CallMedian = nearestRank(a, 0.5), nearestRank(a, 0.99), nearestRank(b, 0.5)
	return l
}

// owned appends two times of every call whose first event is on the device.
func owned(ev *attribution.Events, de deviceEvents, a, b []trace.Time, times func(*attribution.Call) (trace.Time, trace.Time)) (_, _ []trace.Time) {
	for _, i := range de.events {
		if c := ev.CallOf(int(i)); c >= 0 && ev.Calls[c].First == i {
			x, y := times(&ev.Calls[c])
			a, b = append(a, x), append(b, y)
		}
	}
	return a, b
}

// depth counts, at each call, the calls before it whose GPU work had not ended.
func depth(starts, ends []trace.Time) (sum, deepest int64) {
	slices.Sort(starts)
	slices.Sort(ends)
	done := 0
	for i, s := range starts {
		for done < len(ends) && ends[done] <= s {
			done++
		}
		d := int64(i - done)
		sum += max(d, 0)
		deepest = max(deepest, d)
	}
	return sum, deepest
}

// unanswered counts submitting calls that own no GPU event, and returns the
// start of the last submitting call.
func unanswered(ev *attribution.Events) (n int64, last trace.Time) {
	t := ev.Trace
	submit := attribution.NewNameTest(t, attribution.IsSubmit)
	whole := map[trace.EventID]bool{} // graph launches whose runs are known
	for _, g := range t.GraphRuns {
		whole[g.Launch] = true
	}
	next := 0
	t.Each(func(id trace.EventID, k trace.Kind) {
		if k != trace.Launch {
			return
		}
		for next < len(ev.Calls) && ev.Calls[next].Launch < id {
			next++
		}
		if submit.Holds(id) {
			last = max(last, t.Start(id))
			if (next == len(ev.Calls) || ev.Calls[next].Launch != id) && !whole[id] {
				n++
			}
		}
	})
	return n, last
}
