package nsys

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Lines as nsys 2025.3.2 writes them (captures of vLLM; identifiers shortened),
// and in the spelling of 2019 that numbers its strings by lines of their own.
const (
	stringLine = `{"data":["","void k<(int)1>(float *)","cudaLaunchKernel_v7000","ncclAllGather","VLLM::Worker_TP"],"files":[]}`
	threadLine = `{"data":[{"nameIdx":"4","priority":"20","globalTid":"281557889717070"}]}`
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
)

func readText(tb testing.TB, text string) (*Export, *taken, error) {
	tb.Helper()
	t := newTaken()
	x, err := Read(context.Background(), Source{R: strings.NewReader(text)}, Options{TempDir: tb.TempDir()}, t.sink)
	return x, t, err
}

func TestLines(t *testing.T) {
	for _, order := range []string{"strings first", "strings last"} {
		events := []string{domainLine, nodeLine, kernelLine, bareLine, copyLine, setLine, graphLine, callLine, rangeLine, ncclLine, commLine, syncLine, threadLine}
		if order == "strings first" {
			events = append([]string{stringLine}, events...)
		} else {
			events = append(events, stringLine)
		}
		x, got, err := readText(t, strings.Join(events, "\n")+"\n")
		if err != nil {
			t.Fatal(order, err)
		}
		var b strings.Builder
		for _, r := range got.all {
			fmt.Fprintf(&b, "%d %d-%d p%d %d/%d d%d s%d c%d %q %q %dB n%d g%d/%d\n", r.Kind, r.Start, r.End, r.Process, r.Pid, r.Thread, r.Device, r.Stream, r.Corr,
				x.Names[r.Domain], x.Names[r.Name], r.Bytes, r.Node, r.Graph, r.Exec)
		}
		const want = `0 33222488-33223224 p281557889712128 0/0 d1 s17 c30951 "" "void k<(int)1>(float *)" -1B n2083059138712 g0/0
0 33222488-33223224 p281557889712128 0/0 d0 s0 c0 "" "void k<(int)1>(float *)" -1B n0 g0/0
1 32563031-32563927 p281557889712128 0/0 d0 s17 c30847 "" "Memcpy HtoD (Pinned -> Device)" 4B n0 g0/0
2 47829581-47830381 p281557889712128 0/0 d0 s17 c31429 "" "Memset (Device)" 4B n0 g0/0
3 119023500-120693895 p281495310696448 0/0 d0 s7 c40406 "" "" -1B n0 g367/368
4 32138751-32167151 p281557889712128 4942/4942 d0 s0 c30824 "" "cudaLaunchKernel" -1B n0 g0/0
6 32101116-64256175 p281557889712128 4942/4942 d0 s0 c0 "" "execute_context_1(710)_generation_0(0)" -1B n0 g0/0
6 63990740-64080238 p281557889712128 4942/4942 d0 s0 c0 "NCCL" "ncclAllGather" 128256B n0 g0/0
`
		if b.String() != want {
			t.Errorf("%s:\n%s", order, b.String())
		}
		if x.Threads[ThreadID{4942, 4942}] != "VLLM::Worker_TP" || x.Processes[281557889712128] != "VLLM::Worker_TP" || x.Nodes[NodeID{281557889712128, 2083059138712}] != 4294967297 {
			t.Errorf("%s: %v %v %v", order, x.Threads, x.Processes, x.Nodes)
		}
		if x.HasEpoch || x.Truncated || x.Skipped != 0 || x.Events != 8 || strings.Contains(fmt.Sprintf("%+v", x), "canary") {
			t.Errorf("%s: %+v", order, x)
		}
	}
}

func TestSeparateStrings(t *testing.T) {
	x, got, err := readText(t, `{"type":"String","id":"1","value":"k \"quoted\" \u00b5"}`+"\n"+kernelLine+"\n"+`{"type":"ThreadName","globalTid":"281557889717070","nameId":"1","priority":"10"}`+"\n")
	if err != nil || x.Names[got.all[0].Name] != `k "quoted" µ` || x.Threads[ThreadID{4942, 4942}] != `k "quoted" µ` {
		t.Errorf("%v %+v", err, x)
	}
}

