package match

import (
	"testing"

	"tokprof/trace/serving"
)

// bar is what a join must reach at least: the share joined of the tokens that
// recorded steps gave, the share right of the joined, and of the sure ones.
type bar struct{ joined, right, sure float64 }

// score counts what a join got right.
type score struct {
	recorded, joined, right, sure, sureRight, emitted, explained, entered, enteredRight int
}

func (s *score) add(r Result, x seen) {
	s.emitted += int(r.Emitted)
	s.explained += int(r.Explained)
	for i, q := range r.Requests {
		if q.Entered != None {
			s.entered++
			if q.Entered == x.entered[i] {
				s.enteredRight++
			}
		}
		for j, token := range q.Tokens {
			want := x.truth[i][j]
			if want != None {
				s.recorded++
			}
			if token.Why != Joined {
				continue
			}
			s.joined++
			if token.Sure {
				s.sure++
			}
			if token.Step == want {
				s.right++
				if token.Sure {
					s.sureRight++
				}
			}
		}
	}
}

func (s *score) hold(t *testing.T, least bar) {
	t.Helper()
	part := func(a, b int) float64 { return float64(a) / float64(max(1, b)) }
	joined, right, sureRight := part(s.joined, s.recorded), part(s.right, s.joined), part(s.sureRight, s.sure)
	t.Logf("%6d recorded, joined %.4f, right %.4f; sure %.4f, right %.4f; explained %.4f of %6d; entered right %.3f",
		s.recorded, joined, right, part(s.sure, s.joined), sureRight, part(s.explained, s.emitted), s.emitted, part(s.enteredRight, s.entered))
	if s.recorded == 0 || joined < least.joined || right < least.right || s.sure > 0 && sureRight < least.sure {
		t.Errorf("joined %.4f, right %.4f, right of the sure %.4f; want %+v", joined, right, sureRight, least)
	}
	if s.entered > 0 && part(s.enteredRight, s.entered) < min(0.99, least.right) {
		t.Errorf("of %d entered %d right", s.entered, s.enteredRight)
	}
}

// earlier says that a step began before another, if both launched anything.
func earlier(a, b Step) bool { return a.Start != 0 && b.Start != 0 && a.Start < b.Start }

// checkCounts holds a join against the steps' counts and the order of time.
func checkCounts(t *testing.T, steps []Step, rows []serving.Request, r Result) {
	t.Helper()
	first, more := make([]map[int]int64, len(steps)), make([]map[int]int64, len(steps))
	for k := range steps {
		first[k], more[k] = map[int]int64{}, map[int]int64{}
	}
	var why [3]int64
	total, sure := int64(0), 0
	for i, q := range r.Requests {
		total += int64(len(rows[i].TokenUnixNS))
		last := None
		for j, x := range q.Tokens {
			why[x.Why]++
			if (x.Why == Joined) != (x.Step != None) || x.Sure && x.Why != Joined {
				t.Fatalf("token %d of request %d: %+v", j, i, x)
			}
			if x.Sure {
				sure++
			}
			if x.Step == None {
				continue
			}
			if last != None && earlier(steps[x.Step], steps[last]) {
				t.Fatalf("token %d of request %d is of an earlier step than the one before it", j, i)
			}
			last = x.Step
			if j == 0 {
				first[x.Step][i]++
			} else {
				more[x.Step][i]++
			}
		}
		if q.Entered != None && (len(q.Tokens) == 0 || q.Tokens[0].Why != Joined || earlier(steps[q.Tokens[0].Step], steps[q.Entered])) {
			t.Fatalf("request %d entered at step %d, first token %+v", i, q.Entered, q.Tokens)
		}
	}
	for k, s := range steps {
		s = clean(s)
		tokens := int64(0)
		for _, n := range more[k] {
			tokens += n
		}
		f, m := int64(len(first[k])), int64(len(more[k]))
		split := s.ContextRequests+s.GenerationRequests > 0
		if split && (f > s.ContextRequests || f+m > s.ContextRequests+s.GenerationRequests || tokens > s.ContextRequests-f+max(s.GenerationRequests, s.GenerationTokens) && s.GenerationTokens > 0) || !split && f+m > s.Requests {
			t.Fatalf("step %d %+v has %d first tokens, and %d more of %d requests", k, s, f, tokens, m)
		}
	}
	if why[Joined] != r.Joined || why[Outside] != r.Outside || why[Unmatched] != r.Unmatched || r.Joined+r.Outside+r.Unmatched != total || r.Explained > r.Joined || r.Explained > r.Emitted {
		t.Fatalf("%d tokens, placed %v, %d joined, %d outside, %d unmatched, %d explained of %d", total, why, r.Joined, r.Outside, r.Unmatched, r.Explained, r.Emitted)
	}
	if want := float64(sure) / float64(max(1, r.Joined)); r.Sure != want {
		t.Fatalf("sure %v, want %v", r.Sure, want)
	}
}
