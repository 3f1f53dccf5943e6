package serving

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Engine is a family of inference servers.
type Engine string

// Engines, by the names that they are shown with.
const (
	Unknown     Engine = ""
	VLLM        Engine = "vLLM"
	SGLang      Engine = "SGLang"
	TensorRTLLM Engine = "TensorRT-LLM"
)

// String is the display name; "unknown" for Unknown.
func (e Engine) String() string {
	if e == Unknown {
		return "unknown"
	}
	return string(e)
}

// ParseEngine reads the value of a flag: auto (or nothing), vllm, sglang or trtllm.
func ParseEngine(s string) (Engine, error) {
	switch strings.ToLower(s) {
	case "", "auto":
		return Unknown, nil
	case "vllm":
		return VLLM, nil
	case "sglang":
		return SGLang, nil
	case "trtllm", "tensorrt-llm", "tensorrtllm":
		return TensorRTLLM, nil
	}
	return Unknown, fmt.Errorf("%q is no engine: say auto, vllm, sglang or trtllm", s)
}

// Version is a server's version, as it says it and as numbers. The zero value is
// an unknown version: it is at least nothing and before nothing.
type Version struct {
	Text                string
	Major, Minor, Patch int
}

var versionNumbers = regexp.MustCompile(`^v?(\d{1,6})\.(\d{1,6})(?:\.(\d{1,6}))?`)

// ParseVersion reads versions such as "0.20.2", "v0.11.1rc3.dev12+g1a2b3c4" and
// "1.3.0rc1". What is no version keeps its text and is unknown.
func ParseVersion(s string) Version {
	v := Version{Text: printable(s, 64)}
	if m := versionNumbers.FindStringSubmatch(v.Text); m != nil {
		v.Major, _ = strconv.Atoi(m[1])
		v.Minor, _ = strconv.Atoi(m[2])
		v.Patch, _ = strconv.Atoi(m[3])
	}
	return v
}

// Known says whether the version has numbers.
func (v Version) Known() bool { return v.Major != 0 || v.Minor != 0 || v.Patch != 0 }

// String is the version as the server says it; "unknown" without one.
func (v Version) String() string {
	if v.Text == "" {
		return "unknown"
	}
	return v.Text
}

// Compare orders versions by their numbers; release candidates and development
// builds count as the release that they lead to.
func (v Version) Compare(w Version) int {
	return cmp.Or(cmp.Compare(v.Major, w.Major), cmp.Compare(v.Minor, w.Minor), cmp.Compare(v.Patch, w.Patch))
}

// AtLeast says whether the version is known and not before major.minor.patch.
func (v Version) AtLeast(major, minor, patch int) bool {
	return v.Known() && v.Compare(Version{Major: major, Minor: minor, Patch: patch}) >= 0
}

// Before says whether the version is known and before major.minor.patch.
func (v Version) Before(major, minor, patch int) bool {
	return v.Known() && v.Compare(Version{Major: major, Minor: minor, Patch: patch}) < 0
}

// printable is s without control characters and not longer than limit runes.
func printable(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0xfffd || (r >= 0x80 && r < 0xa0) {
			return -1
		}
		return r
	}, s)
	s = strings.TrimSpace(s)
	for i := range s {
		if limit--; limit < 0 {
			return s[:i] + "…"
		}
	}
	return s
}

// TraceDirExample is the folder that the lines below write to.
const TraceDirExample = "/tmp/tokprof-traces"

// enableSteps bounds recordings of servers that take no number of steps with the
// call: a decode of this many steps is a few MB a rank.
const enableSteps = 128

