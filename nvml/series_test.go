package nvml

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"tokprof/fixtures/golden"
)

// TestPrefillLinks compares the NVLink counters of a window with the bytes
// that its all-reduces must move, 3,903 tokens × 8,192 B × 33.
func TestPrefillLinks(t *testing.T) {
	const (
		start = 1795405255478081618 // of the call that starts the profiler
		stop  = 1795405255569572103 // of the call that stops it
		want  = 3903 * 8192 * 33 / 1024
	)
	w := readRecording(t, capture).Between(start, stop)
	for gpu, moved := range []uint64{1032248, 1033026} {
		d, ok := w.Series(gpu).Delta(NVLinkRx)
		if !ok || d != (Delta{Value: moved, FromNS: start, ToNS: stop}) {
			t.Errorf("GPU %d: %+v, want %d KiB", gpu, d, moved)
		}
		if off := float64(d.Value)/want - 1; off < 0 || off > 0.005 {
			t.Errorf("GPU %d moved %d KiB, computed are %d", gpu, d.Value, want)
		}
	}
}

// TestSteadyEnergy compares the two ways to know the energy over the steady load.
func TestSteadyEnergy(t *testing.T) {
	rec := readRecording(t, capture)
	from := rec.Readings[0].UnixNS + int64(time.Second)
	for gpu := range 2 {
		e, ok := rec.Between(from, from+int64(12*time.Second)).Series(gpu).EnergyUse()
		if off := e.IntegralMJ/float64(e.CounterMJ) - 1; !ok || math.Abs(off) > 0.05 || e.Refreshes < 100 || e.ToNS-e.FromNS < int64(10*time.Second) {
			t.Errorf("GPU %d: %+v, %.1f %% apart", gpu, e, off*100)
		}
	}
}

// TestSummaries holds the whole summary of a real recording.
func TestSummaries(t *testing.T) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	if err := e.Encode(readRecording(t, capture).Summaries()); err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "summaries.golden.json", b.Bytes())
}

// TestWindowsAddUp cuts a recording into windows: what was counted, the energy
// and the time of levels in them add up to the whole.
func TestWindowsAddUp(t *testing.T) {
	rec := readRecording(t, capture)
	s := rec.Series(1)
	first, last := s[0].UnixNS, s[len(s)-1].UnixNS
	for _, n := range []int64{1, 2, 7, 500, 3000} {
		var links uint64
		var energy, level float64
		for i := range n {
			w := s.Between(first+(last-first)*i/n, first+(last-first)*(i+1)/n)
			d, ok := w.Delta(NVLinkTx)
			if !ok {
				t.Fatalf("%d windows: window %d has no counter", n, i)
			}
			links += d.Value
			mJ, _ := w.PowerIntegral()
			energy += mJ
			l, _ := w.Levels(UtilGPU)
			level += l.Mean * w.Span().Seconds()
		}
		whole, _ := s.Delta(NVLinkTx)
		wantEnergy, _ := s.PowerIntegral()
		l, _ := s.Levels(UtilGPU)
		if links != whole.Value {
			t.Errorf("%d windows: %d KiB, the whole %d", n, links, whole.Value)
		}
		// The edges repeat the last power, so that a window's trapezoid differs a
		// little where power changes across the edge.
		if math.Abs(energy/wantEnergy-1) > 0.01 {
			t.Errorf("%d windows: %.0f mJ, the whole %.0f", n, energy, wantEnergy)
		}
		if want := l.Mean * s.Span().Seconds(); math.Abs(level-want) > 1e-6*want {
			t.Errorf("%d windows: utilisation × time is %f, the whole %f", n, level, want)
		}
	}
}

// at makes a series of one field, a value a second.
func at(f Field, values ...uint64) Series {
	var s Series
	for i, v := range values {
		r := Reading{UnixNS: int64(i) * int64(time.Second)}
		if v != absent {
			r.Put(f, v)
		}
		s = append(s, r)
	}
	return s
}

const absent = math.MaxUint64

func TestDelta(t *testing.T) {
	for _, c := range []struct {
		name   string
		values []uint64
		want   Delta
		ok     bool
	}{
		{"none", nil, Delta{}, false},
		{"one", []uint64{5}, Delta{}, false},
		{"steady", []uint64{5, 5, 9}, Delta{4, 0, 2e9, 0, 0}, true},
		{"absent between and around", []uint64{absent, 5, absent, 9, absent}, Delta{4, 1e9, 3e9, 0, 0}, true},
		{"wrap at 32 bits", []uint64{1<<32 - 10, 20}, Delta{30, 0, 1e9, 1, 0}, true},
		{"reset", []uint64{1 << 40, 1<<40 + 7, 3, 5}, Delta{12, 0, 3e9, 0, 1}, true},
		{"a fall from below half of 32 bits is a reset", []uint64{1 << 30, 5}, Delta{5, 0, 1e9, 0, 1}, true},
		{"a fall by less than half a round is a reset", []uint64{1<<32 - 1, 1 << 31}, Delta{1 << 31, 0, 1e9, 0, 1}, true},
		{"64 bits never wrap", []uint64{math.MaxUint64 - 1, 4}, Delta{4, 0, 1e9, 0, 1}, true},
	} {
		got, ok := at(PCIeRx, c.values...).Delta(PCIeRx)
		if got != c.want || ok != c.ok {
			t.Errorf("%s: %+v %v, want %+v %v", c.name, got, ok, c.want, c.ok)
		}
	}
	if r := (Delta{Value: 30, FromNS: 5e8, ToNS: 2e9}).PerSecond(); r != 20 {
		t.Errorf("30 in 1.5 s are %f a second", r)
	}
	if r := (Delta{Value: 30}).PerSecond(); r != 0 {
		t.Errorf("30 in no time are %f a second", r)
	}
}

