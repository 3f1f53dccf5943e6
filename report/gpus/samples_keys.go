package gpus

import (
	"slices"
	"strings"
	"unicode"

	"tokprof/report/document"
)

// metricWords tell a metric by its name, whose wording changes from GPU to GPU
// and from version to version: all of the words, and none of the others. The
// protocol's own traffic on NVLink is no key: it moves nobody's data.
var metricWords = []struct {
	key       string
	nic       bool
	all, none []string
}{
	{document.KeySMActive, false, []string{"sm", "active"}, []string{"unallocated", "warps", "tensor", "in"}},
	{document.KeyTensorActive, false, []string{"tensor", "active"}, []string{"fp16"}}, // Turing counts both in one
	{document.KeyDRAMRead, false, []string{"dram", "read"}, nil},
	{document.KeyDRAMWrite, false, []string{"dram", "write"}, nil},
	{document.KeyNVLinkTx, false, []string{"nvlink", "tx"}, []string{"protocol"}},
	{document.KeyNVLinkRx, false, []string{"nvlink", "rx"}, []string{"protocol"}},
	{document.KeyPCIeTx, false, []string{"pcie", "tx"}, nil},
	{document.KeyPCIeRx, false, []string{"pcie", "rx"}, nil},
	{document.KeyGPCClock, false, []string{"gpc", "clock"}, nil},
	{document.KeyNICTx, true, []string{"bytes", "sent"}, nil},
	{document.KeyNICRx, true, []string{"bytes", "received"}, nil},
}

// metricKey is what a metric is by its name, "" when none of the known ones.
func metricKey(name string, nic bool) string {
	words := strings.FieldsFunc(strings.ToLower(withoutUnit(name)), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	for i, w := range words {
		if w == "sms" {
			words[i] = "sm"
		}
	}
	has := func(w string) bool { return slices.Contains(words, w) }
	for _, m := range metricWords {
		if m.nic == nic && !slices.ContainsFunc(m.none, has) && !slices.ContainsFunc(m.all, func(w string) bool { return !has(w) }) {
			return m.key
		}
	}
	return ""
}

// metricUnit is what stands in brackets at the end of a metric's name.
func metricUnit(name string) string {
	if !strings.HasSuffix(name, "]") {
		return ""
	}
	return strings.TrimSpace(strings.TrimSuffix(name[strings.LastIndex(name, "[")+1:], "]"))
}

func withoutUnit(name string) string {
	if i := strings.LastIndex(name, "["); i >= 0 && strings.HasSuffix(name, "]") {
		return strings.TrimSpace(name[:i])
	}
	return name
}
