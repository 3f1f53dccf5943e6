package nvml

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"tokprof/nvml/internal/driver"
)

// fakeDriver is a host of H100-like GPUs behind NVSwitch, or linked as its
// fields say.
type fakeDriver struct {
	gpus, links int
	// fails answers a question with an error. The key is the question: a
	// Number, Text, Link, Pair, Affinity or FieldID, or a scoped field value.
	fails map[any]error
	// number overrides the answer to a Number or FieldID.
	number map[any]func(gpu int) uint64
	remote func(gpu, link int) (pci string, kind uint64)
	level  func(a, b int) uint64 // common ancestor
	p2p    uint64
	clique func(gpu int) uint32
	slow   func(gpu int)

	calls  atomic.Int64
	mu     sync.Mutex
	asked  map[any]int
	xids   []fakeXid
	closed bool
}

type fakeXid struct {
	gpu int
	xid uint64
}

// scoped is a field value with its scope.
type scoped struct {
	id    driver.FieldID
	scope uint32
}

var (
	unsupported = driver.Error{Call: "fake", Code: 3}
	missingCall = driver.Error{Call: "fake", Code: 13}
	lost        = driver.Error{Call: "fake", Code: 15}
	timedOut    = driver.Error{Call: "fake", Code: 10}
)

func newFake() *fakeDriver {
	return &fakeDriver{gpus: 8, links: 18, fails: map[any]error{}, number: map[any]func(int) uint64{}, asked: map[any]int{}}
}

func (d *fakeDriver) answer(key any, gpu int) error {
	d.calls.Add(1)
	if d.slow != nil {
		d.slow(gpu)
	}
	d.mu.Lock()
	d.asked[key]++
	err := d.fails[key]
	d.mu.Unlock()
	return err
}

func (d *fakeDriver) askedFor(key any) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked[key]
}

func (d *fakeDriver) Count() (int, error) { return d.gpus, d.answer("count", 0) }

func (d *fakeDriver) Close() error { d.closed = true; return nil }

func (d *fakeDriver) HostText(q driver.HostText) (string, error) {
	if err := d.answer(q, 0); err != nil {
		return "", err
	}
	return []string{"580.159.04", "13.580.159.04", "13.0"}[q], nil
}

func (d *fakeDriver) Text(gpu int, q driver.Text) (string, error) {
	if err := d.answer(q, gpu); err != nil {
		return "", err
	}
	return []string{"NVIDIA H100 80GB HBM3", fmt.Sprintf("GPU-%08x-0000-4000-8000-000000000000", gpu), fakePCI(gpu)}[q], nil
}

func fakePCI(gpu int) string { return fmt.Sprintf("00000000:%02X:00.0", 0x1b+gpu) }

var fakeNumbers = map[driver.Number]uint64{
	driver.Power: 123456, driver.PowerLimit: 700000, driver.Energy: 5000,
	driver.SMClock: 1755, driver.MemClock: 2619, driver.MaxSMClock: 1980, driver.MaxMemClock: 2619,
	driver.Temperature: 41, driver.ClockReasons: 4, driver.Utilization: 97<<32 | 55,
	driver.MemoryUsed: 70 << 30, driver.MemoryTotal: 80 << 30, driver.ComputeCapability: 9 << 32,
	driver.PCIeGeneration: 5, driver.PCIeWidth: 16, driver.MaxPCIeGeneration: 5, driver.MaxPCIeWidth: 16,
	driver.ECCMode: 1,
}

func (d *fakeDriver) Number(gpu int, q driver.Number) (uint64, error) {
	if err := d.answer(q, gpu); err != nil {
		return 0, err
	}
	if q == driver.NUMANode {
		return 0, unsupported
	}
	if f := d.number[q]; f != nil {
		return f(gpu), nil
	}
	return fakeNumbers[q], nil
}

