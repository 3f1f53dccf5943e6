package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"tokprof/fixtures/golden"
	"tokprof/report/compare"
)

// reconciled runs tokprof reconcile and returns what it said and wrote as JSON.
func reconciled(t *testing.T, args ...string) (text string, r compare.Reconciliation) {
	t.Helper()
	to := filepath.Join(t.TempDir(), "r.json")
	var out, errs bytes.Buffer
	if code := run(t.Context(), append([]string{"reconcile", "--json", to}, args...), streams{nil, &out, &errs}); code != 0 {
		t.Fatalf("%v: exit %d: %s", args, code, errs.String())
	}
	b, err := os.ReadFile(to)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &r); err != nil || r.Schema != compare.Schema || len(r.Windows) == 0 {
		t.Fatalf("%v, %q, %d windows", err, r.Schema, len(r.Windows))
	}
	for _, w := range r.Windows {
		rowsAddUp(t, &w)
	}
	return out.String(), r
}

// rowsAddUp holds the rows against each side's sum: nothing is dropped, and
// nothing counted twice.
func rowsAddUp(t *testing.T, w *compare.Window) {
	t.Helper()
	var a, b int64
	for _, k := range w.Kernels {
		a, b = a+k.Torch.TotalNS, b+k.Nsys.TotalNS
		if k.Torch.Launches == 0 && k.Nsys.Launches == 0 || (k.Match == compare.TorchOnly) != (k.Nsys.Launches == 0) || (k.Match == compare.NsysOnly) != (k.Torch.Launches == 0) {
			t.Errorf("%+v", k)
		}
	}
	if a != w.Torch.GPUNS || b != w.Nsys.GPUNS || a == 0 || b == 0 {
		t.Errorf("rows sum to %d and %d ns, the sides to %d and %d", a, b, w.Torch.GPUNS, w.Nsys.GPUNS)
	}
}

const (
	torchPair = "../../fixtures/traces/llama-16l-tp2"
	nsysPair  = nsysFixtures + "llama-16l-tp2/report1.sqlite.gz"
)

// TestReconcile holds two recordings of one server against each other, and its
// drawings against their golden files.
func TestReconcile(t *testing.T) {
	dir := t.TempDir()
	md, table := filepath.Join(dir, "r.md"), filepath.Join(dir, "r.csv")
	text, r := reconciled(t, torchPair, nsysPair, "--torch-window", "2", "--md", md, "--csv", table)
	golden.Check(t, "reconcile.golden", []byte(text))
	for line := range strings.Lines(text) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	ticket, err := os.ReadFile(md)
	if err != nil {
		t.Fatal(err)
	}
	ticket = bytes.ReplaceAll(ticket, []byte(versionText()), []byte("VERSION"))
	golden.Check(t, "reconcile.md.golden", ticket)
	w := r.Windows[0]
	if !w.Same.Agree || w.Same.RolesDiffer != 0 || w.Same.EqualLack != 0 || w.Same.Names < 40 || w.Batches[0].Requests != 8 || len(w.Torch.Sources) != 2 || w.Nsys.Ranks != 2 {
		t.Errorf("%+v", w.Same)
	}
	b, err := os.ReadFile(table)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
	if err != nil || len(rows) != 1+len(w.Kernels) {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	var sum int64
	for _, row := range rows[1:] {
		n, err := strconv.ParseInt(row[10], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	if sum != w.Torch.GPUNS {
		t.Errorf("the table sums to %d, the torch side to %d", sum, w.Torch.GPUNS)
	}
}

// TestReconcileForms compares every form of the export: they say the same
// kernels and lengths.
func TestReconcileForms(t *testing.T) {
	_, want := reconciled(t, torchPair, nsysPair, "--torch-window", "2", "-q")
	for _, form := range []string{"json.gz", "cuda_gpu_trace.csv.gz"} {
		_, got := reconciled(t, torchPair, nsysFixtures+"llama-16l-tp2/report1."+form, "--torch-window", "2", "-q")
		a, b := want.Windows[0].Same, got.Windows[0].Same
		if a.Names != b.Names || a.TorchOnly != b.TorchOnly || a.NsysOnly != b.NsysOnly || a.TorchOnlyNS != b.TorchOnlyNS || want.Windows[0].Nsys.GPUNS != got.Windows[0].Nsys.GPUNS {
			t.Errorf("%s: %+v, of the database %+v", form, b, a)
		}
	}
}

// TestReconcileWholeGraphs says that graphs without kernels are in no row.
func TestReconcileWholeGraphs(t *testing.T) {
	text, r := reconciled(t, "../../fixtures/traces/llama-8b-tp1", nsysFixtures+"qwen3-12l-graphmode/report1.sqlite.gz")
	if r.Windows[0].Nsys.GraphNS != 18262952 || !strings.Contains(r.Windows[0].Verdict, "18.3 ms of the nsys side are whole CUDA graphs") || r.Windows[0].Same.Agree {
		t.Errorf("%s\n%d ns", text, r.Windows[0].Nsys.GraphNS)
	}
}
