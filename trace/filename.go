package trace

import (
	"regexp"
	"strconv"
	"strings"
)

// FileName is what the servers' naming schemes say about a trace file.
type FileName struct {
	Known    bool
	Rank     int   // -1 when the name has none
	Replica  int   // data-parallel replica, -1 when the name has none
	StampNS  int64 // Unix time in the name, 0 when it has none
	Frontend bool  // a server's CPU-only front-end trace
	Capture  bool  // written while CUDA graphs were captured
}

// The schemes, most telling first.
var (
	// vLLM ≥ 0.17: [prefix_]dp0_pp0_tp1_dcp0_ep1_rank1.<ns>.pt.trace.json.gz
	nameFull = regexp.MustCompile(`(?:^|_)dp(\d+)_pp\d+_tp\d+_dcp\d+_ep\d+_rank(\d+)\.(\d{10,20})\.`)
	// vLLM's front end: <host>_<pid>.async_llm.<ns>.pt.trace.json.gz
	nameFrontend = regexp.MustCompile(`\.async_llm\.(\d{10,20})\.`)
	// graph_capture_rank0.pt.trace.json.gz, capture_traces/bs_32_rank0.json.gz,
	// SGLang's cuda_graph_capture-<runner>-TP-0.json.gz
	nameCapture = regexp.MustCompile(`(?:^|_)graph_capture(?:[-_.]|$)|^bs_\d+_rank\d|^capture_.*rank[-_]?\d`)
	// vLLM 0.11.1–0.16 and the fallback since: <instance>-rank-1.<ns>., rank1.<ns>.
	nameRank = regexp.MustCompile(`(?:^|[-_.])rank[-_]?(\d+)\.(\d{10,20})\.`)
	// SGLang: [prefix-]<id>-TP-0[-DP-0][-PP-0][-EP-0][-EXTEND|-DECODE].trace.json.gz
	nameSGLang = regexp.MustCompile(`-TP-(\d+)(?:-DP-(\d+))?(?:-PP-(\d+))?(?:-EP-\d+)?(?:-[A-Za-z_]+)?\.`)
	// SGLang's id is a time.time() unless the caller chose one.
	nameSeconds = regexp.MustCompile(`(?:^|-)(\d{10})(?:\.(\d{1,9}))?(?:-TP-|\.trace\.json)`)
	// vLLM ≤ 0.11.0: <host>_<pid>.<ns>.pt.trace.json.gz, whose host may say anything
	nameHost = regexp.MustCompile(`_\d+\.(\d{10,20})\.pt\.trace\.json`)
	// TensorRT-LLM's <base>-rank-1.json, and people's own
	nameAnyRank = regexp.MustCompile(`(?:^|[-_.])rank[-_]?(\d+)(?:[-_.]|$)`)
)

// ParseFileName reads rank, replica, time and purpose from a base name.
func ParseFileName(name string) FileName {
	p := FileName{Known: true, Rank: -1, Replica: -1}
	if m := nameFrontend.FindStringSubmatch(name); m != nil {
		p.Frontend, p.StampNS = true, unixNS(m[1])
		return p
	}
	if m := nameFull.FindStringSubmatch(name); m != nil {
		p.Replica, p.Rank, p.StampNS = numeral(m[1]), numeral(m[2]), unixNS(m[3])
		return p
	}
	p.Capture = nameCapture.MatchString(name)
	if m := nameSeconds.FindStringSubmatch(name); m != nil {
		p.StampNS = unixNS(m[1] + (m[2] + "000000000")[:9])
	}
	if m := nameRank.FindStringSubmatch(name); m != nil {
		p.Rank, p.StampNS = numeral(m[1]), unixNS(m[2])
		return p
	}
	if m := nameSGLang.FindStringSubmatch(name); m != nil {
		// Ranks of later pipeline stages follow those of the first; how many
		// there are the name does not say.
		if numeral(m[3]) <= 0 {
			p.Rank = numeral(m[1])
		}
		p.Replica = numeral(m[2])
		return p
	}
	if m := nameHost.FindStringSubmatch(name); m != nil {
		p.StampNS = unixNS(m[1])
		return p
	}
	if m := nameAnyRank.FindStringSubmatch(name); m != nil {
		p.Rank = numeral(m[1])
		return p
	}
	p.Known = p.Capture || p.StampNS != 0
	return p
}

// numeral is the number in s, -1 without one.
func numeral(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return -1
	}
	return n
}

// unixNS reads a time stamp in seconds, ms, µs or ns by its length: torch wrote
// milliseconds before it wrote nanoseconds.
func unixNS(s string) int64 {
	const ns = len("1795400541965894466")
	n, err := strconv.ParseInt((s + strings.Repeat("0", ns))[:max(ns, len(s))], 10, 64)
	if err != nil {
		return 0
	}
	return n
}
