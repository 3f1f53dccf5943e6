package main

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tokprof/fixtures/golden"
	"tokprof/report/document"
)

const nsysFixtures = "../../fixtures/nsys/"

// analysis is one window of what tokprof analyze says of a file.
func analysis(t *testing.T, path string, flags ...string) *document.Analysis {
	t.Helper()
	var out, errs bytes.Buffer
	if code := run(t.Context(), append([]string{"analyze", path, "--json", "-", "-q"}, flags...), streams{nil, &out, &errs}); code != 0 {
		t.Fatalf("%s: exit %d: %s", path, code, errs.String())
	}
	a := new(document.Analysis)
	if err := json.Unmarshal(out.Bytes(), a); err != nil || a.Schema != document.SchemaAnalysis {
		t.Fatalf("%s: %v, %q", path, err, a.Schema)
	}
	return a
}

// TestNsysRanks analyses an export of two processes: two ranks with their
// steps and roles, and sums that agree.
func TestNsysRanks(t *testing.T) {
	for _, form := range []string{"sqlite.gz", "json.gz"} {
		a := analysis(t, nsysFixtures+"llama-16l-tp2/report1."+form)
		if len(a.Devices) != 2 || a.Devices[0].Rank != 0 || a.Devices[1].Rank != 1 || len(a.Sources) != 2 {
			t.Fatalf("%s: devices %+v", form, a.Devices)
		}
		var sum, groups int64
		for _, d := range a.Devices {
			sum += d.SumNS
			var idle int64
			for _, c := range d.IdleCauses {
				idle += c.TimeNS
			}
			if d.BusyNS+d.IdleNS+d.GraphNS != a.Window.DurNS || idle != d.IdleNS {
				t.Errorf("%s rank %d: %d busy, %d idle (%d by cause) of %d", form, d.Rank, d.BusyNS, d.IdleNS, idle, a.Window.DurNS)
			}
		}
		for _, g := range a.Groups {
			if g.Phase == "all" {
				groups += g.TimeNS
			}
		}
		if sum != groups {
			t.Errorf("%s: groups %d, devices %d", form, groups, sum)
		}
		steps := map[string]int{}
		for _, s := range a.Steps {
			steps[s.Phase]++
		}
		if steps["prefill"] != 2 || steps["mixed"] != 4 || steps["decode"] < 6 {
			t.Errorf("%s: steps %v", form, steps)
		}
		roles := map[string]bool{}
		for _, r := range a.Roles {
			roles[r.Name] = true
		}
		for _, r := range []string{"qkv_proj", "o_proj", "gate_up", "down", "lm_head", "sampling"} {
			if !roles[r] {
				t.Errorf("%s: no %s", form, r)
			}
		}
		for _, c := range a.Collectives {
			if c.Ranks != 2 || c.Estimated {
				t.Errorf("%s: collective %s of %d ranks, estimated %v", form, c.Kind, c.Ranks, c.Estimated)
			}
		}
	}
}

// TestNsysWholeGraphs analyses an export whose graphs have no kernels inside:
// the runs are graphs, no kernels, and their time is not idle.
func TestNsysWholeGraphs(t *testing.T) {
	a := analysis(t, nsysFixtures+"qwen3-12l-graphmode/report1.sqlite.gz")
	if len(a.Graphs) != 1 || a.Graphs[0].Replays != 11 || a.Graphs[0].TimeNS != 18262952 || a.Graphs[0].Kernels != 0 {
		t.Errorf("graphs %+v", a.Graphs)
	}
	var idle int64
	for _, c := range a.Devices[0].IdleCauses {
		idle += c.TimeNS
	}
	if d := a.Devices[0]; d.GraphNS != 18262952 || d.IdleNS != idle || d.BusyNS+d.GraphNS+d.IdleNS != a.Window.DurNS {
		t.Errorf("%d graph, %d busy, %d idle (%d by cause) of %d ns", d.GraphNS, d.BusyNS, d.IdleNS, idle, a.Window.DurNS)
	}
	if w := a.Trust[0]; w.Code != "graph_mode" || w.Severity != document.Error || !strings.Contains(w.Message, "record again with nsys profile --cuda-graph-trace=node;") {
		t.Errorf("trust %+v", w)
	}
	if len(a.Findings) != 0 {
		t.Errorf("findings on a part of the work: %+v", a.Findings)
	}
	const hidden = "CUDA graphs recorded as a whole hide 62 % of the GPU's work: "
	if !strings.HasPrefix(a.Verdict, hidden) || strings.Contains(a.Verdict, "host") {
		t.Errorf("verdict %s", a.Verdict)
	}
	var graphs int64
	for _, s := range a.Steps {
		var parts int64
		for _, p := range s.Parts {
			parts += p.TimeNS
		}
		// The prefill's streams overlap, so its parts exceed their union.
		if s.Phase != "prefill" && parts != s.BusyNS || parts < s.BusyNS || s.GraphNS() > 0 != (s.Phase == "decode") {
			t.Errorf("%s step %d: parts %d, busy %d, %d in graphs", s.Phase, s.Index, parts, s.BusyNS, s.GraphNS())
		}
		graphs += s.GraphNS()
	}
	if d := a.Devices[0]; graphs != d.GraphNS {
		t.Errorf("steps hold %d of %d ns in graphs", graphs, d.GraphNS)
	}
	for _, m := range document.StepMeans(a) {
		var span int64
		for _, s := range a.Steps {
			if s.Phase == m.Phase && s.DurNS > 0 {
				span += cmp.Or(s.PeriodNS, s.DurNS)
			}
		}
		if m.Phase == "decode" && (m.Total() != span || m.Parts["graphs"] != graphs) {
			t.Errorf("%s: parts and idle are %d of %d, graphs %d of %d", m.Phase, m.Total(), span, m.Parts["graphs"], graphs)
		}
	}
}

