//go:build shared

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// nsysForms lists the exports of the captures that hold single events, with
// the sums that nsys stats made of the same report.
func nsysForms(t *testing.T) map[string]string {
	t.Helper()
	sums, err := filepath.Glob(filepath.Join(*sharedDir, "captures", "*nsys*", "*", "cuda_gpu_kern_sum.csv.gz"))
	if err != nil || len(sums) < 4 {
		t.Fatalf("%d sums in %s, %v", len(sums), *sharedDir, err)
	}
	out := map[string]string{}
	for _, sum := range sums {
		for _, form := range []string{"*.sqlite.gz", "*nsys*.json.gz", "cuda_gpu_trace.csv.gz", "cuda_gpu_trace.json.gz"} {
			found, err := filepath.Glob(filepath.Join(filepath.Dir(sum), form))
			if err != nil || len(found) != 1 {
				t.Fatalf("%s: %v, %v", form, found, err)
			}
			out[found[0]] = sum
		}
	}
	return out
}

// TestSharedNsysSums holds the kernels of every export in every form against
// nsys's own sums: to the nanosecond, and nothing more and nothing less.
func TestSharedNsysSums(t *testing.T) {
	for path, sum := range nsysForms(t) {
		packed, err := os.ReadFile(sum)
		if err != nil {
			t.Fatal(err)
		}
		_, table, _ := strings.Cut(string(unpack(packed)), "\n")
		want := map[string][4]int64{}
		for _, r := range readCSV(t, bytes.NewBufferString(table)) {
			want[r["Name"]] = [4]int64{whole(t, r["Total Time (ns)"]), whole(t, r["Instances"]), whole(t, r["Min (ns)"]), whole(t, r["Max (ns)"])}
		}
		n := 0
		for _, k := range analysis(t, path).Kernels {
			if strings.HasPrefix(k.Name, "Memcpy ") || strings.HasPrefix(k.Name, "Memset ") {
				continue
			}
			n++
			if got := [4]int64{k.TotalNS, k.Launches, k.MinNS, k.MaxNS}; got != want[k.Name] {
				t.Errorf("%s: %.60s: %v, nsys says %v", path, k.Name, got, want[k.Name])
			}
		}
		if n != len(want) || n == 0 {
			t.Errorf("%s: %d kernels, nsys says %d", path, n, len(want))
		}
	}
}

func whole(t *testing.T, s string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestSharedNsysClock holds the first and last GPU event of each database
// against the calls that started and stopped the profiler.
func TestSharedNsysClock(t *testing.T) {
	for path := range nsysForms(t) {
		if !strings.HasSuffix(path, ".sqlite.gz") {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(filepath.Dir(filepath.Dir(path)), "manifest.json"))
		if err != nil {
			t.Fatal(err)
		}
		var m struct {
			Windows []struct {
				Start int64 `json:"start_call_unix_ns"`
				Stop  int64 `json:"stop_return_unix_ns"`
			}
		}
		if err := json.Unmarshal(raw, &m); err != nil {
			t.Fatal(err)
		}
		n := whole(t, strings.TrimPrefix(filepath.Ext(filepath.Dir(path)), "."))
		w, got := m.Windows[n-1], analysis(t, path).Window
		if got.StartUnixNS < w.Start || got.StartUnixNS+got.DurNS > w.Stop {
			t.Errorf("%s: %d + %d outside %d to %d", path, got.StartUnixNS, got.DurNS, w.Start, w.Stop)
		}
	}
}

// TestSharedNsysRoles holds the roles of matrix products in decode steps
// against those in the torch traces of the same server.
func TestSharedNsysRoles(t *testing.T) {
	captures := filepath.Join(*sharedDir, "captures")
	torch := decodeRoles(t, filepath.Join(captures, "llama-16l-tp2", "rank0.1795400711861592576.pt.trace.json.gz"))
	nsys := decodeRoles(t, filepath.Join(captures, "llama-16l-tp2-nsys", "llama-16l-tp2-nsys.1", "llama-16l-tp2-nsys.1.sqlite.gz"), "--rank", "0")
	shared := 0
	for name, role := range nsys {
		if want, ok := torch[name]; ok {
			shared++
			if role != want {
				t.Errorf("%s: %s, in the torch trace %s", name, role, want)
			}
		}
	}
	if shared < 4 {
		t.Errorf("%d products in both", shared)
	}
}

// decodeRoles are the roles of each GEMM in decode steps, by name.
func decodeRoles(t *testing.T, path string, flags ...string) map[string]string {
	t.Helper()
	var out, errs bytes.Buffer
	if code := run(t.Context(), append([]string{"events", path}, flags...), streams{nil, &out, &errs}); code != 0 {
		t.Fatalf("%s: exit %d: %s", path, code, errs.String())
	}
	roles := map[string]string{}
	for _, r := range readCSV(t, &out) {
		if r["phase"] == "decode" && r["group"] == "gemm" && strings.HasPrefix(r["name"], "nvjet") && !strings.Contains(roles[r["name"]], r["role"]) {
			roles[r["name"]] += r["role"] + " "
		}
	}
	return roles
}

// TestSharedNsysPrivate looks for the secrets planted in the captures.
func TestSharedNsysPrivate(t *testing.T) {
	for path := range nsysForms(t) {
		for _, l := range leaks(t, path, "canary-", "CANARY") {
			t.Errorf("%s: %s", path, l)
		}
	}
}

// TestSharedNsysPublic reads other people's exports and sums: each gives an
// answer or one sentence.
func TestSharedNsysPublic(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(*sharedDir, "traces", "public", "nsys", "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no public exports in %s: %v", *sharedDir, err)
	}
	for _, f := range files {
		var out, errs bytes.Buffer
		code := run(t.Context(), []string{"analyze", f, "--json", "-"}, streams{nil, &out, &errs})
		// A file of sums is answered as far as sums go, and says so.
		sum := strings.HasSuffix(f, "_sum.csv")
		if code != 0 || out.Len() == 0 || strings.Contains(out.String(), `"summary_only"`) != sum {
			t.Errorf("%s: exit %d, %d bytes of answer, stderr %q", f, code, out.Len(), errs.String())
		}
	}
}
