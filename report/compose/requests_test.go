package compose

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"tokprof/fixtures/golden"
	"tokprof/kernels/breakdown"
	"tokprof/report/document"
	"tokprof/report/engines"
	"tokprof/report/latency"
	"tokprof/trace/serving"
)

// Windows of the run that llama-16l-tp2 was cut from.
const (
	decodeWindow  = "decode"
	plainWindow   = "decode-plain"
	prefillWindow = "prefill"
)

// recordedRows are the fixture's request rows by window.
func recordedRows(t testing.TB) map[string][]serving.Request {
	t.Helper()
	f, err := os.Open(filepath.Join(traces, "llama-16l-tp2", "requests.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	rows, err := serving.ReadRequests(f)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]serving.Request{}
	for _, r := range rows {
		out[r.Window] = append(out[r.Window], r)
	}
	return out
}

// recordedRun is the run that both windows of the fixture are of.
func recordedRun(t testing.TB) []engines.RunWindow {
	rows := recordedRows(t)
	both := slices.Concat(rows[prefillWindow], rows[decodeWindow])
	return []engines.RunWindow{
		{Name: prefillWindow, Files: []string{"rank0.1795400709985551932.pt.trace.json.gz"}, Requests: both},
		{Name: decodeWindow, FromUnixNS: 1795400711590000000, ToUnixNS: 1795400711730000000, Requests: both, Plain: rows[plainWindow], PlainName: plainWindow},
	}
}

// tp2Ranks are both windows of both ranks, read once.
var tp2Ranks []*breakdown.Rank

func bothWindows(t testing.TB) []*breakdown.Rank {
	t.Helper()
	if tp2Ranks == nil {
		for _, name := range []string{"rank0.1795400709985551932", "rank1.1795400709986119559", "rank0.1795400711861592576", "rank1.1795400711877083304"} {
			tp2Ranks = append(tp2Ranks, reduce(t, fixturePath("llama-16l-tp2/"+name)))
		}
	}
	return tp2Ranks
}

// TestRequestsGolden pins what the fixture's requests say.
func TestRequestsGolden(t *testing.T) {
	var b bytes.Buffer
	for _, a := range Build(bothWindows(t), Options{Run: recordedRun(t)}).Analyses {
		checkRequests(t, a)
		b.Write(roundedJSON(t, map[string]any{"window": a.Window.Name, "requests": a.Requests, "tax": a.Tax}))
	}
	golden.Check(t, "requests.json", b.Bytes())
}

// checkLongest wants the longest gap of each phase to bound the slow tokens of
// its steps, and none to be longer than the slowest token.
func checkLongest(t *testing.T, q *document.Requests) {
	t.Helper()
	if q.BetweenTokens == nil || q.BetweenTokens.Stalled > 0 {
		return
	}
	for _, s := range q.Slowest {
		if s.Step < 0 || s.StepsNS == 0 {
			continue
		}
		i := slices.IndexFunc(q.BetweenTokens.Longest, func(x document.NameTime) bool { return x.Name == s.Phase })
		if i < 0 || q.BetweenTokens.Longest[i].TimeNS < s.GapNS {
			t.Errorf("a gap of %d ns over a %s step; the longest are %+v", s.GapNS, s.Phase, q.BetweenTokens.Longest)
		}
	}
	for _, x := range q.BetweenTokens.Longest {
		if x.TimeNS > q.Slowest[0].GapNS {
			t.Errorf("a gap of %d ns over %s steps, the slowest token came after %d", x.TimeNS, x.Name, q.Slowest[0].GapNS)
		}
	}
}

// checkRequests wants all splits to add up to what they split, and every token
// to be counted once.
func checkRequests(t *testing.T, a *document.Analysis) {
	t.Helper()
	q := a.Requests
	if q == nil {
		return
	}
	same := func(what string, got, want int64) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %s is %d, want %d", a.Window.Name, what, got, want)
		}
	}
	times := func(list []document.NameTime) int64 {
		return sums(list, func(x document.NameTime) int64 { return x.TimeNS })
	}
	checkLongest(t, q)
	first, between := &document.FirstToken{}, &document.BetweenTokens{}
	var tokens, firstParts int64
	for _, r := range q.Rows {
		tokens += r.OutputTokens
		if r.Error == latency.DamagedRow && (r.DueUnixNS|r.TTFTNS|r.PromptTokens|r.OutputTokens != 0 || r.FirstToken != nil) {
			t.Errorf("a damaged row tells %+v", r)
		}
		if f := r.FirstToken; f != nil {
			same("a first token", f.QueueNS+f.PrefillNS+f.DeliveryNS, r.TTFTNS)
			same("a first token's time", f.TimeNS, r.TTFTNS)
			same("its parts", times(f.Parts), f.PrefillNS)
			same("its phases", times(f.Phases), f.PrefillNS)
			first.TimeNS += f.TimeNS
			firstParts += times(f.Parts)
		}
		if g := r.BetweenTokens; g != nil {
			same("gaps", g.StepsNS+g.DeliveryNS, g.TimeNS)
			same("their parts", times(g.Parts), g.StepsNS)
			same("their phases", times(g.Phases), g.StepsNS)
			between.TimeNS += g.TimeNS
			between.Gaps += g.Gaps
			if r.Joined == r.OutputTokens && g.Stalled == 0 {
				same("all gaps of a request", g.TimeNS, r.LastUnixNS-r.FirstUnixNS)
			}
		}
	}
	same("rows", int64(len(q.Rows)), q.Count)
	same("tokens", tokens, q.OutputTokens)
	same("joined, outside and unmatched", q.Join.Joined+q.Join.Outside+q.Join.Unmatched, q.OutputTokens)
	if q.FirstToken != nil {
		same("the sum of first tokens", first.TimeNS, q.FirstToken.TimeNS)
		same("the parts of first tokens", firstParts, times(q.FirstToken.Parts))
	}
	if q.BetweenTokens != nil {
		same("the sum of gaps", between.TimeNS, q.BetweenTokens.TimeNS)
		same("the number of gaps", between.Gaps, q.BetweenTokens.Gaps)
	}
	checkSlowest(t, q, same)
	checkRequestRoles(t, q)
	if q.Join.Share < 0 || q.Join.Share > 1 || q.Join.Sure < 0 || q.Join.Sure > 1 || math.IsNaN(q.TokensPerS) || q.TokensPerS < 0 {
		t.Errorf("join %+v, %v tokens/s", q.Join, q.TokensPerS)
	}
}

