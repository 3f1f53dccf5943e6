package latency

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"tokprof/report/figures"
	"tokprof/trace/serving"
	"tokprof/trace/serving/match"
)

// Bounds of what a row can say; beyond them it is damaged.
const (
	maxRequestNS     = 24 * 3600 * 1_000_000_000
	maxRequestTokens = 1 << 40
)

// maxErrorRunes bounds an error text.
const maxErrorRunes = 120

// ownRow is a row of the window; at is its index among the rows that take part
// in the join, -1 when it is damaged.
type ownRow struct {
	row *serving.Request
	at  int

	line    *line         // of the engine that served it, without steps when unknown
	entered int           // the step on it that began with the prompt, match.None when unknown
	tokens  []match.Token // with steps of the line; nil when there is no join
}

// rows gives the rows of the window by the time they were due, and all sound rows
// for the join.
func (l *Load) rows() (own []ownRow, all []serving.Request) {
	for i := range l.Requests {
		r := &l.Requests[i]
		at := -1
		if sound(r) {
			at = len(all)
			all = append(all, *r)
		}
		if r.Window == l.Window || r.Window == "" {
			own = append(own, ownRow{row: r, at: at, entered: match.None})
		}
	}
	slices.SortStableFunc(own, func(x, y ownRow) int { return cmp.Compare(dueOf(x.row), dueOf(y.row)) })
	return own, all
}

// dueOf is the moment from which a request's latencies count.
func dueOf(r *serving.Request) int64 {
	if r.DueUnixNS != 0 {
		return r.DueUnixNS
	}
	return r.SentUnixNS
}

// sound says whether a row's times follow each other and its counts can be.
func sound(r *serving.Request) bool {
	from := dueOf(r)
	if from <= 0 || r.PromptTokens < 0 || r.PromptTokens > maxRequestTokens || r.CachedTokens < 0 || r.CachedTokens > r.PromptTokens {
		return false
	}
	last := from
	for _, t := range r.TokenUnixNS {
		if t < last {
			return false
		}
		last = t
	}
	return last-from <= maxRequestNS && r.EndUnixNS-from <= maxRequestNS
}

// requestRow is a row as the client gave it; what is not sound stays 0.
func requestRow(r *serving.Request) Request {
	out := Request{ID: r.ID, EnteredStep: -1, FirstStep: -1}
	if !sound(r) {
		return out
	}
	out.DueUnixNS = dueOf(r)
	out.PromptTokens, out.CachedTokens, out.OutputTokens = int64(r.PromptTokens), int64(r.CachedTokens), int64(len(r.TokenUnixNS))
	if r.Failed() {
		out.Error = errorText(r)
	}
	if n := len(r.TokenUnixNS); n > 0 {
		out.FirstUnixNS, out.LastUnixNS = r.TokenUnixNS[0], r.TokenUnixNS[n-1]
		out.TTFTNS = out.FirstUnixNS - out.DueUnixNS
		if n > 1 {
			out.TPOTNS = (out.LastUnixNS - out.FirstUnixNS) / int64(n-1)
		}
		out.E2ENS = max(out.LastUnixNS, r.EndUnixNS) - out.DueUnixNS
	}
	return out
}

// count fills the sums and spreads over the rows.
func (q *Requests) count(own []ownRow) {
	var ttft, tpot, itl, e2e []int64
	var first, last int64
	errors := map[string]int64{}
	q.Count = int64(len(own))
	for i, o := range own {
		row := &q.Rows[i]
		if o.at < 0 {
			continue
		}
		q.InputTokens += row.PromptTokens
		q.OutputTokens += row.OutputTokens
		if first == 0 {
			first = row.DueUnixNS
		}
		last = max(last, row.LastUnixNS)
		if o.row.Failed() {
			q.Failed++
			errors[row.Error]++
			continue
		}
		if row.OutputTokens == 0 {
			continue
		}
		ttft, e2e = append(ttft, row.TTFTNS), append(e2e, row.E2ENS)
		if row.OutputTokens > 1 {
			tpot = append(tpot, row.TPOTNS)
		}
		for k := 1; k < len(o.row.TokenUnixNS); k++ {
			if gap := o.row.TokenUnixNS[k] - o.row.TokenUnixNS[k-1]; gap > 0 {
				itl = append(itl, gap)
			}
		}
	}
	q.TTFTNS, q.TPOTNS, q.ITLNS, q.E2ENS = figures.SpreadOf(ttft), figures.SpreadOf(tpot), figures.SpreadOf(itl), figures.SpreadOf(e2e)
	if last > first {
		q.TokensPerS = float64(q.OutputTokens) / float64(last-first) * 1e9
	}
	for text, n := range errors {
		q.Errors = append(q.Errors, ErrorCount{text, n})
	}
	slices.SortFunc(q.Errors, func(x, y ErrorCount) int {
		return cmp.Or(cmp.Compare(y.Count, x.Count), cmp.Compare(x.Error, y.Error))
	})
}

// What an error text must not carry into a ticket: addresses, and numbers that
// make equal errors look different.
var (
	errorQuoted  = regexp.MustCompile(`"[^"]*"`)
	errorAddress = regexp.MustCompile(`[a-z]+://\S+|\[[0-9a-fA-F:]+\](?::\d+)?|\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?|\b[\w-]+(?:\.[\w-]+)+:\d+\b|\S*/\S*`)
	errorNumber  = regexp.MustCompile(`\d{3,}`)
)

// errorText is why a request failed: the status, else the last clause of the
// error, which names the cause in Go and in Python.
func errorText(r *serving.Request) string {
	if r.Status != 0 && r.Status != 200 {
		return fmt.Sprintf("HTTP %d", r.Status)
	}
	if r.Error == "" {
		return "no answer"
	}
	s := strings.TrimSpace(strings.ToValidUTF8(r.Error[:min(len(r.Error), 2000)], "\uFFFD"))
	s = errorAddress.ReplaceAllString(errorQuoted.ReplaceAllString(s, "…"), "…")
	s = errorNumber.ReplaceAllString(s, "N")
	if i := strings.LastIndex(s, ": "); i >= 0 && strings.TrimSpace(s[i+2:]) != "" {
		s = strings.TrimSpace(s[i+2:])
	}
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
	if r := []rune(s); len(r) > maxErrorRunes {
		s = string(r[:maxErrorRunes-1]) + "…"
	}
	return cmp.Or(s, "unknown error")
}
