package kineto

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"

	"tokprof/trace/synth"
)

// ways are readings that must all come to the same File.
var ways = []Options{
	{Workers: 1, General: true},
	{Workers: 1},
	{Workers: 2},
	{Workers: 4, chunk: 4096},
	{Workers: 3, chunk: 256},
	{Workers: 3, General: true, chunk: 1000},
	{Workers: 1, chunk: 61},
}

// compareWays reads text in all ways and returns the File, or nil when the text
// is refused in all of them.
func compareWays(t testing.TB, text string, args []string) *File {
	t.Helper()
	var first *File
	var firstErr error
	for i, opt := range ways {
		opt.Args = args
		f, err := readText(text, opt)
		if i == 0 {
			first, firstErr = f, err
			continue
		}
		if fmt.Sprint(err) != fmt.Sprint(firstErr) {
			t.Fatalf("%+v: error %v, with the general parser %v", opt, err, firstErr)
		}
		if !reflect.DeepEqual(f, first) {
			t.Fatalf("%+v differs from the general parser:\n%s\n%s", opt, describe(f), describe(first))
		}
	}
	return first
}

func describe(f *File) string {
	if f == nil {
		return "no file"
	}
	c := *f
	c.Blocks = nil
	return fmt.Sprintf("%+v\n%+v", c, clipFlat(flatten(f)))
}

func clipFlat(l []flat) []flat { return l[:min(len(l), 20)] }

// compareOracle checks f against encoding/json, where that accepts the text.
func compareOracle(t testing.TB, text string, f *File) {
	t.Helper()
	o, ok := expect([]byte(text))
	if !ok {
		return
	}
	if f == nil {
		if o.rows > 0 {
			t.Fatalf("refused, but encoding/json finds %d rows", o.rows)
		}
		return
	}
	if f.Frac == FracUnpadded {
		return
	}
	if f.Events != o.rows || f.Skipped != o.skipped {
		t.Fatalf("%d rows and %d skipped, encoding/json finds %d and %d; %v", f.Events, f.Skipped, o.rows, o.skipped, f.Damage)
	}
	if !maps.Equal(f.Counts, o.counts) {
		t.Fatalf("counts %v, encoding/json finds %v", f.Counts, o.counts)
	}
	got := flatten(f)
	if len(got) != len(o.events) {
		t.Fatalf("%d stored, encoding/json finds %d", len(got), len(o.events))
	}
	for i := range got {
		got[i].Args = ""
		if got[i] != o.events[i] {
			t.Fatalf("event %d is\n%+v, encoding/json finds\n%+v", i, got[i], o.events[i])
		}
	}
}

func fixtures(t testing.TB) map[string]string {
	t.Helper()
	names, _ := filepath.Glob("testdata/*.json.gz")
	out := map[string]string{}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(name)] = string(text)
	}
	if len(out) == 0 {
		t.Fatal("no fixtures")
	}
	return out
}

func TestFixtures(t *testing.T) {
	for name, text := range fixtures(t) {
		t.Run(name, func(t *testing.T) {
			f := compareWays(t, text, nil)
			compareOracle(t, text, f)
			if f.Skipped != 0 || len(f.Damage) != 0 || f.Truncated {
				t.Errorf("sound file is called damaged: %s", describe(f))
			}
			if f.BaseNS() != 1790857026000000000 {
				t.Errorf("base %d", f.BaseNS())
			}
		})
	}
}

func TestSynthetic(t *testing.T) {
	for _, layout := range []synth.Layout{synth.Classic, synth.KeyPerLine, synth.Compact} {
		for _, graphs := range []bool{false, true} {
			var w bytes.Buffer
			st, err := synth.Write(&w, synth.Options{Bytes: 150e3, Layout: layout, Graphs: graphs, WorldSize: 2, Layers: 2, MetaLast: graphs})
			if err != nil {
				t.Fatal(err)
			}
			text := w.String()
			f := compareWays(t, text, []string{"Collective name", "Input Dims", "grid"})
			if f.Events != st.Events || f.BaseNS() != st.BaseNS {
				t.Errorf("layout %d: %d rows, wrote %d; base %d, wrote %d", layout, f.Events, st.Events, f.BaseNS(), st.BaseNS)
			}
			compareOracle(t, text, mustRead(t, text, Options{}))
		}
	}
}

