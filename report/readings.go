package report

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"tokprof/report/document"
	"tokprof/report/figures"
)

// powerWindow is the window that power readings can speak for: each is the mean
// of the second before on many GPUs.
const powerWindow = 2e9

// readingsText says what the GPUs read, in at most n cells: clock, power, what
// held the clocks back, energy of a token, what was at work in the main phase;
// "" without readings and samples.
func readingsText(a *document.Analysis, n int) string {
	text := "GPU readings"
	sep := ": "
	for _, c := range append(readingClauses(a), activityClauses(a)...) {
		if cellWidth(text+sep+c) > n {
			break
		}
		text += sep + c
		sep = ", "
	}
	if sep == ": " {
		return ""
	}
	return text
}

// readingClauses are of the driver's readings.
func readingClauses(a *document.Analysis) (clauses []string) {
	r := a.Readings
	if r == nil || len(r.Devices) == 0 {
		return nil
	}
	if low, high, ok := levels(r, func(d *document.DeviceReadings) *document.Level { return d.SMMHz }); ok {
		clauses = append(clauses, "SM clock "+span(low, high)+" MHz")
	}
	if low, high, ok := levels(r, func(d *document.DeviceReadings) *document.Level { return d.PowerW }); ok && a.Window.DurNS >= powerWindow {
		power := span(low, high) + " W"
		if limit := r.Devices[0].PowerLimitW; limit > 0 {
			power += " of " + figures.Mean(limit)
		}
		clauses = append(clauses, power)
	}
	clauses = append(clauses, heldBack(r)...)
	for _, p := range a.Phases {
		if p.JPerToken > 0 {
			clauses = append(clauses, printable(p.Phase)+" "+figures.Energy(p.JPerToken)+" a token")
		}
	}
	if slices.ContainsFunc(r.Devices, func(d document.DeviceReadings) bool { return len(d.Ranks) > 1 }) {
		clauses = append(clauses, "which rank ran on which GPU is not known")
	}
	return clauses
}

// activityClauses say how much of the ranks' GPUs was at work during the steps of
// the main phase, where the profiler sampled it.
func activityClauses(a *document.Analysis) (clauses []string) {
	if a.Samples == nil {
		return nil
	}
	phase := document.MainPhase(a)
	for _, m := range []struct{ key, words string }{{document.KeySMActive, "SMs active"}, {document.KeyTensorActive, "tensor cores"}, {document.KeyDRAMRead, "DRAM reads"}} {
		low, high, ok := activity(a.Samples, m.key, phase)
		if !ok {
			continue
		}
		text := m.words + " " + figures.Percent(low/100)
		if to := figures.Percent(high / 100); to != figures.Percent(low/100) {
			text += "–" + to
		}
		if len(clauses) == 0 {
			text = printable(phase) + " with " + text
		}
		clauses = append(clauses, text)
	}
	return clauses
}

// activity is the lowest and the highest mean of a metric in per cent during a
// phase, over the GPUs that are known to be a rank's.
func activity(s *document.Samples, key, phase string) (low, high float64, ok bool) {
	for _, x := range s.Series {
		if x.Key != key || len(x.Owners) == 0 || !strings.HasSuffix(x.Unit, "%") {
			continue
		}
		for _, p := range x.Phases {
			if p.Phase != phase || p.Mean == nil {
				continue
			}
			if !ok {
				low, high, ok = *p.Mean, *p.Mean, true
			}
			low, high = min(low, *p.Mean), max(high, *p.Mean)
		}
	}
	return low, high, ok
}

// levels are the lowest and the highest mean of the GPUs that have a rank, or
// of all where none has.
func levels(r *document.Readings, of func(*document.DeviceReadings) *document.Level) (low, high float64, ok bool) {
	placed := slices.ContainsFunc(r.Devices, func(d document.DeviceReadings) bool { return len(d.Ranks) > 0 })
	for i := range r.Devices {
		d := &r.Devices[i]
		l := of(d)
		if l == nil || placed && len(d.Ranks) == 0 {
			continue
		}
		if !ok {
			low, high, ok = l.Mean, l.Mean, true
		}
		low, high = min(low, l.Mean), max(high, l.Mean)
	}
	return low, high, ok
}

// span is one number, or two where they differ.
func span(low, high float64) string {
	a, b := figures.Mean(low), figures.Mean(high)
	if a == b {
		return a
	}
	return a + "–" + b
}

// heldBack names the reasons that held clocks back, and for how much of the
// window on the GPU that had most of it.
func heldBack(r *document.Readings) (out []string) {
	most := map[string]float64{}
	for _, d := range r.Devices {
		for _, x := range d.Reasons {
			if x.Throttles {
				most[x.Reason] = max(most[x.Reason], x.Share)
			}
		}
	}
	for reason, share := range most {
		if share > 0 {
			out = append(out, printable(reason)+" "+figures.Percent(share)+" of the window")
		}
	}
	slices.Sort(out)
	return out
}

// speedText says how fast the collective with the most time is, "" when its
// message size is not known.
func speedText(a *document.Analysis) string {
	for _, c := range a.Collectives {
		if c.Bytes == 0 || len(c.Sizes) == 0 {
			continue
		}
		// The size with the most transfer time.
		s := slices.MaxFunc(c.Sizes, func(x, y document.CollectiveSize) int {
			return int(x.Count*x.TransferNS.Median - y.Count*y.TransferNS.Median)
		})
		text := fmt.Sprintf("%s of %s by %s: %s", printable(strings.ReplaceAll(c.Kind, "_", "-")), figures.Bytes(s.Bytes), cutMiddle(printable(c.Kernel), 60), figures.Dur(s.TransferNS.Median))
		switch {
		case s.LatencyBound && s.BestNS > 0:
			return text + fmt.Sprintf(", latency-bound, %s × the best of this size", strconv.FormatFloat(float64(s.TransferNS.Median)/float64(s.BestNS), 'g', 3, 64))
		case s.Percent > 0:
			return text + fmt.Sprintf(", bus bandwidth %s, %s of the %s that NCCL counts on", figures.Rate(s.BusBW), figures.Percent(s.Percent/100), figures.Rate(c.Ceiling))
		}
		return text
	}
	return ""
}

// linkWarning is what stands against the path that collectives take, "" when
// nothing does.
func linkWarning(a *document.Analysis) string {
	for _, c := range a.Collectives {
		if c.Warning != "" {
			return printable(c.Warning)
		}
	}
	return ""
}
