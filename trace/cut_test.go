package trace

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tokprof/trace/internal/kineto"
	"tokprof/trace/synth"
)

// everything selects the whole trace.
func everything(redact bool) Selection {
	return Selection{From: math.MinInt64, To: math.MaxInt64, GPU: func(int) bool { return true }, Redact: redact}
}

// cut cuts the trace at path and opens the result, whose text must be JSON for
// a strict reader. Long texts are left to our own: it counts every flaw, and
// encoding/json takes seconds for them under the race detector.
func cut(t *testing.T, path string, tr *Trace, sel Selection) (*Trace, []byte) {
	t.Helper()
	var b bytes.Buffer
	kept, err := Cut(context.Background(), path, tr, sel, &b)
	if err != nil {
		t.Fatalf("Cut: %v", err)
	}
	if b.Len() < 2<<20 && !isJSON(b.Bytes()) {
		t.Fatalf("the cut is not JSON: %v\n%.2000s", json.Unmarshal(b.Bytes(), new(any)), b.Bytes())
	}
	small := openText(t, b.String())
	if in := small.Info; in.Truncated || in.Skipped > 0 || len(in.Damage) > 0 || in.Events != kept {
		t.Errorf("the cut is damaged: %+v", in)
	}
	return small, b.Bytes()
}

// event is what a cut must keep of a GPU event: all but its numbers in the file.
type event struct {
	kind              Kind
	start, dur        Time
	name              string
	device            int
	stream            int64
	corr, external    uint64
	bytes, node       int64
	launch            string
	launchAt, launchD Time
}

func gpuEvent(t *Trace, i int) event {
	e := t.Event(t.gpu[i])
	tr := t.Track(e.Track)
	out := event{
		kind: e.Kind, start: e.Start, dur: e.Dur, name: t.Name(e.Name), device: tr.Device, stream: tr.Stream,
		corr: e.Correlation, external: e.External, node: t.GraphNode(e.ID), launch: "none",
	}
	out.bytes, _ = t.Bytes(e.ID)
	if l := t.LaunchOf(i); l != NoEvent {
		le := t.Event(l)
		out.launch, out.launchAt, out.launchD = t.Name(le.Name), le.Start, le.Dur
	}
	return out
}

// checkCut compares the cut with the selection, event by event.
func checkCut(t *testing.T, tr, small *Trace, pick func(int) bool) {
	t.Helper()
	k := 0
	for i := range tr.gpu {
		if !pick(i) {
			continue
		}
		if k == len(small.gpu) {
			t.Fatalf("the cut has %d GPU events, the selection more", k)
		}
		if got, want := gpuEvent(small, k), gpuEvent(tr, i); got != want {
			t.Fatalf("GPU event %d of the cut: %+v\nwant %+v", k, got, want)
		}
		k++
	}
	if k != len(small.gpu) {
		t.Fatalf("the cut has %d GPU events, the selection %d", len(small.gpu), k)
	}
	if small.base != tr.base || small.Info.Epoch != tr.Info.Epoch {
		t.Errorf("clock base %d, epoch %v; want %d, %v", small.base, small.Info.Epoch, tr.base, tr.Info.Epoch)
	}
}

