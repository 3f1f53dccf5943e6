package page

import (
	"fmt"
	"math/rand"
	"regexp"
	"strings"
	"testing"

	"tokprof/report/document"
)

// TestRequestBarsAddUp: the bars of the section stand for the document's sums.
func TestRequestBarsAddUp(t *testing.T) {
	a := pageDocument(t)
	f, g := a.Requests.FirstToken, a.Requests.BetweenTokens
	want := map[string]int64{"queue": f.QueueNS}
	add := func(name string, ns int64) {
		if ns > 0 { // quicker deliveries have no width
			want[name] += ns
		}
	}
	add("delivery", f.DeliveryNS)
	add("delivery", g.DeliveryNS)
	for _, p := range f.Parts {
		add(p.Name, p.TimeNS)
	}
	for _, p := range g.Parts {
		add(p.Name, p.TimeNS)
	}
	got := map[string]int64{}
	for _, m := range segElement.FindAllStringSubmatch(section(drawPage(t, a), "requests"), -1) {
		var ns int64
		fmt.Sscan(m[2], &ns)
		got[m[1]] += ns
	}
	for name, ns := range want {
		if got[name] != ns {
			t.Errorf("bars of %s stand for %d ns, the document says %d", name, got[name], ns)
		}
	}
	if len(got) != len(want) {
		t.Errorf("bars %v, want %v", got, want)
	}
}

// TestQuickerDelivery: time below 0 is explained where it stands.
func TestQuickerDelivery(t *testing.T) {
	q := *pageDocument(t).Requests
	g := *q.BetweenTokens
	q.BetweenTokens = &g
	for ns, want := range map[int64]bool{-870_000: true, 870_000: false} {
		g.DeliveryNS = ns
		if got := wayTable(&q).Note; strings.Contains(got, "below 0") != want {
			t.Errorf("delivery of %d ns is noted with %q", ns, got)
		}
	}
}

// TestSlowTokensNameTheirStep: a link leads to a row that is there.
func TestSlowTokensNameTheirStep(t *testing.T) {
	page := drawPage(t, pageDocument(t))
	links := regexp.MustCompile(`<a href="#(w0-step\d+)">(\d+)</a>`).FindAllStringSubmatch(section(page, "requests"), -1)
	if len(links) < 10 {
		t.Errorf("%d links to steps", len(links))
	}
	for _, l := range links {
		if l[1] != "w0-step"+l[2] || strings.Count(page, `id="`+l[1]+`"`) != 1 {
			t.Errorf("step %s links to %s, which is there %d times", l[2], l[1], strings.Count(page, `id="`+l[1]+`"`))
		}
	}
	for _, want := range []string{"step 2: mixed, prefill of 644 tokens of 7 other requests", "TPOT", "decode-plain"} {
		if !strings.Contains(section(page, "requests"), want) {
			t.Errorf("the section lacks %q", want)
		}
	}
}

// TestRequestsOfUnlistedSteps: without its row a step is named without a link.
func TestRequestsOfUnlistedSteps(t *testing.T) {
	a := pageDocument(t)
	a.Steps = a.Steps[:1]
	got := section(drawPage(t, a), "requests")
	if strings.Contains(got, `href="#w0-step2"`) || !strings.Contains(got, `>2</td>`) {
		t.Error("a step without a row is linked, or not named")
	}
}

// TestRequestsOfEngines: a step of another engine is linked to the row of its own
// rank, and where there are several servers each request says which one it asked.
func TestRequestsOfEngines(t *testing.T) {
	a := pageDocument(t)
	one := 1
	for i := range a.Requests.Rows {
		r := &a.Requests.Rows[i]
		r.Rank, r.Server = 1, &one
	}
	page := drawPage(t, a)
	got := section(page, "requests")
	links := regexp.MustCompile(`<a href="#(w0-rank1-step\d+)">`).FindAllStringSubmatch(got, -1)
	if len(links) == 0 || strings.Count(page, `id="`+links[0][1]+`"`) != 1 {
		t.Errorf("links to steps of rank 1: %q", links)
	}
	if !strings.Contains(got, "Server") || !strings.Contains(got, "rank 1") {
		t.Error("the section lacks servers or ranks")
	}
}

