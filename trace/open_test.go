package trace

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"tokprof/fixtures/golden"
	"tokprof/trace/internal/kineto"
	"tokprof/trace/synth"
)

// describe writes down all that a trace says of itself.
func describe(t *Trace) string {
	in := t.Info
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s, %d bytes of %d raw, sha256 %.12s\n", in.Name, in.Format, in.FileBytes, in.RawBytes, in.SHA256)
	fmt.Fprintf(&b, "  %q %q, rank %d of %d, replica %d, GPU %q, names %v\n", in.Engine, in.Version, in.Rank, in.WorldSize, in.Replica, t.GPUName(), in.GPUNames)
	fmt.Fprintf(&b, "  events %d, skipped %d, damage %v, truncated %v at %d %q\n", in.Events, in.Skipped, in.Damage, in.Truncated, in.TruncatedAt, in.TruncatedBy)
	fmt.Fprintf(&b, "  integer ts %v, unpadded %v, epoch %v, stack %v, shapes %v\n", in.IntegerTS, in.UnpaddedFraction, in.Epoch, in.WithStack, in.RecordShapes)
	for _, k := range slices.Sorted(maps.Keys(in.Counts)) {
		fmt.Fprintf(&b, "  %s: %d\n", k, in.Counts[k])
	}
	for i := range t.Tracks() {
		tr := t.Track(TrackID(i))
		fmt.Fprintf(&b, "  track %d: gpu %v %d %d, pid %s tid %s %q\n", i, tr.GPU, tr.Device, tr.Stream, tr.Pid, tr.Tid, tr.Label)
	}
	orphans := 0
	for i := range t.GPU() {
		if t.LaunchOf(i) == NoEvent {
			orphans++
		}
	}
	fmt.Fprintf(&b, "  %d GPU events, %d without launch, %d names", len(t.gpu), orphans, t.Names())
	if len(t.gpu) > 0 {
		first, last := t.Event(t.gpu[0]), t.Event(t.gpu[len(t.gpu)-1])
		fmt.Fprintf(&b, ", from %d to %d", first.Start, last.End())
	}
	b.WriteString("\n")
	return b.String()
}

func TestInfoOfFixtures(t *testing.T) {
	var b strings.Builder
	for _, tr := range fixtures(t) {
		b.WriteString(filepath.Base(filepath.Dir(tr.Info.Path)) + "/" + describe(tr))
	}
	golden.Check(t, "info.golden", []byte(b.String()))
}

var oneKernel = kernelRow("k", 0, 7, 9000, 5, 7)

