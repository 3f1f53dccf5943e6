package nvml

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"tokprof/fixtures/golden"
	"tokprof/nvml/internal/driver"
)

func fakeHost(t testing.TB, d *fakeDriver, sysfs string) *Host {
	t.Helper()
	h, err := newHost(d, sysfs)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil || !d.closed {
			t.Errorf("closing: %v, closed %v", err, d.closed)
		}
	})
	return h
}

// TestDevice holds the whole description of a GPU.
func TestDevice(t *testing.T) {
	d := newFake()
	d.links = 2
	d.fails[driver.PCIeReplays] = unsupported
	d.fails[driver.LinkCRCErrors] = missingCall
	d.fails[driver.FieldRemapFailed] = unsupported
	devices := fakeHost(t, d, t.TempDir()).Devices()
	if len(devices) != 8 || devices[7].Index != 7 || devices[3].LinkBytesPerSecond() != 50e9 {
		t.Fatalf("%d GPUs, the last %+v", len(devices), devices[len(devices)-1])
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	if err := e.Encode(devices[3]); err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "device.golden.json", b.Bytes())
}

// TestNothingAnswers asks a driver that has nothing but GPUs.
func TestNothingAnswers(t *testing.T) {
	d := newFake()
	for _, q := range []any{driver.DriverVersion, driver.LibraryVersion, driver.CUDAVersion, driver.Name, driver.UUID, driver.PCIAddress, "remote", "fields", "fabric", "parts", "activity", "xid",
		driver.CommonAncestor, driver.P2PNVLink, driver.CPUs, driver.MemoryNodes, driver.LinkState} {
		d.fails[q] = missingCall
	}
	for q := range driver.Number(64) {
		d.fails[q] = missingCall
	}
	h := fakeHost(t, d, t.TempDir())
	got := h.Devices()[0]
	if len(got.Unsupported) < 10 {
		t.Errorf("only %d questions are listed as unanswered: %q", len(got.Unsupported), got.Unsupported)
	}
	got.Unsupported = nil
	if want := (Device{Health: &Health{}}); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if p := h.Topology().Path(0, 1); p != "" {
		t.Errorf("the path between unknown places is %q", p)
	}
}

func TestMIG(t *testing.T) {
	d := newFake()
	d.number[driver.MIGMode] = func(gpu int) uint64 { return 1<<32 | uint64(gpu) }
	devices := fakeHost(t, d, t.TempDir()).Devices()
	if m := devices[0].MIG; m == nil || m.Enabled || !m.Pending || m.Parts != nil {
		t.Errorf("off, then on: %+v", m)
	}
	want := &MIG{Enabled: true, Pending: true, Parts: []MIGPart{{0, "MIG 1g.10gb", "MIG-0", 10 << 30}}}
	if m := devices[1].MIG; !reflect.DeepEqual(m, want) {
		t.Errorf("%+v, want %+v", m, want)
	}
}

func TestFabricTrouble(t *testing.T) {
	for mask, want := range map[uint32]string{
		0:                             "",
		2 | 2<<2 | 2<<4 | 2<<6 | 1<<8: "",
		1 | 1<<4 | 5<<8:               "degraded bandwidth; a route is unhealthy; incorrect configuration (5)",
	} {
		if got := strings.Join(fabricTrouble(mask), "; "); got != want {
			t.Errorf("%#x: %q, want %q", mask, got, want)
		}
	}
}

