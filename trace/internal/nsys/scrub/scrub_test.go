package scrub

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"tokprof/fixtures/packed"

	"tokprof/trace/internal/nsys"
	"tokprof/trace/internal/nsys/database"
)

const fixtures = "../../../../fixtures/nsys/"

// scrubbed is the copy of an export.
func scrubbed(tb testing.TB, data []byte) ([]byte, *Scrubbed, error) {
	tb.Helper()
	var out bytes.Buffer
	x, err := Scrub(context.Background(), nsys.Source{R: bytes.NewReader(data)}, nsys.Options{TempDir: tb.TempDir()}, &out)
	return out.Bytes(), x, err
}

// meaning is all that an export says, but for what a copy must lose.
func meaning(tb testing.TB, data []byte) string {
	tb.Helper()
	var b strings.Builder
	var rows []nsys.Row
	x, err := nsys.Read(context.Background(), nsys.Source{R: bytes.NewReader(data)}, nsys.Options{TempDir: tb.TempDir()}, func(r *nsys.Row) { rows = append(rows, *r) })
	if err != nil {
		return err.Error()
	}
	for _, r := range rows {
		name, domain := x.Names[r.Name], x.Names[r.Domain]
		r.Name, r.Domain = 0, 0
		fmt.Fprintf(&b, "%+v %q %q\n", r, domain, name)
	}
	named := func(name string) bool { return !engineProcess.MatchString(name) }
	maps.DeleteFunc(x.Processes, func(_ uint64, name string) bool { return named(name) })
	maps.DeleteFunc(x.Threads, func(_ nsys.ThreadID, name string) bool { return named(name) })
	fmt.Fprintf(&b, "%s %d %v %s %v %v %v %v %v %v %v %v %d %d", x.Schema, x.Epoch, x.HasEpoch, x.GraphMode, x.OneProcess, x.Processes, x.Threads, x.GPUs, x.Devices,
		x.Nodes, x.Series, x.Summary, x.Events, x.Early)
	return b.String()
}

// TestScrubKeepsMeaning scrubs every fixture: the copy says what the original
// says, and a copy of the copy is the same bytes.
func TestScrubKeepsMeaning(t *testing.T) {
	files, err := filepath.Glob(fixtures + "*/*.gz")
	if err != nil || len(files) < 12 {
		t.Fatalf("%d fixtures, %v", len(files), err)
	}
	for _, f := range files {
		data := packed.Read(t, f)
		once, x, err := scrubbed(t, data)
		if err != nil {
			t.Errorf("%s: %v", f, err)
			continue
		}
		if want, got := meaning(t, data), meaning(t, once); got != want {
			t.Errorf("%s: the copy says %d bytes, the original %d", f, len(got), len(want))
		}
		if x.Skipped != 0 || x.Truncated || len(x.Counts) == 0 {
			t.Errorf("%s: %+v", f, x)
		}
		twice, _, err := scrubbed(t, once)
		if err != nil || !bytes.Equal(once, twice) {
			t.Errorf("%s: scrubbed twice %d bytes, once %d, %v", f, len(twice), len(once), err)
		}
	}
}

