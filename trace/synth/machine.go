package synth

import "io"

const (
	// baseNS is baseTimeNanoseconds; all ranks of a run share it.
	baseNS = 1790857026000000000
	// startNS is when the window opens. The relative clock is weeks old by then,
	// which makes timestamps as long as real ones.
	startNS = 4543683840167201
)

// generator runs plans and collects their rows.
type generator struct {
	o   Options
	w   io.Writer
	err error
	x   *syntax
	cat *catalog

	written    int64
	stats      Stats
	byCat      [numCats]int64
	flowStarts int64
	pythonRows int64
	damaged    [2]*entry
	keys       struct{ parent, python, external, bytes, bandwidth string }

	plans    map[batch]*plan
	schedule schedule

	random                                           random
	now                                              int64             // host clock
	free                                             [numStreams]int64 // when each stream can start more work
	nextExternal, nextPython, nextEvent, correlation uint32
	external, frame                                  uint32 // innermost op and Python frame
	graph                                            uint32 // correlation of the graph being replayed
	launches                                         uint32

	stack []open
	spans []span // open annotations
	done  []row  // device side of finished annotations
	rows  [numSections][]row
	text  [numSections][]byte
}

// open is a host frame that has not ended.
type open struct {
	sec             section
	index           int
	external, frame uint32 // what to return to
}

// span is the device time an annotation covers so far.
type span struct{ first, last int64 }

func newGenerator(w io.Writer, o Options) *generator {
	x := &syntaxes[o.Layout]
	g := &generator{
		o: o, w: w, x: x, cat: newCatalog(x, o.Rank), plans: map[batch]*plan{},
		random: seeded(o.Seed, uint64(o.Rank)), schedule: schedule{random: seeded(o.Seed, 1<<32)},
		now: startNS + int64(o.Rank)*1871, nextExternal: 20481, correlation: 116,
	}
	for i := range g.free {
		g.free[i] = g.now
	}
	k := &g.keys
	for _, s := range []struct {
		to   *string
		text string
	}{
		{&k.parent, `"Python parent id": `},
		{&k.python, `, "Python id": `},
		{&k.external, `"External id": `},
		{&k.bytes, `,      "bytes": `},
		{&k.bandwidth, `, "memory bandwidth (GB/s)": `},
	} {
		*s.to = s.text
		if x.trim {
			*s.to = squeeze(s.text)
		}
	}
	g.damaged[0] = g.cat.python(g.cat.pid(), `torch/_dynamo/{"device": "cpu"}(12): inner`)
	g.damaged[1] = g.cat.python(g.cat.pid(), `<eval 5" wide>(3): <lambda>`)
	return g
}

func (g *generator) rand(n uint64) int64 { return g.random.below(n) }

// step runs and renders the next engine step.
func (g *generator) step() {
	b := g.schedule.next()
	p := g.plans[b]
	if p == nil {
		p = compile(g.cat, g.o, b)
		g.plans[b] = p
		// Kernels are loaded when they first run.
		load := row{e: g.cat.overhead("Lazy Function Loading"), ts: g.now, dur: 35_000 + g.rand(30_000)}
		g.add(deviceSection, load)
		g.now += load.dur
	}
	for i := range p.code {
		g.exec(&p.code[i])
	}
	g.now += 40_000 + g.rand(60_000)
	g.stats.Steps++
	switch b.phase {
	case prefill:
		g.stats.Prefill++
	case decode:
		g.stats.Decode++
	default:
		g.stats.Mixed++
	}
	g.render()
}

// exec runs one instruction.
func (g *generator) exec(in *instr) {
	switch in.op {
	case opPush:
		g.push(in.e)
	case opPop:
		g.pop()
	case opCall:
		g.call(in.e, 300+g.rand(900), false)
	case opLaunch:
		g.launch(in)
	case opGraphLaunch:
		g.graph = g.call(in.e, 300_000+g.rand(80_000), true)
		g.stats.GraphLaunches++
	case opGraphKernel:
		r := g.device(in, 1200)
		r.a, r.b, r.flow = 0, g.graph, true
		g.add(deviceSection, r)
		g.stats.GraphKernels++
	case opAfter:
		g.free[in.stream] = max(g.free[in.stream], g.free[in.other])
	case opSync:
		wait := g.free[in.stream] + 2500 + g.rand(2000) - g.now
		g.call(in.e, max(wait, 900), false)
	case opPoll:
		g.poll(in.e, in.inner[0], in.inner[1])
	}
}