func checkSlowest(t *testing.T, q *document.Requests, same func(string, int64, int64)) {
	t.Helper()
	for i, s := range q.Slowest {
		if i > 0 && s.GapNS > q.Slowest[i-1].GapNS || s.GapNS <= 0 || s.Why == "" || utf8.RuneCountInString(s.Why) > 160 {
			t.Errorf("slow token %d: %+v", i, s)
		}
		if s.StepsNS != 0 {
			same("a slow gap", s.StepsNS+s.DeliveryNS, s.GapNS)
			same("its parts", sums(s.Parts, func(x document.NameTime) int64 { return x.TimeNS }), s.StepsNS)
		}
	}
}

// checkRequestRoles wants no more time in roles than in the parts that have
// roles.
func checkRequestRoles(t *testing.T, q *document.Requests) {
	t.Helper()
	inParts := map[string]int64{}
	add := func(span string, parts []document.NameTime) {
		for _, p := range parts {
			if slices.Contains([]string{"attention", "ffn", "head", "other"}, p.Name) {
				inParts[span] += p.TimeNS
			}
		}
	}
	if q.FirstToken != nil {
		add("prefill", q.FirstToken.Parts)
	}
	if q.BetweenTokens != nil {
		add("decode", q.BetweenTokens.Parts)
	}
	inRoles := map[string]int64{}
	for _, r := range q.Roles {
		inRoles[r.Span] += r.TimeNS
	}
	for span, ns := range inRoles {
		if ns <= 0 || ns > inParts[span] {
			t.Errorf("%s: %d ns in roles, %d in parts that have roles", span, ns, inParts[span])
		}
	}
}