// damaged are lines gone wrong, between two kernels that must survive them.
var damaged = []struct {
	what, text string
	skipped    int64
	truncated  string
	kernels    int
}{
	{"noise", stringLine + "\n" + kernelLine + "\nnoise\n" + kernelLine + "\n", 1, "", 2},
	{"half a line", stringLine + "\n" + kernelLine + "\n" + copyLine[:60] + "\n" + kernelLine + "\n", 1, "", 2},
	{"deep nesting", stringLine + "\n" + kernelLine + "\n" + strings.Repeat(`{"a":`, 100) + "\n" + kernelLine + "\n", 1, "", 2},
	{"a line of 3 MiB", stringLine + "\n" + kernelLine + "\n{\"a\":\"" + strings.Repeat("x", 3<<20) + "\"}\n" + kernelLine + "\n", 1, "", 2},
	{"a string of 3 MiB", `{"data":["` + strings.Repeat("x", 3<<20) + `"]}` + "\n" + kernelLine + "\n", 0, "", 1},
	{"end before start", stringLine + "\n" + strings.Replace(kernelLine, "33223224", "3", 1) + "\n" + kernelLine + "\n", 1, "", 1},
	{"blank lines", stringLine + "\n\n \n" + kernelLine + "\n\n", 0, "", 1},
	{"no last line end", stringLine + "\n" + kernelLine, 0, "", 1},
	{"cut in a line", stringLine + "\n" + kernelLine + "\n" + kernelLine[:200], 0, "the text ends inside a line", 1},
	{"cut in a table", kernelLine + "\n" + stringLine[:40], 0, "the text ends inside a table", 1},
}

func TestDamagedLines(t *testing.T) {
	for _, d := range damaged {
		x, got, err := readText(t, d.text)
		if err != nil {
			t.Errorf("%s: %v", d.what, err)
			continue
		}
		if x.Skipped != d.skipped || got.rows[Kernel] != d.kernels || x.TruncatedBy != d.truncated || x.Truncated != (d.truncated != "") || (d.skipped > 0) != (len(x.Damage) > 0) {
			t.Errorf("%s: %d kernels, %+v", d.what, got.rows[Kernel], x)
		}
		for _, dm := range x.Damage {
			if at := strings.Index(d.text, "\n"+kernelLine) + 1 + len(kernelLine) + 1; dm.Offset != int64(at) && d.what != "end before start" {
				t.Errorf("%s: damage at %d, want %d", d.what, dm.Offset, at)
			}
		}
	}
}

// TestGzip packs exports, cuts and spoils them.
func TestGzip(t *testing.T) {
	database, err := os.ReadFile(small(t))
	if err != nil {
		t.Fatal(err)
	}
	text := stringLine + "\n" + strings.Repeat(kernelLine+"\n", 3000)
	for _, c := range []struct{ form, text string }{{"nsys.sqlite.gz", string(database)}, {"nsys.jsonl.gz", text}} {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = io.WriteString(z, c.text)
		_ = z.Close()
		x, _, err := readText(t, b.String())
		if err != nil || x.Events != 3000 || x.Format != c.form || x.Truncated || x.FileBytes != int64(b.Len()) || x.RawBytes != int64(len(c.text)) {
			t.Errorf("%s: %v %+v", c.form, err, x)
		}
		x, _, err = readText(t, b.String()[:b.Len()*3/4])
		if err != nil || x.Events >= 3000 || x.Events == 0 || !x.Truncated || !strings.Contains(x.TruncatedBy, "ends") && !strings.Contains(x.TruncatedBy, "the database has") {
			t.Errorf("%s cut: %v %+v", c.form, err, x)
		}
		spoiled := bytes.Clone(b.Bytes())
		spoiled[len(spoiled)-6] ^= 1
		x, _, err = readText(t, string(spoiled))
		if err != nil || x.Events != 3000 || !x.Truncated || x.TruncatedBy != "the checksum of the gzip stream does not match" {
			t.Errorf("%s spoiled: %v %+v", c.form, err, x)
		}
	}
}

