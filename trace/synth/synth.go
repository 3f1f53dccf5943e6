// Package synth writes synthetic torch-profiler traces: files shaped like the
// ones Kineto writes for a vLLM worker, of any size, whose contents are known
// exactly. Tests compare what a reader found with the Stats returned here;
// benchmarks use it for inputs too large to keep in a repository. Product code
// never imports it.
//
// A trace is a sequence of engine steps. Each kind of step (prefill, decode or
// mixed, at one batch size) is compiled once into a flat list of instructions;
// writing a step runs that list against a host clock and one clock per CUDA
// stream, then renders the resulting rows. Frames nest, launches precede their
// kernels, and kernels of one stream never overlap.
package synth

import (
	"errors"
	"io"
)

// Layout is a way of spelling the same events.
type Layout int

const (
	// Classic is Kineto's layout from 2024 to early 2026: ph, cat, name, pid and
	// tid share a line, ts and dur the next.
	Classic Layout = iota
	// KeyPerLine is the layout since April 2026: one key a line, and a comma
	// alone on a line before "args".
	KeyPerLine
	// Compact is a file rewritten by a tool on one line, without blanks, as
	// Python's json.dump with separators (",", ":") does. Like json.dump it
	// drops the trailing zeros of timestamps.
	Compact
)

// Options chooses what Write generates. The zero value is one eager prefill
// step of a single GPU in the classic layout.
type Options struct {
	Bytes  int64  // stop at the first whole engine step past this many bytes
	Layout Layout // spelling of the events
	Seed   uint64 // equal options with equal seeds give equal bytes
	// Graphs makes decode steps replay CUDA graphs: one cudaGraphLaunch owns
	// hundreds of kernels. Without it every kernel has a launch of its own.
	Graphs bool
	// Rank and WorldSize describe tensor parallelism. With WorldSize above one,
	// layers all-reduce on a second stream that sometimes overlaps the first.
	Rank, WorldSize int
	Layers          int  // transformer layers a step runs; 0 means 16
	MetaLast        bool // displayTimeUnit and baseTimeNanoseconds follow the events, as before March 2025
	// DamageEvery puts unescaped quotes into the name of every Nth
	// python_function row of the main thread, alternately two pairs of them and
	// a single one. The file is then not valid JSON. Zero damages nothing.
	DamageEvery int64
}

// Stats is what a right reader must find in the trace that Write wrote. Times
// are nanoseconds on the trace's own clock: its ts without BaseNS.
type Stats struct {
	Bytes  int64            // length of the whole file
	Events int64            // elements of traceEvents, of every kind
	ByCat  map[string]int64 // events by cat; those without one by their ph
	ByPh   map[string]int64 // events by ph

	Kernels       int64 // rows of cat kernel
	GraphKernels  int64 // those that a cudaGraphLaunch owns
	GraphLaunches int64
	KernelNS      int64 // summed dur of kernel, gpu_memcpy and gpu_memset rows

	BaseNS          int64 // baseTimeNanoseconds
	FirstNS, LastNS int64 // earliest ts and latest ts+dur of all X rows but the Trace span

	Steps, Prefill, Decode, Mixed int // annotated engine steps, and their kinds
	Names                         int // distinct names among X rows, damaged ones included
	Damaged                       int64

	// Sums over all X rows but the Trace span, modulo 2^64. The last two count
	// a row once if it has the argument.
	SumTS, SumDur, SumCorrelation, SumExternalID uint64
}

// segmentBytes bounds what is held back before it is written. Kineto writes all
// host rows before the first GPU row; doing the same for a file of gigabytes
// would need all of it in memory, so the order restarts with each segment.
const segmentBytes = 32 << 20

// Write writes one trace to w.
func Write(w io.Writer, o Options) (Stats, error) {
	if o.WorldSize == 0 {
		o.WorldSize = 1
	}
	if o.Layers == 0 {
		o.Layers = 16
	}
	if o.Layout < Classic || o.Layout > Compact {
		return Stats{}, errors.New("synth: no such layout")
	}
	if o.Rank < 0 || o.Rank >= o.WorldSize || o.Layers < 0 {
		return Stats{}, errors.New("synth: rank, world size or layers out of range")
	}
	g := newGenerator(w, o)
	g.raw(g.header())
	for first := true; first || g.written+g.held() < o.Bytes; first = false {
		g.step()
		if g.held() >= segmentBytes {
			g.flush()
		}
		if g.err != nil {
			return Stats{}, g.err
		}
	}
	g.annotationRows()
	g.flush()
	g.raw(g.trailer())
	return g.result(), g.err
}

// raw writes text that is no event row.
func (g *generator) raw(b []byte) {
	if g.err != nil {
		return
	}
	n, err := g.w.Write(b)
	g.written += int64(n)
	g.err = err
}

// held is the number of rendered bytes not yet written.
func (g *generator) held() int64 {
	var n int
	for i := range g.text {
		n += len(g.text[i])
	}
	return int64(n)
}

// flush writes the held rows, section by section.
func (g *generator) flush() {
	for i := range g.text {
		g.raw(g.text[i])
		g.text[i] = g.text[i][:0]
	}
}

// result completes the statistics.
func (g *generator) result() Stats {
	st := g.stats
	st.Bytes = g.written
	st.BaseNS = baseNS
	st.ByCat = map[string]int64{}
	for c, n := range g.byCat {
		if n > 0 {
			st.ByCat[catName[c]] = n
		}
	}
	st.ByPh = map[string]int64{}
	for c, n := range g.byCat {
		if n > 0 {
			st.ByPh[catPh[c]] += n
		}
	}
	if n := g.flowStarts; n > 0 {
		st.ByPh["s"], st.ByPh["f"] = n, g.byCat[catFlow]-n
	}
	st.Names = g.cat.usedNames()
	return st
}
