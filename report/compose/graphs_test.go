package compose

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"tokprof/kernels/breakdown"
	"tokprof/report/document"
)

// graphMode is the recording whose decode steps are whole graphs, in one form.
func graphMode(t *testing.T, file string) *breakdown.Rank {
	return reduce(t, filepath.Join(traces, "..", "nsys", "qwen3-12l-graphmode", file))
}

// drawnGraphs says which whole graphs the timelines hold, and how busy the
// step's GPU events are beside them.
func drawnGraphs(a *document.Analysis) string {
	var s strings.Builder
	for _, tl := range a.Timelines {
		for _, l := range tl.Lanes {
			for _, e := range l.Spans {
				if e.Whole != nil {
					fmt.Fprintf(&s, "rank %d %s: %s on %s, %d ns, executable %d, %v launched\n", tl.Rank, tl.Title, e.Whole.Name(), l.Name, e.DurNS, e.Whole.Exec, e.Correlation != 0)
				}
			}
		}
	}
	return s.String()
}

// TestWholeGraphsOfExport: both forms of one recording hold eleven replays, all
// of decode steps, in the drawn ones too, and the sums agree.
func TestWholeGraphsOfExport(t *testing.T) {
	for _, file := range []string{"report1.sqlite.gz", "report1.json.gz"} {
		a := Build([]*breakdown.Rank{graphMode(t, file)}, Options{}).Analyses[0]
		checkAgrees(t, a)
		const want = "rank 0 decode step 9 (median of 11): graph 367 on GPU 0 stream 7, 1661403 ns, executable 368, true launched\n" +
			"rank 0 decode step 2 (slowest of 11): graph 367 on GPU 0 stream 7, 1670395 ns, executable 368, true launched\n"
		if got := drawnGraphs(a); got != want {
			t.Errorf("%s: drawn\n%swant\n%s", file, got, want)
		}
		if got, want := fmt.Sprintf("%+v", a.Stacks.Whole), "[{Graph:367 Rank:0 Device:0 Stream:7 Phase:decode TimeNS:18262952 ExposedNS:18262952 Runs:11}]"; got != want {
			t.Errorf("%s: samples %s, want %s", file, got, want)
		}
		if got := a.Stacks.WholeName(&a.Stacks.Whole[0]); got != "graph 367" {
			t.Errorf("%s: a lone rank's graph is %s", file, got)
		}
	}
}

// TestWholeGraphsOfTwoRanks keeps the ranks apart in samples, sums and drawings, though
// the numbers of their graphs are equal.
func TestWholeGraphsOfTwoRanks(t *testing.T) {
	first, second := graphMode(t, "report1.sqlite.gz"), graphMode(t, "report1.sqlite.gz")
	second.Info.Rank = 1
	second.Info.Name, second.Info.SHA256 = "report2.sqlite.gz", "another"
	a := Build([]*breakdown.Rank{first, second}, Options{}).Analyses[0]
	checkAgrees(t, a)
	got := ""
	for _, w := range a.Stacks.Whole {
		got += fmt.Sprintf("%s %d; ", a.Stacks.WholeName(&w), w.TimeNS)
	}
	if want := "graph 367 of rank 0 18262952; graph 367 of rank 1 18262952; "; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	got = ""
	for _, g := range a.Graphs {
		got += fmt.Sprintf("rank %d %s: %d × %d; ", g.Rank, g.Signature, g.Replays, g.TimeNS)
	}
	if want := "rank 0 graph 367: 11 × 18262952; rank 1 graph 367: 11 × 18262952; "; got != want {
		t.Errorf("graphs %s, want %s", got, want)
	}
	if n := strings.Count(drawnGraphs(a), "rank 1 decode"); n != 2 {
		t.Errorf("%d graphs drawn of rank 1", n)
	}
}
