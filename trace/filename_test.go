package trace

import "testing"

const stampNS = 1795400541965894466

// fileNames are the schemes of servers by version, and near misses.
var fileNames = []struct {
	name string
	want FileName
}{
	// vLLM ≥ 0.17, with and without a prefix, and its fallback.
	{"dp0_pp0_tp1_dcp0_ep1_rank1.1795400541965894466.pt.trace.json.gz", FileName{true, 1, 0, stampNS, false, false}},
	{"dp3_pp1_tp0_dcp0_ep0_rank12.1795400541965894466.pt.trace.json", FileName{true, 12, 3, stampNS, false, false}},
	{"night_run_dp1_pp0_tp0_dcp0_ep0_rank0.1795400541965894466.pt.trace.json.gz", FileName{true, 0, 1, stampNS, false, false}},
	{"capture_dp1_pp0_tp0_dcp0_ep0_rank0.1795400541965894466.pt.trace.json.gz", FileName{true, 0, 1, stampNS, false, false}},
	{"rank0.1795400541965894466.pt.trace.json.gz", FileName{true, 0, -1, stampNS, false, false}},
	{"warm_rank7.1795400541965894466.pt.trace.json.gz", FileName{true, 7, -1, stampNS, false, false}},
	// vLLM 0.11.1–0.16: five digits of a uuid, or a time.
	{"a1b2c-rank-3.1795400541965894466.pt.trace.json.gz", FileName{true, 3, -1, stampNS, false, false}},
	{"1795400000000000000-rank-0.1795400541965894466.pt.trace.json", FileName{true, 0, -1, stampNS, false, false}},
	// vLLM ≤ 0.11.0: no rank, even on a host whose name has one; then torch's older stamps.
	{"node-a_4711.1795400541965894466.pt.trace.json.gz", FileName{true, -1, -1, stampNS, false, false}},
	{"gpu-rank-3_4711.1795400541965894466.pt.trace.json.gz", FileName{true, -1, -1, stampNS, false, false}},
	{"node-a_4711.1679055439123.pt.trace.json", FileName{true, -1, -1, 1679055439123000000, false, false}},
	// Front ends.
	{"node-a_1704.async_llm.1795400541965894466.pt.trace.json.gz", FileName{true, -1, -1, stampNS, true, false}},
	{"node-rank-2_1704.async_llm.1795400541965894466.pt.trace.json", FileName{true, -1, -1, stampNS, true, false}},
	// Recordings of graph capture, by vLLM, TraceLens and SGLang.
	{"graph_capture_rank0.pt.trace.json.gz", FileName{true, 0, -1, 0, false, true}},
	{"graph_capture_rank1.1795400541965894466.pt.trace.json.gz", FileName{true, 1, -1, stampNS, false, true}},
	{"graph_capture.pt.trace.json", FileName{true, -1, -1, 0, false, true}},
	{"bs_32_rank0.json.gz", FileName{true, 0, -1, 0, false, true}},
	{"capture_32_FULL_rank1.json.gz", FileName{true, 1, -1, 0, false, true}},
	{"cuda_graph_capture-decode-TP-1.json.gz", FileName{true, 1, -1, 0, false, true}},
	// SGLang: data, pipeline and expert parallel parts, stages, prefixes, own ids.
	{"1795400541.9658945-TP-0.trace.json.gz", FileName{true, 0, -1, 1795400541965894500, false, false}},
	{"1795400541-TP-3.trace.json.gz", FileName{true, 3, -1, 1795400541000000000, false, false}},
	{"1795400541.5-TP-3-DP-1.trace.json.gz", FileName{true, 3, 1, 1795400541500000000, false, false}},
	{"1795400541.5-TP-2-PP-0.trace.json.gz", FileName{true, 2, -1, 1795400541500000000, false, false}},
	{"1795400541.5-TP-2-PP-1.trace.json.gz", FileName{true, -1, -1, 1795400541500000000, false, false}},
	{"1795400541.5-TP-1-DP-0-PP-0-EP-1-EXTEND.trace.json.gz", FileName{true, 1, 0, 1795400541500000000, false, false}},
	{"1795400541.5-TP-1-DECODE.trace.json.gz", FileName{true, 1, -1, 1795400541500000000, false, false}},
	{"1795400541.5-TP-1-EP-1-prefill.trace.json.gz", FileName{true, 1, -1, 1795400541500000000, false, false}},
	{"mixed-load-1795400541.5-TP-1.trace.json.gz", FileName{true, 1, -1, 1795400541500000000, false, false}},
	{"rpd-1795400541.5-TP-1.trace.json.gz", FileName{true, 1, -1, 1795400541500000000, false, false}},
	{"nightly-TP-5-DP-2.trace.json.gz", FileName{true, 5, 2, 0, false, false}},
	{"1795400541.5.trace.json.gz", FileName{true, -1, -1, 1795400541500000000, false, false}},
	{"merged-1795400541.5.trace.json.gz", FileName{true, -1, -1, 1795400541500000000, false, false}},
	// TensorRT-LLM, and what people call their files.
	{"trtllm-rank-2.json", FileName{true, 2, -1, 0, false, false}},
	{"rank-34.Jul_15_10_52_41.1074.pt.trace.json.gz", FileName{true, 34, -1, 0, false, false}},
	{"rank_5.json.gz", FileName{true, 5, -1, 0, false, false}},
	// Near misses.
	{"trace.json.gz", FileName{Rank: -1, Replica: -1}},
	{"", FileName{Rank: -1, Replica: -1}},
	{"prank1.json", FileName{Rank: -1, Replica: -1}},
	{"rank.json", FileName{Rank: -1, Replica: -1}},
	{"ranking-2.json", FileName{Rank: -1, Replica: -1}},
	{"TP-1.trace.json.gz", FileName{Rank: -1, Replica: -1}},
	{"a-TP-x.trace.json.gz", FileName{Rank: -1, Replica: -1}},
	{"graph_captures.json", FileName{Rank: -1, Replica: -1}},
	{"bs_32.json", FileName{Rank: -1, Replica: -1}},
	{"rank99999999999999999999.json", FileName{true, -1, -1, 0, false, false}},
}

func TestParseFileName(t *testing.T) {
	for _, c := range fileNames {
		if got := ParseFileName(c.name); got != c.want {
			t.Errorf("ParseFileName(%q) = %+v\nwant %+v", c.name, got, c.want)
		}
	}
}