// EnableLine is what to add to a server's start so that it can be profiled: flags,
// or variables to export before, as this version takes them. It chooses no Python
// stacks (the main cost of recording), shapes, no table (it delays the stop), and
// leaves out the front end's trace, which fails with several API servers. It is
// "" for a version that has no torch profiler.
func EnableLine(version Version, engine Engine) string {
	switch engine {
	case SGLang:
		return "export SGLANG_TORCH_PROFILER_DIR=" + TraceDirExample + " # and add --enable-metrics"
	case TensorRTLLM:
		return "export TLLM_PROFILE_START_STOP=100-120 TLLM_TORCH_PROFILE_TRACE=" + TraceDirExample + "/trtllm.json"
	}
	if version.Before(0, 13, 0) {
		return enableByVariables(version)
	}
	config := []string{
		`"profiler":"torch"`,
		`"torch_profiler_dir":"` + TraceDirExample + `"`,
		`"torch_profiler_with_stack":false`,
		`"torch_profiler_record_shapes":true`,
		`"torch_profiler_dump_cuda_time_total":false`,
		`"ignore_frontend":true`,
	}
	if version.Before(0, 33, 0) {
		config = append(config, `"max_iterations":`+strconv.Itoa(enableSteps))
	}
	return "--profiler-config '{" + strings.Join(config, ",") + "}'"
}

// enableByVariables is for vLLM before --profiler-config (0.13).
func enableByVariables(v Version) string {
	if v.Before(0, 5, 5) { // vllm-project/vllm#7451
		return ""
	}
	set := []string{"VLLM_TORCH_PROFILER_DIR=" + TraceDirExample}
	add := func(major, minor, patch int, assignment string) {
		if v.AtLeast(major, minor, patch) {
			set = append(set, assignment)
		}
	}
	add(0, 10, 1, "VLLM_TORCH_PROFILER_WITH_STACK=0")
	add(0, 10, 1, "VLLM_TORCH_PROFILER_RECORD_SHAPES=1")
	add(0, 10, 2, "VLLM_TORCH_PROFILER_DISABLE_ASYNC_LLM=1")
	add(0, 12, 0, "VLLM_TORCH_PROFILER_DUMP_CUDA_TIME_TOTAL=0")
	add(0, 12, 0, "VLLM_PROFILER_MAX_ITERS="+strconv.Itoa(enableSteps))
	if v.AtLeast(0, 6, 2) && v.Before(0, 10, 0) {
		// The first engine takes a flush longer than this for its death.
		set = append(set, "VLLM_RPC_TIMEOUT=1800000")
	}
	return "export " + strings.Join(set, " ")
}

// NsysLine is a start under Nsight Systems whose recordings the profile routes
// start and stop, as this version takes it. vLLM before 0.12 has no such route
// for CUDA's profiler: its line records from the start on. MODEL stands for the
// model and the flags in use.
func NsysLine(version Version, engine Engine) string {
	const nsys = "nsys profile --trace=cuda,nvtx --sample=none --cpuctxsw=none --trace-fork-before-exec=true --cuda-graph-trace=node"
	const ranged = nsys + " --capture-range=cudaProfilerApi --capture-range-end=repeat"
	const out = " --output=" + TraceDirExample + "/nsys"
	switch engine {
	case SGLang:
		// Started with the activity CUDA_PROFILER.
		return ranged + out + " python -m sglang.launch_server --model-path MODEL"
	case TensorRTLLM:
		return "TLLM_PROFILE_START_STOP=100-120 " + nsys + " --capture-range=cudaProfilerApi --capture-range-end=stop" + out + " trtllm-serve MODEL"
	}
	// Workers that are forked leave empty reports.
	const spawn = "VLLM_WORKER_MULTIPROC_METHOD=spawn "
	switch {
	case version.Before(0, 12, 0):
		return spawn + nsys + " --delay=120 --duration=30" + out + " vllm serve MODEL"
	case version.Before(0, 13, 0):
		return spawn + "VLLM_TORCH_CUDA_PROFILE=1 " + ranged + out + " vllm serve MODEL"
	}
	return spawn + ranged + out + " vllm serve MODEL --profiler-config.profiler cuda"
}
