package nvml

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func readFile(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestTopologyRoundTrip reads real output of nvidia-smi topo -m, draws it and
// reads the drawing.
func TestTopologyRoundTrip(t *testing.T) {
	want := &Topology{
		Nodes: []Node{
			{Name: "GPU0", CPUAffinity: "0-31", NUMAAffinity: "0", GPUNUMAID: "N/A"},
			{Name: "GPU1", CPUAffinity: "0-31", NUMAAffinity: "0", GPUNUMAID: "N/A"},
		},
		Paths: [][]Path{{"X", "NV18"}, {"NV18", "X"}},
	}
	for _, name := range []string{"topo.txt", "topo_ansi.txt"} {
		got, err := ParseTopology(readFile(t, name))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
		again, err := ParseTopology(got.String())
		if err != nil || !reflect.DeepEqual(again, got) {
			t.Errorf("%s drawn and read again: %+v, %v", name, again, err)
		}
		spaces, err := ParseTopology(strings.ReplaceAll(got.String(), "\n", "\r\n"))
		if err != nil || !reflect.DeepEqual(spaces, got) {
			t.Errorf("%s with CRLF: %+v, %v", name, spaces, err)
		}
	}
}
