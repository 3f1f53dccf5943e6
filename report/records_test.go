package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"math/rand"
	"reflect"
	"slices"
	"strings"
	"testing"

	"tokprof/fixtures/golden"
	"tokprof/report/document"
)

// jsonFields lists every field of a JSON contract with its kind.
func jsonFields(t reflect.Type, path string, out *[]string) {
	switch t.Kind() {
	case reflect.Slice:
		jsonFields(t.Elem(), path+"[]", out)
	case reflect.Pointer:
		jsonFields(t.Elem(), path, out)
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			if name := f.Tag.Get("json"); name != "-" {
				if name == "" {
					name = "UNTAGGED " + f.Name
				}
				jsonFields(f.Type, path+"."+name, out)
			}
		}
	default:
		*out = append(*out, path+" "+t.Kind().String())
	}
}

// TestJSONFields pins the contract: a renamed or removed field breaks readers.
func TestJSONFields(t *testing.T) {
	var fields []string
	jsonFields(reflect.TypeFor[document.Analysis](), "", &fields)
	golden.Check(t, "json_fields.golden", []byte(strings.Join(fields, "\n")+"\n"))
	if i := slices.IndexFunc(fields, func(f string) bool { return strings.Contains(f, "UNTAGGED") }); i >= 0 {
		t.Errorf("field without a JSON name: %s", fields[i])
	}
}

// TestCSVHeader pins the contract of the kernel table.
func TestCSVHeader(t *testing.T) {
	const want = "window,name,short_name,group,subgroup,rule,tags,launches,total_ns,share,min_ns,median_ns,p99_ns,max_ns,exposed_ns,in_graph_ns,roles"
	if got := strings.Join(csvHeader, ","); got != want {
		t.Errorf("columns %s, want %s", got, want)
	}
}

func TestCSVRoles(t *testing.T) {
	for want, roles := range map[string][]document.KernelRole{
		"":                         nil,
		"gate_up":                  {{Role: "gate_up", TimeNS: 100}},
		"gate_up:99%":              {{Role: "gate_up", TimeNS: 99}},
		"down:52% qkv_proj:48%":    {{Role: "qkv_proj", TimeNS: 48}, {Role: "down", TimeNS: 52}},
		"two_words:60% a\uFFFD:1%": {{Role: "a\x1b", TimeNS: 1}, {Role: "two\nwords", TimeNS: 60}},
	} {
		if got := csvRoles(&document.Kernel{TotalNS: 100, Roles: roles}); got != want {
			t.Errorf("csvRoles(%v) = %q, want %q", roles, got, want)
		}
	}
}

func TestRecordsGolden(t *testing.T) {
	a := fixture()
	a.Steps = a.Steps[:2] // enough to see their form
	withRequests(a)
	var j, set, c bytes.Buffer
	for name, err := range map[string]error{
		"analysis": WriteJSON(&j, setOf(a)),
		"set":      WriteJSON(&set, setOf(&document.Analysis{Verdict: "first <b>"}, &document.Analysis{})),
		"csv":      WriteCSV(&c, setOf(a, window1())),
	} {
		if err != nil {
			t.Fatal(name, err)
		}
	}
	golden.Check(t, "analysis.json.golden", j.Bytes())
	golden.Check(t, "set.json.golden", set.Bytes())
	golden.Check(t, "kernels.csv.golden", c.Bytes())
}

func TestJSONReadsBack(t *testing.T) {
	rng := rand.New(rand.NewSource(5))
	for i := range 100 {
		a := random(rng, hostile(rng))
		if i == 0 {
			a = fixture()
		}
		var one, many bytes.Buffer
		if err := WriteJSON(&one, setOf(a)); err != nil {
			t.Fatal(err)
		}
		if err := WriteJSON(&many, setOf(a, a)); err != nil {
			t.Fatal(err)
		}
		var got document.Analysis
		if err := json.Unmarshal(one.Bytes(), &got); err != nil {
			t.Fatalf("%v in\n%s", err, one.String())
		}
		var set document.Set
		if err := json.Unmarshal(many.Bytes(), &set); err != nil {
			t.Fatal(err)
		}
		// Invalid UTF-8 is replaced on the way: compare with what encoding/json
		// makes of it.
		var want document.Analysis
		plain, err := json.Marshal(jsonSafe(reflect.ValueOf(*a)).Interface())
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(plain, &want); err != nil {
			t.Fatal(err)
		}
		for _, g := range append(set.Analyses, &got) {
			if !reflect.DeepEqual(*g, want) {
				t.Fatalf("document %d differs after reading it back", i)
			}
		}
		if set.Schema != document.SchemaAnalysisSet {
			t.Errorf("schema %q", set.Schema)
		}
	}
}

func TestJSONHasNoNullAndNoNaN(t *testing.T) {
	a := &document.Analysis{
		Groups:  []document.Row{{Share: math.NaN()}},
		Kernels: []document.Kernel{{Share: math.Inf(1)}}, // with nil tags and roles
		Copies:  []document.Copy{{BytesPerS: math.Inf(-1)}},
		Steps:   []document.Step{{}}, Trust: []document.Trust{{}}, Findings: []document.Finding{{}}, Devices: []document.Device{{}}, Layers: []document.Layer{{}},
	}
	var b bytes.Buffer
	if err := WriteJSON(&b, setOf(a)); err != nil {
		t.Fatal(err)
	}
	if !json.Valid(b.Bytes()) || strings.Contains(b.String(), "null") {
		t.Errorf("bad JSON:\n%s", b.String())
	}
	if !math.IsNaN(a.Groups[0].Share) || a.Kernels[0].Tags != nil {
		t.Error("the document was changed")
	}
}

func TestCSVReadsBack(t *testing.T) {
	rng := rand.New(rand.NewSource(6))
	for range 100 {
		a := random(rng, hostile(rng))
		var b bytes.Buffer
		if err := WriteCSV(&b, setOf(a)); err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(bytes.NewReader(b.Bytes())).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) != len(a.Kernels)+1 || strings.Count(b.String(), "\n") != len(rows) {
			t.Fatalf("%d rows of %d kernels on %d lines", len(rows), len(a.Kernels), strings.Count(b.String(), "\n"))
		}
		for i, k := range a.Kernels {
			want := []string{
				a.Window.Name, k.Name, k.ShortName, k.Group, k.Subgroup, k.Rule, strings.Join(k.Tags, " "), fmt.Sprint(k.Launches), fmt.Sprint(k.TotalNS),
				fmt.Sprintf("%.6f", k.Share), fmt.Sprint(k.MinNS), fmt.Sprint(k.MedianNS), fmt.Sprint(k.P99NS), fmt.Sprint(k.MaxNS), fmt.Sprint(k.ExposedNS), fmt.Sprint(k.GraphNS), csvRoles(&k),
			}
			for j := range want {
				if rows[i+1][j] != printable(want[j]) {
					t.Errorf("kernel %d, %s: %q, want %q", i, csvHeader[j], rows[i+1][j], want[j])
				}
			}
		}
	}
}
