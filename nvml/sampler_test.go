package nvml

import (
	"cmp"
	"context"
	"errors"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tokprof/nvml/internal/driver"
)

var testTime = time.Unix(1795405240, 0)

// TestReading holds one whole reading.
func TestReading(t *testing.T) {
	d := newFake()
	for i, id := range []driver.FieldID{driver.FieldEnergy, driver.FieldPowerInstant, driver.FieldPCIeRx, driver.FieldPCIeTx, driver.FieldPowerCapNS, driver.FieldSyncBoostNS, driver.FieldSWThermalNS, driver.FieldHWThermalNS, driver.FieldPowerBrakeNS, driver.FieldMemTemp} {
		d.number[id] = func(int) uint64 { return uint64(i + 1) }
	}
	d.xids = []fakeXid{{5, 79}, {2, 13}}
	h := fakeHost(t, d, "")
	r := newGPUReader(h, 2, AllFields, &xidMailbox{driver: d, waiting: map[int]uint64{}})
	got, err := r.read(testTime)
	if err != nil {
		t.Fatal(err)
	}
	want := Reading{GPU: 2, UnixNS: got.UnixNS, Valid: AllFields &^ Set(GPMNVLinkTx),
		PowerMW: 123456, PowerInstantMW: 2, EnergyMJ: 1, SMClockMHz: 1755, MemClockMHz: 2619, TempC: 41, MemTempC: 10, Reasons: ReasonPowerCap,
		UtilGPU: 97, UtilMem: 55, MemUsed: 70 << 30, NVLinkRxKiB: 1800, NVLinkTxKiB: 1800, PCIeRxBytes: 3, PCIeTxBytes: 4,
		PowerCapNS: 5, SyncBoostNS: 6, SWThermalNS: 7, HWThermalNS: 8, PowerBrakeNS: 9, Xid: 13,
		SMActive: 555, SMOccupancy: 300, TensorActive: 123, DRAMActive: 710, GPMNVLinkRxMiBs: 1000}
	if got != want {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	// 20 ms later only the fast fields are due.
	got, err = r.read(testTime.Add(20 * time.Millisecond))
	if want := Set(Power, SMClock, ReasonBits, PowerInstant, NVLinkRx, NVLinkTx); err != nil || got.Valid != want {
		t.Errorf("the second reading has fields %b (%v), want %b", got.Valid, err, want)
	}
	// Both utilisations come from one call; only the wanted one is there.
	r = newGPUReader(h, 2, Set(UtilMem), &xidMailbox{off: true})
	if got, err := r.read(testTime); err != nil || got.Valid != Set(UtilMem) || got.UtilMem != 55 {
		t.Errorf("asked for the memory's utilisation alone: %+v, %v", got, err)
	}
	if xid, ok := (&Reading{}).Value(Xid); ok || xid != 0 {
		t.Errorf("an empty reading has an Xid")
	}
}

// TestUnsupported asks a field that is not supported once, and one that fails
// for the moment again.
func TestUnsupported(t *testing.T) {
	d := newFake()
	d.fails[driver.Temperature] = unsupported
	d.fails[driver.FieldPowerInstant] = missingCall
	d.fails["activity"] = driver.Error{Call: "fake", Code: 4}
	d.fails["xid"] = unsupported
	d.fails[driver.Power] = timedOut
	d.fails[scoped{driver.FieldNVLinkTx, driver.AllLinks}] = timedOut
	h := fakeHost(t, d, "")
	r := newGPUReader(h, 0, AllFields, &xidMailbox{driver: d, waiting: map[int]uint64{}})
	for i := range 5 {
		v, err := r.read(testTime.Add(time.Duration(i) * time.Second))
		if err != nil {
			t.Fatal(err)
		}
		if bad := v.Valid & (Set(Temp, PowerInstant, Power, NVLinkTx) | gpmFields); bad != 0 || !v.Valid.Has(SMClock) || !v.Valid.Has(NVLinkRx) {
			t.Errorf("reading %d has fields %b", i, v.Valid)
		}
	}
	for q, want := range map[any]int{driver.Temperature: 1, driver.FieldPowerInstant: 1, "activity": 1, "xid": 1, driver.Power: 5, driver.FieldNVLinkTx: 5} {
		if got := d.askedFor(q); got != want {
			t.Errorf("%v was asked %d times, want %d", q, got, want)
		}
	}
}

// sample runs a sampler until it has given n readings of every GPU named.
func sample(t *testing.T, s *Sampler, enough func([]Reading) bool) ([]Reading, error) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	var all []Reading
	var busy atomic.Bool
	err := s.Run(ctx, func(r Reading) {
		if !busy.CompareAndSwap(false, true) {
			t.Error("two readings are handed over at a time")
		}
		all = append(all, r)
		if enough(all) {
			stop()
		}
		busy.Store(false)
	})
	return all, err
}

