package capture

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Schema is the form of manifest.json that this package writes.
const Schema = "tokprof.bundle/v1"

// ManifestName is the file that makes a folder a bundle.
const ManifestName = "manifest.json"

// Manifest is what a bundle says about itself. Times are Unix nanoseconds on the
// client's clock.
type Manifest struct {
	Schema        string   `json:"schema"`
	Version       string   `json:"tokprof_version"`
	CreatedUnixNS int64    `json:"created_unix_ns"`
	Servers       []Server `json:"servers"`
	Windows       []Window `json:"windows"`
	// Notes are what is missing or doubtful, one sentence each.
	Notes []string `json:"notes"`
	// LeftProfiling says that a profiler could not be stopped, and how to stop it
	// by hand, SERVER standing for an address; "" otherwise.
	LeftProfiling string `json:"left_profiling,omitempty"`
	Files         []File `json:"files"`
}

// Server is one server of the run: what it is, without its address.
type Server struct {
	Engine    string            `json:"engine"` // "vLLM", …; "" when unknown
	Version   string            `json:"version"`
	Model     string            `json:"model"`
	WorldSize int               `json:"world_size"` // ranks, data parallel ones included; 0 when unknown
	Flags     map[string]string `json:"flags,omitempty"`
	// VisibleDevices is the CUDA_VISIBLE_DEVICES of a server on this machine.
	VisibleDevices string `json:"visible_devices,omitempty"`
}

// Window is one stretch of load: with the profiler running, or without it for
// comparison.
type Window struct {
	Name     string `json:"name"`
	Profiled bool   `json:"profiled"`
	// Twin is the name of the window that put the same load on the server without
	// the profiler, "" when none did.
	Twin string `json:"twin,omitempty"`
	// The calls' times; 0 in a window without the profiler.
	StartCallUnixNS   int64 `json:"start_call_unix_ns,omitempty"`
	StartReturnUnixNS int64 `json:"start_return_unix_ns,omitempty"`
	StopCallUnixNS    int64 `json:"stop_call_unix_ns,omitempty"`
	StopReturnUnixNS  int64 `json:"stop_return_unix_ns,omitempty"`
	// Files are the traces that the window left, as paths inside the bundle.
	Files []string `json:"files"`
	// MissingRanks are ranks whose trace did not come; they count on from server
	// to server.
	MissingRanks []int `json:"missing_ranks,omitempty"`
}

// Kind says what a file of a bundle is.
type Kind string

// Kinds.
const (
	TraceFile     Kind = "trace"
	RequestsFile  Kind = "requests"
	MetricsFile   Kind = "metrics"
	ReadingsFile  Kind = "readings"
	TopologyFile  Kind = "topology"
	LogFile       Kind = "log"
	ModelFile     Kind = "model"
	AnalysisFile  Kind = "analysis"
	PageFile      Kind = "page"
	TicketFile    Kind = "ticket"
	OtherFile     Kind = "other"
	NsysReport    Kind = "nsys"
	ProfilerTable Kind = "profiler_table"
)

// File is one file of a bundle.
type File struct {
	Path   string `json:"path"` // inside the bundle, with /
	Kind   Kind   `json:"kind"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
	// Elsewhere: the trace stayed in the profiler's folder and has only its name
	// here.
	Elsewhere bool `json:"elsewhere,omitempty"`
}

// readManifest reads manifest.json in this package's form, or in that of the
// recorder whose folders hold "spec" and "windows".
func readManifest(dir string) (*Manifest, error) {
	path := filepath.Join(dir, ManifestName)
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var probe struct {
		Schema string          `json:"schema"`
		Spec   json.RawMessage `json:"spec"`
	}
	if err := json.Unmarshal(raw, &probe); err != nil {
		return nil, fmt.Errorf("%s is no JSON object: %w", path, err)
	}
	switch {
	case probe.Schema == Schema:
		var m Manifest
		if err := json.Unmarshal(raw, &m); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return &m, m.check(path)
	case strings.HasPrefix(probe.Schema, "tokprof.bundle/"):
		return nil, fmt.Errorf("%s has the form %s, this tokprof reads %s: use the version that wrote it", path, probe.Schema, Schema)
	case probe.Spec != nil:
		return readRecorder(path, raw)
	}
	return nil, fmt.Errorf("%s names no schema: it is not the manifest of a capture", path)
}

// check refuses paths that lead out of the bundle: a manifest may come from a
// stranger.
func (m *Manifest) check(path string) error {
	for _, f := range m.Files {
		if !filepath.IsLocal(filepath.FromSlash(f.Path)) {
			return fmt.Errorf("%s: file %q lies outside the bundle", path, f.Path)
		}
	}
	for _, w := range m.Windows {
		for _, f := range w.Files {
			if !filepath.IsLocal(filepath.FromSlash(f)) {
				return fmt.Errorf("%s: file %q of window %q lies outside the bundle", path, f, w.Name)
			}
		}
	}
	return nil
}

// recorder is the manifest of a recorder script: the server's command line, its
// version, and the profile calls of each window, whose files are cumulative.
type recorder struct {
	Spec struct {
		Model string `json:"model"`
	} `json:"spec"`
	Version struct {
		Version string `json:"version"`
	} `json:"version"`
	Cmd     string   `json:"cmd"`
	Windows []Window `json:"windows"`
}

func readRecorder(path string, raw []byte) (*Manifest, error) {
	var r recorder
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	m := &Manifest{Servers: []Server{{Engine: "vLLM", Version: r.Version.Version, Model: r.Spec.Model}}, Windows: r.Windows, Notes: []string{}, Files: []File{}}
	if !strings.Contains(r.Cmd, "vllm") {
		m.Servers[0].Engine = ""
	}
	m.Servers[0].parallel(r.Cmd)
	var before []string
	names := map[string]bool{}
	for _, w := range m.Windows {
		names[w.Name] = true
	}
	for i := range m.Windows {
		w := &m.Windows[i]
		all := w.Files
		w.Files = slices.DeleteFunc(slices.Clone(all), func(f string) bool {
			return slices.Contains(before, f) || kindOf(f) != TraceFile
		})
		before = all
		if names[w.Name+PlainSuffix] && w.Profiled {
			w.Twin = w.Name + PlainSuffix
		}
	}
	return m, m.check(path)
}

var parallelFlag = regexp.MustCompile(`--((?:tensor|pipeline|data)-parallel-size)[ =](\d{1,5})\b`)

// parallel takes the parallel sizes from a server's command line. Where it names
// none, nothing is taken: what the default is depends on the engine.
func (s *Server) parallel(cmd string) {
	world := 1
	for _, m := range parallelFlag.FindAllStringSubmatch(cmd, -1) {
		if s.Flags == nil {
			s.Flags = map[string]string{}
		}
		s.Flags[strings.ReplaceAll(m[1], "-", "_")] = m[2]
		n, _ := strconv.Atoi(m[2])
		world *= n
	}
	if s.Flags != nil {
		s.WorldSize = world
	}
}
