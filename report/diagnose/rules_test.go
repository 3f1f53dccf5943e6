package diagnose

import (
	"slices"
	"strings"
	"testing"
)

// crafted are facts on which one rule speaks, and the same facts moved just
// below its threshold.
type crafted struct {
	id     string
	fires  func(*Facts)
	silent func(*Facts) // applied after fires
}

func decodeOf(f *Facts) *PhaseFacts { return &f.Phases[0] }

func idle(rank int, cause string, ns int64) func(*Facts) {
	return func(f *Facts) {
		r := &decodeOf(f).Ranks[rank]
		r.Idle = slices.DeleteFunc(r.Idle, func(i IdleFacts) bool { return i.Cause == cause })
		r.Idle = append(r.Idle, IdleFacts{cause, ns})
	}
}

func part(rank int, name string, ns int64) func(*Facts) {
	return func(f *Facts) {
		r := &decodeOf(f).Ranks[rank]
		r.Parts = slices.DeleteFunc(r.Parts, func(p PartFacts) bool { return p.Name == name })
		r.Parts = append(r.Parts, exposed(name, ns))
	}
}

// category sets a category of decode to ns per step.
func category(name string, ns int64) func(*Facts) {
	return func(f *Facts) {
		f.Categories = slices.DeleteFunc(f.Categories, func(c CategoryFacts) bool { return c.Name == name })
		total := ns * decodeOf(f).Steps * f.ranks()
		f.Categories = append(f.Categories, CategoryFacts{"decode", name, total, total, 1000})
	}
}

func twoRanks(f *Facts) {
	p := decodeOf(f)
	r := p.Ranks[0]
	r.Rank = 1
	r.Parts, r.Idle = slices.Clone(r.Parts), slices.Clone(r.Idle)
	p.Ranks = append(p.Ranks, r)
	f.Ranks, f.WorldSize = 2, 2
}

// phase adds a phase beside decode.
func phase(name string, steps, tokens, stepNS, hostIdle int64) func(*Facts) {
	return func(f *Facts) {
		f.Phases = slices.DeleteFunc(f.Phases, func(p PhaseFacts) bool { return p.Name == name })
		f.Phases = append(f.Phases, PhaseFacts{Name: name, Steps: steps, Tokens: tokens * steps, Requests: 8 * steps, PeriodMeanNS: stepNS,
			Ranks: []RankFacts{{Rank: 0, Parts: []PartFacts{exposed("ffn", stepNS-hostIdle)}, Idle: []IdleFacts{{"host_late", hostIdle}}}}})
	}
}

func role(name string, ns int64, bandwidth float64) func(*Facts) {
	return func(f *Facts) {
		f.Roles = []RoleFacts{{Phase: "decode", Role: name, TimeNS: ns * decodeOf(f).Steps, BandwidthShare: bandwidth, Bound: "memory"}}
	}
}

func reduce(kernel string, bytes, medianNS int64) func(*Facts) {
	return func(f *Facts) {
		n := 200 * decodeOf(f).Steps
		f.Collectives = []CollectiveFacts{{Phase: "decode", Kind: "all_reduce", Kernel: kernel, Bytes: bytes, Ranks: 2, Count: n, TransferNS: n * medianNS, TransferMedianNS: medianNS}}
	}
}

func pcie(f *Facts) { f.Collectives[0].PCIe = "PHB" }

func all(fs ...func(*Facts)) func(*Facts) {
	return func(f *Facts) {
		for _, set := range fs {
			set(f)
		}
	}
}