// traits are what a file can say of itself, one at a time.
var traits = []struct {
	what, head, row string
	is              func(t *Trace) bool
}{
	{"rank and world", `"distributedInfo": {"backend": "nccl", "rank": 3, "world_size": 8, "pg_config": [{"ranks": [0, 1]}]}`, oneKernel,
		func(t *Trace) bool { return t.Info.Rank == 3 && t.Info.WorldSize == 8 }},
	{"Python's spelling", `"distributedInfo": "{'backend': 'nccl', 'rank': 3, 'world_size': 8}"`, oneKernel,
		func(t *Trace) bool { return t.Info.Rank == 3 && t.Info.WorldSize == 8 }},
	{"JSON in a string", `"distributedInfo": "{\"rank\":3,\"world_size\":8}"`, oneKernel,
		func(t *Trace) bool { return t.Info.Rank == 3 && t.Info.WorldSize == 8 }},
	{"no rank", `"distributedInfo": {"rank": -1, "pg_config": [{"ranks": [4, 5]}]}`, oneKernel,
		func(t *Trace) bool { return t.Info.Rank == -1 && t.Info.WorldSize == 0 }},
	{"a rank beyond all numbers", `"distributedInfo": {"rank": 99999999999999999999, "world_size": 99999999999999999999}`, oneKernel,
		func(t *Trace) bool { return t.Info.Rank == -1 && t.Info.WorldSize == 0 }},
	{"nothing said", "", oneKernel, func(t *Trace) bool {
		return t.Info.Rank == -1 && t.Info.Replica == -1 && t.Info.Engine == "" && !t.Info.Epoch && !t.Info.WithStack && t.GPUName() == ""
	}},
	{"flags", `"with_stack": 1, "record_shapes": true`, oneKernel, func(t *Trace) bool { return t.Info.WithStack && t.Info.RecordShapes }},
	{"flags that are off", `"with_stack": 0, "record_shapes": "0"`, oneKernel, func(t *Trace) bool { return !t.Info.WithStack && !t.Info.RecordShapes }},
	{"a base in front", `"baseTimeNanoseconds": 1700000000000000000`, oneKernel, func(t *Trace) bool {
		return t.Info.Epoch && t.Start(t.gpu[0]) == 1700000000000009000
	}},
	{"Unix time in ts, whole microseconds", "", `{"ph": "X", "cat": "Kernel", "name": "k", "pid": 0, "tid": 7, "ts": 1609459200000000, "dur": 5, "args": {"device": 0, "stream": 7}}`,
		func(t *Trace) bool {
			return t.Info.Epoch && t.Info.IntegerTS && t.Start(t.gpu[0]) == 1609459200000000000
		}},
	{"Unix time without GPU rows", "", `{"ph": "X", "cat": "Operator", "name": "k", "pid": 1, "tid": 1, "ts": 1609459200000000, "dur": 5}`,
		func(t *Trace) bool { return t.Info.Epoch && len(t.gpu) == 0 }},
	{"the version of vLLM", `"vllm_version": "0.27.0"`, oneKernel, func(t *Trace) bool { return t.Info.Version == "0.27.0" }},
	{"a version that is no text", `"vllm_version": [0, 27]`, oneKernel, func(t *Trace) bool { return t.Info.Version == "" }},
	{"the kernel's GPU among many", `"deviceProperties": [{"id": 0, "name": "GPU A"}, {"id": 1, "name": "GPU B"}]`, kernelRow("k", 1, 7, 1, 1, 1),
		func(t *Trace) bool { return t.GPUName() == "GPU B" }},
	{"GPUs of two names", `"deviceProperties": [{"id": 0, "name": "GPU A"}, {"id": 1, "name": "GPU B"}]`, oneKernel + ",\n  " + kernelRow("k", 1, 7, 1, 1, 1),
		func(t *Trace) bool { return t.GPUName() == "" }},
	{"nameless GPUs", `"deviceProperties": [{"id": 0, "name": ""}]`, oneKernel, func(t *Trace) bool { return t.GPUName() == "" && len(t.Info.GPUNames) == 0 }},
	{"one odd GPU among others", `"deviceProperties": [{"id": "x", "name": 5}, {"id": 0, "name": "GPU A", "warpSize": "?"}]`, oneKernel,
		func(t *Trace) bool { return t.GPUName() == "GPU A" }},
	{"ordinals with text around", "", gpuRow("kernel", "k", `"GPU 3"`, `"stream 7"`, 1, 1, 1),
		func(t *Trace) bool { tr := t.Track(t.TrackOf(t.gpu[0])); return tr.Device == 3 && tr.Stream == 7 }},
	{"ordinals in quotes", "", gpuRow("kernel", "k", `"2"`, `"20 (sync)"`, 1, 1, 1),
		func(t *Trace) bool { tr := t.Track(t.TrackOf(t.gpu[0])); return tr.Device == 2 && tr.Stream == 20 }},
	{"ordinals that are none", "", gpuRow("kernel", "k", `"GPU"`, `""`, 1, 1, 1),
		func(t *Trace) bool { tr := t.Track(t.TrackOf(t.gpu[0])); return tr.Device == -1 && tr.Stream == -1 }},
	{"pids as text", "", hostRow("cpu_op", "aten::mm", 1, 1)[:1] + `"ph": "X", "cat": "cpu_op", "name": "a", "pid": "host 1", "tid": "main", "ts": 1, "dur": 1}`,
		func(t *Trace) bool {
			return t.Track(0) == Track{Device: -1, Stream: -1, Pid: "host 1", Tid: "main"}
		}},
	{"thread names", "", oneKernel + `, {"ph": "M", "name": "thread_name", "pid": 0, "tid": 7, "ts": 0, "args": {"name": "stream 7 "}}`,
		func(t *Trace) bool { return t.Track(t.TrackOf(t.gpu[0])).Label == "stream 7" }},
	{"a copy's bytes and a node of a graph", "", `{"ph": "X", "cat": "gpu_memcpy", "name": "c", "pid": 0, "tid": 7, "ts": 1, "dur": 1, "args": {"device": 0, "stream": 7, "correlation": 1, "bytes": 4096, "graph node id": 12}}, ` + oneKernel,
		func(t *Trace) bool {
			n, ok := t.Bytes(t.gpu[0])
			_, no := t.Bytes(t.gpu[1])
			return ok && n == 4096 && !no && t.GraphNode(t.gpu[0]) == 12 && t.GraphNode(t.gpu[1]) == 0
		}},
	{"values beyond the columns", "", `{"ph": "X", "cat": "kernel", "name": "k", "pid": 0, "tid": 7, "ts": 1, "dur": 5000000.001, "args": {"device": 0, "stream": 7, "correlation": 4294967295, "External id": 18446744073709551615}}`,
		func(t *Trace) bool {
			e := t.Event(t.gpu[0])
			return e.Dur == 5000000001 && t.Dur(e.ID) == e.Dur && e.Correlation == 1<<32-1 && e.External == math.MaxUint64 && e.End() == 5000001001
		}},
	{"an External id beyond its column", "", `{"ph": "X", "cat": "cpu_op", "name": "o", "pid": 1, "tid": 1, "ts": 1, "dur": 1, "args": {"External id": 4294967296}}`,
		func(t *Trace) bool { return t.Event(0).External == 1<<32 && t.Event(0).Dur == 1000 }},
}

