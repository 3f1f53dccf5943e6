package role

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// letters is a small language for passes: one letter a kernel, a colon and the
// role it must get, and * for "any number of what stands in brackets".
var letters = map[string]Kernel{
	"e": {Class: Embed}, "n": {Class: Norm}, "w": {Class: WeakNorm}, "g": {Class: Gemm}, "t": {Class: Tail},
	"q": {Class: Prologue}, "m": {Class: Fill}, "a": {Class: Core}, "c": {Class: Combine}, "l": {Class: Linear},
	"k": {Class: KVWrite}, "x": {Class: AttnAux}, "f": {Class: Act}, "X": {Class: Expert}, "o": {Class: MoE},
	"s": {Class: Shrink}, "S": {Class: Expand}, "r": {Class: Comm}, "z": {Class: Sample}, "y": {Class: Softmax},
	"i": {Class: Sigmoid}, "p": {Class: Product}, "F": {Class: Act, Bare: true}, "E": {Class: EmbedNorm}, ".": {}, "C": {Class: Linear, Conv: true}, "M": {Class: Core, MLA: true}, "K": {Class: KVWrite, MLA: true},
}

// parse reads a pass: tokens "letter[:role][@layer]".
func parse(t *testing.T, text string) (seq []Kernel, roles []string) {
	t.Helper()
	for i, tok := range strings.Fields(text) {
		letter, role, _ := strings.Cut(tok, ":")
		k, ok := letters[letter]
		if !ok {
			t.Fatalf("token %d: no kernel %q", i, letter)
		}
		seq = append(seq, k)
		roles = append(roles, role)
	}
	return seq, roles
}

func times(n int, s string) string { return strings.Repeat(s+" ", n) }

// Blocks of layers, from the output projection to the next layer's attention.
const (
	denseLayer  = "g:o_proj r n g:gate_up f g:down r n g:qkv_proj x k a c"
	denseEnd    = "g:o_proj r n g:gate_up f g:down r n"
	moeLayer    = "g:o_proj n g:router o o X:experts_gate_up f X:experts_down o n g:qkv_proj x k a"
	moeEnd      = "g:o_proj n g:router o o X:experts_gate_up f X:experts_down o n"
	logits      = "g:lm_head . z:sampling"
	denseBegins = "e:embedding n g:qkv_proj x k a c"
)