func TestLevels(t *testing.T) {
	gap := at(Temp, 10, 40)
	gap = append(gap, Reading{UnixNS: 60e9, Valid: Set(Temp), TempC: 90}, Reading{UnixNS: 61e9, Valid: Set(Temp), TempC: 90})
	for _, c := range []struct {
		name string
		s    Series
		want Levels
		ok   bool
	}{
		{"none", at(Temp), Levels{}, false},
		{"only absent", at(Temp, absent), Levels{}, false},
		{"one", at(Temp, 7), Levels{7, 7, 7, 1}, true},
		{"a value holds until the next", at(Temp, 10, 40, 90), Levels{10, 90, 25, 3}, true},
		{"across an absent one", at(Temp, 10, absent, 40, 90), Levels{10, 90, 20, 3}, true},
		{"nothing is known in a gap", gap, Levels{10, 90, 50, 4}, true},
	} {
		got, ok := c.s.Levels(Temp)
		if got != c.want || ok != c.ok {
			t.Errorf("%s: %+v %v, want %+v %v", c.name, got, ok, c.want, c.ok)
		}
	}
}

func TestRefresh(t *testing.T) {
	s := at(Energy, 1, 1, 2, 2, 2, 3, 4, 4)
	if r, ok := s.Refresh(Energy); !ok || r != (Refresh{3 * time.Second, time.Second, 3}) {
		t.Errorf("%+v %v", r, ok)
	}
	if r, ok := at(Energy, 1, 2, 3).Refresh(Energy); ok || r.Changes != 2 {
		t.Errorf("two changes are enough: %+v", r)
	}
	rec := readRecording(t, capture)
	if r, ok := rec.Series(0).Refresh(Energy); !ok || r.Median.Round(time.Millisecond) != 100*time.Millisecond || r.Changes != 281 {
		t.Errorf("the energy counter of an H200 is renewed every %v, %d times", r.Median, r.Changes)
	}
}

func TestEnergyUse(t *testing.T) {
	s := at(Energy, 50, 100, 100, 250, 250)
	for i := range s {
		s[i].Put(Power, 60)
	}
	want := EnergyUse{CounterMJ: 150, IntegralMJ: 120, FromNS: 1e9, ToNS: 3e9, Refreshes: 2}
	if e, ok := s.EnergyUse(); !ok || e != want || e.MeanMW() != 75 {
		t.Errorf("%+v %v %f, want %+v", e, ok, e.MeanMW(), want)
	}
	for name, s := range map[string]Series{"one refresh": at(Energy, 1, 2, 2), "reset": at(Energy, 1<<40, 1<<40+1, 5, 6), "none": at(Power, 1, 2)} {
		if e, ok := s.EnergyUse(); ok {
			t.Errorf("%s: %+v", name, e)
		}
	}
	if mJ, ok := at(Power, 10, absent, 30).PowerIntegral(); !ok || mJ != 40 {
		t.Errorf("trapezoid of 10 and 30 mW over 2 s: %f", mJ)
	}
	if _, ok := at(Power, 10).PowerIntegral(); ok {
		t.Error("one reading has an integral")
	}
}

// TestBetween cuts around the readings and checks what stands at the edges.
func TestBetween(t *testing.T) {
	s := at(MemUsed, 1, 2, 3, 4) // at 0, 1, 2, 3 s
	s[0].Put(Temp, 50)
	s[1].Put(Xid, 79)
	show := func(s Series) string {
		var parts []string
		for _, r := range s {
			parts = append(parts, fmt.Sprintf("%g=%d", float64(r.UnixNS)/1e9, r.MemUsed))
		}
		return strings.Join(parts, " ")
	}
	for _, c := range []struct {
		from, to int64
		want     string
	}{
		{-5e9, 10e9, "0=1 1=2 2=3 3=4"}, // nothing is known beyond the ends
		{0, 3e9, "0=1 1=2 2=3 3=4"},
		{1e9, 2e9, "1=2 2=3"},
		{5e8, 25e8, "0.5=1 1=2 2=3 2.5=3"},
		{12e8, 18e8, "1.2=2 1.8=2"},
		{15e8, 15e8, "1.5=2"},
		{2e9, 1e9, ""},
		{4e9, 5e9, ""},
		{-2e9, -1e9, ""},
	} {
		if got := show(s.Between(c.from, c.to)); got != c.want {
			t.Errorf("[%g, %g]: %s, want %s", float64(c.from), float64(c.to), got, c.want)
		}
	}
	edge := s.Between(15e8, 2e9)[0]
	if edge.Valid != Set(MemUsed, Temp) || edge.TempC != 50 {
		t.Errorf("at 1.5 s %+v is known: the temperature still holds, the Xid does not", edge)
	}
	if edge := s.Between(25e8, 3e9)[0]; edge.Valid != Set(MemUsed) {
		t.Errorf("at 2.5 s %+v is known: the temperature is too old", edge)
	}
	rec := &Recording{Readings: append(at(Temp, 1, 2, 3), Reading{UnixNS: 15e8, GPU: 1, Valid: Set(Temp), TempC: 9}), Damaged: 1}
	if got := rec.Between(5e8, 15e8); len(got.Readings) != 4 || got.Damaged != 1 || !reflect.DeepEqual(got.GPUs(), []int{0, 1}) {
		t.Errorf("%+v", got)
	}
}