// TestDecodeRequests looks at the numbers that a reader would check by hand.
func TestDecodeRequests(t *testing.T) {
	s := Build(bothWindows(t), Options{Run: recordedRun(t)})
	a := s.Analyses[1]
	q := a.Requests
	if s.Analyses[0].Window.Name != prefillWindow || a.Window.Name != decodeWindow || q == nil {
		t.Fatalf("windows %s and %s, requests %v", s.Analyses[0].Window.Name, a.Window.Name, q)
	}
	// The cut trace keeps the first six steps: two of one request, four of eight.
	if q.Count != 8 || q.Join.Emitted != 2+4*8 || q.Join.Joined != q.Join.Emitted || q.Join.Unmatched != 0 || q.Join.Outside != 8*24-q.Join.Joined {
		t.Errorf("join %+v", q.Join)
	}
	r := q.Rows[0]
	if r.EnteredStep != 0 || r.FirstStep != 0 || r.TTFTNS != 26_204_822 || r.FirstToken == nil {
		t.Fatalf("the first request: %+v", r)
	}
	// From the capture's truth: step 0's first GPU event of any rank starts at
	// 1795400711608035619 and its last one ends at 1795400711624001772.
	if got, want := r.FirstToken.PrefillNS, int64(15_966_153); got != want {
		t.Errorf("prefill of the first request %d ns, want %d", got, want)
	}
	if len(q.Slowest) == 0 || q.Slowest[0].Step != 2 || q.Slowest[0].Position != 2 || q.Slowest[0].Why != "step 2: mixed, prefill of 644 tokens of 7 other requests" {
		t.Errorf("slowest token %+v", q.Slowest)
	}
	if x := a.Tax; x == nil || x.Requests != 8 || x.Gaps != 8*23 || x.TPOTNS != 3_226_689 || x.PlainTPOTNS != 2_362_482 || math.Abs(x.TPOTInflation-0.3658) > 1e-4 {
		t.Errorf("tax %+v", x)
	}
	// A step of 3.54 ms would take 2.59 ms without the profiler, which is what a
	// remedy can gain from.
	if f := a.Findings[0]; f.Phase != "decode" || !strings.Contains(f.MaxGain, " of a 2.59 ms unprofiled decode step (") {
		t.Errorf("gain %q of %q", f.MaxGain, f.Title)
	}
	if s.Analyses[0].Tax != nil {
		t.Errorf("a window without a twin has tax %+v", s.Analyses[0].Tax)
	}
}

// requestCases are runs with something wrong in their rows.
var requestCases = []struct {
	name string
	edit func(w *engines.RunWindow)
}{
	{"as recorded", func(*engines.RunWindow) {}},
	{"two failed, one of them before any token", func(w *engines.RunWindow) {
		w.Requests[3].Status, w.Requests[3].Error = 503, "engine is dead"
		w.Requests[4].Error = `Post "http://10.1.2.3:8000/v1/completions": read tcp 10.1.2.4:53112->10.1.2.3:8000: connection reset by peer`
		w.Requests[4].TokenUnixNS = nil
	}},
	{"damaged rows", func(w *engines.RunWindow) {
		w.Requests[3].DueUnixNS = -5
		w.Requests[4].TokenUnixNS[0] = w.Requests[4].DueUnixNS - 1
		w.Requests[5].TokenUnixNS[7] = math.MaxInt64
		w.Requests[6].PromptTokens = math.MaxInt64
		w.Requests[7].TokenUnixNS[3] = w.Requests[7].TokenUnixNS[2] - 1
	}},
	{"a plain run of another load", func(w *engines.RunWindow) { w.Plain = w.Plain[:5] }},
	{"a plain run with longer answers", func(w *engines.RunWindow) {
		for i := range w.Plain {
			at := w.Plain[i].TokenUnixNS
			w.Plain[i].TokenUnixNS = append(slices.Clone(at), at[len(at)-1]+90e6, at[len(at)-1]+180e6)
		}
	}},
	{"a client's clock that is behind by 10 s", func(w *engines.RunWindow) { shiftRows(w, -10_000_000_000) }},
	{"rows of half of the load", func(w *engines.RunWindow) { w.Requests = w.Requests[:7] }},
	{"a request too many", func(w *engines.RunWindow) {
		extra := w.Requests[10]
		extra.ID, extra.TokenUnixNS = 99, slices.Clone(extra.TokenUnixNS)
		w.Requests = append(w.Requests, extra)
	}},
}

