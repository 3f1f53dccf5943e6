package replay

import (
	"slices"
	"strings"

	"tokprof/trace/serving"
)

// play is one window being played: which rows are taken, and where its recorded
// time lies in real time.
type play struct {
	window    *Window
	taken     []bool
	anchored  bool
	rec, real int64 // the same moment, recorded and real
	speed     float64
}

// kept is how many plays readings are given for: the oldest are forgotten, so
// that a server may run for long.
const kept = 1024

func (s *Server) newPlay(w *Window) *play {
	if len(s.plays) >= 2*kept {
		s.plays = slices.Delete(s.plays, 0, kept)
	}
	p := &play{window: w, taken: make([]bool, len(w.Requests)), speed: s.speed}
	s.plays = append(s.plays, p)
	return p
}

// at is a recorded moment in real time. Speed squeezes what is sent, never the
// traces: at speed 1 both follow the same shift.
func (p *play) at(recorded int64) int64 {
	if p.speed == 1 {
		return p.real + recorded - p.rec
	}
	return p.real + int64(float64(recorded-p.rec)/p.speed)
}

func (p *play) anchor(recorded, real int64) { p.rec, p.real, p.anchored = recorded, real, true }

// shift is what traces and readings are moved by.
func (p *play) shift() int64 { return p.real - p.rec }

// take finds the next row of a shape that can still be played, −1 for none: its
// token late, at most, must not lie behind.
func (p *play) take(prompt, tokens, late int, now int64) int {
	for i, q := range p.window.Requests {
		if p.taken[i] || q.PromptTokens != prompt || q.MaxTokens != tokens {
			continue
		}
		if p.anchored && p.at(q.TokenUnixNS[min(late, len(q.TokenUnixNS)-1)]) < now {
			continue
		}
		p.taken[i] = true
		return i
	}
	return -1
}

// schedule says when each token of a request is sent, in Unix nanoseconds: as
// the recorded request of equal prompt and answer length of the window that is
// being played, or by the recording's median TTFT and TPOT where there is none.
// Called with s.mu held, when the request arrives.
func (s *Server) schedule(prompt, tokens int, now int64) []int64 {
	if s.session != nil {
		return s.session.request(prompt, tokens, now)
	}
	for _, w := range s.plainWindows() {
		p := s.plain[w]
		i := -1
		if p != nil {
			i = p.take(prompt, tokens, 0, now)
		}
		if i < 0 {
			// Another round of the window; one that the request does not fit is not begun.
			if !slices.ContainsFunc(w.Requests, func(q serving.Request) bool { return q.PromptTokens == prompt && q.MaxTokens == tokens }) {
				continue
			}
			p = s.newPlay(w)
			s.plain[w] = p
			i = p.take(prompt, tokens, 0, now)
			p.anchor(w.Requests[i].SentUnixNS, now)
		}
		return p.times(i)
	}
	return s.rec.usual(nil).times(tokens, now, s.speed)
}

// request is schedule while profiling. The first request fixes the shift of the
// session's window, whatever its shape. Late requests are played too, as long as
// a token of theirs is still to come: the tokens that are due come at once, and
// the others agree with the steps of the traces.
func (n *session) request(prompt, tokens int, now int64) []int64 {
	first := !n.asked
	if first {
		n.asked, n.play.anchored = true, false // whenever it comes, it is not late
	}
	i := n.play.take(prompt, tokens, tokens, now)
	if first {
		n.play.anchor(n.play.window.Requests[max(i, 0)].SentUnixNS, now)
	}
	if i >= 0 {
		return n.play.times(i)
	}
	return n.usual.times(tokens, now, n.play.speed)
}

// times is when the tokens of row i are due.
func (p *play) times(i int) []int64 {
	row := p.window.Requests[i].TokenUnixNS
	out := make([]int64, len(row))
	for k, t := range row {
		out[k] = p.at(t)
	}
	return out
}

// plainWindows lists the unprofiled windows: first NAME-plain of the profiled
// window to come, then of those after it, then the rest.
func (s *Server) plainWindows() []*Window {
	var twins, rest []*Window
	order := slices.Concat(s.profiled[s.next:], s.profiled[:s.next])
	for _, to := range order {
		for i := range s.rec.Windows {
			if w := &s.rec.Windows[i]; !w.Profiled && w.Name == to.Name+"-plain" {
				twins = append(twins, w)
			}
		}
	}
	for i := range s.rec.Windows {
		w := &s.rec.Windows[i]
		if name, ok := strings.CutSuffix(w.Name, "-plain"); !w.Profiled && !(ok && s.rec.hasProfiled(name)) {
			rest = append(rest, w)
		}
	}
	return append(twins, rest...)
}

func (rec *Recording) hasProfiled(name string) bool {
	return slices.ContainsFunc(rec.Windows, func(w Window) bool { return w.Profiled && w.Name == name })
}

// usual is a median timing, in nanoseconds.
type usual struct{ ttft, tpot int64 }

// usual takes the medians over a window's requests, over all windows' when w is nil.
func (rec *Recording) usual(w *Window) usual {
	var ttft, tpot []int64
	for i := range rec.Windows {
		if w != nil && w != &rec.Windows[i] {
			continue
		}
		for _, q := range rec.Windows[i].Requests {
			ttft = append(ttft, q.TokenUnixNS[0]-q.SentUnixNS)
			if v, ok := q.TPOT(); ok {
				tpot = append(tpot, int64(v))
			}
		}
	}
	return usual{median(ttft), median(tpot)}
}

func median(v []int64) int64 {
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	return v[len(v)/2]
}

func (u usual) times(tokens int, now int64, speed float64) []int64 {
	out := make([]int64, tokens)
	for i := range out {
		out[i] = now + int64(float64(u.ttft+int64(i)*u.tpot)/speed)
	}
	return out
}
