package nvml

import (
	"errors"
	"time"

	"tokprof/nvml/internal/driver"
)

// pace is how often a value is asked: no more often than it changes, or than
// it may be asked (GPM wants over 100 ms between two samples), or than its price
// allows. On a virtual machine with H200 (driver 580.159.04) a call for power,
// clocks or reasons took 1 µs, PCIe counters 200 µs each, throttle times 900 µs
// each, NVLink counters 1.7 ms together and the energy counter 4.2 ms, all of it
// inside the driver.
type pace int

const (
	everyTime pace = iota
	often
	gpmPace
	seldom
	numPaces
)

// pauses are the times between two turns of a pace.
var pauses = [numPaces]time.Duration{often: 100 * time.Millisecond, gpmPace: 200 * time.Millisecond, seldom: time.Second}

// numberSources are the fields that a call of their own answers.
var numberSources = []struct {
	field Field
	ask   driver.Number
	pace  pace
}{
	{Power, driver.Power, everyTime},
	{SMClock, driver.SMClock, everyTime},
	{ReasonBits, driver.ClockReasons, everyTime},
	{MemClock, driver.MemClock, often},
	{Temp, driver.Temperature, often},
	{MemUsed, driver.MemoryUsed, often},
	{UtilGPU, driver.Utilization, often},
	{ECCCorrected, driver.ECCCorrected, seldom},
	{ECCUncorrected, driver.ECCUncorrected, seldom},
}

// batchSources are the fields that one call answers together. NVLink counters
// join them as the GPU's counterScope says.
var batchSources = []struct {
	field Field
	ask   driver.FieldID
	pace  pace
}{
	{Energy, driver.FieldEnergy, often},
	{PowerInstant, driver.FieldPowerInstant, everyTime},
	{NVLinkRx, driver.FieldNVLinkRx, everyTime},
	{NVLinkTx, driver.FieldNVLinkTx, everyTime},
	{PCIeRx, driver.FieldPCIeRx, often},
	{PCIeTx, driver.FieldPCIeTx, often},
	{PowerCapNS, driver.FieldPowerCapNS, seldom},
	{SyncBoostNS, driver.FieldSyncBoostNS, seldom},
	{SWThermalNS, driver.FieldSWThermalNS, seldom},
	{HWThermalNS, driver.FieldHWThermalNS, seldom},
	{PowerBrakeNS, driver.FieldPowerBrakeNS, seldom},
	{MemTemp, driver.FieldMemTemp, seldom},
}

// gpmFields come from GPM.
const gpmFields = 1<<SMActive | 1<<SMOccupancy | 1<<TensorActive | 1<<DRAMActive | 1<<GPMNVLinkRx | 1<<GPMNVLinkTx

// gpuReader reads one GPU.
type gpuReader struct {
	host    *Host
	gpu     int
	xids    *xidMailbox
	wanted  Fields // asked for and, as far as we know, supported
	last    [numPaces]time.Time
	offset  time.Duration       // by which the second turn of each pace comes early
	batch   []driver.FieldValue // room, reused
	belongs []Field             // the field of each value of batch
}

func newGPUReader(h *Host, gpu int, fields Fields, xids *xidMailbox) *gpuReader {
	if h.gpus[gpu].scope == "" {
		fields &^= Set(NVLinkRx, NVLinkTx)
	}
	return &gpuReader{host: h, gpu: gpu, xids: xids, wanted: fields}
}

// turns is a set of paces whose turn it is.
type turns uint

func (t turns) has(p pace) bool { return t>>p&1 == 1 }

