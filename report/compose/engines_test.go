package compose

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"tokprof/kernels/attribution"
	"tokprof/kernels/breakdown"
	"tokprof/report/document"
	"tokprof/report/engines"
	"tokprof/trace"
	"tokprof/trace/serving"
)

// later is a rank as another engine's would be: all its times so much later.
func later(r *breakdown.Rank, by trace.Time, name string) *breakdown.Rank {
	c := *r
	c.Info.Name, c.Info.Path, c.Info.SHA256 = name, "/run/"+name, ""
	c.Start += by
	c.End += by
	c.LastLaunch += by
	c.Devices, c.Steps = slices.Clone(r.Devices), slices.Clone(r.Steps)
	c.Collectives, c.Excerpts = slices.Clone(r.Collectives), nil
	for i := range c.Devices {
		c.Devices[i].First += by
		c.Devices[i].Last += by
	}
	for i := range c.Steps {
		for _, t := range []*trace.Time{&c.Steps[i].Start, &c.Steps[i].End, &c.Steps[i].First, &c.Steps[i].Last} {
			if *t != 0 {
				*t += by
			}
		}
	}
	for i := range c.Collectives {
		c.Collectives[i].Start += by
	}
	return &c
}

// laterRows are rows so much later, of another server.
func laterRows(rows []serving.Request, by int64, server int) []serving.Request {
	w := engines.RunWindow{Requests: slices.Clone(rows)}
	for i := range w.Requests {
		r := &w.Requests[i]
		r.TokenUnixNS, r.Server = slices.Clone(r.TokenUnixNS), server
		r.ID += 100
	}
	shiftRows(&w, by)
	return w.Requests
}

// pairOf are both ranks of the decode window, as one engine has them and, so much
// later, as another does; in one run with the rows of both.
func pairOf(t *testing.T, by int64, server int) ([]*breakdown.Rank, engines.RunWindow) {
	t.Helper()
	two := bothWindows(t)[2:]
	ranks := []*breakdown.Rank{later(two[0], 0, "a0"), later(two[1], 0, "a1"), later(two[0], trace.Time(by), "b0"), later(two[1], trace.Time(by), "b1")}
	w := engines.RunWindow{Name: decodeWindow, Files: []string{"a0", "a1", "b0", "b1"}, Requests: recordedRows(t)[decodeWindow]}
	w.Requests = slices.Concat(w.Requests, laterRows(w.Requests, by, server))
	return ranks, w
}

// alone is what the decode window says of its requests by itself.
func alone(t *testing.T) *document.Requests {
	t.Helper()
	two := bothWindows(t)[2:]
	w := engines.RunWindow{Name: decodeWindow, Files: []string{two[0].Info.Name}, Requests: recordedRows(t)[decodeWindow]}
	return Build(two, Options{Run: []engines.RunWindow{w}}).Analyses[0].Requests
}

// checkPair wants two engines with equal work to be told as twice that work, each
// request on the steps of the engine that served it.
func checkPair(t *testing.T, q *document.Requests, firstRank [2]int) {
	t.Helper()
	one := alone(t)
	if q == nil {
		t.Fatal("no requests")
	}
	if q.Join.Reason != "" || q.Join.Emitted != 2*one.Join.Emitted || q.Join.Explained != q.Join.Emitted ||
		q.Join.Joined != 2*one.Join.Joined || q.Join.Unmatched != 0 || q.Join.Outside != 2*one.Join.Outside {
		t.Fatalf("join %+v, of one engine %+v", q.Join, one.Join)
	}
	want := map[int]document.Request{}
	for _, r := range one.Rows {
		want[r.ID] = r
	}
	for _, r := range q.Rows {
		of := r.ID / 100
		w := want[r.ID%100]
		if r.Rank != firstRank[of] || r.EnteredStep != w.EnteredStep || r.FirstStep != w.FirstStep || r.Joined != w.Joined {
			t.Errorf("request %d: %+v, of one engine %+v", r.ID, r, w)
		}
		if !reflect.DeepEqual(r.FirstToken, w.FirstToken) || !reflect.DeepEqual(r.BetweenTokens, w.BetweenTokens) {
			t.Errorf("request %d: first token %+v, between %+v; of one engine %+v, %+v", r.ID, r.FirstToken, r.BetweenTokens, w.FirstToken, w.BetweenTokens)
		}
	}
	for i, r := range q.Roles {
		if w := one.Roles[i]; r.Role != w.Role || r.TimeNS != 2*w.TimeNS {
			t.Errorf("role %+v, of one engine %+v", r, w)
		}
	}
	if q.FirstToken.PrefillNS != 2*one.FirstToken.PrefillNS || q.BetweenTokens.StepsNS != 2*one.BetweenTokens.StepsNS {
		t.Errorf("sums %+v, %+v", q.FirstToken, q.BetweenTokens)
	}
	if len(q.Slowest) < 2 || q.Slowest[0].Rank == q.Slowest[1].Rank || q.Slowest[0].Step != q.Slowest[1].Step {
		t.Errorf("slowest %+v", q.Slowest)
	}
	if s := q.Slowest[0]; s.Why != fmt.Sprintf("step 2 of rank %d: mixed, prefill of 644 tokens of 7 other requests", s.Rank) {
		t.Errorf("slowest %+v", s)
	}
}

