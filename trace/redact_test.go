package trace

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// privateTrace is full of what must not get into a ticket. Its host, people
// and places are made up.
const privateTrace = `{
"schemaVersion": 1,
"host_name": "gpu-node-17.corp.example",
"PT_PROFILER_JOB_NAME": "jdoe-llama-eval",
"PT_PROFILER_JOB_VERSION": "3",
"with_stack": 1,
"distributedInfo": {"backend": "nccl", "rank": 0, "world_size": 2, "store": "/scratch/jdoe/store"},
"launch_args": "--model /data/jdoe/llama",
"baseTimeNanoseconds": 1700000000000000000,
"traceEvents": [
  {"ph": "X", "cat": "python_function", "name": "/home/jdoe/serve/run.py(12): main", "pid": 100, "tid": 100, "ts": 1.000, "dur": 90.000, "args": {"Python id": 1}},
  {"ph": "X", "cat": "python_function", "name": "/opt/venv/lib/python3.12/site-packages/vllm/v1/worker.py(7): step", "pid": 100, "tid": 100, "ts": 2.000, "dur": 80.000, "args": {"Call stack": "\/home\/jdoe\/a.py(1): f;\n/home/jdoe/b.py(2): g"}},
  {"ph": "X", "cat": "user_annotation", "name": "cwd=/home/jdoe tmp=/tmp/x home=/home/jdoe/", "pid": 100, "tid": 100, "ts": 3.000, "dur": 70.000, "args": {"External id": 1}},
  {"ph": "X", "cat": "cuda_runtime", "name": "cudaLaunchKernel", "pid": 100, "tid": 100, "ts": 4.000, "dur": 5.000, "args": {"correlation": 7}},
  {"ph": "X", "cat": "kernel", "name": "void (anonymous namespace)::a<float, 1/2>(b::c*)", "pid": 0, "tid": 7, "ts": 10.000, "dur": 5.000, "args": {"device": 0, "stream": 7, "correlation": 7}},
  {"ph": "M", "name": "process_name", "pid": 100, "tid": 0, "ts": 0, "args": {"name": "/home/jdoe/bin/python3"}}
],
"INFO": ["INFO:gpu-node-17 record counts"],
"displayTimeUnit": "ms",
"traceName": "/home/jdoe/traces/a].pt.trace.json"
}
`

const redactedTrace = `{
"schemaVersion": 1,
"with_stack": 1,
"distributedInfo": {"backend": "nccl", "rank": 0, "world_size": 2, "store": "store"},
"baseTimeNanoseconds": 1700000000000000000,
"traceEvents": [
  {"ph": "X", "cat": "python_function", "name": "run.py(12): main", "pid": 100, "tid": 100, "ts": 1.000, "dur": 90.000, "args": {"Python id": 1}},
  {"ph": "X", "cat": "python_function", "name": "vllm/v1/worker.py(7): step", "pid": 100, "tid": 100, "ts": 2.000, "dur": 80.000, "args": {"Call stack": "a.py(1): f;\nb.py(2): g"}},
  {"ph": "X", "cat": "user_annotation", "name": "cwd=~ tmp=x home=~", "pid": 100, "tid": 100, "ts": 3.000, "dur": 70.000, "args": {"External id": 1}},
  {"ph": "X", "cat": "cuda_runtime", "name": "cudaLaunchKernel", "pid": 100, "tid": 100, "ts": 4.000, "dur": 5.000, "args": {"correlation": 7}},
  {"ph": "X", "cat": "kernel", "name": "void (anonymous namespace)::a<float, 1/2>(b::c*)", "pid": 0, "tid": 7, "ts": 10.000, "dur": 5.000, "args": {"device": 0, "stream": 7, "correlation": 7}},
  {"ph": "M", "name": "process_name", "pid": 100, "tid": 0, "ts": 0, "args": {"name": "python3"}}
],
"displayTimeUnit": "ms"
}
`

func TestCutRedacts(t *testing.T) {
	path := save(t, "trace.json", privateTrace)
	tr := open(t, path)
	if _, text := cut(t, path, tr, everything(true)); string(text) != redactedTrace {
		t.Errorf("redacted:\n%s\nwant:\n%s", text, redactedTrace)
	}
	if _, text := cut(t, path, tr, everything(false)); string(text) != privateTrace {
		t.Errorf("not redacted:\n%s\nwant every byte as it was:\n%s", text, privateTrace)
	}
}

func TestAppendRedacted(t *testing.T) {
	for in, want := range map[string]string{
		`"a/b/c.py(1): f"`:                   `"a/b/c.py(1): f"`,
		`"/a"`:                               `"/a"`,
		`"/"`:                                `"/"`,
		`"a / b // c"`:                       `"a / b // c"`,
		`"1/2/3"`:                            `"1/2/3"`,
		`"/srv/x/y.py"`:                      `"y.py"`,
		`"('/srv/x/y.py', \"/srv/z/w\")"`:    `"('y.py', \"w\")"`,
		`"\t/srv/x/y.py\n/srv/x/z.py"`:       `"\ty.py\nz.py"`,
		`"\\/srv/x/y.py"`:                    `"\\y.py"`,
		`"\/srv\/x\/y.py"`:                   `"y.py"`,
		`"C:/Users/jdoe/x.py"`:               `"C:x.py"`,
		`"/Users/jdoe"`:                      `"~"`,
		`"/home/jdoe/": 1`:                   `"~": 1`,
		`"file:///home/jdoe/x.py"`:           `"file:x.py"`,
		`"PATH=/usr/local/bin:/home/jdoe"`:   `"PATH=bin:~"`,
		`"/opt/lib/python3.12/threading.py"`: `"threading.py"`,
		`/a/b`:                               `b`,
		`"unended /srv/x/y`:                  `"unended y`,
		`"\`:                                 `"\`,
		`"/srv/x\`:                           `"x\`,
	} {
		if got := string(appendRedacted(nil, []byte(in))); got != want {
			t.Errorf("appendRedacted(%s) = %s, want %s", in, got, want)
		}
	}
}