func (g *generator) add(s section, r row) int {
	g.rows[s] = append(g.rows[s], r)
	return len(g.rows[s]) - 1
}

// push opens a frame, an op or an annotation.
func (g *generator) push(e *entry) {
	g.now += 250 + g.rand(900)
	r := row{e: e, ts: g.now, c: g.nextEvent}
	g.nextEvent++
	f := open{sec: opSection, external: g.external, frame: g.frame}
	if e.cat == catPython {
		g.nextPython++
		f.sec = pySection
		r.a, r.b = g.nextPython, g.frame
		g.frame = g.nextPython
	} else {
		r.a = g.nextExternal
		g.external = g.nextExternal
		g.nextExternal++
		if e.cat == catAnnotation {
			g.spans = append(g.spans, span{})
		}
	}
	f.index = g.add(f.sec, r)
	g.stack = append(g.stack, f)
}

// pop ends the innermost frame.
func (g *generator) pop() {
	g.now += 120 + g.rand(400)
	f := g.stack[len(g.stack)-1]
	g.stack = g.stack[:len(g.stack)-1]
	r := &g.rows[f.sec][f.index]
	r.dur = g.now - r.ts
	g.external, g.frame = f.external, f.frame
	if r.e.cat != catAnnotation {
		return
	}
	s := g.spans[len(g.spans)-1]
	g.spans = g.spans[:len(g.spans)-1]
	if s.first != 0 {
		// Kineto makes the device side one nanosecond longer at both ends.
		e := g.cat.gpuAnnotation(r.e.name)
		g.done = append(g.done, row{e: e, ts: s.first - 1, dur: s.last - s.first + 2, a: r.a})
	}
}

// call adds a runtime or driver call and returns its correlation id.
func (g *generator) call(e *entry, dur int64, flow bool) uint32 {
	g.now += 300 + g.rand(700)
	g.correlation += 1 + uint32(g.rand(8))
	ext := g.external
	if e.name == "cudaGraphLaunch" {
		ext = 0 // no op is open around a replay
	}
	g.add(deviceSection, row{e: e, ts: g.now, dur: dur, a: ext, b: g.correlation, flow: flow})
	g.now += dur
	return g.correlation
}

// launch adds a call and the kernel, copy or set it starts; every fourth pair
// gets its arrow. Kineto writes the GPU row first.
func (g *generator) launch(in *instr) {
	g.launches++
	flow := g.launches%4 == 0
	at := g.add(deviceSection, row{})
	corr := g.call(in.e, 2800+g.rand(3600), flow)
	r := g.device(in, 0)
	r.a, r.b, r.flow = g.external, corr, flow
	g.rows[deviceSection][at] = r
}

// device schedules a GPU row behind everything its stream already holds.
func (g *generator) device(in *instr, delay int64) row {
	e := in.gpu
	start := max(g.now+delay+900+g.rand(700), g.free[e.stream]+550+g.rand(500))
	// Durations come in the 32 ns ticks of the GPU's timer.
	dur := (in.ns + g.rand(uint64(in.ns/8+64))) &^ 31
	dur = max(dur, 640)
	g.free[e.stream] = start + dur
	for i := range g.spans {
		s := &g.spans[i]
		if s.first == 0 || start < s.first {
			s.first = start
		}
		s.last = max(s.last, start+dur)
	}
	return row{e: e, ts: start, dur: dur, bytes: in.bytes}
}

// poll adds what the receiving thread did while the main thread went on.
func (g *generator) poll(outer, first, second *entry) {
	ts := g.now - 15_000 - g.rand(4000)
	id := g.nextPython + 1
	g.nextPython += 3
	for i, r := range [3]row{
		{e: outer, ts: ts, dur: 12_000 + g.rand(1500), a: id},
		{e: first, ts: ts + 900, dur: 3000 + g.rand(900), a: id + 1, b: id},
		{e: second, ts: ts + 5200, dur: 4000 + g.rand(900), a: id + 2, b: id},
	} {
		r.c = g.nextEvent + uint32(i)
		g.add(pollSection, r)
	}
	g.nextEvent += 3
}

// annotationRows renders the device side of all annotations, which Kineto
// writes after every other GPU row.
func (g *generator) annotationRows() {
	b := g.text[deviceSection]
	for i := range g.done {
		b = g.appendRow(b, &g.done[i])
	}
	g.text[deviceSection] = b
}
