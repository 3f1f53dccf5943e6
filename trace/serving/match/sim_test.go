package match

import (
	"fmt"
	"strconv"
	"testing"

	"tokprof/trace/serving"
)

var typical = engine{
	Requests: 150, Gap: 20e6, Prompt: [2]int{30, 900}, Output: [2]int{5, 60},
	Budget: 8192, Seqs: 64, Decode: 4e6, Token: 20_000, Delay: 900_000, Jitter: 300_000,
}

func with(f func(e *engine)) engine {
	e := typical
	f(&e)
	return e
}

var settings = []struct {
	name string
	e    engine
	min  float64 // share of the joined tokens that must be right
}{
	{"sync", typical, 0.99},
	{"async", with(func(e *engine) { e.Async = true }), 0.99},
	{"async late", with(func(e *engine) { e.Async, e.Launch = true, 1.1 }), 0.99},
	{"async later", with(func(e *engine) { e.Async, e.Launch = true, 1.6 }), 0.99},
	{"fast steps", with(func(e *engine) { e.Decode, e.Token, e.Gap = 1.2e6, 3000, 5e6; e.Delay, e.Jitter = 2e6, 1e6 }), 0.98},
	{"stalls", with(func(e *engine) { e.Stall = 60e6 }), 0.98},
	{"async stalls eos", with(func(e *engine) { e.Async, e.Stall, e.EOS = true, 60e6, 0.5 }), 0.98},
	{"sync eos", with(func(e *engine) { e.EOS = 0.7 }), 0.99},
	{"window", with(func(e *engine) { e.Window = [2]float64{0.3, 0.7} }), 0.99},
	{"window async", with(func(e *engine) { e.Async, e.Launch = true, 1.1; e.Window = [2]float64{0.3, 0.7} }), 0.95},
	{"short window", with(func(e *engine) { e.Window = [2]float64{0.4, 0.44} }), 0.95},
	{"chunks", with(func(e *engine) { e.Budget, e.Prompt = 512, [2]int{200, 3000}; e.Gap = 60e6 }), 0.98},
	{"chunks cached async", with(func(e *engine) {
		e.Budget, e.Prompt, e.Cached = 512, [2]int{200, 3000}, 0.7
		e.Gap = 40e6
		e.Async, e.Launch = true, 1.1
	}), 0.97},
	{"cached", with(func(e *engine) { e.Cached = 0.8 }), 0.99},
	{"overload", with(func(e *engine) { e.Gap = 3e6; e.Seqs = 16 }), 0.98},
	{"preempt", with(func(e *engine) { e.Gap, e.Blocks = 8e6, 300; e.Output = [2]int{40, 150} }), 0.95},
	{"preempt async eos", with(func(e *engine) { e.Gap, e.Blocks = 8e6, 300; e.Output = [2]int{40, 150}; e.Async, e.EOS = true, 0.4 }), 0.95},
	{"preempt context", with(func(e *engine) { e.Gap, e.Blocks, e.Context = 8e6, 300, true; e.Output = [2]int{40, 150} }), 0.95},
	{"apart", with(func(e *engine) { e.Apart = true }), 0.98},
	{"apart whole", with(func(e *engine) { e.Apart, e.Whole = true, true }), 0.9},
	{"whole", with(func(e *engine) { e.Whole = true }), 0.9},
	{"drafts", with(func(e *engine) { e.Drafts = 3; e.Output = [2]int{20, 100} }), 0.98},
	{"drafts async stalls", with(func(e *engine) { e.Drafts, e.Async, e.Stall = 3, true, 30e6; e.Output = [2]int{20, 100} }), 0.95},
	{"hidden", with(func(e *engine) { e.Hidden = 0.2 }), 0.9},
	{"hidden half", with(func(e *engine) { e.Hidden = 0.5; e.Async = true }), 0.8},
	{"whole no tokens", with(func(e *engine) { e.Whole, e.NoTokens = true, true }), 0.9},
	{"hole", with(func(e *engine) { e.Hole = [2]float64{0.5, 0.55} }), 0.9},
	{"stages", with(func(e *engine) { e.Stages = 2 }), 0.9},
	{"stages async", with(func(e *engine) { e.Stages, e.Async, e.Gap = 4, true, 8e6 }), 0.9},
	{"overrun", with(func(e *engine) { e.Overrun, e.Apart, e.Async = true, true, true }), 0.9},
	{"overrun whole", with(func(e *engine) { e.Overrun, e.Apart, e.Async, e.Whole = true, true, true, true }), 0.9},
	{"broken", with(func(e *engine) { e.Broken = 0.3 }), 0.9},
	{"extra", with(func(e *engine) { e.Extra, e.Async, e.Launch = 1, true, 1.1 }), 0.9},
	{"merged", with(func(e *engine) { e.Merged = 0.3 }), 0.9},
	{"big", with(func(e *engine) {
		e.Gap, e.Seqs, e.Requests, e.Decode = 4e6, 256, 600, 15e6
		e.Async, e.Launch, e.Cached, e.Budget = true, 1.1, 0.4, 2048
	}), 0.9},
	{"everything", with(func(e *engine) {
		e.Gap, e.Blocks, e.Budget, e.Cached, e.EOS = 8e6, 400, 512, 0.4, 0.4
		e.Output = [2]int{20, 150}
		e.Async, e.Launch, e.Stall = true, 1.1, 40e6
		e.Window = [2]float64{0.3, 0.7}
		e.Hidden = 0.05
	}), 0.8},
	{"preempt window", with(func(e *engine) {
		e.Gap, e.Blocks = 8e6, 300
		e.Output = [2]int{40, 150}
		e.Async, e.Launch, e.Window = true, 1.1, [2]float64{0.3, 0.7}
	}), 0.95},
	{"saturated window eos", with(func(e *engine) {
		e.Gap, e.Seqs, e.EOS = 4e6, 32, 0.6
		e.Async, e.Launch, e.Window = true, 1.1, [2]float64{0.3, 0.7}
	}), 0.95},
	{"equal", with(func(e *engine) {
		e.Gap, e.Seqs = 4e6, 32
		e.Prompt, e.Output = [2]int{512, 512}, [2]int{64, 64}
		e.Async, e.Launch = true, 1.1
	}), 0.95},
	{"equal burst", with(func(e *engine) {
		e.Gap, e.Budget = 1e3, 2048
		e.Prompt, e.Output = [2]int{512, 512}, [2]int{64, 64}
		e.Async, e.Launch = true, 1.1
	}), 0.95},
	{"equal window", with(func(e *engine) {
		e.Gap, e.Seqs = 4e6, 32
		e.Prompt, e.Output = [2]int{512, 512}, [2]int{64, 64}
		e.Async, e.Launch, e.Window = true, 1.1, [2]float64{0.4, 0.5}
	}), 0.95},
	{"steady", with(func(e *engine) {
		e.Gap, e.Seqs, e.Decode = 1e3, 150, 12e6
		e.Prompt, e.Output = [2]int{64, 64}, [2]int{200, 200}
		e.Async, e.Launch, e.Window = true, 1.1, [2]float64{0.4, 0.5}
	}), 0},
	{"steady sync", with(func(e *engine) {
		e.Gap, e.Seqs, e.Decode = 1e3, 150, 12e6
		e.Prompt, e.Output = [2]int{64, 64}, [2]int{200, 200}
		e.Window = [2]float64{0.4, 0.5}
	}), 0.95},
	{"straddling", with(func(e *engine) {
		e.Gap, e.Seqs, e.Decode, e.Delay = 1e3, 150, 12e6, 9e6
		e.Prompt, e.Output = [2]int{64, 64}, [2]int{200, 200}
		e.Window = [2]float64{0.4, 0.5}
	}), 0.95},
	{"clock far", with(func(e *engine) { e.Clock, e.Async, e.Launch = 300e6, true, 1.1 }), 0.97},
	{"clock far before", with(func(e *engine) { e.Clock, e.Async, e.Cached = -70e6, true, 0.3 }), 0.97},
	{"clock later", with(func(e *engine) { e.Clock = 5e6 }), 0.97},
	{"clock before", with(func(e *engine) { e.Clock = -5e6 }), 0.97},
	{"clock", with(func(e *engine) { e.Clock = -1e6 }), 0.97},
}

