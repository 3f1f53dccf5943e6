package compose

import (
	"cmp"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tokprof/report/document"
	"tokprof/report/figures"
)

// sums adds a number up over a list.
func sums[T any](list []T, f func(T) int64) (sum int64) {
	for _, x := range list {
		sum += f(x)
	}
	return sum
}

// checkAgrees wants all parts of a document to add up to the same totals.
func checkAgrees(t *testing.T, a *document.Analysis) {
	t.Helper()
	same := func(what string, got, want int64) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %s is %d, want %d", a.Window.Name, what, got, want)
		}
	}
	all := func(rows []document.Row) (out []document.Row) {
		for _, r := range rows {
			if r.Phase == "all" {
				out = append(out, r)
			}
		}
		return out
	}
	time := sums(a.Devices, func(d document.Device) int64 { return d.SumNS })
	events := sums(a.Devices, func(d document.Device) int64 { return d.Events })
	exposed := sums(a.Stacks.Samples, func(s document.Sample) int64 { return s.ExposedNS })
	same("time of kernels", sums(a.Kernels, func(k document.Kernel) int64 { return k.TotalNS }), time)
	same("time of samples", sums(a.Stacks.Samples, func(s document.Sample) int64 { return s.TimeNS }), time)
	same("time of streams", sums(a.Streams, func(s document.Stream) int64 { return s.SumNS }), time)
	same("events of kernels", sums(a.Kernels, func(k document.Kernel) int64 { return k.Launches }), events)
	same("events of samples", sums(a.Stacks.Samples, func(s document.Sample) int64 { return s.Launches }), events)
	same("events of streams", sums(a.Streams, func(s document.Stream) int64 { return s.Launches }), events)
	same("exposed time of kernels", sums(a.Kernels, func(k document.Kernel) int64 { return k.ExposedNS }), exposed)
	for what, rows := range map[string][]document.Row{"groups": a.Groups, "categories": a.Categories, "parts": a.Parts} {
		same("time of "+what, sums(all(rows), func(r document.Row) int64 { return r.TimeNS }), time)
		same("time of "+what+" by phase", sums(rows, func(r document.Row) int64 { return r.TimeNS }), 2*time)
		same("exposed time of "+what, sums(all(rows), func(r document.Row) int64 { return r.ExposedNS }), exposed)
		same("events of "+what, sums(all(rows), func(r document.Row) int64 { return r.Launches }), events)
		share := 0.0
		for _, r := range all(rows) {
			share += r.Share
		}
		if math.Abs(share-1) > 1e-9 {
			t.Errorf("%s: shares of %s add up to %v", a.Window.Name, what, share)
		}
	}
	same("whole graphs alone", sums(a.Stacks.Whole, func(w document.WholeSample) int64 { return w.ExposedNS }), sums(a.Devices, func(d document.Device) int64 { return d.GraphNS }))
	for _, rank := range graphRanks(a) {
		whole := func(f func(document.WholeSample) int64) int64 {
			return sums(a.Stacks.Whole, func(w document.WholeSample) int64 {
				if w.Rank != rank {
					return 0
				}
				return f(w)
			})
		}
		hidden := func(f func(document.Graph) int64) int64 {
			return sums(a.Graphs, func(g document.Graph) int64 {
				if g.Rank != rank || g.Kernels > 0 {
					return 0
				}
				return f(g)
			})
		}
		same("time of whole graphs", whole(func(w document.WholeSample) int64 { return w.TimeNS }), hidden(func(g document.Graph) int64 { return g.TimeNS }))
		same("whole graphs", whole(func(w document.WholeSample) int64 { return w.Runs }), hidden(func(g document.Graph) int64 { return g.Replays }))
	}
	checkDevices(t, a, same)
	checkLengths(t, a, same)
	checkKernels(t, a, same)
	checkSteps(t, a, same)
	checkStepWords(t, a)
	checkTokenTimes(t, a)
}

// checkTokenTimes wants tokens to come as fast as the steps that make them.
func checkTokenTimes(t *testing.T, a *document.Analysis) {
	t.Helper()
	for _, p := range a.Phases {
		m := document.MeanStep(a, p.Phase)
		if m == nil || p.Tokens == 0 {
			continue
		}
		step, tokens := float64(m.Total())/float64(m.Steps), float64(p.Tokens)/float64(p.Steps)
		if got := p.USPerToken * 1000 * tokens; math.Abs(got-step) > 1 {
			t.Errorf("%s: %s tokens of a step take %.0f ns, the step %.0f", a.Window.Name, p.Phase, got, step)
		}
	}
}

