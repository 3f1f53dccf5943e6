package document

import (
	"testing"
)

func TestParallelWords(t *testing.T) {
	flags := func(f ...string) ServerFacts {
		s := ServerFacts{Flags: map[string]string{}}
		for i := 0; i < len(f); i += 2 {
			s.Flags[f[i]] = f[i+1]
		}
		return s
	}
	tp2 := flags("tensor_parallel_size", "2", "pipeline_parallel_size", "1", "data_parallel_size", "1")
	for _, c := range []struct {
		want    string
		servers []ServerFacts
	}{
		{"", nil},
		{"", []ServerFacts{{WorldSize: 2}}},
		{"", []ServerFacts{flags("tensor_parallel_size", "1")}},
		{"", []ServerFacts{flags("tensor_parallel_size", "many")}},
		{"TP 2", []ServerFacts{tp2}},
		{"TP 4, DP 2", []ServerFacts{flags("tp_size", "4", "dp_size", "2")}},
		{"TP 2, PP 2, EP", []ServerFacts{flags("tensor_parallel_size", "2", "pipeline_parallel_size", "2", "enable_expert_parallel", "True")}},
		{"TP 2", []ServerFacts{flags("tensor_parallel_size", "2", "data_parallel_size", "8", "data_parallel_external_lb", "True")}},
		{"DP 4", []ServerFacts{flags("data_parallel_size", "8", "data_parallel_hybrid_lb", "True", "data_parallel_size_local", "4")}},
		{"2 servers of TP 2", []ServerFacts{tp2, tp2}},
		{"2 servers", []ServerFacts{tp2, flags("tensor_parallel_size", "4")}},
		{"3 servers", []ServerFacts{{}, {}, {}}},
	} {
		if got := (&Analysis{Servers: c.servers}).ParallelWords(); got != c.want {
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
		if got := ModelName(served); got != want {
			t.Errorf("%q is told as %q, want %q", served, got, want)
		}
	}
}
