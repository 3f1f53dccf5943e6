package attribution

import (
	"fmt"
	"strings"
	"testing"

	"tokprof/kernels/attribution/tracescript"
	"tokprof/kernels/role"
	"tokprof/trace"
)

// shapedPass launches the letters, each "g" with an op that recorded the next
// of the weights (K×N) on 8 rows, or on another number of them.
func (s *script) shapedPass(at int, rows int, letters string, weights ...[2]int) int {
	for _, l := range strings.Fields(letters) {
		corr := s.Call("cudaLaunchKernel", at, 2*µs)
		args := fmt.Sprintf(`"device": 0, "stream": 7, "correlation": %d`, corr)
		if l == "g" && len(weights) > 0 {
			s.Row("cpu_op", "aten::mm", 10, 1, at-µs, 4*µs, fmt.Sprintf(`"External id": %d, "Input Dims": [[%d, %d], [%d, %d]], "Input type": ["c10::BFloat16", "c10::BFloat16"]`,
				corr, rows, weights[0][0], weights[0][0], weights[0][1]))
			args += fmt.Sprintf(`, "External id": %d`, corr)
			weights = weights[1:]
		}
		s.Row("kernel", tracescript.Letters[l], 0, 7, at+100*µs, 8*µs, args)
		at += 10 * µs
	}
	return at
}

// Weights of a layer: no two alike, and with a square output projection as
// large as a query projection.
var (
	layerWeights  = [][2]int{{64, 96}, {64, 64}, {64, 256}, {128, 64}}
	squareWeights = [][2]int{{64, 64}, {64, 64}, {64, 256}, {128, 64}}
)

func repeat(n int, w [][2]int) (out [][2]int) {
	for range n {
		out = append(out, w...)
	}
	return out
}

const fourLayers = "e n g k a g n g f g n g k a g n g f g n g k a g n g f g n g k a g n g f g"

// provenances counts the products by provenance and role.
func provenances(ev *Events) string {
	count := map[string]int{}
	for i := range ev.Trace.GPU() {
		if k := ev.Known(i); ev.Match(i).Group == "gemm" {
			count[k.Provenance.String()+" "+k.Role.String()]++
		}
	}
	return fmt.Sprint(count)
}

func TestShapeEvidence(t *testing.T) {
	for _, test := range []struct {
		name    string
		weights [][2]int
		text    string
		blind   bool
		want    string
		differ  int64
	}{
		{"weights of one role each", repeat(4, layerWeights), fourLayers, false, "map[shape down:4 shape gate_up:4 shape o_proj:4 shape qkv_proj:4]", 0},
		{"blind", repeat(4, layerWeights), fourLayers, true, "map[position down:4 position gate_up:4 position o_proj:4 position qkv_proj:4]", 0},
		{"a shape of two roles decides nothing", repeat(4, squareWeights), fourLayers, false, "map[position o_proj:4 position qkv_proj:4 shape down:4 shape gate_up:4]", 0},
		{"a product without a place has its shape's role", repeat(4, layerWeights), "e n g k a g n g f g n g k a g n g f g n g k a g n g f g n g k a g g f g", false,
			"map[shape down:4 shape gate_up:4 shape o_proj:4 shape qkv_proj:4]", 0},
		{"no shapes", nil, fourLayers, false, "map[position down:4 position gate_up:4 position o_proj:4 position qkv_proj:4]", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &script{}
			s.Step(decodeStep, 0, 1000*µs)
			s.shapedPass(10*µs, 8, test.text, test.weights...)
			ev := NewEvents(s.Open(t), classifier(t), Evidence{Blind: test.blind})
			if got := provenances(ev); got != test.want || ev.Disagreements != test.differ {
				t.Errorf("%s, %d disagreements; want %s, %d", got, ev.Disagreements, test.want, test.differ)
			}
		})
	}
}

// TestShapeOutvotesAPlace: a product whose shape says otherwise than its place
// is counted, and has its shape's role.
func TestShapeOutvotesAPlace(t *testing.T) {
	weights := repeat(24, layerWeights)
	weights[0], weights[3] = weights[3], weights[0] // a first layer of another make
	s := &script{}
	s.Step(decodeStep, 0, 9000*µs)
	s.shapedPass(10*µs, 8, "e "+strings.Repeat("n g k a g n g f g ", 24), weights...)
	ev := s.events(t)
	if ev.Disagreements != 2 {
		t.Errorf("%d disagreements", ev.Disagreements)
	}
	if k := ev.Known(2); k.Role != role.Down || k.Provenance != ByShape || k.Confidence >= 1 || k.Confidence < 0.95 {
		t.Errorf("the first product is %v by %v, %v sure", k.Role, k.Provenance, k.Confidence)
	}
}

// TestUnplacedShapesElectNothing: a shape most of whose products have no place
// may be another role's as well.
func TestUnplacedShapesElectNothing(t *testing.T) {
	s := &script{}
	s.Step(decodeStep, 0, 9000*µs)
	at := s.shapedPass(10*µs, 8, "e "+strings.Repeat("n g k a g n g f g ", 3), repeat(3, squareWeights)...)
	_ = s.shapedPass(at, 8, strings.Repeat("g ", 8), repeat(8, [][2]int{{64, 256}})...)
	ev := s.events(t)
	for i := range ev.Trace.GPU() {
		if k := ev.Known(i); k.Provenance == ByShape && k.Role == role.GateUp {
			t.Errorf("event %d is gate_up by its shape: 3 of 11 products of that shape are known", i)
		}
	}
}

