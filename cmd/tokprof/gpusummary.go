package main

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"tokprof/nvml"
)

// writeSummary writes what one GPU read over a recording.
func writeSummary(w io.Writer, s nvml.Summary) {
	fmt.Fprintf(w, "GPU %d  %s\n", s.Device.Index, orDash(s.Device.Name))
	line := func(label, format string, args ...any) {
		fmt.Fprintf(w, "  %-12s  %s\n", label, fmt.Sprintf(format, args...))
	}
	if s.Readings == 0 {
		line("readings", "none")
		return
	}
	line("readings", "%d in %s, every %s, longest gap %s", s.Readings, seconds(s.ToNS-s.FromNS), milliseconds(s.PeriodNS), milliseconds(s.LongestGapNS))
	line("from", "%s (Unix ns %d)", time.Unix(0, s.FromNS).UTC().Format("2006-01-02 15:04:05.000 UTC"), s.FromNS)
	if l, ok := s.Levels[nvml.Power]; ok {
		line("power", "%s%s", level(l, 1e3, "W"), limit(", limit %.0f W", s.Device.PowerLimitMW, 1e3))
	}
	writeEnergy(line, s)
	for _, c := range []struct {
		label string
		field nvml.Field
		max   uint64
	}{{"SM clock", nvml.SMClock, s.Device.MaxSMClockMHz}, {"memory clock", nvml.MemClock, s.Device.MaxMemClockMHz}} {
		if l, ok := s.Levels[c.field]; ok {
			line(c.label, "%s%s", level(l, 1, "MHz"), limit(", at most %.0f MHz", c.max, 1))
		}
	}
	if l, ok := s.Levels[nvml.Temp]; ok {
		line("temperature", "%s", level(l, 1, "°C"))
	}
	if l, ok := s.Levels[nvml.MemTemp]; ok {
		line("", "memory %s", level(l, 1, "°C"))
	}
	writeUse(line, s)
	writeReasons(line, s)
	writeTraffic(line, s)
	for _, x := range s.Xids {
		line("Xid", "%d at %s into the recording", x.Xid, seconds(x.UnixNS-s.FromNS))
	}
	writeRefresh(line, s)
}

// level writes a mean and what it is the mean of.
func level(l nvml.Levels, unit float64, name string) string {
	if l.Min == l.Max {
		return fmt.Sprintf("%.0f %s throughout", l.Mean/unit, name)
	}
	return fmt.Sprintf("mean %.0f %s, %.0f to %.0f", l.Mean/unit, name, float64(l.Min)/unit, float64(l.Max)/unit)
}

type lineWriter func(label, format string, args ...any)

func writeEnergy(line lineWriter, s nvml.Summary) {
	e := s.Energy
	if e == nil {
		return
	}
	text := fmt.Sprintf("%.0f J by the counter over %s (%.0f W)", float64(e.CounterMJ)/1e3, seconds(e.ToNS-e.FromNS), e.MeanMW()/1e3)
	if e.IntegralMJ > 0 && e.CounterMJ > 0 {
		text += fmt.Sprintf(", by power %+.1f %%", (e.IntegralMJ/float64(e.CounterMJ)-1)*100)
	}
	line("energy", "%s", text)
}

// writeUse writes how busy the GPU was, by the driver and by GPM.
func writeUse(line lineWriter, s nvml.Summary) {
	var parts []string
	for _, u := range []struct {
		label string
		field nvml.Field
		unit  float64
	}{
		{"any kernel", nvml.UtilGPU, 1}, {"SM", nvml.SMActive, 10}, {"warps", nvml.SMOccupancy, 10},
		{"tensor", nvml.TensorActive, 10}, {"DRAM", nvml.DRAMActive, 10},
	} {
		if l, ok := s.Levels[u.field]; ok {
			parts = append(parts, fmt.Sprintf("%s %.0f %%", u.label, l.Mean/u.unit))
		}
	}
	if len(parts) > 0 {
		line("busy", "%s", strings.Join(parts, ", "))
	}
	if l, ok := s.Levels[nvml.MemUsed]; ok {
		line("memory", "%.1f GiB at most%s", float64(l.Max)/(1<<30), limit(" of %.1f GiB", s.Device.MemoryBytes, 1<<30))
	}
}

