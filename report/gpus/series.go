package gpus

import (
	"math"
	"slices"

	"tokprof/nvml"
	"tokprof/report/document"
)

// drawnFields are the readings that become series, in the order of the strip.
var drawnFields = []struct {
	name  string
	field nvml.Field
	per   float64 // of the driver's make one
}{
	{"sm_mhz", nvml.SMClock, 1},
	{"mem_mhz", nvml.MemClock, 1},
	{"power_w", nvml.Power, 1000},
	{"power_instant_w", nvml.PowerInstant, 1000},
	{"temp_c", nvml.Temp, 1},
	{"mem_temp_c", nvml.MemTemp, 1},
	{"util_gpu_percent", nvml.UtilGPU, 1},
	{"sm_active_percent", nvml.SMActive, 10},
	{"tensor_active_percent", nvml.TensorActive, 10},
	{"dram_active_percent", nvml.DRAMActive, 10},
	{"nvlink_tx_bytes_per_s", nvml.NVLinkTx, 1.0 / 1024},
	{"nvlink_rx_bytes_per_s", nvml.NVLinkRx, 1.0 / 1024},
	{"pcie_tx_bytes_per_s", nvml.PCIeTx, 1},
	{"pcie_rx_bytes_per_s", nvml.PCIeRx, 1},
}

// seriesOf lists the series of a GPU's readings.
func seriesOf(s nvml.Series) []document.ReadingSeries {
	out := []document.ReadingSeries{}
	for _, f := range drawnFields {
		x := document.ReadingSeries{Name: f.name, UnixNS: []int64{}, Values: []float64{}}
		var last *nvml.Reading
		for i := range s {
			v, ok := s[i].Value(f.field)
			if !ok {
				continue
			}
			if !f.field.Counter() {
				x.Add(s[i].UnixNS, float64(v)/f.per)
			} else if last != nil && s[i].UnixNS > last.UnixNS {
				if d, _ := (nvml.Series{*last, s[i]}).Delta(f.field); d.Resets == 0 {
					x.Add(s[i].UnixNS, d.PerSecond()/f.per)
				}
			}
			last = &s[i]
		}
		if len(x.Values) > 0 {
			out = append(out, x.Thinned(seriesPoints))
		}
	}
	return out
}

// bands lists when clock-event reasons stood; gaps too short to be drawn are
// closed when there are many.
func (j *Joined) bands(s nvml.Series) []document.ReadingBand {
	out := []document.ReadingBand{}
	all := s.ReasonBands()
	gap := int64(0)
	if len(all) > seriesPoints {
		gap = j.a.Window.DurNS / (seriesPoints / 8)
	}
	last := map[nvml.Reasons]int{}
	for _, x := range all {
		if i, ok := last[x.Reason]; ok && x.FromNS-out[i].ToUnixNS <= gap {
			out[i].ToUnixNS = x.ToNS
			continue
		}
		last[x.Reason] = len(out)
		out = append(out, document.ReadingBand{FromUnixNS: x.FromNS, ToUnixNS: x.ToNS, Reason: x.Reason.String(), Throttles: x.Reason.Throttled() != 0})
	}
	return out
}

// readingHolds is how long a reading stands for the time after it.
const readingHolds = int64(2e9)

// levelLine is a reading that stands until the next one.
type levelLine struct {
	at    []int64
	value []float64
}

func newLevelLine(s nvml.Series, f nvml.Field) levelLine {
	var l levelLine
	for i := range s {
		if v, ok := s[i].Value(f); ok {
			l.at, l.value = append(l.at, s[i].UnixNS), append(l.value, float64(v))
		}
	}
	return l
}

// interval is a stretch of time [from, to), Unix ns.
type interval struct{ from, to int64 }

// over is the sum of value × ns over intervals, and the ns of them that the
// readings cover.
func (l levelLine) over(list ...interval) (sum float64, covered int64) {
	for _, in := range list {
		i, found := slices.BinarySearch(l.at, in.from)
		if !found {
			i--
		}
		for i = max(i, 0); i < len(l.at) && l.at[i] < in.to; i++ {
			until := l.at[i] + readingHolds
			if i+1 < len(l.at) {
				until = min(until, l.at[i+1])
			}
			if ns := min(until, in.to) - max(l.at[i], in.from); ns > 0 {
				sum += l.value[i] * float64(ns)
				covered += ns
			}
		}
	}
	return sum, covered
}

// mean is the mean level over intervals; ok is false where the readings cover
// less than most of them.
func (l levelLine) mean(list ...interval) (float64, bool) {
	sum, covered := l.over(list...)
	var all int64
	for _, in := range list {
		all += in.to - in.from
	}
	if covered == 0 || float64(covered) < mostOf*float64(all) {
		return math.NaN(), false
	}
	return sum / float64(covered), true
}

// mostOf is the share of a stretch that readings must cover to speak for it.
const mostOf = 0.8

// seriesPoints is how many points of a series are drawn at most.
const seriesPoints = 600
