package compose

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tokprof/kernels/breakdown"
	"tokprof/kernels/roofline"
	"tokprof/report/document"
	"tokprof/trace"
)

func model(t *testing.T, name string) *roofline.Model {
	t.Helper()
	f, err := os.Open(filepath.Join("../../kernels/roofline/testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	m, err := roofline.ParseModel(f)
	if err != nil {
		t.Fatal(err)
	}
	return &m
}

// tp2Decode is the decode window of both ranks.
func tp2Decode(t *testing.T) []*breakdown.Rank {
	t.Helper()
	return []*breakdown.Rank{reduce(t, fixturePath(tp2Rank0)), reduce(t, fixturePath(tp2Rank1))}
}

func roleRow(a *document.Analysis, phase, name string) *document.Row {
	for i := range a.Roles {
		if a.Roles[i].Phase == phase && a.Roles[i].Name == name {
			return &a.Roles[i]
		}
	}
	return nil
}

// tokensOf sums the tokens of a phase's steps over all ranks: each computes all
// of them with its part of the weights.
func tokensOf(ranks []*breakdown.Rank, p trace.Phase) (tokens, requests float64) {
	for _, r := range ranks {
		for _, s := range r.Steps {
			if s.Label.Phase == p && s.Launches > 0 {
				tokens += float64(s.Label.Tokens)
				requests += float64(s.Label.Requests)
			}
		}
	}
	return tokens, requests
}

// TestWorkByHand: two FLOPs a token and weight, of each rank's part of each of
// 16 layers: 4096×3072, 2048×4096, 4096×14336 and 7168×4096; the head of 64128
// columns once, for each request.
func TestWorkByHand(t *testing.T) {
	ranks := tp2Decode(t)
	a := Build(ranks, Options{Model: model(t, "llama-16l")}).Analyses[0]
	tokens, requests := tokensOf(ranks, trace.Decode)
	if tokens == 0 {
		t.Fatal("no decode steps")
	}
	for name, want := range map[string]float64{
		"qkv_proj": 2 * tokens * 4096 * 3072 * 16,
		"o_proj":   2 * tokens * 2048 * 4096 * 16,
		"gate_up":  2 * tokens * 4096 * 14336 * 16,
		"down":     2 * tokens * 7168 * 4096 * 16,
		"lm_head":  2 * requests * 4096 * 64128,
	} {
		r := roleRow(a, "decode", name)
		if r == nil || r.Work == nil {
			t.Errorf("%s: no work", name)
			continue
		}
		w := r.Work
		if math.Abs(w.FLOPs-want) > 1e-6*want || w.How != "config" || w.CoveredNS != r.TimeNS || w.Estimated {
			t.Errorf("%s: %v FLOPs by %s over %d of %d ns, want %v", name, w.FLOPs, w.How, w.CoveredNS, r.TimeNS, want)
		}
		if got := w.FLOPs / (float64(r.TimeNS) / 1e9); math.Abs(w.FLOPsPerS-got) > 1e-6*got {
			t.Errorf("%s: %v FLOP/s, want %v", name, w.FLOPsPerS, got)
		}
		if w.Bound != "memory" || w.MemoryShare <= 0 || w.MemoryShare > 1 {
			t.Errorf("%s: bound by %s at %v of the bandwidth; 8 tokens read far more than they compute", name, w.Bound, w.MemoryShare)
		}
	}
	if r := roleRow(a, "decode", "embedding"); r != nil && r.Work != nil {
		t.Error("an embedding has work of products")
	}
	if p := document.PhaseNamed(a, "decode"); p.WeightReadFloorNS <= 0 || p.WeightReadFloorNS > p.StepNS.Median {
		t.Errorf("weights are read in %d ns at least, a step takes %d", p.WeightReadFloorNS, p.StepNS.Median)
	}
	if !hasTrust(a, "model") || hasTrust(a, "model_mismatch") {
		t.Error("the trace is not said to fit its model")
	}
}

func hasTrust(a *document.Analysis, code string) bool {
	for _, x := range a.Trust {
		if x.Code == code {
			return true
		}
	}
	return false
}

// TestWorkByShapes: without a config, what the launches recorded.
func TestWorkByShapes(t *testing.T) {
	ranks := []*breakdown.Rank{reduce(t, fixturePath("llama-16l-tp2/rank0.1795400709985551932"))}
	a := Build(ranks, Options{}).Analyses[0]
	found := 0
	for _, r := range a.Roles {
		if r.Work == nil {
			continue
		}
		found++
		if r.Work.How != "shapes" || r.Work.CoveredNS > r.TimeNS || r.Work.FLOPs <= 0 {
			t.Errorf("%s %s: %+v of %d ns", r.Phase, r.Name, r.Work, r.TimeNS)
		}
	}
	if found == 0 {
		t.Fatal("no role has work: the prefill's launches record their shapes")
	}
	var want float64
	for _, s := range ranks[0].Shapes {
		if s.Phase == trace.Prefill && s.Role.String() == "gate_up" {
			want += 2 * float64(s.M) * float64(s.K) * float64(s.N) * float64(s.Count)
		}
	}
	if r := roleRow(a, "prefill", "gate_up"); r == nil || r.Work == nil || math.Abs(r.Work.FLOPs-want) > 1e-6*want {
		t.Errorf("gate_up of the prefill: %+v, want %v FLOPs", r, want)
	}
}

// TestWorkNeedsTheSplit: how many ranks share a layer is not guessed.
func TestWorkNeedsTheSplit(t *testing.T) {
	r := crafted("a", 0, -1, 8, 0, 90, 0)
	r.Cells[0].Role = 1
	b := &builder{o: Options{Model: model(t, "llama-16l")}, a: newAnalysis(Options{}), ranks: []*breakdown.Rank{r}}
	if tp, known := b.tensorParallel(); known {
		t.Errorf("one of eight ranks, without collectives: TP %d", tp)
	}
	for _, x := range Build([]*breakdown.Rank{r}, b.o).Analyses[0].Roles {
		if x.Work != nil {
			t.Errorf("%s %s has work %+v", x.Phase, x.Name, x.Work)
		}
	}
	r.Info.WorldSize = 1
	if tp, known := b.tensorParallel(); !known || tp != 1 {
		t.Errorf("a lone GPU: TP %d, known %v", tp, known)
	}
}

// TestWrongModel: a config that the trace does not fit is said to be wrong.
func TestWrongModel(t *testing.T) {
	a := Build(tp2Decode(t), Options{Model: model(t, "llama-3-8b")}).Analyses[0]
	for _, x := range a.Trust {
		if x.Code == "model_mismatch" {
			if x.Severity != document.Warning || !strings.Contains(x.Message, "layers") {
				t.Errorf("%s %s", x.Severity, x.Message)
			}
			return
		}
	}
	t.Error("16 layers pass for 32")
}
