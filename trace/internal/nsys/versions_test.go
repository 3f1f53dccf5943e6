package nsys

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Processes and threads as exports write them; the second has a number above
// 2^24, of which 24 bits are left.
const (
	rankA   = 1<<48 | 4942<<24
	rankB   = 1<<48 | (20_000_000&0xffffff)<<24
	threadA = rankA | 4942
	threadB = rankB | 77
)

// versions are the tables of exports over the years, and what is read of them.
// Both say the same of two processes whose calls have equal numbers.
var versions = []struct {
	what string
	sql  []string
}{
	{"2022: few columns, older names of tables", []string{
		"CREATE TABLE EXPORT_META_DATA (name TEXT, value TEXT)", "INSERT INTO EXPORT_META_DATA VALUES ('EXPORT_SCHEMA_VERSION', '3.0.1')",
		"CREATE TABLE CAPTURE_META_DATA (name TEXT, value TEXT)", "INSERT INTO CAPTURE_META_DATA VALUES ('CUDA_GRAPH_TRACE_OPTIONS:MODE', 'Node')",
		"CREATE TABLE StringIds (id INTEGER NOT NULL PRIMARY KEY, value TEXT NOT NULL)",
		"CREATE TABLE CUPTI_ACTIVITY_KIND_KERNEL (start INTEGER NOT NULL, end INTEGER NOT NULL, deviceId INTEGER NOT NULL, contextId INTEGER NOT NULL, streamId INTEGER NOT NULL, correlationId INTEGER, globalPid INTEGER, demangledName INTEGER NOT NULL, shortName INTEGER NOT NULL, gridX INTEGER)",
		fmt.Sprintf("INSERT INTO CUPTI_ACTIVITY_KIND_KERNEL VALUES (100, 200, 0, 1, 7, 5, %d, 1, 2, 3), (100, 250, 0, 1, 7, 5, %d, 1, 2, 3)", int64(rankA), int64(rankB)),
		"CREATE TABLE CUPTI_ACTIVITY_KIND_MEMCPY (start INTEGER NOT NULL, end INTEGER NOT NULL, deviceId INTEGER, streamId INTEGER, correlationId INTEGER, globalPid INTEGER, bytes INTEGER, copyKind INTEGER, srcKind INTEGER, dstKind INTEGER)",
		fmt.Sprintf("INSERT INTO CUPTI_ACTIVITY_KIND_MEMCPY VALUES (300, 310, 0, 7, 6, %d, 4096, 1, 0, 2)", int64(rankA)),
		"CREATE TABLE CUPTI_ACTIVITY_KIND_RUNTIME (start INTEGER NOT NULL, end INTEGER NOT NULL, eventClass INTEGER, globalTid INTEGER, correlationId INTEGER, nameId INTEGER)",
		fmt.Sprintf("INSERT INTO CUPTI_ACTIVITY_KIND_RUNTIME VALUES (90, 95, 0, %d, 5, 3), (90, 95, 0, %d, 5, 3)", int64(threadA), int64(threadB)),
		"CREATE TABLE NVTX_EVENTS (start INTEGER NOT NULL, end INTEGER, eventType INTEGER NOT NULL, text TEXT, globalTid INTEGER, endGlobalTid INTEGER, textId INTEGER, domainId INTEGER)",
		fmt.Sprintf("INSERT INTO NVTX_EVENTS VALUES (-5, NULL, 75, 'dom', %d, NULL, NULL, 9), (80, 400, 59, 'outer', %[1]d, NULL, NULL, 0), (85, 96, 59, 'inner', %[1]d, NULL, NULL, 0), (86, 500, 60, NULL, %[1]d, %d, 4, 9), (87, NULL, 59, 'open', %[1]d, NULL, NULL, 0), (88, 89, 59, NULL, %[1]d, NULL, NULL, 0)", int64(threadA), int64(threadB)),
		"CREATE TABLE TARGET_INFO_CUDA_GPU (id INTEGER, name TEXT)", "INSERT INTO TARGET_INFO_CUDA_GPU VALUES (3, 'NVIDIA A100')",
	}},
	{"3.28: all columns, names by number", []string{
		"CREATE TABLE META_DATA_EXPORT (name TEXT, value TEXT)", "INSERT INTO META_DATA_EXPORT VALUES ('EXPORT_SCHEMA_VERSION', '3.28.1')",
		"CREATE TABLE META_DATA_CAPTURE (name TEXT, value TEXT)", "INSERT INTO META_DATA_CAPTURE VALUES ('PROCESS_0:CUDA_GRAPH_TRACE_OPTIONS:MODE', 'Node')",
		"CREATE TABLE StringIds (id INTEGER NOT NULL PRIMARY KEY, value TEXT NOT NULL)",
		"CREATE TABLE CUPTI_ACTIVITY_KIND_KERNEL (start INTEGER NOT NULL, end INTEGER NOT NULL, deviceId INTEGER NOT NULL, contextId INTEGER NOT NULL, greenContextId INTEGER, streamId INTEGER NOT NULL, correlationId INTEGER, globalPid INTEGER, demangledName INTEGER NOT NULL, shortName INTEGER NOT NULL, mangledName INTEGER, graphNodeId INTEGER, graphId INTEGER, clusterX INTEGER, clusterY INTEGER, clusterZ INTEGER, tensorSizeMinusOneElements TEXT, laterColumn BLOB)",
		fmt.Sprintf("INSERT INTO CUPTI_ACTIVITY_KIND_KERNEL VALUES (100, 200, 0, 1, NULL, 7, 5, %d, 1, 2, 2, NULL, NULL, 1, 1, 1, 'x', x'00'), (100, 250, 0, 1, NULL, 7, 5, %d, 1, 2, 2, NULL, NULL, 1, 1, 1, 'x', x'00')", int64(rankA), int64(rankB)),
		"CREATE TABLE CUPTI_ACTIVITY_KIND_MEMCPY (start INTEGER NOT NULL, end INTEGER NOT NULL, deviceId INTEGER NOT NULL, contextId INTEGER, greenContextId INTEGER, streamId INTEGER NOT NULL, correlationId INTEGER, globalPid INTEGER, bytes INTEGER NOT NULL, copyKind INTEGER NOT NULL, srcKind INTEGER, dstKind INTEGER, graphNodeId INTEGER, virtualAddress INTEGER, copyCount INTEGER)",
		fmt.Sprintf("INSERT INTO CUPTI_ACTIVITY_KIND_MEMCPY VALUES (300, 310, 0, 1, NULL, 7, 6, %d, 4096, 1, 0, 2, NULL, NULL, 1)", int64(rankA)),
		"CREATE TABLE CUPTI_ACTIVITY_KIND_RUNTIME (start INTEGER NOT NULL, end INTEGER NOT NULL, eventClass INTEGER NOT NULL, globalTid INTEGER, correlationId INTEGER, nameId INTEGER NOT NULL, returnValue INTEGER NOT NULL, callchainId INTEGER)",
		fmt.Sprintf("INSERT INTO CUPTI_ACTIVITY_KIND_RUNTIME VALUES (90, 95, 26, %d, 5, 3, 0, NULL), (90, 95, 26, %d, 5, 3, 0, NULL)", int64(threadA), int64(threadB)),
		"CREATE TABLE ENUM_NSYS_EVENT_TYPE (id INTEGER NOT NULL PRIMARY KEY, name TEXT, label TEXT)",
		"INSERT INTO ENUM_NSYS_EVENT_TYPE VALUES (159, 'NvtxPushPopRange', ''), (160, 'NvtxStartEndRange', ''), (175, 'NvtxDomainCreate', ''), (176, 'NvtxDomainDestroy', '')",
		"CREATE TABLE NVTX_EVENTS (start INTEGER NOT NULL, end INTEGER, eventType INTEGER NOT NULL, rangeId INTEGER, category INTEGER, color INTEGER, text TEXT, globalTid INTEGER, endGlobalTid INTEGER, textId INTEGER, domainId INTEGER, uint64Value INTEGER, jsonTextId INTEGER, jsonText TEXT, binaryData TEXT)",
		fmt.Sprintf("INSERT INTO NVTX_EVENTS (start, end, eventType, rangeId, text, globalTid, endGlobalTid, textId, domainId, jsonText) VALUES (-5, NULL, 175, NULL, NULL, %d, NULL, 7, 9, NULL), (80, 400, 159, NULL, NULL, %[1]d, NULL, 5, 0, NULL), (85, 96, 159, NULL, NULL, %[1]d, NULL, 6, 0, '{}'), (86, 500, 160, 12, NULL, %[1]d, %d, 4, 9, NULL), (87, NULL, 159, NULL, 'open', %[1]d, NULL, NULL, 0, NULL), (88, 89, 159, NULL, NULL, %[1]d, NULL, NULL, 0, '{\"x\": 1}'), (600, NULL, 176, NULL, NULL, %[1]d, NULL, NULL, 9, NULL)", int64(threadA), int64(threadB)),
		"CREATE TABLE TARGET_INFO_GPU (vmId INTEGER NOT NULL, id INTEGER NOT NULL, name TEXT, busLocation TEXT, uuid TEXT, numaNodeId INTEGER)", "INSERT INTO TARGET_INFO_GPU VALUES (1, 3, 'NVIDIA A100', NULL, NULL, 0)",
	}},
}

