package trace

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"tokprof/trace/internal/kineto"
)

// Info is what a file says about itself, and what reading it cost.
type Info struct {
	Path   string // as opened
	Name   string // its base name: directories stay on the machine
	Format string // "json", "json.gz", "json.zst"; "nsys.sqlite", "nsys.jsonl", "nsys.stats.csv", "nsys.stats.json", each with .gz; "nsys-rep"
	SHA256 string // of the bytes as stored; "" when not asked for, and in all but the first trace of a file

	FileBytes, RawBytes int64
	Events              int64 // rows read well
	Skipped             int64 // rows lost to damage
	Damage              []Damage
	Truncated           bool
	TruncatedAt         int64 // byte offset in the decompressed text
	TruncatedBy         string
	ChecksumFailed      bool // the stream's checksum does not match: any value may be wrong
	IntegerTS           bool // timestamps are whole microseconds
	Epoch               bool // times are Unix time
	UnpaddedFraction    bool // ".5" was read as 5 ns: a writer of early 2024

	Engine    string // "vLLM", "SGLang", "TensorRT-LLM"; "" when nothing says so
	Version   string // of the engine, "" when unknown
	Rank      int    // inside its engine's world; -1 when unknown
	WorldSize int    // 0 when unknown
	Replica   int    // data-parallel replica, from the file name; -1 when unknown
	GPUNames  map[int]string
	GPUs      []GPU // those that the process saw, by device; nil when the file does not say

	WithStack, RecordShapes bool
	// Counts holds rows by category as written, skipped kinds too.
	Counts map[string]int64
}

// GPU is the hardware behind a device of the trace's process. What the file
// does not say is "" or -1.
type GPU struct {
	Device   int // the process' own ordinal
	Name     string
	UUID     string // without a prefix: "554a6988-03dd-6206-3dd1-f43fb60a3ed0"
	PCI      string // bus address: "0000:01:00.0"
	Profiler int    // the machine's number by the profiler, which its samples of GPU metrics carry; -1 where the export does not say
}

// Damage is one place where the file is not what it should be.
type Damage struct {
	Offset int64
	What   string
}

// GPUName returns the name of the GPU the kernels ran on, "" when unknown or mixed.
func (t *Trace) GPUName() string {
	name := ""
	for _, tr := range t.tracks {
		if !tr.GPU {
			continue
		}
		n := t.Info.GPUNames[tr.Device]
		if name != "" && n != "" && n != name {
			return ""
		}
		if n != "" {
			name = n
		}
	}
	return name
}

func info(path string, t *Trace) Info {
	f := t.file
	in := Info{
		Path: path, Name: BaseName(path), Format: f.Format, SHA256: f.SHA256,
		FileBytes: f.FileBytes, RawBytes: f.RawBytes, Events: f.Events, Skipped: f.Skipped,
		ChecksumFailed: f.ChecksumFailed, Truncated: f.Truncated, TruncatedAt: f.TruncatedAt, TruncatedBy: f.TruncatedBy,
		IntegerTS: f.IntegerTS, UnpaddedFraction: f.Frac == kineto.FracUnpadded,
		Rank: -1, Replica: -1, Counts: f.Counts,
	}
	for _, d := range f.Damage {
		in.Damage = append(in.Damage, Damage(d))
	}
	in.Epoch = f.BaseNS() != 0 || epochClock(t)
	in.WithStack = truthy(f.Meta["with_stack"])
	in.RecordShapes = truthy(f.Meta["record_shapes"])
	in.Rank, in.WorldSize = distributed(f.Meta["distributedInfo"])
	in.Replica = -1
	if p := ParseFileName(in.Name); p.Known {
		if in.Rank < 0 {
			in.Rank = p.Rank
		}
		in.Replica = p.Replica
	}
	in.GPUNames = gpuNames(f.Meta["deviceProperties"])
	in.Engine = engine(t)
	_ = json.Unmarshal(f.Meta["vllm_version"], &in.Version)
	return in
}

// epochClock recognises the writers before 2024-04-22, whose ts is Unix time
// already: later clocks start at most three months before the events.
func epochClock(t *Trace) bool {
	const year2001 = 1e18
	if len(t.gpu) > 0 {
		return t.Start(t.gpu[0]) > year2001
	}
	// Rows of Python frames may stand at 0; any of the first will do.
	return len(t.file.Blocks) > 0 && slices.Max(t.file.Blocks[0].TS[:t.file.Blocks[0].N]) > year2001
}

func truthy(raw []byte) bool {
	s := string(raw)
	return s == "1" || s == "true" || s == `"1"`
}

var (
	rankIn  = regexp.MustCompile(`['"]rank['"]\s*:\s*(\d+)`)
	worldIn = regexp.MustCompile(`['"]world_size['"]\s*:\s*(\d+)`)
)

// distributed reads rank and world size; edited files hold the object as a
// string in Python's spelling, so the two numbers are searched, not decoded.
func distributed(raw []byte) (rank, world int) {
	s := strings.ReplaceAll(string(raw), `\"`, `"`)
	rank = -1
	if m := rankIn.FindStringSubmatch(s); m != nil {
		rank = numeral(m[1])
	}
	if m := worldIn.FindStringSubmatch(s); m != nil {
		world = max(numeral(m[1]), 0)
	}
	return rank, world
}

func gpuNames(raw []byte) map[int]string {
	var list []json.RawMessage
	_ = json.Unmarshal(raw, &list) // what is no list names no GPU
	out := map[int]string{}
	for _, one := range list {
		var d struct {
			ID   int    `json:"id"`
			Name string `json:"name"`
		}
		if json.Unmarshal(one, &d) == nil && d.Name != "" {
			out[d.ID] = d.Name
		}
	}
	return out
}

// engineMarks are texts that only one engine's process leaves in a trace:
// annotations, module paths, process names, kernel namespaces.
var engineMarks = []struct{ mark, engine string }{
	{"VLLM::", "vLLM"}, {"execute_context_", "vLLM"}, {"execute_new_", "vLLM"},
	{"sglang", "SGLang"}, {"step[DECODE", "SGLang"}, {"step[EXTEND", "SGLang"}, {"step[MIXED", "SGLang"},
	{"tensorrt_llm/", "TensorRT-LLM"}, {"vllm/", "vLLM"},
	{"vllm::", "vLLM"}, {"tensorrt_llm", "TensorRT-LLM"},
}

// engine names the server that wrote the trace by the first mark found. Python
// paths and annotations beat kernel namespaces, since engines borrow kernels.
func engine(t *Trace) string {
	best := len(engineMarks)
	see := func(s string) {
		for i, m := range engineMarks[:best] {
			if strings.Contains(s, m.mark) {
				best = i
				return
			}
		}
	}
	for _, tr := range t.tracks {
		see(tr.Label)
	}
	for _, l := range t.file.Labels {
		see(l.Name)
	}
	for _, n := range t.file.Names {
		if best == 0 {
			break
		}
		see(n)
	}
	if best == len(engineMarks) {
		return ""
	}
	return engineMarks[best].engine
}