// TestScrubOdd scrubs databases that are not as nsys writes them: the copy says
// what the original says, no more.
func TestScrubOdd(t *testing.T) {
	whole := packed.Read(t, fixtures+"llama-4l-gpumetrics/report1.sqlite.gz")
	for what, sql := range map[string][]string{
		"text for times":             {"UPDATE CUPTI_ACTIVITY_KIND_KERNEL SET start = 'soon' WHERE rowid % 3 = 1", "UPDATE NVTX_EVENTS SET end = x'00' WHERE rowid = 2"},
		"text for an ordinal":        {"UPDATE CUPTI_ACTIVITY_KIND_KERNEL SET deviceId = 'first' WHERE rowid = 5"},
		"text for samples":           {"UPDATE GPU_METRICS SET value = 'much' WHERE rowid = 5"},
		"no names":                   {"UPDATE NVTX_EVENTS SET text = NULL, textId = NULL"},
		"names in odd case":          {"ALTER TABLE CUPTI_ACTIVITY_KIND_KERNEL RENAME TO k", "ALTER TABLE k RENAME TO cupti_activity_kind_kernel", "ALTER TABLE cupti_activity_kind_kernel RENAME COLUMN start TO START"},
		"strings without a key":      {"ALTER TABLE StringIds RENAME TO s", "CREATE TABLE StringIds (id INTEGER, value TEXT)", "INSERT INTO StringIds SELECT * FROM s", "INSERT INTO StringIds SELECT id, 'another' FROM s"},
		"rows without numbers":       {"ALTER TABLE CUPTI_ACTIVITY_KIND_RUNTIME RENAME TO r", "CREATE TABLE CUPTI_ACTIVITY_KIND_RUNTIME (start INTEGER, end INTEGER, eventClass INTEGER, globalTid INTEGER, correlationId INTEGER, nameId INTEGER, PRIMARY KEY (start, globalTid, correlationId)) WITHOUT ROWID", "INSERT OR IGNORE INTO CUPTI_ACTIVITY_KIND_RUNTIME SELECT start, \"end\", eventClass, globalTid, correlationId, nameId FROM r"},
		"a view in a table's place":  {"DROP TABLE NVTX_EVENTS", "CREATE VIEW NVTX_EVENTS AS SELECT 1 AS start, 2 AS \"end\", 59 AS eventType, 'canary' AS text"},
		"older messages with schema": {"DELETE FROM NVTX_EVENTS WHERE rowid > 1", "UPDATE NVTX_EVENTS SET domainId = 3, text = 'ncclAllReduce', binaryData = '[{\"SchemaId\":4,\"Data\":\"APUBAAAAAAAAAAAAAAAAAA==\"}]'", "CREATE TABLE NVTX_PAYLOAD_SCHEMA_ENTRIES (domainId INTEGER, schemaId INTEGER, name TEXT, offset INTEGER)", "INSERT INTO NVTX_PAYLOAD_SCHEMA_ENTRIES VALUES (3, 4, 'Message size [bytes]', NULL)"},
		// Their ids are 0x63616e617279….
		"network adapters": {"CREATE TABLE NET_NIC_METRIC (start INTEGER, end INTEGER, globalId INTEGER, portId INTEGER, metricsListId INTEGER, metricsIdx INTEGER, value INTEGER)",
			"CREATE TABLE NIC_ID_MAP (nicId INTEGER, globalId INTEGER)", "CREATE TABLE TARGET_INFO_NIC_INFO (nicId INTEGER, name TEXT)", "INSERT INTO TARGET_INFO_NIC_INFO VALUES (2, 'mlx5_0')",
			"INSERT INTO NIC_ID_MAP VALUES (2, 7161126247307228983)", "INSERT INTO NET_NIC_METRIC VALUES (0, 10, 7161126247307228984, 1, 1, 0, 1), (0, 10, 7161126247307228983, 1, 1, 0, 2), (0, 20, 7161126247307228984, 1, 1, 0, 3), (0, 10, '7161126247307228985', 1, 1, 0, 4)"},
	} {
		path := filepath.Join(t.TempDir(), "x.sqlite")
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
		change(t, path, sql...)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		out, _, err := scrubbed(t, data)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		want, got := meaning(t, data), meaning(t, out)
		if want != got {
			t.Errorf("%s: the copy says %d bytes, the original %d", what, len(got), len(want))
		}
		if what == "older messages with schema" && !strings.Contains(want, "Bytes:128256") {
			t.Errorf("%s: no size", what)
		}
		if len(leaked(out, "canary")) > 0 {
			t.Errorf("%s: a secret", what)
		}
	}
}

// leaked lists the secrets in a text: as they are, in hexadecimal digits and
// in two-byte characters.
func leaked(data []byte, secret string) (found []string) {
	low, wide := bytes.ToLower(data), strings.Join(strings.Split(secret, ""), "\x00")
	for form, s := range map[string]string{"text": secret, "hex": hex.EncodeToString([]byte(secret)), "wide": wide} {
		if at := bytes.Index(low, []byte(s)); at >= 0 {
			found = append(found, fmt.Sprintf("%s at %d: %.60q", form, at, low[max(at-20, 0):]))
		}
	}
	return found
}