func TestSimulated(t *testing.T) {
	for _, s := range settings {
		t.Run(s.name, func(t *testing.T) {
			var got score
			for seed := range uint64(6) {
				e := s.e
				e.Seed = seed
				steps, rows, truth := e.simulate()
				got.add(Steps(steps, rows), rows, truth)
			}
			t.Logf("%-20s %s", s.name, got)
			share := float64(got.right) / float64(max(got.joined, 1))
			if share < s.min {
				t.Errorf("%.4f of the joined tokens are right", share)
			}
		})
	}
}

// score counts what a join got right.
type score struct{ recorded, joined, right, sure, sureRight, emitted, explained, entered, enteredRight int64 }

func (s *score) add(r Result, rows []serving.Request, truth [][]int) {
	s.emitted += r.Emitted
	s.explained += r.Explained
	for i, q := range r.Requests {
		if q.Entered != None {
			s.entered++
			if strconv.Itoa(q.Entered) == rows[i].Window {
				s.enteredRight++
			}
		}
		for j, x := range q.Tokens {
			if truth[i][j] != None {
				s.recorded++
			}
			if x.Why != Joined {
				continue
			}
			s.joined++
			ok := x.Step == truth[i][j]
			if ok {
				s.right++
			}
			if x.Sure {
				s.sure++
				if ok {
					s.sureRight++
				}
			}
		}
	}
}

