package replay

import (
	"bytes"
	"compress/gzip"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"tokprof/trace/serving"
)

// Bounds on what a recording's files may hold, decompressed.
const (
	maxText  = 64 << 20
	maxTrace = 1 << 30
)

// Recording is one recorded run of one server: a folder with manifest.json
// (server version, windows and the times of their profile calls), requests.jsonl,
// metrics.idle.txt, nvml.jsonl, the traces that the manifest names, and texts.
// Text files may be gzipped (name.gz). It may be played by many servers at once.
type Recording struct {
	Version     string // of the server, "0.20.2"
	Model       string // as served
	MaxModelLen int    // tokens of prompt and answer together
	Windows     []Window

	fsys     fs.FS
	metrics  []byte
	headers  []string // lines of nvml.jsonl, one a GPU
	readings []reading
}

// Window is one stretch of a recorded run. Times are Unix nanoseconds.
type Window struct {
	Name     string
	Profiled bool
	// The profile calls; 0 where the window was not profiled.
	StartCall, StartReturn, StopCall, StopReturn int64
	Requests                                     []serving.Request // that succeeded, in the order they were sent
	Traces                                       []string          // file names of this window's traces
}

// Span is the time from the window's first to its last moment: of its profile
// calls when it has them, of its requests otherwise.
func (w *Window) Span() (from, to int64) {
	if w.Profiled {
		return w.StartCall, w.StopReturn
	}
	for i, q := range w.Requests {
		if i == 0 {
			from = q.SentUnixNS
		}
		to = max(to, q.EndUnixNS)
	}
	return from, to
}

//go:embed recording
var embedded embed.FS

// Embedded is the recording that comes with tokprof: vLLM 0.20.2 with a 16-layer
// Llama shape on two H200, an unprofiled decode window and profiled prefill and
// decode windows (recording/README.md).
func Embedded() *Recording { return loadEmbedded() }

var loadEmbedded = sync.OnceValue(func() *Recording {
	sub, err := fs.Sub(embedded, "recording")
	if err == nil {
		var rec *Recording
		if rec, err = Load(sub); err == nil {
			return rec
		}
	}
	panic("the embedded recording does not load: " + err.Error()) // it is part of the build, and tests load it
})

// manifest is what manifest.json says that a replay needs.
type manifest struct {
	Spec struct {
		Model string `json:"model"`
	} `json:"spec"`
	Version struct {
		Version string `json:"version"`
	} `json:"version"`
	Cmd     string `json:"cmd"`
	Windows []struct {
		Name        string   `json:"name"`
		Profiled    bool     `json:"profiled"`
		StartCall   int64    `json:"start_call_unix_ns"`
		StartReturn int64    `json:"start_return_unix_ns"`
		StopCall    int64    `json:"stop_call_unix_ns"`
		StopReturn  int64    `json:"stop_return_unix_ns"`
		Files       []string `json:"files"`
	} `json:"windows"`
}

var maxModelLen = regexp.MustCompile(`--max-model-len[ =](\d+)`)

// Load reads a recording. An error names the file that is missing or damaged.
func Load(fsys fs.FS) (*Recording, error) {
	rec := &Recording{fsys: fsys, MaxModelLen: 4096}
	b, err := rec.File("manifest.json")
	if err != nil {
		return nil, fmt.Errorf("not a recording: %w", err)
	}
	var m manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("manifest.json of the recording: %w", err)
	}
	rec.Version, rec.Model = m.Version.Version, m.Spec.Model
	if n := maxModelLen.FindStringSubmatch(m.Cmd); n != nil {
		if v, err := strconv.Atoi(n[1]); err == nil {
			rec.MaxModelLen = v
		}
	}
	if b, err = rec.File("requests.jsonl"); err != nil {
		return nil, fmt.Errorf("requests of the recording: %w", err)
	}
	rows, err := serving.ReadRequests(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("requests.jsonl of the recording: %w", err)
	}
	rec.windows(&m, rows)
	if rec.metrics, err = rec.File("metrics.idle.txt"); err != nil {
		return nil, fmt.Errorf("metrics of the recording: %w", err)
	}
	if err := rec.loadReadings(); err != nil {
		return nil, err
	}
	return rec, rec.check()
}

// windows takes the manifest's windows with their rows. A window's file list
// holds the files of earlier windows too.
func (rec *Recording) windows(m *manifest, rows []serving.Request) {
	seen := map[string]bool{}
	for _, w := range m.Windows {
		v := Window{Name: w.Name, Profiled: w.Profiled, StartCall: w.StartCall, StartReturn: w.StartReturn, StopCall: w.StopCall, StopReturn: w.StopReturn}
		for _, f := range w.Files {
			if !seen[f] && strings.Contains(f, ".trace.json") {
				v.Traces = append(v.Traces, f)
			}
			seen[f] = true
		}
		slices.Sort(v.Traces)
		for _, q := range rows {
			if q.Window == w.Name && !q.Failed() && len(q.TokenUnixNS) > 0 {
				v.Requests = append(v.Requests, q)
			}
		}
		slices.SortStableFunc(v.Requests, func(a, b serving.Request) int {
			return int(min(1, max(-1, a.SentUnixNS-b.SentUnixNS)))
		})
		rec.Windows = append(rec.Windows, v)
	}
}

// check says what a recording lacks to be played.
func (rec *Recording) check() error {
	if rec.Version == "" || rec.Model == "" {
		return errors.New("manifest.json of the recording names no server version or no model")
	}
	profiled := 0
	for _, w := range rec.Windows {
		if !w.Profiled {
			continue
		}
		profiled++
		if len(w.Traces) == 0 || len(w.Requests) == 0 {
			return fmt.Errorf("window %s of the recording has %d traces and %d requests that succeeded: it needs both", w.Name, len(w.Traces), len(w.Requests))
		}
		for _, name := range w.Traces {
			if _, err := fs.Stat(rec.fsys, name); err != nil {
				return fmt.Errorf("trace of window %s of the recording: %w", w.Name, err)
			}
		}
	}
	if profiled == 0 {
		return errors.New("the recording has no profiled window")
	}
	return nil
}

// File gives a text of the recording, decompressed: topology.txt (of nvidia-smi),
// server.log, config.json (the model's), metrics.idle.txt, nvml.jsonl and what
// else its folder holds.
func (rec *Recording) File(name string) ([]byte, error) {
	if b, err := fs.ReadFile(rec.fsys, name); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return b, err
	}
	f, err := rec.fsys.Open(name + ".gz")
	if err != nil {
		return nil, fmt.Errorf("neither %s nor %s.gz is there: %w", name, name, fs.ErrNotExist)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("%s.gz: %w", name, err)
	}
	return readBounded(z, maxText, name+".gz")
}

func readBounded(r io.Reader, limit int64, name string) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%s holds more than %d bytes", name, limit)
	}
	return b, nil
}