// read asks what is due. The moment of a reading is the middle of its calls
// for what is asked every time.
func (r *gpuReader) read(now time.Time) (Reading, error) {
	v := Reading{GPU: r.gpu}
	due := turns(1) << everyTime
	for p := often; p < numPaces; p++ {
		// Half a millisecond of grace keeps a timer's jitter from skipping a turn.
		if now.Sub(r.last[p]) >= pauses[p]-500*time.Microsecond {
			if r.last[p].IsZero() {
				r.last[p] = now.Add(-r.offset)
			} else {
				r.last[p] = now
			}
			due |= 1 << p
		}
	}
	if err := r.numbers(&v, 1<<everyTime); err != nil {
		return v, err
	}
	if err := r.fields(&v, due); err != nil {
		return v, err
	}
	v.UnixNS = now.Add(time.Since(now) / 2).UnixNano()
	if err := r.numbers(&v, due&^(1<<everyTime)); err != nil {
		return v, err
	}
	if due.has(gpmPace) {
		if err := r.activity(&v); err != nil {
			return v, err
		}
	}
	if due.has(seldom) {
		r.xids.collect()
	}
	if xid, ok := r.xids.take(r.gpu); ok {
		v.Put(Xid, xid)
	}
	return v, nil
}

// failed says what an error means for a field: unsupported ones are dropped,
// a lost GPU ends the reading, anything else is this time's trouble.
func (r *gpuReader) failed(fields Fields, err error) error {
	switch {
	case errors.Is(err, driver.ErrLost):
		return err
	case errors.Is(err, driver.ErrUnsupported), errors.Is(err, driver.ErrNotPermitted):
		r.wanted &^= fields
	}
	return nil
}

func (r *gpuReader) numbers(v *Reading, due turns) error {
	for _, s := range numberSources {
		fields := Set(s.field)
		if s.field == UtilGPU {
			fields = Set(UtilGPU, UtilMem)
		}
		if r.wanted&fields == 0 || !due.has(s.pace) {
			continue
		}
		n, err := r.host.driver.Number(r.gpu, s.ask)
		if err != nil {
			if err := r.failed(fields, err); err != nil {
				return err
			}
			continue
		}
		if s.field == UtilGPU {
			v.Put(UtilMem, n&0xFFFFFFFF)
			n >>= 32
		}
		v.Put(s.field, n)
	}
	v.Valid &= r.wanted
	return nil
}

func (r *gpuReader) fields(v *Reading, due turns) error {
	r.batch, r.belongs = r.batch[:0], r.belongs[:0]
	for _, s := range batchSources {
		if !r.wanted.Has(s.field) || !due.has(s.pace) {
			continue
		}
		for _, scope := range r.scopes(s.field) {
			r.batch = append(r.batch, driver.FieldValue{ID: s.ask, Scope: scope})
			r.belongs = append(r.belongs, s.field)
		}
	}
	if len(r.batch) == 0 {
		return nil
	}
	if err := r.host.driver.Fields(r.gpu, r.batch); err != nil {
		return r.failed(Set(r.belongs...), err)
	}
	var bad Fields
	for i, b := range r.batch {
		f := r.belongs[i]
		if b.Err != nil {
			bad |= Set(f)
			if err := r.failed(Set(f), b.Err); err != nil {
				return err
			}
			continue
		}
		sum, _ := v.Value(f)
		v.Put(f, sum+b.Value)
	}
	v.Valid &^= bad
	return nil
}

// The scopes of values that have none, and of a sum over all links.
var (
	noScope  = []uint32{0}
	allLinks = []uint32{driver.AllLinks}
)

// scopes are what a field must be asked for, to be summed.
func (r *gpuReader) scopes(f Field) []uint32 {
	if f != NVLinkRx && f != NVLinkTx {
		return noScope
	}
	return r.host.gpus[r.gpu].scopes
}

func (r *gpuReader) activity(v *Reading) error {
	if r.wanted&gpmFields == 0 {
		return nil
	}
	a, err := r.host.driver.Activity(r.gpu)
	if err != nil {
		return r.failed(gpmFields, err)
	}
	for _, m := range []struct {
		f     Field
		value float64
	}{
		{SMActive, a.SMActive * 10}, {SMOccupancy, a.SMOccupancy * 10}, {TensorActive, a.TensorActive * 10},
		{DRAMActive, a.DRAMActive * 10}, {GPMNVLinkRx, a.NVLinkRx}, {GPMNVLinkTx, a.NVLinkTx},
	} {
		if m.value >= 0 && r.wanted.Has(m.f) {
			v.Put(m.f, uint64(m.value+0.5))
		}
	}
	return nil
}
