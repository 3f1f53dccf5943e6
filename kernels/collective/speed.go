package collective

import (
	"slices"
	"strings"
)

// Rates are bytes a second as nccl-tests gives them (doc/PERFORMANCE.md): by
// message, and by what each link carries. 0 where ranks or time are unknown.
func Rates(kind string, ranks int, bytes, ns int64) (alg, bus float64) {
	if ns <= 0 || bytes <= 0 {
		return 0, 0
	}
	alg = float64(bytes) / float64(ns) * 1e9
	return alg, alg * BusFactor(kind, ranks)
}

// BusFactor is the share of a message that each link carries, by nccl-tests'
// factors; 0 when the kind has none or the ranks are unknown.
func BusFactor(kind string, ranks int) float64 {
	if ranks < 2 {
		return 0
	}
	n := float64(ranks)
	switch kind {
	case "all_reduce":
		return 2 * (n - 1) / n
	case "all_gather", "reduce_scatter", "all_to_all":
		return (n - 1) / n
	case "broadcast", "reduce", "send_recv":
		return 1
	}
	return 0
}

// Algorithms that names of kernels show.
const (
	OneShot  = "one-shot"
	TwoShot  = "two-shot"
	InSwitch = "in-switch"
	ByNCCL   = "NCCL's choice"
)

// AlgorithmOf is the family of algorithms that a kernel's name shows. NCCL's
// plain kernels are named for the first function in them (RING_LL): which
// algorithm and protocol ran is not in the name.
func AlgorithmOf(kernel string) string {
	name := strings.ToLower(kernel)
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(name, w) })
	}
	switch {
	case has("ncclsymk"):
		// NCCL src/device/symmetric: MC is multicast, AGx gathers and reduces
		// locally, RSx scatters first.
		switch {
		case has("ldmc", "stmc", "llmc"):
			return InSwitch
		case has("_rsx"):
			return TwoShot
		case has("_agx"):
			return OneShot
		}
		return ""
	case has("nccl"):
		return ByNCCL
	case has("multimem", "nvls"):
		return InSwitch
	case has("1stage", "oneshot", "one_shot"):
		return OneShot
	case has("2stage", "twoshot", "two_shot"):
		return TwoShot
	}
	return ""
}
