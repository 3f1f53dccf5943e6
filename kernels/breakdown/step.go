package breakdown

import (
	"tokprof/kernels/attribution"
	"tokprof/trace"
)

// StepDevice is what one step did on one of the devices that it ran on.
type StepDevice struct {
	Step        int32
	Device      int
	First, Last trace.Time // start of its first and end of its last work there
	Busy        trace.Time // union of its GPU events and whole graphs there
	Graph       trace.Time // of Busy: only graphs recorded as a whole ran
}

// StepDevices is what each step did on each device that it ran on, by step, then
// device. Several devices work at once: what a step sums over them is held
// against the time of all of them together.
func (r *Rank) StepDevices() []StepDevice {
	if len(r.Devices) > 1 {
		return r.onDevices
	}
	var out []StepDevice
	for i, s := range r.Steps {
		if s.Ran() && len(r.Devices) == 1 {
			out = append(out, StepDevice{int32(i), r.Devices[0].Device, s.First, s.Last, s.Busy, s.Graph})
		}
	}
	return out
}

// extent is the union of intervals that come by start.
type extent struct {
	first, last, busy trace.Time
	any               bool
}

func (x *extent) cover(start, end trace.Time) {
	if !x.any {
		*x = extent{first: start, last: start, any: true}
	}
	x.busy += max(0, end-max(start, x.last))
	x.last = max(x.last, end)
}

// stepDevices measures the steps of one device, by step. Events and graph runs
// both come by start.
func stepDevices(ev *attribution.Events, de deviceEvents) []StepDevice {
	t, runs := ev.Trace, de.runs
	events, all := make([]extent, len(ev.Steps)), make([]extent, len(ev.Steps))
	until := func(at trace.Time) {
		for ; len(runs) > 0 && runs[0].Start < at; runs = runs[1:] {
			if s := runs[0].step; s >= 0 {
				all[s].cover(runs[0].Start, runs[0].End())
			}
		}
	}
	for _, i := range de.events {
		id := t.GPU()[i]
		start := t.Start(id)
		until(start)
		if s := ev.StepOf(int(i)); s >= 0 {
			events[s].cover(start, start+t.Dur(id))
			all[s].cover(start, start+t.Dur(id))
		}
	}
	until(1<<63 - 1)
	var out []StepDevice
	for s, x := range all {
		if x.any {
			out = append(out, StepDevice{int32(s), de.device, x.first, x.last, x.busy, x.busy - events[s].busy})
		}
	}
	return out
}