// TestRequestNumbers: what users feel takes its place among the five numbers.
func TestRequestNumbers(t *testing.T) {
	a := pageDocument(t)
	n := headlineNumbers(a, newLexicon(a))
	if len(n) != 5 || n[2].Label != "TPOT, median" || n[2].Value != "3.23\u202fms" || n[2].Lines[1] != "2.36\u202fms without profiler (+37\u202f%)" {
		t.Errorf("numbers %+v", n)
	}
	a.Requests, a.Tax = nil, nil
	if n := headlineNumbers(a, newLexicon(a)); len(n) != 5 || n[4].Label != "GPU idle" {
		t.Errorf("numbers without requests %+v", n)
	}
}

func TestJoinNote(t *testing.T) {
	for want, q := range map[string]document.Requests{
		"1 request with 5 output tokens. Steps only count their requests and tokens, so tokens are joined with them by time, order and counts: 80\u202f% of the 5 tokens that were emitted while steps were recorded; 75\u202f% of these can be of no other step.": {
			Count: 1, OutputTokens: 5, Join: document.Join{Joined: 4, Unmatched: 1, Share: 0.8, Sure: 0.75}},
		"2 requests ended as they should, with 7 output tokens. Tokens are not joined with steps: nobody knows.": {Count: 4, Failed: 1, Damaged: 1, OutputTokens: 7, Join: document.Join{Reason: "nobody knows"}},
		"1 request with 9 output tokens. Steps only count their requests and tokens, so tokens are joined with them by time, order and counts: 100\u202f% of the 4 tokens that were emitted while steps were recorded. 5 tokens came before the first recorded step or after the last. 1 gap behind the last recorded step, while the server stopped its profiler, are in no mean.": {
			Count: 1, OutputTokens: 9, Join: document.Join{Joined: 4, Outside: 5, Share: 1}, BetweenTokens: &document.BetweenTokens{Stalled: 1}},
	} {
		if got := joinNote(&q); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// TestRequestLanes: bars of one lane never overlap, and every request is drawn
// or counted.
func TestRequestLanes(t *testing.T) {
	rng := rand.New(rand.NewSource(1))
	for range 200 {
		a := &document.Analysis{Window: document.Window{StartUnixNS: 1000, DurNS: 10_000}, Requests: &document.Requests{}}
		for i := range rng.Intn(200) {
			due := 500 + rng.Int63n(12_000)
			a.Requests.Rows = append(a.Requests.Rows, document.Request{ID: i, DueUnixNS: due, FirstUnixNS: due + rng.Int63n(100), LastUnixNS: due + 100 + rng.Int63n(3000)})
		}
		bars, lanes, cut := requestBars(a, 120)
		if len(bars)+cut != len(a.Requests.Rows) || cut == 0 && len(a.Requests.Rows) > 160 || len(bars) > 120 || lanes > maxRequestLanes {
			t.Fatalf("%d bars in %d lanes, %d cut of %d", len(bars), lanes, cut, len(a.Requests.Rows))
		}
		end, drawn := map[int]int64{}, map[int]bool{}
		for _, b := range bars {
			if b.lane < 0 || b.lane >= lanes || drawn[b.lane] && b.due < end[b.lane] || b.first < b.due || b.to < b.first {
				t.Fatalf("bar %+v in a lane that ends at %d", b, end[b.lane])
			}
			end[b.lane], drawn[b.lane] = b.to, true
		}
	}
	a := &document.Analysis{Requests: &document.Requests{Rows: []document.Request{{ID: 1, DueUnixNS: 5}, {ID: 2, DueUnixNS: 5, FirstUnixNS: 3, LastUnixNS: 2}}}}
	if bars, lanes, cut := requestBars(a, 5); len(bars) != 0 || lanes != 0 || cut != 0 {
		t.Errorf("requests without tokens give %v in %d lanes, %d cut", bars, lanes, cut)
	}
}
