package compose

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"tokprof/fixtures/golden"
	"tokprof/kernels/breakdown"
	"tokprof/report/document"
	"tokprof/trace"
)

// TestSamplesGolden pins what the metrics of an export of our own say.
func TestSamplesGolden(t *testing.T) {
	r := reduce(t, "../../fixtures/nsys/llama-4l-gpumetrics/report1.sqlite.gz")
	a := Build([]*breakdown.Rank{r}, Options{}).Analyses[0]
	checkSamples(t, a)
	var b bytes.Buffer
	for _, s := range a.Samples.Series {
		fmt.Fprintf(&b, "%s %v %s\n", s.Source, s.Owners, s.How)
		fmt.Fprintf(&b, "  %s | %s | %s: %d samples each %d ns, %.4g–%.4g, mean %.4g over %.3g, %d points\n",
			s.Metric, s.Unit, s.Key, s.Samples, s.PeriodNS, s.Level.Min, s.Level.Max, s.Level.Mean, s.CoveredShare, len(s.Values))
		for _, p := range s.Phases {
			fmt.Fprintf(&b, "  %s %s\n", p.Phase, phaseMean(p))
		}
	}
	golden.Check(t, "samples.golden", b.Bytes())
	if lines := trustOf(a, "samples_partial"); len(lines) != 1 || !strings.HasPrefix(lines[0], "the samples of GPU 1 cover 19 % of the window") {
		t.Errorf("%q", lines)
	}
}

func phaseMean(p document.PhaseSample) string {
	if p.Mean == nil {
		return p.Why
	}
	return fmt.Sprintf("%.4g of %.3g", *p.Mean, p.CoveredShare)
}

// checkSamples wants means between the lowest and the highest sample, and points
// in order and inside the window.
func checkSamples(t *testing.T, a *document.Analysis) {
	t.Helper()
	from, to := a.Window.StartUnixNS, a.Window.StartUnixNS+a.Window.DurNS
	points := 0
	for _, s := range a.Samples.Series {
		in := func(what string, v float64) {
			if math.IsNaN(v) || v < s.Level.Min || v > s.Level.Max {
				t.Errorf("%s %s: %s is %v, outside %v–%v", s.Source, s.Metric, what, v, s.Level.Min, s.Level.Max)
			}
		}
		in("the mean", s.Level.Mean)
		for _, p := range s.Phases {
			if p.Mean != nil {
				in(p.Phase, *p.Mean)
			}
			if (p.Mean == nil) != (p.Why != "") || p.CoveredShare < 0 || p.CoveredShare > 1 {
				t.Errorf("%s %s: %+v", s.Source, s.Metric, p)
			}
		}
		if len(s.UnixNS) != len(s.Values) || len(s.Values) > min(s.Samples, drawnPoints) || !slices.IsSorted(s.UnixNS) || s.CoveredShare > 1 {
			t.Errorf("%s %s: %d times of %d points of %d samples", s.Source, s.Metric, len(s.UnixNS), len(s.Values), s.Samples)
		}
		for i, at := range s.UnixNS {
			in("a point", s.Values[i])
			if at < from || at > to {
				t.Errorf("%s %s: a point at %d is outside the window", s.Source, s.Metric, at)
			}
		}
		points += len(s.Values)
	}
	if points > 60_000 {
		t.Errorf("%d points", points)
	}
}

// sampledAt is a series of a value each period, in ns from epoch.
func sampledAt(source string, gpu int, name string, from, period int64, values ...float64) trace.Series {
	s := trace.Series{Source: source, GPU: gpu, Device: -1, Name: name, Behind: gpu < 0, Values: values}
	for i := range values {
		s.Times = append(s.Times, trace.Time(epoch+from+int64(i)*period))
	}
	return s
}

// oneFile puts ranks into one export, whose series they share.
func oneFile(ranks []*breakdown.Rank, series ...trace.Series) []*breakdown.Rank {
	for _, r := range ranks {
		r.Info.Path, r.Info.Name = "/x/report.sqlite", "report.sqlite"
		r.Series = slices.Clone(series)
	}
	return ranks
}

// zigzag are values of the odd and of the even samples.
func zigzag(n int, even, odd float64) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = even
		if i%2 == 1 {
			out[i] = odd
		}
	}
	return out
}

