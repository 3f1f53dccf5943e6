package load

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"tokprof/fixtures/golden"
	"tokprof/trace/serving"
)

func readRows(t *testing.T, name string) []serving.Request {
	t.Helper()
	f, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := serving.ReadRequests(f)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func window(rows []serving.Request, name string) []serving.Request {
	return slices.DeleteFunc(slices.Clone(rows), func(r serving.Request) bool { return r.Window != name })
}

// TestShape: lengths stay in their ranges and reach both ends, ids in the vocabulary, and
// no two prompts or salts are equal.
func TestShape(t *testing.T) {
	s := Shape{Window: "w", Requests: 500, Input: Range{5, 9}, Output: Range{1, 3}, Vocab: Range{10, 50}, Seed: 3}
	p, err := s.Plan(Poisson(10))
	if err != nil {
		t.Fatal(err)
	}
	in, out, ids := map[int]int{}, map[int]int{}, map[int32]int{}
	prompts, salts := map[string]bool{}, map[string]bool{}
	for _, q := range p.Requests {
		prompt := slices.Collect(q.Prompt.ids())
		if len(prompt) != q.PromptTokens || len(strings.Fields(q.Prompt.text())) != q.PromptTokens {
			t.Errorf("%d ids and %d words, want %d", len(prompt), len(strings.Fields(q.Prompt.text())), q.PromptTokens)
		}
		in[q.PromptTokens]++
		out[q.MaxTokens]++
		for _, id := range prompt {
			ids[id]++
		}
		prompts[fmt.Sprint(prompt)], salts[q.Salt] = true, true
	}
	if len(prompts) != 500 || len(salts) != 500 {
		t.Errorf("%d prompts and %d salts of 500 differ", len(prompts), len(salts))
	}
	even(t, "input length", in, 5, 9)
	even(t, "output length", out, 1, 3)
	even(t, "token id", ids, 10, 49)
}

// even checks by chi-squared that counts spread evenly from lo to hi.
func even[K int | int32](t *testing.T, what string, counts map[K]int, lo, hi K) {
	t.Helper()
	n := 0
	for _, c := range counts {
		n += c
	}
	k := float64(hi - lo + 1)
	want, sum := float64(n)/k, 0.0
	for v := lo; v <= hi; v++ {
		d := float64(counts[v]) - want
		sum += d * d / want
		n -= counts[v]
	}
	if n != 0 || sum > k+5*k { // far beyond what chance makes of it
		t.Errorf("%s: %v over [%d, %d]: %d outside, chi-squared %.1f", what, counts, lo, hi, n, sum)
	}
}

// TestShapeSeeds: equal seeds plan the same; another window has the same lengths and
// other prompts; another length of answers leaves prompts and arrivals alone.
func TestShapeSeeds(t *testing.T) {
	s := Shape{Window: "decode", Requests: 30, Input: Range{4, 20}, Output: Range{1, 50}, Seed: 1}
	describe := func(s Shape) (due, in, out, prompts string) {
		p, err := s.Plan(Poisson(5))
		if err != nil {
			t.Fatal(err)
		}
		for i := range p.Requests {
			q := &p.Requests[i]
			due += fmt.Sprintln(q.Due)
			in += fmt.Sprintln(q.PromptTokens)
			out += fmt.Sprintln(q.MaxTokens)
			prompts += string(q.Prompt.appendIDs(nil)) + q.Salt
		}
		return due, in, out, prompts
	}
	due, in, out, prompts := describe(s)
	if d, i, o, p := describe(s); d != due || i != in || o != out || p != prompts {
		t.Error("the same shape gives another plan")
	}
	s.Window = "decode-plain"
	if d, i, o, p := describe(s); d != due || i != in || o != out || p == prompts {
		t.Errorf("another window: due %v, input %v, output %v, prompts %v the same", d == due, i == in, o == out, p == prompts)
	}
	s.Window, s.Output = "decode", Range{7, 7}
	if d, i, o, p := describe(s); d != due || i != in || o == out || p != prompts {
		t.Errorf("another output: due %v, input %v, output %v, prompts %v the same", d == due, i == in, o == out, p == prompts)
	}
	s.Seed = 2
	if d, i, _, p := describe(s); d == due || i == in || p == prompts {
		t.Errorf("another seed: due %v, input %v, prompts %v the same", d == due, i == in, p == prompts)
	}
}

func TestSharedPrefix(t *testing.T) {
	p, err := Shape{Requests: 3, Input: Range{10, 12}, Output: Range{1, 1}, SharedPrefix: 8}.Plan(Arrival{})
	if err != nil {
		t.Fatal(err)
	}
	first := slices.Collect(p.Requests[0].Prompt.ids())
	for _, q := range p.Requests[1:] {
		ids := slices.Collect(q.Prompt.ids())
		if !slices.Equal(ids[:8], first[:8]) || slices.Equal(ids[8:10], first[8:10]) {
			t.Errorf("prompts %v and %v share their first 8 tokens and no more", first, ids)
		}
		if q.Salt != p.Requests[0].Salt {
			t.Errorf("salts %q and %q keep the prefix apart", q.Salt, p.Requests[0].Salt)
		}
	}
}

func TestShapeRefuses(t *testing.T) {
	good := Shape{Requests: 1, Input: Range{1, 1}, Output: Range{1, 1}}
	for name, edit := range map[string]func(*Shape){
		"no requests":  func(s *Shape) { s.Requests = 0 },
		"no input":     func(s *Shape) { s.Input = Range{} },
		"turned round": func(s *Shape) { s.Output = Range{5, 4} },
		"no vocab":     func(s *Shape) { s.Vocab = Range{7, 7} },
		"negative ids": func(s *Shape) { s.Vocab = Range{-1, 7} },
	} {
		s := good
		edit(&s)
		if p, err := s.Plan(Arrival{}); err == nil {
			t.Errorf("%s: %+v", name, p)
		}
	}
	if _, err := good.Plan(Arrival{Rate: -1}); err == nil {
		t.Error("a negative rate passes")
	}
}

func TestParseRange(t *testing.T) {
	for s, want := range map[string]Range{"128": {128, 128}, "64:900": {64, 900}, "5:5": {5, 5}} {
		if r, err := ParseRange(s); err != nil || r != want {
			t.Errorf("%q: %v, %v", s, r, err)
		} else if again, err := ParseRange(r.String()); err != nil || again != r {
			t.Errorf("%v reads again as %v, %v", r, again, err)
		}
	}
	for _, s := range []string{"", "0", "-1", "a", "9:8", "1:", ":1", "1:2:3"} {
		if r, err := ParseRange(s); err == nil {
			t.Errorf("%q reads as %v", s, r)
		}
	}
}

func TestFromRows(t *testing.T) {
	p, err := FromRows(window(readRows(t, "llama-16l-tp2.jsonl"), "mixed"), "again", 1)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s: %d requests, notes %q\n", p.Window, len(p.Requests), p.Notes)
	for _, q := range p.Requests {
		fmt.Fprintf(&b, "%12v server %d prompt %4d (%d ids) answer %3d exact %v salt %s\n",
			q.Due, q.Server, q.PromptTokens, len(slices.Collect(q.Prompt.ids())), q.MaxTokens, q.Exact, q.Salt)
	}
	golden.Check(t, "fromrows.golden", b.Bytes())
}

func TestFromRowsOdd(t *testing.T) {
	rows := []serving.Request{
		{PromptTokens: 5, MaxTokens: 9, CompletionTokens: 4, Finish: "stop", DueUnixNS: 2e9, SentUnixNS: 9e9, Server: 1},
		{PromptTokens: 5, MaxTokens: 9, CompletionTokens: 2, Error: "connection lost", SentUnixNS: 1e9},
		{PromptTokens: 5, CompletionTokens: 3, DueUnixNS: 3e9},
		{MaxTokens: 9, DueUnixNS: 1},
		{PromptTokens: 5, DueUnixNS: 1e9},
		{PromptTokens: 5, MaxTokens: 9},
	}
	p, err := FromRows(rows, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, q := range p.Requests {
		got += fmt.Sprintf("%v %d→%d at %d; ", q.Due, q.PromptTokens, q.MaxTokens, q.Server)
	}
	if want := "1s 5→4 at 1; 0s 5→9 at 0; 2s 5→3 at 0; "; got != want || len(p.Notes) != 1 || !strings.HasPrefix(p.Notes[0], "3 of 6") {
		t.Errorf("%s %q, want %s", got, p.Notes, want)
	}
	if p, err := FromRows(rows[3:], "", 0); err == nil {
		t.Errorf("%+v", p)
	}
}

// TestFromRowsOfRun: what a run left plans the run again.
func TestFromRowsOfRun(t *testing.T) {
	p, err := Shape{Requests: 20, Input: Range{3, 90}, Output: Range{1, 9}}.Plan(Poisson(3))
	if err != nil {
		t.Fatal(err)
	}
	var rows []serving.Request
	for i, q := range p.Requests {
		rows = append(rows, serving.Request{ID: i, PromptTokens: q.PromptTokens, MaxTokens: q.MaxTokens, DueUnixNS: 1e18 + int64(q.Due)})
	}
	again, err := FromRows(rows, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	for i, q := range again.Requests {
		if w := p.Requests[i]; q.Due != w.Due || q.PromptTokens != w.PromptTokens || q.MaxTokens != w.MaxTokens {
			t.Errorf("request %d: %+v, want %+v", i, q, w)
		}
	}
}

func TestSorted(t *testing.T) {
	p := Plan{Requests: []Planned{{Due: 3}, {Due: 1, MaxTokens: 1}, {Due: 1, MaxTokens: 2}, {Due: 0}}}
	var got []time.Duration
	for _, q := range p.sorted(3) {
		got = append(got, q.Due*10+time.Duration(q.MaxTokens))
	}
	if want := []time.Duration{0, 11, 12}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if n := len(p.sorted(0)); n != 4 {
		t.Errorf("%d without a limit", n)
	}
	p = Plan{Requests: make([]Planned, 100)}
	for i := range p.Requests {
		p.Requests[i] = Planned{Due: time.Duration(i * 7 % 3), MaxTokens: i}
	}
	last := Planned{MaxTokens: -1}
	for _, q := range p.sorted(0) {
		if q.Due < last.Due || q.Due == last.Due && q.MaxTokens < last.MaxTokens {
			t.Errorf("request %d comes after request %d", q.MaxTokens, last.MaxTokens)
		}
		last = q
	}
}