func shiftRows(w *engines.RunWindow, by int64) {
	for i := range w.Requests {
		r := &w.Requests[i]
		r.DueUnixNS += by
		r.SentUnixNS += by
		r.EndUnixNS += by
		for k := range r.TokenUnixNS {
			r.TokenUnixNS[k] += by
		}
	}
}

// TestRequestTrust pins the lines of trust about requests, and wants every
// code of them to be among the cases.
func TestRequestTrust(t *testing.T) {
	var b strings.Builder
	seen := map[string]bool{}
	tell := func(name string, a *document.Analysis) {
		checkRequests(t, a)
		fmt.Fprintf(&b, "%s\n", name)
		for _, x := range a.Trust {
			seen[x.Code] = true
			if x.Code == "ok" || x.Severity == document.Error {
				continue
			}
			fmt.Fprintf(&b, "  %-7s %s: %s %v\n", x.Severity, x.Code, x.Message, x.Touches)
			if utf8.RuneCountInString(x.Message) > 170 {
				t.Errorf("%s: %d characters: %s", name, utf8.RuneCountInString(x.Message), x.Message)
			}
		}
	}
	for _, c := range requestCases {
		run := recordedRun(t)
		c.edit(&run[1])
		tell(c.name, Build(bothWindows(t)[2:], Options{Run: run}).Analyses[0])
	}
	one, two := *bothWindows(t)[2], *bothWindows(t)[3]
	one.Info.Replica, two.Info.Replica, two.Info.Rank = 0, 1, 0
	tell("two replicas", Build([]*breakdown.Rank{&one, &two}, Options{Run: recordedRun(t)}).Analyses[0])
	timeless := *bothWindows(t)[2]
	timeless.Info.Epoch = false
	tell("a clock that starts anywhere", Build([]*breakdown.Rank{&timeless}, Options{Run: recordedRun(t)}).Analyses[0])
	for _, file := range []string{"trust.go", "requests.go"} {
		source, err := os.ReadFile(filepath.Join("..", "engines", file))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`[dD]oubt\("(\w+)"`).FindAllStringSubmatch(string(source), -1) {
			if !seen[m[1]] {
				t.Errorf("no run produces %s", m[1])
			}
		}
	}
	if strings.Contains(b.String(), "10.1.2.") || strings.Contains(b.String(), "://") {
		t.Errorf("an address is told:\n%s", b.String())
	}
	golden.Check(t, "requests_trust.golden", []byte(b.String()))
}

// TestUnjoinable says why nothing is joined.
func TestUnjoinable(t *testing.T) {
	change := func(f func(*breakdown.Rank)) []*breakdown.Rank {
		r := *bothWindows(t)[2]
		r.Steps = slices.Clone(r.Steps)
		f(&r)
		return []*breakdown.Rank{&r}
	}
	for want, ranks := range map[string][]*breakdown.Rank{
		"a trace does not say where its clock starts": change(func(r *breakdown.Rank) { r.Info.Epoch = false }),
		"no step says how many requests it served":    change(func(r *breakdown.Rank) { r.Steps = nil; r.StepSums = nil; r.Collectives = nil; r.Excerpts = nil }),
		"the ranks do not run the same steps":         append(change(func(r *breakdown.Rank) { r.Steps[3].Name = "another" }), bothWindows(t)[3]),
		"no step has GPU events": change(func(r *breakdown.Rank) {
			clear(r.Steps[:0])
			for i := range r.Steps {
				r.Steps[i].Launches = 0
			}
		}),
	} {
		a := Build(ranks, Options{Run: recordedRun(t)}).Analyses[0]
		checkRequests(t, a)
		if a.Requests == nil || a.Requests.Join.Reason != want || a.Requests.Join.Unmatched != a.Requests.OutputTokens || a.Requests.TTFTNS.Median != 48_711_026 {
			t.Errorf("want %q, got %+v", want, a.Requests)
		}
	}
}
