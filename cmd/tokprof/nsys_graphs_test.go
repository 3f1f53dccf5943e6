package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tokprof/fixtures/golden"
	"tokprof/report/document"
)

// linesOf writes the JSON lines of the export of whole graphs that are kept, in
// a folder of their own.
func linesOf(t *testing.T, name string, keep func(line string) bool) string {
	t.Helper()
	b, err := os.ReadFile(nsysFixtures + "qwen3-12l-graphmode/report1.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	var kept bytes.Buffer
	for line := range bytes.Lines(unpack(b)) {
		if keep(string(line)) {
			kept.Write(line)
		}
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, kept.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// onlyGraphs is the export without the kernels and copies beside its graphs.
func onlyGraphs(t *testing.T) string {
	t.Helper()
	return linesOf(t, "graphs.json", func(line string) bool {
		return !strings.Contains(line, `"kernel":`) && !strings.Contains(line, `"memcpy":`) && !strings.Contains(line, `"memset":`)
	})
}

// TestNsysOnlyGraphs: an export whose GPU work is graphs recorded as a whole is
// answered as far as it goes, and every output that lists kernels says why it
// has none.
func TestNsysOnlyGraphs(t *testing.T) {
	path := onlyGraphs(t)
	a := analysis(t, path)
	if d := a.Devices[0]; len(a.Devices) != 1 || d.BusyNS != 0 || d.SumNS != 0 || d.GraphNS != 18262952 || d.IdleNS+d.GraphNS != a.Window.DurNS {
		t.Errorf("devices %+v of %d ns", a.Devices, a.Window.DurNS)
	}
	if len(a.Graphs) != 1 || a.Graphs[0].Replays != 11 || a.Graphs[0].TimeNS != 18262952 || a.Graphs[0].Kernels != 0 {
		t.Errorf("graphs %+v", a.Graphs)
	}
	if n := len(a.Kernels) + len(a.Groups) + len(a.Categories) + len(a.Roles) + len(a.Streams) + len(a.Findings); n != 0 {
		t.Errorf("%d rows of kernels or of what they tell", n)
	}
	if w := a.Trust[0]; w.Code != "graph_mode" || w.Severity != document.Error || !strings.Contains(w.Message, "11 replays, 100 % of the GPU's work") || !strings.Contains(w.Message, "record again with nsys profile --cuda-graph-trace=node; ") {
		t.Errorf("trust %+v", w)
	}
	checkDrawn(t, "onlygraphs", path)

	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	const lost = "record again with nsys profile --cuda-graph-trace=node\n"
	for _, c := range []struct {
		args   []string
		stdout string // all of it, "" for any
		stderr string // its end
	}{
		{[]string{"events", path}, eventColumns, "the kernels of 11 replays are missing; " + lost},
		{[]string{"analyze", path, "--csv", "-"}, "window,name,short_name,group,subgroup,rule,tags,launches,total_ns,share,min_ns,median_ns,p99_ns,max_ns,exposed_ns,in_graph_ns,roles\n", "the kernels of 11 replays are missing; " + lost},
		{[]string{"analyze", path, "--folded", at("f.txt"), "--perfetto", at("p.json"), "--pprof", at("x.pb.gz")}, "", "the kernels of 11 replays are missing; " + lost},
		{[]string{"analyze", path, "-o", at("page.html")}, "", ""},
		{[]string{"scrub", path, "-o", at("scrubbed.json")}, "", "is left out\n"},
	} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), c.args, streams{nil, &out, &errs}); code != 0 || c.stdout != "" && out.String() != c.stdout || !strings.HasSuffix(errs.String(), c.stderr) || c.stderr == "" && errs.Len() > 0 {
			t.Errorf("%v: exit %d, %q, %q", c.args[0], code, out.String(), errs.String())
		}
	}
	sameAnalysis(t, path, at("scrubbed.json"))
	profile, err := os.ReadFile(at("x.pb.gz"))
	if err != nil || !bytes.Contains(unpack(profile), []byte("error: the trace holds CUDA graphs as a whole: record again")) {
		t.Errorf("the profile does not say what it lacks: %v", err)
	}
	page, err := os.ReadFile(at("page.html"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`data-part="graphs" data-ns="18262952"`, "whole CUDA graphs (hatched), whose kernels are not recorded: together the full width", "11 replays, 100 % of the GPU&#39;s work", "Launch call to GPU start, median</th><td class=\"n\" data-v=\"-1\">n/a</td>"} {
		if !bytes.Contains(page, []byte(want)) {
			t.Errorf("the page lacks %s", want)
		}
	}
	for _, id := range []string{"kernels", "groups", "layers", "collectives"} {
		if bytes.Contains(page, []byte(`id="w0-`+id+`"`)) {
			t.Errorf("the page has a section %s", id)
		}
	}
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"reconcile", "../../fixtures/traces/qwen3-12l-eager", path}, streams{nil, &out, &errs}); code != 0 {
		t.Errorf("reconcile: exit %d: %s", code, errs.String())
	}
	golden.Check(t, "nsys/onlygraphs.reconcile.golden", out.Bytes())
}

