package synth_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tokprof/trace/synth"
)

// event is a row as encoding/json sees it.
type event struct {
	Ph, Cat, Name, Bp string
	Pid, Tid          any
	ID                int64
	Ts, Dur           json.Number
	Args              map[string]any

	ts, dur int64 // Ts and Dur in nanoseconds
}

func (e *event) start() int64 { return e.ts }
func (e *event) end() int64   { return e.ts + e.dur }
func (e *event) gpu() bool {
	return e.Cat == "kernel" || e.Cat == "gpu_memcpy" || e.Cat == "gpu_memset"
}
func (e *event) call() bool { return e.Cat == "cuda_runtime" || e.Cat == "cuda_driver" }
func (e *event) host() bool {
	return e.Cat == "cpu_op" || e.Cat == "user_annotation" || e.Cat == "python_function" || e.call()
}
func (e *event) arg(key string) int64 { v, _ := e.Args[key].(float64); return int64(v) }
func (e *event) track() string        { return fmt.Sprint(e.Pid, "/", e.Tid) }

// nanos converts microseconds with up to three decimals without a detour
// through floats.
func nanos(n json.Number) int64 {
	if n == "" {
		return 0
	}
	whole, frac, _ := strings.Cut(string(n), ".")
	v, err := strconv.ParseInt(whole+(frac + "000")[:3], 10, 64)
	if err != nil || len(frac) == 0 || len(frac) > 3 {
		panic("not a time: " + string(n))
	}
	return v
}

type file struct {
	SchemaVersion       int
	DeviceProperties    []struct{ Name string }
	DistributedInfo     struct{ Rank, World_size int }
	BaseTimeNanoseconds int64
	DisplayTimeUnit     string
	TraceEvents         []*event
	TraceName           string
}

func write(t *testing.T, o synth.Options) ([]byte, synth.Stats) {
	t.Helper()
	var b bytes.Buffer
	st, err := synth.Write(&b, o)
	if err != nil {
		t.Fatal(err)
	}
	if st.Bytes != int64(b.Len()) {
		t.Fatalf("Stats.Bytes %d, wrote %d", st.Bytes, b.Len())
	}
	return b.Bytes(), st
}

func parse(t *testing.T, text []byte) *file {
	t.Helper()
	f := &file{}
	if err := json.Unmarshal(text, f); err != nil {
		t.Fatal(err)
	}
	for _, e := range f.TraceEvents {
		e.ts, e.dur = nanos(e.Ts), nanos(e.Dur)
	}
	return f
}

// variants are small traces of every kind.
func variants() map[string]synth.Options {
	return map[string]synth.Options{
		"one step": {Layers: 2},
		"eager":    {Bytes: 300_000, Layers: 3, Seed: 7},
		"graphs":   {Bytes: 300_000, Layers: 3, Seed: 8, Graphs: true},
		"tp2":      {Bytes: 300_000, Layers: 4, Seed: 9, WorldSize: 2, Rank: 1},
		"tp8":      {Bytes: 300_000, Layers: 3, Seed: 9, WorldSize: 8, Rank: 3, Graphs: true, MetaLast: true},
	}
}

// count computes the Stats of a parsed trace the slow way.
func count(f *file, length int) synth.Stats {
	st := synth.Stats{Bytes: int64(length), BaseNS: f.BaseTimeNanoseconds, ByCat: map[string]int64{}, ByPh: map[string]int64{}}
	graphs, names := map[int64]bool{}, map[string]bool{}
	for _, e := range f.TraceEvents {
		if e.Name == "cudaGraphLaunch" {
			graphs[e.arg("correlation")] = true
		}
	}
	st.GraphLaunches = int64(len(graphs))
	for _, e := range f.TraceEvents {
		st.Events++
		st.ByPh[e.Ph]++
		if e.Cat != "" {
			st.ByCat[e.Cat]++
		} else {
			st.ByCat[e.Ph]++
		}
		if e.Ph != "X" || e.Cat == "Trace" {
			continue
		}
		names[e.Name] = true
		if st.FirstNS == 0 || e.start() < st.FirstNS {
			st.FirstNS = e.start()
		}
		st.LastNS = max(st.LastNS, e.end())
		st.SumTS += uint64(e.start())
		st.SumDur += uint64(e.dur)
		st.SumCorrelation += uint64(e.arg("correlation"))
		st.SumExternalID += uint64(e.arg("External id"))
		if e.gpu() {
			st.KernelNS += e.dur
		}
		if e.Cat == "kernel" {
			st.Kernels++
			if graphs[e.arg("correlation")] {
				st.GraphKernels++
			}
		}
		countStep(&st, e)
	}
	st.Names = len(names)
	return st
}

