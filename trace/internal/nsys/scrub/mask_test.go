package scrub

import (
	"bufio"
	"os"
	"strings"
	"testing"
)

func TestMask(t *testing.T) {
	m := &masker{}
	m.know("canary-host")
	m.know("alice")
	m.know("root")
	for _, c := range []struct{ in, want string }{
		{"execute_context_2(149)_generation_1(1)", "execute_context_2(149)_generation_1(1)"},
		{"step[DECODE bs=32 toks=32]", "step[DECODE bs=32 toks=32]"},
		{"{'Module': 'model.layers.0.self_attn.qkv_proj'}", "{'Module': 'model.layers.0.self_attn.qkv_proj'}"},
		{"num_tokens=12 token=5, tokens: 7", "num_tokens=12 token=5, tokens: 7"},
		{"load /home/canary/models/secret model.bin/x now", "load (path) now"},
		{"load '/home/canary/a b/c'", "load '(path)'"},
		{"file:///home/canary/x and http://canary.example.com:8000/v1?key=canary", "(url) and (url)"},
		{"/canary", "(path)"},
		{"dir=/mnt/canary/x,~/canary/y C:\\Users\\canary\\z", "dir=(path),(path) (path)"},
		{"canary@node-7.example.com", "(address)"},
		{"to 10.12.13.14:8000 and fe80:1:2:3:4:5", "to (address) and (address)"},
		{"HF_TOKEN=canary api-key: 'canary-1' x", "HF_TOKEN=(secret) api-key: '(secret)' x"},
		{"Authorization: Bearer canary-7", "Authorization: Bearer (secret)"},
		{"hf_AbCdEfGhIjKlMnOpQrStUvWx", "(secret)"},
		{"run on canary-host by alice, not malice or root", "run on (private) by (private), not malice or root"},
		{"void at::native::elementwise_kernel<(int)128, (int)4>(int, T3)", "void at::native::elementwise_kernel<(int)128, (int)4>(int, T3)"},
		{"tokens/s a / b", "tokens/s a / b"},
	} {
		if got := m.text(c.in); got != c.want {
			t.Errorf("%q: %q, want %q", c.in, got, c.want)
		}
	}
}

// TestMaskKeepsNames holds the masks against the kernel names that the rules
// are tested with: none of them may change.
func TestMaskKeepsNames(t *testing.T) {
	f, err := os.Open("../../../../kernels/testdata/known_names.tsv")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	n := 0
	for ; sc.Scan(); n++ {
		name, _, _ := strings.Cut(sc.Text(), "\t")
		if got := mask(name); got != name {
			t.Errorf("%q became %q", name, got)
		}
	}
	if n < 100 {
		t.Errorf("%d names", n)
	}
}

func TestEngineProcess(t *testing.T) {
	for name, want := range map[string]bool{
		"VLLM::Worker_TP0": true, "VLLM::Worker_TP": true, "VLLM::EngineCore": true, "VLLM::EngineCor": true, "VLLM::EngineCore_DP0": true,
		"VLLM::Worker_DP0_TP1_EP1": true, "sglang::schedul": true, "sglang::scheduler_TP0": true, "VLLM::Worker": true,
		"VLLM::canary": false, "canary": false, "python3": false, "VLLM::Worker_canary": false, "": false,
	} {
		if engineProcess.MatchString(name) != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
}
