package synth

import "strconv"

// row is one event that has not been rendered yet.
type row struct {
	e       *entry
	ts, dur int64
	// a, b and c are, for host frames, External id or Python id, parent id and
	// event index; for calls and GPU rows External id and correlation.
	a, b, c uint32
	flow    bool  // an ac2g row with the same correlation follows
	bytes   int64 // size of a copy or set
}

// section is a part of a segment: Kineto writes the ops of the main thread, its
// Python frames, those of other threads and then calls and GPU rows.
type section int

const (
	opSection section = iota
	pySection
	pollSection
	deviceSection
	numSections
)

// render appends the rows of a step to the text of their sections.
func (g *generator) render() {
	for s := range g.rows {
		b := g.text[s]
		for i := range g.rows[s] {
			r := &g.rows[s][i]
			if section(s) == pySection && g.o.DamageEvery > 0 {
				r.e = g.damage(r.e)
			}
			b = g.appendRow(b, r)
		}
		g.text[s] = b
		g.rows[s] = g.rows[s][:0]
	}
}

// appendRow appends one row and the flow that belongs to it. Only overhead rows
// have no args.
func (g *generator) appendRow(b []byte, r *row) []byte {
	e, x := r.e, g.x
	b = append(b, e.head...)
	b = appendMicros(b, r.ts, x.trim)
	b = append(b, x.dur...)
	b = appendMicros(b, r.dur, x.trim)
	if e.cat == catOverhead {
		g.count(e, r)
		return append(b, x.bare...)
	}
	b = append(b, x.args...)
	switch e.cat {
	case catPython:
		b = append(b, g.keys.parent...)
		if r.b == 0 {
			b = append(b, "null"...)
		} else {
			b = strconv.AppendUint(b, uint64(r.b), 10)
		}
		b = append(b, g.keys.python...)
		b = strconv.AppendUint(b, uint64(r.a), 10)
		b = append(b, e.tail...)
		b = strconv.AppendUint(b, uint64(r.c), 10)
	case catOp, catAnnotation:
		b = append(b, g.keys.external...)
		b = strconv.AppendUint(b, uint64(r.a), 10)
		b = append(b, e.tail...)
		b = strconv.AppendUint(b, uint64(r.c), 10)
	case catGPUAnnotation:
		b = append(b, g.keys.external...)
		b = strconv.AppendUint(b, uint64(r.a), 10)
	default:
		b = g.appendDeviceArgs(b, e, r)
	}
	b = append(b, x.end...)
	g.count(e, r)
	if r.flow {
		b = g.appendFlow(b, r)
	}
	return b
}

// appendDeviceArgs appends the args of calls and GPU rows.
func (g *generator) appendDeviceArgs(b []byte, e *entry, r *row) []byte {
	if r.a != 0 {
		b = append(b, g.keys.external...)
		b = strconv.AppendUint(b, uint64(r.a), 10)
		b = append(b, ',')
	}
	b = append(b, e.mid...)
	b = strconv.AppendUint(b, uint64(r.b), 10)
	b = append(b, e.tail...)
	if e.cat == catMemcpy || e.cat == catMemset {
		b = append(b, g.keys.bytes...)
		b = strconv.AppendInt(b, r.bytes, 10)
		b = append(b, g.keys.bandwidth...)
		b = strconv.AppendFloat(b, float64(r.bytes)/float64(r.dur), 'f', -1, 64)
	}
	return b
}

// appendFlow appends the arrow's start at a call or its end at a GPU row.
func (g *generator) appendFlow(b []byte, r *row) []byte {
	f := &g.x.flow
	ph, end, pid, tid := byte('s'), f[5], g.cat.pid(), g.cat.pid()
	if r.e.cat >= catKernel {
		ph, end, pid, tid = 'f', f[6], g.o.Rank, streamID[r.e.stream]
	} else {
		g.flowStarts++
	}
	b = append(b, f[0]...)
	b = append(b, ph)
	b = append(b, f[1]...)
	b = strconv.AppendUint(b, uint64(r.b), 10)
	b = append(b, f[2]...)
	b = strconv.AppendInt(b, int64(pid), 10)
	b = append(b, f[3]...)
	b = strconv.AppendInt(b, int64(tid), 10)
	b = append(b, f[4]...)
	b = appendMicros(b, r.ts, g.x.trim)
	g.byCat[catFlow]++
	g.stats.Events++
	return append(b, end...)
}

// damage returns the entry to render for a Python frame of the main thread:
// every Nth time one whose name breaks the file.
func (g *generator) damage(e *entry) *entry {
	g.pythonRows++
	if g.pythonRows%g.o.DamageEvery != 0 {
		return e
	}
	g.stats.Damaged++
	return g.damaged[g.stats.Damaged%2]
}

// count adds a rendered row to the statistics.
func (g *generator) count(e *entry, r *row) {
	e.used = true
	st := &g.stats
	st.Events++
	g.byCat[e.cat]++
	st.SumTS += uint64(r.ts)
	st.SumDur += uint64(r.dur)
	if st.FirstNS == 0 || r.ts < st.FirstNS {
		st.FirstNS = r.ts
	}
	st.LastNS = max(st.LastNS, r.ts+r.dur)
	switch e.cat {
	case catPython:
		return
	case catKernel, catMemcpy, catMemset:
		st.KernelNS += r.dur
	}
	st.SumExternalID += uint64(r.a)
	if e.cat >= catRuntime && e.cat <= catMemset {
		st.SumCorrelation += uint64(r.b)
	}
	if e.cat == catKernel {
		st.Kernels++
	}
}
