package scrub

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
)

// safeObject is the keys that a copied object of JSON lines may have.
type safeObject map[string]safeValue

// safeValue is an object below a key, or what its value may be.
type safeValue struct {
	object safeObject
	holds  holds
}

func keys(numbers string, other safeObject) safeObject {
	out := safeObject{}
	for _, n := range strings.Fields(numbers) {
		out[n] = safeValue{}
	}
	for k, v := range other {
		out[k] = v
	}
	return out
}

func below(o safeObject) safeValue { return safeValue{object: o} }
func held(h holds) safeValue       { return safeValue{holds: h} }

// safeLine is the keys of the lines of a scrubbed copy.
var safeLine = keys("Type", safeObject{
	"CudaEvent": below(keys("startNs endNs correlationId deviceId contextId greenContextId streamId eventClass globalPid", safeObject{
		"kernel": below(keys("gridX gridY gridZ blockX blockY blockZ staticSharedMemory dynamicSharedMemory localMemoryPerThread "+
			"localMemoryTotal gridId registersPerThread sharedMemoryExecuted cacheConfig launched launchType sharedMemoryConfig "+
			"sharedMemoryLimitConfig clusterX clusterY clusterZ clusterSchedulingPolicy maxPotentialClusterSize maxActiveClusters "+
			"graphNodeId graphId", safeObject{"demangledName": held(nameID), "shortName": held(nameID), "mangledName": held(nameID)})),
		"memcpy": below(keys("sizebytes srcKind dstKind copyCount srcDeviceId srcContextId dstDeviceId dstContextId migrationCause graphNodeId", safeObject{"copyKind": held(label)})),
		"memset": below(keys("sizebytes value memKind graphNodeId", nil)),
		"graph":  below(keys("graphId graphExecId", nil)),
		"sync":   below(keys("eventId eventSyncId", safeObject{"syncType": held(label)})), "cudaEventRecord": below(keys("eventId eventSyncId", nil)),
	})),
	"TraceProcessEvent": below(keys("startNs endNs correlationId eventClass returnValue32 returnValue64 globalTid nestingLevel", safeObject{
		"name":                  held(nameID),
		"cudaGraphNodeCreation": below(keys("graphNodeId originalGraphNodeId", nil)),
		"cudaGraphCreation":     below(keys("graphId originalGraphId graphExecId", nil)),
	})),
	"NvtxEvent": below(keys("Type Timestamp EndTimestamp GlobalTid EndGlobalTid DomainId NsTime Color CategoryId RangeId", safeObject{
		"Text": held(text), "TextId": held(textID), "Payload": held(message),
	})),
	"CommEvent": below(keys("Timestamp GlobalPid NsTime", safeObject{"Commname": held(text)})),
})

// symbol is a constant of an enumeration.
var symbol = regexp.MustCompile(`^[A-Z][A-Z0-9]*(_[A-Z0-9]+)+$`)

// appendJSON appends a text as a JSON string, its "<" as they are.
func appendJSON(dst []byte, s string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string never fails
	return append(dst, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
}
