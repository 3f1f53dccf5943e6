package kineto

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

func host(pid, tid string) Track { return Track{Pid: pid, Tid: tid} }
func gpu(pid, tid string) Track  { return Track{GPU: true, Pid: pid, Tid: tid} }

// generations are small traces in the spelling of each writer, with all that
// must come of them.
var generations = []struct {
	name, text string
	want       []flat
	counts     map[string]int64
	damage     []string
	skipped    int64
	integer    bool
	frac       FracMode
	meta       []string
}{
	{
		name: "2021: integer µs, capital cats, stream names for tids, lower-case id",
		text: `
{
  "schemaVersion": 1,
  "traceEvents": [
  
  {
    "ph": "X", "cat": "Operator", 
    "name": "aten::add", "pid": 77, "tid": "189",
    "ts": 1610366662254362, "dur": 4,
    "args": {
       "Input dims": [[], []], "Device": 0, "External id": 2, "Extra arguments": []
    }
  }
,
  {
    "ph": "X", "cat": "Kernel", 
    "name": "void add<4>(int)", "pid": 0, "tid": "stream 7",
    "ts": 1610366662254562, "dur": 397,
    "args": {
      "queued": 0, "device": 0, "context": 1,
      "stream": 7, "correlation": 31255, "external id": 5,
      "warps per SM": 14.4, "blocks per SM": inf
    }
  },
  {
    "ph": "s", "id": 31255, "pid": 77, "tid": 189, "ts": 1610366662254563,
    "cat": "async", "name": "launch"
  }]}`,
		want: []flat{
			{Kind: Op, Name: "aten::add", TS: 1610366662254362000, Dur: 4000, Ext: 2, Track: host("77", "189")},
			{Kind: Kernel, Name: "void add<4>(int)", TS: 1610366662254562000, Dur: 397000, Corr: 31255, Ext: 5, Track: gpu("0", "7")},
		},
		counts: map[string]int64{"Operator": 1, "Kernel": 1, "async": 1}, integer: true,
		meta: []string{"schemaVersion"},
	},
	{
		name: "March 2024: epoch µs with fractions that are not padded",
		text: `{"traceEvents": [
  {
    "ph": "X", "cat": "cpu_op", "name": "a", "pid": 1, "tid": 1,
    "ts": 1711111111111111.5, "dur": 3.40
  },
  {
    "ph": "X", "cat": "cpu_op", "name": "b", "pid": 1, "tid": 1,
    "ts": 1711111111111112.500, "dur": 0.75
  }
  ], "displayTimeUnit": "ms"
}`,
		want: []flat{
			{Kind: Op, Name: "a", TS: 1711111111111111005, Dur: 3040, Track: host("1", "1")},
			{Kind: Op, Name: "b", TS: 1711111111111112500, Dur: 75, Track: host("1", "1")},
		},
		counts: map[string]int64{"cpu_op": 2}, frac: FracUnpadded, meta: []string{"displayTimeUnit"},
	},
	{
		name: "2026: a key a line, nested args, typed metadata, node ids",
		text: `{
  "schemaVersion": 1, "baseTimeNanoseconds": 1767189312000000000,
  "traceEvents": [
  {
    "ph": "X",
    "cat": "kernel",
    "name": "k",
    "pid": 0,
    "tid": 7,
    "ts": 100.250,
    "dur": 2.125
    ,
    "args": {
      "External id": 3, "device": 1, "stream": 20, "correlation": 9, "grid": [1, 2, 3], "occupancy": {"activeBlocksPerMultiprocessor": 2, "limitingFactors": "WARPS|REGS", "x": [{"y": []}]}, "graph id": 4, "graph node id": 77
    }
  },
  {
    "ph": "X",
    "cat": "gpu_memcpy",
    "name": "Memcpy HtoD (Pinned -> Device)",
    "pid": 0,
    "tid": 7,
    "ts": 103.000,
    "dur": 0.000
    ,
    "args": {
      "device": 1, "stream": 20, "correlation": 10, "bytes": 4096, "memory bandwidth (GB/s)": "N/A", "graph node id": 0
    }
  },
  {
    "ph": "f",
    "id": 9,
    "pid": 0,
    "tid": 7,
    "ts": 100.250,
    "cat": "ac2g",
    "name": "ac2g"
    , "bp": "e"
  }
  ],
  "traceName": "x"
}`,
		want: []flat{
			{Kind: Kernel, Name: "k", TS: 100250, Dur: 2125, Corr: 9, Ext: 3, Track: gpu("1", "20"), Node: 77},
			{Kind: Memcpy, Name: "Memcpy HtoD (Pinned -> Device)", TS: 103000, Corr: 10, Track: gpu("1", "20"), Bytes: 4096},
		},
		counts: map[string]int64{"kernel": 1, "gpu_memcpy": 1, "ac2g": 1},
		meta:   []string{"schemaVersion", "baseTimeNanoseconds", "traceName"},
	},
	{
		name: "rewritten: wrapper, args first, exponents, duplicate keys, ids as text, escapes, surplus commas",
		text: `{"metadata":{"a":[{"b":"]}"}]},"traceEvents":[{"args":{"correlation":"12","stream":"s","device":3},"dur":1e0,"ts":1.5e3,"tid":1,"pid":0,"name":"first","name":"a\u00e9\ud83d\ude00\n","cat":"kernel","ph":"X"},,` +
			`{"ph":"i","name":"Iteration Start: x","s":"g","ts":"7.5","pid":"Traces","tid":"T"},{"ph":"i","cat":"cpu_instant_event","name":"[memory]","ts":1,"pid":1,"tid":1},` +
			`{"ph":"C","name":"c","ts":1,"pid":1,"args":{"":1}},{"ph":"B","cat":"x","name":"b","ts":1},null,7,"text",{"ph":"X","cat":"overhead","name":"o","ts":-3,"dur":-1,"pid":-1,"tid":-247463936},],` +
			`"traceName":"]"}`,
		want: []flat{
			{Kind: Kernel, Name: "aé😀\n", TS: 1500000, Dur: 1000, Corr: 12, Track: gpu("3", "s")},
			{Kind: Instant, Name: "Iteration Start: x", TS: 7500, Track: host("Traces", "T")},
			{Kind: Overhead, Name: "o", TS: -3000, Track: host("-1", "-247463936")},
		},
		counts: map[string]int64{
			"kernel": 1, "ph i": 1, "cpu_instant_event": 1, "ph C": 1,
			"unsupported phase B": 1, "not an object": 3, "overhead": 1,
		},
		skipped: 3,
		meta:    []string{"metadata", "traceName"},
	},
	{
		name: "names with bare quotes and line ends, a key without a quote",
		text: `{"traceEvents": [
  {
    "ph": "X", "cat": "python_function", "name": "{"device": "cpu", "dtype": "float32"}(12): run", "pid": 1, "tid": 1,
    "ts": 100.000, "dur": 1.000,
    "args": {
      "Python id": 1
    }
  },
  {
    "ph": "X", "cat": "python_function", "name": "lib = Library("_inductor_test", "IMPL")
(1): <module>", "pid": 1, "tid": 1,
    "ts": 101.000, "dur": 1.000
  },
  {
    "ph": "X", "cat": "python_function", "name": "lost", pid": 1, "tid": 1,
    "ts": 102.000, "dur": 1.000
  },
  {
    "ph": "X", "cat": "python_function", "name": "odd " one", "pid": 1, "tid": 1,
    "ts": 103.000, "dur": 1.000
  },
  {
    "ph": "X", "cat": "cpu_op", "name": "args", "pid": 1, "tid": 1,
    "ts": 104.000, "dur": 1.000,
    "args": {
      "Concrete Inputs": ["a"b", "c"]
    }
  },
  {
    "ph": "X", "cat": "python_function", "name": "C:\dir\__init__.py(1): f", "pid": 1, "tid": 1,
    "ts": 105.000, "dur": 1.000
  }
  ]
}`,
		want: []flat{
			{Kind: Python, Name: `{"device": "cpu", "dtype": "float32"}(12): run`, TS: 100000, Dur: 1000, Track: host("1", "1")},
			{Kind: Python, Name: "lib = Library(\"_inductor_test\", \"IMPL\")\n(1): <module>", TS: 101000, Dur: 1000, Track: host("1", "1")},
			{Kind: Python, Name: `odd " one`, TS: 103000, Dur: 1000, Track: host("1", "1")},
			{Kind: Python, Name: `C:\dir\__init__.py(1): f`, TS: 105000, Dur: 1000, Track: host("1", "1")},
		},
		counts: map[string]int64{"python_function": 4}, skipped: 2,
		damage: []string{whyQuotes, whyQuotes, whyKey, whyQuotes, whyValue},
	},
}

