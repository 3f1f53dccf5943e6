package diagnose

import "slices"

// Facts modelled on our captures of vLLM 0.20.2 on H200. Step times, category
// times, launches, transfer and waiting are the recordings'; how idle time
// splits by rank and cause within a phase is rounded from the window's, and
// late shares, bandwidth shares and the weight-read floor are made up to be
// plausible: no recording states them.

// healthy is a decode window in which nothing stands out: one rank, CUDA
// graphs, a large batch, a step of 10 ms.
func healthy() *Facts {
	return &Facts{
		Engine: "vLLM", Version: "0.20.2", Ranks: 1, WorldSize: 1, Graphs: true, WindowNS: 1_000_000_000,
		Phases: []PhaseFacts{{
			Name: "decode", Steps: 100, Tokens: 6400, Requests: 6400,
			PeriodMeanNS: 10_000_000, PeriodMedianNS: 10_000_000, DurationMeanNS: 9_900_000, DurationMedianNS: 9_900_000,
			Ranks: []RankFacts{{
				Parts: []PartFacts{exposed("ffn", 6_000_000), exposed("attention", 3_000_000), exposed("head", 400_000)},
				Idle:  []IdleFacts{{"short_gap", 100_000}, {"host_late", 100_000}},
			}},
		}},
		Categories: []CategoryFacts{{"decode", "gemm.dense", 700_000_000, 700_000_000, 12_800}, {"decode", "other.norm", 20_000_000, 20_000_000, 6500}},
	}
}

func exposed(part string, ns int64) PartFacts { return PartFacts{part, ns, ns} }

// captured are the modelled captures by name.
func captured() map[string]Facts {
	return map[string]Facts{
		"llama-16l-tp2":                       tp2(),
		"llama-16l-tp2-nccl":                  nccl(),
		"llama-16l-tp2-nccl, were it on PCIe": onPCIe(),
		"llama-4l-hostbound":                  hostbound(),
		"qwen3-12l-eager":                     eager(),
		"qwen3-moe-12l-tp1":                   moe(),
		"llama-16l-lora":                      lora(),
	}
}

