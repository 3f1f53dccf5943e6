package nvml

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"
)

const capture = "testdata/llama-16l-tp2-nccl.jsonl.gz"

func readRecording(t testing.TB, path string) *Recording {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	rec, err := ReadRecording(f)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

// TestRecordingRoundTrip writes a real recording and reads what was written.
func TestRecordingRoundTrip(t *testing.T) {
	rec := readRecording(t, capture)
	if len(rec.Devices) != 2 || len(rec.Readings) != 1684 || rec.Damaged != 0 || rec.Torn || rec.LinkScope != "" {
		t.Fatalf("%d GPUs, %d readings, %d damaged, torn %v, scope %q", len(rec.Devices), len(rec.Readings), rec.Damaged, rec.Torn, rec.LinkScope)
	}
	want := Reading{UnixNS: 1795405240298750662, Valid: Set(Power, Energy, SMClock, MemClock, Temp, ReasonBits, UtilGPU, UtilMem, MemUsed, NVLinkRx, NVLinkTx),
		PowerMW: 186848, EnergyMJ: 13257812, SMClockMHz: 1980, MemClockMHz: 3201, TempC: 42, UtilGPU: 84, UtilMem: 25, MemUsed: 92857630720, NVLinkRxKiB: 4627655, NVLinkTxKiB: 4628283}
	if rec.Readings[0] != want {
		t.Errorf("the first reading is %+v, want %+v", rec.Readings[0], want)
	}
	var b bytes.Buffer
	n, err := rec.WriteTo(&b)
	if err != nil || n != int64(b.Len()) {
		t.Fatalf("%d bytes of %d, %v", n, b.Len(), err)
	}
	again, err := ReadRecording(&b)
	if err != nil || !reflect.DeepEqual(again, rec) {
		t.Errorf("the recording changes when it is written and read: %v", err)
	}
}

// TestEveryField writes and reads a reading that has every field.
func TestEveryField(t *testing.T) {
	r := Reading{UnixNS: -1, GPU: 3}
	for f := range numFields {
		r.Put(f, 1<<63+uint64(f))
	}
	rec := &Recording{Devices: []Device{{Index: 3, LinkScope: FirstLink}}, Readings: []Reading{r}, LinkScope: FirstLink}
	var b bytes.Buffer
	if _, err := rec.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	got, err := ReadRecording(&b)
	if err != nil || !reflect.DeepEqual(got, rec) {
		t.Errorf("%+v, %v; want %+v", got, err, rec)
	}
	for i, name := range FieldNames() {
		if f, ok := ParseField(name); !ok || f != Field(i) || f.String() != name {
			t.Errorf("field %d is called %q, found as %d (%v)", i, name, f, ok)
		}
	}
	if r.Valid != AllFields {
		t.Errorf("the fields are %b", r.Valid)
	}
}

// TestDamage reads recordings that are hurt in one place each.
func TestDamage(t *testing.T) {
	const (
		head = `{"gpu": 0, "name": "A", "link_scope": "all links"}` + "\n"
		one  = `{"t": 10, "gpu": 0, "power_mw": 5}` + "\n"
		two  = `{"t": 20, "gpu": 0, "power_mw": 6}` + "\n"
	)
	long := `{"t": 15, "gpu": 0, "note": "` + strings.Repeat("x", maxLine) + `"}` + "\n"
	for _, c := range []struct {
		name, text string
		readings   int
		torn       bool
		damaged    int
		first      string
	}{
		{"whole", head + one + two, 2, false, 0, ""},
		{"no last newline", head + one + strings.TrimSpace(two), 2, false, 0, ""},
		{"CRLF and blank lines", strings.ReplaceAll(head+"\n"+one+two, "\n", "\r\n"), 2, false, 0, ""},
		{"torn end", head + one + two[:12], 1, true, 0, ""},
		{"torn line in the middle", head + one[:12] + "\n" + two, 1, false, 1, "line 2: not a JSON object"},
		{"not an object", head + "17\n" + two, 1, false, 1, "line 2: not a JSON object"},
		{"two objects in a line", head + strings.TrimSpace(one) + two, 0, false, 1, "line 2: not a JSON object"},
		{"zeros of a lost block", head + one + strings.Repeat("\x00", 100) + "\n" + two, 2, false, 1, "line 3: not a JSON object"},
		{"long line", head + one + long + two, 2, false, 1, fmt.Sprintf("line 3: longer than %d bytes", maxLine)},
		{"negative value", head + `{"t": 10, "gpu": 0, "temp_c": -4, "power_mw": 5}` + "\n", 1, false, 1, "line 2: temp_c is -4, which is not a whole number from 0"},
		{"fraction", head + `{"t": 10, "gpu": 0, "power_mw": 5.5}` + "\n", 1, false, 1, "line 2: power_mw is 5.5, which is not a whole number from 0"},
		{"null is absent", head + `{"t": 10, "gpu": 0, "power_mw": null}` + "\n", 1, false, 0, ""},
		{"unknown names", head + `{"x": [1, {"t": "}"}], "t": 10, "power_mw": 5 , "gpu": 0, "y": "\"{"}` + "\n", 1, false, 0, ""},
		{"time is no number", head + `{"t": "noon", "gpu": 0}` + "\n", 0, false, 1, "line 2: no GPU index or no time that can be read"},
		{"no GPU", head + `{"t": 10}` + "\n", 0, false, 1, "line 2: no GPU index or no time that can be read"},
		{"absurd GPU", head + `{"t": 10, "gpu": 99999}` + "\n", 0, false, 1, "line 2: no GPU index or no time that can be read"},
		{"time goes back", head + two + one, 2, false, 1, "line 3: the time of GPU 0 goes back by 10 ns"},
		{"device of another shape", `{"gpu": 0, "name": 7}` + "\n" + one, 1, false, 1, "line 1: not a GPU's description: json: cannot unmarshal number into Go struct field Device.name of type string"},
	} {
		rec, err := ReadRecording(strings.NewReader(c.text))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		first := ""
		if len(rec.Damage) > 0 {
			first = rec.Damage[0].String()
		}
		if len(rec.Readings) != c.readings || rec.Torn != c.torn || rec.Damaged != c.damaged || first != c.first {
			t.Errorf("%s: %d readings, torn %v, %d damaged (%s); want %d, %v, %d (%s)", c.name, len(rec.Readings), rec.Torn, rec.Damaged, first, c.readings, c.torn, c.damaged, c.first)
		}
		for i := 1; i < len(rec.Readings); i++ {
			if rec.Readings[i].UnixNS < rec.Readings[i-1].UnixNS {
				t.Errorf("%s: the readings are out of order", c.name)
			}
		}
	}
}

// TestNoRecording reads what holds no reading at all.
func TestNoRecording(t *testing.T) {
	var empty bytes.Buffer
	if err := gzip.NewWriter(&empty).Close(); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"":                    "it is empty",
		"\n\n":                "it is empty",
		"hello\nworld\n":      "line 1: not a JSON object",
		`{"t": 10, "gpu"`:     "its only line is cut off",
		"\x1f\x8bnot gzip":    "cannot be decompressed",
		empty.String():        "it is empty",
		`{"a": 1}` + "\n":     "line 1: no GPU index",
		`{"gpu": "0"}` + "\n": "line 1: no GPU index",
	} {
		rec, err := ReadRecording(strings.NewReader(text))
		if rec != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want an error with %q", text, err, want)
		}
	}
	_, err := ReadRecording(io.MultiReader(strings.NewReader(`{"gpu": 0}`+"\n"), broken{}))
	if !errors.Is(err, errBroken) {
		t.Errorf("a broken reader: %v", err)
	}
}