// TestTwoReplicas: data-parallel replicas are engines of their own, and rhythm
// and counts tell which served a request.
func TestTwoReplicas(t *testing.T) {
	for _, by := range []int64{1_700_000, 9_000_000, 23_000_000} {
		ranks, w := pairOf(t, by, 0)
		for i, r := range ranks {
			r.Info.Replica = i / 2
		}
		s := Build(ranks, Options{Run: []engines.RunWindow{w}})
		if len(s.Analyses) != 1 {
			t.Fatalf("%d windows", len(s.Analyses))
		}
		checkPair(t, s.Analyses[0].Requests, [2]int{0, 2})
		checkRequests(t, s.Analyses[0])
	}
}

// serverOf says that the first two ranks are of one server and the others of
// another.
func serverOf(ranks []*breakdown.Rank) map[string]int {
	of := map[string]int{}
	for i, r := range ranks {
		of[r.Info.Path] = i / 2
	}
	return of
}

// TestTwoServers: servers of one run stand in one window, ranks counted on, and
// each is joined with the requests that went there, though both got the same ones
// at the same time.
func TestTwoServers(t *testing.T) {
	for _, by := range []int64{0, 1_000_000, 10_000_000_000} {
		ranks, w := pairOf(t, by, 1)
		w.Servers = []document.ServerFacts{{Engine: "vLLM"}, {Engine: "vLLM"}}
		s := Build(ranks, Options{Run: []engines.RunWindow{w}, ServerOf: serverOf(ranks)})
		if len(s.Analyses) != 1 {
			t.Fatalf("%d windows", len(s.Analyses))
		}
		a := s.Analyses[0]
		checkPair(t, a.Requests, [2]int{0, 2})
		checkRequests(t, a)
		for _, r := range a.Requests.Rows {
			if r.Server == nil || *r.Server != r.ID/100 {
				t.Errorf("request %d went to server %v", r.ID, r.Server)
			}
		}
		for i, src := range a.Sources {
			if src.Rank != i {
				t.Errorf("%s is rank %d", src.Path, src.Rank)
			}
		}
		one := Build(bothWindows(t)[2:], Options{}).Analyses[0]
		for i, c := range a.Collectives {
			if w := one.Collectives[i]; c.Ranks != 2 || c.Count != 2*w.Count || c.TransferSumNS != 2*w.TransferSumNS || c.WaitSumNS != 2*w.WaitSumNS {
				t.Errorf("collective %+v, of one server %+v", c, w)
			}
		}
		if p, w := document.PhaseNamed(a, "decode"), document.PhaseNamed(one, "decode"); p.Steps != 2*w.Steps || p.Tokens != 2*w.Tokens {
			t.Errorf("decode %+v, of one server %+v", p, w)
		}
	}
}