func TestGenerations(t *testing.T) {
	for _, c := range generations {
		t.Run(c.name, func(t *testing.T) {
			f := compareWays(t, c.text, nil)
			if f == nil {
				t.Fatal("refused")
			}
			if got := flatten(f); !reflect.DeepEqual(got, c.want) {
				t.Errorf("events\n%+v\nwant\n%+v", got, c.want)
			}
			if !maps.Equal(f.Counts, c.counts) {
				t.Errorf("counts %v, want %v", f.Counts, c.counts)
			}
			var damage []string
			for _, d := range f.Damage {
				damage = append(damage, d.What)
				if b := c.text[d.Offset]; b != '{' {
					t.Errorf("damage %q at byte %d, which is %q", d.What, d.Offset, b)
				}
			}
			if !reflect.DeepEqual(damage, c.damage) || f.Skipped != c.skipped {
				t.Errorf("damage %q with %d skipped, want %q with %d", damage, f.Skipped, c.damage, c.skipped)
			}
			if f.IntegerTS != c.integer || f.Frac != c.frac || f.Truncated || !reflect.DeepEqual(f.MetaOrder, c.meta) {
				t.Errorf("integer %v, fractions %d, truncated by %q, meta %q", f.IntegerTS, f.Frac, f.TruncatedBy, f.MetaOrder)
			}
		})
	}
}