// TestNsysWithoutKernels gives exports in which no kernel ran: one sentence
// where there is no GPU work, and what there is otherwise.
func TestNsysWithoutKernels(t *testing.T) {
	onGPU := func(line string) bool { return strings.Contains(line, `"CudaEvent"`) }
	table := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const record = "record with nsys profile --trace=cuda,nvtx --cuda-graph-trace=node"
	for _, c := range []struct{ path, want string }{
		{linesOf(t, "host.json", func(line string) bool { return !onGPU(line) }),
			"host.json: no GPU events in 2279 rows: nsys recorded 2264 CUDA calls and nothing that ran on a GPU: end the capture before the server ends, and " + record},
		{linesOf(t, "ranges.json", func(line string) bool { return !onGPU(line) && !strings.Contains(line, `"TraceProcessEvent"`) }),
			"ranges.json: no GPU events in 15 rows: nsys recorded no CUDA work: " + record + ", and let the server's workers be traced too (--trace-fork-before-exec=true)"},
		{linesOf(t, "names.json", func(line string) bool { return strings.HasPrefix(line, `{"data"`) }),
			"names.json is cut off before its first event: it is still being written, or the copy was cut off"},
		{table("report.nsys-rep", ""), "report.nsys-rep is empty (0 bytes): nsys has not written it yet, or the copy failed"},
		{table("sum.csv", "Processing [r.sqlite] with [cuda_gpu_kern_sum.py]... \nSKIPPED: r.sqlite does not contain CUDA kernel data.\n"),
			"sum.csv is what nsys stats says of a report without GPU work (SKIPPED): " + record + ", and let the server's workers be traced too (--trace-fork-before-exec=true)"},
	} {
		var out, errs bytes.Buffer
		code := run(t.Context(), []string{"analyze", c.path}, streams{nil, &out, &errs})
		if got := strings.ReplaceAll(errs.String(), filepath.Dir(c.path)+string(filepath.Separator), ""); code != 2 || out.Len() > 0 || got != "tokprof: "+c.want+"\n" {
			t.Errorf("exit %d, %s%s\nwant %s", code, out.String(), got, c.want)
		}
	}

	path := linesOf(t, "copies.json", func(line string) bool { return !onGPU(line) || strings.Contains(line, `"memcpy":`) })
	a := analysis(t, path)
	if w := a.Trust[0]; w.Code != "copies_only" || w.Severity != document.Warning || len(a.Findings) != 0 || len(a.Copies) == 0 {
		t.Errorf("trust %+v, %d findings, copies %+v", w, len(a.Findings), a.Copies)
	}
	if want := "No kernel was recorded: 167 copies and memsets, "; !strings.HasPrefix(a.Verdict, want) {
		t.Errorf("verdict %s", a.Verdict)
	}
}