// plant puts secrets wherever a database has room for one.
func plant(t *testing.T, path string) {
	t.Helper()
	change(t, path,
		"CREATE TABLE IF NOT EXISTS TARGET_INFO_SYSTEM_ENV (globalVid INTEGER, devStateName TEXT, name TEXT, nameEnum INTEGER, value TEXT)",
		"INSERT INTO TARGET_INFO_SYSTEM_ENV VALUES (1, 'Local', 'Hostname', 1, 'canary-host'), (1, 'Local', 'DeviceEnvironment', 2, 'PATH=/usr/bin;HF_TOKEN=canary-token;HOME=/home/canary-home')",
		"CREATE TABLE IF NOT EXISTS META_DATA_EXPORT (name TEXT, value TEXT)",
		"CREATE TABLE IF NOT EXISTS META_DATA_CAPTURE (name TEXT, value TEXT)",
		"INSERT INTO META_DATA_EXPORT VALUES ('EXPORT_HOST', 'canary-host'), ('EXPORT_USER', 'canaryuser'), ('EXPORT_PARAM_TIME_SHIFT_canary', '0'), ('EXPORT_PRODUCT_DATE', 'canary')",
		"INSERT INTO META_DATA_CAPTURE VALUES ('PROCESS_0:ENVIRONMENT_VARIABLE', 'TOKEN=\"canary-env\"'), ('PROCESS_0:COMMAND', 'canary-command'), ('PROCESS_0:CUDA_GRAPH_TRACE_OPTIONS:MODE', 'canary')",
		"INSERT INTO StringIds VALUES (900001, 'canary printed by the server'), (900002, 'PATH=/usr/bin'||char(0)||'TOKEN=canary-nul'), (900003, 'VLLM::canary'), (900004, 'load /mnt/canary/model on canary-host')",
		"CREATE TABLE ProcessStreams (globalPid INTEGER, filenameId INTEGER, contentId INTEGER)",
		"INSERT INTO ProcessStreams VALUES (1, 900001, 900002)",
		"CREATE TABLE IF NOT EXISTS PROCESSES (globalPid INTEGER, pid INTEGER, name TEXT)",
		"INSERT INTO PROCESSES VALUES (1, 1, 'canary-process --key canary'), (2, 2, 'VLLM::canary')",
		"CREATE TABLE IF NOT EXISTS ThreadNames (nameId INTEGER, priority INTEGER, globalTid INTEGER)",
		"INSERT INTO ThreadNames VALUES (900001, 1, 1), (900003, 'canary-priority', 1)",
		"ALTER TABLE CUPTI_ACTIVITY_KIND_KERNEL ADD COLUMN canary_note TEXT",
		"UPDATE CUPTI_ACTIVITY_KIND_KERNEL SET canary_note = 'canary-note'",
		"UPDATE CUPTI_ACTIVITY_KIND_KERNEL SET gridId = 'canary-in-a-number', cacheConfig = x'63616e617279' WHERE rowid = 1",
		"CREATE TABLE IF NOT EXISTS NVTX_EVENTS (start INTEGER, end INTEGER, eventType INTEGER, rangeId INTEGER, text TEXT, globalTid INTEGER, textId INTEGER, domainId INTEGER, jsonText TEXT, binaryData BLOB)",
	)
	for _, text := range []string{
		"open /home/canary-home/models/canary.bin", "https://canary.example.com/x?token=canary", "canaryuser at work on canary-host", "api_key=canary-key",
		"mail canary@example.com", "~/canary/x", `C:\Users\canary\x`, "value canary-token here", "/canary",
	} {
		change(t, path, "INSERT INTO NVTX_EVENTS (start, end, eventType, text, globalTid, domainId) VALUES (40000000, 40001000, 59, '"+text+"', 281557889717070, 0)")
	}
	change(t, path,
		"INSERT INTO NVTX_EVENTS (start, end, eventType, textId, globalTid, domainId) VALUES (40000000, 40001000, 59, 900004, 281557889717070, 0)",
		"INSERT INTO NVTX_EVENTS (start, end, eventType, text, globalTid, domainId, jsonText, binaryData) VALUES (40000000, 40001000, 59, 'plain', 281557889717070, 1, '{\"canary\": 1}', x'63616e6172792d31ffff000000000000')",
		"INSERT INTO NVTX_EVENTS (start, end, eventType, text, globalTid, domainId, binaryData) VALUES (40000000, 'canary-end', 59, 'plain', 281557889717070, 1, 'canary')",
		"CREATE TABLE IF NOT EXISTS ENUM_NSYS_EVENT_CLASS (id INTEGER, name TEXT, label TEXT)",
		"INSERT INTO ENUM_NSYS_EVENT_CLASS VALUES (9999, 'canary@x', 'canary$x')",
		"CREATE TABLE IF NOT EXISTS ANALYSIS_FILE (id INTEGER, filename TEXT)", "INSERT INTO ANALYSIS_FILE VALUES (77, '/home/canary/x')",
		"CREATE TABLE canary_table (canary_column TEXT)", "INSERT INTO canary_table VALUES ('canary')",
		"CREATE VIEW canary_view AS SELECT 'canary'", "CREATE INDEX canary_index ON PROCESSES(name)",
		// What is deleted stays in the pages.
		"CREATE TABLE gone (x TEXT)", "INSERT INTO gone VALUES ('canary-deleted-'||hex(zeroblob(3000)))", "DROP TABLE gone",
		"INSERT INTO StringIds VALUES (900005, 'canary-deleted-row')", "DELETE FROM StringIds WHERE id = 900005",
	)
}