func count(all []Reading, gpu int) int {
	n := 0
	for _, r := range all {
		if r.GPU == gpu {
			n++
		}
	}
	return n
}

// TestSlowGPU has one GPU whose calls take long; the others go on.
func TestSlowGPU(t *testing.T) {
	goroutines := runtime.NumGoroutine()
	d := newFake()
	h := fakeHost(t, d, "")
	d.slow = sleeper(3, 20*time.Millisecond)
	all, err := sample(t, &Sampler{Host: h, Period: time.Millisecond, Fields: Set(Power, SMClock, Energy)}, func(all []Reading) bool { return count(all, 0) >= 50 && count(all, 3) >= 2 })
	if err != nil {
		t.Fatal(err)
	}
	if slow, fast := count(all, 3), count(all, 0); slow*2 > fast {
		t.Errorf("the slow GPU gave %d readings, another %d: it was not slower", slow, fast)
	}
	rec := Recording{Readings: all}
	for _, gpu := range rec.GPUs() {
		if s := rec.Series(gpu); !slices.IsSortedFunc(s, func(a, b Reading) int { return cmp.Compare(a.UnixNS, b.UnixNS) }) {
			t.Errorf("the readings of GPU %d are out of order", gpu)
		}
	}
	for range 100 {
		if runtime.NumGoroutine() <= goroutines {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d goroutines before, %d after", goroutines, runtime.NumGoroutine())
}

// TestHangingGPU has a driver that never answers for one GPU: Run ends all the
// same and names it, and not the one whose turn it was when the context ended;
// nothing is handed over afterwards.
func TestHangingGPU(t *testing.T) {
	d := newFake()
	d.gpus = 3
	h := fakeHost(t, d, "")
	release := make(chan struct{})
	defer close(release)
	d.slow = func(gpu int) {
		if gpu == 1 {
			<-release
		}
	}
	all, err := sample(t, &Sampler{Host: h, Period: time.Millisecond, Fields: Set(Power)}, func(all []Reading) bool { return count(all, 2) > 10 && all[len(all)-1].GPU == 0 })
	if err == nil || !strings.Contains(err.Error(), "GPU 1: the driver has not answered for 3s") || strings.Contains(err.Error(), "GPU 2") {
		t.Errorf("the error is %v", err)
	}
	if count(all, 1) != 0 {
		t.Error("the hanging GPU gave a reading")
	}
}

// TestReadOfSlowDriver reads a GPU whose calls take so long that the second
// sample of GPM, without which it says nothing, comes late: it is waited for.
func TestReadOfSlowDriver(t *testing.T) {
	d := newFake()
	d.gpus = 1
	h := fakeHost(t, d, "")
	d.slow = sleeper(0, glance)
	got, err := h.Read(t.Context(), Set(Power, SMActive))
	if n := d.askedFor("activity"); err != nil || len(got) != 1 || !got[0].Valid.Has(Power) || n < 2 {
		t.Errorf("%d samples of GPM, %+v, %v", n, got, err)
	}
}

// TestHangingXid has a driver that never answers which errors there were: only
// the GPU whose turn it was waits for that.
func TestHangingXid(t *testing.T) {
	d := newFake()
	d.gpus = 3
	h := fakeHost(t, d, "")
	release := make(chan struct{})
	defer close(release)
	d.slow = func(int) { <-release }
	all, err := sample(t, &Sampler{Host: h, Period: time.Millisecond, Fields: Set(Xid)}, func(all []Reading) bool { return count(all, 1) > 2 && count(all, 2) > 2 })
	if err == nil || err.Error() != "GPU 0: the driver has not answered for 3s" || count(all, 1) < 3 {
		t.Errorf("%d readings of GPU 1, %v", count(all, 1), err)
	}
}

// TestLostGPU loses a GPU in the middle: the others go on and the error names it.
func TestLostGPU(t *testing.T) {
	d := newFake()
	d.gpus = 3
	h := fakeHost(t, d, "")
	var reads atomic.Int64
	broken := &losing{fakeDriver: d, gpu: 1, after: &reads}
	h.driver = broken
	all, err := sample(t, &Sampler{Host: h, Period: time.Millisecond, Fields: Set(Power)}, func(all []Reading) bool { return count(all, 0) > 30 && count(all, 2) > 30 })
	if !errors.Is(err, driver.ErrLost) || !strings.Contains(err.Error(), "GPU 1 is not read any more") {
		t.Errorf("the error is %v", err)
	}
	if n := count(all, 1); n != 5 {
		t.Errorf("GPU 1 gave %d readings before it was lost, want 5", n)
	}
}

// losing loses a GPU after five reads of it.
type losing struct {
	*fakeDriver
	gpu   int
	after *atomic.Int64
}

func (d *losing) Number(gpu int, q driver.Number) (uint64, error) {
	if gpu == d.gpu && d.after.Add(1) > 5 {
		return 0, lost
	}
	return d.fakeDriver.Number(gpu, q)
}

func TestNoGPU(t *testing.T) {
	d := newFake()
	d.gpus = 0
	h := fakeHost(t, d, "")
	err := (&Sampler{Host: h}).Run(t.Context(), func(Reading) {})
	if err == nil || !strings.Contains(err.Error(), "no GPU to read") {
		t.Errorf("the error is %v", err)
	}
}

// BenchmarkSampler reads 8 GPUs at 50 Hz with a driver that costs nothing and
// writes the recording. What is left is our own cost as a share of one core,
// beside that of a loop that only waits for 50 ticks a second. One thread, as
// tokprof gpus --record has it.
func BenchmarkSampler(b *testing.B) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	h := *fakeHost(b, newFake(), "")
	h.driver = idleDriver{}
	w := NewRecordWriter(io.Discard)
	n := 0
	own := coreShare(b, func(ctx context.Context) {
		err := (&Sampler{Host: &h}).Run(ctx, func(r Reading) {
			n++
			if err := w.Reading(&r); err != nil {
				b.Error(err)
			}
		})
		if err != nil {
			b.Error(err)
		}
	})
	ticker := coreShare(b, func(ctx context.Context) {
		tick := time.NewTicker(DefaultPeriod)
		defer tick.Stop()
		for ctx.Err() == nil {
			<-tick.C
		}
	})
	b.ReportMetric(own, "%core")
	b.ReportMetric(ticker, "%core-ticker")
	b.ReportMetric(float64(n)/2, "readings/s")
	b.ReportMetric(0, "ns/op")
}

// coreShare is the share of one core, in %, that a function takes in 2 s.
func coreShare(b *testing.B, run func(context.Context)) float64 {
	b.Helper()
	ctx, stop := context.WithTimeout(b.Context(), 2*time.Second)
	defer stop()
	before, begin := cpuTime(b), time.Now()
	run(ctx)
	return (cpuTime(b) - before).Seconds() / time.Since(begin).Seconds() * 100
}

// idleDriver answers everything at once.
type idleDriver struct{ driver.Driver }

func (idleDriver) Number(int, driver.Number) (uint64, error) { return 1 << 20, nil }

func (idleDriver) Fields(int, []driver.FieldValue) error { return nil }

func (idleDriver) Activity(int) (driver.Activity, error) { return driver.Activity{}, nil }

func (idleDriver) Xid() (int, uint64, bool, error) { return 0, 0, false, nil }

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