var errBroken = errors.New("broken")

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errBroken }

// TestCutCompression cuts a gzipped recording and damages one: what stands
// before the wound is there.
func TestCutCompression(t *testing.T) {
	whole, err := os.ReadFile(capture)
	if err != nil {
		t.Fatal(err)
	}
	hurt := bytes.Clone(whole)
	for i := len(hurt) / 2; i < len(hurt)/2+40; i++ {
		hurt[i] = 0xFF
	}
	for name, b := range map[string][]byte{"cut": whole[:len(whole)/2], "hurt": hurt} {
		rec, err := ReadRecording(bytes.NewReader(b))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if n := len(rec.Readings); !rec.Torn || n < 500 || n > 1400 || rec.Damaged > 2 {
			t.Errorf("%s: torn %v, %d readings, %d damaged", name, rec.Torn, n, rec.Damaged)
		}
	}
}

// TestWholeLines writes through a pipe that counts: only whole lines go out.
func TestWholeLines(t *testing.T) {
	rec := readRecording(t, capture)
	w := &wholeLines{t: t}
	if _, err := rec.WriteTo(w); err != nil || w.writes < 10 {
		t.Errorf("%v, %d writes", err, w.writes)
	}
	if _, err := rec.WriteTo(failing{}); !errors.Is(err, errBroken) {
		t.Errorf("a writer that fails: %v", err)
	}
}

type wholeLines struct {
	t      *testing.T
	writes int
}

func (w *wholeLines) Write(b []byte) (int, error) {
	w.writes++
	if b[0] != '{' || !bytes.HasSuffix(b, []byte("}\n")) {
		w.t.Errorf("a piece of %d bytes is not whole lines", len(b))
	}
	return len(b), nil
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errBroken }

func TestLinkScope(t *testing.T) {
	for want, scopes := range map[string][]string{AllLinks: {AllLinks, AllLinks}, FirstLink: {FirstLink}, "": {AllLinks, FirstLink}} {
		var text strings.Builder
		for i, s := range scopes {
			fmt.Fprintf(&text, `{"gpu": %d, "link_scope": %q}`+"\n", i, s)
		}
		rec, err := ReadRecording(strings.NewReader(text.String()))
		if err != nil || rec.LinkScope != want {
			t.Errorf("%q: %q, %v", scopes, rec.LinkScope, err)
		}
	}
}

// FuzzReadRecording reads any bytes: what comes out is in order, and written
// and read again it is the same.
func FuzzReadRecording(f *testing.F) {
	f.Add([]byte(`{"gpu": 0, "name": "A", "links": [{"link": 0}]}` + "\n" + `{"t": 10, "gpu": 0, "power_mw": 5}` + "\n"))
	f.Add([]byte(`{"t": 20, "gpu": 1, "x": {"a": "}"}}` + "\n" + `{"t": 10, "gpu": 1}` + "\n{"))
	f.Add([]byte("\x1f\x8b\x08\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		rec, err := ReadRecording(bytes.NewReader(b))
		if err != nil {
			return
		}
		var out bytes.Buffer
		if _, err := rec.WriteTo(&out); err != nil {
			t.Fatal(err)
		}
		written := out.String()
		again, err := ReadRecording(&out)
		if err != nil || again.Damaged > 0 || again.Torn || !reflect.DeepEqual(again.Readings, rec.Readings) {
			t.Fatalf("%q changes when it is written and read: %v", b, err)
		}
		var twice bytes.Buffer
		if _, err := again.WriteTo(&twice); err != nil || twice.String() != written {
			t.Errorf("%q is written as %q, then as %q (%v)", b, written, twice.String(), err)
		}
		rec.Summaries()
	})
}