// TestScrubSecrets plants secrets in a database and looks for them in every
// byte of its copy.
func TestScrubSecrets(t *testing.T) {
	for _, fixture := range []string{"llama-16l-tp2", "llama-4l-gpumetrics", "qwen3-12l-graphmode"} {
		path := filepath.Join(t.TempDir(), "planted.sqlite")
		if err := os.WriteFile(path, packed.Read(t, fixtures+fixture+"/report1.sqlite.gz"), 0o600); err != nil {
			t.Fatal(err)
		}
		plant(t, path)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(data, []byte("canary")); n < 50 || !bytes.Contains(data, []byte("canary-deleted-0000")) || !bytes.Contains(data, []byte("canary-deleted-row")) {
			t.Fatalf("%d secrets are planted", n)
		}
		out, x, err := scrubbed(t, data)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range leaked(out, "canary") {
			t.Errorf("%s: %s", fixture, l)
		}
		for table, lost := range map[string]int64{"canary_table": 1, "ProcessStreams": 1, "ANALYSIS_FILE": 1} {
			if x.Left[table] < lost {
				t.Errorf("%s: %d rows of %s left out", fixture, x.Left[table], table)
			}
		}
		if x.Masked < 9 || x.StringsLeft < 3 {
			t.Errorf("%s: %d texts masked, %d strings left out", fixture, x.Masked, x.StringsLeft)
		}
		before, after := read(t, data), read(t, out)
		if before.Events != after.Events || !reflect.DeepEqual(before.Counts["CUPTI_ACTIVITY_KIND_KERNEL"], after.Counts["CUPTI_ACTIVITY_KIND_KERNEL"]) {
			t.Errorf("%s: %d events, %d in the copy", fixture, before.Events, after.Events)
		}
	}
}

