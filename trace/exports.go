package trace

import (
	"cmp"
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
	sumTable
	noExport
)

// exportsIn picks the Nsight Systems exports among a directory's files. Of one
// report in several forms it takes the fullest, for the others would count its
// time again; tables, which do not say whose they are, only where nothing
// fuller is, and all that sum up: their content says which are of one run. What
// it leaves aside comes with what it took instead.
func exportsIn(dir string, entries []fs.DirEntry) (out map[string]bool, aside map[string]Aside) {
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
	out, aside = map[string]bool{}, map[string]Aside{}
	taken := map[string]string{} // by stem
	first := ""                  // of the fullest
	for i, e := range entries {
		stem := stemOf(e.Name())
		switch {
		case forms[i] == noExport || forms[i] >= eventTable && forms[i] > fullest:
		case forms[i] == sumTable:
			out[e.Name()] = true
		case forms[i] == best[stem] && taken[stem] == "": // packed and unpacked count once
			out[e.Name()], taken[stem] = true, e.Name()
			if forms[i] == fullest {
				first = cmp.Or(first, e.Name())
			}
		}
	}
	for i, e := range entries {
		if forms[i] != noExport && !out[e.Name()] {
			aside[e.Name()] = Aside{For: cmp.Or(taken[stemOf(e.Name())], first), form: forms[i]}
		}
	}
	return out, aside
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
	case nsys.HasSums(head):
		return sumTable
	}
	return noExport
}