func writeReasons(line lineWriter, s nvml.Summary) {
	if len(s.Reasons) == 0 {
		line("clocks held", "by nothing that was told")
	}
	for _, r := range s.Reasons {
		text := fmt.Sprintf("%s %s of the time", r.Reason, percent(r.Share))
		if r.CounterNS != nil {
			text += fmt.Sprintf(", %s by its counter", seconds(int64(*r.CounterNS)))
		}
		line("clocks held", "%s", text)
		line("", "(%s)", r.Reason.Meaning())
	}
}

func writeTraffic(line lineWriter, s nvml.Summary) {
	in, okIn := s.Counters[nvml.NVLinkRx]
	out, okOut := s.Counters[nvml.NVLinkTx]
	if okIn && okOut {
		scope := s.LinkScope
		if scope == "" {
			scope = "of which links is not recorded"
		}
		line("NVLink", "in %s, out %s", traffic(in, 1024), traffic(out, 1024))
		line("", "(%s)", scope)
	}
	in, okIn = s.Counters[nvml.PCIeRx]
	out, okOut = s.Counters[nvml.PCIeTx]
	if okIn && okOut {
		line("PCIe", "in %s, out %s", traffic(in, 1), traffic(out, 1))
	}
}

// traffic writes a counter's bytes and mean rate, and a doubt where it fell.
func traffic(d nvml.Delta, unit float64) string {
	s := fmt.Sprintf("%s (%s)", byteCount(float64(d.Value)*unit), bytesPerSecond(d.PerSecond()*unit))
	if d.Resets > 0 {
		s = "at least " + s
	}
	return s
}

// refreshed are the values whose renewal is told, where they changed.
var refreshed = []nvml.Field{nvml.Power, nvml.PowerInstant, nvml.Energy, nvml.UtilGPU, nvml.NVLinkRx, nvml.PCIeRx, nvml.Temp}

func writeRefresh(line lineWriter, s nvml.Summary) {
	var parts []string
	for _, f := range refreshed {
		r, ok := s.Refresh[f]
		if !ok {
			continue
		}
		text := milliseconds(int64(r.Median))
		if float64(r.Median) < 1.5*float64(s.PeriodNS) {
			text = "each reading"
		}
		parts = append(parts, f.String()+" "+text)
	}
	for len(parts) > 0 {
		n := min(3, len(parts))
		line("changes", "%s", strings.Join(parts[:n], ", "))
		parts = parts[n:]
	}
}

func limit(format string, v uint64, unit float64) string {
	if v == 0 {
		return ""
	}
	return fmt.Sprintf(format, float64(v)/unit)
}

func seconds(ns int64) string { return fmt.Sprintf("%.1f s", float64(ns)/1e9) }

func milliseconds(ns int64) string {
	if ns < 10e6 {
		return fmt.Sprintf("%.1f ms", float64(ns)/1e6)
	}
	return fmt.Sprintf("%.0f ms", float64(ns)/1e6)
}

func percent(share float64) string {
	if share > 0 && share < 0.001 {
		return "<0.1 %"
	}
	return fmt.Sprintf("%.1f %%", share*100)
}

func byteCount(v float64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for v >= 1024 && i < len(units)-1 {
		v /= 1024
		i++
	}
	return fmt.Sprintf("%.4g %s", v, units[i])
}

func bytesPerSecond(v float64) string {
	switch {
	case v >= 1e9:
		return fmt.Sprintf("%.4g GB/s", math.Round(v/1e7)/100)
	case v >= 1e6:
		return fmt.Sprintf("%.4g MB/s", v/1e6)
	}
	return fmt.Sprintf("%.4g kB/s", v/1e3)
}
