package document

import (
	"slices"

	"tokprof/nvml"
)

// Readings is what the driver told of the GPUs while the window ran.
type Readings struct {
	Devices  []DeviceReadings `json:"devices"`   // by the driver's index; those of no rank too
	PeriodNS int64            `json:"period_ns"` // median time between two readings of a GPU; 0 when there is none
	// LinkScope says what the NVLink counters count: "all links", "link 0 only" or,
	// where the recording does not say, "".
	LinkScope string     `json:"link_scope"`
	Links     *LinkCheck `json:"links,omitempty"`
}

// DeviceReadings is one GPU's part. What it did not tell is absent.
type DeviceReadings struct {
	GPU  int    `json:"gpu"` // the driver's index, which is no CUDA ordinal
	Name string `json:"name"`
	// Ranks are those that ran on the GPU: one, or several of which one did
	// where only the set of GPUs is known; none when it is nobody's.
	Ranks []int `json:"ranks"`
	// How the ranks are known: "uuid", "pci", "visible_devices", "only_gpu",
	// "correlation" (an estimate), "all_gpus" or "active_gpus" (the set alone),
	// "" for nobody's.
	How      string `json:"how"`
	Readings int    `json:"readings"` // inside the window

	PowerLimitW float64 `json:"power_limit_w,omitempty"`
	MaxSMMHz    float64 `json:"max_sm_mhz,omitempty"`

	SMMHz  *Level `json:"sm_mhz,omitempty"`
	MemMHz *Level `json:"mem_mhz,omitempty"`
	PowerW *Level `json:"power_w,omitempty"` // as read: on many GPUs the mean of the second before
	TempC  *Level `json:"temp_c,omitempty"`

	// EnergyJ is by the driver's counter over the window, absent with fewer
	// than 10 refreshes of it; EnergyRefreshes says how many there were.
	EnergyJ         float64 `json:"energy_j,omitempty"`
	EnergyRefreshes int     `json:"energy_refreshes"`
	// NVLinkTxBytes and NVLinkRxBytes are what the links of LinkScope moved.
	NVLinkTxBytes *int64 `json:"nvlink_tx_bytes,omitempty"`
	NVLinkRxBytes *int64 `json:"nvlink_rx_bytes,omitempty"`

	Reasons []ReasonTime    `json:"clock_reasons"` // why the clocks stood where they did
	Bands   []ReadingBand   `json:"clock_reason_bands"`
	Series  []ReadingSeries `json:"series"`
}

// Level is how a reading stood over the window; the mean is weighted by time.
type Level struct {
	Min  float64 `json:"min"`
	Mean float64 `json:"mean"`
	Max  float64 `json:"max"`
}

// ReasonTime is how long a clock-event reason stood.
type ReasonTime struct {
	Reason    string  `json:"reason"`
	Throttles bool    `json:"throttles"` // it holds the clocks below what the load could use
	Share     float64 `json:"share"`     // of the time with readings
	// CounterNS is by the driver's own counter; nil where it has none.
	CounterNS *int64 `json:"counter_ns,omitempty"`
}

// ReadingBand is a stretch of the window in which a reason stood.
type ReadingBand struct {
	FromUnixNS int64  `json:"from_unix_ns"`
	ToUnixNS   int64  `json:"to_unix_ns"`
	Reason     string `json:"reason"`
	Throttles  bool   `json:"throttles"`
}

// ReadingSeries is one reading over the window's time, thinned to at most 600
// points that keep its lows and highs. Rates stand at the end of their stretch.
type ReadingSeries struct {
	Name   string    `json:"name"` // "sm_mhz", "power_w", "nvlink_tx_bytes_per_s", …
	UnixNS []int64   `json:"unix_ns"`
	Values []float64 `json:"values"`
}

// span is the window in Unix ns.
func (b *builder) span() (from, to int64) {
	return b.a.Window.StartUnixNS, b.a.Window.StartUnixNS + b.a.Window.DurNS
}

// readings joins the GPUs' readings with the window: the readings carry Unix
// time, and so must the traces.
func (b *builder) readings() {
	all := b.o.Readings
	if all == nil || len(all.Readings) == 0 {
		return
	}
	from, to := b.span()
	rec := all.Between(from, to)
	if !b.onOneClock() || len(rec.Readings) == 0 {
		return
	}
	b.gpus = b.place(rec)
	r := &Readings{Devices: []DeviceReadings{}, LinkScope: rec.LinkScope}
	for _, gpu := range rec.GPUs() {
		s := rec.Series(gpu)
		d, _ := rec.Device(gpu)
		r.Devices = append(r.Devices, b.deviceReadings(d, s))
		if period, _, ok := all.Series(gpu).Period(); ok {
			r.PeriodNS = max(r.PeriodNS, int64(period))
		}
	}
	b.a.Readings = r
	b.clocks()
	b.energy()
	b.linkCheck()
}

// onOneClock says whether all traces carry Unix time.
func (b *builder) onOneClock() bool {
	for _, r := range b.ranks {
		if !r.Info.Epoch {
			return false
		}
	}
	return true
}

// deviceReadings sums one GPU's readings in the window up.
func (b *builder) deviceReadings(d nvml.Device, s nvml.Series) DeviceReadings {
	out := DeviceReadings{
		GPU: d.Index, Name: d.Name, Ranks: []int{}, Readings: len(s),
		PowerLimitW: float64(d.PowerLimitMW) / 1000, MaxSMMHz: float64(d.MaxSMClockMHz),
		SMMHz: levelOf(s, nvml.SMClock, 1), MemMHz: levelOf(s, nvml.MemClock, 1),
		PowerW: levelOf(s, nvml.Power, 1000), TempC: levelOf(s, nvml.Temp, 1),
		NVLinkTxBytes: movedBytes(s, nvml.NVLinkTx), NVLinkRxBytes: movedBytes(s, nvml.NVLinkRx),
		Reasons: []ReasonTime{}, Bands: b.bands(s), Series: seriesOf(s),
	}
	if c := b.gpus.on(d.Index); c != nil {
		out.How = c.how
		for _, p := range c.places {
			out.Ranks = append(out.Ranks, b.number[p.rank])
		}
		slices.Sort(out.Ranks)
	}
	if line := energyLine(s); len(line.at) > 0 {
		out.EnergyRefreshes = len(line.at)
		if len(line.at) >= minRefreshes {
			out.EnergyJ = line.total[len(line.total)-1] - line.total[0]
		}
	}
	for _, x := range s.ReasonShares() {
		t := ReasonTime{Reason: x.Reason.String(), Throttles: x.Reason.Throttled() != 0, Share: x.Share}
		if x.CounterNS != nil {
			ns := int64(*x.CounterNS)
			t.CounterNS = &ns
		}
		out.Reasons = append(out.Reasons, t)
	}
	return out
}

func levelOf(s nvml.Series, f nvml.Field, per float64) *Level {
	l, ok := s.Levels(f)
	if !ok {
		return nil
	}
	return &Level{float64(l.Min) / per, l.Mean / per, float64(l.Max) / per}
}

// movedBytes is what a counter of KiB counted.
func movedBytes(s nvml.Series, f nvml.Field) *int64 {
	d, ok := s.Delta(f)
	if !ok {
		return nil
	}
	n := int64(d.Value) * 1024
	return &n
}
