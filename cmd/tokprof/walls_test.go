package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// walls: who may import whom of ours. A package without an entry does not
// belong to the house; a new one needs a sentence, an entry and a reason.
var walls = map[string][]string{
	"cmd/tokprof":                     {"trace", "trace/capture", "trace/serving", "trace/serving/load", "trace/serving/replay", "nvml", "kernels", "kernels/attribution", "kernels/breakdown", "kernels/roofline", "report", "report/compare", "report/compose", "report/document", "report/engines", "report/page"},
	"report":                          {"report/compare", "report/document", "report/figures", "kernels"},
	"report/compare":                  {"report/document", "report/figures", "kernels", "kernels/breakdown"},
	"report/page":                     {"report/document", "report/figures"},
	"report/compose":                  {"nvml", "trace", "kernels", "kernels/attribution", "kernels/breakdown", "kernels/collective", "kernels/role", "kernels/roofline", "report/diagnose", "report/document", "report/engines", "report/figures", "report/gpus", "report/verdict"},
	"report/verdict":                  {"report/document", "report/figures"},
	"report/engines":                  {"trace", "trace/serving", "kernels/attribution", "kernels/breakdown", "kernels/collective", "report/document", "report/figures", "report/latency"},
	"report/document":                 {"kernels/attribution", "kernels/breakdown", "report/figures", "report/latency"},
	"report/gpus":                     {"nvml", "trace", "kernels/breakdown", "kernels/roofline", "report/document", "report/figures"},
	"report/latency":                  {"trace", "trace/serving", "trace/serving/match", "report/figures"},
	"report/figures":                  {},
	"report/diagnose":                 {},
	"kernels/collective":              {"trace", "kernels/breakdown", "kernels/role", "kernels/roofline"},
	"kernels/collective/reducing":     {"trace", "kernels", "kernels/attribution", "kernels/breakdown"},
	"kernels/breakdown":               {"trace", "kernels", "kernels/attribution", "kernels/role"},
	"kernels/attribution":             {"trace", "kernels", "kernels/role"},
	"kernels/attribution/tracescript": {"trace"},
	"kernels/role":                    {"kernels"},
	"kernels/roofline":                {},
	"kernels":                         {},
	"trace/capture":                   {"trace", "trace/serving", "trace/serving/load"},
	"trace/serving/replay":            {"trace/serving"},
	"trace/serving/match":             {"trace/serving"},
	"trace/serving/load":              {"trace/serving"},
	"trace/serving":                   {},
	"nvml":                            {"nvml/internal/driver"},
	"nvml/internal/driver":            {},
	"trace":                           {"trace/internal/kineto", "trace/internal/nsys", "trace/internal/nsys/scrub"},
	"trace/internal/nsys/scrub":       {"trace/internal/nsys", "trace/internal/nsys/database", "trace/internal/nsys/jsontext"},
	"trace/internal/nsys":             {"trace/internal/nsys/database", "trace/internal/nsys/jsontext"},
	"trace/internal/nsys/database":    {},
	"trace/internal/nsys/jsontext":    {},
	"trace/internal/kineto":           {"trace/internal/inflate"},
	"trace/internal/inflate":          {},
	"trace/synth":                     {},
	"fixtures/golden":                 {},
	"fixtures/packed":                 {},
}

// testWalls: what tests may import beyond their package's walls.
var testWalls = map[string][]string{
	"cmd/tokprof":               {"fixtures/golden", "fixtures/packed", "trace/serving/match", "trace/synth"},
	"report":                    {"fixtures/golden"},
	"report/page":               {"fixtures/golden"},
	"report/compare":            {"trace"},
	"report/compose":            {"fixtures/golden", "fixtures/packed", "kernels/attribution/tracescript", "kernels/collective/reducing", "report/latency", "trace/serving"},
	"report/engines":            {"kernels/collective/reducing"},
	"report/diagnose":           {"fixtures/golden"},
	"kernels":                   {"fixtures/golden"},
	"kernels/breakdown":         {"fixtures/golden", "kernels/attribution/tracescript", "trace/synth"},
	"kernels/collective":        {"kernels/collective/reducing"},
	"kernels/attribution":       {"fixtures/packed", "kernels/attribution/tracescript", "trace/synth"},
	"trace":                     {"fixtures/golden", "trace/synth"},
	"trace/internal/kineto":     {"trace/synth"},
	"trace/internal/nsys/scrub": {"fixtures/packed"},
	"trace/capture":             {"trace/serving/replay"},
	"trace/serving":             {"fixtures/golden", "fixtures/packed"},
	"trace/serving/load":        {"fixtures/golden"},
	"trace/serving/replay":      {"fixtures/golden"},
	"trace/serving/match":       {"fixtures/golden"},
	"nvml":                      {"fixtures/golden", "fixtures/packed"},
}