func TestInfo(t *testing.T) {
	for _, c := range traits {
		tr := openText(t, document(c.head, c.row))
		if !c.is(tr) {
			t.Errorf("%s: read as\n%s", c.what, describe(tr))
		}
	}
}

// TestInfoOfNames takes from a file's name what the file does not say.
func TestInfoOfNames(t *testing.T) {
	own := document(`"distributedInfo": {"rank": 5, "world_size": 8}`, kernelRow("k", 0, 7, 1, 1, 1))
	bare := document("", kernelRow("k", 0, 7, 1, 1, 1))
	for _, c := range []struct {
		name, text    string
		rank, replica int
	}{
		{"dp2_pp0_tp1_dcp0_ep0_rank1.1795400541965894466.pt.trace.json", bare, 1, 2},
		{"dp2_pp0_tp1_dcp0_ep0_rank1.1795400541965894466.pt.trace.json", own, 5, 2},
		{"rank3.1795400541965894466.pt.trace.json", bare, 3, -1},
		{"trace.json", own, 5, -1},
	} {
		tr := open(t, save(t, c.name, c.text))
		if tr.Info.Name != c.name || tr.Info.Rank != c.rank || tr.Info.Replica != c.replica {
			t.Errorf("%s: rank %d, replica %d; want %d, %d", c.name, tr.Info.Rank, tr.Info.Replica, c.rank, c.replica)
		}
	}
}

func TestEngine(t *testing.T) {
	thread := func(name string) string {
		return fmt.Sprintf(`{"ph": "M", "name": "thread_name", "pid": 100, "tid": 100, "ts": 0, "args": {"name": %q}}`, name)
	}
	vllmKernel := kernelRow("void vllm::rms_norm_kernel<float>", 0, 7, 1, 1, 1)
	for _, c := range []struct {
		what, want string
		rows       []string
	}{
		{"a plain torch program", "", []string{hostRow("cpu_op", "aten::mm", 1, 1), kernelRow("gemm", 0, 7, 1, 1, 1)}},
		{"vLLM by its threads", "vLLM", []string{hostRow("cpu_op", "aten::mm", 1, 1), thread("thread 1 (VLLM::Worker_TP)")}},
		{"vLLM by its steps", "vLLM", []string{hostRow("user_annotation", "execute_context_0(0)_generation_1(1)", 1, 1)}},
		{"vLLM by its kernels alone", "vLLM", []string{vllmKernel}},
		{"SGLang by its paths, though it borrows kernels", "SGLang", []string{vllmKernel, hostRow("python_function", "sglang/srt/managers/scheduler.py(1): run", 1, 1)}},
		{"SGLang by its steps", "SGLang", []string{vllmKernel, hostRow("user_annotation", "step[DECODE bs=4]", 1, 1)}},
		{"TensorRT-LLM by its kernels", "TensorRT-LLM", []string{kernelRow("void tensorrt_llm::kernels::x", 0, 7, 1, 1, 1)}},
		{"vLLM with kernels of TensorRT-LLM", "vLLM", []string{kernelRow("void tensorrt_llm::kernels::x", 0, 7, 1, 1, 1), hostRow("python_function", "vllm/v1/worker/gpu_worker.py(1): run", 1, 1)}},
	} {
		if got := openText(t, document("", c.rows...)).Info.Engine; got != c.want {
			t.Errorf("%s: engine %q, want %q", c.what, got, c.want)
		}
	}
}