func TestLabelsAndMeta(t *testing.T) {
	text := "\xef\xbb\xbf" + `[{"name":"process_name","ph":"M","pid":5,"tid":0,"args":{"name":"python3"}},
	{"name":"process_labels","ph":"M","pid":"0","tid":0,"args":{"labels":"GPU 0"}},
	{"name":"thread_name","ph":"M","pid":5,"tid":9,"args":{"name":"thread 9 (\"x\")"}},
	{"name":"thread_sort_index","ph":"M","pid":5,"tid":9,"args":{"sort_index":9}},
	{"ph":"X","name":"a","ts":1,"pid":1,"tid":1}`
	f := compareWays(t, text, nil)
	want := []Label{
		{"5", "0", "process_name", "python3"},
		{"0", "0", "process_labels", "GPU 0"},
		{"5", "9", "thread_name", `thread 9 ("x")`},
	}
	if !reflect.DeepEqual(f.Labels, want) {
		t.Errorf("labels %q, want %q", f.Labels, want)
	}
	if !f.BareArray || f.Truncated {
		t.Errorf("bare array %v, truncated %v", f.BareArray, f.Truncated)
	}
	f = mustRead(t, `{"a": 1, "a": [2] , "traceEvents": [{"ph":"M"}], "b": {"c": "}"}}`, Options{})
	if got := string(f.Meta["a"]) + string(f.Meta["b"]); got != `[2]{"c": "}"}` {
		t.Errorf("meta %s", got)
	}
}

// TestGaps has events set off from each other in changing ways.
func TestGaps(t *testing.T) {
	for _, gap := range []string{",", ", ", ",\n", ",\n  ", "\n,", " , \t"} {
		var w strings.Builder
		w.WriteString(`[{"ph":"X","ts":0}`)
		for i, other := range []string{gap, gap, ", ", ",", ",\n      ", gap, ",\n\n  ", ",,", " ", gap} {
			w.WriteString(other)
			w.WriteString(strings.Replace(`{"ph":"X","ts":N}`, "N", strconv.Itoa(i), 1))
		}
		text := w.String() + " ]"
		if f := compareWays(t, text, nil); f == nil || f.Events != 11 || f.Skipped != 0 {
			t.Errorf("%q: %s", gap, describe(f))
		}
	}
}

func TestBigMeta(t *testing.T) {
	text := `{"big": ["` + strings.Repeat("x\\\"[", 500e3) + `"], "small": 1, "traceEvents": [{"ph":"X","ts":1}], "INFO": "y"}`
	f := mustRead(t, text, Options{Workers: 1, chunk: 100e3})
	if g := mustRead(t, text, Options{}); !reflect.DeepEqual(f, g) {
		t.Errorf("pieces make a difference:\n%s\n%s", describe(f), describe(g))
	}
	if f.Meta["big"] != nil || string(f.Meta["small"]) != "1" || string(f.Meta["INFO"]) != `"y"` || f.Events != 1 || len(f.Damage) != 1 {
		t.Errorf("%s", describe(f))
	}
}

