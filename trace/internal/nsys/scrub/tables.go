package scrub

import (
	"encoding/binary"
	"maps"
	"regexp"
	"slices"
	"strings"

	"tokprof/trace/internal/nsys/database"

	"zombiezen.com/go/sqlite"
)

// holds is what a column of a safe table may hold. A value of another type is
// not copied: SQLite lets any column hold anything.
type holds uint8

const (
	number64  holds = iota // a number
	nameID                 // a number: the string id of a name
	textID                 // a number: the string id of what a program wrote
	adapterID              // a number that a network adapter carries for life, maybe
	label                  // text of a fixed vocabulary
	name                   // text that a compiler or a driver made
	text                   // text that a program wrote
	message                // the payload of an NCCL range
)

// sqlType keeps SQLite from turning text into numbers and back.
func (h holds) sqlType() string {
	switch h {
	case label, name, text:
		return "TEXT"
	case message:
		return "BLOB"
	}
	return "INTEGER"
}

type safeColumn struct {
	name  string
	holds holds
}

// safeTable is a table of which the copy has the listed columns.
type safeTable struct {
	name    string
	numbers string // columns of numbers, blanks between them
	other   []safeColumn
	keep    func(*copier, *sqlite.Stmt, func(column string) int) bool // nil: all rows
}

func (t safeTable) columns() []safeColumn {
	var out []safeColumn
	for _, n := range strings.Fields(t.numbers) {
		out = append(out, safeColumn{n, number64})
	}
	return append(out, t.other...)
}

const (
	onGPU = "start end deviceId contextId greenContextId streamId correlationId globalPid "
	kerns = "launchType cacheConfig registersPerThread gridX gridY gridZ blockX blockY blockZ staticSharedMemory dynamicSharedMemory " +
		"localMemoryPerThread localMemoryTotal gridId sharedMemoryExecuted graphNodeId graphId sharedMemoryLimitConfig qmdBulkReleaseDone " +
		"qmdPreexitDone qmdLastCtaDone clusterX clusterY clusterZ clusterSchedulingPolicy maxPotentialClusterSize maxActiveClusters " +
		"sharedMemoryRequestedPercentage"
	copies = "bytes copyKind deprecatedSrcId srcKind dstKind srcDeviceId srcContextId dstDeviceId dstContextId migrationCause graphNodeId copyCount"
	onCPU  = "start end eventClass globalTid correlationId returnValue "
	gpu    = "vmId id isDiscrete l2CacheSize totalMemory memoryBandwidth clockRate smCount pwGpuId cuDevice revision nodeMask constantMemory " +
		"maxIPC maxRegistersPerBlock maxShmemPerBlock maxShmemPerBlockOptin maxShmemPerSm maxRegistersPerSm threadsPerWarp asyncEngines " +
		"maxWarpsPerSm maxBlocksPerSm maxThreadsPerBlock maxBlockDimX maxBlockDimY maxBlockDimZ maxGridDimX maxGridDimY maxGridDimZ " +
		"computeMajor computeMinor smMajor smMinor numaNodeId"
)

var (
	callName1 = []safeColumn{{"nameId", nameID}}
	enumTexts = []safeColumn{{"name", label}, {"label", label}}
	gpuTexts  = []safeColumn{{"name", label}, {"chipName", label}}

	adapterIDs = []safeColumn{{"globalId", adapterID}, {"globalGuid", adapterID}}
)