// cases has at least one entry for each rule; healthy's decode step is 10 ms.
var cases = []crafted{
	{"late_rank", all(twoRanks, idle(0, "host_late", 900_000), part(1, "waiting", 600_000)), part(1, "waiting", 499_000)},
	{"late_rank", all(twoRanks, idle(0, "host_late", 900_000), part(0, "comm", 300_000), part(1, "comm", 1_000_000)), idle(0, "host_late", 400_000)},
	{"eager_decode", all(func(f *Facts) { f.Graphs, f.Eager = false, true }, idle(0, "host_late", 510_000)), idle(0, "host_late", 490_000)},
	{"eager_decode", all(func(f *Facts) { f.Graphs = false }, idle(0, "host_late", 510_000)), func(f *Facts) { f.Graphs = true }},
	{"host_bound", idle(0, "host_late", 510_000), idle(0, "host_late", 490_000)},
	{"host_sync", idle(0, "host_sync", 510_000), all(idle(0, "host_sync", 390_000))},
	{"launch_latency", idle(0, "launch_latency", 510_000), idle(0, "launch_latency", 390_000)},
	{"uncovered_steps", phase("mixed", 100, 600, 12_000_000, 700_000), phase("mixed", 100, 600, 12_000_000, 590_000)},
	{"uncovered_steps", all(phase("prefill", 100, 6000, 12_000_000, 700_000), func(f *Facts) { f.Eager = true }), phase("prefill", 100, 6000, 12_000_000, 590_000)},
	{"rank_imbalance", all(twoRanks, part(1, "waiting", 1_100_000)), part(1, "waiting", 990_000)},
	{"rank_imbalance", all(twoRanks, part(0, "waiting", 600_000), part(1, "waiting", 600_000), category("ffn.moe_gemm", 1000)), part(0, "waiting", 390_000)},
	{"unseen_ranks", all(func(f *Facts) { f.WorldSize = 2 }, part(0, "waiting", 510_000)), part(0, "waiting", 490_000)},
	{"unseen_ranks", all(func(f *Facts) { f.WorldSize = 2 }, part(0, "comm", 1_510_000)), part(0, "comm", 1_490_000)},
	{"slow_all_reduce", all(twoRanks, part(0, "transfer", 1_400_000), part(1, "transfer", 1_400_000), reduce("ncclDevKernel_AllReduce", 64<<10, 6000)), reduce("ncclDevKernel_AllReduce", 64<<10, 5400)},
	{"slow_all_reduce", all(twoRanks, part(0, "transfer", 1_400_000), part(1, "transfer", 1_400_000), reduce("ncclDevKernel_AllReduce", 0, 6000)), reduce("cross_device_reduce_1stage", 0, 6000)},
	{"exposed_transfer", all(twoRanks, part(0, "transfer", 510_000), part(1, "transfer", 510_000), reduce("cross_device_reduce_1stage", 64<<10, 4000)), part(1, "transfer", 490_000)},
	{"exposed_transfer", all(twoRanks, part(0, "comm", 2_100_000), part(1, "comm", 2_100_000), reduce("ncclDevKernel_AllReduce", 64<<20, 9000)), all(part(0, "comm", 400_000), part(1, "comm", 400_000))},
	{"transfer_over_pcie", all(twoRanks, part(0, "transfer", 510_000), part(1, "transfer", 510_000), reduce("ncclDevKernel_AllReduce", 64<<10, 9000), pcie), part(1, "transfer", 490_000)},
	{"transfer_over_pcie", all(twoRanks, part(0, "transfer", 510_000), part(1, "transfer", 510_000), reduce("cross_device_reduce_1stage", 64<<10, 4000), pcie), func(f *Facts) { f.Collectives[0].PCIe = "" }},
	{"unexplained_idle", idle(0, "unknown", 2_510_000), idle(0, "unknown", 2_490_000)},
	{"stream_wait", idle(0, "dependency", 510_000), idle(0, "dependency", 490_000)},
	{"mixed_interference", phase("mixed", 10, 4000, 20_000_000, 0), phase("mixed", 10, 4000, 19_900_000, 0)},
	{"mixed_interference", phase("mixed", 10, 200, 20_000_000, 0), func(f *Facts) { f.Phases[1].Steps = 0 }},
	{"mixed_interference", all(phase("mixed", 10, 4000, 80_000_000, 0), gap(20_000_000)), gap(19_900_000)},
	{"mixed_interference", all(phase("mixed", 10, 4000, 20_000_000, 0), gap(30_000_000)), gap(0)},
	{"low_bandwidth_gemm", role("qkv_proj", 1_200_000, 0.59), role("qkv_proj", 1_200_000, 0.61)},
	{"low_bandwidth_gemm", all(twoRanks, role("qkv_proj", 4_000_000, 0.4)), role("sampling", 4_000_000, 0.4)},
	{"low_bandwidth_experts", role("experts_down", 1_200_000, 0.59), role("experts_down", 1_200_000, 0.61)},
	{"splitk_reduce", category("gemm.splitk_reduce", 310_000), category("gemm.splitk_reduce", 290_000)},
	{"quant_prologue", category("other.quant", 310_000), category("other.quant", 290_000)},
	{"unfused_kernels", category("other.norm", 610_000), category("other.norm", 590_000)},
	{"unfused_kernels", all(category("other.norm", 610_000), category("attention.rope", 100_000), category("comm.all_reduce", 10_000), category("gemm.prologue", 10_000), func(f *Facts) { f.Eager = true }), all(category("other.norm", 490_000))},
	{"short_kernels", short(101_000_000), short(99_000_000)},
	{"short_kernels", all(short(101_000_000), func(f *Facts) { f.Eager = true }), func(f *Facts) { f.WindowNS = 0 }},
	{"attention_kv_read", category("attention.core", 3_010_000), category("attention.core", 2_990_000)},
	{"kv_write", category("attention.kv_write", 510_000), category("attention.kv_write", 490_000)},
	{"moe_overhead", category("ffn.moe_permute", 510_000), category("ffn.moe_permute", 490_000)},
	{"lora_overhead", all(twoRanks, category("other.lora", 510_000)), category("other.lora", 490_000)},
	{"sampling", all(category("other.sampling", 200_000), category("other.softmax", 110_000)), category("other.softmax", 90_000)},
	{"sampling", category("other.sort_scan", 310_000), category("other.sort_scan", 290_000)},
	{"copies", copied(310_000), copied(290_000)},
	{"no_step", idle(0, "no_step", 1_010_000), idle(0, "no_step", 990_000)},
	{"thin_experts", experts(15), experts(17)},
	{"weight_read", func(f *Facts) { f.WeightReadFloorNS = 6_000_000 }, func(f *Facts) { f.WeightReadFloorNS = 0 }},
	{"weight_read", func(f *Facts) { f.WeightReadFloorNS = 2_000_000 }, func(f *Facts) { f.WeightReadFloorNS = 0 }},
	{"small_batch", requests(31), requests(32)},
	{"profiler_tax", tpot(10_000_000, 10_400_000), tpot(10_000_000, 10_200_000)},
	{"nothing", func(*Facts) {}, idle(0, "host_late", 2_000_000)},
}

