// Package kineto reads the bytes of torch-profiler (Kineto) JSON: decompression,
// framing, fields and damage. It knows field names and file layouts and nothing
// of what an event means; it imports nothing of ours and hands out raw columns
// that package trace turns into events.
//
// All times are int64 nanoseconds on the file's own clock (the `ts` field, read
// as decimal text, times 1000); BaseNS moves them to the Unix epoch.
package kineto

// Kind is what an event's `cat` (and `ph`) says it is.
type Kind uint8

// The kinds that are stored. Flow, counter and memory-instant rows are counted
// in File.Counts and not stored.
const (
	Other         Kind = iota
	Kernel             // cat kernel
	Memcpy             // cat gpu_memcpy
	Memset             // cat gpu_memset
	Runtime            // cat cuda_runtime (HIP calls too), mtia/xpu/privateuse1 runtime
	Driver             // cat cuda_driver, xpu_driver
	Op                 // cat cpu_op ("Operator" before 2021)
	Annotation         // cat user_annotation
	GPUAnnotation      // cat gpu_user_annotation
	Python             // cat python_function
	Overhead           // cat overhead
	Sync               // cat cuda_sync
	Span               // cat Trace
	Instant            // ph i without a cat: "Iteration Start: …", "Record Window End"
)

// BlockLen is how many events a full Block holds.
const BlockLen = 1 << 13

// Wide in a uint32 column says that the value does not fit and stands in File.Wide.
const Wide = ^uint32(0)

// Block is a run of stored events in file order, one slice element per event,
// N of them in use. 27 bytes an event.
type Block struct {
	N     int
	TS    [BlockLen]int64  // ns on the file's clock
	Dur   [BlockLen]uint32 // ns
	Name  [BlockLen]uint32 // index into File.Names
	Corr  [BlockLen]uint32 // args.correlation, 0 when absent
	Ext   [BlockLen]uint32 // args["External id"], 0 when absent
	Track [BlockLen]uint16 // index into File.Tracks
	Kind  [BlockLen]Kind
}

// EventID names a stored event: block number × BlockLen + place in the block.
type EventID uint32

// Column names a uint32 column for File.Wide.
type Column uint8

// The columns that can overflow.
const (
	ColDur Column = iota
	ColCorr
	ColExt
)

// WideKey is a value that did not fit its column.
type WideKey struct {
	Event  EventID
	Column Column
}

// Track is one lane: a host thread, or a GPU stream.
type Track struct {
	GPU bool // Pid, Tid are args.device and args.stream (pid and tid where args lack them)
	// Pid and Tid are as written, without quotes; both may be any text.
	Pid, Tid string
}

// IntArg is a rare integer argument of one event.
type IntArg struct {
	Event EventID
	Value int64
}

// TextArg is a rare argument of one event, as raw JSON text (File.Texts).
type TextArg struct {
	Event EventID
	Key   uint8  // index into Options.Args
	Text  uint32 // index into File.Texts
}

// Label is a name given to a process or thread by an `M` event.
type Label struct {
	Pid, Tid string
	Kind     string // process_name, process_labels, thread_name
	Name     string
}

// Damage is one place where the file is not what it should be.
type Damage struct {
	Offset int64  // byte offset in the decompressed text
	What   string // one clause, lower case: "unescaped quote in a name"
}

// FracMode says how the digits behind a timestamp's point are to be read.
type FracMode uint8

// Fraction modes.
const (
	FracDecimal  FracMode = iota // ".5" is 500 ns
	FracUnpadded                 // ".5" is 5 ns: writer of 2024-03-18 to 04-03
)

// File is everything read from one trace file.
type File struct {
	Blocks []*Block // file order
	Names  []string // unescaped, valid UTF-8
	Tracks []Track
	Labels []Label
	Wide   map[WideKey]int64

	Bytes    []IntArg // args.bytes of memcpy and memset, in event order
	Nodes    []IntArg // args["graph node id"] when not 0, in event order
	TextArgs []TextArg
	Texts    []string

	// Meta holds the top-level keys other than traceEvents as raw JSON, the
	// last one winning; a value over 1 MiB is left out and noted as damage.
	Meta map[string][]byte

	// MetaOrder is the keys of Meta in the order of the file.
	MetaOrder []string

	// Counts is rows by cat as written, or by "ph X" when there is none, stored
	// and not stored alike; phases that no torch writes are counted as
	// "unsupported phase X" and array elements that are no objects as "not an object".
	Counts    map[string]int64
	Events    int64    // all rows of traceEvents read well, stored or not
	Skipped   int64    // elements of traceEvents lost to damage, or that are no objects
	Damage    []Damage // the first 32
	Frac      FracMode
	IntegerTS bool // no ts had a fraction: microsecond resolution
	BareArray bool // the file is an array of events without an object around it

	Format      string // "json", "json.gz", "json.zst"
	FileBytes   int64  // compressed bytes read
	RawBytes    int64  // decompressed bytes read
	SHA256      string // of the compressed bytes; "" when Options.Hash is off
	Truncated   bool   // the text ended before its last bracket
	TruncatedAt int64  // offset in the decompressed text
	TruncatedBy string // what broke: "the gzip stream ends early", "the JSON ends inside an event"

	// ChecksumFailed says that the text is not what was compressed: a gzip or zstd
	// checksum does not match. Any value may be wrong without looking so. It stays
	// false where there was no checksum or its place was not reached.
	ChecksumFailed bool
}
