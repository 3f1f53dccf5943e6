package compose

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"tokprof/fixtures/golden"
	"tokprof/kernels"
	"tokprof/kernels/breakdown"
	"tokprof/kernels/collective/reducing"
	"tokprof/kernels/role"
	"tokprof/nvml"
	"tokprof/report/document"
	"tokprof/trace"
)

// reducingLayers is a rank whose step of 100 tokens and 4 requests has so many
// all-reduces and gathers, in a model of so many layers.
func reducingLayers(rank, layers, reduces, gathers int, weights ...breakdown.WeightSeen) *breakdown.Rank {
	var runs []reducing.Collective
	for i := range reduces {
		runs = append(runs, reducing.Run(0, trace.Time(10*i), 5, 0))
	}
	for i := range gathers {
		runs = append(runs, reducing.Run(0, trace.Time(800+10*i), 5, 1))
	}
	r := reducing.Rank(rank, 1, 0, runs...)
	for i := range r.Kernels {
		r.Kernels[i].Name = []string{"all_reduce_bf16", "all_gather_bf16"}[i]
		if i == 1 || reduces == 0 {
			r.Kernels[i].Name, r.Kernels[i].Match.Category = "all_gather_bf16", kernels.Category{Group: "comm", Subgroup: "all_gather"}
		}
	}
	r.Info.WorldSize = 2
	r.Steps[0].Label.Tokens, r.Steps[0].Label.Requests = 100, 4
	for n := range layers {
		r.Layers = append(r.Layers, breakdown.LayerSum{Phase: trace.Decode, Layer: n, Kind: role.Dense, Steps: 1})
	}
	r.Weights = weights
	return r
}

// TestMessageSizes wants tokens × hidden where a step has just the all-reduces
// of a tensor-parallel model, rows × vocabulary for its one gather, and nothing
// where either is in doubt.
func TestMessageSizes(t *testing.T) {
	sides := []breakdown.WeightSeen{{Role: role.OProj, K: 512, N: 1024}, {Role: role.Down, K: 2048, N: 1024}, {Role: role.QKVProj, K: 1024, N: 768}, {Role: role.LMHead, K: 1024, N: 16000}}
	odd := append([]breakdown.WeightSeen{{Role: role.Down, K: 2048, N: 1536}}, sides...)
	llama := model(t, "llama-3-8b")
	for _, c := range []struct {
		name                     string
		layers, reduces, gathers int
		weights                  []breakdown.WeightSeen
		o                        Options
		reduceBytes, gatherBytes int64
		reduceHow                string
	}{
		{"two a layer", 4, 8, 1, sides, Options{}, 100 * 1024 * 2, 4 * 32000 * 2, "weights"},
		{"and one for the embedding", 4, 9, 1, sides, Options{}, 100 * 1024 * 2, 4 * 32000 * 2, "weights"},
		{"one too many", 4, 10, 1, sides, Options{}, 0, 4 * 32000 * 2, ""},
		{"several gathers", 4, 8, 2, sides, Options{}, 100 * 1024 * 2, 0, "weights"},
		{"no layers known", 0, 8, 1, sides, Options{}, 0, 4 * 32000 * 2, ""},
		{"no weights known", 4, 8, 1, nil, Options{}, 0, 0, ""},
		{"weights of two widths", 4, 8, 1, odd, Options{}, 0, 4 * 32000 * 2, ""},
		{"by the config", 4, 8, 1, nil, Options{Model: llama}, 100 * 4096 * 2, 0, "config"},
		{"a config that the weights gainsay", 4, 8, 1, sides, Options{Model: llama}, 0, 4 * 32000 * 2, ""},
	} {
		pair := []*breakdown.Rank{reducingLayers(0, c.layers, c.reduces, c.gathers, c.weights...), reducingLayers(1, c.layers, c.reduces, c.gathers, c.weights...)}
		a := Build(pair, c.o).Analyses[0]
		checkReadings(t, a)
		for _, x := range a.Collectives {
			switch x.Kind {
			case "all_reduce":
				if x.Bytes != c.reduceBytes || x.BytesHow != c.reduceHow || c.reduceBytes > 0 && x.Sizes[0].Count != int64(c.reduces) {
					t.Errorf("%s: all-reduces of %d bytes by %q, sizes %+v", c.name, x.Bytes, x.BytesHow, x.Sizes)
				}
			case "all_gather":
				if x.Bytes != c.gatherBytes {
					t.Errorf("%s: gathers of %d bytes, want %d", c.name, x.Bytes, c.gatherBytes)
				}
			}
		}
	}
}

// TestRanksWithoutFile wants sizes and times of what is there, and no bandwidth
// over a number of ranks that nothing says.
func TestRanksWithoutFile(t *testing.T) {
	sides := []breakdown.WeightSeen{{Role: role.OProj, K: 512, N: 1024}, {Role: role.LMHead, K: 1024, N: 16000}}
	var three []*breakdown.Rank
	for i := range 3 {
		r := reducingLayers(i, 4, 8, 1, sides...)
		r.Info.WorldSize, r.GPUName = 4, "NVIDIA H200"
		three = append(three, r)
	}
	for _, c := range Build(three, Options{Topology: hostOf(4, "NV18", nil)}).Analyses[0].Collectives {
		if want := map[string]int64{"all_reduce": 100 * 1024 * 2}[c.Kind]; c.Bytes != want || c.BusBW != 0 || c.Ceiling != 0 || c.CeilingHow == "" {
			t.Errorf("%s: %d bytes at %v of %v (%s)", c.Kind, c.Bytes, c.BusBW, c.Ceiling, c.CeilingHow)
		}
	}
}

