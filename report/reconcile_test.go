package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"tokprof/report/compare"
	"tokprof/report/document"
)

// hostileNames are texts that a trace may hold to break a drawing.
var hostileNames = []string{
	"plain", "", "a|b", "new\nline", "\x1b[31mred", "<script>alert(1)</script>", "@everyone `x`", strings.Repeat("漢字", 60), strings.Repeat("k", 5000), "\u202eevil", "a,\"b\"",
}

// hostilePair is a comparison of windows whose every text is one of them.
func hostilePair(name string) *compare.Reconciliation {
	kernel := func(match compare.Match, a, b int64) compare.Kernel {
		return compare.Kernel{
			Name: name, NsysName: name, ShortName: name, Group: name, Subgroup: name, Match: match, Torch: compare.Sum{Launches: a, TotalNS: a * 1000}, Nsys: compare.Sum{Launches: b, TotalNS: b * 1000},
			Decode: []compare.Medians{{Requests: 8, Tokens: 8, TorchLaunches: a, NsysLaunches: b, TorchNS: 1000, NsysNS: 1100, Change: 0.1, TransferOnly: true}},
		}
	}
	side := compare.Side{Window: name, Sources: []document.Source{{Engine: name, GPU: name, Format: name, SHA256: "0123abcd", Role: "gpu"}}}
	w := compare.Window{
		Verdict: "about " + name, Torch: side, Nsys: side, Notes: []compare.Note{{Side: "nsys", Severity: document.Warning, Message: name}},
		Kernels: []compare.Kernel{kernel(compare.ByName, 12345678, 12), kernel(compare.TorchOnly, 1, 0), kernel(compare.NsysOnly, 0, 1)},
		Batches: []compare.Batch{{Requests: 8, Tokens: 8, TorchSteps: 1, NsysSteps: 2, TorchStepNS: 3, NsysStepNS: 4, Shares: []compare.Share{{Role: name, Torch: 0.5, Nsys: 0.4, Difference: -0.1}}}},
		Same:    compare.Same{TorchOnly: 1, NsysOnly: 1},
		Tax:     compare.Tax{TorchPerTokNS: 3_000_000, PlainPerTokNS: 2_000_000, TorchInflation: 0.5},
	}
	return &compare.Reconciliation{Schema: compare.Schema, Version: "1.0.0", Windows: []compare.Window{w, w}}
}

// TestReconciliationHostile draws hostile texts in every form.
func TestReconciliationHostile(t *testing.T) {
	for _, name := range hostileNames {
		r := hostilePair(name)
		for _, width := range []int{40, 60, 72, 80, 120} {
			var b bytes.Buffer
			if err := WriteReconciliation(&b, r, TextOptions{Width: width}); err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(b.String()) {
				if line = strings.TrimSuffix(line, "\n"); cellWidth(line) > width || strings.ContainsAny(line, "\x1b\u202e") {
					t.Errorf("%.20q at %d: %d cells: %q", name, width, cellWidth(line), line)
				}
			}
		}
		var b bytes.Buffer
		if err := WriteReconciliationMarkdown(&b, r); err != nil {
			t.Fatal(err)
		}
		before, cells := 0, 0 // columns of the line before, and of the table
		for line := range strings.Lines(b.String()) {
			n := strings.Count(line, "|") - strings.Count(line, "\\|")
			switch {
			case strings.HasPrefix(line, "|---"):
				if cells = n; before != n {
					t.Errorf("%.20q: %d columns under a head of %d", name, n, before)
				}
			case !strings.HasPrefix(line, "|"):
				cells = 0
			case cells > 0 && n != cells:
				t.Errorf("%.20q: %q", name, line)
			}
			before = n
			if strings.ContainsAny(line, "\x1b\u202e") || strings.Contains(line, "<script") {
				t.Errorf("%.20q: %q", name, line)
			}
		}
		b.Reset()
		if err := WriteReconciliationCSV(&b, r); err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(&b).ReadAll()
		if err != nil || len(rows) != 1+2*3 || strings.ReplaceAll(name, "\r", "") != rows[1][6] {
			t.Errorf("%.20q: %d rows, %v", name, len(rows), err)
		}
		b.Reset()
		if err := WriteReconciliationJSON(&b, r); err != nil {
			t.Fatal(err)
		}
		var back compare.Reconciliation
		if err := json.Unmarshal(b.Bytes(), &back); err != nil || fmt.Sprint(back) != fmt.Sprint(*r) {
			t.Errorf("%.20q: %v\n%+v", name, err, back)
		}
	}
}

// TestReconciliationColour marks the heads, and nothing without being asked.
func TestReconciliationColour(t *testing.T) {
	for _, colour := range []bool{false, true} {
		var b bytes.Buffer
		if err := WriteReconciliation(&b, hostilePair("plain"), TextOptions{Color: colour}); err != nil || strings.Contains(b.String(), "\x1b[") != colour {
			t.Errorf("colour %v: %q, %v", colour, b.String(), err)
		}
	}
}

// TestReconciliationNotes wraps a doubt: what to do stands at its end.
func TestReconciliationNotes(t *testing.T) {
	r := hostilePair("plain")
	r.Windows = r.Windows[:1]
	r.Windows[0].Notes[0].Message = "the trace holds CUDA graphs as a whole: record again with nsys profile --cuda-graph-trace=node"
	var b bytes.Buffer
	const want = "\nnsys  the trace holds CUDA graphs as a whole: record again with nsys profile\n      --cuda-graph-trace=node\n"
	if err := WriteReconciliation(&b, r, TextOptions{Width: 80}); err != nil || !strings.HasSuffix(b.String(), want) {
		t.Errorf("%s, %v", b.String(), err)
	}
}

// TestReconciliationNarrow keeps what stands last in a line: the load without a
// profiler, and what a star means.
func TestReconciliationNarrow(t *testing.T) {
	r := hostilePair("plain")
	r.Windows = r.Windows[:1]
	r.Windows[0].Verdict = strings.Repeat("both have the same kernels ", 18) + "and 4.08 ms under nsys."
	var b bytes.Buffer
	if err := WriteReconciliation(&b, r, TextOptions{Width: 60, Top: 1}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"4.08 ms under nsys.\n", " plain\n", " 2.00 ms\n", "waiting for\nthe late rank\n", "step to step\n"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}
