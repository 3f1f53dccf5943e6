package roofline

import (
	"math"
	"strings"
	"testing"
)

func near(got, want float64) bool { return math.Abs(got-want) <= 1e-9*math.Abs(want) }

func TestWork(t *testing.T) {
	m := load(t, "llama-16l")
	w, ok := m.Work("qkv_proj", 0, 8, 2, 1)
	if want := WorkOfShape(8, 4096, 3072, 2); !ok || w != want {
		t.Errorf("qkv_proj %+v, of its shape %+v", w, want)
	}
	if !near(w.FLOPs, 2*8*4096*3072) || !near(w.WeightBytes, 4096*3072*2) || !near(w.Bytes, 2*(4096*3072+8*4096+8*3072)) || w.Estimated {
		t.Errorf("qkv_proj %+v", w)
	}
	w, ok = m.Work("embedding", 0, 8, 1, 1)
	if !ok || w.FLOPs != 0 || !near(w.WeightBytes, 8*4096*2) || !near(w.Bytes, 2*w.WeightBytes) {
		t.Errorf("embedding %+v", w)
	}
	for _, role := range []string{"sampling", "attention core", "", "router"} {
		if _, ok := m.Work(role, 0, 8, 1, 1); ok {
			t.Errorf("%q has work", role)
		}
	}
	if _, ok := m.Work("down", 0, 0, 1, 1); ok {
		t.Error("work of no tokens")
	}
	if w := WorkOfShape(0, 4, 4, 2); w != (Work{}) || w.Intensity() != 0 {
		t.Errorf("no rows: %+v", w)
	}
}

func TestWorkExperts(t *testing.T) {
	if got := ExpectedExperts(128, 8, 1); !near(got, 8) {
		t.Errorf("one token touches %v experts", got)
	}
	// Two tokens of two among four: 4 × (1 − ½²) = 3.
	if got := ExpectedExperts(4, 2, 2); !near(got, 3) {
		t.Errorf("%v experts, want 3", got)
	}
	if got := ExpectedExperts(8, 8, 5); !near(got, 8) {
		t.Errorf("%v experts, want all 8", got)
	}
	m := load(t, "qwen3-30b-a3b")
	one, ok := m.Work("experts_gate_up", 0, 1, 1, 1)
	if !ok || one.Estimated || !near(one.WeightBytes, 8*2048*1536*2) || !near(one.FLOPs, 2*8*2048*1536) {
		t.Errorf("one token: %+v", one)
	}
	w, _ := m.Work("experts_gate_up", 0, 64, 1, 1)
	if !w.Estimated || !near(w.FLOPs, 64*one.FLOPs) || !near(w.WeightBytes, ExpectedExperts(128, 8, 64)*2048*1536*2) {
		t.Errorf("64 tokens: %+v", w)
	}
	cut, _ := m.Work("experts_gate_up", 0, 64, 4, 1)
	spread, _ := m.Work("experts_gate_up", 0, 64, 4, 4)
	if !near(cut.WeightBytes, spread.WeightBytes) || !near(cut.FLOPs, spread.FLOPs) {
		t.Errorf("cut by 4 %+v, spread over 4 %+v", cut, spread)
	}
}

func TestAttention(t *testing.T) {
	m := load(t, "llama-3-8b")
	// Decode: one query against 1000 tokens, 8 K/V heads of 128 in bf16.
	w, ok := m.Attention(0, []Sequence{{1, 1000}}, 1, 0)
	if !ok || !near(w.FLOPs, 4*1000*32*128) || !near(w.Bytes, 1000*8*2*128*2+2*32*128*2) || w.WeightBytes != 0 {
		t.Errorf("decode %+v", w)
	}
	w8, _ := m.Attention(0, []Sequence{{1, 1000}, {1, 1000}}, 2, 1)
	if !near(w8.FLOPs, w.FLOPs) || !near(w8.Bytes, 2*(1000*4*2*128+2*16*128*2)) {
		t.Errorf("fp8 cache at TP 2 %+v", w8)
	}
	// Prefill of 100: 5050 pairs.
	if w, _ := m.Attention(0, []Sequence{{100, 100}}, 1, 0); !near(w.FLOPs, 4*5050*32*128) {
		t.Errorf("prefill %+v", w)
	}
	v3 := load(t, "deepseek-v3")
	w, ok = v3.Attention(0, []Sequence{{1, 1000}}, 8, 2)
	if !ok || !near(w.FLOPs, 2*1000*16*1088) || !near(w.Bytes, 1000*576*2+16*1088*2) || w.Estimated {
		t.Errorf("latent decode %+v", w)
	}
	if w, ok := v3.Attention(0, []Sequence{{10, 10}}, 8, 2); !ok || !w.Estimated || !near(w.FLOPs, 2*55*16*320) {
		t.Errorf("latent prefill %+v", w)
	}
	scout := load(t, "llama-4-scout")
	if _, ok := scout.Attention(0, []Sequence{{1, 9000}}, 1, 0); ok {
		t.Error("a chunked layer beyond its chunk")
	}
	if _, ok := scout.Attention(0, []Sequence{{1, 8000}}, 1, 0); !ok {
		t.Error("a chunked layer inside its chunk")
	}
	for name, seqs := range map[string][]Sequence{"none": nil, "no query": {{0, 5}}, "more queries than keys": {{5, 4}}} {
		if _, ok := m.Attention(0, seqs, 1, 0); ok {
			t.Errorf("attention of %s", name)
		}
	}
	for _, name := range []string{"qwen3-next-80b-a3b", "falcon-7b", "deepseek-v3.2"} {
		if _, ok := load(t, name).Attention(0, []Sequence{{1, 10}}, 1, 0); ok {
			t.Errorf("%s: attention is not known", name)
		}
	}
}

