package capture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"tokprof/trace"
)

// folders notes what lies in each server's profiler folder before a window.
// Servers that share one folder share its watch.
func (s *session) folders() ([]*folder, error) {
	var out []*folder
	for i, t := range s.Targets {
		if t.TraceDir == "" {
			continue
		}
		if n := slices.IndexFunc(out, func(f *folder) bool { return f.dir == t.TraceDir }); n >= 0 {
			out[n].targets = append(out[n].targets, i)
			continue
		}
		f, err := watchFolder(t.TraceDir)
		if err != nil {
			return nil, err
		}
		f.targets = []int{i}
		out = append(out, f)
	}
	return out, nil
}

// expected is what a folder's servers will write.
func (s *session) expected(f *folder) awaited {
	w := awaited{servers: len(f.targets)}
	known := true
	for _, i := range f.targets {
		t := &s.Targets[i]
		known = known && t.About.WorldSize > 0
		w.ranks += t.About.WorldSize
		w.replica += max(t.Replicas, 1)
	}
	if !known {
		w.ranks = 0
	}
	return w
}

// serverFolder is where a folder's traces lie in the bundle: each server's in one
// of its own, where servers have folders of their own.
func (s *session) serverFolder(f *folder) string {
	if len(s.Targets) < 2 || len(f.targets) > 1 {
		return ""
	}
	return fmt.Sprintf("server%d", f.targets[0])
}

// collect waits for the files of a window and brings them into the bundle. whole
// is true when every expected rank's trace came and is whole.
func (s *session) collect(ctx context.Context, folders []*folder, w *Window, flushed bool) (whole bool, err error) {
	if report := w.Name + ".nsys-rep"; len(folders) == 0 && exists(filepath.Join(s.Dir, report)) {
		w.Files = append(w.Files, report)
		return true, nil
	}
	if len(folders) == 0 {
		s.note("window %s: the profiler's folder cannot be reached from here; copy its traces into the bundle and run tokprof analyze on it", w.Name)
		return false, nil
	}
	s.bytes = 0
	whole = true
	for _, f := range folders {
		want := s.expected(f)
		want.stopped, want.patience, want.settle, want.poll = flushed, s.Patience, s.Settle, s.Poll
		want.progress = func(p string) { s.Progress(w.Name + ": waiting for traces: " + p) }
		a, err := f.wait(ctx, want)
		if len(a.files) > 0 {
			s.proved(f.targets)
		}
		if e := s.bring(f, a, w); e != nil {
			return false, e
		}
		if err != nil {
			return false, err
		}
		whole = whole && len(a.files) > 0 && len(a.damaged) == 0 && len(a.missing) == 0 && a.short == 0
	}
	return whole, nil
}

// hostName is the scheme of torch's own names: <host>_<pid>.<ns>.pt.trace.json.
var hostName = regexp.MustCompile(`^.+_(\d+\.(?:async_llm\.)?\d{10,20}\.pt\.trace\.json(?:\.gz)?)$`)

