package latency

import (
	"cmp"
	"fmt"
	"slices"

	"tokprof/report/figures"
	"tokprof/trace/serving"
)

// Tax is what the profiler cost: the same load with it and without. Requests
// are paired by order and prompt length, tokens by position. Times are medians
// over the pairs; an inflation of 0.37 means 37 % longer with the profiler, one
// below 0 that the run without it was slower, by chance or for being first.
type Tax struct {
	Window        string  `json:"plain_window"`
	Requests      int64   `json:"requests"` // pairs
	Gaps          int64   `json:"gaps"`     // between tokens, of each side
	TTFTNS        int64   `json:"ttft_ns"`
	PlainTTFTNS   int64   `json:"plain_ttft_ns"`
	TTFTInflation float64 `json:"ttft_inflation"`
	TPOTNS        int64   `json:"tpot_ns"` // 0 when no pair has two tokens
	PlainTPOTNS   int64   `json:"plain_tpot_ns"`
	TPOTInflation float64 `json:"tpot_inflation"`
	// PlainFirst says that the run without the profiler came first, so that it
	// may have met a cold server.
	PlainFirst bool `json:"plain_first"`
}

// taxPairs is the share of the requests of both runs that must pair up: with
// fewer it was not the same load.
const taxPairs = 0.9

// TaxOf compares the load with its twin without the profiler: paired requests of
// those that the larger of both served. The tax is nil when too few pair up.
func TaxOf(l *Load) (t *Tax, paired, of int) {
	pairs, of := l.pairs()
	if len(pairs) == 0 || float64(len(pairs)) < taxPairs*float64(of) {
		return nil, len(pairs), of
	}
	t = &Tax{Window: l.PlainWindow, Requests: int64(len(pairs)), PlainFirst: dueOf(pairs[0][1]) < dueOf(pairs[0][0])}
	var ttft, plainTTFT, tpot, plainTPOT []int64
	for _, p := range pairs {
		profiled, plain := p[0], p[1]
		ttft, plainTTFT = append(ttft, profiled.TokenUnixNS[0]-dueOf(profiled)), append(plainTTFT, plain.TokenUnixNS[0]-dueOf(plain))
		if gaps := min(len(profiled.TokenUnixNS), len(plain.TokenUnixNS)) - 1; gaps > 0 {
			t.Gaps += int64(gaps)
			tpot, plainTPOT = append(tpot, meanGap(profiled, gaps)), append(plainTPOT, meanGap(plain, gaps))
		}
	}
	t.TTFTNS, t.PlainTTFTNS, t.TTFTInflation = inflation(ttft, plainTTFT)
	t.TPOTNS, t.PlainTPOTNS, t.TPOTInflation = inflation(tpot, plainTPOT)
	return t, len(pairs), of
}

// meanGap is the mean of a request's first gaps between tokens.
func meanGap(r *serving.Request, gaps int) int64 {
	return (r.TokenUnixNS[gaps] - r.TokenUnixNS[0]) / int64(gaps)
}

func inflation(with, without []int64) (a, b int64, change float64) {
	a, b = figures.SpreadOf(with).Median, figures.SpreadOf(without).Median
	if b > 0 {
		change = float64(a)/float64(b) - 1
	}
	return a, b, change
}

// pairs pairs each request of the window with the next one of the plain run that
// has as long a prompt; of is how many requests the larger of both runs served.
func (l *Load) pairs() (pairs [][2]*serving.Request, of int) {
	profiled, plain := served(l.Requests, l.Window), served(l.Plain, l.PlainWindow)
	byPrompt := map[int][]*serving.Request{}
	for _, r := range plain {
		byPrompt[r.PromptTokens] = append(byPrompt[r.PromptTokens], r)
	}
	for _, r := range profiled {
		if twins := byPrompt[r.PromptTokens]; len(twins) > 0 {
			pairs = append(pairs, [2]*serving.Request{r, twins[0]})
			byPrompt[r.PromptTokens] = twins[1:]
		}
	}
	return pairs, max(len(profiled), len(plain))
}

// served are the rows of a window that ended as they should, by due time.
func served(rows []serving.Request, window string) []*serving.Request {
	var out []*serving.Request
	for i := range rows {
		if r := &rows[i]; (r.Window == window || r.Window == "") && sound(r) && !r.Failed() && len(r.TokenUnixNS) > 0 {
			out = append(out, r)
		}
	}
	slices.SortStableFunc(out, func(x, y *serving.Request) int { return cmp.Compare(dueOf(x), dueOf(y)) })
	return out
}

// TPOTWords says what the profiler cost: "TPOT 3.23 ms profiled, 2.36 ms without
// (+37 %)"; "" when no pair of requests has two tokens.
func (t *Tax) TPOTWords() string {
	if t.TPOTNS == 0 || t.PlainTPOTNS == 0 {
		return ""
	}
	words := fmt.Sprintf("TPOT %s profiled, %s without ", figures.Dur(t.TPOTNS), figures.Dur(t.PlainTPOTNS))
	if t.TPOTInflation < 0 {
		return words + "(no slower)"
	}
	return words + "(" + figures.Change(t.TPOTInflation) + ")"
}

// TTFTWords says the same of the first token. A run without the profiler that
// was slower is no negative cost: it met a server that was not warm yet.
func (t *Tax) TTFTWords() string {
	words := fmt.Sprintf("TTFT %s profiled, %s ", figures.Dur(t.TTFTNS), figures.Dur(t.PlainTTFTNS))
	switch {
	case t.TTFTInflation >= 0:
		return words + "without (" + figures.Change(t.TTFTInflation) + ")"
	case t.PlainFirst:
		return words + "in the run without, which came first, cold"
	}
	return words + "without (no slower)"
}

// Words is what there is of TPOTWords and TTFTWords.
func (t *Tax) Words() string {
	if w := t.TPOTWords(); w != "" {
		return w + "; " + t.TTFTWords()
	}
	return t.TTFTWords()
}
