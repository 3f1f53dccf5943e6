package nsys

import (
	"bufio"
	"bytes"
	"strings"

	"tokprof/trace/internal/nsys/database"
)

// Form is a form of export.
type Form uint8

// The forms. A report itself is no form: nsys must export it first.
const (
	NoExport  Form = iota
	SQLite         // nsys export --type sqlite
	JSONLines      // nsys export --type json
	Tables         // nsys stats, CSV or JSON, and what the GUI copies of its tables
)

// Detect tells the form of an export from the start of its text.
func Detect(head []byte) Form {
	switch {
	case bytes.HasPrefix(head, []byte(database.Magic)):
		return SQLite
	case startsLines(head):
		return JSONLines
	case startsTables(head):
		return Tables
	}
	return NoExport
}

// startsLines recognises the first line of a JSON-lines export: the table of
// strings, or one event.
func startsLines(head []byte) bool {
	for _, s := range []string{`{"data":[`, `{"Type":`, `{"type":"String"`, `{"type":"ThreadName"`} {
		if bytes.HasPrefix(head, []byte(s)) {
			return true
		}
	}
	return false
}

// preambles are how the lines begin that nsys stats says before its tables.
var preambles = []string{"Processing [", "Generating SQLite file", "NOTICE: ", "SKIPPED: ", "WARNING: Existing SQLite", " ** "}

// startsTables recognises a table with a header that is known, or what nsys
// says before one.
func startsTables(head []byte) bool {
	for line := range bytes.Lines(head) {
		text := strings.TrimRight(strings.TrimPrefix(string(line), byteOrderMark), "\r\n")
		if isSaying(text) {
			return true
		}
		// The array of objects that a table is in JSON may begin on lines of its own.
		if object := strings.TrimLeft(text, "[{ \t"); object != "" {
			return headerOf(text) != nil || startsObject(object)
		}
	}
	return false
}

// startsObject says whether a text behind a brace is the first key of a row.
func startsObject(text string) bool {
	key, _, ok := strings.Cut(strings.TrimPrefix(text, `"`), `"`)
	if !ok || !strings.HasPrefix(text, `"`) {
		return false
	}
	// "ts" and "name" are the keys of other JSON: a unit stands in none of it.
	return strings.Contains(key, "(") && (strings.HasPrefix(key, "Start (") || strings.HasPrefix(key, "Time (") || strings.HasPrefix(key, "Time("))
}

// IsDatabase says whether the start of a text is that of an export as a
// database, and not of any other database.
func IsDatabase(head []byte) bool {
	return Detect(head) == SQLite && (bytes.Contains(head, []byte("StringIds")) || bytes.Contains(head, []byte("CUPTI_ACTIVITY_KIND")))
}

// HasSums says whether the start of a text is that of a table of sums by kernel
// name, and of none of single events.
func HasSums(head []byte) bool {
	if Detect(head) != Tables || HasEvents(head) {
		return false
	}
	for line := range bytes.Lines(head) {
		if headerOf(strings.TrimRight(strings.TrimPrefix(string(line), byteOrderMark), "\r\n")) != nil {
			return true
		}
	}
	_, rows, ok := bytes.Cut(head, []byte{'{'})
	if !ok {
		return false
	}
	first, _, err := element(bufio.NewReader(bytes.NewReader(rows)), '{', nil)
	if err != nil {
		return false
	}
	h, ok := (&object{columns: map[string]column{}}).read(first)
	return ok && h.known()
}

// HasEvents says whether the start of a text is that of a table of single GPU
// events, and not of sums.
func HasEvents(head []byte) bool {
	if Detect(head) != Tables {
		return false
	}
	if bytes.Contains(head, []byte(`"Start (`)) && bytes.Contains(head, []byte(`"Duration (`)) {
		return true
	}
	for line := range bytes.Lines(head) {
		if h := headerOf(strings.TrimRight(strings.TrimPrefix(string(line), byteOrderMark), "\r\n")); h != nil {
			return h.timeline()
		}
	}
	return false
}
