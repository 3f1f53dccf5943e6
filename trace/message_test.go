package trace

import (
	"strings"
	"testing"
)

// TestMessage reads what NCCL's kernels say of their messages, in a trace of 60
// all-reduces of 256 MiB recorded with shapes.
func TestMessage(t *testing.T) {
	tr, err := Open(t.Context(), "../fixtures/gpus/h200x2/rank0.1796012920999352201.pt.trace.json.gz", Options{})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, id := range tr.GPU() {
		if got := tr.Message(id); got != (Message{256 << 20, 2}) {
			t.Errorf("%s: %+v", tr.Name(tr.NameOf(id)), got)
		}
		n++
	}
	if n != 60 {
		t.Errorf("%d kernels, want 60", n)
	}
	other, err := Open(t.Context(), "../fixtures/traces/llama-16l-tp2/rank0.1795400711861592576.pt.trace.json.gz", Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range other.GPU() {
		name := other.Name(other.NameOf(id))
		if got := other.Message(id); got != (Message{}) && !strings.HasPrefix(name, "nccl") {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
