package nvml

import (
	"context"
	"errors"
	"sync"
	"time"

	"tokprof/nvml/internal/driver"
)

// DefaultPeriod is the time between two readings of a GPU. Power and energy
// are renewed about every 100 ms and NVLink counters at once, so 20 ms places
// each refresh well without costing the host much.
const DefaultPeriod = 20 * time.Millisecond

// Sampler reads the GPUs of a host again and again.
type Sampler struct {
	Host   *Host
	Period time.Duration // between two readings of a GPU; 0 is DefaultPeriod
	Fields Fields        // what to ask; 0 is AllFields
}

// Run reads until the context ends, which is no error. Each GPU is read apart,
// so that a slow one does not hold up the others; each is called with
// one reading at a time, in the order of time for any one GPU. A field that a
// GPU does not support is not asked again. A GPU that is lost stops, and Run
// tells of it at the end.
func (s *Sampler) Run(ctx context.Context, each func(Reading)) error {
	period, fields := s.Period, s.Fields
	if period <= 0 {
		period = DefaultPeriod
	}
	if fields == 0 {
		fields = AllFields
	}
	if len(s.Host.gpus) == 0 {
		return errors.New("the NVIDIA driver has no GPU to read")
	}
	var one sync.Mutex
	xids := &xidMailbox{driver: s.Host.driver, waiting: map[int]uint64{}, off: !fields.Has(Xid)}
	errs := make([]error, len(s.Host.gpus))
	ticks := make([]chan struct{}, len(s.Host.gpus))
	var all sync.WaitGroup
	for i := range s.Host.gpus {
		r := newGPUReader(s.Host, i, fields, xids)
		ticks[i] = make(chan struct{}, 1)
		all.Go(func() {
			errs[i] = r.run(ctx, ticks[i], func(v Reading) {
				one.Lock()
				defer one.Unlock()
				each(v)
			})
		})
	}
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	beat(done, period, ticks)
	return errors.Join(errs...)
}

// glance is how long Host.Read looks: long enough for GPM, which measures
// between two samples.
const glance = 300 * time.Millisecond

// Read takes one reading of every GPU with all that it can tell. It takes a
// third of a second.
func (h *Host) Read(ctx context.Context) ([]Reading, error) {
	ctx, stop := context.WithTimeout(ctx, glance)
	defer stop()
	rec := &Recording{}
	err := (&Sampler{Host: h, Period: glance / 6}).Run(ctx, func(r Reading) { rec.Readings = append(rec.Readings, r) })
	var out []Reading
	for _, gpu := range rec.GPUs() {
		s := rec.Series(gpu)
		if r, ok := s.known(s[len(s)-1].UnixNS); ok {
			out = append(out, r)
		}
	}
	return out, err
}

// beat tells all GPUs to read, once a period, until they are done. One clock
// for all wakes the process once, not once a GPU. A GPU that is still busy
// misses the beat.
func beat(done <-chan struct{}, period time.Duration, ticks []chan struct{}) {
	clock := time.NewTicker(period)
	defer clock.Stop()
	for {
		for _, t := range ticks {
			select {
			case t <- struct{}{}:
			default:
			}
		}
		select {
		case <-done:
			return
		case <-clock.C:
		}
	}
}

// xidMailbox keeps Xid errors until their GPU is read: the driver tells of
// them for all GPUs at once.
type xidMailbox struct {
	driver  driver.Driver
	mu      sync.Mutex
	waiting map[int]uint64
	off     bool
}

func (m *xidMailbox) collect() {
	m.mu.Lock()
	defer m.mu.Unlock()
	// A burst is taken in pieces, so that a driver gone mad cannot hold us here.
	for range 16 {
		if m.off {
			return
		}
		gpu, xid, ok, err := m.driver.Xid()
		m.off = err != nil
		if !ok {
			return
		}
		m.waiting[gpu] = xid
	}
}

func (m *xidMailbox) take(gpu int) (uint64, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	xid, ok := m.waiting[gpu]
	delete(m.waiting, gpu)
	return xid, ok
}
