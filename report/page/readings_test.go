package page

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"tokprof/report/document"
)

// TestReadingsSection wants the GPUs and what follows from them in tables, and
// n/a for what is not known.
func TestReadingsSection(t *testing.T) {
	a := pageDocument(t)
	s := section(drawPage(t, a), "readings")
	for _, want := range []string{"GPU\u00a00", "0 or 1", "1980", "of 700", "about every 31.6\u202fms", "<td class=\"n\" data-v=\"-1\">n/a</td>"} {
		if !strings.Contains(s, want) {
			t.Errorf("the section lacks %q", want)
		}
	}
	for _, bad := range []string{"Energy by role", "Why the clocks"} {
		if strings.Contains(s, bad) {
			t.Errorf("%q is there with nothing in it", bad)
		}
	}

	p := &a.Phases[slices.IndexFunc(a.Phases, func(p document.Phase) bool { return p.Phase == "decode" })]
	p.EnergyJ, p.PowerWMean, p.JPerToken = 2400, 400, 0.41
	p.RoleEnergy = []document.NameEnergy{{Name: "qkv_proj", EnergyJ: 1800}, {Name: "attention", EnergyJ: 600}}
	p.Clock = &document.ClockEffect{ReferenceMHz: 1980, SlowStep: 60, SlowRank: 1, SlowMHz: 1320, ExcessNS: 10_000_000, ByClockNS: 6_666_666}
	d := &a.Readings.Devices[1]
	d.Ranks, d.How = []int{1}, "uuid"
	counter := int64(2_000_000)
	d.Reasons = []document.ReasonTime{{Reason: "power cap", Throttles: true, Share: 0.25, CounterNS: &counter}}
	s = section(drawPage(t, a), "readings")
	for _, want := range []string{"2.40\u202fkJ", "410\u202fmJ", "Energy by role, an estimate", "1.80\u202fkJ", "75\u202f%", "power cap", "25\u202f%", "2.00\u202fms",
		"<small>by UUID</small>", "10.0\u202fms <small>step 60, rank 1</small>", "6.67\u202fms <small>at 1320 MHz</small>"} {
		if !strings.Contains(s, want) {
			t.Errorf("the section lacks %q", want)
		}
	}
	if page := drawPage(t, a); !strings.Contains(page, "410\u202fmJ a token") {
		t.Error("the first screen lacks the energy of a token")
	}
	a.Readings, a.Samples = nil, nil
	if page := drawPage(t, a); strings.Contains(page, `id="w0-readings"`) || strings.Contains(page, "what the GPUs read") {
		t.Error("a document without readings has their section")
	}
}

// TestStrip wants a grid per reading, a line per GPU and a lane per reason, as
// many points as the page can hold, and none outside the window.
func TestStrip(t *testing.T) {
	a := pageDocument(t)
	if s := newStrip(a, 4000); s == nil || s.grids() != 5 || len(s.tracks[0].lines) != 2 || len(s.tracks[4].lines) != 4 || len(s.layout(0)) != 5 {
		t.Fatalf("strip %+v", s)
	}
	addReadings(a, 64)
	a.Window.StartUnixNS = 0
	s := newStrip(a, 4000)
	points := 0
	for _, tr := range s.tracks {
		for _, l := range tr.lines {
			points += len(l.points)
		}
	}
	if points > 4000 || points < 2000 || s.gpus != (shown{maxStripGPUs, 64}) || len(s.lanes) != maxLanes || s.grids() != 6 || len(s.layout(0)) != 6 {
		t.Errorf("%d points of %v GPUs in %d grids, %d lanes", points, s.gpus, s.grids(), len(s.lanes))
	}
	if note := s.note(); !strings.Contains(note, "the first 16 of 64") || !strings.Contains(note, "bands of clock reasons not drawn") {
		t.Errorf("the note says %q", note)
	}
	last := s.layout(100)[5]
	if got := fmt.Sprint(last.Top, "+", last.Height); got != fmt.Sprint(100+s.height()-trackGap-s.bandsHeight(), "+", s.bandsHeight()) {
		t.Errorf("the last grid is at %s of %d", got, s.height())
	}
	for i := range a.Readings.Devices {
		for j, x := range a.Readings.Devices[i].Series {
			if strings.HasSuffix(x.Name, "_per_s") {
				a.Readings.Devices[i].Series[j].Values = make([]float64, len(x.Values))
			}
		}
	}
	if s := newStrip(a, 4000); s.grids() != 5 || !strings.Contains(s.note(), "what stood at 0 is in the tables alone") {
		t.Errorf("links that moved nothing: %d grids, %q", s.grids(), s.note())
	}
	a.Steps = nil
	if newStrip(a, 4000) != nil {
		t.Error("a strip without steps has no axis")
	}
}
