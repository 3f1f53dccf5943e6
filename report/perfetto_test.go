package report

import (
	"bytes"
	"encoding/json"
	"math/rand"
	"slices"
	"strings"
	"testing"

	"tokprof/fixtures/golden"
	"tokprof/report/document"
)

type chromeEvent struct {
	Ph   string `json:"ph"`
	BP   string `json:"bp"`
	ID   int    `json:"id"`
	Name string `json:"name"`
	Cat  string `json:"cat"`
	// Cname is a reserved colour.
	Cname string      `json:"cname"`
	Pid   int         `json:"pid"`
	Tid   int         `json:"tid"`
	TS    json.Number `json:"ts"`
	Dur   json.Number `json:"dur"`
	Args  map[string]any
}

type chromeTrace struct {
	Events []chromeEvent `json:"traceEvents"`
}

func readPerfetto(t *testing.T, s *document.Set, limit int) (chromeTrace, int64) {
	t.Helper()
	var b bytes.Buffer
	dropped, err := writePerfetto(&b, s, limit)
	if err != nil {
		t.Fatal(err)
	}
	if b.Len() > limit {
		t.Errorf("%d bytes, limit %d", b.Len(), limit)
	}
	var tr chromeTrace
	if err := json.Unmarshal(b.Bytes(), &tr); err != nil {
		t.Fatalf("%v in\n%s", err, b.String())
	}
	return tr, dropped
}

// nanos reads µs with three decimals.
func nanos(t *testing.T, n json.Number) int64 {
	t.Helper()
	whole, frac, ok := strings.Cut(n.String(), ".")
	if !ok || len(frac) != 3 {
		t.Fatalf("time %q has not three decimals", n)
	}
	v, err := json.Number(whole + frac).Int64()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestPerfettoGolden(t *testing.T) {
	var b bytes.Buffer
	dropped, err := WritePerfetto(&b, setOf(fixture()))
	if err != nil || dropped != 6 {
		t.Fatalf("%d events left out, want the 6 that the timelines lack (%v)", dropped, err)
	}
	golden.Check(t, "perfetto.json.golden", b.Bytes())
}

func TestPerfettoNests(t *testing.T) {
	rng := rand.New(rand.NewSource(8))
	for range 200 {
		s := setOf(random(rng, hostile(rng)), random(rng, hostile(rng)))
		tr, dropped := readPerfetto(t, s, perfettoBytes)
		var want int64
		for _, a := range s.Analyses {
			for _, l := range a.Timelines {
				want += 1 + l.Truncated
				for _, lane := range l.Lanes {
					want += int64(len(lane.Spans))
				}
			}
		}
		if got := checkTrace(t, tr); got+dropped != want {
			t.Errorf("%d slices and %d left out, the document has %d", got, dropped, want)
		}
	}
}

// checkTrace checks that slices nest and arrows have two ends, and counts the
// slices.
func checkTrace(t *testing.T, tr chromeTrace) (slicesSeen int64) {
	t.Helper()
	type slice struct{ start, end int64 }
	tracks := map[int][]slice{}
	ends := map[int]int{}
	for _, e := range tr.Events {
		switch e.Ph {
		case "X":
			start := nanos(t, e.TS)
			if start < 0 {
				t.Errorf("slice at %d", start)
			}
			tracks[e.Tid] = append(tracks[e.Tid], slice{start, start + nanos(t, e.Dur)})
			slicesSeen++
		case "s", "f":
			ends[e.ID]++
			if !slices.ContainsFunc(tracks[e.Tid], func(s slice) bool { return s.start == nanos(t, e.TS) }) {
				t.Errorf("arrow %d ends in no slice", e.ID)
			}
		case "M":
		default:
			t.Errorf("event of kind %q", e.Ph)
		}
	}
	for id, n := range ends {
		if n != 2 {
			t.Errorf("arrow %d has %d ends", id, n)
		}
	}
	for tid, track := range tracks {
		var open []int64
		for _, s := range track {
			for len(open) > 0 && open[len(open)-1] <= s.start {
				open = open[:len(open)-1]
			}
			if len(open) > 0 && open[len(open)-1] < s.end {
				t.Errorf("track %d: slice %v crosses the end %d", tid, s, open[len(open)-1])
			}
			open = append(open, s.end)
		}
	}
	return slicesSeen
}

// reservedColours are the names that chrome://tracing knows; it refuses a file
// with another one.
var reservedColours = []string{"rail_response", "rail_animation", "rail_idle", "rail_load", "thread_state_iowait", "olive", "generic_work", "thread_state_uninterruptible"}

func TestPerfettoPlaces(t *testing.T) {
	for part, colour := range partColours {
		if !slices.Contains(reservedColours, colour) {
			t.Errorf("%s has the unknown colour %s", part, colour)
		}
	}
	tr, _ := readPerfetto(t, setOf(fixture()), perfettoBytes)
	i := slices.IndexFunc(tr.Events, func(e chromeEvent) bool { return e.Args["role"] == "down" })
	if i < 0 {
		t.Fatal("no slice has the role down")
	}
	if e := tr.Events[i]; e.Args["part"] != "ffn" || e.Args["layer"] != 0.0 || e.Cname != partColours["ffn"] {
		t.Errorf("slice %+v", e)
	}
	for _, e := range tr.Events {
		if e.Name == "cudaGraphLaunch" && (e.Cname != "" || e.Args["layer"] != nil) {
			t.Errorf("host row %+v", e)
		}
	}
}

func TestPerfettoDropsTheLeast(t *testing.T) {
	a := fixture()
	full, before := readPerfetto(t, setOf(a), perfettoBytes)
	all := checkTrace(t, full)
	last := all
	for limit := 12_000; limit > 3000; limit -= 500 {
		tr, dropped := readPerfetto(t, setOf(a), limit)
		kept := checkTrace(t, tr)
		if kept+dropped != all+before || kept > last {
			t.Errorf("limit %d: %d kept and %d left out of %d", limit, kept, dropped, all+before)
		}
		last = kept
		host := slices.ContainsFunc(tr.Events, func(e chromeEvent) bool { return e.Name == "cudaGraphLaunch" })
		if host && kept < all-1 {
			t.Errorf("limit %d: kernels went before host rows", limit)
		}
		if !slices.ContainsFunc(tr.Events, func(e chromeEvent) bool { return e.Name == "cutlass::device_kernel" }) {
			t.Errorf("limit %d: the longest kernel is gone", limit)
		}
	}
	if last == all {
		t.Error("no limit was low enough to drop anything")
	}
}

func TestPerfettoKeepsStepsApart(t *testing.T) {
	a := fixture()
	// A step that was asked for and is the median too.
	a.Timelines = append(a.Timelines, a.Timelines[0])
	tr, _ := readPerfetto(t, setOf(a), perfettoBytes)
	steps := map[string]int{}
	var starts []int64
	for _, e := range tr.Events {
		if _, ok := e.Args["start_unix_ns"]; ok {
			steps[e.Name]++
			starts = append(starts, nanos(t, e.TS))
		}
	}
	if steps["decode step 12 (median of 24)"] != 2 || steps["prefill step 0"] != 2 {
		t.Errorf("steps drawn: %v", steps)
	}
	// 60 ms lie between them; the drawing shows 1 ms from end to first launch.
	if d := slices.Max(starts) - slices.Min(starts); d != 310_000+maxGap+20_000 {
		t.Errorf("%d ns between the steps", d)
	}
}
