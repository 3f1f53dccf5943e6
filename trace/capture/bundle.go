// Package capture records one run of a server into one folder and opens it again.
// A Session is alive: it starts the profiler, puts load on the server, stops the
// profiler whatever happens, and waits for every rank's files. A Bundle is on
// disk: plain files and a manifest with the hash of each. It explains no kernel
// and draws nothing.
package capture

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"tokprof/trace"
	"tokprof/trace/serving"
)

// PlainSuffix ends the name of the window that runs the load of another without
// the profiler.
const PlainSuffix = "-plain"

// File names of a bundle, beside the traces.
const (
	RequestsName = "requests.jsonl"
	ReadingsName = "readings.jsonl"
	TopologyName = "topology.txt"
	LogName      = "server.log"
	ModelName    = "config.json"
	AnalysisName = "analysis.json"
	PageName     = "page.html"
	TicketName   = "ticket.md"
)

// Bundle is one recorded run on disk.
type Bundle struct {
	Dir string
	Manifest
	// Left are the paths of traces that Record left in the profiler's folder.
	Left []string
	// ByHand is LeftProfiling with the servers' addresses, which the manifest leaves out.
	ByHand string
}

// Open reads a folder that a capture left, or a recorder's folder of the same
// shape (manifest with spec and windows, traces beside it).
func Open(dir string) (*Bundle, error) {
	m, err := readManifest(dir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, fmt.Errorf("%s holds no %s: it is no bundle (tokprof analyze reads folders of traces)", dir, ManifestName)
	}
	if err != nil {
		return nil, err
	}
	return &Bundle{Dir: dir, Manifest: *m}, nil
}

// emptyDir makes the bundle's folder, and refuses one that holds something, or that
// nothing can be written into: the server is not slowed down for nothing.
func emptyDir(dir string) error {
	entries, err := os.ReadDir(dir)
	if err == nil && len(entries) > 0 {
		return fmt.Errorf("%s is not empty: name a new folder for the bundle", dir)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("%s cannot be made: %w", dir, withoutPath(err))
	}
	f, err := os.CreateTemp(dir, ".tokprof-*")
	if err != nil {
		return fmt.Errorf("nothing can be written into %s: %w", dir, withoutPath(err))
	}
	_ = f.Close()
	return os.Remove(f.Name())
}

// Own says whether this package wrote the bundle, so that hashes can be verified.
func (b *Bundle) Own() bool { return b.Schema == Schema }

// Traces returns the paths of all traces in the folder, copied there later ones
// included; none is no error, since the profiler's folder may be elsewhere.
func (b *Bundle) Traces() ([]string, error) {
	files, _, err := trace.Find([]string{b.Dir})
	var bad *trace.Error
	if errors.As(err, &bad) && len(files) == 0 {
		return nil, nil
	}
	return files, err
}

// Requests returns the request rows of all windows, none when the folder has
// none.
func (b *Bundle) Requests() ([]serving.Request, error) {
	var rows []serving.Request
	err := b.read(RequestsName, func(r io.Reader) (err error) {
		rows, err = serving.ReadRequests(r)
		return err
	})
	return rows, err
}

// ReadingsPath returns the path of the GPU readings, "" when there are none.
func (b *Bundle) ReadingsPath() string {
	for _, name := range []string{ReadingsName, "nvml.jsonl"} {
		if p := b.find(name); p != "" {
			return p
		}
	}
	return ""
}

// TopologyPath returns the path of the matrix of the GPUs' links, "" when there
// is none.
func (b *Bundle) TopologyPath() string { return b.find(TopologyName) }

// ModelPath returns the path of the served model's config.json, "" when it is
// not there.
func (b *Bundle) ModelPath() string { return b.find(ModelName) }

// find returns the path of a file or its .gz form, "" when there is none.
func (b *Bundle) find(name string) string {
	for _, n := range []string{name, name + ".gz"} {
		p := filepath.Join(b.Dir, n)
		if st, err := os.Stat(p); err == nil && st.Mode().IsRegular() {
			return p
		}
	}
	return ""
}

// read gives f the text of a file, unpacked; a file that is not there is passed
// over.
func (b *Bundle) read(name string, f func(io.Reader) error) error {
	p := b.find(name)
	if p == "" {
		return nil
	}
	file, err := os.Open(p)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	var r io.Reader = file
	if strings.HasSuffix(p, ".gz") {
		if r, err = gzip.NewReader(file); err != nil {
			return fmt.Errorf("%s is no gzip file: %w", p, err)
		}
	}
	if err := f(r); err != nil {
		return fmt.Errorf("%s: %w", p, err)
	}
	return nil
}

// Window returns the window in which a trace was recorded, by its file name and
// otherwise by time: the window whose profile calls enclose most of it. ok is
// false when none does.
func (b *Bundle) Window(file string, startNS, endNS int64) (w Window, ok bool) {
	var most int64
	for _, c := range b.Windows {
		if !c.Profiled {
			continue
		}
		if slices.ContainsFunc(c.Files, func(f string) bool { return path.Base(f) == file }) {
			return c, true
		}
		if in := min(endNS, c.StopReturnUnixNS) - max(startNS, c.StartCallUnixNS); in > most {
			most, w, ok = in, c, true
		}
	}
	return w, ok
}

var inServerFolder = regexp.MustCompile(`^server(\d{1,4})/`)

// ServerOf says which of the run's servers left a trace, as an index into
// Servers: by the folder of the bundle that it lies in, or, of one that stayed
// elsewhere, by its hash. ok is false where there is one server, and where
// nothing says which.
func (b *Bundle) ServerOf(file, sha256 string) (server int, ok bool) {
	if len(b.Servers) < 2 {
		return 0, false
	}
	rel, err := filepath.Rel(b.Dir, file)
	if err != nil || !filepath.IsLocal(rel) {
		i := slices.IndexFunc(b.Files, func(f File) bool { return f.Elsewhere && f.SHA256 == sha256 })
		if i < 0 {
			return 0, false
		}
		rel = b.Files[i].Path
	}
	m := inServerFolder.FindStringSubmatch(filepath.ToSlash(rel))
	if m == nil {
		return 0, false
	}
	server, err = strconv.Atoi(m[1])
	return server, err == nil && server < len(b.Servers)
}

// kindOf says what a file of a bundle is by its name.
func kindOf(name string) Kind {
	base := path.Base(filepath.ToSlash(name))
	plain := strings.TrimSuffix(base, ".gz")
	switch {
	case plain == RequestsName:
		return RequestsFile
	case strings.HasPrefix(plain, "metrics."):
		return MetricsFile
	case plain == ReadingsName:
		return ReadingsFile
	case plain == TopologyName:
		return TopologyFile
	case strings.HasSuffix(plain, ".log"):
		return LogFile
	case plain == ModelName:
		return ModelFile
	case plain == AnalysisName:
		return AnalysisFile
	case plain == PageName:
		return PageFile
	case plain == TicketName:
		return TicketFile
	case strings.HasPrefix(base, "profiler_out_"):
		return ProfilerTable
	case strings.HasSuffix(base, ".nsys-rep"), strings.HasSuffix(plain, ".sqlite"):
		return NsysReport
	case strings.Contains(base, ".trace.json"), trace.ParseFileName(base).Known:
		return TraceFile
	}
	return OtherFile
}