// TestVersions reads the same events from exports of different versions.
func TestVersions(t *testing.T) {
	const want = `kernel 100-200 p1/4942 0/0 d0 s7 c5 "void k<(int)1>()"
kernel 100-250 p1/3222784 0/0 d0 s7 c5 "void k<(int)1>()"
copy 300-310 p1/4942 0/0 d0 s7 c6 "Memcpy HtoD (Pageable -> Device)" 4096 bytes
call 90-95 p1/4942 4942/4942 d0 s0 c5 "cudaLaunchKernel"
call 90-95 p1/3222784 3222784/77 d0 s0 c5 "cudaLaunchKernel"
range 80-400 p1/4942 4942/4942 d0 s0 c0 "outer"
range 85-96 p1/4942 4942/4942 d0 s0 c0 "inner"
range 86-500 p1/4942 4942/4942 d0 s0 c0 "dom" "by number"
range 87-87 p1/4942 4942/4942 d0 s0 c0 "open" open
range 88-89 p1/4942 4942/4942 d0 s0 c0 ""
`
	for _, v := range versions {
		path := filepath.Join(t.TempDir(), "x.sqlite")
		change(t, path, append(v.sql, "INSERT INTO StringIds VALUES (0, 'GpuMetrics'), (1, 'void k<(int)1>()'), (2, 'k'), (3, 'cudaLaunchKernel_v7000'), (4, 'by number'), (5, 'outer'), (6, 'inner'), (7, 'dom')")...)
		x, got := mustRead(t, path)
		if text := told(x, got.all); text != want {
			t.Errorf("%s:\n%s", v.what, text)
		}
		if len(x.Damage) != 0 || x.Skipped != 0 || x.GraphMode != "node" || x.GPUs[3] != "NVIDIA A100" || !strings.HasPrefix(x.Schema, "3.") {
			t.Errorf("%s: %+v", v.what, x)
		}
	}
}

