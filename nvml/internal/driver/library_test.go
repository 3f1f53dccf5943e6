//go:build cgo && linux

package driver

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// standIn builds the stand-in library. A process can use one that works: the
// functions of the first one loaded win.
func standIn(t *testing.T, defines ...string) string {
	t.Helper()
	so := filepath.Join(t.TempDir(), "libnvidia-ml.so.1")
	args := append([]string{"-shared", "-fPIC", "-o", so, "testdata/libnvml.c"}, defines...)
	if out, err := exec.Command("cc", args...).CombinedOutput(); err != nil {
		t.Fatalf("the stand-in library cannot be built: %v\n%s", err, out)
	}
	return so
}

func TestNoLibrary(t *testing.T) {
	text := filepath.Join(t.TempDir(), "text.so")
	if err := os.WriteFile(text, []byte("no library\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/nowhere/libnvidia-ml.so.1": "no NVIDIA driver on this host",
		text:                         "no NVIDIA driver on this host",
		standIn(t, "-DNO_INIT"):      "has no function nvmlInit_v2",
		standIn(t, "-DNO_DRIVER"):    "did not start: nvmlInit_v2: the NVIDIA kernel driver is not loaded (NVML code 9)",
	} {
		d, err := Open(path)
		if d != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", path, err, want)
		}
		if is := errors.Is(err, ErrNoLibrary); is == strings.Contains(want, "no function") {
			t.Errorf("%s: the error means that there is no library: %v", path, is)
		}
	}
}

// standInTest names the child process that TestStandIn runs.
const standInTest = "TOKPROF_STANDIN_LIBRARY"

// TestStandIn asks a library that lacks most functions for everything, in a
// process of its own: a call of a missing function would end it.
func TestStandIn(t *testing.T) {
	if so := os.Getenv(standInTest); so != "" {
		askEverything(t, so)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestStandIn$", "-test.v")
	cmd.Env = append(os.Environ(), standInTest+"="+standIn(t, "-DLOSE_ONE"))
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "PASS") {
		t.Errorf("%v\n%s", err, out)
	}
}

