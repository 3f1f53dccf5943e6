package synth

import "fmt"

// phase is what the requests of a step do.
type phase uint8

const (
	prefill phase = iota
	decode
	mixed
)

// batch is what distinguishes one step from another.
type batch struct {
	phase           phase
	context, prompt int // requests in prefill and their tokens
	generation      int // requests in decode, one token each
}

func (b batch) tokens() int { return b.prompt + b.generation }

func (b batch) requests() int { return b.context + b.generation }

// schedule draws the steps: runs of decode steps of one size, now and then
// interrupted by a new prompt. All ranks of a run draw the same ones.
type schedule struct {
	random     random
	n          int
	generation int
}

var (
	decodeSizes = []int{1, 2, 4, 8, 16, 32, 64, 128}
	promptSizes = []int{512, 700, 1024, 1900, 4096, 8192}
)

// next returns the batch of the next step.
func (s *schedule) next() batch {
	n := s.n
	s.n++
	switch {
	case n%16 == 0:
		s.generation = decodeSizes[s.random.below(uint64(len(decodeSizes)))]
		return batch{phase: prefill, context: 1, prompt: promptSizes[s.random.below(uint64(len(promptSizes)))]}
	case n%16 == 11:
		return batch{
			phase: mixed, context: 2, prompt: promptSizes[s.random.below(3)], generation: s.generation,
		}
	}
	return batch{phase: decode, generation: s.generation}
}

type opcode uint8

const (
	opPush        opcode = iota // begin the host frame e
	opPop                       // end it
	opCall                      // a call that starts nothing
	opLaunch                    // call e starts gpu
	opGraphLaunch               // call e starts the graph kernels that follow
	opGraphKernel
	opAfter // stream waits for other
	opSync  // call e waits for stream on the host
	opPoll  // three rows of the receiving thread
)

// instr is one instruction of a plan.
type instr struct {
	op            opcode
	stream, other uint8
	e, gpu        *entry
	ns            int64 // usual duration of gpu
	bytes         int64
	inner         *[2]*entry // frames within e, for opPoll
}

// plan is a compiled step.
type plan struct{ code []instr }

// planner compiles a step.
type planner struct {
	cat  *catalog
	o    Options
	b    batch
	code []instr
	// inGraph leaves out the host's frames and calls: a replay has none.
	inGraph bool
	// behind is set while the main stream runs ahead of an all-reduce.
	behind bool
}

func compile(c *catalog, o Options, b batch) *plan {
	p := &planner{cat: c, o: o, b: b}
	p.step()
	return &plan{code: p.code}
}

func (p *planner) emit(in instr) { p.code = append(p.code, in) }

// within runs body inside of a host frame.
func (p *planner) within(e *entry, body func()) {
	if !p.inGraph {
		p.emit(instr{op: opPush, e: e})
	}
	if body != nil {
		body()
	}
	if !p.inGraph {
		p.emit(instr{op: opPop})
	}
}

func (p *planner) py(name string, body func()) {
	p.within(p.cat.python(p.cat.pid(), name), body)
}

func (p *planner) module(class string, n int, body func()) {
	p.py(fmt.Sprintf("nn.Module: %s_%d", class, n), body)
}

func (p *planner) op(name string, args string, body func()) {
	p.within(p.cat.op(name, args), body)
}

func (p *planner) call(name string) {
	if !p.inGraph {
		p.emit(instr{op: opCall, e: p.cat.call(name)})
	}
}

// kernel starts k with the given call.
func (p *planner) kernel(call string, k kernel, stream uint8, ns int64) {
	e := p.cat.gpu(catKernel, k.name, stream, k.args)
	if p.inGraph {
		p.emit(instr{op: opGraphKernel, gpu: e, ns: ns})
		return
	}
	p.emit(instr{op: opLaunch, e: p.cat.call(call), gpu: e, ns: ns})
}

// copyBytes starts a copy.
func (p *planner) copyBytes(name string, stream uint8, n int64) {
	p.call("cudaStreamIsCapturing")
	e := p.cat.gpu(catMemcpy, name, stream, "")
	p.emit(instr{op: opLaunch, e: p.cat.call("cudaMemcpyAsync"), gpu: e, ns: 700 + n/40, bytes: n})
}

func (p *planner) set(n int64) {
	e := p.cat.gpu(catMemset, "Memset (Device)", mainStream, "")
	p.emit(instr{op: opLaunch, e: p.cat.call("cudaMemsetAsync"), gpu: e, ns: 700, bytes: n})
}

// after makes one stream wait for another.
func (p *planner) after(stream, other uint8) {
	p.call("cudaEventRecord")
	p.call("cudaStreamWaitEvent")
	p.emit(instr{op: opAfter, stream: stream, other: other})
}