func TestShortPath(t *testing.T) {
	for in, want := range map[string]string{
		"/opt/venv/lib/python3.12/site-packages/torch/nn/modules/module.py": "torch/nn/modules/module.py",
		"/usr/lib/python3/dist-packages/numpy/core.py":                      "numpy/core.py",
		"/usr/lib/python3.12/asyncio/base_events.py":                        "asyncio/base_events.py",
		"/usr/lib/python3.12":                                               "python3.12",
		"/home/jdoe/serve/run.py":                                           "run.py",
		"vllm/v1/worker/gpu_model_runner.py":                                "vllm/v1/worker/gpu_model_runner.py",
		"<string>":                                                          "<string>",
		"":                                                                  "",
	} {
		if got := ShortPath(in); got != want {
			t.Errorf("ShortPath(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestAppendStrict(t *testing.T) {
	for in, want := range map[string]string{
		`{"blocks per SM": inf, "warps per SM": -nan, "x": NaN}`: `{"blocks per SM": "inf", "warps per SM": "-nan", "x": "NaN"}`,
		`{"ts": +1.5, "dur": 01, "a": .5, "b": 1.}`:              `{"ts": "+1.5", "dur": "01", "a": ".5", "b": "1."}`,
		`{"a": True, "b": None, "c": true}`:                      `{"a": "True", "b": "None", "c": true}`,
		"{\"name\": \"a\n\tb\x01\"}":                             `{"name": "a\u000a\u0009b\u0001"}`,
		`{"name": "C:\py\new\u12\"x\\"}`:                         `{"name": "C:\\py\new\\u12\"x\\"}`,
		`{"name": "\u00e9\/"}`:                                   `{"name": "\u00e9\/"}`,
		`{,"a": 1,, "b": [1,,2,],}`:                              `{"a": 1, "b": [1,2]}`,
		"{\"name\": \"\xff\xc3\xa9\xff\xfe\"}":                   "{\"name\": \"�é��\"}",
	} {
		got := string(appendStrict(nil, []byte(in)))
		if got != want {
			t.Errorf("appendStrict(%s) = %s, want %s", in, got, want)
		}
		if !isJSON([]byte(got)) {
			t.Errorf("appendStrict(%s) = %s: no JSON", in, got)
		}
	}
}

// FuzzAppendStrict wants JSON to stay what it says, and redacted JSON to stay JSON.
func FuzzAppendStrict(f *testing.F) {
	for _, s := range []string{privateTrace, `[1 , "\ud800", {"": -0.0e+1}]`, `{"name": "a`, `"\`, "\"\xff\\u00", `[1,]`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		out := appendStrict(nil, []byte(in))
		if !isJSON([]byte(in)) {
			return
		}
		var a, b any
		if json.Unmarshal([]byte(in), &a) == nil && (json.Unmarshal(out, &b) != nil || !reflect.DeepEqual(a, b)) {
			t.Errorf("appendStrict(%q) = %q: it says something else", in, out)
		}
		if out := appendRedacted(nil, []byte(in)); !isJSON(out) {
			t.Errorf("appendRedacted(%q) = %q: no JSON", in, out)
		}
	})
}

// TestCutOfLenientRows reads rows that only a forgiving reader takes, and wants
// the same events in a file that any reader takes.
func TestCutOfLenientRows(t *testing.T) {
	rows := []string{
		callRow("cudaLaunchKernel", 100, 1000, 5, 7),
		strings.Replace(kernelRow("old", 0, 7, 2000, 5, 7), `"device"`, `"blocks per SM": inf, "warps per SM": -inf, "device"`, 1),
		strings.Replace(kernelRow("N", 0, 7, 3000, 5, 7), "N", "two\nlines", 1),
		strings.Replace(kernelRow("N", 0, 7, 4000, 5, 7), "N", `C:\kernels\q.cu`, 1),
		strings.Replace(kernelRow("N", 0, 7, 5000, 5, 7), "N", "caf\xe9 \xff\xfe", 1),
		strings.Replace(kernelRow("k", 0, 7, 6000, 5, 7), `"dur"`, `, "dur"`, 1),
		`{"ph": "X", "cat": "python_function", "name": "{"device": "cpu"}(1): run", "pid": 100, "tid": 100, "ts": 1.000, "dur": 1.000, "args": {"Python id": 1}}`,
	}
	path := save(t, "trace.json", document("\"o\td\": inf,\n\"raw\": \"a\tb\"", rows...))
	tr := open(t, path)
	if len(tr.gpu) != 5 || tr.Info.Skipped != 0 {
		t.Fatalf("read %d GPU events, skipped %d rows: %v", len(tr.gpu), tr.Info.Skipped, tr.Info.Damage)
	}
	small, text := cut(t, path, tr, everything(false))
	checkCut(t, tr, small, func(int) bool { return true })
	if got := small.Info.Counts["python_function"]; got != 0 || tr.Info.Counts["python_function"] != 1 {
		t.Errorf("%d damaged rows are kept, want none", got)
	}
	if !strings.HasPrefix(string(text), "{\n\"schemaVersion\": 1,\n\"o\\u0009d\": \"inf\",\n\"raw\": \"a\\u0009b\",\n") {
		t.Errorf("keys came out as %.120q", text)
	}
}