// stepLength finds what verdict and findings call the length of a step.
var stepLength = regexp.MustCompile(`(Prefill|Decode|Mixed|server).* takes? ([\d.]+ \S+) a step \(|an? ([\d.]+ \S+) (prefill|decode|mixed) step`)

// checkStepWords wants every sentence to name one length for a phase's step.
func checkStepWords(t *testing.T, a *document.Analysis) {
	t.Helper()
	texts := []string{a.Verdict}
	for _, f := range a.Findings {
		texts = append(append(texts, f.Title, f.MaxGain, f.Confirm), f.Evidence...)
	}
	for _, text := range texts {
		for _, m := range stepLength.FindAllStringSubmatch(text, -1) {
			phase := cmp.Or(m[4], strings.ToLower(m[1]))
			if phase == "server" {
				phase = "none"
			}
			want := document.PhaseNamed(a, phase).StepNS.Median
			if mean := document.MeanStep(a, phase); mean != nil {
				want = mean.Total() / mean.Steps
			}
			if got, want := m[2]+m[3], figures.Dur(want); got != want {
				t.Errorf("%s: a %s step takes %s, but %q", a.Window.Name, phase, want, text)
			}
		}
	}
}

// checkLengths wants a mean step's busy and idle time to be its length, and no
// share of anything to be more than all of it.
func checkLengths(t *testing.T, a *document.Analysis, same func(string, int64, int64)) {
	t.Helper()
	limits := document.PauseLimits(a.Steps)
	for _, m := range document.StepMeans(a) {
		var busy, length int64
		for i := range a.Steps {
			s := &a.Steps[i]
			if s.Phase != m.Phase || s.Rank != m.Rank || s.DurNS == 0 || len(s.Parts) == 0 {
				continue
			}
			span := s.DurNS
			if s.PeriodNS > 0 && s.PeriodNS <= limits[s.Phase] {
				span = s.PeriodNS
			}
			busy, length = busy+s.BusyNS, length+max(span, s.BusyNS)
			if s.BusyNS > s.DurNS || s.GraphNS() > s.BusyNS {
				t.Errorf("%s: step %d of rank %d is busy %d ns (%d in whole graphs) of %d", a.Window.Name, s.Index, s.Rank, s.BusyNS, s.GraphNS(), s.DurNS)
			}
		}
		same(fmt.Sprintf("%s steps of rank %d, busy and idle", m.Phase, m.Rank), busy+m.Idle, length)
	}
	share := func(what string, x float64) {
		t.Helper()
		if !(x >= 0 && x <= 1+1e-9) {
			t.Errorf("%s: %s is a share of %v", a.Window.Name, what, x)
		}
	}
	for _, rows := range [][]document.Row{a.Groups, a.Categories, a.Parts, a.Roles} {
		for _, r := range rows {
			share(r.Phase+" "+r.Name, r.Share)
		}
	}
	for _, d := range a.Devices {
		for _, c := range d.IdleCauses {
			share("idle, "+c.Cause, c.Share)
		}
	}
	for _, f := range a.Findings {
		share("the gain of "+f.ID, f.GainShare)
		for _, text := range append([]string{f.Title, f.MaxGain}, f.Evidence...) {
			for _, m := range percents.FindAllStringSubmatch(text, -1) {
				x, _ := strconv.ParseFloat(m[1], 64)
				share("a number of "+text, x/100)
			}
		}
	}
}

// percents are shares in words; behind a plus sign they are growth.
var percents = regexp.MustCompile(`(?:^|[^+\d.])([\d.]+) %`)

func graphRanks(a *document.Analysis) (ranks []int) {
	for _, d := range a.Devices {
		if !slices.Contains(ranks, d.Rank) {
			ranks = append(ranks, d.Rank)
		}
	}
	return ranks
}

