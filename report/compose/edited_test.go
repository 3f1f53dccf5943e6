package compose

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tokprof/fixtures/packed"

	"tokprof/kernels/breakdown"
)

// edited is a fixture to be damaged: its parts, or once these do not matter any
// more, its text.
type edited struct {
	dir  string
	keys map[string]json.RawMessage // all but the events
	list []parsed
	text []byte
}

type parsed struct {
	row row
	raw json.RawMessage
}

// parsedFixtures are decoded once, which takes longer than all edits.
var parsedFixtures = map[string]*edited{}

func edit(t *testing.T, name string) *edited {
	t.Helper()
	e := parsedFixtures[name]
	if e == nil {
		e = parseFixture(t, name)
		parsedFixtures[name] = e
	}
	return &edited{t.TempDir(), maps.Clone(e.keys), slices.Clone(e.list), slices.Clone(e.text)}
}

func parseFixture(t *testing.T, name string) *edited {
	t.Helper()
	text := packed.Read(t, fixturePath(name))
	e := &edited{text: text}
	if err := json.Unmarshal(text, &e.keys); err != nil {
		t.Fatal(err)
	}
	var raws []json.RawMessage
	if err := json.Unmarshal(e.keys["traceEvents"], &raws); err != nil {
		t.Fatal(err)
	}
	delete(e.keys, "traceEvents")
	for _, raw := range raws {
		p := parsed{raw: raw}
		d := json.NewDecoder(bytes.NewReader(raw))
		d.UseNumber()
		if err := d.Decode(&p.row); err != nil {
			t.Fatal(err)
		}
		e.list = append(e.list, p)
	}
	return e
}

// row is the part of an event that the edits look at.
type row map[string]any

func (r row) is(cat string) bool { return r["cat"] == cat }
func (r row) name() string       { s, _ := r["name"].(string); return s }

// correlation is the row's own; 0 when it has none.
func (r row) correlation() string {
	args, _ := r["args"].(map[string]any)
	n, _ := args["correlation"].(json.Number)
	return n.String()
}

// gpu says whether a row is GPU time.
func (r row) gpu() bool { return r.is("kernel") || r.is("gpu_memcpy") || r.is("gpu_memset") }

// rows keeps the rows that f wants, with the name and times that f gave them.
func (e *edited) rows(t *testing.T, f func(row) bool) *edited {
	t.Helper()
	var kept []parsed
	for _, p := range e.list {
		r := maps.Clone(p.row)
		if !f(r) {
			continue
		}
		if r["name"] != p.row["name"] || r["ts"] != p.row["ts"] || r["dur"] != p.row["dur"] {
			raw, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			p = parsed{r, raw}
		}
		kept = append(kept, p)
	}
	e.list = kept
	return e.join()
}

// without drops a top-level value.
func (e *edited) without(key string) *edited {
	delete(e.keys, key)
	return e.join()
}

// join puts the text together.
func (e *edited) join() *edited {
	var b bytes.Buffer
	b.WriteString("{")
	for _, k := range slices.Sorted(maps.Keys(e.keys)) {
		fmt.Fprintf(&b, "%q: %s,\n", k, e.keys[k])
	}
	b.WriteString("\"traceEvents\": [\n")
	for i, p := range e.list {
		if i > 0 {
			b.WriteString(",\n")
		}
		b.Write(p.raw)
	}
	b.WriteString("\n]}\n")
	e.text = b.Bytes()
	return e
}

// bytes replaces text once.
func (e *edited) bytes(t *testing.T, old, with string) *edited {
	t.Helper()
	if !bytes.Contains(e.text, []byte(old)) {
		t.Fatalf("the file has no %q", old)
	}
	e.text = bytes.Replace(e.text, []byte(old), []byte(with), 1)
	return e
}

// as writes the text under a name and reduces it.
func (e *edited) as(t *testing.T, name string) *breakdown.Rank {
	t.Helper()
	path := filepath.Join(e.dir, name)
	if err := os.WriteFile(path, e.text, 0o644); err != nil {
		t.Fatal(err)
	}
	return reduce(t, path)
}

func (e *edited) rank0(t *testing.T) *breakdown.Rank {
	return e.as(t, "rank0.1795400711861592576.pt.trace.json")
}

// nanos reads a time of a row.
func (r row) nanos(t *testing.T, key string) (ns int64) {
	t.Helper()
	whole, frac, _ := strings.Cut(fmt.Sprint(r[key]), ".")
	if _, err := fmt.Sscan(whole+(frac + "000")[:3], &ns); err != nil {
		t.Fatal(err)
	}
	return ns
}