// captured builds a graph's nodes: "mm KxN" is a product, "-" none.
func captured(rows int, nodes string, weights ...[2]int) []node {
	var out []node
	for _, l := range strings.Fields(nodes) {
		if l != "g" && l != "m" || len(weights) == 0 {
			out = append(out, node{})
			continue
		}
		w := weights[0]
		if l == "g" {
			weights = weights[1:]
		}
		out = append(out, node{&trace.Product{M: rows, K: w[0], N: w[1]}})
	}
	return out
}

func TestCaptureEvidence(t *testing.T) {
	const splitK = "e n m g k a g n g f g n m g k a g n g f g n m g k a g n g f g n m g k a g n g f g"
	all := "map[capture down:4 capture gate_up:4 capture o_proj:4 capture qkv_proj:4]"
	none := "map[position down:4 position gate_up:4 position o_proj:4 position qkv_proj:4]"
	swapped := strings.Replace(fourLayers, "g f g n", "g g f n", 1)
	for _, test := range []struct {
		name   string
		replay string
		graphs [][]node
		rank   int
		want   string
	}{
		{"node by node", fourLayers, [][]node{captured(8, fourLayers, repeat(4, layerWeights)...)}, 0, all},
		{"of several batch sizes", fourLayers, [][]node{captured(8, fourLayers, repeat(4, layerWeights)...), captured(16, fourLayers, repeat(4, layerWeights)...)}, 0, all},
		{"of two models of one length", fourLayers, [][]node{captured(8, fourLayers, repeat(4, layerWeights)...), captured(8, fourLayers, repeat(4, squareWeights)...)}, 0, none},
		{"as long, in another order", fourLayers, [][]node{captured(8, swapped, repeat(4, layerWeights)...)}, 0, none},
		{"the fitting one of two", fourLayers, [][]node{captured(8, swapped, repeat(4, layerWeights)...), captured(8, fourLayers, repeat(4, layerWeights)...)}, 0, all},
		{"shorter", fourLayers, [][]node{captured(8, fourLayers[:len(fourLayers)-2], repeat(4, layerWeights)...)}, 0, none},
		{"another rank's", fourLayers, [][]node{captured(8, fourLayers, repeat(4, layerWeights)...)}, 3, none},
		{"memsets inside products", splitK, [][]node{captured(8, splitK, repeat(4, layerWeights)...)}, 0, all},
		{"without shapes", fourLayers, [][]node{captured(8, fourLayers)}, 0, none},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &script{}
			s.Step(decodeStep, 0, 1000*µs)
			s.Graph(10*µs, 9, test.replay)
			c := &Captured{Rank: test.rank, graphs: test.graphs}
			tr := s.Open(t)
			if got := provenances(NewEvents(tr, classifier(t), Evidence{Captures: []*Captured{c}})); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
			if got := provenances(NewEvents(tr, classifier(t), Evidence{Captures: []*Captured{c}, Blind: true})); got != none {
				t.Errorf("blind: %s", got)
			}
		})
	}
}

// TestReadCaptured: launches between begin and end of a stream capture are the
// graph's nodes; those beside it are warm-ups.
func TestReadCaptured(t *testing.T) {
	s := &script{}
	s.shapedPass(10*µs, 4, "g g n", [2]int{5, 6}, [2]int{6, 7})
	s.Call("cudaStreamBeginCapture", 200*µs, 2*µs)
	s.shapedPass(210*µs, 8, "n g m", [2]int{64, 96})
	s.Call("cudaStreamEndCapture", 300*µs, 2*µs)
	s.shapedPass(310*µs, 4, "g", [2]int{5, 6})
	c := ReadCaptured(s.Open(t))
	if len(c.graphs) != 1 || len(c.graphs[0]) != 3 {
		t.Fatalf("graphs %v", c.graphs)
	}
	if p := c.graphs[0][1].product; c.graphs[0][0].product != nil || c.graphs[0][2].product != nil {
		t.Error("a norm or memset is a product")
	} else if p != nil && (p.M != 8 || p.K != 64 || p.N != 96) {
		t.Errorf("the product is %+v", p)
	}
}

// TestTwins: a replay has the shapes of a direct run of the same kernels, where
// no capture trace does better.
func TestTwins(t *testing.T) {
	for _, test := range []struct{ name, direct, want string }{
		{"equal", fourLayers, "map[shape down:4 shape gate_up:4 shape o_proj:4 shape qkv_proj:4 twin down:4 twin gate_up:4 twin o_proj:4 twin qkv_proj:4]"},
		{"inside a longer run", ". . " + fourLayers + " n .", "map[shape down:4 shape gate_up:4 shape o_proj:4 shape qkv_proj:4 twin down:4 twin gate_up:4 twin o_proj:4 twin qkv_proj:4]"},
		{"of other kernels", strings.Replace(fourLayers, "e n g k", "e n g .  k", 1), "map[position down:4 position gate_up:4 position o_proj:4 position qkv_proj:4 shape down:4 shape gate_up:4 shape o_proj:4 shape qkv_proj:4]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &script{}
			s.Step(prefillStep, 0, 1000*µs)
			s.shapedPass(10*µs, 3, test.direct, repeat(4, layerWeights)...)
			s.Step(decodeStep, 2000*µs, 1000*µs)
			s.Graph(2010*µs, 9, fourLayers)
			tr := s.Open(t)
			if got := provenances(NewEvents(tr, classifier(t), Evidence{})); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
			if got := provenances(NewEvents(tr, classifier(t), Evidence{Blind: true})); strings.Contains(got, "twin") || strings.Contains(got, "shape") {
				t.Errorf("blind: %s", got)
			}
		})
	}
}

// TestParseHide: what hides nothing known is refused.
func TestParseHide(t *testing.T) {
	for _, bad := range []string{"norms", "norm:5%", "random", "random:5", "random:-1%", "random:101%", "random:x%"} {
		if _, err := ParseHide(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
