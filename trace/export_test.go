package trace

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tokprof/fixtures/golden"
)

const exports = "../fixtures/nsys/"

// openSums opens a summary among the fixtures.
func openSums(t *testing.T, name string) *Summary {
	t.Helper()
	_, err := OpenAll(context.Background(), exports+name, Options{Hash: true})
	var only *SummaryOnly
	if !errors.As(err, &only) {
		t.Fatal(err)
	}
	return only.Summary
}

// openFixture opens an export among the fixtures.
func openFixture(t *testing.T, name string) []*Trace {
	t.Helper()
	all, err := OpenAll(context.Background(), exports+name, Options{Hash: true})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestInfoOfExports(t *testing.T) {
	files, err := filepath.Glob(exports + "*/*")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range files {
		name := strings.TrimPrefix(f, exports)
		all, err := OpenAll(context.Background(), f, Options{Hash: true})
		if err != nil {
			fmt.Fprintf(&b, "%s: %s\n", name, err.(*Error).Reason())
			continue
		}
		for _, tr := range all {
			b.WriteString(filepath.Base(filepath.Dir(name)) + "/" + describe(tr))
			for _, g := range tr.Info.GPUs {
				fmt.Fprintf(&b, "  GPU %d is %q, UUID %q, at %q, number %d of the profiler\n", g.Device, g.Name, g.UUID, g.PCI, g.Profiler)
			}
			runs := Time(0)
			for _, g := range tr.GraphRuns {
				runs += g.Dur
			}
			fmt.Fprintf(&b, "  %d graph runs of %d ns, %d series\n", len(tr.GraphRuns), runs, len(tr.Series))
		}
	}
	golden.Check(t, "exports.golden", []byte(b.String()))
}

// exportRow is what every form of an export says of a GPU event.
type exportRow struct {
	start, dur     Time
	device         int
	stream         int64
	correlation    uint64
	name           string
	launched, node bool
}

func exportRows(tr *Trace, base Time, launches bool) []exportRow {
	out := make([]exportRow, len(tr.GPU()))
	for i, id := range tr.GPU() {
		e := tr.Event(id)
		lane := tr.Track(e.Track)
		out[i] = exportRow{start: e.Start - base, dur: e.Dur, device: lane.Device, stream: lane.Stream, correlation: e.Correlation, name: tr.Name(e.Name)}
		if launches {
			out[i].launched, out[i].node = tr.LaunchOf(i) != NoEvent, tr.GraphNode(id) != 0
		}
	}
	return out
}

// TestFormsAgree holds the forms of one report against each other, event by
// event.
func TestFormsAgree(t *testing.T) {
	for _, c := range []struct {
		dir   string
		ranks int
	}{{"llama-16l-tp2/", 2}, {"qwen3-12l-graphmode/", 1}} {
		database := openFixture(t, c.dir+"report1.sqlite.gz")
		if len(database) != c.ranks {
			t.Fatalf("%s: %d ranks", c.dir, len(database))
		}
		for form, launches := range map[string]bool{"json.gz": true, "cuda_gpu_trace.csv.gz": false, "cuda_gpu_trace.json.gz": false} {
			if _, err := os.Stat(exports + c.dir + "report1." + form); err != nil {
				continue
			}
			other := openFixture(t, c.dir+"report1."+form)
			if len(other) != c.ranks {
				t.Errorf("%s%s: %d ranks", c.dir, form, len(other))
				continue
			}
			for i, tr := range other {
				want, got := exportRows(database[i], database[i].base, launches), exportRows(tr, 0, launches)
				if !slices.Equal(want, got) {
					t.Errorf("%s%s rank %d: %d events differ from the database's %d", c.dir, form, i, len(got), len(want))
				}
				if launches && !equalRanges(database[i], tr) {
					t.Errorf("%s%s rank %d: annotations differ", c.dir, form, i)
				}
				if launches && len(tr.GraphRuns) != len(database[i].GraphRuns) {
					t.Errorf("%s%s: %d graph runs", c.dir, form, len(tr.GraphRuns))
				}
			}
		}
	}
}

func equalRanges(a, b *Trace) bool {
	list := func(t *Trace) map[string]int {
		out := map[string]int{}
		t.Each(func(id EventID, k Kind) {
			if k == Range {
				e := t.Event(id)
				out[fmt.Sprint(t.Name(e.Name), e.Start-t.base, e.Dur, t.Track(e.Track).Tid)]++
			}
		})
		return out
	}
	return len(list(a)) > 0 && maps.Equal(list(a), list(b))
}

// TestKernelSums holds the sums by name against those that nsys stats made of
// the same report.
func TestKernelSums(t *testing.T) {
	for _, dir := range []string{"qwen3-12l-graphmode/", "llama-4l-gpumetrics/"} {
		sum := openSums(t, dir+"report1.cuda_gpu_kern_sum.csv.gz")
		want := map[string]SummedKernel{}
		for _, k := range sum.Kernels {
			k.Median = 0 // nsys takes the mean of two in the middle
			want[k.Name] = k
		}
		for _, form := range []string{"sqlite.gz", "json.gz", "cuda_gpu_trace.csv.gz", "cuda_gpu_trace.json.gz"} {
			if _, err := os.Stat(exports + dir + "report1." + form); err != nil {
				continue
			}
			if got := sums(openFixture(t, dir+"report1."+form)); !maps.Equal(got, want) {
				t.Errorf("%s%s: %d sums differ from the %d wanted", dir, form, len(got), len(want))
			}
		}
	}
	csv, object := openSums(t, "qwen3-12l-graphmode/report1.cuda_gpu_kern_sum.csv.gz"), openSums(t, "qwen3-12l-graphmode/report1.cuda_gpu_kern_sum.json.gz")
	if !slices.Equal(csv.Kernels, object.Kernels) {
		t.Error("CSV and JSON differ")
	}
	both := openSums(t, "qwen3-12l-graphmode/report1.cuda_gpu_sum.csv.gz")
	kernels := slices.DeleteFunc(both.Kernels, func(k SummedKernel) bool { return k.Kind != Kernel })
	if !slices.Equal(kernels, csv.Kernels) {
		t.Error("cuda_gpu_sum holds other kernels than cuda_gpu_kern_sum")
	}
}

func sums(all []*Trace) map[string]SummedKernel {
	out := map[string]SummedKernel{}
	for _, t := range all {
		for _, id := range t.GPU() {
			e := t.Event(id)
			if e.Kind != Kernel {
				continue
			}
			k, ok := out[t.Name(e.Name)]
			if !ok {
				k = SummedKernel{Name: t.Name(e.Name), Kind: Kernel, Min: e.Dur, Digit: 1}
			}
			k.Launches++
			k.Total += e.Dur
			k.Min, k.Max = min(k.Min, e.Dur), max(k.Max, e.Dur)
			out[k.Name] = k
		}
	}
	return out
}

func TestOpenOfSeveral(t *testing.T) {
	_, err := Open(context.Background(), exports+"llama-16l-tp2/report1.sqlite.gz", Options{})
	var bad *Error
	if !errors.As(err, &bad) || bad.Reason() != "holds the traces of 2 ranks: take one of them" {
		t.Error(err)
	}
	if tr, err := Open(context.Background(), exports+"llama-4l-gpumetrics/report1.sqlite.gz", Options{}); err != nil || tr.Info.Rank != -1 {
		t.Error(err)
	}
}

// TestGraphSlots holds the places in a graph against the order in which a
// replay ran: on one stream they rise together, and both ranks agree.
func TestGraphSlots(t *testing.T) {
	var slots [2][]int
	for rank, tr := range openFixture(t, "llama-16l-tp2/report1.sqlite.gz") {
		last := map[uint64]int{} // by correlation of the replay
		for _, id := range tr.GPU() {
			graph, slot, ok := tr.GraphSlot(id)
			if !ok {
				continue
			}
			e := tr.Event(id)
			if was, seen := last[e.Correlation]; seen && slot <= was {
				t.Errorf("rank %d: slot %d of graph %d ran after %d", rank, slot, graph, was)
			}
			last[e.Correlation] = slot
			slots[rank] = append(slots[rank], slot)
		}
	}
	if len(slots[0]) < 500 || !slices.Equal(slots[0], slots[1]) {
		t.Errorf("%d and %d events have slots, and not the same", len(slots[0]), len(slots[1]))
	}
}

// TestMessages finds the sizes of NCCL messages: the logits of half the
// vocabulary (128,256 words, 2 bytes each) of each row, and nothing in the
// ranges that say no size.
func TestMessages(t *testing.T) {
	for _, tr := range openFixture(t, "llama-16l-tp2/report1.json.gz") {
		n := 0
		tr.Each(func(id EventID, k Kind) {
			if k != Range {
				return
			}
			bytes, ok := tr.Bytes(id)
			if ok != strings.HasPrefix(tr.Name(tr.NameOf(id)), "NCCL:nccl") || ok && bytes%128256 != 0 && tr.Name(tr.NameOf(id)) == "NCCL:ncclAllGather" {
				t.Errorf("%s: %d bytes, %v", tr.Name(tr.NameOf(id)), bytes, ok)
			}
			if ok {
				n++
			}
		})
		if n == 0 {
			t.Error("no message has a size")
		}
	}
}

func TestSeriesOfExport(t *testing.T) {
	tr := openFixture(t, "llama-4l-gpumetrics/report1.sqlite.gz")[0]
	if len(tr.Series) != 30 {
		t.Fatalf("%d series", len(tr.Series))
	}
	i := slices.IndexFunc(tr.Series, func(s Series) bool { return s.Name == "SMs Active [Throughput %]" })
	s := tr.Series[i]
	if s.Source != "GPU 1" || s.GPU != 1 || s.Device != 0 || s.DeviceHow != ByDeviceTable || len(s.Times) != len(s.Values) || !slices.IsSorted(s.Times) || slices.Max(s.Values) != 100 {
		t.Errorf("%s device %d, %d values, largest %g", s.Source, s.Device, len(s.Values), slices.Max(s.Values))
	}
	// The samples and the kernels share a clock: the SMs are at work only while
	// kernels run (10 kHz: within 0.2 ms of one).
	gpu := tr.GPU()
	for k, at := range s.Times {
		if s.Values[k] < 10 || at > s.Times[len(s.Times)-1] {
			continue
		}
		near := slices.ContainsFunc(gpu, func(id EventID) bool {
			return tr.Start(id)-200_000 <= at && at <= tr.Start(id)+tr.Dur(id)+200_000
		})
		if !near {
			t.Errorf("SMs active at %d, where no kernel is near", at)
		}
	}
}

// TestProfilersGPU follows the profiler's number from the samples to the device
// that a process knows: here the process' first GPU is the machine's second.
func TestProfilersGPU(t *testing.T) {
	tr := openFixture(t, "llama-4l-gpumetrics/report1.sqlite.gz")[0]
	for _, s := range tr.Series {
		i := slices.IndexFunc(tr.Info.GPUs, func(g GPU) bool { return fmt.Sprintf("GPU %d", g.Profiler) == s.Source })
		if i < 0 || tr.Info.GPUs[i].Device != s.Device || tr.Info.GPUs[i].UUID != "a0000000-0000-4000-8000-000000000001" {
			t.Errorf("%s of %s is device %d, not one of %+v", s.Name, s.Source, s.Device, tr.Info.GPUs)
		}
	}
}

// TestExportFromStream reads exports from standard input, where a database
// must be unpacked first.
func TestExportFromStream(t *testing.T) {
	for _, name := range []string{"qwen3-12l-graphmode/report1.sqlite.gz", "qwen3-12l-graphmode/report1.json.gz", "qwen3-12l-graphmode/report1.cuda_gpu_trace.csv.gz"} {
		want := openFixture(t, name)[0]
		f, err := os.Open(exports + name)
		if err != nil {
			t.Fatal(err)
		}
		stdin := os.Stdin
		os.Stdin = f
		got, err := Open(context.Background(), "-", Options{})
		os.Stdin = stdin
		_ = f.Close()
		if err != nil || len(got.gpu) != len(want.gpu) || got.Info.Name != "standard input" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFindExports looks for exports in folders: of one report the fullest form,
// tables only where nothing fuller is, every table of sums, other databases
// never. What is left aside is said.
func TestFindExports(t *testing.T) {
	database, err := os.ReadFile(exports + "qwen3-12l-graphmode/report1.sqlite.gz")
	if err != nil {
		t.Fatal(err)
	}
	const (
		lines  = `{"data":["a"],"files":[]}` + "\n"
		events = "Start (ns),Duration (ns),CorrId,Device,Strm,Name\n1,2,3,GPU (0),7,k\n"
		sums   = "Time (%),Total Time (ns),Instances,Avg (ns),Med (ns),Min (ns),Max (ns),StdDev (ns),Name\n"
	)
	for _, c := range []struct {
		what  string
		files map[string]string
		want  []string
		aside string
	}{
		{"every form", map[string]string{"r.sqlite.gz": string(database), "r.json": lines, "r.nsys-rep": "x", "cuda_gpu_trace.csv": events, "cuda_gpu_kern_sum.csv": sums}, []string{"r.sqlite.gz"}, "r.nsys-rep for r.sqlite.gz, r.json for r.sqlite.gz, cuda_gpu_trace.csv for r.sqlite.gz, cuda_gpu_kern_sum.csv for r.sqlite.gz"},
		{"no database", map[string]string{"r.json": lines, "r.nsys-rep": "x", "cuda_gpu_trace.csv": events}, []string{"r.nsys-rep"}, "r.json for r.nsys-rep, cuda_gpu_trace.csv for r.nsys-rep"},
		{"two reports", map[string]string{"r1.json.gz": gz(lines), "r2.jsonl": lines, "notes.csv": "a,b,c\n"}, []string{"r1.json.gz", "r2.jsonl"}, ""},
		{"tables alone", map[string]string{"cuda_gpu_trace.csv": events, "cuda_gpu_trace.json": "[\n {\n \"Start (ns)\": 1,\n \"Duration (ns)\": 2}]", "cuda_gpu_kern_sum.csv": sums}, []string{"cuda_gpu_trace.csv"}, "cuda_gpu_trace.json for cuda_gpu_trace.csv, cuda_gpu_kern_sum.csv for cuda_gpu_trace.csv"},
		{"sums alone", map[string]string{"b.csv": sums, "a.csv.gz": gz(sums), "a.csv": sums, "note.csv": "a,b,c\n", "sub/c.json": "[\n {\"Time (%)\": 1, \"Total Time (ns)\": 2, \"Instances\": 1, \"Min (ns)\": 2, \"Name\": \"k\"}]"}, []string{"a.csv", "a.csv.gz", "b.csv", "c.json"}, ""},
		{"a torch trace and sums", map[string]string{"a.csv": sums, rank0: gz(smallTrace)}, []string{"a.csv", rank0}, ""},
		{"packed and unpacked", map[string]string{"r.jsonl": lines, "r.jsonl.gz": gz(lines)}, []string{"r.jsonl"}, "r.jsonl.gz for r.jsonl"},
		{"beside a torch trace", map[string]string{"r.jsonl": lines, rank0: gz(smallTrace), "cookies.sqlite": "SQLite format 3\x00moz_cookies"}, []string{"r.jsonl", rank0}, ""},
	} {
		root := plant(t, c.files)
		got, aside, err := Find([]string{root})
		for i := range got {
			got[i] = filepath.Base(got[i])
		}
		var left []string
		for _, a := range aside {
			left = append(left, filepath.Base(a.Path)+" for "+filepath.Base(a.For))
		}
		if err != nil || !slices.Equal(got, c.want) || strings.Join(left, ", ") != c.aside {
			t.Errorf("%s: %v %v, want %v\nleft aside: %s", c.what, got, err, c.want, strings.Join(left, ", "))
		}
	}
}

func TestCutOfExport(t *testing.T) {
	tr := openFixture(t, "llama-4l-gpumetrics/report1.sqlite.gz")[0]
	_, err := Cut(context.Background(), exports+"llama-4l-gpumetrics/report1.sqlite.gz", tr, Selection{GPU: func(int) bool { return true }}, nil)
	var bad *Error
	if !errors.As(err, &bad) || bad.What != "is an Nsight Systems export, and only torch traces can be cut" {
		t.Error(err)
	}
}

// TestEqualCorrelations joins kernels to the calls of their own process, of
// which two count their calls alike and one has a number above 2^24.
func TestEqualCorrelations(t *testing.T) {
	const a, b = 1<<48 | 4942<<24, 1<<48 | (20_000_000&0xffffff)<<24
	lines := []string{`{"data":["GpuMetrics","void k<(int)1>()","cudaLaunchKernel_v7000"]}`}
	for i, process := range []int64{a, b} {
		lines = append(lines,
			fmt.Sprintf(`{"Type":47,"TraceProcessEvent":{"startNs":"%d","endNs":"%d","correlationId":5,"name":"2","globalTid":"%d"}}`, 90+i, 95+i, process|13),
			fmt.Sprintf(`{"Type":79,"CudaEvent":{"startNs":"%d","endNs":"%d","correlationId":5,"deviceId":%d,"globalPid":"%d","kernel":{"shortName":"1"}}}`, 100+i, 200+i, i, process),
			fmt.Sprintf(`{"Type":79,"CudaEvent":{"startNs":"%d","endNs":"%d","correlationId":6,"deviceId":%d,"globalPid":"%d","kernel":{"gridX":1}}}`, 300+i, 310+i, i, process),
			fmt.Sprintf(`{"Type":59,"NvtxEvent":{"Type":59,"Timestamp":"80","Text":"open","GlobalTid":"%d"}}`, process|13))
	}
	all, err := OpenAll(context.Background(), save(t, "two.jsonl", strings.Join(lines, "\n")+"\n"), Options{})
	if err != nil || len(all) != 2 {
		t.Fatalf("%d traces, %v", len(all), err)
	}
	for rank, tr := range all {
		var says []string
		for i, id := range tr.GPU() {
			launch := "nothing"
			if l := tr.LaunchOf(i); l != NoEvent {
				launch = fmt.Sprint(tr.Name(tr.NameOf(l)), " at ", tr.Start(l)-Time(rank))
			}
			says = append(says, fmt.Sprintf("%q by %s", tr.Name(tr.NameOf(id)), launch))
		}
		tr.Each(func(id EventID, k Kind) {
			if k == Range {
				says = append(says, fmt.Sprint(tr.Name(tr.NameOf(id)), " to ", tr.Event(id).End()-Time(rank)))
			}
		})
		if got := strings.Join(says, ", "); got != `"void k<(int)1>()" by cudaLaunchKernel at 90, "" by nothing, open to 310` {
			t.Errorf("rank %d: %s", rank, got)
		}
	}
}