func (s score) String() string {
	part := func(a, b int64) float64 { return float64(a) / float64(max(1, b)) }
	return fmt.Sprintf("%6d recorded, joined %.4f, right of joined %.4f, emitted %6d explained %.4f, sure %.4f right of sure %.4f, entered %.3f",
		s.recorded, part(s.joined, s.recorded), part(s.right, s.joined), s.emitted, part(s.explained, s.emitted), part(s.sure, s.joined), part(s.sureRight, s.sure), part(s.enteredRight, s.entered))
}

// TestEngines joins the requests of two schedulers that run beside each other.
func TestEngines(t *testing.T) {
	for _, c := range []struct {
		name          string
		both, servers bool
		window        [2]float64
		min           float64
	}{
		{"data parallel", true, false, [2]float64{}, 0.95},
		{"data parallel, one recorded", false, false, [2]float64{}, 0.9},
		{"two servers", true, true, [2]float64{}, 0.95},
		{"two servers, one recorded", false, true, [2]float64{}, 0.95},
		{"data parallel, window", true, false, [2]float64{0.3, 0.7}, 0.9},
		{"two servers, one recorded, window", false, true, [2]float64{0.3, 0.7}, 0.95},
	} {
		var s score
		for seed := range uint64(4) {
			a := with(func(e *engine) { e.Seed, e.Window, e.Async = seed, c.window, seed%2 == 1 })
			b := a
			b.Seed += 100
			steps, rows, truth := a.simulate()
			steps2, rows2, truth2 := b.simulate()
			for i := range rows2 {
				if c.servers {
					rows2[i].Server = 1
				}
				for j := range truth2[i] {
					switch {
					case !c.both:
						truth2[i][j] = None
					case truth2[i][j] != None:
						truth2[i][j] += len(steps)
					}
				}
			}
			if c.both {
				for i := range steps2 {
					steps2[i].Engine = 1
				}
				for i := range rows2 {
					k, _ := strconv.Atoi(rows2[i].Window)
					rows2[i].Window = strconv.Itoa(k + len(steps))
				}
				steps = append(steps, steps2...)
			}
			rows, truth = append(rows, rows2...), append(truth, truth2...)
			s.add(Steps(steps, rows), rows, truth)
		}
		t.Logf("%-34s %s", c.name, s)
		if float64(s.right) < c.min*float64(s.joined) {
			t.Errorf("%s: %s", c.name, s)
		}
	}
}
