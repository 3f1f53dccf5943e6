package gpus

import (
	"slices"

	"tokprof/nvml"
	"tokprof/report/document"
)

// readings joins the GPUs' readings with the window: the readings carry Unix
// time, and so must the traces.
func (j *Joined) readings() {
	all := j.host.Readings
	if all == nil || len(all.Readings) == 0 {
		return
	}
	from, to := j.span()
	rec := all.Between(from, to)
	if !j.onOneClock() || len(rec.Readings) == 0 {
		return
	}
	j.placed = j.place(rec)
	r := &document.Readings{Devices: []document.DeviceReadings{}, LinkScope: rec.LinkScope}
	for _, gpu := range rec.GPUs() {
		s := rec.Series(gpu)
		d, _ := rec.Device(gpu)
		r.Devices = append(r.Devices, j.deviceReadings(d, s))
		if period, _, ok := all.Series(gpu).Period(); ok {
			r.PeriodNS = max(r.PeriodNS, int64(period))
		}
	}
	j.a.Readings = r
	j.clocks()
	j.energy()
	j.linkCheck()
}

// onOneClock says whether all traces carry Unix time.
func (j *Joined) onOneClock() bool {
	for _, r := range j.ranks {
		if !r.Info.Epoch {
			return false
		}
	}
	return true
}

// deviceReadings sums one GPU's readings in the window up.
func (j *Joined) deviceReadings(d nvml.Device, s nvml.Series) document.DeviceReadings {
	out := document.DeviceReadings{
		GPU: d.Index, Name: d.Name, Ranks: []int{}, Readings: len(s),
		PowerLimitW: float64(d.PowerLimitMW) / 1000, MaxSMMHz: float64(d.MaxSMClockMHz),
		SMMHz: levelOf(s, nvml.SMClock, 1), MemMHz: levelOf(s, nvml.MemClock, 1),
		PowerW: levelOf(s, nvml.Power, 1000), TempC: levelOf(s, nvml.Temp, 1),
		NVLinkTxBytes: movedBytes(s, nvml.NVLinkTx), NVLinkRxBytes: movedBytes(s, nvml.NVLinkRx),
		Reasons: []document.ReasonTime{}, Bands: j.bands(s), Series: seriesOf(s),
	}
	if c := j.placed.on(d.Index); c != nil {
		out.How = c.how
		for _, p := range c.places {
			out.Ranks = append(out.Ranks, j.number[p.rank])
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
		t := document.ReasonTime{Reason: x.Reason.String(), Throttles: x.Reason.Throttled() != 0, Share: x.Share}
		if x.CounterNS != nil {
			ns := int64(*x.CounterNS)
			t.CounterNS = &ns
		}
		out.Reasons = append(out.Reasons, t)
	}
	return out
}

func levelOf(s nvml.Series, f nvml.Field, per float64) *document.Level {
	l, ok := s.Levels(f)
	if !ok {
		return nil
	}
	return &document.Level{Min: float64(l.Min) / per, Mean: l.Mean / per, Max: float64(l.Max) / per}
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