// checkSteps wants steps to hold all time that has a phase, and a drawing of a
// step to hold all of it.
func checkSteps(t *testing.T, a *document.Analysis, same func(string, int64, int64)) {
	t.Helper()
	parts := func(s document.Step) int64 { return sums(s.Parts, func(p document.NameTime) int64 { return p.TimeNS }) }
	inSteps := sums(a.Groups, func(r document.Row) int64 {
		if r.Phase == "all" || r.Phase == "none" {
			return 0
		}
		return r.TimeNS
	})
	if slices.ContainsFunc(a.Steps, func(s document.Step) bool { return len(s.Parts) > 0 }) {
		same("parts of steps", sums(a.Steps, func(s document.Step) int64 { return (parts(s) - s.GraphNS()) * s.OnGPUs() }), inSteps)
	}
	for _, tl := range a.Timelines {
		i := slices.IndexFunc(a.Steps, func(s document.Step) bool { return s.Rank == tl.Rank && s.Index == tl.Step })
		var events, time int64
		for _, l := range tl.Lanes {
			for _, e := range l.Spans {
				event := l.GPU && e.Whole == nil
				if (e.Kernel >= 0) != event || int(e.Kernel) >= len(a.Kernels) || (e.Name == "") != l.GPU || e.StartNS < 0 || e.StartNS+e.DurNS > tl.DurNS || (e.Part == document.WholePart) != (e.Whole != nil) {
					t.Errorf("%s: lane %s has %+v", tl.Title, l.Name, e)
				}
				if e.Whole != nil && !l.GPU {
					t.Errorf("%s: a graph ran on %s", tl.Title, l.Name)
				}
				if event {
					events++
					time += e.DurNS
				}
			}
		}
		same("events drawn of "+tl.Title, events, a.Steps[i].Launches)
		same("time drawn of "+tl.Title, time, (parts(a.Steps[i])-a.Steps[i].GraphNS())*a.Steps[i].OnGPUs())
		if tl.Phase != a.Steps[i].Phase || !strings.HasPrefix(tl.Title, fmt.Sprintf("%s step %d", tl.Phase, tl.Step)) {
			t.Errorf("%q is of %s step %d", tl.Title, a.Steps[i].Phase, a.Steps[i].Index)
		}
	}
}

func checkDevices(t *testing.T, a *document.Analysis, same func(string, int64, int64)) {
	t.Helper()
	for i, d := range a.Devices {
		same("busy, graphs and idle", d.BusyNS+d.GraphNS+d.IdleNS, a.Window.DurNS)
		same("idle causes", sums(d.IdleCauses, func(c document.IdleCause) int64 { return c.TimeNS }), d.IdleNS)
		if !slices.IsSortedFunc(d.IdleCauses, func(x, y document.IdleCause) int { return int(y.TimeNS - x.TimeNS) }) {
			t.Errorf("idle causes are not by time: %+v", d.IdleCauses)
		}
		l := a.Launches[i]
		if l.Rank != d.Rank || l.Device != d.Device {
			t.Errorf("launches %d are of rank %d device %d", i, l.Rank, l.Device)
		}
		same("streams of a device", sums(a.Streams, func(s document.Stream) int64 {
			if s.Rank != d.Rank || s.Device != d.Device {
				return 0
			}
			return s.SumNS
		}), d.SumNS)
	}
	same("devices with launches", int64(len(a.Launches)), int64(len(a.Devices)))
}

func checkKernels(t *testing.T, a *document.Analysis, same func(string, int64, int64)) {
	t.Helper()
	for i, k := range a.Kernels {
		var graph, total int64
		for _, s := range a.Stacks.Samples {
			if s.Kernel == int32(i) {
				total += s.TimeNS
				if s.Graph {
					graph += s.TimeNS
				}
			}
		}
		same(k.ShortName+" in samples", total, k.TotalNS)
		same(k.ShortName+" in graphs", graph, k.GraphNS)
		same(k.ShortName+" by phase", sums(k.Phases, func(p document.PhaseTime) int64 { return p.TimeNS }), k.TotalNS)
		if k.MinNS > k.MedianNS || k.MedianNS > k.P99NS || k.P99NS > k.MaxNS || k.ExposedNS > k.TotalNS || i > 0 && k.TotalNS > a.Kernels[i-1].TotalNS {
			t.Errorf("kernel %d: %+v", i, k)
		}
	}
	for _, s := range a.Stacks.Samples {
		if s.Node <= 0 || int(s.Node) >= len(a.Stacks.Nodes) {
			t.Errorf("a sample hangs from node %d of %d", s.Node, len(a.Stacks.Nodes))
		}
	}
	copies := sums(a.Kernels, func(k document.Kernel) int64 {
		if k.Group != "memory" {
			return 0
		}
		return k.Launches
	})
	same("copies and memsets", sums(a.Copies, func(c document.Copy) int64 { return c.Count }), copies)
}
