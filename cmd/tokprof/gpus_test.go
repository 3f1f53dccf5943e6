//go:build cgo && linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tokprof/nvml"
)

// standIn builds the driver's stand-in for NVIDIA's library: two GPUs, and few
// of the functions.
func standIn(t *testing.T, defines ...string) string {
	t.Helper()
	so := filepath.Join(t.TempDir(), "libnvidia-ml.so.1")
	args := append([]string{"-shared", "-fPIC", "-o", so, "../../nvml/internal/driver/testdata/libnvml.c"}, defines...)
	if out, err := exec.Command("cc", args...).CombinedOutput(); err != nil {
		t.Fatalf("the stand-in library cannot be built: %v\n%s", err, out)
	}
	return so
}

// self is this test's program under the name that makes it tokprof (see
// TestMain), which spares a build.
func self(t *testing.T) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(t.TempDir(), "tokprof")
	if err := os.Symlink(exe, bin); err != nil {
		t.Fatal(err)
	}
	return bin
}

// TestGPUs shows, dumps, watches and records the two GPUs of the stand-in.
func TestGPUs(t *testing.T) {
	bin, so := self(t), standIn(t)
	run := func(args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		cmd := exec.CommandContext(t.Context(), bin, append([]string{"gpus", "--library", so}, args...)...)
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Run(); err != nil {
			t.Fatalf("%q: %v\n%s", args, err, errs.String())
		}
		return out.String()
	}
	table := run()
	for _, want := range []string{
		"2 GPUs, all pairs NV2; driver 450.00, CUDA 12.8\n",
		"NVLink: 2 links a GPU, 50 GB/s each way; line rate 25.781 GB/s a link\n",
		"GPU name             power W    SM MHz  temp   mem GiB  busy clocks held by\n",
		"  0 Stand-in 0",
		"  1410 55 °C     10/40  88 % power cap\n",
		"     GPU0 GPU1 CPUs     NUMA GPU NUMA\nGPU0  X   NV2  0-15,128 N/A  N/A\nGPU1 NV2   X   0-15,128 N/A  N/A\n",
	} {
		if !strings.Contains(table, want) {
			t.Errorf("the table lacks %q:\n%s", want, table)
		}
	}
	var dump struct {
		Schema, Driver, CUDA string
		Devices              []nvml.Device
		Topology             nvml.Topology
		Peers                []nvml.Peer
		Readings             []map[string]int64
	}
	if err := json.Unmarshal([]byte(run("--json", "--activity")), &dump); err != nil {
		t.Fatal(err)
	}
	if dump.Schema != "tokprof.gpus/v1" || len(dump.Devices) != 2 || dump.Topology.Path(0, 1) != "NV2" || len(dump.Peers) != 1 || dump.Readings[1]["temp_c"] != 55 || dump.Readings[0]["tensor_active_permille"] != 55 {
		t.Errorf("the dump is %+v", dump)
	}
	watched := run("--watch", "--for", "120ms", "--period", "20ms")
	if n := strings.Count(watched, "Stand-in 1"); n < 2 || strings.Count(watched, "\x1b") > 0 {
		t.Errorf("%d lines of GPU 1 were shown:\n%s", n, watched)
	}
	rec, err := nvml.ReadRecording(strings.NewReader(run("--record", "-", "--for", "120ms", "--period", "10ms")))
	if err != nil || len(rec.Devices) != 2 || len(rec.Readings) < 4 || rec.Damaged > 0 || rec.Torn || rec.LinkScope != nvml.AllLinks {
		t.Errorf("the recording is %+v, %v", rec, err)
	}
	for _, text := range []string{table, watched} {
		for line := range strings.Lines(text) {
			if n := len([]rune(strings.TrimRight(line, "\n"))); n > 80 {
				t.Errorf("%d columns: %s", n, line)
			}
		}
	}
}

// TestRecordStops ends a recording by a signal, as Ctrl-C does: it ends well
// and the file holds whole lines.
func TestRecordStops(t *testing.T) {
	bin, so, file := self(t), standIn(t), filepath.Join(t.TempDir(), "nvml.jsonl")
	cmd := exec.CommandContext(t.Context(), bin, "gpus", "--library", so, "--record", file)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for {
		if b, err := os.ReadFile(file); err == nil && bytes.Count(b, []byte(`{"t"`)) > 2 {
			break
		} else if err != nil && !errors.Is(err, os.ErrNotExist) || t.Context().Err() != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, errs.String())
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := nvml.ReadRecording(bytes.NewReader(b))
	if err != nil || rec.Torn || rec.Damaged > 0 || !bytes.HasSuffix(b, []byte("}\n")) {
		t.Errorf("the recording is %+v, %v", rec, err)
	}
	if !strings.Contains(errs.String(), "readings of 2 GPUs in") {
		t.Errorf("stderr is %q", errs.String())
	}
}

// TestLostGPU has a GPU that fell off the bus: the others answer, and stderr
// names it.
func TestLostGPU(t *testing.T) {
	bin, so := self(t), standIn(t, "-DLOSE_ONE")
	for _, args := range [][]string{{}, {"--watch", "--for", "50ms", "--period", "10ms"}, {"--record", "-", "--for", "50ms"}} {
		var out, errs bytes.Buffer
		cmd := exec.CommandContext(t.Context(), bin, append([]string{"gpus", "--library", so}, args...)...)
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Run(); err != nil {
			t.Errorf("%q: %v", args, err)
		}
		if want := "tokprof: GPU 2 is not read any more: nvmlDeviceGetHandleByIndex_v2: the GPU has fallen off the bus (NVML code 15)\n"; errs.String() != want {
			t.Errorf("%q: stderr is %q, want %q", args, errs.String(), want)
		}
		if !strings.Contains(out.String(), "Stand-in 1") || len(args) == 0 && !strings.Contains(out.String(), "\n  2 -    ") {
			t.Errorf("%q: %s", args, out.String())
		}
	}
}

// TestDeadlyDriver has a driver that kills whoever asks it for power: the
// child dies, we get a sentence.
func TestDeadlyDriver(t *testing.T) {
	bin := self(t)
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	for defines, want := range map[string]string{"-DKILL": "stand-in: undefined symbol", "-DNO_DRIVER": "the NVIDIA kernel driver is not loaded (NVML code 9)"} {
		var out bytes.Buffer
		c, err := nvml.StartChild([]string{bin, "gpus", "--record", "-", "--library", standIn(t, defines)}, &out)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Ready(ctx); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", defines, err, want)
		}
		if err := c.Stop(); err == nil {
			t.Errorf("%s: stopping a dead child is no error", defines)
		}
	}
}
