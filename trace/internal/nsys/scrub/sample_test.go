package scrub

import (
	"bytes"
	"context"
	"testing"

	"tokprof/trace/internal/nsys"

	"zombiezen.com/go/sqlite"
)

// Lines as nsys 2025.3.2 writes them (captures of vLLM; identifiers shortened).
const (
	kernelLine = `{"Type":79,"CudaEvent":{"startNs":"33222488","endNs":"33223224","correlationId":30951,"deviceId":1,"contextId":"1","streamId":"17","eventClass":3,"globalPid":"281557889712128","greenContextId":"0","kernel":{"demangledName":"1","shortName":"1","mangledName":"1","gridX":1,"graphNodeId":"2083059138712","graphId":485}}}`
	bareLine   = `{"Type":79,"CudaEvent":{"startNs":33222488,"endNs":"33223224","globalPid":"281557889712128","kernel":{"shortName":"1"}}}`
	copyLine   = `{"Type":80,"CudaEvent":{"startNs":"32563031","endNs":"32563927","correlationId":30847,"deviceId":0,"streamId":"17","eventClass":1,"globalPid":"281557889712128","memcpy":{"sizebytes":"4","copyKind":"1","srcKind":1,"dstKind":2,"copyCount":"1"}}}`
	setLine    = `{"Type":80,"CudaEvent":{"startNs":"47829581","endNs":"47830381","correlationId":31429,"deviceId":0,"streamId":"17","eventClass":2,"globalPid":"281557889712128","memset":{"sizebytes":"4","value":0,"memKind":2}}}`
	graphLine  = `{"Type":130,"CudaEvent":{"startNs":"119023500","endNs":"120693895","correlationId":40406,"deviceId":0,"contextId":"1","streamId":"7","eventClass":7,"globalPid":"281495310696448","greenContextId":"0","graph":{"graphId":367,"graphExecId":368}}}`
	callLine   = `{"Type":48,"TraceProcessEvent":{"startNs":"32138751","endNs":"32167151","correlationId":30824,"eventClass":0,"name":"2","returnValue32":0,"globalTid":"281557889717070"}}`
	nodeLine   = `{"Type":113,"TraceProcessEvent":{"startNs":"-9","endNs":"-9","correlationId":0,"eventClass":77,"name":"2","globalTid":"281557889717070","cudaGraphNodeCreation":{"graphNodeId":"2083059138712","originalGraphNodeId":"4294967297"}}}`
	rangeLine  = `{"Type":59,"NvtxEvent":{"Type":59,"Timestamp":"32101116","Text":"execute_context_1(710)_generation_0(0)","GlobalTid":"281557889717070","EndTimestamp":"64256175","DomainId":"0","NsTime":true}}`
	ncclLine   = `{"Type":59,"NvtxEvent":{"Type":59,"Timestamp":"63990740","Payload":{"BinaryData":[{"SchemaId":"16777220","Data":"neAvfF5nqK8A9QEAAAAAAA=="}]},"GlobalTid":"281557889717070","EndTimestamp":"64080238","TextId":3,"DomainId":"1","NsTime":true}}`
	domainLine = `{"Type":75,"NvtxEvent":{"Type":75,"Timestamp":"-44468201422","Text":"NCCL","GlobalTid":"281557889717070","DomainId":"1","NsTime":true}}`
	commLine   = `{"Type":27,"CommEvent":{"Timestamp":"6910713","GlobalPid":"281557889712128","Commname":"VLLM::Worker_TP","WorkDir":"/home/canary-home","NsTime":true,"Args":["--token","canary-arg"],"Command":"canary-command"}}`
	syncLine   = `{"Type":106,"CudaEvent":{"startNs":"32143737","endNs":"32165549","correlationId":30824,"deviceId":0,"streamId":"4294967295","eventClass":5,"globalPid":"281557889712128","sync":{"eventId":6,"syncType":"SYNCHRONIZATION_TYPE_EVENT_SYNCHRONIZE"}}}`

	sumHead = "Time (%),Total Time (ns),Instances,Avg (ns),Med (ns),Min (ns),Max (ns),StdDev (ns),Name\n"
)

// read reads an export that can be read.
func read(tb testing.TB, data []byte) *nsys.Export {
	tb.Helper()
	x, err := nsys.Read(context.Background(), nsys.Source{R: bytes.NewReader(data)}, nsys.Options{TempDir: tb.TempDir()}, func(*nsys.Row) {})
	if err != nil {
		tb.Fatal(err)
	}
	return x
}

// change runs SQL on a database.
func change(tb testing.TB, path string, sql ...string) {
	tb.Helper()
	conn, err := sqlite.OpenConn(path, sqlite.OpenReadWrite, sqlite.OpenCreate)
	if err != nil {
		tb.Fatal(err)
	}
	for _, q := range sql {
		s, _, err := conn.PrepareTransient(q)
		if err != nil {
			tb.Fatalf("%s: %v", q, err)
		}
		for more := true; more; {
			if more, err = s.Step(); err != nil {
				tb.Fatalf("%s: %v", q, err)
			}
		}
		_ = s.Finalize()
	}
	if err := conn.Close(); err != nil {
		tb.Fatal(err)
	}
}
