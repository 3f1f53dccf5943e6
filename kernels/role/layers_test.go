package role

import (
	"fmt"
	"strings"
	"testing"
)

// layersOf spells which products stand in which layer: a number, its kind and
// its products' roles, in order; "-" outside layers.
func layersOf(t *testing.T, text string) string {
	t.Helper()
	seq, _ := parse(t, text)
	var b strings.Builder
	last := int16(-2)
	for i, p := range Assign(seq) {
		if c := seq[i].Class; c != Gemm && c != Expert {
			continue
		}
		if p.Layer != last {
			if b.Len() > 0 {
				b.WriteString("; ")
			}
			if p.Layer < 0 {
				b.WriteString("-")
			} else {
				fmt.Fprintf(&b, "%d %s", p.Layer, p.Kind)
			}
			last = p.Layer
		}
		fmt.Fprintf(&b, " %s", p.Role)
	}
	return b.String()
}

const denseWord = "qkv_proj o_proj gate_up down"

var layerCases = []struct{ name, text, want string }{
	{"layers count from 0, the head stands in none", models["dense"],
		"0 dense " + denseWord + "; 1 dense " + denseWord + "; 2 dense " + denseWord + "; 3 dense " + denseWord + "; - lm_head"},
	{"a draft's layer goes on behind the model's", models["draft layer behind the sampler"],
		"0 dense " + denseWord + "; 1 dense " + denseWord + "; 2 dense " + denseWord + "; - lm_head ; 3 dense " + denseWord + "; - lm_head"},
	{"each run of a draft is a repeat", moreModels["EAGLE-3, two drafts"],
		"0 dense " + denseWord + "; 1 dense " + denseWord + "; 2 dense " + denseWord + "; 3 dense " + denseWord + "; - lm_head ; 4 dense " +
			denseWord + "; - lm_head; 5 dense " + denseWord + "; - lm_head"},
	{"a vision tower's have no number", moreModels["vision tower in front"],
		"- " + strings.Repeat(" "+denseWord, 4) + "  ; 0 dense " + denseWord + "; 1 dense " + denseWord + "; 2 dense " + denseWord + "; 3 dense " + denseWord + "; - lm_head"},
	{"blocks of their own are layers", "e " + mambaIn + " " + mambaOut + " " + mlpBlock + " " + mambaIn + " " + mambaOut + " " + attnBlock + " " + mlpBlock + " n g z",
		"0 linear only linear_in_proj linear_out_proj; 1 dense gate_up down; 2 linear only linear_in_proj linear_out_proj; 3 attention only qkv_proj o_proj; 4 dense gate_up down; - lm_head"},
	{"a hybrid with an FFN in each layer", "e " + times(2, mambaIn+" "+mambaOut+" "+mlpBlock) + attnBlock + " " + mlpBlock + " n g z",
		"0 linear linear_in_proj linear_out_proj gate_up down; 1 linear linear_in_proj linear_out_proj gate_up down; 2 dense qkv_proj o_proj gate_up down; - lm_head"},
	{"dense first", models["first layer dense, then experts"],
		"0 dense qkv_proj o_proj gate_up down; 1 experts qkv_proj o_proj router experts_gate_up experts_down; 2 experts qkv_proj o_proj router experts_gate_up experts_down; " +
			"3 experts qkv_proj o_proj router experts_gate_up experts_down; 4 experts qkv_proj o_proj router experts_gate_up experts_down; - lm_head"},
	{"a split embedding stands in front of the first layer", "e r . g x k a " + times(2, "g n g f g n g w x k a") + "g n g f g n g . z",
		"0 dense " + denseWord + "; 1 dense " + denseWord + "; 2 dense " + denseWord + "; - lm_head"},
	{"a pipeline's last stage", models["pipeline's last stage"],
		"0 dense " + denseWord + "; 1 dense " + denseWord + "; 2 dense " + denseWord + "; - lm_head"},
}

func TestLayerNumbers(t *testing.T) {
	for _, c := range layerCases {
		t.Run(c.name, func(t *testing.T) {
			if got := layersOf(t, c.text); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// TestZones: what has no role of its own stands in its block.
func TestZones(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{denseBegins + " " + denseLayer + " " + denseEnd + " " + logits,
			"..AAAAA" + "A..FFFF.AAAAA" + "A..FFFF.HHH"},
		{"e n g x k a " + times(2, moeLayer) + moeEnd + " g . z",
			"..AAAA" + "A.FFFFFFF.AAAA" + "A.FFFFFFF.AAAA" + "A.FFFFFFF.HHH"},
	} {
		seq, _ := parse(t, c.text)
		got := ""
		for _, p := range Assign(seq) {
			got += string(".AFH"[p.Zone])
		}
		if got != c.want {
			t.Errorf("%s\ngot  %s\nwant %s", c.text, got, c.want)
		}
	}
}

// TestConfidence: a product is as sure as the layers agree on its kernel.
func TestConfidence(t *testing.T) {
	seq, _ := parse(t, denseBegins+" "+times(3, denseLayer)+denseEnd+" "+logits)
	qkv := 0
	for i := range seq {
		if seq[i].Class == Gemm {
			seq[i].Name = 1
		}
	}
	for i, p := range Assign(seq) {
		if p.Role == QKVProj {
			if qkv++; qkv <= 2 {
				seq[i].Name = uint32(1 + qkv) // two layers of four have a kernel of their own
			}
		}
	}
	for _, p := range Assign(seq) {
		switch {
		case p.Role == QKVProj && p.Confidence != 0.25 && p.Confidence != 0.5:
			t.Errorf("qkv_proj is %v sure", p.Confidence)
		case p.Role != QKVProj && p.Role != Unknown && p.Confidence != 1:
			t.Errorf("%s is %v sure", p.Role, p.Confidence)
		case p.Role == Unknown && p.Confidence != 0:
			t.Errorf("an abstention is %v sure", p.Confidence)
		}
	}
}

// TestLoneNameIsAMistake: layers repeat, so one product with a kernel of its
// own where all others agree stays unknown.
func TestLoneNameIsAMistake(t *testing.T) {
	seq, want := parse(t, denseBegins+" "+times(4, denseLayer)+denseEnd+" "+logits)
	n := 0
	for i := range seq {
		if want[i] == "down" {
			if n++; n == 3 {
				seq[i].Name = 9
			}
		}
	}
	n = 0
	for i, p := range Assign(seq) {
		if want[i] != "down" {
			continue
		}
		if n++; n == 3 && p.Role != Unknown || n != 3 && p.Role != Down {
			t.Errorf("down projection %d: %q", n, p.Role)
		}
	}
}
