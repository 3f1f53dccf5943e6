package trace

import (
	"bytes"
	"cmp"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"tokprof/trace/internal/kineto"
	"tokprof/trace/internal/nsys"
)

// levels is how deep below a directory traces are looked for. Profilers nest
// them by run and by purpose (capture_traces/), not deeper.
const levels = 3

// Find turns command-line paths into trace files: a file stands for itself, a
// directory for every trace in it and three levels below, hidden ones left out.
// Files in a directory that are no traces (configs, logs, metrics) are passed
// over; links to files are followed, links to directories only when named
// themselves. Each file comes once, in the order of the paths. Of one Nsight
// Systems report in several forms a directory's fullest comes, and the others
// are left aside, the next fullest first.
func Find(paths []string) (out []string, aside []Aside, err error) {
	for _, p := range paths {
		if p == "-" {
			out = append(out, p)
			continue
		}
		st, err := os.Stat(p)
		if err != nil {
			return nil, nil, openError(p, err)
		}
		if !st.IsDir() {
			out = append(out, filepath.Clean(p))
			continue
		}
		found, beside, err := findIn(p)
		if err != nil {
			return nil, nil, err
		}
		out, aside = append(out, found...), append(aside, beside...)
	}
	out = withoutRepeats(out)
	aside = slices.DeleteFunc(aside, func(a Aside) bool { return slices.Contains(out, a.Path) })
	slices.SortStableFunc(aside, func(a, b Aside) int { return cmp.Compare(a.form, b.form) })
	return out, aside, nil
}

// Aside is a file that Find leaves aside for another that holds the same in
// full, or that lies beside it and may.
type Aside struct {
	Path, For string
	form      worth
}

// withoutRepeats drops paths to a file that came before under any name.
func withoutRepeats(paths []string) []string {
	seen := map[string]bool{}
	var out []string
	for _, p := range paths {
		key := p
		if abs, err := filepath.Abs(p); err == nil && p != "-" {
			key = abs
			if real, err := filepath.EvalSymlinks(abs); err == nil {
				key = real
			}
		}
		if !seen[key] {
			seen[key] = true
			out = append(out, p)
		}
	}
	return out
}

func findIn(dir string) ([]string, []Aside, error) {
	s := search{}
	if err := s.walk(filepath.Clean(dir), levels); err != nil {
		return nil, nil, err
	}
	if len(s.found) > 0 {
		return s.found, s.aside, nil
	}
	e := &Error{Path: dir, Offset: -1, What: "holds no torch-profiler trace and no Nsight Systems export", Hint: "a trace is a .json, .json.gz or .json.zst file with traceEvents, an export a .sqlite"}
	if s.passed == 0 {
		e.What, e.Hint = "is an empty directory", "the server writes its traces when /stop_profile returns"
	}
	return nil, nil, e
}

// search is a walk through a directory.
type search struct {
	found  []string
	aside  []Aside
	passed int // entries that are no traces
}

func (s *search) walk(dir string, below int) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return openError(dir, err)
	}
	exports, aside := exportsIn(dir, entries)
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), "."):
		case e.IsDir() && below == 0:
			s.passed++
		case e.IsDir():
			if err := s.walk(path, below-1); err != nil {
				return err
			}
		case aside[e.Name()].For != "":
			a := aside[e.Name()]
			a.Path, a.For = path, filepath.Join(dir, a.For)
			s.aside = append(s.aside, a)
		case exports[e.Name()], isTrace(path, e.Name()):
			s.found = append(s.found, path)
		default:
			s.passed++
		}
	}
	return nil
}

// isTrace looks at the name and the first 64 KiB of text. A name in a server's
// scheme is enough: an empty or damaged trace is news, not something to pass over.
func isTrace(path, name string) bool {
	base := strings.TrimSuffix(strings.TrimSuffix(name, ".gz"), ".zst")
	if !strings.HasSuffix(base, ".json") {
		return false
	}
	st, err := os.Stat(path)
	if err != nil || !st.Mode().IsRegular() {
		return false
	}
	if strings.HasPrefix(name, "merged-") {
		// SGLang joins its ranks into one more file: their kernels would count twice.
		return false
	}
	if strings.Contains(base, ".trace.") {
		return true
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	head, err := kineto.Head(f, headBytes)
	return err == nil && nsys.Detect(head) == nsys.NoExport && traceKey.Match(head) && !bytes.Contains(head, ownMark)
}

// headBytes is how much of a file's text says what it is.
const headBytes = 64 << 10

// ownMark stands at the top of our own timeline excerpts, which repeat events.
var ownMark = []byte(`"tokprof_version"`)

// traceKey is a key that traces have near their start, and hardly anything else.
var traceKey = regexp.MustCompile(`"(?:traceEvents|deviceProperties|ph)"\s*:`)

// CapturesBeside returns the graph-capture traces that lie beside a rank's
// trace, or in capture_traces/ beside it, and are the same rank's: they say
// what the launches were that a graph replay no longer shows.
func CapturesBeside(path string) []string {
	if path == "-" || ParseFileName(BaseName(path)).Capture {
		return nil
	}
	dir, rank := filepath.Dir(path), ParseFileName(BaseName(path)).Rank
	var out []string
	for _, d := range []string{dir, filepath.Join(dir, "capture_traces")} {
		entries, err := os.ReadDir(d)
		if err != nil {
			continue
		}
		for _, e := range entries {
			p := ParseFileName(e.Name())
			if e.Type().IsRegular() && (p.Capture || d != dir) && (p.Rank < 0 || rank < 0 || p.Rank == rank) && isTrace(filepath.Join(d, e.Name()), e.Name()) {
				out = append(out, filepath.Join(d, e.Name()))
			}
		}
	}
	return out
}
