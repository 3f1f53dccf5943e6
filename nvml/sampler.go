package nvml

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

// Run reads until the context ends, which is no error. The GPUs are read one
// after another: the driver's calls wait for each other spinning, and GPM did
// not survive company. One that takes longer than a period is read apart from
// then on, so that it holds nobody up. Each is called with one reading at a
// time, in the order of time for any one GPU. A field that a GPU does not
// support is not asked again. A GPU that is lost stops, and Run tells of it at
// the end, as of one whose driver does not answer any more.
func (s *Sampler) Run(ctx context.Context, each func(Reading)) error {
	period, fields := s.Period, s.Fields
	if period <= 0 {
		period = DefaultPeriod
	}
	if fields == 0 {
		fields = UsualFields
	}
	n := len(s.Host.gpus)
	if n == 0 {
		return errors.New("the NVIDIA driver has no GPU to read")
	}
	out := &handover{each: each}
	defer out.close()
	xids := &xidMailbox{driver: s.Host.driver, waiting: map[int]uint64{}, off: !fields.Has(Xid)}
	readers := make([]*gpuReader, n)
	for i := range readers {
		readers[i] = newGPUReader(s.Host, i, fields, xids)
		// Dear calls of different GPUs fall on different beats.
		readers[i].offset = time.Duration(i) * pauses[often] / time.Duration(n)
	}
	return oversee(ctx, period, &lane{readers: readers}, out)
}

// patience is how long something may take to end after it was asked to.
const patience = 3 * time.Second

// glimpse is the time between two looks at what is being read: each look wakes
// the process, and a slow GPU holds the others up for so long, once.
const glimpse = 250 * time.Millisecond

// oversee runs lanes until all have ended: the first, and one more for each GPU
// that turns out to be slow. One that is busy for too long after the end is
// given up.
func oversee(ctx context.Context, period time.Duration, first *lane, out *handover) error {
	ended := make(chan struct{}, len(first.readers))
	var lanes []*lane
	running := 0
	start := func(l *lane) {
		lanes = append(lanes, l)
		running++
		go func() {
			l.run(ctx, period, out)
			ended <- struct{}{}
		}()
	}
	start(first)
	look := time.NewTicker(max(period, glimpse))
	defer look.Stop()
	over := ctx.Done()
	var lost <-chan time.Time
	for running > 0 {
		select {
		case <-ended:
			running--
		case now := <-look.C:
			for _, l := range lanes {
				if rest := l.split(now.Add(-period)); rest != nil && over != nil {
					start(rest)
				}
			}
		case <-over:
			over, lost = nil, time.After(patience)
		case <-lost:
			for _, l := range lanes {
				if gpu, ok := l.stuck(); ok {
					out.fail(fmt.Errorf("GPU %d: the driver has not answered for %v", gpu, patience))
				}
			}
			return out.failed()
		}
	}
	return out.failed()
}

// lane reads GPUs one after another, once a period.
type lane struct {
	mu      sync.Mutex
	readers []*gpuReader
	next    int        // of readers, in this round
	reading *gpuReader // nil between two readings
	since   time.Time
}

func (l *lane) run(ctx context.Context, period time.Duration, out *handover) {
	clock := time.NewTicker(period)
	defer clock.Stop()
	for l.round() {
		for ctx.Err() == nil {
			r := l.begin()
			if r == nil {
				break
			}
			v, err := r.read(l.since)
			l.end(err != nil)
			if err != nil {
				out.fail(fmt.Errorf("GPU %d is not read any more: %w", r.gpu, err))
				continue
			}
			out.give(v)
		}
		select {
		case <-ctx.Done():
			return
		case <-clock.C:
		}
	}
}

// round begins a new one, if there is anything left to read.
func (l *lane) round() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next = 0
	return len(l.readers) > 0
}

// begin is the next to read in this round, nil behind the last.
func (l *lane) begin() *gpuReader {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.next >= len(l.readers) {
		return nil
	}
	l.reading, l.since = l.readers[l.next], time.Now()
	return l.reading
}

// end books a reading; a lost GPU leaves the lane.
func (l *lane) end(lost bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reading = nil
	if lost {
		l.readers = slices.Delete(l.readers, l.next, l.next+1)
		return
	}
	l.next++
}

// split leaves a GPU that has been read since before a moment alone in its lane
// and returns a lane of the others; nil when there is nothing to split.
func (l *lane) split(before time.Time) *lane {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.reading == nil || len(l.readers) == 1 || !l.since.Before(before) {
		return nil
	}
	rest := &lane{readers: slices.Delete(slices.Clone(l.readers), l.next, l.next+1)}
	l.readers, l.next = []*gpuReader{l.reading}, 0
	return rest
}

// stuck is the GPU that is being read.
func (l *lane) stuck() (gpu int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.reading == nil {
		return 0, false
	}
	return l.reading.gpu, true
}

// handover gives readings on, one at a time, and none after it was closed.
type handover struct {
	mu     sync.Mutex
	each   func(Reading)
	closed bool
	errs   []error
}

func (h *handover) give(r Reading) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.each(r)
	}
}

func (h *handover) fail(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.errs = append(h.errs, err)
}

func (h *handover) failed() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return errors.Join(h.errs...)
}

func (h *handover) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
}

// glance is how long Host.Read looks at each GPU: long enough for GPM, which
// measures between two samples. Where reading itself takes long, it looks up to
// longGlance.
const (
	glance     = 300 * time.Millisecond
	longGlance = 2 * time.Second
)

// Read takes one reading of every GPU with what it can tell of some fields, 0 for
// UsualFields. It takes a third of a second, and longer on a host that is busy.
func (h *Host) Read(ctx context.Context, fields Fields) ([]Reading, error) {
	ctx, stop := context.WithTimeout(ctx, longGlance)
	defer stop()
	const period = glance / 6
	rec := &Recording{}
	first, seen := map[int]int64{}, map[int]bool{} // when each GPU was read first; those that were looked at for long enough
	err := (&Sampler{Host: h, Period: period, Fields: fields}).Run(ctx, func(r Reading) {
		rec.Readings = append(rec.Readings, r)
		if from, again := first[r.GPU]; !again {
			first[r.GPU] = r.UnixNS
		} else if r.UnixNS-from >= int64(glance-period) {
			seen[r.GPU] = true
		}
		if len(seen) == len(h.gpus) {
			stop()
		}
	})
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
	asking  sync.Mutex // held over calls of the driver, whose answer may never come
	off     bool       // guarded by asking
	mu      sync.Mutex
	waiting map[int]uint64 // guarded by mu
}

// collect asks for what is new, unless another lane is asking: nobody waits for
// its answer.
func (m *xidMailbox) collect() {
	if !m.asking.TryLock() {
		return
	}
	defer m.asking.Unlock()
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
		m.put(gpu, xid)
	}
}

func (m *xidMailbox) put(gpu int, xid uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.waiting[gpu] = xid
}

func (m *xidMailbox) take(gpu int) (uint64, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	xid, ok := m.waiting[gpu]
	delete(m.waiting, gpu)
	return xid, ok
}