// TestForms reads one trace under each compression, with its hash.
func TestForms(t *testing.T) {
	text := fixtures(t)["nccl.json.gz"]
	var gz, zst bytes.Buffer
	for _, part := range []string{text[:100000], text[100000:]} {
		z := gzip.NewWriter(&gz)
		_, _ = z.Write([]byte(part))
		_ = z.Close()
	}
	e, _ := zstd.NewWriter(&zst)
	_, _ = e.Write([]byte(text))
	_ = e.Close()
	plain := mustRead(t, text, Options{Workers: 1})
	for format, data := range map[string][]byte{"json": []byte(text), "json.gz": gz.Bytes(), "json.zst": zst.Bytes()} {
		for _, workers := range []int{1, 3} {
			var told int64
			opt := Options{Workers: workers, Hash: true, chunk: 20000, Progress: func(n int64) { told = n }}
			f, err := Read(context.Background(), Source{R: bytes.NewReader(data)}, opt)
			if err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256(data)
			if f.Format != format || f.FileBytes != int64(len(data)) || f.RawBytes != int64(len(text)) || f.SHA256 != hex.EncodeToString(sum[:]) || told != f.FileBytes {
				t.Errorf("%s: format %s, %d of %d bytes, %d of %d raw, progress %d", format, f.Format, f.FileBytes, len(data), f.RawBytes, len(text), told)
			}
			f.Format, f.FileBytes, f.SHA256 = plain.Format, plain.FileBytes, plain.SHA256
			if !reflect.DeepEqual(f, plain) {
				t.Errorf("%s differs from the plain file", format)
			}
		}
	}
}

func TestScan(t *testing.T) {
	for name, text := range fixtures(t) {
		f := mustRead(t, text, Options{})
		var out strings.Builder
		opened, rows := false, 0
		_, err := Scan(context.Background(), Source{R: strings.NewReader(text)}, Options{}, Handler{
			Key: func(k, v []byte) error {
				if opened {
					out.WriteString("],")
				}
				opened = false
				out.WriteString(`"` + string(k) + `":` + string(v) + ",")
				return nil
			},
			Row: func(r *Row) error {
				if text[r.Offset:r.Offset+int64(len(r.Raw))] != string(r.Raw) || r.Index != int64(rows) {
					t.Fatalf("row %d: index %d, offset %d", rows, r.Index, r.Offset)
				}
				rows++
				if r.Stored {
					b, i := f.At(r.ID)
					tr := f.Tracks[b.Track[i]]
					if b.TS[i] != r.TS || f.Dur(r.ID) != r.Dur || f.Corr(r.ID) != r.Corr || f.Ext(r.ID) != r.Ext || b.Kind[i] != r.Kind ||
						f.Names[b.Name[i]] != string(r.Name) || !tr.GPU && (tr.Pid != string(r.Pid) || tr.Tid != string(r.Tid)) {
						t.Fatalf("row %d is not event %d: %+v", rows, r.ID, r)
					}
				}
				if (r.Ph == 's' || r.Ph == 'f') && (r.FlowID == 0 || r.Cat != "ac2g") {
					t.Fatalf("flow row %+v", r)
				}
				if !opened {
					out.WriteString(`"traceEvents":[`)
				} else {
					out.WriteString(",")
				}
				opened = true
				out.Write(r.Raw)
				return nil
			},
		})
		if err != nil || int64(rows) != f.Events {
			t.Fatalf("%s: %d rows of %d, %v", name, rows, f.Events, err)
		}
		again := mustRead(t, "{"+strings.TrimSuffix(out.String(), ",")+"}", Options{})
		if !reflect.DeepEqual(flatten(again), flatten(f)) || !reflect.DeepEqual(again.MetaOrder, f.MetaOrder) {
			t.Errorf("%s: what Scan handed out does not make the same trace", name)
		}
	}
	_, err := Scan(context.Background(), Source{R: strings.NewReader(`[{"ph":"X","ts":1}]`)}, Options{}, Handler{Row: func(*Row) error { return errStop }})
	if err != errStop {
		t.Errorf("error %v", err)
	}
}
