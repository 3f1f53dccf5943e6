package compose

import (
	"testing"

	"tokprof/report/document"
)

func TestParallelWords(t *testing.T) {
	flags := func(f ...string) document.ServerFacts {
		s := document.ServerFacts{Flags: map[string]string{}}
		for i := 0; i < len(f); i += 2 {
			s.Flags[f[i]] = f[i+1]
		}
		return s
	}
	tp2 := flags("tensor_parallel_size", "2", "pipeline_parallel_size", "1", "data_parallel_size", "1")
	for _, c := range []struct {
		want    string
		servers []document.ServerFacts
	}{
		{"", nil},
		{"", []document.ServerFacts{{WorldSize: 2}}},
		{"", []document.ServerFacts{flags("tensor_parallel_size", "1")}},
		{"", []document.ServerFacts{flags("tensor_parallel_size", "many")}},
		{"TP 2", []document.ServerFacts{tp2}},
		{"TP 4, DP 2", []document.ServerFacts{flags("tp_size", "4", "dp_size", "2")}},
		{"TP 2, PP 2, EP", []document.ServerFacts{flags("tensor_parallel_size", "2", "pipeline_parallel_size", "2", "enable_expert_parallel", "True")}},
		{"TP 2", []document.ServerFacts{flags("tensor_parallel_size", "2", "data_parallel_size", "8", "data_parallel_external_lb", "True")}},
		{"DP 4", []document.ServerFacts{flags("data_parallel_size", "8", "data_parallel_hybrid_lb", "True", "data_parallel_size_local", "4")}},
		{"2 servers of TP 2", []document.ServerFacts{tp2, tp2}},
		{"2 servers", []document.ServerFacts{tp2, flags("tensor_parallel_size", "4")}},
		{"3 servers", []document.ServerFacts{{}, {}, {}}},
	} {
		if got := (&document.Analysis{Servers: c.servers}).ParallelWords(); got != c.want {
			t.Errorf("%v: %q, want %q", c.servers, got, c.want)
		}
	}
}

func TestModelName(t *testing.T) {
	for served, want := range map[string]string{
		"":                        "",
		"llama-16l":               "llama-16l",
		"meta-llama/Llama-3.1-8B": "meta-llama/Llama-3.1-8B",
		"/models/somebody/llama/": "llama",
		"~/llama":                 "llama",
		"./llama":                 "llama",
		"models/somebody/llama":   "llama",
		`C:\models\llama`:         "llama",
		"/root/.cache/huggingface/hub/models--meta-llama--Llama-3.1-8B/snapshots/0e9e39f2": "meta-llama/Llama-3.1-8B",
	} {
		if got := document.ModelName(served); got != want {
			t.Errorf("%q is told as %q, want %q", served, got, want)
		}
	}
}

// TestServers: what the run knows of its servers stands in each of its windows,
// without directories, and tells the findings the version.
func TestServers(t *testing.T) {
	run := recordedRun(t)
	run[1].Servers = []document.ServerFacts{{Engine: "vLLM", Version: "0.20.2", Model: "/home/somebody/llama-16l"}}
	s := Build(bothWindows(t), Options{Run: run})
	if n := len(s.Analyses[0].Servers); n != 0 {
		t.Errorf("a run that knows no server has %d", n)
	}
	a := s.Analyses[1]
	if len(a.Servers) != 1 || a.ModelWords() != "llama-16l" || a.EngineWords() != "vLLM 0.20.2" {
		t.Errorf("servers %+v", a.Servers)
	}
}
