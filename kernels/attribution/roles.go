package attribution

import (
	"encoding/binary"
	"hash/fnv"
	"slices"

	"tokprof/kernels/role"
	"tokprof/trace"
)

// Part is a headline part of GPU time.
type Part uint8

// Parts. Collective is time inside collectives, which only several ranks'
// files can split into transfer and waiting; Unattributed is products without
// a role.
const (
	PartOther Part = iota
	PartAttention
	PartFFN
	PartComm
	PartHead
	PartUnattributed
	PartCount // how many there are
)

func (p Part) String() string {
	return [...]string{"other", "attention", "ffn", "comm", "head", "unattributed"}[p]
}

// Provenance is how a role is known, the strongest evidence that there is.
type Provenance uint8

// Provenances, weakest first.
const (
	ByNothing Provenance = iota
	ByPosition
	ByCalibration // the slot's role in an eager trace of the model
	ByTwin        // the shape of a directly launched run of the same kernels
	ByCapture     // the shape recorded while the graph was captured
	ByShape       // the shape that the launching op recorded
	ByModule
	ByName
	numProvenances
)

func (p Provenance) String() string {
	return [...]string{"none", "position", "calibration", "twin", "capture", "shape", "module", "name"}[p]
}

// Known is what is known of one GPU event beyond its name.
type Known struct {
	role.Place
	Provenance Provenance
	Part       Part
}

// placeRoles places every GPU event by the order of its pass. Steps are the
// passes; a step's main stream is put together from its launches, since a
// graph's streams are numbered anew in every replay.
func (ev *Events) placeRoles(hide func(int) bool) []Known {
	t := ev.Trace
	out := make([]Known, len(t.GPU()))
	for i := range out {
		out[i].Layer = -1
	}
	p := &placer{ev: ev, classes: make([]role.Kernel, t.Names()), known: make([]bool, t.Names()), hide: hide, decided: map[uint64]decision{}}
	p.streams, p.onMain = make([]int32, t.Tracks()), make([]int32, len(ev.Calls))
	steps := ev.passes()
	for _, events := range steps {
		p.place(events, out)
	}
	p.headsBehindGraphs(steps, out)
	for _, events := range ev.outsideSteps() {
		p.place(events, out)
		for _, i := range events {
			// The recording may have begun inside the pass.
			out[i].Layer = -1
		}
	}
	return out
}

// outsideSteps lists the runs of events that no step launched, before, between
// and behind the steps: what ran when the recording began, most often. Long
// ones are other work than a pass.
func (ev *Events) outsideSteps() (runs [][]int32) {
	if len(ev.Steps) == 0 {
		return nil
	}
	open := false
	for i, s := range ev.stepOf {
		switch {
		case s >= 0:
			open = false
		case open:
			runs[len(runs)-1] = append(runs[len(runs)-1], int32(i))
		default:
			runs, open = append(runs, []int32{int32(i)}), true
		}
	}
	return slices.DeleteFunc(runs, func(run []int32) bool { return len(run) > maxOutside })
}

// maxOutside is far above the kernels of one eager pass, which has some dozens
// a layer.
const maxOutside = 1 << 14

// passes lists the events of each step; without step annotations, of each
// pass between landmarks.
func (ev *Events) passes() [][]int32 {
	steps := make([][]int32, len(ev.Steps))
	for i, s := range ev.Steps {
		steps[i] = make([]int32, 0, s.Launches)
	}
	for i, s := range ev.stepOf {
		if s >= 0 {
			steps[s] = append(steps[s], int32(i))
		}
	}
	return steps
}

// placer works through passes with buffers of its own.
type placer struct {
	ev      *Events
	classes []role.Kernel // by trace.NameID
	known   []bool
	hide    func(int) bool
	streams []int32 // events by track, of one pass
	decided map[uint64]decision
	kept    int
	pass    int32
	onMain  []int32 // by call: the last pass in which it had an event on the main stream
	main    []int32
	seq     []role.Kernel
}

func (p *placer) place(events []int32, out []Known) {
	if len(events) == 0 {
		return
	}
	p.main, p.seq = p.main[:0], p.seq[:0]
	side := map[trace.TrackID][]int32{}
	main := p.mainStream(events)
	for _, i := range events {
		if p.hide != nil && p.hide(int(i)) {
			continue
		}
		if main(i) {
			p.main = append(p.main, i)
		} else {
			tr := p.ev.Trace.TrackOf(p.ev.Trace.GPU()[i])
			side[tr] = append(side[tr], i)
		}
	}
	if len(side) > 0 {
		p.main = p.splice(p.main, side)
	}
	p.write(p.main, out)
	for _, own := range side {
		p.write(own, out)
	}
}

