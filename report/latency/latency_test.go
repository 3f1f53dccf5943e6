package latency

import (
	"math"
	"math/rand"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"tokprof/trace"
	"tokprof/trace/serving"
)

const ms = 1_000_000

// decoding is an engine that serves one request: a prefill of 100 tokens from
// start on, then decode steps, of 10 ms each with pauses of 1 ms.
func decoding(start int64, rank, server, steps int) Engine {
	e := Engine{Rank: rank, Server: server}
	for i := range steps {
		at := start + int64(i)*11*ms
		label := trace.StepLabel{Scheme: trace.SchemeContext, Phase: trace.Decode, GenerationRequests: 1, GenerationTokens: 1}
		if i == 0 {
			label = trace.StepLabel{Scheme: trace.SchemeContext, Phase: trace.Prefill, ContextRequests: 1, ContextTokens: 100}
		}
		e.Steps = append(e.Steps, Merge(i, label, []RankStep{
			{First: at, Last: at + 10*ms, Busy: 8 * ms, Cells: []Cell{{"ffn", "down", 6 * ms}, {"attention", "", 2 * ms}}},
			{First: at, Last: at + 9*ms, Busy: 9 * ms, Cells: []Cell{{"ffn", "down", 6 * ms}, {"waiting", "", 6 * ms}}},
		}))
	}
	return e
}

// answered is the row of such an engine's request, with tokens half a millisecond
// after their steps.
func answered(start int64, id, server, tokens int) serving.Request {
	r := serving.Request{ID: id, Window: "w", Server: server, PromptTokens: 100, MaxTokens: tokens, DueUnixNS: start - 5*ms, SentUnixNS: start - 4*ms, Status: 200, Finish: "length"}
	for i := range tokens {
		r.TokenUnixNS = append(r.TokenUnixNS, start+int64(i)*11*ms+10*ms+ms/2)
	}
	r.EndUnixNS = r.TokenUnixNS[tokens-1]
	return r
}

const begin = 1_700_000_000_000_000_000

// TestExplain splits the requests of two engines that one reader can follow.
func TestExplain(t *testing.T) {
	engines := []Engine{decoding(begin, 0, 0, 6), decoding(begin+3*ms, 2, 1, 6)}
	l := &Load{Window: "w", Servers: 2, Requests: []serving.Request{answered(begin, 1, 0, 6), answered(begin+3*ms, 2, 1, 6)}}
	q := Explain(l, engines, "", nil)
	checkAddsUp(t, q)
	if q.Join.Joined != 12 || q.Join.Share != 1 || q.Join.Sure != 1 || q.Join.Emitted != 12 || q.Join.Explained != 12 {
		t.Fatalf("join %+v", q.Join)
	}
	for i, r := range q.Rows {
		f, g := r.FirstToken, r.BetweenTokens
		if *r.Server != i || r.Rank != 2*i || r.EnteredStep != 0 || r.FirstStep != 0 || f == nil || g == nil {
			t.Fatalf("request %+v", r)
		}
		if f.QueueNS != 5*ms || f.PrefillNS != 10*ms || f.DeliveryNS != ms/2 {
			t.Errorf("first token %+v", f)
		}
		if g.Gaps != 5 || g.TimeNS != 55*ms || g.StepsNS != 55*ms || g.DeliveryNS != 0 {
			t.Errorf("between tokens %+v", g)
		}
		// A rank works 8 ms of ten, the other 9, half of these in the FFN and half
		// waiting; the second runs for 9 ms.
		if p := f.Parts[0]; p.Name != "ffn" || p.TimeNS != (6*ms+4*ms+ms/2)/2 {
			t.Errorf("parts %+v", f.Parts)
		}
	}
	if r := q.Roles[0]; r.Span != "prefill" || r.Role != "down" || r.TimeNS != 2*q.Rows[0].FirstToken.Parts[0].TimeNS {
		t.Errorf("roles %+v", q.Roles)
	}
}

// TestExplainNothing: without steps the rows are told all the same, without rows
// there is nothing to tell.
func TestExplainNothing(t *testing.T) {
	l := &Load{Window: "w", Requests: []serving.Request{answered(begin, 1, 0, 6)}}
	q := Explain(l, nil, "no steps", nil)
	checkAddsUp(t, q)
	if q.Join.Reason != "no steps" || q.Join.Unmatched != 6 || q.TTFTNS.Median != 15*ms+ms/2 || q.Slowest[0].Why != "not joined with a step: no steps" || q.Rows[0].Server != nil {
		t.Errorf("%+v", q)
	}
	if q := Explain(l, nil, "", nil); q.Join.Joined != 0 || q.Join.Unmatched+q.Join.Outside != 6 {
		t.Errorf("no engines: %+v", q.Join)
	}
	l.Window = "another"
	if q := Explain(l, nil, "no steps", nil); q != nil {
		t.Errorf("no row of the window: %+v", q)
	}
}

