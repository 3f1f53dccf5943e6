package nsys

import (
	"bytes"
)

// Form is a form of export.
type Form uint8

// The forms. A report itself is no form: nsys must export it first.
const (
	NoExport     Form = iota
	SQLite            // nsys export --type sqlite
	JSONLines         // nsys export --type json
	TraceTable        // nsys stats --report cuda_gpu_trace, CSV or JSON
	SummaryTable      // nsys stats --report cuda_gpu_kern_sum or cuda_gpu_sum, CSV or JSON; the GUI's copy of it
)

// Detect tells the form of an export from the start of its text.
func Detect(head []byte) Form {
	switch {
	case bytes.HasPrefix(head, []byte(sqliteMagic)):
		return SQLite
	case linesStart(head):
		return JSONLines
	}
	return tableForm(head)
}

// linesStart recognises the first line of a JSON-lines export: the table of
// strings, or one event.
func linesStart(head []byte) bool {
	for _, s := range []string{`{"data":[`, `{"data": [`, `{"Type":`, `{"Type": `, `{"type":"String"`, `{"type": "String"`, `{"type":"ThreadName"`} {
		if bytes.HasPrefix(head, []byte(s)) {
			return true
		}
	}
	return false
}
