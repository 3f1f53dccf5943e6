package synth

import (
	"strconv"
	"strings"
)

// category is the cat of a row, or its ph where a row has no cat.
type category uint8

const (
	catOp category = iota
	catAnnotation
	catPython
	catRuntime
	catDriver
	catKernel
	catMemcpy
	catMemset
	catFlow
	catGPUAnnotation
	catOverhead
	catTrace
	catMeta
	catInstant
	numCats
)

var catName = [numCats]string{
	"cpu_op", "user_annotation", "python_function", "cuda_runtime", "cuda_driver",
	"kernel", "gpu_memcpy", "gpu_memset", "ac2g", "gpu_user_annotation", "overhead", "Trace", "M", "i",
}

var catPh = [numCats]string{
	"X", "X", "X", "X", "X", "X", "X", "X", "f", "X", "X", "X", "M", "i",
}

// entry is everything that is equal in all rows of one name on one thread or
// stream, rendered once.
type entry struct {
	cat    category
	stream uint8  // index of the stream, for GPU rows
	head   []byte // from the opening brace to the value of ts
	mid    []byte // args up to the correlation
	tail   []byte // args after the last id, or before the event index
	name   string
	used   bool
}

// catalog interns entries.
type catalog struct {
	x       *syntax
	rank    int
	entries map[entryKey]*entry
}

type entryKey struct {
	cat  category
	tid  int
	name string
	tail string
}

func newCatalog(x *syntax, rank int) *catalog {
	return &catalog{x: x, rank: rank, entries: map[entryKey]*entry{}}
}

// usedNames counts the distinct names that were rendered.
func (c *catalog) usedNames() int {
	names := map[string]bool{}
	for _, e := range c.entries {
		if e.used {
			names[e.name] = true
		}
	}
	return len(names)
}

// intern returns the entry with this key, making it on first use. mid and tail
// are args text as the classic layout spells it.
func (c *catalog) intern(cat category, pid, tid int, name, mid, tail string) *entry {
	key := entryKey{cat, tid, name, tail}
	if e := c.entries[key]; e != nil {
		return e
	}
	if c.x.trim {
		mid, tail = squeeze(mid), squeeze(tail)
	}
	head := c.x.open + catName[cat] + c.x.name + name + c.x.pid + strconv.Itoa(pid) +
		c.x.tid + strconv.Itoa(tid) + c.x.ts
	e := &entry{cat: cat, head: []byte(head), mid: []byte(mid), tail: []byte(tail), name: name}
	c.entries[key] = e
	return e
}

const evIdx = `, "Ev Idx": `

func (c *catalog) op(name, args string) *entry {
	return c.intern(catOp, c.pid(), c.pid(), name, "", `,"Record function id": 0`+args+evIdx)
}

func (c *catalog) annotation(name string) *entry {
	return c.intern(catAnnotation, c.pid(), c.pid(), name, "", `,"Record function id": 0`+evIdx)
}

// python is a frame of a host thread. Frames of modules carry the number of the
// instance, which their name ends with.
func (c *catalog) python(tid int, name string) *entry {
	tail := evIdx
	if strings.HasPrefix(name, "nn.Module: ") {
		tail = `, "Python module id": ` + name[strings.LastIndexByte(name, '_')+1:] + evIdx
	}
	return c.intern(catPython, c.pid(), tid, name, "", tail)
}

// call is a CUDA runtime or driver call.
func (c *catalog) call(name string) *entry {
	cat := catRuntime
	if strings.HasPrefix(name, "cu") && !strings.HasPrefix(name, "cuda") {
		cat = catDriver
	}
	mid := `      "cbid": ` + strconv.Itoa(callbackID[name]) + `, "correlation": `
	return c.intern(cat, c.pid(), c.pid(), name, mid, "")
}

// gpu is a kernel, copy or set on a stream.
func (c *catalog) gpu(cat category, name string, stream uint8, tail string) *entry {
	mid := `      `
	if cat == catKernel {
		mid += `"queued": 0, `
	}
	id := strconv.Itoa(streamID[stream])
	mid += `"device": ` + strconv.Itoa(c.rank) + `, "context": 1,      "stream": ` + id + `, "correlation": `
	e := c.intern(cat, c.rank, streamID[stream], name, mid, tail)
	e.stream = stream
	return e
}

// overhead is time the profiler itself cost.
func (c *catalog) overhead(name string) *entry {
	return c.intern(catOverhead, -1, 0, name, "", "")
}

// gpuAnnotation is the device side of an annotation.
func (c *catalog) gpuAnnotation(name string) *entry {
	return c.intern(catGPUAnnotation, c.rank, streamID[mainStream], name, "", "")
}

// pid is the process and main thread of the worker.
func (c *catalog) pid() int { return 4233 + c.rank }

// pollTID is the thread that receives requests.
func (c *catalog) pollTID() int { return c.pid() + 512 }

const (
	mainStream = uint8(iota)
	copyStream
	commStream
	numStreams
)

// streamID is the CUPTI stream id of each stream.
var streamID = [numStreams]int{7, 13, 21}

// callbackID is CUPTI's number of each call.
var callbackID = map[string]int{
	"cudaLaunchKernel": 211, "cudaLaunchKernelExC": 430, "cuLaunchKernelEx": 652, "cuLaunchKernel": 307,
	"cudaMemcpyAsync": 41, "cudaMemsetAsync": 51, "cudaGraphLaunch": 311, "cudaStreamIsCapturing": 317,
	"cudaEventRecord": 135, "cudaEventRecordWithFlags": 370, "cudaStreamWaitEvent": 147,
	"cudaEventSynchronize": 137, "cudaEventQuery": 138, "cudaFuncSetAttribute": 273,
}