// TestScrubLines does the same with lines and tables.
func TestScrubLines(t *testing.T) {
	planted := strings.Join([]string{
		`{"data":["","void k<(int)1>(float *)","cudaLaunchKernel_v7000","ncclAllGather","VLLM::Worker_TP","canary-stdout","TOKEN=canary\u0000HOST=canary","canary-thread","range /home/canary/x"],"files":[{"canary":1}]}`,
		domainLine, nodeLine, kernelLine, bareLine, copyLine, setLine, graphLine, callLine, rangeLine, ncclLine, commLine, syncLine,
		`{"Type":79,"CudaEvent":{"startNs":"33222488","endNs":"33223224","canary":1,"correlationId":"canary","deviceId":{"canary":2},"globalPid":"281557889712128","kernel":{"shortName":"1","gridX":"canary","note":["canary"]}}}`,
		`{"Type":59,"NvtxEvent":{"Type":59,"Timestamp":"1","Text":"api_key=canary /home/canary","GlobalTid":"281557889717070","EndTimestamp":"2","JsonText":"{\"canary\":1}","Payload":{"BinaryData":[{"Data":"Y2FuYXJ5LTH//wAAAAAAAA=="}]},"DomainId":"1"}}`,
		`{"Type":59,"NvtxEvent":{"Type":59,"Timestamp":"1","TextId":8,"GlobalTid":"281557889717070","EndTimestamp":"2"}}`,
		`{"Type":27,"CommEvent":{"Timestamp":"1","GlobalPid":"3","Commname":"canary"}}`,
		`{"Type":27,"CommEvent":{"Timestamp":"1","GlobalPid":"3","Commname":"VLLM::Worker_TP","Command":"canary"}}`,
		`{"Type":49,"DiagnosticEvent":{"Text":"canary"}}`, `{"Type":1,"canaryEvent":{"canary":"canary"}}`,
		`{"data":[{"nameIdx":"4","priority":"20","globalTid":"281557889717070"},{"nameIdx":"7","globalTid":"281557889717071","canary":"canary"}]}`,
	}, "\n") + "\n"
	table := "Processing [/home/canary/x.sqlite] with [/opt/canary/cuda_gpu_trace.py]... \n" +
		"Start (ns),Duration (ns),CorrId,canary,Bytes (canary),Device,Strm,Name\n1,2,3,canary,canary,NVIDIA H200 (0),7,\"k /home/canary/x\"\n4,5,canary,6,7,,7,\"a, \"\"b\"\"\"\n\n ** canary **\n\n" + sumHead + "canary,1000,3,canary,1,1,1,,k\n"
	object := "Processing [/home/canary/x.sqlite]\n[{\"Start (ns)\": 1, \"Duration (ns)\": \"2\", \"CorrId\": \"canary\", \"canary\": 1, \"Device\": \"NVIDIA H200 (0)\", \"Name\": \"k https://canary/\"},\n{\"Start (ns)\": 1.5, \"Duration (ns)\": 2, \"CorrId\": 1, \"Name\": \"a\\\"b\"}]\n"
	single := strings.Join([]string{`{"type":"String","id":"7","value":"k<1>"}`, `{"type":"String","id":"8","value":"canary"}`, `{"type":"String","id":"9","value":"VLLM::Worker_TP"}`,
		strings.ReplaceAll(bareLine, `"1"`, `"7"`), `{"type":"ThreadName","globalTid":"281557889717070","nameId":"9"}`, `{"type":"ThreadName","globalTid":"281557889717071","nameId":"8"}`}, "\n")
	for what, text := range map[string]string{"lines": planted, "lines, strings last": swapFirst(planted), "one string a line": single, "table": table, "objects": object} {
		out, x, err := scrubbed(t, []byte(text))
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		for _, l := range leaked(out, "canary") {
			t.Errorf("%s: %s", what, l)
		}
		for _, private := range []string{"Y2FuYXJ5", "/home"} {
			if bytes.Contains(out, []byte(private)) {
				t.Errorf("%s: holds %s", what, private)
			}
		}
		before, after := read(t, []byte(text)), read(t, out)
		if before.Events != after.Events || len(before.Summary) != len(after.Summary) || before.Format != after.Format {
			t.Errorf("%s: %+v, in the copy %+v", what, before, after)
		}
		if twice, _, err := scrubbed(t, out); err != nil || !bytes.Equal(out, twice) {
			t.Errorf("%s: scrubbed twice\n%s\nonce\n%s\n%v", what, twice, out, err)
		}
		if what == "lines" && (x.Counts["threads"] != 1 || x.Left["threads"] != 1 || x.Counts["CommEvent"] != 2 || x.Left["CommEvent"] != 1 || x.Strings != 5) {
			t.Errorf("%+v", x)
		}
	}
}

// swapFirst puts the first line last.
func swapFirst(text string) string {
	first, rest, _ := strings.Cut(text, "\n")
	return rest + first + "\n"
}

// TestScrubFails refuses what is no export, and tells damage.
func TestScrubFails(t *testing.T) {
	var fe *nsys.FormatError
	for _, text := range []string{"", "hello\n", `{"traceEvents": []}`, database.Magic, "Name,Range,Time\n1,2,3\n"} {
		if _, _, err := scrubbed(t, []byte(text)); !errors.As(err, &fe) {
			t.Errorf("%q: %v", text, err)
		}
	}
	_, x, err := scrubbed(t, []byte(kernelLine+"\n{\"Type\":79,\"CudaEvent\":{\"startNs\"\n"+kernelLine))
	if err != nil || x.Skipped != 1 || x.Counts["CudaEvent kernel"] != 2 {
		t.Errorf("%+v, %v", x, err)
	}
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if _, err := Scrub(ctx, nsys.Source{R: bytes.NewReader(packed.Read(t, fixtures+"llama-16l-tp2/report1.json.gz"))}, nsys.Options{}, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