// told writes rows down.
func told(x *Export, rows []Row) string {
	kinds := map[Kind]string{Kernel: "kernel", Memcpy: "copy", Memset: "set", GraphRun: "graph", Runtime: "call", Driver: "driver", Range: "range", Mark: "mark", Overhead: "overhead"}
	var b strings.Builder
	for _, r := range rows {
		fmt.Fprintf(&b, "%s %d-%d p%d/%d %d/%d d%d s%d c%d", kinds[r.Kind], r.Start, r.End, r.Process>>48, pidOf(r.Process), r.Pid, r.Thread, r.Device, r.Stream, r.Corr)
		if r.Domain != 0 {
			fmt.Fprintf(&b, " %q", x.Names[r.Domain])
		}
		fmt.Fprintf(&b, " %q", x.Names[r.Name])
		if r.Bytes >= 0 {
			fmt.Fprintf(&b, " %d bytes", r.Bytes)
		}
		if r.Node != 0 || r.Graph != 0 {
			fmt.Fprintf(&b, " node %d graph %d", r.Node, r.Graph)
		}
		if r.Open {
			b.WriteString(" open")
		}
		b.WriteString("\n")
	}
	return b.String()
}

// TestSessionStart leaves out what ended before the session, by every clock
// that an export may have.
func TestSessionStart(t *testing.T) {
	const utc = int64(1795400818610817643)
	for what, c := range map[string]struct {
		meta  string
		clock int64 // when the session began, in the rows
	}{
		"as recorded":            {"('EXPORT_PARAM_TIME_NORMALIZE', 'false'), ('EXPORT_PARAM_TIME_SHIFT', '0')", 0},
		"shifted back":           {"('EXPORT_PARAM_TIME_SHIFT', '-500')", -500},
		"shifted on":             {"('EXPORT_PARAM_TIME_SHIFT', ' 1000000 ')", 1000000},
		"normalised":             {"('EXPORT_PARAM_TIME_NORMALIZE', 'true')", utc},
		"normalised, as number":  {"('EXPORT_PARAM_TIME_NORMALIZE', '1')", utc},
		"normalised and shifted": {"('EXPORT_PARAM_TIME_NORMALIZE', 'True'), ('EXPORT_PARAM_TIME_SHIFT', '700')", utc + 700},
	} {
		path := filepath.Join(t.TempDir(), "x.sqlite")
		makeExport(t, path, 0, 0)
		change(t, path, "INSERT INTO META_DATA_EXPORT VALUES "+c.meta, fmt.Sprintf("INSERT INTO CUPTI_ACTIVITY_KIND_KERNEL (start, end) VALUES (%d, %d), (%d, %d), (%d, %d)",
			c.clock-20, c.clock-10, c.clock-20, c.clock+10, c.clock+20, c.clock+30))
		x, got := mustRead(t, path)
		if x.Early != 1 || len(got.all) != 2 || !x.HasEpoch || got.all[1].Start+x.Epoch != utc+20 {
			t.Errorf("%s: %d early, epoch %d, %+v", what, x.Early, x.Epoch, got.all)
		}
	}
}