func tp2() Facts {
	rank := func(n int, waiting int64, idle ...IdleFacts) RankFacts {
		return RankFacts{Rank: n, Parts: []PartFacts{exposed("ffn", 820_000), exposed("attention", 540_000), exposed("head", 230_000),
			exposed("transfer", 148_000), exposed("waiting", waiting), exposed("other", 100_000)}, Idle: idle}
	}
	return Facts{
		Engine: "vLLM", Version: "0.20.2", Ranks: 2, WorldSize: 2, Graphs: true, WindowNS: 112_726_530,
		Phases: []PhaseFacts{
			{Name: "decode", Steps: 24, Tokens: 183, Requests: 183, PeriodMeanNS: 3_210_000, PeriodMedianNS: 3_214_693, Ranks: []RankFacts{
				rank(0, 29_000, IdleFacts{"host_late", 1_010_000}, IdleFacts{"launch_latency", 220_000}, IdleFacts{"short_gap", 130_000}),
				rank(1, 1_006_000, IdleFacts{"host_late", 180_000}, IdleFacts{"launch_latency", 40_000}, IdleFacts{"short_gap", 150_000}),
			}},
			{Name: "mixed", Steps: 1, Tokens: 645, Requests: 8, PeriodMeanNS: 18_076_155, Ranks: []RankFacts{
				{Rank: 0, Parts: []PartFacts{exposed("comm", 2_690_000)}, Idle: []IdleFacts{{"host_late", 8_400_000}, {"launch_latency", 2_900_000}}},
				{Rank: 1, Parts: []PartFacts{exposed("comm", 2_690_000)}, Idle: []IdleFacts{{"host_late", 8_400_000}, {"launch_latency", 2_900_000}}},
			}},
			{Name: "prefill", Steps: 1, Tokens: 64, Requests: 1, PeriodMeanNS: 15_410_871, Ranks: []RankFacts{
				{Rank: 0, Parts: []PartFacts{exposed("comm", 900_000)}, Idle: []IdleFacts{{"host_late", 11_000_000}, {"launch_latency", 1_900_000}}},
				{Rank: 1, Parts: []PartFacts{exposed("comm", 8_700_000)}, Idle: []IdleFacts{{"host_late", 3_600_000}, {"launch_latency", 900_000}}},
			}},
		},
		Categories: []CategoryFacts{
			{"decode", "gemm.dense", 55_087_892, 55_087_892, 3120}, {"decode", "comm.all_reduce", 31_238_079, 31_238_079, 1584},
			{"decode", "attention.core", 7_515_636, 7_515_636, 768}, {"decode", "other.norm", 3_341_558, 3_341_558, 1584},
			{"decode", "gemm.splitk_reduce", 2_717_434, 2_717_434, 1536}, {"decode", "other.elementwise", 2_510_236, 2_510_236, 1498},
			{"decode", "other.sampling", 2_252_158, 2_252_158, 414}, {"decode", "attention.kv_write", 1_642_003, 1_642_003, 768},
			{"decode", "attention.combine", 1_636_846, 1_629_550, 768}, {"decode", "other.softmax", 1_634_334, 1_634_334, 48},
			{"decode", "ffn.activation", 1_172_478, 1_172_478, 768}, {"decode", "comm.all_gather", 727_360, 727_360, 48},
		},
		Collectives: []CollectiveFacts{{Phase: "decode", Kind: "all_reduce", Kernel: "cross_device_reduce_1stage", Bytes: 62_464, Ranks: 2, Count: 792,
			TransferNS: 3_200_000, TransferMedianNS: 4032, LateRank: 0, LateShare: 0.93}},
		Launches: []LaunchFacts{
			{Rank: 0, Calls: 1673, GraphCalls: 24, DelayMedianNS: 217_247, DelayP99NS: 1_640_033, QueueDepth: 6.92, CallMedianNS: 6267, ShortNS: 5000, ShortKernels: 4588, ShortTimeNS: 10_261_990},
			{Rank: 1, Calls: 1673, GraphCalls: 24, DelayMedianNS: 1_595_163, DelayP99NS: 4_059_697, QueueDepth: 22.99, CallMedianNS: 6153, ShortNS: 5000, ShortKernels: 4677, ShortTimeNS: 10_522_293},
		},
		Copies:      []CopyFacts{{"decode", "memcpy_h2d", 346, 387_994, 64, 0}, {"decode", "memcpy_d2h", 48, 109_153, 32, 0}},
		PlainTPOTNS: 2_360_000, ProfiledTPOTNS: 3_230_000, WeightReadFloorNS: 780_000,
	}
}

func onPCIe() Facts {
	f := nccl()
	f.Collectives = slices.Clone(f.Collectives)
	for i := range f.Collectives {
		f.Collectives[i].PCIe = "SYS"
	}
	return f
}

func nccl() Facts {
	f := tp2()
	rank := func(n int, waiting int64, idle ...IdleFacts) RankFacts {
		return RankFacts{Rank: n, Parts: []PartFacts{exposed("ffn", 829_000), exposed("attention", 545_000), exposed("head", 233_000),
			exposed("transfer", 240_000), exposed("waiting", waiting), exposed("other", 107_000)}, Idle: idle}
	}
	f.WindowNS = 155_085_985
	f.Phases = []PhaseFacts{{Name: "decode", Steps: 24, Tokens: 183, Requests: 183, PeriodMeanNS: 4_360_000, PeriodMedianNS: 4_388_046, Ranks: []RankFacts{
		rank(0, 2_148_000, IdleFacts{"host_late", 60_000}, IdleFacts{"short_gap", 190_000}),
		rank(1, 8_000, IdleFacts{"host_late", 1_900_000}, IdleFacts{"launch_latency", 300_000}, IdleFacts{"short_gap", 150_000}),
	}}}
	f.Collectives = []CollectiveFacts{{Phase: "decode", Kind: "all_reduce", Kernel: "ncclDevKernel_AllReduce_Sum_bf16_RING_LL", Bytes: 62_464, Ranks: 2, Count: 792,
		TransferNS: 5_550_000, TransferMedianNS: 6816, LateRank: 1, LateShare: 0.99, BusBW: 9.2e9, Ceiling: 450e9}}
	f.Launches = []LaunchFacts{
		{Rank: 0, Calls: 1607, GraphCalls: 24, DelayMedianNS: 4_840_310, DelayP99NS: 16_594_237, QueueDepth: 54.1, CallMedianNS: 6718, ShortNS: 5000, ShortKernels: 3970, ShortTimeNS: 7_641_763},
		{Rank: 1, Calls: 1607, GraphCalls: 24, DelayMedianNS: 13_786, DelayP99NS: 1_302_878, QueueDepth: 3.5, CallMedianNS: 9335, ShortNS: 5000, ShortKernels: 3971, ShortTimeNS: 7_745_004},
	}
	f.PlainTPOTNS, f.ProfiledTPOTNS = 2_240_000, 4_190_000
	return f
}

