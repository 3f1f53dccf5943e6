package gpus

import (
	"testing"

	"tokprof/report/document"
)

// TestMetricKeys knows metrics by their names on several GPUs and versions.
func TestMetricKeys(t *testing.T) {
	for name, want := range map[string]string{
		"SMs Active [Throughput %]":                             document.KeySMActive,
		"SM Active [Throughput %]":                              document.KeySMActive,
		"Unallocated Warps in Active SMs [Throughput %]":        "",
		"SM Issue [Throughput %]":                               "",
		"Tensor Active [Throughput %]":                          document.KeyTensorActive,
		"Tensor Active / FP16 Active [Throughput %]":            "",
		"DRAM Read Bandwidth [Throughput %]":                    document.KeyDRAMRead,
		"DRAM Write Throughput [Throughput %]":                  document.KeyDRAMWrite,
		"NVLink TX Requests User Data [Throughput %]":           document.KeyNVLinkTx,
		"NVLink RX Responses User Data [Throughput %]":          document.KeyNVLinkRx,
		"NVLink TX Requests Protocol Data [Throughput %]":       "",
		"PCIe TX Throughput [Throughput %]":                     document.KeyPCIeTx,
		"PCIe RX Throughput [Throughput %]":                     document.KeyPCIeRx,
		"GPC Clock Frequency [MHz]":                             document.KeyGPCClock,
		"SYS Clock Frequency [MHz]":                             "",
		"Bytes sent [B]":                                        "",
		"":                                                      "",
		"[]":                                                    "",
		"metric 7":                                              "",
		"Compute Warps in Flight [Avg Warps per Cycle] [weird]": "",
	} {
		if got := metricKey(name, false); got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]string{"Bytes sent [B]": document.KeyNICTx, "Bytes received": document.KeyNICRx, "SMs Active": "", "CNPs sent": ""} {
		if got := metricKey(name, true); got != want {
			t.Errorf("%q of an adapter is %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]string{"x [Avg Warps per Cycle]": "Avg Warps per Cycle", "x": "", "x [a] y": "", "]": "", "x []": "", "[%]": "%"} {
		if got := metricUnit(name); got != want {
			t.Errorf("unit of %q is %q, want %q", name, got, want)
		}
	}
}
