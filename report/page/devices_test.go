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
