// Package nsys reads the bytes of Nsight Systems exports: SQLite databases,
// JSON lines, and the CSV and JSON of nsys stats. It knows table, field and
// column names and nothing of what an event means; it imports nothing of ours
// and hands out raw rows that package trace turns into events.
//
// An export also holds the environment of every process, host and user names,
// command lines and what the processes printed. Of all that nothing is read:
// tables, and rows of tables, are picked by name.
package nsys

import "tokprof/trace/internal/nsys/database"

// Kind is what a row is.
type Kind uint8

// The kinds of rows.
const (
	Kernel   Kind = iota
	Memcpy        // a copy on the GPU
	Memset        // a fill on the GPU
	GraphRun      // one execution of a CUDA graph, recorded as a whole
	Runtime       // a call of the CUDA runtime
	Driver        // a call of the CUDA driver
	Range         // an NVTX range
	Mark          // an NVTX mark
	Overhead      // the driver's or the profiler's own work
)

// OnGPU says whether the row ran on a GPU.
func (k Kind) OnGPU() bool { return k <= GraphRun }

// NameID is an index into Export.Names; 0 is the empty name.
type NameID uint32

// Row is one recorded thing. Times are nanoseconds on the export's clock, which
// Export.Epoch moves to the Unix epoch.
type Row struct {
	Kind       Kind
	Open       bool // a range without an end: End is Start
	Start, End int64
	Process    uint64 // of the export's own numbering (globalPid), 0 when not said
	Thread     uint64 // of a host row: the operating system's number
	Pid        uint64 // of a host row: the operating system's number
	Device     int64  // of a GPU row: CUDA ordinal inside the process
	Stream     int64  // of a GPU row
	Corr       uint64 // joins a call to what it launched; 0 when absent
	Name       NameID
	Domain     NameID // of an NVTX row: its domain's name, 0 for the default domain
	Bytes      int64  // of a copy or memset, or an NCCL message; -1 when not said
	Node       uint64 // graph node, 0 when from no graph
	Graph      uint64 // of a GraphRun: the graph
	Exec       uint64 // of a GraphRun: the executable graph
}

// Sink takes rows; the Row is good until it returns. An export hands out its
// rows table by table, so they are not in time order.
type Sink func(*Row)

// Export is what a file says beside its rows.
type Export struct {
	Format  string // "nsys.sqlite", "nsys.jsonl", "nsys.stats.csv", "nsys.stats.json", each with .gz
	Product string // version of Nsight Systems, "" when not said
	Schema  string // version of the export's schema, "" when not said

	// Epoch is what to add to times to get nanoseconds since the Unix epoch;
	// HasEpoch is false when nothing says it.
	Epoch    int64
	HasEpoch bool

	begin int64 // when the session began, by the export's clock

	Names     []string
	Processes map[uint64]string   // name by process
	Threads   map[ThreadID]string // name by thread
	GPUs      map[int64]string    // name by the machine's number of the GPU
	Hardware  map[int64]Hardware  // identity by the machine's number of the GPU
	Devices   map[DeviceID]int64  // the machine's number of a GPU by what a process calls it
	UUIDs     map[DeviceID]string // of all GPUs that processes saw, "" where not said
	Series    []Series
	Summary   []SummaryRow // of a summary without single rows

	// GraphMode is how CUDA graphs were recorded: "node", "graph", or "" when
	// not said.
	GraphMode string
	// OneProcess says that GPU rows do not tell their process.
	OneProcess bool
	// Nodes gives, for a node of an executable graph, the node of the graph
	// that it was made from.
	Nodes map[NodeID]uint64

	Counts    map[string]int64 // rows by table, lost ones not counted
	Events    int64            // rows handed out
	Skipped   int64            // rows lost to damage
	Early     int64            // rows that ended before the session began: left out
	Damage    []Damage         // the first of each table, at most 32
	Truncated bool
	// TruncatedAt is a byte offset, TruncatedBy says what broke.
	TruncatedAt int64
	TruncatedBy string

	FileBytes int64 // as stored
	RawBytes  int64 // decompressed
	SHA256    string
}

// Damage is one place where the file is not what it should be.
type Damage struct {
	Offset int64 // byte in the decompressed file; 0 when a database does not say
	What   string
}

// ThreadID names a thread of a process.
type ThreadID struct{ Pid, Thread uint64 }

// DeviceID names a GPU as a process does.
type DeviceID struct {
	Pid  uint64
	Cuda int64
}

// Hardware tells one GPU from all others; "" is what is not said.
type Hardware struct {
	UUID string // "554a6988-03dd-6206-3dd1-f43fb60a3ed0"
	PCI  string // "0000:01:00.0"
}

// NodeID names a graph node of a process, by the export's number of it.
type NodeID struct{ Process, Node uint64 }

// Series are values over time that the profiler sampled.
type Series struct {
	Source string // "GPU 1", "NIC 2 port 1"
	GPU    int64  // the machine's number of the GPU, -1 when of none
	Name   string // with its unit in brackets
	Times  []int64
	Values []float64
}

// SummaryRow is one line of nsys stats' summary of kernels. A value that the
// summary lacks is negative.
type SummaryRow struct {
	Name                         string
	Kind                         Kind // Kernel, Memcpy or Memset
	Launches                     int64
	TotalNS, MinNS, MedNS, MaxNS int64
	DigitNS                      int64 // what the last digit of the total as printed is worth, 1 at least
}

const maxDamage = 32

func (x *Export) note(at int64, what string) {
	if len(x.Damage) < maxDamage {
		x.Damage = append(x.Damage, Damage{at, what})
	}
}

// NewExport is an export of a database of which nothing is known yet.
func NewExport() *Export { return &Export{Format: "nsys.sqlite", Counts: map[string]int64{}} }

// Stored books what is known of a database's file.
func (x *Export) Stored(d *database.DB) {
	x.FileBytes, x.RawBytes = d.Size, d.Size
	if d.Truncated {
		x.Truncated, x.TruncatedAt, x.TruncatedBy = true, d.Size, d.TruncatedBy
	}
}

// Broke books that of a table's rows from one to another only the first got
// could be read.
func (x *Export) Broke(d *database.DB, table string, err error, from, to, got int64) {
	what, lost := d.Break(table, err, from, to, got)
	x.note(0, what)
	x.Skipped += lost
}

// FormatError says why a file holds nothing that can be read, as a
// database.Error does.
type FormatError database.Error

func (e *FormatError) Error() string { return (*database.Error)(e).Error() }

// Ids are how Nsight Systems writes processes and threads: hardware and
// virtual machine above, then 24 bits each of process and thread.
const pidBits = 0xffffff

func pidOf(global uint64) uint64    { return global >> 24 & pidBits }
func threadOf(global uint64) uint64 { return global & 0xffffff }

// processOf is the process of a thread, as GPU rows write it.
func processOf(global uint64) uint64 { return global &^ 0xffffff }