// TestExplainKeepsItsInput: engines and rows are the caller's.
func TestExplainKeepsItsInput(t *testing.T) {
	e := decoding(begin, 0, 0, 6)
	slices.Reverse(e.Steps)
	first := e.Steps[0]
	l := &Load{Window: "w", Requests: []serving.Request{answered(begin, 1, 0, 6)}}
	if q := Explain(l, []Engine{e}, "", nil); q.Join.Joined != 6 {
		t.Errorf("join %+v", q.Join)
	}
	if e.Steps[0].Index != first.Index || len(e.Steps[0].Cells) != len(first.Cells) {
		t.Error("the caller's steps were changed")
	}
}

// checkAddsUp wants all splits to add up to what they split, and every token to
// be counted once.
func checkAddsUp(t *testing.T, q *Requests) {
	t.Helper()
	same := func(what string, got, want int64) {
		t.Helper()
		if got != want {
			t.Errorf("%s is %d, want %d", what, got, want)
		}
	}
	var tokens, gaps int64
	for _, r := range q.Rows {
		tokens += r.OutputTokens
		if f := r.FirstToken; f != nil {
			same("a first token", f.QueueNS+f.PrefillNS+f.DeliveryNS, r.TTFTNS)
			same("its parts", total(f.Parts), f.PrefillNS)
			same("its phases", total(f.Phases), f.PrefillNS)
		}
		if g := r.BetweenTokens; g != nil {
			gaps += g.Gaps
			same("gaps", g.StepsNS+g.DeliveryNS, g.TimeNS)
			same("their parts", total(g.Parts), g.StepsNS)
			same("their phases", total(g.Phases), g.StepsNS)
		}
	}
	same("rows", int64(len(q.Rows)), q.Count)
	same("tokens", tokens, q.OutputTokens)
	same("joined, outside and unmatched", q.Join.Joined+q.Join.Outside+q.Join.Unmatched, q.OutputTokens)
	if q.BetweenTokens != nil {
		same("gaps of all", gaps, q.BetweenTokens.Gaps)
	}
	for i, s := range q.Slowest {
		if i > 0 && s.GapNS > q.Slowest[i-1].GapNS || s.Why == "" || utf8.RuneCountInString(s.Why) > 160 {
			t.Errorf("slow token %d: %+v", i, s)
		}
	}
	for _, f := range []float64{q.Join.Share, q.Join.Sure, q.TokensPerS} {
		if math.IsNaN(f) || math.IsInf(f, 0) || f < 0 {
			t.Errorf("join %+v, %v tokens/s", q.Join, q.TokensPerS)
		}
	}
}

// TestHostileRows: no row makes a sum wrong or Explain panic.
func TestHostileRows(t *testing.T) {
	rng := rand.New(rand.NewSource(7))
	odd := []int64{0, 1, -1, math.MinInt64, math.MaxInt64, begin, begin + 20*ms, begin + 60*ms, 1 << 62}
	for range 300 {
		engines := []Engine{decoding(begin, 0, 0, 6), decoding(begin+rng.Int63n(30*ms), 1, rng.Intn(3)-1, 6)}
		l := &Load{Window: "w", PlainWindow: "w-plain", Servers: rng.Intn(3)}
		for id := range 1 + rng.Intn(6) {
			r := answered(begin+rng.Int63n(30*ms), id, rng.Intn(3)-1, 1+rng.Intn(8))
			v := odd[rng.Intn(len(odd))]
			switch rng.Intn(8) {
			case 0:
				r.DueUnixNS = v
			case 1:
				r.SentUnixNS, r.DueUnixNS = v, 0
			case 2:
				r.EndUnixNS = v
			case 3:
				r.PromptTokens, r.CachedTokens = int(v), rng.Intn(200)
			case 4:
				r.TokenUnixNS[rng.Intn(len(r.TokenUnixNS))] = v
			case 5:
				r.TokenUnixNS = r.TokenUnixNS[:rng.Intn(len(r.TokenUnixNS)+1)]
			case 6:
				r.Status, r.Error = int(v), strings.Repeat("\x1b\xff: http://h/", rng.Intn(400))
			}
			l.Requests = append(l.Requests, r)
			r.Window = "w-plain"
			l.Plain = append(l.Plain, r)
		}
		checkAddsUp(t, Explain(l, engines, "", nil))
		if tax, paired, of := TaxOf(l); paired > of || tax != nil && (math.IsNaN(tax.TTFTInflation) || math.IsNaN(tax.TPOTInflation)) {
			t.Errorf("%d of %d pair up: %+v", paired, of, tax)
		}
		if t.Failed() {
			t.Fatalf("rows %+v", l.Requests)
		}
	}
}