// gap is the longest one over a mixed step that clients saw, 0 for none.
func gap(ns int64) func(*Facts) {
	return func(f *Facts) { f.Phases[1].GapNS, f.GapsKnown = ns, true }
}

func short(ns int64) func(*Facts) {
	return func(f *Facts) {
		f.Launches = []LaunchFacts{{Calls: 1, ShortNS: 5000, ShortKernels: 40_000, ShortTimeNS: ns}}
	}
}

func copied(ns int64) func(*Facts) {
	return func(f *Facts) {
		n := decodeOf(f).Steps
		f.Copies = []CopyFacts{{"decode", "memcpy_h2d", 13 * n, ns * n, 64, 4 * n}}
	}
}

// experts makes each of 8 experts, 2 a token, serve about n tokens.
func experts(n int64) func(*Facts) {
	return all(category("ffn.moe_gemm", 2_500_000), requests(200), func(f *Facts) {
		f.Experts, f.ExpertsPerToken, f.WorldSize = 8, 2, 2
		decodeOf(f).Tokens = n * 4 * decodeOf(f).Steps
	})
}

func requests(n int64) func(*Facts) {
	return func(f *Facts) { decodeOf(f).Requests = n * decodeOf(f).Steps }
}

func tpot(plain, profiled int64) func(*Facts) {
	return func(f *Facts) { f.PlainTPOTNS, f.ProfiledTPOTNS = plain, profiled }
}

func find(fs []Finding, id string) *Finding {
	for i := range fs {
		if fs[i].ID == id {
			return &fs[i]
		}
	}
	return nil
}

func TestRules(t *testing.T) {
	covered := map[string]bool{}
	for _, c := range cases {
		f := healthy()
		c.fires(f)
		if find(Diagnose(*f), c.id) == nil {
			t.Errorf("%s is silent on the facts made for it; spoke: %v", c.id, ids(Diagnose(*f)))
		}
		c.silent(f)
		if fd := find(Diagnose(*f), c.id); fd != nil {
			t.Errorf("%s speaks below its threshold: %s", c.id, fd.Title)
		}
		covered[c.id] = true
	}
	for _, r := range rules {
		if !covered[r.id] {
			t.Errorf("no case for rule %s", r.id)
		}
	}
}

func ids(fs []Finding) (ids []string) {
	for _, fd := range fs {
		ids = append(ids, fd.ID)
	}
	return ids
}

// TestHealthy: facts without a cause make one finding that says so.
func TestHealthy(t *testing.T) {
	if got := ids(Diagnose(*healthy())); !slices.Equal(got, []string{"nothing"}) {
		t.Errorf("findings of a healthy window: %v", got)
	}
	if got := Diagnose(Facts{}); len(got) != 0 {
		t.Errorf("findings without facts: %v", ids(got))
	}
}