func hostbound() Facts {
	return Facts{
		Engine: "vLLM", Version: "0.20.2", Ranks: 1, WorldSize: 1, Eager: true, WindowNS: 215_100_011,
		Phases: []PhaseFacts{{Name: "decode", Steps: 39, Tokens: 39, Requests: 39, PeriodMeanNS: 4_960_000, PeriodMedianNS: 4_913_554, Ranks: []RankFacts{{Rank: 0,
			Parts: []PartFacts{exposed("ffn", 366_000), exposed("attention", 168_000), exposed("head", 325_000), exposed("other", 72_000)},
			Idle:  []IdleFacts{{"host_late", 3_330_000}, {"launch_latency", 660_000}, {"short_gap", 9000}, {"host_sync", 6800}}}}}},
		Categories: []CategoryFacts{
			{"decode", "gemm.dense", 27_408_796, 27_408_796, 663}, {"decode", "other.elementwise", 1_585_941, 1_585_941, 897},
			{"decode", "attention.core", 1_312_958, 1_312_958, 156}, {"decode", "other.softmax", 1_292_668, 1_292_668, 39},
			{"decode", "other.sampling", 1_185_122, 1_185_122, 78}, {"decode", "other.norm", 843_803, 843_803, 351},
			{"decode", "gemm.splitk_reduce", 534_395, 499_327, 312}, {"decode", "attention.rope", 421_533, 421_533, 156},
		},
		Launches:    []LaunchFacts{{Rank: 0, Calls: 3759, DelayMedianNS: 9356, DelayP99NS: 81_164, QueueDepth: 0.34, CallMedianNS: 6854, ShortNS: 5000, ShortKernels: 2356, ShortTimeNS: 4_952_234}},
		PlainTPOTNS: 4_590_000, ProfiledTPOTNS: 5_320_000,
	}
}

func eager() Facts {
	return Facts{
		Engine: "vLLM", Version: "0.20.2", Ranks: 1, WorldSize: 1, Eager: true, WindowNS: 134_217_402,
		Phases: []PhaseFacts{
			{Name: "decode", Steps: 7, Tokens: 55, Requests: 55, PeriodMeanNS: 13_200_000, PeriodMedianNS: 13_082_762, Ranks: []RankFacts{{Rank: 0,
				Parts: []PartFacts{exposed("ffn", 1_030_000), exposed("attention", 530_000), exposed("head", 390_000), exposed("other", 190_000)},
				Idle:  []IdleFacts{{"host_late", 9_500_000}, {"launch_latency", 1_310_000}, {"profiler", 140_000}, {"short_gap", 28_000}}}}},
			{Name: "mixed", Steps: 1, Tokens: 645, Requests: 8, PeriodMeanNS: 16_309_731, Ranks: []RankFacts{{Rank: 0,
				Parts: []PartFacts{exposed("ffn", 3_000_000), exposed("attention", 1_700_000)}, Idle: []IdleFacts{{"host_late", 9_600_000}, {"launch_latency", 1_200_000}}}}},
		},
		Categories: []CategoryFacts{
			{"decode", "gemm.dense", 11_084_048, 11_084_048, 343}, {"decode", "other.norm", 751_871, 751_871, 343},
			{"decode", "other.elementwise", 639_716, 639_716, 266}, {"decode", "attention.rope", 241_027, 241_027, 84},
		},
		Launches: []LaunchFacts{{Rank: 0, Calls: 2114, DelayMedianNS: 8011, DelayP99NS: 152_112, QueueDepth: 0.41, CallMedianNS: 5353, ShortNS: 5000, ShortKernels: 1302, ShortTimeNS: 3_016_892}},
	}
}