// TestSizeClasses wants equal sizes apart, and powers of two where there are
// many.
func TestSizeClasses(t *testing.T) {
	var few, many []sizedRun
	for i := range int64(64) {
		few = append(few, sizedRun{bytes: 1000 * (1 + i%4), transfer: 100 + i, ranks: 2})
		many = append(many, sizedRun{bytes: 1000 * (1 + i), transfer: 100 + i, ranks: 2})
	}
	if got := sizeClasses(few); len(got) != 4 || got[0][0].bytes != 4000 || len(got[0]) != 16 {
		t.Errorf("%d classes of four sizes", len(got))
	}
	n := 0
	for _, runs := range sizeClasses(many) {
		s := sizeRow(&document.Collective{Kind: "all_reduce"}, runs, map[kindSize]int64{})
		n += len(runs)
		if s.MaxBytes >= 2*s.MinBytes+1000 {
			t.Errorf("one class from %d to %d", s.MinBytes, s.MaxBytes)
		}
	}
	if n != len(many) {
		t.Errorf("%d of %d runs are in a class", n, len(many))
	}
}

// TestLatencyBound wants small messages held against the best of their size,
// and bandwidths of the large ones alone.
func TestLatencyBound(t *testing.T) {
	c := document.Collective{Kind: "all_reduce", Ceiling: 100e9}
	runs := []sizedRun{{bytes: 1 << 20, transfer: 20_000, ranks: 2}, {bytes: 4096, transfer: 6_000, ranks: 2}, {bytes: 4096, transfer: 4_000, ranks: 2}}
	best := map[kindSize]int64{{"all_reduce", 4096}: 3_500, {"all_reduce", 1 << 20}: 20_000}
	for _, r := range sizeClasses(runs) {
		c.Sizes = append(c.Sizes, sizeRow(&c, r, best))
	}
	total(&c, runs)
	large, small := c.Sizes[0], c.Sizes[1]
	if large.LatencyBound || !near(large.Percent, 52.4, 0.01) || !small.LatencyBound || small.Percent != 0 || small.BestNS != 3_500 {
		t.Errorf("large %+v, small %+v", large, small)
	}
	if c.LatencyBound || c.BusBW != large.BusBW || c.Percent != large.Percent {
		t.Errorf("the row %+v", c)
	}
}

// TestShapesAgree holds what the ops of collectives were given against the
// steps' tokens × the width of the weights, where both are known.
func TestShapesAgree(t *testing.T) {
	seen := map[string]int{}
	for _, r := range bothWindows(t) {
		for _, c := range r.Collectives {
			if c.Bytes == 0 || c.Step < 0 {
				continue
			}
			kind := r.Kernels[c.Kernel].Match.Subgroup
			label := r.Steps[c.Step].Label
			seen[kind]++
			if want := map[string]int64{"all_reduce": label.Tokens * 4096 * 2, "all_gather": label.Requests * 64128 * 2}[kind]; c.Bytes != want {
				t.Errorf("%s of %d bytes in a step of %d tokens, want %d", kind, c.Bytes, label.Tokens, want)
			}
		}
	}
	if seen["all_reduce"] == 0 || seen["all_gather"] == 0 {
		t.Errorf("sizes by shapes of %v", seen)
	}
}

// TestRecordedAllReduces: 60 all-reduces of 256 MiB and 100 of 64 KiB between
// two H200, recorded without any step: matched by time, sized by their kernels.
func TestRecordedAllReduces(t *testing.T) {
	const dir = "../../fixtures/gpus/h200x2"
	files, err := filepath.Glob(filepath.Join(dir, "*.pt.trace.json.gz"))
	if err != nil || len(files) != 4 {
		t.Fatal(files, err)
	}
	var ranks []*breakdown.Rank
	for _, f := range files {
		ranks = append(ranks, reduce(t, f))
	}
	links := topology(t, filepath.Join(dir, "topo.txt"))
	golden.Check(t, "all_reduces.golden", []byte(sayCollectives(ranks, Options{Topology: links})))
	// The readings list the links: they do in place of a matrix.
	rec := readings(t, filepath.Join(dir, "readings.jsonl.gz"))
	bare := &nvml.Recording{Readings: rec.Readings}
	for _, gpu := range rec.GPUs() {
		bare.Devices = append(bare.Devices, nvml.Device{Index: gpu})
	}
	with, matrix, without := sayCollectives(ranks, Options{Readings: rec}), sayCollectives(ranks, Options{Readings: rec, Topology: links}), sayCollectives(ranks, Options{Readings: bare})
	if with != matrix || with == without {
		t.Errorf("with links in the readings\n%swith a matrix\n%swithout any\n%s", with, matrix, without)
	}
}

func sayCollectives(ranks []*breakdown.Rank, o Options) string {
	var b strings.Builder
	for _, a := range Build(ranks, o).Analyses {
		for _, c := range a.Collectives {
			fmt.Fprintf(&b, "%s: %d × %s over %d ranks, %d unmatched, %d B by %s\n", a.Window.Name, c.Count, c.Kind, c.Ranks, c.Unmatched, c.Bytes, c.BytesHow)
			fmt.Fprintf(&b, "  transfer %d ns, longest wait %d ns, of all %d and %d ns\n", c.TransferNS.Median, c.LongestNS.Median, c.TransferSumNS, c.WaitSumNS)
			fmt.Fprintf(&b, "  busbw %.4g B/s, %.3g %% of %s, latency-bound %v\n", c.BusBW, c.Percent, c.Path, c.LatencyBound)
		}
	}
	return b.String()
}
