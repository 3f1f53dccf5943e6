// Package trace is the timeline model and the front door of its readers: open a
// trace file, get its GPU events, host events, and the launches that join them.
// It knows no kernel's meaning, no device and no server. All times are Unix
// nanoseconds when the file says where its clock starts (Info.Epoch), else
// nanoseconds on the file's own clock.
package trace

import (
	"sort"

	"tokprof/trace/internal/kineto"
)

// Time is a moment or a length in nanoseconds. Moments of one file may be
// compared with each other; with other files and with readings only when
// Info.Epoch is true for both.
type Time int64

// Kind says what an event is.
type Kind uint8

// Kinds of events.
const (
	Other    Kind = iota
	Kernel        // GPU: a kernel
	Copy          // GPU: a memory copy
	Set           // GPU: a memory fill
	Launch        // host: a CUDA or HIP call, launching or not
	Op            // host: a framework operator
	Range         // host: an annotation
	GPURange      // GPU: an annotation's shadow; never counted as time
	Frame         // host: a Python function
	Overhead      // host: the profiler's own work
	Sync          // GPU: a recorded synchronisation
	Mark          // an instant or a whole-trace span
)

// EventID names a stored event of one trace. IDs follow file order.
type EventID uint32

// NoEvent is the absent event.
const NoEvent = ^EventID(0)

// NameID names a distinct event name of one trace.
type NameID uint32

// TrackID names a track of one trace.
type TrackID uint16

// Event is one thing that happened on a track.
type Event struct {
	ID          EventID
	Kind        Kind
	Track       TrackID
	Name        NameID
	Start       Time
	Dur         Time
	Correlation uint64 // joins a launch to its GPU events; 0 when absent
	External    uint64 // joins to the host op; 0 when absent
}

// End is the moment the event ended.
func (e Event) End() Time { return e.Start + e.Dur }

// Track is one lane: a GPU stream or a host thread.
type Track struct {
	GPU    bool
	Device int   // ordinal inside the process; -1 on host tracks
	Stream int64 // -1 on host tracks
	Pid    string
	Tid    string
	Label  string // the thread's name, "" when the file has none
}

var kinds = [...]Kind{
	kineto.Other: Other, kineto.Kernel: Kernel, kineto.Memcpy: Copy, kineto.Memset: Set,
	kineto.Runtime: Launch, kineto.Driver: Launch, kineto.Op: Op, kineto.Annotation: Range,
	kineto.GPUAnnotation: GPURange, kineto.Python: Frame, kineto.Overhead: Overhead,
	kineto.Sync: Sync, kineto.Span: Mark, kineto.Instant: Mark,
}

// OnGPU says whether the kind is counted as GPU time.
func (k Kind) OnGPU() bool { return k == Kernel || k == Copy || k == Set }

// Event returns the event of an ID that this trace handed out.
func (t *Trace) Event(id EventID) Event {
	b, i := t.file.Blocks[id/kineto.BlockLen], id%kineto.BlockLen
	e := Event{
		ID: id, Kind: kinds[b.Kind[i]], Track: TrackID(b.Track[i]), Name: NameID(b.Name[i]),
		Start: Time(b.TS[i]) + t.base, Dur: Time(b.Dur[i]),
		Correlation: uint64(b.Corr[i]), External: uint64(b.Ext[i]),
	}
	if b.Dur[i] == kineto.Wide || b.Corr[i] == kineto.Wide || b.Ext[i] == kineto.Wide {
		k := kineto.EventID(id)
		e.Dur, e.Correlation, e.External = Time(t.file.Dur(k)), t.file.Corr(k), t.file.Ext(k)
	}
	return e
}

// Start returns an event's start without reading its other columns.
func (t *Trace) Start(id EventID) Time {
	return Time(t.file.Blocks[id/kineto.BlockLen].TS[id%kineto.BlockLen]) + t.base
}

// Dur returns an event's length.
func (t *Trace) Dur(id EventID) Time {
	d := t.file.Blocks[id/kineto.BlockLen].Dur[id%kineto.BlockLen]
	if d == kineto.Wide {
		return Time(t.file.Dur(kineto.EventID(id)))
	}
	return Time(d)
}

// NameOf returns an event's name id.
func (t *Trace) NameOf(id EventID) NameID {
	return NameID(t.file.Blocks[id/kineto.BlockLen].Name[id%kineto.BlockLen])
}

// Name returns the text of a name id.
func (t *Trace) Name(id NameID) string { return t.file.Names[id] }

// Names returns how many distinct names the trace has; ids are below it.
func (t *Trace) Names() int { return len(t.file.Names) }

// Track returns the track of a track id.
func (t *Trace) Track(id TrackID) Track { return t.tracks[id] }

// Tracks returns how many tracks the trace has; ids are below it.
func (t *Trace) Tracks() int { return len(t.tracks) }

// Each calls f for every stored event in file order.
func (t *Trace) Each(f func(EventID, Kind)) {
	for n, b := range t.file.Blocks {
		base := EventID(n * kineto.BlockLen)
		for i := range b.N {
			f(base+EventID(i), kinds[b.Kind[i]])
		}
	}
}

// Bytes returns the size of a copy or memset; ok is false when the file does
// not say.
func (t *Trace) Bytes(id EventID) (n int64, ok bool) {
	list := t.file.Bytes
	i := sort.Search(len(list), func(i int) bool { return EventID(list[i].Event) >= id })
	if i < len(list) && EventID(list[i].Event) == id {
		return list[i].Value, true
	}
	return 0, false
}

// GraphSlot returns which captured graph a GPU event belongs to and its place
// among the graph's nodes in the order of their capture; ok is false when the
// file does not say. Numbers are those of the process: CUPTI numbers a node by
// its graph (high 32 bits) and its place in it.
func (t *Trace) GraphSlot(id EventID) (graph uint64, slot int, ok bool) {
	n := t.GraphNode(id)
	if n == 0 || !t.export {
		return 0, 0, false
	}
	node := uint64(n)
	if of, ok := t.origin[n]; ok {
		node = of
	}
	return node >> 32, int(node & 0xffffffff), true
}

// GraphNode returns the graph node id of a GPU event, 0 when the file has none
// (writers before 2026-02).
func (t *Trace) GraphNode(id EventID) int64 {
	list := t.file.Nodes
	i := sort.Search(len(list), func(i int) bool { return EventID(list[i].Event) >= id })
	if i < len(list) && EventID(list[i].Event) == id {
		return list[i].Value
	}
	return 0
}