func askEverything(t *testing.T, so string) {
	d, err := Open(so)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := d.Count(); n != 3 || err != nil {
		t.Errorf("%d GPUs, %v", n, err)
	}
	expect := func(what string, got any, err error, want string) {
		t.Helper()
		if s := fmt.Sprint(got); err != nil {
			if !errors.Is(err, ErrUnsupported) || want != "unsupported" && want != err.Error() {
				t.Errorf("%s: %v, want %s", what, err, want)
			}
		} else if s != want {
			t.Errorf("%s: %s, want %s", what, s, want)
		}
	}
	for q, want := range []string{DriverVersion: "450.00", LibraryVersion: "unsupported", CUDAVersion: "12.8"} {
		got, err := d.HostText(HostText(q))
		expect(fmt.Sprint("host text ", q), got, err, want)
	}
	for q, want := range []string{Name: "NVIDIA Stand-in 1", UUID: "unsupported", PCIAddress: "00000000:A1:00.0"} {
		got, err := d.Text(1, Text(q))
		expect(fmt.Sprint("text ", q), got, err, want)
	}
	known := map[Number]string{Power: "100001", PowerLimit: "400000", SMClock: "1410", MemClock: "1215", Temperature: "55", ClockReasons: "4",
		Utilization: fmt.Sprint(88<<32 | 44), MemoryUsed: fmt.Sprint(10 << 30), MemoryTotal: fmt.Sprint(40 << 30), ComputeCapability: fmt.Sprint(8 << 32), MIGMode: fmt.Sprint(1 << 32)}
	for q := range numNumbers {
		want, ok := known[q]
		if !ok {
			want = "unsupported"
		}
		got, err := d.Number(1, q)
		expect(fmt.Sprint("number ", q), got, err, want)
	}
	for q, want := range []string{LinkState: "1", LinkVersion: "unsupported", LinkRemoteType: "0", LinkReplays: "unsupported"} {
		got, err := d.Link(0, 1, Link(q))
		expect(fmt.Sprint("link ", q), got, err, want)
	}
	_, err = d.Link(0, 9, LinkState)
	expect("no such link", 0, err, "nvmlDeviceGetNvLinkState: invalid argument (NVML code 2)")
	remote, err := d.RemotePCI(0, 1)
	expect("remote", remote, err, "00000000:A1:00.0")
	for q, want := range []string{CommonAncestor: "30", P2PRead: "unsupported", P2PNVLink: "unsupported"} {
		if want != "" {
			got, err := d.Pair(0, 1, Pair(q))
			expect(fmt.Sprint("pair ", q), got, err, want)
		}
	}
	cpus, err := d.Affinity(0, CPUs)
	expect("CPUs", cpus[:4], err, "[65535 0 1 0]")
	_, err = d.Affinity(0, MemoryNodes)
	expect("memory nodes", nil, err, "unsupported")
	fabric, err := d.Fabric(1)
	expect("fabric", fabric, err, fmt.Sprint(Fabric{State: 3, CliqueID: 7}))
	_, err = d.Parts(0)
	expect("parts", nil, err, "unsupported")
	askInBatches(t, d)
	askActivity(t, d)
	askLost(t, d)
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

func askInBatches(t *testing.T, d Driver) {
	ask := []FieldValue{{ID: FieldMemTemp}, {ID: FieldEnergy}, {ID: FieldLinkSpeed}, {ID: FieldNVLinkRx, Scope: 1}, {ID: FieldNVLinkRx, Scope: AllLinks},
		{ID: FieldRemapCorrect}, {ID: FieldRemapUncorrect}, {ID: FieldRemapPending}, {ID: FieldPowerInstant}}
	if err := d.Fields(0, ask); err != nil {
		t.Fatal(err)
	}
	want := []string{"61", "1234567890123", "25781", "2000", "nvmlDeviceGetFieldValues: invalid argument (NVML code 2)",
		"3", "nvmlDeviceGetFieldValues: no data (NVML code 21)", "1", "nvmlDeviceGetFieldValues: not supported (NVML code 3)"}
	for i, v := range ask {
		got := fmt.Sprint(v.Value)
		if v.Err != nil {
			got = v.Err.Error()
		}
		if got != want[i] {
			t.Errorf("field %d: %s, want %s", v.ID, got, want[i])
		}
	}
}

func askActivity(t *testing.T, d Driver) {
	if _, err := d.Activity(0); !errors.Is(err, ErrNotReady) {
		t.Errorf("the first activity: %v", err)
	}
	for range 3 {
		got, err := d.Activity(0)
		want := Activity{SMActive: 2.5, SMOccupancy: 3.5, TensorActive: 5.5, DRAMActive: 10.5, NVLinkRx: -1, NVLinkTx: -1}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("activity %+v, %v; want %+v", got, err, want)
		}
	}
	if _, err := d.Activity(1); !errors.Is(err, ErrUnsupported) {
		t.Errorf("activity of a GPU without GPM: %v", err)
	}
	if gpu, xid, ok, err := d.Xid(); gpu != 1 || xid != 79 || !ok || err != nil {
		t.Errorf("Xid %d of GPU %d, %v, %v", xid, gpu, ok, err)
	}
	if _, _, ok, err := d.Xid(); ok || err != nil {
		t.Errorf("a second Xid: %v, %v", ok, err)
	}
}

// askLost asks a GPU that has no handle.
func askLost(t *testing.T, d Driver) {
	errs := map[string]error{}
	_, errs["Text"] = d.Text(2, Name)
	_, errs["Number"] = d.Number(2, Power)
	_, errs["Link"] = d.Link(2, 0, LinkState)
	_, errs["RemotePCI"] = d.RemotePCI(2, 0)
	_, errs["Pair"] = d.Pair(0, 2, CommonAncestor)
	_, errs["Affinity"] = d.Affinity(2, CPUs)
	errs["Fields"] = d.Fields(2, []FieldValue{{ID: FieldEnergy}})
	_, errs["Fabric"] = d.Fabric(2)
	_, errs["Parts"] = d.Parts(2)
	_, errs["Activity"] = d.Activity(2)
	for call, err := range errs {
		if !errors.Is(err, ErrLost) {
			t.Errorf("%s of a lost GPU: %v", call, err)
		}
	}
}
