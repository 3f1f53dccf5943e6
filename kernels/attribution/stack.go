package attribution

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"

	"tokprof/trace"
)

// FrameKind says where a frame came from.
type FrameKind uint8

// Frame kinds.
const (
	FrameRoot FrameKind = iota
	FramePython
	FrameModule   // nn.Module
	FrameOp       // framework operator
	FrameRange    // annotation of the host
	FramePhase    // phase of the step
	FrameCategory // stands in where the host frames end: below a graph launch, or without any
)

// Frame is one node of the stack tree; Parent is an index, -1 for the root.
type Frame struct {
	Parent int32
	Kind   FrameKind
	Name   string
	File   string // of a Python frame: module path, never absolute
	Line   int64
}

// Stacks is the tree of host frames around the launches, which may grow frames
// that stand in for them.
type Stacks struct {
	frames []Frame
	child  map[frameKey]int32
}

type frameKey struct {
	parent int32
	kind   FrameKind
	name   string
	file   string
	line   int64
}

func newStacks() *Stacks {
	return &Stacks{frames: []Frame{{Parent: -1, Kind: FrameRoot, Name: "all"}}, child: map[frameKey]int32{}}
}

// Frames lists the nodes; a parent stands before its children.
func (s *Stacks) Frames() []Frame { return s.frames }

// Node returns the node of a frame below f.Parent, and makes it when there is
// none.
func (s *Stacks) Node(f Frame) int32 {
	k := frameKey{f.Parent, f.Kind, f.Name, f.File, f.Line}
	if n, ok := s.child[k]; ok {
		return n
	}
	n := int32(len(s.frames))
	s.frames = append(s.frames, f)
	s.child[k] = n
	return n
}

// openFrame is a host event around the moment the sweep has reached.
type openFrame struct {
	start, end trace.Time
	name       trace.NameID
	kind       trace.Kind
	node       int32 // -1 until something is launched inside
}

// hostKinds are the kinds that make frames, the outer one of two equal
// intervals first.
var hostKinds = [...]trace.Kind{trace.Range, trace.Frame, trace.Op}

// hostStacks finds the host frames around every launch call and writes the
// innermost one's node into the call. Each launching thread is walked once:
// its frames, ops and ranges lie in the file as a few sorted runs, which are
// merged by start with the longer event first. Nodes are made only for frames
// that launch something.
func hostStacks(ev *Events, s *Stacks) {
	t := ev.Trace
	if len(ev.Calls) == 0 {
		return
	}
	byThread := make([][]int32, t.Tracks())
	for c := range ev.Calls {
		tr := t.TrackOf(ev.Calls[c].Launch)
		byThread[tr] = append(byThread[tr], int32(c))
	}
	var runs [len(hostKinds)][][]trace.EventID
	for i, k := range hostKinds {
		runs[i] = t.ByTrack(func(x trace.Kind) bool { return x == k })
	}
	names := newFrameNames(t)
	for tr, calls := range byThread {
		if len(calls) == 0 {
			continue
		}
		byStart := func(a, b int32) int { return cmp.Compare(t.Start(ev.Calls[a].Launch), t.Start(ev.Calls[b].Launch)) }
		if !slices.IsSortedFunc(calls, byStart) {
			slices.SortStableFunc(calls, byStart)
		}
		w := &walk{ev: ev, s: s, names: names}
		for i := range hostKinds {
			w.heads = append(w.heads, runs[i][tr])
		}
		for _, c := range calls {
			w.to(t.Start(ev.Calls[c].Launch))
			ev.Calls[c].Node = w.top()
		}
	}
}

// walk is one thread's sweep.
type walk struct {
	ev    *Events
	s     *Stacks
	names *frameNames
	heads [][]trace.EventID
	stack []openFrame
}

// to opens every host event that began at or before a moment and closes what
// ended.
func (w *walk) to(at trace.Time) {
	t := w.ev.Trace
	for {
		best := -1
		var start, dur trace.Time
		for i, h := range w.heads {
			if len(h) == 0 {
				continue
			}
			s, d := t.Start(h[0]), t.Dur(h[0])
			if s <= at && (best < 0 || s < start || s == start && d > dur) {
				best, start, dur = i, s, d
			}
		}
		if best < 0 {
			break
		}
		id := w.heads[best][0]
		w.heads[best] = w.heads[best][1:]
		w.close(start)
		// What is over before the launch has nothing of it inside.
		if start+dur > at {
			w.push(openFrame{start, start + dur, t.NameOf(id), hostKinds[best], -1})
		}
	}
	w.close(at)
}

