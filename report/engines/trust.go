package engines

import (
	"fmt"
	"strings"

	"tokprof/report/document"
	"tokprof/report/figures"
	"tokprof/report/latency"
)

// taxNotable is the inflation by the profiler from which times of steps should
// not be taken for those of the server without it.
const taxNotable = 0.1

// Trust is the doubts about the requests of a captured run, their join with steps,
// and the profiler's tax; either may be nil.
func Trust(q *document.Requests, tax *document.Tax) []document.Trust {
	var out doubts
	if tax != nil {
		touches := []string{}
		more := ""
		if max(tax.TPOTInflation, tax.TTFTInflation) > taxNotable {
			touches, more = []string{"phases", "steps", "requests"}, "; unprofiled steps are shorter"
		}
		out.doubt("profiler_tax", document.Info, touches, "profiler tax: %s%s", tax.Words(), more)
	}
	if q == nil {
		return out
	}
	touches := []string{"requests"}
	if q.Failed > 0 {
		var kinds []string
		for _, e := range q.Errors[:min(len(q.Errors), 2)] {
			kinds = append(kinds, fmt.Sprintf("%s (%s)", cutRunes(e.Error, 40), figures.Count(e.Count)))
		}
		out.doubt("failed_requests", document.Warning, touches, "%s of %s requests failed: %s", figures.Count(q.Failed), figures.Count(q.Count), strings.Join(kinds, ", "))
	}
	if q.Damaged > 0 {
		out.doubt("damaged_requests", document.Warning, touches, "%s of %s request rows have %s: left out", figures.Count(q.Damaged), figures.Count(q.Count), latency.DamagedRow)
	}
	if q.Join.Reason != "" {
		out.doubt("no_join", document.Info, touches, "tokens are not joined with steps: %s", q.Join.Reason)
	} else if q.Join.Unmatched > 0 {
		out.doubt("unmatched_tokens", document.Info, touches, "%s of %s tokens emitted while steps were recorded are joined with none: counts and times leave it open",
			figures.Count(q.Join.Unmatched), figures.Count(q.Join.Joined+q.Join.Unmatched))
	}
	if missing := q.Join.Emitted - q.Join.Explained; q.Join.Reason == "" && missing > 0 {
		out.doubt("unexplained_tokens", document.Info, touches, "%s of %s tokens that the recorded steps emitted are in no request row: others used the server too, or its clock and the client's disagree",
			figures.Count(missing), figures.Count(q.Join.Emitted))
	}
	return out
}

type doubts []document.Trust

func (d *doubts) doubt(code string, s document.Severity, touches []string, format string, args ...any) {
	*d = append(*d, document.Doubt(code, s, touches, format, args...))
}

// cutRunes keeps at most n characters.
func cutRunes(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}