// safeTables are the tables of a scrubbed copy, and their columns: the events,
// who ran them, and what numbers in them mean.
var safeTables = []safeTable{
	{name: "CUPTI_ACTIVITY_KIND_KERNEL", numbers: onGPU + kerns, other: []safeColumn{{"demangledName", nameID}, {"shortName", nameID}, {"mangledName", nameID}}},
	{name: "CUPTI_ACTIVITY_KIND_MEMCPY", numbers: onGPU + copies},
	{name: "CUPTI_ACTIVITY_KIND_MEMSET", numbers: onGPU + "value bytes graphNodeId memKind"},
	{name: "CUPTI_ACTIVITY_KIND_GRAPH_TRACE", numbers: onGPU + "graphId graphExecId"},
	{name: "CUPTI_ACTIVITY_KIND_SYNCHRONIZATION", numbers: onGPU + "deprecatedSyncType syncType eventId eventSyncId"},
	{name: "CUPTI_ACTIVITY_KIND_CUDA_EVENT", numbers: onGPU + "eventId eventSyncId"},
	{name: "CUPTI_ACTIVITY_KIND_RUNTIME", numbers: onCPU, other: callName1},
	{name: "CUPTI_ACTIVITY_KIND_OVERHEAD", numbers: onCPU + "overheadType overheadKind", other: callName1},
	{name: "PROFILER_OVERHEAD", numbers: onCPU, other: callName1},
	{name: "NVTX_EVENTS", numbers: "start end eventType rangeId category color globalTid endGlobalTid domainId", other: []safeColumn{
		{"text", text}, {"textId", textID}, {"binaryData", message},
	}},
	{name: "CUDA_GRAPH_NODE_EVENTS", numbers: onCPU + "graphNodeId originalGraphNodeId", other: callName1},
	{name: "CUDA_GRAPH_EVENTS", numbers: onCPU + "graphId originalGraphId graphExecId", other: callName1},
	{name: "GPU_METRICS", numbers: "rawTimestamp timestamp typeId metricId value"},
	{name: "TARGET_INFO_GPU_METRICS", numbers: "typeId sourceId metricId", other: []safeColumn{{"metricName", label}}},
	{name: "NET_NIC_METRIC", numbers: "start end portId portNumber metricsListId metricsIdx value", other: adapterIDs},
	{name: "TARGET_INFO_NETWORK_METRICS", numbers: "metricsListId metricsIdx", other: []safeColumn{{"name", label}, {"metricName", label}, {"unit", label}}},
	{name: "TARGET_INFO_NIC_INFO", numbers: "nicId", other: []safeColumn{{"name", text}}},
	{name: "NIC_ID_MAP", numbers: "nicId", other: adapterIDs[:1]},
	{name: "TARGET_INFO_SESSION_START_TIME", numbers: "utcEpochNs"},
	{name: "ANALYSIS_DETAILS", numbers: "globalVid duration startTime stopTime"},
	{name: "TARGET_INFO_GPU", numbers: gpu, other: gpuTexts},
	{name: "TARGET_INFO_CUDA_GPU", numbers: gpu, other: gpuTexts},
	{name: "TARGET_INFO_CUDA_DEVICE", numbers: "gpuId cudaId pid"},
	{name: "TARGET_INFO_CUDA_CONTEXT_INFO", numbers: "nullStreamId hwId vmId processId deviceId contextId parentContextId isGreenContext"},
	{name: "TARGET_INFO_CUDA_STREAM", numbers: "streamId hwId vmId processId contextId priority flag"},
	{name: "PROCESSES", numbers: "globalPid pid", other: []safeColumn{{"name", text}}, keep: ofEngine},
	{name: "ThreadNames", numbers: "priority globalTid", other: []safeColumn{{"nameId", nameID}}, keep: threadOfEngine},
	{name: "ENUM_NSYS_EVENT_TYPE", numbers: "id", other: enumTexts},
	{name: "ENUM_NSYS_EVENT_CLASS", numbers: "id", other: enumTexts},
	{name: "ENUM_CUDA_MEMCPY_OPER", numbers: "id", other: enumTexts},
	{name: "ENUM_CUDA_MEM_KIND", numbers: "id", other: enumTexts},
	{name: "ENUM_CUDA_KERNEL_LAUNCH_TYPE", numbers: "id", other: enumTexts},
	{name: "ENUM_CUPTI_OVERHEAD_TYPE", numbers: "id", other: enumTexts},
	{name: "ENUM_CUPTI_STREAM_TYPE", numbers: "id", other: enumTexts},
	{name: "ENUM_CUPTI_SYNC_TYPE", numbers: "id", other: enumTexts},
}

// maxThreadNames bounds the names of threads that are looked at.
const maxThreadNames = 1 << 16