func countStep(st *synth.Stats, e *event) {
	var context, tokens, generation, again int
	if e.Cat != "user_annotation" {
		return
	}
	if n, _ := fmt.Sscanf(e.Name, "execute_context_%d(%d)_generation_%d(%d)", &context, &tokens, &generation, &again); n != 4 {
		return
	}
	st.Steps++
	switch {
	case context > 0 && generation > 0:
		st.Mixed++
	case context > 0:
		st.Prefill++
	default:
		st.Decode++
	}
}

func TestStats(t *testing.T) {
	for name, o := range variants() {
		for _, o.Layout = range []synth.Layout{synth.Classic, synth.KeyPerLine, synth.Compact} {
			t.Run(fmt.Sprint(name, "/", o.Layout), func(t *testing.T) {
				text, want := write(t, o)
				f := parse(t, text)
				if got := count(f, len(text)); !reflect.DeepEqual(got, want) {
					t.Errorf("found in the file:\n%+v\nreported:\n%+v", got, want)
				}
				if want.Bytes < o.Bytes || want.Bytes > o.Bytes+400_000 {
					t.Errorf("%d bytes for a limit of %d", want.Bytes, o.Bytes)
				}
				if f.SchemaVersion != 1 || f.DisplayTimeUnit != "ms" || f.TraceName == "" {
					t.Errorf("header or trailer lacks a key")
				}
				if w := max(o.WorldSize, 1); len(f.DeviceProperties) != w || f.DistributedInfo.World_size != w || f.DistributedInfo.Rank != o.Rank {
					t.Errorf("devices %d, distributedInfo %+v, want %d devices and rank %d", len(f.DeviceProperties), f.DistributedInfo, w, o.Rank)
				}
			})
		}
	}
}

func TestLayoutsHoldEqualEvents(t *testing.T) {
	// plain is a trace whose numbers do not depend on the layout's spelling.
	plain := func(o synth.Options) *file {
		text, _ := write(t, o)
		f := parse(t, text)
		for _, e := range f.TraceEvents {
			e.Ts, e.Dur = "", ""
		}
		return f
	}
	for name, o := range variants() {
		o.Bytes = 0 // the limit counts bytes, so it cuts layouts at different steps
		want := plain(o)
		for _, o.Layout = range []synth.Layout{synth.KeyPerLine, synth.Compact} {
			if !reflect.DeepEqual(plain(o), want) {
				t.Errorf("%s: layout %d holds other events than the classic one", name, o.Layout)
			}
		}
	}
}

func TestLayoutText(t *testing.T) {
	for layout, want := range map[synth.Layout][]string{
		synth.Classic: {
			"\n  {\n    \"ph\": \"X\", \"cat\": \"cpu_op\", \"name\": \"aten::slice\", \"pid\": 4233, \"tid\": 4233,\n    \"ts\": ",
			",\n    \"args\": {\n      \"External id\": 20482,\"Record function id\": 0, \"Concrete Inputs\": [",
			",\n    \"cat\": \"ac2g\", \"name\": \"ac2g\", \"bp\": \"e\"\n  },\n",
			",      \"queued\": 0, \"device\": 0, \"context\": 1,      \"stream\": 7, \"correlation\": ",
		},
		synth.KeyPerLine: {
			"  {\n    \"ph\": \"X\",\n    \"cat\": \"kernel\",\n    \"name\": \"",
			"\n    ,\n    \"args\": {\n", "\n    , \"bp\": \"e\"\n  },\n",
		},
		synth.Compact: {`{"ph":"X","cat":"kernel","name":"`, `,"cat":"ac2g","name":"ac2g","bp":"e"},`},
	} {
		text, _ := write(t, synth.Options{Layers: 2, Layout: layout})
		for _, s := range want {
			if !bytes.Contains(text, []byte(s)) {
				t.Errorf("layout %d lacks %q", layout, s)
			}
		}
		if layout == synth.Compact && bytes.ContainsRune(text, '\n') {
			t.Error("compact output has more than one line")
		}
	}
}

func TestMetaLast(t *testing.T) {
	for _, last := range []bool{false, true} {
		text, _ := write(t, synth.Options{Layers: 1, MetaLast: last})
		base, events := bytes.Index(text, []byte("baseTimeNanoseconds")), bytes.Index(text, []byte("traceEvents"))
		if (base > events) != last {
			t.Errorf("MetaLast %t: baseTimeNanoseconds at %d, traceEvents at %d", last, base, events)
		}
	}
}