// TestRouter: rows that went through a router do not say which server served
// them.
func TestRouter(t *testing.T) {
	ranks, w := pairOf(t, 9_000_000, 0)
	w.Servers = []document.ServerFacts{{}, {}}
	a := Build(ranks, Options{Run: []engines.RunWindow{w}, ServerOf: serverOf(ranks)}).Analyses[0]
	checkPair(t, a.Requests, [2]int{0, 2})
}

// TestServersOfSizes: servers of one run may have worlds of different sizes, and
// count their ranks after each other whether or not all came.
func TestServersOfSizes(t *testing.T) {
	ranks, w := pairOf(t, 1_000_000, 1)
	for _, r := range ranks[:2] {
		r.Info.WorldSize = 4
	}
	a := Build(ranks[1:], Options{Run: []engines.RunWindow{w}, ServerOf: serverOf(ranks)}).Analyses[0]
	var got []int
	for _, s := range a.Sources {
		got = append(got, s.Rank)
	}
	if !slices.Equal(got, []int{1, 4, 5}) {
		t.Errorf("ranks %v", got)
	}
	missing := ""
	for _, x := range a.Trust {
		if x.Code == "missing_ranks" {
			missing = x.Message
		}
	}
	if missing != "no file of rank 0, 2, 3 (3 of 6 ranks): waiting for it can only be estimated" {
		t.Errorf("missing: %q", missing)
	}
	if a.Requests.Join.Explained != a.Requests.Join.Emitted {
		t.Errorf("join %+v", a.Requests.Join)
	}
}

// TestIdleReplica: a replica that runs dummy batches for its peers serves nobody.
func TestIdleReplica(t *testing.T) {
	ranks, w := pairOf(t, 500_000, 0)
	for i, r := range ranks {
		if r.Info.Replica = i / 2; i > 1 {
			for n := range r.Steps {
				r.Steps[n].Name, r.Steps[n].Label = "", trace.StepLabel{Phase: trace.Dummy}
			}
		}
	}
	w.Requests = w.Requests[:len(w.Requests)/2]
	a := Build(ranks, Options{Run: []engines.RunWindow{w}}).Analyses[0]
	checkRequests(t, a)
	if q, one := a.Requests, alone(t); !reflect.DeepEqual(q.Join, one.Join) || !reflect.DeepEqual(q.FirstToken, one.FirstToken) {
		t.Errorf("join %+v, without the idle replica %+v", q.Join, one.Join)
	}
}

// TestDummiesTakeNoTokens: dummy batches between the steps of a rank that serves
// emit nothing.
func TestDummiesTakeNoTokens(t *testing.T) {
	ranks, w := pairOf(t, 0, 0)
	w.Requests = w.Requests[:len(w.Requests)/2]
	for m, r := range ranks[:2] {
		last := r.Steps[len(r.Steps)-1]
		dummies := 1 + m // the second rank has one more, of a moment that the first did not record
		for n := range dummies {
			at := last.Last + trace.Time(1_000_000*(dummies-n))
			r.Steps = append(r.Steps, attribution.Step{Label: trace.StepLabel{Phase: trace.Dummy}, First: at, Last: at + 300_000, Busy: 300_000, Launches: 5})
		}
	}
	w.Files = []string{"a0"}
	q := Build(ranks[:2], Options{Run: []engines.RunWindow{w}}).Analyses[0].Requests
	if one := alone(t); !reflect.DeepEqual(q.Join, one.Join) {
		t.Errorf("join %+v; without the dummy batch %+v", q.Join, one.Join)
	}
}

// TestServers: what the run knows of its servers stands in each of its windows,
// without directories, and tells the findings the version.
func TestServers(t *testing.T) {
	run := recordedRun(t)
	run[1].Servers = []document.ServerFacts{{Engine: "vLLM", Version: "0.20.2", Model: "/home/somebody/llama-16l"}}
	s := Build(bothWindows(t), Options{Run: run})
	if n := len(s.Analyses[0].Servers); n != 0 {
		t.Errorf("a run that knows no server has %d", n)
	}
	a := s.Analyses[1]
	if len(a.Servers) != 1 || a.ModelWords() != "llama-16l" || a.EngineWords() != "vLLM 0.20.2" {
		t.Errorf("servers %+v", a.Servers)
	}
}