// ofEngine keeps processes that an engine named: what else runs on the host is
// nobody's business.
func ofEngine(_ *copier, s *sqlite.Stmt, at func(string) int) bool {
	i := at("name")
	return i >= 0 && engineProcess.Match(database.Read(s, i, nil))
}

// threadOfEngine is ofEngine for threads, whose names are strings of the table.
func threadOfEngine(c *copier, s *sqlite.Stmt, at func(string) int) bool {
	i := at("nameId")
	return i >= 0 && c.engine[s.ColumnInt64(i)]
}

// engines finds the strings that engines name their threads with.
func (c *copier) engines() {
	ids, names := map[int64]bool{}, map[int64]string{}
	_ = c.Rows("ThreadNames", []string{"nameId"}, func(s *sqlite.Stmt) error {
		if len(ids) < maxThreadNames {
			ids[s.ColumnInt64(0)] = true
		}
		return nil
	})
	_, _ = c.Strings(slices.Sorted(maps.Keys(ids)), names) // what is not found is no engine's
	c.engine = map[int64]bool{}
	for id, name := range names {
		c.engine[id] = engineProcess.MatchString(name)
	}
}

// safeMeta are the settings that a copy keeps, of values that are numbers or
// single words.
var safeMeta = []struct {
	tables []string
	names  *regexp.Regexp
}{
	{[]string{"META_DATA_EXPORT", "EXPORT_META_DATA"}, regexp.MustCompile(`^EXPORT_(PRODUCT_VERSION|PRODUCT_DATE|SCHEMA_VERSION(_MAJOR|_MINOR|_MICRO)?|PARAM_LAZY|PARAM_TIME_NORMALIZE|PARAM_TIME_SHIFT|CONFIG_TIME_SHIFT)$`)},
	{[]string{"META_DATA_CAPTURE", "CAPTURE_META_DATA"}, regexp.MustCompile(`^([A-Z]+_\d+:)?(CUDA_GRAPH_TRACE_OPTIONS:MODE|CUDA_SKIP_SOME_API_CALLS|COLLECT_CUDA_TRACE|COLLECT_NVTX_TRACE|RUN_DURATION_MS)$`)},
}

// metaValue is a number, a version, or a word of a fixed vocabulary.
var metaValue = regexp.MustCompile(`^(-?[\d.]*|true|false|[Gg]raph|[Nn]ode|None|none)$`)

// private learns the names of hosts and users, and the secrets of the
// environment, so that no text keeps them.
func (c *copier) private() {
	variable := func(pair string) {
		if name, value, ok := strings.Cut(pair, "="); ok && (secretName.MatchString(name) || personName.MatchString(name)) {
			c.mask.know(value)
		} else if name == "HOME" {
			c.mask.know(value[strings.LastIndexByte(value, '/')+1:])
		}
	}
	for _, t := range []string{"META_DATA_EXPORT", "EXPORT_META_DATA", "META_DATA_CAPTURE", "CAPTURE_META_DATA", "TARGET_INFO_SYSTEM_ENV"} {
		c.Values(t, 1<<20, func(name, value string) {
			switch {
			case strings.HasSuffix(name, "ENVIRONMENT_VARIABLE"):
				variable(value)
			case strings.HasSuffix(name, "Environment"):
				for pair := range strings.FieldsFuncSeq(value, func(r rune) bool { return r == ';' || r == 0 || r == '\n' }) {
					variable(pair)
				}
			case personName.MatchString(name):
				c.mask.know(value)
			}
		})
	}
}

var (
	personName = regexp.MustCompile(`(?i)(^|[_:])(HOST|HOSTNAME|USER|USERNAME|USER_NAME|LOGNAME|DISPLAY_NAME)$`)
	secretName = regexp.MustCompile(`(?i)TOKEN|SECRET|PASS|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE`)
)

// message16 is a payload that says the size of a message and nothing else, in
// the form that nsys.PayloadSchemas read.
func message16(n int64) []byte {
	return binary.LittleEndian.AppendUint64(make([]byte, 8), uint64(n))
}
