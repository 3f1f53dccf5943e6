package document

import "slices"

// SummaryRole is the role of a source that sums kernels up by name.
const SummaryRole = "summary"

// SummaryOnly says that the document rests on sums by kernel name alone: no
// moment of any kernel is known, so it has no devices, streams, steps, phases
// or parts, and no time is known to be exposed or idle.
func (a *Analysis) SummaryOnly() bool {
	return len(a.Sources) > 0 && a.Sources[0].Role == SummaryRole
}

// NoEpoch is the code of the doubt that a trace counts time from a start of its
// own.
const NoEpoch = "no_epoch"

// UnixClock says that the moments of the document are Unix time.
func (a *Analysis) UnixClock() bool {
	return a.Window.StartUnixNS > 0 && !slices.ContainsFunc(a.Trust, func(t Trust) bool { return t.Code == NoEpoch })
}

// MainPhase is the phase with the most GPU time among those with steps; "" when
// there are no steps.
func MainPhase(a *Analysis) string {
	times := map[string]int64{}
	for _, r := range a.Groups {
		times[r.Phase] += r.TimeNS
	}
	for i := range a.Steps {
		times[a.Steps[i].Phase] += a.Steps[i].GraphNS() * a.Steps[i].OnGPUs()
	}
	best := ""
	for _, p := range a.Phases {
		if best == "" || times[p.Phase] > times[best] {
			best = p.Phase
		}
	}
	return best
}

// PhaseNamed is the steps of one kind; nil when there are none.
func PhaseNamed(a *Analysis, name string) *Phase {
	for i := range a.Phases {
		if a.Phases[i].Phase == name {
			return &a.Phases[i]
		}
	}
	return nil
}

// causeNames name each cause so that it can stand alone or after a number.
var causeNames = map[string]string{
	"host_late":      "the host launched late",
	"host_sync":      "the host was in a synchronising call",
	"no_step":        "no step was running",
	"profiler":       "profiler overhead",
	"short_gap":      "short gaps between kernels",
	"launch_latency": "launch latency",
	"dependency":     "waiting for another stream",
	"unknown":        "unknown",
}

// CauseName says an idle cause in the words of a list; "" for an unknown one.
func CauseName(cause string) string { return causeNames[cause] }