// TestSpan compares the closed form with counting.
func TestSpan(t *testing.T) {
	for window := range 12 {
		for kv := 1; kv < 20; kv++ {
			for q := 1; q <= kv; q++ {
				want := 0
				for i := 1; i <= q; i++ {
					seen := kv - q + i
					if window > 0 {
						seen = min(seen, window)
					}
					want += seen
				}
				read := kv
				if window > 0 {
					read = min(kv, window-1+q)
				}
				if pairs, r := (Sequence{q, kv}).span(window); pairs != float64(want) || r != float64(read) {
					t.Fatalf("window %d, %d of %d: %v pairs, %v read; want %d, %d", window, q, kv, pairs, r, want, read)
				}
			}
		}
	}
}

func TestWeightReadFloor(t *testing.T) {
	m := load(t, "llama-3-8b")
	bytes, parts, ok := m.WeightReadFloor(1, Rank{})
	total, counted, _ := m.Parameters()
	// All weights but the embedding, of which one row is read.
	if want := 2 * (total - counted["embedding"] + 4096); !ok || !near(bytes, want) {
		t.Errorf("%v bytes, want %v", bytes, want)
	}
	if !near(parts["gate_up"], 32*4096*28672*2) || !near(parts["lm_head"], 4096*128256*2) {
		t.Errorf("parts %v", parts)
	}
	half, _, _ := m.WeightReadFloor(1, Rank{TP: 2})
	if !near(half, bytes/2) {
		t.Errorf("TP 2 reads %v of %v", half, bytes)
	}
	first, _, _ := m.WeightReadFloor(1, Rank{End: 16})
	last, _, ok := m.WeightReadFloor(1, Rank{First: 16, End: 32})
	if !ok || !near(first+last, bytes) {
		t.Errorf("stages read %v and %v of %v", first, last, bytes)
	}
	// One token of DeepSeek-V3 reads what its name promises: 37 B parameters
	// active, nearly all of one byte.
	bytes, _, ok = load(t, "deepseek-v3").WeightReadFloor(1, Rank{})
	if !ok || math.Abs(bytes/1e9-38) > 1.5 {
		t.Errorf("deepseek-v3 reads %.1f GB", bytes/1e9)
	}
	if _, parts, ok := load(t, "deepseek-v3.2").WeightReadFloor(1, Rank{TP: 8}); !ok || parts["indexer"] == 0 {
		t.Error("deepseek-v3.2's indexer is not in its floor")
	}
	for name, r := range map[string]Rank{"falcon-7b": {}, "llama-16l": {TP: 3}, "deepseek-v3": {TP: 8, EP: 8}, "qwen3-8b": {First: 30, End: 40}} {
		if _, _, ok := load(t, name).WeightReadFloor(1, r); ok {
			t.Errorf("%s %+v has a floor", name, r)
		}
	}
}

func TestCheck(t *testing.T) {
	m := load(t, "llama-16l")
	tp2 := []Seen{{"qkv_proj", 0, 4096, 3072}, {"qkv_proj", 1, 4096, 3072}, {"down", 0, 7168, 4096}, {"lm_head", -1, 4096, 64128}}
	if got := m.Check(Found{Layers: 16, TP: 2, Shapes: tp2}); got != nil {
		t.Errorf("a fitting trace: %v", got)
	}
	if got := m.Check(Found{Layers: 16, Shapes: tp2}); got != nil {
		t.Errorf("TP not told: %v", got)
	}
	if tp, ok := m.TP(Found{Shapes: tp2}); !ok || tp != 2 {
		t.Errorf("TP %d %v", tp, ok)
	}
	if _, ok := m.TP(Found{}); ok {
		t.Error("a TP out of nothing")
	}
	got := m.Check(Found{Layers: 12, TP: 1, Shapes: tp2})
	want := []string{
		"the trace has 12 layers; config.json says 16 (num_hidden_layers)",
		"down of layer 0 multiplies by 7168×4096; config.json gives 14336×4096 at TP 1 (it would fit TP 2)",
		"lm_head multiplies by 4096×64128; config.json gives 4096×128256 at TP 1 (it would fit TP 2)",
		"qkv_proj of layer 0 multiplies by 4096×3072; config.json gives 4096×6144 at TP 1 (it would fit TP 2)",
	}
	if len(got) != len(want) {
		t.Fatalf("%v", got)
	}
	for i, w := range want {
		if got[i].Text != w {
			t.Errorf("%q, want %q", got[i].Text, w)
		}
	}
	if got := m.Check(Found{Layers: 8, PP: 2}); got != nil {
		t.Errorf("half of the layers on one of two stages: %v", got)
	}
	if got := m.Check(Found{Layers: 12, PP: 2}); len(got) != 1 || !strings.Contains(got[0].Text, "over 2 pipeline stages") {
		t.Errorf("%v", got)
	}
	if got := load(t, "falcon-7b").Check(Found{Layers: 32, Shapes: tp2}); got != nil {
		t.Errorf("an unknown family: %v", got)
	}
	// Engines that do not fuse the first halves of q and kv.
	if got := load(t, "deepseek-v3").Check(Found{TP: 8, Shapes: []Seen{{"kv_a", 0, 7168, 576}, {"q", 0, 7168, 1536}}}); got != nil {
		t.Errorf("%v", got)
	}
}