// TestOneProblem: an idle GPU whose peer waits is said once, and with its rank.
func TestOneProblem(t *testing.T) {
	fs := Diagnose(tp2())
	fd := find(fs, "late_rank")
	if fd == nil || fd != &fs[0] || fd.Phase != "decode" {
		t.Fatalf("late rank does not come first: %v", ids(fs))
	}
	for _, other := range []string{"host_bound", "host_sync", "launch_latency", "rank_imbalance"} {
		if find(fs, other) != nil {
			t.Errorf("%s repeats the late rank", other)
		}
	}
}

// TestTax: what the profiler costs the host is not promised as a gain.
func TestTax(t *testing.T) {
	f := tp2()
	with := find(Diagnose(f), "late_rank")
	f.PlainTPOTNS = 0
	without := find(Diagnose(f), "late_rank")
	if want := without.GainNS - 3_210_000*870/3230; abs(with.GainNS-want) > 10_000 {
		t.Errorf("gain %d with the tax known, %d without; want about %d", with.GainNS, without.GainNS, want)
	}
	f.PlainTPOTNS, f.ProfiledTPOTNS = 1_000_000, 3_230_000
	if fd := find(Diagnose(f), "late_rank"); fd != nil && fd.Phase == "decode" {
		t.Errorf("host idleness within the tax is promised as a gain: %s", fd.MaxGain)
	}
}

func abs(n int64) int64 { return max(n, -n) }

// TestGapsOfClients: what clients saw over mixed steps bounds what these cost
// them, and is told.
func TestGapsOfClients(t *testing.T) {
	f := healthy()
	all(phase("mixed", 10, 4000, 80_000_000, 0), gap(25_000_000))(f)
	i := slices.IndexFunc(Diagnose(*f), func(fd Finding) bool { return fd.ID == "mixed_interference" })
	if i < 0 {
		t.Fatal("no finding")
	}
	fd := Diagnose(*f)[i]
	if fd.Title != "Prefill stretches token gaps to 25.0 ms at most; decode steps take 10.0 ms" || fd.GainNS != 15_000_000 ||
		fd.MaxGain != "at most 15.0 ms of 25.0 ms between tokens; no throughput" ||
		!slices.Contains(fd.Evidence, "clients: the longest gap over a mixed step 25.0 ms, 2.5 times a decode step") || !slices.Contains(fd.Evidence, "mixed 80.0 ms, decode 10.0 ms a step") {
		t.Errorf("got %+v", fd)
	}
}

// TestLateHostInMixedSteps: what one rank idles for its host and the other waits
// for it is the late rank's finding alone.
func TestLateHostInMixedSteps(t *testing.T) {
	f := healthy()
	twoRanks(f)
	phase("mixed", 10, 4000, 40_000_000, 0)(f)
	f.Phases[1].Ranks = []RankFacts{
		{Rank: 0, Parts: []PartFacts{exposed("ffn", 5_000_000)}, Idle: []IdleFacts{{"host_late", 34_000_000}}},
		{Rank: 1, Parts: []PartFacts{exposed("ffn", 5_000_000), exposed("waiting", 34_000_000)}},
	}
	ids := ""
	for _, fd := range Diagnose(*f) {
		ids += fd.ID + " "
		if fd.ID == "mixed_interference" {
			t.Errorf("got %+v", fd)
		}
	}
	if !strings.Contains(ids, "late_rank") {
		t.Errorf("findings %s", ids)
	}
}

// TestEachStep: totals over all GPUs are of the steps that each ran, which
// replicas do not share and the GPUs of a rank do.
func TestEachStep(t *testing.T) {
	f := &Facts{Ranks: 2}
	for _, c := range []struct {
		p    PhaseFacts
		want int64
	}{
		{PhaseFacts{Steps: 10}, 10}, {PhaseFacts{Steps: 10, GPUSteps: 20}, 10},
		{PhaseFacts{Steps: 20, GPUSteps: 20}, 10}, // two replicas
		{PhaseFacts{Steps: 10, GPUSteps: 40}, 5},  // two GPUs on each rank
		{PhaseFacts{}, 0},
	} {
		if got := f.eachStep(&c.p, 200); got != c.want {
			t.Errorf("%+v: %d, want %d", c.p, got, c.want)
		}
	}
}
