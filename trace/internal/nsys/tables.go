package nsys

import (
	"maps"
	"slices"
	"strings"

	"tokprof/trace/internal/nsys/database"

	"zombiezen.com/go/sqlite"
)

func (r *reader) kernels() error {
	const t = "CUPTI_ACTIVITY_KIND_KERNEL"
	r.x.OneProcess = !r.Has(t, "globalPid")
	return r.scan(t, func(v []int64, row *Row) {
		row.Kind = Kernel
		r.place(v, row)
		row.Name = r.names.id(v[6])
		row.Node = uint64(v[7])
	}, "deviceId", "streamId", "correlationId", "globalPid", "demangledName|shortName|mangledName|"+noName, "graphNodeId")
}

// place reads the columns 2 to 5 that GPU rows have in common.
func (r *reader) place(v []int64, row *Row) {
	row.Device, row.Stream = v[2], v[3]
	row.Corr, row.Process = uint64(v[4]), uint64(v[5])
}

func (r *reader) copies() error {
	return r.scan("CUPTI_ACTIVITY_KIND_MEMCPY", func(v []int64, row *Row) {
		row.Kind = Memcpy
		r.place(v, row)
		row.Node = uint64(v[6])
		row.Bytes = v[7]
		row.Name = r.names.text(copyName(v[8], v[9], v[10]))
	}, "deviceId", "streamId", "correlationId", "globalPid", "graphNodeId", "bytes|-1", "copyKind", "srcKind|-1", "dstKind|-1")
}

func (r *reader) sets() error {
	return r.scan("CUPTI_ACTIVITY_KIND_MEMSET", func(v []int64, row *Row) {
		row.Kind = Memset
		r.place(v, row)
		row.Node = uint64(v[6])
		row.Bytes = v[7]
		row.Name = r.names.text(setName(v[8]))
	}, "deviceId", "streamId", "correlationId", "globalPid", "graphNodeId", "bytes|-1", "memKind|-1")
}

func (r *reader) graphs() error {
	return r.scan("CUPTI_ACTIVITY_KIND_GRAPH_TRACE", func(v []int64, row *Row) {
		row.Kind = GraphRun
		r.place(v, row)
		row.Graph, row.Exec = uint64(v[6]), uint64(v[7])
	}, "deviceId", "streamId", "correlationId", "globalPid", "graphId", "graphExecId")
}

func (r *reader) calls() error {
	return r.scan("CUPTI_ACTIVITY_KIND_RUNTIME", func(v []int64, row *Row) {
		row.Kind = Runtime
		if v[2] == DriverClass {
			row.Kind = Driver
		}
		row.onThread(uint64(v[3]))
		row.Corr = uint64(v[4])
		row.Name = r.names.callID(v[5])
	}, "eventClass", "globalTid", "correlationId", "nameId")
}

// DriverClass is the eventClass of calls of the CUDA driver
// (ENUM_NSYS_EVENT_CLASS).
const DriverClass = 1

// APIClass is the eventClass of calls of either, in exports that do not tell
// them apart.
const APIClass = 26

func (row *Row) onThread(global uint64) {
	row.Process, row.Pid, row.Thread = processOf(global), pidOf(global), threadOf(global)
}

// driverWork is what CUPTI calls overhead: the driver's own work (loading,
// compiling) and the profiler's.
func (r *reader) driverWork() error {
	const t = "CUPTI_ACTIVITY_KIND_OVERHEAD"
	types := r.labels("ENUM_CUPTI_OVERHEAD_TYPE", "name")
	labels := r.labels("ENUM_CUPTI_OVERHEAD_TYPE", "label")
	return r.scan(t, func(v []int64, row *Row) {
		row.Kind = Overhead
		row.onThread(uint64(v[2]))
		switch what := v[3]; {
		case strings.Contains(types[what], "CUPTI"):
			row.Name = r.names.text(profilerName)
		case v[4] != 0:
			row.Name = r.names.id(v[4])
		default:
			row.Name = r.names.text(labels[what])
		}
	}, "globalTid", "overheadType|overheadKind", "nameId")
}

