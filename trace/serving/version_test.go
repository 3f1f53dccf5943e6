package serving_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"tokprof/fixtures/golden"
	"tokprof/trace/serving"
)

func TestParseVersion(t *testing.T) {
	for text, want := range map[string]serving.Version{
		"0.20.2":                       {Text: "0.20.2", Minor: 20, Patch: 2},
		"v0.6.3.post1":                 {Text: "v0.6.3.post1", Minor: 6, Patch: 3},
		"0.11.1rc3.dev12+g1a2b3c4":     {Text: "0.11.1rc3.dev12+g1a2b3c4", Minor: 11, Patch: 1},
		"1.3":                          {Text: "1.3", Major: 1, Minor: 3},
		"dev":                          {Text: "dev"},
		"":                             {},
		"0.5.1\x1b[31m\nrm":            {Text: "0.5.1[31mrm", Minor: 5, Patch: 1},
		"9999999.1.1":                  {Text: "9999999.1.1"},
		strings.Repeat("1", 80) + ".2": {Text: strings.Repeat("1", 64) + "…"},
	} {
		if got := serving.ParseVersion(text); got != want {
			t.Errorf("%q: %+v, want %+v", text, got, want)
		}
	}
	unknown, v := serving.ParseVersion("dev"), serving.ParseVersion("0.13.0")
	if unknown.AtLeast(0, 0, 0) || unknown.Before(9, 0, 0) || !v.AtLeast(0, 13, 0) || v.Before(0, 13, 0) || !v.Before(0, 13, 1) || v.AtLeast(1, 0, 0) {
		t.Error("versions compare wrongly")
	}
}

func TestParseEngine(t *testing.T) {
	for text, want := range map[string]serving.Engine{"": serving.Unknown, "auto": serving.Unknown, "vLLM": serving.VLLM, "sglang": serving.SGLang, "trtllm": serving.TensorRTLLM} {
		if e, err := serving.ParseEngine(text); e != want || err != nil {
			t.Errorf("%q: %s, %v", text, e, err)
		}
	}
	if _, err := serving.ParseEngine("tgi"); err == nil {
		t.Error("tgi is accepted")
	}
}

// profilerConfigKeys are the keys of vllm/config/profiler.py with the version that
// brought each: one key too many, and the server does not start.
var profilerConfigKeys = map[string]int{
	"profiler": 13, "torch_profiler_dir": 13, "torch_profiler_with_stack": 13, "torch_profiler_record_shapes": 13,
	"torch_profiler_dump_cuda_time_total": 13, "ignore_frontend": 13, "max_iterations": 13,
}

// TestEnableLine writes the lines of each version and proves those of flags JSON
// with keys that the version has.
func TestEnableLine(t *testing.T) {
	var out strings.Builder
	versions := []string{"0.5.4", "0.5.5", "0.6.3", "0.8.5", "0.9.2", "0.10.0", "0.10.1", "0.10.2", "0.11.0", "0.11.1", "0.12.0", "0.13.0", "0.16.0", "0.20.2", "0.32.0", "0.33.0", ""}
	for _, text := range versions {
		v := serving.ParseVersion(text)
		line := serving.EnableLine(v, serving.VLLM)
		fmt.Fprintf(&out, "vLLM %s\n  %s\n  %s\n", v, line, serving.NsysLine(v, serving.VLLM))
		flags, ok := strings.CutPrefix(line, "--profiler-config ")
		if old := v.Before(0, 13, 0); ok == old {
			t.Errorf("%s: %s", text, line)
		}
		if !ok {
			continue
		}
		var config map[string]any
		if err := json.Unmarshal([]byte(strings.Trim(flags, "'")), &config); err != nil {
			t.Errorf("%s: %s: %v", text, flags, err)
		}
		for k := range config {
			if since := profilerConfigKeys[k]; since == 0 || v.Known() && v.Minor < since {
				t.Errorf("%s: %s is no key of this version", text, k)
			}
		}
	}
	for _, e := range []serving.Engine{serving.SGLang, serving.TensorRTLLM} {
		fmt.Fprintf(&out, "%s\n  %s\n  %s\n", e, serving.EnableLine(serving.Version{}, e), serving.NsysLine(serving.Version{}, e))
	}
	golden.Check(t, "enable.txt", []byte(out.String()))
}