func TestDeterministic(t *testing.T) {
	o := synth.Options{Bytes: 500_000, Layers: 2, Seed: 3, WorldSize: 2}
	a, sa := write(t, o)
	b, sb := write(t, o)
	if !bytes.Equal(a, b) || !reflect.DeepEqual(sa, sb) {
		t.Error("equal options gave different traces")
	}
	o.Seed++
	if c, _ := write(t, o); bytes.Equal(a, c) {
		t.Error("another seed gave the same trace")
	}
	o.Seed, o.Rank = o.Seed-1, 1
	c, _ := write(t, o)
	if bytes.Equal(a, c) || !slices.Equal(steps(parse(t, a)), steps(parse(t, c))) {
		t.Error("two ranks must run the same steps at times of their own")
	}
}

// steps are the names of the first engine steps.
func steps(f *file) []string {
	var names []string
	for _, e := range f.TraceEvents {
		if e.Cat == "user_annotation" && len(names) < 5 {
			names = append(names, e.Name)
		}
	}
	return names
}

func TestDamage(t *testing.T) {
	clean, st := write(t, synth.Options{Layers: 2})
	text, got := write(t, synth.Options{Layers: 2, DamageEvery: 10})
	if n := int64(bytes.Count(text, []byte(`{"device": "cpu"}`)) + bytes.Count(text, []byte(`<eval 5" wide>`))); n != got.Damaged || n < 5 {
		t.Errorf("%d damaged rows, reported %d", n, got.Damaged)
	}
	if json.Valid(text) || !json.Valid(clean) {
		t.Error("only the damaged trace may be invalid")
	}
	if got.Events != st.Events || got.KernelNS != st.KernelNS || got.SumTS != st.SumTS {
		t.Error("damage changed more than names")
	}
}

func TestRejects(t *testing.T) {
	for _, o := range []synth.Options{{Layout: 9}, {Rank: 2, WorldSize: 2}, {Rank: -1}, {Layers: -1}} {
		if _, err := synth.Write(io.Discard, o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
	broken := errors.New("broken")
	if _, err := synth.Write(failing{broken}, synth.Options{}); !errors.Is(err, broken) {
		t.Errorf("the writer's error was lost: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestMix(t *testing.T) {
	text, st := write(t, synth.Options{Bytes: 3 << 20})
	for cat, want := range map[string][2]float64{
		"cpu_op": {22, 28}, "python_function": {21, 28}, "kernel": {18, 22}, "ac2g": {8, 12},
	} {
		if share := 100 * float64(st.ByCat[cat]) / float64(st.Events); share < want[0] || share > want[1] {
			t.Errorf("%s is %.1f%% of the events, want %v", cat, share, want)
		}
	}
	if avg := st.Bytes / st.Events; avg < 370 || avg > 440 {
		t.Errorf("%d bytes an event", avg)
	}
	if st.Names < 200 || st.Names > 600 {
		t.Errorf("%d distinct names", st.Names)
	}
	shortest, longest := 1000, 0
	for _, e := range parse(t, text).TraceEvents {
		if e.Cat == "kernel" {
			shortest, longest = min(shortest, len(e.Name)), max(longest, len(e.Name))
		}
	}
	if shortest < 34 || longest > 754 || longest < 700 {
		t.Errorf("kernel names of %d to %d bytes", shortest, longest)
	}
}

func TestOrder(t *testing.T) {
	text, _ := write(t, synth.Options{Layers: 2, Graphs: true, Bytes: 300_000})
	var order []string
	for _, e := range parse(t, text).TraceEvents {
		section := e.Ph
		switch {
		case e.Cat == "cpu_op" || e.Cat == "user_annotation":
			section = "ops"
		case e.Cat == "python_function":
			section = "python " + e.track()
		case e.call() || e.gpu() || e.Cat == "ac2g" || e.Cat == "overhead":
			section = "device"
		case e.Cat != "":
			section = e.Cat
		}
		if len(order) == 0 || order[len(order)-1] != section {
			order = append(order, section)
		}
	}
	want := "ops, python 4233/4233, python 4233/4745, device, gpu_user_annotation, M, Trace, M, i"
	if got := strings.Join(order, ", "); got != want {
		t.Errorf("sections are %s\nwant %s", got, want)
	}
}
