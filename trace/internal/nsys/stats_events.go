package nsys

import (
	"strconv"
	"strings"
)

// event hands out one GPU event. Tables do not name processes: each device is
// taken for the one that a rank of its own used.
func (t *tables) event(h *header, cells []string) bool {
	start, _, ok1 := h.quantity(cells, fStart)
	dur, _, ok2 := h.quantity(cells, fDuration)
	if !ok1 || !ok2 || dur < 0 {
		return false
	}
	corr, _, _ := h.quantity(cells, fCorr)
	stream, _, _ := h.quantity(cells, fStream)
	device := t.device(h.cell(cells, fDevice))
	row := Row{
		Start: start, End: start + dur, Corr: uint64(max(corr, 0)), Stream: stream, Device: device,
		Process: uint64(device+1) << 24, Bytes: -1,
	}
	// Megabytes with three digits say no size; bytes do.
	if n, _, ok := h.quantity(cells, fBytes); ok && h.factor[fBytes] == 1 {
		row.Bytes = n
	}
	row.Kind, row.Name = t.named(h.cell(cells, fName), h.cell(cells, fFrom), h.cell(cells, fTo))
	if !row.sound() {
		return false
	}
	t.x.Counts["cuda_gpu_trace"]++
	t.x.hand(&row, t.sink)
	return true
}

// device is the ordinal in a device's text: "NVIDIA H200 (1)".
func (t *tables) device(s string) int64 {
	if n, ok := t.gpus[s]; ok {
		return n
	}
	name, ordinal := strings.TrimSpace(s), int64(len(t.gpus))
	if i := strings.LastIndexByte(s, '('); i >= 0 {
		if n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(s[i+1:]), ")"), 10, 32); err == nil && n >= 0 {
			name, ordinal = strings.TrimSpace(s[:i]), n
		}
	}
	if len(t.gpus) < 1<<12 {
		t.gpus[s] = ordinal
		t.x.GPUs[ordinal] = t.names.fit(name)
	}
	return ordinal
}

// named tells copies and memsets from kernels by their brackets, and gives
// them the names that they have in other exports.
func (t *tables) named(name, from, to string) (Kind, NameID) {
	if own := behindRange(name); own != name {
		name = own
		t.x.Counts[NamesBehindRanges]++
	}
	switch {
	case strings.HasPrefix(name, "[CUDA memcpy"):
		kind := "Unknown"
		for text, k := range tableCopies {
			if strings.Contains(name, text) {
				kind = k
			}
		}
		return Memcpy, t.names.text(withMemory("Memcpy "+kind, from, to))
	case strings.HasPrefix(name, "[CUDA memset"):
		return Memset, t.names.text(withMemory("Memset", from, to))
	case strings.HasPrefix(name, "[CUDA Unified Memory memcpy"), strings.HasPrefix(name, "[CUDA "):
		return Memcpy, t.names.text(name)
	}
	return Kernel, t.names.text(name)
}

// NamesBehindRanges counts rows in Export.Counts whose name stood behind that of
// an NVTX range.
const NamesBehindRanges = "names behind their NVTX range"

// behindRange is a name without the NVTX range that the reports' option
// nvtx-name puts before it, with a slash between. No kernel's name has one of
// its own but for operators.
func behindRange(name string) string {
	i := strings.LastIndexByte(name, '/')
	if i < 0 || i == len(name)-1 || strings.HasSuffix(name[:i], "operator") {
		return name
	}
	return name[i+1:]
}

// tableCopies are the directions of copies in tables, old and new.
var tableCopies = map[string]string{
	"Host-to-Device": "HtoD", "HtoD": "HtoD", "Device-to-Host": "DtoH", "DtoH": "DtoH",
	"Device-to-Device": "DtoD", "DtoD": "DtoD", "Host-to-Host": "HtoH", "HtoH": "HtoH",
	"Peer-to-Peer": "PtoP", "PtoP": "PtoP",
}