// TestOpenRange keeps a range that began before the session and never ended.
func TestOpenRange(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.sqlite")
	makeExport(t, path, 0, 0)
	change(t, path, "CREATE TABLE NVTX_EVENTS (start INTEGER NOT NULL, end INTEGER, eventType INTEGER NOT NULL, text TEXT, globalTid INTEGER)",
		"INSERT INTO NVTX_EVENTS VALUES (-9, NULL, 59, 'serve', 83936257), (-9, -5, 59, 'load', 83936257), (-9, 5, 59, 'warm up', 83936257)")
	x, got := mustRead(t, path)
	if len(got.all) != 2 || x.Names[got.all[0].Name] != "serve" || !got.all[0].Open || x.Names[got.all[1].Name] != "warm up" || x.Early != 1 {
		t.Errorf("%s, %d early", told(x, got.all), x.Early)
	}
}

// TestMessageSizes reads NCCL's payloads by their schema where the export has
// it, and by their layout where it has not.
func TestMessageSizes(t *testing.T) {
	const (
		hash   = "neAvfF5nqK8A9QEAAAAAAA==" // a communicator, 128,256 bytes
		old    = "APUBAAAAAAAAAAAAAAAAAA==" // 128,256 bytes, sum: of NCCL before 2.22
		ranks  = "neAvfF5nqK8CAAAAAQAAAAEAAAAAAAAA"
		schema = "CREATE TABLE NVTX_PAYLOAD_SCHEMA_ENTRIES (domainId INTEGER NOT NULL, schemaId INTEGER NOT NULL, idx INTEGER NOT NULL, type INTEGER, name TEXT, offset INTEGER)"
	)
	for _, c := range []struct {
		what, payload string
		entries       string // of schema 4 in domain 3
		want          int64
	}{
		{"a list", `[{"SchemaId":4,"Data":"` + hash + `"}]`, "", 128256},
		{"a list, numbers as text", `[{"SchemaId":"4","Data":"` + hash + `"}]`, "(3, 4, 0, 18, 'NCCL communicator ID', NULL), (3, 4, 1, 22, 'Message size [bytes]', 8)", 128256},
		{"base64 alone", hash, "(3, 4, 1, 22, 'Message size [bytes]', 8)", 128256},
		{"an older payload", `[{"SchemaId":4,"Data":"` + old + `"}]`, "", -1},
		{"an older payload and its schema", `[{"SchemaId":4,"Data":"` + old + `"}]`, "(3, 4, 0, 22, 'Message size [bytes]', NULL), (3, 4, 1, 5, 'Reduction operation', 8)", 128256},
		{"no size in the schema", `[{"SchemaId":4,"Data":"` + ranks + `"}]`, "(3, 4, 0, 18, 'NCCL communicator ID', NULL), (3, 4, 1, 5, 'No. of ranks', 8)", -1},
		{"another domain's schema", `[{"SchemaId":4,"Data":"` + hash + `"}]`, "(5, 4, 0, 18, 'Message size [bytes]', NULL)", 128256},
		{"behind the payload", `[{"SchemaId":4,"Data":"` + hash + `"}]`, "(3, 4, 0, 22, 'Message size [bytes]', 9)", -1},
		{"before the payload", `[{"SchemaId":4,"Data":"` + hash + `"}]`, "(3, 4, 0, 22, 'Message size [bytes]', -9)", -1},
		{"the second of two", `[{"SchemaId":5,"Data":"AAAA"},{"SchemaId":4,"Data":"` + hash + `"}]`, "", 128256},
		{"no list", `[1, 2]`, "", -1},
	} {
		path := filepath.Join(t.TempDir(), "x.sqlite")
		makeExport(t, path, 0, 0)
		change(t, path, schema, "CREATE TABLE NVTX_EVENTS (start INTEGER NOT NULL, end INTEGER, eventType INTEGER NOT NULL, text TEXT, globalTid INTEGER, domainId INTEGER, binaryData TEXT)",
			"INSERT INTO NVTX_EVENTS VALUES (1, 2, 59, 'ncclAllReduce', 83936257, 3, '"+c.payload+"')")
		if c.entries != "" {
			change(t, path, "INSERT INTO NVTX_PAYLOAD_SCHEMA_ENTRIES VALUES "+c.entries)
		}
		if x, got := mustRead(t, path); len(got.all) != 1 || got.all[0].Bytes != c.want {
			t.Errorf("%s: %+v %+v", c.what, got.all, x.Damage)
		}
	}
}

