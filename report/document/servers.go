package document

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// ServerFacts is what a captured run knows about one of its servers, beyond what
// traces tell.
type ServerFacts struct {
	Engine    string            `json:"engine"` // "vLLM", …; "" when unknown
	Version   string            `json:"version"`
	Model     string            `json:"model"`           // as it is served, without directories
	WorldSize int               `json:"world_size"`      // ranks, data-parallel ones included; 0 when unknown
	Flags     map[string]string `json:"flags,omitempty"` // by the names of the engine's arguments
}

// ModelWords names what is served: "llama-16l", "" when unknown.
func (a *Analysis) ModelWords() string {
	return a.ofServers(func(s *ServerFacts) string { return s.Model })
}

// EngineWords names what serves: "vLLM 0.20.2", "" when unknown.
func (a *Analysis) EngineWords() string {
	return a.ofServers(func(s *ServerFacts) string { return strings.TrimSpace(s.Engine + " " + s.Version) })
}

// ParallelWords says how the GPUs share the work: "TP 2", "2 servers of TP 2, PP
// 2", "" when nothing says so, and for a single GPU.
func (a *Analysis) ParallelWords() string {
	sizes := a.ofServers((*ServerFacts).parallel)
	if n := len(a.Servers); n > 1 {
		words := fmt.Sprintf("%d servers", n)
		if sizes != "" && !slices.ContainsFunc(a.Servers, func(s ServerFacts) bool { return s.parallel() != sizes }) {
			words += " of " + sizes
		}
		return words
	}
	return sizes
}

// ofServers joins what servers say, each word once.
func (a *Analysis) ofServers(say func(*ServerFacts) string) string {
	var words []string
	for i := range a.Servers {
		if w := say(&a.Servers[i]); w != "" && !slices.Contains(words, w) {
			words = append(words, w)
		}
	}
	return strings.Join(words, " + ")
}

// parallel are the parallel sizes above 1 by the server's flags.
func (s *ServerFacts) parallel() string {
	var words []string
	add := func(name string, n int) {
		if n > 1 {
			words = append(words, fmt.Sprintf("%s %d", name, n))
		}
	}
	add("TP", s.number("tensor_parallel_size", "tp_size"))
	add("PP", s.number("pipeline_parallel_size", "pp_size"))
	switch {
	case s.on("data_parallel_external_lb"): // one server for each of the replicas
	case s.on("data_parallel_hybrid_lb"):
		add("DP", s.number("data_parallel_size_local"))
	default:
		add("DP", s.number("data_parallel_size", "dp_size"))
	}
	if s.on("enable_expert_parallel") {
		words = append(words, "EP")
	}
	return strings.Join(words, ", ")
}

// number is a flag's value under the first of some names, 0 when unknown.
func (s *ServerFacts) number(names ...string) int {
	for _, name := range names {
		if n, err := strconv.Atoi(s.Flags[name]); err == nil {
			return n
		}
	}
	return 0
}

func (s *ServerFacts) on(name string) bool {
	on, err := strconv.ParseBool(s.Flags[name]) // takes Python's True as well
	return err == nil && on
}

// ModelName is a model's name without the directories that it may be served
// from: those are its host's.
func ModelName(s string) string {
	if m := cachedModel.FindStringSubmatch(s); m != nil {
		return m[1] + "/" + m[2]
	}
	s = strings.TrimRight(s, `/\`)
	if strings.HasPrefix(s, "/") || strings.HasPrefix(s, ".") || strings.HasPrefix(s, "~") || strings.Count(s, "/") > 1 || strings.Contains(s, `\`) {
		s = s[strings.LastIndexAny(s, `/\`)+1:]
	}
	return s
}

// cachedModel is how the Hugging Face cache names a model's folder.
var cachedModel = regexp.MustCompile(`models--([^/\\]+?)--([^/\\]+)`)
