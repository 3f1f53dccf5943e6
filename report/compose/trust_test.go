package compose

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"tokprof/fixtures/golden"
	"tokprof/kernels"
	"tokprof/kernels/breakdown"
	"tokprof/report/document"
	"tokprof/trace"
)

const traces = "../../fixtures/traces"

// The decode window of both ranks.
const (
	tp2Rank0   = "llama-16l-tp2/rank0.1795400711861592576"
	tp2Rank1   = "llama-16l-tp2/rank1.1795400711877083304"
	eagerRank0 = "qwen3-12l-eager/rank0.1795400524966605128"
)

func fixturePath(name string) string { return filepath.Join(traces, name+".pt.trace.json.gz") }

// reduce reads one trace file.
func reduce(t testing.TB, path string) *breakdown.Rank {
	t.Helper()
	tr, err := trace.Open(t.Context(), path, trace.Options{Hash: true})
	if err != nil {
		t.Fatal(err)
	}
	c, err := kernels.NewClassifier(nil)
	if err != nil {
		t.Fatal(err)
	}
	return breakdown.Reduce(tr, c, breakdown.Options{ExcerptTo: -1})
}

// ranksOf reads every rank of one export.
func ranksOf(t *testing.T, path string) (ranks []*breakdown.Rank) {
	t.Helper()
	all, err := trace.OpenAll(t.Context(), path, trace.Options{Hash: true})
	if err != nil {
		t.Fatal(err)
	}
	c, err := kernels.NewClassifier(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tr := range all {
		ranks = append(ranks, breakdown.Reduce(tr, c, breakdown.Options{ExcerptTo: -1}))
	}
	return ranks
}

// trustCases are files with something wrong, each by a name.
var trustCases = []struct {
	name  string
	ranks func(t *testing.T) []*breakdown.Rank
	o     Options
}{
	{"a sound pair", func(t *testing.T) []*breakdown.Rank {
		return []*breakdown.Rank{reduce(t, fixturePath(tp2Rank0)), reduce(t, fixturePath(tp2Rank1))}
	}, Options{}},
	{"an Nsight export of whole graphs", func(t *testing.T) []*breakdown.Rank {
		return []*breakdown.Rank{reduce(t, filepath.Join(traces, "..", "nsys", "qwen3-12l-graphmode", "report1.sqlite.gz"))}
	}, Options{}},
	{"both ranks of an Nsight export in JSON lines", func(t *testing.T) []*breakdown.Rank {
		return ranksOf(t, filepath.Join(traces, "..", "nsys", "llama-16l-tp2", "report1.json.gz"))
	}, Options{}},
	{"both ranks of a table of nsys stats", func(t *testing.T) []*breakdown.Rank {
		return ranksOf(t, filepath.Join(traces, "..", "nsys", "llama-16l-tp2", "report1.cuda_gpu_trace.csv.gz"))
	}, Options{}},
	{"one rank of two, cut in the middle of its gzip stream", func(t *testing.T) []*breakdown.Rank {
		raw, err := os.ReadFile(fixturePath(tp2Rank0))
		if err != nil {
			t.Fatal(err)
		}
		e := &edited{dir: t.TempDir(), text: raw[:len(raw)*8/10]}
		return []*breakdown.Rank{e.as(t, "rank0.1795400711861592576.pt.trace.json.gz")}
	}, Options{}},
	{"a checksum that does not match", func(t *testing.T) []*breakdown.Rank {
		raw, err := os.ReadFile(fixturePath(tp2Rank0))
		if err != nil {
			t.Fatal(err)
		}
		raw[len(raw)-8] ^= 1
		e := &edited{dir: t.TempDir(), text: raw}
		return []*breakdown.Rank{e.as(t, "rank0.1795400711861592576.pt.trace.json.gz")}
	}, Options{}},
	{"text that ends inside an event", func(t *testing.T) []*breakdown.Rank {
		n := 0
		e := edit(t, tp2Rank0).rows(t, func(r row) bool { // and before that lacks a copy
			if r.is("gpu_memcpy") {
				n++
			}
			return !r.is("gpu_memcpy") || n != 1
		})
		e.text = e.text[:len(e.text)*9/10]
		return []*breakdown.Rank{e.rank0(t), reduce(t, fixturePath(tp2Rank1))}
	}, Options{}},
	{"a damaged row", func(t *testing.T) []*breakdown.Rank {
		e := edit(t, tp2Rank0)
		at := bytes.Index(e.text, []byte(`"cat": "kernel"`))
		ts := at + bytes.Index(e.text[at:], []byte(`"ts": `))
		copy(e.text[ts:], `"ts": x`)
		return []*breakdown.Rank{e.rank0(t)}
	}, Options{}},
	{"unescaped quotes", func(t *testing.T) []*breakdown.Rank {
		e := edit(t, tp2Rank0).bytes(t, `"name": "cudaLaunchKernel"`, `"name": "cuda{"a": "b"}LaunchKernel"`)
		return []*breakdown.Rank{e.rank0(t)}
	}, Options{}},
	{"two ranks in one file", func(t *testing.T) []*breakdown.Rank {
		a, b := edit(t, tp2Rank0), edit(t, tp2Rank1)
		a.list = append(a.list, b.list...)
		return []*breakdown.Rank{a.join().rank0(t)}
	}, Options{}},
	{"many launches lost", func(t *testing.T) []*breakdown.Rank {
		return []*breakdown.Rank{edit(t, tp2Rank0).rows(t, func(r row) bool { return r.name() != "cudaLaunchKernel" }).rank0(t)}
	}, Options{}},
	{"a launch lost", func(t *testing.T) []*breakdown.Rank {
		n := 0
		return []*breakdown.Rank{edit(t, tp2Rank0).rows(t, func(r row) bool {
			if r.name() == "cudaMemcpyAsync" {
				n++
			}
			return r.name() != "cudaMemcpyAsync" || n != 5
		}).rank0(t)}
	}, Options{}},
	{"a kernel lost", func(t *testing.T) []*breakdown.Rank {
		n := 0
		return []*breakdown.Rank{edit(t, tp2Rank0).rows(t, func(r row) bool {
			if r.is("gpu_memcpy") {
				n++
			}
			return !r.is("gpu_memcpy") || n != 5
		}).rank0(t)}
	}, Options{}},
	{"a profiler that ran out of buffers", func(t *testing.T) []*breakdown.Rank {
		n := 0
		return []*breakdown.Rank{edit(t, tp2Rank0).rows(t, func(r row) bool {
			if r.is("kernel") {
				n++
			}
			// The host goes on as before; the cut fixture is too short for the bound.
			if r.is("cuda_runtime") && n > 0 {
				r["ts"] = json.Number(fmt.Sprintf("%d.000", r.nanos(t, "ts")/1000+200_000))
			}
			return !r.gpu() || n < 300
		}).rank0(t)}
	}, Options{}},
	{"a graph replay not recorded to its end", func(t *testing.T) []*breakdown.Rank {
		graphs := map[string]int{}
		last := ""
		e := edit(t, tp2Rank0).rows(t, func(r row) bool {
			if r.name() == "cudaGraphLaunch" {
				graphs[r.correlation()] = 0
				last = r.correlation()
			}
			return true
		})
		return []*breakdown.Rank{e.rows(t, func(r row) bool {
			if r.gpu() && r.correlation() == last {
				graphs[last]++
			}
			return !r.gpu() || r.correlation() != last || graphs[last] < 200
		}).rank0(t)}
	}, Options{}},
	{"kernels that no rule knows, without annotations", func(t *testing.T) []*breakdown.Rank {
		return []*breakdown.Rank{edit(t, tp2Rank0).rows(t, func(r row) bool {
			if strings.Contains(r.name(), "cross_device_reduce") {
				r["name"] = "frobnicate_v2(float*)"
			}
			return !strings.HasPrefix(r.name(), "execute_")
		}).rank0(t)}
	}, Options{}},
	{"copies and collectives alone, without annotations", func(t *testing.T) []*breakdown.Rank {
		return []*breakdown.Rank{edit(t, tp2Rank0).rows(t, func(r row) bool {
			return !strings.HasPrefix(r.name(), "execute_") && (!r.is("kernel") || strings.Contains(r.name(), "reduce_1stage"))
		}).rank0(t)}
	}, Options{}},
	{"copies and memsets alone", func(t *testing.T) []*breakdown.Rank {
		return []*breakdown.Rank{edit(t, tp2Rank0).rows(t, func(r row) bool { return !r.is("kernel") }).rank0(t)}
	}, Options{}},
	{"modules that contradict the order", func(t *testing.T) []*breakdown.Rank {
		return []*breakdown.Rank{edit(t, eagerRank0).rows(t, func(r row) bool {
			if strings.HasPrefix(r.name(), "nn.Module: QKVParallelLinear") {
				r["name"] = strings.Replace(r.name(), "QKVParallelLinear", "RowParallelLinear", 1)
			}
			return true
		}).rank0(t)}
	}, Options{}},
	{"two ranks, a collective of one lost", func(t *testing.T) []*breakdown.Rank {
		n := 0
		a := edit(t, tp2Rank0).rows(t, func(r row) bool {
			if strings.Contains(r.name(), "AllGather") && r.is("kernel") {
				n++
			}
			return !r.is("kernel") || !strings.Contains(r.name(), "AllGather") || n != 1
		})
		return []*breakdown.Rank{a.rank0(t), reduce(t, fixturePath(tp2Rank1))}
	}, Options{}},
	{"a rare kernel that no rule knows", func(t *testing.T) []*breakdown.Rank {
		n := 0
		return []*breakdown.Rank{edit(t, tp2Rank0).rows(t, func(r row) bool {
			if strings.Contains(r.name(), "exponential") && r.is("kernel") {
				if n++; n == 1 {
					r["name"] = "frobnicate_v2(float*)"
				}
			}
			return true
		}).rank0(t)}
	}, Options{}},
	{"whole microseconds on a clock of its own", func(t *testing.T) []*breakdown.Rank {
		return []*breakdown.Rank{edit(t, tp2Rank0).without("baseTimeNanoseconds").rows(t, func(r row) bool {
			for _, k := range []string{"ts", "dur"} {
				if r[k] != nil {
					r[k] = json.Number(fmt.Sprint(r.nanos(t, k) / 1000))
				}
			}
			return true
		}).rank0(t)}
	}, Options{}},
	{"nanoseconds without their leading zeros", func(t *testing.T) []*breakdown.Rank {
		return []*breakdown.Rank{edit(t, tp2Rank0).without("baseTimeNanoseconds").rows(t, func(r row) bool {
			for k, shift := range map[string]int64{"ts": 1_711_000_000_000_000, "dur": 0} {
				if r[k] != nil {
					ns := r.nanos(t, k)
					r[k] = json.Number(fmt.Sprintf("%d.%d", ns/1000+shift, ns%1000))
				}
			}
			return true
		}).rank0(t)}
	}, Options{}},
	{"files that do not say whose they are", func(t *testing.T) []*breakdown.Rank {
		a, b := edit(t, tp2Rank0).without("distributedInfo"), edit(t, tp2Rank1).without("distributedInfo")
		return []*breakdown.Rank{a.as(t, "first.json"), b.as(t, "second.json")}
	}, Options{}},
	{"files beside, files twice and files unread", func(t *testing.T) []*breakdown.Rank {
		return []*breakdown.Rank{
			reduce(t, fixturePath(tp2Rank0)), reduce(t, fixturePath(tp2Rank0)), reduce(t, fixturePath(tp2Rank1)),
			reduce(t, fixturePath("llama-16l-tp2/graph_capture_rank0")),
			reduce(t, fixturePath("llama-4l-hostbound/host_0.async_llm.1795402489285573990")),
		}
	}, Options{Unread: []Unread{
		{Name: "report1.cuda_gpu_kern_sum.csv", Why: "sums kernels up by name", Summary: true},
		{Name: "report1.json", For: "no window.sqlite"},
		{Name: "rank2.1795400711877083304.pt.trace.json.gz", Why: "is empty (0 bytes): the profiler has not written it yet, or the copy failed"},
		{Name: "host_1.async_llm.1795400711877083304.pt.trace.json.gz", Why: "is cut off before its first event", Frontend: true},
	}}},
}

func severe(list []document.Trust) (out []string) {
	for _, x := range list {
		if x.Severity == document.Warning || x.Severity == document.Error {
			out = append(out, x.Code)
		}
	}
	return out
}

// TestTrust pins every line of trust on files with something wrong, worst
// first, and wants each code to be among them.
func TestTrust(t *testing.T) {
	var b strings.Builder
	seen := map[string]bool{}
	for i, c := range trustCases {
		s := Build(c.ranks(t), c.o)
		if len(s.Analyses) != 1 {
			t.Fatalf("%s: %d windows", c.name, len(s.Analyses))
		}
		list := s.Analyses[0].Trust
		fmt.Fprintf(&b, "%s\n", c.name)
		order := []document.Severity{document.Error, document.Warning, document.OK, document.Info}
		for n, x := range list {
			seen[x.Code] = true
			fmt.Fprintf(&b, "  %-7s %s: %s %v\n", x.Severity, x.Code, x.Message, x.Touches)
			if utf8.RuneCountInString(x.Message) > 170 {
				t.Errorf("%s: %d characters: %s", c.name, utf8.RuneCountInString(x.Message), x.Message)
			}
			if n > 0 && slices.Index(order, x.Severity) < slices.Index(order, list[n-1].Severity) {
				t.Errorf("%s: %s stands behind %s", c.name, x.Code, list[n-1].Code)
			}
			if x.Touches == nil {
				t.Errorf("%s: %s touches null", c.name, x.Code)
			}
		}
		ok := slices.ContainsFunc(list, func(x document.Trust) bool { return x.Code == "ok" })
		if bad := severe(list); ok == (len(bad) > 0) || i == 0 && !ok {
			t.Errorf("%s: ok %v with %v", c.name, ok, bad)
		}
	}
	source, err := os.ReadFile("trust.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`doubt\("(\w+)"`).FindAllStringSubmatch(string(source), -1) {
		if !seen[m[1]] {
			t.Errorf("no file produces %s", m[1])
		}
	}
	golden.Check(t, "trust.golden", []byte(b.String()))
}