// TestNothingLeft reads a packed database and looks for what it left behind.
func TestNothingLeft(t *testing.T) {
	database, err := os.ReadFile(small(t))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for range 2 {
		if _, err := Read(context.Background(), Source{R: bytes.NewReader(database)}, Options{TempDir: dir}, func(*Row) {}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		if _, err := Read(ctx, Source{R: bytes.NewReader(database)}, Options{TempDir: dir}, func(*Row) { cancel() }); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		cancel()
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 0 {
		t.Error(left)
	}
}

// TestLinesOfOthers reads what other versions write: numbers for text, what is
// 0 left out, names by number, strings behind the events that use them.
func TestLinesOfOthers(t *testing.T) {
	events := []string{
		`{"Type":79,"CudaEvent":{"startNs":100,"endNs":200,"globalPid":281557889712128,"kernel":{"mangledName":"1"}}}`,
		`{"Type":80,"CudaEvent":{"startNs":"100","endNs":"200","globalPid":"281557889712128","memcpy":{"copyKind":"CUDA_MEMCPY_KIND_HTOD","dstKind":2}}}`,
		`{"Type":80,"CudaEvent":{"startNs":"100","endNs":"200","globalPid":"281557889712128","memcpy":{"copyKind":8}}}`,
		`{"Type":80,"CudaEvent":{"startNs":"100","endNs":"200","globalPid":"281557889712128","memset":{"sizebytes":16}}}`,
		`{"Type":152,"TraceProcessEvent":{"startNs":"90","endNs":"95","correlationId":7,"eventClass":26,"name":2,"globalTid":281557889717070}}`,
		`{"Type":47,"TraceProcessEvent":{"startNs":"90","endNs":"95","eventClass":27,"name":2,"globalTid":281557889717070}}`,
		`{"Type":75,"NvtxEvent":{"Timestamp":"-5","TextId":3,"GlobalTid":"281557889717070","DomainId":2}}`,
		`{"Type":60,"NvtxEvent":{"Timestamp":"80","EndTimestamp":"400","Text":"as \"text\"","GlobalTid":"281557889717070","EndGlobalTid":"281557889717099","RangeId":"9","DomainId":2}}`,
		`{"Type":59,"NvtxEvent":{"Type":59,"Timestamp":"81","GlobalTid":"281557889717070","JsonText":"{\"Text\":1}"}}`,
		`{"Type":34,"NvtxEvent":{"Type":34,"Timestamp":"82","TextId":"3","GlobalTid":"281557889717070"}}`,
		`{"Type":59,"NvtxEvent":{"Type":59,"Timestamp":"-9","EndTimestamp":"-8","Text":"before","GlobalTid":"281557889717070"}}`,
	}
	strs := []string{`{"type":"String","id":"1","value":"_Z1kv"}`, `{"type":"String","id":2,"value":"cuLaunchKernelEx"}`, `{"type":"String","id":"3","value":"dom"}`}
	table := `{"data":["zero","_Z1kv","cuLaunchKernelEx","dom"]}`
	const want = `kernel 100-200 p1/4942 0/0 d0 s0 c0 "_Z1kv"
copy 100-200 p1/4942 0/0 d0 s0 c0 "Memcpy HtoD (Pageable -> Device)" 0 bytes
copy 100-200 p1/4942 0/0 d0 s0 c0 "Memcpy DtoD" 0 bytes
set 100-200 p1/4942 0/0 d0 s0 c0 "Memset" 16 bytes
call 90-95 p1/4942 4942/4942 d0 s0 c7 "cuLaunchKernelEx"
range 80-400 p1/4942 4942/4942 d0 s0 c0 "dom" "as \"text\""
range 81-81 p1/4942 4942/4942 d0 s0 c0 "" open
mark 82-82 p1/4942 4942/4942 d0 s0 c0 "dom"
`
	for what, lines := range map[string][]string{
		"strings first": append(slices.Clone(strs), events...), "strings last": append(slices.Clone(events), strs...),
		"table first": append([]string{table}, events...), "table last": append(slices.Clone(events), table),
	} {
		x, got, err := readText(t, strings.Join(lines, "\n")+"\n")
		if err != nil {
			t.Fatal(what, err)
		}
		if text := told(x, got.all); text != want || x.Early != 1 || x.Skipped != 0 {
			t.Errorf("%s: %d early, %v\n%s", what, x.Early, x.Damage, text)
		}
	}
}
