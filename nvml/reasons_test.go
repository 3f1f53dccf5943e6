package nvml

import (
	"bytes"
	"fmt"
	"reflect"
	"testing"

	"tokprof/fixtures/golden"
)

func TestReasons(t *testing.T) {
	var b bytes.Buffer
	for bit := range 12 {
		r := Reasons(1) << bit
		fmt.Fprintf(&b, "%#5x %-16s throttled %-5v %s\n", uint64(r), r, r.Throttled() != 0, r.Meaning())
	}
	golden.Check(t, "reasons.golden", b.Bytes())
	for r, want := range map[Reasons]string{0: "none", ReasonPowerCap | ReasonIdle: "idle, power cap", 1<<40 | ReasonHWThermal: "HW thermal, reason 0x10000000000"} {
		if r.String() != want {
			t.Errorf("%#x is %q, want %q", uint64(r), r, want)
		}
	}
	if m := (ReasonPowerCap | ReasonIdle).Meaning(); m != "a reason that this version does not know" {
		t.Errorf("two reasons mean %q", m)
	}
}

func TestReasonBands(t *testing.T) {
	s := at(ReasonBits, 0, 4, 4|8, absent, 8, 0, 4)
	want := []Band{{1e9, 4e9, ReasonPowerCap}, {2e9, 5e9, ReasonHWSlowdown}, {6e9, 6e9, ReasonPowerCap}}
	if got := s.ReasonBands(); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	s[1].Put(PowerCapNS, 100)
	s[6].Put(PowerCapNS, 700)
	s[1].Put(SWThermalNS, 5)
	s[6].Put(SWThermalNS, 6)
	s[1].Put(HWThermalNS, 5)
	s[6].Put(HWThermalNS, 5)
	shares := s.ReasonShares()
	if len(shares) != 3 || shares[0].Reason != ReasonPowerCap || shares[0].Share != 0.5 || *shares[0].CounterNS != 600 ||
		shares[1].Reason != ReasonHWSlowdown || shares[1].Share != 0.5 || shares[1].CounterNS != nil ||
		shares[2].Reason != ReasonSWThermal || shares[2].Share != 0 || *shares[2].CounterNS != 1 {
		t.Errorf("%+v", shares)
	}
	gap := Series{s[1], {UnixNS: 60e9, Valid: Set(ReasonBits), Reasons: ReasonPowerCap}, {UnixNS: 61e9, Valid: Set(ReasonBits)}}
	want = []Band{{1e9, 1e9, ReasonPowerCap}, {60e9, 61e9, ReasonPowerCap}}
	if got := gap.ReasonBands(); !reflect.DeepEqual(got, want) {
		t.Errorf("across a gap: %+v, want %+v", got, want)
	}
}

func TestPeaks(t *testing.T) {
	// Sums of both directions as the data sheets give them, in GB/s.
	for generation, sheet := range map[int]struct{ links, sum float64 }{2: {6, 300}, 3: {12, 600}, 4: {18, 900}, 5: {18, 1800}} {
		p, ok := NVLinkPeak(generation)
		if !ok || p.BytesPerSecond*2*sheet.links != sheet.sum*1e9 || p.NCCLBytesPerSecond >= p.BytesPerSecond || p.Source == "" {
			t.Errorf("generation %d: %+v, %v", generation, p, ok)
		}
	}
	if _, ok := NVLinkPeak(9); ok {
		t.Error("generation 9 is known")
	}
	for generation, want := range map[int]float64{3: 15.75e9, 4: 31.5e9, 5: 63e9, 6: 121e9} {
		got, ok := PCIePeak(generation, 16)
		if !ok || got < want*0.995 || got > want*1.005 {
			t.Errorf("PCIe %d x16: %g, want about %g", generation, got, want)
		}
	}
	for _, bad := range [][2]int{{0, 16}, {7, 16}, {5, 0}, {5, 99}, {-1, 1}} {
		if _, ok := PCIePeak(bad[0], bad[1]); ok {
			t.Errorf("PCIe %d x%d is known", bad[0], bad[1])
		}
	}
	for major, want := range map[int]int{0: 0, 6: 0, 7: 2, 8: 3, 9: 4, 10: 5, 12: 0} {
		if got := linkGeneration(major); got != want {
			t.Errorf("compute capability %d has NVLink %d, want %d", major, got, want)
		}
	}
}
