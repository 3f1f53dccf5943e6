package gpus

import (
	"math"
	"math/rand/v2"
	"testing"

	"tokprof/nvml"
)

const second = int64(1e9)

// epoch is when crafted windows start, Unix ns.
const epoch = 1_790_000_000 * second

func near(got, want, tolerance float64) bool { return math.Abs(got-want) <= tolerance*math.Abs(want) }

// drawing are the readings of a GPU every 20 ms, from one second before epoch to
// one behind five more; the energy counter is renewed every 100 ms.
func drawing(watts func(at int64) float64) (s nvml.Series) {
	const period = 20_000_000
	var joule, shown float64
	for n, at := 0, -second; at <= 6*second; n, at = n+1, at+period {
		joule += watts(at) * period / 1e9
		if n%5 == 0 {
			shown = joule
		}
		r := nvml.Reading{UnixNS: epoch + at}
		r.Put(nvml.Energy, uint64(shown*1000))
		r.Put(nvml.Power, uint64(watts(at)*1000))
		s = append(s, r)
	}
	return s
}

// TestEnergyAddsUp wants adjoining intervals to have the energy of their whole.
func TestEnergyAddsUp(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 30 {
		watts := 100 + r.Float64()*500
		s := drawing(func(at int64) float64 { return watts * (1 + math.Sin(float64(at)/3e8)/2) })
		line := energyLine(s)
		cut := 12*second/10 + r.Int64N(25*second/10)
		whole, _, ok := line.during([]interval{{epoch, epoch + 5*second}})
		one, _, ok1 := line.during([]interval{{epoch, epoch + cut}})
		two, _, ok2 := line.during([]interval{{epoch + cut, epoch + 5*second}})
		if !ok || !ok1 || !ok2 || !near(one+two, whole, 1e-9) {
			t.Errorf("%v + %v is not %v (%v %v %v)", one, two, whole, ok, ok1, ok2)
		}
		if integral, _ := s.Between(epoch, epoch+5*second).PowerIntegral(); !near(whole, integral/1000, 0.02) {
			t.Errorf("%v J by the counter, %v J under the power", whole, integral/1000)
		}
	}
}

// TestEnergyOfTwoAtOnce has every reading twice, the counter renewed between the
// two: no time lies between them, and the energy stays what it was.
func TestEnergyOfTwoAtOnce(t *testing.T) {
	s := drawing(func(int64) float64 { return 300 })
	var twice nvml.Series
	for n, r := range s {
		r.EnergyMJ += uint64(n)
		twice = append(twice, r)
		r.EnergyMJ++
		twice = append(twice, r)
	}
	want, _, _ := energyLine(s).during([]interval{{epoch, epoch + 5*second}})
	if got, _, ok := energyLine(twice).during([]interval{{epoch, epoch + 5*second}}); !ok || !near(got, want, 0.001) {
		t.Errorf("%v J, want %v", got, want)
	}
}
