package latency

import (
	"strings"
	"testing"

	"tokprof/trace/serving"
)

func TestErrorText(t *testing.T) {
	for want, r := range map[string]serving.Request{
		"HTTP 503":                     {Status: 503, Error: "anything"},
		"no answer":                    {},
		"context deadline exceeded":    {Error: `Post "http://127.0.0.1:8000/v1/completions": context deadline exceeded`},
		"connection refused":           {Error: "dial tcp [::1]:8000: connect: connection refused"},
		"… is gone":                    {Status: 200, Error: "node-7.cluster.example:8000 is gone"},
		"took N s":                     {Error: "took 12345 s"},
		"a b":                          {Error: "a\x1b\n\tb"},
		"file … is missing":            {Error: "file /home/somebody/x is missing"},
		"unknown error":                {Error: "\n"},
		strings.Repeat("é", 119) + "…": {Error: strings.Repeat("é", 400)},
	} {
		if got := errorText(&r); got != want {
			t.Errorf("%q is told as %q, want %q", r.Error, got, want)
		}
	}
}