var models = map[string]string{
	"dense": denseBegins + " " + times(3, denseLayer) + denseEnd + " " + logits,
	"dense with q/k norms and rope": "e:embedding n g:qkv_proj n n x k a " +
		times(2, "g:o_proj n g:gate_up f g:down n g:qkv_proj n n x k a") + "g:o_proj n g:gate_up f g:down n " + logits,
	"separate q, k, v and gate, up": "e:embedding n g:qkv_proj g:qkv_proj g:qkv_proj x k a " +
		times(2, "g:o_proj n g:gate_up g:gate_up f g:down n g:qkv_proj g:qkv_proj g:qkv_proj x k a") +
		"g:o_proj n g:gate_up g:gate_up f g:down n " + logits,
	"sandwich norms": "e:embedding n g:qkv_proj n n x k a " +
		times(2, "g:o_proj n n g:gate_up f g:down n n g:qkv_proj n n x k a") + "g:o_proj n n g:gate_up f g:down n n " + logits,
	"norm fused with the embedding": "e:embedding g:qkv_proj w x k a " +
		times(2, "g:o_proj n g:gate_up f g:down n g:qkv_proj w x k a") + "g:o_proj n g:gate_up f g:down n " + logits,
	"quantised, split-K": "e:embedding n q:qkv_proj g:qkv_proj t:qkv_proj x k a q:o_proj g:o_proj t:o_proj " +
		"n q:gate_up m:gate_up g:gate_up f q:down g:down t:down n q:qkv_proj g:qkv_proj x k a " +
		"q:o_proj g:o_proj n q:gate_up g:gate_up f q:down g:down n m:lm_head g:lm_head z:sampling",
	"mixture of experts": "e:embedding n g:qkv_proj x k a " + times(3, moeLayer) + moeEnd + " " + logits,
	"activation fused into the experts": "e:embedding n g:qkv_proj x k a " +
		times(2, "g:o_proj n g:router o X:experts_gate_up X:experts_down o n g:qkv_proj x k a") +
		"g:o_proj n g:router o X:experts_gate_up X:experts_down o n " + logits,
	"shared expert after": "e:embedding n g:qkv_proj x k a " +
		times(2, "g:o_proj n g:router o X:experts_gate_up f X:experts_down o g:shared_gate_up f g:shared_down . n g:qkv_proj x k a") +
		"g:o_proj n g:router o X:experts_gate_up f X:experts_down o g:shared_gate_up f g:shared_down . n " + logits,
	"shared expert with a gate, before": "e:embedding n g:qkv_proj x k a " +
		times(2, "g:o_proj n g:shared_gate_up f g:shared_down g:shared_expert_gate i g:router o X:experts_gate_up f X:experts_down o n g:qkv_proj x k a") +
		"g:o_proj n g:shared_gate_up f g:shared_down g:shared_expert_gate i g:router o X:experts_gate_up f X:experts_down o n " + logits,
	"first layer dense, then experts": "e:embedding n g:qkv_proj x k a " +
		"g:o_proj n g:gate_up f g:down n g:qkv_proj x k a " + times(3, moeLayer) + moeEnd + " " + logits,
	"latent attention, decode": "e:embedding n g:kv_a n g:q n x K g:kv_b M " +
		times(3, "g:kv_b g:o_proj n g:gate_up f g:down n g:kv_a n g:q n x K g:kv_b M c") +
		"g:kv_b g:o_proj n g:gate_up f g:down n " + logits,
	"latent attention, prefill": "e:embedding n g:kv_a n g:q n x K g:kv_b M " +
		times(3, "g:o_proj n g:gate_up f g:down n g:kv_a n g:q n x K g:kv_b M") +
		"g:o_proj n g:gate_up f g:down n " + logits,
	"latent attention, mixed batch": "e:embedding n g:kv_a n g:q n x K g:kv_b M g:kv_b M " +
		times(2, "g:kv_b g:o_proj n g:gate_up f g:down n g:kv_a n g:q n x K g:kv_b M g:kv_b M") +
		"g:kv_b g:o_proj n g:gate_up f g:down n " + logits,
	"hybrid of linear and full attention": "e:embedding n g:linear_in_proj g:linear_in_proj l l l " +
		times(2, "n g:linear_out_proj n g:router o X:experts_gate_up f X:experts_down o n g:linear_in_proj g:linear_in_proj l l l") +
		"n g:linear_out_proj n g:router o X:experts_gate_up f X:experts_down o n g:qkv_proj n n x k a " +
		"i g:o_proj n g:router o X:experts_gate_up f X:experts_down o n g:linear_in_proj g:linear_in_proj l l " +
		"n g:linear_out_proj n g:router o X:experts_gate_up f X:experts_down o n " + logits,
	"state space model without FFN": "e:embedding n g:linear_in_proj l l " +
		times(3, "n g:linear_out_proj n g:linear_in_proj l l") + "n g:linear_out_proj n " + logits,
	"LoRA": "e:embedding S n s:qkv_proj g:qkv_proj S:qkv_proj x k a " +
		times(2, "s:o_proj g:o_proj S:o_proj n s:gate_up g:gate_up S:gate_up f s:down g:down S:down n s:qkv_proj g:qkv_proj S:qkv_proj x k a") +
		"s:o_proj g:o_proj S:o_proj n s:gate_up g:gate_up S:gate_up f s:down g:down S:down n g:lm_head s:lm_head S:lm_head z:sampling",
	"pipeline's first stage": denseBegins + " " + times(2, denseLayer) + "g:o_proj r n g:gate_up f g:down r r",
	"pipeline's last stage":  "r n g:qkv_proj x k a " + times(2, denseLayer) + denseEnd + " " + logits,
	"dummy batch": "r e:embedding n g:qkv_proj x k " + times(2, "g:o_proj n g:router o X:experts_gate_up f X:experts_down o n g:qkv_proj x k") +
		moeEnd + " " + logits,
	"unfused attention": "e:embedding n g:qkv_proj g:qkv_proj g:qkv_proj x g y g " +
		times(2, "g:o_proj n g:gate_up f g:down n g:qkv_proj g:qkv_proj g:qkv_proj x g y g") + "g:o_proj n g:gate_up f g:down n " + logits,
	"draft layer behind the sampler": denseBegins + " " + times(2, denseLayer) + denseEnd + " " + logits +
		" e:embedding n n g n g:qkv_proj x k a g:o_proj n g:gate_up f g:down n g:lm_head z:sampling",
}

