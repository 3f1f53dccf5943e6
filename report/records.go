package report

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"reflect"
	"strconv"
	"strings"

	"tokprof/report/document"
)

// WriteJSON writes the contract tokprof.analysis/v1 for one window and
// tokprof.analysis-set/v1 for several or none. Every field of the outer object
// stands on a line of its own, and every element of its lists, so that the
// text can be read, compared line by line and streamed. Numbers that JSON
// cannot hold become 0, nil lists []. It returns errors of w only.
func WriteJSON(w io.Writer, s *document.Set) error {
	j := &jsonWriter{w: bufio.NewWriter(w)}
	if len(s.Analyses) == 1 {
		j.analysis(s.Analyses[0], "")
	} else {
		j.raw("{\n  \"schema\": ")
		j.value(document.SchemaAnalysisSet)
		j.raw(",\n  \"analyses\": [")
		for i, a := range s.Analyses {
			if i > 0 {
				j.raw(",")
			}
			j.raw("\n    ")
			j.analysis(a, "    ")
		}
		if len(s.Analyses) > 0 {
			j.raw("\n  ")
		}
		j.raw("]\n}")
	}
	j.raw("\n")
	if j.err != nil {
		return j.err
	}
	return j.w.Flush()
}

// jsonWriter keeps the first error of writing.
type jsonWriter struct {
	w   *bufio.Writer
	buf bytes.Buffer
	err error
}

func (j *jsonWriter) raw(s string) {
	if j.err == nil {
		_, j.err = j.w.WriteString(s)
	}
}

// value writes v on one line.
func (j *jsonWriter) value(v any) {
	if j.err != nil {
		return
	}
	j.buf.Reset()
	enc := json.NewEncoder(&j.buf)
	// Template arguments of kernel names stay readable: this is no HTML.
	enc.SetEscapeHTML(false)
	if j.err = enc.Encode(jsonSafe(reflect.ValueOf(v)).Interface()); j.err == nil {
		_, j.err = j.w.Write(bytes.TrimRight(j.buf.Bytes(), "\n"))
	}
}

// analysis writes the fields of a.
func (j *jsonWriter) analysis(a *document.Analysis, indent string) {
	j.object(reflect.ValueOf(a).Elem(), indent)
}

// object writes the fields of a struct, lists with one element a line; fields
// that may be absent are left out when they are nil or an empty list.
func (j *jsonWriter) object(v reflect.Value, indent string) {
	j.raw("{")
	for i, first := 0, true; i < v.NumField(); i++ {
		name, may, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		f := v.Field(i)
		if name == "-" || f.Kind() == reflect.Pointer && f.IsNil() || may == "omitempty" && f.Kind() == reflect.Slice && f.Len() == 0 {
			continue
		}
		if !first {
			j.raw(",")
		}
		first = false
		j.raw("\n" + indent + "  ")
		j.value(name)
		j.raw(": ")
		switch {
		case f.Kind() == reflect.Slice:
			j.list(f, indent+"    ")
		case f.Kind() == reflect.Pointer:
			j.object(f.Elem(), indent+"  ")
		case name == "schema":
			j.value(document.SchemaAnalysis)
		default:
			j.value(f.Interface())
		}
	}
	j.raw("\n" + indent + "}")
}

// list writes the elements of a slice, each on its line.
func (j *jsonWriter) list(v reflect.Value, indent string) {
	j.raw("[")
	for i := range v.Len() {
		if i > 0 {
			j.raw(",")
		}
		j.raw("\n" + indent)
		j.value(v.Index(i).Interface())
	}
	if v.Len() > 0 {
		j.raw("\n" + strings.TrimSuffix(indent, "  "))
	}
	j.raw("]")
}

// jsonSafe copies v with nil slices made empty and NaN and infinities made 0,
// which encoding/json would write as null or refuse.
func jsonSafe(v reflect.Value) reflect.Value {
	out := reflect.New(v.Type()).Elem()
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			out.Field(i).Set(jsonSafe(v.Field(i)))
		}
	case reflect.Slice:
		out.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
		for i := range v.Len() {
			out.Index(i).Set(jsonSafe(v.Index(i)))
		}
	case reflect.Pointer:
		if !v.IsNil() {
			out.Set(reflect.New(v.Type().Elem()))
			out.Elem().Set(jsonSafe(v.Elem()))
		}
	case reflect.Float64:
		if f := v.Float(); !math.IsNaN(f) && !math.IsInf(f, 0) {
			out.Set(v)
		}
	default:
		out.Set(v)
	}
	return out
}

// csvHeader is the first line of the kernel table: part of the contract.
var csvHeader = []string{
	"window", "name", "short_name", "group", "subgroup", "rule", "tags", "launches", "total_ns", "share",
	"min_ns", "median_ns", "p99_ns", "max_ns", "exposed_ns", "in_graph_ns",
	"roles",
}

// WriteCSV writes the kernel table of all windows, RFC 4180 quoted, lines
// ended by a line feed. The columns never depend on the input. Control
// characters of names are replaced, so that one kernel is always one line; the
// exact name is in the JSON. Tags and roles are separated by spaces, shares are
// fractions; of a summary, what it does not tell is blank. New columns come last. It returns errors of w only.
func WriteCSV(w io.Writer, s *document.Set) error {
	c := csv.NewWriter(w)
	c.Write(csvHeader)
	for _, a := range s.Analyses {
		for i := range a.Kernels {
			// Errors of Write stay in the writer and come back from Error.
			c.Write(csvRow(a, &a.Kernels[i]))
		}
	}
	c.Flush()
	return c.Error()
}

// csvRow is one line of the kernel table.
func csvRow(a *document.Analysis, k *document.Kernel) []string {
	row := []string{a.Window.Name, k.Name, k.ShortName, k.Group, k.Subgroup, k.Rule, strings.Join(k.Tags, " ")}
	for i := range row {
		row[i] = printable(row[i])
	}
	share := k.Share
	if math.IsNaN(share) || math.IsInf(share, 0) {
		share = 0
	}
	ints := func(v ...int64) {
		for _, n := range v {
			row = append(row, strconv.FormatInt(n, 10))
		}
	}
	ints(k.Launches, k.TotalNS)
	row = append(row, strconv.FormatFloat(share, 'f', 6, 64))
	ints(k.MinNS, k.MedianNS, k.P99NS, k.MaxNS, k.ExposedNS, k.GraphNS)
	if a.SummaryOnly() {
		summaryCells(row, k)
	}
	return append(row, csvRoles(k))
}

// csvRoles are the roles of a kernel, largest first: "gate_up" where all its
// time has that role, else shares of its time, "down:52% qkv_proj:48%".
func csvRoles(k *document.Kernel) string {
	var out []string
	for _, r := range sortedRoles(k) {
		name := strings.ReplaceAll(printable(r.Role), " ", "_")
		if r.TimeNS == k.TotalNS {
			return name
		}
		out = append(out, fmt.Sprintf("%s:%.0f%%", name, 100*float64(r.TimeNS)/float64(max(1, k.TotalNS))))
	}
	return strings.Join(out, " ")
}