func moe() Facts {
	return Facts{
		Engine: "vLLM", Version: "0.20.2", Ranks: 1, WorldSize: 1, Graphs: true, WindowNS: 115_186_050,
		Phases: []PhaseFacts{{Name: "decode", Steps: 23, Tokens: 183, Requests: 183, PeriodMeanNS: 3_140_000, PeriodMedianNS: 3_076_358, Ranks: []RankFacts{{Rank: 0,
			Parts: []PartFacts{exposed("ffn", 1_710_000), exposed("attention", 400_000), exposed("head", 240_000), exposed("other", 90_000)},
			Idle:  []IdleFacts{{"host_late", 420_000}, {"launch_latency", 90_000}, {"short_gap", 140_000}}}}}},
		Categories: []CategoryFacts{
			{"decode", "ffn.moe_gemm", 33_064_570, 33_064_570, 552}, {"decode", "gemm.dense", 8_936_718, 8_936_718, 851},
			{"decode", "ffn.moe_permute", 1_182_002, 1_182_002, 552}, {"decode", "ffn.moe_router", 1_115_779, 1_115_779, 276},
			{"decode", "other.sampling", 754_393, 754_393, 206}, {"decode", "other.softmax", 908_033, 908_033, 23},
		},
		Roles: []RoleFacts{
			{Phase: "decode", Role: "experts_gate_up", TimeNS: 21_388_000, BandwidthShare: 0.55, Bound: "memory"},
			{Phase: "decode", Role: "experts_down", TimeNS: 11_675_000, BandwidthShare: 0.5, Bound: "memory"},
			{Phase: "decode", Role: "qkv_proj", TimeNS: 2_118_000, BandwidthShare: 0.47, Bound: "memory"},
			{Phase: "decode", Role: "lm_head", TimeNS: 3_340_000, BandwidthShare: 0.89, Bound: "memory"},
		},
		Launches: []LaunchFacts{{Rank: 0, Calls: 1577, GraphCalls: 23, DelayMedianNS: 526_774, DelayP99NS: 2_214_233, QueueDepth: 13.1, CallMedianNS: 6829, ShortNS: 5000, ShortKernels: 4065, ShortTimeNS: 9_137_002}},
		Experts:  128, ExpertsPerToken: 8, PlainTPOTNS: 2_530_000, ProfiledTPOTNS: 3_060_000,
	}
}

func lora() Facts {
	return Facts{
		Engine: "vLLM", Version: "0.20.2", Ranks: 1, WorldSize: 1, Graphs: true, WindowNS: 457_272_845,
		Phases: []PhaseFacts{
			{Name: "decode", Steps: 13, Tokens: 133, Requests: 133, PeriodMeanNS: 6_560_000, PeriodMedianNS: 6_559_055, Ranks: []RankFacts{{Rank: 0,
				Parts: []PartFacts{exposed("ffn", 1_800_000), exposed("attention", 1_100_000), exposed("head", 380_000), exposed("other", 300_000)},
				Idle:  []IdleFacts{{"host_late", 2_300_000}, {"launch_latency", 450_000}, {"short_gap", 200_000}}}}},
			{Name: "mixed", Steps: 6, Tokens: 7150, Requests: 55, PeriodMeanNS: 48_000_000, PeriodMedianNS: 47_806_440, Ranks: []RankFacts{{Rank: 0,
				Parts: []PartFacts{exposed("ffn", 9_000_000), exposed("attention", 5_000_000)}, Idle: []IdleFacts{{"host_late", 26_000_000}, {"launch_latency", 5_000_000}, {"host_sync", 90_000}}}}},
		},
		Categories: []CategoryFacts{
			{"decode", "gemm.dense", 27_349_625, 27_349_625, 845}, {"decode", "other.lora", 8_508_879, 8_508_879, 1716},
			{"mixed", "gemm.dense", 66_111_625, 66_111_625, 390}, {"mixed", "other.lora", 26_992_311, 26_992_311, 792},
			{"decode", "other.sampling", 696_253, 696_253, 146}, {"decode", "other.softmax", 444_544, 444_544, 13}, {"decode", "other.sort_scan", 347_166, 347_166, 94},
		},
		Launches: []LaunchFacts{{Rank: 0, Calls: 4864, GraphCalls: 13, DelayMedianNS: 10_977, DelayP99NS: 3_059_179, QueueDepth: 3.32, CallMedianNS: 7519, ShortNS: 5000, ShortKernels: 6008, ShortTimeNS: 11_801_510}},
	}
}
