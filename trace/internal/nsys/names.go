package nsys

import (
	"math"
	"regexp"
	"strings"
	"unicode/utf8"

	"tokprof/trace/internal/nsys/database"
)

const (
	// maxName is the longest name kept, in bytes.
	maxName = database.MaxText
	// maxNames bounds the text of all names together, in bytes.
	maxNames = 256 << 20
)

// names numbers the names of an export. String ids of the export's own table
// are numbered when met and looked up at the end, so that only the strings
// that rows use are kept: the same table holds what processes printed.
type names struct {
	list  []string
	bytes int64
	full  bool // maxNames was reached

	texts  map[string]NameID
	kernel idTable // string ids used as they are
	call   idTable // string ids of calls, whose names lose their version
}

func newNames() *names {
	return &names{list: []string{""}, texts: map[string]NameID{}}
}

// text numbers a name that is known.
func (n *names) text(s string) NameID {
	if s == "" {
		return 0
	}
	if id, ok := n.texts[s]; ok {
		return id
	}
	id := n.add(n.fit(s))
	n.texts[s] = id
	return id
}

// bytesText is text for bytes that will be overwritten.
func (n *names) bytesText(b []byte) NameID {
	if id, ok := n.texts[string(b)]; ok {
		return id
	}
	return n.text(string(b))
}

func (n *names) add(s string) NameID {
	n.list = append(n.list, s)
	return NameID(len(n.list) - 1)
}

// fit bounds a name and makes it valid UTF-8.
func (n *names) fit(s string) string {
	if len(s) > maxName {
		s = s[:maxName]
	}
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	if n.bytes += int64(len(s)); n.bytes > maxNames {
		n.full = true
		return "(name left out)"
	}
	return s
}

// noName is what stands for the string id of a row that has none. 0 is a
// string's id like any other.
const noName = "-9223372036854775807"

// id numbers a string id, to be looked up later.
func (n *names) id(s int64) NameID {
	if s == -math.MaxInt64 {
		return 0
	}
	return n.kernel.number(n, s)
}

// like has a name be that of a string id, which is looked up later.
func (n *names) like(id NameID, s int64) { n.kernel.met = append(n.kernel.met, metID{s, id}) }

// callID numbers a string id of a call, to be looked up later.
func (n *names) callID(s int64) NameID { return n.call.number(n, s) }

// wanted lists the string ids to look up, each once.
func (n *names) wanted() []int64 {
	var out []int64
	seen := map[int64]bool{}
	for _, t := range []*idTable{&n.kernel, &n.call} {
		for _, w := range t.met {
			if !seen[w.id] {
				seen[w.id] = true
				out = append(out, w.id)
			}
		}
	}
	return out
}

// resolve fills in the names of string ids.
func (n *names) resolve(text map[int64]string) {
	for _, w := range n.kernel.met {
		n.list[w.at] = n.fit(text[w.id])
	}
	for _, w := range n.call.met {
		n.list[w.at] = callName(n.fit(text[w.id]))
	}
}

// idTable numbers string ids; most are small.
type idTable struct {
	low  []NameID
	high map[int64]NameID
	met  []metID
}

type metID struct {
	id int64
	at NameID
}

const lowIDs = 1 << 20

func (t *idTable) number(n *names, s int64) NameID {
	if s >= 0 && s < int64(len(t.low)) {
		if v := t.low[s]; v != 0 {
			return v
		}
	} else if v, ok := t.high[s]; ok {
		return v
	}
	v := n.add("")
	t.met = append(t.met, metID{s, v})
	if s < 0 || s >= lowIDs {
		if t.high == nil {
			t.high = map[int64]NameID{}
		}
		t.high[s] = v
		return v
	}
	for int64(len(t.low)) <= s {
		t.low = append(t.low, make([]NameID, max(1024, len(t.low)))...)
	}
	t.low[s] = v
	return v
}

// versioned is the tail of a call's name in exports: cudaLaunchKernel_v7000,
// cudaMemcpyAsync_v3020_ptsz.
var versioned = regexp.MustCompile(`_v\d+(_ptsz|_ptds)?$`)

// callName is a call's name without the version of its interface.
func callName(s string) string { return versioned.ReplaceAllString(s, "") }

// Copy kinds and memory kinds as CUPTI numbers them (ENUM_CUDA_MEMCPY_OPER,
// ENUM_CUDA_MEM_KIND), in the words of the torch profiler, so that one copy
// has one name whoever recorded it.
var (
	copyKinds = map[int64]string{1: "HtoD", 2: "DtoH", 3: "HtoA", 4: "AtoH", 5: "AtoA", 6: "AtoD", 7: "DtoA", 8: "DtoD", 9: "HtoH", 10: "PtoP", 11: "HtoD", 12: "DtoH", 13: "DtoD"}
	memKinds  = map[int64]string{0: "Pageable", 1: "Pinned", 2: "Device", 3: "Array", 4: "Managed", 5: "Device Static", 6: "Managed Static"}
)

// copyName is a copy's name; a memory kind below 0 is not said.
func copyName(kind, from, to int64) string {
	k, ok := copyKinds[kind]
	if !ok {
		k = "Unknown"
	}
	return withMemory("Memcpy "+k, memKinds[from], memKinds[to])
}

func withMemory(name, from, to string) string {
	switch {
	case from != "" && to != "":
		return name + " (" + from + " -> " + to + ")"
	case from != "" || to != "":
		return name + " (" + from + to + ")"
	}
	return name
}

// setName is a memset's name.
func setName(kind int64) string { return withMemory("Memset", memKinds[kind], "") }
