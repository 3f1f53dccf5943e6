package nvml

import (
	"fmt"
	"math/bits"
	"strings"
)

// Reasons is a set of clock-event reasons: why the clocks stand where they do
// (nvml.h, nvmlClocksEventReason…; "throttle reasons" in older drivers).
type Reasons uint64

// The reasons that the driver tells of.
const (
	ReasonIdle            Reasons = 0x1
	ReasonClockSetting    Reasons = 0x2
	ReasonPowerCap        Reasons = 0x4
	ReasonHWSlowdown      Reasons = 0x8
	ReasonSyncBoost       Reasons = 0x10
	ReasonSWThermal       Reasons = 0x20
	ReasonHWThermal       Reasons = 0x40
	ReasonPowerBrake      Reasons = 0x80
	ReasonDisplaySetting  Reasons = 0x100
	ReasonBoardLimit      Reasons = 0x200
	ReasonReliability     Reasons = 0x400
	lastKnownReason               = ReasonReliability
	reasonsThatSlowClocks         = ReasonPowerCap | ReasonHWSlowdown | ReasonSyncBoost | ReasonSWThermal | ReasonHWThermal | ReasonPowerBrake | ReasonBoardLimit | ReasonReliability
)

// reasonTable names the bits in order.
var reasonTable = []struct{ name, meaning string }{
	{"idle", "nothing runs, so the clocks may drop"},
	{"clock setting", "the clocks are held by an application-clock setting"},
	{"power cap", "the software power cap holds the clocks below the highest"},
	{"HW slowdown", "the hardware has halved the clocks or worse: heat, power brake or supply"},
	{"sync boost", "the clocks are held to those of a slower GPU of the sync-boost group"},
	{"SW thermal", "the driver lowers the clocks to keep the temperature below its limit"},
	{"HW thermal", "the hardware has halved the clocks or worse because of the temperature"},
	{"power brake", "the machine's power supply asserted the external power brake"},
	{"display setting", "the clocks are held by a display's needs"},
	{"board limit", "the board's power limit holds the clocks down"},
	{"reliability", "the voltage limit for reliability holds the clocks down"},
}

// Split lists the single reasons of a set, lowest bit first.
func (r Reasons) Split() []Reasons {
	var out []Reasons
	for r != 0 {
		bit := Reasons(1) << bits.TrailingZeros64(uint64(r))
		out = append(out, bit)
		r &^= bit
	}
	return out
}

// Throttled returns the reasons that hold the clocks below what the load could
// use: neither idleness nor a setting that somebody chose.
func (r Reasons) Throttled() Reasons { return r & reasonsThatSlowClocks }

// Meaning says in a sentence what a single reason means.
func (r Reasons) Meaning() string {
	if r == 0 || r > lastKnownReason || bits.OnesCount64(uint64(r)) != 1 {
		return "a reason that this version does not know"
	}
	return reasonTable[bits.TrailingZeros64(uint64(r))].meaning
}

// MarshalText writes the names, for JSON.
func (r Reasons) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// String lists the names of the reasons, "none" for the empty set.
func (r Reasons) String() string {
	if r == 0 {
		return "none"
	}
	var names []string
	for _, one := range r.Split() {
		i := bits.TrailingZeros64(uint64(one))
		if i < len(reasonTable) {
			names = append(names, reasonTable[i].name)
		} else {
			names = append(names, fmt.Sprintf("reason %#x", uint64(one)))
		}
	}
	return strings.Join(names, ", ")
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
