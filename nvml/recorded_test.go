package nvml

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"tokprof/fixtures/packed"
)

// The fixtures of fixtures/gpus/h200x2 are what a host with two H200 said while it
// ran all-reduces of known size and matrix products.
const recordedDir = "../fixtures/gpus/h200x2"

func recordedFile(t *testing.T, name string) []byte {
	t.Helper()
	path := filepath.Join(recordedDir, name)
	if strings.HasSuffix(name, ".gz") {
		return packed.Read(t, path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestRecordedTopology holds what the driver told us against nvidia-smi on the same
// host: the matrix and every link's speed.
func TestRecordedTopology(t *testing.T) {
	var host struct {
		Devices  []Device  `json:"devices"`
		Topology *Topology `json:"topology"`
	}
	if err := json.Unmarshal(recordedFile(t, "gpus.json"), &host); err != nil {
		t.Fatal(err)
	}
	smi, err := ParseTopology(string(recordedFile(t, "topo.txt")))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := host.Topology.String(), smi.String(); got != want {
		t.Errorf("our matrix\n%snvidia-smi's\n%s", got, want)
	}
	rec, err := ReadRecording(strings.NewReader(string(recordedFile(t, "readings.jsonl.gz"))))
	if err != nil {
		t.Fatal(err)
	}
	if got := rec.Topology(); got == nil || got.Path(0, 1) != smi.Path(0, 1) || got.Path(1, 0) != smi.Path(1, 0) || got.Path(0, 0) != PathSelf {
		t.Errorf("by the links that the readings list: %+v", got)
	}
	speed := regexp.MustCompile(`Link \d+: ([\d.]+) GB/s`)
	var want []string
	for _, m := range speed.FindAllStringSubmatch(string(recordedFile(t, "nvlink_s.txt")), -1) {
		want = append(want, m[1])
	}
	var got []string
	for _, d := range host.Devices {
		for _, l := range d.Links {
			got = append(got, fmt.Sprintf("%.3f", float64(l.SpeedMBps)/1000))
		}
	}
	if len(got) != 36 || strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("link speeds %v, nvidia-smi nvlink -s has %v", got, want)
	}
}

func recordedHost(t *testing.T) *Recording {
	t.Helper()
	rec, err := ReadRecording(strings.NewReader(string(recordedFile(t, "readings.jsonl.gz"))))
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

// TestRecordedNVLink compares the counters with what was sent: 65 all-reduces of
// 256 MiB (five of them to warm up) and 100 of 64 KiB. Between two GPUs each
// sends and gets as many bytes as the buffer has.
func TestRecordedNVLink(t *testing.T) {
	const sent = 65<<18 + 100*64 // KiB
	rec := recordedHost(t)
	if rec.LinkScope != AllLinks {
		t.Errorf("the counters are of %q", rec.LinkScope)
	}
	for _, gpu := range rec.GPUs() {
		for _, f := range []Field{NVLinkRx, NVLinkTx} {
			d, ok := rec.Series(gpu).Delta(f)
			if off := float64(d.Value)/sent - 1; !ok || math.Abs(off) > 0.05 {
				t.Errorf("GPU %d: field %v grew by %d KiB, %d were sent (%+.1f %%)", gpu, f, d.Value, sent, 100*off)
			}
		}
	}
}

// TestRecordedEnergy compares the power integral with the energy counter over the
// twelve seconds of matrix products.
func TestRecordedEnergy(t *testing.T) {
	var marks [][]any
	if err := json.Unmarshal(recordedFile(t, "marks.json"), &marks); err != nil {
		t.Fatal(err)
	}
	last := marks[len(marks)-1]
	from, to := int64(last[1].(float64)), int64(last[2].(float64))
	rec := recordedHost(t).Between(from, to)
	for _, gpu := range rec.GPUs() {
		e, ok := rec.Series(gpu).EnergyUse()
		if !ok || e.ToNS-e.FromNS < 10e9 {
			t.Errorf("GPU %d: the counter was read over %d ns", gpu, e.ToNS-e.FromNS)
		}
		if off := e.IntegralMJ/float64(e.CounterMJ) - 1; math.Abs(off) > 0.05 {
			t.Errorf("GPU %d: %.0f mJ under the power, %d by the counter (%+.1f %%)", gpu, e.IntegralMJ, e.CounterMJ, 100*off)
		}
	}
}