// write places one sequence.
func (p *placer) write(events []int32, out []Known) {
	p.seq = p.seq[:0]
	for _, i := range events {
		p.seq = append(p.seq, p.class(i))
	}
	for n, pl := range p.assign() {
		out[events[n]].Place = pl
	}
}

// assign places the pass in p.seq. Servers run the same pass again and again (a
// captured graph always, an eager step most often), so a pass is decided once
// and its places are used by position for each repeat.
func (p *placer) assign() []role.Place {
	h := fnv.New64a()
	var b [4]byte
	for _, k := range p.seq {
		binary.LittleEndian.PutUint32(b[:], k.Name)
		_, _ = h.Write(b[:])
	}
	sum := h.Sum64()
	if d, ok := p.decided[sum]; ok && slices.Equal(d.seq, p.seq) {
		return d.places
	}
	d := decision{slices.Clone(p.seq), role.Assign(p.seq)}
	if p.kept += len(p.seq); p.kept < maxDecided {
		p.decided[sum] = d
	}
	return d.places
}

// decision is one pass and what was decided about it.
type decision struct {
	seq    []role.Kernel
	places []role.Place
}

// maxDecided bounds the kernels in remembered passes: 16 MB.
const maxDecided = 1 << 19

func (p *placer) class(i int32) role.Kernel {
	name := p.ev.Trace.NameOf(p.ev.Trace.GPU()[i])
	if !p.known[name] {
		text := p.ev.Trace.Name(name)
		c, mla := role.Classify(p.ev.match[name], text)
		p.classes[name] = role.Kernel{
			Class: c, MLA: mla, Name: uint32(name),
			Conv: c == role.Linear && role.IsConvolution(text),
			Bare: c == role.Act && role.IsBare(text),
		}
		p.known[name] = true
	}
	return p.classes[name]
}

// mainStream says which events run on the main stream: the one with the most
// attention, and of a graph launch whose events are elsewhere (its streams are
// numbered by the replay) the one with the most events.
func (p *placer) mainStream(events []int32) func(int32) bool {
	t := p.ev.Trace
	clear(p.streams)
	tracks := 0
	best, most := trace.TrackID(0), int32(-1)
	for _, i := range events {
		tr := t.TrackOf(t.GPU()[i])
		if p.streams[tr] == 0 {
			tracks++
		}
		p.streams[tr]++
		if p.ev.match[t.NameOf(t.GPU()[i])].Group == "attention" {
			p.streams[tr] += int32(len(events))
		}
		if p.streams[tr] > most {
			best, most = tr, p.streams[tr]
		}
	}
	if tracks == 1 {
		return func(int32) bool { return true }
	}
	byCall := p.graphStreams(events, best)
	return func(i int32) bool {
		tr := t.TrackOf(t.GPU()[i])
		if len(byCall) > 0 {
			if m, ok := byCall[p.ev.callOf[i]]; ok {
				return tr == m
			}
		}
		return tr == best
	}
}

// graphStreams finds, for each graph launch with no event on the pass's main
// stream, its own busiest stream.
func (p *placer) graphStreams(events []int32, best trace.TrackID) map[int32]trace.TrackID {
	t := p.ev.Trace
	p.pass++
	elsewhere := false
	for _, i := range events {
		if p.ev.InGraph(int(i)) && t.TrackOf(t.GPU()[i]) == best {
			p.onMain[p.ev.callOf[i]] = p.pass
		}
	}
	for _, i := range events {
		elsewhere = elsewhere || p.ev.InGraph(int(i)) && p.onMain[p.ev.callOf[i]] != p.pass
	}
	if !elsewhere {
		return nil
	}
	type key struct {
		call  int32
		track trace.TrackID
	}
	counts := map[key]int{}
	for _, i := range events {
		if c := p.ev.callOf[i]; p.ev.InGraph(int(i)) && p.onMain[c] != p.pass {
			counts[key{c, t.TrackOf(t.GPU()[i])}]++
		}
	}
	out := map[int32]trace.TrackID{}
	for k, n := range counts {
		old, ok := out[k.call]
		if o := counts[key{k.call, old}]; !ok || n > o || n == o && k.track < old {
			out[k.call] = k.track
		}
	}
	return out
}
