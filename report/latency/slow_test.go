package latency

import (
	"testing"

	"tokprof/trace"
	"tokprof/trace/serving"
	"tokprof/trace/serving/match"
)

// decodeLine is n decode steps of 100 ns with pauses of 10 ns, the first one a
// prefill of 64 tokens; f may change steps.
func decodeLine(n int, f func(i int, s *Step)) *line {
	var steps []Step
	for i := range n {
		s := Step{Index: i + 40, Start: int64(i) * 110, End: int64(i)*110 + 100, Label: trace.StepLabel{Phase: trace.Decode, GenerationRequests: 1}}
		s.Cells = []Cell{{"ffn", "down", 60}, {"waiting", "", 30}, {"idle", "", 10}}
		if i == 0 {
			s.Label = trace.StepLabel{Phase: trace.Prefill, ContextRequests: 1, ContextTokens: 64}
		}
		if f != nil {
			f(i, &s)
		}
		steps = append(steps, s)
	}
	l := newLine(steps)
	l.words = map[string]string{"ffn": "the FFN", "waiting": "waiting inside collectives"}
	return l
}

// oneRequest is a request whose tokens are of steps, delivered so long after
// their ends.
func oneRequest(l *line, steps []int, late []int64) []ownRow {
	row := &serving.Request{ID: 7, Status: 200, DueUnixNS: -50}
	o := ownRow{row: row, line: l, entered: max(0, steps[0])}
	for i, s := range steps {
		at := late[i]
		if s >= 0 {
			at += l.to[s]
			o.tokens = append(o.tokens, match.Token{Step: s, Why: match.Joined})
		} else {
			o.tokens = append(o.tokens, match.Token{Step: match.None, Why: match.Unmatched})
		}
		row.TokenUnixNS = append(row.TokenUnixNS, at)
	}
	return []ownRow{o}
}

// TestSlowestSaysWhy: the reason of the longest gap, in words.
func TestSlowestSaysWhy(t *testing.T) {
	longer := func(part string, more int64) func(int, *Step) {
		return func(i int, s *Step) {
			if i > 3 {
				s.Start, s.End = s.Start+more, s.End+more
			}
			if i == 3 {
				s.End += more
				for c := range s.Cells {
					if s.Cells[c].Part == part {
						s.Cells[c].TimeNS += more
					}
				}
			}
		}
	}
	all := []int{0, 1, 2, 3, 4, 5}
	even := []int64{9, 9, 9, 9, 9, 9}
	for _, test := range []struct {
		want  string
		line  *line
		steps []int
		late  []int64
	}{
		{"step 43: decode, 80 ns more in the FFN than the median step", decodeLine(6, longer("ffn", 80)), all, even},
		{"step 43: decode, 80 ns more in waiting inside collectives than the median step", decodeLine(6, longer("waiting", 80)), all, even},
		{"step 43: decode, the GPU idle for 80 ns longer than in the median step", decodeLine(6, longer("idle", 80)), all, even},
		{"step 43: decode, delivered 40 ns later than the token before", decodeLine(6, nil), all, []int64{9, 9, 9, 49, 9, 9}},
		{"step 43: decode, hardly slower than others", decodeLine(6, nil), all, []int64{9, 9, 9, 10, 9, 9}},
		{"delivery: 900 ns from the end of its step to the client, which got 3 tokens at once", decodeLine(7, nil), all, []int64{9, 9, 9, 900, 790, 680}},
		{"delivery: 900 ns from the end of its step to the client; it was the last one recorded, and the profiler stopped then", decodeLine(6, nil), all, []int64{9, 9, 9, 9, 9, 900}},
		{"steps 42–44 ran, and only the last gave this request a token", decodeLine(6, nil), []int{0, 1, 4, 5}, even},
		{"step 43: mixed, prefill of 1900 tokens of 2 other requests", decodeLine(6, func(i int, s *Step) {
			if longer("ffn", 500)(i, s); i == 3 {
				s.Label = trace.StepLabel{Phase: trace.Mixed, ContextRequests: 2, ContextTokens: 1900, GenerationRequests: 1}
			}
		}), all, even},
		{"steps 42–43: prefill, prefill of 3800 tokens", decodeLine(6, func(i int, s *Step) {
			if i == 2 || i == 3 {
				s.Label = trace.StepLabel{Phase: trace.Prefill, ContextRequests: 1, ContextTokens: 1900}
			}
		}), []int{0, 1, 3, 4, 5}, even},
		{"counts and times leave open which step emitted it", decodeLine(6, nil), []int{0, 1, -1, 4}, []int64{9, 9, 9000, 9000}},
		{"the step of the token before it is not known", decodeLine(6, nil), []int{0, -1, 4}, []int64{9, 120, 9}},
	} {
		got := slowest(oneRequest(test.line, test.steps, test.late), "", 0)
		if len(got) == 0 || got[0].Why != test.want {
			t.Errorf("want %q, got %+v", test.want, got)
		}
	}
}

// TestOneStepManyTokens: drafts accepted in one step share its time, and a token
// held back by the stopping profiler is in no mean.
func TestOneStepManyTokens(t *testing.T) {
	l := decodeLine(4, nil)
	o := &oneRequest(l, []int{0, 1, 1, 1, 2, 3}, []int64{9, 9, 9, 9, 9, 5000})[0]
	g := betweenTokens(o, newCoverage(l))
	if g.Gaps != 4 || g.Stalled != 1 || g.TimeNS != 220 || g.StepsNS != 220 || g.DeliveryNS != 0 {
		t.Errorf("gaps %+v", g)
	}
	if f := firstToken(o); f.QueueNS != 50 || f.PrefillNS != 100 || f.DeliveryNS != 9 || f.TimeNS != 159 {
		t.Errorf("first token %+v", f)
	}
	o.entered = match.None
	if f := firstToken(o); f != nil {
		t.Errorf("a request that entered nowhere has %+v", f)
	}
	c := newCoverage(l)
	c.add(0, 1)
	c.add(1, 3)
	c.add(3, 2)
	if got := rolesOver("decode", []*line{l}, map[*line]*coverage{l: c}); len(got) != 1 || got[0] != (RequestRole{"decode", "down", 5 * 60}) {
		t.Errorf("roles %+v", got)
	}
}