// checkFlows wants each arrow of the text to have both ends, at rows of the text.
func checkFlows(t *testing.T, text []byte) {
	t.Helper()
	var doc struct {
		TraceEvents []struct {
			Ph, Cat string
			ID      uint64
			TS      json.Number
			Pid     any
			Args    struct{ Correlation uint64 }
		}
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	rows, starts, ends := map[string]bool{}, map[uint64]int{}, map[uint64]int{}
	for _, e := range doc.TraceEvents {
		if e.Ph == "X" && e.Args.Correlation != 0 {
			rows[fmt.Sprint(e.Args.Correlation, e.Pid, e.TS)] = true
		}
	}
	for _, e := range doc.TraceEvents {
		switch e.Ph {
		case "s":
			starts[e.ID]++
		case "f":
			ends[e.ID]++
		default:
			continue
		}
		if !rows[fmt.Sprint(e.ID, e.Pid, e.TS)] {
			t.Fatalf("the %s end of flow %d hangs in the air", e.Ph, e.ID)
		}
	}
	for id, n := range starts {
		if n != 1 || ends[id] == 0 {
			t.Fatalf("flow %d has %d starts and %d ends", id, n, ends[id])
		}
		delete(ends, id)
	}
	if len(ends) > 0 {
		t.Fatalf("flows %v end without a start", ends)
	}
}

// around is a selection of some GPU events and of the host's doings meanwhile.
func around(t *Trace, pick func(int) bool) Selection {
	sel := Selection{From: math.MaxInt64, To: math.MinInt64, GPU: pick, Redact: true}
	for i, id := range t.gpu {
		if pick(i) {
			sel.From, sel.To = min(sel.From, t.Start(id)), max(sel.To, t.Start(id)+t.Dur(id))
		}
	}
	return sel
}

// TestCutFixtures cuts each recorded trace: all of it, which must keep every
// row, and in turn a stretch of GPU events that begins inside of graph
// launches, or scattered ones.
func TestCutFixtures(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(11, 12))
	for turn, tr := range fixtures(t) {
		path := tr.Info.Path
		whole, _ := cut(t, path, tr, everything(false))
		checkCut(t, tr, whole, func(int) bool { return true })
		if got, want := fmt.Sprint(whole.Info.Counts, whole.tracks, len(whole.file.Meta)), fmt.Sprint(tr.Info.Counts, tr.tracks, len(tr.file.Meta)); got != want {
			t.Errorf("%s: rows by category, tracks and keys %s\nwant %s", path, got, want)
		}
		n := len(tr.gpu)
		scattered := make([]bool, n)
		for i := n / 4; i < n/3; i++ {
			scattered[i] = r.IntN(5) == 0
		}
		pick := func(i int) bool { return i >= n/3 && i < n/3+100 }
		if turn%2 == 1 {
			pick = func(i int) bool { return scattered[i] }
		}
		small, text := cut(t, path, tr, around(tr, pick))
		checkCut(t, tr, small, pick)
		checkFlows(t, text)
		if small.Info.WorldSize != tr.Info.WorldSize || small.Info.Engine != tr.Info.Engine || small.Info.Events == 0 {
			t.Errorf("%s: the cut is of %q, a world of %d; want %q, %d", path,
				small.Info.Engine, small.Info.WorldSize, tr.Info.Engine, tr.Info.WorldSize)
		}
	}
}

// variants are synthetic traces in every spelling.
func variants() map[string]synth.Options {
	out := map[string]synth.Options{}
	for _, layout := range []synth.Layout{synth.Classic, synth.KeyPerLine, synth.Compact} {
		for _, last := range []bool{false, true} {
			name := fmt.Sprintf("layout%d,last=%v", layout, last)
			out[name] = synth.Options{
				Layout: layout, MetaLast: last, Seed: 7, Layers: 2, Graphs: true, Bytes: 100_000,
				Rank: 1, WorldSize: 2, DamageEvery: 50,
			}
		}
	}
	return out
}

func TestCutSynthetic(t *testing.T) {
	for name, o := range variants() {
		var b bytes.Buffer
		stats, err := synth.Write(&b, o)
		if err != nil {
			t.Fatal(err)
		}
		for file, text := range map[string]string{"plain.json": b.String(), "packed.json.gz": gz(b.String())} {
			path := save(t, file, text)
			tr := open(t, path)
			n := len(tr.gpu)
			pick := func(i int) bool { return i > n/4 && i < n/2 }
			sel := everything(false)
			sel.GPU = pick
			small, out := cut(t, path, tr, sel)
			checkCut(t, tr, small, pick)
			checkFlows(t, out)
			if small.base != Time(stats.BaseNS) {
				t.Errorf("%s, %s: base %d, want %d", name, file, small.base, stats.BaseNS)
			}
			whole, _ := cut(t, path, tr, everything(false))
			if got, want := whole.Info.Events, tr.Info.Events-int64(len(tr.Info.Damage)); stats.Damaged == 0 || got != want {
				t.Errorf("%s, %s: %d rows kept of %d, want %d without the %d damaged ones", name, file, got, tr.Info.Events, want, stats.Damaged)
			}
		}
	}
}