// TestNsysWholeGraphsInStacks: folded stacks hold the GPU's kernels and copies
// to the nanosecond, and whole graphs below their phase beside them.
func TestNsysWholeGraphsInStacks(t *testing.T) {
	path := nsysFixtures + "qwen3-12l-graphmode/report1.sqlite.gz"
	var out strings.Builder
	if code := run(t.Context(), []string{"analyze", path, "-q", "--folded", "-"}, streams{nil, &out, io.Discard}); code != 0 {
		t.Fatalf("exit %d", code)
	}
	var kernels int64
	whole := ""
	for l := range strings.Lines(out.String()) {
		l = strings.TrimSpace(l)
		if strings.Contains(l, "whole graphs") {
			whole += l
			continue
		}
		ns, err := strconv.ParseInt(l[strings.LastIndexByte(l, ' ')+1:], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		kernels += ns
	}
	if want := analysis(t, path).Devices[0].SumNS; kernels != want || whole != "decode;whole graphs (not recorded as kernels);graphs.whole.graph 367 (kernels not recorded) 18262952" {
		t.Errorf("%d ns in kernels, want %d; %s", kernels, want, whole)
	}
}

// TestNsysStacks has layers and roles stand in for operators, which an export
// has none of, in steps without graphs too.
func TestNsysStacks(t *testing.T) {
	var out strings.Builder
	if code := run(t.Context(), []string{"analyze", nsysFixtures + "llama-16l-tp2/report1.sqlite.gz", "-q", "--folded", "-"}, streams{nil, &out, io.Discard}); code != 0 {
		t.Fatalf("exit %d", code)
	}
	for _, want := range []string{"mixed;dense layers;gate_up;gemm.dense.nvjet", "prefill;dense layers;down;gemm.dense.nvjet", "mixed;outside layers;lm_head;gemm.dense.nvjet"} {
		if !strings.Contains(out.String(), "\n"+want) {
			t.Errorf("no %s in\n%s", want, out.String())
		}
	}
}

// TestNsysWholeGraphsDrawn pins the terminal's and the ticket's drawing of such
// an export, and wants the page to show graphs in a colour of their own.
func TestNsysWholeGraphsDrawn(t *testing.T) {
	path := nsysFixtures + "qwen3-12l-graphmode/report1.sqlite.gz"
	checkDrawn(t, "graphmode", path)
	dir := t.TempDir()
	if code := run(t.Context(), []string{"analyze", path, "-q", "-o", filepath.Join(dir, "p.html")}, streams{nil, io.Discard, io.Discard}); code != 0 {
		t.Fatalf("exit %d", code)
	}
	page, err := os.ReadFile(filepath.Join(dir, "p.html"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`<rect class="c-graphs" data-part="graphs" data-ns="18262952"`, `</svg>graphs</li>`, "18.3\u202fms of it in whole CUDA graphs", ">11 whole CUDA graphs<", "<dt>Graphs</dt>"} {
		if !bytes.Contains(page, []byte(want)) {
			t.Errorf("the page lacks %s", want)
		}
	}
}

// TestNsysSummaryDrawn pins the drawings of a summary, and wants the page to
// leave out what it cannot tell.
func TestNsysSummaryDrawn(t *testing.T) {
	path := nsysFixtures + "qwen3-12l-graphmode/report1.cuda_gpu_kern_sum.json.gz"
	checkDrawn(t, "summary", path)
	out := filepath.Join(t.TempDir(), "p.html")
	if code := run(t.Context(), []string{"analyze", path, "-q", "-o", out}, streams{nil, io.Discard, io.Discard}); code != 0 {
		t.Fatalf("exit %d", code)
	}
	page, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<h1>Kernel summary of nsys stats</h1>", "<dt>GPU idle</dt><dd><b>n/a</b>", "Steps, phases, streams, layers, idle time and what overlaps are n/a", `id="w0-kernels"`, `id="w0-groups"`} {
		if !bytes.Contains(page, []byte(want)) {
			t.Errorf("the page lacks %s", want)
		}
	}
	for _, id := range []string{"drawn", "flame", "steps", "idle", "launches", "streams", "layers", "collectives"} {
		if bytes.Contains(page, []byte(`id="w0-`+id+`"`)) {
			t.Errorf("the page has a section %s", id)
		}
	}
}

// checkDrawn pins what the terminal and the ticket show of a file.
func checkDrawn(t *testing.T, name, path string) {
	t.Helper()
	for ext, args := range map[string][]string{"txt": nil, "md": {"--md", "-"}} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), append([]string{"analyze", path}, args...), streams{nil, &out, &errs}); code != 0 || errs.Len() > 0 || out.Len() == 0 {
			t.Fatalf("exit %d: %s", code, errs.String())
		}
		golden.Check(t, "nsys/"+name+"."+ext+".golden", out.Bytes())
	}
}

