package kineto

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"testing"
)

// flat is a stored event with all its references followed.
type flat struct {
	Kind      Kind
	Name      string
	TS, Dur   int64
	Corr, Ext uint64
	Track     Track
	Bytes     int64
	Node      int64
	Args      string
}

func flatten(f *File) []flat {
	var out []flat
	for i := range f.Stored() {
		id := EventID(i)
		b, k := f.At(id)
		out = append(out, flat{
			Kind: b.Kind[k], Name: f.Names[b.Name[k]], TS: b.TS[k], Dur: f.Dur(id),
			Corr: f.Corr(id), Ext: f.Ext(id), Track: f.Tracks[b.Track[k]],
		})
	}
	for _, a := range f.Bytes {
		out[a.Event].Bytes = a.Value
	}
	for _, a := range f.Nodes {
		out[a.Event].Node = a.Value
	}
	for _, a := range f.TextArgs {
		out[a.Event].Args += fmt.Sprintf("%d=%s;", a.Key, f.Texts[a.Text])
	}
	return out
}

func mustRead(t testing.TB, text string, opt Options) *File {
	t.Helper()
	f, err := readText(text, opt)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func readText(text string, opt Options) (*File, error) {
	return Read(context.Background(), Source{R: strings.NewReader(text), Size: int64(len(text))}, opt)
}

// oracle is what encoding/json makes of a trace.
type oracle struct {
	events  []flat
	counts  map[string]int64
	rows    int64
	skipped int64
}

// expect reads a trace with encoding/json; ok is false for text that it refuses
// or that this test's simple rules do not cover.
func expect(text []byte) (o oracle, ok bool) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var top any
	if d.Decode(&top) != nil || d.More() || len(bytes.TrimSpace(text[d.InputOffset():])) > 0 {
		return o, false
	}
	list, bare := top.([]any)
	if m, object := top.(map[string]any); object {
		list, bare = m["traceEvents"].([]any)
	}
	if !bare {
		return o, false
	}
	o.counts = map[string]int64{}
	for _, e := range list {
		row, object := e.(map[string]any)
		if !object {
			o.skipped++
			o.counts["not an object"]++
			continue
		}
		o.row(row)
	}
	return o, true
}

func (o *oracle) row(row map[string]any) {
	ph, isText := row["ph"].(string)
	if !isText {
		o.skipped++
		return
	}
	if len(ph) != 1 {
		ph = "?"
	}
	cat, hasCat := row["cat"].(string)
	c := newClass(ph[0], []byte(cat), hasCat)
	c.cat = cat
	if hasCat && !strings.HasPrefix(c.counted, "unsupported") {
		c.counted = cat
	}
	ts, tsOK := nanos(row["ts"])
	if c.stored && !tsOK {
		o.skipped++
		return
	}
	o.rows++
	o.counts[c.counted]++
	if !c.stored {
		return
	}
	e := flat{Kind: c.kind, TS: ts, Track: Track{GPU: c.gpu, Pid: scalarText(row["pid"]), Tid: scalarText(row["tid"])}}
	e.Name = scalarText(row["name"])
	if v, ok := nanos(row["dur"]); ok {
		e.Dur = max(v, 0)
	}
	args, _ := row["args"].(map[string]any)
	e.Corr = uintOf(args["correlation"])
	e.Ext = uintOf(args["External id"])
	if v, ok := args["external id"]; ok {
		e.Ext = uintOf(v)
	}
	if c.gpu {
		if v := args["device"]; isScalar(v) {
			e.Track.Pid = scalarText(v)
		}
		if v := args["stream"]; isScalar(v) {
			e.Track.Tid = scalarText(v)
		}
		e.Bytes, e.Node = int64(uintOf(args["bytes"])), int64(uintOf(args["graph node id"]))
	}
	o.events = append(o.events, e)
}

func isScalar(v any) bool {
	switch v.(type) {
	case string, json.Number:
		return true
	}
	return false
}

func scalarText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	}
	return ""
}

func uintOf(v any) uint64 {
	n, _ := parseUint([]byte(scalarText(v)))
	return n
}

// nanos is a microsecond value in ns by exact arithmetic, halves away from zero.
func nanos(v any) (int64, bool) {
	s := scalarText(v)
	if s == "" || strings.Trim(s, "0123456789.eE+-") != "" || !strings.ContainsAny(s, "0123456789") {
		return 0, false
	}
	if i := strings.IndexAny(s, "eE"); i >= 0 && len(s)-i > 5 {
		return 0, false
	}
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		return 0, false
	}
	r.Mul(r, big.NewRat(1000, 1))
	half := big.NewRat(1, 2)
	if r.Sign() < 0 {
		half.Neg(half)
	}
	r.Add(r, half)
	q := new(big.Int).Quo(r.Num(), r.Denom())
	return q.Int64(), q.IsInt64() && q.Int64() != -1<<63
}
