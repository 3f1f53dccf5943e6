package compose

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tokprof/fixtures/golden"
	"tokprof/kernels"
	"tokprof/kernels/attribution"
	"tokprof/kernels/breakdown"
	"tokprof/kernels/role"
	"tokprof/nvml"
	"tokprof/report/document"
	"tokprof/report/gpus"
	"tokprof/trace"
)

// recording reads a fixture's readings, and the topology beside them.
func recording(t testing.TB, run string) (*nvml.Recording, *nvml.Topology) {
	t.Helper()
	return readings(t, filepath.Join(traces, run, "readings.jsonl.gz")), topology(t, filepath.Join(traces, run, "topology.txt"))
}

func readings(t testing.TB, path string) *nvml.Recording {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	rec, err := nvml.ReadRecording(f)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

func topology(t testing.TB, path string) *nvml.Topology {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	topo, err := nvml.ParseTopology(string(text))
	if err != nil {
		t.Fatal(err)
	}
	return topo
}

// TestReadingsGolden pins what readings and topology add to the fixtures.
func TestReadingsGolden(t *testing.T) {
	mixed := []*breakdown.Rank{reduce(t, filepath.Join(traces, "llama-16l-tp2-nccl", "rank0.1795405261834722870.pt.trace.json.gz"))}
	for run, ranks := range map[string][]*breakdown.Rank{"llama-16l-tp2": bothWindows(t), "llama-16l-tp2-nccl": mixed} {
		rec, topo := recording(t, run)
		var b bytes.Buffer
		for _, a := range Build(ranks, Options{Readings: rec, Topology: topo}).Analyses {
			checkAgrees(t, a)
			checkReadings(t, a)
			var clocks []float64
			for _, s := range a.Steps {
				clocks = append(clocks, s.SMMHz)
			}
			trust := []string{}
			for _, x := range a.Trust {
				trust = append(trust, fmt.Sprintf("%s %s: %s", x.Severity, x.Code, x.Message))
			}
			b.Write(roundedJSON(t, map[string]any{"window": a.Window.Name, "readings": a.Readings, "phases": a.Phases, "clocks": clocks, "collectives": a.Collectives, "trust": trust}))
		}
		golden.Check(t, filepath.Join("readings", run+".json"), b.Bytes())
	}
}

// drawnPoints is how many points of a series a document holds at most.
const drawnPoints = 600

// checkReadings wants everything that is drawn to lie in the window, energies
// to add up and sizes to be all the collectives that have one.
func checkReadings(t *testing.T, a *document.Analysis) {
	t.Helper()
	from, to := a.Window.StartUnixNS, a.Window.StartUnixNS+a.Window.DurNS
	inside := func(at int64) bool { return at >= from && at <= to }
	if a.Readings != nil {
		for _, d := range a.Readings.Devices {
			for _, b := range d.Bands {
				if !inside(b.FromUnixNS) || !inside(b.ToUnixNS) || b.ToUnixNS < b.FromUnixNS {
					t.Errorf("%s: GPU %d: band %+v is outside the window", a.Window.Name, d.GPU, b)
				}
			}
			for _, s := range d.Series {
				if len(s.Values) != len(s.UnixNS) || len(s.Values) > drawnPoints || !slices.IsSorted(s.UnixNS) || !inside(s.UnixNS[0]) || !inside(s.UnixNS[len(s.UnixNS)-1]) {
					t.Errorf("%s: GPU %d: series %s of %d points, %d times", a.Window.Name, d.GPU, s.Name, len(s.Values), len(s.UnixNS))
				}
			}
		}
	}
	for _, p := range a.Phases {
		sum := 0.0
		for _, e := range p.RoleEnergy {
			sum += e.EnergyJ
		}
		if diff := sum - p.EnergyJ; diff > 1e-6*p.EnergyJ || diff < -1e-6*p.EnergyJ {
			t.Errorf("%s: roles of %s used %v J of %v", a.Window.Name, p.Phase, sum, p.EnergyJ)
		}
	}
	for _, c := range a.Collectives {
		if n := sums(c.Sizes, func(s document.CollectiveSize) int64 { return s.Count }); n > c.Count || n == 0 != (c.Bytes == 0) {
			t.Errorf("%s: %d of %d %s have a size, %d bytes", a.Window.Name, n, c.Count, c.Kernel, c.Bytes)
		}
		for _, s := range c.Sizes {
			if s.BestNS > s.TransferNS.Median || s.MinBytes > s.Bytes || s.Bytes > s.MaxBytes || s.LatencyBound && s.Percent != 0 {
				t.Errorf("%s: %s: %+v", a.Window.Name, c.Kernel, s)
			}
		}
	}
}

// second is one in ns; crafted windows start at epoch.
const (
	second = int64(1e9)
	epoch  = int64(1_700_000_000) * second
)

// busy is one step of a crafted rank, in ns from epoch.
type busy struct {
	phase    trace.Phase
	from, to int64
	tokens   int64
}

// working is a rank on a device of its process that sees so many GPUs, at work
// in steps: three quarters of each in a product, one in attention.
func working(rank, replica, world, device, sees int, steps ...busy) *breakdown.Rank {
	r := &breakdown.Rank{
		Info:    trace.Info{Name: fmt.Sprint("r", replica, rank), Rank: rank, Replica: replica, WorldSize: world, Epoch: true, SHA256: fmt.Sprint(replica, rank), GPUNames: map[int]string{}},
		GPUName: "NVIDIA H200",
		Frames:  []attribution.Frame{{Parent: -1}, {Kind: attribution.FrameOp, Name: "op"}},
		Kernels: []breakdown.Kernel{
			{Name: "gemm", Match: kernels.Match{Category: kernels.Category{Group: "gemm", Subgroup: "dense"}}},
			{Name: "attention", Match: kernels.Match{Category: kernels.Category{Group: "attention", Subgroup: "core"}}},
		},
	}
	for d := range sees {
		r.Info.GPUNames[d] = "NVIDIA H200"
	}
	for i, s := range steps {
		from, to := trace.Time(epoch+s.from), trace.Time(epoch+s.to)
		r.Steps = append(r.Steps, attribution.Step{
			Name: fmt.Sprint("step ", i), Label: trace.StepLabel{Phase: s.phase, Tokens: s.tokens, Requests: s.tokens},
			Start: from, First: from, Last: to, Busy: to - from, Launches: 2,
		})
		for k, c := range []breakdown.Cell{
			{Role: role.QKVProj, Part: attribution.PartAttention, Time: (to - from) * 3 / 4},
			{Part: attribution.PartAttention, Time: (to - from) - (to-from)*3/4},
		} {
			c.Node, c.Kernel, c.Device, c.Stream, c.Phase, c.Exposed, c.Launches = 1, int32(k), device, 7, s.phase, c.Time, 1
			r.Cells = append(r.Cells, c)
			r.Kernels[k].Durs = r.Kernels[k].Durs.Merge(breakdown.Durations{{Dur: c.Time, Count: 1}})
			r.StepSums = append(r.StepSums, breakdown.StepSum{Step: int32(i), Part: c.Part, Role: c.Role, Time: c.Time})
		}
		if i == 0 {
			r.Start = from
		}
		r.End = to
	}
	sum := trace.Time(0)
	for _, c := range r.Cells {
		sum += c.Time
	}
	r.Devices = []breakdown.Device{{Device: device, Busy: sum, Sum: sum, Events: int64(2 * len(steps)), First: r.Start, Last: r.End}}
	r.Streams = []breakdown.Stream{{Device: device, Stream: 7, Busy: sum, Sum: sum, Events: int64(2 * len(steps))}}
	return r
}

// gpu is a crafted GPU: its power in W and SM clock in MHz at a time from epoch.
type gpu struct {
	name  string
	power func(at int64) float64
	clock func(at int64) uint64
	util  uint64
}

func h200(power float64, util uint64) gpu {
	return gpu{"NVIDIA H200", func(int64) float64 { return power }, func(int64) uint64 { return 1980 }, util}
}

// watch records GPUs every 20 ms from one second before epoch; the energy
// counter is renewed every 100 ms.
func watch(seconds int64, gpus ...gpu) *nvml.Recording {
	rec := &nvml.Recording{LinkScope: nvml.AllLinks}
	const period = 20_000_000
	energy := make([]float64, len(gpus))
	shown := make([]uint64, len(gpus))
	for i, g := range gpus {
		rec.Devices = append(rec.Devices, nvml.Device{Index: i, Name: g.name, UUID: fmt.Sprintf("GPU-%d000-%d", i+1, i), PCI: fmt.Sprintf("00000000:%02X:00.0", 27+i), PowerLimitMW: 700_000})
	}
	for n, at := 0, -second; at <= (seconds+1)*second; n, at = n+1, at+period {
		for i, g := range gpus {
			energy[i] += g.power(at) * period / 1e6
			if n%5 == 0 {
				shown[i] = uint64(energy[i])
			}
			r := nvml.Reading{UnixNS: epoch + at, GPU: i}
			r.Put(nvml.Energy, shown[i])
			r.Put(nvml.Power, uint64(g.power(at)*1000))
			r.Put(nvml.SMClock, g.clock(at))
			r.Put(nvml.UtilGPU, g.util)
			rec.Readings = append(rec.Readings, r)
		}
	}
	return rec
}

// decodes are n decode steps of so long each, one behind the other.
func decodes(n int, each int64) (out []busy) {
	for i := range int64(n) {
		out = append(out, busy{trace.Decode, i * each, (i + 1) * each, 8})
	}
	return out
}

// placed spells which rank ran on which GPU.
func placed(a *document.Analysis) string {
	if a.Readings == nil {
		return "no readings"
	}
	var out []string
	for _, d := range a.Readings.Devices {
		out = append(out, fmt.Sprintf("%d=%v %s", d.GPU, d.Ranks, d.How))
	}
	return strings.Join(out, ", ")
}

// following is a GPU whose power is high during steps.
func following(steps []busy) gpu {
	return gpu{"NVIDIA H200", func(at int64) float64 {
		if slices.ContainsFunc(steps, func(s busy) bool { return at >= s.from && at < s.to }) {
			return 600
		}
		return 100
	}, func(int64) uint64 { return 1980 }, 50}
}

// turns are steps that fill every other stretch of 300 ms.
func turns(odd bool) (out []busy) {
	for i := range int64(10) {
		if i%2 == 1 == odd {
			out = append(out, busy{trace.Decode, i * 300_000_000, (i + 1) * 300_000_000, 8})
		}
	}
	return out
}

// seeing has exports say which GPUs their processes saw.
func seeing(ranks []*breakdown.Rank, gpus [][]trace.GPU) []*breakdown.Rank {
	for i, g := range gpus {
		ranks[i].Info.GPUs = g
	}
	return ranks
}

// named has exports name the GPUs that their processes used.
func named(ranks []*breakdown.Rank) []*breakdown.Rank {
	for _, r := range ranks {
		r.Info.GPUNames = map[int]string{r.Devices[0].Device: "NVIDIA H200"}
	}
	return ranks
}

// TestPlacing finds the GPU of each rank by what proves it, and says so where
// nothing does.
func TestPlacing(t *testing.T) {
	steps := decodes(200, 10_000_000)
	lone := func() []*breakdown.Rank { return []*breakdown.Rank{working(0, -1, 1, 0, 1, steps...)} }
	pair := func() []*breakdown.Rank {
		return []*breakdown.Rank{working(0, -1, 2, 0, 2, steps...), working(1, -1, 2, 1, 2, steps...)}
	}
	two := watch(2, h200(300, 90), h200(310, 90))
	alike := [2][]busy{turns(false), turns(false)}
	alike[1][4].to -= 100_000_000
	l40 := h200(100, 90)
	l40.name = "NVIDIA L40S"
	for _, c := range []struct {
		name  string
		ranks []*breakdown.Rank
		o     Options
		want  string
	}{
		{"the host's only GPU", lone(), Options{Readings: watch(2, h200(300, 90))}, "0=[0] only_gpu"},
		{"the only one of its kind", lone(), Options{Readings: watch(2, l40, h200(300, 90))}, "0=[] , 1=[0] only_gpu"},
		{"the only one that worked", lone(), Options{Readings: watch(2, h200(80, 0), h200(300, 90), h200(80, 0))}, "0=[] , 1=[0] only_gpu, 2=[] "},
		{"one of two that worked", lone(), Options{Readings: watch(2, h200(300, 90), h200(300, 90))}, "0=[] , 1=[] "},
		{"two ranks on all GPUs", pair(), Options{Readings: two}, "0=[0 1] all_gpus, 1=[0 1] all_gpus"},
		{"two ranks on those that worked", pair(), Options{Readings: watch(2, h200(80, 0), h200(300, 90), h200(80, 0), h200(310, 90))},
			"0=[] , 1=[0 1] active_gpus, 2=[] , 3=[0 1] active_gpus"},
		{"one file of two ranks", pair()[:1], Options{Readings: two}, "0=[0] all_gpus, 1=[0] all_gpus"},
		{"more ranks than GPUs", pair(), Options{Readings: watch(2, h200(300, 90))}, "0=[] "},
		{"another kind of GPU", pair(), Options{Readings: watch(2, l40, l40)}, "0=[] , 1=[] "},
		{"by UUID and PCI address", pair(), Options{Readings: two, GPUs: []gpus.Identity{{Rank: 0, Device: 0, UUID: "GPU-2000-1"}, {Rank: 1, Device: 1, PCI: "0000:1b:00.0"}}},
			"0=[1] pci, 1=[0] uuid"},
		{"an identity leaves one GPU for the other rank", pair(), Options{Readings: two, GPUs: []gpus.Identity{{Rank: 1, Device: 1, UUID: "GPU-1000-0"}}}, "0=[1] uuid, 1=[0] only_gpu"},
		{"an export names its GPUs", seeing(pair(), [][]trace.GPU{{{Device: 0, UUID: "2000-1", Profiler: 1}}, {{Device: 0, Profiler: 7}, {Device: 1, PCI: "0000:1b:00.0"}}}), Options{Readings: two}, "0=[1] pci, 1=[0] uuid"},
		{"an export names a GPU that was not read", seeing(pair(), [][]trace.GPU{{{Device: 0, UUID: "2000-9", PCI: "0000:1b:00.0"}}}), Options{Readings: two}, "0=[] , 1=[] "},
		{"an export names one GPU for both ranks", seeing(pair(), [][]trace.GPU{{{Device: 0, UUID: "2000-1"}}, {{Device: 1, UUID: "2000-1"}}}), Options{Readings: two}, "0=[] , 1=[] "},
		{"part of a GPU has a UUID of its own", seeing(lone(), [][]trace.GPU{{{Device: 0, UUID: "MIG-2000-9"}}}), Options{Readings: watch(2, h200(300, 90))}, "0=[0] only_gpu"},
		{"visible devices of an export, which names those used", named(seeing(pair(), [][]trace.GPU{{{Device: 0}, {Device: 1}}, {{Device: 0}, {Device: 1}}})), Options{Readings: two, VisibleDevices: "1,0"}, "0=[1] visible_devices, 1=[0] visible_devices"},
		{"visible devices that swap", pair(), Options{Readings: two, VisibleDevices: "1, 0"}, "0=[1] visible_devices, 1=[0] visible_devices"},
		{"visible devices by UUID", pair(), Options{Readings: two, VisibleDevices: "GPU-2,GPU-1000"}, "0=[1] visible_devices, 1=[0] visible_devices"},
		{"visible devices of other processes", pair(), Options{Readings: two, VisibleDevices: "1"}, "0=[0 1] all_gpus, 1=[0 1] all_gpus"},
		{"an ordinal that is none", []*breakdown.Rank{working(0, -1, 1, -1, 1, steps...)}, Options{Readings: watch(2, h200(300, 90)), VisibleDevices: "0"}, "0=[0] only_gpu"},
		{"a number among GPUs of several kinds counts the fastest first", lone(), Options{Readings: watch(2, h200(300, 90), l40, h200(310, 90)), VisibleDevices: "0"}, "0=[] , 1=[] , 2=[] "},
		{"each GPU's power follows one rank's load", []*breakdown.Rank{working(0, 0, 1, 0, 2, turns(false)...), working(0, 1, 1, 1, 2, turns(true)...)},
			Options{Readings: watch(3, following(turns(true)), following(turns(false)))}, "0=[1] correlation, 1=[0] correlation"},
		{"ranks whose loads are much alike", []*breakdown.Rank{working(0, 0, 1, 0, 2, alike[0]...), working(0, 1, 1, 1, 2, alike[1]...)},
			Options{Readings: watch(3, following(alike[0]), following(alike[1]))}, "0=[0 1] all_gpus, 1=[0 1] all_gpus"},
		{"loads that power hardly follows", []*breakdown.Rank{working(0, 0, 1, 0, 2, turns(false)...), working(0, 1, 1, 1, 2, turns(true)...)},
			Options{Readings: watch(3, following(turns(false)[:1]), following(turns(true)[:1]))}, "0=[0 1] all_gpus, 1=[0 1] all_gpus"},
		{"ranks in lockstep", []*breakdown.Rank{working(0, -1, 2, 0, 2, turns(true)...), working(1, -1, 2, 1, 2, turns(true)...)},
			Options{Readings: watch(3, following(turns(true)), following(turns(true)))}, "0=[0 1] all_gpus, 1=[0 1] all_gpus"},
	} {
		a := Build(c.ranks, c.o).Analyses[0]
		if got := placed(a); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		checkReadings(t, a)
		unsure := slices.ContainsFunc(a.Trust, func(x document.Trust) bool {
			return x.Code == "unknown_gpus" || x.Code == "gpu_set" || x.Code == "gpu_by_load"
		})
		certain := !strings.Contains(c.want, "[] ") && !strings.Contains(c.want, "_gpus") && !strings.Contains(c.want, "correlation") || strings.Contains(c.want, "only_gpu")
		if unsure == certain {
			t.Errorf("%s: trust says unsure: %v", c.name, unsure)
		}
	}
}

// TestReadingsApart wants no join without a common clock or a common time.
func TestReadingsApart(t *testing.T) {
	rank := working(0, -1, 1, 0, 1, decodes(10, 10_000_000)...)
	rec := watch(1, h200(300, 90))
	relative := *rank
	relative.Info.Epoch = false
	later := rec.Between(epoch+second, epoch+2*second)
	for name, c := range map[string]struct {
		rank *breakdown.Rank
		rec  *nvml.Recording
	}{"a trace without Unix time": {&relative, rec}, "readings of another time": {rank, later}} {
		a := Build([]*breakdown.Rank{c.rank}, Options{Readings: c.rec}).Analyses[0]
		if a.Readings != nil || !slices.ContainsFunc(a.Trust, func(x document.Trust) bool { return x.Code == "no_readings" }) {
			t.Errorf("%s: readings %v, trust %v", name, a.Readings, a.Trust)
		}
	}
	rec.Torn = true
	if a := Build([]*breakdown.Rank{rank}, Options{Readings: rec}).Analyses[0]; a.Readings == nil || !slices.ContainsFunc(a.Trust, func(x document.Trust) bool { return x.Code == "damaged_readings" && x.Severity == document.Warning }) {
		t.Errorf("torn readings: trust %v", a.Trust)
	}
}

// TestReasonBands wants every reason's time, within the window, however often
// it comes and goes.
func TestReasonBands(t *testing.T) {
	rec := watch(3, h200(300, 90))
	for i := range rec.Readings {
		rec.Readings[i].Put(nvml.ReasonBits, uint64(nvml.ReasonPowerCap)*uint64(i%2)|uint64(nvml.ReasonIdle))
	}
	a := Build([]*breakdown.Rank{working(0, -1, 1, 0, 1, decodes(300, 10_000_000)...)}, Options{Readings: rec}).Analyses[0]
	checkReadings(t, a)
	spent := map[string]int64{}
	for _, b := range a.Readings.Devices[0].Bands {
		spent[b.Reason] += b.ToUnixNS - b.FromUnixNS
		if b.Throttles != (b.Reason == "power cap") {
			t.Errorf("band %+v", b)
		}
	}
	if spent["idle"] != a.Window.DurNS || spent["power cap"] < a.Window.DurNS*48/100 || spent["power cap"] > a.Window.DurNS*52/100 {
		t.Errorf("bands cover %v of %d", spent, a.Window.DurNS)
	}
}