func TestNsysEvents(t *testing.T) {
	path := nsysFixtures + "llama-16l-tp2/report1.sqlite.gz"
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"events", path}, 2, "tokprof: report1.sqlite.gz holds the traces of 2 ranks\ntokprof: hint: pick one with --rank 0\n"},
		{[]string{"events", path, "--rank", "2"}, 2, "tokprof: --rank 2: report1.sqlite.gz holds ranks 0-1\n"},
		{[]string{"events", path, "--rank", "1"}, 0, ""},
		{[]string{"trim", nsysFixtures + "llama-4l-gpumetrics/report1.sqlite.gz", "--steps", "1", "-o", filepath.Join(t.TempDir(), "x.json")}, 2,
			"report1.sqlite.gz is an Nsight Systems export, and only torch traces can be cut: nsys export --times cuts a report\n"},
		{[]string{"events", nsysFixtures + "llama-4l-gpumetrics/report1.cuda_gpu_kern_sum.csv.gz"}, 2,
			"sums kernels up by name, without the times of single ones: give the report's events: nsys stats --report cuda_gpu_trace --format csv\n"},
	} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), append(c.args, "-q"), streams{nil, &out, &errs}); code != c.code || !strings.HasSuffix(errs.String(), c.want) || (out.Len() > 0) != (code == 0) {
			t.Errorf("%v: exit %d, %s", c.args, code, errs.String())
		}
		if c.code == 0 {
			rows := readCSV(t, &out)
			if len(rows) != 1713 || slices.ContainsFunc(rows, func(r map[string]string) bool { return r["device"] != "1" || r["step"] == "" }) {
				t.Errorf("%d rows", len(rows))
			}
		}
	}
}

// TestNsysReport has a program in nsys's place read a report.
func TestNsysReport(t *testing.T) {
	dir := t.TempDir()
	export, err := filepath.Abs(nsysFixtures + "llama-4l-gpumetrics/report1.sqlite.gz")
	if err != nil {
		t.Fatal(err)
	}
	report, tool := filepath.Join(dir, "report1.nsys-rep"), filepath.Join(dir, "own-nsys")
	for path, text := range map[string]string{report: "opaque", tool: "#!/bin/sh\ngzip -dc '" + export + "' > \"$7\"\n"} {
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"analyze"}, {"events"}, {"explain", "--trace"}} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), append(args, report, "--nsys", tool), streams{nil, &out, &errs}); code != 0 || out.Len() == 0 {
			t.Errorf("%v: exit %d, %s", args, code, errs.String())
		}
		errs.Reset()
		if code := run(t.Context(), append(args, report, "--nsys", tool+"2"), streams{nil, &out, &errs}); code != 2 || !strings.Contains(errs.String(), "only nsys can read, and there is no program "+tool+"2: run `nsys export --type sqlite report1.nsys-rep`") {
			t.Errorf("%v: exit %d, %s", args, code, errs.String())
		}
	}
}

// TestNsysCut analyses exports whose end is missing: nothing says that they
// hold no events.
func TestNsysCut(t *testing.T) {
	for form, part := range map[string]float64{"sqlite.gz": 0.03, "json": 0.0056} {
		b, err := os.ReadFile(nsysFixtures + "llama-16l-tp2/report1." + strings.TrimSuffix(form, ".gz") + ".gz")
		if err != nil {
			t.Fatal(err)
		}
		if form == "json" {
			b = unpack(b)
		}
		path := filepath.Join(t.TempDir(), "cut."+form)
		if err := os.WriteFile(path, b[:int(part*float64(len(b)))], 0o600); err != nil {
			t.Fatal(err)
		}
		var out, errs bytes.Buffer
		if code := run(t.Context(), []string{"analyze", path}, streams{nil, &out, &errs}); code != 2 || !strings.Contains(errs.String(), "it is cut at byte ") {
			t.Errorf("%s: exit %d, %s", form, code, errs.String())
		}
	}
}