// TestTwoH200 rebuilds the topology of a two-GPU virtual machine, whose switches
// hide their addresses, and compares it with what nvidia-smi said there.
func TestTwoH200(t *testing.T) {
	d := newFake()
	d.gpus = 2
	d.remote = func(int, int) (string, uint64) { return "FFFFFFFF:FF:FF.0", 255 }
	d.fails[driver.CPUs] = unsupported
	sysfs := t.TempDir()
	for gpu := range 2 {
		pciDevice(t, sysfs, "pci0000:00/"+kernelPCI(fakePCI(gpu)), "0")
		writeFile(t, filepath.Join(sysfs, "devices/pci0000:00", kernelPCI(fakePCI(gpu)), "local_cpulist"), "0-31\n")
	}
	got := fakeHost(t, d, sysfs).Topology()
	got.Nodes[1].NUMAAffinity = "0" // the fake's second GPU is on node 1
	want, err := ParseTopology(readFile(t, "topo.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// TestHostTopology draws hosts of other kinds.
func TestHostTopology(t *testing.T) {
	pairs := newFake() // four PCIe cards, bridged in pairs
	pairs.gpus, pairs.links = 4, 12
	pairs.remote = func(gpu, _ int) (string, uint64) { return fakePCI(gpu ^ 1), 0 }
	pairs.level = func(a, b int) uint64 { return map[bool]uint64{true: 40, false: 50}[a/2 == b/2] }

	bus := newFake() // no NVLinks; the driver does not know the ancestors of GPU 0
	bus.gpus, bus.links = 3, 0
	bus.level = func(a, b int) uint64 { return []uint64{10, 20, 30, 7}[a+b] }

	split := newFake() // two fabrics that do not reach each other
	split.gpus = 4
	split.clique = func(gpu int) uint32 { return uint32(gpu / 2) }

	blocked := newFake() // links to switches, but no peer access
	blocked.gpus = 2
	blocked.p2p = 5

	cards := newFake()
	cards.gpus = 2
	sysfs := t.TempDir()
	pciDevice(t, sysfs, "pci0000:17/0000:17:01.0/0000:18:00.0/0000:19:00.0/"+kernelPCI(fakePCI(0)), "0")
	pciDevice(t, sysfs, "pci0000:37/0000:37:01.0/0000:38:00.0/0000:39:00.0/"+kernelPCI(fakePCI(1)), "1")
	rdmaCard(t, sysfs, "mlx5_0", "pci0000:17/0000:17:01.0/0000:18:00.0/0000:19:01.0/0000:1d:00.0", "0")
	rdmaCard(t, sysfs, "mlx5_1", "pci0000:17/0000:17:01.0/0000:18:00.0/0000:19:02.0/0000:20:00.0/0000:21:00.0/0000:22:00.0", "0")
	rdmaCard(t, sysfs, "mlx5_2", "pci0000:17/0000:17:05.0/0000:30:00.0", "0")
	rdmaCard(t, sysfs, "mlx5_bond_0", "pci0000:40/0000:40:01.0/0000:41:00.0", "1")

	var b bytes.Buffer
	for _, c := range []struct {
		name  string
		d     *fakeDriver
		sysfs string
	}{{"NVSwitch", newFake(), ""}, {"pairs", pairs, ""}, {"bus", bus, ""}, {"two fabrics", split, ""}, {"no peer access", blocked, ""}, {"network cards", cards, sysfs}} {
		top := fakeHost(t, c.d, c.sysfs).Topology()
		b.WriteString("== " + c.name + ": " + top.Describe() + "\n" + top.String())
		again, err := ParseTopology(top.String())
		if err != nil || !reflect.DeepEqual(again, top) {
			t.Errorf("%s: drawn and read again: %v\n%s", c.name, err, again)
		}
		for line := range strings.Lines(top.Table(80)) {
			if len(line) > 81 {
				t.Errorf("%s: %d columns: %s", c.name, len(line)-1, line)
			}
		}
	}
	golden.Check(t, "topologies.golden", b.Bytes())
}

// pciDevice makes a device in a copy of the kernel's PCI tree.
func pciDevice(t *testing.T, sysfs, path, node string) string {
	t.Helper()
	dir := filepath.Join(sysfs, "devices", path)
	writeFile(t, filepath.Join(dir, "numa_node"), node+"\n")
	link(t, dir, filepath.Join(sysfs, "bus/pci/devices", filepath.Base(path)))
	return dir
}

func rdmaCard(t *testing.T, sysfs, name, path, node string) {
	t.Helper()
	link(t, pciDevice(t, sysfs, path, node), filepath.Join(sysfs, "class/infiniband", name, "device"))
}

func link(t *testing.T, to, at string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(to, at); err != nil {
		t.Fatal(err)
	}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestLinkSpeeds compares the speed of links with nvidia-smi nvlink -s.
func TestLinkSpeeds(t *testing.T) {
	d := newFake()
	d.gpus = 2
	want := regexp.MustCompile(`Link (\d+): ([0-9.]+) GB/s`).FindAllStringSubmatch(readFile(t, "nvlink_s.txt"), -1)
	n := 0
	for _, dev := range fakeHost(t, d, "").Devices() {
		for _, l := range dev.Links {
			if got := fmt.Sprintf("%d %.3f", l.Index, float64(l.SpeedMBps)/1000); got != want[n][1]+" "+want[n][2] {
				t.Errorf("GPU %d link %d: %s GB/s, nvidia-smi says %s", dev.Index, l.Index, got, want[n][2])
			}
			n++
		}
	}
	if n != len(want) {
		t.Errorf("%d links, nvidia-smi shows %d", n, len(want))
	}
}

func TestCounterScope(t *testing.T) {
	all := scoped{driver.FieldNVLinkRx, driver.AllLinks}
	for _, c := range []struct {
		name  string
		fails []any
		scope string
		rx    uint64
	}{
		{"one counter over all links", nil, AllLinks, 1800},
		{"a counter per link", []any{all}, AllLinks, 1800},
		{"link 0 alone", []any{all, scoped{driver.FieldNVLinkRx, 17}}, FirstLink, 100},
		{"none", []any{driver.FieldNVLinkRx}, "", 0},
	} {
		d := newFake()
		for _, f := range c.fails {
			d.fails[f] = unsupported
		}
		h := fakeHost(t, d, "")
		if got := h.Devices()[0].LinkScope; got != c.scope {
			t.Errorf("%s: scope %q, want %q", c.name, got, c.scope)
		}
		r, err := newGPUReader(h, 0, Set(NVLinkRx), &xidMailbox{off: true}).read(testTime)
		if err != nil || r.NVLinkRxKiB != c.rx || r.Valid.Has(NVLinkRx) != (c.rx > 0) {
			t.Errorf("%s: %d KiB (%v), want %d", c.name, r.NVLinkRxKiB, err, c.rx)
		}
	}
}
