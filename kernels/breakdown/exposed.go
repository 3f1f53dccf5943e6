package breakdown

import (
	"tokprof/kernels/attribution"
	"tokprof/trace"
)

// sweep walks the events of one device (indices into GPU(), by start) and its
// graph runs, and tells each one's exposed time: the time in which nothing of
// another group ran. Graphs recorded as a whole are a group of their own: what
// ran inside is unknown, but something did. Where several of one group run, the
// time belongs to the one that started first, so that exposed times of kernels
// add up to their group's, and all of them, with the time in which several
// groups ran, to what the device worked. done is called once per event, when
// the event has ended.
type sweep struct {
	ev   *attribution.Events
	done func(i int32, exposed trace.Time)
	runs []deviceRun  // by start
	ran  []trace.Time // exposed time of the runs so far

	running  []running // heap by end
	fifo     []int32   // slots in start order, from head on
	head     int
	slots    []slot
	free     []int32
	perGroup [wholeGroup + 1]int32
	distinct int
	now      trace.Time
}

// wholeGroup is the group of graphs recorded as a whole, behind those of events.
const wholeGroup = 256

type running struct {
	end  trace.Time
	slot int32
}

type slot struct {
	of      int32 // the event, or the run of wholeGroup
	group   uint16
	ended   bool
	exposed trace.Time
}

func (s *sweep) add(i int32) {
	t := s.ev.Trace
	id := t.GPU()[i]
	start := t.Start(id)
	s.runUntil(start)
	s.begin(start, start+t.Dur(id), slot{of: i, group: uint16(s.ev.Group(int(i)))})
}

// runUntil begins the graph runs that start before a moment.
func (s *sweep) runUntil(at trace.Time) {
	for n := len(s.ran); n < len(s.runs) && s.runs[n].Start < at; n++ {
		s.ran = append(s.ran, 0)
		s.begin(s.runs[n].Start, s.runs[n].End(), slot{of: int32(n), group: wholeGroup})
	}
}

func (s *sweep) begin(start, end trace.Time, v slot) {
	s.advance(start)
	s.now = start
	n := s.slot(v)
	s.fifo = append(s.fifo, n)
	if s.perGroup[v.group]++; s.perGroup[v.group] == 1 {
		s.distinct++
	}
	s.push(running{end, n})
}

// finish ends everything still running or to come.
func (s *sweep) finish() {
	s.runUntil(1<<63 - 1)
	s.advance(1<<63 - 1)
}

func (s *sweep) slot(v slot) int32 {
	if n := len(s.free); n > 0 {
		i := s.free[n-1]
		s.free = s.free[:n-1]
		s.slots[i] = v
		return i
	}
	s.slots = append(s.slots, v)
	return int32(len(s.slots) - 1)
}

// advance moves to a moment, ending what ends before it.
func (s *sweep) advance(to trace.Time) {
	for len(s.running) > 0 && s.running[0].end <= to {
		r := s.pop()
		s.credit(r.end)
		v := &s.slots[r.slot]
		v.ended = true
		if s.perGroup[v.group]--; s.perGroup[v.group] == 0 {
			s.distinct--
		}
		if v.group == wholeGroup {
			s.ran[v.of] = v.exposed
		} else {
			s.done(v.of, v.exposed)
		}
		s.dropEnded()
	}
	if len(s.running) > 0 {
		s.credit(to)
	}
}

// credit gives the time up to a moment to what is running and started
// first, if one group has the device to itself.
func (s *sweep) credit(to trace.Time) {
	if s.distinct == 1 && to > s.now {
		s.slots[s.fifo[s.head]].exposed += to - s.now
	}
	s.now = max(s.now, to)
}

func (s *sweep) dropEnded() {
	for s.head < len(s.fifo) && s.slots[s.fifo[s.head]].ended {
		s.free = append(s.free, s.fifo[s.head])
		s.head++
	}
	if s.head > len(s.fifo)/2 {
		s.fifo = s.fifo[:copy(s.fifo, s.fifo[s.head:])]
		s.head = 0
	}
}

func (s *sweep) push(r running) {
	h := append(s.running, r)
	for i := len(h) - 1; i > 0; {
		p := (i - 1) / 2
		if h[p].end <= h[i].end {
			break
		}
		h[p], h[i] = h[i], h[p]
		i = p
	}
	s.running = h
}

func (s *sweep) pop() running {
	h := s.running
	top := h[0]
	h[0] = h[len(h)-1]
	h = h[:len(h)-1]
	for i := 0; ; {
		c := 2*i + 1
		if c >= len(h) {
			break
		}
		if c+1 < len(h) && h[c+1].end < h[c].end {
			c++
		}
		if h[i].end <= h[c].end {
			break
		}
		h[i], h[c] = h[c], h[i]
		i = c
	}
	s.running = h
	return top
}
