package replay

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// copied is the embedded recording as a folder that a test may change.
func copied(t testing.TB) fstest.MapFS {
	t.Helper()
	out := fstest.MapFS{}
	rec := Embedded()
	names, err := fs.Glob(rec.fsys, "*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		b, err := fs.ReadFile(rec.fsys, name)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = &fstest.MapFile{Data: b}
	}
	return out
}

func zipped(t testing.TB, b []byte) []byte {
	t.Helper()
	z, err := compress(b)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func unzipped(t testing.TB, b []byte) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestEmbedded(t *testing.T) {
	rec := Embedded()
	if rec.Version != "0.20.2" || rec.Model != "llama-16l" || rec.MaxModelLen != 4096 {
		t.Errorf("version %s, model %s, %d tokens", rec.Version, rec.Model, rec.MaxModelLen)
	}
	var got []string
	for _, w := range rec.Windows {
		from, to := w.Span()
		if q := w.Requests[0]; from > q.SentUnixNS || to < q.EndUnixNS {
			t.Errorf("window %s: its first request lies outside of its span", w.Name)
		}
		got = append(got, fmt.Sprintf("%s %v %d %v", w.Name, w.Profiled, len(w.Requests), w.Traces))
	}
	want := []string{
		"decode-plain false 8 []",
		"prefill true 3 [rank0.1795400709985551932.pt.trace.json.gz rank1.1795400709986119559.pt.trace.json.gz]",
		"decode true 8 [rank0.1795400711861592576.pt.trace.json.gz rank1.1795400711877083304.pt.trace.json.gz]",
	}
	if !slices.Equal(got, want) {
		t.Errorf("windows\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	total := 0
	for name, f := range copied(t) {
		total += len(f.Data)
		text := f.Data
		if strings.HasSuffix(name, ".gz") {
			text = unzipped(t, text)
		}
		for _, private := range []string{"/home/", "/root/", "/tmp/", "/usr/", "/opt/", "/mnt/", "hostname", "username", "api_key"} {
			if bytes.Contains(text, []byte(private)) {
				t.Errorf("%s holds %q", name, private)
			}
		}
	}
	if total > 2500000 {
		t.Errorf("the recording has %d bytes", total)
	}
	for _, name := range []string{"topology.txt", "server.log", "config.json"} {
		if b, err := rec.File(name); err != nil || len(b) == 0 {
			t.Errorf("%s: %d bytes, %v", name, len(b), err)
		}
	}
}

// A capture in its first form plays as one that was cut for it: one gzip member,
// or none, texts gzipped, traces named in a list that grows.
func TestOtherForms(t *testing.T) {
	dir := copied(t)
	const rank0, rank1 = "rank0.1795400709985551932.pt.trace.json.gz", "rank1.1795400709986119559.pt.trace.json.gz"
	whole := cutSteps(unzipped(t, dir[rank0].Data), 1)
	// One member; two, with the clock in the second; plain.
	forms := map[string][]byte{
		"one member":      zipped(t, whole),
		"clock in second": append(zipped(t, whole[:40]), zipped(t, whole[40:])...),
	}
	const shift = 123456789
	want, err := moveClock(whole, shift, rank0)
	if err != nil {
		t.Fatal(err)
	}
	if baseTime(t, want) != baseTime(t, whole)+shift || len(want) != len(whole) {
		t.Fatal("the clock was not moved")
	}
	for name, data := range forms {
		dir[rank0].Data = data
		rec, err := Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		got, err := rec.trace(rank0, shift, 0)
		if err != nil {
			t.Fatal(name, err)
		}
		if !bytes.Equal(unzipped(t, got), want) {
			t.Errorf("%s: another trace than from the embedded form", name)
		}
	}
	plain := strings.TrimSuffix(rank0, ".gz")
	dir[plain] = &fstest.MapFile{Data: whole}
	dir["manifest.json"].Data = bytes.ReplaceAll(dir["manifest.json"].Data, []byte(rank0), []byte(plain))
	for _, name := range []string{"requests.jsonl", "nvml.jsonl", "metrics.idle.txt"} {
		dir[name+".gz"] = &fstest.MapFile{Data: zipped(t, dir[name].Data)}
		delete(dir, name)
	}
	rec, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := rec.trace(plain, shift, 0); err != nil || !bytes.Equal(got, want) {
		t.Errorf("a plain trace: %d bytes, %v", len(got), err)
	}
	if len(rec.readings) != len(Embedded().readings) || len(rec.Windows[1].Requests) != 3 || rec.Windows[1].Traces[1] != rank1 {
		t.Error("gzipped texts were read otherwise than plain ones")
	}
}

// What a recording lacks is said, with the file's name.
func TestLoadErrors(t *testing.T) {
	for want, change := range map[string]func(fstest.MapFS){
		"not a recording: neither manifest.json nor manifest.json.gz is there: file does not exist": func(d fstest.MapFS) { delete(d, "manifest.json") },
		"manifest.json of the recording: unexpected end of JSON input":                              func(d fstest.MapFS) { d["manifest.json"].Data = []byte("{") },
		"manifest.json of the recording names no server version or no model":                        func(d fstest.MapFS) { d["manifest.json"].Data = []byte("{}") },
		"the recording has no profiled window": func(d fstest.MapFS) {
			d["manifest.json"].Data = []byte(`{"version":{"version":"1"},"spec":{"model":"m"}}`)
		},
		"requests of the recording: neither requests.jsonl nor requests.jsonl.gz is there: file does not exist":           func(d fstest.MapFS) { delete(d, "requests.jsonl") },
		"window prefill of the recording has 2 traces and 0 requests that succeeded: it needs both":                       func(d fstest.MapFS) { d["requests.jsonl"].Data = nil },
		"requests.jsonl of the recording: line 1 is no request row: invalid character 'x' looking for beginning of value": func(d fstest.MapFS) { d["requests.jsonl"].Data = []byte("x") },
		"metrics of the recording: neither metrics.idle.txt nor metrics.idle.txt.gz is there: file does not exist":        func(d fstest.MapFS) { delete(d, "metrics.idle.txt") },
		"nvml.jsonl of the recording, line 2: invalid character 'x' looking for beginning of value":                       func(d fstest.MapFS) { d["nvml.jsonl"].Data = []byte("{}\nx") },
		"nvml.jsonl of the recording, line 1: its time is not written as \"t\"":                                           func(d fstest.MapFS) { d["nvml.jsonl"].Data = []byte(`{"\u0074":1}`) },
		"trace of window prefill of the recording: open rank0.1795400709985551932.pt.trace.json.gz: file does not exist":  func(d fstest.MapFS) { delete(d, "rank0.1795400709985551932.pt.trace.json.gz") },
		"requests of the recording: requests.jsonl.gz: gzip: invalid header": func(d fstest.MapFS) {
			delete(d, "requests.jsonl")
			d["requests.jsonl.gz"] = &fstest.MapFile{Data: []byte("no gzip in this")}
		},
	} {
		dir := copied(t)
		change(dir)
		if _, err := Load(dir); err == nil || err.Error() != want {
			t.Errorf("%v\nwant %s", err, want)
		}
	}
}

// A trace that cannot be moved is not written, and the server knows why.
func TestDamagedTrace(t *testing.T) {
	dir := copied(t)
	const name = "rank1.1795400709986119559.pt.trace.json.gz"
	for want, data := range map[string][]byte{
		name + " has no baseTimeNanoseconds: its clock cannot be moved to now": zipped(t, []byte("{}")),
		name + ": baseTimeNanoseconds at byte 22 is no whole number":           zipped(t, []byte(`{"baseTimeNanoseconds": "x"}`)),
		name + ": gzip: invalid header":                                        []byte("no gzip in this"),
		name + ": unexpected EOF":                                              zipped(t, bytes.Repeat([]byte(`{"a": 1}`), 100))[:20],
	} {
		dir[name].Data = data
		rec, err := Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		s := New(rec, Options{TraceDir: t.TempDir(), Speed: 50})
		c := &leap{now: time.Unix(1800000000, 0)}
		s.clock = c
		ask(s, c, "POST", "/start_profile", "")
		if w := ask(s, c, "POST", "/stop_profile", ""); w.Code != 200 {
			t.Errorf("the stop answered %d", w.Code)
		}
		if err := s.Err(); err == nil || err.Error() != want {
			t.Errorf("%v\nwant %s", err, want)
		}
		s.Close()
	}
}

// Readings follow the windows played: each line is a recorded one with its time
// moved by the shift of its window, none comes twice, and none shows activity of
// a window that was not played then.
func TestReadings(t *testing.T) {
	s, c := still(t, Options{})
	rec := Embedded()
	begin := c.Now()
	for _, name := range []string{"prefill", "decode"} {
		w := window(t, name)
		ask(s, c, "POST", "/start_profile", "")
		ask(s, c, "POST", "/v1/completions", completion(w.Requests[0].PromptTokens, w.Requests[0].MaxTokens))
		ask(s, c, "POST", "/stop_profile", "")
		c.Sleep(t.Context(), c.Now().Add(20*time.Second))
	}
	var b bytes.Buffer
	if err := s.WriteReadings(&b, begin.Add(-time.Second), c.Now()); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if !slices.Equal(lines[:2], rec.headers) {
		t.Errorf("headers %q", lines[:2])
	}
	recorded := map[string]int64{} // by the line without its time
	for _, r := range rec.readings {
		recorded[fmt.Sprint(r.t)] = r.t
	}
	shifts := map[int64]int{}
	last := int64(0)
	seen := map[int64]bool{}
	for _, l := range lines[2:] {
		var v struct{ T, GPU, EnergyMJ int64 }
		if err := json.Unmarshal([]byte(l), &v); err != nil {
			t.Fatal(err)
		}
		if v.T < last {
			t.Errorf("time goes back at %s", l)
		}
		last = v.T
		for _, p := range s.plays {
			if t0, ok := recorded[fmt.Sprint(v.T-p.shift())]; ok && !seen[t0] {
				seen[t0] = true
				shifts[p.shift()]++
			}
		}
	}
	if len(seen) != len(lines)-2 {
		t.Errorf("%d lines hold %d recorded readings", len(lines)-2, len(seen))
	}
	// All readings of the recording lie nearest to one of the two windows.
	if len(shifts) != 2 || len(seen) != len(rec.readings) {
		t.Errorf("%d readings of %d by shift %v, want all of them by two shifts", len(seen), len(rec.readings), slices.Collect(maps.Values(shifts)))
	}
}

// A part of the time has its part of the readings.
func TestReadingsPart(t *testing.T) {
	s, c := still(t, Options{})
	ask(s, c, "POST", "/start_profile", "")
	ask(s, c, "POST", "/stop_profile", "")
	var b bytes.Buffer
	p := s.plays[0]
	from, to := p.window.Span()
	if err := s.WriteReadings(&b, time.Unix(0, p.at(from)), time.Unix(0, p.at(to))); err != nil {
		t.Fatal(err)
	}
	want := 0
	for _, r := range s.rec.readings {
		if r.t >= from && r.t <= to {
			want++
		}
	}
	if got := strings.Count(b.String(), "\n") - 2; got != want || want < 40 {
		t.Errorf("%d readings in the prefill window, want %d", got, want)
	}
}

// Windows played close together share the time between them, and a server that
// has played nothing shows the recording from its first reading on.
func TestReadingsClose(t *testing.T) {
	s, c := still(t, Options{})
	begin := c.Now()
	count := func(from, to time.Time) (n int) {
		var b bytes.Buffer
		if err := s.WriteReadings(&b, from, to); err != nil {
			t.Fatal(err)
		}
		last := int64(0)
		for _, l := range strings.Split(strings.TrimSpace(b.String()), "\n")[2:] {
			var v struct{ T int64 }
			if err := json.Unmarshal([]byte(l), &v); err != nil || v.T < last {
				t.Fatalf("%v, or time goes back: %s", err, l)
			}
			last = v.T
			n++
		}
		return n
	}
	if n := count(begin, begin.Add(time.Hour)); n != len(Embedded().readings) {
		t.Errorf("%d readings before anything was played", n)
	}
	for range 5 {
		ask(s, c, "POST", "/start_profile", "")
		ask(s, c, "POST", "/stop_profile", "")
	}
	all := count(begin.Add(-time.Hour), c.Now().Add(time.Hour))
	parts := count(begin.Add(-time.Hour), begin.Add(-1)) + count(begin, c.Now()) + count(c.Now().Add(1), c.Now().Add(time.Hour))
	if all != parts || all == 0 {
		t.Errorf("%d readings, %d in its parts", all, parts)
	}
	// No GPU is read oftener than it was.
	if during := count(begin, c.Now()); during > int(c.Now().Sub(begin)/(30*time.Millisecond))*2 {
		t.Errorf("%d readings in %v", during, c.Now().Sub(begin))
	}
}

func FuzzTrace(f *testing.F) {
	f.Add([]byte(`{"baseTimeNanoseconds": 1790857026000000000,"traceEvents": [`+"\n  {\n\"ph\": \"X\", \"cat\": \"user_annotation\", \"name\": \"execute_1\", \"ts\": 1.5\n  },\n  {\n\"ph\": \"X\", \"cat\": \"kernel\", \"name\": \"k\", \"ts\": 2\n  }\n]}"), int64(5), 1)
	f.Add(frontend(7), int64(-1), 0)
	f.Add([]byte(`{"baseTimeNanoseconds":99999999999999999999}`), int64(1), 2)
	f.Fuzz(func(t *testing.T, text []byte, shift int64, limit int) {
		rec := &Recording{fsys: fstest.MapFS{"a.json": {Data: text}, "b.json.gz": {Data: text}}}
		_, _ = rec.trace("b.json.gz", shift, limit) // must not panic
		moved, err := rec.trace("a.json", shift, 0)
		if (err == nil) != (len(moved) > 0) {
			t.Errorf("%d bytes and %v", len(moved), err)
		}
		if twice, err2 := moveClock(moved, 1, "a.json"); err == nil && err2 == nil {
			if once, err := moveClock(text, shift+1, "a.json"); err != nil || !bytes.Equal(once, twice) {
				t.Errorf("moved by %d and 1: %q, by both at once: %q, %v", shift, twice, once, err)
			}
		}
		cut := cutSteps(text, limit)
		if again := cutSteps(cut, limit); len(cut) > len(text) || !bytes.Equal(again, cut) {
			t.Errorf("%d bytes were cut to %d, and these to %d", len(text), len(cut), len(again))
		}
	})
}

func FuzzLoad(f *testing.F) {
	dir := copied(f)
	f.Add(dir["manifest.json"].Data, dir["requests.jsonl"].Data[:2000], dir["nvml.jsonl"].Data[:1500], dir["metrics.idle.txt"].Data[:6000])
	f.Add([]byte(`{"version":{"version":"0.20.2"},"spec":{"model":"m"},"windows":[{"name":"a","profiled":true,"files":["x.trace.json"]}]}`), []byte(`{"window":"a","status":200,"token_unix_ns":[1]}`), []byte(`{"t":1}`), []byte("vllm:x_bucket{engine=\"0\",le=\"1\"} 2\n"))
	f.Fuzz(func(t *testing.T, manifest, requests, nvml, metrics []byte) {
		rec, err := Load(fstest.MapFS{
			"manifest.json": {Data: manifest}, "requests.jsonl": {Data: requests}, "nvml.jsonl": {Data: nvml}, "metrics.idle.txt": {Data: metrics},
			"x.trace.json": {Data: []byte(`{"baseTimeNanoseconds": 5}`)},
		})
		if err != nil {
			return
		}
		c := &leap{now: time.Unix(1800000000, 0)}
		s := New(rec, Options{TraceDir: t.TempDir(), Clock: c})
		defer s.Close()
		ask(s, c, "POST", "/start_profile", "")
		ask(s, c, "POST", "/v1/completions", completion(3, 2))
		ask(s, c, "GET", "/metrics", "")
		ask(s, c, "POST", "/stop_profile", "")
		if err := s.WriteReadings(io.Discard, c.now.Add(-time.Hour), c.now.Add(time.Hour)); err != nil {
			t.Error(err)
		}
	})
}