func TestCutBareArray(t *testing.T) {
	path := save(t, "trace.json", "[\n"+callRow("cudaLaunchKernel", 100, 1000, 5, 7)+",\n"+kernelRow("k", 0, 7, 9000, 5, 7)+"\n]")
	tr := open(t, path)
	small, text := cut(t, path, tr, everything(true))
	checkCut(t, tr, small, func(int) bool { return true })
	if !strings.HasPrefix(string(text), "{\n\"traceEvents\": [\n  {") {
		t.Errorf("the cut starts %.60q, want an object", text)
	}
}

// TestCutNothing keeps what names the clock and the threads.
func TestCutNothing(t *testing.T) {
	path := save(t, "trace.json", document(`"baseTimeNanoseconds": 1700000000000000000`,
		callRow("cudaLaunchKernel", 100, 1000, 5, 7), kernelRow("k", 0, 7, 9000, 5, 7)))
	sel := Selection{GPU: func(int) bool { return false }}
	_, text := cut(t, path, open(t, path), sel)
	if want := "{\n\"schemaVersion\": 1,\n\"baseTimeNanoseconds\": 1700000000000000000,\n\"traceEvents\": [\n]\n}\n"; string(text) != want {
		t.Errorf("the cut is %q\nwant %q", text, want)
	}
	path = save(t, "trace.json", document("")[:len("{\n")]+"\"traceEvents\": []}")
	if _, text := cut(t, path, open(t, path), sel); string(text) != "{\n\"traceEvents\": [\n]\n}\n" {
		t.Errorf("the cut of an empty trace is %q", text)
	}
}