func (r *reader) profilerWork() error {
	return r.scan("PROFILER_OVERHEAD", func(v []int64, row *Row) {
		row.Kind = Overhead
		row.onThread(uint64(v[2]))
		row.Name = r.names.text(profilerName)
	}, "globalTid")
}

// profilerName is the name of the profiler's own work, in the torch profiler's
// words.
const profilerName = "Instrumentation"

// labels reads one text of an enumeration's values.
func (r *reader) labels(table, col string) map[int64]string {
	out := map[int64]string{}
	if r.Has(table, "id", col) {
		_ = r.Rows(table, []string{"id", col}, func(s *sqlite.Stmt) error {
			out[s.ColumnInt64(0)] = short(s, 1)
			return nil
		})
	}
	return out
}

// nodes reads which node of a captured graph each node of an executable graph
// was made from.
func (r *reader) nodes() error {
	const t = "CUDA_GRAPH_NODE_EVENTS"
	r.x.Nodes = map[NodeID]uint64{}
	return r.Rows(t, []string{"graphNodeId", "originalGraphNodeId", "globalTid"}, func(s *sqlite.Stmt) error {
		r.Tick()
		r.x.Counts[t]++
		if of := s.ColumnInt64(1); of != 0 && len(r.x.Nodes) < maxNodes {
			r.x.Nodes[NodeID{processOf(uint64(s.ColumnInt64(2))), uint64(s.ColumnInt64(0))}] = uint64(of)
		}
		return nil
	})
}

// maxNodes bounds the graph nodes kept.
const maxNodes = 1 << 22

// short is a text of a few words.
func short(s *sqlite.Stmt, col int) string { return database.Text(s, col, 256) }

// owners reads the names of processes, threads and GPUs.
func (r *reader) owners() {
	x := r.x
	x.Processes, x.Threads = map[uint64]string{}, map[ThreadID]string{}
	x.GPUs, x.Hardware = map[int64]string{}, map[int64]Hardware{}
	x.Devices, x.UUIDs = map[DeviceID]int64{}, map[DeviceID]string{}
	if r.Has("PROCESSES", "globalPid", "name") {
		_ = r.Rows("PROCESSES", []string{"globalPid", "name"}, func(s *sqlite.Stmt) error {
			x.Processes[uint64(s.ColumnInt64(0))] = short(s, 1)
			return nil
		})
	}
	threads := map[int64][]ThreadID{}
	if r.Has("ThreadNames", "globalTid", "nameId") {
		_ = r.Rows("ThreadNames", []string{"globalTid", "nameId"}, func(s *sqlite.Stmt) error {
			id, t := s.ColumnInt64(1), uint64(s.ColumnInt64(0))
			threads[id] = append(threads[id], ThreadID{pidOf(t), threadOf(t)})
			return nil
		})
	}
	names := map[int64]string{}
	_, _ = r.Strings(slices.Sorted(maps.Keys(threads)), names)
	for id, of := range threads {
		for _, t := range of {
			if name, ok := names[id]; ok {
				x.Threads[t] = name[:min(len(name), 256)]
			}
		}
	}
	if t := r.First("TARGET_INFO_GPU", "TARGET_INFO_CUDA_GPU"); r.Has(t, "id", "name") {
		_ = r.Rows(t, []string{"id", "name", "uuid", "busLocation"}, func(s *sqlite.Stmt) error {
			id := s.ColumnInt64(0)
			x.GPUs[id] = short(s, 1)
			x.Hardware[id] = Hardware{short(s, 2), short(s, 3)}
			return nil
		})
	}
	if t := "TARGET_INFO_CUDA_DEVICE"; r.Has(t, "gpuId", "cudaId", "pid") {
		_ = r.Rows(t, []string{"pid", "cudaId", "gpuId", "uuid"}, func(s *sqlite.Stmt) error {
			// The id of a process that rows carry has 24 bits of the system's.
			id := DeviceID{uint64(s.ColumnInt64(0)) & pidBits, s.ColumnInt64(1)}
			x.UUIDs[id] = short(s, 3)
			if !s.ColumnIsNull(2) {
				x.Devices[id] = s.ColumnInt64(2)
			}
			return nil
		})
	}
}
