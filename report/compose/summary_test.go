package compose

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tokprof/fixtures/golden"
	"tokprof/kernels"
	"tokprof/report/document"
	"tokprof/trace"
)

// TestSummaries pins what summaries of every form tell, and wants their rows to
// add up to the same totals.
func TestSummaries(t *testing.T) {
	c, err := kernels.NewClassifier(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"qwen3-12l-graphmode/report1.cuda_gpu_kern_sum.csv.gz", "qwen3-12l-graphmode/report1.cuda_gpu_kern_sum.json.gz", "qwen3-12l-graphmode/report1.cuda_gpu_sum.csv.gz", "llama-4l-gpumetrics/report1.cuda_gpu_kern_sum.csv.gz"} {
		_, err := trace.OpenAll(t.Context(), filepath.Join(traces, "..", "nsys", name), trace.Options{Hash: true})
		var only *trace.SummaryOnly
		if !errors.As(err, &only) {
			t.Fatal(err)
		}
		s := only.Summary
		other := &trace.Summary{Kernels: []trace.SummedKernel{{Name: "other", Launches: 1, Total: 1, Digit: 1}}}
		set := BuildSummaries([]*trace.Summary{s, other, s}, c, Options{Version: "test"})
		if len(set.Analyses) != 2 || set.Analyses[1].Window.Name != "w2" || len(set.Analyses[0].Sources) != 1 {
			t.Fatalf("%s: %d documents", name, len(set.Analyses))
		}
		a := set.Analyses[0]
		var time, launches int64
		for _, k := range s.Kernels {
			time += int64(k.Total)
			launches += k.Launches
		}
		for what, rows := range map[string][]document.Row{"groups": a.Groups, "categories": a.Categories} {
			if got := sums(rows, func(r document.Row) int64 { return r.TimeNS }); got != time {
				t.Errorf("%s: %s hold %d of %d ns", name, what, got, time)
			}
			if got := sums(rows, func(r document.Row) int64 { return r.Launches }); got != launches {
				t.Errorf("%s: %s hold %d of %d launches", name, what, got, launches)
			}
		}
		if !a.SummaryOnly() || len(a.Kernels) != len(s.Kernels) || len(a.Devices)+len(a.Streams)+len(a.Steps)+len(a.Phases)+len(a.Parts)+len(a.Stacks.Samples) > 0 || a.Sources[0].SHA256 == "" {
			t.Errorf("%s: %+v", name, a.Sources)
		}
		if name == "qwen3-12l-graphmode/report1.cuda_gpu_sum.csv.gz" {
			var b bytes.Buffer
			e := json.NewEncoder(&b)
			e.SetEscapeHTML(false)
			e.SetIndent("", " ")
			a.Kernels = a.Kernels[:4]
			if err := e.Encode(a); err != nil {
				t.Fatal(err)
			}
			golden.Check(t, "summary.json", b.Bytes())
		}
	}
}

// TestSummaryUnknown: what a table lacks or cannot tell is not guessed, and its
// damage is told.
func TestSummaryUnknown(t *testing.T) {
	c, err := kernels.NewClassifier(nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &trace.Summary{
		Info: trace.Info{Name: "a.csv", Skipped: 2},
		Kernels: []trace.SummedKernel{
			{Name: "mine", Launches: 3, Total: 10, Min: -1, Median: -1, Max: -1, Digit: 10},
			{Name: "ncclDevKernel_AllReduce_Sum_bf16_RING_LL", Launches: 1, Total: 90, Min: 90, Median: 90, Max: 90},
		},
	}
	a := BuildSummaries([]*trace.Summary{s}, c, Options{Unread: []Unread{{Name: "b.csv", Why: "does not exist"}}}).Analyses[0]
	if k := a.Kernels[1]; k.Name != "mine" || k.MinNS != 0 || k.MedianNS != 0 || k.MaxNS != 0 || k.Share != 0.1 || len(a.Roles)+len(a.Provenance) > 0 {
		t.Errorf("%+v", a)
	}
	codes := ""
	for _, x := range a.Trust {
		codes += string(x.Severity) + " " + x.Code + "\n"
	}
	if want := "error unread_file\nwarning summary_only\nwarning skipped_events\nwarning unclassified\ninfo rounded\n"; codes != want {
		t.Errorf("%s", codes)
	}
	if got := a.Trust[1].Touches[len(a.Trust[1].Touches)-3:]; !slices.Equal(got, []string{"min_ns", "median_ns", "max_ns"}) {
		t.Errorf("zeros that stand for what is not told: %v", got)
	}
	const verdict = "90 % of 100 ns GPU time is in collectives. Steps, phases and idle time are n/a: the file sums kernels up by name."
	if a.Verdict != verdict {
		t.Errorf("%s", a.Verdict)
	}
}

// TestLeftAside names what was left aside for an input of the window, a long
// list cut in its sentence alone, and nothing that was left aside for another window's.
func TestLeftAside(t *testing.T) {
	c, err := kernels.NewClassifier(nil)
	if err != nil {
		t.Fatal(err)
	}
	unread := []Unread{{Name: "other.json", For: "other.sqlite"}}
	for n := range 10 {
		unread = append(unread, Unread{Name: fmt.Sprintf("%d.csv", n), For: "a.csv"})
	}
	s := &trace.Summary{Info: trace.Info{Name: "a.csv"}, Kernels: []trace.SummedKernel{{Name: "k", Launches: 1, Total: 9, Digit: 1}}}
	a := BuildSummaries([]*trace.Summary{s}, c, Options{Unread: unread}).Analyses[0]
	var got []string
	for _, x := range a.Trust {
		if x.Code == "left_aside" {
			got = append(got, fmt.Sprintf("%s (%s)", x.Message, strings.Join(x.Files, " ")))
		}
	}
	const want = "10 files left aside for a.csv, which holds as much or more: 0.csv, 1.csv and 8 more (0.csv 1.csv 2.csv 3.csv 4.csv 5.csv 6.csv 7.csv 8.csv 9.csv)"
	if len(got) != 1 || got[0] != want {
		t.Errorf("%q", got)
	}
}
