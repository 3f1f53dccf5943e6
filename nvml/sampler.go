package nvml

import (
	"context"
	"errors"
	"fmt"
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
	Fields Fields        // what to ask; 0 is UsualFields
}

// Run reads until the context ends, which is no error. Each GPU is read apart,
// so that a slow one does not hold up the others; each is called with one
// reading at a time, in the order of time for any one GPU. A field that a GPU
// does not support is not asked again. A GPU that is lost stops, and Run tells
// of it at the end, as of one whose driver does not answer any more.
func (s *Sampler) Run(ctx context.Context, each func(Reading)) error {
	period, fields := s.Period, s.Fields
	if period <= 0 {
		period = DefaultPeriod
	}
	if fields == 0 {
		fields = UsualFields
	}
	if len(s.Host.gpus) == 0 {
		return errors.New("the NVIDIA driver has no GPU to read")
	}
	out := &handover{each: each}
	defer out.close()
	xids := &xidMailbox{driver: s.Host.driver, waiting: map[int]uint64{}, off: !fields.Has(Xid)}
	// One GPU after another: the driver's calls wait for each other spinning, and
	// GPM did not survive company.
	turn := make(chan struct{}, 1)
	ended := make(chan outcome, len(s.Host.gpus))
	ticks := make([]chan struct{}, len(s.Host.gpus))
	for i := range s.Host.gpus {
		r := newGPUReader(s.Host, i, fields, xids)
		r.turn = turn
		ticks[i] = make(chan struct{}, 1)
		go func() { ended <- outcome{i, r.run(ctx, ticks[i], out.give)} }()
	}
	return beat(ctx, period, ticks, ended)
}

// outcome is how the reading of a GPU ended.
type outcome struct {
	gpu int
	err error
}

// patience is how long something may take to end after it was asked to.
const patience = 3 * time.Second

// beat tells all GPUs to read, once a period, until all have ended. One clock
// for all wakes the process once, not once a GPU. A GPU that is still busy
// misses the beat; one that is busy for too long after the end is given up.
func beat(ctx context.Context, period time.Duration, ticks []chan struct{}, ended <-chan outcome) error {
	clock := time.NewTicker(period)
	defer clock.Stop()
	errs := make([]error, len(ticks))
	for i := range errs {
		errs[i] = fmt.Errorf("GPU %d: the driver has not answered for %v", i, patience)
	}
	tell := func() {
		for _, t := range ticks {
			select {
			case t <- struct{}{}:
			default:
			}
		}
	}
	tell()
	over := ctx.Done()
	var lost <-chan time.Time
	for left := len(ticks); left > 0; {
		select {
		case e := <-ended:
			errs[e.gpu] = e.err
			left--
		case <-clock.C:
			tell()
		case <-over:
			over, lost = nil, time.After(patience)
		case <-lost:
			return errors.Join(errs...)
		}
	}
	return errors.Join(errs...)
}

// handover gives readings on, one at a time, and none after it was closed.
type handover struct {
	mu     sync.Mutex
	each   func(Reading)
	closed bool
}

func (h *handover) give(r Reading) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.each(r)
	}
}

func (h *handover) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
}

// glance is how long Host.Read looks: long enough for GPM, which measures
// between two samples.
const glance = 300 * time.Millisecond

// Read takes one reading of every GPU with what it can tell of some fields, 0 for
// UsualFields. It takes a third of a second.
func (h *Host) Read(ctx context.Context, fields Fields) ([]Reading, error) {
	ctx, stop := context.WithTimeout(ctx, glance)
	defer stop()
	rec := &Recording{}
	err := (&Sampler{Host: h, Period: glance / 6, Fields: fields}).Run(ctx, func(r Reading) { rec.Readings = append(rec.Readings, r) })
	var out []Reading
	for _, gpu := range rec.GPUs() {
		s := rec.Series(gpu)
		if r, ok := s.known(s[len(s)-1].UnixNS); ok {
			out = append(out, r)
		}
	}
	return out, err
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
