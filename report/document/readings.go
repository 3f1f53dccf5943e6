package document

import "slices"

// ClockEffect says what lower SM clocks can have cost the steps of a phase, each
// counted once as Phase does.
// Work that waits for memory does not slow down with the SM clock, so these
// are upper bounds.
type ClockEffect struct {
	// ReferenceMHz is the highest clock that a step of the phase ran at.
	ReferenceMHz float64 `json:"reference_mhz"`
	// StepNS are the steps' durations as if all had run at that clock.
	StepNS Spread `json:"normalised_step_ns"`
	// Of the slowest step: how much longer it took than the median one, and the
	// part of that which its lower clock explains.
	SlowStep   int     `json:"slow_step"`
	SlowRank   int     `json:"slow_rank"`
	SlowMHz    float64 `json:"slow_mhz"`
	SlowNS     int64   `json:"slow_ns"`
	ExcessNS   int64   `json:"excess_ns"`
	ByClockNS  int64   `json:"by_clock_ns"`
	StepsKnown int     `json:"steps_known"` // with a clock
}

// NameEnergy is the energy of a role, or of a part where there is none.
type NameEnergy struct {
	Name    string  `json:"name"`
	EnergyJ float64 `json:"energy_j"`
}

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

// LinkCheck holds the NVLink counters against the collectives that were traced.
type LinkCheck struct {
	// TracedBytes is what one GPU sends in the window's collectives of known
	// size, SizedShare their part of all matched ones.
	TracedBytes int64   `json:"traced_bytes"`
	SizedShare  float64 `json:"sized_share"`
	// TracedMostBytes is the same if NCCL sends all messages below 1 MiB by its
	// LL protocol, which puts a flag beside every word of data.
	TracedMostBytes int64 `json:"traced_most_bytes"`
	// CountedBytes is what the counters say a GPU sent, from just before the
	// window to just behind it; the mean over the GPUs.
	CountedBytes int64   `json:"counted_bytes"`
	Ratio        float64 `json:"ratio"` // counted over traced; 0 when unknown
	// Quiet: the links stood still before and after, so all of it is the window's.
	Quiet bool `json:"quiet"`
}

// Add puts a point, by its Unix time in ns, behind those before it.
func (x *ReadingSeries) Add(at int64, v float64) {
	x.UnixNS, x.Values = append(x.UnixNS, at), append(x.Values, v)
}

// Thinned keeps the lowest and the highest point of equal stretches of the
// series, and its ends: short dips stay visible.
func (x ReadingSeries) Thinned(points int) ReadingSeries {
	n := len(x.Values)
	if n <= points {
		return x
	}
	keep := []int{0}
	stretches := (points - 2) / 2
	for k := range stretches {
		from, to := k*n/stretches, (k+1)*n/stretches
		low, high := from, from
		for i := from; i < to; i++ {
			if x.Values[i] < x.Values[low] {
				low = i
			}
			if x.Values[i] > x.Values[high] {
				high = i
			}
		}
		keep = append(keep, min(low, high), max(low, high))
	}
	keep = append(keep, n-1)
	slices.Sort(keep)
	out := ReadingSeries{Name: x.Name, UnixNS: []int64{}, Values: []float64{}}
	for _, i := range slices.Compact(keep) {
		out.Add(x.UnixNS[i], x.Values[i])
	}
	return out
}