// push puts an event below those that began with it and end sooner: a file may
// name the inner one of two first.
func (w *walk) push(o openFrame) {
	w.stack = append(w.stack, o)
	for i := len(w.stack) - 1; i > 0; i-- {
		below := &w.stack[i-1]
		if below.start != o.start || below.end >= o.end {
			break
		}
		w.stack[i], w.stack[i-1] = *below, o
		w.stack[i].node = -1
	}
}

func (w *walk) close(at trace.Time) {
	for n := len(w.stack); n > 0 && w.stack[n-1].end <= at; n-- {
		w.stack = w.stack[:n-1]
	}
}

// top returns the node of the innermost open frame, -1 when there is none.
func (w *walk) top() int32 {
	parent := int32(0)
	for i := range w.stack {
		o := &w.stack[i]
		if o.node < 0 {
			o.node = w.names.under(w.s, parent, o.name, o.kind)
		}
		parent = o.node
	}
	if parent == 0 {
		return -1
	}
	return parent
}

// frameNames makes frames of names, each once. One name may be a Python
// function's and an op's.
type frameNames struct {
	t      *trace.Trace
	frames []Frame
	at     [len(hostKinds)][]int32 // by trace.NameID, 1 + index into frames
	nodes  map[uint64]int32        // by parent node and frame
}

func newFrameNames(t *trace.Trace) *frameNames {
	f := &frameNames{t: t, nodes: map[uint64]int32{}}
	for i := range f.at {
		f.at[i] = make([]int32, t.Names())
	}
	return f
}

// under returns the node of a name's frame below a parent; a nameless one has
// no node of its own.
func (f *frameNames) under(s *Stacks, parent int32, n trace.NameID, k trace.Kind) int32 {
	at := &f.at[slices.Index(hostKinds[:], k)][n]
	if *at == 0 {
		f.frames = append(f.frames, makeFrame(f.t.Name(n), k))
		*at = int32(len(f.frames))
	}
	key := uint64(parent)<<32 | uint64(*at)
	if node, ok := f.nodes[key]; ok {
		return node
	}
	node, fr := parent, f.frames[*at-1]
	if fr.Name != "" {
		fr.Parent = parent
		node = s.Node(fr)
	}
	f.nodes[key] = node
	return node
}

var (
	pythonFrame = regexp.MustCompile(`^(.*)\((-?\d+)\): (.*)$`)
	moduleFrame = regexp.MustCompile(`^nn\.Module: (.*?)(?:_\d+)?$`)
	hexHash     = regexp.MustCompile(`\b[a-z0-9]{30,}\b`)
	address     = regexp.MustCompile(` at 0x[0-9a-fA-F]+`)
)

// makeFrame turns a host event's name into a frame. Instance numbers, hashes
// and addresses go, so that layers and ranks add up; a step annotation becomes
// its phase.
func makeFrame(name string, k trace.Kind) Frame {
	switch k {
	case trace.Range:
		if l, ok := trace.ParseStep(name); ok {
			return Frame{Kind: FramePhase, Name: l.Phase.String()}
		}
		return Frame{Kind: FrameRange, Name: hexHash.ReplaceAllString(name, "…")}
	case trace.Op:
		return Frame{Kind: FrameOp, Name: hexHash.ReplaceAllString(name, "…")}
	}
	if m := moduleFrame.FindStringSubmatch(name); m != nil {
		return Frame{Kind: FrameModule, Name: m[1]}
	}
	if m := pythonFrame.FindStringSubmatch(name); m != nil {
		line, _ := strconv.ParseInt(m[2], 10, 64)
		return Frame{Kind: FramePython, Name: m[3], File: hexHash.ReplaceAllString(trace.ShortPath(m[1]), "…"), Line: line}
	}
	return Frame{Kind: FramePython, Name: hexHash.ReplaceAllString(address.ReplaceAllString(name, ""), "…")}
}
