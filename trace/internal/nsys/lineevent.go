package nsys

import (
	"bytes"
	"strings"

	"tokprof/trace/internal/nsys/jsontext"
)

// lineEvent is what the fields of one line say.
type lineEvent struct {
	eventNumbers
	kind             string // "type" of a table's row
	id               int64
	text, comm, data []byte
}

// eventNumbers is what a line says beside its texts.
type eventNumbers struct {
	payload, record             string // object below CudaEvent; outermost object
	typ, start, end, class      int64
	corr, device, stream        int64
	pid, tid                    uint64
	name, demangled             int64
	short, mangled              int64
	node, original, graph, exec int64
	bytes, copyKind, from, to   int64
	textID, domain              int64
	hasEnd, hasText             bool
}

func newLineEvent() lineEvent {
	return lineEvent{eventNumbers: eventNumbers{typ: -1, name: -1, demangled: -1, short: -1, mangled: -1, bytes: -1, from: -1, to: -1, textID: -1}}
}

// message is the size of an NCCL message, -1 when the line tells none.
func (e *lineEvent) message() int64 {
	if len(e.data) == 0 {
		return -1
	}
	return PayloadSchemas(nil).Bytes(e.domain, e.data)
}

// set takes one field. Nothing of what belongs to a process but its name is
// ever taken: not its command line, its directory or its environment.
func (e *lineEvent) set(object, key, v []byte) {
	n, isInt := jsontext.Integer(v)
	if object == nil {
		e.top(string(key), v, n)
		return
	}
	for _, known := range payloads {
		if string(object) == known {
			e.payload = known
		}
	}
	if e.record == "" {
		e.record = recordName(object)
	}
	switch string(key) {
	case "Text":
		e.text, e.hasText = v, true
		return
	case "Commname":
		e.comm = v
		return
	case "Data":
		e.data = v
		return
	case "copyKind":
		e.copyKind = copyKindOf(v, n, isInt)
		return
	}
	if isInt {
		e.number(key, n)
	}
}

// payloads are the objects below CudaEvent.
var payloads = []string{"kernel", "memcpy", "memset", "graph", "sync", "cudaEventRecord"}

// recordName is the outermost object's key.
func recordName(key []byte) string {
	for _, known := range []string{"CudaEvent", "TraceProcessEvent", "NvtxEvent", "CommEvent"} {
		if string(key) == known {
			return known
		}
	}
	return string(key)
}

// top takes a field that stands in no object: one of a row of a table.
func (e *lineEvent) top(key string, v []byte, n int64) {
	switch key {
	case "type":
		e.kind = string(v)
	case "Type":
		if e.typ < 0 {
			e.typ = n
		}
	case "id":
		e.id = n
	case "value":
		e.data = v
	case "globalTid":
		e.tid = uint64(n)
	case "nameId", "nameIdx":
		e.name = n
	}
}

func (e *lineEvent) number(key []byte, n int64) {
	switch string(key) {
	case "Type":
		e.typ = n
	case "startNs", "Timestamp":
		e.start = n
	case "endNs", "EndTimestamp":
		e.end, e.hasEnd = n, true
	case "eventClass":
		e.class = n
	case "correlationId":
		e.corr = n
	case "deviceId":
		e.device = n
	case "streamId":
		e.stream = n
	case "globalPid", "GlobalPid":
		e.pid = uint64(n)
	case "globalTid", "GlobalTid":
		e.tid = uint64(n)
	case "name":
		e.name = n
	case "demangledName":
		e.demangled = n
	case "shortName":
		e.short = n
	case "mangledName":
		e.mangled = n
	case "graphNodeId":
		e.node = n
	case "originalGraphNodeId":
		e.original = n
	case "graphId":
		e.graph = n
	case "graphExecId":
		e.exec = n
	case "sizebytes":
		e.bytes = n
	case "srcKind", "memKind":
		e.from = n
	case "dstKind":
		e.to = n
	case "TextId":
		e.textID = n
	case "DomainId":
		e.domain = n
	}
}

// copyKindOf reads a copy kind by its number or by the end of its symbol
// (CUDA_MEMCPY_KIND_HTOD).
func copyKindOf(v []byte, n int64, isInt bool) int64 {
	if isInt {
		return n
	}
	for kind, name := range copyKinds {
		if bytes.HasSuffix(v, []byte("_"+strings.ToUpper(name))) && kind <= 10 {
			return kind
		}
	}
	return 0
}
