package synth

import (
	"fmt"
	"strconv"
	"strings"
)

// header is everything before the first event.
func (g *generator) header() []byte {
	var b strings.Builder
	b.WriteString("\n  {\n    \"schemaVersion\": 1,\n    \"deviceProperties\": [\n")
	for i := range g.o.WorldSize {
		if i > 0 {
			b.WriteString(",\n")
		}
		fmt.Fprintf(&b, `    {
      "id": %d, "name": "NVIDIA H200", "totalGlobalMem": 150109880320,
      "computeMajor": 9, "computeMinor": 0,
      "maxThreadsPerBlock": 1024, "maxThreadsPerMultiprocessor": 2048,
      "regsPerBlock": 65536, "warpSize": 32,
      "sharedMemPerBlock": 49152, "numSms": 132
    , "regsPerMultiprocessor": 65536, "sharedMemPerBlockOptin": 232448, "sharedMemPerMultiprocessor": 233472
    }`, i)
	}
	ranks := make([]int, g.o.WorldSize)
	for i := range ranks {
		ranks[i] = i
	}
	fmt.Fprintf(&b, `
    ],
      "trace_id": "%016X%016X",
      "record_shapes": 1,
      "with_stack": 1,
      "distributedInfo": {"backend": "nccl", "rank": %d, "world_size": %d, "pg_count": 2, "pg_config": [`+
		`{"pg_name": "0", "pg_desc": "default_pg", "backend_config": "cuda:nccl", "pg_size": %d, "ranks": %s}, `+
		`{"pg_name": "3", "pg_desc": "undefined", "backend_config": "cuda:nccl", "pg_size": %d, "ranks": %s}], "nccl_version": "2.28.9"},
      "cuda_driver_version": 13000,
      "cuda_runtime_version": 13000,
      "cupti_version": 130001,
`, g.o.Seed, uint64(g.o.Rank), g.o.Rank, g.o.WorldSize, g.o.WorldSize, list(ranks), g.o.WorldSize, list(ranks))
	if !g.o.MetaLast {
		b.WriteString(clockText)
	}
	b.WriteString("  \"traceEvents\": [\n")
	return g.spell(b.String())
}

var clockText = `  "displayTimeUnit": "ms",
  "baseTimeNanoseconds": ` + strconv.Itoa(baseNS) + `,
`

// spell converts text from the classic layout outside of event rows.
func (g *generator) spell(s string) []byte {
	if g.o.Layout == Compact {
		s = squeeze(s)
	}
	return []byte(s)
}

// trailer is everything after the last row: names of processes and threads, the
// profiler's own span and marks, and the end of the file.
func (g *generator) trailer() []byte {
	var b []byte
	pid := strconv.Itoa(g.cat.pid())
	b = g.process(b, pid, "CPU", g.cat.pid())
	// Kineto names sixteen GPUs however many there are.
	for i := range 16 {
		b = g.process(b, strconv.Itoa(i), "GPU "+strconv.Itoa(i), 5000000+i)
	}
	for s, id := range streamID {
		if g.free[s] > startNS+int64(g.o.Rank)*1871 {
			b = g.thread(b, strconv.Itoa(g.o.Rank), id, fmt.Sprintf("stream %d ", id))
		}
	}
	for _, tid := range []int{g.cat.pid(), g.cat.pollTID()} {
		b = g.thread(b, pid, tid, fmt.Sprintf("thread %d (VLLM::Worker_TP)", tid))
	}
	b = g.marks(b)
	last := "  ],\n"
	if g.o.MetaLast {
		last += clockText
	}
	return append(b, g.spell(last+"  \"traceName\": \"/tmp/trace.pt.trace.json\"\n}")...)
}

func (g *generator) process(b []byte, pid, label string, sort int) []byte {
	b = g.meta(b, "process_name", pid, "0", `"name": "VLLM::Worker_TP`+strconv.Itoa(g.o.Rank)+`"`)
	b = g.meta(b, "process_labels", pid, "0", `"labels": "`+label+`"`)
	return g.meta(b, "process_sort_index", pid, "0", `"sort_index": `+strconv.Itoa(sort))
}

func (g *generator) thread(b []byte, pid string, tid int, name string) []byte {
	t := strconv.Itoa(tid)
	b = g.meta(b, "thread_name", pid, t, `"name": "`+name+`"`)
	return g.meta(b, "thread_sort_index", pid, t, `"sort_index": `+t)
}

// meta appends an M row.
func (g *generator) meta(b []byte, name, pid, tid, args string) []byte {
	g.byCat[catMeta]++
	line := `"name": "` + name + `", "ph": "M", "ts": ` + g.micros(g.stats.FirstNS) + `, "pid": ` + pid + `, "tid": ` + tid
	return g.event(b, line, args)
}

// marks appends the rows that tell of the profiler itself.
func (g *generator) marks(b []byte) []byte {
	first, last := g.micros(g.stats.FirstNS-2000), g.micros(g.stats.LastNS+2000)
	dur := g.micros(g.stats.LastNS - g.stats.FirstNS + 4000)
	g.byCat[catTrace]++
	b = g.event(b, `"ph": "X", "cat": "Trace", "ts": `+first+`, "dur": `+dur+`, "pid": "Spans", "tid": "PyTorch Profiler", "name": "PyTorch Profiler (0)"`,
		`"Op count": 0`)
	g.byCat[catMeta]++
	b = g.event(b, `"name": "process_sort_index", "ph": "M", "ts": `+first+`, "pid": "Spans", "tid": 0`, `"sort_index": 536870912`)
	g.byCat[catInstant] += 2
	b = g.event(b, `"name": "Iteration Start: PyTorch Profiler", "ph": "i", "s": "g", "pid": "Traces", "tid": "Trace PyTorch Profiler", "ts": `+first, "")
	b = g.event(b, `"name": "Record Window End", "ph": "i", "s": "g", "pid": "", "tid": "", "ts": `+last, "")
	end := len(b) - len(",\n")
	if g.o.Layout == Compact {
		return b[:len(b)-1]
	}
	return append(b[:end], '\n')
}

// event appends a row that is written too rarely to be worth an entry.
func (g *generator) event(b []byte, line, args string) []byte {
	g.stats.Events++
	if g.o.Layout == KeyPerLine {
		line = strings.ReplaceAll(line, `, "`, ",\n    \"")
	}
	s := "  {\n    " + line
	switch {
	case args != "" && g.o.Layout == KeyPerLine:
		s += "\n    ,\n    \"args\": {\n      " + args + "\n    }"
	case args != "":
		s += ",\n    \"args\": {\n      " + args + "\n    }"
	}
	return append(b, g.spell(s+"\n  },\n")...)
}

func (g *generator) micros(ns int64) string { return string(appendMicros(nil, ns, g.x.trim)) }
