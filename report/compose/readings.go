package compose

import (
	"slices"

	"tokprof/nvml"
	"tokprof/report/document"
)

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
	r := &document.Readings{Devices: []document.DeviceReadings{}, LinkScope: rec.LinkScope}
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
func (b *builder) deviceReadings(d nvml.Device, s nvml.Series) document.DeviceReadings {
	out := document.DeviceReadings{
		GPU: d.Index, Name: d.Name, Ranks: []int{}, Readings: len(s),
		PowerLimitW: float64(d.PowerLimitMW) / 1000, MaxSMMHz: float64(d.MaxSMClockMHz),
		SMMHz: levelOf(s, nvml.SMClock, 1), MemMHz: levelOf(s, nvml.MemClock, 1),
		PowerW: levelOf(s, nvml.Power, 1000), TempC: levelOf(s, nvml.Temp, 1),
		NVLinkTxBytes: movedBytes(s, nvml.NVLinkTx), NVLinkRxBytes: movedBytes(s, nvml.NVLinkRx),
		Reasons: []document.ReasonTime{}, Bands: b.bands(s), Series: seriesOf(s),
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
