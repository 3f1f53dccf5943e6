package nvml

import "time"

// Delta is what a counter counted over a series.
type Delta struct {
	Value  uint64 `json:"value"`
	FromNS int64  `json:"from_unix_ns"` // the first reading that has the counter
	ToNS   int64  `json:"to_unix_ns"`   // the last one
	Wraps  int    `json:"wraps"`        // times the counter passed 2^32 and went on from 0
	// Resets counts falls that are no wrap (the driver was reloaded): what was
	// counted between the reading before and the reset is lost, so Value is a
	// lower bound.
	Resets int `json:"resets"`
}

// PerSecond is the mean rate, 0 where no time passed.
func (d Delta) PerSecond() float64 {
	if d.ToNS <= d.FromNS {
		return 0
	}
	return float64(d.Value) / time.Duration(d.ToNS-d.FromNS).Seconds()
}

// Delta adds up what a counter counted; ok is false with fewer than two
// readings of it.
func (s Series) Delta(f Field) (Delta, bool) {
	s = s.with(f)
	if len(s) < 2 {
		return Delta{}, false
	}
	d := Delta{FromNS: s[0].UnixNS, ToNS: s[len(s)-1].UnixNS}
	at := fieldTable[f].at
	for i := 1; i < len(s); i++ {
		before, now := *at(&s[i-1]), *at(&s[i])
		switch {
		case now >= before:
			d.Value += now - before
		case wrapped(before, now):
			d.Value += 1<<32 - before + now
			d.Wraps++
		default:
			d.Value += now
			d.Resets++
		}
	}
	return d, true
}

// wrapped says whether a falling counter looks like one of 32 bits that went
// round: it stood in the upper half and the step is less than half a round.
func wrapped(before, now uint64) bool {
	return before >= 1<<31 && before < 1<<32 && 1<<32-before+now < 1<<31
}

// EnergyUse compares the two ways to know how much energy a GPU used. Both
// cover the same time: from the first refresh of the energy counter to the last.
type EnergyUse struct {
	CounterMJ  uint64  `json:"counter_mj"`  // by the counter; the better one
	IntegralMJ float64 `json:"integral_mj"` // by the trapezoid of the power readings; 0 without them
	FromNS     int64   `json:"from_unix_ns"`
	ToNS       int64   `json:"to_unix_ns"`
	Refreshes  int     `json:"refreshes"` // of the counter, the first one included
}

// MeanMW is the mean power by the counter.
func (e EnergyUse) MeanMW() float64 {
	if e.ToNS <= e.FromNS {
		return 0
	}
	return float64(e.CounterMJ) / time.Duration(e.ToNS-e.FromNS).Seconds()
}

// EnergyUse measures between refreshes of the counter, since the counter
// stands still for about 100 ms between them; ok is false with fewer than two
// refreshes or when the counter was reset.
func (s Series) EnergyUse() (EnergyUse, bool) {
	with := s.with(Energy)
	first, last, n := -1, -1, 0
	for i := 1; i < len(with); i++ {
		if with[i].EnergyMJ != with[i-1].EnergyMJ {
			if first < 0 {
				first = i
			}
			last = i
			n++
		}
	}
	if n < 2 {
		return EnergyUse{}, false
	}
	d, _ := with[first : last+1].Delta(Energy)
	if d.Resets > 0 {
		return EnergyUse{}, false
	}
	e := EnergyUse{CounterMJ: d.Value, FromNS: d.FromNS, ToNS: d.ToNS, Refreshes: n}
	e.IntegralMJ, _ = s.Between(e.FromNS, e.ToNS).PowerIntegral()
	return e, true
}

// PowerIntegral is the energy in mJ under the power readings, by trapezoids;
// gaps of more than 2 s count nothing. ok is false with fewer than two readings.
func (s Series) PowerIntegral() (mJ float64, ok bool) {
	s = s.with(Power)
	if len(s) < 2 {
		return 0, false
	}
	for i := 1; i < len(s); i++ {
		if gap := time.Duration(s[i].UnixNS - s[i-1].UnixNS); gap <= holds {
			mJ += (float64(s[i-1].PowerMW) + float64(s[i].PowerMW)) / 2 * gap.Seconds()
		}
	}
	return mJ, true
}

// Band is a stretch of time [FromNS, ToNS] during which a reason was told of.
type Band struct {
	FromNS, ToNS int64
	Reason       Reasons // a single one
}

// ReasonBands lists when each clock-event reason stood, in the order of their
// begin: from the reading that first shows it to the first that no longer does.
func (s Series) ReasonBands() []Band {
	var bands []Band
	open := map[Reasons]int{}
	for r, until := range s.steps(ReasonBits) {
		for _, one := range r.Reasons.Split() {
			if i, ok := open[one]; ok && bands[i].ToNS == r.UnixNS {
				bands[i].ToNS = until
				continue
			}
			open[one] = len(bands)
			bands = append(bands, Band{r.UnixNS, until, one})
		}
	}
	return bands
}

// ReasonShare is how much of a series' time a reason stood.
type ReasonShare struct {
	Reason Reasons `json:"reason"` // a single one
	Share  float64 `json:"share"`  // of the time that is covered by readings, 0 to 1
	// CounterNS is the time by the driver's own counter, which misses nothing
	// between readings; nil for reasons and drivers without one.
	CounterNS *uint64 `json:"counter_ns,omitempty"`
}

// reasonCounters are the reasons that the driver times itself.
var reasonCounters = map[Reasons]Field{
	ReasonPowerCap:   PowerCapNS,
	ReasonSyncBoost:  SyncBoostNS,
	ReasonSWThermal:  SWThermalNS,
	ReasonHWThermal:  HWThermalNS,
	ReasonPowerBrake: PowerBrakeNS,
}

// ReasonShares sums the bands by reason, lowest bit first; a reason that only
// its counter saw is listed too.
func (s Series) ReasonShares() []ReasonShare {
	var covered int64
	for r, until := range s.steps(ReasonBits) {
		covered += until - r.UnixNS
	}
	spent := map[Reasons]int64{}
	var seen Reasons
	for _, b := range s.ReasonBands() {
		spent[b.Reason] += b.ToNS - b.FromNS
		seen |= b.Reason
	}
	counted := map[Reasons]uint64{}
	for reason, f := range reasonCounters {
		if d, ok := s.Delta(f); ok {
			counted[reason] = d.Value
			if d.Value > 0 {
				seen |= reason
			}
		}
	}
	var out []ReasonShare
	for _, one := range seen.Split() {
		share := ReasonShare{Reason: one}
		if covered > 0 {
			share.Share = float64(spent[one]) / float64(covered)
		}
		if ns, ok := counted[one]; ok {
			share.CounterNS = &ns
		}
		out = append(out, share)
	}
	return out
}