// TestOpenWorkers wants the same trace however many goroutines read it.
func TestOpenWorkers(t *testing.T) {
	var b bytes.Buffer
	stats, err := synth.Write(&b, synth.Options{Seed: 3, Layers: 3, Graphs: true, Bytes: 3 << 20, DamageEvery: 97})
	if err != nil {
		t.Fatal(err)
	}
	path := save(t, "rank0.1795400541965894466.pt.trace.json.gz", gz(b.String()))
	var want string
	for _, workers := range []int{1, 2, 5} {
		var told []int64
		st, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		tr, err := Open(context.Background(), path, Options{Workers: workers, Progress: func(n, size int64) {
			if size != st.Size() || n < slices.Max(append(told, 0)) {
				t.Errorf("progress %d of %d after %v", n, size, told)
			}
			told = append(told, n)
		}})
		if err != nil {
			t.Fatal(err)
		}
		if len(told) == 0 || told[len(told)-1] != st.Size() {
			t.Errorf("progress %v, want it to end at %d", told, st.Size())
		}
		got := describe(tr)
		if want = cmp.Or(want, got); got != want {
			t.Errorf("%d workers:\n%s\nwant\n%s", workers, got, want)
		}
		var sum Time
		for _, id := range tr.GPU() {
			sum += tr.Dur(id)
		}
		if int64(sum) != stats.KernelNS || tr.Info.Events != stats.Events || tr.base != Time(stats.BaseNS) {
			t.Errorf("%d workers: %d ns of GPU time in %d rows; want %d in %d", workers, sum, tr.Info.Events, stats.KernelNS, stats.Events)
		}
	}
}

// TestErrorSentences reads each refusal as it is printed.
func TestErrorSentences(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("dir", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		err  error
		want string
	}{
		{func() error { _, err := Open(context.Background(), "no/rank0.json.gz", Options{}); return err }(),
			"no/rank0.json.gz does not exist: check the path; vLLM writes its traces into the server's torch_profiler_dir"},
		{func() error { _, err := Open(context.Background(), "dir", Options{}); return err }(),
			"dir is a directory: name one file in it"},
		{openError("a.json", &fs.PathError{Op: "open", Path: "a.json", Err: fs.ErrPermission}),
			"a.json cannot be opened: permission denied: the server may run as another user; copy the file or change its mode"},
		{openError("a.json", &fs.PathError{Op: "open", Path: "a.json", Err: syscall.EMFILE}),
			"a.json cannot be opened: too many open files"},
		{readError(context.Background(), "a.json", &kineto.FormatError{Offset: 12, What: "is HTML, not a trace", Hint: "the download returned a web page"}),
			"a.json is HTML, not a trace (at byte 12): the download returned a web page"},
		{readError(context.Background(), "-", syscall.EIO), "standard input cannot be read: input/output error"},
		{readError(context.Background(), "a.json", &fs.PathError{Op: "read", Path: "/srv/x/a.json", Err: syscall.EIO}),
			"a.json cannot be read: input/output error"},
	} {
		var e *Error
		if !errors.As(c.err, &e) || c.err.Error() != c.want {
			t.Errorf("%v\nwant %s", c.err, c.want)
			continue
		}
		if e.Path+" "+e.Reason() != c.want {
			t.Errorf("path %q and reason %q do not make %q", e.Path, e.Reason(), c.want)
		}
	}
	if !errors.Is(openError("a", fs.ErrNotExist), fs.ErrNotExist) {
		t.Error("an *Error hides its cause")
	}
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if _, err := Open(ctx, save(t, "a.json", smallTrace), Options{}); err != context.Canceled {
		t.Errorf("Open after the end = %v, want %v", err, context.Canceled)
	}
}
