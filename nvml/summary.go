package nvml

import "slices"

// Summary is one GPU's part of a recording in short.
type Summary struct {
	Device       Device `json:"device"`
	FromNS       int64  `json:"from_unix_ns"`
	ToNS         int64  `json:"to_unix_ns"`
	Readings     int    `json:"readings"`
	PeriodNS     int64  `json:"period_ns"`      // median time between readings; 0 with one reading
	LongestGapNS int64  `json:"longest_gap_ns"` // between two readings

	Levels   map[Field]Levels  `json:"levels"`   // of every field that is a level and was read, but reasons and Xids
	Counters map[Field]Delta   `json:"counters"` // of every counter that was read twice
	Refresh  map[Field]Refresh `json:"refresh"`  // of every field that changed often enough to tell
	Energy   *EnergyUse        `json:"energy,omitempty"`
	Reasons  []ReasonShare     `json:"reasons"`
	Xids     []XidEvent        `json:"xids"`
	// LinkScope says what the NVLink counters count: AllLinks, FirstLink or, where
	// it is not said, "".
	LinkScope string `json:"link_scope"`
}

// XidEvent is an Xid error and when it was told of.
type XidEvent struct {
	UnixNS int64  `json:"t"`
	Xid    uint64 `json:"xid"`
}

// Summaries sums up each GPU of a recording, in the order of their indices.
func (rec *Recording) Summaries() []Summary {
	var out []Summary
	for _, gpu := range rec.GPUs() {
		d, _ := rec.Device(gpu)
		out = append(out, rec.Series(gpu).summary(d, rec.LinkScope))
	}
	return out
}

func (s Series) summary(d Device, scope string) Summary {
	sum := Summary{Device: d, Readings: len(s), LinkScope: scope, Levels: map[Field]Levels{}, Counters: map[Field]Delta{}, Refresh: map[Field]Refresh{}, Reasons: []ReasonShare{}, Xids: []XidEvent{}}
	if len(s) == 0 {
		return sum
	}
	sum.FromNS, sum.ToNS = s[0].UnixNS, s[len(s)-1].UnixNS
	if median, longest, ok := s.Period(); ok {
		sum.PeriodNS, sum.LongestGapNS = int64(median), int64(longest)
	}
	for f := range numFields {
		if f == ReasonBits || f == Xid {
			continue
		}
		if f.Counter() {
			if delta, ok := s.Delta(f); ok {
				sum.Counters[f] = delta
			}
		} else if l, ok := s.Levels(f); ok {
			sum.Levels[f] = l
		}
		if r, ok := s.Refresh(f); ok {
			sum.Refresh[f] = r
		}
	}
	if e, ok := s.EnergyUse(); ok {
		sum.Energy = &e
	}
	sum.Reasons = slices.Concat(sum.Reasons, s.ReasonShares())
	for _, r := range s.with(Xid) {
		sum.Xids = append(sum.Xids, XidEvent{r.UnixNS, r.Xid})
	}
	return sum
}
