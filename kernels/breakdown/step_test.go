package breakdown

import (
	"fmt"
	"testing"

	"tokprof/kernels/attribution"
	"tokprof/trace"
)

// checkStepDevices wants a step's time on each device to be what that device's
// events and graph runs of the step cover, never more than the step is long, and with what it
// stands idle to be just that.
func checkStepDevices(t *testing.T, ev *attribution.Events, r *Rank) {
	t.Helper()
	type key struct{ step, device int }
	of, events := map[key]spans{}, map[key]spans{}
	for i, id := range ev.Trace.GPU() {
		if s := ev.StepOf(i); s >= 0 {
			k := key{s, ev.Trace.Track(ev.Trace.TrackOf(id)).Device}
			events[k] = append(events[k], span{ev.Trace.Start(id), ev.Trace.Start(id) + ev.Trace.Dur(id)})
			of[k] = append(of[k], events[k][len(events[k])-1])
		}
	}
	for i, g := range ev.Trace.GraphRuns {
		if s := ev.StepOfRun(i); s >= 0 {
			of[key{s, g.Device}] = append(of[key{s, g.Device}], span{g.Start, g.End()})
		}
	}
	list := r.StepDevices()
	if len(list) != len(of) {
		t.Errorf("%d steps on devices, want %d", len(list), len(of))
	}
	for _, d := range list {
		k := key{int(d.Step), d.Device}
		s, own, known := r.Steps[d.Step], of[k].normalise(), events[k].normalise()
		_, idle := own.split([]span{{s.First, s.Last}}, nil, nil)
		if d.Busy != total(own) || d.Busy+total(idle) != s.Last-s.First || d.Graph != total(own)-total(known) {
			t.Errorf("step %d on device %d is busy %d and idle %d of %d", d.Step, d.Device, d.Busy, total(idle), s.Last-s.First)
		}
		if len(own) == 0 || d.First != own[0].start || d.First < s.First || d.Last > s.Last {
			t.Errorf("step %d on device %d is from %d to %d", d.Step, d.Device, d.First, d.Last)
		}
	}
}

// TestStepDevices: each device has its own share of a step, a layer counts on
// each, and collectives are numbered on each.
func TestStepDevices(t *testing.T) {
	s := &script{}
	for n := range 2 {
		s.Step(decodeStep, n*1000, 900)
		for device := range 2 {
			for k, name := range []string{gemmName, commName, commName} {
				s.GPU(name, device, 7, n*1000+100+k*100+device*30, 90, s.Call("cudaLaunchKernel", n*1000+k*10+device, 5))
			}
		}
	}
	r := s.reduce(t)
	got := ""
	for _, d := range r.StepDevices() {
		got += fmt.Sprintf("%d/%d %d–%d busy %d; ", d.Step, d.Device, d.First-base, d.Last-base, d.Busy)
	}
	want := "0/0 100–390 busy 270; 0/1 130–420 busy 270; 1/0 1100–1390 busy 270; 1/1 1130–1420 busy 270; "
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	got = ""
	for _, c := range r.Collectives {
		got += fmt.Sprintf("%d/%d %d; ", c.Step, c.Device, c.Order)
	}
	if want := "0/0 0; 0/1 0; 0/0 1; 0/1 1; 1/0 0; 1/1 0; 1/0 1; 1/1 1; "; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestStepDevicesOfGraphs: runs of whole graphs count as they do for the step.
func TestStepDevicesOfGraphs(t *testing.T) {
	tr := wholeScript(t)
	ev := attribution.NewEvents(tr, classifier(t), attribution.Evidence{})
	one := Reduce(tr, classifier(t), Options{ExcerptTo: -1})
	var all []StepDevice
	for _, de := range devices(ev) {
		all = append(all, stepDevices(ev, de)...)
	}
	if len(one.Devices) != 1 || len(all) == 0 || fmt.Sprint(all) != fmt.Sprint(one.StepDevices()) {
		t.Errorf("%d devices: got %v, want %v", len(one.Devices), all, one.StepDevices())
	}
	var graph trace.Time
	for _, d := range all {
		graph += d.Graph
	}
	if graph == 0 {
		t.Error("no graph time")
	}
}
