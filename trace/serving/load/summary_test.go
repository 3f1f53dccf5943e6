package load

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"tokprof/fixtures/golden"
	"tokprof/trace/serving"
)

func TestSummary(t *testing.T) {
	rows := readRows(t, "llama-16l-tp2.jsonl")
	got := map[string]Summary{"overload": Summarize(readRows(t, "llama-16l-overload.jsonl"))}
	for _, w := range []string{"decode-plain", "decode", "mixed"} {
		if got[w] = Summarize(window(rows, w)); got[w].Requests == 0 {
			t.Errorf("no rows of %s", w)
		}
	}
	b, err := json.MarshalIndent(got, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "summary.golden", append(b, '\n'))
}

// TestSummaryByHand: two requests that anyone can add up.
func TestSummaryByHand(t *testing.T) {
	s := Summarize([]serving.Request{
		{PromptTokens: 10, DueUnixNS: 1000, SentUnixNS: 1100, TokenUnixNS: []int64{1200, 1300, 1300, 1500}, Bundled: 1, CompletionTokens: 4, CachedTokens: 8, Status: 200, EndUnixNS: 1600},
		{PromptTokens: 20, DueUnixNS: 1500, SentUnixNS: 1500, TokenUnixNS: []int64{1900}, CompletionTokens: 3, Status: 200, EndUnixNS: 2000},
		{PromptTokens: 30, DueUnixNS: 1000, SentUnixNS: 1000, TokenUnixNS: []int64{5, 6}, Status: 200, Error: "connection lost", EndUnixNS: 3000},
		{PromptTokens: 30, DueUnixNS: 1000, SentUnixNS: 1000, Status: 503, EndUnixNS: 1001},
	})
	if s.Requests != 4 || s.Completed != 2 || s.Failed != 2 || s.Errors["connection lost"] != 1 || s.Errors["HTTP 503"] != 1 || s.DurationNS != 2000 {
		t.Errorf("counts: %+v", s)
	}
	if s.InputTokens != 30 || s.OutputTokens != 7 || s.CachedTokens != 8 || s.FailedTokens != 2 || s.BundledTokens != 1 || s.UntimedTokens != 2 {
		t.Errorf("tokens: %+v", s)
	}
	if s.OutputTokensPerSecond != 7/2e-6 || s.InputTokensPerSecond != 30/2e-6 || s.RequestsPerSecond != 2/2e-6 {
		t.Errorf("rates: %+v", s)
	}
	for _, c := range []struct {
		name string
		d    Dist
		want []float64
	}{
		{"TTFT", s.Due.TTFT, []float64{200, 400}},
		{"TTFT from sent", s.Sent.TTFT, []float64{100, 400}},
		{"E2E", s.Due.E2E, []float64{500, 400}},
		{"E2E from sent", s.Sent.E2E, []float64{400, 400}},
		{"queue", s.Queue, []float64{100, 0}},
		{"TPOT", s.TPOT, []float64{100, 0}},
		{"ITL", s.ITL, []float64{100, 0, 200}},
	} {
		if want := Distribution(c.want); c.d != want {
			t.Errorf("%s: %+v, want %+v", c.name, c.d, want)
		}
	}
}

func TestDistribution(t *testing.T) {
	up := func(n int) []float64 {
		v := make([]float64, n)
		for i := range v {
			v[i] = float64(n - i)
		}
		return v
	}
	for _, c := range []struct {
		n    int
		want Dist
	}{
		{0, Dist{}},
		{1, Dist{1, 1, 1, 1, 1, 1, 1}},
		{2, Dist{2, 1.5, 1, 1, 2, 2, 2}},
		{10, Dist{10, 5.5, 1, 5, 9, 10, 10}},
		{100, Dist{100, 50.5, 1, 50, 90, 99, 100}},
		{101, Dist{101, 51, 1, 51, 91, 100, 101}},
	} {
		if got := Distribution(up(c.n)); got != c.want {
			t.Errorf("1 to %d: %+v, want %+v", c.n, got, c.want)
		}
	}
}

// TestSummaryParts: the counts of parts add up to those of the whole, the means weigh in
// by their counts, and a request's latencies agree with each other.
func TestSummaryParts(t *testing.T) {
	rows := readRows(t, "llama-16l-tp2.jsonl")
	rows[3].Error = "connection lost"
	g := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		g.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		cut := g.IntN(len(rows) + 1)
		a, b, whole := Summarize(rows[:cut]), Summarize(rows[cut:]), Summarize(rows)
		count := func(s Summary) []int64 {
			return []int64{int64(s.Requests), int64(s.Completed), int64(s.Failed), int64(s.Errors["connection lost"]), s.InputTokens, s.OutputTokens,
				s.CachedTokens, s.FailedTokens, s.BundledTokens, s.UntimedTokens, int64(s.ITL.Count), int64(s.TPOT.Count), int64(s.Due.TTFT.Count)}
		}
		sum := count(a)
		for i, v := range count(b) {
			sum[i] += v
		}
		if !slices.Equal(sum, count(whole)) {
			t.Errorf("parts add up to %v, the whole has %v", sum, count(whole))
		}
		for _, d := range [][3]Dist{{a.ITL, b.ITL, whole.ITL}, {a.Due.E2E, b.Due.E2E, whole.Due.E2E}} {
			total := d[0].Mean*float64(d[0].Count) + d[1].Mean*float64(d[1].Count)
			if want := d[2].Mean * float64(d[2].Count); math.Abs(total-want) > 1e-9*want {
				t.Errorf("parts last %v, the whole %v", total, want)
			}
		}
	}
	for i := range rows {
		s := Summarize(rows[i : i+1])
		if n := float64(s.OutputTokens - 1); s.Completed == 1 && math.Abs(s.Due.TTFT.Mean+n*s.TPOT.Mean-s.Due.E2E.Mean) > 1 {
			t.Errorf("row %d: TTFT %v and %v × TPOT %v make no E2E of %v", i, s.Due.TTFT.Mean, n, s.TPOT.Mean, s.Due.E2E.Mean)
		}
		if math.Abs(s.Queue.Mean+s.Sent.TTFT.Mean-s.Due.TTFT.Mean) > 1 {
			t.Errorf("row %d: queue %v and TTFT from sent %v make no TTFT of %v", i, s.Queue.Mean, s.Sent.TTFT.Mean, s.Due.TTFT.Mean)
		}
	}
}

// TestSummaryAgrees: the latencies are those that a row tells itself.
func TestSummaryAgrees(t *testing.T) {
	for _, r := range readRows(t, "llama-16l-tp2.jsonl") {
		s := Summarize([]serving.Request{r})
		ttft, ok1 := r.TTFT()
		tpot, ok2 := r.TPOT()
		if !ok1 || !ok2 || s.Due.TTFT.Mean != float64(ttft) || s.TPOT.Mean != tpot {
			t.Errorf("row %d: TTFT %v and TPOT %v, the row says %v and %v", r.ID, s.Due.TTFT.Mean, s.TPOT.Mean, ttft, tpot)
		}
	}
}
