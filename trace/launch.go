package trace

import "slices"

// joins holds, for each GPU event in GPU() order, the call that launched it.
type joins struct {
	launch []EventID
	// ambiguous correlations were used by calls of several processes: the
	// file holds several ranks, and their GPU events cannot be told apart.
	ambiguous int
	pids      []string
}

// LaunchOf returns the call that launched the i-th event of GPU(), or NoEvent.
// One call may own hundreds of events (a graph launch).
func (t *Trace) LaunchOf(i int) EventID { return t.joins.launch[i] }

// AmbiguousLaunches returns how many correlation numbers are used by calls of
// more than one process, and those processes. Their GPU events stay without
// a launch.
func (t *Trace) AmbiguousLaunches() (n int, pids []string) {
	return t.joins.ambiguous, t.joins.pids
}

// join finds each GPU event's launch by correlation.
func join(t *Trace) joins {
	ix := newCorrIndex(t)
	j := joins{launch: make([]EventID, len(t.gpu)), ambiguous: len(ix.ambiguous)}
	for pid := range ix.pids {
		j.pids = append(j.pids, pid)
	}
	slices.Sort(j.pids)
	for i, id := range t.gpu {
		j.launch[i] = ix.find(t.Event(id).Correlation)
	}
	return j
}

// corrIndex maps correlation numbers to calls. Numbers are handed out one
// after the other, so a table over their range is small and read in order; a
// file with a sparse range gets a map.
type corrIndex struct {
	low       uint64
	table     []EventID
	sparse    map[uint64]EventID
	ambiguous map[uint64]bool
	pids      map[string]bool
}

// maxSpread is how many table slots a call may cost: half of all calls are of
// kinds the profiler does not record, and gaps between windows happen.
const maxSpread = 4

func newCorrIndex(t *Trace) *corrIndex {
	ix := &corrIndex{low: ^uint64(0), ambiguous: map[uint64]bool{}, pids: map[string]bool{}}
	var high uint64
	calls := 0
	t.Each(func(id EventID, k Kind) {
		if k != Launch {
			return
		}
		if c := t.Event(id).Correlation; c != 0 {
			ix.low, high = min(ix.low, c), max(high, c)
			calls++
		}
	})
	if calls == 0 {
		return ix
	}
	if high-ix.low < uint64(calls)*maxSpread+1024 {
		ix.table = make([]EventID, high-ix.low+1)
		for i := range ix.table {
			ix.table[i] = NoEvent
		}
	} else {
		ix.sparse = make(map[uint64]EventID, calls)
	}
	t.Each(func(id EventID, k Kind) {
		if k == Launch {
			ix.add(t, id)
		}
	})
	return ix
}

func (ix *corrIndex) add(t *Trace, id EventID) {
	e := t.Event(id)
	if e.Correlation == 0 {
		return
	}
	if ix.ambiguous[e.Correlation] {
		ix.pids[t.tracks[e.Track].Pid] = true
		return
	}
	old := ix.find(e.Correlation)
	if old == NoEvent {
		ix.set(e.Correlation, id)
		return
	}
	// A runtime call and the driver call inside it may share a number: the
	// outer, earlier one is the launch. Calls of two processes are two ranks.
	if a, b := t.tracks[t.TrackOf(old)].Pid, t.tracks[e.Track].Pid; a != b {
		ix.ambiguous[e.Correlation] = true
		ix.pids[a], ix.pids[b] = true, true
		return
	}
	if e.Start < t.Start(old) {
		ix.set(e.Correlation, id)
	}
}

func (ix *corrIndex) set(c uint64, id EventID) {
	if ix.table != nil {
		ix.table[c-ix.low] = id
	} else {
		ix.sparse[c] = id
	}
}

func (ix *corrIndex) find(c uint64) EventID {
	if len(ix.ambiguous) > 0 && ix.ambiguous[c] {
		return NoEvent
	}
	if ix.table != nil {
		if i := c - ix.low; i < uint64(len(ix.table)) { // below low it wraps around
			return ix.table[i]
		}
		return NoEvent
	}
	if id, ok := ix.sparse[c]; ok {
		return id
	}
	return NoEvent
}