// TestCutToTheHost shows what a span and a pick keep besides the GPU events.
func TestCutToTheHost(t *testing.T) {
	path := save(t, "trace.json", document("",
		hostRow("cpu_op", "before", 100, 800),
		hostRow("cpu_op", "touches", 100, 1000),
		hostRow("user_annotation", "around", 100, 90_000),
		callRow("cudaLaunchKernel", 100, 1200, 50, 7), flowRow("s", 7, 100, 100, 1200),
		callRow("cuLaunchKernelEx", 100, 1210, 20, 7),
		callRow("cudaGraphLaunch", 100, 1300, 50, 8), flowRow("s", 8, 100, 100, 1300),
		callRow("cudaLaunchKernel", 100, 1400, 50, 9), flowRow("s", 9, 100, 100, 1400),
		callRow("cuLaunchKernelEx", 100, 1410, 20, 9),
		callRow("cudaStreamSynchronize", 100, 1500, 50, 10),
		callRow("cudaLaunchKernel", 100, 1600, 50, 11),
		`{"ph": "s", "id": 7, "pid": 100, "tid": 100, "ts": 1.200, "cat": "fwdbwd", "name": "fwdbwd"}`,
		kernelRow("picked", 0, 7, 5000, 10, 7), flowRow("f", 7, 0, 7, 5000),
		kernelRow("node0", 0, 7, 5100, 10, 8), flowRow("f", 8, 0, 7, 5100),
		kernelRow("node1", 0, 7, 5200, 10, 8), flowRow("f", 8, 0, 7, 5200),
		kernelRow("left", 0, 7, 5300, 10, 9), flowRow("f", 9, 0, 7, 5300),
		kernelRow("orphan", 0, 7, 5400, 10, 12), flowRow("f", 12, 0, 7, 5400),
		hostRow("Trace", "PyTorch Profiler (0)", 0, 90_000),
		`{"ph": "i", "s": "g", "name": "Record Window End", "pid": "", "tid": "", "ts": 90.000}`,
		`{"ph": "i", "s": "t", "cat": "cpu_instant_event", "name": "[memory]", "pid": 100, "tid": 100, "ts": 1.500}`,
		`{"ph": "i", "s": "t", "cat": "cpu_instant_event", "name": "[memory] later", "pid": 100, "tid": 100, "ts": 9.500}`,
		`{"ph": "M", "name": "process_name", "pid": 100, "tid": 0, "ts": 0, "args": {"name": "python"}}`,
		gpuRow("gpu_user_annotation", "shadow", 0, 7, 5000, 400, 0),
		hostRow("cpu_op", "after", 7_000, 10)))
	tr := open(t, path)
	picked := map[string]bool{"picked": true, "node1": true, "orphan": true}
	sel := Selection{From: 1000, To: 6000, GPU: func(i int) bool { return picked[tr.Name(tr.NameOf(tr.gpu[i]))] }}
	_, text := cut(t, path, tr, sel)
	var doc struct {
		TraceEvents []struct {
			Ph, Name string
			ID       int
			TS       float64
		}
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range doc.TraceEvents {
		if e.Ph == "s" || e.Ph == "f" {
			e.Name = fmt.Sprint(e.Ph, e.ID)
		}
		got = append(got, fmt.Sprintf("%s@%v", e.Name, e.TS))
	}
	want := []string{
		"touches@0.1", "around@0.1", "cudaLaunchKernel@1.2", "s7@1.2", "cuLaunchKernelEx@1.21", "cudaGraphLaunch@1.3", "s8@1.3",
		"cudaStreamSynchronize@1.5", "cudaLaunchKernel@1.6", "picked@5", "f7@5", "node1@5.2", "f8@5.2", "orphan@5.4",
		"[memory]@1.5", "process_name@0", "shadow@5",
	}
	if !slices.Equal(got, want) {
		t.Errorf("kept %q\nwant %q", got, want)
	}
	checkFlows(t, text)
}

// TestCutOfAChangedFile has the server go on writing between the two readings.
func TestCutOfAChangedFile(t *testing.T) {
	rows := []string{callRow("cudaLaunchKernel", 100, 1000, 5, 7), kernelRow("k", 0, 7, 9000, 5, 7)}
	path := save(t, "trace.json", document("", rows...))
	tr := open(t, path)
	for _, text := range []string{document("", rows...) + " ", document("", slices.Repeat(rows, kineto.BlockLen)...)} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := Cut(context.Background(), path, tr, everything(true), &bytes.Buffer{})
		if want := path + " changed while it was being cut: wait until the server has written it, then cut again"; err == nil || err.Error() != want {
			t.Errorf("Cut = %v, want %s", err, want)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := Cut(context.Background(), path, tr, everything(true), &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("Cut of a removed file = %v", err)
	}
}

// full is a disk without room behind n bytes.
type full struct{ n int }

func (f *full) Write(p []byte) (int, error) {
	if f.n -= len(p); f.n < 0 {
		return 0, os.ErrClosed
	}
	return len(p), nil
}

func TestCutStops(t *testing.T) {
	tr := fixtures(t)[0]
	path := tr.Info.Path
	for _, room := range []int{0, 100_000} {
		if _, err := Cut(context.Background(), path, tr, everything(true), &full{room}); err != os.ErrClosed {
			t.Errorf("Cut to a full disk = %v, want the writer's error", err)
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if _, err := Cut(ctx, path, tr, everything(true), &bytes.Buffer{}); err != context.Canceled {
		t.Errorf("Cut after the end = %v, want %v", err, context.Canceled)
	}
	if _, err := Cut(context.Background(), filepath.Dir(path), tr, everything(true), &bytes.Buffer{}); err == nil {
		t.Error("Cut of a directory has no error")
	}
}
