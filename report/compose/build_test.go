package compose

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"tokprof/fixtures/golden"
	"tokprof/kernels"
	"tokprof/kernels/attribution"
	"tokprof/kernels/breakdown"
	"tokprof/report/document"
	"tokprof/trace"
)

// fixtureRuns reduces every trace of each run.
func fixtureRuns(t *testing.T) map[string][]*breakdown.Rank {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(traces, "*", "*.trace.json.gz"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	runs := map[string][]*breakdown.Rank{}
	for _, f := range files {
		run := filepath.Base(filepath.Dir(f))
		runs[run] = append(runs[run], reduce(t, f))
	}
	return runs
}

// summary is what the golden file keeps of a window.
type summary struct {
	Verdict  string
	Window   document.Window
	Sources  []string
	Trust    []string
	Devices  []document.Device
	Launches []document.Launches
	Phases   []document.Phase
	Groups   []document.Row
	Copies   []document.Copy
	Graphs   []document.Graph
	Streams  []document.Stream
	Sizes    map[string]int
}

func summarise(a *document.Analysis) summary {
	s := summary{
		Verdict: a.Verdict, Window: a.Window, Devices: a.Devices, Launches: a.Launches, Phases: a.Phases,
		Copies: a.Copies, Graphs: a.Graphs, Streams: a.Streams,
		Sizes: map[string]int{"kernels": len(a.Kernels), "steps": len(a.Steps), "categories": len(a.Categories), "timelines": len(a.Timelines)},
	}
	for _, x := range a.Sources {
		s.Sources = append(s.Sources, fmt.Sprintf("%s %s %s rank %d of %d, %s, %d events", x.Role, x.Path, x.Engine, x.Rank, x.WorldSize, x.GPU, x.Events))
	}
	for _, x := range a.Trust {
		s.Trust = append(s.Trust, fmt.Sprintf("%s %s", x.Severity, x.Code))
	}
	for _, r := range a.Groups {
		if r.Phase == "all" {
			s.Groups = append(s.Groups, r)
		}
	}
	return s
}

// roundedJSON writes a value as JSON whose floats do not tell one order of sums
// from another.
func roundedJSON(t *testing.T, value any) []byte {
	t.Helper()
	raw, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(round(v)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// round cuts floats to six digits, which survive a change of the order of sums.
func round(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = round(v[k])
		}
	case []any:
		for i := range v {
			v[i] = round(v[i])
		}
	case json.Number:
		if f, err := v.Float64(); err == nil && strings.ContainsAny(v.String(), ".e") {
			return json.Number(fmt.Sprintf("%.6g", f))
		}
	}
	return v
}

// TestFixtureDocuments pins the numbers of every fixture and wants them to agree.
func TestFixtureDocuments(t *testing.T) {
	for run, ranks := range fixtureRuns(t) {
		t.Run(run, func(t *testing.T) {
			var b bytes.Buffer
			for _, a := range Build(ranks, Options{Version: "test"}).Analyses {
				checkAgrees(t, a)
				b.Write(roundedJSON(t, summarise(a)))
			}
			golden.Check(t, filepath.Join("documents", run+".json"), b.Bytes())
		})
	}
}

// crafted is a rank of one step with one kernel on each device.
func crafted(name string, rank, replica, world int, start, end trace.Time, devices ...int) *breakdown.Rank {
	r := &breakdown.Rank{
		Info:  trace.Info{Name: name, Rank: rank, Replica: replica, WorldSize: world, Epoch: true, SHA256: fmt.Sprint(name, rank, start)},
		Start: start, End: end,
		Frames: []attribution.Frame{{Parent: -1}, {Kind: attribution.FrameOp, Name: "aten::mm"}},
		Kernels: []breakdown.Kernel{{
			Name: "gemm()", Match: kernels.Match{Category: kernels.Category{Group: "gemm", Subgroup: "dense"}},
		}},
		Steps: []attribution.Step{{
			Label: trace.StepLabel{Phase: trace.Decode, Tokens: 8, Requests: 8}, Start: start, End: end,
			First: start, Last: end, Busy: end - start, Launches: int64(len(devices)),
		}},
		Unanswered: 2,
	}
	for _, d := range devices {
		r.Devices = append(r.Devices, breakdown.Device{Device: d, Busy: end - start, Sum: end - start, Events: 1, First: start, Last: end})
		r.Streams = append(r.Streams, breakdown.Stream{Device: d, Stream: 7, Busy: end - start, Sum: end - start, Events: 1})
		r.Cells = append(r.Cells, breakdown.Cell{Node: 1, Device: d, Stream: 7, Phase: trace.Decode, Time: end - start, Exposed: end - start, Launches: 1})
		r.Kernels[0].Durs = r.Kernels[0].Durs.Merge(breakdown.Durations{{Dur: end - start, Count: 1}})
	}
	return r
}

// beside is a file without counted GPU work.
func beside(name string, role breakdown.Role) *breakdown.Rank {
	return &breakdown.Rank{Role: role, Info: trace.Info{Name: name, Rank: -1, Replica: -1}}
}

// windowsOf spells a set: its windows, their files and devices.
func windowsOf(s *document.Set) string {
	var b strings.Builder
	for _, a := range s.Analyses {
		fmt.Fprintf(&b, "%s %d+%d:", a.Window.Name, a.Window.StartUnixNS, a.Window.DurNS)
		for _, x := range a.Sources {
			fmt.Fprintf(&b, " %s=%d", x.Path, x.Rank)
		}
		for _, d := range a.Devices {
			fmt.Fprintf(&b, " %d/%d", d.Rank, d.Device)
		}
		for _, p := range a.Phases {
			fmt.Fprintf(&b, " %d %s", p.Steps, p.Phase)
		}
		for _, x := range a.Trust {
			if strings.HasSuffix(x.Code, "_ranks") || x.Code == "duplicate_file" {
				fmt.Fprintf(&b, " %s", x.Code)
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

// Stamps of three windows a second apart; the middle one is nearer to the last.
const stampA, stampB, stampC = "1700000000000000000", "1700000001000000001", "1700000002000000000"

var windowCases = []struct {
	name  string
	ranks []*breakdown.Rank
	want  string
}{
	{"three windows of two ranks, in any order", []*breakdown.Rank{
		crafted("b1", 1, -1, 2, 1010, 1100, 1), crafted("a0", 0, -1, 2, 0, 90, 0), crafted("c1", 1, -1, 2, 2000, 2110, 1),
		crafted("a1", 1, -1, 2, 10, 100, 1), crafted("c0", 0, -1, 2, 2010, 2100, 0), crafted("b0", 0, -1, 2, 1000, 1090, 0),
	}, "w1 0+100: a0=0 a1=1 0/0 1/1 1 decode\nw2 1000+100: b0=0 b1=1 0/0 1/1 1 decode\nw3 2000+110: c0=0 c1=1 0/0 1/1 1 decode\n"},
	{"side files go with the nearest window, or with all", []*breakdown.Rank{
		crafted("rank0."+stampA+".json", 0, -1, 1, 0, 90, 0), crafted("rank0."+stampC+".json", 0, -1, 1, 2000, 2090, 0),
		beside("h.async_llm."+stampB+".json", breakdown.Frontend), beside("graph_capture_rank0.json", breakdown.GraphCapture), beside("h.async_llm."+stampA+".json", breakdown.Frontend),
	}, "w1 0+90: rank0." + stampA + ".json=0 graph_capture_rank0.json=-1 h.async_llm." + stampA + ".json=-1 0/0 1 decode\n" +
		"w2 2000+90: rank0." + stampC + ".json=0 h.async_llm." + stampB + ".json=-1 graph_capture_rank0.json=-1 0/0 1 decode\n"},
	{"one file twice", []*breakdown.Rank{crafted("a", 0, -1, 1, 0, 90, 0), crafted("a", 0, -1, 1, 0, 90, 0)},
		"w1 0+90: a=0 0/0 1 decode duplicate_file\n"},
	{"several GPUs in one process", []*breakdown.Rank{crafted("a", 0, -1, 1, 0, 90, 0, 1, 3)},
		"w1 0+90: a=0 0/0 0/1 0/3 1 decode\n"},
	{"unknown ranks take the free numbers", []*breakdown.Rank{
		crafted("x", -1, -1, 3, 0, 90, 0), crafted("one", 1, -1, 3, 0, 90, 0), crafted("y", -1, -1, 3, 5, 90, 0),
	}, "w1 0+90: x=0 y=2 one=1 0/0 2/0 1/0 1 decode unknown_ranks\n"},
	{"replicas with a world each", []*breakdown.Rank{
		crafted("d1r0", 0, 1, 2, 0, 90, 0), crafted("d0r1", 1, 0, 2, 0, 90, 0), crafted("d0r0", 0, 0, 2, 0, 90, 0), crafted("d1r1", 1, 1, 2, 0, 90, 0),
	}, "w1 0+90: d0r0=0 d0r1=1 d1r0=2 d1r1=3 0/0 1/0 2/0 3/0 2 decode\n"},
	{"replicas of one world", []*breakdown.Rank{crafted("d0r0", 0, 0, 2, 0, 90, 0), crafted("d1r1", 1, 1, 2, 0, 90, 0)},
		"w1 0+90: d0r0=0 d1r1=1 0/0 1/0 2 decode\n"},
	{"a replica without one of its ranks", []*breakdown.Rank{
		crafted("d0r0", 0, 0, 2, 0, 90, 0), crafted("d0r1", 1, 0, 2, 0, 90, 0), crafted("d2r0", 0, 2, 2, 0, 90, 0),
	}, "w1 0+90: d0r0=0 d0r1=1 d2r0=4 0/0 1/0 4/0 2 decode missing_ranks\n"},
	{"nothing", nil, ""},
	{"no GPU work", []*breakdown.Rank{beside("h.async_llm."+stampA+".json", breakdown.Frontend)}, ""},
}

func TestBuildWindows(t *testing.T) {
	for _, test := range windowCases {
		t.Run(test.name, func(t *testing.T) {
			s := Build(test.ranks, Options{})
			if got := windowsOf(s); got != test.want {
				t.Errorf("got\n%swant\n%s", got, test.want)
			}
			for _, a := range s.Analyses {
				checkAgrees(t, a)
				if n := sums(a.Launches, func(l document.Launches) int64 { return l.WithoutKernel }); n != int64(2*(len(a.Launches)-countRepeats(a.Launches))) {
					t.Errorf("%d launches without a kernel: %+v", n, a.Launches)
				}
			}
		})
	}
}

// countRepeats counts devices beyond the first of each rank: a file's lost
// launches are told once.
func countRepeats(list []document.Launches) (n int) {
	seen := map[int]bool{}
	for _, l := range list {
		if seen[l.Rank] {
			n++
		}
		seen[l.Rank] = true
	}
	return n
}

// TestRanksOfOneWindowMerge: kernels and stacks of equal names are one.
func TestRanksOfOneWindowMerge(t *testing.T) {
	a, b := crafted("a", 0, -1, 2, 0, 90, 0), crafted("b", 1, -1, 2, 0, 100, 1)
	b.Kernels = append([]breakdown.Kernel{{Name: "other()", Durs: breakdown.Durations{{Dur: 5, Count: 2}}}}, b.Kernels...)
	b.Cells[0].Kernel = 1
	b.Cells = append(b.Cells, breakdown.Cell{Node: 1, Kernel: 0, Device: 1, Time: 10, Exposed: 7, Launches: 2, Graph: true})
	s := Build([]*breakdown.Rank{a, b}, Options{}).Analyses[0]
	k := s.Kernels[0]
	if len(s.Kernels) != 2 || k.Name != "gemm()" || k.Launches != 2 || k.TotalNS != 190 || k.MinNS != 90 || k.MaxNS != 100 || k.GraphNS != 0 {
		t.Errorf("kernels %+v", s.Kernels)
	}
	if o := s.Kernels[1]; o.TotalNS != 10 || o.GraphNS != 10 || o.ExposedNS != 7 || o.Launches != 2 {
		t.Errorf("kernel %+v", o)
	}
	if len(s.Stacks.Nodes) != 2 || len(s.Stacks.Samples) != 3 {
		t.Errorf("%d nodes and %d samples", len(s.Stacks.Nodes), len(s.Stacks.Samples))
	}
}

// TestStepPeriods: a period goes from one step's first GPU event to the next
// one's, over steps that launched nothing.
func TestStepPeriods(t *testing.T) {
	r := crafted("a", 0, -1, 1, 0, 90, 0)
	step := func(first, last trace.Time, n int64) attribution.Step {
		return attribution.Step{Label: trace.StepLabel{Phase: trace.Decode}, Start: first - 50, First: first, Last: last, Launches: n}
	}
	r.Steps = []attribution.Step{step(10, 20, 1), {Label: trace.StepLabel{Phase: trace.Dummy}, Start: 25}, step(40, 60, 2), step(70, 90, 1)}
	got := ""
	for _, s := range Build([]*breakdown.Rank{r}, Options{}).Analyses[0].Steps {
		got += fmt.Sprintf("%d@%d+%d next %d; ", s.Index, s.StartUnixNS, s.DurNS, s.PeriodNS)
	}
	if want := "0@10+10 next 30; 1@25+0 next 0; 2@40+20 next 30; 3@70+20 next 0; "; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
