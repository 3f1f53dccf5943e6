package latency

import "testing"

func TestTaxWords(t *testing.T) {
	for want, x := range map[string]Tax{
		"TPOT 3.00 ms profiled, 2.00 ms without (+50 %); TTFT 4.00 ms profiled, 2.00 ms without (+100 %)":                               {TPOTNS: 3e6, PlainTPOTNS: 2e6, TPOTInflation: 0.5, TTFTNS: 4e6, PlainTTFTNS: 2e6, TTFTInflation: 1},
		"TPOT 3.00 ms profiled, 4.00 ms without (no slower); TTFT 4.00 ms profiled, 8.00 ms in the run without, which came first, cold": {TPOTNS: 3e6, PlainTPOTNS: 4e6, TPOTInflation: -0.25, TTFTNS: 4e6, PlainTTFTNS: 8e6, TTFTInflation: -0.5, PlainFirst: true},
		"TTFT 4.00 ms profiled, 8.00 ms without (no slower)":                                                                            {TTFTNS: 4e6, PlainTTFTNS: 8e6, TTFTInflation: -0.5},
	} {
		if got := x.Words(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