func TestAssign(t *testing.T) {
	for name, text := range models {
		t.Run(name, func(t *testing.T) {
			seq, want := parse(t, text)
			for i, p := range Assign(seq) {
				if got := p.Role.String(); got != want[i] {
					t.Errorf("kernel %d of %s: role %q, want %q", i, around(text, i), got, want[i])
				}
			}
		})
	}
}

// around shows a few tokens on both sides of the i-th.
func around(text string, i int) string {
	f := strings.Fields(text)
	return strings.Join(f[max(0, i-4):i], " ") + " [" + f[i] + "] " + strings.Join(f[i+1:min(len(f), i+5)], " ")
}

func TestLayers(t *testing.T) {
	seq, _ := parse(t, models["dense"])
	got := ""
	for _, p := range Assign(seq) {
		if p.Layer < 0 {
			got += "."
		} else {
			got += fmt.Sprint(p.Layer)
		}
	}
	// The embedding has no layer; a layer runs from its first norm through the
	// collective behind its last product; the final norm and the head have none.
	want := "." + strings.Repeat("0", 13) + strings.Repeat("1", 13) + strings.Repeat("2", 13) + strings.Repeat("3", 13) + "...."
	if got != want {
		t.Errorf("layers\n%s, want\n%s", got, want)
	}
}

// TestHiding drops kernels from every model: one alone must never make a
// product's role wrong (it may become unknown), nor may a whole class; of a
// twentieth at random, over all models, at most one product in a hundred.
func TestHiding(t *testing.T) {
	products, wrong := 0, 0
	for name, text := range models {
		t.Run(name, func(t *testing.T) {
			seq, want := parse(t, text)
			for hide := range seq {
				if _, bad := hideKernels(text, seq, want, func(i int) bool { return i == hide }); len(bad) > 0 {
					t.Errorf("without %s: %s", around(text, hide), bad[0])
				}
			}
			for _, classes := range [][]Class{{Norm, WeakNorm}, {Act}} {
				if _, bad := hideKernels(text, seq, want, func(i int) bool { return slices.Contains(classes, seq[i].Class) }); len(bad) > 0 {
					t.Errorf("without classes %v: %s", classes, bad[0])
				}
			}
			r := rand.New(rand.NewPCG(1, 2))
			for range 500 {
				hidden := make([]bool, len(seq))
				for i := range hidden {
					hidden[i] = r.IntN(20) == 0
				}
				n, bad := hideKernels(text, seq, want, func(i int) bool { return hidden[i] })
				products += n
				wrong += len(bad)
			}
		})
	}
	t.Logf("a twentieth hidden: %d of %d products wrong", wrong, products)
	if wrong*100 > products {
		t.Errorf("a twentieth hidden: %d of %d products wrong", wrong, products)
	}
}

// hideKernels counts the products left and tells the wrong ones.
func hideKernels(text string, seq []Kernel, want []string, hidden func(int) bool) (products int, wrong []string) {
	var kept []Kernel
	var at []int
	for i, k := range seq {
		if !hidden(i) {
			kept = append(kept, k)
			at = append(at, i)
		}
	}
	for n, p := range Assign(kept) {
		i := at[n]
		if seq[i].Class != Gemm && seq[i].Class != Expert {
			continue
		}
		products++
		if got := p.Role.String(); got != "" && got != want[i] {
			wrong = append(wrong, fmt.Sprintf("%s: %q, want %q", around(text, i), got, want[i]))
		}
	}
	return products, wrong
}

// FuzzAssign: any sequence is placed without a panic, and deterministically.
func FuzzAssign(f *testing.F) {
	f.Add([]byte{9, 4, 8, 6, 2, 4, 9, 4, 11, 4, 9, 4})
	f.Fuzz(func(t *testing.T, data []byte) {
		seq := make([]Kernel, len(data))
		for i, b := range data {
			seq[i] = Kernel{Class: Class(b % uint8(Product+1)), MLA: b&64 != 0, Conv: b&128 != 0, Bare: b&128 != 0, Name: uint32(b)}
		}
		a, b := Assign(seq), Assign(seq)
		if !slices.Equal(a, b) {
			t.Fatal("two answers for one sequence")
		}
		for i, p := range a {
			if p.Confidence < 0 || p.Confidence > 1 || p.Role.String() != "" && p.Confidence == 0 {
				t.Fatalf("kernel %d: role %q with confidence %v", i, p.Role, p.Confidence)
			}
		}
	})
}
