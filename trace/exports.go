package trace

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"tokprof/trace/internal/kineto"
	"tokprof/trace/internal/nsys"
)

// worth is how much of a report a form of it holds, the most first.
type worth int

const (
	database worth = iota
	report         // which nsys must export first
	jsonLines
	eventTable
	noExport
)

// exportsIn picks the Nsight Systems exports among a directory's files. Of one
// report in several forms it takes the fullest, for the others would count its
// time again; tables, which do not say whose they are, only where nothing else
// is.
func exportsIn(dir string, entries []fs.DirEntry) map[string]bool {
	best := map[string]worth{} // by stem
	forms := make([]worth, len(entries))
	fullest := noExport
	for i, e := range entries {
		forms[i] = noExport
		if e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		forms[i] = worthOf(filepath.Join(dir, e.Name()))
		stem := stemOf(e.Name())
		if b, ok := best[stem]; !ok || forms[i] < b {
			best[stem] = forms[i]
		}
		fullest = min(fullest, forms[i])
	}
	out := map[string]bool{}
	for i, e := range entries {
		stem := stemOf(e.Name())
		if forms[i] == noExport || forms[i] != best[stem] || forms[i] == eventTable && fullest < eventTable {
			continue
		}
		out[e.Name()] = true
		best[stem] = -1 // the same form packed and unpacked counts once
	}
	return out
}

// stemOf is a name without what tells forms apart.
func stemOf(name string) string {
	name = strings.TrimSuffix(name, ".gz")
	return strings.TrimSuffix(name, filepath.Ext(name))
}

// worthOf looks at a file's name, and at its first bytes where the name may be
// an export's.
func worthOf(path string) worth {
	switch filepath.Ext(strings.TrimSuffix(path, ".gz")) {
	case ".nsys-rep", ".qdrep":
		if isReport(path) {
			return report
		}
		return noExport
	case ".sqlite", ".db", ".json", ".jsonl", ".csv", ".tsv":
	default:
		return noExport
	}
	st, err := os.Stat(path)
	if err != nil || !st.Mode().IsRegular() {
		return noExport
	}
	f, err := os.Open(path)
	if err != nil {
		return noExport
	}
	defer func() { _ = f.Close() }()
	head, err := kineto.Head(f, headBytes)
	switch {
	case err != nil:
		return noExport
	case nsys.IsDatabase(head):
		return database
	case nsys.Detect(head) == nsys.JSONLines:
		return jsonLines
	case nsys.HasEvents(head):
		return eventTable
	}
	return noExport
}
