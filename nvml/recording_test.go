package nvml

import (
	"bytes"
	"os"
	"reflect"
	"testing"
)

func readRecording(t testing.TB, path string) *Recording {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	rec, err := ReadRecording(f)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

// TestRecordingRoundTrip writes a real recording and reads what was written.
func TestRecordingRoundTrip(t *testing.T) {
	rec := readRecording(t, "testdata/llama-16l-tp2-nccl.jsonl.gz")
	if len(rec.Devices) != 2 || len(rec.Readings) != 1684 || rec.Damaged != 0 || rec.Torn {
		t.Fatalf("%d GPUs, %d readings, %d damaged, torn %v", len(rec.Devices), len(rec.Readings), rec.Damaged, rec.Torn)
	}
	var b bytes.Buffer
	n, err := rec.WriteTo(&b)
	if err != nil || n != int64(b.Len()) {
		t.Fatalf("%d bytes of %d, %v", n, b.Len(), err)
	}
	again, err := ReadRecording(&b)
	if err != nil || !reflect.DeepEqual(again, rec) {
		t.Errorf("the recording changes when it is written and read: %v", err)
	}
}

// TestPrefillLinks checks the NVLink counters of a window against the bytes
// that its all-reduces must move: 3,903 tokens × 8,192 B × 33.
func TestPrefillLinks(t *testing.T) {
	rec := readRecording(t, "testdata/llama-16l-tp2-nccl.jsonl.gz")
	const computed = 3903 * 8192 * 33 / 1024
	w := rec.Between(1795405255478081618, 1795405256249829337)
	for gpu := range 2 {
		d, ok := w.Series(gpu).Delta(NVLinkRx)
		t.Log(d.Value)
		if !ok || d.Resets+d.Wraps > 0 || d.Value < computed || d.Value > computed*1005/1000 {
			t.Errorf("GPU %d received %d KiB, computed %d", gpu, d.Value, computed)
		}
	}
}

// TestEnergy holds the integral of power against the energy counter over the
// steady load.
func TestEnergy(t *testing.T) {
	rec := readRecording(t, "testdata/llama-16l-tp2-nccl.jsonl.gz")
	from := rec.Readings[0].UnixNS + 1e9
	for gpu := range 2 {
		e, ok := rec.Between(from, from+12e9).Series(gpu).EnergyUse()
		t.Log(e, e.IntegralMJ/float64(e.CounterMJ))
		if off := e.IntegralMJ/float64(e.CounterMJ) - 1; !ok || off < -0.05 || off > 0.05 || e.Refreshes < 100 {
			t.Errorf("GPU %d: %.0f mJ by power, %d by the counter, %d refreshes", gpu, e.IntegralMJ, e.CounterMJ, e.Refreshes)
		}
	}
}