// TestDevices follows processes to GPUs: ordinals are a process' own, and a
// process may see no GPU that the profiler could describe.
func TestDevices(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.sqlite")
	makeExport(t, path, 0, 0)
	change(t, path, "CREATE TABLE TARGET_INFO_GPU (id INTEGER NOT NULL, name TEXT, busLocation TEXT, uuid TEXT)",
		"INSERT INTO TARGET_INFO_GPU VALUES (0, 'NVIDIA H200', '0000:01:00.0', 'u-0'), (1, 'NVIDIA L40S', NULL, NULL)",
		"CREATE TABLE TARGET_INFO_CUDA_DEVICE (gpuId INTEGER, cudaId INTEGER NOT NULL, pid INTEGER NOT NULL, uuid TEXT)",
		"INSERT INTO TARGET_INFO_CUDA_DEVICE VALUES (1, 0, 20000000, 'u-1'), (0, 1, 20000000, 'u-0'), (NULL, 0, 4942, 'u-7')",
		"CREATE TABLE GPU_METRICS (rawTimestamp INTEGER, timestamp INTEGER, typeId INTEGER NOT NULL, metricId INTEGER NOT NULL, value INTEGER NOT NULL)",
		"INSERT INTO GPU_METRICS VALUES (9, 100, 281479271677953, 3, 50), (9, 'soon', 281479271677953, 3, 60), (9, 300, 281479271677953, 3, 'much'), (9, 400, 281479271677953, 3, 70.5)",
		"CREATE TABLE TARGET_INFO_GPU_METRICS (typeId INTEGER NOT NULL, metricId INTEGER NOT NULL, metricName TEXT NOT NULL)",
		"INSERT INTO TARGET_INFO_GPU_METRICS VALUES (281479271677953, 3, 'SMs Active')")
	x, _ := mustRead(t, path)
	const second = uint64(20000000 & 0xffffff)
	if !maps.Equal(x.Devices, map[DeviceID]int64{{second, 0}: 1, {second, 1}: 0}) ||
		!maps.Equal(x.UUIDs, map[DeviceID]string{{second, 0}: "u-1", {second, 1}: "u-0", {4942, 0}: "u-7"}) ||
		!maps.Equal(x.Hardware, map[int64]Hardware{0: {"u-0", "0000:01:00.0"}, 1: {}}) {
		t.Errorf("%v %v %v", x.Devices, x.UUIDs, x.Hardware)
	}
	if len(x.Series) != 1 || x.Series[0].Name != "SMs Active" || x.Series[0].GPU != 1 || !slices.Equal(x.Series[0].Times, []int64{100, 400}) || !slices.Equal(x.Series[0].Values, []float64{50, 70.5}) || x.Skipped != 2 || len(x.Damage) != 1 {
		t.Errorf("%+v, %d skipped, %v", x.Series, x.Skipped, x.Damage)
	}
}