func TestSyntheticDamage(t *testing.T) {
	for _, layout := range []synth.Layout{synth.Classic, synth.KeyPerLine, synth.Compact} {
		var w bytes.Buffer
		st, err := synth.Write(&w, synth.Options{Bytes: 150e3, Layout: layout, Layers: 2, DamageEvery: 7})
		if err != nil {
			t.Fatal(err)
		}
		f := compareWays(t, w.String(), nil)
		if f.Events+f.Skipped != st.Events || f.Skipped != 0 || st.Damaged == 0 {
			t.Errorf("layout %d: %d rows and %d skipped of %d with %d damaged", layout, f.Events, f.Skipped, st.Events, st.Damaged)
		}
		if len(f.Names) < st.Names {
			t.Errorf("layout %d: %d names, wrote %d", layout, len(f.Names), st.Names)
		}
	}
}

// TestArgs checks the raw arguments against encoding/json's view of the same rows.
func TestArgs(t *testing.T) {
	text := fixtures(t)["nccl.json.gz"]
	f := compareWays(t, text, []string{"Collective name", "Process Group Ranks", "Input Dims"})
	want := map[uint8]int{}
	for k, key := range []string{"Collective name", "Process Group Ranks", "Input Dims"} {
		want[uint8(k)] = strings.Count(text, `"`+key+`": `)
	}
	got := map[uint8]int{}
	for _, a := range f.TextArgs {
		got[a.Key]++
	}
	if !maps.Equal(got, want) || want[0] == 0 || want[2] == 0 {
		t.Errorf("arguments %v, the text has %v", got, want)
	}
	for _, s := range f.Texts {
		if c := s[0]; c != '"' && c != '[' {
			t.Errorf("argument %q is not raw JSON", s)
		}
	}
}

func TestWide(t *testing.T) {
	text := `{"traceEvents":[{"ph":"X","cat":"cuda_runtime","name":"a","pid":1,"tid":1,"ts":1.5,"dur":4294967.294,"args":{"correlation":4294967294,"External id":4294967295}},` +
		`{"ph":"X","cat":"cuda_runtime","name":"a","pid":1,"tid":1,"ts":1.5,"dur":9000000.001,"args":{"correlation":18446744073709551615,"External id":1}}]}`
	f := compareWays(t, text, nil)
	compareOracle(t, text, f)
	want := map[WideKey]int64{{0, ColExt}: 4294967295, {1, ColDur}: 9000000001, {1, ColCorr}: -1}
	if !maps.Equal(f.Wide, want) {
		t.Errorf("wide %v, want %v", f.Wide, want)
	}
}

// TestMemory counts what an event costs beyond the fixed costs of a reading.
func TestMemory(t *testing.T) {
	cost := func(bytesWanted int64) (allocs, events float64) {
		var w bytes.Buffer
		if _, err := synth.Write(&w, synth.Options{Bytes: bytesWanted, Layers: 4}); err != nil {
			t.Fatal(err)
		}
		text := w.String()
		var f *File
		allocs = testing.AllocsPerRun(2, func() { f = mustRead(t, text, Options{Workers: 1}) })
		return allocs, float64(f.Events)
	}
	fewAllocs, few := cost(2e6)
	manyAllocs, many := cost(8e6)
	if per := (manyAllocs - fewAllocs) / (many - few); per > 0.01 {
		t.Errorf("%.3f allocations an event", per)
	}
	if size := reflect.TypeOf(Block{}).Size(); size > 28*BlockLen {
		t.Errorf("a block has %d bytes", size)
	}
}

var errStop = errors.New("stop")

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	text := `{"traceEvents":[` + strings.Repeat(`{"ph":"X","ts":1},`, 1e5) + `]}`
	for _, workers := range []int{1, 3} {
		r := &hook{r: strings.NewReader(text), after: 1e6, do: cancel}
		f, err := Read(ctx, Source{R: r}, Options{Workers: workers, chunk: 1 << 16})
		if !errors.Is(err, context.Canceled) || f != nil {
			t.Errorf("workers %d: %v, %v", workers, f, err)
		}
	}
}

// hook calls do once after so many bytes.
type hook struct {
	r     io.Reader
	n     int
	after int
	do    func()
}

func (h *hook) Read(p []byte) (int, error) {
	n, err := h.r.Read(p)
	if h.n += n; h.n >= h.after {
		h.do()
	}
	return n, err
}