// publicName is a trace's name without the host's.
func publicName(name string) string {
	if p := trace.ParseFileName(name); p.Rank >= 0 {
		return name
	}
	if m := hostName.FindStringSubmatch(name); m != nil {
		return "host_" + m[1]
	}
	return name
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// bring copies a window's files into the bundle, or notes them where they are,
// and says what is missing.
func (s *session) bring(f *folder, a arrived, w *Window) error {
	into := s.serverFolder(f)
	var lost error
	for _, p := range a.files {
		kind := kindOf(p)
		to := s.free(into, publicName(filepath.Base(p)), w.Name)
		if st, err := os.Stat(filepath.Join(f.dir, p)); err == nil && kind == TraceFile {
			s.bytes += st.Size()
		}
		err := s.bringOne(filepath.Join(f.dir, p), to, kind)
		if closed := (unreadable{}); errors.As(err, &closed) {
			s.note("window %s: %v", w.Name, closed)
			if kind != ProfilerTable {
				lost = fmt.Errorf("the traces of window %s cannot be read here: run tokprof as a user who may, or copy them into the bundle and run tokprof analyze", w.Name)
			}
			continue
		}
		if err != nil {
			return err
		}
		if kind != ProfilerTable {
			w.Files = append(w.Files, to)
		}
		if slices.Contains(a.damaged, p) {
			s.note("window %s: %s is not whole (the server may still be writing it): its numbers are partial", w.Name, to)
		}
	}
	for _, c := range s.captures(f, a.files, into) {
		if err := s.bringOne(c, path.Join(into, filepath.Base(c)), TraceFile); err != nil {
			return err
		}
	}
	s.tellMissing(f, a, w)
	return lost
}

// free is where a window's file goes in the bundle: under its own name, and beside it
// where an earlier window's has that name, since some servers write each window's files
// over the last one's (torch's tables, TensorRT-LLM's traces).
func (s *session) free(into, name, window string) string {
	to := path.Join(into, name)
	if !exists(filepath.Join(s.Dir, filepath.FromSlash(to))) {
		return to
	}
	if kindOf(name) == ProfilerTable {
		return path.Join(into, strings.TrimSuffix(name, ".txt")+"."+window+".txt")
	}
	return path.Join(into, window+"."+name)
}

// tellMissing says which traces did not come. Ranks count on from server to
// server where all sizes are known.
func (s *session) tellMissing(f *folder, a arrived, w *Window) {
	where, first := "", 0
	if into := s.serverFolder(f); into != "" {
		where = fmt.Sprintf(" of server %d", f.targets[0])
		for _, t := range s.Targets[:f.targets[0]] {
			first += t.About.WorldSize
		}
	}
	for _, r := range a.missing {
		w.MissingRanks = append(w.MissingRanks, first+r)
	}
	switch {
	case len(a.files) == 0:
		s.note("window %s: no trace came into the profiler's folder%s", w.Name, where)
	case len(a.missing) > 0:
		s.note("window %s: no trace of rank %s%s", w.Name, strings.Trim(fmt.Sprint(a.missing), "[]"), where)
	case a.short > 0:
		s.note("window %s: %d of %d ranks%s left no trace", w.Name, a.short, a.ranks, where)
	}
}

// captures are graph-capture traces of the ranks that the bundle does not have
// yet: written when the server started, they say what the kernels of a graph's
// replays are.
func (s *session) captures(f *folder, files []string, into string) []string {
	var out []string
	for _, p := range files {
		for _, c := range trace.CapturesBeside(filepath.Join(f.dir, p)) {
			if !exists(filepath.Join(s.Dir, into, filepath.Base(c))) && !slices.Contains(out, c) {
				out = append(out, c)
			}
		}
	}
	return out
}

// unreadable is a file of the profiler's that we may not read.
type unreadable struct {
	name string
	err  error
}

func (e unreadable) Error() string { return fmt.Sprintf("%s cannot be read: %v", e.name, e.err) }

// bringOne copies a file into the bundle, or notes it where it is. A file that cannot be
// opened is unreadable.
func (s *session) bringOne(from, to string, kind Kind) error {
	if s.Leave && kind == TraceFile {
		n, sum, err := hashFile(from)
		if err != nil {
			return unreadable{publicName(filepath.Base(from)), withoutPath(err)}
		}
		s.b.Files = append(s.b.Files, File{Path: to, Kind: kind, Bytes: n, SHA256: sum, Elsewhere: true})
		s.b.Left = append(s.b.Left, from)
		return nil
	}
	dst := filepath.Join(s.Dir, filepath.FromSlash(to))
	if err := os.MkdirAll(filepath.Dir(dst), 0o755); err != nil {
		return err
	}
	return copyFile(from, dst)
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return unreadable{publicName(filepath.Base(from)), withoutPath(err)}
	}
	defer func() { _ = in.Close() }()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if e := out.Close(); err == nil {
		err = e
	}
	if err != nil {
		// A part would pass for the trace, and the manifest may need its place.
		_ = os.Remove(to)
		return fmt.Errorf("%s cannot be copied into the bundle: %w", publicName(filepath.Base(from)), withoutPath(err))
	}
	return nil
}