// owners: which packages may import an outside module.
var owners = map[string][]string{
	"github.com/spf13/cobra":             {"cmd/tokprof"},
	"github.com/spf13/pflag":             {"cmd/tokprof"},
	"golang.org/x/term":                  {"cmd/tokprof"},
	"github.com/google/pprof":            {"cmd/tokprof", "report"},
	"github.com/go-echarts/go-echarts":   {"report/page"},
	"github.com/prometheus/common":       {"trace/serving"},
	"github.com/prometheus/client_model": {"trace/serving"},
	"github.com/tidwall/gjson":           {"trace/serving"},
	"github.com/NVIDIA/go-nvml":          {"nvml/internal/driver"},
	"zombiezen.com/go/sqlite":            {"trace/internal/nsys", "trace/internal/nsys/database", "trace/internal/nsys/scrub"},
	"github.com/klauspost/compress":      {"trace/internal/kineto", "trace/internal/inflate"},
	"github.com/rogpeppe/go-internal":    {"cmd/tokprof"},
	"github.com/chromedp":                {"report/page"},
}

// rooms: the permitted top-level entries beside dotfiles.
var rooms = []string{"cmd", "trace", "kernels", "nvml", "report", "fixtures", "go.mod", "go.sum", "README.md", "LICENSE"}

var bannedNames = []string{"util", "utils", "common", "helper", "helpers", "base", "types", "models", "shared", "misc", "manager"}

type listed struct {
	ImportPath                         string
	Doc                                string
	Imports, TestImports, XTestImports []string
}

func listPackages(t *testing.T) []listed {
	t.Helper()
	// With the tests over whole captures, which import more.
	cmd := exec.Command("go", "list", "-tags=shared", "-json=ImportPath,Doc,Imports,TestImports,XTestImports", "tokprof/...")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []listed
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func TestWalls(t *testing.T) {
	for _, p := range listPackages(t) {
		name := strings.TrimPrefix(p.ImportPath, "tokprof/")
		allowed, ok := walls[name]
		if !ok {
			t.Errorf("package %s has no entry in walls: say in one sentence what it knows, and why it cannot be a file next door", name)
			continue
		}
		if p.Doc == "" {
			t.Errorf("package %s has no package comment", name)
		}
		if last := name[strings.LastIndexByte(name, '/')+1:]; slices.Contains(bannedNames, last) {
			t.Errorf("package %s: a name like %q says nothing about what the package knows", name, last)
		}
		check(t, name, p.Imports, allowed)
		tests := slices.Concat(p.TestImports, p.XTestImports)
		check(t, name, tests, slices.Concat(allowed, testWalls[name], []string{name}))
		used(t, name, p.Imports, allowed)
		used(t, name, tests, testWalls[name])
	}
}

// used wants every entry to be needed: one left by a move lets in what nobody
// decided on.
func used(t *testing.T, name string, imports, allowed []string) {
	t.Helper()
	for _, a := range allowed {
		if !slices.Contains(imports, "tokprof/"+a) {
			t.Errorf("%s does not import %s: take it out of its walls", name, a)
		}
	}
}

func check(t *testing.T, name string, imports, allowed []string) {
	t.Helper()
	for _, imp := range imports {
		if ours, ok := strings.CutPrefix(imp, "tokprof/"); ok {
			if !slices.Contains(allowed, ours) {
				t.Errorf("%s imports %s: not in its walls", name, ours)
			}
			continue
		}
		if !strings.Contains(strings.SplitN(imp, "/", 2)[0], ".") {
			continue
		}
		if !owned(imp, name) {
			t.Errorf("%s imports %s: no owner says it may", name, imp)
		}
	}
}

func owned(imp, name string) bool {
	for module, by := range owners {
		if imp == module || strings.HasPrefix(imp, module+"/") {
			return slices.Contains(by, name)
		}
	}
	return false
}

func TestRooms(t *testing.T) {
	entries, err := os.ReadDir("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && !slices.Contains(rooms, e.Name()) && !ignored(e.Name()) {
			t.Errorf("%s stands at the top level: put it into the room that knows it", e.Name())
		}
	}
}

// ignored says whether git passes over an entry of the top level: what the
// README's commands write there is nobody's room.
func ignored(name string) bool {
	cmd := exec.Command("git", "check-ignore", "-q", name)
	cmd.Dir = "../.."
	return cmd.Run() == nil
}
