package page

import (
	"slices"
	"testing"

	"tokprof/report/document"
)

// TestLanesOfSeveralGPUs names the GPU of a lane only where a rank has several.
func TestLanesOfSeveralGPUs(t *testing.T) {
	lane := func(device int, layer int) document.Lane {
		return document.Lane{GPU: true, Device: device, Stream: 7, Spans: []document.SpanEvent{{DurNS: 5, Layer: layer}}}
	}
	for _, c := range []struct {
		lanes []document.Lane
		want  []string
	}{
		{[]document.Lane{lane(1, -1)}, []string{"rank 2 stream 7"}},
		{[]document.Lane{lane(0, -1), lane(1, 3)}, []string{"rank 2 GPU 0 s7", "rank 2 GPU 1 s7"}},
	} {
		f := figure{doc: &document.Analysis{}, tables: figureTables{lanes: &table{}}}
		f.addLanes(&document.Timeline{Rank: 2, Lanes: c.lanes})
		if !slices.Equal(f.lanes, c.want) {
			t.Errorf("lanes %q, want %q", f.lanes, c.want)
		}
	}
}

// TestUnplacedRanks: a GPU is nobody's only where it is known whose others are.
func TestUnplacedRanks(t *testing.T) {
	for _, c := range []struct {
		ranks [][]int
		want  string
	}{{[][]int{{}, {}}, "n/a n/a "}, {[][]int{{0}, {}}, "0 none "}} {
		r, got := &document.Readings{}, ""
		for i, ranks := range c.ranks {
			r.Devices = append(r.Devices, document.DeviceReadings{GPU: i, Ranks: ranks})
		}
		for _, row := range gpuTable(r).Rows {
			got += row.Cells[1].Text + " "
		}
		if got != c.want {
			t.Errorf("ranks %v: %q, want %q", c.ranks, got, c.want)
		}
	}
}

// TestHashOfOneFile: the second rank of a file is of the hash above it, another
// input without one is not.
func TestHashOfOneFile(t *testing.T) {
	a := document.Source{Path: "a.sqlite", Bytes: 9, SHA256: "12ab"}
	b, c := a, a
	b.SHA256, c.SHA256, c.Path = "", "", "c.sqlite"
	got := ""
	for _, row := range sourceTable([]document.Source{a, b, c}).Rows {
		got += row.Cells[6].Text + "|"
	}
	if want := "12ab|of the same file, above||"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
