package report

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"tokprof/report/document"
)

func TestTrustLine(t *testing.T) {
	a := &document.Analysis{
		Trust: []document.Trust{
			{Code: "ok", Severity: document.OK, Message: "all read."},
			{Code: "frontend_trace", Severity: document.Info, Message: "front end"},
			{Code: "landmark_steps", Severity: document.Info, Message: "landmarks"},
			{Code: "model", Severity: document.Info, Message: "fits"},
			{Code: "unattributed", Severity: document.Info, Message: "unclear"},
			{Code: "graph_capture_trace", Severity: document.Info, Message: "capture"},
		},
		Provenance: []document.Provenance{{Provenance: "name", Share: 0.04}, {Provenance: "shape", Share: 0.21}, {Provenance: "capture", Share: 0.73}, {Provenance: "position", Share: 0.02}},
	}
	severity, msg := trustLine(a)
	if want := "all read; roles 100 % (73 % capture, 21 % shape, 4.0 % name); unclear; fits; landmarks"; severity != document.OK || msg != want {
		t.Errorf("%s: %s, want %s", severity, msg, want)
	}
	a.Trust[2].Severity = document.Warning
	if severity, msg = trustLine(a); severity != document.Warning || msg != "landmarks; all read; unclear; fits" {
		t.Errorf("%s: %s", severity, msg)
	}
	a.Trust = a.Trust[1:2]
	if severity, msg = trustLine(a); severity != document.Info || msg != "not checked" {
		t.Errorf("%s: %s", severity, msg)
	}
}

func TestRolesText(t *testing.T) {
	for want, p := range map[string][]document.Provenance{
		"":                             {{Provenance: "none", Share: 1}},
		"roles 98 % (98 % position)":   {{Provenance: "position", Share: 0.98}, {Provenance: "none", Share: 0.02}},
		"roles >99 % (100 % position)": {{Provenance: "position", Share: 0.999}, {Provenance: "none", Share: 0.001}},
		"roles 100 % (60 % b, 40 % a)": {{Provenance: "a", Share: 0.4}, {Provenance: "b", Share: 0.6}, {Provenance: "c"}},
	} {
		if got := rolesText(&document.Analysis{Provenance: p}); got != want {
			t.Errorf("rolesText(%v) = %q, want %q", p, got, want)
		}
	}
}

func TestKernelRole(t *testing.T) {
	for _, c := range []struct {
		roles []document.KernelRole
		n     int
		want  string
	}{
		{nil, 19, "gemm.dense"},
		{[]document.KernelRole{{Role: "down", TimeNS: 49}}, 19, "gemm.dense"},
		{[]document.KernelRole{{Role: "down", TimeNS: 97}, {Role: "o_proj", TimeNS: 3}}, 19, "down"},
		{[]document.KernelRole{{Role: "qkv_proj", TimeNS: 48}, {Role: "down", TimeNS: 52}}, 19, "down + qkv_proj"},
		{[]document.KernelRole{{Role: "experts_gate_up", TimeNS: 64}, {Role: "experts_down", TimeNS: 36}}, 19, "experts_gate_up +1"},
		{[]document.KernelRole{{Role: "experts_gate_up", TimeNS: 64}, {Role: "experts_down", TimeNS: 36}}, 80, "experts_gate_up + experts_down"},
	} {
		if got := kernelRole(&document.Kernel{Group: "gemm", Subgroup: "dense", TotalNS: 100, Roles: c.roles}, c.n); got != c.want {
			t.Errorf("kernelRole(%v) = %q, want %q", c.roles, got, c.want)
		}
	}
}

func TestFloorText(t *testing.T) {
	a := fixture()
	cols := stepColumns(a)
	for n, want := range map[int]string{
		80: "decode floor 841 µs, prefill 850 µs: weights read once at 4.80 TB/s",
		60: "decode floor 841 µs: weights read once at 4.80 TB/s",
		44: "decode floor 841 µs: weights read once",
		20: "",
	} {
		if got := floorText(a, cols, n); got != want {
			t.Errorf("%d cells: %q, want %q", n, got, want)
		}
	}
}

func TestFirstClauses(t *testing.T) {
	for n, want := range map[int]string{80: "at most 1 ms (3 %), 2 % of all; no more", 30: "at most 1 ms (3 %), 2 % of all", 20: "at most 1 ms (3 %)", 10: ""} {
		if got := firstClauses("at most 1 ms (3 %), 2 % of all; no more", n); got != want {
			t.Errorf("%d cells: %q, want %q", n, got, want)
		}
	}
}

// TestNoPhaseIsNotNamed: steps of a profiler's schedule have no phase, and
// nobody reads "none".
func TestNoPhaseIsNotNamed(t *testing.T) {
	a := fixture()
	a.Phases = a.Phases[:1]
	a.Phases[0].Phase, a.Phases[0].WeightReadFloorNS = "none", 0
	for i := range a.Steps {
		a.Steps[i].Phase = "none"
	}
	for i := range a.Timelines {
		a.Timelines[i].Title = "none step 12 (median of 24)"
	}
	var text, perfetto bytes.Buffer
	if err := WriteText(&text, setOf(a), TextOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := WritePerfetto(&perfetto, setOf(a)); err != nil {
		t.Fatal(err)
	}
	for _, got := range []string{text.String(), Markdown(a)} {
		if strings.Contains(got, "none") || !strings.Contains(got, "24 steps") {
			t.Errorf("phase in\n%s", got)
		}
	}
	if !strings.Contains(perfetto.String(), `"name":"step 12 (median of 24)"`) {
		t.Error("the step's slice names its phase")
	}
	if got := stepCounts([]document.Phase{{Phase: "none", Steps: 2}, {Phase: "decode", Steps: 24}, {Phase: "mixed"}}, 0); got != "24 decode, 2 other steps" {
		t.Errorf("stepCounts = %q", got)
	}
	if got := []string{columnTitle("none", 1), columnTitle("none", 2), columnTitle("mixed", 2)}; !slices.Equal(got, []string{"all steps", "other steps", "mixed"}) {
		t.Errorf("titles %q", got)
	}
}
