package trace

import (
	"bytes"
	"compress/gzip"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// smallTrace is the least that Find takes for a trace by its text.
const smallTrace = `{"schemaVersion": 1, "deviceProperties": [], "traceEvents": []}`

func gz(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(text))
	_ = z.Close()
	return b.String()
}

// plant makes files below a new directory; a name that ends in a slash is a
// directory, "a -> b" a link.
func plant(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		link, target, linked := strings.Cut(name, " -> ")
		path := filepath.Join(root, link)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		switch {
		case linked:
			err = os.Symlink(target, path)
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(path, 0o755)
		default:
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

const rank0, rank1 = "rank0.1795400541965894466.pt.trace.json.gz", "rank1.1795400541965894466.pt.trace.json.gz"

// folders are what Find meets, and what it takes of it.
var folders = []struct {
	what  string
	files map[string]string
	paths []string // below the root; "." when nil
	want  []string
}{
	{
		"a run's folder: what are no traces is passed over",
		map[string]string{
			rank0: gz(smallTrace), rank1: gz(smallTrace), "config.json": `{"model": "m", "phases": ["ph"]}`,
			"manifest.json": `{"files": ["` + rank0 + `"]}`, "requests.jsonl": `{"ph": "X"}`, "nvml.jsonl.gz": gz("{}"),
			"profiler_out_0.txt": "Name", "server.log": "traceEvents", "board.json": `{"schemaVersion": 39, "panels": []}`,
		},
		nil, []string{rank0, rank1},
	},
	{
		"nested three deep and no deeper, capture traces among them, hidden ones left out",
		map[string]string{
			"a.json": smallTrace, "run/b.json": smallTrace, "run/capture_traces/graph_capture_rank0.pt.trace.json.gz": gz(smallTrace),
			"1/2/3/c.json": smallTrace, "1/2/3/4/d.json": smallTrace,
			".old/e.json": smallTrace, "run/.f.json": smallTrace, "._" + rank0: "\x00\x05\x16\x07",
		},
		nil, []string{"1/2/3/c.json", "a.json", "run/b.json", "run/capture_traces/graph_capture_rank0.pt.trace.json.gz"},
	},
	{
		"a server's name is enough: empty and damaged files are news",
		map[string]string{
			"node-a_1.async_llm.1795400541965894466.pt.trace.json.gz": "", rank0: "\x1f\x8b", "empty.json": "", "half.json.gz": "\x1f\x8b",
		},
		nil, []string{"node-a_1.async_llm.1795400541965894466.pt.trace.json.gz", rank0},
	},
	{
		"known by their text: packed, a bare array, keys in any order",
		map[string]string{
			"a.json.gz": gz(smallTrace), "b.json": `[{"ph": "X", "ts": 1}]`, "c.json": `{"displayTimeUnit": "ms", "traceEvents": []}`,
			"d.json": "{\"traceEvents\" :\n[", "e.txt": smallTrace, "f.json.bak": smallTrace,
		},
		nil, []string{"a.json.gz", "b.json", "c.json", "d.json"},
	},
	{
		"named files stand for themselves, whatever they are; repeats go",
		map[string]string{"x.log": "", rank0: gz(smallTrace)},
		[]string{"x.log", rank0, ".", "./x.log", "."}, []string{"x.log", rank0},
	},
	{
		"one file under several names is one file",
		map[string]string{rank0: gz(smallTrace), "latest.json.gz -> " + rank0: "", "loop -> .": "", "gone.trace.json -> nowhere": ""},
		nil, []string{"latest.json.gz"},
	},
	{
		"a linked directory is entered when it is named",
		map[string]string{"runs/7/a.json": smallTrace, "latest -> runs/7": ""},
		[]string{"latest", "runs"}, []string{"latest/a.json"},
	},
	{
		"a directory with a trace's name is a directory",
		map[string]string{"x.trace.json/a.json": smallTrace, "y.trace.json/": "", "z.trace.json -> y.trace.json": ""},
		nil, []string{"x.trace.json/a.json"},
	},
}

func TestFind(t *testing.T) {
	for _, c := range folders {
		root := plant(t, c.files)
		t.Chdir(root)
		for _, prefix := range []string{"", root} { // the depth is counted from the path given
			var paths, want []string
			for _, p := range c.paths {
				paths = append(paths, filepath.Join(prefix, p))
			}
			if c.paths == nil {
				paths = []string{filepath.Join(prefix, ".")}
			}
			for _, w := range c.want {
				want = append(want, filepath.Join(prefix, w))
			}
			got, _, err := Find(paths)
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%s: Find(%q) = %q, %v\nwant %q", c.what, paths, got, err, want)
			}
		}
	}
}

func TestFindStandardInput(t *testing.T) {
	if got, _, err := Find([]string{"-", "-"}); err != nil || !slices.Equal(got, []string{"-"}) {
		t.Errorf(`Find("-", "-") = %q, %v; want it once`, got, err)
	}
	if got, _, err := Find(nil); err != nil || len(got) != 0 {
		t.Errorf("Find() = %q, %v; want nothing", got, err)
	}
}

func TestFindRefuses(t *testing.T) {
	root := plant(t, map[string]string{
		"empty/": "", "hidden/.git/a.json": smallTrace, "texts/config.json": "{}", "texts/log": "",
		"deep/1/2/3/4/a.json": smallTrace, "only/sub/": "",
	})
	t.Chdir(root)
	for path, want := range map[string]string{
		"empty":   "empty is an empty directory: the server writes its traces when /stop_profile returns",
		"hidden":  "hidden is an empty directory: the server writes its traces when /stop_profile returns",
		"only":    "only is an empty directory: the server writes its traces when /stop_profile returns",
		"texts":   "texts holds no torch-profiler trace and no Nsight Systems export: a trace is a .json, .json.gz or .json.zst file with traceEvents, an export a .sqlite",
		"deep":    "deep holds no torch-profiler trace and no Nsight Systems export: a trace is a .json, .json.gz or .json.zst file with traceEvents, an export a .sqlite",
		"missing": "missing does not exist: check the path; vLLM writes its traces into the server's torch_profiler_dir",
	} {
		got, _, err := Find([]string{path})
		var e *Error
		if !errors.As(err, &e) || err.Error() != want || got != nil {
			t.Errorf("Find(%q) = %q, %v\nwant %s", path, got, err, want)
		}
	}
}