// TestNsysTwice gives one export under two names: it counts once.
func TestNsysTwice(t *testing.T) {
	dir := t.TempDir()
	b, err := os.ReadFile(nsysFixtures + "llama-16l-tp2/report1.sqlite.gz")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a.sqlite.gz", "b.sqlite.gz"} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if a := analysis(t, dir); len(a.Devices) != 2 {
		t.Errorf("%d devices", len(a.Devices))
	}
}

// unpack is the text of gzip, and any other text itself.
func unpack(b []byte) []byte {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return b
	}
	text, err := io.ReadAll(z)
	if err != nil {
		return b
	}
	return text
}

// leaks runs every command that reads a trace on a file, and returns the
// outputs that hold one of the secrets.
func leaks(t *testing.T, path string, secrets ...string) (found []string) {
	t.Helper()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	outputs := map[string]string{}
	for name, args := range map[string][]string{
		"analyze": {"analyze", path, "-o", at("page.html"), "--md", at("ticket.md"), "--json", at("all.json"), "--csv", at("kernels.csv"), "--pprof", at("gpu.pb.gz"), "--folded", at("stacks.txt"), "--perfetto", at("steps.perfetto")},
		"strict":  {"analyze", path, "--strict"},
		"events":  {"events", path},
		"rank":    {"events", path, "--rank", "0"},
		"trim":    {"trim", path, "--events", "0-10", "-o", at("cut.json")},
		"top":     {"pprof", path, "-traces"},
	} {
		var out, errs bytes.Buffer
		run(t.Context(), args, streams{nil, &out, &errs})
		outputs[name] = out.String() + errs.String()
	}
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			outputs[e.Name()] = string(unpack(b))
		}
		return err
	})
	if err != nil || len(outputs) < 6+7 {
		t.Fatalf("%d outputs, %v", len(outputs), err)
	}
	for name, text := range outputs {
		for _, s := range secrets {
			if strings.Contains(text, s) {
				found = append(found, name+" holds "+s)
			}
		}
	}
	return found
}

// TestNsysPrivate looks for secrets that were planted wherever an export keeps
// private things, in every output.
func TestNsysPrivate(t *testing.T) {
	path := nsysFixtures + "private/report1.sqlite.gz"
	planted, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(unpack(planted), []byte("canary-")); n < 15 {
		t.Fatalf("%d secrets are planted", n)
	}
	for _, l := range leaks(t, path, "canary", "/home/") {
		t.Error(l)
	}
}

// TestNsysReadings joins an export with readings by the GPU that it names: its
// process' first GPU is the host's second, and the other worked harder. No
// output tells the UUID.
func TestNsysReadings(t *testing.T) {
	var b strings.Builder
	for gpu := range 2 {
		fmt.Fprintf(&b, `{"gpu": %d, "name": "NVIDIA H200", "uuid": "GPU-a0000000-0000-4000-8000-00000000000%d", "pci": "00000000:00:0%d.0"}`+"\n", gpu, gpu, 6+gpu)
	}
	for at := int64(1795403104250000000); at < 1795403104310000000; at += 2_000_000 {
		fmt.Fprintf(&b, `{"t": %d, "gpu": 0, "power_mw": 700000, "util_gpu": 100}`+"\n"+`{"t": %d, "gpu": 1, "power_mw": 130000, "util_gpu": 0}`+"\n", at, at+1_000_000)
	}
	readings := filepath.Join(t.TempDir(), "readings.jsonl")
	if err := os.WriteFile(readings, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	export := nsysFixtures + "llama-4l-gpumetrics/report1.sqlite.gz"
	r := analysis(t, export, "--readings", readings).Readings
	if r == nil || len(r.Devices) != 2 || len(r.Devices[0].Ranks) != 0 || !slices.Equal(r.Devices[1].Ranks, []int{0}) || r.Devices[1].How != "uuid" {
		t.Errorf("%+v", r)
	}
	page := filepath.Join(t.TempDir(), "page.html")
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"analyze", export, "--readings", readings, "--json", "-", "-o", page}, streams{nil, &out, &errs}); code != 0 {
		t.Fatalf("exit %d: %s", code, errs.String())
	}
	html, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{"page": string(html), "JSON": out.String(), "progress": errs.String()} {
		if strings.Contains(text, "a0000000-") {
			t.Errorf("the %s tells the UUID", what)
		}
	}
}