func (d *fakeDriver) Link(gpu, link int, q driver.Link) (uint64, error) {
	if err := d.answer(q, gpu); err != nil {
		return 0, err
	}
	if link >= d.links {
		return 0, driver.Error{Call: "fake", Code: 2}
	}
	_, kind := d.other(gpu, link)
	return map[driver.Link]uint64{driver.LinkState: 1, driver.LinkVersion: 6, driver.LinkRemoteType: kind}[q], nil
}

func (d *fakeDriver) other(gpu, link int) (string, uint64) {
	if d.remote != nil {
		return d.remote(gpu, link)
	}
	return "00000000:C0:00.0", driver.RemoteSwitch
}

func (d *fakeDriver) RemotePCI(gpu, link int) (string, error) {
	pci, _ := d.other(gpu, link)
	return pci, d.answer("remote", gpu)
}

func (d *fakeDriver) Pair(a, b int, q driver.Pair) (uint64, error) {
	if err := d.answer(q, a); err != nil {
		return 0, err
	}
	if q != driver.CommonAncestor {
		return d.p2p, nil
	}
	if d.level != nil {
		return d.level(a, b), nil
	}
	return 50, nil
}

func (d *fakeDriver) Affinity(gpu int, q driver.Affinity) ([]uint64, error) {
	node := gpu / ((d.gpus + 1) / 2)
	if q == driver.MemoryNodes {
		return []uint64{1 << node}, d.answer(q, gpu)
	}
	return [][]uint64{{0xFFFFFFFF, 0xFFFFFFFF}, {0xFFFFFFFF << 32, 0xFFFFFFFF << 32}}[node], d.answer(q, gpu)
}

func (d *fakeDriver) Fields(gpu int, values []driver.FieldValue) error {
	if err := d.answer("fields", gpu); err != nil {
		return err
	}
	for i := range values {
		v := &values[i]
		v.Err = d.answer(v.ID, gpu)
		if err := d.answer(scoped{v.ID, v.Scope}, gpu); err != nil {
			v.Err = err
		}
		switch f := d.number[v.ID]; {
		case f != nil:
			v.Value = f(gpu)
		case v.ID == driver.FieldLinkCount:
			v.Value = uint64(d.links)
		case v.ID == driver.FieldOneLinkSpeed:
			v.Value = 26562
		case v.ID == driver.FieldNVLinkRx || v.ID == driver.FieldNVLinkTx:
			v.Value = 100
			if v.Scope == driver.AllLinks {
				v.Value = 100 * uint64(d.links)
			}
		default:
			v.Value = uint64(v.ID)
		}
	}
	return nil
}

func (d *fakeDriver) Fabric(gpu int) (driver.Fabric, error) {
	f := driver.Fabric{State: 3}
	if d.clique != nil {
		f.CliqueID = d.clique(gpu)
	}
	return f, d.answer("fabric", gpu)
}

func (d *fakeDriver) Parts(gpu int) ([]driver.Part, error) {
	return []driver.Part{{Index: 0, Name: "MIG 1g.10gb", UUID: "MIG-0", MemoryBytes: 10 << 30}}, d.answer("parts", gpu)
}

func (d *fakeDriver) Activity(gpu int) (driver.Activity, error) {
	return driver.Activity{SMActive: 55.5, SMOccupancy: 30, TensorActive: 12.34, DRAMActive: 71, NVLinkRx: 1000, NVLinkTx: -1}, d.answer("activity", gpu)
}

func (d *fakeDriver) Xid() (int, uint64, bool, error) {
	if err := d.answer("xid", 0); err != nil {
		return 0, 0, false, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.xids) == 0 {
		return 0, 0, false, nil
	}
	x := d.xids[0]
	d.xids = d.xids[1:]
	return x.gpu, x.xid, true, nil
}

// sleeper makes one GPU slow.
func sleeper(gpu int, d time.Duration) func(int) {
	return func(g int) {
		if g == gpu {
			time.Sleep(d)
		}
	}
}
