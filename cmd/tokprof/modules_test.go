package main

import (
	"bytes"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tokprof/fixtures/packed"

	"tokprof/fixtures/golden"
)

// TestModuleRoles reads models that run in plain PyTorch, where a norm is six
// kernels and nothing is fused, and wants the role of each product to be the
// one of the module that launched it, or none. The modules were recorded beside
// the trace, which knows nothing of them.
func TestModuleRoles(t *testing.T) {
	files, err := filepath.Glob("../../fixtures/traces/torch-models/*.modules.tsv.gz")
	if err != nil || len(files) < 8 {
		t.Fatal(files, err)
	}
	for _, bar := range []struct {
		flags  []string
		golden string
	}{{nil, "modules.golden"}, {[]string{"--blind"}, "modules_blind.golden"}, {[]string{"--blind", "--hide", "norm"}, ""}, {[]string{"--blind", "--hide", "activation"}, ""}} {
		var text strings.Builder
		for _, f := range files {
			moduleRoles(t, &text, f, bar.flags)
		}
		if bar.golden != "" {
			golden.Check(t, bar.golden, []byte(text.String()))
		}
	}
}

// moduleRoles writes which roles the products of each module have, and holds
// them against the module.
func moduleRoles(t *testing.T, w *strings.Builder, modules string, flags []string) {
	t.Helper()
	trace := strings.TrimSuffix(modules, ".modules.tsv.gz") + ".pt.trace.json.gz"
	model := strings.TrimSuffix(filepath.Base(modules), ".modules.tsv.gz")
	var out, errs bytes.Buffer
	if code := run(t.Context(), append([]string{"events", trace, "--csv"}, flags...), streams{nil, &out, &errs}); code != 0 {
		t.Fatalf("tokprof events %s: exit %d: %s", trace, code, errs.String())
	}
	of := readModules(t, modules)
	type line struct{ module, role string }
	count := map[line]int{}
	for _, r := range readCSV(t, &out) {
		module := of[r["correlation"]]
		product := r["group"] == "gemm" || r["subgroup"] == "moe_gemm"
		if !product || module == "" {
			continue
		}
		count[line{layerNumber.ReplaceAllString(module, ".N."), r["role"]}]++
		want := moduleRole(module)
		if got := r["role"]; got != "" && !slices.Contains(want, got) {
			t.Errorf("%s %v: %s of %s has role %s, want %v", model, flags, r["name"], module, got, want)
		}
		if n := layerNumber.FindString(module); r["layer"] != "" && n != "" && n != "."+r["layer"]+"." {
			t.Errorf("%s %v: %s of %s stands in layer %q", model, flags, r["name"], module, r["layer"])
		}
	}
	lines := slices.SortedFunc(maps.Keys(count), func(a, b line) int {
		return strings.Compare(a.module+" "+a.role, b.module+" "+b.role)
	})
	for _, l := range lines {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\n", model, l.module, l.role, count[l])
	}
}

var layerNumber = regexp.MustCompile(`\.\d+\.`)

// moduleRole lists the roles that the products of a module may have.
func moduleRole(module string) []string {
	last := module[strings.LastIndexByte(module, '.')+1:]
	shared := ""
	if strings.Contains(module, ".shared_expert") {
		shared = "shared_"
	}
	switch last {
	case "q_proj", "k_proj", "v_proj":
		return []string{"qkv_proj"}
	case "o_proj", "lm_head", "shared_expert_gate":
		return []string{last}
	case "gate_proj", "up_proj":
		return []string{shared + "gate_up"}
	case "down_proj":
		return []string{shared + "down"}
	case "gate":
		return []string{"router"}
	case "experts":
		return []string{"experts_gate_up", "experts_down"}
	case "q_a_proj", "q_b_proj":
		return []string{"q"}
	case "kv_a_proj_with_mqa":
		return []string{"kv_a"}
	case "kv_b_proj":
		return []string{"kv_b"}
	}
	return nil
}

// readModules reads which module launched each kernel, by correlation.
func readModules(t *testing.T, path string) map[string]string {
	t.Helper()
	of := map[string]string{}
	for line := range strings.Lines(string(packed.Read(t, path))) {
		correlation, module, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		of[correlation] = module
	}
	return of
}