// TestSamplesOfTwoRanks has two ranks of one file, the GPU of one sampled, a GPU
// of nobody, and a network port: each series stands once, and is held against
// the steps of those it is of.
func TestSamplesOfTwoRanks(t *testing.T) {
	ms := second / 1000
	first := working(0, 0, 2, 0, 2, busy{trace.Prefill, 0, 40 * ms, 100}, busy{trace.Decode, 40 * ms, 100 * ms, 8})
	other := working(1, 0, 2, 1, 2, busy{trace.Prefill, 0, 60 * ms, 100}, busy{trace.Decode, 60 * ms, 100 * ms, 8})
	// 10 a ms during the first 40 ms, 20 in the next 20, then 30.
	var values []float64
	for i := range 100 {
		values = append(values, []float64{10, 10, 20, 30, 30}[i/20])
	}
	series := []trace.Series{
		sampledAt("GPU 0", 0, "SMs Active [Throughput %]", 0, ms, values...),
		sampledAt("GPU 3", 3, "SMs Active [Throughput %]", 0, ms, values...),
		sampledAt("NIC mlx5_0 port 1", -1, "Bytes sent [B]", ms, ms, values...),
	}
	ranks := oneFile([]*breakdown.Rank{first, other}, series...)
	other.Series[0].Device = 1
	for _, r := range ranks {
		r.Series[0].DeviceHow, r.Series[1].DeviceHow = trace.ByDeviceTable, trace.ByDeviceTable
	}
	a := Build(ranks, Options{}).Analyses[0]
	checkSamples(t, a)
	var got []string
	for _, s := range a.Samples.Series {
		line := fmt.Sprintf("%s %s %v %s:", s.Source, s.Key, s.Owners, s.How)
		for _, p := range s.Phases {
			line += " " + p.Phase + " " + phaseMean(p)
		}
		got = append(got, line)
	}
	want := []string{
		"GPU 0 sm_active [{1 1}] device_table: prefill 13.33 of 1 decode 30 of 1",
		"GPU 3 sm_active [] device_table:",
		// Both ranks' steps, joined: 60 ms of prefill, 60 ms of decode.
		"NIC mlx5_0 port 1 nic_tx [] : prefill 13.33 of 1 decode 26.67 of 1",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s\nwant %s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if lines := trustOf(a, "unsampled_ranks"); len(lines) != 1 || !strings.HasPrefix(lines[0], "rank 0 ran on a GPU without samples") {
		t.Errorf("%q", lines)
	}
}

// TestSamplesOfTwoFiles has a GPU of one number in two files of one name: they are
// two GPUs, each held against its own rank's steps.
func TestSamplesOfTwoFiles(t *testing.T) {
	ms := second / 1000
	var ranks []*breakdown.Rank
	for i, split := range []int64{40 * ms, 60 * ms} {
		r := working(i, 0, 2, 0, 1, busy{trace.Prefill, 0, split, 100}, busy{trace.Decode, split, 100 * ms, 8})
		oneFile([]*breakdown.Rank{r}, withOwner(sampledAt("GPU 0", 0, "x", 0, ms, slices.Concat(zigzag(50, 10, 10), zigzag(50, 30, 30))...)))
		r.Info.Path = fmt.Sprint("/host", i, "/report.sqlite")
		ranks = append(ranks, r)
	}
	var got []string
	for _, s := range Build(ranks, Options{}).Analyses[0].Samples.Series {
		got = append(got, fmt.Sprintf("%d %v: %s, %s", s.File, s.Owners, phaseMean(s.Phases[0]), phaseMean(s.Phases[1])))
	}
	if want := []string{"0 [{0 0}]: 10 of 1, 26.67 of 1", "1 [{1 0}]: 13.33 of 1, 30 of 1"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestSampledOwners says of whom it is not known which GPU they ran on, and never
// that a GPU is nobody's without the export's word for it.
func TestSampledOwners(t *testing.T) {
	gpu := func(n, device int, how string) trace.Series {
		s := sampledAt(fmt.Sprint("GPU ", n), n, "x", 0, second/1000, zigzag(100, 1, 2)...)
		s.Device, s.DeviceHow = device, how
		return s
	}
	nic := sampledAt("NIC a port 1", -1, "x", 0, second/1000, zigzag(100, 1, 2)...)
	for _, c := range []struct {
		what   string
		series []trace.Series
		want   string
	}{
		{"listed", []trace.Series{gpu(1, 0, trace.ByDeviceTable), gpu(2, -1, trace.ByDeviceTable)}, "device_table device_table"},
		{"listed, another GPU", []trace.Series{gpu(1, -1, trace.ByDeviceTable)}, "device_table unsampled_ranks"},
		{"equal number", []trace.Series{gpu(0, 0, trace.ByEqualNumber), gpu(1, -1, "")}, "equal_number  sampled_gpu"},
		{"no number is equal", []trace.Series{gpu(1, -1, ""), nic}, "  unknown_sampled_gpus"},
		{"network alone", []trace.Series{nic}, ""},
	} {
		a := sampledRun(decodes(10, second/100), c.series...)
		var got []string
		for _, s := range a.Samples.Series {
			got = append(got, s.How)
			if owned := len(s.Owners) > 0; owned != (len(s.Phases) > 0) && !strings.HasPrefix(s.Source, "NIC") {
				t.Errorf("%s: %d phases of %d owners", c.what, len(s.Phases), len(s.Owners))
			}
		}
		for _, x := range a.Trust {
			if slices.Contains([]string{"sampled_gpu", "unsampled_ranks", "unknown_sampled_gpus"}, x.Code) {
				got = append(got, x.Code)
			}
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s: %q, want %q", c.what, s, c.want)
		}
	}
}

func trustOf(a *document.Analysis, code string) (out []string) {
	for _, x := range a.Trust {
		if x.Code == code {
			out = append(out, x.Message)
		}
	}
	return out
}

// TestSampledPhases wants no mean where samples do not speak for a phase, and
// the reason; and no word of Unix time for any of it.
func TestSampledPhases(t *testing.T) {
	ms := second / 1000
	steps := []busy{{trace.Prefill, 0, 20 * ms, 50}}
	for i := range int64(40) {
		phase := trace.Decode
		if i%2 == 1 {
			phase = trace.Mixed
		}
		steps = append(steps, busy{phase, 20*ms + i*2*ms, 20*ms + (i+1)*2*ms, 8})
	}
	build := func(s trace.Series) *document.Analysis {
		r := working(0, 0, 1, 0, 1, steps...)
		r.Info.Epoch = false
		s.Device, s.DeviceHow = 0, trace.ByEqualNumber
		a := Build(oneFile([]*breakdown.Rank{r}, s), Options{}).Analyses[0]
		checkSamples(t, a)
		return a
	}
	told := func(a *document.Analysis) string {
		var out []string
		for _, p := range a.Samples.Series[0].Phases {
			out = append(out, p.Phase+" "+phaseMean(p))
		}
		return strings.Join(out, ", ")
	}
	for _, c := range []struct {
		what string
		s    trace.Series
		want string
	}{
		{"all", sampledAt("GPU 0", 0, "x", 0, ms/10, zigzag(1000, 4, 6)...), "prefill 5 of 1, decode 5 of 1, mixed 5 of 1"},
		{"started late", sampledAt("GPU 0", 0, "x", 10*ms, ms/10, zigzag(900, 4, 6)...), "prefill not_covered, decode 5 of 1, mixed 5 of 1"},
		{"as long as two steps", sampledAt("GPU 0", 0, "x", 0, 4*ms, zigzag(25, 4, 6)...), "prefill 4.8 of 1, decode short_steps, mixed short_steps"},
		{"one alone", sampledAt("GPU 0", 0, "x", 50*ms, ms, 7), "prefill not_covered, decode not_covered, mixed not_covered"},
	} {
		a := build(c.s)
		if got := told(a); got != c.want {
			t.Errorf("%s: %s, want %s", c.what, got, c.want)
		}
		if lines := trustOf(a, "sampled_gpu"); len(lines) != 1 || !strings.Contains(lines[0], "rank 0 ran on the GPU that has the same number") {
			t.Errorf("%s: %q", c.what, lines)
		}
	}
	// Steps without a pause between them are one stretch of the phase.
	if got := phaseMean(sampledRun(decodes(40, 2*ms), withOwner(sampledAt("GPU 0", 0, "x", 0, 4*ms, zigzag(20, 4, 6)...))).Samples.Series[0].Phases[0]); got != "5 of 1" {
		t.Errorf("short steps in a row: %s", got)
	}
	// Lost samples: the one before a hole speaks for two periods, not for the hole.
	hole := sampledAt("GPU 0", 0, "x", 0, ms, zigzag(100, 4, 4)...)
	hole.Times = slices.Delete(hole.Times, 5, 18)
	hole.Values = hole.Values[:len(hole.Times)]
	if a := build(hole); told(a) != "prefill not_covered, decode 4 of 1, mixed 4 of 1" || math.Abs(a.Samples.Series[0].CoveredShare-0.88) > 1e-9 {
		t.Errorf("with a hole: %s over %v", told(a), a.Samples.Series[0].CoveredShare)
	}
	away := sampledRun(steps, sampledAt("GPU 0", 0, "x", second, ms, 1, 2, 3))
	if away.Samples != nil || len(trustOf(away, "no_samples")) != 1 {
		t.Errorf("samples outside the window: %+v", away.Samples)
	}
	// A metric that holds no usable sample says nothing, but that it was lost.
	none := trace.Series{Source: "GPU 0", Name: "x", Device: -1, Unusable: 3}
	for what, list := range map[string][]trace.Series{"alone": {none}, "beside another": {none, sampledAt("GPU 0", 0, "y", 0, ms, 1, 2, 3)}} {
		a := sampledRun(steps, list...)
		lines := trustOf(a, "damaged_samples")
		if len(lines) != 1 || !strings.HasPrefix(lines[0], "3 samples") || len(trustOf(a, "no_samples")) != 0 || (a.Samples == nil) != (what == "alone") {
			t.Errorf("%s, a metric without a usable sample: %q", what, lines)
		}
	}
}

// withOwner gives a series to the first device of the rank.
func withOwner(s trace.Series) trace.Series {
	s.Device, s.DeviceHow = 0, trace.ByDeviceTable
	return s
}

// sampledRun is the document of one rank.
func sampledRun(steps []busy, series ...trace.Series) *document.Analysis {
	return Build(oneFile([]*breakdown.Rank{working(0, 0, 1, 0, 1, steps...)}, series...), Options{}).Analyses[0]
}

// TestSampledBounds wants at most so many series and points, those with a key
// first, and the others counted.
func TestSampledBounds(t *testing.T) {
	const maxSampled = 400
	var series []trace.Series
	for i := range maxSampled + 50 {
		name := fmt.Sprint("metric ", i)
		if i >= maxSampled {
			name = "SMs Active [Throughput %]"
		}
		s := sampledAt(fmt.Sprint("GPU ", i), i, name, 0, second/1000, zigzag(1000, 1, 2)...)
		s.Unusable = 2
		series = append(series, s)
	}
	a := sampledRun(decodes(10, second/10), series...)
	checkSamples(t, a)
	keyed := 0
	for _, s := range a.Samples.Series {
		if s.Key != "" {
			keyed++
		}
	}
	if len(a.Samples.Series) != maxSampled || a.Samples.LeftOut != 50 || keyed != 50 || a.Samples.Unusable != 900 {
		t.Errorf("%d series, %d with a key, %d left out, %d unusable", len(a.Samples.Series), keyed, a.Samples.LeftOut, a.Samples.Unusable)
	}
	if lines := slices.Concat(trustOf(a, "samples_left_out"), trustOf(a, "damaged_samples")); !slices.Equal(lines, []string{
		"50 of 450 sampled series are left out: a document holds at most 400",
		"900 samples have no usable time or number: they are in no value",
	}) {
		t.Errorf("%q", lines)
	}
}

// TestSampledClock has Hz under the name of MHz, as Nsight Systems writes them,
// and MHz, should it write those.
func TestSampledClock(t *testing.T) {
	a := sampledRun(decodes(10, second/100),
		sampledAt("GPU 0", 0, "GPC Clock Frequency [MHz]", 0, second/1000, zigzag(100, 1_980_047_500, 345_000_000)...),
		sampledAt("GPU 1", 1, "GPC Clock Frequency [MHz]", 0, second/1000, zigzag(100, 1980, 345)...))
	for i, s := range a.Samples.Series {
		if math.Abs(s.Level.Max-1980) > 0.1 || math.Abs(s.Level.Min-345) > 0.1 || slices.Max(s.Values) != s.Level.Max {
			t.Errorf("clock %d: %+v", i, s.Level)
		}
	}
}
