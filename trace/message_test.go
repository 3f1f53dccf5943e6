package trace

import (
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
		if got, ok := tr.Message(id); !ok || got != 256<<20 {
			t.Errorf("%s: %d bytes, %v", tr.Name(tr.NameOf(id)), got, ok)
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
		if got, ok := other.Message(id); ok && got <= 0 {
			t.Errorf("%s: %d bytes", other.Name(other.NameOf(id)), got)
		}
	}
}
